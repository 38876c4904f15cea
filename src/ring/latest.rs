//! The cells of a latest value, and one word that names the cell with the newest value.
//!
//! To publish:
//!
//! 1. **claim** a free cell, by one compare-and-swap of the state;
//! 2. copy the value into the cell;
//! 3. **commit**: one compare-and-swap makes the cell the newest one, frees the cell that was the newest
//!    before, and raises the generation.
//!
//! A reader copies the newest cell and then reads the state again. If the generation is the same, no publisher has
//! claimed that cell meanwhile, and the copy is whole. An interrupted publisher holds one cell. It delays neither
//! readers nor other publishers.
//!
//! ```text
//! generation ........ | published: one bit | busy: one bit for each cell | newest: the index of a cell
//! ```
//!
//! Publishing and reading are lock-free: a publisher retries if another one claimed or committed, and a reader if
//! another value was committed. If `CELLS - 1` publishers are interrupted, the next one finds no free cell. Its value
//! is lost and counted, since any of the others is about to replace it.
//!
//! # Where a word has 32 bits
//!
//! 26 bits are left for the generation, and none for "published": a state of generation zero is not published, until
//! the generations have wrapped. The same generation comes again after 2^26 publishes, which may happen while a reader
//! is interrupted. So another word counts the halves: a publisher whose commit would turn the highest bit of the
//! generation counts first, and then commits.
//!
//! A reader accepts a copy only if that count has not changed since before it looked for the newest cell. Suppose the
//! generation is the same, but the value is another one. Then the bit was turned at least twice meanwhile. The second
//! publisher to turn it had seen the commit of the first, and counted after that: after the reader had begun. The
//! Release of the commits and the Acquire of the reader's last load make the reader see that count.

use core::mem::MaybeUninit;

use super::parts::Parts;
use crate::sync::{AcqRel, Acquire, AtomicWord, Relaxed, Release, Word, fence};

/// The number of cells. One less is the most publishes that can be in progress at once.
pub(crate) const CELLS: usize = if Word::BITS == 64 && !cfg!(tickbus_loom) { 8 } else { 4 };

/// The bits of the state that name the newest cell.
const NEWEST: Word = CELLS as Word - 1;
/// Whether a generation may come again while a reader is interrupted. The models have four generations, so that it
/// does.
const COMES_AGAIN: bool = Word::BITS == 32 || cfg!(tickbus_loom);
/// The bit that says that there is a newest value, above one bit for each cell.
const PUBLISHED: Word = if COMES_AGAIN { 0 } else { ABOVE };
/// The low bit of the generation.
const NEXT: Word = match COMES_AGAIN {
    _ if cfg!(tickbus_loom) => 1 << (Word::BITS - 2),
    true => ABOVE,
    false => PUBLISHED << 1,
};
/// The lowest bit above those of the cells.
const ABOVE: Word = (CELLS as Word) << CELLS;
/// The highest bit of the generation.
const HALF: Word = 1 << (Word::BITS - 1);

/// Whether two states are of one generation, whichever publishes are in progress.
#[inline(always)]
const fn is_one_generation(a: Word, b: Word) -> bool {
    a ^ b < NEXT
}

/// The bit that says that a publisher owns the cell.
#[inline(always)]
const fn busy(index: Word) -> Word {
    (CELLS as Word) << index
}

/// A cell that a publisher owns, and the states before and after the claim.
#[derive(Clone, Copy)]
struct Claim {
    index: Word,
    free: Word,
    claimed: Word,
}

/// The state that a reader saw last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// A state of that generation, all other bits zero.
    generation: Word,
    /// At most the halves of that moment.
    halves: Word,
}

