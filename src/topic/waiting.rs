//! Waiting for topics and latest values: the methods that they have with waiters.

use core::future::poll_fn;
#[cfg(feature = "std")]
use core::pin::pin;
use core::task::Poll;

use super::{Changed, GatedTopic, Publishers, Selective, Subscriber, Watcher};
use crate::ring::broadcast::Shelf as _;
use crate::ring::waiter::Want;
#[cfg(feature = "std")]
use crate::wait::block;
#[cfg(feature = "std")]
use crate::wait::thread::block_on;
#[cfg(feature = "std")]
use crate::wait::{NotPublished, Wait};
use crate::wait::{Offer, PublishAsync, WaitError, Waiters};

impl<E: Copy, const N: usize, const S: usize, const K: usize> GatedTopic<E, N, S, Waiters<K>> {
    /// Publishes `event`, and waits while a gating subscriber has `N` unread events, until it reads one or is dropped.
    /// Room wins: a poll that finds room publishes.
    ///
    /// Dropping the future drops the event, which leaves no trace. [`PublishAsync::into_event`] returns it instead.
    ///
    /// # Errors
    ///
    /// Returns [`Full`](crate::Full) with the event if it would have to wait and `K` others do. It does not count
    /// as refused.
    pub fn publish_async(&self, event: E) -> PublishAsync<'_, E, &Self> {
        PublishAsync::new(self, event, self.waiters.table())
    }

    /// Publishes `event`, and waits on this thread while a gating subscriber has `N` unread events. Room wins:
    /// where there is room, neither a deadline in the past nor a cancellation keeps the event out.
    ///
    /// # Errors
    ///
    /// Returns [`NotPublished`] with the event if the wait is over before there is room, or if `K` others wait.
    /// The event leaves no trace on the topic and in its counts.
    #[cfg(feature = "std")]
    pub fn publish_wait(&self, event: E, wait: Wait<'_>) -> Result<(), NotPublished<E>> {
        block(self.publish_async(event), wait)
    }
}

impl<E: Copy, const N: usize, const S: usize, const K: usize> Offer<E>
    for &GatedTopic<E, N, S, Waiters<K>>
{
    #[inline(always)]
    fn offer(&mut self, event: E) -> Result<Option<E>, E> {
        if self.put(event, 0) { Ok(None) } else { Err(event) }
    }
}

impl<E: Copy, P: Publishers, const K: usize> Subscriber<'_, E, P, Waiters<K>> {
    /// Waits until there is something to [`read`](Self::read). Reads nothing, so you may drop the future at any
    /// time.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::TooManyWaiters`] if it would have to wait and `K` others do.
    pub async fn ready_async(&mut self) -> Result<(), WaitError> {
        let table = self.waiters.get().table();
        Ok(table.wait_until(Want::Change, || self.has_unread().then_some(())).await?)
    }

    /// Waits for the next event and reads it. Dropping the future before it is done reads no event.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::Lagged`] if it missed events, and [`WaitError::TooManyWaiters`] if it would have to
    /// wait and `K` others do.
    ///
    /// # Panics
    ///
    /// A poll panics if the waker of a publisher does. The event is then the next one that is handed out.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use std::pin::pin;
    /// use tickbus::wait::WaitError;
    /// use tickbus::{Lagged, Topic, Waiters};
    ///
    /// static DAMAGE: Topic<u32, 2, Waiters<2>> = Topic::new();
    /// let mut audio = DAMAGE.subscribe();
    /// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
    ///
    /// assert_eq!(pin!(audio.next_async()).poll(&mut context), Poll::Pending);
    /// for amount in 1..=3 {
    ///     DAMAGE.publish(amount); // the first wakes the task
    /// }
    /// let lagged = WaitError::Lagged(Lagged(1));
    /// assert_eq!(pin!(audio.next_async()).poll(&mut context), Poll::Ready(Err(lagged)));
    /// assert!(audio.read().eq([Ok(2), Ok(3)]));
    /// ```
    pub async fn next_async(&mut self) -> Result<E, WaitError> {
        let table = self.waiters.get().table();
        let next = || {
            if !self.kept.is_left() {
                let end = self.ring.end();
                // Kept until it is handed out: a waker may panic.
                let read = self.next_before(end)?;
                self.kept.0.put(read);
            }
            Some(())
        };
        table.wait_until(Want::Change, next).await?;
        self.wake_then(|| ());
        let read = self.kept.0.take().unwrap_or_else(|| unreachable!("it is kept"));
        Ok(read?)
    }

    /// Waits on this thread for the next event and reads it. An event that is there wins over a deadline in the
    /// past and over a cancellation.
    ///
    /// # Errors
    ///
    /// As for [`next_async`](Self::next_async). It also returns [`WaitError::TimedOut`] or [`WaitError::Cancelled`] if
    /// the wait is over before there is an event.
    ///
    /// # Panics
    ///
    /// Panics if the waker of a publisher does. The event is then the next one that is handed out.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use tickbus::wait::Wait;
    /// use tickbus::{Topic, Waiters};
    ///
    /// static DAMAGE: Topic<u32, 2, Waiters<1>> = Topic::new();
    /// let mut audio = DAMAGE.subscribe();
    ///
    /// let fight = thread::spawn(|| DAMAGE.publish(7));
    /// assert_eq!(audio.next_wait(Wait::forever()), Ok(7));
    /// fight.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    pub fn next_wait(&mut self, wait: Wait<'_>) -> Result<E, WaitError> {
        let mut next = pin!(self.next_async());
        block_on(wait, |context| next.as_mut().poll(context))?
    }
}

