//! What a consumer keeps of its queue cannot be named.
//~ E0576
//~ cannot find associated type `Reader`

use tickbus::bus::Queue;

fn size<P: Queue>() -> usize {
    size_of::<&<P as Queue>::Reader<u8>>()
}

fn main() {
    size::<tickbus::Single>();
}
