//! A topic with subscribers stays where it is.
//~ E0505
//~ cannot move out of `topic` because it is borrowed

use tickbus::Topic;

fn main() {
    let topic: Topic<u8, 2> = Topic::new();
    let mut subscriber = topic.subscribe();
    drop(topic);
    subscriber.read().for_each(drop);
}
