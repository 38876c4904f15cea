//! A topic with one declared publisher.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

use super::{History, Subscriber, TopicEvent, TopicStats};
use crate::bus::{Capacity, Publish, Put, Single};
use crate::error::{Claimed, Full};
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::broadcast::alone::{Alone, Writer};
use crate::ring::link::Link;
use crate::wait::{NoWaiters, Waits};

/// A topic for one publisher: publishing needs no read-modify-write, and reading fewer loads.
///
/// A feed is to a [`Topic`](crate::Topic) what a [`Lane`](crate::Lane) is to a [`Bus`](crate::Bus). One context claims
/// the [`publisher`](Self::publisher). Any number of subscribers read, as from a topic: one that is more than
/// `N` events behind reads [`Lagged`](crate::Lagged) and continues with the oldest event that is kept.
///
/// `N` is a power of two and at least 2. A new feed is all zeros, so a `static` one lies in `.bss`. It takes four
/// words beside its events. A subscriber takes no room on it.
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the subscribers that wait, up to `K` at the same
/// time: see [`Subscriber::next_async`]. If the waker of a task panics, the publish panics too, and its event is
/// published.
///
/// # Interrupts, progress
///
/// Publishing is wait-free, never fails and masks no interrupts. Exception: targets without stable inline assembly
/// copy each word in a critical section (see [`Topic`](crate::Topic#interrupts)). Claiming the publisher takes a
/// compare-and-swap. An interrupted publisher delays its own event, and overwrites only the oldest one. Reading an
/// event is wait-free.
///
/// # Safety limit
///
/// A feed has the limit of a [`Topic`](crate::Topic#safety-limit).
///
/// # Examples
///
/// ```
/// use tickbus::{Feed, Lagged};
///
/// static SAMPLES: Feed<u16, 2> = Feed::new();
///
/// let mut adc = SAMPLES.publisher().expect("the interrupt is the only publisher");
/// assert!(SAMPLES.publisher().is_err());
///
/// let mut plot = SAMPLES.subscribe();
/// let mut log = SAMPLES.subscribe();
/// adc.publish(1);
/// assert!(plot.read().eq([Ok(1)]));
/// adc.publish(2);
/// adc.publish(3);
/// assert!(plot.read().flatten().eq([2, 3]));
/// assert!(log.read().eq([Err(Lagged(1)), Ok(2), Ok(3)]));
/// ```
#[doc(alias = "spmc")]
#[doc(alias = "broadcast")]
pub struct Feed<E: TopicEvent, const N: usize, W: Waits = NoWaiters> {
    pub(super) ring: Alone<E, N>,
    waiters: W,
}

impl<E: Copy, const N: usize, W: Waits> Feed<E, N, W> {
    /// Creates a feed without events.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Alone::new(), waiters: W::NEW }
    }

    /// Creates a feed without events.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Alone::new(), waiters: W::fresh() }
    }

    /// Returns a feed without events on the heap, without room for it on the stack.
    ///
    /// Use it for feeds that are too large for a stack: `Box::new(Feed::new())` moves the whole value.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! { zeroed: [ring], each: [], waiters: W::NEW, }
    }

    #[cfg(all(test, not(tickbus_loom)))]
    pub(super) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Alone::starting_before_wrap(back), waiters: W::NEW }
    }

    /// Claims the publishing end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Publisher`] of this feed is alive. Dropping that one gives the end
    /// back. [`publish`](Self::publish) counts an event that meets that case.
    pub fn publisher(&self) -> Result<Publisher<'_, E, W>, Claimed> {
        let writer = self.ring.ring().writer().ok_or(Claimed::PUBLISHER)?;
        Ok(Publisher { writer, waiters: Link::to(&self.waiters), here: PhantomData })
    }

    /// Publishes `event` without a [`Publisher`]: claims the publishing end for this one event and gives it
    /// back.
    ///
    /// For an interrupt handler that keeps no handle. It never blocks. It costs two read-modify-writes more
    /// than [`Publisher::publish`].
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if the publishing end is claimed: by a [`Publisher`], or by a publish
    /// that this one has interrupted. No subscriber receives the event, and the feed counts it as refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Feed, Full};
    ///
    /// static SAMPLES: Feed<u16, 2> = Feed::new();
    ///
    /// assert_eq!(SAMPLES.publish(1), Ok(()));
    /// let publisher = SAMPLES.publisher().unwrap();
    /// assert_eq!(SAMPLES.publish(2), Err(Full(2))); // the end is claimed
    /// drop(publisher);
    /// assert_eq!(SAMPLES.publish(3), Ok(()));
    /// assert_eq!((SAMPLES.stats().published, SAMPLES.stats().refused), (2, 1));
    /// ```
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        let ring = self.ring.ring();
        let Some(mut writer) = ring.writer() else {
            ring.refuse();
            return Err(Full(event));
        };
        writer.publish(event);
        drop(writer); // a task that wakes up may publish
        self.waiters.wake();
        Ok(())
    }

    /// Subscribes: the subscriber reads every event that is published from now on. There may be any number.
    pub fn subscribe(&self) -> Subscriber<'_, E, Single, W> {
        Subscriber::lagging(self.ring.ring(), &self.waiters)
    }

    /// Returns the last events, to be read without taking them.
    pub fn history(&self) -> History<'_, E, Single> {
        History::of(self.ring.ring())
    }

    /// Returns how many events are kept: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Returns what has happened so far. A feed loses no event.
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        let ring = self.ring.ring();
        TopicStats {
            published: ring.count() as usize,
            refused: ring.refused() as usize,
            ..TopicStats::default()
        }
    }
}

impl<E: Copy, const N: usize, W: Waits> Publish for &Feed<E, N, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Feed::publish(self, event)
    }
}

impl<E: Copy, const N: usize, W: Waits> Put for &Feed<E, N, W> {}

impl<E: Copy, const N: usize, W: Waits> Default for Feed<E, N, W>
where
    (): Capacity<N>,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy, const N: usize, W: Waits> fmt::Debug for Feed<E, N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("capacity", &N)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The one publishing end of a [`Feed`].
///
/// The [`Publisher`](crate::Publisher) of a lane is another type: a full lane rejects, so its `publish` returns a
/// result, and the two would share no method.
#[must_use = "a publisher that is dropped is given back"]
pub struct Publisher<'a, E: Copy, W: Waits = NoWaiters> {
    writer: Writer<'a, E>,
    waiters: Link<'a, W>,
    /// Publishing needs `&mut`, so that it may be sent to another thread but not shared.
    here: PhantomData<&'a mut E>,
}

impl<E: Copy, W: Waits> Publisher<'_, E, W> {
    /// Publishes `event` to every subscriber. Never blocks, never fails, and takes constant time.
    #[inline]
    pub fn publish(&mut self, event: E) {
        self.writer.publish(event);
        self.waiters.get().wake();
    }
}

impl<E: Copy, W: Waits> Publish for Publisher<'_, E, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Publisher::publish(self, event);
        Ok(())
    }
}

impl<E: Copy, W: Waits> Put for Publisher<'_, E, W> {}

impl<E: Copy, W: Waits> fmt::Debug for Publisher<'_, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("capacity", &self.writer.capacity())
            .finish_non_exhaustive()
    }
}
