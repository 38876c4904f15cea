//! A gated topic of events that may not leave their thread is not shared between threads.
//~ E0277
//~ `*const u8` cannot be sent between threads safely

use std::thread;

use tickbus::GatedTopic;

fn main() {
    let topic: GatedTopic<*const u8, 2, 1> = GatedTopic::new();
    thread::scope(|scope| {
        scope.spawn(|| topic.publish(&1).is_ok());
    });
}
