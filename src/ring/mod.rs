//! Storage: the ring, its publishing side, its taking side. No handles, no policy by name. All
//! `unsafe` of the core lives here.
//!
//! # The ring
//!
//! Positions count up for ever and wrap; the slot of a position is its low bits. A slot has a *stamp*
//! beside the event. This is the bounded queue of Dmitry Vyukov ("Bounded MPMC queue", 1024cores.net)
//! with one consumer, and with two changes that let everybody pass a publisher or a consumer that was
//! stopped in the middle:
//!
//! - the consumer passes over a position that is claimed and not committed, and takes its event later;
//! - publishers go around a slot that such a position, or its late event, occupies.
//!
//! To publish: read the tail and the stamp of its slot; if the slot is free for just this position,
//! claim it by one compare-and-swap that moves the tail; move the event in; commit by one store of the
//! stamp. To take: if the stamp at the head says written, move the event out, store the stamp that
//! frees the slot for the next lap, move the head. Where one publisher is declared, the tail moves by
//! a store after the commit instead.
//!
//! ```text
//!               claim (tail)            commit                  take
//!  free for p ──────────────▶ free for p ────────▶ written at p ────────▶ free for p + N
//!                              (tail > p)              │   ▲
//!                                  │                   │   │ displace (tail), then commit
//!                          go      │                   └───┘
//!                          around  ▼      commit
//!                                held ──────────────▶ written at p, held ──▶ free for q ≥ tail
//! ```
//!
//! The last row is that of a ring that displaces, where only the consumer may touch a late event. On
//! one that does not, late events are just written, and `held` merely keeps a 32-bit stamp from being
//! taken for a free one after the tail has come round.
//!
//! # Why nothing goes wrong
//!
//! **Ownership.** The tail is only moved by compare-and-swap and each position is claimed at most once.
//! A claim is made only of a slot whose stamp says free for that very position. Such a stamp is stored
//! by the consumer alone, when the slot is empty, for a position that the tail has not reached; so when
//! the tail is at the position and the stamp fits, nobody has the slot, and whoever moves the tail does.
//! (The tail wraps after 2^(BITS - 2 - log2 N) positions; a publisher would have to sleep through
//! exactly that many to be fooled.)
//!
//! **The consumer's frees.** The head is taken in order, so the slot of `p` is freed for `p + N` while
//! the tail is at most there: no publisher goes around a slot that is still to be taken, since it
//! says "full" instead. A late slot is different, for the tail may go around it at any moment. So the
//! consumer first *holds* it: it names the slot and moves the low bits of the tail (the *epoch*) to an
//! odd value, which makes every publisher look closer and go around that slot whatever its stamp says;
//! it stores a stamp for the first position of the slot that the tail has not passed; and it ends the
//! hold by moving the epoch on, which succeeds only if the tail still has not passed it. The epoch
//! counts to 4 N, and no more than N + 1 holds fit between two claims, so a publisher that read the
//! tail before a hold cannot claim after it.
//!
//! **Full.** A publisher says "full" at the first slot from the tail that has an event or an
//! uncommitted claim of exactly a lap ago, at or after the head: then everything from there to the tail
//! is occupied as well. It reads the tail, then the head, then the stamp, so this was true of the
//! moment when it read the head. The consumer moves the head past uncommitted positions before it
//! frees anything behind them, and past taken ones after it has freed them: an occupied slot behind the
//! head is late, and never means "full". The slots that the publisher has gone around are occupied too.
//!
//! A late event that has been taken may free its slot for a position behind those of events that still
//! wait. Positions up to there are *loose*: a publisher may go around any of them, and the consumer
//! frees a slot for one only while it holds the slot. A ring that displaces has no loose positions, for
//! a written stamp that the tail has passed means a claim there: until the tail has come round, such a
//! slot is out of use.
//!
//! **Empty.** A drain ends at the tail it read first. A publish that returned before it began has its
//! claim before that end and its stamp written; the consumer finds it at its position, or, if its
//! position was passed over, among the late ones, which it looks through first. An event it passes
//! over is of a publish that had not returned.
//!
//! **Order.** Positions are claimed in order. Of two events of which one was published before the
//! publishing of the other began, the first is committed before the second is claimed; so a drain whose
//! end is behind the second sees the first, and takes it before: as a late event, or at its position.
//!
//! **Displacing.** A publisher that finds the event of a lap ago at the tail claims position and event
//! with the same compare-and-swap. The consumer takes each event under a hold, so a claim and a take of
//! one event exclude each other. A commit is a compare-and-swap here: if somebody went around the slot
//! in the meantime it finds `held`, and marks the event as the consumer's own. So a written stamp of an
//! earlier lap that is not held always belongs to a claim under way, and a held one never does. While
//! the consumer moves an event out, that event keeps its slot: on a full ring the one behind it gives
//! way.
//!
//! # Progress
//!
//! Publishing is lock-free: a failed compare-and-swap means that another publish, or a take, got on.
//! Taking is wait-free where nothing is displaced, else lock-free. Nobody waits for anybody. On targets
//! without compare-and-swap that one step runs in a critical section of constant length.
//!
//! # Atomics
//!
//! | field | written by | read by | orderings, and what they pair |
//! |---|---|---|---|
//! | [`State::tail`] | claims; holds | all | claim Release → `freeze` Acquire: earlier commits; `let_go` Release → displacing claim, `claim_slow` Acquire: the stamp |
//! | [`State::head`] | consumer | `claim_slow` | Relaxed: a publisher that goes around a slot looks at it again after the Acquire of a stamp that was stored later |
//! | `Slot::stamp` | owner of the slot | all | commit Release → `Slot::take` Acquire: the event is in; free Release → `publish` Acquire: it is out |
//! | [`State::consumer`] | consumer | `claim_slow` | named Relaxed before the tail is moved with Release; a claim of the consumer Acquire ← Release of the last one |
//! | [`State::loose`] | consumer | `claim_slow` | Release → Acquire: what was freed without a hold before |
//! | counters | their owner | anybody | Relaxed: each is right by itself |
//!
//! `tests/loom.rs` has the models and `tests/mutants` weakens these orderings and removes the guards in
//! turn: every one listed there makes a model fail. The loose positions have no model: `stopped.rs`
//! tries them with publishers stopped at random.

