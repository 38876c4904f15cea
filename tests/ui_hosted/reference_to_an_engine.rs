//! A reference to an engine is not an engine; an `Arc` is.
//~ `&MemoryEngine` is not an engine
//~ or an `Arc` of one

use tickbus::hosted::{Counted, MemoryEngine};

fn main() {
    let engine = MemoryEngine::new();
    drop(Counted::new(&engine));
}
