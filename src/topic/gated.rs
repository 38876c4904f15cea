//! A topic that loses nothing for the subscribers that gate.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

use super::subscriber::Subscriber;
use super::{History, Many, TopicEvent, TopicStats};
use crate::bus::{Capacity, Publish, Put};
use crate::error::{Full, TooManySubscribers};
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::broadcast::Broadcast;
use crate::ring::gate::Gate;
use crate::sync::{AtomicWord, Relaxed, Word};
use crate::wait::{NoWaiters, Waits};

/// A topic without loss: it rejects events until its slowest gating subscriber has read. Many publishers, up to `S`
/// subscribers that gate, and any number that do not.
///
/// # Full
///
/// A subscriber from [`subscribe`](Self::subscribe) gates. While it has `N` unread events, the topic is full, and
/// [`publish`](Self::publish) returns the event. [`gate`](Self::gate) names that subscriber.
///
/// # Lagging
///
/// A subscriber from [`subscribe_lagging`](Self::subscribe_lagging) does not gate. It may lag, as on a
/// [`Topic`](crate::Topic#lagging).
///
/// # Memory
///
/// `N` is a power of two and at least 2; `S` is 1 to 16. A new topic is all zeros, so a `static` one lies in
/// `.bss`. It takes three words more than a [`Topic`](crate::Topic), and one for each of the `S` places.
///
/// # Waiting
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the subscribers that wait, and a gating subscriber
/// that reads or is dropped wakes publishers: see [`publish_async`](Self::publish_async) and
/// [`Subscriber::next_async`].
///
/// # Interrupts, progress, order
///
/// As for [`Topic`](crate::Topic). A publisher scans the gating subscribers only when it reaches the cached limit: after
/// as many events as the slowest one had read since the last scan, and each time the topic is full.
///
/// # Safety limit
///
/// It concerns only subscribers that do not gate, since no publisher overtakes the others: see
/// [`Topic`](crate::Topic#safety-limit).
///
/// # Examples
///
/// ```
/// use tickbus::{Full, GatedTopic};
/// use tickbus::error::TooManySubscribers;
///
/// static ORDERS: GatedTopic<u32, 2, 1> = GatedTopic::new();
///
/// let mut ledger = ORDERS.subscribe()?;
/// assert_eq!(ORDERS.subscribe().err(), Some(TooManySubscribers));
///
/// ORDERS.publish(1).unwrap();
/// ORDERS.publish(2).unwrap();
/// assert_eq!(ORDERS.publish(3), Err(Full(3)));
/// assert_eq!((ORDERS.stats().published, ORDERS.stats().refused), (2, 1));
/// assert_eq!(ORDERS.gate().map(|gate| (gate.subscriber, gate.pending)), Some((0, 2)));
///
/// assert_eq!(ledger.read().next(), Some(Ok(1)));
/// ORDERS.publish(3).unwrap();
/// assert!(ledger.read().flatten().eq([2, 3]));
/// # Ok::<(), TooManySubscribers>(())
/// ```
pub struct GatedTopic<E: TopicEvent, const N: usize, const S: usize, W: Waits = NoWaiters> {
    ring: Broadcast<E, N>,
    gate: Gate<S>,
    pub(super) waiters: W,
    /// Events that came back to their publishers.
    refused: AtomicWord,
}

