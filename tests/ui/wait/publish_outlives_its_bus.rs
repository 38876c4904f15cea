//! A publish that waits borrows its bus.
//~ E0597
//~ `bus` does not live long enough

use tickbus::{Bus, Reject, Waiters};

fn main() {
    let publish = {
        let bus: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();
        bus.publish_async(1)
    };
    let _ = publish.into_event();
}
