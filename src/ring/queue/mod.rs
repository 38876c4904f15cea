//! Storage: the ring, its publishing side, its taking side. No handles, no policy by name. All
//! `unsafe` of the core lives here.
//!
//! # The ring
//!
//! Positions count up for ever and wrap. A position has an *entry*, in a table of `N` words that is
//! used round and round, and the entry names the *cell* in which the event of that position lies. To
//! publish is to claim a cell, move the event in, and put the cell at the end of the queue. So the place
//! in the queue is given out when the event is there, not before: whoever is stopped between the two
//! steps has a cell, and no place in which others would have to wait for it.
//!
//! ```text
//!  position   head            tail     alloc
//!               │ committed     │ in work │ free cells, in the order of their freeing
//!  entries  ... c2   c0   c3   (c1)      c4   c5 ...
//! ```
//!
//! A ring that refuses:
//!
//! - **claim**: if `alloc - head < N`, the entry at `alloc` names a cell that the consumer has emptied;
//!   one compare-and-swap moves `alloc` on and makes it ours;
//! - **commit**: one compare-and-swap writes our cell into the first entry that is not committed; then
//!   `tail` is set behind it. If nobody else is in the middle of a publish, that is the very entry which
//!   named the cell;
//! - **take**: the entry at `head` names the cell; move the event out; `head + 1` frees it. Into a vector,
//!   up to 64 of them at a time.
//!
//! A batch claims several cells of one block at once, and commits them by one compare-and-swap as a *run*,
//! whose first entry says how long it is; if others are in the middle of a publish, one by one. `search.rs`
//! says what a block is.
//!
//! A ring that displaces has no `alloc`: the state of an entry tells.
//!
//! ```text
//!               claim                  commit                    take
//!  free for p ──────────▶ claimed for p ──────▶ committed at p ──────▶ free for p + N
//!                                                     │
//!                                                     │ displace
//!                                                     └───────────▶ claimed for p + N
//! ```
//!
//! Each arrow is one compare-and-swap of the entry. The consumer has a spare cell and leaves it in the
//! entry in exchange for the one with the event, so the position is free at once however long it takes
//! to move the event out, and a displaced event is always the oldest.
//!
//! The two steps, claiming an index and queueing it when the payload is there, are those of index
//! queues (Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue", DISC 2019);
//! putting a cell into the first open entry by compare-and-swap, with the end of the queue as a hint that
//! others help along, is from Michael and Scott (PODC 1996) and Tsigas and Zhang (SPAA 2001). Since
//! there is one consumer and as many entries as cells, the queue of full cells and that of free ones
//! are the same table.
//!
//! # Why nothing goes wrong
//!
//! **Commits are in order.** `tail` is a hint: everything before it is committed, and what is behind it
//! may be too. It is only stored after the entry before it was committed, whose committer had found all
//! before that one committed. A hint goes back when a publisher that was interrupted before storing it
//! goes on. From any hint the end is found in at most `log2(N / B) + 6 + B` reads of entries at a quiet
//! moment, where `B` is the block: 1 on a ring that displaces and where words have 32 bits, else
//! `min(64, N)`. Each concurrent publish may add as many. See `search.rs`. A consumer of a ring that refuses
//! looks from the end of its last look on, where words have 64 bits: see `take.rs`.
//!
//! **Cells.** There are as many entries as cells (and one cell more where there is a spare). A commit at
//! `p` overwrites the entry that named the free cell of `p`, which was claimed before: claims are never
//! fewer than commits. On a ring that refuses, `alloc` can only be moved from `p` while nothing is
//! committed at `p`, so the cell read from the entry before is the one that was claimed.
//!
//! **Full.** `alloc - head` is the number of cells that wait, are being written, or are just moved out.
//! On a ring that displaces, a publish fails only when the entry of a lap ago is still not committed:
//! then all `N` belong to publishers in the middle of theirs.
//!
//! **Empty.** A publish that has returned has committed, and so has everybody before it: a drain finds
//! its event before the first entry that is not committed.
//!
//! **Order** is the order of commits, for everybody.
//!
//! # Progress
//!
//! Publishing is lock-free: a failed compare-and-swap means that another publish, or a take, got on.
//! Taking is wait-free where nothing is displaced, else lock-free. Nobody waits for anybody.
//!
//! On hosts, a publisher that meets another one in the middle of a publish pauses before it goes around:
//! for 64 spin hints, and for 128 and 256 more if the others have got on meanwhile. Else two cores that
//! publish all the time only move cache lines. Whoever is stopped costs the others 64 hints a publish.
//!
//! # Wrapping
//!
//! Positions have all bits of a word, entries have room for `2^(BITS - 3)` of them, or an eighth of that
//! where words have 64 bits, and the age of an entry is signed. So nobody may be stopped between two
//! instructions of a publish while 2^(BITS - 4) other events are published: 2^28 where words have 32
//! bits, which at a million events a second is four and a half minutes, and for ever where they have 64.
//!
//! # Atomics
//!
//! | field | written by | read by | orderings, and what they pair |
//! |---|---|---|---|
//! | [`Front::alloc`] | claims | claims, counts | claim Release → `claim` Acquire: the entry was read before another may commit there |
//! | [`Front::tail`] | commits | all | Release → Acquire: everything before it is committed |
//! | [`Front::room`] | `claim` | `publish` | Release → Acquire: hands on what `head` says |
//! | [`State::taken`], [`State::skipped`] | consumer | `claim`, counts | Release → Acquire: the event is out of the cell; the claims of what was passed |
//! | entries | all | all | commit Release → `first_younger` and `end_from` Acquire: the event is in; free Release → claim Acquire: it is out; claim Release → `first_younger` Acquire: the commits before it |
//! | [`State::consumer`] | consumer | consumer | Release → Acquire: what the last consumer did |
//! | counters | their owner | anybody | Relaxed: each is right by itself |
//!
//! `tests/loom.rs` has the models and `tests/mutants` weakens these orderings and removes the guards in
//! turn: every one listed there makes a model fail. The pair on `alloc` is not among them: it keeps the
//! load of an entry from being performed after the claim behind it, which loom never does.