impl<E: Copy, const N: usize, const S: usize, W: Waits> GatedTopic<E, N, S, W> {
    /// Creates a topic without events.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self {
            ring: Broadcast::new(),
            gate: Gate::new(),
            waiters: W::NEW,
            refused: AtomicWord::new(0),
        }
    }

    /// Creates a topic without events.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self {
            ring: Broadcast::new(),
            gate: Gate::new(),
            waiters: W::fresh(),
            refused: AtomicWord::new(0),
        }
    }

    /// Returns a topic without events on the heap, without room for it on the stack.
    ///
    /// Use it for topics that are too large for a stack: `Box::new(GatedTopic::new())` moves the whole value.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! { zeroed: [ring, gate], each: [], waiters: W::NEW, refused: AtomicWord::new(0), }
    }

    #[cfg(all(test, not(tickbus_loom)))]
    pub(super) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        Self {
            ring: Broadcast::starting_before_wrap(back),
            gate: Gate::starting_before_wrap(back),
            waiters: W::NEW,
            refused: AtomicWord::new(0),
        }
    }

    /// Publishes `event` to every subscriber. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if a gating subscriber has `N` unread events, or if interrupted publishers
    /// hold all `N` slots. No subscriber receives it, and it counts as [refused](TopicStats::refused). A
    /// subscriber that is interrupted in [`subscribe`](Self::subscribe) gates from where it began.
    #[inline]
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.publish_with_margin(event, 0)
    }

    /// Publishes `event` only if `margin` slots stay free after it. Use it for events that must leave room for more
    /// important ones.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish). It also returns [`Full`] if a gating subscriber has more than `N - margin - 1`
    /// unread events, and always if `margin` is `N` or more.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, GatedTopic};
    ///
    /// static LOG: GatedTopic<&str, 4, 1> = GatedTopic::new();
    /// let mut flash = LOG.subscribe().unwrap();
    ///
    /// let telemetry = |text| LOG.publish_with_margin(text, 2);
    /// assert_eq!(telemetry("20 °C"), Ok(()));
    /// assert_eq!(telemetry("21 °C"), Ok(()));
    /// assert_eq!(telemetry("22 °C"), Err(Full("22 °C")));
    /// assert_eq!(LOG.publish("fire"), Ok(())); // an alarm has room
    /// assert_eq!(flash.read().count(), 3);
    /// ```
    #[inline]
    pub fn publish_with_margin(&self, event: E, margin: usize) -> Result<(), Full<E>> {
        if !self.put(event, margin) {
            return Err(self.turn_away(event));
        }
        self.waiters.wake();
        Ok(())
    }

    /// Publishes all of `events` to every subscriber, in order, or none of them. Never blocks.
    ///
    /// The group takes its slots in one step. Events of publishers in progress may come in between, and a
    /// subscriber that reads meanwhile may find only the first ones.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the events if a gating subscriber has more than `N - M` unread events, or if interrupted
    /// publishers hold too many slots. No subscriber receives any, and each counts as
    /// [refused](TopicStats::refused).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, GatedTopic};
    ///
    /// static ORDERS: GatedTopic<u32, 4, 1> = GatedTopic::new();
    /// let mut ledger = ORDERS.subscribe().unwrap();
    ///
    /// assert_eq!(ORDERS.publish_all([1, 2, 3]), Ok(()));
    /// assert_eq!(ORDERS.publish_all([4, 5]), Err(Full([4, 5])));
    /// assert!(ledger.read().flatten().eq([1, 2, 3]));
    /// ```
    #[inline]
    pub fn publish_all<const M: usize>(&self, events: [E; M]) -> Result<(), Full<[E; M]>> {
        const { assert!(M <= N, "a group must not have more events than the topic has slots") };
        let (ring, gate) = (self.ring.view(), self.gate.view());
        if M > 0 && !ring.publish_all(&events, |last| gate.has_room(ring, last, N as Word)) {
            self.refused.fetch_add(M as Word, Relaxed);
            return Err(Full(events));
        }
        self.waiters.wake();
        Ok(())
    }

    /// Publishes if there is room. Counts no refusal and wakes no task.
    #[inline]
    pub(super) fn put(&self, event: E, margin: usize) -> bool {
        let ring = self.ring.view();
        let gate = self.gate.view();
        let most = N.saturating_sub(margin) as Word;
        ring.publish(event, |position| gate.has_room(ring, position, most))
    }

    #[cold]
    fn turn_away(&self, event: E) -> Full<E> {
        self.refused.fetch_add(1, Relaxed);
        Full(event)
    }

    /// Subscribes and gates: the subscriber reads every event that is published from now on.
    ///
    /// If it is neither read nor dropped, the topic stays full: [`gate`](Self::gate) names it.
    ///
    /// # Errors
    ///
    /// Returns [`TooManySubscribers`] while `S` others gate.
    pub fn subscribe(&self) -> Result<Subscriber<'_, E, Many, W>, TooManySubscribers> {
        let place = self.gate.view().take_place().ok_or(TooManySubscribers)?;
        let subscriber = Subscriber::gating(self.ring.view().shelf(), place, &self.waiters);
        // If this was interrupted, publishers saw an older gate than the one that it has now.
        self.waiters.wake_for_room();
        Ok(subscriber)
    }

    /// Subscribes without gating: the subscriber may lag, and reads how many events it missed.
    pub fn subscribe_lagging(&self) -> Subscriber<'_, E, Many, W> {
        Subscriber::lagging(self.ring.view().shelf(), &self.waiters)
    }

    /// Returns the slowest of the gating subscribers, if there is one. It makes the topic full.
    #[must_use]
    pub fn gate(&self) -> Option<Gating> {
        let ring = self.ring.view();
        let (cursor, slowest) = self.gate.view().slowest(ring);
        let subscriber = slowest?;
        Some(Gating { subscriber, pending: ring.claims().wrapping_sub(cursor) as usize })
    }

    /// Returns what has happened so far. A gated topic loses no event.
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        TopicStats {
            published: self.ring.view().claims() as usize,
            refused: self.refused.load(Relaxed) as usize,
            ..TopicStats::default()
        }
    }

    /// Returns the last events, to be read without taking them.
    pub fn history(&self) -> History<'_, E> {
        History::of(self.ring.view().shelf())
    }

    /// Returns how many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }
}

impl<E: Copy, const N: usize, const S: usize, W: Waits> Publish for &GatedTopic<E, N, S, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        GatedTopic::publish(self, event)
    }
}

impl<E: Copy, const N: usize, const S: usize, W: Waits> Put for &GatedTopic<E, N, S, W> {}

impl<E: Copy, const N: usize, const S: usize, W: Waits> Default for GatedTopic<E, N, S, W>
where
    (): Capacity<N>,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy, const N: usize, const S: usize, W: Waits> fmt::Debug for GatedTopic<E, N, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedTopic")
            .field("capacity", &N)
            .field("places", &S)
            .field("gate", &self.gate())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The slowest gating subscriber: [`GatedTopic::gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gating {
    /// The number that its [`Subscriber::place`] returns, less than `S`.
    pub subscriber: usize,
    /// How many events it has not read.
    pub pending: usize,
}
