//! A subscriber of events that may not leave their thread does not leave it either.
//~ E0277
//~ `*const u8` cannot be sent between threads safely

use std::thread;

use tickbus::Topic;

fn main() {
    let topic: Topic<*const u8, 2> = Topic::new();
    let mut subscriber = topic.subscribe();
    thread::scope(|scope| {
        scope.spawn(move || subscriber.read().count());
    });
}
