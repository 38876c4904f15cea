//! The events of one moment, taken one by one or all at once.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use super::consumer::Consumer;
use super::overrun::Queue;
use crate::ring::Span;

/// The events that were queued when [`Consumer::drain`] was called.
///
/// Dropping it leaves those not taken on the bus, unlike `Vec::drain`. On a
/// [`DropOldest`](crate::DropOldest) bus, events may be displaced while they wait here.
#[must_use = "a drain takes nothing until it is iterated over"]
pub struct Drain<'c, 'a, E, P: Queue> {
    consumer: &'c mut Consumer<'a, E, P>,
    span: Span,
}

impl<'c, 'a, E, P: Queue> Drain<'c, 'a, E, P> {
    #[inline]
    pub(super) fn new(consumer: &'c mut Consumer<'a, E, P>) -> Self {
        let span = consumer.side.freeze();
        Self { consumer, span }
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
        self.consumer.side.shorten(&mut self.span, most);
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
    pub fn until<S: FnMut() -> bool>(self, stop: S) -> Until<Self, S> {
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
    pub fn append_to(mut self, events: &mut Vec<E>) -> usize {
        self.consumer.side.append(&mut self.span, events)
    }
}

impl<E, P: Queue> Iterator for Drain<'_, '_, E, P> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        self.consumer.side.take(&mut self.span)
    }

    #[inline]
    fn fold<B, F: FnMut(B, E) -> B>(mut self, init: B, mut each: F) -> B {
        let mut folded = Some(init);
        self.consumer.side.take_most(&mut self.span, usize::MAX, |event| {
            folded = folded.take().map(|so_far| each(so_far, event));
        });
        folded.unwrap_or_else(|| unreachable!("put back after every event"))
    }
}

impl<E, P: Queue> FusedIterator for Drain<'_, '_, E, P> {}

impl<E, P: Queue> fmt::Debug for Drain<'_, '_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("stats", &self.consumer.stats()).finish_non_exhaustive()
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

#[cfg(not(tickbus_loom))]
pub use self::exclusive::DrainMut;

#[cfg(not(tickbus_loom))]
mod exclusive {
    #[cfg(feature = "alloc")]
    use alloc::vec::Vec;
    use core::fmt;
    use core::iter::FusedIterator;

    use super::Until;
    use crate::bus::Policy;
    use crate::ring::Span;
    use crate::ring::queue::Ring;

    /// The events that were queued when [`Bus::drain_mut`](crate::Bus::drain_mut) was called.
    ///
    /// Dropping it leaves those not taken on the bus, unlike `Vec::drain`.
    #[must_use = "a drain takes nothing until it is iterated over"]
    pub struct DrainMut<'a, E, const N: usize, P: Policy> {
        ring: &'a mut Ring<E, N, P>,
        span: Span,
    }

    impl<'a, E, const N: usize, P: Policy> DrainMut<'a, E, N, P> {
        #[inline]
        pub(in crate::bus) fn new(ring: &'a mut Ring<E, N, P>) -> Self {
            let span = ring.freeze_mut();
            Self { ring, span }
        }

        /// The same events, but `most` at most: as [`Drain::at_most`](crate::Drain::at_most).
        #[inline]
        pub fn at_most(mut self, most: usize) -> Self {
            self.ring.shorten_mut(&mut self.span, most);
            self
        }

        /// The same events, until `stop` says so: as [`Drain::until`](crate::Drain::until).
        pub fn until<S: FnMut() -> bool>(self, stop: S) -> Until<Self, S> {
            Until::new(self, stop)
        }

        /// Moves all events to the end of `events`: as [`Drain::append_to`](crate::Drain::append_to).
        ///
        /// # Panics
        ///
        /// As `Vec::reserve`. No event is taken then.
        #[cfg(feature = "alloc")]
        #[inline]
        pub fn append_to(mut self, events: &mut Vec<E>) -> usize {
            self.ring.append_mut(&mut self.span, events)
        }
    }

    impl<E, const N: usize, P: Policy> Iterator for DrainMut<'_, E, N, P> {
        type Item = E;

        #[inline]
        fn next(&mut self) -> Option<E> {
            self.ring.take_mut(&mut self.span)
        }

        #[inline]
        fn fold<B, F: FnMut(B, E) -> B>(mut self, init: B, mut each: F) -> B {
            let mut folded = Some(init);
            self.ring.take_all_mut(&mut self.span, |event| {
                folded = folded.take().map(|so_far| each(so_far, event));
            });
            folded.unwrap_or_else(|| unreachable!("put back after every event"))
        }
    }

    impl<E, const N: usize, P: Policy> FusedIterator for DrainMut<'_, E, N, P> {}

    impl<E, const N: usize, P: Policy> fmt::Debug for DrainMut<'_, E, N, P> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let waiting = self.ring.core().pending::<P>();
            f.debug_struct("DrainMut").field("waiting", &waiting).finish_non_exhaustive()
        }
    }
}
