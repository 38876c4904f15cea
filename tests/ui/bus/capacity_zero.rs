//! A bus has room for something.
//~ power of two
//~ E0080

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 0> = Bus::new();
    let _ = bus.publish(1);
}
