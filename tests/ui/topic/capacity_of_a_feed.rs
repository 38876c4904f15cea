//! A capacity is a power of two, with one publisher as with many.
//~ power of two
//~ E0080

use tickbus::Feed;

fn main() {
    let feed: Feed<u8, 5> = Feed::new();
    drop(feed.publisher());
}
