//! The counts of a ring, kept where they cost least: most of them follow from the positions.

use super::{Core, Eviction};
use crate::ring::{Counts, Span};
use crate::sync::{Acquire, AtomicWord, Relaxed, Word};

/// Where the ends of a ring are.
struct Ends {
    taken: Word,
    skipped: Word,
    /// The first position that is not claimed.
    claimed: Word,
}

impl Ends {
    /// Returns how many events are pending, those being published included, and how many displaced events the
    /// consumer has not passed yet.
    fn waiting(&self, slots: Word) -> (Word, Word) {
        let waiting = self.claimed.wrapping_sub(self.head());
        if waiting <= slots { (waiting, 0) } else { (slots, waiting - slots) }
    }

    fn head(&self) -> Word {
        self.taken.wrapping_add(self.skipped)
    }
}

impl<E> Core<'_, E> {
    #[inline]
    fn ends<P: Eviction>(self) -> Ends {
        let front = &self.state.front.0;
        // The head first: then the other end is not behind it.
        // Acquire: pairs with the Release of the takes, and so do those of `head`.
        let taken = self.state.taken.0.load(Acquire);
        let skipped = if P::EVICTS { self.state.skipped.load(Acquire) } else { 0 };
        // Acquire: pairs with the Release of the claims; a head that is loaded later is not older.
        let claimed =
            if P::EVICTS { self.first_unclaimed::<P>() } else { front.alloc.load(Acquire) };
        Ends { taken, skipped, claimed }
    }

    /// Returns the first position that is not claimed, on a ring that displaces.
    #[inline]
    fn first_unclaimed<P: Eviction>(self) -> Word {
        // Acquire: as in `end`.
        let tail = self.state.front.0.tail.load(Acquire);
        self.first_younger::<P>(tail, self.shape().claimed()).0
    }

    /// [`ends`](Self::ends) for the consumer, who has taken so many.
    #[inline]
    fn ends_of_consumer<P: Eviction>(self, taken: Word) -> Ends {
        let front = &self.state.front.0;
        let skipped = if P::EVICTS { self.state.skipped.load(Relaxed) } else { 0 };
        // Relaxed: the consumer has seen the commit of every event before the head, and with it the claim.
        let claimed =
            if P::EVICTS { self.first_unclaimed::<P>() } else { front.alloc.load(Relaxed) };
        Ends { taken, skipped, claimed }
    }

    /// Returns the position of the oldest event that is not displaced, for the consumer.
    #[inline]
    pub(super) fn oldest_of_consumer<P: Eviction>(self) -> Word {
        let ends = self.ends_of_consumer::<P>(self.state.taken.0.load(Relaxed));
        let (_, displaced) = ends.waiting(self.shape().slots);
        ends.head().wrapping_add(displaced)
    }

    /// Returns how many events are pending, those being published included.
    #[inline]
    pub(crate) fn pending<P: Eviction>(self) -> usize {
        self.ends::<P>().waiting(self.shape().slots).0 as usize
    }

    /// Returns what has happened so far.
    pub(crate) fn counts<P: Eviction>(self) -> Counts {
        let state = self.state;
        let slots = self.shape().slots;
        let word = |counter: &AtomicWord| counter.load(Relaxed) as usize;
        let ends = self.ends::<P>();
        let (pending, displaced) = ends.waiting(slots);
        let displaced = if P::EVICTS { displaced.wrapping_add(ends.skipped) } else { 0 };
        let turned_away = word(&state.turned_away);
        if displaced != 0 || turned_away != 0 {
            state.tally.mark_waiting(slots);
        } else if self.head::<P>() == ends.head() {
            // So many were pending between the two loads.
            state.tally.mark_waiting(pending);
        }
        Counts {
            accepted: ends.claimed as usize,
            handled: ends.taken as usize,
            pending: pending as usize,
            displaced: displaced as usize,
            turned_away,
            failed: word(&state.tally.failed),
            unhandled: word(&state.tally.unhandled),
            high_water: word(&state.tally.high_water),
        }
    }

    /// Counts events that found no room.
    #[cold]
    pub(crate) fn turn_away(self, events: usize) {
        self.state.turned_away.fetch_add(events as Word, Relaxed);
    }

    /// Returns how many events are pending behind a span, and the losses since the last call. Only for the consumer.
    #[inline]
    pub(crate) fn account<P: Eviction>(self, span: &Span) -> (usize, usize) {
        let state = self.state;
        let taken = if P::EVICTS { state.taken.0.load(Relaxed) } else { span.head };
        let ends = self.ends_of_consumer::<P>(taken);
        let (pending, displaced) = ends.waiting(self.shape().slots);
        let mut lost = state.turned_away.load(Relaxed);
        if P::EVICTS {
            lost = lost.wrapping_add(ends.skipped).wrapping_add(displaced);
        }
        (pending as usize, state.tally.news(lost))
    }
}
