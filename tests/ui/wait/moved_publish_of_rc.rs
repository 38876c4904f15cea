//! A publish that waits has its event, and goes no further than that.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely

use std::rc::Rc;

use tickbus::{Bus, Reject, Waiters};

fn spawn(task: impl Future + Send) {
    drop(task);
}

fn main() {
    let bus: Bus<Rc<u8>, 2, Reject, Waiters<1>> = Bus::new();
    spawn(bus.publish_async(Rc::new(1)));
}
