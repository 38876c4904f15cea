//! A lane that can be awaited.

use core::fmt;

use super::bus::Offer;
use super::{Awaited, AwaitedConsumer, PublishWait, Table, is_any_published};
use crate::bus::{Lane, Publisher, Single, Stats};
use crate::error::{Claimed, Full};

impl<E, const N: usize, const W: usize> Awaited<Lane<E, N>, W> {
    /// Claims the publishing end: [`Lane::publisher`].
    ///
    /// # Errors
    ///
    /// As for [`Lane::publisher`].
    pub fn publisher(&self) -> Result<AwaitedLanePublisher<'_, E>, Claimed> {
        Ok(AwaitedLanePublisher { publisher: self.inner.publisher()?, table: self.waiters.table() })
    }

    /// [`Lane::publish`]: never waits. Wakes the consumer.
    ///
    /// # Errors
    ///
    /// As for [`Lane::publish`].
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.inner.publish(event)?;
        self.waiters.table().wake();
        Ok(())
    }

    /// Claims the reading end: [`Lane::consumer`].
    ///
    /// # Errors
    ///
    /// As for [`Lane::consumer`].
    pub fn consumer(&self) -> Result<AwaitedConsumer<'_, E, Single>, Claimed> {
        Ok(AwaitedConsumer::new(self.inner.consumer()?, self.waiters.table()))
    }

    /// How many events wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.inner.pending()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

/// The one publishing end of a lane that can be awaited: a [`Publisher`] that wakes the consumer, and that
/// can wait for room.
///
/// Two places are enough for both ends, and one where only the consumer waits. A publish stays wait-free
/// when nobody waits, and costs a fence, a load and a branch more; on x86 the fence costs more than
/// the rest.
///
/// # Examples
///
/// ```
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::{Full, Lane};
/// use tickbus::wait::Awaited;
///
/// static SAMPLES: Awaited<Lane<u16, 2>, 2> = Awaited::new(Lane::new());
/// let mut adc = SAMPLES.publisher().expect("this is the only publisher");
/// let mut samples = SAMPLES.consumer().expect("this task is the only consumer");
/// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
///
/// assert_eq!(pin!(samples.next_event()).poll(&mut context), Poll::Pending);
/// adc.publish(1)?; // this wakes the task
/// assert_eq!(pin!(samples.next_event()).poll(&mut context), Poll::Ready(1));
///
/// adc.publish_batch(&[2, 3]).unwrap();
/// assert_eq!(adc.publish(4), Err(Full(4))); // this never waits,
/// let mut waiting = pin!(adc.publish_wait(4)); // and this does
/// assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
/// assert!(samples.drain().eq([2, 3])); // this wakes the publisher
/// assert_eq!(waiting.poll(&mut context), Poll::Ready(Ok(())));
/// # Ok::<(), Full<u16>>(())
/// ```
#[must_use = "a publisher that is dropped is given back"]
pub struct AwaitedLanePublisher<'a, E> {
    publisher: Publisher<'a, E>,
    table: &'a Table,
}

impl<'a, E> AwaitedLanePublisher<'a, E> {
    /// [`Publisher::publish`]: never waits. Wakes the consumer.
    ///
    /// # Errors
    ///
    /// As for [`Publisher::publish`].
    ///
    /// # Panics
    ///
    /// If the waker of the consumer does, when the event is published.
    #[inline]
    pub fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        self.publisher.publish(event)?;
        self.table.wake();
        Ok(())
    }

    /// [`Publisher::publish_batch`]: never waits. Wakes the consumer once.
    ///
    /// # Errors
    ///
    /// As for [`Publisher::publish_batch`].
    ///
    /// # Panics
    ///
    /// As for [`publish`](Self::publish).
    #[inline]
    pub fn publish_batch<'e>(&mut self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        let done = self.publisher.publish_batch(events);
        if is_any_published(events, &done) {
            self.table.wake();
        }
        done
    }

    /// Publishes `event`, and waits for room if there is none.
    ///
    /// The future has the event until it is done; dropping it drops the event, which then leaves no
    /// trace on the lane and in its counts. [`PublishWait::into_event`] gets it back.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back if it would have to wait and `W` others do. It does not count as
    /// refused.
    pub fn publish_wait(&mut self, event: E) -> PublishWait<'_, E, &mut Publisher<'a, E>> {
        PublishWait::new(&mut self.publisher, event, self.table)
    }
}

impl<E> Offer<E> for &mut Publisher<'_, E> {
    #[inline(always)]
    fn offer(&mut self, event: E) -> Result<Option<E>, E> {
        Publisher::offer(self, event).map(|()| None)
    }
}

impl<E> fmt::Debug for AwaitedLanePublisher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedLanePublisher")
            .field("publisher", &self.publisher)
            .finish_non_exhaustive()
    }
}
