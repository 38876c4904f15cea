//! A bus that can be awaited has a place at least for its consumer.
//~ at least one place
//~ E0080

use tickbus::{Bus, Reject, Waiters};

fn main() {
    let bus: Bus<u8, 2, Reject, Waiters<0>> = Bus::new();
    let _ = bus.publish(1);
}
