//! The options with which an engine opens a subscription, and their defaults.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::envelope::Timestamp;
use crate::subject::{PatternBuf, Subject};
use crate::subject_bus::Overrun;

/// Where a new group begins. An existing group continues where it stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// With the events published after the group was first opened.
    #[default]
    New,
    /// With the oldest event that the engine keeps.
    Earliest,
    /// With this sequence of the engine's log, or the next one that the log keeps.
    Sequence(u64),
    /// With the first event that the engine accepted at this time or later.
    Time(Timestamp),
}

/// The settings of a live subscription, for the engine that opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveOptions {
    /// The patterns. The subscription receives subjects that match any of these. Never empty.
    pub patterns: Vec<PatternBuf>,
    /// How many envelopes fit into the buffer.
    pub capacity: usize,
    /// What a full buffer does.
    pub overrun: Overrun,
    /// How long a publisher waits for room at most, with [`Overrun::Block`]. `None` means without
    /// a limit, and it is never 0.
    pub block_timeout: Option<Duration>,
    pub(in crate::hosted) sets_capacity: bool,
    pub(in crate::hosted) sets_overrun: bool,
}

impl LiveOptions {
    /// Returns whether the subscriber set the capacity. If not, the engine may have a default of
    /// its own.
    #[must_use]
    pub const fn sets_capacity(&self) -> bool {
        self.sets_capacity
    }

    /// Returns whether the subscriber set what a full buffer does. If not, the engine may have a
    /// default of its own.
    #[must_use]
    pub const fn sets_overrun(&self) -> bool {
        self.sets_overrun
    }

    /// Returns whether the subscription receives `subject`.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(subject))
    }
}

/// How the subscriptions on an engine are set up that do not say it: see
/// [`RouterBuilder::defaults`](crate::hosted::RouterBuilder::defaults).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct SubscriptionDefaults {
    /// How many envelopes fit into the buffer of a live subscription.
    pub capacity: Option<usize>,
    /// What a full queue of a handler does.
    pub overrun: Option<Overrun>,
    /// How many workers a handler has that is [pooled](super::Subscribe::pooled), or in order
    /// [by key](super::Subscribe::by_key).
    pub workers: Option<usize>,
    /// How many events may wait for the workers of a live subscription.
    pub queue: Option<usize>,
}

impl SubscriptionDefaults {
    /// Returns defaults that set nothing.
    pub const fn new() -> Self {
        Self { capacity: None, overrun: None, workers: None, queue: None }
    }

    /// Sets how many envelopes fit into the buffer of a live subscription.
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets what a full queue of a handler does.
    pub const fn overrun(mut self, overrun: Overrun) -> Self {
        self.overrun = Some(overrun);
        self
    }

    /// Sets how many workers a pooled handler has.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets how many events may wait for the workers of a live subscription.
    pub const fn queue(mut self, events: usize) -> Self {
        self.queue = Some(events);
        self
    }
}

/// The settings of a durable subscription, for the engine that opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DurableOptions {
    /// The patterns. The subscription receives subjects that match any of these. Never empty.
    pub patterns: Vec<PatternBuf>,
    /// The name of the group. Never empty.
    pub group: Box<str>,
    /// Where the group begins if it is new.
    pub start_at: StartAt,
    /// How long a delivery may stay unsettled before it comes again.
    pub lease: Duration,
    /// How many deliveries of this member may be unsettled.
    pub in_flight: usize,
    /// How often an event is delivered before it becomes a dead letter. `None` means without a
    /// limit.
    pub max_attempts: Option<u32>,
}

impl DurableOptions {
    /// Returns whether the subscription receives `subject`.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(subject))
    }
}
