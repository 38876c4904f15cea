//! Every subscriber gets a copy, so an event can be copied.
//~ E0277
//~ a topic cannot carry `String`: it is not `Copy`
//~ use a `Bus`, which moves its events

use tickbus::Topic;

static TOPIC: Topic<String, 2> = Topic::new();

fn main() {
    drop(TOPIC.subscribe());
}
