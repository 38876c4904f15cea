//! A bus that drops its oldest event cannot publish all events or none: what it has dropped is gone.
//~ E0277
//~ a bus with `DropOldest` cannot publish all events or none
//~ publish groups to a bus with `Reject` or `DropNewest`, which drop no pending event

use tickbus::{Bus, DropOldest};

static BUS: Bus<u8, 4, DropOldest> = Bus::new();

fn main() {
    let _ = BUS.publish_all([1, 2]);
}
