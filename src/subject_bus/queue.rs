//! What is kept for one subscription: the envelopes that wait for it, the publishers that wait for
//! room, and the receivers that wait for an envelope. All of it lies under the lock of the bus.
//!
//! Two invariants. A publisher waits in the queue **with** its envelope, and only while the buffer
//! is full. What takes an envelope out moves the first waiting one in, so one receive frees exactly
//! one place and keeps the order. A receiver goes to sleep only while the buffer is empty. Each
//! envelope that comes in wakes one receiver, and a receiver that was woken and leaves without
//! looking wakes the next.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::Waker;

use smallvec::SmallVec;

use super::observer::{Overrun, Recipient};
use super::routes::Target;
use super::stats::SubscriptionStats;
use crate::envelope::Envelope;
use crate::subject::Pattern;
use crate::sync::{AtomicWord, Relaxed, Word};
use crate::wait::panics::Panics;

pub(super) type Predicate = Arc<dyn Fn(&Envelope) -> bool + Send + Sync>;

/// How many slots a buffer has from the start, at most; it grows to its capacity beyond.
const RESERVED: usize = 1024;

/// What never changes of a subscription, its filter aside. Nothing in it is a user's, so it may be
/// dropped anywhere.
pub(super) struct About {
    pub(super) id: u64,
    pub(super) capacity: usize,
    pub(super) overrun: Overrun,
    pub(super) name: Box<str>,
    /// Whether it may miss a replay.
    pub(super) late: bool,
    /// How many envelopes the bus had replayed before.
    pub(super) missed_replay: u64,
    /// Takes the first of so many, then the one so many later. 1 for each.
    pub(super) every_nth: u32,
    /// How long a publisher waits for room at most.
    #[cfg(feature = "hosted")]
    pub(super) patience: Option<core::time::Duration>,
    /// One at least. Each has passed the check of `Pattern`, and none is there twice.
    pub(super) patterns: Patterns,
}

/// Most subscriptions have one.
pub(super) type Patterns = SmallVec<[Box<str>; 1]>;

impl About {
    /// Returns the first pattern.
    pub(super) fn pattern(&self) -> Pattern<'_> {
        Pattern::checked(&self.patterns[0])
    }

    pub(super) fn patterns(&self) -> impl ExactSizeIterator<Item = Pattern<'_>> {
        self.patterns.iter().map(|pattern| Pattern::checked(pattern))
    }

    pub(super) fn recipient(&self) -> Recipient<'_> {
        let Self { id, name, overrun, .. } = self;
        Recipient { id: *id, name, pattern: self.pattern(), overrun: *overrun }
    }
}

pub(super) struct Queue {
    pub(super) about: Arc<About>,
    pub(super) predicate: Option<Predicate>,
    // What a publish needs of `about`, at hand.
    pub(super) id: u64,
    pub(super) overrun: Overrun,
    capacity: usize,
    pub(super) end: End,
    pending: VecDeque<Pending>,
    /// Made at the first wait.
    asleep: Option<Box<Asleep>>,
    /// How many were dropped since the last one in `pending`, or since the last one received.
    gap: u64,
    /// How many it still samples away before it takes the next one.
    skips: u32,
    // As in `SubscriptionStats`.
    sampled: u64,
    enqueued: u64,
    received: u64,
    dropped_newest: u64,
    dropped_oldest: u64,
    high_water: usize,
}

#[derive(Default)]
struct Asleep {
    /// Not empty only while the buffer is full and the queue is open. In the order of their turns.
    publishers: VecDeque<Waiting>,
    last_turn: Turn,
    /// Went to sleep while the buffer was empty, and were not woken since.
    receivers: VecDeque<(ReceiverId, Waker)>,
    last_receiver: ReceiverId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// No publisher waits here any more. Envelopes for which there is room still come in.
    Closing,
    Closed,
}

pub(super) struct Pending {
    pub(super) envelope: Arc<Envelope>,
    /// How many were dropped right before it.
    pub(super) missed: u64,
}

/// What a receive takes, and which wakers it calls after the lock.
pub(super) struct Taken {
    pub(super) it: Pending,
    /// Its envelope moved in.
    publisher: Option<Waker>,
    /// For it, that envelope moved in.
    receiver: Option<Waker>,
}

