//! The publishing side: claims a cell, moves the event in, commits.

use super::search::LONGEST_RUN;
use super::{Eviction, RUNS, Ring, Shape, before};
use crate::sync::{AcqRel, Acquire, COMMIT, PAUSES, Relaxed, Release, Word, pause};

/// The most cells that one claim of a batch takes.
const RUN: usize = LONGEST_RUN as usize;

/// Cells that belong to this publisher. `None` if they lie in the order of the positions they were claimed for.
type Cells<const RUN: usize> = Option<[usize; RUN]>;

/// A cell that belongs to this publisher.
#[derive(Clone, Copy)]
pub(super) struct Claim(usize);

impl Claim {
    /// Set if the cell still holds the oldest event, which this publisher displaces.
    const DISPLACES: usize = 1 << (usize::BITS - 1);
    /// All cells are taken.
    const NOTHING: Self = Self(usize::MAX);

    #[inline(always)]
    pub(super) fn new(cell: usize, displaces: bool) -> Self {
        Self(if displaces { cell | Self::DISPLACES } else { cell })
    }

    #[inline(always)]
    fn or_nothing(claim: Option<Self>) -> Self {
        claim.unwrap_or(Self::NOTHING)
    }

    #[inline(always)]
    fn or_none(self) -> Option<Self> {
        (self.0 != Self::NOTHING.0).then_some(self)
    }

    #[inline(always)]
    pub(super) fn cell<P: Eviction>(self) -> usize {
        if P::EVICTS { self.0 & !Self::DISPLACES } else { self.0 }
    }

