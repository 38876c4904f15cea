//! The numbers of a bus and of its subscriptions.

/// Counts what happened at one subscription.
///
/// At every quiet moment `enqueued == received + dropped_oldest + abandoned + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Envelopes that were put into the buffer.
    pub enqueued: u64,
    /// Envelopes that were received.
    pub received: u64,
    /// Envelopes that were not put into the buffer because it was full.
    pub dropped_newest: u64,
    /// Envelopes that were taken from the buffer to make room for newer ones.
    pub dropped_oldest: u64,
    /// Envelopes that it did not take because it takes [every nth](super::Subscribe::every_nth).
    /// They are not part of [`dropped`](Self::dropped).
    pub sampled: u64,
    /// Envelopes that were in the buffer when the handle was dropped.
    pub abandoned: u64,
    /// Envelopes in the buffer now.
    pub pending: u64,
    /// Publishers that wait for room now. Their envelopes are not counted yet.
    pub waiting: u64,
    /// The most envelopes that were ever in the buffer.
    pub high_water: u64,
}

impl SubscriptionStats {
    /// Returns how many envelopes were lost for want of room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped_newest + self.dropped_oldest
    }

    /// Adds the numbers of another subscription.
    pub(super) fn add(&mut self, other: &Self) {
        self.enqueued += other.enqueued;
        self.received += other.received;
        self.dropped_newest += other.dropped_newest;
        self.dropped_oldest += other.dropped_oldest;
        self.sampled += other.sampled;
        self.abandoned += other.abandoned;
        self.pending += other.pending;
        self.waiting += other.waiting;
        self.high_water = self.high_water.max(other.high_water);
    }
}

/// Counts what happened on a subject bus since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubjectBusStats {
    /// Publishes that found the bus open, with or without a subscription that matches. Wraps.
    ///
    /// An envelope that none of the next three numbers counts went to the subscriptions.
    pub published: u64,
    /// Envelopes that the bus holds until its [start](super::SubjectBus::start).
    pub held: u64,
    /// Envelopes that were lost because the bus was not started and its hold was full.
    pub held_dropped: u64,
    /// Envelopes that were lost because the bus was closed before it was started.
    pub held_abandoned: u64,
    /// Envelopes that matched a subscription, and came after its end.
    pub closed: u64,
    /// Subscriptions whose handle is alive.
    pub subscriptions: u64,
    /// The sums over all subscriptions, ended ones included. The high-water mark is the highest of
    /// all.
    pub totals: SubscriptionStats,
}
