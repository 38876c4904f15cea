//! A topic of one slot would have nothing to read while it is written.
//~ E0277
//~ `1` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/topic/capacity_one.rs:9:

use tickbus::Topic;

fn main() {
    let topic: Topic<u8, 1> = Topic::new();
    topic.publish(1);
}
