//! Also by a reference.
//~ `&Link` does not point to a bus of envelopes
//~ `link.bus()` of a `Link`

use tickbus::bridge::BridgeOut;
use tickbus::hosted::{Link, LinkOptions, MemoryEngine};

fn main() {
    let link = Link::spawn(MemoryEngine::new(), LinkOptions::default()).unwrap();
    drop(BridgeOut::new(&link, "arena-1"));
}
