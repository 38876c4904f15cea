//! What a policy is made of cannot be named.
//~ E0603
//~ module `ring` is private

struct DropRandom;

impl tickbus::ring::Policy for DropRandom {
    const EVICTS: bool = true;
    const REFUSES: bool = true;
}

fn main() {}
