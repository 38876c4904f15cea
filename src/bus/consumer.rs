//! The reading end of a bus.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;

use super::drain::{Drain, Source, Take, account};
use super::overrun::{Queue, Reject, Taken};
use super::stats::Stats;
use crate::error::Claimed;
use crate::ring::{Side, Span, Tally};

/// The one reading end of a [`Bus`], or of a [`Lane`](crate::Lane) with the policy
/// [`Single`](crate::Single).
///
/// Claimed by [`Bus::consumer`](crate::Bus::consumer), given back when it is dropped. What nobody has
/// taken stays on the bus.
///
/// # Examples
///
/// ```
/// use tickbus::Bus;
///
/// static BUS: Bus<u8, 8> = Bus::new();
/// let mut events = BUS.consumer().expect("main is the only consumer");
///
/// BUS.publish(1).unwrap();
/// for event in events.drain() {
///     BUS.publish(event + 1).unwrap(); // waits for the next drain
/// }
/// assert_eq!(events.pending(), 1);
/// ```
#[must_use = "a consumer that is dropped is given back"]
pub struct Consumer<'a, E, P: Queue = Reject> {
    side: Side<'a, <P as Taken>::Reader<E>>,
}

impl<'a, E, P: Queue> Consumer<'a, E, P> {
    pub(super) fn new(side: Option<Side<'a, <P as Taken>::Reader<E>>>) -> Result<Self, Claimed> {
        Ok(Self { side: side.ok_or(Claimed::CONSUMER)? })
    }

    /// Takes the events that are queued at this moment, oldest first.
    ///
    /// What is published from here on, also by the code between two events, waits for the next drain.
    /// Unlike the drains of the standard library, dropping this one early leaves the rest where it
    /// is. Takes constant time, or after an interrupted publish a [search](crate::Bus#bounds) of at most
    /// `log2(N) + 64` steps. Each event takes constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Bus;
    ///
    /// static BUS: Bus<u8, 4> = Bus::new();
    /// let mut events = BUS.consumer().unwrap();
    /// BUS.publish_batch(&[1, 2, 3]).unwrap();
    ///
    /// assert!(events.drain().take(2).eq([1, 2]));
    /// assert_eq!(events.pending(), 1);
    /// assert!(events.drain().eq([3]));
    /// assert_eq!(events.drain().next(), None);
    /// ```
    #[inline]
    pub fn drain(&mut self) -> Drain<'_, Self> {
        Drain::new(self)
    }

    /// Whether a drain would find an event. Unlike [`pending`](Self::pending), it does not count those
    /// that are still being published.
    #[inline]
    pub(crate) fn has_event(&mut self) -> bool {
        self.side.has_event()
    }

    /// Where a tick counts what became of an event that was taken before.
    #[inline(always)]
    pub(crate) fn tally(&self) -> &Tally {
        self.side.tally()
    }

    /// How many events wait, with those that are being published at this moment, which a drain does not
    /// find yet: see [`Bus::is_empty`](crate::Bus::is_empty).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.side.pending()
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.side.counts(), P::REFUSES)
    }
}

impl<E, P: Queue> fmt::Debug for Consumer<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<E, P: Queue> Source for Consumer<'_, E, P> {
    type Event = E;

    fn pending(&self) -> usize {
        self.pending()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

impl<E, P: Queue> Take for Consumer<'_, E, P> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.side.freeze()
    }

    #[inline]
    fn shorten(&mut self, span: &mut Span, most: usize) {
        self.side.shorten(span, most);
    }

    #[inline]
    fn take(&mut self, span: &mut Span) -> Option<E> {
        self.side.take(span)
    }

    #[inline]
    fn take_all(&mut self, span: &mut Span, each: impl FnMut(E)) {
        self.side.take_most(span, usize::MAX, each);
    }

    #[inline]
    fn show_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(&Tally, &E)) -> usize {
        self.side.show_most(span, most, each)
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        self.side.append(span, into)
    }

    #[inline]
    fn account(&mut self) -> (usize, usize, usize) {
        account(self.side.account(), P::REFUSES)
    }
}
