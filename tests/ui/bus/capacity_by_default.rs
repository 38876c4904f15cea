//! A wrong capacity is no better by default.
//~ E0277
//~ `12` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_by_default.rs:9:

use tickbus::Bus;

fn main() {
    let bus: Bus<u8, 12> = Default::default();
    let _ = bus.publish(1);
}
