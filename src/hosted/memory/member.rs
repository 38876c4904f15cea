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
    /// How many were missing and too old, and it was not told yet.
    missed: u64,
    expired: u64,
    /// What comes behind these gaps.
    behind: Option<Delivery>,
    /// How many were missing in the gaps so far.
    told: u64,
    opened: Opened,
}

impl Live {
    pub(super) const fn new(subscription: Subscription, opened: Opened) -> Self {
        let (missed, expired, behind, told) = (0, 0, None, 0);
        Self { subscription, waits: None, missed, expired, behind, told, opened }
    }

    /// Returns whether what came is all that there is to give out: there are no gaps, and no event
    /// has an age.
    #[inline]
    fn is_plain(&self) -> bool {
        let shared = &self.opened.shared;
        !shared.followed.any()
            && shared.dated.load(Relaxed) == 0
            && self.subscription.missed() == 0
            && self.expired == 0
    }

    /// Makes an item of what came. `None` if it is to look again.
    #[cold]
    fn item(&mut self, envelope: Arc<Envelope>) -> Option<Poll<Item>> {
        let shared = &self.opened.shared;
        self.missed += self.subscription.missed();
        let followed = shared.followed.received(&envelope);
        let now = shared.clock.now();
        let (accepted, held) = followed.unwrap_or((now, None));
        if shared.ages().is_over(&envelope, accepted, now) {
            self.expired += 1;
            shared.expired.fetch_add(1, Relaxed);
            return None;
        }
        let delivery = Delivery::live(envelope);
        self.behind = Some(match held {
            Some(held) => delivery.holding(Box::new(held)),
            None => delivery,
        });
        self.before().map(Poll::Ready)
    }

    /// What there is if nothing more comes, now or ever. What was lost last has only the end behind
    /// it.
    fn rest(&mut self, ended: bool) -> Poll<Item> {
        if ended {
            self.missed = self.subscription.dropped().saturating_sub(self.told);
        }
        match self.before() {
            Some(item) => Poll::Ready(item),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// What comes before the next one: gaps, and what is behind them.
    fn before(&mut self) -> Option<Item> {
        let missed = core::mem::take(&mut self.missed);
        if missed > 0 {
            self.told += missed;
            return Some(Some(Err(Gap::new(Some(missed), GapReason::Overflow))));
        }
        let expired = core::mem::take(&mut self.expired);
        if expired > 0 {
            return Some(Some(Err(Gap::new(Some(expired), GapReason::Expired))));
        }
        self.behind.take().map(|delivery| Some(Ok(delivery)))
    }
}

impl Receive for Live {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        if self.behind.is_some()
            && let Some(item) = self.before()
        {
            return Poll::Ready(item);
        }
        loop {
            match self.subscription.poll(&mut self.waits, || context.waker().clone()) {
                Poll::Ready(Some(envelope)) if self.is_plain() => {
                    return Poll::Ready(Some(Ok(Delivery::live(envelope))));
                }
                Poll::Ready(Some(envelope)) => {
                    if let Some(item) = self.item(envelope) {
                        return item;
                    }
                }
                none => return self.rest(none.is_ready()),
            }
        }
    }

    fn try_next(&mut self) -> Poll<Item> {
        if self.behind.is_some()
            && let Some(item) = self.before()
        {
            return Poll::Ready(item);
        }
        loop {
            match self.subscription.try_recv() {
                Ok(envelope) if self.is_plain() => {
                    return Poll::Ready(Some(Ok(Delivery::live(envelope))));
                }
                Ok(envelope) => {
                    if let Some(item) = self.item(envelope) {
                        return item;
                    }
                }
                Err(error) => return self.rest(error == RecvError::Closed),
            }
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
        let behind = usize::from(self.behind.is_some());
        self.opened.shared.unsubscribed.fetch_add(behind, Relaxed);
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
    fn take(&mut self, waker: Option<Waker>) -> Result<Item, Option<Duration>> {
        if self.closed {
            return Ok(None);
        }
        match self.shared.next(&mut self.taker, self.place, waker) {
            None => Ok(None),
            Some(Next::Event(taken)) => Ok(Some(Ok(self.delivery(taken)))),
            Some(Next::Gap(missed)) => Ok(Some(Err(Gap::new(missed, GapReason::Trimmed)))),
            Some(Next::Expired(count)) => Ok(Some(Err(Gap::new(Some(count), GapReason::Expired)))),
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
