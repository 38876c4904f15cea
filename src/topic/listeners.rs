//! Handlers that are called by the publisher.

use core::fmt;

use crate::sync::{Acquire, AtomicWord, Relaxed, Release};
use crate::{Dispatch, Event, Verdict};

/// A table of handlers that the publisher calls, in its own context, instead of queueing: the cheapest
/// delivery there is.
///
/// It is the [`Dispatch`] table of the bus, which may be masked while the program runs. Several tables
/// are several listeners.
///
/// Nothing is queued and nothing is locked: a listener that takes long holds up its publisher, and
/// whatever that has interrupted, but no other publisher and no subscriber of a topic. Every context that
/// publishes calls it, so it may interrupt itself, and what it works on must allow that; `C` is what
/// this publisher hands over. A listener may publish to anything, also what it was called for; if
/// publishing calls it again, ending that recursion is its own affair.
///
/// # Examples
///
/// Call first, then publish to those who read later:
///
/// ```
/// use tickbus::{Dispatch, Listeners, Topic};
///
/// tickbus::events! {
///     #[derive(Clone, Copy, Debug, PartialEq)]
///     pub enum Power {
///         #[subject = "power.low"] Low,
///         #[subject = "power.failing"] Failing,
///     }
/// }
///
/// static URGENT: Listeners<Power, u32, { Power::KINDS }> =
///     Listeners::new(Dispatch::new().on("power.failing", |saved, _| *saved += 1));
/// static POWER: Topic<Power, 8> = Topic::new();
///
/// fn publish(saved: &mut u32, event: Power) {
///     URGENT.call(saved, &event);
///     POWER.publish(event);
/// }
///
/// let mut log = POWER.subscribe();
/// let mut saved = 0;
/// publish(&mut saved, Power::Low);
/// publish(&mut saved, Power::Failing);
/// assert_eq!(saved, 1);
///
/// URGENT.set_masked(true);
/// publish(&mut saved, Power::Failing);
/// assert_eq!((saved, log.read().count()), (1, 3));
/// ```
pub struct Listeners<E, C, const K: usize, R: Verdict = (), const H: usize = 2> {
    table: Dispatch<E, C, K, R, H>,
    masked: AtomicWord,
}

impl<E: Event, C, const K: usize, R: Verdict, const H: usize> Listeners<E, C, K, R, H> {
    /// The handlers of `table`, not masked.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new(table: Dispatch<E, C, K, R, H>) -> Self {
        Self { table, masked: AtomicWord::new(0) }
    }

    /// The handlers of `table`, not masked.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new(table: Dispatch<E, C, K, R, H>) -> Self {
        Self { table, masked: AtomicWord::new(0) }
    }

    /// Calls the handlers of `event`, in the order of the table, unless they are masked. Returns whether
    /// any were called.
    #[inline]
    pub fn call(&self, context: &mut C, event: &E) -> bool {
        // Pairs with `set_masked`.
        self.masked.load(Acquire) == 0 && self.table.call(context, event)
    }

    /// Masks the handlers, so that no call that begins from now on reaches them, or unmasks them. May be
    /// done in any context; calls that have begun go on.
    ///
    /// Handlers that are called because they were unmasked find what was prepared for them before.
    pub fn set_masked(&self, masked: bool) {
        // Pairs with `call`.
        self.masked.store(masked.into(), Release);
    }

    /// Whether the handlers are masked.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.masked.load(Relaxed) != 0
    }
}

impl<E, C, const K: usize, R: Verdict, const H: usize> fmt::Debug for Listeners<E, C, K, R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("table", &self.table)
            .field("masked", &(self.masked.load(Relaxed) != 0))
            .finish()
    }
}
