//! An event that may not leave its thread is nothing for a static bus.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely
//~ shared static variables must have a type that implements `Sync`

use std::rc::Rc;

use tickbus::Bus;

static BUS: Bus<Rc<u8>, 2> = Bus::new();

fn main() {
    let _ = BUS.len();
}
