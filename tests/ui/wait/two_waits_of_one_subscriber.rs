//! One subscriber waits for one event at a time.
//~ E0499
//~ cannot borrow `subscriber` as mutable more than once at a time

use tickbus::{Topic, Waiters};

static TOPIC: Topic<u8, 2, Waiters<2>> = Topic::new();

fn main() {
    let mut subscriber = TOPIC.subscribe();
    let first = subscriber.next_async();
    let second = subscriber.next_async();
    drop((first, second));
}
