//! The statistics of a bus.

use core::fmt;

use crate::ring::Counts;

/// What has happened on a bus since it was made.
///
/// `published == handled + dropped() + pending` at every quiet moment, when no publish and no take is in progress. An
/// event that is being published counts as pending. While other contexts use the bus, a reading is an estimate.
///
/// The counters are as wide as a pointer and wrap: compare two readings with `wrapping_sub`. On targets without 64-bit
/// atomics, drain a [`DropOldest`](crate::DropOldest) bus at least once in 2^32 events. Else the bus does not report
/// their loss.
///
/// # Interrupts
///
/// You can read them in an interrupt handler. It takes constant time; on a [`DropOldest`](crate::DropOldest) bus after
/// an interrupted publish, a [search](crate::Bus#bounds) of at most `log2(N) + 7` steps. A reading that interrupts a
/// [`DropOldest`](crate::DropOldest) take may count one drop too many. The next reading is right.
///
/// # Examples
///
/// ```
/// use tickbus::Bus;
///
/// static BUS: Bus<u8, 2> = Bus::new();
/// for event in 0..3 {
///     let _ = BUS.publish(event);
/// }
///
/// let stats = BUS.stats();
/// assert_eq!((stats.published, stats.refused, stats.pending, stats.high_water), (2, 1, 2, 2));
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that the bus accepted: all but the refused ones.
    pub published: usize,
    /// Events that a drain or a tick took off the bus, with or without a handler, failed or not.
    pub handled: usize,
    /// Handled events whose handler failed. Part of `handled`.
    pub failed: usize,
    /// Handled events for which a tick found neither a handler nor an `otherwise`. Part of `handled`.
    pub unhandled: usize,
    /// Events on the bus now.
    pub pending: usize,
    /// Events that came back because the bus was full ([`Reject`](crate::Reject)). Not part of
    /// `published`: their publisher has them.
    pub refused: usize,
    /// Events dropped to make room for newer ones ([`DropOldest`](crate::DropOldest)).
    pub dropped_oldest: usize,
    /// Events dropped because there was no room for them ([`DropNewest`](crate::DropNewest), and
    /// [`DropOldest`](crate::DropOldest) where no event could give way).
    pub dropped_newest: usize,
    /// The most pending events that a drain, a tick or a reading of these numbers has found. Once an event found no
    /// room, the capacity.
    pub high_water: usize,
}

impl Stats {
    pub(crate) const fn of(counts: Counts, refuses: bool) -> Self {
        let (refused, dropped_newest) =
            if refuses { (counts.turned_away, 0) } else { (0, counts.turned_away) };
        Self {
            published: counts.accepted.wrapping_add(dropped_newest),
            handled: counts.handled,
            failed: counts.failed,
            unhandled: counts.unhandled,
            pending: counts.pending,
            refused,
            dropped_oldest: counts.displaced,
            dropped_newest,
            high_water: counts.high_water,
        }
    }

    /// Returns how many events the bus has dropped, for any reason. A refused event is not dropped.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped_oldest.wrapping_add(self.dropped_newest)
    }
}

/// One line: `published 9 = handled 6 + dropped 1 + pending 2; refused 3, failed 0, unhandled 0, high water 4`.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, handled, pending, refused, failed, unhandled, high_water, .. } = self;
        let dropped = self.dropped();
        write!(
            f,
            "published {published} = handled {handled} + dropped {dropped} + pending {pending}; \
             refused {refused}, failed {failed}, unhandled {unhandled}, high water {high_water}"
        )
    }
}