#[cfg(any(feature = "alloc", tickbus_loom))]
mod bulk;
mod counts;
#[cfg(not(tickbus_loom))]
mod exclusive;
mod publish;
mod raw;
mod search;
mod take;
#[cfg(all(test, not(tickbus_loom)))]
mod tests;

use core::marker::PhantomData;
use core::ptr::NonNull;

pub(crate) use self::raw::Raw;
use super::cell::Cell;
use super::{Eviction, Spare as _, Tally, before};
use crate::sync::{Acquire, AtomicWord, CachePadded, Relaxed, Release, Word};

/// How many bits of an entry are neither of the index nor of the lap, less one where there is a spare.
const LAP: u32 = if RUNS { 6 } else { 3 };

/// Whether a batch is committed in one step. The entries in a run are not written, so they grow older
/// with each lap: where words have 32 bits they could become so old that they seem new.
const RUNS: bool = Word::BITS == 64;

/// What publishers write.
#[derive(Debug, Default)]
#[repr(C)]
struct Front {
    /// The next position whose cell can be claimed. Not used on a ring that displaces.
    alloc: AtomicWord,
    /// A hint: everything before this position is committed.
    tail: AtomicWord,
    /// Where the head was when a publisher last looked, so that not each of them needs to.
    room: AtomicWord,
}

/// Everything but the cells; `T` is the table of entries, of which handles do not know the length. All
/// zero at the start, so that a static ring lies in `.bss`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State<T: ?Sized = [AtomicWord]> {
    front: CachePadded<Front>,
    /// Events taken. The head is this and `skipped` together.
    taken: CachePadded<AtomicWord>,
    /// Positions that the consumer found displaced.
    skipped: AtomicWord,
    /// The consumer's spare cell, less `N`, on a ring that displaces.
    spare: AtomicWord,
    /// Whether the consumer is claimed.
    consumer: AtomicWord,
    /// Events that found no room.
    turned_away: AtomicWord,
    tally: Tally,
    entries: CachePadded<T>,
}

