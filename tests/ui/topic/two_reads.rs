//! Two reads of one subscriber at once would take each other's events.
//~ E0499
//~ cannot borrow `subscriber` as mutable more than once at a time

use tickbus::Topic;

static TOPIC: Topic<u8, 2> = Topic::new();

fn main() {
    let mut subscriber = TOPIC.subscribe();
    let first = subscriber.read();
    let second = subscriber.read();
    first.chain(second).for_each(drop);
}
