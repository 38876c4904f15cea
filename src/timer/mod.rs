//! Events for later: [`Timers`]. The file `wheel.rs` explains how they are kept.

mod report;
mod wheel;

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

pub use self::report::{Fired, MissedTickBehavior};
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use self::wheel::{Content, LEVELS, Node, Place, SLOTS};
use self::wheel::{Link, Wheel, at};
use crate::error::Full;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;

/// The most ticks that a deadline may lie ahead.
const FARTHEST: u32 = i32::MAX as u32;

/// Names a timer of one [`Timers`], to [cancel](Timers::cancel) it.
///
/// It is a number, not a guard: dropping it does nothing. After the timer has fired or was
/// cancelled, the id names no timer, until its number comes again 2^32 timers later. Another store
/// may have a timer with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    link: Link,
    number: u32,
}

/// An event was not scheduled. The error returns it unchanged.
///
/// `Debug` and `Display` do not show the event, so `unwrap`, `expect` and `?` work for every `E`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleError<E> {
    /// All `N` timers are pending.
    Full(E),
    /// The delay or the period has more than `i32::MAX` ticks.
    TooFar(E),
}

impl<E> ScheduleError<E> {
    /// Returns the event.
    pub fn into_event(self) -> E {
        match self {
            Self::Full(event) | Self::TooFar(event) => event,
        }
    }
}

impl<E> fmt::Debug for ScheduleError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "Full(..)",
            Self::TooFar(_) => "TooFar(..)",
        })
    }
}

impl<E> fmt::Display for ScheduleError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "all timers are pending: cancel one, or make `N` larger",
            Self::TooFar(_) => {
                "the timer is more than `i32::MAX` ticks away: schedule it in steps, or count coarser ticks"
            },
        })
    }
}

impl<E> Error for ScheduleError<E> {}

/// Fires events later. A store holds up to `N` timers, and the tick fires them by deadline.
///
/// Schedule an event [at](Self::at) a moment, [after](Self::after) a delay, or [every](Self::every)
/// so many ticks. [`tick`](Self::tick) hands the events that are due to a sink, such as a
/// [`Bus`](crate::Bus). Timers with the same deadline fire in the order in which you scheduled
/// them.
///
/// # Time
///
/// You choose what the time counts: milliseconds, frames, timer interrupts. It is a `u32` that may
/// wrap. Only [`tick`](Self::tick) moves it, and it stands still while the store is
/// [paused](Self::pause). If you set a time that is up to 2^31 ticks earlier than before, no time
/// passes.
///
/// # Size
///
/// `N` is 1 to 65,535 and need not be a power of two. A new store that starts at 0 is all zeros.
/// Each timer takes 20 bytes, plus the event and its tag. The store takes about 500 bytes for
/// itself.
///
/// # Interrupts
///
/// A store belongs to the main loop: everything that changes it takes `&mut`. To set a timer from
/// an interrupt or another thread, publish a request on a bus, and drain that bus into
/// [`after`](Self::after).
///
/// # Progress
///
/// Scheduling and cancelling take constant time. Firing takes constant time for each event. A tick
/// at which nothing happens takes constant time, however many timers are pending. Two cases take
/// longer:
///
/// - Ticks move a timer that you scheduled more than about `N` ticks ahead, at most 7 times, as
///   they come near it. One tick may move many timers.
/// - A tick after a gap looks for missed timers, at up to `N` / 32 slots for each timer that it
///   finds.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Timers};
///
/// static BUS: Bus<&str, 2> = Bus::new();
/// let mut events = BUS.consumer().unwrap();
/// let mut timers: Timers<&str, 8> = Timers::new();
///
/// timers.after(2, "egg")?;
/// timers.at(2, "toast")?;
/// let tea = timers.every(2, "stir")?;
///
/// assert_eq!(timers.tick(1, |event| BUS.publish(event)).fired, 0);
///
/// // Three are due and the bus has room for two: the third stays due.
/// let report = timers.tick(2, |event| BUS.publish(event));
/// assert_eq!((report.fired, report.left), (2, 1));
/// assert!(events.drain().eq(["egg", "toast"]));
///
/// // It is first at the next tick, which comes late: the one of tick 4 follows.
/// assert_eq!(timers.tick(5, |event| BUS.publish(event)).fired, 2);
/// assert!(events.drain().eq(["stir", "stir"]));
///
/// assert_eq!(timers.cancel(tea), Some("stir"));
/// assert!(timers.is_empty());
/// # Ok::<(), tickbus::timer::ScheduleError<&str>>(())
/// ```
#[doc(alias("scheduler", "timer wheel", "delay queue", "interval", "alarm"))]
pub struct Timers<E, const N: usize> {
    wheel: Wheel<E, N>,
    /// The time of the last tick. Differs from the clock of the wheel by the time spent paused.
    told: u32,
    paused: bool,
}

impl<E, const N: usize> Timers<E, N> {
    const VALID: () = assert!(N > 0 && N <= at(Link::MAX), "a store has 1 to 65,535 timers");

