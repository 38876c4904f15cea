//! What `&mut` allows: the same steps on plain words.

use super::publish::Claim;
use super::{Policy, RUNS, Ring, Span, State};
use crate::sync::{Relaxed, SECTIONS, Word};

impl<E, const N: usize, P: Policy> Ring<E, N, P> {
    /// [`publish`](Self::publish) without atomics.
    #[inline]
    pub(crate) fn publish_mut(&mut self, event: E) -> Result<Option<E>, E> {
        if SECTIONS {
            let state = self.state();
            let claim =
                if P::EVICTS { state.claim_step::<true>() } else { state.claim_step::<false>() };
            let Some((cell, waiting)) = claim else { return Err(event) };
            state.commit_step(cell);
            let claim = Claim::new(cell, P::EVICTS && waiting >= Self::SHAPE.slots);
            // SAFETY: the claim is new.
            return Ok(unsafe { self.fill(claim, event) });
        }
        let shape = Self::SHAPE;
        let front = &mut self.state.front.0;
        let tail = if P::EVICTS { *front.tail.get_mut() } else { *front.alloc.get_mut() };
        let entry = self.state.entries.0[shape.index(tail)].get_mut();
        let cell = shape.cell::<P>(*entry, tail);
        let mut displaces = false;
        if P::EVICTS {
            displaces = shape.is_committed_a_lap_ago::<P>(*entry, tail);
            if displaces {
                *entry = entry.wrapping_add(shape.lap());
            } else if shape.age(*entry, tail) < shape.phase() {
                *entry = entry.wrapping_add(shape.committed::<P>());
            } else {
                // A hint that is behind.
                return self.publish(event);
            }
        } else {
            if tail.wrapping_sub(*self.state.taken.0.get_mut()) >= shape.slots {
                return Err(event);
            }
            if !RUNS {
                *entry = shape.naming(cell, tail).wrapping_add(shape.lap());
            }
            *front.alloc.get_mut() = tail.wrapping_add(1);
        }
        *front.tail.get_mut() = tail.wrapping_add(1);
        // SAFETY: an entry named it.
        let cell = unsafe { self.core().cell(cell) };
        // SAFETY: `&mut` makes the cell ours, and the entry said that an event is in it. The write below
        // replaces it, so it is read once.
        let displaced = displaces.then(|| unsafe { cell.read() });
        // SAFETY: `&mut` makes the cell ours, and what was in it has been moved out.
        unsafe { cell.write(event) };
        Ok(displaced)
    }

    /// What is on the ring: the start of a drain.
    #[inline]
    pub(crate) fn freeze_mut(&mut self) -> Span {
        let end =
            if P::EVICTS { self.core().end::<P>() } else { *self.state.front.0.alloc.get_mut() };
        let mut head = self.state().head_of_consumer::<P>();
        if P::EVICTS {
            if !SECTIONS {
                head = self.state().skip_displaced(head, end, Self::SHAPE.slots);
            }
        } else {
            // Lest it fall behind by all that a word can count.
            *self.state.front.0.room.get_mut() = head;
        }
        self.state().mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    /// Counts events that found no room.
    pub(crate) fn turn_away_mut(&mut self, events: usize) {
        let turned_away = self.state.turned_away.get_mut();
        *turned_away = turned_away.wrapping_add(events as Word);
    }

    /// Hands as many events to `each`, or all there are. Returns how many that was.
    #[inline]
    pub(crate) fn take_most_mut(
        &mut self,
        span: &mut Span,
        most: usize,
        mut each: impl FnMut(&State, E),
    ) -> usize {
        if P::EVICTS {
            let mut count = 0;
            while count < most
                && let Some(event) = self.take_mut(span)
            {
                count += 1;
                each(self.state(), event);
            }
            return count;
        }
        let shape = Self::SHAPE;
        let Self { state, cells } = self;
        let state: &State = state;
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let mut head = span.head;
        span.head = head.wrapping_add(count as Word);
        while head != span.head {
            let cell = shape.cell::<P>(state.entries.0[shape.index(head)].load(Relaxed), head);
            // SAFETY: `&mut` makes the cell ours, what is before the end of a span is committed, and the
            // head moves on, so this is the last read of it.
            let event = unsafe { cells.cells[cell].read() };
            head = head.wrapping_add(1);
            state.taken.0.store(head, Relaxed);
            each(state, event);
        }
        count
    }

    /// The next event, in order.
    #[inline]
    pub(crate) fn take_mut(&mut self, span: &mut Span) -> Option<E> {
        if P::EVICTS && SECTIONS {
            let state = self.state();
            let cell = state.keep(state.exchange_step(state.spare.load(Relaxed), span.end)?);
            // SAFETY: an entry named it.
            let cell = unsafe { self.core().cell(cell) };
            // SAFETY: it is the spare now, and its event is not read again.
            return Some(unsafe { cell.read() });
        }
        let shape = Self::SHAPE;
        let Span { head, end } = *span;
        if head == end {
            return None;
        }
        span.head = head.wrapping_add(1);
        let entry = self.state.entries.0[shape.index(head)].get_mut();
        let cell = shape.cell::<P>(*entry, head);
        if P::EVICTS {
            *entry = shape.naming(cell, head.wrapping_add(shape.slots));
        }
        let taken = self.state.taken.0.get_mut();
        *taken = taken.wrapping_add(1);
        // SAFETY: an entry named it.
        let cell = unsafe { self.core().cell(cell) };
        // SAFETY: `&mut` makes the cell ours, what is before the end of a span is committed, and the head
        // has moved on, so this is the last read of it.
        Some(unsafe { cell.read() })
    }
}
