//! A ring of one slot cannot tell full from empty.
//~ power of two
//~ E0080

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 1> = Bus::new();
    let _ = bus.publish(1);
}
