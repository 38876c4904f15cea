//! What has happened on a ring, counted where it costs least: most of it follows from the positions.

use super::{Core, Eviction};
use crate::ring::{Counts, Span};
use crate::sync::{Acquire, AtomicWord, Relaxed, Word};

/// Where the ends of a ring are.
struct Ends {
    taken: Word,
    skipped: Word,
    /// The first position that nobody has claimed.
    claimed: Word,
}

impl Ends {
    /// How many events wait, with those that are being published, and how many were displaced that
    /// the consumer has not come by yet.
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
        // The head before the other end, which is never behind it then.
        // Acquire: pairs with the Release of the takes, and so do those of `head`.
        let taken = self.state.taken.0.load(Acquire);
        let skipped = if P::EVICTS { self.state.skipped.load(Acquire) } else { 0 };
        // Acquire: pairs with the Release of the claims; a head that is looked at later is no older.
        let claimed =
            if P::EVICTS { self.first_unclaimed::<P>() } else { front.alloc.load(Acquire) };
        Ends { taken, skipped, claimed }
    }

    /// The first position that nobody has claimed, on a ring that displaces.
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
        // Relaxed: it has seen the commit of every event before the head, and with it the claim.
        let claimed =
            if P::EVICTS { self.first_unclaimed::<P>() } else { front.alloc.load(Relaxed) };
        Ends { taken, skipped, claimed }
    }

    /// Where the oldest event that is not displaced is, or will be, for the consumer.
    #[inline]
    pub(super) fn oldest_of_consumer<P: Eviction>(self) -> Word {
        let ends = self.ends_of_consumer::<P>(self.state.taken.0.load(Relaxed));
        let (_, displaced) = ends.waiting(self.shape().slots);
        ends.head().wrapping_add(displaced)
    }

    /// How many events wait, with those that are being published.
    #[inline]
    pub(crate) fn pending<P: Eviction>(self) -> usize {
        self.ends::<P>().waiting(self.shape().slots).0 as usize
    }

    /// What has happened so far.
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
            // So many waited at the moment in between.
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

    /// How many events wait behind a span, and the losses since this was last asked. Only for the consumer.
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
