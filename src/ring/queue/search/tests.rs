extern crate alloc;

use alloc::vec::Vec;

use super::super::take::{Reader, Seen};
use super::super::tests::{Displacing, Random, Rejecting};
use super::super::{Core, Eviction, RUNS, Ring, before};
use crate::ring::Capacity;
use crate::sync::{Acquire, Relaxed, Word};

/// The first position from `hint` on whose entry is younger than `age`, and how many entries were read.
fn found<P: Eviction>(core: Core<'_, u32>, hint: Word, age: Word) -> (Word, u32) {
    let mut reads = 0;
    let mut load = |position| {
        reads += 1;
        core.entry(position).load(Acquire)
    };
    let entry = load(hint);
    if before(core.shape().age(entry, hint), age) {
        return (hint, reads);
    }
    let (position, _) = core.shape().find_younger::<P>(hint, entry, age, &mut load);
    (position, reads)
}

/// How many reads the module promises.
fn bound<P: Eviction>(core: Core<'_, u32>) -> u32 {
    let shape = core.shape();
    let block = shape.block::<P>();
    (shape.slots / block).ilog2() + if RUNS { 6 } else { 2 } + block as u32
}

/// What has happened to a ring so far.
struct History<const N: usize, P: Eviction> {
    ring: Ring<u32, N, P>,
    random: Random,
    /// The hints that have been right since the last exclusive publish. The last one is right now.
    hints: Vec<Word>,
    /// What the consumer has seen, or one that was claimed since the last exclusive publish.
    seen: Seen,
    /// Claims of interrupted publishers.
    interrupted: Vec<super::super::publish::Claim>,
    published: u32,
    handled: u32,
    most_reads: u32,
}

impl<const N: usize, P: Eviction> History<N, P>
where
    (): Capacity<N>,
{
    fn new(seed: u64, back: usize) -> Self {
        let ring = Ring::starting_before_wrap(back);
        Self {
            hints: Vec::from([ring.state.front.0.tail.load(Relaxed)]),
            random: Random::new(seed),
            seen: ring.core().seen::<P>(),
            interrupted: Vec::new(),
            published: 0,
            handled: 0,
            most_reads: 0,
            ring,
        }
    }

    fn end(&self) -> Word {
        *self.hints.last().expect("there is always one")
    }

    fn moved_on(&mut self, by: usize) {
        self.published += by as u32;
        self.hints.push(self.end().wrapping_add(by as Word));
    }

    fn publish(&mut self) {
        if self.ring.publish(self.published).is_ok() {
            self.moved_on(1);
        }
    }

    fn publish_batch(&mut self) {
        let most = [4, N as u64 / 2 + 1, 2 * N as u64][self.random.below(3) as usize];
        let count = 1 + self.random.below(most) as u32;
        let events: Vec<_> = (self.published..self.published + count).collect();
        let done = self.ring.publish_batch(&events);
        self.moved_on(done);
    }

    /// Two events, or as many as there are slots: over any number of blocks.
    fn publish_group(&mut self) {
        fn group<const M: usize>(first: u32) -> [u32; M] {
            core::array::from_fn(|at| first + at as u32)
        }
        if self.random.below(2) == 0 {
            if self.ring.publish_all(group::<2>(self.published)).is_ok() {
                self.moved_on(2);
            }
        } else if self.ring.publish_all(group::<N>(self.published)).is_ok() {
            self.moved_on(N);
        }
    }

    /// All interrupted publishers have gone on by then.
    fn publish_exclusively(&mut self) {
        while !self.interrupted.is_empty() {
            self.resume();
        }
        let count = 1 + self.random.below(N as u64);
        let mut end = self.end();
        for _ in 0..count {
            if self.ring.publish_mut(self.published).is_ok() {
                self.published += 1;
                end = end.wrapping_add(1);
            }
        }
        if end != self.end() {
            self.hints = Vec::from([end]);
            self.seen = self.ring.core().seen::<P>();
        }
    }

    fn interrupt(&mut self) {
        if self.interrupted.len() < 2 {
            self.interrupted.extend(self.ring.claim());
        }
    }

    fn resume(&mut self) {
        if !self.interrupted.is_empty() {
            let which = self.random.below(self.interrupted.len() as u64) as usize;
            let claim = self.interrupted.swap_remove(which);
            // SAFETY: each claim is finished once.
            let _ = unsafe { self.ring.fill(claim, self.published) };
            self.ring.commit(claim);
            self.moved_on(1);
        }
    }

    fn drain(&mut self) {
        let most = self.random.below(2 * N as u64);
        let mut reader = Reader::new(self.ring.core());
        let mut span = reader.freeze::<P>(&mut self.seen);
        for _ in 0..most {
            if let Some(event) = reader.take::<P>(&mut span) {
                assert!(P::EVICTS && event >= self.handled || event == self.handled);
                self.handled = event + 1;
            }
        }
    }

    /// Any hint that an interrupted publisher may store leads to the same end, in as many reads as the
    /// module promises.
    fn check(&mut self) {
        let bound = bound::<P>(self.ring.core());
        let end = self.ring.core().end_since::<P>(&mut self.seen.clone());
        assert_eq!(end, self.end(), "for a consumer that has looked before");
        for _ in 0..6 {
            let hint = self.any_hint();
            let core = self.ring.core();
            let shape = core.shape();
            let (end, reads) = found::<P>(core, hint, shape.committed::<P>());
            assert_eq!(end, self.end(), "from {hint}");
            assert!(reads <= bound, "{reads} reads from {hint} to {end}, more than {bound}");
            self.most_reads = self.most_reads.max(reads);
            if P::EVICTS {
                let (end, reads) = found::<P>(core, hint, shape.claimed());
                let in_progress = self.interrupted.len() as Word;
                assert_eq!(end, self.end().wrapping_add(in_progress), "from {hint}");
                assert!(reads <= bound, "{reads} reads from {hint}, more than {bound}");
            }
        }
    }

    /// A hint of any age, more often a new one.
    fn any_hint(&mut self) -> Word {
        let count = self.hints.len() as u64;
        let recent = 4 << self.random.below(12);
        let newest = 1 + self.random.below(count.min(recent));
        self.hints[(count - newest) as usize]
    }

    /// An interrupted publisher stores an old hint.
    fn set_back(&mut self) {
        let hint = self.any_hint();
        self.ring.state.front.0.tail.store(hint, Relaxed);
    }
}

