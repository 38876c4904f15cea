//! The envelopes of a subscription for a task that awaits them.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;

use super::queue::ReceiverId;
use super::subscription::Subscription;
use crate::envelope::Envelope;

/// The envelopes of a subscription as they come, for a task: see [`Subscription::stream`].
///
/// Any executor will do. It is cancel safe: a stream, or a future of [`recv`](Self::recv), that is dropped
/// before it is ready has taken nothing, and if it was woken for an envelope, another receiver of the
/// subscription is woken instead. A stream that is polled by itself and then kept without another look
/// keeps its turn.
#[must_use = "nothing is received before it is polled"]
pub struct SubscriptionStream<'a> {
    subscription: &'a Subscription,
    waits: Option<ReceiverId>,
}

impl<'a> SubscriptionStream<'a> {
    pub(super) const fn new(subscription: &'a Subscription) -> Self {
        Self { subscription, waits: None }
    }

    /// The next envelope; `None` is the end. The same as `next` of a stream, without a crate for it.
    pub async fn recv(&mut self) -> Option<Arc<Envelope>> {
        let waiting = Waiting(self);
        poll_fn(|context| Pin::new(&mut *waiting.0).poll_next(context)).await
    }

    fn leave(&mut self) {
        self.subscription.forget(self.waits.take());
    }
}

/// A `recv` under way; one that is dropped waits no more.
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
