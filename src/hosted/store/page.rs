//! What a store returns of its records: [`Page`], [`StoreStats`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;

use super::filter::Cursor;
use super::record::EventRecord;

/// Records that a filter selected, in the order in which they were stored.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The records.
    pub records: Vec<Arc<EventRecord>>,
    /// Where the next page begins. `None` if this is the last one.
    pub next: Option<Cursor>,
    /// How many records the filter selects, on all pages.
    pub total: u64,
}

impl Page {
    /// Returns a page. A store of your own makes it.
    #[must_use]
    pub const fn new(records: Vec<Arc<EventRecord>>, next: Option<Cursor>, total: u64) -> Self {
        Self { records, next, total }
    }
}

/// Counts the records of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// Records in the store.
    pub total_events: u64,
    /// Records whose handlers have not begun.
    pub pending_events: u64,
    /// Records whose handlers run.
    pub processing_events: u64,
    /// Records whose handlers ended well.
    pub completed_events: u64,
    /// Records of which a handler failed.
    pub failed_events: u64,
    /// Records that were removed because newer ones needed the room.
    pub evicted_events: u64,
    /// Streams that have not ended.
    pub active_streams: u64,
}
