//! The taking side: freeze an end, take what is committed, pass over what is not.

use super::{Core, HELD, Policy, State, WRITTEN, before};
use crate::sync::{AcqRel, Acquire, Relaxed, Release, Word};

/// The one consumer's side of a ring.
pub(crate) struct Reader<'a, E> {
    core: Core<'a, E>,
    /// The oldest position that was passed over and may have an event yet, if any.
    late: Option<Word>,
    /// Whether this drain has yet to look for late events.
    late_due: bool,
    /// [`State::voids`] when it was last looked at.
    seen: Word,
}

impl<'a, E> Reader<'a, E> {
    /// The reading side of a ring whose consumer the caller has claimed.
    pub(crate) fn new(core: Core<'a, E>) -> Self {
        // A consumer before this one may have passed over something: look at every slot once.
        let head = core.state.head.0.load(Relaxed);
        Self { core, late: Some(head.wrapping_sub(core.shape.span())), late_due: true, seen: 0 }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'a, E> {
        self.core
    }

    /// The end of what is on the ring at this moment: the start of a drain.
    #[inline]
    pub(crate) fn freeze<P: Policy>(&mut self) -> Word {
        let state = self.core.state;
        let shape = self.core.shape;
        // Acquire: pairs with the Release of the claims; whatever was committed before one of
        // them began is seen.
        let end = shape.position(state.tail.0.load(Acquire));
        if P::EVICTS {
            self.catch_up(end);
            let voids = state.voids.load(Relaxed);
            if voids != self.seen {
                self.seen = voids;
                self.look_everywhere();
            }
        }
        self.late_due = self.late.is_some();
        let head = state.head.0.load(Relaxed);
        let waiting = end.wrapping_sub(head) >> shape.shift;
        if waiting != 0 {
            let waiting = waiting.min(self.core.slots.len() as Word);
            if waiting > state.high_water.load(Relaxed) {
                state.high_water.store(waiting, Relaxed);
            }
            let turns = state.turns_at(head);
            if turns != state.turns.load(Relaxed) {
                state.turns.store(turns, Relaxed);
            }
        }
        end
    }

    /// Whether to ask [`take_late`](Self::take_late) before [`take`](Self::take).
    #[inline(always)]
    pub(crate) fn late_due(&self) -> bool {
        self.late_due
    }

    /// Skips what has been displaced up to `tail`, all but late events. Returns whether anything was.
    fn catch_up(&mut self, tail: Word) -> bool {
        let Core { state, shape, .. } = self.core;
        let head = state.head.0.load(Relaxed);
        let oldest = tail.wrapping_sub(shape.span());
        let behind = before(head, oldest);
        if behind {
            let passed = oldest.wrapping_sub(head) >> shape.shift;
            State::add(&state.surplus, passed.wrapping_neg());
            state.head.0.store(oldest, Release);
            if state.voids.load(Relaxed) != 0 {
                self.look_everywhere();
                self.late_due = true;
            }
        }
        behind
    }

    /// Takes every slot for one that may have a late event.
    fn look_everywhere(&mut self) {
        let head = self.core.state.head.0.load(Relaxed);
        self.late = Some(head.wrapping_sub(self.core.shape.span()));
    }

    /// The next event before `end`, in order. Late ones are not among them: see
    /// [`take_late`](Self::take_late).
    #[inline]
    pub(crate) fn take<P: Policy>(&mut self, end: Word) -> Option<E> {
        if P::EVICTS {
            return self.take_displaceable::<P>(end);
        }
        let Core { state, shape, .. } = self.core;
        let mut head = state.head.0.load(Relaxed);
        if head == end {
            return None;
        }
        let mut slot = self.core.slot(head);
        // Acquire: pairs with the Release in `fill`; the event is in the slot.
        while slot.stamp.load(Acquire) != shape.written(head) {
            head = self.pass(head, end)?;
            slot = self.core.slot(head);
        }
        // SAFETY: the stamp says that the event of `head` is in the slot, and only this reader
        // takes from a ring that does not displace. The stamp below makes it the last read.
        let event = unsafe { slot.read() };
        // Release: pairs with the Acquire of the stamp in `publish`; the event is out of the slot.
        slot.stamp.store(shape.free(head).wrapping_add(shape.span()), Release);
        // Release: pairs with the Acquire of the head in `claim_slow`; a publisher that finds an
        // occupied slot behind the head knows that it was not taken but passed over.
        state.head.0.store(head.wrapping_add(shape.unit()), Release);
        Some(event)
    }

    /// Passes over the positions from `head` on that have no event, up to one that has, and
    /// returns that. `None`: there is none before `end`, and nothing has been passed over.
    #[cold]
    fn pass(&mut self, head: Word, end: Word) -> Option<Word> {
        let Core { state, shape, .. } = self.core;
        let has_event =
            // Acquire: as in `take`.
            |at: Word| self.core.slot(at).stamp.load(Acquire) == shape.written(at);
        let mut next = head;
        while next != end && !has_event(next) {
            next = next.wrapping_add(shape.unit());
        }
        if next == end {
            return None;
        }
        let mut late = self.late;
        let mut position = head;
        while position != next {
            // Acquire: as in `take`.
            let stamp = self.core.slot(position).stamp.load(Acquire);
            if stamp == shape.written(position) {
                // Committed by now, so taken in its turn. Again from the start: what is before it may
                // be of the same batch.
                next = position;
                position = head;
                late = self.late;
                continue;
            }
            if stamp == shape.free(position) {
                late = late.or(Some(position));
            }
            position = position.wrapping_add(shape.unit());
        }
        self.late = late;
        let passed = next.wrapping_sub(head) >> shape.shift;
        State::add(&state.surplus, passed.wrapping_neg());
        // Release: before any slot after the passed ones is freed, so that a publisher which sees
        // one of those free does not take a passed one for a sign of "full".
        state.head.0.store(next, Release);
        Some(next)
    }

