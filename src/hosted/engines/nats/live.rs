//! Live subscriptions: what a server passes on from now on, in a buffer of our own.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use std::sync::MutexGuard;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::connection::{Connection, Signal, disconnected, next};
use super::filter::cover;
use super::publish::{is_reserved, read};
use crate::envelope::Envelope;
use crate::hosted::{Delivery, Gap, GapReason, LiveOptions, Reason, Receive};
use crate::subject::Subject;
use crate::subject_bus::Overrun;
use crate::sync::Lock;

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    let subscriber = connection.client.subscribe(cover(&options.patterns)).await;
    let subscriber = subscriber.map_err(disconnected)?;
    let connects = connection.connects();
    // From here on the server passes on what it takes.
    connection.confirm().await?;
    let buffer = Arc::new(Buffer::default());
    let reader = Reader {
        subscriber,
        signals: connection.signals.subscribe(),
        connects,
        slow: connection.signals.borrow().slow,
        connection: connection.clone(),
        options,
        buffer: buffer.clone(),
    };
    let task = connection.runtime.spawn(reader.run()).abort_handle();
    Ok(Box::new(Live { buffer, task }))
}

struct Live {
    buffer: Arc<Buffer>,
    task: AbortHandle,
}

impl Live {
    /// Takes the next, or leaves the waker.
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut inner = self.buffer.lock();
        match inner.queue.pop_front() {
            Some(Item::Envelope(envelope)) => {
                inner.envelopes -= 1;
                Poll::Ready(Some(Ok(Delivery::live(envelope))))
            }
            Some(Item::Gap(gap)) => Poll::Ready(Some(Err(gap))),
            None if inner.ended => Poll::Ready(None),
            None => {
                if let Some(context) = context {
                    inner.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Receive for Live {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(Some(context))
    }

    // The waker of a task that waits stays.
    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(None)
    }

    fn close(&mut self) {
        self.task.abort();
        self.buffer.end();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Between the task that reads from the client, and the subscription.
#[derive(Default)]
struct Buffer(Lock<Inner>);

#[derive(Default)]
struct Inner {
    queue: VecDeque<Item>,
    /// How many of the items are envelopes.
    envelopes: usize,
    ended: bool,
    waker: Option<Waker>,
}

enum Item {
    Envelope(Arc<Envelope>),
    Gap(Gap),
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        self.change(|inner| inner.ended = true);
    }

    fn gap(&self, gap: Gap) {
        // One gap for all that follow each other: the buffer stays bounded if you do not read.
        self.change(|inner| match inner.queue.back_mut() {
            Some(Item::Gap(last)) => {
                if !last.join(gap) {
                    inner.queue.push_back(Item::Gap(gap));
                }
            }
            _ => inner.queue.push_back(Item::Gap(gap)),
        });
    }

    fn push(&self, envelope: Arc<Envelope>, options: &LiveOptions) {
        self.change(|inner| {
            if inner.envelopes < options.capacity {
                inner.envelopes += 1;
                inner.queue.push_back(Item::Envelope(envelope));
            } else if let Overrun::DropOldest = options.overrun {
                inner.drop_oldest();
                inner.queue.push_back(Item::Envelope(envelope));
            } else {
                let last = inner.queue.back_mut();
                if !last.is_some_and(Item::count_one_more) {
                    inner.queue.push_back(Item::Gap(overflow()));
                }
            }
        });
    }
}

impl Inner {
    /// Puts a gap in the place of the oldest envelope.
    fn drop_oldest(&mut self) {
        let oldest = |item: &Item| matches!(item, Item::Envelope(_));
        let Some(at) = self.queue.iter().position(oldest) else { return };
        if at > 0 && self.queue[at - 1].count_one_more() {
            self.queue.remove(at);
        } else {
            self.queue[at] = Item::Gap(overflow());
        }
    }
}

fn overflow() -> Gap {
    Gap::new(Some(1), GapReason::Overflow)
}

impl Item {
    /// Counts one more in a gap that the buffer has caused. Returns whether it is one.
    fn count_one_more(&mut self) -> bool {
        let Self::Gap(Gap { missed: Some(missed), reason: GapReason::Overflow, .. }) = self else {
            return false;
        };
        *missed += 1;
        true
    }
}

struct Reader {
    subscriber: async_nats::Subscriber,
    connection: Arc<Connection>,
    signals: watch::Receiver<Signal>,
    /// How often the client had connected, as far as the subscription knows.
    connects: u64,
    slow: u64,
    options: LiveOptions,
    buffer: Arc<Buffer>,
}

impl Reader {
    async fn run(mut self) {
        // Also when the runtime ends, and this task with it.
        let _end = End(self.buffer.clone());
        loop {
            let next = tokio::select! {
                biased;
                changed = self.signals.changed() => {
                    if changed.is_err() || self.signals.borrow_and_update().closed {
                        return;
                    }
                    self.gaps();
                    continue;
                }
                next = next(&mut self.subscriber) => next,
            };
            let Some(message) = next else { return };
            self.gaps();
            let Ok(subject) = Subject::new(&message.subject) else { continue };
            if message.status.is_some()
                || is_reserved(subject.as_str())
                || !self.options.matches(subject)
            {
                continue;
            }
            // Another program's message has no position in core NATS.
            match read(&message, || uuid::Uuid::now_v7().to_string()) {
                Ok(envelope) => self.buffer.push(envelope, &self.options),
                Err(_) => self.buffer.gap(Gap::new(Some(1), GapReason::Unreadable)),
            }
        }
    }

    /// Tells what was lost since the last look.
    fn gaps(&mut self) {
        let connects = self.connection.connects();
        if core::mem::replace(&mut self.connects, connects) != connects {
            self.buffer.gap(Gap::new(None, GapReason::Reconnected));
        }
        let slow = self.signals.borrow().slow;
        if core::mem::replace(&mut self.slow, slow) != slow {
            self.buffer.gap(Gap::new(None, GapReason::Overflow));
        }
    }
}

struct End(Arc<Buffer>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}