    /// Returns an empty store for a time that starts at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self::starting_at(0)
    }

    /// Returns an empty store for a time that starts at `now`.
    #[must_use]
    pub const fn starting_at(now: u32) -> Self {
        const { Self::VALID };
        Self { wheel: Wheel::starting_at(now), told: now, paused: false }
    }

    /// Returns an empty store on the heap, for a time that starts at `now`. It needs no room on the
    /// stack.
    ///
    /// Use it for stores that are too large for a stack: `Box::new(Timers::starting_at(now))` moves
    /// the whole store.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed(now: u32) -> Box<Self> {
        const { Self::VALID };
        boxed! {
            within wheel: Wheel {
                each: [
                    nodes: Node { event: Content::Free, period: 0, number: 0 },
                    place: Place { deadline: 0, previous: 0 },
                    next: 0,
                    near: 0
                ],
                near_groups: 0,
                far: [[0; SLOTS]; LEVELS],
                occupied: [0; LEVELS],
                free: 0,
                used: 0,
                len: 0,
                scheduled: 0,
                elapsed: now,
                clock: now,
                clone: None,
            },
            told: now,
            paused: false,
        }
    }

    /// Schedules `event` for the time `deadline`.
    ///
    /// A deadline that has passed fires at the next tick, after those that were due before. A
    /// deadline has passed if it is not among the `i32::MAX` ticks after the last
    /// [tick](Self::tick). If your counter does not start at 0, make the store with
    /// [`starting_at`](Self::starting_at). The time that the store spends [paused](Self::pause)
    /// until then delays the timer.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError::Full`] with the event if `N` timers are pending.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Timers;
    ///
    /// let mut timers: Timers<u8, 4> = Timers::starting_at(u32::MAX);
    /// timers.at(1, 2)?; // after the counter has wrapped
    /// timers.at(u32::MAX - 9, 1)?; // has passed
    ///
    /// let mut fired = vec![];
    /// let mut sink = |event| Ok(fired.push(event));
    /// assert_eq!(timers.tick(0, &mut sink).fired, 1);
    /// assert_eq!(timers.tick(1, &mut sink).fired, 1);
    /// assert_eq!(fired, [1, 2]);
    /// # Ok::<(), tickbus::timer::ScheduleError<u8>>(())
    /// ```
    #[inline]
    pub fn at(&mut self, deadline: u32, event: E) -> Result<TimerId, ScheduleError<E>> {
        let ahead = deadline.wrapping_sub(self.told);
        self.schedule(if ahead > FARTHEST { 0 } else { ahead }, 0, event)
    }

    /// Schedules `event` for `delay` ticks after the last [tick](Self::tick).
    ///
    /// With a delay of 0 it fires at the next tick.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError`] with the event if `N` timers are pending, or if the delay has more
    /// than `i32::MAX` ticks.
    #[inline]
    pub fn after(&mut self, delay: u32, event: E) -> Result<TimerId, ScheduleError<E>> {
        self.schedule(delay, 0, event)
    }

    /// Schedules a copy of `event` for every `period` ticks, until you [cancel](Self::cancel) it.
    /// The first fires `period` ticks after the last [tick](Self::tick).
    ///
    /// The times do not drift. A tick that comes late fires every missed copy, each in its place
    /// among the other events. [`set_missed_tick_behavior`](Self::set_missed_tick_behavior) changes
    /// that. A period of 0 counts as 1.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError`] with the event if `N` timers are pending, or if the period has
    /// more than `i32::MAX` ticks.
    #[inline]
    pub fn every(&mut self, period: u32, event: E) -> Result<TimerId, ScheduleError<E>>
    where
        E: Clone,
    {
        self.wheel.clone_by(E::clone);
        let period = period.max(1);
        self.schedule(period, period, event)
    }

    /// Sets what a periodic timer does about ticks that it misses from now on. Returns `false` if
    /// the timer was cancelled, or fires only once.
    ///
    /// By default a timer [bursts](MissedTickBehavior::Burst). The next copy is at most 3 · 2^30 -
    /// 1 ticks after the deadline of the late one. That matters only if the period and the delay
    /// have more than 2^30 ticks each.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Timers;
    /// use tickbus::timer::MissedTickBehavior;
    ///
    /// let mut timers: Timers<&str, 4> = Timers::new();
    /// let blink = timers.every(10, "blink")?;
    /// timers.set_missed_tick_behavior(blink, MissedTickBehavior::Skip);
    ///
    /// // The debugger had stopped the program.
    /// let report = timers.tick(5_005, |_| Ok(()));
    /// assert_eq!((report.fired, report.skipped), (1, 499));
    /// assert_eq!(timers.tick(5_010, |_| Ok(())).fired, 1);
    /// # Ok::<(), tickbus::timer::ScheduleError<&str>>(())
    /// ```
    pub fn set_missed_tick_behavior(
        &mut self,
        timer: TimerId,
        behavior: MissedTickBehavior,
    ) -> bool {
        let missed = self.wheel.missed(timer.link, timer.number);
        missed.map(|missed| *missed = behavior).is_some()
    }

    /// Returns what a periodic timer does about ticks that it misses. Returns `None` if the timer
    /// was cancelled, or fires only once.
    #[must_use]
    pub fn missed_tick_behavior(&self, timer: TimerId) -> Option<MissedTickBehavior> {
        self.wheel.behavior(timer.link, timer.number)
    }

    /// Stops the time at the last [tick](Self::tick). Nothing fires, not even due timers. Pausing a
    /// paused store has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Timers;
    ///
    /// let mut timers: Timers<&str, 4> = Timers::new();
    /// timers.after(5, "spawn")?;
    /// let _ = timers.tick(3, |_| Ok(()));
    ///
    /// timers.pause();
    /// assert_eq!(timers.tick(1000, |_| Ok(())).fired, 0);
    /// timers.resume(2000);
    ///
    /// assert_eq!(timers.tick(2001, |_| Ok(())).fired, 0); // two ticks were left
    /// assert_eq!(timers.tick(2002, |_| Ok(())).fired, 1);
    /// # Ok::<(), tickbus::timer::ScheduleError<&str>>(())
    /// ```
    pub const fn pause(&mut self) {
        self.paused = true;
    }

    /// Continues the time from where it stopped. `now` is the time that your counter shows, which
    /// may be earlier than before. Resuming a store that is not paused has no effect.
    pub const fn resume(&mut self, now: u32) {
        if self.paused {
            self.paused = false;
            self.told = now;
        }
    }

    /// Returns whether the store is paused.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns how many timers are pending, due ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        at(self.wheel.len())
    }

    /// Returns whether no timer is pending.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many timers fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    #[inline]
    fn schedule(&mut self, ahead: u32, period: u32, event: E) -> Result<TimerId, ScheduleError<E>> {
        if ahead > FARTHEST {
            return Err(ScheduleError::TooFar(event));
        }
        let (link, number) =
            self.wheel.schedule(ahead, period, event).map_err(ScheduleError::Full)?;
        Ok(TimerId { link, number })
    }

    /// Cancels a timer and returns its event. Returns `None` if the timer has fired or was
    /// cancelled.
    ///
    /// It does not affect an event that the sink has taken: an event that is pending on a bus still
    /// comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Timers;
    ///
    /// let mut timers: Timers<&str, 4> = Timers::new();
    /// let timeout = timers.after(10, "timeout")?;
    /// assert_eq!(timers.cancel(timeout), Some("timeout"));
    /// assert_eq!(timers.cancel(timeout), None);
    /// # Ok::<(), tickbus::timer::ScheduleError<&str>>(())
    /// ```
    pub fn cancel(&mut self, timer: TimerId) -> Option<E> {
        self.wheel.cancel(timer.link, timer.number)
    }

    /// Returns whether a timer is pending.
    #[must_use]
    pub fn is_pending(&self, timer: TimerId) -> bool {
        self.wheel.is_pending(timer.link, timer.number)
    }

    /// Sets the time to `now`, and hands the events that are due to `sink`, in (deadline, sequence)
    /// order.
    ///
    /// Call it at least every `i32::MAX` ticks. If `now` is up to 2^31 ticks earlier than in the
    /// previous call, no time passes.
    ///
    /// # Full
    ///
    /// A sink without room returns the event in [`Full`]. Then the tick ends. That timer and those
    /// after it stay due, and [`Fired::left`] counts them. They fire in the same order at the next
    /// tick that finds room. No event is lost, and no timer overtakes another. To bound a tick, let
    /// the sink reject events beyond your limit.
    ///
    /// While the sink rejects an event, the time stays less than 2^30 ticks ahead of it. Counting
    /// `left` reads every timer.
    ///
    /// # Panics
    ///
    /// Panics if the sink or `E::clone` panics. The event that the sink received is gone, and the
    /// others stay due.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Timers};
    ///
    /// let mut timers: Timers<char, 4> = Timers::new();
    /// for event in ['a', 'b', 'c'] {
    ///     timers.after(1, event)?;
    /// }
    ///
    /// let mut budget = 2;
    /// let mut fired = String::new();
    /// let report = timers.tick(1, |event| {
    ///     if budget == 0 {
    ///         return Err(Full(event));
    ///     }
    ///     budget -= 1;
    ///     Ok(fired.push(event))
    /// });
    /// assert_eq!((report.fired, report.left, fired.as_str()), (2, 1, "ab"));
    /// # Ok::<(), tickbus::timer::ScheduleError<char>>(())
    /// ```
    #[inline]
    pub fn tick(&mut self, now: u32, mut sink: impl FnMut(E) -> Result<(), Full<E>>) -> Fired {
        let mut report = Fired::default();
        let mut passed = now.wrapping_sub(self.told);
        if passed <= FARTHEST {
            self.told = now;
        } else {
            passed = 0;
        }
        if self.paused {
            return report;
        }
        self.wheel.turn(passed, &mut report, &mut sink);
        report
    }
}

impl<E, const N: usize> Default for Timers<E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize> fmt::Debug for Timers<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("capacity", &N)
            .field("len", &self.len())
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}
