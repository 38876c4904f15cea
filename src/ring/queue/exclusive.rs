//! Exclusive access: the same steps on plain words, since `&mut` keeps other contexts away.

use core::ops::Deref;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use super::take::Reader;
use super::{RUNS, Ring, Shape, before};
use crate::ring::{Cell, Eviction, Span, Tally};
use crate::sync::{AtomicWord, Relaxed, Word};

/// An event that is shown in its cell, and dropped there.
struct Shown<'a, E>(&'a Cell<E>);

impl<'a, E> Shown<'a, E> {
    /// # Safety
    ///
    /// The caller must own the cell for `'a`. The cell must hold an event, which must not be read again.
    #[inline(always)]
    unsafe fn new(cell: &'a Cell<E>) -> Self {
        Self(cell)
    }
}

impl<E> Deref for Shown<'_, E> {
    type Target = E;

    #[inline(always)]
    fn deref(&self) -> &E {
        self.0.0.with(|cell| {
            // SAFETY: a cell is never null, and the caller of `new` owns this one, so it is not written.
            let cell = unsafe { &*cell };
            // SAFETY: `new` says that the cell holds an event.
            unsafe { cell.assume_init_ref() }
        })
    }
}

impl<E> Drop for Shown<'_, E> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.0.with_mut(|cell| {
            // SAFETY: a cell is never null, and with `&mut self` no reference into this one is alive.
            let cell = unsafe { &mut *cell };
            // SAFETY: `new` says that the cell holds an event, and that the event is not read again.
            unsafe { cell.assume_init_drop() }
        });
    }
}

