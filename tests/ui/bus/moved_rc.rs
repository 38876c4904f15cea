//! Nor does its consumer move to another thread, nor a publisher, nor the bus.
//~ E0277
//~ required because it appears within the type `Consumer<
//~ required because it appears within the type `tickbus::Publisher<
//~ required because it appears within the type `Bus<

use std::rc::Rc;

use tickbus::{Bus, Consumer, Publisher};

fn send<T: Send>() {}

fn main() {
    send::<Consumer<'static, Rc<u8>>>();
    send::<Publisher<'static, Rc<u8>>>();
    send::<Bus<Rc<u8>, 2>>();
}
