//! What events are published to is of the crate.
//~ E0277
//~ the trait bound `Mine: bus::publish::Put` is not satisfied

use tickbus::Full;

struct Mine;

impl tickbus::Publish for Mine {
    type Event = u8;

    fn publish(&mut self, event: u8) -> Result<(), Full<u8>> {
        Err(Full(event))
    }
}

fn main() {}
