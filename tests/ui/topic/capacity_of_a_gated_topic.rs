//! A capacity is a power of two, with a gate as without.
//~ power of two
//~ E0080

use tickbus::GatedTopic;

fn main() {
    let topic: GatedTopic<u8, 6, 1> = GatedTopic::new();
    let _ = topic.publish(1);
}
