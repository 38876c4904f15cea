//! A feed of events that may not leave their thread is no static.
//~ E0277
//~ `*const u8` cannot be sent between threads safely

use tickbus::Feed;

static FEED: Feed<*const u8, 2> = Feed::new();

fn main() {
    drop(FEED.subscribe());
}
