//! Nor does its consumer move to another thread, nor a producer, nor the bus.
//~ E0277
//~ required because it appears within the type `Consumer<
//~ required because it appears within the type `Producer<
//~ required because it appears within the type `Bus<

use std::rc::Rc;

use tickbus::{Bus, Consumer, Producer};

fn send<T: Send>() {}

fn main() {
    send::<Consumer<'static, Rc<u8>>>();
    send::<Producer<'static, Rc<u8>>>();
    send::<Bus<Rc<u8>, 2>>();
}
