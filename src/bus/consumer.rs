//! The reading end of a bus.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;

use super::drain::{Drain, Source, Take, account};
use super::overrun::{Queue, Reject, Taken};
use super::stats::Stats;
use crate::error::Claimed;
use crate::ring::kept::Kept;
use crate::ring::{Side, Span, Tally};
use crate::wait::{NoWaiters, Stand, Waits};

/// The one reading end of a [`Bus`](crate::Bus), or of a [`Lane`](crate::Lane) with the policy
/// [`Single`](crate::Single).
///
/// [`Bus::consumer`](crate::Bus::consumer) claims it, and dropping it gives it back. Events that were not taken stay on
/// the bus.
///
/// With [`Waiters`](crate::Waiters), taking an event wakes the publishers that wait for room, and the consumer can wait
/// for events: see [`next_async`](Self::next_async).
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
pub struct Consumer<'a, E, P: Queue = Reject, W: Waits = NoWaiters> {
    pub(super) side: Side<'a, <P as Taken>::Reader<E>>,
    pub(super) stand: Stand<'a, W>,
    /// The event that was taken when a waker panicked.
    pub(super) kept: Kept<E, W>,
}

impl<'a, E, P: Queue, W: Waits> Consumer<'a, E, P, W> {
    pub(super) fn new(
        side: Option<Side<'a, <P as Taken>::Reader<E>>>,
        waiters: &'a W,
    ) -> Result<Self, Claimed> {
        let side = side.ok_or(Claimed::CONSUMER)?;
        Ok(Self { side, stand: Stand::beside(waiters), kept: Kept::nothing() })
    }

    /// Takes the events that are pending at this moment, oldest first.
    ///
    /// An event that is published later waits for the next drain, also one that your loop publishes. Dropping the drain
    /// early leaves the rest on the bus, unlike the drains of the standard library.
    ///
    /// It takes constant time; on hosts, a step for each new event, up to 64. After an interrupted publish it takes a
    /// [search](crate::Bus#bounds) of at most `log2(N) + 64` steps. Each event takes constant time.
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

    /// Wakes the publishers that wait for room, although there is none.
    #[cfg(all(feature = "bevy", not(tickbus_loom)))]
    pub(crate) fn wake(&self) {
        self.stand.waiters().wake();
    }

    /// Returns how many events are pending, those being published included. A drain does not find those yet: see
    /// [`Bus::is_empty`](crate::Bus::is_empty).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.side.pending() + usize::from(self.kept.is_left())
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.side.counts(), P::REFUSES)
    }
}

impl<E, P: Queue, W: Waits> fmt::Debug for Consumer<'_, E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<E, P: Queue, W: Waits> Source for Consumer<'_, E, P, W> {
    type Event = E;

    fn pending(&self) -> usize {
        self.pending()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

impl<E, P: Queue, W: Waits> Take for Consumer<'_, E, P, W> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.kept.withhold(false);
        self.side.freeze()
    }

    #[inline]
    fn shorten(&mut self, span: &mut Span, most: usize) {
        if most == 0 {
            self.kept.withhold(true);
        }
        self.side.shorten(span, most.saturating_sub(usize::from(self.kept.is_left())));
    }

    #[inline]
    fn take(&mut self, span: &mut Span) -> Option<E> {
        let Self { side, stand, kept } = self;
        if let Some(event) = kept.take_left() {
            return Some(event);
        }
        let event = side.take(span)?;
        Some(stand.waiters().wake_keeping(event, kept, || true))
    }

    #[inline]
    fn take_all(&mut self, span: &mut Span, mut each: impl FnMut(E)) {
        if let Some(event) = self.kept.take_left() {
            each(event);
        }
        let waiters = self.stand.waiters();
        self.side.take_most(span, usize::MAX, |event| waiters.wake_then(|| true, || each(event)));
    }

    #[inline]
    fn show_most<L>(
        &mut self,
        span: &mut Span,
        mut most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        let Self { side, stand, kept } = self;
        let mut count = 0;
        if most > 0
            && let Some(event) = kept.take_left()
        {
            most -= 1;
            count += 1;
            each(side.tally(), look(&event), &event);
        }
        let waiters = stand.waiters();
        let shown = side.show_most(span, most, look, |tally, found, event| {
            waiters.wake_then(|| true, || each(tally, found, event));
        });
        count + shown
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        let Self { side, stand, kept } = self;
        if kept.is_left() {
            into.reserve(1);
        }
        let before = into.len();
        into.extend(kept.take_left());
        let count = into.len() - before;
        let moved = side.append(span, into);
        if moved > 0 {
            stand.waiters().wake_for_room();
        }
        count + moved
    }

    #[cfg(all(feature = "parallel", not(tickbus_loom)))]
    fn tally(&self) -> &Tally {
        self.side.tally()
    }

    #[inline]
    fn account(&mut self, span: &Span) -> (usize, usize, usize) {
        account(self.side.account(span), P::REFUSES)
    }
}
