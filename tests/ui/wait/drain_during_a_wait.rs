//! While a consumer waits it does not drain.
//~ E0499
//~ cannot borrow `events` as mutable more than once at a time

use tickbus::{Bus, Reject, Waiters};

static BUS: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();

fn main() {
    let mut events = BUS.consumer().unwrap();
    let wait = events.ready_async();
    events.drain().for_each(drop);
    drop(wait);
}
