//! There is one consumer, so there is no second by cloning it.
//~ E0599
//~ no method named `clone` found for struct `Consumer

use tickbus::Bus;

static BUS: Bus<u8, 2> = Bus::new();

fn main() {
    let events = BUS.consumer().unwrap();
    let more = events.clone();
    drop((events, more));
}
