//! Overrun policies, and what observers see of a bus at work.

use alloc::sync::Arc;
use core::fmt;

use super::hooks::Outcome;
use crate::envelope::Envelope;
use crate::subject::Pattern;

/// What a subscription does with an envelope for which it has no room.
///
/// `Block` needs a publisher that can wait: a task that calls
/// [`publish_async`](super::SubjectBus::publish_async) or, under the feature `std`, a thread that
/// calls `publish` or `publish_wait`. For [`try_publish`](super::SubjectBus::try_publish), which
/// never waits, `Block` acts as `DropNewest`.
///
/// # Examples
///
/// ```
/// use tickbus::{Envelope, Overrun, SubjectBus};
///
/// let bus = SubjectBus::new();
/// let first = bus.subscribe(">")?.capacity(1).open(); // DropNewest
/// let last = bus.subscribe(">")?.capacity(1).overrun(Overrun::DropOldest).open();
/// for subject in ["lap.1", "lap.2", "lap.3"] {
///     bus.try_publish(Envelope::unstamped(subject)?)?;
/// }
///
/// assert_eq!((first.try_recv()?.subject().as_str(), first.dropped()), ("lap.1", 2));
/// assert_eq!((last.try_recv()?.subject().as_str(), last.dropped()), ("lap.3", 2));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[doc(alias("policy", "overflow", "backpressure", "when full"))]
pub enum Overrun {
    /// Drops the new envelope. The default.
    #[default]
    DropNewest,
    /// Drops the oldest pending envelope. The new one is last.
    DropOldest,
    /// Lets the publisher wait for room. A thread that publishes and also receives here would wait
    /// for itself: see [`SubjectBus`](super::SubjectBus), "Deadlocks".
    Block,
}

impl Overrun {
    /// Returns `drop_newest`, `drop_oldest` or `block`: the name in metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::DropNewest => "drop_newest",
            Self::DropOldest => "drop_oldest",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Names the reason why a subscription lost an envelope that it matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The buffer had no room for the envelope, or a newer envelope displaced it.
    BufferFull,
    /// The subscription had ended, or ended while the publisher waited for room.
    Closed,
    /// The subscription takes [every nth](super::Subscribe::every_nth) envelope, and skipped this
    /// one.
    Sampled,
}

impl DropReason {
    /// Returns `buffer_full`, `closed` or `sampled`: the name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Closed => "closed",
            Self::Sampled => "sampled",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// The subscription about which the bus calls an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recipient<'a> {
    /// The number of the subscription, unique on its bus.
    pub id: u64,
    /// Its [name](super::Subscribe::name). May be empty.
    pub name: &'a str,
    /// The pattern of the subscription. If it has several, it is the first.
    pub pattern: Pattern<'a>,
    /// What the subscription does when it is full.
    pub overrun: Overrun,
}

/// Sees what a bus does, for logs, metrics and traces. It changes nothing.
///
/// The bus calls it on the publisher's thread, outside of all locks. It may use the bus. It sees
/// the envelopes that a bus [holds](super::SubjectBus::start) only in the replay.
///
/// # Order
///
/// For each publish, the bus calls `on_publish` first. Then it calls `on_deliver` or `on_drop` once
/// for each subscription that matches, in the order in which they were opened. It calls neither for
/// a subscription whose handle was dropped before its turn. For a group of
/// [`publish_all`](super::SubjectBus::publish_all), these calls come after the whole group is
/// enqueued.
///
/// Under [`DropOldest`](Overrun::DropOldest), a newer envelope may displace one that was enqueued
/// before. Then the publish of the newer one calls `on_drop` for the older one.
///
/// # Closing
///
/// After `close` the bus calls no observer. For a `publish_async` that is pending at that moment,
/// the result of its future and the numbers of the bus say what became of the envelope.
///
/// # Panics
///
/// Under the feature `std`, a panic in an observer continues in the publisher. Before that, every
/// subscription that matches has the envelope or has counted it as lost, and the bus has called the
/// other observers.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::{DropReason, Observer, Recipient};
///
/// #[derive(Default)]
/// struct Losses(Mutex<Vec<String>>);
///
/// impl Observer for Losses {
///     fn on_drop(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>, reason: DropReason) {
///         let loss = format!("{} {} {reason}", recipient.pattern, envelope.subject());
///         self.0.lock().unwrap().push(loss);
///     }
/// }
///
/// let losses = Arc::new(Losses::default());
/// let bus = SubjectBus::builder().observer(losses.clone()).build();
/// let _laps = bus.subscribe("lap.*")?.capacity(1).open();
/// bus.try_publish(Envelope::unstamped("lap.1")?)?;
/// bus.try_publish(Envelope::unstamped("lap.2")?)?;
///
/// assert_eq!(*losses.0.lock().unwrap(), ["lap.* lap.2 buffer_full"]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[doc(alias("hook", "middleware", "metrics"))]
pub trait Observer: Send + Sync {
    /// Sees an envelope that is published, before any subscription has it.
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        let _ = envelope;
    }

    /// Sees that the envelope was enqueued: the recipient has it in its buffer.
    fn on_deliver(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>) {
        let _ = (envelope, recipient);
    }

    /// Sees that a subscription was opened late: the bus had already replayed `missed` envelopes,
    /// which may have been for it. See
    /// [`Subscription::missed_replay`](super::Subscription::missed_replay).
    fn on_late(&self, recipient: Recipient<'_>, missed: u64) {
        let _ = (recipient, missed);
    }

    /// Sees the outcome of a handler for the envelope, in a tick of a table that you gave this
    /// observer: see [`SubjectHandlers::observer`](super::SubjectHandlers::observer).
    fn on_handled(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>, outcome: &Outcome) {
        let _ = (envelope, recipient, outcome);
    }

    /// Sees that the recipient lost the envelope, and why.
    fn on_drop(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>, reason: DropReason) {
        let _ = (envelope, recipient, reason);
    }
}
