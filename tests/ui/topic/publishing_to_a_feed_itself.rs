//! Nobody publishes to a feed but its publisher.
//~ E0599
//~ no method named `publish` found for struct `Feed

use tickbus::Feed;

static FEED: Feed<u8, 2> = Feed::new();

fn main() {
    FEED.publish(1);
}
