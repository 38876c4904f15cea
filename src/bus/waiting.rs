//! Waiting for a bus or a lane: the methods that they have with waiters.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Bus;
use super::consumer::Consumer;
use super::lane::Publisher;
use super::overrun::{Policy, Queue};
use crate::ring::Side;
use crate::ring::kept::Kept;
#[cfg(feature = "std")]
use crate::wait::block;
#[cfg(feature = "std")]
use crate::wait::thread::block_on;
#[cfg(feature = "std")]
use crate::wait::{NotPublished, Wait, WaitError};
use crate::wait::{Offer, PublishAsync, Waiters, Wakes as _};

impl<E, const N: usize, P: Policy, const K: usize> Bus<E, N, P, Waiters<K>> {
    /// Publishes `event`, and waits for room if there is none. Room wins: a poll that finds room publishes.
    ///
    /// The future holds the event until it is done. Dropping the future drops the event, which leaves no trace on the bus
    /// and in its counts. [`PublishAsync::into_event`] returns it instead. Waiting tasks do not queue up: the first
    /// publish after room was made gets it, also one that did not wait.
    ///
    /// You may wait with any policy. A [`DropNewest`](crate::DropNewest) bus does not drop an event that waits for room.
    /// A [`DropOldest`](crate::DropOldest) bus makes room itself: a publish waits only while publishes in progress hold
    /// all `N` slots.
    ///
    /// # Errors
    ///
    /// Returns [`Full`](crate::Full) with the event if it would have to wait and `K` others do. It does not count as
    /// refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use std::pin::pin;
    /// use tickbus::{Bus, Reject, Waiters};
    ///
    /// static BUS: Bus<u8, 2, Reject, Waiters<2>> = Bus::new();
    /// BUS.publish_batch(&[1, 2]).unwrap();
    ///
    /// let mut context = Context::from_waker(Waker::noop());
    /// let mut third = BUS.publish_async(3);
    /// assert_eq!(pin!(&mut third).poll(&mut context), Poll::Pending);
    /// assert_eq!(third.into_event(), Some(3)); // enough of waiting
    /// assert_eq!(BUS.stats().refused, 0);
    /// ```
    pub fn publish_async(&self, event: E) -> PublishAsync<'_, E, &Self> {
        PublishAsync::new(self, event, self.waiters.table())
    }

    /// Publishes `event`, and waits on this thread for room if there is none. Room wins: where there is room,
    /// neither a deadline in the past nor a cancellation keeps the event out.
    ///
    /// # Errors
    ///
    /// Returns [`NotPublished`] with the event if the wait is over before there is room, or if `K` others wait.
    /// The event leaves no trace on the bus and in its counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use tickbus::wait::Wait;
    /// use tickbus::{Bus, Reject, Waiters};
    ///
    /// static BUS: Bus<u8, 2, Reject, Waiters<2>> = Bus::new();
    /// let mut events = BUS.consumer().unwrap();
    ///
    /// let publisher = thread::spawn(|| {
    ///     for event in 0..9 {
    ///         BUS.publish_wait(event, Wait::forever()).expect("a place for each");
    ///     }
    /// });
    /// for event in 0..9 {
    ///     assert_eq!(events.next_wait(Wait::forever()), Ok(event));
    /// }
    /// publisher.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    pub fn publish_wait(&self, event: E, wait: Wait<'_>) -> Result<(), NotPublished<E>> {
        block(self.publish_async(event), wait)
    }
}

impl<E, const N: usize, P: Policy, const K: usize> Offer<E> for &Bus<E, N, P, Waiters<K>> {
    #[inline(always)]
    fn offer(&mut self, event: E) -> Result<Option<E>, E> {
        Bus::offer(self, event)
    }
}

