//! A capacity is a power of two, with one publisher as with many.
//~ E0277
//~ `5` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/topic/capacity_of_a_feed.rs:9:

use tickbus::Feed;

fn main() {
    let feed: Feed<u8, 5> = Feed::new();
    drop(feed.publisher());
}
