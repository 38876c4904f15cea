//! One declared publisher, one consumer.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

use super::consumer::Consumer;
use super::info::BusInfo;
use super::overrun::{Single, Taken};
use super::stats::Stats;
use crate::error::{Claimed, Full};
use crate::ring::Capacity;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::link::Link;
use crate::ring::spsc::{Ring, Writer};
use crate::wait::{NoWaiters, Waits};

/// A bus for exactly one publisher: publishing needs no read-modify-write.
///
/// One context claims the [`publisher`](Self::publisher), and one the [`consumer`](Self::consumer), which is the same
/// [`Consumer`] that a [`Bus`](crate::Bus) has. A full lane rejects. Publishing and taking are wait-free, and mask no
/// interrupts on any target. Exception: [`publish`](Self::publish) without a handle takes a read-modify-write to claim
/// the end or to count a refusal.
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the consumer and a take wakes the publisher, and both
/// may wait: see [`Publisher::publish_async`] and [`Consumer::next_async`]. A publish stays wait-free, and costs a fence,
/// a load and a branch more while no task waits. If the waker of a task panics, the publish panics too, and its event
/// is published.
///
/// # Examples
///
/// ```
/// use tickbus::{Full, Lane};
///
/// static SAMPLES: Lane<u16, 2> = Lane::new();
///
/// let mut adc = SAMPLES.publisher().expect("the interrupt is the only publisher");
/// let mut samples = SAMPLES.consumer().expect("main is the only consumer");
/// assert!(SAMPLES.publisher().is_err());
///
/// adc.publish(1)?;
/// adc.publish(2)?;
/// assert_eq!(adc.publish(3), Err(Full(3)));
/// assert!(samples.drain().eq([1, 2]));
/// # Ok::<(), Full<u16>>(())
/// ```
#[doc(alias = "spsc")]
#[doc(alias = "channel")]
pub struct Lane<E, const N: usize, W: Waits = NoWaiters> {
    ring: Ring<E, N>,
    waiters: W,
}

impl<E, const N: usize, W: Waits> Lane<E, N, W> {
    /// Creates an empty lane.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::new(), waiters: W::NEW }
    }

    /// Creates an empty lane.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::new(), waiters: W::fresh() }
    }

    /// Returns an empty lane on the heap, without room for it on the stack.
    ///
    /// Use it for lanes that are too large for a stack: `Box::new(Lane::new())` moves the whole value.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! { zeroed: [ring], each: [], waiters: W::NEW, }
    }

    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::starting_before_wrap(back), ..Self::new() }
    }

    /// Claims the publishing end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Publisher`] of this lane is alive. Dropping that one gives the end
    /// back. [`publish`](Self::publish) counts an event that meets that case.
    pub fn publisher(&self) -> Result<Publisher<'_, E, W>, Claimed> {
        let writer = self.ring.writer().ok_or(Claimed::PUBLISHER)?;
        Ok(Publisher { writer, waiters: Link::to(&self.waiters) })
    }

    /// Publishes `event` without a [`Publisher`]: claims the publishing end for this one event and gives it
    /// back.
    ///
    /// For an interrupt handler that keeps no handle. It never blocks. It costs a compare-and-swap more than
    /// [`Publisher::publish`].
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if all `N` slots are taken, or if the publishing end is claimed: by a
    /// [`Publisher`], or by a publish that this one has interrupted. The lane counts it as refused in both
    /// cases.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Lane};
    ///
    /// static SAMPLES: Lane<u16, 2> = Lane::new();
    ///
    /// assert_eq!(SAMPLES.publish(1), Ok(()));
    /// let publisher = SAMPLES.publisher().unwrap();
    /// assert_eq!(SAMPLES.publish(2), Err(Full(2))); // the end is claimed
    /// drop(publisher);
    /// assert_eq!(SAMPLES.publish(3), Ok(()));
    /// assert_eq!((SAMPLES.stats().published, SAMPLES.stats().refused), (2, 1));
    /// ```
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        let Some(mut writer) = self.ring.writer() else {
            self.ring.turn_away();
            return Err(Full(event));
        };
        put(&mut writer, event)?;
        drop(writer); // a task that wakes up may publish
        self.waiters.wake();
        Ok(())
    }

    /// Claims the reading end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Consumer`] of this lane is alive. Dropping that one gives the end
    /// back.
    pub fn consumer(&self) -> Result<Consumer<'_, E, Single, W>, Claimed> {
        Consumer::new(self.ring.reader(), &self.waiters)
    }

    /// Returns how many events are pending.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.ring.pending()
    }

    /// Returns whether no event is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Returns how many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.ring.counts(), Single::REFUSES)
    }

    /// Returns what a log or a debugger shows of the lane: its events, capacity, overrun policy and numbers.
    #[must_use]
    pub fn info(&self) -> BusInfo {
        BusInfo::of::<E, Single>(N, self.stats())
    }
}

