//! The taking side by the chunk: many events move into a vector, and the head moves on once.
//!
//! As long as no two publishes are in progress at once, every entry names the cell of its own index. Then the events
//! of a chunk lie in order and move at once. Two publishes at once may swap their cells, and swapped cells stay so: a
//! chunk with one of them moves event by event. Where publishers displace, each event is taken by itself.

use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::take::Reader;
use super::{Core, Eviction};
use crate::ring::Span;
use crate::ring::cell::{CHUNK, Cell, move_all};
use crate::sync::{Relaxed, Release, Word};

impl<E> Reader<'_, E> {
    /// Moves the events of a span to the end of `into`. Returns how many it moved.
    #[inline]
    pub(crate) fn append<P: Eviction>(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        let core = self.core;
        let before = into.len();
        let count = self.left::<P>(span);
        // Before the first event moves: this may panic.
        into.reserve(count.min(core.shape().slots as usize));
        if P::EVICTS {
            while let Some(event) = self.take::<P>(span) {
                into.push(event);
            }
            return into.len() - before;
        }
        let mut places = into.spare_capacity_mut();
        while span.head != span.end {
            let lap = core.shape().slots as usize - core.shape().index(span.head);
            let left = span.end.wrapping_sub(span.head) as usize;
            let (chunk, others) = places.split_at_mut(left.min(lap).min(CHUNK));
            places = others;
            // SAFETY: the chunk ends with its span and with its lap, and only the consumer moves the head.
            unsafe { core.move_out::<P>(span.head, chunk) };
            span.head = span.head.wrapping_add(chunk.len() as Word);
            // Release: pairs with the Acquire in `head`; the events are out.
            core.state.taken.0.store(span.head, Release);
        }
        // SAFETY: the vector had room for `count` more events, and the chunks have filled that room.
        unsafe { into.set_len(before + count) };
        count
    }
}

impl<'a, E> Core<'a, E> {
    /// The cells, without a spare.
    #[inline(always)]
    fn cells(self) -> &'a [Cell<E>] {
        let cells = NonNull::slice_from_raw_parts(self.cells, self.shape().slots as usize);
        // SAFETY: there is a cell for each entry, one behind the other, borrowed for `'a`.
        unsafe { cells.as_ref() }
    }

    /// Moves the events from `head` on, one for each place.
    ///
    /// # Safety
    ///
    /// `head` must be the head of a ring that rejects. There must be a position for each place, all before the end
    /// of a span and of one lap, and the caller must move the head over them.
    #[inline]
    unsafe fn move_out<P: Eviction>(self, head: Word, places: &mut [MaybeUninit<E>]) {
        let shape = self.shape();
        let first = shape.index(head);
        if self.is_ordered(head, places.len()) {
            let cells = &self.cells()[first..first + places.len()];
            // SAFETY: everything before the end of a span is committed, no publisher displaces it, and moving the
            // head makes this the last read.
            unsafe { move_all(cells, places) };
            return;
        }
        let entries = &self.state.entries.0[first..first + places.len()];
        for (at, (entry, place)) in entries.iter().zip(places).enumerate() {
            let cell = shape.cell::<P>(entry.load(Relaxed), head.wrapping_add(at as Word));
            // SAFETY: an entry named it.
            let cell = unsafe { self.cell(cell) };
            // SAFETY: as above.
            place.write(unsafe { cell.read() });
        }
    }
}
