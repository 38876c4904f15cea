//! A consumer that waits borrows its bus, and a place for its waker.
//~ E0597
//~ `bus` does not live long enough

use tickbus::{Bus, Reject, Waiters};

fn main() {
    let mut events = {
        let bus: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();
        bus.consumer().unwrap()
    };
    events.drain().for_each(drop);
}
