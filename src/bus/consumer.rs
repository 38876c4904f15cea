//! The reading end of a bus.

use core::fmt;

use super::drain::Drain;
#[cfg(not(tickbus_loom))]
use super::overrun::Policy;
use super::overrun::{Queue, Reject, Taken};
use super::stats::Stats;
#[cfg(not(tickbus_loom))]
use crate::bus::Bus;
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
    pub(super) side: Side<'a, <P as Taken>::Reader<E>>,
}

impl<'a, E, P: Queue> Consumer<'a, E, P> {
    pub(super) fn new(side: Option<Side<'a, <P as Taken>::Reader<E>>>) -> Result<Self, Claimed> {
        Ok(Self { side: side.ok_or(Claimed::CONSUMER)? })
    }

    /// Takes the events that are queued at this moment, oldest first.
    ///
    /// What is published from here on, also by the code between two events, waits for the next drain.
    /// Unlike the drains of the standard library, dropping this one early leaves the rest where it
    /// is. Takes constant time, and on hosts a step for each new event, 64 at most. After an interrupted publish
    /// it takes a [search](crate::Bus#bounds) of at most `log2(N) + 64` steps. Each event takes constant time.
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
    pub fn drain(&mut self) -> Drain<'_, 'a, E, P> {
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

/// Where a tick takes events from: a [`Consumer`], or a [`Bus`] that you hold by `&mut`.
///
/// Write `impl Source<Event = Input>` for a function that takes either. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a tick cannot take events from `{Self}`",
    note = "a tick takes a `Consumer`, as `BUS.consumer()` gives it, or an exclusive `Bus`"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Take`")]
pub trait Source: Take<Item = <Self as Source>::Event> {
    /// The type of the events.
    type Event;
}

/// What a tick does to a source. `pub(crate)`, so a type parameter with the bound `Source` does not have
/// these methods outside of this crate, where a span could meet a ring that did not make it.
pub(crate) trait Take {
    /// What is taken.
    type Item;

    /// Fixes what a pass may take: the events of this moment.
    fn freeze(&mut self) -> Span;

    /// Takes at most `most` of them and shows each to `each`. Returns how many it took. `span` comes from
    /// [`freeze`](Self::freeze) of this source, and nothing else has been taken since.
    fn show_most(
        &mut self,
        span: &mut Span,
        most: usize,
        each: impl FnMut(&Tally, &Self::Item),
    ) -> usize;

    /// What is pending, and the losses since the last call: dropped and refused.
    fn account(&mut self) -> (usize, usize, usize);
}

#[inline]
const fn account((waiting, lost): (usize, usize), refuses: bool) -> (usize, usize, usize) {
    if refuses { (waiting, 0, lost) } else { (waiting, lost, 0) }
}

impl<E, P: Queue> Source for Consumer<'_, E, P> {
    type Event = E;
}

impl<E, P: Queue> Take for Consumer<'_, E, P> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.side.freeze()
    }

    #[inline]
    fn show_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(&Tally, &E)) -> usize {
        self.side.show_most(span, most, each)
    }

    #[inline]
    fn account(&mut self) -> (usize, usize, usize) {
        account(self.side.account(), P::REFUSES)
    }
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy> Source for Bus<E, N, P> {
    type Event = E;
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy> Take for Bus<E, N, P> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.ring.freeze_mut()
    }

    #[inline]
    fn show_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(&Tally, &E)) -> usize {
        self.ring.show_most_mut(span, most, each)
    }

    #[inline]
    fn account(&mut self) -> (usize, usize, usize) {
        account(self.ring.core().account::<P>(), P::REFUSES)
    }
}
