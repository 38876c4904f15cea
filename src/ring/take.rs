//! The taking side: freeze an end, take what is before it.

use super::{Core, Policy, State, before};
use crate::sync::{AtomicWord, Relaxed, Release, SECTIONS, Word};

/// The one consumer's side of a ring.
pub(crate) struct Reader<'a, E> {
    core: Core<'a, E>,
}

/// What one drain may take: the events before `end`. `freeze` has seen the commits of them all, so the events
/// themselves can be read.
///
/// The unsafe code of the taking side trusts a span to come from the ring that it is used on, and to be the
/// latest one of it. This crate guarantees that: a `Drain` keeps its span beside the `&mut` of its consumer, a
/// tick keeps it beside the `&mut` of its source, and no safe code outside can make or use one, since `Take`
/// is `pub(crate)`.
#[derive(Debug)]
pub(crate) struct Span {
    /// The head, as long as nothing is displaced.
    pub(super) head: Word,
    pub(super) end: Word,
}

impl<'a, E> Reader<'a, E> {
    /// The reading side of a ring whose consumer the caller has claimed.
    #[inline(always)]
    pub(crate) fn new(core: Core<'a, E>) -> Self {
        Self { core }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'a, E> {
        self.core
    }

    /// What is on the ring at this moment: the start of a drain.
    #[inline]
    pub(crate) fn freeze<P: Policy>(&mut self) -> Span {
        let Core { state, .. } = self.core;
        let end = self.core.end::<P>();
        let mut head = state.head_of_consumer::<P>();
        if P::EVICTS && !SECTIONS {
            head = state.skip_displaced(head, end, self.core.shape().slots);
        } else if P::EVICTS && before(end, head) {
            // Publishers have moved it meanwhile.
            head = end;
        }
        state.mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    /// Ends a span after so many positions, if it does not end before.
    #[inline]
    pub(crate) fn shorten(span: &mut Span, most: usize) {
        if (span.end.wrapping_sub(span.head) as usize) > most {
            span.end = span.head.wrapping_add(most as Word);
        }
    }

    /// The next event, in order.
    #[inline]
    pub(crate) fn take<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        if P::EVICTS {
            return self.take_displaceable::<P>(span);
        }
        let Span { head, end } = *span;
        if head == end {
            return None;
        }
        span.head = head.wrapping_add(1);
        // SAFETY: nobody else moves the head, and the head is before the end of a span of this ring, as `Span`
        // says.
        Some(unsafe { self.take_at::<P>(head) })
    }

    /// Takes the event of the head.
    ///
    /// # Safety
    ///
    /// `head` is the head of a ring that does not displace, and before the end of a span.
    #[inline(always)]
    unsafe fn take_at<P: Policy>(&mut self, head: Word) -> E {
        let Self { core } = self;
        let shape = core.shape();
        let cell = if P::ALONE {
            shape.index(head)
        } else {
            shape.cell::<P>(core.entry(head).load(Relaxed), head)
        };
        // SAFETY: an entry named it, or it is an index.
        let cell = unsafe { core.cell(cell) };
        // SAFETY: everything before the end of a span is committed, nobody displaces it, and moving the
        // head makes this the last read.
        let event = unsafe { cell.read() };
        // Release: pairs with the Acquire in `head` and `room_alone`; the event is out.
        core.state.taken.0.store(head.wrapping_add(1), Release);
        event
    }

    /// Hands as many events to `each`, or all there are. Returns how many that was.
    #[inline]
    pub(crate) fn take_most<P: Policy>(
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

    /// Shows as many events to `each`, or all there are, and drops them. Returns how many that was.
    #[inline]
    pub(crate) fn show_most<P: Policy>(
        &mut self,
        span: &mut Span,
        most: usize,
        mut each: impl FnMut(&State, &E),
    ) -> usize {
        let Core { state, .. } = self.core;
        self.take_most::<P>(span, most, |event| each(state, &event))
    }

    /// The next event where publishers may displace it.
    #[inline]
    fn take_displaceable<P: Policy>(&mut self, span: &Span) -> Option<E> {
        let Self { core } = self;
        let Core { state, .. } = *core;
        if SECTIONS {
            let cell = state.exchange(span.end)?;
            // SAFETY: an entry named it.
            let cell = unsafe { core.cell(cell) };
            // SAFETY: as below.
            return Some(unsafe { cell.read() });
        }
        let shape = core.shape();
        loop {
            let head = state.head_of_consumer::<P>();
            if head == span.end {
                return None;
            }
            let entry = core.entry(head);
            let found = entry.load(Relaxed);
            let age = shape.age(found, head);
            if age.wrapping_sub(shape.committed::<P>()) < shape.phase() {
                let spare = &state.spare;
                let left = spare.load(Relaxed).wrapping_add(shape.slots) as usize;
                let free = shape.naming(left, head.wrapping_add(shape.slots));
                // Release: pairs with the Acquire in `publish` and `first_younger`; the event that was
                // in the spare is out.
                if entry.compare_exchange(found, free, Release, Relaxed).is_err() {
                    // Displaced just now.
                    continue;
                }
                let cell = shape.cell::<P>(found, head);
                spare.store((cell as Word).wrapping_sub(shape.slots), Relaxed);
                state.pass(&state.taken.0, 1);
                // SAFETY: an entry named it.
                let cell = unsafe { core.cell(cell) };
                // SAFETY: the entry said that the event is in, and since it does not name the cell any
                // more, the cell is ours: the spare. Its event is not read again.
                return Some(unsafe { cell.read() });
            }
            state.pass(&state.skipped, 1);
        }
    }
}

impl State {
    /// The head, for the consumer, who is the only one to move it.
    #[inline(always)]
    pub(super) fn head_of_consumer<P: Policy>(&self) -> Word {
        let taken = self.taken.0.load(Relaxed);
        if P::EVICTS { taken.wrapping_add(self.skipped.load(Relaxed)) } else { taken }
    }

    /// Moves the head over what has been displaced for certain, and returns it.
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
        // Release: pairs with the Acquire in `ends` and `head`: whoever sees it sees the claims of the
        // positions that it has passed.
        part.store(part.load(Relaxed).wrapping_add(by), Release);
    }
}
