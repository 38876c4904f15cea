//! The gate of a gated topic: the cursor of each gating reader, and how far publishers may go.
//!
//! A publisher usually does not read the cursors. It compares its position with the *gate*: when a publisher last read
//! the cursors, no gating reader was behind that position. A publisher reads the cursors again only if the gate says
//! "full".
//!
//! # Why no gating reader is overtaken
//!
//! Cursors only grow, and a reader that joins begins at the number of commits of that moment. So a gate that was at
//! most the number of commits and at most every cursor stays a lower bound, and the order in which several publishers
//! store theirs does not matter. One case remains: a reader that joins while a publisher reads the cursors. The reader
//! sets its bit and then reads the number of commits. The publisher reads the number of commits and then the bits. Both
//! reach the bits by a read-modify-write, so one comes first, and the other sees what it did before. Either the
//! publisher sees the bit, or the reader sees every commit that the publisher had seen.

use super::broadcast::{Shelf, View, before};
use crate::sync::{AcqRel, Acquire, AtomicWord, CachePadded, Relaxed, Release, SignedWord, Word};

/// The most readers that can gate one topic: two bits for each fit into 32.
const MOST: usize = 16;

/// A bit of [`Readers::places`]: this place gates. The bit `MOST` below says that it is taken.
const fn gating(index: usize) -> Word {
    taken(index) << MOST
}

const fn taken(index: usize) -> Word {
    1 << index
}

/// The gating readers; `C` is their cursors, whose number handles do not know.
#[derive(Debug)]
struct Readers<C: ?Sized> {
    /// Publishers may claim positions less than N ahead of it.
    gate: CachePadded<AtomicWord>,
    /// The places that are taken, and those of them that gate.
    places: AtomicWord,
    cursors: C,
}

/// Places for `S` gating readers.
#[derive(Debug)]
pub(crate) struct Gate<const S: usize>(Readers<[AtomicWord; S]>);

impl<const S: usize> Gate<S> {
    pub(super) const VALID: () =
        assert!(S >= 1 && S <= MOST, "a gated topic has places for 1 to 16 gating subscribers");

    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self {
        const { Self::VALID };
        Self(Readers {
            gate: CachePadded(AtomicWord::new(0)),
            places: AtomicWord::new(0),
            cursors: [const { AtomicWord::new(0) }; S],
        })
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        const { Self::VALID };
        Self(Readers {
            gate: CachePadded(AtomicWord::new(0)),
            places: AtomicWord::new(0),
            cursors: core::array::from_fn(|_| AtomicWord::new(0)),
        })
    }

    /// As [`Broadcast::starting_before_wrap`](super::broadcast::Broadcast::starting_before_wrap).
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        let mut gate = Self::new();
        *gate.0.gate.0.get_mut() = (back as Word).wrapping_neg();
        gate
    }

    #[inline(always)]
    pub(crate) const fn view(&self) -> GateView<'_> {
        GateView(&self.0)
    }
}

/// The gate without its `S`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateView<'a>(&'a Readers<[AtomicWord]>);

impl<'a> GateView<'a> {
    /// Whether `position` is less than `most` ahead of every gating reader.
    #[inline(always)]
    pub(crate) fn has_room<E: Copy>(self, ring: View<'_, E>, position: Word, most: Word) -> bool {
        // Relaxed: the Acquire fence before the claim pairs with the Release in `update`; readers have copied the
        // events up to there.
        let ahead = position.wrapping_sub(self.0.gate.0.load(Relaxed));
        ahead < most || self.update(ring, position, most)
    }

    #[cold]
    #[inline(never)]
    fn update<E: Copy>(self, ring: View<'_, E>, position: Word, most: Word) -> bool {
        let (gate, _) = self.slowest(ring);
        // Release: pairs with the Acquire fence in `Broadcast::publish`.
        self.0.gate.0.store(gate, Release);
        (position.wrapping_sub(gate) as SignedWord) < most as SignedWord
    }

    /// Returns the position and the index of the slowest gating reader. Without one: the position of the next event.
    pub(crate) fn slowest<E: Copy>(self, ring: View<'_, E>) -> (Word, Option<usize>) {
        let mut gate = ring.committed();
        let mut slowest = None;
        // AcqRel: pairs with itself in `Place::gate`: see the module documentation.
        let places = self.0.places.fetch_add(0, AcqRel);
        for (index, cursor) in self.0.cursors.iter().enumerate() {
            if places & gating(index) == 0 {
                continue;
            }
            // Acquire: pairs with the Release in `Place::advance`.
            let cursor = cursor.load(Acquire);
            if slowest.is_none() || before(cursor, gate) {
                slowest = Some(index);
                if before(cursor, gate) {
                    gate = cursor;
                }
            }
        }
        (gate, slowest)
    }

    /// Takes a place. Returns `None` if none is free.
    pub(crate) fn take_place(self) -> Option<Place<'a>> {
        let mut places = self.0.places.load(Relaxed);
        loop {
            let index = (0..self.0.cursors.len()).find(|index| places & taken(*index) == 0)?;
            let with = places | taken(index);
            // Relaxed: `Place::gate` acquires what the last reader of the place did.
            match self.0.places.compare_exchange(places, with, Relaxed, Relaxed) {
                Ok(_) => return Some(Place { gate: self, index }),
                Err(found) => places = found,
            }
        }
    }
}

/// One reader's place at the gate. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    gate: GateView<'a>,
    index: usize,
}

impl<'a> Place<'a> {
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    fn cursor(&self) -> &AtomicWord {
        &self.gate.0.cursors[self.index]
    }

    /// Whether no gating reader is behind this one.
    ///
    /// Call it after a `SeqCst` fence behind the last read: of two readers that read at once, the one with the later
    /// fence sees both reads.
    pub(crate) fn is_slowest(&self) -> bool {
        let own = self.cursor().load(Relaxed);
        let Readers { places, cursors, .. } = self.gate.0;
        let places = places.load(Relaxed);
        let mut others = cursors.iter().enumerate();
        // Relaxed: this reads nothing that the others have copied.
        others.all(|(other, cursor)| {
            places & gating(other) == 0 || !before(cursor.load(Relaxed), own)
        })
    }

    /// Makes publishers wait for this reader from now on. Returns where it begins.
    pub(crate) fn gate<E>(&self, ring: &(impl Shelf<E> + ?Sized)) -> Word {
        self.cursor().store(ring.committed(), Relaxed);
        // AcqRel: pairs with itself in `slowest`: see the module documentation.
        self.gate.0.places.fetch_add(gating(self.index), AcqRel);
        let start = ring.committed();
        self.advance(start);
        start
    }

    /// Makes publishers ignore this reader from now on. Only after `gate`.
    pub(crate) fn open(&self) {
        self.gate.0.places.fetch_add(gating(self.index).wrapping_neg(), Relaxed);
    }

    /// Tells publishers that the reader has copied the events before `cursor`.
    #[inline(always)]
    pub(crate) fn advance(&self, cursor: Word) {
        if let Some(own) = self.gate.0.cursors.get(self.index) {
            // Release: pairs with the Acquire in `slowest`; the event has been copied.
            own.store(cursor, Release);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The bits of this place: no other place changes them while it is taken.
        let bits = self.gate.0.places.load(Relaxed) & (taken(self.index) | gating(self.index));
        // Release: pairs with the AcqRel in `slowest` and `Place::gate`; this reader is done.
        self.gate.0.places.fetch_add(bits.wrapping_neg(), Release);
    }
}
