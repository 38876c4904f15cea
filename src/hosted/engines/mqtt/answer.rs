//! What becomes of the deliveries of a member, and how they are received.

use alloc::sync::Arc;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::Seat;
use super::table::{Table, Waiting};
use crate::hosted::engines::mailbox::{Item, Mailbox};
use crate::hosted::{
    Delivery, EngineFuture, Gap, Lease, Reason, Receive, Settle, SettleError, Verdict,
};
use crate::sync::Lock;

/// How far the end of a subscription is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    No,
    /// It takes nothing in any more. What it has is still worked on.
    Closed,
    Dropped,
}

/// What a member shares with the deliveries that it has given out.
pub(super) struct Answers {
    pub(super) table: Lock<Table>,
    /// Wakes the member.
    pub(super) wake: Notify,
    ended: Lock<Ended>,
    timeout: Duration,
}

impl Answers {
    /// Returns the answers of a member that may have so many events in flight.
    pub(super) fn new(in_flight: usize, timeout: Duration) -> Self {
        Self {
            table: Lock::new(Table::new(in_flight)),
            wake: Notify::new(),
            ended: Lock::new(Ended::No),
            timeout,
        }
    }

    pub(super) fn ended(&self) -> Ended {
        *self.ended.lock()
    }

    fn end(&self, how: Ended) {
        *self.ended.lock() = how;
        self.wake.notify_one();
    }
}

/// Refuses verdicts when the member has ended, also with its runtime.
pub(super) struct Leaves(pub(super) Arc<Answers>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.table.lock().leave();
    }
}

impl Settle for Answers {
    fn settle(&self, lease: Lease, verdict: Verdict) -> Result<(), SettleError> {
        let settled = self.table.lock().settle(lease.token, &verdict, Instant::now());
        self.wake.notify_one();
        settled
    }

    fn settle_async(
        &self,
        lease: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        let (told, heard) = oneshot::channel();
        let mut table = self.table.lock();
        let settled = table.settle(lease.token, &verdict, Instant::now());
        let is_done = matches!(verdict, Verdict::Ack | Verdict::Reject(_));
        let waits = settled.is_ok() && is_done && table.confirm(lease.token, told);
        drop(table);
        self.wake.notify_one();
        if !waits {
            return EngineFuture::ready(settled);
        }
        EngineFuture::new(async move {
            match timeout(self.timeout, heard).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(SettleError::Failed(Reason::Closed)),
                Err(_) => Err(SettleError::Failed(Reason::TimedOut)),
            }
        })
    }
}

/// The receiving end of a durable subscription.
pub(super) struct Durable {
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    pub(super) answers: Arc<Answers>,
    pub(super) settle: Arc<dyn Settle>,
    pub(super) lease: Duration,
    pub(super) seat: Arc<Seat>,
}

impl Durable {
    fn take(&self, mut context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        loop {
            let next = self.mailbox.take(context.as_deref_mut(), |items| items.pop());
            let Poll::Ready(Some(item)) = next else { return next.map(|_| None) };
            match item {
                Item::Gap(gap) => return Poll::Ready(Some(Err(gap))),
                Item::Event(Waiting { token, envelope }) => {
                    let mut table = self.answers.table.lock();
                    if table.begin(token, Instant::now(), self.lease) {
                        drop(table);
                        let delivery = Delivery::shared(envelope, self.settle.clone());
                        return Poll::Ready(Some(Ok(delivery.with_token(token))));
                    }
                }
            }
        }
    }
}

impl Receive for Durable {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(Some(context))
    }

    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(None)
    }

    fn close(&mut self) {
        self.answers.end(Ended::Closed);
        self.mailbox.end();
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.seat.leave();
        self.answers.end(Ended::Dropped);
    }
}
