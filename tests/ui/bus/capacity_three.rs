//! A capacity is a power of two.
//~ power of two
//~ E0080

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 3> = Bus::new();
    let _ = bus.publish(1);
}
