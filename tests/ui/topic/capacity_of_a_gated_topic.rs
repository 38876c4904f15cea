//! A capacity is a power of two, with a gate as without.
//~ E0277
//~ `6` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/topic/capacity_of_a_gated_topic.rs:9:

use tickbus::GatedTopic;

fn main() {
    let topic: GatedTopic<u8, 6, 1> = GatedTopic::new();
    let _ = topic.publish(1);
}
