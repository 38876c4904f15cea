//! A subscriber borrows its topic.
//~ E0597
//~ `topic` does not live long enough

use tickbus::Topic;

fn main() {
    let mut subscriber = {
        let topic: Topic<u8, 2> = Topic::new();
        topic.subscribe()
    };
    subscriber.read().for_each(drop);
}
