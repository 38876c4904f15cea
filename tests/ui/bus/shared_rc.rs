//! A bus of events that may not leave their thread is not shared between threads.
//~ E0277
//~ `Rc<u8>` cannot be sent between threads safely

use std::rc::Rc;
use std::thread;

use tickbus::Bus;

fn main() {
    let bus: Bus<Rc<u8>, 2> = Bus::new();
    thread::scope(|scope| {
        scope.spawn(|| bus.publish(Rc::new(1)).is_ok());
    });
}
