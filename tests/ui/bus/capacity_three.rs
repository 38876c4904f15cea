//! A capacity is a power of two.
//~ E0277
//~ `3` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_three.rs:9:

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 3> = Bus::new();
    let _ = bus.publish(1);
}
