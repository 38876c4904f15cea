//! What a relay counts: [`RelayStats`].

use serde::Serialize;

use crate::sync::{PlainNumber, Relaxed};

/// Counts what a relay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayStats {
    /// Events that the engine has, at the level that you require. One whose row was not removed is
    /// published and counted again.
    pub published: u64,
    /// Attempts that failed, and are made again.
    pub failed: u64,
    /// Events that the engine can never take.
    pub refused: u64,
    /// How often it connected to Postgres.
    pub connects: u64,
    /// Whether this relay publishes. If it does not, another one does, or the connection is lost.
    pub publishes: bool,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) published: PlainNumber,
    pub(super) failed: PlainNumber,
    pub(super) refused: PlainNumber,
    pub(super) connects: PlainNumber,
}

pub(super) fn add(number: &PlainNumber) {
    number.fetch_add(1, Relaxed);
}

impl Counts {
    pub(super) fn stats(&self, publishes: bool) -> RelayStats {
        let read = |number: &PlainNumber| number.load(Relaxed) as u64;
        RelayStats {
            published: read(&self.published),
            failed: read(&self.failed),
            refused: read(&self.refused),
            connects: read(&self.connects),
            publishes,
        }
    }
}
