//! What becomes of the deliveries of a member, and how they are received.

use alloc::sync::Arc;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::known;
use super::table::{Pour, Table, Waiting};
use super::topics::sequence;
use crate::hosted::engines::mailbox::{Item, Mailbox};
use crate::hosted::{
    Delivery, EngineFuture, Gap, Lease, Reason, Receive, Settle, SettleError, Verdict,
};
use crate::sync::{Lock, PlainNumber};

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
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    /// Wakes the member.
    pub(super) wake: Notify,
    /// Wakes the one that reads from the server: there is room.
    pub(super) room: Notify,
    ended: Lock<Ended>,
    timeout: Duration,
}

impl Answers {
    /// Returns the answers of a member that may have so many events in flight.
    pub(super) fn new(in_flight: usize, timeout: Duration) -> Self {
        Self {
            table: Lock::new(Table::new(in_flight)),
            mailbox: Mailbox::new(),
            wake: Notify::new(),
            room: Notify::new(),
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

    /// Passes on what has a place.
    pub(super) fn pour(&self) {
        let mut goes_on = false;
        loop {
            let Some(poured) = self.table.lock().pour(goes_on) else { return };
            goes_on = true;
            self.mailbox.put(|items| {
                for it in poured {
                    match it {
                        Pour::Event(waiting) => items.push(waiting),
                        Pour::Gap(gap) => items.gap(gap),
                    }
                }
            });
        }
    }

    fn settle(&self, key: u64, token: u64, verdict: &Verdict) -> Result<(), SettleError> {
        let mut table = self.table.lock();
        let settled = table.settle(key, token, verdict, Instant::now());
        let backlog = table.backlog();
        drop(table);
        if backlog > 0 {
            self.pour();
            if self.table.lock().has_room() {
                self.room.notify_one();
            }
        }
        settled.map(|news| {
            if news {
                self.wake.notify_one();
            }
        })
    }
}

/// Refuses verdicts when the member has ended, also with its runtime.
pub(super) struct Leaves(pub(super) Arc<Answers>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.table.lock().leave();
        self.0.mailbox.end();
    }
}

/// Settles the deliveries of a partition, for as long as the member has it.
pub(super) struct Assigned {
    pub(super) answers: Arc<Answers>,
    pub(super) key: u64,
}

impl Settle for Assigned {
    fn settle(&self, lease: Lease, verdict: Verdict) -> Result<(), SettleError> {
        self.answers.settle(self.key, lease.token, &verdict)
    }

    fn settle_async(
        &self,
        lease: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        let answers = &self.answers;
        let settled = answers.settle(self.key, lease.token, &verdict);
        if settled.is_err() || !matches!(verdict, Verdict::Ack | Verdict::Reject(_)) {
            return EngineFuture::ready(settled);
        }
        let (told, heard) = oneshot::channel();
        if !answers.table.lock().confirm(self.key, lease.token, told) {
            return EngineFuture::ready(settled);
        }
        answers.wake.notify_one();
        EngineFuture::new(async move {
            match timeout(answers.timeout, heard).await {
                Ok(Ok(told)) => told,
                Ok(Err(_)) => Err(SettleError::Failed(Reason::Closed)),
                Err(_) => Err(SettleError::Failed(Reason::TimedOut)),
            }
        })
    }
}

/// The receiving end of a durable subscription.
pub(super) struct Durable {
    pub(super) answers: Arc<Answers>,
    pub(super) lease: Duration,
    pub(super) lag: Arc<PlainNumber>,
    /// Whether an event has a sequence: there is one topic.
    pub(super) has_sequence: bool,
}

impl Durable {
    fn take(&self, mut context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        loop {
            let next = self.answers.mailbox.take(context.as_deref_mut(), |items| items.pop());
            let Poll::Ready(Some(item)) = next else { return next.map(|_| None) };
            match item {
                Item::Gap(gap) => return Poll::Ready(Some(Err(gap))),
                Item::Event(waiting) => {
                    let mut table = self.answers.table.lock();
                    if table.begin(&waiting, Instant::now(), self.lease) {
                        drop(table);
                        return Poll::Ready(Some(Ok(self.delivery(waiting))));
                    }
                }
            }
        }
    }

    fn delivery(&self, waiting: Waiting) -> Delivery {
        let token = waiting.token();
        let sequence = sequence(waiting.place.partition, waiting.offset);
        let delivery = Delivery::shared(waiting.envelope, waiting.settle).with_token(token);
        match sequence.filter(|_| self.has_sequence) {
            Some(sequence) => delivery.with_sequence(sequence),
            None => delivery,
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
        self.answers.mailbox.end();
    }

    fn lag(&self) -> Option<u64> {
        known(&self.lag)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.answers.end(Ended::Dropped);
    }
}
