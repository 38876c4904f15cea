//! The ring of a bus: many publishers, one consumer, lock-free.
//!
//! `sections.rs` takes its place where the steps of a publisher are critical sections.
//!
//! # The ring
//!
//! Positions count up and wrap. Each position has an *entry*, a word in a table of `N` words that is used round
//! and round. The entry names the *cell* in which the event of that position lies. A publisher claims a cell, moves
//! its event in, and puts the cell at the end of the queue. The event gets its place in the queue when it is in the
//! cell, not before. So a publisher that is interrupted between these steps owns a cell, but no place in the queue
//! that others would have to wait for.
//!
//! ```text
//!  position   head            tail          alloc
//!               │ committed     │ in progress │ free cells, in the order of their freeing
//!  entries  ... c2   c0   c3   (c1)           c4   c5 ...
//! ```
//!
//! On a ring that rejects:
//!
//! - **claim**: if `alloc - head < N`, the entry at `alloc` names a cell that the consumer has emptied. One
//!   compare-and-swap moves `alloc` on, and the cell belongs to the publisher.
//! - **commit**: one compare-and-swap writes the cell into the first entry that is not committed. Then the publisher
//!   stores the position behind it in `tail`. If no other publish is in progress, this is the entry that named the
//!   cell.
//! - **take**: the entry at `head` names the cell. The consumer moves the event out and stores `head + 1`, which
//!   frees the cell. Into a vector, it moves up to 64 events at a time.
//!
//! A batch claims several cells of one block at once. It commits them by one compare-and-swap, as a *run*: the entry
//! of the first says how many there are. If other publishes are in progress, it commits them one by one. `search.rs`
//! says what a block is. A group, of which all events are published or none, claims all its cells at once, across
//! blocks, and commits them as a run for each block.
//!
//! A ring that displaces has no `alloc`. The state of each entry says as much:
//!
//! ```text
//!               claim                  commit                    take
//!  free for p ──────────▶ claimed for p ──────▶ committed at p ──────▶ free for p + N
//!                                                     │
//!                                                     │ displace
//!                                                     └───────────▶ claimed for p + N
//! ```
//!
//! Each arrow is one compare-and-swap of the entry. The consumer owns a spare cell. It leaves the spare in the
//! entry in exchange for the cell with the event, so the position is free before the event has moved out. A
//! displaced event is always the oldest.
//!
//! The two steps, claiming an index and queueing it when the payload is there, are those of index queues (Nikolaev,
//! "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue", DISC 2019). Putting a cell into the first open
//! entry by compare-and-swap, with the end of the queue as a hint that others help along, is from Michael and Scott
//! (PODC 1996) and Tsigas and Zhang (SPAA 2001). There is one consumer, and there are as many entries as cells. So
//! one table serves as the queue of full cells and as the queue of free cells.
//!
//! # Why it is right
//!
//! **Commits are in order.** `tail` is a hint: every position before it is committed, and some behind it may be. A
//! publisher stores it after its commit, and has found every position before that one committed. A publisher that
//! was interrupted before this store moves the hint back when it proceeds. From any hint, a search finds the end in
//! at most `log2(N / B) + 6 + B` reads of entries at a quiet moment. `B` is the block: 1 on a ring that displaces,
//! else `min(64, N)`. Where words have 32 bits, it takes `log2(N) + 3`. Each concurrent publish may add as many reads.
//! See `search.rs`. On a ring that rejects, with 64-bit words, the consumer searches from the end of its last look: see
//! `take.rs`.
//!
//! **Cells.** There are as many entries as cells, and one cell more where there is a spare. A commit at `p`
//! overwrites the entry that named the free cell of `p`. That cell has been claimed by then, because claims are
//! never fewer than commits. On a ring that rejects, `alloc` moves on from `p` only while nothing is committed at
//! `p`. So the cell that a claim reads from the entry first is the cell that it gets.
//!
//! **Full.** `alloc - head` counts the cells whose event is pending, being written, or being moved out. On a ring
//! that displaces, a publish fails only if the entry of a lap ago is still not committed: then all `N` cells belong
//! to publishes in progress.
//!
//! **Empty.** A publish that has returned has committed, and every position before it is committed. So a drain
//! finds its event before the first entry that is not committed.
//!
//! **Order** is the order of commits, for every context.
//!
//! # Progress
//!
//! Publishing is lock-free: a compare-and-swap fails only if another publish or a take succeeded. Taking is
//! wait-free where nothing is displaced, and lock-free elsewhere. No operation waits for another context.
//!
//! On hosts, a publisher that collides with another spins for 64 hints and then proceeds. If the others got ahead
//! meanwhile, it spins for 128 more, and for 256 more after that. Without this, two cores that publish all the time
//! only move cache lines. An interrupted publisher costs each publish of the others 64 hints.
//!
//! # Wrapping
//!
//! A position has all bits of a word. An entry has room for `2^(BITS - 3)` positions, or for an eighth of that
//! where words have 64 bits, and the age of an entry is signed. So while a publisher is interrupted between two
//! instructions of a publish, fewer than 2^(BITS - 4) other events may be published. Where words have 32 bits, that
//! is 2^28 events: four and a half minutes at a million events a second. Where they have 64, it is out of reach.
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
//! | counters | their owner | all | Relaxed: each is right by itself |
//!
//! `tests/loom.rs` has the models. `tests/mutants` weakens these orderings and removes the guards in turn, and each
//! change that it lists makes a model fail. The pair on `alloc` is not listed: it keeps the load of an entry from
//! being performed after the claim behind it, which loom never does.

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
use super::{Capacity, Eviction, Spare as _, Tally, before};
use crate::sync::{Acquire, AtomicWord, CachePadded, Relaxed, Release, Word};

