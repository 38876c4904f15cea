//! What a tick does to a source cannot be called through the bound `Source`.
//~ E0624
//~ method `freeze` is private
//~ method `show_most` is private
//~ method `account` is private
#![forbid(unsafe_code)]

use tickbus::Source;

fn twice<S: Source<Event = String>>(events: &mut S) {
    let (mut first, mut second) = (events.freeze(), events.freeze());
    events.show_most(&mut first, usize::MAX, |_, event| println!("{event}"));
    events.show_most(&mut second, usize::MAX, |_, event| println!("{event}"));
    events.account();
}

fn main() {
    let mut bus: tickbus::Bus<String, 2> = tickbus::Bus::new();
    twice(&mut bus);
}
