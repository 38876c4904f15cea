//! The receiving end of a durable subscription: what has come and is not in work yet.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer::Answer;
use crate::hosted::engines::mailbox::{Item, Items, Mailbox};
use crate::hosted::{Delivery, Gap, Receive, Verdict};
use crate::sync::{PlainNumber, Relaxed};

/// A delivery that is not in work yet. Its lease runs nevertheless, so it is extended.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) answer: Arc<Answer>,
    /// Until then: a member whose program does not take what it asked for must not keep it for ever.
    pub(super) until: Instant,
}

/// How many leases a delivery may wait to be taken.
pub(super) const PATIENCE: u32 = 8;

impl Waiting {
    fn is_over(&self, now: Instant) -> bool {
        now >= *self.answer.deadline.lock()
    }

    /// Extends it unless most of its lease is left.
    fn extend(&self, now: Instant) {
        let left = self.answer.deadline.lock().saturating_duration_since(now);
        if now < self.until && left < self.answer.lease / 2 {
            // While there is no connection, it is over at its deadline.
            let _ = self.answer.renew();
        }
    }
}

impl Mailbox<Waiting> {
    /// Extends what waits. What has waited for too long comes again, to another member perhaps.
    pub(super) fn extend_all(&self) {
        let now = Instant::now();
        let over: Vec<Waiting> = self.change(|items| {
            let mut over = Vec::new();
            for item in core::mem::take(items).queue {
                match item {
                    Item::Event(waiting) => {
                        waiting.extend(now);
                        if waiting.is_over(now) {
                            over.push(waiting);
                        } else {
                            items.push(waiting);
                        }
                    }
                    Item::Gap(gap) => items.gap(gap),
                }
            }
            over
        });
        drop(over);
    }
}

pub(super) struct Durable {
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    pub(super) task: AbortHandle,
    pub(super) lag: Arc<PlainNumber>,
}

impl Durable {
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut over = Vec::new(); // dropped after the lock
        self.mailbox.take(context, |items| next(items, &mut over))
    }
}

fn next(items: &mut Items<Waiting>, over: &mut Vec<Waiting>) -> Option<Result<Delivery, Gap>> {
    loop {
        let waiting = match items.pop()? {
            Item::Gap(gap) => return Some(Err(gap)),
            Item::Event(waiting) => waiting,
        };
        let now = Instant::now();
        if waiting.is_over(now) {
            over.push(waiting); // it comes again
            continue;
        }
        // The work begins with half a lease at least.
        waiting.extend(now);
        return Some(Ok(waiting.delivery));
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
        self.task.abort();
        self.mailbox.end();
    }

    /// What has come and waits here counts too.
    fn lag(&self) -> Option<u64> {
        let here = self.mailbox.change(|items| items.events);
        Some(self.lag.load(Relaxed).saturating_add(here) as u64)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.close();
        // Other members need not wait for the end of the lease.
        for item in self.mailbox.change(core::mem::take).queue {
            if let Item::Event(waiting) = item {
                let _ = waiting.answer.say(&Verdict::RetryAfter(Duration::ZERO));
            }
        }
    }
}
