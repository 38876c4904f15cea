//! One of many readers.

use core::fmt;

use super::{Many, Publishers};
use crate::error::Lagged;
use crate::ring::broadcast::{Kind, Shelf, before};
use crate::ring::gate::Place;
use crate::ring::kept::Kept;
use crate::ring::link::Link;
use crate::sync::Word;
use crate::wait::{NoWaiters, Waits};

/// One reader of a [`Topic`](crate::Topic), a [`GatedTopic`](crate::GatedTopic) or a
/// [`Feed`](crate::Feed), with a cursor of its own.
///
/// It reads the events that are published after its subscription. Dropping it unsubscribes; its unread events do not
/// count as lost. You may move it to another thread or into an interrupt handler.
///
/// # Waiting
///
/// Reading wakes only publishers, and those only if it has made room: on a [`GatedTopic`](crate::GatedTopic) with
/// waiters, when no gating subscriber is further behind. It wakes them before it hands out the event. If a waker
/// panics, all others are woken, and the event is the next one that this subscriber hands out.
/// [`Iterator::for_each`] hands it out while the panic unwinds.
///
/// # Examples
///
/// A subscriber that lags learns by how much, once, and continues with the oldest event that is kept:
///
/// ```
/// use tickbus::{Lagged, Topic};
///
/// static LEVELS: Topic<u8, 2> = Topic::new();
/// let mut display = LEVELS.subscribe();
///
/// for level in 1..=5 {
///     LEVELS.publish(level);
/// }
/// assert!(display.read().eq([Err(Lagged(3)), Ok(4), Ok(5)]));
/// ```
#[must_use = "a subscriber that is dropped is unsubscribed"]
pub struct Subscriber<'a, E: Copy, P: Publishers = Many, W: Waits = NoWaiters> {
    pub(super) ring: &'a P::Ring<E>,
    /// The next position to read.
    pub(super) cursor: Word,
    /// Where it began. Moves back by each event without a position, so that `stats` counts it.
    start: Word,
    /// How many of the ring's lost events it has reported.
    lost: Word,
    missed: usize,
    /// Its place at the gate, if it gates.
    pub(super) place: Option<Place<'a>>,
    pub(super) waiters: Link<'a, W>,
    /// What was read when a waker panicked.
    pub(super) kept: Kept<Result<E, Lagged>, W>,
}

impl<'a, E: Copy, W: Waits> Subscriber<'a, E, Many, W> {
    pub(super) fn gating(
        ring: &'a <Many as Kind>::Ring<E>,
        place: Place<'a>,
        waiters: &'a W,
    ) -> Self {
        let start = place.gate(ring);
        let (lost, place) = (ring.lost(), Some(place));
        let (waiters, kept) = (Link::to(waiters), Kept::nothing());
        Self { ring, cursor: start, start, lost, missed: 0, place, waiters, kept }
    }
}

impl<'a, E: Copy, P: Publishers, W: Waits> Subscriber<'a, E, P, W> {
    pub(super) fn lagging(ring: &'a P::Ring<E>, waiters: &'a W) -> Self {
        let lost = ring.lost();
        let start = ring.committed();
        let (waiters, kept) = (Link::to(waiters), Kept::nothing());
        Self { ring, cursor: start, start, lost, missed: 0, place: None, waiters, kept }
    }

    /// Reads the unread events that are published up to this moment, oldest first.
    ///
    /// An event that is published later waits for the next call, also one that your loop publishes. Exception: if `k`
    /// publishers were interrupted at that moment, up to `k` later events may be included. Dropping the iterator early
    /// leaves the rest for later. Each step takes constant time.
    ///
    /// # Lagging
    ///
    /// An item is [`Lagged`] where events were overwritten before they were read. The next item is then the oldest event
    /// that is kept. A gating subscriber never reads one. To ignore losses, write `read().flatten()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Topic;
    ///
    /// static DAMAGE: Topic<u32, 8> = Topic::new();
    /// let mut audio = DAMAGE.subscribe();
    /// let mut score = DAMAGE.subscribe();
    ///
    /// DAMAGE.publish(3);
    /// DAMAGE.publish(4);
    /// assert_eq!(score.read().flatten().sum::<u32>(), 7);
    ///
    /// assert_eq!(audio.read().next(), Some(Ok(3))); // the rest stays
    /// assert_eq!(audio.read().next(), Some(Ok(4)));
    /// assert_eq!(audio.read().next(), None);
    /// ```
    #[inline]
    pub fn read(&mut self) -> Unread<'_, 'a, E, P, W> {
        let end = self.ring.end();
        Unread { subscriber: self, end }
    }

    /// Returns how many unread events are kept. Overwritten ones do not count.
    #[must_use]
    pub fn pending(&self) -> usize {
        let ahead = self.ring.claims().wrapping_sub(self.cursor);
        ahead.min(self.ring.span()) as usize + usize::from(self.kept.is_left())
    }

