//! There is one publisher, so there is no second by cloning it.
//~ E0599
//~ no method named `clone` found for struct `tickbus::topic::Publisher

use tickbus::Feed;

static FEED: Feed<u8, 2> = Feed::new();

fn main() {
    let publisher = FEED.publisher().unwrap();
    let more = publisher.clone();
    drop((publisher, more));
}