pub(crate) mod broadcast;
mod counts;
#[cfg(not(tickbus_loom))]
mod exclusive;
pub(crate) mod gate;
pub(crate) mod latest;
mod parts;
mod publish;
#[cfg(all(test, not(tickbus_loom)))]
mod stopped;
mod take;

use core::mem::MaybeUninit;

use crate::sync::{
    AcqRel, Acquire, AtomicWord, CachePadded, Relaxed, Release, SignedWord, UnsafeCell, Word,
};

pub(crate) use self::take::{Reader, Span};

/// Low bit of a stamp: the slot holds an event.
const WRITTEN: Word = 0b01;
/// Second bit of a stamp: a publisher that was stopped in the middle lets others pass. Alone: it has
/// not committed yet. With [`WRITTEN`]: it has, and only the consumer may touch the slot.
const HELD: Word = 0b10;
/// Low bit of the tail: the consumer holds one slot, named by [`State::consumer`].
const HOLDING: Word = 0b01;

/// [`State::consumer`]: nobody has claimed the consumer.
const UNCLAIMED: Word = 0;
/// [`State::consumer`]: claimed, holding nothing. Larger values name a slot: index + `SLOT`.
const CLAIMED: Word = 1;
const SLOT: Word = 2;

/// How a ring meets an event for which it has no room.
pub trait Policy {
    /// It gives its oldest event for the new one.
    const EVICTS: bool;
    /// The event stays with its publisher, and is not lost.
    const REFUSES: bool;
}

/// One place in the ring: an event and the stamp that says whose turn it is.
struct Slot<E> {
    stamp: AtomicWord,
    cell: UnsafeCell<MaybeUninit<E>>,
}

