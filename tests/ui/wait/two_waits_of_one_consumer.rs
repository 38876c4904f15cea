//! One consumer waits for one thing at a time.
//~ E0499
//~ cannot borrow `events` as mutable more than once at a time

use tickbus::{Bus, Reject, Waiters};

static BUS: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();

fn main() {
    let mut events = BUS.consumer().unwrap();
    let first = events.next_async();
    let second = events.ready_async();
    drop((first, second));
}
