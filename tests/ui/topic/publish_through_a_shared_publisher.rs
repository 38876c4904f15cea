//! One publishes at a time: a publisher does so through `&mut` only.
//~ E0596
//~ cannot borrow `*publisher` as mutable, as it is behind a `&` reference

use tickbus::Feed;
use tickbus::topic::Publisher;

static FEED: Feed<u8, 2> = Feed::new();

fn publish(publisher: &Publisher<'_, u8>) {
    publisher.publish(1);
}

fn main() {
    publish(&FEED.publisher().unwrap());
}