/// The bits of an entry that belong neither to the index nor to the lap, less one where there is a spare.
const LAP: u32 = if RUNS { 6 } else { 3 };

/// Whether a batch is committed in one step. The entries inside a run are not written, so they grow older with each
/// lap. Where words have 32 bits, they could become so old that they seem new.
const RUNS: bool = Word::BITS == 64;

/// The words that publishers write.
#[derive(Debug, Default)]
#[repr(C)]
struct Front {
    /// The next position whose cell can be claimed. Not used on a ring that displaces.
    alloc: AtomicWord,
    /// A hint: everything before this position is committed.
    tail: AtomicWord,
    /// The head, as a publisher last saw it. A publish that finds room by this does not look at the head.
    room: AtomicWord,
}

/// Everything but the cells. `T` is the table of entries, whose length handles do not know. All zero at the start,
/// so that a static ring lies in `.bss`.
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
    /// The compiler knows it wherever it knows the number of slots.
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

    /// [`Core::first_younger`] where the entry at `position` is not younger: see `search.rs`.
    #[cold]
    #[inline(never)]
    fn next_younger<P: Eviction>(&self, position: Word, entry: Word, age: Word) -> (Word, Word) {
        // Acquire: as in `first_younger`.
        let load = |position| self.entry(position).load(Acquire);
        self.shape().find_younger::<P>(position, entry, age, load)
    }
}

/// The layout of an entry, which follows from the number of entries.
///
/// ```text
/// entry    lap ........ | phase | cell ^ index      cell: log2(N) + 1 bits where events are displaced
/// entry    lap ........ |   run | cell ^ index      cell: log2(N) bits elsewhere
/// ```
///
/// The lap and the phase together are the *age* of an entry: how far it is ahead of the value that it has before
/// anything happens to it in the lap of its position. The run counts the positions behind this one that are
/// committed with it. Their own entries only name their cells.
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

    /// The age at which an entry is committed. On a ring that rejects, an entry that is free for the next lap has
    /// the same age: the head tells them apart.
    #[inline(always)]
    const fn committed<P: Eviction>(self) -> Word {
        if P::EVICTS { 2 * self.phase() } else { self.lap() }
    }

    /// The lap and phase of an entry of age zero.
    #[inline(always)]
    const fn base(self, position: Word) -> Word {
        (position & self.slots.wrapping_neg()) << LAP
    }

    #[inline(always)]
    const fn age(self, entry: Word, position: Word) -> Word {
        entry.wrapping_sub(self.base(position))
    }

    /// On a ring that displaces: whether the cell that the entry names holds the oldest event.
    #[inline(always)]
    const fn is_committed_a_lap_ago<P: Eviction>(self, entry: Word, position: Word) -> bool {
        let since = self.lap() - self.committed::<P>();
        self.age(entry, position).wrapping_add(since) < self.phase()
    }

    /// On a ring that displaces: whether a publisher may claim the cell that the entry names.
    #[inline(always)]
    const fn is_claimable<P: Eviction>(self, entry: Word, position: Word) -> bool {
        self.age(entry, position) < self.phase()
            || self.is_committed_a_lap_ago::<P>(entry, position)
    }

    /// How many positions behind it are committed with the one whose entry has this age. Only on a ring that
    /// rejects.
    #[inline(always)]
    const fn run(self, age: Word) -> Word {
        (age & (self.lap() - 1)) / self.slots
    }

    /// The entry that a commit of `cell` makes of `found`, on a ring that rejects.
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