impl<E, const N: usize, W: Waits> Default for Lane<E, N, W>
where
    (): Capacity<N>,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize, W: Waits> fmt::Debug for Lane<E, N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("capacity", &N)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The one publishing end of a [`Lane`].
///
/// The [`Publisher`](crate::topic::Publisher) of a feed is another type: it never rejects an event, so its `publish`
/// returns nothing, and the two would share no method.
#[must_use = "a publisher that is dropped is given back"]
pub struct Publisher<'a, E, W: Waits = NoWaiters> {
    writer: Writer<'a, E>,
    pub(super) waiters: Link<'a, W>,
}

/// Puts an event in, or counts it as refused.
#[inline(always)]
fn put<E>(writer: &mut Writer<'_, E>, event: E) -> Result<(), Full<E>> {
    writer.publish(event).map_err(|event| {
        writer.turn_away(1);
        Full(event)
    })
}

impl<E, W: Waits> Publisher<'_, E, W> {
    /// Publishes `event`. Never blocks, and takes constant time.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if all `N` slots are taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Lane};
    ///
    /// static LANE: Lane<u8, 2> = Lane::new();
    /// let mut publisher = LANE.publisher().unwrap();
    ///
    /// assert_eq!(publisher.publish_batch(&[1, 2]), Ok(()));
    /// assert_eq!(publisher.publish(3), Err(Full(3)));
    /// ```
    #[inline]
    pub fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        put(&mut self.writer, event)?;
        self.waiters.get().wake();
        Ok(())
    }

    /// As [`publish`](Self::publish), but counts no refusal and wakes no task.
    #[inline(always)]
    pub(super) fn offer(&mut self, event: E) -> Result<(), E> {
        self.writer.publish(event)
    }

    /// Publishes `events`, in order. The consumer sees all of them at once.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the events that found no room. The events before them are published.
    #[inline]
    pub fn publish_batch<'e>(&mut self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        let published = self.writer.publish_batch(events);
        let rest = &events[published..];
        if !rest.is_empty() {
            self.writer.turn_away(rest.len());
        }
        if published > 0 {
            self.waiters.get().wake();
        }
        if rest.is_empty() { Ok(()) } else { Err(Full(rest)) }
    }

    /// Publishes all of `events`, in order, or none of them. The consumer sees all of them at once.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the events if they do not all fit. They never fit if the lane has
    /// fewer than `M` slots. Each event counts as refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Lane};
    ///
    /// static LANE: Lane<u8, 4> = Lane::new();
    /// let mut publisher = LANE.publisher().unwrap();
    ///
    /// assert_eq!(publisher.publish_all([1, 2, 3]), Ok(()));
    /// assert_eq!(publisher.publish_all([4, 5]), Err(Full([4, 5])));
    /// ```
    #[inline]
    pub fn publish_all<const M: usize>(&mut self, events: [E; M]) -> Result<(), Full<[E; M]>> {
        match self.writer.publish_all(events) {
            Ok(()) => {
                self.waiters.get().wake();
                Ok(())
            }
            Err(events) => {
                self.writer.turn_away(M);
                Err(Full(events))
            }
        }
    }
}

impl<E, W: Waits> fmt::Debug for Publisher<'_, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("capacity", &self.writer.capacity())
            .finish_non_exhaustive()
    }
}
