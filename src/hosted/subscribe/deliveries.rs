//! What a subscription receives: [`Deliveries`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;

use crate::hosted::capabilities::Mode;
use crate::hosted::counts::{Counts, DeliveryStats};
use crate::hosted::delivery::{Delivery, Gap, Receive};

/// Receives the deliveries of a subscription, and reports gaps.
///
/// It is a stream of `Result<Delivery, Gap>`. Dropping it ends the subscription, and the position
/// of a group stays.
#[must_use = "dropping it ends the subscription"]
pub struct Deliveries {
    pub(super) from: Box<dyn Receive>,
    pub(super) mode: Mode,
    pub(super) received: u64,
    pub(super) counts: Arc<Counts>,
    #[cfg(feature = "compression")]
    pub(super) max_decoded: usize,
}

impl Deliveries {
    /// Waits for the next delivery. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns [`Gap`] if events are missing at this place. The stream continues after it.
    pub async fn next(&mut self) -> Option<Result<Delivery, Gap>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Takes the next delivery if there is one now. Never waits, and needs no runtime. Returns
    /// `Pending` if there is none, and `Ready(None)` at the end.
    pub fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut next = self.from.try_next();
        self.count(&mut next);
        next
    }

    /// Accepts no further events. Pending ones can still be received, and then comes the end.
    pub fn close(&mut self) {
        self.from.close();
    }

    /// Returns the id of the subscription, if the engine gives it one, as a router does.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.from.id()
    }

    /// Returns how many events this subscription has still to receive, if the engine knows.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        self.from.lag()
    }

    /// Returns what became of the deliveries.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        Counts::stats(&self.counts, self.received, self.mode)
    }

    #[inline]
    fn count(&mut self, next: &mut Poll<Option<Result<Delivery, Gap>>>) {
        match next {
            Poll::Ready(Some(Ok(delivery))) => {
                self.received += 1;
                #[cfg(feature = "compression")]
                delivery.decompress(self.max_decoded);
                delivery.count(&self.counts);
            }
            Poll::Ready(Some(Err(gap))) => self.counts.gap(*gap),
            _ => {}
        }
    }
}

impl Stream for Deliveries {
    type Item = Result<Delivery, Gap>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut next = self.from.poll_next(context);
        self.count(&mut next);
        next
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("engine", &self.counts.engine())
            .field("stats", &self.stats())
            .field("lag", &self.lag())
            .finish()
    }
}
