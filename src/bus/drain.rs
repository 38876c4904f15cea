//! Taking events: the sources, and a drain of the events of one moment.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use super::stats::Stats;
use crate::ring::{Span, Tally};

/// A source of events: a [`Consumer`](crate::Consumer), or a [`Bus`](crate::Bus) that you hold by `&mut`.
///
/// A function with an argument of `impl Source<Event = Input>` takes either, as [`Dispatch::tick`] does.
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

    /// Returns how many events are pending, those being published included.
    fn pending(&self) -> usize;

    /// Returns what has happened so far.
    fn stats(&self) -> Stats;
}

/// The steps that take events from a source. It is `pub(crate)`, so code outside this crate cannot call them. It could
/// use a span on a ring that did not make it.
pub(crate) trait Take {
    /// The type of the events.
    type Item;

    /// Fixes the events that a pass may take: those of this moment. The other methods need the span that this returned
    /// last.
    fn freeze(&mut self) -> Span;

    /// Shortens a span to at most `most` events.
    fn shorten(&mut self, span: &mut Span, most: usize);

    /// Takes the next event.
    fn take(&mut self, span: &mut Span) -> Option<Self::Item>;

    /// Hands all events to `each`.
    fn take_all(&mut self, span: &mut Span, each: impl FnMut(Self::Item));

    /// Takes at most `most` events. Shows each to `look`, and then to `each` with what `look` has found. Returns how many
    /// it took.
    fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&Self::Item) -> L,
        each: impl FnMut(&Tally, L, &Self::Item),
    ) -> usize;

    /// Moves all events to the end of `into`. Returns how many it moved.
    #[cfg(any(feature = "alloc", tickbus_loom))]
    fn append(&mut self, span: &mut Span, into: &mut Vec<Self::Item>) -> usize;

    /// Returns the counters of this side.
    #[cfg(all(feature = "parallel", not(tickbus_loom)))]
    fn tally(&self) -> &Tally;

    /// Returns how many events are pending behind a span, and how many were dropped and refused since the last call.
    fn account(&mut self, span: &Span) -> (usize, usize, usize);
}

/// Turns the account of a ring into that of [`Take::account`].
#[inline]
pub(super) const fn account(
    (pending, lost): (usize, usize),
    refuses: bool,
) -> (usize, usize, usize) {
    if refuses { (pending, 0, lost) } else { (pending, lost, 0) }
}

/// The events that were pending when [`Source::drain`] was called.
///
/// Dropping it leaves the events that were not taken on the bus, unlike `Vec::drain`. On a
/// [`DropOldest`](crate::DropOldest) bus, publishers may drop events of a drain before it takes them.
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

    /// Limits the drain to its next `most` events. It does the same as `take`, without counting them one by one.
    ///
    /// Events that were taken or dropped before this call do not count. On a [`DropOldest`](crate::DropOldest) bus,
    /// events that publishers drop after it do.
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

    /// Ends the drain when `stop` returns `true`.
    ///
    /// It calls `stop` before it takes each event. So no event is lost at the end, as one would be with `take_while`.
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

    /// Moves all events to the end of `events`, and returns how many it moved. It does what `events.extend(drain)` does,
    /// at a fraction of the cost.
    ///
    /// Up to 64 events move at once, and then their slots are free. A consumer that is interrupted meanwhile holds these
    /// slots. On a [`DropOldest`](crate::DropOldest) bus, events move one by one. If `events` lacks the capacity, this
    /// allocates before it takes the first event.
    ///
    /// # Panics
    ///
    /// Panics if `Vec::reserve` does. No event is taken then.
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

/// A drain that ends when a function says so: [`Drain::until`].
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
