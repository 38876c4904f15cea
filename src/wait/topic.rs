//! Topics and latest values that can be awaited.

use core::fmt;

use super::{Awaited, Table};
use crate::bus::Single;
use crate::error::{Claimed, Full, Lagged, TooManySubscribers, TooManyWaiters};
use crate::ring::gate::GateView;
use crate::ring::kept::Kept;
use crate::ring::waiter::Want;
use crate::topic::Unread;
use crate::topic::{
    Changed, Feed, GatedTopic, Gating, Latest, Many, Publisher, Publishers, Subscriber,
    SubscriberStats, Topic, TopicStats, Watcher,
};

impl<E: Copy, const N: usize, const W: usize> Awaited<Topic<E, N>, W> {
    /// [`Topic::publish`]: never waits, never fails. Wakes the subscribers that wait.
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    #[inline]
    pub fn publish(&self, event: E) {
        self.inner.publish(event);
        self.waiters.wake();
    }

    /// [`Topic::subscribe`]. There may be any number of subscribers; `W` may wait at the same time.
    pub fn subscribe(&self) -> AwaitedSubscriber<'_, E> {
        AwaitedSubscriber::new(self.inner.subscribe(), self.waiters.table())
    }

    /// How many events are kept: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// [`Topic::stats`].
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        self.inner.stats()
    }
}

impl<E: Copy, const N: usize, const W: usize> Awaited<Feed<E, N>, W> {
    /// Claims the publishing end: [`Feed::publisher`].
    ///
    /// # Errors
    ///
    /// As for [`Feed::publisher`].
    pub fn publisher(&self) -> Result<AwaitedPublisher<'_, E>, Claimed> {
        Ok(AwaitedPublisher { publisher: self.inner.publisher()?, table: self.waiters.table() })
    }

    /// [`Feed::publish`]: never waits. Wakes the subscribers.
    ///
    /// # Errors
    ///
    /// As for [`Feed::publish`].
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.inner.publish(event)?;
        self.waiters.table().wake();
        Ok(())
    }

    /// [`Feed::subscribe`]. There may be any number of subscribers; `W` may wait at the same time.
    pub fn subscribe(&self) -> AwaitedSubscriber<'_, E, Single> {
        AwaitedSubscriber::new(self.inner.subscribe(), self.waiters.table())
    }

    /// How many events are kept: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// [`Feed::stats`].
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        self.inner.stats()
    }
}

/// The one publishing end of a feed that can be awaited: a [`Publisher`] that wakes subscribers.
///
/// # Examples
///
/// ```
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::{Feed, Lagged};
/// use tickbus::wait::Awaited;
///
/// static SAMPLES: Awaited<Feed<u16, 2>, 2> = Awaited::new(Feed::new());
/// let mut adc = SAMPLES.publisher().expect("this is the only publisher");
/// let mut plot = SAMPLES.subscribe();
/// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
///
/// assert_eq!(pin!(plot.next_event()).poll(&mut context), Poll::Pending);
/// for sample in 1..=3 {
///     adc.publish(sample); // the first wakes the task
/// }
/// assert_eq!(pin!(plot.next_event()).poll(&mut context), Poll::Ready(Ok(Err(Lagged(1)))));
/// assert!(plot.read().eq([Ok(2), Ok(3)]));
/// ```
#[must_use = "a publisher that is dropped is given back"]
pub struct AwaitedPublisher<'a, E: Copy> {
    publisher: Publisher<'a, E>,
    table: &'a Table,
}

impl<E: Copy> AwaitedPublisher<'_, E> {
    /// [`Publisher::publish`]: never waits, never fails. Wakes the subscribers that wait.
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    #[inline]
    pub fn publish(&mut self, event: E) {
        self.publisher.publish(event);
        self.table.wake();
    }
}

impl<E: Copy> fmt::Debug for AwaitedPublisher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedPublisher")
            .field("publisher", &self.publisher)
            .finish_non_exhaustive()
    }
}

