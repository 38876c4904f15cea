//! What a policy is made of cannot be read.
//~ E0624
//~ associated constant `EVICTS` is private

use tickbus::bus::Policy;

fn evicts<P: Policy>() -> bool {
    P::EVICTS
}

fn main() {
    evicts::<tickbus::Reject>();
}