/// Everything but the slots. All zero at the start, so that a static ring lies in `.bss`.
#[derive(Debug, Default)]
pub struct State {
    /// The next position to claim, and in the low bits the epoch of the consumer's holds.
    tail: CachePadded<AtomicWord>,
    /// The next position to take. Every occupied slot before it belongs to a late event.
    head: CachePadded<AtomicWord>,
    /// Whether the consumer is claimed, and which slot it holds while the tail says so.
    consumer: AtomicWord,
    /// How often `head` has crossed the middle or the end of its range: its higher digits.
    turns: AtomicWord,
    /// Events handled, less positions passed by `head`. Zero until something is passed over.
    surplus: AtomicWord,
    /// Positions that no event will ever have, because a late event was in the way.
    voids: AtomicWord,
    /// On a ring that does not displace, publishers may go around any slot for a position before this,
    /// and the consumer frees no slot for one of these without holding it.
    loose: AtomicWord,
    /// Not zero once the consumer of a ring that displaces has passed over an uncommitted position.
    passed_over: AtomicWord,
    /// Events that found no room.
    turned_away: AtomicWord,
    failed: AtomicWord,
    unhandled: AtomicWord,
    /// The most positions that a drain or a reading of the counts has found waiting.
    high_water: AtomicWord,
    /// Losses that a tick has reported already.
    told: AtomicWord,
}

/// What the number of slots makes of words: which bits are the epoch, the index and the lap.
///
/// ```text
/// tail     lap ........ | index | epoch        epoch: log2(N) + 2 bits, its low bit is HOLDING
/// stamp    lap ........ | 0 ......... | HELD WRITTEN
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    shift: u32,
    /// One position.
    unit: Word,
    /// As many positions as there are slots: one lap.
    span: Word,
}

impl Shape {
    #[inline(always)]
    const fn of(slots: usize) -> Self {
        let index_bits = slots.trailing_zeros();
        let shift = index_bits + 2;
        Self { shift, unit: 1 << shift, span: 1 << (shift + index_bits) }
    }

    /// The bits of a word that say which lap it is.
    #[inline(always)]
    const fn lap(self) -> Word {
        self.span.wrapping_neg()
    }

    /// The bits of a tail that say how often the consumer has held a slot.
    #[inline(always)]
    const fn epoch(self) -> Word {
        self.unit - 1
    }

    #[inline(always)]
    const fn position(self, tail: Word) -> Word {
        tail & self.unit.wrapping_neg()
    }

    /// The stamp of a slot that waits for `position`, or has been claimed for it and not committed.
    #[inline(always)]
    const fn free(self, position: Word) -> Word {
        position & self.lap()
    }

    #[inline(always)]
    const fn written(self, position: Word) -> Word {
        self.free(position) | WRITTEN
    }

    #[inline(always)]
    const fn count(self, positions: Word) -> usize {
        (positions >> self.shift) as usize
    }
}

/// Whether `a` comes before `b` on the circle of words.
#[inline(always)]
const fn before(a: Word, b: Word) -> bool {
    (a.wrapping_sub(b) as SignedWord) < 0
}

/// The ring without its `N`: what handles borrow.
pub(crate) struct Core<'a, E> {
    state: &'a State,
    slots: &'a [Slot<E>],
}

impl<E> Clone for Core<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Core<'_, E> {}

impl<'a, E> Core<'a, E> {
    /// Known while compiling wherever the number of slots is.
    #[inline(always)]
    pub(crate) fn shape(self) -> Shape {
        Shape::of(self.slots.len())
    }

    #[inline(always)]
    fn index(self, shape: Shape, position: Word) -> usize {
        (position >> shape.shift) as usize & (self.slots.len() - 1)
    }

    #[inline(always)]
    fn slot(self, shape: Shape, position: Word) -> &'a Slot<E> {
        let index = self.index(shape, position);
        // SAFETY: the number of slots is a power of two, so `index`, masked with one less, is below it.
        unsafe { self.slots.get_unchecked(index) }
    }
}

