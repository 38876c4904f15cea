//! A second subscriber is subscribed, not cloned: it may have a place at the gate.
//~ E0599
//~ no method named `clone` found for struct `Subscriber

use tickbus::Topic;

static TOPIC: Topic<u8, 2> = Topic::new();

fn main() {
    let subscriber = TOPIC.subscribe();
    let more = subscriber.clone();
    drop((subscriber, more));
}
