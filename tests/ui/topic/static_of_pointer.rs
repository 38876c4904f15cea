//! A topic of events that may not leave their thread is no static.
//~ E0277
//~ `*const u8` cannot be sent between threads safely
//~ shared static variables must have a type that implements `Sync`

use tickbus::Topic;

static TOPIC: Topic<*const u8, 2> = Topic::new();

fn main() {
    TOPIC.publish(&1);
}