impl<E, const K: usize> Publisher<'_, E, Waiters<K>> {
    /// Publishes `event`, and waits for room if there is none.
    ///
    /// Two places suffice for both ends of a lane, and one if only the consumer waits. The future holds the event until
    /// it is done. Dropping the future drops the event, which leaves no trace on the lane and in its counts.
    /// [`PublishAsync::into_event`] returns it instead.
    ///
    /// # Errors
    ///
    /// Returns [`Full`](crate::Full) with the event if it would have to wait and `K` others do. It does not count as
    /// refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use std::pin::pin;
    /// use tickbus::{Full, Lane, Waiters};
    ///
    /// static SAMPLES: Lane<u16, 2, Waiters<2>> = Lane::new();
    /// let mut adc = SAMPLES.publisher().expect("this is the only publisher");
    /// let mut samples = SAMPLES.consumer().expect("this task is the only consumer");
    /// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
    ///
    /// assert_eq!(pin!(samples.next_async()).poll(&mut context), Poll::Pending);
    /// adc.publish(1)?; // this wakes the task
    /// assert_eq!(pin!(samples.next_async()).poll(&mut context), Poll::Ready(1));
    ///
    /// adc.publish_batch(&[2, 3]).unwrap();
    /// assert_eq!(adc.publish(4), Err(Full(4))); // this never waits,
    /// let mut waiting = pin!(adc.publish_async(4)); // and this does
    /// assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
    /// assert!(samples.drain().eq([2, 3])); // this wakes the publisher
    /// assert_eq!(waiting.poll(&mut context), Poll::Ready(Ok(())));
    /// # Ok::<(), Full<u16>>(())
    /// ```
    pub fn publish_async(&mut self, event: E) -> PublishAsync<'_, E, &mut Self> {
        let table = self.waiters.get().table();
        PublishAsync::new(self, event, table)
    }

    /// Publishes `event`, and waits on this thread for room if there is none, as [`Bus::publish_wait`] does.
    ///
    /// # Errors
    ///
    /// Returns [`NotPublished`] with the event if the wait is over before there is room, or if `K` others wait.
    /// The event leaves no trace on the lane and in its counts.
    #[cfg(feature = "std")]
    pub fn publish_wait(&mut self, event: E, wait: Wait<'_>) -> Result<(), NotPublished<E>> {
        block(self.publish_async(event), wait)
    }
}

impl<E, const K: usize> Offer<E> for &mut Publisher<'_, E, Waiters<K>> {
    #[inline(always)]
    fn offer(&mut self, event: E) -> Result<Option<E>, E> {
        Publisher::offer(self, event).map(|()| None)
    }
}

/// # Wakers that panic
///
/// A take wakes publishers before it hands out the event, so code that works on the event may wait for them. If a waker
/// panics, all others are woken and no event is lost. A tick and [`Iterator::for_each`] still call the handler, while
/// the panic unwinds. An event that [`next_async`](Self::next_async) or [`Iterator::next`] had taken is the next one that
/// this consumer hands out. It counts as handled.
impl<'a, E, P: Queue, const K: usize> Consumer<'a, E, P, Waiters<K>> {
    /// Waits until events can be drained. Takes none, so it may be dropped at any time.
    ///
    /// On a [`DropOldest`](crate::DropOldest) bus, publishers may drop them before the drain begins.
    ///
    /// # Examples
    ///
    /// A task that ticks whenever there is something to do:
    ///
    /// ```no_run
    /// use tickbus::{Budget, Bus, Dispatch, Reject, Waiters};
    ///
    /// tickbus::events! {
    ///     pub enum Input { #[subject = "input.key"] Key(char) }
    /// }
    ///
    /// static BUS: Bus<Input, 64, Reject, Waiters<2>> = Bus::new();
    /// static HANDLERS: Dispatch<Input, String, { Input::KINDS }> =
    ///     Dispatch::new().on("input.key", |text, Input::Key(key)| text.push(*key));
    ///
    /// async fn typist() {
    ///     let mut text = String::new();
    ///     let mut events = BUS.consumer().expect("this task is the only consumer");
    ///     loop {
    ///         events.ready_async().await;
    ///         let report = HANDLERS.tick(&mut text, &mut events, Budget::events(16));
    /// #       let _ = report;
    ///     }
    /// }
    /// # drop(typist());
    /// ```
    pub fn ready_async(&mut self) -> ReadyAsync<'_, 'a, E, P, K> {
        ReadyAsync { consumer: self }
    }

