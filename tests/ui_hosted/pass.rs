//! What the other programs should say.
//~ compiles

use std::sync::Arc;

use tickbus::bridge::BridgeOut;
use tickbus::hosted::{Counted, Engine, Link, LinkOptions, MemoryEngine, OpenError};

async fn receive(engine: &Counted<Arc<MemoryEngine>>) -> Result<(), OpenError> {
    let mut hits = engine.subscribe("player.*.hit")?.open().await?;
    while hits.next().await.is_some() {}
    Ok(())
}

fn main() {
    let engine = Arc::new(MemoryEngine::new());
    drop(receive(&Counted::new(engine.clone())));
    let link = Link::spawn(engine, LinkOptions::default()).unwrap();
    drop(BridgeOut::new(link.bus(), "arena-1"));
}
