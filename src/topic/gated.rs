//! A topic that loses nothing for the subscribers that gate.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

use super::subscriber::Subscriber;
use super::{History, Many, TopicStats};
use crate::bus::{Capacity, Publish, Put};
use crate::error::{Full, TooManySubscribers};
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::broadcast::Broadcast;
use crate::ring::gate::Gate;
use crate::sync::{AtomicWord, Relaxed, Word};
use crate::wait::{NoWaiters, Waits};

/// Fan-out without loss: rejects until the slowest gating subscriber has read. Many publishers, up to `S`
/// subscribers that gate, any number that do not.
///
/// Each subscriber chooses. One from [`subscribe`](Self::subscribe) gates: while it has `N` unread events, the
/// topic is full. One from [`subscribe_lagging`](Self::subscribe_lagging) does not gate: it may lag, as on a
/// [`Topic`](crate::Topic#lagging).
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
/// As for [`Topic`](crate::Topic). The publisher scans the subscribers again only when its cached limit is
/// reached: after as many events as the slowest one has read since, and each time the topic is full.
///
/// # Safety limit
///
/// A subscriber that gates has none, since no publisher overtakes it. The others have that of a
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
pub struct GatedTopic<E, const N: usize, const S: usize, W: Waits = NoWaiters> {
    ring: Broadcast<E, N>,
    gate: Gate<S>,
    pub(super) waiters: W,
    /// Events that were given back.
    refused: AtomicWord,
}

impl<E: Copy, const N: usize, const S: usize, W: Waits> GatedTopic<E, N, S, W> {
    /// A topic without events.
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

    /// A topic without events.
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
    /// subscriber that is interrupted while it subscribes counts from where it began.
    #[inline]
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.publish_with_margin(event, 0)
    }

    /// Publishes `event` only if `margin` slots stay free after it: for events that must not take the
    /// room of more important ones.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish), but already if a gating subscriber has more than `N - margin - 1` unread
    /// events; always, if `margin` is `N` or more.
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

    /// Publishes if there is room, and counts nothing if there is none. Wakes nothing.
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

    /// A subscriber that gates. It gets every event that is published from here on.
    ///
    /// If its handle is never dropped and never read, the topic stays full: see [`gate`](Self::gate).
    ///
    /// # Errors
    ///
    /// [`TooManySubscribers`] while `S` others gate.
    pub fn subscribe(&self) -> Result<Subscriber<'_, E, Many, W>, TooManySubscribers> {
        let place = self.gate.view().take_place().ok_or(TooManySubscribers)?;
        let subscriber = Subscriber::gating(self.ring.view().shelf(), place, &self.waiters);
        // If it was interrupted, the gate has been where it began, and now is where it begins.
        self.waiters.wake_for_room();
        Ok(subscriber)
    }

    /// A subscriber that does not gate: it may be overtaken, and is told.
    pub fn subscribe_lagging(&self) -> Subscriber<'_, E, Many, W> {
        Subscriber::lagging(self.ring.view().shelf(), &self.waiters)
    }

    /// The slowest of the subscribers that gate, if there are any: who makes the topic full.
    #[must_use]
    pub fn gate(&self) -> Option<Gating> {
        let ring = self.ring.view();
        let (cursor, slowest) = self.gate.view().slowest(ring);
        let subscriber = slowest?;
        Some(Gating { subscriber, pending: ring.claims().wrapping_sub(cursor) as usize })
    }

    /// What has happened so far. Nothing is ever lost.
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

    /// How many events fit: `N`.
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

/// A subscriber that gates, as [`GatedTopic::gate`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gating {
    /// Its place, as [`Subscriber::place`] says it: a number less than `S`.
    pub subscriber: usize,
    /// How many events it has not read.
    pub pending: usize,
}
