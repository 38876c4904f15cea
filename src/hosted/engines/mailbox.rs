//! Between the task that reads from the client, and the subscription that takes.
//!
//! No code of a user runs under the lock: wakers are cloned before it, and called and dropped after.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};

use crate::hosted::Gap;
use crate::sync::Lock;
use crate::wait::panics::Panics;

/// Keeps what has come, in its order.
pub(in crate::hosted::engines) struct Mailbox<E>(Lock<Inner<E>>);

struct Inner<E> {
    items: Items<E>,
    ended: bool,
    /// Waits for something.
    waker: Option<Waker>,
}

pub(in crate::hosted::engines) struct Items<E> {
    pub(in crate::hosted::engines) queue: VecDeque<Item<E>>,
    /// How many of them are events.
    pub(in crate::hosted::engines) events: usize,
}

pub(in crate::hosted::engines) enum Item<E> {
    Event(E),
    Gap(Gap),
}

impl<E> Default for Items<E> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), events: 0 }
    }
}

impl<E> Items<E> {
    pub(in crate::hosted::engines) fn push(&mut self, event: E) {
        self.events += 1;
        self.queue.push_back(Item::Event(event));
    }

    /// One gap for all that follow each other: the mailbox stays bounded if you do not read.
    pub(in crate::hosted::engines) fn gap(&mut self, gap: Gap) {
        let joined = match self.queue.back_mut() {
            Some(Item::Gap(last)) => last.join(gap),
            _ => false,
        };
        if !joined {
            self.queue.push_back(Item::Gap(gap));
        }
    }

    pub(in crate::hosted::engines) fn pop(&mut self) -> Option<Item<E>> {
        let item = self.queue.pop_front()?;
        self.events -= usize::from(matches!(item, Item::Event(_)));
        Some(item)
    }
}

impl<E> Mailbox<E> {
    pub(in crate::hosted::engines) fn new() -> Arc<Self> {
        let inner = Inner { items: Items::default(), ended: false, waker: None };
        Arc::new(Self(Lock::new(inner)))
    }

    /// Puts something in, unless it has ended, and wakes the subscription.
    pub(in crate::hosted::engines) fn put(&self, put: impl FnOnce(&mut Items<E>)) {
        let mut inner = self.0.lock();
        if inner.ended {
            return;
        }
        put(&mut inner.items);
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }

    /// Changes what is there, and wakes nothing.
    #[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
    pub(in crate::hosted::engines) fn change<R>(
        &self,
        change: impl FnOnce(&mut Items<E>) -> R,
    ) -> R {
        change(&mut self.0.lock().items)
    }

    /// Takes what `take` finds, or leaves the waker. `None` is the end. Without a context, the waker
    /// of a task that waits stays.
    pub(in crate::hosted::engines) fn take<T>(
        &self,
        context: Option<&mut Context<'_>>,
        mut take: impl FnMut(&mut Items<E>) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut look = |waker: Option<Waker>| {
            let mut inner = self.0.lock();
            match take(&mut inner.items) {
                Some(taken) => (Poll::Ready(Some(taken)), waker),
                None if inner.ended => (Poll::Ready(None), waker),
                None => match waker {
                    Some(waker) => (Poll::Pending, inner.waker.replace(waker)),
                    None => (Poll::Pending, None),
                },
            }
        };
        match (look(None).0, context) {
            (Poll::Pending, Some(context)) => look(Some(context.waker().clone())).0,
            (taken, _) => taken,
        }
    }

    pub(in crate::hosted::engines) fn end(&self) {
        let mut inner = self.0.lock();
        inner.ended = true;
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }
}

/// A waker that panics must not end the task that fills the mailbox.
fn wake(waker: Option<Waker>) {
    Panics::default().wake(waker);
}

/// Ends a mailbox with the task that fills it, also when its runtime ends.
pub(in crate::hosted::engines) struct EndOf<E>(pub(in crate::hosted::engines) Arc<Mailbox<E>>);

impl<E> Drop for EndOf<E> {
    fn drop(&mut self) {
        self.0.end();
    }
}
