//! A place for the waker of a task that waits.

use core::task::Waker;

use crate::sync::{Acquire, AtomicWord, Relaxed, Release, UnsafeCell, Word};

/// One place. It serves for one wait: taking the waker out frees it, and a task that waits on arms another. So
/// no task ever needs a place that another context is working on.
///
/// ```text
///           arm             arm                  take
///  free ──────────▶ busy ──────────▶ armed ──────────▶ busy ──────────▶ free, next round
/// ```
///
/// Only who has made a place busy touches the waker, and a place is busy for a few instructions, none of
/// them the waker's own.
pub(crate) struct Waiter {
    /// The state, and above it the round: how often the place has been freed. The round keeps a place
    /// that was freed and armed by others from being taken for one's own; a wait would have to last
    /// for 2^30 rounds of its place, and exactly that many, to be mistaken.
    state: AtomicWord,
    waker: UnsafeCell<Option<Waker>>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Any change.
    Change,
    /// Room, which only a take makes.
    Room,
}

/// What an armed place is recognized by: its state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(Word);

const FREE: Word = 0;
const BUSY: Word = 1;
/// Armed by a task that waits for a change.
const ARMED: Word = 2;
/// Armed by a task that waits for room.
const ROOM: Word = ARMED | 1;
const STATE: Word = 3;
const ROUND: Word = 4;

/// Whether a task waits at a place with this state.
#[inline(always)]
const fn is_armed(state: Word) -> bool {
    state & ARMED != 0
}

/// The state of the same round in which the place is free.
#[inline(always)]
const fn free(state: Word) -> Word {
    state & !STATE
}

// SAFETY: the waker is touched only by who has made the place busy, one at a time, and `Waker` is `Send`.
unsafe impl Sync for Waiter {}

impl Waiter {
    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self {
        Self { state: AtomicWord::new(FREE), waker: UnsafeCell::new(None) }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self {
        Self { state: AtomicWord::new(FREE), waker: UnsafeCell::new(None) }
    }

    /// Puts the waker in, or gives it back if the place is not free.
    #[inline]
    pub(crate) fn arm(&self, want: Want, waker: Waker) -> Result<Ticket, Waker> {
        let found = self.state.load(Relaxed);
        // Acquire: pairs with the Release that frees the place in `take_as`; the last waker is out.
        if found & STATE != FREE
            || self.state.compare_exchange(found, found | BUSY, Acquire, Relaxed).is_err()
        {
            return Err(waker);
        }
        // SAFETY: we have made the place busy, so no other context touches the waker. There is none to drop.
        self.waker.with_mut(|place| unsafe { place.write(Some(waker)) });
        let armed = found | if want == Want::Room { ROOM } else { ARMED };
        // Release: pairs with the Acquire in `take_as`; the waker is in.
        self.state.store(armed, Release);
        Ok(Ticket(armed))
    }

    /// Whether a task waits here.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        is_armed(self.state.load(Relaxed))
    }

    /// Takes the waker of the task that waits here. With [`Want::Room`], only if it waits for that.
    #[inline]
    pub(crate) fn take(&self, want: Want) -> Option<Waker> {
        let found = self.state.load(Relaxed);
        let is_wanted = want == Want::Change || found & STATE == ROOM;
        if is_armed(found) && is_wanted { self.take_as(Ticket(found)) } else { None }
    }

    /// Takes the waker if the place is still armed as it was when it gave this ticket.
    #[inline]
    pub(crate) fn take_as(&self, Ticket(armed): Ticket) -> Option<Waker> {
        // Acquire: pairs with the Release in `arm`; the waker is in.
        if self.state.compare_exchange(armed, free(armed) | BUSY, Acquire, Relaxed).is_err() {
            return None;
        }
        // SAFETY: we have made the place busy, so no other context touches the waker.
        let waker = self.waker.with_mut(|place| unsafe { place.replace(None) });
        // Release: pairs with the Acquire in `arm`; the waker is out.
        self.state.store(free(armed).wrapping_add(ROUND), Release);
        waker
    }
}

/// Whether there was a moment at which a task waited at each place. A task that has been at two of them
/// does not count twice.
pub(crate) fn are_all_armed(places: &[Waiter]) -> bool {
    // What says "armed" only grows, with the rounds: where the sums are equal, so are the words.
    let sum = || {
        places.iter().try_fold(0, |sum: Word, place| {
            // Acquire: pairs with the Release in `arm`; a task that is here has seen that it is no longer at
            // the place before, so we see that, too, when we look again.
            let found = place.state.load(Acquire);
            is_armed(found).then(|| sum.wrapping_add(found))
        })
    };
    sum().is_some_and(|first| sum() == Some(first))
}
