//! One publisher at a time: a publisher publishes through `&mut` only.
//~ E0596
//~ cannot borrow `*publisher` as mutable, as it is behind a `&` reference

use tickbus::{Lane, Publisher};

static LANE: Lane<u8, 2> = Lane::new();

fn publish(publisher: &Publisher<'_, u8>) {
    let _ = publisher.publish(1);
}

fn main() {
    publish(&LANE.publisher().unwrap());
}
