//! A topic of one slot would have nothing to read while it is written.
//~ power of two and at least 2
//~ E0080

use tickbus::Topic;

fn main() {
    let topic: Topic<u8, 1> = Topic::new();
    topic.publish(1);
}
