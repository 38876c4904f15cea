//! One publisher at a time: a producer publishes through `&mut` only.
//~ E0596
//~ cannot borrow `*producer` as mutable, as it is behind a `&` reference

use tickbus::{Lane, Producer};

static LANE: Lane<u8, 2> = Lane::new();

fn publish(producer: &Producer<'_, u8>) {
    let _ = producer.publish(1);
}

fn main() {
    publish(&LANE.producer().unwrap());
}