    /// An event whose position was passed over before it was committed, if there is one by now.
    #[cold]
    pub(crate) fn take_late<P: Policy>(&mut self) -> Option<E> {
        let Core { state, shape, .. } = self.core;
        let head = state.head.0.load(Relaxed);
        let Some(from) = self.late else {
            self.late_due = false;
            return None;
        };
        let from = if head.wrapping_sub(from) > shape.span() {
            head.wrapping_sub(shape.span())
        } else {
            from
        };
        // The same look twice: the second sees what was committed before what the first has found,
        // by the same publisher perhaps, and while the first was under way.
        let mut found = None;
        let position = loop {
            let (oldest, unfinished) = self.look_for_late::<P>(from, head);
            if oldest != found {
                found = oldest;
                continue;
            }
            let Some((_, position)) = oldest else {
                self.late = unfinished;
                self.late_due = false;
                return None;
            };
            break position;
        };
        let index = self.core.index(position);
        while !self.core.hold(index, state.tail.0.load(Relaxed)) {}
        let slot = self.core.slot(position);
        // SAFETY: the stamp says that the slot holds a late event. No publisher touches such a slot,
        // and only this reader takes from it.
        let event = unsafe { slot.read() };
        self.core.let_go(slot, index);
        State::add(&state.surplus, 1);
        Some(event)
    }

    /// The oldest committed late event between two positions less than a lap apart, as the lap of its
    /// claim and a position of its slot, and the first slot that is not committed.
    fn look_for_late<P: Policy>(
        &self,
        from: Word,
        to: Word,
    ) -> (Option<(Word, Word)>, Option<Word>) {
        let shape = self.core.shape;
        let mut oldest = None;
        let mut unfinished = None;
        let mut position = from;
        while position != to {
            // Acquire: as in `take`.
            let stamp = self.core.slot(position).stamp.load(Acquire);
            let lap = shape.free(stamp);
            // A stamp of the laps to come is none of a late event; all others are, however old.
            let ahead = lap.wrapping_sub(shape.free(position));
            let late = stamp == HELD || ahead == 0 || ahead > shape.span().wrapping_mul(4);
            let committed = if P::EVICTS {
                stamp & (WRITTEN | HELD) == WRITTEN | HELD
            } else {
                stamp & WRITTEN != 0
            };
            if late && committed {
                if oldest.is_none_or(|(old, _)| before(lap, old)) {
                    oldest = Some((lap, position));
                }
            } else if late && stamp & WRITTEN == 0 {
                unfinished = unfinished.or(Some(position));
            }
            position = position.wrapping_add(shape.unit());
        }
        (oldest, unfinished)
    }

    /// [`take`](Self::take) from a ring whose publishers may displace the oldest event meanwhile.
    fn take_displaceable<P: Policy>(&mut self, end: Word) -> Option<E> {
        let Core { state, shape, .. } = self.core;
        loop {
            // Acquire: as in `freeze`.
            let tail = state.tail.0.load(Acquire);
            if self.catch_up(shape.position(tail)) && self.late_due {
                if let Some(event) = self.take_late::<P>() {
                    return Some(event);
                }
                continue;
            }
            let head = state.head.0.load(Relaxed);
            if !before(head, end) {
                return None;
            }
            let slot = self.core.slot(head);
            // Acquire: as in `take`.
            if slot.stamp.load(Acquire) & !HELD != shape.written(head) {
                if !self.pass_displaceable(head, end) {
                    return None;
                }
                continue;
            }
            let index = self.core.index(head);
            if !self.core.hold(index, tail) {
                continue;
            }
            // SAFETY: the stamp says that the event of `head` is in the slot. The tail has not moved
            // since, so no publisher has displaced it, and the hold keeps them from it until it is
            // let go, which is after this last read.
            let event = unsafe { slot.read() };
            self.core.let_go(slot, index);
            state.head.0.store(head.wrapping_add(shape.unit()), Release);
            return Some(event);
        }
    }

    /// [`pass`](Self::pass) where publishers displace: each uncommitted slot that is passed over is
    /// marked, so that its event becomes one for the consumer alone.
    #[cold]
    fn pass_displaceable(&mut self, head: Word, end: Word) -> bool {
        let Core { state, shape, .. } = self.core;
        let has_event =
            // Acquire: as in `take`.
            |at: Word| self.core.slot(at).stamp.load(Acquire) & !HELD == shape.written(at);
        let mut next = head;
        while before(next, end) && !has_event(next) {
            next = next.wrapping_add(shape.unit());
        }
        if !before(next, end) {
            return false;
        }
        let mut late = self.late;
        let mut position = head;
        while position != next {
            let stamp = &self.core.slot(position).stamp;
            // Acquire: as in `take`.
            let found = stamp.load(Acquire);
            let over = shape.written(position.wrapping_sub(shape.span()));
            if found & !HELD == shape.written(position) {
                next = position;
                break;
            }
            if found == shape.free(position) || found == over {
                if stamp.compare_exchange(found, HELD, AcqRel, Relaxed).is_err() {
                    continue;
                }
                late = late.or(Some(position));
            } else if found == HELD {
                late = late.or(Some(position));
            }
            position = position.wrapping_add(shape.unit());
        }
        self.late = late;
        let passed = next.wrapping_sub(head) >> shape.shift;
        State::add(&state.surplus, passed.wrapping_neg());
        state.head.0.store(next, Release);
        true
    }
}
