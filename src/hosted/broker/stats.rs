//! The numbers of a broker: [`BrokerStats`].

use alloc::sync::Arc;

use serde::Serialize;

use super::mode::ProcessingMode;

/// Counts what became of the events of a broker, in both modes.
///
/// `total_received == total_processed + total_failed + abandoned + in_progress` at every quiet
/// moment. Without an engine, a broker receives what it publishes:
/// `total_received == total_published`.
///
/// In JSON, [`workers`](Self::workers) is `active_workers`, and each other field has its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BrokerStats {
    /// The name of the program in its records.
    pub instance_id: Arc<str>,
    /// When handlers run: `async` or `sync` in JSON.
    pub mode: ProcessingMode,
    /// Whether the broker is started.
    pub is_running: bool,
    /// Events that this broker published: they were stored to be handled.
    pub total_published: u64,
    /// Events whose handlers ended well, also those without a handler.
    pub total_processed: u64,
    /// Events of which a handler failed.
    pub total_failed: u64,
    /// Handlers.
    pub active_subscribers: usize,
    /// Events that wait for a worker. With an engine, those that it still has for the group, if it
    /// knows.
    pub queue_size: usize,
    /// Workers. A synchronous broker has none.
    #[serde(rename = "active_workers")]
    pub workers: usize,
    /// Events that this broker began to handle, or queued to do so.
    pub total_received: u64,
    /// Events whose handlers were cancelled: by a stop that took too long, because you dropped a
    /// synchronous publish, or because another broker has the event now.
    pub abandoned: u64,
    /// Events that another broker has taken over, because the lease of this one had ended. They are
    /// part of `abandoned`.
    pub fenced: u64,
    /// Events that came again after they had ended, and were not handled again.
    pub duplicates: u64,
    /// Events of the engine that are not records. They were rejected.
    pub unreadable: u64,
    /// Processed events that had no handler.
    pub unhandled: u64,
    /// Events that are queued, or being handled.
    pub in_progress: u64,
    /// Calls of handlers that panicked.
    pub panicked: u64,
    /// Changes of a record that the store did not keep, and questions that it did not answer.
    pub store_errors: u64,
}
