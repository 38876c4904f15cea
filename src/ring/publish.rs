//! The publishing side: claim a position, move the event in, commit.

use super::{Core, HELD, HOLDING, Policy, SLOT, Shape, WRITTEN, before};
use crate::sync::{Acquire, Relaxed, Release, Word};

/// A position that belongs to this publisher, and what the stamp of its slot was.
pub(super) struct Claim {
    position: Word,
    stamp: Word,
}

/// What a look at one lap of slots found.
enum Found {
    Room(Claim),
    /// Every slot is occupied, provided that the tail has not moved if this is not certain.
    Full {
        certain: bool,
    },
}

impl<E> Core<'_, E> {
    /// Puts `event` in. `Ok` has the event it displaced, if any; `Err` gives it back when there is no
    /// room.
    ///
    /// A ring must be used with the same policy throughout.
    #[inline]
    pub(crate) fn publish<P: Policy>(self, event: E) -> Result<Option<E>, E> {
        let shape = self.shape();
        // Acquire: pairs with the Release in `let_go`; an event that has been taken from this lap is
        // not taken for one to displace. Without displacing, a stale stamp only leads to a closer look.
        let tail = self.state.tail.0.load(if P::EVICTS { Acquire } else { Relaxed });
        // Acquire: pairs with the Release in `Slot::take` and `let_go`; the old event is out of the
        // slot. When displacing, pairs with the Release in `fill`: it is in.
        let stamp = self.slot(shape, tail).stamp.load(Acquire);
        // While the consumer holds a slot the low bit of the tail is set and neither fits.
        let free = stamp == tail & (shape.lap() | HOLDING);
        let full = P::EVICTS
            && tail & HOLDING == 0
            && stamp == shape.written(tail.wrapping_sub(shape.span));
        if free || full {
            let new = tail.wrapping_add(shape.unit);
            // Release: pairs with the Acquire in `Reader::freeze`; a consumer that sees this claim
            // sees every commit this publisher made, or heard of, before.
            if self.state.tail.0.compare_exchange_weak(tail, new, Release, Relaxed).is_ok() {
                return Ok(self.fill::<P>(Claim { position: tail, stamp }, event));
            }
        }
        match self.claim_slow::<P>() {
            Some(claim) => Ok(self.fill::<P>(claim, event)),
            None => Err(event),
        }
    }

    /// Puts in as many of `events` as a run of free slots has room for, with one claim a run, and
    /// returns how many that was.
    #[inline]
    pub(crate) fn publish_batch<P: Policy>(self, events: &[E]) -> usize
    where
        E: Copy,
    {
        let shape = self.shape();
        let mut rest = events;
        while let Some(&first) = rest.first() {
            let tail = self.state.tail.0.load(Relaxed);
            let run = self.free_run(tail, rest.len());
            if run == 0 {
                match self.publish::<P>(first) {
                    Ok(_) => rest = &rest[1..],
                    Err(_) => break,
                }
                continue;
            }
            let new = tail.wrapping_add(run as Word * shape.unit);
            // Release: as in `publish`.
            if self.state.tail.0.compare_exchange(tail, new, Release, Relaxed).is_ok() {
                let (now, later) = rest.split_at(run);
                let start = self.index(shape, tail);
                for (slot, &event) in self.slots[start..start + run].iter().zip(now) {
                    // SAFETY: the claim made the slot ours, and it was free.
                    unsafe { slot.write(event) };
                    // Release: as in `fill`.
                    slot.stamp.store(shape.written(tail), Release);
                }
                rest = later;
            }
        }
        events.len() - rest.len()
    }

    /// How many slots from the tail on wait for exactly the next positions: up to `most`, and up to
    /// the end of the slots, so that all stamps are of one lap.
    #[inline]
    fn free_run(self, tail: Word, most: usize) -> usize {
        let shape = self.shape();
        let free = tail & (shape.lap() | HOLDING);
        let slots = &self.slots[self.index(shape, tail)..];
        // Acquire: as in `publish`.
        slots.iter().take(most).take_while(|slot| slot.stamp.load(Acquire) == free).count()
    }

    /// Puts `event` in where no other publisher exists. The position is claimed after the commit, so
    /// the consumer never sees one that is claimed and not committed.
    #[inline]
    pub(crate) fn publish_alone(self, shape: Shape, event: E) -> Result<(), E> {
        let tail = self.state.tail.0.load(Relaxed);
        let slot = self.slot(shape, tail);
        // Acquire: as in `publish`.
        if slot.stamp.load(Acquire) != shape.free(tail) {
            return Err(event);
        }
        // SAFETY: the slot is free for the next position and there is no other publisher to claim it.
        unsafe { slot.write(event) };
        slot.stamp.store(shape.written(tail), Relaxed);
        // Release: pairs with the Acquire in `Reader::freeze`; both the event and the stamp are
        // written before the tail passes them.
        self.state.tail.0.store(tail.wrapping_add(shape.unit), Release);
        Ok(())
    }

    /// As many of `events` as fit, where no other publisher exists.
    #[inline]
    pub(crate) fn publish_batch_alone(self, shape: Shape, events: &[E]) -> usize
    where
        E: Copy,
    {
        let mut tail = self.state.tail.0.load(Relaxed);
        let mut done = 0;
        for &event in events {
            let slot = self.slot(shape, tail);
            // Acquire: as in `publish`.
            if slot.stamp.load(Acquire) != shape.free(tail) {
                break;
            }
            // SAFETY: as in `publish_alone`.
            unsafe { slot.write(event) };
            slot.stamp.store(shape.written(tail), Relaxed);
            tail = tail.wrapping_add(shape.unit);
            done += 1;
        }
        // Release: as in `publish_alone`.
        self.state.tail.0.store(tail, Release);
        done
    }

    /// Moves the event into the claimed slot and commits it. Returns what was in the slot.
    #[inline]
    pub(super) fn fill<P: Policy>(self, claim: Claim, event: E) -> Option<E> {
        let shape = self.shape();
        let slot = self.slot(shape, claim.position);
        let displaced = if P::EVICTS && claim.stamp & WRITTEN != 0 {
            // SAFETY: the claim made the slot ours with the event of a lap ago in it; the write below
            // replaces it, so it is read once.
            Some(unsafe { slot.read() })
        } else {
            None
        };
        // SAFETY: the claim made the slot ours, and what was in it has been moved out.
        unsafe { slot.write(event) };
        let written = shape.written(claim.position);
        if !P::EVICTS {
            // Release: pairs with the Acquire in `Slot::take`; the event is in before the stamp
            // says so.
            slot.stamp.store(written, Release);
        } else if slot.stamp.compare_exchange(claim.stamp, written, Release, Relaxed).is_err() {
            // Somebody went around this slot in the meantime. From now on the event is for the
            // consumer alone: no publisher may displace it, see the module documentation.
            // Release: as above.
            slot.stamp.store(written | HELD, Release);
        }
        displaced
    }

    /// Claims the next position whose slot can be had, going around slots that publishers stopped in
    /// the middle, or their late events, occupy. `None`: every slot is occupied.
    #[cold]
    #[inline(never)]
    pub(super) fn claim_slow<P: Policy>(self) -> Option<Claim> {
        let shape = self.shape();
        loop {
            // Acquire: pairs with the Release in `hold` and `let_go`.
            let tail = self.state.tail.0.load(Acquire);
            // After the tail and before the stamps: "full" is true of this moment.
            let head = self.state.head.0.load(Relaxed);
            // Acquire: pairs with the Release in `let_go`; see there.
            let loose = self.state.loose.load(Acquire);
            let held = (tail & HOLDING != 0)
                .then(|| self.state.consumer.load(Relaxed).wrapping_sub(SLOT) as usize);
            let first = shape.position(tail);
            let claim = match self.find::<P>(first, head, loose, held) {
                Found::Room(claim) => claim,
                Found::Full { certain } if certain || self.state.tail.0.load(Acquire) == tail => {
                    return None;
                }
                Found::Full { .. } => continue,
            };
            if claim.position == first {
                if self.advance(tail, claim.position) {
                    return Some(claim);
                }
                continue;
            }
            if !self.mark_held::<P>(first, claim.position, held) {
                continue;
            }
            let voids = claim.position.wrapping_sub(first) >> shape.shift;
            // Before the claim, so that a consumer which sees the claim knows to look around.
            self.state.voids.fetch_add(voids, Relaxed);
            if self.advance(tail, claim.position) {
                return Some(claim);
            }
            self.state.voids.fetch_add(voids.wrapping_neg(), Relaxed);
        }
    }

    fn advance(self, tail: Word, to: Word) -> bool {
        let shape = self.shape();
        let new = to.wrapping_add(shape.unit) | (tail & shape.epoch());
        // Release: as in `publish`.
        self.state.tail.0.compare_exchange(tail, new, Release, Relaxed).is_ok()
    }

    /// The first position from `first` on that can be claimed, within one lap.
    fn find<P: Policy>(self, first: Word, head: Word, loose: Word, held: Option<usize>) -> Found {
        let shape = self.shape();
        let mut position = first;
        for _ in 0..self.slots.len() {
            if held != Some(self.index(shape, position)) {
                // Acquire: as in `publish`.
                let stamp = self.slot(shape, position).stamp.load(Acquire);
                if stamp == shape.free(position) {
                    return Found::Room(Claim { position, stamp });
                }
                let previous = position.wrapping_sub(shape.span);
                if P::EVICTS {
                    if stamp == shape.written(previous) {
                        return Found::Room(Claim { position, stamp });
                    }
                } else if stamp | WRITTEN == shape.written(previous)
                    && !before(previous, head)
                    && !before(position, loose)
                {
                    // No late event but one whose turn has not come: nothing after it is free either.
                    return Found::Full { certain: position == first };
                }
            }
            position = position.wrapping_add(shape.unit);
        }
        Found::Full { certain: false }
    }

    /// Marks the uncommitted slots between two positions, so that however long their publishers stay
    /// away no later lap mistakes them for free, and, when displacing, so that their commit knows.
    /// `false`: the slots are no longer what they were.
    fn mark_held<P: Policy>(self, first: Word, end: Word, held: Option<usize>) -> bool {
        let shape = self.shape();
        let mut position = first;
        while position != end {
            if held != Some(self.index(shape, position)) {
                let stamp = &self.slot(shape, position).stamp;
                let found = stamp.load(Relaxed);
                let lap = shape.free(found);
                let uncommitted = if found & HELD != 0 {
                    false
                } else if found & WRITTEN == 0 {
                    if !before(lap, shape.free(position)) {
                        return false;
                    }
                    true
                } else if P::EVICTS {
                    // Claimed over the event of a lap before: the claim is younger than the stamp.
                    if !before(lap, shape.free(position.wrapping_sub(shape.span))) {
                        return false;
                    }
                    true
                } else {
                    false
                };
                // Where nobody displaces, the mark only keeps a word of 32 bits from coming round. Without
                // compare-and-swap it would not go with a commit by another core.
                let needed = P::EVICTS || Word::BITS < 64 && cfg!(target_has_atomic = "ptr");
                if needed
                    && uncommitted
                    && stamp.compare_exchange(found, HELD, Relaxed, Relaxed).is_err()
                {
                    return false;
                }
            }
            position = position.wrapping_add(shape.unit);
        }
        true
    }
}