    /// Returns its place if it gates: the number by which [`GatedTopic::gate`](crate::GatedTopic::gate) names it.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        self.place.as_ref().map(Place::index)
    }

    /// Returns how many events are unread, the overwritten ones and the kept one included.
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    pub(crate) fn unread(&self) -> usize {
        self.stats().pending + usize::from(self.kept.is_left())
    }

    /// Returns what has happened since the subscription.
    #[must_use]
    pub fn stats(&self) -> SubscriberStats {
        let passed = self.cursor.wrapping_sub(self.start) as usize;
        let ahead = self.ring.claims().wrapping_sub(self.cursor);
        let untold = self.ring.lost().wrapping_sub(self.lost);
        let pending = ahead.wrapping_add(untold) as usize;
        SubscriberStats {
            published: passed.wrapping_add(pending),
            received: passed.wrapping_sub(self.missed),
            missed: self.missed,
            skipped: 0,
            pending,
        }
    }

    /// The next event before `end`, or what was missed.
    #[inline(always)]
    pub(super) fn next_before(&mut self, end: Word) -> Option<Result<E, Lagged>> {
        let position = self.cursor;
        if before(position, end)
            && let Some(event) = self.ring.read(position)
        {
            self.move_to(position.wrapping_add(1));
            return Some(Ok(event));
        }
        if !before(position, end) && self.ring.lost() == self.lost {
            return None;
        }
        self.missed_before(end).map(Err)
    }

    /// Reads what [`next_before`](Self::next_before) does, and wakes publishers that wait for room, if this has
    /// made some.
    #[inline(always)]
    pub(super) fn take_before(&mut self, end: Word) -> Option<Result<E, Lagged>> {
        if let Some(read) = self.kept.take_left() {
            return Some(read);
        }
        let read = self.next_before(end)?;
        let Self { place, waiters, kept, .. } = self;
        Some(match place {
            Some(place) => waiters.get().wake_keeping(read, kept, || place.is_slowest()),
            None => read,
        })
    }

    /// Wakes publishers that wait for room, if the last read has made some, and then calls `then`: also if a
    /// waker panics.
    #[inline(always)]
    pub(super) fn wake_then<R>(&self, then: impl FnOnce() -> R) -> R {
        match &self.place {
            Some(place) => self.waiters.get().wake_then(|| place.is_slowest(), then),
            None => then(),
        }
    }

    /// Returns whether [`read`](Self::read) would yield something.
    pub(super) fn has_unread(&self) -> bool {
        self.kept.is_left() || before(self.cursor, self.ring.end()) || self.ring.lost() != self.lost
    }

    #[inline(always)]
    fn move_to(&mut self, position: Word) {
        self.cursor = position;
        if let Some(place) = &self.place {
            place.advance(position);
        }
    }

    /// Finds out why there is no event: it was overwritten, it is lost, or there is none.
    #[cold]
    #[inline(never)]
    fn missed_before(&mut self, end: Word) -> Option<Lagged> {
        let mut missed = 0;
        if before(self.cursor, end) {
            missed = self.ring.overwritten(self.cursor);
            self.move_to(self.cursor.wrapping_add(missed));
        }
        if missed == 0 {
            let lost = self.ring.lost();
            missed = lost.wrapping_sub(self.lost);
            self.lost = lost;
            // Lost events have no position.
            self.start = self.start.wrapping_sub(missed);
        }
        self.missed = self.missed.wrapping_add(missed as usize);
        (missed != 0).then_some(Lagged(Word::into(missed)))
    }
}

impl<E: Copy, P: Publishers, W: Waits> Drop for Subscriber<'_, E, P, W> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            drop(place); // the gate opens,
            self.waiters.get().wake_for_room(); // and publishers may proceed
        }
    }
}

impl<E: Copy, P: Publishers, W: Waits> fmt::Debug for Subscriber<'_, E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("gates", &self.place.is_some())
            .field("pending", &self.pending())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Counts what a subscriber has done so far.
///
/// `published == received + missed + skipped + pending` at every quiet moment. The counters are as wide as a pointer and
/// wrap.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberStats {
    /// Events that were published since its subscription.
    pub published: usize,
    /// Events that it has read.
    pub received: usize,
    /// Events that it missed, as [`Lagged`] items have told.
    pub missed: usize,
    /// Events that it has skipped because they were not wanted: see [`Selective`](crate::topic::Selective).
    pub skipped: usize,
    /// Events that it has neither read nor skipped. Some of them may be overwritten, which the next read tells.
    pub pending: usize,
}

/// One line: `published 9 = received 6 + missed 1 + skipped 0 + pending 2`.
impl fmt::Display for SubscriberStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, received, missed, skipped, pending } = self;
        write!(
            f,
            "published {published} = received {received} + missed {missed} + skipped {skipped} \
             + pending {pending}"
        )
    }
}

/// The events that a subscriber had not read when [`Subscriber::read`] was called.
///
/// Dropping it leaves the rest for the next call. `for_each`, `fold` and their like cost less than `next`: they copy a few
/// events before they hand out the first. So an event that is overwritten meanwhile may still come.
#[must_use = "nothing is read until it is iterated over"]
pub struct Unread<'s, 'a, E: Copy, P: Publishers = Many, W: Waits = NoWaiters> {
    subscriber: &'s mut Subscriber<'a, E, P, W>,
    end: Word,
}

impl<E: Copy, P: Publishers, W: Waits> Iterator for Unread<'_, '_, E, P, W> {
    type Item = Result<E, Lagged>;

    #[inline]
    fn next(&mut self) -> Option<Result<E, Lagged>> {
        self.subscriber.take_before(self.end)
    }

    #[inline]
    fn fold<B, F: FnMut(B, Result<E, Lagged>) -> B>(self, init: B, mut each: F) -> B {
        let Self { subscriber, end } = self;
        let mut folded = Some(init);
        let mut take = |found| folded = folded.take().map(|so_far| each(so_far, found));
        if let Some(read) = subscriber.kept.take_left() {
            take(read);
        }
        loop {
            let ring = subscriber.ring;
            ring.read_run(subscriber.cursor, end, |next, event| {
                subscriber.move_to(next);
                subscriber.wake_then(|| take(Ok(event)));
            });
            match subscriber.next_before(end) {
                Some(found) => subscriber.wake_then(|| take(found)),
                None => break,
            }
        }
        folded.unwrap_or_else(|| unreachable!("put back after every event"))
    }
}

impl<E: Copy, P: Publishers, W: Waits> fmt::Debug for Unread<'_, '_, E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}
