//! A subscriber that has become selective is not read past its filter.
//~ E0382
//~ borrow of moved value: `subscriber`

use tickbus::Topic;

static TOPIC: Topic<u8, 2> = Topic::new();

fn main() {
    let mut subscriber = TOPIC.subscribe();
    let odd = subscriber.filter(|event| event % 2 == 1);
    subscriber.read().for_each(drop);
    drop(odd);
}
