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

/// Whether two states are of one generation, whoever is under way.
#[inline(always)]
const fn is_one_generation(a: Word, b: Word) -> bool {
    a ^ b < NEXT
}

/// The bit that says that a publisher has the cell.
#[inline(always)]
const fn busy(index: Word) -> Word {
    (CELLS as Word) << index
}

/// A cell that is a publisher's, and the state before and after it became that.
#[derive(Clone, Copy)]
struct Claim {
    index: Word,
    free: Word,
    claimed: Word,
}

/// The newest of many values. In this order small cores reach each part of a cell in one instruction.
#[repr(C)]
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
        debug_assert!(index <= NEWEST);
        // SAFETY: whoever asks has taken the bits of `NEWEST`, so `index` is less than `CELLS`.
        unsafe { self.cells.get_unchecked(index as usize) }
    }

    #[inline]
    pub(crate) fn publish(&self, event: E) {
        let state = self.state.load(Relaxed);
        let index = state.wrapping_add(1) & NEWEST;
        // If a publisher has that cell, this is not the state.
        let (free, claimed) = (state & !busy(index), state | busy(index));
        let mut claim = Claim { index, free, claimed };
        if self.state.compare_exchange_weak(free, claimed, Relaxed, Relaxed).is_err() {
            let Some(index) = self.claim() else { return self.lose() };
            // A state that has a claim in it is not zero, so this commits late.
            claim = Claim { index, free: 0, claimed: 0 };
        }
        // Acquire: pairs with the Release of `commit`; the parts are those of an older event before we
        // overwrite them. Release: pairs with the Acquire fence in `read`; who sees a part of ours sees
        // that the cell was not the newest any more.
        fence(AcqRel);
        self.cell(claim.index).store(event);
        // As if nobody had come in between.
        if !self.commit(claim) {
            self.commit_late(claim.index);
        }
    }

    /// Claims a cell that is neither the newest nor a publisher's.
    #[cold]
    #[inline(never)]
    fn claim(&self) -> Option<Word> {
        let mut free = self.state.load(Relaxed);
        loop {
            let mut others = (1..CELLS as Word).map(|ahead| free.wrapping_add(ahead) & NEWEST);
            let index = others.find(|index| free & busy(*index) == 0)?;
            match self.state.compare_exchange(free, free | busy(index), Relaxed, Relaxed) {
                Ok(_) => return Some(index),
                Err(found) => free = found,
            }
        }
    }

    /// Makes the cell the newest, if nothing has changed since it was claimed.
    #[inline(always)]
    fn commit(&self, Claim { index, free, claimed }: Claim) -> bool {
        let new = (free & !(PUBLISHED | NEWEST)).wrapping_add(NEXT | PUBLISHED | index);
        // Release: pairs with the Acquire in `read`; the event is in the cell.
        self.state.compare_exchange_weak(claimed, new, Release, Relaxed).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn commit_late(&self, index: Word) {
        loop {
            let claimed = self.state.load(Relaxed);
            if self.commit(Claim { index, free: claimed & !busy(index), claimed }) {
                return;
            }
        }
    }

    #[cold]
    fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Relaxed) as usize
    }

    /// A state, of the generation of the newest value.
    #[inline(always)]
    pub(crate) fn state(&self) -> Word {
        self.state.load(Relaxed)
    }

    /// Whether the newest value is of another generation than that state.
    #[inline(always)]
    pub(crate) fn is_newer_than(&self, seen: Word) -> bool {
        !is_one_generation(self.state(), seen)
    }

    /// How many generations came after that of the state `from`, up to that of `to`.
    #[inline(always)]
    pub(crate) fn between(from: Word, to: Word) -> usize {
        ((to / NEXT).wrapping_sub(from / NEXT) & (Word::MAX / NEXT)) as usize
    }

    /// The newest value and a state of its generation, unless that is the one of `seen`.
    #[inline]
    pub(crate) fn read(&self, seen: Option<Word>) -> Option<(E, Word)> {
        loop {
            // Acquire: pairs with the Release in `commit`; the event is in the cell.
            let state = self.state.load(Acquire);
            let is_news = match seen {
                // That there is another generation means that there is a value.
                Some(seen) => !is_one_generation(seen, state),
                None => state & PUBLISHED != 0,
            };
            if !is_news {
                return None;
            }
            let event: MaybeUninit<E> = self.cell(state & NEWEST).load();
            // Acquire: pairs with the Release fence in `publish`.
            fence(Acquire);
            if !self.is_newer_than(state) {
                // SAFETY: there was a generation before, so the cell was committed with an event; it was
                // still the newest, so nobody's to write, when the last part had been copied: it is whole.
                return Some((unsafe { event.assume_init() }, state));
            }
        }
    }
}
