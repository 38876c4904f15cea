//! What you ask the history of a memory engine: [`HistoryQuery`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::shared::Shared;
use crate::envelope::{Envelope, Timestamp};
use crate::subject::PatternBuf;

/// Reads the history of a [`MemoryEngine`](super::MemoryEngine): see
/// [`MemoryEngine::history`](super::MemoryEngine::history).
#[must_use = "nothing is read before `last` or `all`"]
pub struct HistoryQuery<'e> {
    shared: &'e Shared,
    pattern: PatternBuf,
    since: Option<Timestamp>,
}

impl<'e> HistoryQuery<'e> {
    pub(super) const fn new(shared: &'e Shared, pattern: PatternBuf) -> Self {
        Self { shared, pattern, since: None }
    }

    /// Reads only envelopes that the engine accepted at this time or later.
    pub const fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Returns the last envelopes, at most `most`, the oldest first.
    #[must_use]
    pub fn last(&self, most: usize) -> Vec<Arc<Envelope>> {
        self.shared.history(self.pattern.as_pattern(), self.since, most)
    }

    /// Returns all envelopes, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Envelope>> {
        self.last(usize::MAX)
    }
}

impl fmt::Debug for HistoryQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryQuery")
            .field("pattern", &self.pattern)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
