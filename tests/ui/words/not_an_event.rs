//! What is no event says how to become one.
//~ is not an event

use tickbus::Event;

fn subject(event: &impl Event) -> &'static str {
    event.subject()
}

struct Tilt;

fn main() {
    subject(&Tilt);
}
