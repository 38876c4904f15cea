//! The receiving end of a durable subscription: what has come and is not in work yet.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer::Answer;
use crate::hosted::{Delivery, Gap, Receive, Verdict};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// What has come, and was not taken yet.
#[derive(Default)]
pub(super) struct Queue(Lock<Inner>);

#[derive(Default)]
struct Inner {
    items: VecDeque<Item>,
    ended: bool,
    waker: Option<Waker>,
}

pub(super) enum Item {
    Delivery(Waiting),
    Gap(Gap),
}

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
            let _ = self.answer.say(&Verdict::Extend(Duration::ZERO));
        }
    }
}

impl Inner {
    /// One gap for all that follow each other: the queue stays bounded if you do not read.
    fn push(&mut self, item: Item) {
        let joined = match (self.items.back_mut(), &item) {
            (Some(Item::Gap(last)), Item::Gap(gap)) => last.join(*gap),
            _ => false,
        };
        if !joined {
            self.items.push_back(item);
        }
    }
}

impl Queue {
    pub(super) fn push(&self, item: Item) {
        let mut inner = self.0.lock();
        if inner.ended {
            return; // it comes again
        }
        inner.push(item);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut inner = self.0.lock();
        inner.ended = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Extends what waits. What has waited for too long comes again, to another member perhaps.
    pub(super) fn extend_all(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut inner = self.0.lock();
        for item in core::mem::take(&mut inner.items) {
            match item {
                Item::Delivery(waiting) => {
                    waiting.extend(now);
                    if waiting.is_over(now) {
                        over.push(waiting);
                    } else {
                        inner.push(Item::Delivery(waiting));
                    }
                }
                gap => inner.push(gap),
            }
        }
        drop(inner);
        drop(over);
    }
}

pub(super) struct EndOf(pub(super) Arc<Queue>);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.end();
    }
}

pub(super) struct Durable {
    pub(super) queue: Arc<Queue>,
    pub(super) task: AbortHandle,
    pub(super) lag: Arc<PlainNumber>,
}

impl Durable {
    /// Takes the next, or leaves the waker.
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut over = Vec::new();
        let mut inner = self.queue.0.lock();
        let next = loop {
            match inner.items.pop_front() {
                Some(Item::Gap(gap)) => break Poll::Ready(Some(Err(gap))),
                Some(Item::Delivery(waiting)) => {
                    let now = Instant::now();
                    if waiting.is_over(now) {
                        over.push(waiting); // it comes again
                        continue;
                    }
                    // The work begins with half a lease at least.
                    waiting.extend(now);
                    break Poll::Ready(Some(Ok(waiting.delivery)));
                }
                None if inner.ended => break Poll::Ready(None),
                None => {
                    if let Some(context) = context {
                        inner.waker = Some(context.waker().clone());
                    }
                    break Poll::Pending;
                }
            }
        };
        drop(inner);
        drop(over);
        next
    }
}

impl Receive for Durable {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(Some(context))
    }

    // The waker of a task that waits stays.
    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(None)
    }

    fn close(&mut self) {
        self.task.abort();
        self.queue.end();
    }

    fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Relaxed) as u64)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.close();
        // Other members need not wait for the end of the lease.
        for item in core::mem::take(&mut self.queue.0.lock().items) {
            if let Item::Delivery(waiting) = item {
                let _ = waiting.answer.say(&Verdict::RetryAfter(Duration::ZERO));
            }
        }
    }
}