impl<E, F, P, const K: usize> Selective<'_, E, F, P, Waiters<K>>
where
    E: Copy,
    F: FnMut(&E) -> bool,
    P: Publishers,
{
    /// Waits until there are events that were not read. Reads none, so you may drop the future at any time.
    ///
    /// The filter runs when you read them with [`read`](Self::read) or [`read_at`](Self::read_at), so all of
    /// them may be unwanted.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::TooManyWaiters`] if it would have to wait and `K` others do.
    ///
    /// # Examples
    ///
    /// A radio that sends at most every ten ticks, and sleeps while there is nothing to send:
    ///
    /// ```no_run
    /// use tickbus::{Topic, Waiters};
    ///
    /// static POSE: Topic<[f32; 2], 8, Waiters<1>> = Topic::new();
    ///
    /// # fn now() -> u32 { 0 }
    /// # fn send(_: [f32; 2]) {}
    /// async fn radio() {
    ///     let mut poses = POSE.subscribe().selective().min_interval(10);
    ///     loop {
    ///         poses.ready_async().await.expect("this task is the only one that waits");
    ///         poses.read_at(now()).flatten().for_each(send);
    ///     }
    /// }
    /// # drop(radio());
    /// ```
    pub async fn ready_async(&mut self) -> Result<(), WaitError> {
        self.subscriber.ready_async().await
    }

    /// Waits for the next event that is wanted, and reads it. It ignores the interval.
    ///
    /// Unwanted events that come meanwhile are skipped, also if you drop the future before it is done. While
    /// [masked](Self::set_masked), every event is skipped, so the wait does not end by itself.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::Lagged`] if it missed events, and [`WaitError::TooManyWaiters`] if it would have to
    /// wait and `K` others do.
    ///
    /// # Panics
    ///
    /// A poll panics if the filter or the waker of a publisher does. The event that the filter was asked about
    /// counts as skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use std::pin::pin;
    /// use tickbus::{Topic, Waiters};
    ///
    /// static SAMPLES: Topic<i32, 4, Waiters<1>> = Topic::new();
    /// let mut positive = SAMPLES.subscribe().filter(|sample| *sample > 0);
    /// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
    ///
    /// {
    ///     let mut next = pin!(positive.next_async());
    ///     SAMPLES.publish(-1);
    ///     assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
    ///     SAMPLES.publish(2);
    ///     assert_eq!(next.poll(&mut context), Poll::Ready(Ok(2)));
    /// }
    /// assert_eq!(positive.stats().skipped, 1);
    /// ```
    pub async fn next_async(&mut self) -> Result<E, WaitError> {
        if self.is_masked() {
            let table = self.subscriber.waiters.get().table();
            let skip = || {
                self.skip_all();
                None
            };
            return table.wait_until(Want::Change, skip).await?;
        }
        loop {
            // A publisher may be as fast as the filter: then others get their turn once a lap.
            for _ in 0..self.subscriber.ring.span() {
                let event = self.subscriber.next_async().await?;
                if self.takes(&event, false) {
                    return Ok(event);
                }
            }
            come_again().await;
        }
    }

    /// Waits on this thread for the next event that is wanted, and reads it. It ignores the interval. An event that is
    /// there wins over a deadline in the past and over a cancellation.
    ///
    /// # Errors
    ///
    /// As for [`next_async`](Self::next_async). It also returns [`WaitError::TimedOut`] or [`WaitError::Cancelled`] if
    /// the wait is over before there is a wanted event.
    ///
    /// # Panics
    ///
    /// As for [`next_async`](Self::next_async).
    #[cfg(feature = "std")]
    pub fn next_wait(&mut self, wait: Wait<'_>) -> Result<E, WaitError> {
        let mut next = pin!(self.next_async());
        block_on(wait, |context| next.as_mut().poll(context))?
    }
}

/// Is pending once, and asks to be polled again.
async fn come_again() {
    let mut is_again = false;
    poll_fn(|context| {
        if is_again {
            return Poll::Ready(());
        }
        is_again = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<E: Copy, const K: usize> Watcher<'_, E, Waiters<K>> {
    /// Waits for a value that this watcher has not seen. Dropping the future before it is done changes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::TooManyWaiters`] if it would have to wait and `K` others do.
    pub async fn changed_async(&mut self) -> Result<Changed<E>, WaitError> {
        let table = self.waiters.get().table();
        Ok(table.wait_until(Want::Change, || self.changed()).await?)
    }

    /// Waits on this thread for a value that this watcher has not seen. A value that is there wins over a
    /// deadline in the past and over a cancellation.
    ///
    /// # Errors
    ///
    /// As for [`changed_async`](Self::changed_async). It also returns [`WaitError::TimedOut`] or
    /// [`WaitError::Cancelled`] if the wait is over before there is a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use tickbus::wait::Wait;
    /// use tickbus::{Latest, Waiters};
    ///
    /// static POSE: Latest<(f32, f32), Waiters<1>> = Latest::new();
    /// let mut arm = POSE.watch();
    ///
    /// let camera = thread::spawn(|| POSE.publish((0.5, 1.0)));
    /// assert_eq!(arm.changed_wait(Wait::forever()).unwrap().value, (0.5, 1.0));
    /// camera.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    pub fn changed_wait(&mut self, wait: Wait<'_>) -> Result<Changed<E>, WaitError> {
        let mut changed = pin!(self.changed_async());
        block_on(wait, |context| changed.as_mut().poll(context))?
    }
}
