//! The capacities are those of the crate.
//~ E0117

use tickbus::bus::Capacity;

impl Capacity<3> for () {}

fn main() {}
