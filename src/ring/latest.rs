//! Storage of a latest value: a few cells and one word that says which cell has the value.
//!
//! A publisher claims a free cell, copies its event there, and makes it the newest by one
//! compare-and-swap, which frees the cell that was the newest before. A reader copies the newest cell
//! and looks whether it still is: as long as the generation is the same, nobody has claimed that cell.
//! A publisher that was stopped halfway keeps one cell; readers and other publishers do not notice.
//!
//! ```text
//! generation ........ | busy: one bit for each cell | newest: the index of a cell
//! ```
//!
//! Publishing and reading are lock-free: a publisher starts over when another one claims or commits, a
//! reader when another value has come. Who finds no free cell has met `CELLS - 1` publishers that were
//! all stopped halfway; any of them is about to replace the value anyway.
//!
//! The first generation has no value, but for when it comes again; that it did is in a word of its own.
//!
//! A reader does not see that the newest value is another one if exactly so many have been published while it
//! copied that the generation is the same again: 2^26 where words have 32 bits.

use core::mem::MaybeUninit;

use super::parts::Parts;
use crate::sync::{AcqRel, Acquire, AtomicWord, Relaxed, Release, Word, fence};

/// How many cells there are: so many publishers, less one, can be under way at once.
pub(crate) const CELLS: usize = if Word::BITS == 64 && !cfg!(tickbus_loom) { 8 } else { 4 };

/// The bits of the state that name the newest cell.
const NEWEST: Word = CELLS as Word - 1;
/// The low bit of the generation, above one bit for each cell.
const NEXT: Word = (CELLS as Word) << CELLS;

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
    /// Whether all generations have been used, and come again.
    comes_again: AtomicWord,
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
            comes_again: AtomicWord::new(0),
            cells: [const { Parts::new() }; CELLS],
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicWord::new(0),
            lost: AtomicWord::new(0),
            comes_again: AtomicWord::new(0),
            cells: core::array::from_fn(|_| Parts::new()),
        }
    }

    /// With one value, as if all generations but `back` had been used.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn starting_before_wrap(back: usize, event: E) -> Self {
        let mut cells = Self::new();
        cells.publish(event);
        let state = cells.state.get_mut();
        *state = (*state & (NEXT - 1)) | (back as Word * NEXT).wrapping_neg();
        *cells.comes_again.get_mut() = Word::from(back == 0);
        cells
    }

    /// As if so many more had been published, each after the one before.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn pass(&self, generations: Word) {
        let state = self.state.load(Relaxed);
        let later = state.wrapping_add(generations.wrapping_mul(NEXT));
        if later < state {
            self.begin_again();
        }
        self.state.compare_exchange(state, later, Release, Relaxed).expect("nobody else publishes");
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
        let (next, comes_again) = free.overflowing_add(NEXT);
        if comes_again {
            self.begin_again();
        }
        let new = (next & !NEWEST) | index;
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
    #[inline(never)]
    fn begin_again(&self) {
        // Relaxed: the Release of the commit pairs with the Acquire in `newest`.
        self.comes_again.store(1, Relaxed);
    }

    #[cold]
    fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Relaxed) as usize
    }

    /// The generation of the newest value: a state whose other bits are zero.
    #[inline(always)]
    pub(crate) fn generation(&self) -> Word {
        self.state.load(Relaxed) & NEXT.wrapping_neg()
    }

    /// Whether the newest value is of another generation than that.
    #[inline(always)]
    pub(crate) fn is_newer_than(&self, generation: Word) -> bool {
        !is_one_generation(self.state.load(Relaxed), generation)
    }

    /// The newest value, and how many generations it came after that of `seen`, unless it is that.
    #[inline]
    pub(crate) fn read(&self, seen: &mut Word) -> Option<(E, usize)> {
        loop {
            // Acquire: pairs with the Release in `commit`; the event is in the cell.
            let state = self.state.load(Acquire);
            let passed = state.wrapping_sub(*seen);
            if passed < NEXT {
                return None;
            }
            // SAFETY: that there is another generation means that there is a value.
            if let Some(event) = unsafe { self.copy(state) } {
                *seen = state & NEXT.wrapping_neg();
                return Some((event, (passed / NEXT) as usize));
            }
        }
    }

    /// The newest value, if there is one.
    #[inline]
    pub(crate) fn newest(&self) -> Option<E> {
        loop {
            // Acquire: as in `read`.
            let state = self.state.load(Acquire);
            if state < NEXT && self.comes_again.load(Relaxed) == 0 {
                return None;
            }
            // SAFETY: only the first generation has no value, and that only once.
            if let Some(event) = unsafe { self.copy(state) } {
                return Some(event);
            }
        }
    }

    /// The value of that state, if it is still the newest.
    ///
    /// # Safety
    ///
    /// The state must have been loaded with Acquire, and have a value.
    #[inline(always)]
    unsafe fn copy(&self, state: Word) -> Option<E> {
        let event: MaybeUninit<E> = self.cell(state & NEWEST).load();
        // Acquire: pairs with the Release fence in `publish`.
        fence(Acquire);
        let is_newest = !self.is_newer_than(state);
        // SAFETY: the cell was committed with an event, says the caller; it was still the newest, so nobody's to
        // write, when the last part had been copied: it is whole. (Unless all generations have passed: the limit
        // that the type states.)
        is_newest.then(|| unsafe { event.assume_init() })
    }
}

#[cfg(all(test, not(tickbus_loom)))]
mod tests {
    use super::*;

    const ALL: Word = Word::MAX / NEXT + 1;

    /// A reader that is interrupted in the middle, and goes on after so many generations.
    #[test]
    fn a_reader_sees_that_generations_passed_unless_they_all_did() {
        for back in [1, 3, 2000] {
            let cells = Cells::starting_before_wrap(back, [1_u32; 4]);
            let state = cells.state.load(Acquire);
            for (generations, is_seen) in
                [(1, true), (ALL / 2 - 1, true), (1, true), (ALL / 2 - 2, true), (1, false)]
            {
                cells.pass(generations - 1);
                cells.publish([2; 4]);
                // SAFETY: there is a value, of that state.
                let copied = unsafe { cells.copy(state) };
                assert_eq!(copied.is_none(), is_seen, "{generations}");
                assert_eq!(cells.newest(), Some([2; 4]));
            }
        }
    }

    #[test]
    fn a_watcher_counts_what_came_before_all_generations_had_passed() {
        let cells = Cells::starting_before_wrap(3, 1_u32);
        let mut seen = cells.generation();
        for passed in [ALL / 2, ALL - 1, 7, ALL / 2 + 1] {
            cells.pass(passed - 1);
            cells.publish(2);
            assert!(cells.is_newer_than(seen));
            assert_eq!(cells.read(&mut seen), Some((2, passed as usize)));
            assert_eq!(cells.read(&mut seen), None);
        }
    }
}