    #[inline(always)]
    fn displaces(self) -> bool {
        self.0 & Self::DISPLACES != 0
    }
}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    pub(super) const SHAPE: Shape = Shape { slots: N as Word };

    /// Puts `event` in. Returns the event that it displaced, if any, or `event` if there is no room.
    #[inline]
    pub(crate) fn publish(&self, event: E) -> Result<Option<E>, E> {
        let front = &self.state.front.0;
        let mut pauses = 0;
        let displaced;
        let claim = loop {
            // If no other publish is in progress, the commit goes to the entry at `tail`, which names the cell.
            // Acquire: pairs with the Release at the end and in `commit`; every position before it is committed.
            let tail = front.tail.load(Acquire);
            // Acquire: pairs with the Release in `look_up_head` and in `claim_next`, which hand on that of the head;
            // the events before it are out of their cells.
            if !P::EVICTS
                && tail.wrapping_sub(front.room.load(Acquire)) >= Self::SHAPE.slots
                && self.look_up_head(tail) == Self::SHAPE.slots
            {
                return Err(event);
            }
            if let Some((claim, claimed, committed)) = self.claim_tail(tail) {
                // SAFETY: the claim is new.
                displaced = unsafe { self.fill(claim, event) };
                let entry = self.core().entry(tail);
                // Release: pairs with the Acquire in `first_younger`; the event is in. Or more: see `COMMIT`.
                if entry.compare_exchange_weak(claimed, committed, COMMIT, Relaxed).is_ok() {
                    // Release: pairs with the Acquire above, in `commit` and in `end`; all before is
                    // committed.
                    front.tail.store(tail.wrapping_add(1), Release);
                    return Ok(displaced);
                }
                break claim;
            }
            if !PAUSES || !self.let_others_finish(tail, &mut pauses) {
                let Some(claim) = self.claim() else { return Err(event) };
                // SAFETY: the claim is new.
                displaced = unsafe { self.fill(claim, event) };
                break claim;
            }
        };
        self.commit(claim);
        Ok(displaced)
    }

    /// Spins for a while after a collision with another publisher. Returns whether to try again: not if there is no
    /// room, if no other publish has committed meanwhile, or after three of these.
    #[cold]
    #[inline(never)]
    fn let_others_finish(&self, tail: Word, pauses: &mut u32) -> bool {
        let front = &self.state.front.0;
        let room = front.room.load(Relaxed);
        if *pauses == 3 || !P::EVICTS && tail.wrapping_sub(room) >= Self::SHAPE.slots {
            return false;
        }
        *pauses += 1;
        pause(32 << *pauses);
        front.tail.load(Relaxed) != tail
    }

    /// Claims the cell that the entry at `tail` names, if no other publish is in progress. Returns the claim, the entry
    /// as it is then, and the entry that commits it. There must be room at `tail`.
    #[inline(always)]
    fn claim_tail(&self, tail: Word) -> Option<(Claim, Word, Word)> {
        let shape = Self::SHAPE;
        let entry = self.core().entry(tail);
        if P::EVICTS {
            // Acquire: pairs with the Release in `take_displaceable`, the last event is out of the cell; or with that
            // in `publish`, the event to displace is in.
            let found = entry.load(Acquire);
            let (claim, claimed) = self.claim_entry(tail, found)?;
            let committed = claimed.wrapping_add(shape.committed::<P>() - shape.claimed());
            return Some((claim, claimed, committed));
        }
        let front = &self.state.front.0;
        let found = entry.load(Relaxed);
        // Fails also for a tail that is older than the head.
        // Release: pairs with the Acquire in `claim_next`; a commit to this entry comes after this read of it.
        front.alloc.compare_exchange_weak(tail, tail.wrapping_add(1), Release, Relaxed).ok()?;
        let cell = shape.cell::<P>(found, tail);
        Some((Claim::new(cell, false), found, shape.commit(found, cell, tail)))
    }

    /// Loads the head, and returns how many events are pending before `tail`.
    #[cold]
    fn look_up_head(&self, tail: Word) -> Word {
        let head = self.core().head::<P>();
        // Release: pairs with the Acquire in `publish`.
        self.state.front.0.room.store(head, Release);
        tail.wrapping_sub(head)
    }

    /// Claims a cell while other publishes are in progress. Returns `None` if all cells are taken.
    #[inline(always)]
    pub(super) fn claim(&self) -> Option<Claim> {
        self.claim_or_nothing().or_none()
    }

    /// Does what [`claim`](Self::claim) does. Its answer fits into one register.
    #[cold]
    #[inline(never)]
    fn claim_or_nothing(&self) -> Claim {
        if P::EVICTS {
            return Claim::or_nothing(self.claim_first());
        }
        let claimed = self.claim_next::<1>(1);
        Claim::or_nothing(
            claimed.map(|(first, _, cells)| Claim::new(Self::cell_of(&cells, first, 0), false)),
        )
    }

    /// Claims cells for up to `most` events, on a ring that rejects. Returns the first position whose entry named one,
    /// how many there are, and which. There are at most `RUN`, all of one block.
    #[inline(always)]
    fn claim_next<const RUN: usize>(&self, most: usize) -> Option<(Word, usize, Cells<RUN>)> {
        let core = self.core();
        let shape = Self::SHAPE;
        let front = &self.state.front.0;
        loop {
            // Acquire: pairs with the Release of the claims, as they say.
            let alloc = front.alloc.load(Acquire);
            let head = core.head::<P>();
            // Release: pairs with the Acquire in `publish`.
            front.room.store(head, Release);
            let taken = alloc.wrapping_sub(head);
            if taken >= shape.slots {
                // The head may have been read long after `alloc`.
                if front.alloc.load(Relaxed) == alloc {
                    return None;
                }
                continue;
            }
            let mut count = ((shape.slots - taken) as usize).min(most).min(RUN);
            if RUNS && RUN > 1 {
                let block = shape.block::<P>();
                count = count.min((block - (alloc & (block - 1))) as usize);
            }
            let next = alloc.wrapping_add(count as Word);
            let cells = if RUNS && RUN > 1 && core.is_ordered(alloc, count) {
                None
            } else {
                Some(self.named(alloc, count))
            };
            // Acquire and Release: pair with each other; a commit to one of these entries comes after this read of
            // them.
            if front.alloc.compare_exchange_weak(alloc, next, AcqRel, Relaxed).is_ok() {
                return Some((alloc, count, cells));
            }
            pause(8);
        }
    }

    /// Returns the cells that `count` entries from `first` on name.
    #[inline(always)]
    fn named<const RUN: usize>(&self, first: Word, count: usize) -> [usize; RUN] {
        let mut cells = [0; RUN];
        let mut next = first;
        for cell in &mut cells[..count] {
            *cell = Self::SHAPE.cell::<P>(self.core().entry(next).load(Relaxed), next);
            next = next.wrapping_add(1);
        }
        cells
    }

    /// Returns the cell that was claimed for the position `at` behind `first`.
    #[inline(always)]
    fn cell_of<const RUN: usize>(cells: &Cells<RUN>, first: Word, at: usize) -> usize {
        match cells {
            Some(cells) => cells[at],
            None => Self::SHAPE.index(first) + at,
        }
    }

    /// Claims the first cell that is not claimed, on a ring that displaces.
    #[inline]
    fn claim_first(&self) -> Option<Claim> {
        // Acquire: as in `publish`.
        let mut position = self.state.front.0.tail.load(Acquire);
        loop {
            let found;
            (position, found) = self.core().first_younger::<P>(position, Self::SHAPE.claimed());
            if !Self::SHAPE.is_claimable::<P>(found, position) {
                // The entry of a lap ago is not committed.
                return None;
            }
            if let Some((claim, _)) = self.claim_entry(position, found) {
                return Some(claim);
            }
            pause(8);
        }
    }

    /// Claims the cell that an entry names, on a ring that displaces. Fails if a publisher may not have that cell, or if
    /// the entry is no longer `found`. Returns the claim and the entry as it is then.
    #[inline(always)]
    fn claim_entry(&self, position: Word, found: Word) -> Option<(Claim, Word)> {
        let shape = Self::SHAPE;
        let (named, displaces) = if shape.age(found, position) < shape.phase() {
            (found, false)
        } else if shape.is_committed_a_lap_ago::<P>(found, position) {
            (found.wrapping_add(shape.lap() - shape.committed::<P>()), true)
        } else {
            return None;
        };
        let claimed = named.wrapping_add(shape.claimed());
        // Release: pairs with the Acquire in `first_younger`; a search that steps over this claim sees the commits
        // before it.
        let entry = self.core().entry(position);
        entry.compare_exchange_weak(found, claimed, Release, Relaxed).ok()?;
        Some((Claim::new(shape.cell::<P>(found, position), displaces), claimed))
    }

    /// Moves the event into the claimed cell. Returns the event that it displaces.
    ///
    /// # Safety
    ///
    /// The caller must call it once for each claim.
    #[inline(always)]
    pub(super) unsafe fn fill(&self, claim: Claim, event: E) -> Option<E> {
        // SAFETY: a claim has its cell from an entry.
        let cell = unsafe { self.core().cell(claim.cell::<P>()) };
        // SAFETY: the claim made the cell ours with the event in it. The write below replaces that event, so it is
        // read once.
        let displaced = (P::EVICTS && claim.displaces()).then(|| unsafe { cell.read() });
        // SAFETY: the claim made the cell ours, and what was in it has been moved out.
        unsafe { cell.write(event) };
        displaced
    }

    /// Puts the cell of a claim at the end of the queue.
    #[cold]
    #[inline(never)]
    pub(super) fn commit(&self, claim: Claim) {
        let core = self.core();
        let shape = Self::SHAPE;
        let tail = &self.state.front.0.tail;
        // Acquire: as in `publish`.
        let mut position = tail.load(Acquire);
        loop {
            let found;
            (position, found) = core.first_younger::<P>(position, shape.committed::<P>());
            let named = shape.naming(claim.cell::<P>(), position);
            let committed = named.wrapping_add(shape.committed::<P>());
            // Release: as in `publish`.
            if core.entry(position).compare_exchange_weak(found, committed, COMMIT, Relaxed).is_ok()
            {
                break;
            }
            pause(8);
        }
        // Release: as in `publish`.
        tail.store(position.wrapping_add(1), Release);
    }

    /// Puts in as many of `events` as there is room for, and returns how many. Where nothing is displaced, it takes one
    /// claim for each [`RUN`] of them.
    #[inline]
    pub(crate) fn publish_batch(&self, events: &[E]) -> usize
    where
        E: Copy,
    {
        if P::EVICTS {
            return events.iter().take_while(|event| self.publish(**event).is_ok()).count();
        }
        let mut rest = events;
        while !rest.is_empty() {
            let Some((first, count, cells)) = self.claim_next::<RUN>(rest.len()) else { break };
            let (now, later) = rest.split_at(count);
            self.put(now, first, &cells);
            rest = later;
        }
        events.len() - rest.len()
    }

    /// Puts in all of `events` by one claim, or gives them back. Only on a ring that does not displace.
    #[inline]
    pub(crate) fn publish_all<const M: usize>(&self, events: [E; M]) -> Result<(), [E; M]> {
        let Some((first, cells)) = self.claim_all::<M>() else { return Err(events) };
        for (cell, event) in cells.into_iter().zip(events) {
            // SAFETY: one of the cells just claimed.
            unsafe { self.fill(Claim::new(cell, false), event) };
        }
        let block = Self::SHAPE.block::<P>();
        let mut done = 0;
        while done < M {
            let next = first.wrapping_add(done as Word);
            let count = ((block - (next & (block - 1))) as usize).min(M - done);
            self.commit_in_order(next, count, |at| cells[done + at]);
            done += count;
        }
        Ok(())
    }

    /// Claims cells for `M` events at once: the first position whose entry named them, and which they are.
    /// `None`: there is no room for so many.
    #[inline(always)]
    fn claim_all<const M: usize>(&self) -> Option<(Word, [usize; M])> {
        let front = &self.state.front.0;
        loop {
            // Acquire: as in `claim_next`.
            let alloc = front.alloc.load(Acquire);
            let head = self.core().head::<P>();
            // Release: as in `claim_next`.
            front.room.store(head, Release);
            if alloc.wrapping_sub(head) > Self::SHAPE.slots - M as Word {
                // The head may have been read long after `alloc`.
                if front.alloc.load(Relaxed) == alloc {
                    return None;
                }
                continue;
            }
            let cells = self.named(alloc, M);
            let next = alloc.wrapping_add(M as Word);
            // Acquire and Release: as in `claim_next`.
            if front.alloc.compare_exchange_weak(alloc, next, AcqRel, Relaxed).is_ok() {
                return Some((alloc, cells));
            }
            pause(8);
        }
    }

    /// Moves `events` into the cells that were claimed for the positions from `first` on, and commits
    /// them in order.
    #[inline]
    fn put(&self, events: &[E], first: Word, cells: &Cells<RUN>)
    where
        E: Copy,
    {
        let cell = |at| Self::cell_of(cells, first, at);
        if cells.is_none() {
            let in_order = &self.cells.cells[cell(0)..];
            for (cell, &event) in in_order.iter().zip(events) {
                // SAFETY: it is one of the cells just claimed.
                unsafe { cell.write(event) };
            }
        } else {
            for (at, &event) in events.iter().enumerate() {
                // SAFETY: it is one of the cells just claimed.
                unsafe { self.fill(Claim::new(cell(at), false), event) };
            }
        }
        self.commit_in_order(first, events.len(), cell);
    }

    /// Commits the cells that were claimed for `count` positions of one block, from `first` on, in order.
    #[inline]
    fn commit_in_order(&self, first: Word, count: usize, cell: impl Fn(usize) -> usize) {
        let tail = &self.state.front.0.tail;
        let run = if RUNS { count } else { 1 };
        let mut done = 0;
        while done < count {
            let next = first.wrapping_add(done as Word);
            // Acquire: as in `publish`.
            if tail.load(Acquire) == next && self.commit_run(next, cell(done), run) {
                // Release: as in `publish`.
                tail.store(next.wrapping_add(run as Word), Release);
            } else {
                (done..done + run).for_each(|at| self.commit(Claim::new(cell(at), false)));
            }
            done += run;
        }
    }

    /// Commits `count` cells at the positions whose entries name them, from `first` on; `cell` is the first of them.
    /// Every position before must be committed. Returns `false` if another publish has committed at `first`.
    #[inline]
    fn commit_run(&self, first: Word, cell: usize, count: usize) -> bool {
        let shape = Self::SHAPE;
        let entry = self.core().entry(first);
        let found = entry.load(Relaxed);
        let committed = shape.commit(found, cell, first);
        let run = (count - 1) as Word * shape.slots;
        // Release: as in `publish`.
        before(shape.age(found, first), shape.lap())
            && entry.compare_exchange(found, committed + run, COMMIT, Relaxed).is_ok()
    }
}
