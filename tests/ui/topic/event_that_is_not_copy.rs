//! Every subscriber gets a copy, so an event can be copied.
//~ E0277
//~ the trait `Copy` is not implemented for `String`

use tickbus::Topic;

fn subscribe(topic: &Topic<String, 2>) {
    let _ = topic.subscribe();
}

fn main() {
    subscribe(&Topic::new());
}