/// An interpreter takes hours for 1024 slots.
const LARGE: usize = if cfg!(miri) { 128 } else { 1024 };

fn histories<P: Eviction, const N: usize>(rounds: u64)
where
    (): Capacity<N>,
{
    let mut most_reads = 0;
    let (rounds, steps) = if cfg!(miri) { (2, 60) } else { (rounds, 300) };
    for seed in 1..=rounds {
        let back = if seed % 2 == 0 { 0 } else { 5 * N };
        let mut history = History::<N, P>::new(seed, back);
        // Some have long times without an exclusive publish, or without a batch.
        let (exclusive, batch) = (seed % 3 == 0, seed % 5 != 0);
        for _ in 0..steps {
            match history.random.below(16) {
                0..=3 => history.publish(),
                4 | 5 if batch => history.publish_batch(),
                6 if batch && !P::EVICTS => history.publish_group(),
                4..=6 => (0..N).for_each(|_| history.publish()),
                7 if exclusive && history.random.below(4) == 0 => history.publish_exclusively(),
                8 => history.interrupt(),
                9 | 10 => history.resume(),
                11 => history.set_back(),
                12 => history.seen = history.ring.core().seen::<P>(),
                _ => history.drain(),
            }
            history.check();
            assert_eq!(history.ring.core().end::<P>(), history.end());
        }
        most_reads = most_reads.max(history.most_reads);
    }
    // Else it has not been anywhere near.
    let few = if cfg!(miri) || N < 8 { 0 } else { super::STEPS as u32 + 2 };
    assert!(most_reads > few, "the histories never search: {most_reads} reads");
}

#[test]
fn any_old_hint_leads_to_the_end_where_nothing_is_displaced() {
    histories::<Rejecting, 2>(60);
    histories::<Rejecting, 8>(60);
    histories::<Rejecting, 64>(30);
    histories::<Rejecting, { LARGE / 4 }>(30);
    histories::<Rejecting, LARGE>(10);
}

#[test]
fn any_old_hint_leads_to_the_end_where_events_are_displaced() {
    histories::<Displacing, 2>(60);
    histories::<Displacing, 8>(60);
    histories::<Displacing, 64>(30);
    histories::<Displacing, { LARGE / 4 }>(15);
}

/// The longest that it can take: single events up to the end of a block, from a block long ago.
#[test]
fn the_bound_on_reads_holds_after_any_number_of_events() {
    fn check<P: Eviction, const N: usize>()
    where
        (): Capacity<N>,
    {
        let ring = Ring::<u32, N, P>::starting_before_wrap(3 * N);
        let start = ring.state.front.0.tail.load(Relaxed);
        let shape = ring.core().shape();
        let bound = bound::<P>(ring.core());
        for event in 0..5 * N {
            let mut reader = Reader::new(ring.core());
            let mut span = reader.freeze::<P>(&mut ring.core().seen::<P>());
            while reader.take::<P>(&mut span).is_some() {}
            assert!(ring.publish(event as u32).is_ok());
            let now = start.wrapping_add(event as Word + 1);
            for hint in [start, now.wrapping_sub(N as Word / 2), now.wrapping_sub(7)] {
                if !before(hint, start) {
                    let (end, reads) = found::<P>(ring.core(), hint, shape.committed::<P>());
                    assert_eq!(end, now);
                    assert!(reads <= bound, "{reads} reads, more than {bound}");
                }
            }
        }
    }
    check::<Rejecting, 2>();
    check::<Rejecting, 64>();
    check::<Rejecting, LARGE>();
    check::<Displacing, 2>();
    check::<Displacing, LARGE>();
}
