//! A producer is shared only if its events may go to another thread.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely
//~ required because it appears within the type `Producer<

use std::rc::Rc;

use tickbus::Producer;

fn sync<T: Sync>() {}

fn main() {
    sync::<Producer<'static, Rc<u8>>>();
}
