//! The envelopes of a subscription, awaited by a task: [`Subscription::stream`].

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;

use super::queue::ReceiverId;
use super::subscription::Subscription;
use crate::envelope::Envelope;

/// Awaits the envelopes of a subscription: see [`Subscription::stream`].
///
/// It works with any executor.
///
/// # Cancel safety
///
/// If you drop a stream, or a future of [`recv`](Self::recv), before it is ready, it has taken no
/// envelope. If it was woken for one, it wakes another receiver of the subscription. If you poll a
/// stream yourself, keep it, and do not poll it again, it keeps its turn.
#[must_use = "a stream receives nothing before it is polled"]
pub struct SubscriptionStream<'a> {
    subscription: &'a Subscription,
    waits: Option<ReceiverId>,
}

impl Subscription {
    /// Returns a stream of the envelopes, for a task that awaits them. It ends with the
    /// subscription.
    ///
    /// Tasks and threads may receive from one subscription at the same time.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     use std::task::{Context, Poll, Waker};
    /// #     let mut future = std::pin::pin!(future);
    /// #     match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #         Poll::Ready(output) => output,
    /// #         Poll::Pending => unreachable!("all is there"),
    /// #     }
    /// # }
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.open();
    /// bus.try_publish(Envelope::unstamped("lap.1")?)?;
    /// bus.close();
    ///
    /// block_on(async {
    ///     let mut stream = laps.stream();
    ///     assert_eq!(stream.recv().await.unwrap().subject().as_str(), "lap.1");
    ///     assert_eq!(stream.recv().await, None); // the end
    /// });
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub const fn stream(&self) -> SubscriptionStream<'_> {
        SubscriptionStream { subscription: self, waits: None }
    }
}

impl SubscriptionStream<'_> {
    /// Waits for the next envelope. Returns `None` at the end. It does what `next` of a stream
    /// does, and needs no further crate.
    pub async fn recv(&mut self) -> Option<Arc<Envelope>> {
        let waiting = Waiting(self);
        poll_fn(|context| Pin::new(&mut *waiting.0).poll_next(context)).await
    }

    fn leave(&mut self) {
        self.subscription.forget(self.waits.take());
    }
}

/// A `recv` in progress. When it is dropped, it waits no more.
struct Waiting<'s, 'a>(&'s mut SubscriptionStream<'a>);

impl Drop for Waiting<'_, '_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Stream for SubscriptionStream<'_> {
    type Item = Arc<Envelope>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Arc<Envelope>>> {
        let subscription = self.subscription;
        subscription.poll(&mut self.waits, || context.waker().clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::try_from(self.subscription.stats().pending).unwrap_or(0), None)
    }
}

impl Drop for SubscriptionStream<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for SubscriptionStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubscriptionStream").field(self.subscription).finish()
    }
}
