//! One subscriber waits for one event at a time.
//~ E0499
//~ cannot borrow `subscriber` as mutable more than once at a time

use tickbus::Topic;
use tickbus::wait::Awaited;

static TOPIC: Awaited<Topic<u8, 2>, 2> = Awaited::new(Topic::new());

fn main() {
    let mut subscriber = TOPIC.subscribe();
    let first = subscriber.next_event();
    let second = subscriber.next_event();
    drop((first, second));
}