/// Returns the first position that is not committed, behind one that is and whose entry is `found`.
#[cold]
#[inline(never)]
fn first_open<P: Eviction, const N: usize>(
    entries: &mut [AtomicWord; N],
    committed: Word,
    found: Word,
) -> Word {
    let shape = Shape { slots: N as Word };
    let load = |position| *entries[shape.index(position)].get_mut();
    shape.find_younger::<P>(committed, found, shape.committed::<P>(), load).0
}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    /// [`publish`](Self::publish) without atomics.
    #[inline]
    pub(crate) fn publish_mut(&mut self, event: E) -> Result<Option<E>, E> {
        let shape = Self::SHAPE;
        let front = &mut self.state.front.0;
        let entries = &mut self.state.entries.0;
        let mut tail = if P::EVICTS { *front.tail.get_mut() } else { *front.alloc.get_mut() };
        let mut entry = entries[shape.index(tail)].get_mut();
        let mut displaces = false;
        let cell;
        if P::EVICTS {
            let found = *entry;
            displaces = shape.is_committed_a_lap_ago::<P>(found, tail);
            if !displaces && !before(shape.age(found, tail), shape.committed::<P>()) {
                // The hint is behind.
                tail = first_open::<P, N>(entries, tail, found);
                entry = entries[shape.index(tail)].get_mut();
                displaces = shape.is_committed_a_lap_ago::<P>(*entry, tail);
            }
            cell = shape.cell::<P>(*entry, tail);
            // No publish is in progress, so an entry that is not committed is free.
            *entry = shape.naming(cell, tail).wrapping_add(shape.committed::<P>());
        } else {
            if tail.wrapping_sub(*self.state.taken.0.get_mut()) >= shape.slots {
                return Err(event);
            }
            cell = shape.cell::<P>(*entry, tail);
            if !RUNS {
                *entry = shape.naming(cell, tail).wrapping_add(shape.lap());
            }
            *front.alloc.get_mut() = tail.wrapping_add(1);
        }
        *front.tail.get_mut() = tail.wrapping_add(1);
        // SAFETY: an entry named it.
        let cell = unsafe { self.core().cell(cell) };
        // SAFETY: `&mut` makes the cell ours, and the entry said that an event is in it. The write below replaces
        // that event, so it is read once.
        let displaced = displaces.then(|| unsafe { cell.read() });
        // SAFETY: `&mut` makes the cell ours, and what was in it has been moved out.
        unsafe { cell.write(event) };
        Ok(displaced)
    }

    /// Returns the pending events: a drain begins with this.
    #[inline]
    pub(crate) fn freeze_mut(&mut self) -> Span {
        let end =
            if P::EVICTS { self.core().end::<P>() } else { *self.state.front.0.alloc.get_mut() };
        let mut head = self.state().head_of_consumer::<P>();
        if P::EVICTS {
            head = self.state().skip_displaced(head, end, Self::SHAPE.slots);
        } else {
            // Else it could fall behind by more than a word can count.
            *self.state.front.0.room.get_mut() = head;
        }
        self.state().tally.mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    /// Shortens a span to at most this many events.
    #[inline]
    pub(crate) fn shorten_mut(&mut self, span: &mut Span, most: usize) {
        Reader::new(self.core()).shorten::<P>(span, most);
    }

    /// Moves the events of a span to the end of `into`. Returns how many it moved.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn append_mut(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        Reader::new(self.core()).append::<P>(span, into)
    }

    /// Returns the counters of this side.
    #[cfg(feature = "parallel")]
    pub(crate) fn tally(&self) -> &Tally {
        &self.state().tally
    }

    /// Counts events that found no room.
    pub(crate) fn turn_away_mut(&mut self, events: usize) {
        let turned_away = self.state.turned_away.get_mut();
        *turned_away = turned_away.wrapping_add(events as Word);
    }

    /// Hands all events to `each`.
    #[inline]
    pub(crate) fn take_all_mut(&mut self, span: &mut Span, mut each: impl FnMut(E)) {
        if P::EVICTS {
            while let Some(event) = self.take_mut(span) {
                each(event);
            }
            return;
        }
        let this = &*self;
        let in_order = this.lie_in_order(span.head, span.end.wrapping_sub(span.head) as usize);
        while span.head != span.end {
            // SAFETY: `&mut` makes the cell ours, and this is the last read of it.
            each(unsafe { this.pass(span, in_order).read() });
        }
    }

    /// Shows at most `most` events to `each`, and drops them. Returns how many it showed.
    #[inline]
    pub(crate) fn show_most_mut<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        if P::EVICTS {
            let mut count = 0;
            while count < most
                && let Some(event) = self.take_mut(span)
            {
                count += 1;
                each(&self.state().tally, look(&event), &event);
            }
            return count;
        }
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        let this = &*self;
        let in_order = this.lie_in_order(span.head, count);
        while span.head != end {
            // SAFETY: `&mut` makes the cell ours until the event is dropped, and the event is not read again.
            let event = unsafe { Shown::new(this.pass(span, in_order)) };
            each(&this.state().tally, look(&event), &event);
        }
        count
    }

    /// Returns whether the events of so many positions lie in the cells of their own indices, so that their entries need
    /// not be read one by one. Where words have 32 bits, that is not worth its code.
    #[inline(always)]
    fn lie_in_order(&self, head: Word, count: usize) -> bool {
        let lap = count.min(N - Self::SHAPE.index(head));
        let others = head.wrapping_add(lap as Word);
        let core = self.core();
        RUNS && core.is_ordered(head, lap) && core.is_ordered(others, count - lap)
    }

    /// Moves the head over an event, and says where it lies: see [`lie_in_order`](Self::lie_in_order). Only on a
    /// ring that does not displace, and for those who have it for themselves.
    #[inline(always)]
    fn pass(&self, span: &mut Span, in_order: bool) -> &Cell<E> {
        let head = span.head;
        span.head = head.wrapping_add(1);
        self.state.taken.0.store(span.head, Relaxed);
        let index = Self::SHAPE.index(head);
        if in_order {
            return &self.cells.cells[index];
        }
        let entry = self.state.entries.0[index].load(Relaxed);
        &self.cells.cells[Self::SHAPE.cell::<P>(entry, head)]
    }

    /// Takes the next event, in order.
    #[inline]
    pub(crate) fn take_mut(&mut self, span: &mut Span) -> Option<E> {
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
        // SAFETY: `&mut` makes the cell ours. Every position before the end of a span is committed, and the head has
        // moved on, so this is the last read of it.
        Some(unsafe { cell.read() })
    }
}