impl State {
    /// Known while compiling wherever the number of slots is.
    #[inline(always)]
    fn shape(&self) -> Shape {
        Shape { slots: self.entries.0.len() as Word }
    }

    #[inline(always)]
    fn entry(&self, position: Word) -> &AtomicWord {
        let index = self.shape().index(position);
        // SAFETY: the number of entries is a power of two, so `index`, masked with one less, is below it.
        unsafe { self.entries.0.get_unchecked(index) }
    }

    /// As `first_younger`, where the entry at `position` is no younger: see `search.rs`.
    #[cold]
    #[inline(never)]
    fn next_younger<P: Eviction>(&self, position: Word, entry: Word, age: Word) -> (Word, Word) {
        // Acquire: as in `first_younger`.
        let load = |position| self.entry(position).load(Acquire);
        self.shape().find_younger::<P>(position, entry, age, load)
    }
}

/// What the number of entries makes of a word.
///
/// ```text
/// entry    lap ........ | phase | cell ^ index      cell: log2(N) + 1 bits where events are displaced
/// entry    lap ........ |   run | cell ^ index      cell: log2(N) bits elsewhere
/// ```
///
/// The lap and the phase are compared as the *age* of an entry: how far it is ahead of what the entry of
/// a position is before anything has happened to it in that position's lap. A run is how many positions
/// behind this one are committed with it: their entries only name their cells.
#[derive(Clone, Copy)]
struct Shape {
    /// How many entries.
    slots: Word,
}

impl Shape {
    /// From one phase to the next.
    #[inline(always)]
    const fn phase(self) -> Word {
        2 * self.slots
    }

    /// From one lap to the next.
    #[inline(always)]
    const fn lap(self) -> Word {
        self.slots << LAP
    }

    /// The age at which an entry is claimed. Only on a ring that displaces.
    #[inline(always)]
    const fn claimed(self) -> Word {
        self.phase()
    }

    /// The age at which an entry is committed. On a ring that does not displace this is the age at which
    /// it is free for the next lap, too: there the head tells them apart.
    #[inline(always)]
    const fn committed<P: Eviction>(self) -> Word {
        if P::EVICTS { 2 * self.phase() } else { self.lap() }
    }

    /// An entry of age zero for cell zero, but for the index.
    #[inline(always)]
    const fn base(self, position: Word) -> Word {
        (position & self.slots.wrapping_neg()) << LAP
    }

    #[inline(always)]
    const fn age(self, entry: Word, position: Word) -> Word {
        entry.wrapping_sub(self.base(position))
    }

    /// On a ring that displaces: whether the oldest event is in the cell that the entry names.
    #[inline(always)]
    const fn is_committed_a_lap_ago<P: Eviction>(self, entry: Word, position: Word) -> bool {
        let since = self.lap() - self.committed::<P>();
        self.age(entry, position).wrapping_add(since) < self.phase()
    }

    /// On a ring that displaces: whether the entry names a cell that a publisher may have.
    #[inline(always)]
    const fn is_claimable<P: Eviction>(self, entry: Word, position: Word) -> bool {
        self.age(entry, position) < self.phase()
            || self.is_committed_a_lap_ago::<P>(entry, position)
    }

    /// How many positions are committed with the one that has an entry of this age. Only on a ring that
    /// does not displace.
    #[inline(always)]
    const fn run(self, age: Word) -> Word {
        (age & (self.lap() - 1)) / self.slots
    }

    /// What becomes of the entry `found` by committing `cell` there, on a ring that does not displace.
    #[inline(always)]
    const fn commit(self, found: Word, cell: usize, position: Word) -> Word {
        if RUNS {
            self.naming(cell, position).wrapping_add(self.lap())
        } else {
            // The entry is just a lap old.
            found.wrapping_add(self.lap())
        }
    }

    #[inline(always)]
    const fn index(self, position: Word) -> usize {
        (position & (self.slots - 1)) as usize
    }

