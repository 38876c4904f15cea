//! Who puts nothing off needs no place for it.
//~ E0080
//~ there must be room to put off at least one event

use tickbus::defer::Deferred;

static DEFERRED: Deferred<u8, 0> = Deferred::new();

fn main() {
    let _ = DEFERRED.len();
}
