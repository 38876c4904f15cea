//! What has happened on a ring, counted where it costs least: most of it follows from the positions.

use super::{Core, Policy, State};
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
    /// Raises the high-water mark to so many events. Anybody may.
    #[cold]
    #[inline(never)]
    fn raise_high_water(&self, events: Word) {
        let mut mark = self.high_water.load(Relaxed);
        while events > mark {
            match self.high_water.compare_exchange(mark, events, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(higher) => mark = higher,
            }
        }
    }

    /// Takes note of how many events wait.
    #[inline(always)]
    pub(super) fn mark_waiting(&self, events: Word) {
        if events > self.high_water.load(Relaxed) {
            self.raise_high_water(events);
        }
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
    #[inline(always)]
    pub(super) fn add(counter: &AtomicWord, by: Word) {
        counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

impl<E> Core<'_, E> {
    /// How many events wait, with those that are being published, and how many were displaced that
    /// the consumer has not come by yet.
    #[inline]
    fn waiting<P: Policy>(self) -> (Word, Word) {
        let front = &self.state.front.0;
        let slots = self.shape().slots;
        // Before the other end, which is never behind it.
        let head = self.head::<P>();
        let claimed = if P::EVICTS {
            self.first_younger::<P>(front.tail.load(Acquire), self.shape().claimed()).0
        } else if P::ALONE {
            front.tail.load(Relaxed)
        } else {
            front.alloc.load(Relaxed)
        };
        let waiting = claimed.wrapping_sub(head);
        if !P::EVICTS || waiting <= slots {
            return (waiting.min(slots), 0);
        }
        (slots, waiting - slots)
    }

    /// How many events wait, with those that are being published.
    #[inline]
    pub(crate) fn pending<P: Policy>(self) -> usize {
        self.waiting::<P>().0 as usize
    }

    /// What has happened so far.
    pub(crate) fn counts<P: Policy>(self) -> Counts {
        let state = self.state;
        let word = |counter: &AtomicWord| counter.load(Relaxed) as usize;
        let handled = word(&state.taken.0);
        let (pending, displaced) = self.waiting::<P>();
        let displaced =
            if P::EVICTS { word(&state.skipped).wrapping_add(displaced as usize) } else { 0 };
        let turned_away = word(&state.turned_away);
        let full = displaced != 0 || turned_away != 0;
        state.mark_waiting(if full { self.shape().slots } else { pending });
        Counts {
            handled,
            pending: pending as usize,
            displaced,
            turned_away,
            failed: word(&state.failed),
            unhandled: word(&state.unhandled),
            high_water: word(&state.high_water),
        }
    }

    pub(crate) fn capacity(self) -> usize {
        self.entries.len()
    }

    /// Counts events that found no room.
    #[cold]
    pub(crate) fn turn_away(self, events: usize) {
        self.state.turned_away.fetch_add(events as Word, Relaxed);
    }

    /// How many events wait, and the losses since this was last asked.
    #[inline]
    pub(crate) fn account<P: Policy>(self) -> (usize, usize) {
        let state = self.state;
        let (pending, displaced) = self.waiting::<P>();
        let mut lost = state.turned_away.load(Relaxed);
        if P::EVICTS {
            lost = lost.wrapping_add(state.skipped.load(Relaxed)).wrapping_add(displaced);
        }
        let news = lost.wrapping_sub(state.told.load(Relaxed));
        // Less than none: a reading that fell between two steps of a publisher told too much before.
        if news == 0 || (news as SignedWord) < 0 {
            return (pending as usize, 0);
        }
        state.told.store(lost, Relaxed);
        (pending as usize, news as usize)
    }
}
