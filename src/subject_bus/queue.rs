//! What is kept for one subscription: the envelopes that wait for it, and the publishers that wait for
//! room.
//!
//! The invariant that makes "one receive frees exactly one, order kept" hold: a publisher waits in the
//! queue **with** its envelope, and only while the buffer is full. Whoever takes an envelope out moves
//! the first waiting one in, under the same lock; nobody can get between.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use super::cancel::{GaveUp, Wait};
use super::observer::{Recipient, WhenFull};
use super::subscription::{RecvError, SubscriptionStats};
use crate::envelope::Envelope;
use crate::subject::Pattern;
use crate::sync::{Acquire, AtomicWord, Release, Word};

pub(super) type Predicate = Box<dyn Fn(&Envelope) -> bool + Send + Sync>;

/// How many slots a buffer has from the start, at most; it grows to its capacity beyond.
const RESERVED: usize = 1024;

pub(super) struct Queue {
    pub(super) id: u64,
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
    pub(super) predicate: Option<Predicate>,
    /// Has passed the check of `Pattern`.
    pattern: Box<str>,
    state: Mutex<State>,
    readable: Condvar,
}

struct State {
    pending: VecDeque<Pending>,
    /// Not empty only while `pending` is full and `end` is `Open`.
    waiting: VecDeque<Waiting>,
    end: End,
    /// How many receivers sleep on `readable`.
    receivers: usize,
    /// How many were dropped since the last one in `pending`, or since the last one received.
    gap: u64,
    /// How many were dropped right before the last one received.
    missed: u64,
    stats: SubscriptionStats,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// No publisher waits here any more; envelopes for which there is room still come in.
    Closing,
    Closed,
}

struct Pending {
    envelope: Arc<Envelope>,
    /// How many were dropped right before it.
    missed: u64,
}

struct Waiting {
    envelope: Arc<Envelope>,
    ticket: Arc<Ticket>,
}

/// What a waiting publisher looks at.
pub(super) struct Ticket {
    thread: Thread,
    outcome: AtomicWord,
}

const WAITING: Word = 0;
const DELIVERED: Word = 1;
const CLOSED: Word = 2;

impl Ticket {
    fn new() -> Self {
        Self { thread: std::thread::current(), outcome: AtomicWord::new(WAITING) }
    }

    fn settle(&self, outcome: Word) {
        self.outcome.store(outcome, Release); // partner: `outcome`
        self.thread.unpark();
    }

    fn outcome(&self) -> Word {
        self.outcome.load(Acquire) // partner: `settle`
    }
}

/// What became of an envelope that was offered.
pub(super) enum Offer {
    Delivered,
    /// Delivered, and the oldest had to go.
    Displaced(Arc<Envelope>),
    Dropped,
    Closed,
    /// The publisher waits; see [`Queue::wait`].
    Waits(Arc<Ticket>),
}

/// What became of an envelope that was waited with.
pub(super) enum Waited {
    Delivered,
    Closed,
    GaveUp(GaveUp),
}

impl Queue {
    pub(super) fn new(
        id: u64,
        pattern: Pattern<'_>,
        capacity: usize,
        when_full: WhenFull,
        predicate: Option<Predicate>,
    ) -> Self {
        let state = State {
            pending: VecDeque::with_capacity(capacity.min(RESERVED)),
            waiting: VecDeque::new(),
            end: End::Open,
            receivers: 0,
            gap: 0,
            missed: 0,
            stats: SubscriptionStats::default(),
        };
        Self {
            id,
            capacity,
            when_full,
            predicate,
            pattern: pattern.as_str().into(),
            state: Mutex::new(state),
            readable: Condvar::new(),
        }
    }

