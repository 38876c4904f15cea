//! The policies are those of the crate.
//~ E0277
//~ the trait bound `DropRandom:

use tickbus::Bus;
use tickbus::bus::Policy;

struct DropRandom;

impl Policy for DropRandom {}

static BUS: Bus<u8, 2, DropRandom> = Bus::new();

fn main() {
    let _ = BUS.len();
}