    /// The cell that an entry names.
    #[inline(always)]
    const fn cell<P: Eviction>(self, entry: Word, position: Word) -> usize {
        let index = position & (self.slots - 1);
        let bits = if P::EVICTS { self.phase() - 1 } else { self.slots - 1 };
        ((entry & bits) ^ index) as usize
    }

    /// An entry of age zero that names a cell.
    #[inline(always)]
    const fn naming(self, cell: usize, position: Word) -> Word {
        self.base(position) + (cell as Word ^ (position & (self.slots - 1)))
    }
}

/// The ring without its `N`: what handles borrow.
pub(crate) struct Core<'a, E> {
    state: &'a State,
    /// As many as there are entries, and the spare.
    cells: NonNull<Cell<E>>,
    /// The cells are borrowed.
    borrowed: PhantomData<&'a [Cell<E>]>,
}

impl<E> Clone for Core<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Core<'_, E> {}

impl<'a, E> Core<'a, E> {
    #[inline(always)]
    fn shape(self) -> Shape {
        self.state.shape()
    }

    #[inline(always)]
    fn entry(self, position: Word) -> &'a AtomicWord {
        self.state.entry(position)
    }

    /// # Safety
    ///
    /// `cell` comes from an entry of this ring.
    #[inline(always)]
    unsafe fn cell(self, cell: usize) -> &'a Cell<E> {
        // SAFETY: entries name cells of the ring and nothing else: at the start each its own index, and
        // what is written into one later is a cell that was read from another, or the spare.
        let cell = unsafe { self.cells.add(cell) };
        // SAFETY: the ring is borrowed for as long as the cell.
        unsafe { cell.as_ref() }
    }

    /// The next position to take.
    #[inline(always)]
    fn head<P: Eviction>(self) -> Word {
        // Acquire: pairs with the Release of the takes; the events before are out of their cells, and what
        // the consumer has seen of the other words is seen.
        let taken = self.state.taken.0.load(Acquire);
        if P::EVICTS { taken.wrapping_add(self.state.skipped.load(Acquire)) } else { taken }
    }

    /// The first position from `position` on whose entry is younger than `age`, and that entry.
    /// Everything before `position` must not be.
    #[inline(always)]
    fn first_younger<P: Eviction>(self, position: Word, age: Word) -> (Word, Word) {
        // Acquire: pairs with the Release of a claim, of a commit, or of a free.
        let entry = self.entry(position).load(Acquire);
        if before(self.shape().age(entry, position), age) {
            return (position, entry);
        }
        self.state.next_younger::<P>(position, entry, age)
    }

    /// Where the committed events end.
    #[inline]
    fn end<P: Eviction>(self) -> Word {
        // Acquire: pairs with the Release in `publish` and `commit`; all before is committed.
        let tail = self.state.front.0.tail.load(Acquire);
        self.first_younger::<P>(tail, self.shape().committed::<P>()).0
    }

    /// Whether the entries of `count` positions from `first` on, all of one lap, name the cells of their own
    /// indices. They do as long as no two publishers were in the middle of a publish at once.
    #[inline(always)]
    fn is_ordered(self, first: Word, count: usize) -> bool {
        let first = self.shape().index(first);
        let entries = &self.state.entries.0[first..first + count];
        let names = entries.iter().fold(0, |names, entry| names | entry.load(Relaxed));
        names & (self.shape().slots - 1) == 0
    }

    /// Claims the consumer. `false` while another is alive.
    pub(crate) fn claim_consumer(self) -> bool {
        // Acquire: pairs with the Release in `release_consumer`, so that what the last consumer
        // wrote to its side of the state is seen.
        self.state.consumer.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    pub(crate) fn release_consumer(self) {
        self.state.consumer.store(0, Release);
    }
}

/// The `N` cells, and behind them the spare if there is one.
#[repr(C)]
struct Cells<E, const N: usize, S> {
    cells: [Cell<E>; N],
    spare: S,
}

