//! What events are taken from, and the events of one moment, taken one by one or all at once.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use super::stats::Stats;
use crate::ring::{Span, Tally};

/// What events are taken from: a [`Consumer`](crate::Consumer), or a [`Bus`](crate::Bus) that you hold by
/// `&mut`.
///
/// Write `impl Source<Event = Input>` for a function that takes either, as [`Dispatch::tick`] does.
///
/// This trait is sealed.
///
/// [`Dispatch::tick`]: crate::Dispatch::tick
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Lane, Source};
///
/// fn sum(events: &mut impl Source<Event = u32>) -> u32 {
///     events.drain().sum()
/// }
///
/// static SHARED: Lane<u32, 4> = Lane::new();
/// SHARED.publish(3).unwrap();
/// assert_eq!(sum(&mut SHARED.consumer().unwrap()), 3);
///
/// let mut owned: Bus<u32, 4> = Bus::new();
/// owned.publish_mut(4).unwrap();
/// assert_eq!(sum(&mut owned), 4);
/// ```
#[diagnostic::on_unimplemented(
    message = "events cannot be taken from `{Self}`",
    note = "a tick takes a `Consumer`, as `BUS.consumer()` gives it, or an exclusive `Bus`"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Take`")]
pub trait Source: Take<Item = <Self as Source>::Event> + Sized {
    /// The type of the events.
    type Event;

    /// Takes the events that are pending at this moment, oldest first: see
    /// [`Consumer::drain`](crate::Consumer::drain).
    #[inline]
    fn drain(&mut self) -> Drain<'_, Self> {
        Drain::new(self)
    }

    /// Returns how many events are pending, with those that are being published.
    fn pending(&self) -> usize;

    /// Returns what has happened so far.
    fn stats(&self) -> Stats;
}

/// How events are taken from a source. `pub(crate)`, so a type parameter with the bound `Source` does not have
/// these methods outside of this crate, where a span could meet a ring that did not make it.
pub(crate) trait Take {
    /// What is taken.
    type Item;

    /// Fixes what a pass may take: the events of this moment. What follows takes a span that comes from here,
    /// and nothing else has been taken since.
    fn freeze(&mut self) -> Span;

    /// Ends a span after so many of its events, if it does not end before.
    fn shorten(&mut self, span: &mut Span, most: usize);

    /// Takes the next event.
    fn take(&mut self, span: &mut Span) -> Option<Self::Item>;

    /// Hands all events to `each`.
    fn take_all(&mut self, span: &mut Span, each: impl FnMut(Self::Item));

    /// Takes at most `most` of them. Shows each to `look`, and then to `each` with what `look` has found. Returns
    /// how many it took.
    fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&Self::Item) -> L,
        each: impl FnMut(&Tally, L, &Self::Item),
    ) -> usize;

    /// Moves all events to the end of `into`. Returns how many that was.
    #[cfg(any(feature = "alloc", tickbus_loom))]
    fn append(&mut self, span: &mut Span, into: &mut Vec<Self::Item>) -> usize;

    /// Where a tick counts what became of an event.
    #[cfg(all(feature = "parallel", not(tickbus_loom)))]
    fn tally(&self) -> &Tally;

    /// What is pending behind a span, and the losses since the last call: dropped and refused.
    fn account(&mut self, span: &Span) -> (usize, usize, usize);
}

/// What [`Take::account`] says, of what a ring says.
#[inline]
pub(super) const fn account(
    (pending, lost): (usize, usize),
    refuses: bool,
) -> (usize, usize, usize) {
    if refuses { (pending, 0, lost) } else { (pending, lost, 0) }
}

/// The events that were pending when [`Source::drain`] was called.
///
/// Dropping it leaves those not taken on the bus, unlike `Vec::drain`. On a
/// [`DropOldest`](crate::DropOldest) bus, events may be displaced while they wait here.
#[must_use = "a drain takes nothing until it is iterated over"]
pub struct Drain<'c, S: Source> {
    source: &'c mut S,
    span: Span,
}

impl<'c, S: Source> Drain<'c, S> {
    #[inline]
    pub(super) fn new(source: &'c mut S) -> Self {
        let span = source.freeze();
        Self { source, span }
    }

    /// The same events, but `most` at most: as `take`, without counting them one by one.
    ///
    /// Counts from here: events that were taken or displaced before do not count. On a
    /// [`DropOldest`](crate::DropOldest) bus, events that are displaced later do.
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
    /// assert!(events.drain().at_most(2).eq([1, 2]));
    /// assert!(events.drain().at_most(2).eq([3]));
    /// ```
    #[inline]
    pub fn at_most(mut self, most: usize) -> Self {
        self.source.shorten(&mut self.span, most);
        self
    }

    /// The same events, until `stop` says so.
    ///
    /// `stop` is asked before each event is taken, so the event that ends it is not lost, as it would
    /// be with `take_while`.
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
    /// let mut time = 0..;
    /// let late = || time.next() >= Some(2);
    /// assert!(events.drain().until(late).eq([1, 2]));
    /// assert!(events.drain().eq([3]));
    /// ```
    pub fn until<F: FnMut() -> bool>(self, stop: F) -> Until<Self, F> {
        Until::new(self, stop)
    }

    /// Moves all events to the end of `events`, and returns how many that was: what
    /// `events.extend(drain)` does, at a fraction of the cost.
    ///
    /// Up to 64 events move at once, and their slots are free when they have moved; a consumer that is
    /// interrupted meanwhile holds up as many slots. On a [`DropOldest`](crate::DropOldest) bus they move
    /// one by one. Allocates if `events` lacks the capacity, and then before it takes the first.
    ///
    /// # Panics
    ///
    /// As `Vec::reserve`. No event is taken then.
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
    /// let mut frame = Vec::with_capacity(4);
    /// assert_eq!(events.drain().at_most(2).append_to(&mut frame), 2);
    /// assert_eq!(events.drain().append_to(&mut frame), 1);
    /// assert_eq!(frame, [1, 2, 3]);
    /// ```
    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    pub fn append_to(mut self, events: &mut Vec<S::Event>) -> usize {
        self.source.append(&mut self.span, events)
    }
}

