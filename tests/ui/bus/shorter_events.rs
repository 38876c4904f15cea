//! What takes events that live for ever takes none that live shorter: their reader would not know.
//~ lifetime may not live long enough
//~ because of the type `Bus<
//~ because of the type `Lane<
//~ because of the type `tickbus::Publisher<
//~ because of the type `Hold<

use tickbus::{Bus, Hold, Lane, Publisher};

type Forever = &'static str;

fn bus<'s>(bus: &'s Bus<Forever, 2>) -> &'s Bus<&'s str, 2> {
    bus
}

fn lane<'s>(lane: &'s Lane<Forever, 2>) -> &'s Lane<&'s str, 2> {
    lane
}

fn publisher<'s>(publisher: Publisher<'s, Forever>) -> Publisher<'s, &'s str> {
    publisher
}

fn hold<'s>(hold: Hold<&'s Bus<Forever, 2>, 2>) -> Hold<&'s Bus<&'s str, 2>, 2> {
    hold
}

fn main() {
    let _ = (bus, lane, publisher, hold);
}