/// A ring of `N` slots.
pub(crate) struct Ring<E, const N: usize> {
    state: State,
    slots: [Slot<E>; N],
}

// SAFETY: publishing moves an `E` in and taking moves it out, possibly on another thread, hence
// `E: Send`. No `&E` is ever shared between threads, so `E: Sync` is not needed.
unsafe impl<E: Send, const N: usize> Sync for Ring<E, N> {}

// SAFETY: a handle moves events of `E: Send` between threads and reaches the slots by the protocol
// described above, which does not care on which thread each side runs.
unsafe impl<E: Send> Send for Core<'_, E> {}

// SAFETY: as for `Ring`; a shared `Core` gives access to nothing that a shared `Ring` does not.
unsafe impl<E: Send> Sync for Core<'_, E> {}

impl<E, const N: usize> Ring<E, N> {
    const VALID: () = {
        assert!(
            N.is_power_of_two() && N >= 2,
            "the capacity of a bus must be a power of two and at least 2"
        );
        assert!(
            2 * N.trailing_zeros() + 12 <= Word::BITS,
            "the capacity of a bus must be at most 1024 where the target has no 64-bit atomics"
        );
    };

    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self {
        const { Self::VALID };
        Self {
            state: State::new(),
            slots: [const {
                Slot { stamp: AtomicWord::new(0), cell: UnsafeCell::new(MaybeUninit::uninit()) }
            }; N],
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        const { Self::VALID };
        Self {
            state: State::default(),
            slots: core::array::from_fn(|_| Slot {
                stamp: AtomicWord::new(0),
                cell: UnsafeCell::new(MaybeUninit::uninit()),
            }),
        }
    }

    /// An empty ring whose first position lies `back` positions before the end of the range.
    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        let mut ring = Self::new();
        let shape = Shape::of(N);
        let start = (back as Word * shape.unit).wrapping_neg();
        *ring.state.tail.0.get_mut() = start;
        *ring.state.head.0.get_mut() = start;
        *ring.state.loose.get_mut() = start;
        // What was handled to get here is written off, so that all counts start at zero.
        let turns = ring.state.turns_at(start);
        *ring.state.turns.get_mut() = turns;
        let passed = ring.state.positions_passed(shape, start) as Word;
        *ring.state.surplus.get_mut() = passed.wrapping_neg();
        *ring.state.voids.get_mut() = passed;
        for back in 0..N {
            let position = start.wrapping_add(back as Word * shape.unit);
            let index = (position >> shape.shift) as usize & (N - 1);
            *ring.slots[index].stamp.get_mut() = shape.free(position);
        }
        ring
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'_, E> {
        Core { state: &self.state, slots: &self.slots }
    }
}

impl<E, const N: usize> Drop for Ring<E, N> {
    fn drop(&mut self) {
        /// Drops the events from `next` on, also when one of them panics.
        struct Rest<'a, E> {
            slots: &'a mut [Slot<E>],
            next: usize,
        }
        impl<E> Rest<'_, E> {
            fn run(&mut self) {
                while let Some(slot) = self.slots.get_mut(self.next) {
                    self.next += 1;
                    if slot.stamp.load(Relaxed) & WRITTEN != 0 {
                        slot.cell.with_mut(|event| {
                            // SAFETY: the stamp says that the slot holds an event, and `&mut` that
                            // nobody else is at it.
                            let event = unsafe { &mut *event };
                            // SAFETY: as above; `next` has moved on, so it is dropped once.
                            unsafe { event.assume_init_drop() }
                        });
                    }
                }
            }
        }
        impl<E> Drop for Rest<'_, E> {
            fn drop(&mut self) {
                self.run();
            }
        }
        if core::mem::needs_drop::<E>() {
            Rest { slots: &mut self.slots, next: 0 }.run();
        }
    }
}

impl<E> Slot<E> {
    /// Moves an event in.
    ///
    /// # Safety
    ///
    /// The caller owns the slot by the protocol of the module, and it holds no event.
    #[inline(always)]
    unsafe fn write(&self, event: E) {
        self.cell.with_mut(|cell| {
            // SAFETY: the caller owns the slot, so nobody else reads or writes the cell.
            unsafe { cell.write(MaybeUninit::new(event)) }
        });
    }