impl Taken {
    /// Returns the envelope. The receiver has it even if a waker panics: that panic ends here.
    #[inline(always)]
    pub(super) fn wake(self) -> Pending {
        if self.publisher.is_some() || self.receiver.is_some() {
            Panics::default().wake(self.publisher.into_iter().chain(self.receiver));
        }
        self.it
    }
}

struct Waiting {
    turn: Turn,
    envelope: Arc<Envelope>,
    ticket: Arc<Ticket>,
    publisher: Waker,
}

/// What a publisher waited with, before it withdrew.
#[must_use = "it is dropped after the lock"]
pub(super) struct Withdrawn(#[expect(dead_code, reason = "to be dropped")] Waiting);

/// Names a publisher among those that wait at one queue. A later one has a greater number.
pub(super) type Turn = u64;

/// Names a receiver among those that wait at one queue.
pub(crate) type ReceiverId = u32;

/// What a waiting publisher looks at.
pub(super) struct Ticket(AtomicWord);

const WAITING: Word = 0;
const ENQUEUED: Word = 1;
const CLOSED: Word = 2;

/// What became of an envelope that was waited with.
pub(super) enum Settled {
    Enqueued,
    Closed,
}

impl Ticket {
    pub(super) fn new() -> Self {
        Self(AtomicWord::new(WAITING))
    }

    /// Under the lock of the bus; its publisher is woken after it, and takes that lock once more
    /// before it returns, so what it waited for is before that.
    fn settle(&self, outcome: Word) {
        self.0.store(outcome, Relaxed);
    }

    pub(super) fn settled(&self) -> Option<Settled> {
        match self.0.load(Relaxed) {
            ENQUEUED => Some(Settled::Enqueued),
            CLOSED => Some(Settled::Closed),
            _ => None,
        }
    }
}

/// Whether an envelope may come in.
pub(super) enum Room {
    /// It may, and must.
    Yes,
    /// It may, and this one had to go.
    Displaced(Arc<Envelope>),
    /// It may not. Nothing is counted yet.
    Full,
    Closed,
}

impl Queue {
    pub(super) fn new(about: Arc<About>, predicate: Option<Predicate>, end: End) -> Self {
        Self {
            pending: VecDeque::with_capacity(match end {
                End::Closed => 0,
                _ => about.capacity.min(RESERVED),
            }),
            id: about.id,
            overrun: about.overrun,
            capacity: about.capacity,
            about,
            predicate,
            end,
            asleep: None,
            gap: 0,
            skips: 0,
            sampled: 0,
            enqueued: 0,
            received: 0,
            dropped_newest: 0,
            dropped_oldest: 0,
            high_water: 0,
        }
    }

    pub(super) fn target(&self, key: u32) -> Target {
        let filtered = self.predicate.is_some() || self.about.every_nth > 1;
        Target { id: self.id, key, filtered, rest: false }
    }

    /// Returns whether it samples the next envelope away, which it then counts.
    pub(super) fn samples_away(&mut self) -> bool {
        if self.end == End::Closed {
            return false;
        }
        let taken = self.skips == 0;
        if taken {
            self.skips = self.about.every_nth - 1;
        } else {
            self.skips -= 1;
            self.sampled += 1;
        }
        !taken
    }

    /// Makes room for one envelope, if the policy can.
    #[inline]
    pub(super) fn room(&mut self) -> Room {
        if self.end == End::Closed {
            return Room::Closed;
        }
        if self.pending.len() < self.capacity {
            return Room::Yes;
        }
        match self.overrun {
            Overrun::DropOldest => self.displace().map_or(Room::Yes, Room::Displaced),
            Overrun::DropNewest | Overrun::Block => Room::Full,
        }
    }

    /// Returns whether there is room for those that it takes of `count` further envelopes. Some of
    /// those that are pending may have to go.
    pub(super) fn has_room_for(&self, count: usize) -> bool {
        let every_nth = self.about.every_nth as usize;
        let taken = count.saturating_sub(self.skips as usize).div_ceil(every_nth);
        let kept = match self.overrun {
            Overrun::DropOldest => 0,
            Overrun::DropNewest | Overrun::Block => self.pending.len(),
        };
        self.end == End::Closed || taken <= self.capacity - kept
    }

    /// Puts it last. There is room. Returns the receiver to wake.
    #[inline]
    pub(super) fn put(&mut self, envelope: Arc<Envelope>) -> Option<Waker> {
        self.pending.push_back(Pending { envelope, missed: core::mem::take(&mut self.gap) });
        self.enqueued += 1;
        self.high_water = self.high_water.max(self.pending.len());
        self.next_to_wake()
    }

    #[inline]
    fn next_to_wake(&mut self) -> Option<Waker> {
        self.asleep.as_mut()?.receivers.pop_front().map(|(_, waker)| waker)
    }

    /// Counts an envelope for which there was no room.
    pub(super) const fn refuse(&mut self) {
        self.dropped_newest += 1;
        self.gap += 1;
    }

    /// Lets a publisher wait with its envelope, and returns its turn. The buffer is full. If the
    /// bus is about to close, returns the waker, to be dropped after the lock.
    pub(super) fn wait(
        &mut self,
        envelope: Arc<Envelope>,
        ticket: Arc<Ticket>,
        publisher: Waker,
    ) -> Result<Turn, Waker> {
        if self.end == End::Open {
            let asleep = self.asleep.get_or_insert_default();
            asleep.last_turn += 1;
            let turn = asleep.last_turn;
            asleep.publishers.push_back(Waiting { turn, envelope, ticket, publisher });
            Ok(turn)
        } else {
            Err(publisher)
        }
    }

    /// Replaces the waker of the publisher of this turn. Returns the one that is not needed, to be
    /// dropped after the lock.
    pub(super) fn wait_on(&mut self, turn: Turn, publisher: Waker) -> Waker {
        match self.publisher(turn) {
            Some((publishers, at)) => core::mem::replace(&mut publishers[at].publisher, publisher),
            None => publisher, // settled
        }
    }

    /// Takes the envelope of this turn back and counts it as dropped. `None` if its case is
    /// settled. What comes out is dropped after the lock.
    pub(super) fn withdraw(&mut self, turn: Turn) -> Option<Withdrawn> {
        let (publishers, at) = self.publisher(turn)?;
        let waiting = publishers.remove(at)?;
        self.refuse();
        Some(Withdrawn(waiting))
    }

    /// Returns the publishers that wait, and the index of the one of this turn. There may be as
    /// many as there are tasks.
    fn publisher(&mut self, turn: Turn) -> Option<(&mut VecDeque<Waiting>, usize)> {
        let publishers = &mut self.asleep.as_mut()?.publishers;
        let at = publishers.binary_search_by_key(&turn, |waiting| waiting.turn).ok()?;
        Some((publishers, at))
    }

    /// Drops the oldest. The gap it leaves is before the one that is now first.
    fn displace(&mut self) -> Option<Arc<Envelope>> {
        let oldest = self.pending.pop_front()?;
        let gap = self.pending.front_mut().map_or(&mut self.gap, |next| &mut next.missed);
        *gap += oldest.missed + 1;
        self.dropped_oldest += 1;
        Some(oldest.envelope)
    }

    /// Returns the number of the next envelope that comes in. They are numbered from 0, in their
    /// order.
    pub(super) const fn next_number(&self) -> u64 {
        self.enqueued
    }

    /// Returns how many are pending whose number is below `end`. Envelopes come in last and leave
    /// first, so those that are pending have the numbers right before the next one.
    #[inline]
    pub(super) fn pending_before(&self, end: u64) -> u64 {
        end.min(self.enqueued).saturating_sub(self.enqueued - self.pending.len() as u64)
    }

    /// Takes the oldest whose number is below `end`, and lets the first publisher that waits put
    /// its own in.
    #[inline]
    pub(super) fn take_before(&mut self, end: u64) -> Option<Taken> {
        if self.pending_before(end) == 0 {
            return None;
        }
        let it = self.pending.pop_front()?;
        self.received += 1;
        let first = self.asleep.as_mut().and_then(|asleep| asleep.publishers.pop_front());
        let Some(first) = first else {
            return Some(Taken { it, publisher: None, receiver: None });
        };
        let receiver = self.put(first.envelope);
        first.ticket.settle(ENQUEUED);
        Some(Taken { it, publisher: Some(first.publisher), receiver })
    }

    /// Registers a receiver, or replaces its waker. The buffer is empty. Returns the waker it had,
    /// to be dropped after the lock.
    pub(super) fn sleep(&mut self, id: &mut Option<ReceiverId>, waker: Waker) -> Option<Waker> {
        let asleep = self.asleep.get_or_insert_default();
        let registered = asleep.receivers.iter_mut().find(|(receiver, _)| Some(*receiver) == *id);
        if let Some((_, old)) = registered {
            return Some(core::mem::replace(old, waker));
        }
        let id = *id.get_or_insert_with(|| {
            asleep.last_receiver = asleep.last_receiver.wrapping_add(1);
            asleep.last_receiver
        });
        asleep.receivers.push_back((id, waker));
        None
    }

    /// Removes a receiver that waits no more. Returns its waker, to be dropped after the lock.
    pub(super) fn awake(&mut self, id: Option<ReceiverId>) -> Option<Waker> {
        let id = id?;
        let receivers = &mut self.asleep.as_mut()?.receivers;
        let at = receivers.iter().position(|(receiver, _)| *receiver == id)?;
        receivers.remove(at).map(|(_, waker)| waker)
    }

    /// Removes a receiver that leaves without another look. If it was woken for an envelope that is
    /// still there, returns the next receiver to wake for it, and `true`.
    pub(super) fn forget(&mut self, id: Option<ReceiverId>) -> Option<(Waker, bool)> {
        match self.awake(id) {
            Some(waker) => Some((waker, false)),
            None if self.pending.is_empty() => None,
            None => self.next_to_wake().map(|waker| (waker, true)),
        }
    }

    /// Goes on to `end`. Returns what is to be woken.
    pub(super) fn advance(&mut self, end: End) -> Sent {
        if self.end != End::Closed {
            self.end = end;
        }
        let Some(asleep) = &mut self.asleep else { return Sent::default() };
        let publishers = core::mem::take(&mut asleep.publishers);
        publishers.iter().for_each(|waiting| waiting.ticket.settle(CLOSED));
        let receivers = match self.end {
            End::Closed => core::mem::take(&mut asleep.receivers),
            _ => VecDeque::new(),
        };
        Sent { publishers, receivers }
    }

    #[cfg(feature = "hosted")]
    pub(super) fn pending(&self) -> impl Iterator<Item = &Arc<Envelope>> {
        self.pending.iter().map(|pending| &pending.envelope)
    }

    pub(super) fn stats(&self) -> SubscriptionStats {
        let waiting = self.asleep.as_ref().map_or(0, |asleep| asleep.publishers.len());
        SubscriptionStats {
            enqueued: self.enqueued,
            received: self.received,
            dropped_newest: self.dropped_newest,
            dropped_oldest: self.dropped_oldest,
            sampled: self.sampled,
            abandoned: 0,
            pending: self.pending.len() as u64,
            waiting: waiting as u64,
            high_water: self.high_water as u64,
        }
    }

    /// Returns the numbers of a queue whose handle is gone: what is pending is abandoned.
    pub(super) fn final_stats(&self) -> SubscriptionStats {
        SubscriptionStats { abandoned: self.pending.len() as u64, pending: 0, ..self.stats() }
    }
}

/// Publishers and receivers whose wait has ended, to be woken after the lock.
#[derive(Default)]
#[must_use]
pub(super) struct Sent {
    publishers: VecDeque<Waiting>,
    receivers: VecDeque<(ReceiverId, Waker)>,
}

impl Sent {
    /// Returns how many publishers there are, each with an envelope.
    pub(super) fn publishers(&self) -> u64 {
        self.publishers.len() as u64
    }

    pub(super) fn wakers(self) -> impl Iterator<Item = Waker> {
        let publishers = self.publishers.into_iter().map(|waiting| waiting.publisher);
        publishers.chain(self.receivers.into_iter().map(|(_, waker)| waker))
    }
}
