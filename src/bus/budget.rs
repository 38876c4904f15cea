//! How much a tick may do, and what it did.

use core::fmt;

/// How much one [tick](crate::Dispatch::tick) may do: a number of events, a deadline, and how many
/// generations of events.
///
/// At least one event is always handled, so that a bus moves on however late it is.
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
    /// Whether there is a function to ask.
    pub(crate) is_timed: bool,
    pub(crate) late: F,
}

impl Budget {
    /// At most `count` events, and at least one.
    pub const fn events(count: usize) -> Self {
        let events = if count == 0 { 1 } else { count };
        Self { events, generations: 1, every: 32, is_timed: false, late: || false }
    }

    /// All that is queued when the tick begins.
    pub const fn unlimited() -> Self {
        Self::events(usize::MAX)
    }
}

impl<F> Budget<F> {
    /// Ends the tick when `late` says so. It is asked after every 32nd event: a clock costs more than
    /// an event.
    pub fn until<G: FnMut() -> bool>(self, late: G) -> Budget<G> {
        let Self { events, generations, every, .. } = self;
        Budget { events, generations, every, is_timed: true, late }
    }

    /// Asks after every `events` events instead, where handlers are slow. 0 is taken as 1.
    pub fn check_every(mut self, events: usize) -> Self {
        self.every = events.max(1);
        self
    }

    /// How many generations of events the tick may handle. The first is what is queued when it begins,
    /// the second is what was published meanwhile, and so on. 1 unless set: what handlers publish
    /// waits for the next tick. 0 is taken as 1.
    pub fn generations(mut self, count: usize) -> Self {
        self.generations = count.max(1);
        self
    }
}

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl<F: FnMut() -> bool> Budget<F> {
    /// Whether there may be another event after `done` of them.
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

/// What one [tick](crate::Dispatch::tick) did.
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
    /// Events taken off the bus in this tick.
    pub handled: usize,
    /// Those of which a handler failed. Part of `handled`.
    pub failed: usize,
    /// Those for which there is neither a handler nor an `otherwise`. Part of `handled`.
    pub unhandled: usize,
    /// Events that wait on the bus now, with those that are being published at this moment.
    pub left: usize,
    /// Events the bus has lost since the tick before, or since it was made. Counts modulo 2^32 on targets without
    /// 64-bit atomics, and so does `refused`.
    pub dropped: usize,
    /// Events the bus has given back to their publishers since the tick before, or since it was made.
    pub refused: usize,
    /// Generations of events that were begun.
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
