//! What became of what handlers received: [`HandlerStats`], [`EngineStats`].

use alloc::sync::Arc;
use core::fmt;
use core::ops::AddAssign;

use super::counts::PublishStats;

/// Counts what became of the deliveries of a handler.
///
/// At every quiet moment
/// `received == handled + retried + failed + returned + dropped.total() + in_flight`.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::HandlerStats;
///
/// let mut stats = HandlerStats::default();
/// (stats.received, stats.handled, stats.failed, stats.calls) = (9, 6, 1, 8);
/// stats.dropped.queue_full = 2;
/// assert_eq!(
///     stats.to_string(),
///     "received 9 = handled 6 + retried 0 + failed 1 + returned 0 + dropped 2 (queue_full 2) + in flight 0; \
///      dead-lettered 0, calls 8, panicked 0, timed out 0, overrunning 0",
/// );
/// ```
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
        self.handled.saturating_add(self.retried).saturating_add(self.failed)
    }

    /// Returns whether the numbers add up, as they do at every quiet moment.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        let out = self.delivered().saturating_add(self.returned);
        self.received == out.saturating_add(self.dropped.total()).saturating_add(self.in_flight)
    }
}

/// One line, as the example shows.
impl fmt::Display for HandlerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, handled, retried, failed, returned, dropped, in_flight, .. } = self;
        let Self { dead_lettered, calls, panicked, timed_out, overrunning, .. } = self;
        write!(
            f,
            "received {received} = handled {handled} + retried {retried} + failed {failed} \
             + returned {returned} + dropped {dropped} + in flight {in_flight}; \
             dead-lettered {dead_lettered}, calls {calls}, panicked {panicked}, \
             timed out {timed_out}, overrunning {overrunning}"
        )
    }
}

impl AddAssign for HandlerStats {
    fn add_assign(&mut self, other: Self) {
        self.received = self.received.saturating_add(other.received);
        self.handled = self.handled.saturating_add(other.handled);
        self.retried = self.retried.saturating_add(other.retried);
        self.failed = self.failed.saturating_add(other.failed);
        self.dead_lettered = self.dead_lettered.saturating_add(other.dead_lettered);
        self.returned = self.returned.saturating_add(other.returned);
        self.dropped += other.dropped;
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.calls = self.calls.saturating_add(other.calls);
        self.panicked = self.panicked.saturating_add(other.panicked);
        self.timed_out = self.timed_out.saturating_add(other.timed_out);
        self.overrunning = self.overrunning.saturating_add(other.overrunning);
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
        let sum = buffer_full.saturating_add(queue_full).saturating_add(expired);
        sum.saturating_add(discarded).saturating_add(unsubscribed).saturating_add(abandoned)
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

/// The sum, and the reasons that occurred: `3 (queue_full 2, expired 1)`.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total())?;
        let mut before = " (";
        for (reason, dropped) in self.by_reason().iter().filter(|(_, dropped)| *dropped > 0) {
            write!(f, "{before}{reason} {dropped}")?;
            before = ", ";
        }
        f.write_str(if before == ", " { ")" } else { "" })
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.buffer_full = self.buffer_full.saturating_add(other.buffer_full);
        self.queue_full = self.queue_full.saturating_add(other.queue_full);
        self.expired = self.expired.saturating_add(other.expired);
        self.discarded = self.discarded.saturating_add(other.discarded);
        self.unsubscribed = self.unsubscribed.saturating_add(other.unsubscribed);
        self.abandoned = self.abandoned.saturating_add(other.abandoned);
    }
}

/// The name under which the numbers of all engines together are exported.
///
/// If an engine has this name, its numbers count as such a sum: exporters leave them out.
#[cfg_attr(
    tickbus_loom,
    expect(unreachable_pub, reason = "the exporters have it, and are not there")
)]
pub const ALL: &str = "_all";

/// Counts what went into an engine, and what came out of it to handlers.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::EngineStats;
///
/// let mut stats = EngineStats::new("fleet".into());
/// (stats.published.offered, stats.published.stored, stats.lag) = (3, 3, Some(3));
/// println!("{stats}");
/// let lines: Vec<_> = stats.to_string().lines().map(str::to_owned).collect();
/// assert_eq!(lines[0], "fleet: lag 3, without a handler 0");
/// assert!(lines[1].starts_with("  offered 3 = buffered 0 + accepted 0 + stored 3 + "));
/// assert!(lines[2].starts_with("  received 0 = handled 0 + "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// What was published.
    pub published: PublishStats,
    /// What became of what came out to handlers, over all their subscriptions, ended ones included.
    pub handlers: HandlerStats,
    /// Deliveries that came out to subscriptions without a handler. What became of these is in the
    /// [`stats`](super::Deliveries::stats) of each.
    pub without_handler: u64,
    /// How many events the subscriptions have still to receive, if the engine knows.
    pub lag: Option<u64>,
}

impl EngineStats {
    /// Returns the numbers of an engine that has carried nothing.
    #[must_use]
    pub fn new(engine: Arc<str>) -> Self {
        let (published, handlers) = (PublishStats::default(), HandlerStats::default());
        Self { engine, published, handlers, without_handler: 0, lag: None }
    }

    /// Adds the numbers of another engine. The lag is that of the engines that know theirs.
    pub(super) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.handlers += other.handlers;
        self.without_handler = self.without_handler.saturating_add(other.without_handler);
        self.lag = match (self.lag, other.lag) {
            (Some(sum), Some(lag)) => Some(sum.saturating_add(lag)),
            (lag, None) | (None, lag) => lag,
        };
    }
}

/// Three lines: the name and the lag, what was published, and what became of what came out.
impl fmt::Display for EngineStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, published, handlers, without_handler, lag } = self;
        match lag {
            Some(lag) => write!(f, "{engine}: lag {lag}")?,
            None => write!(f, "{engine}: lag unknown")?,
        }
        write!(f, ", without a handler {without_handler}\n  {published}\n  {handlers}")
    }
}
