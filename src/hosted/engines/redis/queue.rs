//! The receiving end of a durable subscription: what has come and is not in work yet.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use tokio::time::Instant;

use super::answer::Answer;
use super::connection::known;
use super::id::Id;
use super::settle::{Ended, Group};
use crate::hosted::engines::mailbox::{Item, Items, Mailbox};
use crate::hosted::{Delivery, Gap, Receive};
use crate::sync::PlainNumber;

/// A delivery that is not in work yet. Its lease runs nevertheless, so it is renewed.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) answer: Arc<Answer>,
    /// Until then: a member whose program does not take what it asked for must not keep it for ever.
    pub(super) until: Instant,
}

impl Waiting {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.answer.deadline()
    }
}

impl Mailbox<Waiting> {
    /// Returns what waits and has less than half of its lease left. What has waited for too long is
    /// thrown away: it comes again, to another member perhaps.
    pub(super) fn to_renew(&self) -> Vec<Arc<Answer>> {
        let now = Instant::now();
        let (mut renew, mut over) = (Vec::new(), Vec::new());
        self.change(|items| {
            for item in core::mem::take(items).queue {
                match item {
                    Item::Gap(gap) => items.gap(gap),
                    Item::Event(waiting) if waiting.is_over(now) => over.push(waiting),
                    Item::Event(waiting) => {
                        let answer = &waiting.answer;
                        let left = answer.deadline().saturating_duration_since(now);
                        if now < waiting.until && left < answer.group.lease / 2 {
                            renew.push(answer.clone());
                        }
                        items.push(waiting);
                    }
                }
            }
        });
        drop(over);
        renew
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.change(|items| items.events == 0)
    }

    /// Takes everything out that is not in work.
    pub(super) fn give_back(&self) -> Vec<Id> {
        let mut back = Vec::new();
        for item in self.change(core::mem::take).queue {
            if let Item::Event(waiting) = item {
                back.push(waiting.answer.has.id);
            }
        }
        back
    }
}

pub(super) struct Durable {
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    pub(super) group: Arc<Group>,
    pub(super) lag: Arc<PlainNumber>,
}

impl Durable {
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut over = Vec::new(); // dropped after the lock
        let mut is_last = false;
        let taken = self.mailbox.take(context, |items| {
            let taken = next(items, &mut over);
            is_last = items.events == 0;
            taken
        });
        if is_last && taken.is_ready() {
            self.group.wake.notify_one(); // it may ask for more
        }
        taken
    }
}

fn next(items: &mut Items<Waiting>, over: &mut Vec<Waiting>) -> Option<Result<Delivery, Gap>> {
    loop {
        match items.pop()? {
            Item::Gap(gap) => return Some(Err(gap)),
            Item::Event(waiting) if waiting.is_over(Instant::now()) => over.push(waiting),
            Item::Event(waiting) => return Some(Ok(waiting.delivery)),
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
        self.group.end(Ended::Closed);
        self.mailbox.end();
    }

    fn lag(&self) -> Option<u64> {
        known(&self.lag)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        // Other members need not wait for the end of the lease.
        self.group.end(Ended::Dropped);
    }
}
