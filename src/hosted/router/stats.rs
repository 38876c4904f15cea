//! What went through a router: [`RouterStats`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::shared::Shared;
use crate::hosted::engine::Engine;
use crate::hosted::stats::{ALL, EngineStats, HandlerStats};
use crate::sync::Relaxed;

/// Counts what went into each engine of a router, and what came out of it to handlers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RouterStats {
    /// The numbers of each engine, in the order of the builder.
    pub engines: Vec<EngineStats>,
}

impl RouterStats {
    /// Returns the sum over all engines, with the name `_all`. Its lag is that of the engines that
    /// know theirs.
    #[must_use]
    pub fn total(&self) -> EngineStats {
        let mut total = EngineStats::new(ALL.into());
        for engine in &self.engines {
            total.published += engine.published;
            total.handlers += engine.handlers;
            total.lag = match (total.lag, engine.lag) {
                (Some(sum), Some(lag)) => Some(sum.saturating_add(lag)),
                (lag, None) | (None, lag) => lag,
            };
        }
        total
    }

    /// Returns the numbers of one engine.
    #[must_use]
    pub fn engine(&self, name: &str) -> Option<&EngineStats> {
        self.engines.iter().find(|it| *it.engine == *name)
    }
}

pub(super) fn stats(shared: &Shared) -> RouterStats {
    let handled = shared.ledger.stats();
    let of = |name: &Arc<str>| {
        let found = handled.iter().find(|(engine, _)| engine == name);
        found.map_or_else(HandlerStats::default, |(_, stats)| *stats)
    };
    let engines = shared.slots.iter().map(|slot| {
        let mut stats = EngineStats::new(slot.name.clone());
        stats.published = slot.engine.stats();
        stats.handlers = of(&slot.name);
        // A handler does not know on which engine a buffer was full.
        let missed = slot.missed.load(Relaxed) as u64;
        let HandlerStats { received, dropped, .. } = &mut stats.handlers;
        *received = received.saturating_add(missed);
        dropped.buffer_full = dropped.buffer_full.saturating_add(missed);
        stats.lag = slot.engine.lag();
        stats
    });
    RouterStats { engines: engines.collect() }
}
