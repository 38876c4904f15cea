//! A bus has many publishers, whatever its policy.
//~ E0277
//~ `Single` is not an overrun policy
//~ a bus takes `Reject` (the default), `DropOldest` or `DropNewest` as its policy

use tickbus::{Bus, Single};

static BUS: Bus<u8, 2, Single> = Bus::new();

fn main() {
    let _ = BUS.publish(1);
}