impl<S: Source> Iterator for Drain<'_, S> {
    type Item = S::Event;

    #[inline]
    fn next(&mut self) -> Option<S::Event> {
        self.source.take(&mut self.span)
    }

    #[inline]
    fn fold<B, F: FnMut(B, S::Event) -> B>(mut self, init: B, mut each: F) -> B {
        let mut folded = Some(init);
        self.source.take_all(&mut self.span, |event| {
            folded = folded.take().map(|so_far| each(so_far, event));
        });
        folded.unwrap_or_else(|| unreachable!("put back after every event"))
    }
}

impl<S: Source> FusedIterator for Drain<'_, S> {}

impl<S: Source> fmt::Debug for Drain<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("stats", &self.source.stats()).finish_non_exhaustive()
    }
}

/// A drain that ends when it is told to: [`Drain::until`].
#[must_use = "a drain takes nothing until it is iterated over"]
pub struct Until<D, S> {
    drain: Option<D>,
    stop: S,
}

impl<D, S> Until<D, S> {
    pub(crate) fn new(drain: D, stop: S) -> Self {
        Self { drain: Some(drain), stop }
    }
}

impl<D: Iterator, S: FnMut() -> bool> Iterator for Until<D, S> {
    type Item = D::Item;

    #[inline]
    fn next(&mut self) -> Option<D::Item> {
        let drain = self.drain.as_mut()?;
        if (self.stop)() {
            self.drain = None;
            return None;
        }
        drain.next()
    }
}

impl<D: FusedIterator, S: FnMut() -> bool> FusedIterator for Until<D, S> {}

impl<D: fmt::Debug, S> fmt::Debug for Until<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("drain", &self.drain).finish_non_exhaustive()
    }
}
