//! A place for the waker of a task that waits.

use core::task::Waker;

use crate::sync::{Acquire, AtomicWord, Relaxed, Release, UnsafeCell, Word};

/// One place, for one wait. Taking the waker out frees the place, and a task that continues to wait arms another one.
/// So no task ever needs a place that another context is working on.
///
/// ```text
///           arm             arm                  take
///  free ──────────▶ busy ──────────▶ armed ──────────▶ busy ──────────▶ free, next round
/// ```
///
/// Only the context that has made a place busy touches the waker. A place is busy for a few instructions, none of them
/// the waker's own.
pub(crate) struct Waiter {
    /// The state, and above it the round: how often the place has been freed. By the round, a task tells its own place
    /// from one that was freed and armed again. It would be mistaken after exactly 2^30 rounds during one wait.
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

/// The state word of an armed place, by which its task recognizes it.
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

// SAFETY: only the context that has made the place busy touches the waker, one at a time, and `Waker` is `Send`.
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

    /// Puts the waker in. Returns it if the place is not free.
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

    /// Takes the waker of the task that waits here. With [`Want::Room`], only if the task waits for room.
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

/// Whether there was a moment at which a task waited at each place. A task that moved from one place to another does
/// not count twice.
pub(crate) fn are_all_armed(places: &[Waiter]) -> bool {
    // The words of armed places only grow, with the rounds. So if the sums are equal, the words are.
    let sum = || {
        places.iter().try_fold(0, |sum: Word, place| {
            // Acquire: pairs with the Release in `arm`; a task that is here has left its earlier place, and the second
            // sum sees that.
            let found = place.state.load(Acquire);
            is_armed(found).then(|| sum.wrapping_add(found))
        })
    };
    sum().is_some_and(|first| sum() == Some(first))
}
