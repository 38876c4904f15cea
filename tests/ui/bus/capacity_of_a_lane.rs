//! A lane is as particular about its capacity as a bus, in a static too.
//~ power of two
//~ E0080

use tickbus::Lane;

static LANE: Lane<u8, 6> = Lane::new();

fn main() {
    let _ = LANE.len();
}
