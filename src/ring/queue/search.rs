//! Finds the first position that is not committed, from a hint, in a bounded number of reads.
//!
//! The hint may be any number of events behind: a publisher that was interrupted before it stored the hint stores
//! an old one later. The search begins with up to [`STEPS`] plain steps, which suffice unless a publisher was
//! interrupted. Then it bisects. Where there were no plain steps, the bisection looks at the next position first.
//!
//! Bisection must not read entries inside a run, which are not written. Runs never cross a multiple of
//! [`Shape::block`], so the entry at the start of a block is written in every lap. At any moment, the starts that are
//! committed come before those that are not. The entry at the start of the hint's block says up to which lap it is
//! committed. The end lies at most a lap behind that.
//!
//! An exclusive publish writes no entry where there are runs. Its position lies before every hint. So the start of the
//! hint's block may look open although it is committed, and no later start does.
//!
//! At a quiet moment, the search reads at most `log2(N / B) + 6 + B` entries. `B` is the block: 1 where there are no
//! runs, else at most 64. Where words have 32 bits, it reads at most `log2(N) + 3`. Each publish that commits meanwhile
//! may make the search start again.

use super::{Eviction, LAP, RUNS, Shape, before};
use crate::sync::Word;

/// The plain steps before a bisection: as many as publishers on other cores make necessary. The models have
/// few events.
pub(super) const STEPS: Word = match (RUNS, cfg!(tickbus_loom)) {
    (false, _) => 0,
    (true, true) => 1,
    (true, false) => 4,
};

/// The longest run of a batch.
pub(super) const LONGEST_RUN: Word = if cfg!(tickbus_loom) { 2 } else { 1 << LAP };

impl Shape {
    /// The size of a block: a run does not cross a multiple of it.
    #[inline(always)]
    pub(super) const fn block<P: Eviction>(self) -> Word {
        match RUNS && !P::EVICTS {
            true if self.slots < LONGEST_RUN => self.slots,
            true => LONGEST_RUN,
            false => 1,
        }
    }

    /// Returns the first position behind `position` whose entry is younger than `age`, and that entry. `entry` is the
    /// one at `position`. It must not be younger, and no entry before it may be. `load` reads the entry of a position.
    #[inline(always)]
    pub(super) fn find_younger<P: Eviction>(
        self,
        mut position: Word,
        mut entry: Word,
        age: Word,
        mut load: impl FnMut(Word) -> Word,
    ) -> (Word, Word) {
        let mut steps = STEPS;
        loop {
            if steps == 0 {
                (position, entry) = self.last_start::<P>(position, entry, age, &mut load);
                steps = self.block::<P>().max(STEPS);
            }
            steps -= 1;
            if RUNS && !P::EVICTS {
                // A run is of its own lap. In an earlier one its entries may not have been written either.
                let found = self.age(entry, position);
                position = self.latest(found, position, age).wrapping_add(self.run(found));
            }
            position = position.wrapping_add(1);
            entry = load(position);
            if before(self.age(entry, position), age) {
                return (position, entry);
            }
        }
    }

    /// Returns the last start of a block whose entry is not younger than `age`, and that entry. Returns `position` and
    /// `entry` if that start is not behind them.
    #[inline(always)]
    fn last_start<P: Eviction>(
        self,
        position: Word,
        entry: Word,
        age: Word,
        load: &mut impl FnMut(Word) -> Word,
    ) -> (Word, Word) {
        let block = self.block::<P>();
        let start = position & block.wrapping_neg();
        let first = if start == position { entry } else { load(start) };
        let found = self.age(first, start);
        let start = if before(found, age) { start } else { self.latest(found, start, age) };
        let mut last = (position, entry);
        if before(position, start) {
            last = (start, first);
        }
        // Behind that start: the first is committed, the second not or not for certain.
        let (mut least, mut most) = (0, self.slots);
        // Where no plain steps were made, most ends are near.
        let mut middle = if STEPS == 0 { block } else { most / 2 };
        while most - least > block {
            let start = start.wrapping_add(middle);
            let entry = load(start);
            if before(self.age(entry, start), age) {
                most = middle;
            } else {
                least = middle;
                last = (start, entry);
            }
            middle = least + (most - least) / 2;
        }
        last
    }

    /// Returns the position of the latest lap in which an entry of this `age` is not younger than `limit`.
    #[inline(always)]
    const fn latest(self, age: Word, position: Word, limit: Word) -> Word {
        let laps = age.wrapping_sub(limit) & self.lap().wrapping_neg();
        position.wrapping_add(laps >> LAP)
    }
}

#[cfg(all(test, not(tickbus_loom), not(tickbus_sections)))]
mod tests;
