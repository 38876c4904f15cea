//! The taking side: freezes an end and takes the events before it.
//!
//! # A consumer that polls
//!
//! Publishers write the cache line of `tail` with every event. A consumer that reads `tail` at every look takes the
//! line away from them as often. So where words have 64 bits and nothing is displaced, the consumer keeps the end of
//! its last look and reads the entry there, which the next commit writes. If the entry is not committed, the end has
//! not moved. Else the consumer steps over up to [`NEAR`] runs, and only then reads `tail`.
//!
//! The end is still exact. The kept position was an end, so it does not lie inside a run, whose entries are not
//! written. An exclusive publish writes no entry either, but then no consumer is alive, and the next one begins with
//! a search from `tail`. A publish that returned before the look has committed, and so has every position from the
//! kept one up to it.

use core::marker::PhantomData;

use super::{Core, Eviction, RUNS, Ring, State, before};
use crate::ring::{Span, Tally};
use crate::sync::{Acquire, AtomicWord, Relaxed, Release, Word};

/// How many runs a look steps over before it reads `tail`. The models have few events.
const NEAR: usize = if cfg!(tickbus_loom) { 1 } else { 64 };

/// The end of a consumer's last look. Only where words have 64 bits.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Seen([Word; RUNS as usize]);

/// The one consumer's side of a ring.
pub(super) struct Reader<'a, E> {
    pub(super) core: Core<'a, E>,
}

impl<'a, E> Reader<'a, E> {
    /// Makes the reading side of a ring whose consumer the caller has claimed.
    #[inline(always)]
    pub(crate) fn new(core: Core<'a, E>) -> Self {
        Self { core }
    }

    /// Returns the events that are pending at this moment: a drain begins with this. `seen` belongs to this consumer.
    #[inline]
    pub(crate) fn freeze<P: Eviction>(&mut self, seen: &mut Seen) -> Span {
        let Core { state, .. } = self.core;
        let end = self.core.end_since::<P>(seen);
        let mut head = state.head_of_consumer::<P>();
        if P::EVICTS {
            head = state.skip_displaced(head, end, self.core.shape().slots);
        }
        state.tally.mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    /// Returns how many events are before the end of a span.
    #[inline]
    pub(super) fn left<P: Eviction>(&self, span: &Span) -> usize {
        if !P::EVICTS {
            return span.end.wrapping_sub(span.head) as usize;
        }
        // Publishers may have displaced all of them, and events behind the end.
        let head = self.core.oldest_of_consumer::<P>();
        if before(head, span.end) { span.end.wrapping_sub(head) as usize } else { 0 }
    }

    /// Shortens a span to at most this many events.
    #[inline]
    pub(crate) fn shorten<P: Eviction>(&self, span: &mut Span, most: usize) {
        let beyond = self.left::<P>(span).saturating_sub(most);
        span.end = span.end.wrapping_sub(beyond as Word);
    }

    /// Takes the next event, in order.
    #[inline]
    pub(crate) fn take<P: Eviction>(&mut self, span: &mut Span) -> Option<E> {
        if P::EVICTS {
            return self.take_displaceable::<P>(span);
        }
        let Span { head, end } = *span;
        if head == end {
            return None;
        }
        span.head = head.wrapping_add(1);
        // SAFETY: only the consumer moves the head, and the head is before the end of a span of this ring, as
        // `Span` says.
        Some(unsafe { self.take_at::<P>(head) })
    }

    /// Takes the event of the head.
    ///
    /// # Safety
    ///
    /// `head` must be the head of a ring that rejects, and before the end of a span.
    #[inline(always)]
    unsafe fn take_at<P: Eviction>(&mut self, head: Word) -> E {
        let Self { core } = self;
        let shape = core.shape();
        let cell = shape.cell::<P>(core.entry(head).load(Relaxed), head);
        // SAFETY: an entry named it.
        let cell = unsafe { core.cell(cell) };
        // SAFETY: everything before the end of a span is committed, no publisher displaces it, and moving the head
        // makes this the last read.
        let event = unsafe { cell.read() };
        // Release: pairs with the Acquire in `head`; the event is out.
        core.state.taken.0.store(head.wrapping_add(1), Release);
        event
    }

    /// Hands at most `most` events to `each`. Returns how many it handed out.
    #[inline]
    pub(crate) fn take_most<P: Eviction>(
        &mut self,
        span: &mut Span,
        most: usize,
        mut each: impl FnMut(E),
    ) -> usize {
        if P::EVICTS {
            let mut count = 0;
            while count < most
                && let Some(event) = self.take_displaceable::<P>(span)
            {
                count += 1;
                each(event);
            }
            return count;
        }
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        while span.head != end {
            // SAFETY: as in `take`; `each` cannot reach this reader.
            let event = unsafe { self.take_at::<P>(span.head) };
            span.head = span.head.wrapping_add(1);
            each(event);
        }
        count
    }

    /// Shows at most `most` events to `each`, and drops them. Returns how many it showed.
    #[inline]
    pub(crate) fn show_most<P: Eviction, L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        let Self { core } = *self;
        let state = core.state;
        if P::EVICTS {
            let each = |event| each(&state.tally, look(&event), &event);
            return self.take_most::<P>(span, most, each);
        }
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        while span.head != end {
            let entry = core.entry(span.head).load(Relaxed);
            // SAFETY: an entry named it.
            let cell = unsafe { core.cell(core.shape().cell::<P>(entry, span.head)) };
            // Release: pairs with the Acquire in `head`; the event is out.
            let pass = || state.taken.0.store(span.head.wrapping_add(1), Release);
            // SAFETY: as in `take_at`.
            let found = unsafe { cell.look(&look, pass) };
            // Not by `take_at`: the event that it returns would be copied twice.
            // SAFETY: as in `take_at`; `each` cannot reach this reader.
            let event = unsafe { cell.read() };
            span.head = span.head.wrapping_add(1);
            // Release: pairs with the Acquire in `head`; the event is out.
            state.taken.0.store(span.head, Release);
            each(&state.tally, found, &event);
        }
        count
    }

