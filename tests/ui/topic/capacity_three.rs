//! A capacity is a power of two.
//~ E0277
//~ `3` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/topic/capacity_three.rs:8:

use tickbus::Topic;

static TOPIC: Topic<u8, 3> = Topic::new();

fn main() {
    TOPIC.publish(1);
}
