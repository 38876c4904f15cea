//! What is no policy is told which there are.
//~ E0277
//~ `Newest` is not an overrun policy
//~ a bus takes `Reject` (the default), `DropOldest` or `DropNewest` as its policy

use tickbus::Bus;

struct Newest;

fn len(bus: &Bus<u8, 2, Newest>) -> usize {
    bus.len()
}

fn main() {
    let _ = len;
}
