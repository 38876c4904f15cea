//! The taking side: freeze an end, take what is committed, pass over what is not.

use super::{Core, HELD, Policy, Shape, Slot, State, WRITTEN, before};
use crate::sync::{AcqRel, Acquire, Relaxed, Release, Word};

/// The one consumer's side of a ring.
pub(crate) struct Reader<'a, E> {
    core: Core<'a, E>,
    shape: Shape,
    /// The oldest position that was passed over and may have an event yet, if any.
    late: Option<Word>,
    /// [`State::voids`] when it was last looked at.
    seen: Word,
}

/// What one drain may take.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Where the events of the moment end.
    pub(super) end: Word,
    /// Up to where they are just taken one after the other: `end`, or the head while there may be late
    /// events, which come first.
    pub(super) stop: Word,
    /// Whether there may be late events.
    pub(super) late: bool,
}

impl<E> Slot<E> {
    /// The event that `written` says, if it is committed, on a ring that does not displace. Only for
    /// the one reader.
    #[inline(always)]
    fn take(&self, written: Word, shape: Shape) -> Option<E> {
        // Acquire: pairs with the Release in `fill`; the event is in the slot.
        if self.stamp.load(Acquire) != written {
            return None;
        }
        // SAFETY: the stamp says that the event is in the slot, and only the reader takes from a ring
        // that does not displace. The stamp below makes it the last read.
        let event = unsafe { self.read() };
        // Release: pairs with the Acquire of the stamp in `publish`; the event is out of the slot.
        self.stamp.store(written.wrapping_add(shape.span - WRITTEN), Release);
        Some(event)
    }
}

impl<'a, E> Reader<'a, E> {
    /// The reading side of a ring whose consumer the caller has claimed.
    pub(crate) fn new(core: Core<'a, E>) -> Self {
        let shape = core.shape();
        let head = core.state.head.0.load(Relaxed);
        // A consumer before this one may have passed over something: look at every slot once.
        let late = Some(head.wrapping_sub(shape.span));
        Self { core, shape, late, seen: 0 }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'a, E> {
        self.core
    }

    /// Where the head is. Only this reader moves it.
    #[inline(always)]
    pub(super) fn head(&self) -> Word {
        self.core.state.head.0.load(Relaxed)
    }

