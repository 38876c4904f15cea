//! What a bus has done so far, in numbers.

use core::fmt;

use crate::ring::Counts;

/// What has happened on a bus since it was made.
///
/// At every quiet moment, when no publish and no take is under way,
/// `published == handled + dropped() + pending`. An event whose publishing has begun counts as pending;
/// while others are at work on the bus a reading is an estimate. (One that interrupts a take from a
/// [`DropOldest`](crate::DropOldest) bus may show one drop that it takes back later.) You can read them in
/// an interrupt handler. Reading takes constant time, or on a [`DropOldest`](crate::DropOldest) bus after
/// an interrupted publish a [search](crate::Bus#bounds) of at most `log2(N) + 7` steps.
///
/// The counters are as wide as a pointer and wrap: compare two readings with `wrapping_sub`. On targets
/// without 64-bit atomics, a [`DropOldest`](crate::DropOldest) bus must be drained at least once in 2^32
/// events, or their loss is not told.
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
    /// Events the bus took responsibility for: all but the refused ones.
    pub published: usize,
    /// Events taken off the bus: by a drain or by a tick, with or without a handler, well or badly.
    pub handled: usize,
    /// Handled events of which a handler failed. Part of `handled`.
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
    /// The most events that a drain, a tick or a reading of these numbers has found waiting; the
    /// capacity once an event found no room.
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

    /// Events the bus has lost, for whatever reason. What it refused is not lost.
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
