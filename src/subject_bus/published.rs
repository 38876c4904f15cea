//! What a publish returns.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use crate::envelope::Envelope;

/// How many subscriptions got a published envelope, and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Subscriptions that have the envelope in their buffer.
    pub enqueued: usize,
    /// Subscriptions that had no room for the envelope.
    pub dropped: usize,
    /// Subscriptions that matched, and ended before they had the envelope.
    pub closed: usize,
    /// Subscriptions that take every nth envelope, and skipped this one.
    pub sampled: usize,
    /// Whether the bus holds the envelope, because it is not [started](super::SubjectBus::start).
    /// The numbers are 0 then.
    pub held: bool,
}

/// What happens under one lock, without observers, filters and samples: less to copy.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) enqueued: usize,
    pub(super) dropped: usize,
    pub(super) closed: usize,
}

impl Published {
    pub(super) const HELD: Self =
        Self { enqueued: 0, dropped: 0, closed: 0, sampled: 0, held: true };

    pub(super) const fn add(&mut self, counts: Counts) {
        self.enqueued += counts.enqueued;
        self.dropped += counts.dropped;
        self.closed += counts.closed;
    }
}

impl From<Counts> for Published {
    #[inline]
    fn from(counts: Counts) -> Self {
        let Counts { enqueued, dropped, closed } = counts;
        Self { enqueued, dropped, closed, sampled: 0, held: false }
    }
}

/// An envelope was not published, or not to every subscription that matched.
///
/// Each variant gives the envelope back. Subscriptions that had room have it nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The bus is closed, or was closed while this publish waited for room.
    Closed(Arc<Envelope>),
    /// The deadline passed before every subscription had room.
    TimedOut(Arc<Envelope>),
    /// The wait was cancelled before every subscription had room.
    Cancelled(Arc<Envelope>),
    /// The bus is not [started](super::SubjectBus::start), and its hold is full.
    HoldFull(Arc<Envelope>),
}

impl PublishError {
    /// Returns the envelope.
    #[must_use]
    pub fn into_envelope(self) -> Arc<Envelope> {
        match self {
            Self::Closed(envelope)
            | Self::TimedOut(envelope)
            | Self::Cancelled(envelope)
            | Self::HoldFull(envelope) => envelope,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (envelope, what) = match self {
            Self::Closed(envelope) => (envelope, "the bus is closed"),
            Self::TimedOut(envelope) => (envelope, "a subscription had no room in time"),
            Self::Cancelled(envelope) => (envelope, "cancelled before every subscription had room"),
            Self::HoldFull(envelope) => (
                envelope,
                "the bus is not started, and its hold is full: start it, or make it larger",
            ),
        };
        write!(f, "`{}`: {what}", envelope.subject())
    }
}

impl Error for PublishError {}
