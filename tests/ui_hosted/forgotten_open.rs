//! Nothing is subscribed before `open`.
//~ nothing is subscribed before `open`

#![deny(unused_must_use)]

use tickbus::hosted::{Engine, MemoryEngine, OpenError};

fn main() -> Result<(), OpenError> {
    let engine = MemoryEngine::new();
    engine.subscribe("player.*.hit")?.group("ladder");
    Ok(())
}
