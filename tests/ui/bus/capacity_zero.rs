//! A bus has room for something.
//~ E0277
//~ `0` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_zero.rs:9:

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 0> = Bus::new();
    let _ = bus.publish(1);
}