/// The ring without its `N`. Handles borrow it.
pub(crate) struct Core<'a, E> {
    state: &'a State,
    /// One for each entry, and the spare.
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
        // SAFETY: entries name cells of the ring and nothing else. At the start each names its own index, and what
        // is written later is a cell that was read from another entry, or the spare.
        let cell = unsafe { self.cells.add(cell) };
        // SAFETY: the ring is borrowed for as long as the cell.
        unsafe { cell.as_ref() }
    }

    /// The next position to take.
    #[inline(always)]
    fn head<P: Eviction>(self) -> Word {
        // Acquire: pairs with the Release of the takes; the events before it are out of their cells, and what the
        // consumer saw of the other words is seen.
        let taken = self.state.taken.0.load(Acquire);
        if P::EVICTS { taken.wrapping_add(self.state.skipped.load(Acquire)) } else { taken }
    }

    /// The first position from `position` on whose entry is younger than `age`, and that entry. No entry before
    /// `position` may be younger.
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

    /// Whether the entries of `count` positions from `first` on, all of one lap, name the cells of their own indices.
    /// They do unless two publishes were in progress at once.
    #[inline(always)]
    fn is_ordered(self, first: Word, count: usize) -> bool {
        let first = self.shape().index(first);
        let entries = &self.state.entries.0[first..first + count];
        let names = entries.iter().fold(0, |names, entry| names | entry.load(Relaxed));
        names & (self.shape().slots - 1) == 0
    }

    /// Claims the consumer. Returns `false` while another is alive.
    pub(crate) fn claim_consumer(self) -> bool {
        // Acquire: pairs with the Release in `release_consumer`; what the last consumer wrote to its side of the
        // state is seen.
        self.state.consumer.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    pub(crate) fn release_consumer(self) {
        self.state.consumer.store(0, Release);
    }
}

/// The `N` cells, and the spare behind them if there is one.
#[repr(C)]
struct Cells<E, const N: usize, S> {
    cells: [Cell<E>; N],
    spare: S,
}

/// A ring of `N` slots. The words that every step reads come first, where small cores reach them in one
/// instruction.
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

// SAFETY: a handle moves events of `E: Send` between threads. It reaches the cells by the protocol of the module,
// which does not depend on the thread of either side.
unsafe impl<E: Send> Send for Core<'_, E> {}

// SAFETY: as for `Ring`; a shared `Core` gives access to nothing that a shared `Ring` does not.
unsafe impl<E: Send> Sync for Core<'_, E> {}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    pub(in crate::ring) const FITS: () = assert!(
        N.trailing_zeros() + 12 <= Word::BITS,
        "the capacity of a bus must be at most 1048576 where the target has no 64-bit atomics"
    );

    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self
    where
        (): Capacity<N>,
    {
        const { Self::FITS };
        Self {
            state: State::new([const { AtomicWord::new(0) }; N]),
            cells: Cells { cells: [const { Cell::new() }; N], spare: <P::Spare<E>>::EMPTY },
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self
    where
        (): Capacity<N>,
    {
        const { Self::FITS };
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
    pub(crate) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
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

    /// The state without its `N`.
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