impl<E: Copy, const N: usize, const S: usize, const W: usize> Awaited<GatedTopic<E, N, S>, W> {
    /// [`GatedTopic::publish`]: never waits. Wakes the subscribers that wait.
    ///
    /// # Errors
    ///
    /// As for [`GatedTopic::publish`].
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    #[inline]
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.publish_with_margin(event, 0)
    }

    /// [`GatedTopic::publish_with_margin`]: never waits. Wakes the subscribers that wait.
    ///
    /// # Errors
    ///
    /// As for [`GatedTopic::publish_with_margin`].
    ///
    /// # Panics
    ///
    /// As for [`publish`](Self::publish).
    #[inline]
    pub fn publish_with_margin(&self, event: E, margin: usize) -> Result<(), Full<E>> {
        self.inner.publish_with_margin(event, margin)?;
        self.waiters.wake();
        Ok(())
    }

    /// Publishes `event`, and waits while a gating subscriber has `N` events unread: until it reads one,
    /// or is dropped. To drop the future is to publish nothing. Room wins.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back if it would have to wait and `W` others do. It does not count as
    /// refused.
    pub async fn publish_wait(&self, event: E) -> Result<(), Full<E>> {
        let offer = move || self.inner.offer(event, 0).then_some(());
        self.waiters
            .table()
            .wait_until(Want::Room, offer)
            .await
            .map_err(|TooManyWaiters| Full(event))?;
        self.waiters.wake();
        Ok(())
    }

    /// [`GatedTopic::gate`]: who makes the topic full, and lets publishers wait.
    #[must_use]
    pub fn gate(&self) -> Option<Gating> {
        self.inner.gate()
    }

    /// [`GatedTopic::stats`].
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        self.inner.stats()
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// [`GatedTopic::subscribe`]. Subscribing, and reading and dropping the subscriber, wakes publishers that wait
    /// for room.
    ///
    /// # Errors
    ///
    /// As for [`GatedTopic::subscribe`].
    pub fn subscribe(&self) -> Result<AwaitedSubscriber<'_, E>, TooManySubscribers> {
        let table = self.waiters.table();
        let subscriber = AwaitedSubscriber::new(self.inner.subscribe()?, table);
        // If it was interrupted, the gate has been where it began, and now is where it begins.
        table.wake_for_room();
        Ok(subscriber)
    }

    /// [`GatedTopic::subscribe_lagging`].
    pub fn subscribe_lagging(&self) -> AwaitedSubscriber<'_, E> {
        AwaitedSubscriber::new(self.inner.subscribe_lagging(), self.waiters.table())
    }
}

/// A [`Subscriber`] that can be awaited.
///
/// Reading wakes no task but publishers, and those only if it has made room: on a [`GatedTopic`], when no gating
/// subscriber is left behind. They are woken before the event is handed out. If a waker panics, all others are
/// woken, and the event is the next one that this subscriber hands out; [`Iterator::for_each`] hands it out
/// while the panic unwinds.
///
/// # Examples
///
/// ```
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::{Lagged, Topic};
/// use tickbus::wait::Awaited;
///
/// static DAMAGE: Awaited<Topic<u32, 2>, 2> = Awaited::new(Topic::new());
/// let mut audio = DAMAGE.subscribe();
/// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
///
/// assert_eq!(pin!(audio.next_event()).poll(&mut context), Poll::Pending);
/// for amount in 1..=3 {
///     DAMAGE.publish(amount); // the first wakes the task
/// }
/// assert_eq!(pin!(audio.next_event()).poll(&mut context), Poll::Ready(Ok(Err(Lagged(1)))));
/// assert!(audio.read().eq([Ok(2), Ok(3)]));
/// ```
#[must_use = "a subscriber that is dropped is unsubscribed"]
pub struct AwaitedSubscriber<'a, E: Copy, P: Publishers = Many> {
    // The order of the drops: first the gate opens, then publishers are woken.
    subscriber: Subscriber<'a, E, P>,
    publishers: Publish<'a>,
    /// What was read when a waker panicked.
    kept: Kept<Result<E, Lagged>>,
}

impl<'a, E: Copy, P: Publishers> AwaitedSubscriber<'a, E, P> {
    fn new(subscriber: Subscriber<'a, E, P>, table: &'a Table) -> Self {
        let gate = subscriber.gate();
        Self { subscriber, publishers: Publish { table, gate }, kept: Kept::nothing() }
    }

    /// Waits for the next event and reads it, or learns how many were missed. To drop the future before
    /// it is done reads nothing.
    ///
    /// # Errors
    ///
    /// [`TooManyWaiters`] if it would have to wait and as many others do as there are places.
    pub async fn next_event(&mut self) -> Result<Result<E, Lagged>, TooManyWaiters> {
        let Self { subscriber, publishers, kept } = self;
        let table = publishers.table;
        let next = || {
            if !kept.is_left() {
                // Kept until it is handed out: a waker may panic.
                kept.put(subscriber.read().next()?);
            }
            Some(())
        };
        table.wait_until(Want::Change, next).await?;
        publishers.wake_then(|| ());
        Ok(kept.take().unwrap_or_else(|| unreachable!("it is kept")))
    }

    /// [`Subscriber::read`]: never waits. Wakes publishers that wait for room, event by event.
    ///
    /// # Panics
    ///
    /// Reading panics if the waker of a publisher does.
    pub fn read(&mut self) -> impl Iterator<Item = Result<E, Lagged>> {
        let Self { subscriber, publishers, kept } = self;
        Reads { unread: subscriber.read(), publishers, kept }
    }

