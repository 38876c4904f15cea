//! A ring of one slot cannot tell full from empty.
//~ E0277
//~ `1` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_one.rs:9:

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 1> = Bus::new();
    let _ = bus.publish(1);
}
