//! A publisher is shared only if its events may go to another thread.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely
//~ required because it appears within the type `tickbus::Publisher<

use std::rc::Rc;

use tickbus::Publisher;

fn sync<T: Sync>() {}

fn main() {
    sync::<Publisher<'static, Rc<u8>>>();
}
