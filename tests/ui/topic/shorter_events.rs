//! What takes events that live for ever takes none that live shorter: their reader would not know.
//~ lifetime may not live long enough
//~ Topic<&str, 2>
//~ GatedTopic<&str, 2, 1>
//~ Publisher<'_, &str>
//~ Latest<&str>

use tickbus::topic::Publisher;
use tickbus::{GatedTopic, Latest, Topic};

type Forever = &'static str;

fn topic<'s>(topic: &'s Topic<Forever, 2>) -> &'s Topic<&'s str, 2> {
    topic
}

fn gated<'s>(gated: &'s GatedTopic<Forever, 2, 1>) -> &'s GatedTopic<&'s str, 2, 1> {
    gated
}

fn publisher<'s>(publisher: Publisher<'s, Forever>) -> Publisher<'s, &'s str> {
    publisher
}

fn latest<'s>(latest: &'s Latest<Forever>) -> &'s Latest<&'s str> {
    latest
}

fn main() {
    let _ = (topic, gated, publisher, latest);
}