    #[inline(always)]
    fn slot(&self, position: Word) -> &'a Slot<E> {
        self.core.slot(self.shape, position)
    }

    /// How many events wait.
    #[inline]
    pub(crate) fn pending<P: Policy>(&self) -> usize {
        self.core.pending_of::<P>(self.shape)
    }

    /// What is on the ring at this moment: the start of a drain.
    #[inline]
    pub(crate) fn freeze<P: Policy>(&mut self) -> Span {
        let Self { core: Core { state, .. }, shape, .. } = *self;
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
        let head = self.head();
        let waiting = end.wrapping_sub(head);
        if waiting > state.high_water.load(Relaxed) {
            state.raise_high_water(waiting);
        }
        state.turn(head);
        let late = self.late.is_some();
        if Word::BITS < 64 && before(state.loose.load(Relaxed), head) {
            // Lest it seem to lie ahead when the positions come round.
            state.loose.store(head, Relaxed);
        }
        let plain = !late && !self.frees_loosely(head);
        Span { end, stop: if plain { end } else { head }, late }
    }

    /// Whether the slot of `head` can only be freed while it is held.
    #[inline]
    pub(super) fn frees_loosely(&self, head: Word) -> bool {
        let next = head.wrapping_add(self.shape.span);
        before(next, self.core.state.loose.load(Relaxed))
    }

    /// The next event, in order.
    #[inline]
    pub(crate) fn take<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        if P::EVICTS {
            return self.take_displaceable::<P>(span);
        }
        let head = self.head();
        if head == span.stop {
            return if head != span.end || span.late { self.take_slow::<P>(span) } else { None };
        }
        match self.take_at(head) {
            Some(event) => Some(event),
            None => self.take_slow::<P>(span),
        }
    }

    /// The event of `head`, which is where the head is, if it is committed.
    #[inline(always)]
    fn take_at(&self, head: Word) -> Option<E> {
        let shape = self.shape;
        let event = self.slot(head).take(shape.written(head), shape)?;
        // After the slot has been freed: an occupied slot behind the head was not taken but passed
        // over. (A publisher that sees these two the other way round finds out in `mark_held`.)
        self.core.state.head.0.store(head.wrapping_add(shape.unit), Relaxed);
        Some(event)
    }

    /// Hands the events to `each`, until it says to stop.
    #[inline]
    pub(crate) fn take_while<P: Policy>(
        &mut self,
        span: &mut Span,
        mut each: impl FnMut(&State, E) -> bool,
    ) {
        let Self { core: Core { state, slots }, shape, .. } = *self;
        loop {
            let mut head = self.head();
            // Run by run: between two ends of the slots all stamps are of one lap.
            'runs: while !P::EVICTS && head != span.stop {
                let start = self.core.index(shape, head);
                let run = shape.count(span.stop.wrapping_sub(head)).min(slots.len() - start);
                let written = shape.written(head);
                for slot in &slots[start..start + run] {
                    // As in `Slot::take`, but with no `Option` for the event to travel in.
                    // Acquire: as there.
                    if slot.stamp.load(Acquire) != written {
                        break 'runs;
                    }
                    // SAFETY: as there.
                    let event = unsafe { slot.read() };
                    // Release: as there.
                    slot.stamp.store(written.wrapping_add(shape.span - WRITTEN), Release);
                    head = head.wrapping_add(shape.unit);
                    state.head.0.store(head, Relaxed);
                    if !each(state, event) {
                        return;
                    }
                }
            }
            let Some(event) = self.take::<P>(span) else { return };
            if !each(state, event) {
                return;
            }
        }
    }

    /// The next event where [`take_at`](Self::take_at) has none: late events first, then what
    /// stands behind positions that are not committed.
    #[cold]
    #[inline(never)]
    fn take_slow<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        if span.late {
            if let Some(event) = self.take_late::<P>() {
                return Some(event);
            }
            span.late = false;
        }
        if self.head() == span.end {
            span.stop = span.end;
            return None;
        }
        if !self.pass(span.end) {
            // What is committed from here on is for the next drain.
            (span.end, span.stop) = (self.head(), self.head());
            return None;
        }
        let Self { core, shape, .. } = *self;
        let head = self.head();
        let event = if self.frees_loosely(head) {
            let (slot, index) = (self.slot(head), core.index(shape, head));
            while !core.hold(index, core.state.tail.0.load(Relaxed)) {}
            // SAFETY: `pass` has seen the stamp that says that the event of `head` is in the slot, and
            // only this reader takes from a ring that does not displace.
            let event = unsafe { slot.read() };
            core.let_go(slot, index);
            core.state.head.0.store(head.wrapping_add(shape.unit), Relaxed);
            Some(event)
        } else {
            self.take_at(head)
        };
        let head = self.head();
        span.stop = if self.frees_loosely(head) { head } else { span.end };
        event
    }

    /// Passes over the positions from the head on that have no event, up to one that has. `false`:
    /// there is none before `end`, and nothing has been passed over.
    fn pass(&mut self, end: Word) -> bool {
        let (shape, head) = (self.shape, self.head());
        let mut next = head;
        // Acquire: as in `Slot::take`.
        while next != end && self.slot(next).stamp.load(Acquire) != shape.written(next) {
            next = next.wrapping_add(shape.unit);
        }
        if next == end {
            return false;
        }
        let mut late = self.late;
        let mut position = head;
        while position != next {
            // Acquire: as in `Slot::take`.
            let stamp = self.slot(position).stamp.load(Acquire);
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
            position = position.wrapping_add(shape.unit);
        }
        self.late = late;
        // Before any slot after the passed ones is freed, so that a publisher which sees one of those
        // free does not take a passed one for a sign of "full".
        self.pass_to(next);
        true
    }

    /// Moves the head without taking anything.
    fn pass_to(&mut self, next: Word) {
        let state = self.core.state;
        let passed = next.wrapping_sub(self.head()) >> self.shape.shift;
        State::add(&state.surplus, passed.wrapping_neg());
        state.head.0.store(next, Relaxed);
    }

    /// Whether an event that was passed over has been committed by now.
    #[cfg(not(tickbus_loom))]
    pub(super) fn sees_late<P: Policy>(&self) -> bool {
        self.look_for_late::<P>(self.head()).0.is_some()
    }

    /// An event whose position was passed over before it was committed, if there is one by now.
    #[cold]
    #[inline(never)]
    fn take_late<P: Policy>(&mut self) -> Option<E> {
        let Self { core, shape, .. } = *self;
        let head = self.head();
        // The same look twice: the second sees what was committed before what the first has found,
        // by the same publisher perhaps, and while the first was under way.
        let mut found = None;
        let position = loop {
            let (oldest, unfinished) = self.look_for_late::<P>(head);
            if oldest != found {
                found = oldest;
                continue;
            }
            let Some((_, position)) = oldest else {
                self.late = unfinished;
                return None;
            };
            break position;
        };
        let index = core.index(shape, position);
        while !core.hold(index, core.state.tail.0.load(Relaxed)) {}
        let slot = self.slot(position);
        // SAFETY: the stamp says that the slot holds a late event. No publisher touches such a slot,
        // and only this reader takes from it.
        let event = unsafe { slot.read() };
        core.let_go(slot, index);
        State::add(&core.state.surplus, 1);
        Some(event)
    }

    /// The oldest committed late event, as the position of its claim and one of its slot, and the first
    /// slot that may have one later.
    fn look_for_late<P: Policy>(&self, to: Word) -> (Option<(Word, Word)>, Option<Word>) {
        let shape = self.shape;
        let mut oldest = None;
        let mut unfinished = None;
        let mut position = match self.late {
            None => to,
            Some(late) if to.wrapping_sub(late) > shape.span => to.wrapping_sub(shape.span),
            Some(late) => late,
        };
        while position != to {
            // Acquire: as in `Slot::take`.
            let stamp = self.slot(position).stamp.load(Acquire);
            // A stamp of the laps to come is none of a late event, all others are. The head is no more
            // than three laps behind such a stamp; where a word cannot wrap, however many they are.
            let free = shape.free(position);
            let lap = shape.free(stamp);
            let late = if Word::BITS < 64 {
                lap.wrapping_sub(free).wrapping_sub(1) >= 3 * shape.span
            } else {
                !before(free, lap)
            };
            let committed = if P::EVICTS { WRITTEN | HELD } else { WRITTEN };
            if (late || stamp == HELD) && stamp & committed == committed {
                let claimed = lap | (position & (shape.span - 1));
                if oldest.is_none_or(|(old, _)| before(claimed, old)) {
                    oldest = Some((claimed, position));
                }
            } else if (late || stamp == HELD) && stamp & WRITTEN == 0 {
                unfinished = unfinished.or(Some(position));
            }
            position = position.wrapping_add(shape.unit);
        }
        (oldest, unfinished)
    }

    /// Skips what has been displaced up to `tail`, all but late events. Returns whether it had to.
    fn catch_up(&mut self, tail: Word) -> bool {
        let behind = tail.wrapping_sub(self.head()) > self.shape.span;
        if behind {
            self.pass_to(tail.wrapping_sub(self.shape.span));
            let state = self.core.state;
            if state.voids.load(Relaxed) != 0 || state.passed_over.load(Relaxed) != 0 {
                self.look_everywhere();
            }
        }
        behind
    }

    /// Takes every slot for one that may have a late event.
    fn look_everywhere(&mut self) {
        self.late = Some(self.head().wrapping_sub(self.shape.span));
    }

    /// [`take`](Self::take) from a ring whose publishers may displace the oldest event meanwhile.
    fn take_displaceable<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        let Self { core, shape, .. } = *self;
        loop {
            let tail = core.state.tail.0.load(Relaxed);
            if self.catch_up(shape.position(tail)) {
                span.late = self.late.is_some();
            }
            let head = self.head();
            if before(span.end, head) {
                // All that was to be taken has been displaced.
                return None;
            }
            if span.late {
                if let Some(event) = self.take_late::<P>() {
                    return Some(event);
                }
                span.late = false;
                continue;
            }
            if head == span.end {
                return None;
            }
            let slot = self.slot(head);
            // Acquire: as in `Slot::take`.
            if slot.stamp.load(Acquire) & !HELD != shape.written(head) {
                if !self.pass_displaceable(span.end) {
                    span.end = self.head();
                    return None;
                }
                continue;
            }
            let index = core.index(shape, head);
            if !core.hold(index, tail) {
                continue;
            }
            // SAFETY: the stamp says that the event of `head` is in the slot. The tail has not moved
            // since, so no publisher has displaced it, and the hold keeps them from it until it is
            // let go, which is after this last read.
            let event = unsafe { slot.read() };
            core.let_go(slot, index);
            core.state.head.0.store(head.wrapping_add(shape.unit), Relaxed);
            return Some(event);
        }
    }

    /// [`pass`](Self::pass) where publishers displace: each uncommitted slot that is passed over is
    /// marked, so that its event becomes one for the consumer alone.
    #[cold]
    #[inline(never)]
    fn pass_displaceable(&mut self, end: Word) -> bool {
        let Self { core: Core { state, .. }, shape, .. } = *self;
        let head = self.head();
        let has_event = |at: Word, stamp: Word| stamp & !HELD == shape.written(at);
        let mut next = head;
        // Acquire: as in `Slot::take`.
        while before(next, end) && !has_event(next, self.slot(next).stamp.load(Acquire)) {
            next = next.wrapping_add(shape.unit);
        }
        if !before(next, end) {
            return false;
        }
        let mut late = self.late;
        let mut position = head;
        while position != next {
            let stamp = &self.slot(position).stamp;
            // Acquire: as in `Slot::take`.
            let found = stamp.load(Acquire);
            let over = shape.written(position.wrapping_sub(shape.span));
            if has_event(position, found) {
                next = position;
                break;
            }
            if found == shape.free(position) || found == over {
                state.passed_over.store(1, Relaxed);
                if stamp.compare_exchange(found, HELD, AcqRel, Relaxed).is_err() {
                    continue;
                }
                late = late.or(Some(position));
            } else if found == HELD {
                late = late.or(Some(position));
            }
            position = position.wrapping_add(shape.unit);
        }
        self.late = late;
        self.pass_to(next);
        true
    }
}