    pub(super) fn pattern(&self) -> Pattern<'_> {
        Pattern::checked(&self.pattern)
    }

    pub(super) fn recipient(&self) -> Recipient<'_> {
        Recipient { id: self.id, pattern: self.pattern(), when_full: self.when_full }
    }

    // No user code runs under this lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `envelope` in, if there is room or the policy makes some.
    pub(super) fn offer(&self, envelope: &Arc<Envelope>, may_wait: bool) -> Offer {
        let mut state = self.state();
        if state.end == End::Closed {
            return Offer::Closed;
        }
        let displaced = if state.pending.len() < self.capacity {
            None
        } else {
            match self.when_full {
                WhenFull::DropOldest => state.displace(),
                WhenFull::Block if may_wait => {
                    if state.end == End::Closing {
                        return Offer::Closed;
                    }
                    let ticket = Arc::new(Ticket::new());
                    let waiting = Waiting { envelope: envelope.clone(), ticket: ticket.clone() };
                    state.waiting.push_back(waiting);
                    return Offer::Waits(ticket);
                }
                WhenFull::DropNewest | WhenFull::Block => {
                    state.stats.dropped_newest += 1;
                    state.gap += 1;
                    return Offer::Dropped;
                }
            }
        };
        state.put(envelope.clone());
        let sleeps = state.receivers > 0;
        drop(state);
        if sleeps {
            self.readable.notify_one();
        }
        displaced.map_or(Offer::Delivered, Offer::Displaced)
    }

    /// Parks until the envelope of `ticket` is in, or cannot get in any more.
    pub(super) fn wait(&self, ticket: &Arc<Ticket>, wait: &Wait<'_>) -> Waited {
        loop {
            match ticket.outcome() {
                DELIVERED => return Waited::Delivered,
                CLOSED => return Waited::Closed,
                _ => {}
            }
            if let Err(gave_up) = wait.park() {
                if self.withdraw(ticket) {
                    return Waited::GaveUp(gave_up);
                }
                std::thread::yield_now(); // whoever settles it is about to say how
            }
        }
    }

    /// Takes the envelope of `ticket` back, counted as dropped. `false` if its case is settled.
    pub(super) fn withdraw(&self, ticket: &Arc<Ticket>) -> bool {
        let mut state = self.state();
        let mine = |waiting: &Waiting| Arc::ptr_eq(&waiting.ticket, ticket);
        let Some(at) = state.waiting.iter().position(mine) else { return false };
        let waiting = state.waiting.remove(at);
        state.stats.dropped_newest += 1;
        state.gap += 1;
        drop(state);
        drop(waiting); // after the lock
        true
    }

    /// Takes the oldest envelope, and lets the first publisher that waits put its own in.
    pub(super) fn try_recv(&self) -> Result<Arc<Envelope>, RecvError> {
        let mut state = self.state();
        let taken = state.take();
        let end = state.end;
        drop(state);
        Self::finish(taken).ok_or(if end == End::Closed {
            RecvError::Closed
        } else {
            RecvError::Empty
        })
    }

    /// The same, and waits for one, at most until `deadline`.
    pub(super) fn recv(&self, deadline: Option<Instant>) -> Result<Arc<Envelope>, RecvError> {
        let mut state = self.state();
        loop {
            let taken = state.take();
            if taken.is_some() {
                drop(state);
                return Self::finish(taken).ok_or(RecvError::Empty);
            }
            if state.end == End::Closed {
                return Err(RecvError::Closed);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(RecvError::Empty);
            }
            state.receivers += 1;
            state = match left {
                None => self.readable.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let woken = self.readable.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.receivers -= 1;
        }
    }

    /// Wakes the publisher whose envelope moved in.
    fn finish(taken: Option<(Arc<Envelope>, Option<Arc<Ticket>>)>) -> Option<Arc<Envelope>> {
        let (envelope, ticket) = taken?;
        if let Some(ticket) = ticket {
            ticket.settle(DELIVERED);
        }
        Some(envelope)
    }

    /// Sends the waiting publishers away, and lets none wait any more.
    pub(super) fn refuse_waiting(&self) {
        self.advance(End::Closing);
    }

    /// Ends the stream. What is in stays readable.
    pub(super) fn close(&self) {
        self.advance(End::Closed);
    }

    fn advance(&self, end: End) {
        let mut state = self.state();
        if state.end != End::Closed {
            state.end = end;
        }
        let waiting = core::mem::take(&mut state.waiting);
        let sleeps = state.receivers > 0;
        drop(state);
        for waiting in &waiting {
            waiting.ticket.settle(CLOSED);
        }
        if sleeps {
            self.readable.notify_all();
        }
    }

    /// Ends the stream and drops what is in, counted. Gives the final numbers.
    pub(super) fn abandon(&self) -> SubscriptionStats {
        self.close();
        let mut state = self.state();
        let pending = core::mem::take(&mut state.pending);
        state.stats.abandoned += pending.len() as u64;
        let stats = state.stats;
        drop(state);
        drop(pending); // after the lock
        stats
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().end == End::Closed
    }

    pub(super) fn missed(&self) -> u64 {
        self.state().missed
    }

    pub(super) fn stats(&self) -> SubscriptionStats {
        let state = self.state();
        let pending = state.pending.len() as u64;
        SubscriptionStats { pending, waiting: state.waiting.len() as u64, ..state.stats }
    }
}

impl State {
    fn put(&mut self, envelope: Arc<Envelope>) {
        self.pending.push_back(Pending { envelope, missed: core::mem::take(&mut self.gap) });
        self.stats.delivered += 1;
        self.stats.high_water = self.stats.high_water.max(self.pending.len() as u64);
    }

    /// Drops the oldest; the gap it leaves is before the one that is now first.
    fn displace(&mut self) -> Option<Arc<Envelope>> {
        let oldest = self.pending.pop_front()?;
        let gap = self.pending.front_mut().map_or(&mut self.gap, |next| &mut next.missed);
        *gap += oldest.missed + 1;
        self.stats.dropped_oldest += 1;
        Some(oldest.envelope)
    }

    fn take(&mut self) -> Option<(Arc<Envelope>, Option<Arc<Ticket>>)> {
        let taken = self.pending.pop_front()?;
        self.missed = taken.missed;
        self.stats.received += 1;
        let ticket = self.waiting.pop_front().map(|first| {
            self.put(first.envelope);
            first.ticket
        });
        Some((taken.envelope, ticket))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("pattern", &self.pattern)
            .field("capacity", &self.capacity)
            .field("when_full", &self.when_full)
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::subject_bus::Subscription;

    /// What a subscription takes beyond its buffer, its pattern and its filter; the index adds less than
    /// 100 bytes per pattern.
    #[test]
    fn a_subscription_is_small() {
        let counts = 2 * size_of::<usize>(); // of the `Arc`
        assert!(counts + size_of::<Queue>() + size_of::<Subscription>() <= 400);
    }
}
