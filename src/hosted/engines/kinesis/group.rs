//! The receiving end of a durable subscription, and what becomes of its deliveries.

use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Connection, known};
use super::ledger::{Ledger, Next};
use crate::hosted::{
    Delivery, EngineFuture, Gap, GapReason, Lease, Reason, Receive, Settle, SettleError, Verdict,
};
use crate::sync::{Lock, PlainNumber};

/// How far the end of a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ended {
    No,
    /// It receives nothing more. What is in work may still be settled.
    Closed,
    /// It is gone.
    Gone,
}

/// What the task of a member and its deliveries share.
pub(super) struct Group {
    pub(super) connection: Arc<Connection>,
    state: Lock<State>,
    /// Wakes the task.
    pub(super) wake: Notify,
}

struct State {
    ledger: Ledger,
    ended: Ended,
    /// Waits for a delivery.
    waker: Option<Waker>,
    /// When the task looks by itself.
    alarm: Option<Instant>,
    /// Whether positions have moved.
    is_dirty: bool,
}

impl Group {
    pub(super) fn new(connection: Arc<Connection>, ledger: Ledger) -> Self {
        let state = State { ledger, ended: Ended::No, waker: None, alarm: None, is_dirty: false };
        Self { connection, state: Lock::new(state), wake: Notify::new() }
    }

    pub(super) fn ended(&self) -> Ended {
        self.state.lock().ended
    }

    /// Ends it, and wakes the one that waits for a delivery.
    pub(super) fn end(&self, ended: Ended) {
        let mut state = self.state.lock();
        state.ended = state.ended.max(ended);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        self.wake.notify_one();
    }

    /// Changes what the member has, and wakes the one that waits if there is something for it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state.ledger);
        let now = Instant::now();
        let has_ready = state.waker.is_some() && {
            state.ledger.expire(now);
            state.ledger.has_ready(now)
        };
        let waker = if has_ready { state.waker.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        result
    }

    /// Says until when the task sleeps at most. Returns when something is due.
    pub(super) fn sleeps(&self, alarm: Instant) -> Instant {
        let mut state = self.state.lock();
        let alarm = state.ledger.wakes(Instant::now()).map_or(alarm, |due| due.min(alarm));
        state.alarm = Some(alarm);
        alarm
    }

    /// Returns whether positions have moved since it was asked last.
    pub(super) fn take_dirty(&self) -> bool {
        core::mem::take(&mut self.state.lock().is_dirty)
    }

    pub(super) fn mark_dirty(&self) {
        self.state.lock().is_dirty = true;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.state.lock().is_dirty
    }

    fn settled(&self, token: u64, verdict: &Verdict) -> Result<(), SettleError> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if !state.ledger.settle(token, verdict, now) {
            return Err(SettleError::Late);
        }
        let is_done = matches!(verdict, Verdict::Ack | Verdict::Reject(_));
        let first = is_done && !core::mem::replace(&mut state.is_dirty, true);
        // Something may be due earlier, or a shard may be waited for.
        let wakes = first || !is_done || state.ended != Ended::No || state.alarm.is_none();
        let waker = match state.waker.is_some() && state.ledger.has_ready(now) {
            true => state.waker.take(),
            false => None,
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// A shard that is to be given back waits for its deliveries: each verdict wakes the task.
    pub(super) fn wake_always(&self) {
        self.state.lock().alarm = None;
    }
}

impl Settle for Group {
    fn settle(&self, lease: Lease, verdict: Verdict) -> Result<(), SettleError> {
        if self.connection.signals.borrow().ended {
            return Err(SettleError::Failed(Reason::Closed));
        }
        self.settled(lease.token, &verdict)
    }

    fn settle_async(
        &self,
        lease: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        EngineFuture::ready(self.settle(lease, verdict))
    }
}

pub(super) struct Durable {
    pub(super) group: Arc<Group>,
    pub(super) lag: Arc<PlainNumber>,
}

type Item = Option<Result<Delivery, Gap>>;

impl Durable {
    fn take(&self, waker: Option<Waker>) -> Poll<Item> {
        let mut state = self.group.state.lock();
        if state.ended != Ended::No {
            return Poll::Ready(None);
        }
        let next = state.ledger.next(Instant::now());
        let (item, wakes) = match next {
            Next::Event(taken) => {
                let delivery = Delivery::shared(taken.envelope, self.group.clone())
                    .with_attempt(taken.attempt)
                    .with_token(taken.token);
                (Poll::Ready(Some(Ok(delivery))), taken.is_low)
            }
            Next::Gap(gap) => {
                // An event whose attempts are spent is done.
                let has_moved = gap.reason == GapReason::Exhausted;
                state.is_dirty |= has_moved;
                (Poll::Ready(Some(Err(gap))), has_moved)
            }
            Next::Wait(until) => {
                if waker.is_some() {
                    state.waker = waker;
                }
                // The task wakes it then.
                (Poll::Pending, until.is_some_and(|it| state.alarm.is_none_or(|at| it < at)))
            }
        };
        drop(state);
        if wakes {
            self.group.wake.notify_one();
        }
        item
    }
}

impl Receive for Durable {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        match self.take(None) {
            Poll::Pending => self.take(Some(context.waker().clone())),
            ready => ready,
        }
    }

    fn try_next(&mut self) -> Poll<Item> {
        self.take(None)
    }

    fn close(&mut self) {
        self.group.end(Ended::Closed);
    }

    fn lag(&self) -> Option<u64> {
        known(&self.lag)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.group.end(Ended::Gone);
    }
}

/// Ends a member with its task, also when its runtime ends.
pub(super) struct EndOf(pub(super) Arc<Group>);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.end(Ended::Gone);
    }
}
