//! A producer is shared only if its events are.
//~ E0277
//~ `Cell<u8>` cannot be shared between threads safely
//~ required because it appears within the type `Producer<

use std::cell::Cell;

use tickbus::Producer;

fn sync<T: Sync>() {}

fn main() {
    sync::<Producer<'static, Cell<u8>>>();
}
