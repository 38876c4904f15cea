//! A bus has many publishers, whatever its policy.
//~ E0080
//~ a bus has many publishers, and `Single` is the policy of a `Lane`

use tickbus::{Bus, Single};

static BUS: Bus<u8, 2, Single> = Bus::new();

fn main() {
    let _ = BUS.publish(1);
}
