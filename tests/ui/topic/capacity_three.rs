//! A capacity is a power of two.
//~ power of two
//~ E0080

use tickbus::Topic;

static TOPIC: Topic<u8, 3> = Topic::new();

fn main() {
    TOPIC.publish(1);
}
