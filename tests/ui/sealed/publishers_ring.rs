//! What a topic is made of cannot be named.
//~ E0576
//~ cannot find associated type `Ring`

use tickbus::topic::Publishers;

fn size<P: Publishers>() -> usize {
    size_of::<&<P as Publishers>::Ring<u8>>()
}

fn main() {
    size::<tickbus::topic::Many>();
}
