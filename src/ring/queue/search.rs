//! The first position that is not committed, found from a hint in a bounded number of reads.
//!
//! The hint may be any number of events behind: a publisher that was interrupted before it stored the
//! hint stores an old one later. Up to [`STEPS`] plain steps go first, which is all that publishers
//! beside each other make necessary. Then the end is searched for by halves.
//!
//! Not every entry can be asked: those inside a run are not written. Claims of a batch never cross a
//! multiple of [`Shape::block`], so the entry at the start of a block is written in every lap, and at
//! one moment the starts that are committed come before those that are not. The entry at the start of
//! the hint's own block says up to which lap it is committed; the end is at most a lap behind that.
//!
//! An exclusive publish writes no entry where there are runs. What it published lies before every hint:
//! so the start of the hint's block may look open although it is committed, and no later start does.
//!
//! At a quiet moment that is `log2(N / B) + 6 + B` reads of entries at most, with `B` the block: 1 where
//! there are no runs, else at most 64. Each publish that commits meanwhile may make it start again.

use super::{Eviction, LAP, RUNS, Shape, before};
use crate::sync::Word;

/// How many plain steps come before a search. The models have few events.
pub(super) const STEPS: Word = if cfg!(tickbus_loom) { 1 } else { 4 };

/// The longest run of a batch.
pub(super) const LONGEST_RUN: Word = if cfg!(tickbus_loom) { 2 } else { 1 << LAP };

impl Shape {
    /// A run ends at a multiple of this, if not before.
    #[inline(always)]
    pub(super) const fn block<P: Eviction>(self) -> Word {
        match RUNS && !P::EVICTS {
            true if self.slots < LONGEST_RUN => self.slots,
            true => LONGEST_RUN,
            false => 1,
        }
    }

    /// The first position behind `position` whose entry is younger than `age`, and that entry. The one at
    /// `position` is `entry`, and no younger; nothing before it is. `load` reads the entry of a position.
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
            for _ in 0..steps {
                let found = self.age(entry, position);
                position = self.latest(found, position, age).wrapping_add(1);
                if !P::EVICTS {
                    position = position.wrapping_add(self.run(found));
                }
                entry = load(position);
                if before(self.age(entry, position), age) {
                    return (position, entry);
                }
            }
            (position, entry) = self.last_start::<P>(position, entry, age, &mut load);
            steps = self.block::<P>().max(STEPS);
        }
    }

    /// The last start of a block whose entry is no younger than `age`, and that entry. What it is given if
    /// that is not further on.
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
        // Counted in blocks from there: the first is committed, the second not or not for certain.
        let (mut least, mut most) = (0, self.slots / block);
        let mut last = (position, entry);
        if before(position, start) {
            last = (start, first);
        }
        while most - least > 1 {
            let middle = least.midpoint(most);
            let start = start.wrapping_add(middle * block);
            let entry = load(start);
            if before(self.age(entry, start), age) {
                most = middle;
            } else {
                least = middle;
                last = (start, entry);
            }
        }
        last
    }

    /// The position of the latest lap at which an entry was no younger than `limit`, if its `age` is none.
    #[inline(always)]
    const fn latest(self, age: Word, position: Word, limit: Word) -> Word {
        let laps = age.wrapping_sub(limit) & self.lap().wrapping_neg();
        position.wrapping_add(laps >> LAP)
    }
}

#[cfg(all(test, not(tickbus_loom), not(tickbus_sections)))]
mod tests;
