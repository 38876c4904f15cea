//! Nor is there a second publisher.
//~ E0599
//~ no method named `clone` found for struct `tickbus::Publisher

use tickbus::Lane;

static LANE: Lane<u8, 2> = Lane::new();

fn main() {
    let publisher = LANE.publisher().unwrap();
    let more = publisher.clone();
    drop((publisher, more));
}
