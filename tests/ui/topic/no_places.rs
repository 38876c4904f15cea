//! A gate without places is a `Topic`.
//~ places for 1 to 16 gating subscribers
//~ E0080

use tickbus::GatedTopic;

fn main() {
    let topic: GatedTopic<u8, 2, 0> = GatedTopic::new();
    let _ = topic.publish(1);
}