/// A ring of `N` slots. What every step reads comes first, where small cores reach it in one instruction.
#[repr(C)]
pub(crate) struct Ring<E, const N: usize, P: Eviction> {
    state: State<[AtomicWord; N]>,
    cells: Cells<E, N, P::Spare<E>>,
}

// SAFETY: publishing moves an `E` in and taking moves it out, possibly on another thread, hence
// `E: Send`. No `&E` is ever shared between threads, so `E: Sync` is not needed.
unsafe impl<E: Send, const N: usize, P: Eviction> Sync for Ring<E, N, P> {}

// SAFETY: as for `Sync`: what a ring owns is its events.
unsafe impl<E: Send, const N: usize, P: Eviction> Send for Ring<E, N, P> {}

// SAFETY: a handle moves events of `E: Send` between threads and reaches the cells by the protocol
// described above, which does not care on which thread each side runs.
unsafe impl<E: Send> Send for Core<'_, E> {}

// SAFETY: as for `Ring`; a shared `Core` gives access to nothing that a shared `Ring` does not.
unsafe impl<E: Send> Sync for Core<'_, E> {}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    const VALID: () = {
        assert!(
            N.is_power_of_two() && N >= 2,
            "the capacity of a bus must be a power of two and at least 2"
        );
        assert!(
            N.trailing_zeros() + 12 <= Word::BITS,
            "the capacity of a bus must be at most 1048576 where the target has no 64-bit atomics"
        );
    };

    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self {
        const { Self::VALID };
        Self {
            state: State::new([const { AtomicWord::new(0) }; N]),
            cells: Cells { cells: [const { Cell::new() }; N], spare: <P::Spare<E>>::EMPTY },
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        const { Self::VALID };
        Self {
            state: State::new(core::array::from_fn(|_| AtomicWord::new(0))),
            cells: Cells {
                cells: core::array::from_fn(|_| Cell::new()),
                spare: <P::Spare<E>>::empty(),
            },
        }
    }

    /// An empty ring whose first position lies `back` positions before the end of the range. That many
    /// count as handled.
    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        let mut ring = Self::new();
        let start = (back as Word).wrapping_neg();
        let front = &mut ring.state.front.0;
        for word in [&mut front.alloc, &mut front.tail, &mut front.room] {
            *word.get_mut() = start;
        }
        *ring.state.taken.0.get_mut() = start;
        let shape = Shape { slots: N as Word };
        for next in 0..N {
            let position = start.wrapping_add(next as Word);
            let index = shape.index(position);
            *ring.state.entries.0[index].get_mut() = shape.naming(index, position);
        }
        ring
    }

    /// Without its `N`.
    #[cfg(not(tickbus_loom))]
    #[inline(always)]
    fn state(&self) -> &State {
        &self.state
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'_, E> {
        // `Cells` has the C layout, so its `N` cells and those of the spare follow one another.
        let cells = NonNull::from(&self.cells).cast::<Cell<E>>();
        Core { state: &self.state, cells, borrowed: PhantomData }
    }
}

impl<T> State<T> {
    #[cfg(not(tickbus_loom))]
    const fn new(entries: T) -> Self {
        Self {
            front: CachePadded(Front {
                alloc: AtomicWord::new(0),
                tail: AtomicWord::new(0),
                room: AtomicWord::new(0),
            }),
            taken: CachePadded(AtomicWord::new(0)),
            skipped: AtomicWord::new(0),
            spare: AtomicWord::new(0),
            consumer: AtomicWord::new(0),
            turned_away: AtomicWord::new(0),
            tally: Tally::new(),
            entries: CachePadded(entries),
        }
    }

    #[cfg(tickbus_loom)]
    fn new(entries: T) -> Self {
        Self {
            front: CachePadded::default(),
            taken: CachePadded::default(),
            skipped: AtomicWord::default(),
            spare: AtomicWord::default(),
            consumer: AtomicWord::default(),
            turned_away: AtomicWord::default(),
            tally: Tally::new(),
            entries: CachePadded(entries),
        }
    }
}