    /// Waits for the next event and takes it. Dropping the future before it is done takes no event.
    ///
    /// # Panics
    ///
    /// A poll panics if the waker of a publisher does. The event is then the next one that is handed out.
    pub fn next_async(&mut self) -> NextAsync<'_, 'a, E, P, K> {
        NextAsync { consumer: self }
    }

    /// Waits on this thread for the next event and takes it. An event that is there wins over a deadline in
    /// the past and over a cancellation.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError::TimedOut`] or [`WaitError::Cancelled`] if the wait is over before there is an event.
    ///
    /// # Panics
    ///
    /// Panics if the waker of a publisher does. The event is then the next one that is handed out.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tickbus::wait::{Wait, WaitError};
    /// use tickbus::{Bus, Reject, Waiters};
    ///
    /// static BUS: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();
    /// let mut events = BUS.consumer().unwrap();
    /// let brief = Wait::forever().timeout(Duration::from_millis(5));
    ///
    /// assert_eq!(events.next_wait(brief), Err(WaitError::TimedOut));
    /// BUS.publish(1).unwrap();
    /// assert_eq!(events.next_wait(brief), Ok(1)); // the deadline is over, but there is an event
    /// ```
    #[cfg(feature = "std")]
    pub fn next_wait(&mut self, wait: Wait<'_>) -> Result<E, WaitError> {
        let mut next = self.next_async();
        block_on(wait, |context| Pin::new(&mut next).poll(context))
    }

    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut ready: impl FnMut(&mut Side<'a, P::Reader<E>>, &mut Kept<E, Waiters<K>>) -> Option<T>,
    ) -> Poll<T> {
        let Self { side, stand, kept } = self;
        match stand.poll(context, || ready(side, kept)) {
            Poll::Ready(Ok(found)) => Poll::Ready(found),
            Poll::Ready(Err(_)) => {
                // Publishers have all the places, and there is no event: so each was interrupted between taking its
                // place and finding room. We may be what interrupted it, so we wait for none of them.
                stand.waiters().wake();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A wait for events: [`Consumer::ready_async`].
#[must_use = "a future does nothing until it is polled"]
pub struct ReadyAsync<'c, 'a, E, P: Queue, const K: usize> {
    consumer: &'c mut Consumer<'a, E, P, Waiters<K>>,
}

impl<E, P: Queue, const K: usize> Future for ReadyAsync<'_, '_, E, P, K> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut()
            .consumer
            .poll(context, |side, kept| (kept.is_left() || side.has_event()).then_some(()))
    }
}

impl<E, P: Queue, const K: usize> Drop for ReadyAsync<'_, '_, E, P, K> {
    fn drop(&mut self) {
        self.consumer.stand.leave();
    }
}

impl<E, P: Queue, const K: usize> fmt::Debug for ReadyAsync<'_, '_, E, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyAsync").field("consumer", &self.consumer).finish()
    }
}

/// A wait for one event: [`Consumer::next_async`].
#[must_use = "a future does nothing until it is polled"]
pub struct NextAsync<'c, 'a, E, P: Queue, const K: usize> {
    consumer: &'c mut Consumer<'a, E, P, Waiters<K>>,
}

impl<E, P: Queue, const K: usize> Future for NextAsync<'_, '_, E, P, K> {
    type Output = E;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<E> {
        let consumer = &mut *self.get_mut().consumer;
        let next = |side: &mut Side<'_, P::Reader<E>>, kept: &mut Kept<E, Waiters<K>>| {
            if !kept.is_left() {
                let mut span = side.freeze();
                // Kept until it is handed out: a waker may panic when it is dropped, too.
                kept.0.put(side.take(&mut span)?);
            }
            Some(())
        };
        let Poll::Ready(()) = consumer.poll(context, next) else { return Poll::Pending };
        consumer.stand.waiters().wake_for_room();
        Poll::Ready(consumer.kept.0.take().unwrap_or_else(|| unreachable!("it is kept")))
    }
}

impl<E, P: Queue, const K: usize> Drop for NextAsync<'_, '_, E, P, K> {
    fn drop(&mut self) {
        self.consumer.stand.leave();
    }
}

impl<E, P: Queue, const K: usize> fmt::Debug for NextAsync<'_, '_, E, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextAsync").field("consumer", &self.consumer).finish()
    }
}
