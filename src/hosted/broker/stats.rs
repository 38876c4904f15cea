//! The numbers of a broker: [`BrokerStats`].

use alloc::sync::Arc;

use serde::Serialize;

/// Counts what became of the events of a broker, in both modes.
///
/// `total_published == total_processed + total_failed + abandoned + in_progress` at every quiet moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BrokerStats {
    /// The name of the program in its records.
    pub instance_id: Arc<str>,
    /// Whether the broker is started.
    pub is_running: bool,
    /// Events that were stored to be handled.
    pub total_published: u64,
    /// Events whose handlers ended well, also those without a handler.
    pub total_processed: u64,
    /// Events of which a handler failed.
    pub total_failed: u64,
    /// Events whose handlers were cancelled: by a stop that took too long, or because you dropped a
    /// synchronous publish.
    pub abandoned: u64,
    /// Processed events that had no handler.
    pub unhandled: u64,
    /// Events that are queued, or being handled.
    pub in_progress: u64,
    /// Calls of handlers that panicked.
    pub panicked: u64,
    /// Changes of a record that the store did not keep.
    pub store_errors: u64,
    /// Handlers.
    pub active_subscribers: usize,
    /// Events that wait for a worker.
    pub queue_size: usize,
    /// Workers. A synchronous broker has none.
    pub workers: usize,
}