    /// [`Subscriber::pending`].
    #[must_use]
    pub fn pending(&self) -> usize {
        self.subscriber.pending() + usize::from(self.kept.is_left())
    }

    /// [`Subscriber::place`].
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        self.subscriber.place()
    }

    /// How many events wait, the one that is kept included.
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    pub(crate) fn ready(&self) -> usize {
        self.subscriber.stats().pending + usize::from(self.kept.is_left())
    }

    /// [`Subscriber::stats`].
    #[must_use]
    pub fn stats(&self) -> SubscriberStats {
        self.subscriber.stats()
    }
}

impl<E: Copy, P: Publishers> fmt::Debug for AwaitedSubscriber<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedSubscriber")
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}

/// The publishers that may wait for a subscriber.
struct Publish<'a> {
    table: &'a Table,
    /// Where they wait for this one, if it gates.
    gate: Option<(GateView<'a>, usize)>,
}

impl Publish<'_> {
    /// Wakes them if there is room now, and then calls `then`: also if a waker panics.
    #[inline(always)]
    fn wake_then<R>(&self, then: impl FnOnce() -> R) -> R {
        match self.gate {
            Some((gate, place)) => self.table.wake_then(|| gate.is_slowest(place), then),
            None => then(),
        }
    }
}

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        if self.gate.is_some() {
            self.table.wake_for_room();
        }
    }
}

/// What a subscriber has not read: [`AwaitedSubscriber::read`].
struct Reads<'s, 'a, E: Copy, P: Publishers> {
    unread: Unread<'s, 'a, E, P>,
    publishers: &'s Publish<'a>,
    kept: &'s mut Kept<Result<E, Lagged>>,
}

impl<E: Copy, P: Publishers> Iterator for Reads<'_, '_, E, P> {
    type Item = Result<E, Lagged>;

    #[inline]
    fn next(&mut self) -> Option<Result<E, Lagged>> {
        if let Some(read) = self.kept.take_left() {
            return Some(read);
        }
        let read = self.unread.next()?;
        let Publish { table, gate } = self.publishers;
        Some(match gate {
            Some((gate, place)) => table.wake_keeping(read, self.kept, || gate.is_slowest(*place)),
            None => read,
        })
    }

    #[inline]
    fn fold<B, F: FnMut(B, Result<E, Lagged>) -> B>(self, init: B, mut each: F) -> B {
        let init = match self.kept.take_left() {
            Some(read) => each(init, read),
            None => init,
        };
        let Self { unread, publishers, .. } = self;
        unread.fold(init, |so_far, read| publishers.wake_then(|| each(so_far, read)))
    }
}

impl<E: Copy, const W: usize> Awaited<Latest<E>, W> {
    /// [`Latest::publish`]: never waits, never fails. Wakes the watchers that wait.
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the value is published.
    #[inline]
    pub fn publish(&self, value: E) {
        self.inner.publish(value);
        self.waiters.wake();
    }

    /// [`Latest::get`].
    #[must_use]
    pub fn get(&self) -> Option<E> {
        self.inner.get()
    }

    /// [`Latest::watch`]. There may be any number of watchers; `W` may wait at the same time.
    pub fn watch(&self) -> AwaitedWatcher<'_, E> {
        AwaitedWatcher { watcher: self.inner.watch(), table: self.waiters.table() }
    }

    /// [`Latest::lost`].
    #[must_use]
    pub fn lost(&self) -> usize {
        self.inner.lost()
    }
}

/// A [`Watcher`] that can be awaited.
#[must_use = "a watcher does nothing by itself"]
pub struct AwaitedWatcher<'a, E> {
    watcher: Watcher<'a, E>,
    table: &'a Table,
}

impl<E: Copy> AwaitedWatcher<'_, E> {
    /// Waits for a value that this watcher has not seen. To drop the future before it is done sees none.
    ///
    /// # Errors
    ///
    /// [`TooManyWaiters`] if it would have to wait and as many others do as there are places.
    pub async fn next_change(&mut self) -> Result<Changed<E>, TooManyWaiters> {
        let Self { watcher, table } = self;
        table.wait_until(Want::Change, || watcher.changed()).await
    }

    /// [`Watcher::changed`]: never waits.
    #[inline]
    pub fn changed(&mut self) -> Option<Changed<E>> {
        self.watcher.changed()
    }

    /// [`Watcher::is_changed`].
    #[inline]
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.watcher.is_changed()
    }
}

impl<E: Copy> fmt::Debug for AwaitedWatcher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedWatcher").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}