    /// Takes the next event, where publishers may displace it.
    #[inline]
    fn take_displaceable<P: Eviction>(&mut self, span: &Span) -> Option<E> {
        let Self { core } = self;
        let Core { state, .. } = *core;
        let shape = core.shape();
        loop {
            let head = state.head_of_consumer::<P>();
            // Publishers do not move the head, and no span ends before it.
            debug_assert!(!before(span.end, head), "a span ends before the head");
            if head == span.end {
                return None;
            }
            let entry = core.entry(head);
            let found = entry.load(Relaxed);
            let age = shape.age(found, head);
            if age.wrapping_sub(shape.committed::<P>()) < shape.phase() {
                let spare = &state.spare;
                let left = spare.load(Relaxed).wrapping_add(shape.slots) as usize;
                // Names it for the next lap. The entry less its age is the base of this lap, which need not be
                // worked out again.
                let next_lap = found.wrapping_sub(age).wrapping_add(shape.lap());
                let free = next_lap + (left ^ shape.index(head)) as Word;
                // Release: pairs with the Acquire in `publish` and `first_younger`; the event that was
                // in the spare is out.
                if entry.compare_exchange(found, free, Release, Relaxed).is_err() {
                    // A publisher has just displaced it.
                    continue;
                }
                let cell = shape.cell::<P>(found, head);
                spare.store((cell as Word).wrapping_sub(shape.slots), Relaxed);
                state.pass(&state.taken.0, 1);
                // SAFETY: an entry named it.
                let cell = unsafe { core.cell(cell) };
                // SAFETY: the entry said that the event is in. The entry no longer names the cell, so it is ours, as
                // the spare, and its event is not read again.
                return Some(unsafe { cell.read() });
            }
            state.pass(&state.skipped, 1);
        }
    }
}

impl<E> Core<'_, E> {
    /// Returns the first look of a consumer that has just been claimed.
    pub(super) fn seen<P: Eviction>(self) -> Seen {
        Seen([(); _].map(|()| self.end::<P>()))
    }

    /// Returns where the committed events end, for the consumer whose last look was `seen`.
    #[inline]
    pub(super) fn end_since<P: Eviction>(self, seen: &mut Seen) -> Word {
        match &mut seen.0[..] {
            [seen] if !P::EVICTS => {
                let end = self.end_from::<P>(*seen);
                // It rarely differs, and a word just written is slow to read.
                if *seen != end {
                    *seen = end;
                }
                end
            }
            _ => self.end::<P>(),
        }
    }

    /// Returns where the committed events end, found from an earlier end. Only on a ring that rejects.
    #[inline]
    fn end_from<P: Eviction>(self, mut position: Word) -> Word {
        let shape = self.shape();
        for _ in 0..NEAR {
            // Acquire: pairs with the Release in `publish` and `commit`; the events of the run are in.
            let age = shape.age(self.entry(position).load(Acquire), position);
            if before(age, shape.committed::<P>()) {
                return position;
            }
            // The next read depends on this one. Behind a branch, the core would guess, and read ahead what
            // publishers are about to write.
            position = position.wrapping_add(1 + shape.run(age));
        }
        // Acquire: as in `end`.
        let tail = self.state.front.0.tail.load(Acquire);
        let from = if before(position, tail) { tail } else { position };
        self.first_younger::<P>(from, shape.committed::<P>()).0
    }
}

impl State {
    /// The head, for the consumer, which alone moves it.
    #[inline(always)]
    pub(super) fn head_of_consumer<P: Eviction>(&self) -> Word {
        let taken = self.taken.0.load(Relaxed);
        if P::EVICTS { taken.wrapping_add(self.skipped.load(Relaxed)) } else { taken }
    }

    /// Moves the head over the events that are certainly displaced, and returns it.
    #[inline]
    pub(super) fn skip_displaced(&self, head: Word, end: Word, slots: Word) -> Word {
        let waiting = end.wrapping_sub(head);
        if waiting <= slots {
            return head;
        }
        self.pass(&self.skipped, waiting - slots);
        end.wrapping_sub(slots)
    }

    /// Adds to a part of the head.
    #[inline(always)]
    fn pass(&self, part: &AtomicWord, by: Word) {
        // Release: pairs with the Acquire in `ends` and `head`; a context that sees it sees the claims of the
        // positions that it has passed.
        part.store(part.load(Relaxed).wrapping_add(by), Release);
    }
}

impl<E, const N: usize, P: Eviction> Drop for Ring<E, N, P> {
    fn drop(&mut self) {
        /// Drops the pending events, also if dropping one of them panics.
        struct Rest<'a, E, P: Eviction> {
            reader: Reader<'a, E>,
            span: Span,
            policy: PhantomData<P>,
        }
        impl<E, P: Eviction> Rest<'_, E, P> {
            fn run(&mut self) {
                while let Some(event) = self.reader.take::<P>(&mut self.span) {
                    drop(event);
                }
            }
        }
        impl<E, P: Eviction> Drop for Rest<'_, E, P> {
            fn drop(&mut self) {
                self.run();
            }
        }
        if core::mem::needs_drop::<E>() {
            let mut reader = Reader::new(self.core());
            let span = reader.freeze::<P>(&mut self.core().seen::<P>());
            let policy = PhantomData::<P>;
            Rest { reader, span, policy }.run();
        }
    }
}
