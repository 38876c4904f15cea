//! The budget of a tick, and its report.

use core::fmt;

/// The limits of one [tick](crate::Dispatch::tick): a number of events, a deadline, and a number of generations.
///
/// A tick always handles at least one pending event, so that a bus makes progress however late it is.
///
/// # Examples
///
/// ```
/// use tickbus::Budget;
///
/// let mut clock = 0..;
/// let late = || clock.next() > Some(2); // any clock of yours
/// let budget = Budget::events(2048).until(late).generations(4);
/// # drop(budget);
/// ```
#[derive(Clone, Copy)]
#[must_use = "a budget does nothing until a tick is given it"]
pub struct Budget<F = fn() -> bool> {
    pub(crate) events: usize,
    pub(crate) generations: usize,
    pub(crate) every: usize,
    /// Whether `late` is a function of the user.
    pub(crate) is_timed: bool,
    pub(crate) late: F,
}

impl Budget {
    /// Limits a tick to `count` events. 0 counts as 1.
    pub const fn events(count: usize) -> Self {
        let events = if count == 0 { 1 } else { count };
        Self { events, generations: 1, every: 32, is_timed: false, late: || false }
    }

    /// Lets a tick handle every event that is pending when it begins.
    pub const fn unlimited() -> Self {
        Self::events(usize::MAX)
    }
}

impl<F> Budget<F> {
    /// Ends the tick when `late` returns `true`. The tick calls it after every 32nd event, because reading a clock costs
    /// more than an event.
    pub fn until<G: FnMut() -> bool>(self, late: G) -> Budget<G> {
        let Self { events, generations, every, .. } = self;
        Budget { events, generations, every, is_timed: true, late }
    }

    /// Sets after how many events the tick calls the function of [`until`](Self::until): fewer where handlers are slow.
    /// 0 counts as 1.
    pub fn check_every(mut self, events: usize) -> Self {
        self.every = events.max(1);
        self
    }

    /// Sets how many generations of events the tick may handle. The first generation is pending when the tick begins,
    /// the second is published while the tick handles the first, and so on. The default is 1: the events that handlers
    /// publish wait for the next tick. 0 counts as 1.
    pub fn generations(mut self, count: usize) -> Self {
        self.generations = count.max(1);
        self
    }
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl<F: FnMut() -> bool> Budget<F> {
    /// Returns whether the budget allows another event after `done` events.
    pub(crate) fn goes_on(&mut self, done: usize) -> bool {
        done < self.events && !(done.is_multiple_of(self.every) && (self.late)())
    }
}

impl<F> fmt::Debug for Budget<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("events", &self.events)
            .field("generations", &self.generations)
            .field("check_every", &self.every)
            .finish_non_exhaustive()
    }
}

/// Counts what one [tick](crate::Dispatch::tick) did.
///
/// # Examples
///
/// ```
/// use tickbus::{Budget, Bus, Dispatch};
///
/// tickbus::events! {
///     enum Input { #[subject = "input.key"] Key(char) }
/// }
/// static BUS: Bus<Input, 4> = Bus::new();
/// static HANDLERS: Dispatch<Input, String, { Input::KINDS }> =
///     Dispatch::new().on("input.key", |text, Input::Key(key)| text.push(*key));
///
/// for key in "hello".chars() {
///     let _ = BUS.publish(Input::Key(key)); // the last one finds no room
/// }
/// let mut text = String::new();
/// let mut events = BUS.consumer().unwrap();
/// let report = HANDLERS.tick(&mut text, &mut events, Budget::events(3));
/// assert_eq!((report.handled, report.left, report.refused), (3, 1, 1));
/// assert_eq!(text, "hel");
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a report tells what the tick left undone and what was lost"]
#[non_exhaustive]
pub struct Report {
    /// Events that the tick took off the bus.
    pub handled: usize,
    /// Events whose handler failed. Part of `handled`.
    pub failed: usize,
    /// Events that have neither a handler nor an `otherwise`. Part of `handled`.
    pub unhandled: usize,
    /// Events that are pending now, those being published included.
    pub left: usize,
    /// Events that the bus has dropped since the last tick. On targets without 64-bit atomics, this and `refused` wrap
    /// at 2^32.
    pub dropped: usize,
    /// Events that the bus has given back to their publishers since the last tick.
    pub refused: usize,
    /// Generations of events that the tick began.
    pub generations: usize,
}

/// One line: `handled 6, failed 0, unhandled 1, left 2, dropped 0, refused 3, generations 1`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handled, failed, unhandled, left, dropped, refused, generations } = self;
        write!(
            f,
            "handled {handled}, failed {failed}, unhandled {unhandled}, left {left}, \
             dropped {dropped}, refused {refused}, generations {generations}"
        )
    }
}
