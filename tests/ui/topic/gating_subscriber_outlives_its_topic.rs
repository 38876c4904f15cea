//! A subscriber that gates borrows its topic, and the place at its gate.
//~ E0597
//~ `topic` does not live long enough

use tickbus::GatedTopic;

fn main() {
    let mut subscriber = {
        let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
        topic.subscribe().unwrap()
    };
    subscriber.read().for_each(drop);
}
