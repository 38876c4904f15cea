//! A lane is as particular about its capacity as a bus, in a static too.
//~ E0277
//~ `6` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_of_a_lane.rs:8:

use tickbus::Lane;

static LANE: Lane<u8, 6> = Lane::new();

fn main() {
    let _ = LANE.pending();
}
