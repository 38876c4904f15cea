//! What became of what handlers received: [`HandlerStats`], [`EngineStats`].

use alloc::sync::Arc;
use core::ops::AddAssign;

use super::counts::PublishStats;

/// Counts what became of the deliveries of a handler.
///
/// At every quiet moment
/// `received == handled + retried + failed + returned + dropped.total() + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct HandlerStats {
    /// Deliveries that the workers took from the subscription.
    pub received: u64,
    /// Deliveries whose handler returned `Ok`.
    pub handled: u64,
    /// Deliveries that the workers gave back to the engine after a failure, to come again. Those that
    /// waited here for another try are in `calls`.
    pub retried: u64,
    /// Deliveries whose last attempt failed.
    pub failed: u64,
    /// Failed deliveries that became a dead letter. They are part of `failed`.
    pub dead_lettered: u64,
    /// Deliveries that the workers gave back before a handler had finished them, to come again:
    /// the subscription ended, or their lease did.
    pub returned: u64,
    /// Deliveries that no handler finished, by reason.
    pub dropped: Dropped,
    /// Deliveries that wait for a worker, or that one works on.
    pub in_flight: u64,
    /// Calls of the handler, further attempts included.
    pub calls: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that took longer than the timeout.
    pub timed_out: u64,
    /// Blocking handlers that still run although their time is over.
    pub overrunning: u64,
}

impl HandlerStats {
    /// Returns how many deliveries were handled, failed or given back after a failure.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.handled + self.retried + self.failed
    }

    /// Returns whether the numbers add up, as they do at every quiet moment.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        self.received == self.delivered() + self.returned + self.dropped.total() + self.in_flight
    }
}

impl AddAssign for HandlerStats {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.handled += other.handled;
        self.retried += other.retried;
        self.failed += other.failed;
        self.dead_lettered += other.dead_lettered;
        self.returned += other.returned;
        self.dropped += other.dropped;
        self.in_flight += other.in_flight;
        self.calls += other.calls;
        self.panicked += other.panicked;
        self.timed_out += other.timed_out;
        self.overrunning += other.overrunning;
    }
}

/// Counts the deliveries that no handler finished, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// The buffer of the subscription had no room.
    pub buffer_full: u64,
    /// The queue of the workers had no room.
    pub queue_full: u64,
    /// The event was too old when its turn came.
    pub expired: u64,
    /// The classification of an error said that the event is not worth a dead letter.
    pub discarded: u64,
    /// The subscription ended before a worker took it.
    pub unsubscribed: u64,
    /// The deadline of a shutdown came first.
    pub abandoned: u64,
}

impl Dropped {
    /// Returns the sum over all reasons.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { buffer_full, queue_full, expired, discarded, unsubscribed, abandoned } = *self;
        buffer_full + queue_full + expired + discarded + unsubscribed + abandoned
    }

    /// Returns each reason by its name in metrics, with its number.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 6] {
        [
            ("buffer_full", self.buffer_full),
            ("queue_full", self.queue_full),
            ("expired", self.expired),
            ("discarded", self.discarded),
            ("unsubscribed", self.unsubscribed),
            ("abandoned", self.abandoned),
        ]
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.buffer_full += other.buffer_full;
        self.queue_full += other.queue_full;
        self.expired += other.expired;
        self.discarded += other.discarded;
        self.unsubscribed += other.unsubscribed;
        self.abandoned += other.abandoned;
    }
}

/// The name under which the numbers of all engines together are exported.
///
/// If an engine has this name, its numbers count as such a sum: exporters leave them out.
pub const ALL: &str = "_all";

/// Counts what went into an engine, and what came out of it to handlers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// What was published.
    pub published: PublishStats,
    /// What became of what came out, over all subscriptions, ended ones included.
    pub handlers: HandlerStats,
    /// How many events the subscriptions have still to receive, if the engine knows.
    pub lag: Option<u64>,
}

impl EngineStats {
    /// Returns the numbers of an engine that has carried nothing.
    #[must_use]
    pub fn new(engine: Arc<str>) -> Self {
        let (published, handlers) = (PublishStats::default(), HandlerStats::default());
        Self { engine, published, handlers, lag: None }
    }
}
