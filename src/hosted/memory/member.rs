//! The two kinds of subscription of the memory engine.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::log::{Next, Taken, Taker};
use super::shared::Shared;
use crate::envelope::Envelope;
use crate::hosted::delivery::{
    Delivery, Gap, GapReason, Lease, Receive, Settle, SettleError, Verdict,
};
use crate::hosted::engine::Reason;
use crate::hosted::future::EngineFuture;
use crate::subject_bus::{RecvError, Subscription};
use crate::sync::Relaxed;

type Item = Option<Result<Delivery, Gap>>;

/// Counts a live subscription as long as it is open.
pub(super) struct Opened {
    shared: Arc<Shared>,
    blocks: bool,
}

impl Opened {
    pub(super) fn new(shared: &Arc<Shared>, blocks: bool) -> Self {
        shared.live.fetch_add(1, Relaxed);
        shared.blocking.fetch_add(usize::from(blocks), Relaxed);
        Self { shared: shared.clone(), blocks }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Relaxed);
        self.shared.blocking.fetch_sub(usize::from(self.blocks), Relaxed);
    }
}

/// A live subscription: one of the subject bus.
pub(super) struct Live {
    subscription: Subscription,
    /// Its place among the receivers that wait.
    waits: Option<u32>,
    /// What comes behind the gap that was told.
    behind: Option<Delivery>,
    /// How many were missing in the gaps so far.
    told: u64,
    _opened: Opened,
}

impl Live {
    pub(super) const fn new(subscription: Subscription, opened: Opened) -> Self {
        Self { subscription, waits: None, behind: None, told: 0, _opened: opened }
    }

    /// A gap comes before what is behind it. What was lost last has only the end behind it.
    fn item(&mut self, received: Option<Arc<Envelope>>) -> Item {
        let missed = match &received {
            Some(_) => self.subscription.missed(),
            None => self.subscription.dropped().saturating_sub(self.told),
        };
        let delivery = received.map(Delivery::live);
        if missed == 0 {
            return delivery.map(Ok);
        }
        self.told += missed;
        self.behind = delivery;
        Some(Err(Gap::new(Some(missed), GapReason::Overflow)))
    }
}

impl Receive for Live {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        if let Some(delivery) = self.behind.take() {
            return Poll::Ready(Some(Ok(delivery)));
        }
        let next = self.subscription.poll(&mut self.waits, || context.waker().clone());
        next.map(|received| self.item(received))
    }

    fn try_next(&mut self) -> Poll<Item> {
        if let Some(delivery) = self.behind.take() {
            return Poll::Ready(Some(Ok(delivery)));
        }
        match self.subscription.try_recv() {
            Ok(envelope) => Poll::Ready(self.item(Some(envelope))),
            Err(RecvError::Empty) => Poll::Pending,
            Err(_) => Poll::Ready(self.item(None)),
        }
    }

    fn close(&mut self) {
        self.subscription.close();
    }

    fn lag(&self) -> Option<u64> {
        Some(self.subscription.stats().pending + u64::from(self.behind.is_some()))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.subscription.forget(self.waits.take());
    }
}

/// A durable subscription: a member of a group.
pub(super) struct Member {
    shared: Arc<Shared>,
    taker: Taker,
    /// Its place among the members that wait.
    place: usize,
    settle: Arc<dyn Settle>,
    /// Ends when there may be something again, and when that is.
    sleep: Option<(Duration, EngineFuture<'static, ()>)>,
    closed: bool,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, taker: Taker, place: usize) -> Self {
        let settle = Arc::new(Leases { shared: shared.clone(), group: taker.group });
        Self { shared, taker, place, settle, sleep: None, closed: false }
    }

    fn delivery(&self, taken: Taken) -> Delivery {
        Delivery::shared(taken.envelope, self.settle.clone())
            .with_sequence(taken.sequence)
            .with_attempt(taken.attempt)
            .with_token(taken.epoch)
    }

    /// Takes the next, or leaves the waker. `Err` says until when.
    fn take(&self, waker: Option<Waker>) -> Result<Item, Option<Duration>> {
        if self.closed {
            return Ok(None);
        }
        match self.shared.next(&self.taker, self.place, waker) {
            None => Ok(None),
            Some(Next::Event(taken)) => Ok(Some(Ok(self.delivery(taken)))),
            Some(Next::Gap(missed)) => Ok(Some(Err(Gap::new(missed, GapReason::Trimmed)))),
            Some(Next::Wait(until)) => Err(until),
        }
    }
}

impl Receive for Member {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        loop {
            if let Ok(item) = self.take(None) {
                return Poll::Ready(item);
            }
            let until = match self.take(Some(context.waker().clone())) {
                Ok(item) => return Poll::Ready(item),
                Err(None) => return Poll::Pending,
                Err(Some(until)) => until,
            };
            // One that ends too early looks again, and is not made anew each time.
            if self.sleep.as_ref().is_none_or(|(end, _)| *end > until) {
                self.sleep = Some((until, self.shared.clock.sleep_until(until)));
            }
            let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
            if core::pin::Pin::new(sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
    }

    fn try_next(&mut self) -> Poll<Item> {
        self.take(None).map_or(Poll::Pending, Poll::Ready)
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn lag(&self) -> Option<u64> {
        Some(self.shared.lag(self.taker.group))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.leave(self.place);
    }
}

/// Settles all deliveries of a member.
struct Leases {
    shared: Arc<Shared>,
    group: usize,
}

impl Settle for Leases {
    fn settle(&self, lease: Lease, verdict: Verdict) -> Result<(), SettleError> {
        let sequence = lease.sequence.unwrap_or(0);
        match self.shared.settle(self.group, sequence, lease.token, verdict) {
            Some(true) => Ok(()),
            Some(false) => Err(SettleError::Late),
            None => Err(SettleError::Failed(Reason::Closed)),
        }
    }
}

pub(super) fn boxed(receive: impl Receive + 'static) -> Box<dyn Receive> {
    Box::new(receive)
}