/// The newest of many values. In this order small cores reach each part of a cell in one instruction.
#[repr(C)]
pub(crate) struct Cells<E> {
    state: AtomicWord,
    /// Events that found no free cell.
    lost: AtomicWord,
    /// How often half of all generations have passed, at least. Only where they come again.
    halves: AtomicWord,
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
            halves: AtomicWord::new(0),
            cells: [const { Parts::new() }; CELLS],
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicWord::new(0),
            lost: AtomicWord::new(0),
            halves: AtomicWord::new(0),
            cells: core::array::from_fn(|_| Parts::new()),
        }
    }

    /// Cells with one value, as if all generations but `back` had been used.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn starting_before_wrap(back: usize, event: E) -> Self {
        let mut cells = Self::new();
        cells.publish(event);
        let state = cells.state.get_mut();
        *state = (*state & (NEXT - 1)) | (back as Word * NEXT).wrapping_neg();
        *cells.halves.get_mut() = 1;
        cells
    }

    /// As if so many more had been published, each after the one before. Not the number of all generations
    /// or more.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn pass(&self, generations: Word) {
        let state = self.state.load(Relaxed);
        let later = state.wrapping_add(generations.wrapping_mul(NEXT));
        let turned = (state ^ later) & HALF != 0;
        let halves =
            if generations > (HALF / NEXT) { 2 - Word::from(turned) } else { turned.into() };
        self.halves.fetch_add(if COMES_AGAIN { halves } else { 0 }, Relaxed);
        self.state.compare_exchange(state, later, Release, Relaxed).expect("the only publisher");
    }

    #[inline(always)]
    fn cell(&self, index: Word) -> &Parts<E> {
        debug_assert!(index <= NEWEST);
        // SAFETY: every caller masks with `NEWEST`, so `index` is less than `CELLS`.
        unsafe { self.cells.get_unchecked(index as usize) }
    }

    #[inline]
    pub(crate) fn publish(&self, event: E) {
        let state = self.state.load(Relaxed);
        let index = state.wrapping_add(1) & NEWEST;
        // If a publisher owns that cell, the exchange fails: `free` is not the state.
        let (free, claimed) = (state & !busy(index), state | busy(index));
        let mut claim = Claim { index, free, claimed };
        if self.state.compare_exchange_weak(free, claimed, Relaxed, Relaxed).is_err() {
            let Some(index) = self.claim() else { return self.lose() };
            // A state with a claim in it is not zero, so this commits late.
            claim = Claim { index, free: 0, claimed: 0 };
        }
        // Acquire: pairs with the Release of `commit`; the older event is in the cell before we overwrite it.
        // Release: pairs with the Acquire fence in `read`; a reader that sees a part of our event sees that the
        // cell is no longer the newest.
        fence(AcqRel);
        self.cell(claim.index).store(event);
        // This succeeds if no other publisher has changed the state meanwhile.
        if !self.commit(claim) {
            self.commit_late(claim.index);
        }
    }

    /// Claims a cell that is not the newest and that no publisher owns.
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
        let new = (free.wrapping_add(NEXT) & !NEWEST) | PUBLISHED | index;
        if COMES_AGAIN && (new ^ claimed) & HALF != 0 {
            self.turn();
        }
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
    fn turn(&self) {
        // Relaxed: the Release of the commit pairs with the Acquire in `copy`.
        self.halves.fetch_add(1, Relaxed);
    }

    #[cold]
    fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Relaxed) as usize
    }

    /// Loads the halves, before any state that is loaded later.
    #[inline(always)]
    fn halves(&self) -> Word {
        // Acquire: keeps the loads of the state behind it; pairs with nothing.
        if COMES_AGAIN { self.halves.load(Acquire) } else { 0 }
    }

    /// Returns the newest generation at this moment.
    #[inline(always)]
    pub(crate) fn seen(&self) -> Seen {
        let halves = self.halves();
        Seen { generation: self.state.load(Relaxed) & NEXT.wrapping_neg(), halves }
    }

    /// Whether the newest value is of another generation than `seen`.
    #[inline(always)]
    pub(crate) fn is_newer_than(&self, seen: Seen) -> bool {
        !is_one_generation(self.state.load(Relaxed), seen.generation)
    }

    /// Returns the newest value and how many generations it is after `seen`, or `None` if it is `seen`.
    #[inline]
    pub(crate) fn read(&self, seen: &mut Seen) -> Option<(E, usize)> {
        loop {
            // Acquire: pairs with the Release in `commit`; the event is in the cell.
            let state = self.state.load(Acquire);
            let passed = state.wrapping_sub(seen.generation);
            if passed < NEXT {
                return None;
            }
            // SAFETY: there is another generation, so there is a value.
            if let Some(event) = unsafe { self.copy(state, seen.halves) } {
                seen.generation = state & NEXT.wrapping_neg();
                return Some((event, (passed / NEXT) as usize));
            }
            core::hint::cold_path();
            seen.halves = self.halves();
        }
    }

    /// Returns the newest value, if there is one.
    #[inline]
    pub(crate) fn newest(&self) -> Option<E> {
        loop {
            let halves = self.halves();
            // Acquire: as in `read`.
            let state = self.state.load(Acquire);
            let is_published = if COMES_AGAIN {
                state >= NEXT || self.halves.load(Relaxed) > 0
            } else {
                state & PUBLISHED != 0
            };
            if !is_published {
                return None;
            }
            // SAFETY: there is a value: the state says so, or half of all generations have passed.
            if let Some(event) = unsafe { self.copy(state, halves) } {
                return Some(event);
            }
        }
    }

    /// Copies the value of a state, if it is still the newest.
    ///
    /// # Safety
    ///
    /// The state must have been loaded with Acquire, after `halves`, and have a value.
    #[inline(always)]
    unsafe fn copy(&self, state: Word, halves: Word) -> Option<E> {
        let event: MaybeUninit<E> = self.cell(state & NEWEST).load();
        // Acquire: pairs with the Release fence in `publish`.
        fence(Acquire);
        // Acquire: pairs with the Release in `commit`; the halves before it are seen. No model notices: it takes a
        // publisher that claimed its cell before the first half had passed.
        let now = self.state.load(if COMES_AGAIN { Acquire } else { Relaxed });
        let is_newest = is_one_generation(now, state);
        let is_again = COMES_AGAIN && self.halves.load(Relaxed) != halves;
        // SAFETY: the caller says that the cell was committed with an event. It was still the newest when the last
        // part was copied, so no publisher owned it, and the event is whole.
        (is_newest && !is_again).then(|| unsafe { event.assume_init() })
    }
}

#[cfg(all(test, not(tickbus_loom)))]
mod tests;
