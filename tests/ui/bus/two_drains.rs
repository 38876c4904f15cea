//! Two drains of one consumer at once would take each other's events.
//~ E0499
//~ cannot borrow `events` as mutable more than once at a time

use tickbus::Bus;

static BUS: Bus<u8, 2> = Bus::new();

fn main() {
    let mut events = BUS.consumer().unwrap();
    let first = events.drain();
    let second = events.drain();
    first.chain(second).for_each(drop);
}
