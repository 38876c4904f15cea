//! Nor is there a second producer.
//~ E0599
//~ no method named `clone` found for struct `Producer

use tickbus::Lane;

static LANE: Lane<u8, 2> = Lane::new();

fn main() {
    let producer = LANE.producer().unwrap();
    let more = producer.clone();
    drop((producer, more));
}
