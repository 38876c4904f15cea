//! What went through a router: [`RouterStats`].

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::shared::Shared;
use crate::hosted::engine::Engine;
use crate::hosted::stats::{ALL, EngineStats, HandlerStats};
use crate::sync::Relaxed;

/// Counts what went into each engine of a router, and what came out of it to handlers.
///
/// # Examples
///
/// Its `Display` is a table. Print the stats of one engine for all its numbers.
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::{MemoryEngine, Router};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let router = Router::builder().engine("fast", MemoryEngine::new()).build()?;
/// router.start().await?;
/// router.publish(Envelope::new("match.7.ended")?).await?;
/// assert_eq!(
///     router.stats().to_string(),
///     "\
/// engine  offered  refused  unknown  received  handled  retried  failed  returned  dropped  in flight  no handler  lag
/// fast          1        0        0         0        0        0       0         0        0          0           0    0
/// _all          1        0        0         0        0        0       0         0        0          0           0    0",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
            total.add(engine);
        }
        total
    }

    /// Returns the numbers of one engine.
    #[must_use]
    pub fn engine(&self, name: &str) -> Option<&EngineStats> {
        self.engines.iter().find(|it| *it.engine == *name)
    }
}

/// What the table shows of each engine.
const COLUMNS: [&str; 12] = [
    "offered",
    "refused",
    "unknown",
    "received",
    "handled",
    "retried",
    "failed",
    "returned",
    "dropped",
    "in flight",
    "no handler",
    "lag",
];

fn row(stats: &EngineStats) -> [String; COLUMNS.len()] {
    let EngineStats { published, handlers, lag, .. } = stats;
    let lag = lag.map_or_else(|| "-".into(), |lag| lag.to_string());
    [
        published.offered.to_string(),
        published.refused.to_string(),
        published.unknown.to_string(),
        handlers.received.to_string(),
        handlers.handled.to_string(),
        handlers.retried.to_string(),
        handlers.failed.to_string(),
        handlers.returned.to_string(),
        handlers.dropped.total().to_string(),
        handlers.in_flight.to_string(),
        stats.without_handler.to_string(),
        lag,
    ]
}

/// A table with a line for each engine, and one for all of them. `-` is what is not known.
impl fmt::Display for RouterStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let all: Vec<_> = self.engines.iter().chain([&total]).collect();
        let rows: Vec<_> = all.iter().map(|stats| row(stats)).collect();
        let names = all.iter().map(|stats| stats.engine.chars().count());
        let first = names.chain(["engine".len()]).max().unwrap_or(0);
        let widths: Vec<_> = COLUMNS
            .iter()
            .enumerate()
            .map(|(at, name)| rows.iter().map(|row| row[at].len()).fold(name.len(), usize::max))
            .collect();
        write!(f, "{:first$}", "engine")?;
        for (name, width) in COLUMNS.iter().zip(&widths) {
            write!(f, "  {name:>width$}")?;
        }
        for (stats, row) in all.iter().zip(&rows) {
            write!(f, "\n{:first$}", stats.engine)?;
            for (number, width) in row.iter().zip(&widths) {
                write!(f, "  {number:>width$}")?;
            }
        }
        Ok(())
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
        // First what is counted last.
        let received = slot.came.received.load(Relaxed) as u64;
        stats.without_handler = received.saturating_sub(stats.handlers.received);
        // A handler does not know on which engine a buffer was full.
        let missed = slot.came.missed.load(Relaxed) as u64;
        let HandlerStats { received, dropped, .. } = &mut stats.handlers;
        *received = received.saturating_add(missed);
        dropped.buffer_full = dropped.buffer_full.saturating_add(missed);
        stats.lag = slot.engine.lag();
        stats
    });
    RouterStats { engines: engines.collect() }
}