    /// Moves the event out.
    ///
    /// # Safety
    ///
    /// The caller owns the slot by the protocol of the module, it holds an event, and the caller
    /// sees to it that the event is not read again.
    #[inline(always)]
    unsafe fn read(&self) -> E {
        self.cell.with(|cell| {
            // SAFETY: the caller owns the slot, so nobody writes the cell.
            let event = unsafe { cell.read() };
            // SAFETY: the caller says that the slot holds an event.
            unsafe { event.assume_init() }
        })
    }
}

impl State {
    #[cfg(not(tickbus_loom))]
    const fn new() -> Self {
        Self {
            tail: CachePadded(AtomicWord::new(0)),
            head: CachePadded(AtomicWord::new(0)),
            consumer: AtomicWord::new(0),
            turns: AtomicWord::new(0),
            surplus: AtomicWord::new(0),
            voids: AtomicWord::new(0),
            loose: AtomicWord::new(0),
            passed_over: AtomicWord::new(0),
            turned_away: AtomicWord::new(0),
            failed: AtomicWord::new(0),
            unhandled: AtomicWord::new(0),
            high_water: AtomicWord::new(0),
            told: AtomicWord::new(0),
        }
    }
}

impl<E> Core<'_, E> {
    /// Claims the consumer. `false` while another is alive.
    pub(crate) fn claim_consumer(self) -> bool {
        // Acquire: pairs with the Release in `release_consumer`, so that what the last consumer
        // wrote to its side of the state is seen.
        self.state.consumer.compare_exchange(UNCLAIMED, CLAIMED, Acquire, Relaxed).is_ok()
    }

    pub(crate) fn release_consumer(self) {
        self.state.consumer.store(UNCLAIMED, Release);
    }

    /// Takes hold of the slot at `index`, if the tail is still `tail`: from here on publishers go
    /// around it, whatever its stamp says.
    fn hold(self, index: usize, tail: Word) -> bool {
        self.state.consumer.store(index as Word + SLOT, Relaxed);
        // Release: pairs with the Acquire in `claim_slow`; the slot is named before the tail says
        // so. Acquire: pairs with the Release of the claims; what they said before is seen.
        self.state.tail.0.compare_exchange(tail, self.next_epoch(tail), AcqRel, Relaxed).is_ok()
    }

    /// Gives the held slot back, free for the next position of its index that nobody has passed.
    fn let_go(self, slot: &Slot<E>, index: usize) {
        let shape = self.shape();
        loop {
            let tail = self.state.tail.0.load(Relaxed);
            let next = self.next_at(shape, index, shape.position(tail));
            // Where events wait in between, publishers must be able to go around those.
            let head = self.state.head.0.load(Relaxed);
            if before(head.wrapping_add(shape.span), next)
                && before(self.state.loose.load(Relaxed), next)
            {
                // Release: pairs with the Acquire in `claim_slow`; what was freed without a hold before
                // is seen.
                self.state.loose.store(next, Release);
            }
            // Release: pairs with the Acquire of the stamp in `publish`; the event is out of the
            // slot before the next one goes in.
            slot.stamp.store(shape.free(next), Release);
            // Release: pairs with the Acquire of the tail in `claim_slow`; whoever sees that the
            // hold is over sees the stamp above.
            let free = self.next_epoch(tail);
            if self.state.tail.0.compare_exchange(tail, free, Release, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// The first position of a slot from `position` on.
    fn next_at(self, shape: Shape, index: usize, position: Word) -> Word {
        let next = shape.free(position) | ((index as Word) << shape.shift);
        if before(next, position) { next.wrapping_add(shape.span) } else { next }
    }

    fn next_epoch(self, tail: Word) -> Word {
        let shape = self.shape();
        shape.position(tail) | (tail.wrapping_add(1) & shape.epoch())
    }
}
