//! What has happened on a ring, counted where it costs least: most of it follows from the positions.

use super::{Core, HELD, Policy, Shape, Slot, State, WRITTEN, before};
use crate::sync::{Acquire, AtomicWord, Relaxed, SignedWord, Word};

/// What has happened on a ring, as the bus tells it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) handled: usize,
    pub(crate) pending: usize,
    pub(crate) displaced: usize,
    pub(crate) turned_away: usize,
    pub(crate) failed: usize,
    pub(crate) unhandled: usize,
    pub(crate) high_water: usize,
}

impl State {
    /// `turns`, brought up to date with `head`: its low bit is the high bit of `head`. Exact as long
    /// as it is called at least once in every half range of positions, and right whenever it is
    /// read, even between the two stores.
    #[inline]
    pub(super) fn turns_at(&self, head: Word) -> Word {
        let turns = self.turns.load(Relaxed);
        let half = head >> (Word::BITS - 1);
        if turns & 1 == half { turns } else { turns.wrapping_add(1) }
    }

    /// Raises the high-water mark to so many positions. Anybody may.
    #[cold]
    pub(super) fn raise_high_water(&self, positions: Word) {
        let mut mark = self.high_water.load(Relaxed);
        while positions > mark {
            match self.high_water.compare_exchange(mark, positions, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(higher) => mark = higher,
            }
        }
    }

    /// Brings `turns` up to date. A word of 64 bits never turns.
    #[inline(always)]
    pub(super) fn turn(&self, head: Word) {
        if Word::BITS < 64 && self.turns.load(Relaxed) & 1 != head >> (Word::BITS - 1) {
            Self::add(&self.turns, 1);
        }
    }

    /// How many positions `head` has passed since the start, not only since it last wrapped.
    pub(super) fn positions_passed(&self, shape: Shape, head: Word) -> usize {
        let low = shape.count(head << 1 >> 1);
        let digits = Word::BITS - 1 - shape.shift;
        let high = self.turns_at(head) as usize;
        low.wrapping_add(high.checked_shl(digits).unwrap_or(0))
    }

    /// Counts a handled event of which a handler failed.
    #[cold]
    pub(crate) fn count_failed(&self) {
        Self::add(&self.failed, 1);
    }

    /// Counts a handled event that nobody wanted.
    #[cold]
    pub(crate) fn count_unhandled(&self) {
        Self::add(&self.unhandled, 1);
    }

    /// Adds on the consumer's side, where nobody else writes.
    pub(super) fn add(counter: &AtomicWord, by: Word) {
        counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

impl<E> Core<'_, E> {
    /// Where the head and the tail were at one moment. `None`: the consumer was too fast to tell.
    fn ends(self, shape: Shape) -> Option<(Word, Word)> {
        let state = self.state;
        for _ in 0..8 {
            // Acquire: the head is not seen before what the consumer saw of the tail.
            let head = state.head.0.load(Acquire);
            let tail = shape.position(state.tail.0.load(Acquire));
            if state.head.0.load(Relaxed) == head {
                return Some((head, tail));
            }
        }
        None
    }

    /// How many events wait, with those that are being published. Constant time, unless a publisher
    /// has once been stopped in the middle on a ring that displaces: then it looks at every slot.
    #[inline]
    pub(crate) fn pending<P: Policy>(self) -> usize {
        self.pending_of::<P>(self.shape())
    }

    /// As `pending`, where the shape is at hand.
    #[inline]
    pub(super) fn pending_of<P: Policy>(self, shape: Shape) -> usize {
        let head = self.state.head.0.load(Acquire);
        let tail = shape.position(self.state.tail.0.load(Acquire));
        self.pending_between::<P>(shape, head, tail)
    }

    #[inline]
    fn pending_between<P: Policy>(self, shape: Shape, head: Word, tail: Word) -> usize {
        let state = self.state;
        let ahead = tail.wrapping_sub(head) >> shape.shift;
        let voids = state.voids.load(Relaxed);
        let pending = if !P::EVICTS {
            let passed_over = voids.wrapping_add(state.surplus.load(Relaxed));
            ahead.wrapping_sub(passed_over)
        } else if voids == 0 && state.passed_over.load(Relaxed) == 0 {
            ahead
        } else {
            let is_free = |(index, slot): &(usize, &Slot<E>)| {
                let stamp = slot.stamp.load(Relaxed);
                let next = self.next_at(shape, *index, tail);
                stamp & (WRITTEN | HELD) == 0 && !before(stamp, shape.free(next))
            };
            let free = self.slots.iter().enumerate().filter(is_free).count();
            (self.slots.len() - free) as Word
        };
        // Less than none: the reading fell between two steps of a publisher.
        if (pending as SignedWord) < 0 { 0 } else { (pending as usize).min(self.slots.len()) }
    }

    /// What has happened so far. As exact, and as fast, as [`pending`](Self::pending).
    pub(crate) fn counts<P: Policy>(self) -> Counts {
        let state = self.state;
        let shape = self.shape();
        let word = |counter: &AtomicWord| counter.load(Relaxed) as usize;
        let ends = self.ends(shape);
        let (head, tail) = ends.unwrap_or_else(|| {
            let head = state.head.0.load(Acquire);
            (head, head)
        });
        let passed = state.positions_passed(shape, head);
        let ahead = shape.count(tail.wrapping_sub(head));
        let accepted = passed.wrapping_add(ahead).wrapping_sub(word(&state.voids));
        let handled = passed.wrapping_add(word(&state.surplus));
        let kept = accepted.wrapping_sub(handled);
        let pending = self.pending_between::<P>(shape, head, tail);
        let displaced =
            if P::EVICTS && (kept as isize) > (pending as isize) { kept - pending } else { 0 };
        let turned_away = word(&state.turned_away);
        if ends.is_some() {
            let most = if displaced != 0 || turned_away != 0 { self.slots.len() } else { pending };
            state.raise_high_water((most as Word) << shape.shift);
        }
        Counts {
            handled,
            pending,
            displaced,
            turned_away,
            failed: word(&state.failed),
            unhandled: word(&state.unhandled),
            high_water: shape.count(state.high_water.load(Relaxed)).min(self.slots.len()),
        }
    }

    pub(crate) fn capacity(self) -> usize {
        self.slots.len()
    }

    /// Counts events that found no room.
    #[cold]
    pub(crate) fn turn_away(self, events: usize) {
        self.state.turned_away.fetch_add(events as Word, Relaxed);
    }

    /// The losses since this was last asked.
    pub(crate) fn tell<P: Policy>(self) -> usize {
        let state = self.state;
        let displaced = if P::EVICTS { self.counts::<P>().displaced as Word } else { 0 };
        let lost = state.turned_away.load(Relaxed).wrapping_add(displaced);
        let news = lost.wrapping_sub(state.told.load(Relaxed));
        // Less than none: a reading that fell between two steps of a publisher told too much before.
        if (news as SignedWord) <= 0 {
            return 0;
        }
        state.told.store(lost, Relaxed);
        news as usize
    }
}
