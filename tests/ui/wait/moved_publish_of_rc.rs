//! A publish that waits has its event, and goes no further than that.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely

use std::rc::Rc;

use tickbus::Bus;
use tickbus::wait::Awaited;

fn spawn(task: impl Future + Send) {
    drop(task);
}

fn main() {
    let bus: Awaited<Bus<Rc<u8>, 2>, 1> = Awaited::new(Bus::new());
    spawn(bus.publish_wait(Rc::new(1)));
}
