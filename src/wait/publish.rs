//! A publish that waits for room.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

#[cfg(feature = "std")]
use super::error::{NotPublished, WaitError};
use super::table::{Table, Waiting};
#[cfg(feature = "std")]
use super::thread::{Wait, block_on};
use crate::error::Full;
use crate::ring::waiter::Want;

/// A destination to which a publish may have to wait for room.
pub(crate) trait Offer<E> {
    /// Publishes the event, and returns the one that it displaced. Returns the event if there is no room. Counts no
    /// refusal and wakes no task.
    fn offer(&mut self, event: E) -> Result<Option<E>, E>;
}

/// A publish to `T` that waits for room: [`Bus::publish_async`](crate::Bus::publish_async) and its like.
#[must_use = "a future does nothing until it is polled"]
pub struct PublishAsync<'a, E, T> {
    to: T,
    event: Option<E>,
    wait: Waiting<'a>,
}

impl<'a, E, T> PublishAsync<'a, E, T> {
    pub(crate) fn new(to: T, event: E, table: &'a Table) -> Self {
        Self { to, event: Some(event), wait: Waiting::new(table, Want::Room) }
    }

    /// Ends the wait. Returns the event, unless it was published or returned.
    #[must_use]
    pub fn into_event(self) -> Option<E> {
        self.event
    }
}

/// Waits on this thread for a publish.
#[cfg(feature = "std")]
pub(crate) fn block<E, T: Offer<E>>(
    mut publish: PublishAsync<'_, E, T>,
    wait: Wait<'_>,
) -> Result<(), NotPublished<E>> {
    let reason = match block_on(wait, |context| Pin::new(&mut publish).poll(context)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Full(event))) => {
            return Err(NotPublished { event, reason: WaitError::TooManyWaiters });
        }
        Err(reason) => reason,
    };
    let event = publish.event.unwrap_or_else(|| unreachable!("it found no room"));
    Err(NotPublished { event, reason })
}

/// The event is never pinned.
impl<E, T> Unpin for PublishAsync<'_, E, T> {}

impl<E, T: Offer<E>> Future for PublishAsync<'_, E, T> {
    type Output = Result<(), Full<E>>;

    /// # Panics
    ///
    /// Panics if it was done before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { to, event, wait } = self.get_mut();
        let offer = || {
            let offered = event.take().expect("a future is not polled when it is done");
            match to.offer(offered) {
                Ok(displaced) => Some(displaced),
                Err(back) => {
                    *event = Some(back);
                    None
                }
            }
        };
        match wait.poll(context, offer) {
            Poll::Ready(Ok(displaced)) => {
                wait.table.wake();
                drop(displaced);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Full(
                event.take().unwrap_or_else(|| unreachable!("it found no room")),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<E, T> fmt::Debug for PublishAsync<'_, E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishAsync")
            .field("is_done", &self.event.is_none())
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
