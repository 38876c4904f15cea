//! Storage of a latest value: a few cells and one word that says which cell has the value.
//!
//! A publisher claims a free cell, copies its event there, and makes it the newest by one
//! compare-and-swap, which frees the cell that was the newest before. A reader copies the newest cell
//! and looks whether it still is: as long as the generation is the same, nobody has claimed that cell.
//! A publisher that was stopped halfway keeps one cell; readers and other publishers do not notice.
//!
//! ```text
//! generation ........ | published: one bit | busy: one bit for each cell | newest: the index of a cell
//! ```
//!
//! Publishing and reading are lock-free: a publisher starts over when another one claims or commits, a
//! reader when another value has come. Who finds no free cell has met `CELLS - 1` publishers that were
//! all stopped halfway; any of them is about to replace the value anyway.

use core::mem::MaybeUninit;

use super::parts::Parts;
use crate::sync::{AcqRel, Acquire, AtomicWord, Relaxed, Release, Word, fence};

/// How many cells there are: so many publishers, less one, can be under way at once.
pub(crate) const CELLS: usize = if Word::BITS == 64 && !cfg!(tickbus_loom) { 8 } else { 4 };

/// The bits of the state that name the newest cell.
const NEWEST: Word = CELLS as Word - 1;
/// The bit that says that there is a newest value, above one bit for each cell.
const PUBLISHED: Word = (CELLS as Word) << CELLS;
/// The low bit of the generation.
const NEXT: Word = PUBLISHED << 1;
/// The bits of the generation.
const GENERATION: Word = NEXT.wrapping_neg();

/// The bit that says that a publisher has the cell.
#[inline(always)]
const fn busy(index: Word) -> Word {
    (CELLS as Word) << index
}

/// The newest of many values.
pub(crate) struct Cells<E> {
    state: AtomicWord,
    /// Events that found no free cell.
    lost: AtomicWord,
    cells: [Parts<E>; CELLS],
}

// SAFETY: all access to the cells is atomic. Events are copied in on one thread and out on others,
// hence `E: Send`; no `&E` is ever shared.
unsafe impl<E: Copy + Send> Sync for Cells<E> {}

impl<E: Copy> Cells<E> {
    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicWord::new(0),
            lost: AtomicWord::new(0),
            cells: [const { Parts::new() }; CELLS],
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicWord::new(0),
            lost: AtomicWord::new(0),
            cells: core::array::from_fn(|_| Parts::new()),
        }
    }

    /// As if all generations but `back` had been used.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        let mut cells = Self::new();
        *cells.state.get_mut() = (back as Word * NEXT).wrapping_neg();
        cells
    }

    #[inline(always)]
    fn cell(&self, index: Word) -> &Parts<E> {
        &self.cells[(index & NEWEST) as usize]
    }

    #[inline]
    pub(crate) fn publish(&self, event: E) {
        let state = self.state.load(Relaxed);
        let next = state.wrapping_add(1) & NEWEST;
        let claimed = state | busy(next);
        let index = if state & busy(next) == 0
            && self.state.compare_exchange(state, claimed, Relaxed, Relaxed).is_ok()
        {
            next
        } else {
            let Some(index) = self.claim() else { return self.lose() };
            index
        };
        // Acquire: pairs with the Release of `commit`; the parts are those of an older event before we
        // overwrite them. Release: pairs with the Acquire fence in `read`; who sees a part of ours sees
        // that the cell was not the newest any more.
        fence(AcqRel);
        self.cell(index).store(event);
        // As if nobody had come in between.
        if !self.commit(claimed, index) {
            while !self.commit(self.state.load(Relaxed), index) {}
        }
    }

    /// Claims a cell that is neither the newest nor a publisher's.
    #[cold]
    #[inline(never)]
    fn claim(&self) -> Option<Word> {
        let mut state = self.state.load(Relaxed);
        loop {
            let mut others = (1..CELLS as Word).map(|ahead| state.wrapping_add(ahead) & NEWEST);
            let index = others.find(|index| state & busy(*index) == 0)?;
            match self.state.compare_exchange(state, state | busy(index), Relaxed, Relaxed) {
                Ok(_) => return Some(index),
                Err(found) => state = found,
            }
        }
    }

    /// Makes the cell the newest, if that is the state.
    #[inline(always)]
    fn commit(&self, state: Word, index: Word) -> bool {
        let kept = state & !(PUBLISHED | busy(index) | NEWEST);
        let new = kept.wrapping_add(NEXT | PUBLISHED | index);
        // Release: pairs with the Acquire in `read`; the event is in the cell.
        self.state.compare_exchange(state, new, Release, Relaxed).is_ok()
    }

    #[cold]
    fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Relaxed) as usize
    }

    /// Which generation the newest value is of.
    #[inline(always)]
    pub(crate) fn generation(&self) -> Word {
        self.state.load(Relaxed) & GENERATION
    }

    /// How many generations came after `from`, up to `to`.
    #[inline(always)]
    pub(crate) fn between(from: Word, to: Word) -> usize {
        (to.wrapping_sub(from) / NEXT) as usize
    }

    /// The newest value and its generation, unless that is `seen`.
    #[inline]
    pub(crate) fn read(&self, seen: Option<Word>) -> Option<(E, Word)> {
        loop {
            // Acquire: pairs with the Release in `publish`; the event is in the cell.
            let state = self.state.load(Acquire);
            let generation = state & GENERATION;
            let is_news = match seen {
                // That there is another generation means that there is a value.
                Some(seen) => seen != generation,
                None => state & PUBLISHED != 0,
            };
            if !is_news {
                return None;
            }
            let event: MaybeUninit<E> = self.cell(state).load();
            // Acquire: pairs with the Release fence in `publish`.
            fence(Acquire);
            if self.generation() == generation {
                // SAFETY: there was a generation before, so the cell was committed with an event; it was
                // still the newest, so nobody's to write, when the last part had been copied: it is whole.
                return Some((unsafe { event.assume_init() }, generation));
            }
        }
    }
}
