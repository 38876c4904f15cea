//! The steps where the target has no compare-and-swap: each a critical section, of the same code and
//! length for every event and capacity.
//!
//! The queue of cells is the same, but nobody can come in between the halves of a step. So `tail` is
//! exact, entries name their cells and nothing else, and a ring that displaces has an `alloc` as well:
//! to displace is to move the head on, which frees the cell of the oldest event for the next claim.
//!
//! The steps themselves are plain loads and stores: `&mut` does them without a section.

use super::publish::Claim;
use super::{Policy, State, before};
use crate::sync::{Acquire, AtomicWord, Relaxed, Release, Word, section};

impl State {
    /// Claims a cell. `None`: all are taken.
    #[inline(always)]
    pub(super) fn claim_of<P: Policy>(&self) -> Option<Claim> {
        if P::EVICTS { self.claim::<true>() } else { self.claim::<false>() }
    }

    #[inline(never)]
    fn claim<const EVICTS: bool>(&self) -> Option<Claim> {
        let (cell, waiting) = section(|| self.claim_step::<EVICTS>())?;
        Some(Claim::new(cell, EVICTS && waiting >= self.entries.0.len() as Word))
    }

    /// Puts the cell of a claim at the end of the queue.
    #[inline(never)]
    pub(super) fn commit(&self, cell: usize) {
        section(|| self.commit_step(cell));
    }

    /// The cell with the oldest event, which the consumer gets for its spare one, on a ring that
    /// displaces. `None`: nothing waits before `end`.
    #[inline(never)]
    pub(super) fn exchange(&self, end: Word) -> Option<usize> {
        let left = self.spare.load(Relaxed).wrapping_add(self.entries.0.len() as Word);
        let oldest = section(|| self.exchange_step(left, end))?;
        Some(self.keep(oldest))
    }

    /// [`claim`](Self::claim), where nobody can come in between. Beside the cell, how many cells were
    /// not free: if all, the oldest event is still in this one.
    #[inline(always)]
    pub(super) fn claim_step<const EVICTS: bool>(&self) -> Option<(usize, Word)> {
        let front = &self.front.0;
        let alloc = front.alloc.load(Relaxed);
        // Acquire: pairs with the Release of a take, which is outside of a section where nothing is
        // displaced; the event is out.
        let taken = self.taken.0.load(if EVICTS { Relaxed } else { Acquire });
        let skipped = if EVICTS { self.skipped.load(Relaxed) } else { 0 };
        let head = taken.wrapping_add(skipped);
        let waiting = alloc.wrapping_sub(head);
        if waiting >= self.entries.0.len() as Word {
            if !EVICTS || front.tail.load(Relaxed) == head {
                return None;
            }
            self.skipped.store(skipped.wrapping_add(1), Relaxed);
        }
        front.alloc.store(alloc.wrapping_add(1), Relaxed);
        // The entry of the oldest event, if that was displaced.
        Some((self.cell(alloc), waiting))
    }

    /// [`commit`](Self::commit), where nobody can come in between.
    #[inline(always)]
    pub(super) fn commit_step(&self, cell: usize) {
        let tail = &self.front.0.tail;
        let position = tail.load(Relaxed);
        let (entry, index) = self.entry_and_index(position);
        entry.store(cell as Word ^ index, Relaxed);
        // Release: pairs with the Acquire in `end`; the event is in, and its cell is named.
        tail.store(position.wrapping_add(1), Release);
    }

    /// [`exchange`](Self::exchange), where nobody can come in between, but for the consumer's own part:
    /// it leaves one cell, and gets another.
    #[inline(always)]
    pub(super) fn exchange_step(&self, left: Word, end: Word) -> Option<Word> {
        let taken = self.taken.0.load(Relaxed);
        let head = taken.wrapping_add(self.skipped.load(Relaxed));
        if !before(head, end) {
            return None;
        }
        self.taken.0.store(taken.wrapping_add(1), Relaxed);
        let (entry, index) = self.entry_and_index(head);
        let oldest = entry.load(Relaxed);
        entry.store(left ^ index, Relaxed);
        Some(oldest ^ index)
    }

    /// Makes a cell the spare one.
    #[inline(always)]
    pub(super) fn keep(&self, cell: Word) -> usize {
        self.spare.store(cell.wrapping_sub(self.entries.0.len() as Word), Relaxed);
        cell as usize
    }

    /// The entry of a position, and its index.
    #[inline(always)]
    fn entry_and_index(&self, position: Word) -> (&AtomicWord, Word) {
        (self.entry(position), self.shape().index(position) as Word)
    }

    /// The cell that the entry of a position names.
    #[inline(always)]
    fn cell(&self, position: Word) -> usize {
        let (entry, index) = self.entry_and_index(position);
        (entry.load(Relaxed) ^ index) as usize
    }
}
