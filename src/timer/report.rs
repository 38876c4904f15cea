//! What a tick does about the ticks that were missed, and what it did.

/// The most ticks from a deadline of a periodic timer to the next one. Less than three quarters of
/// a lap of the counter, and more than a tick can be late: what the wheel may be behind,
/// and the farthest deadline.
const FARTHEST_NEXT: u32 = 3 * (1 << 30) - 1;

/// Sets what a [periodic](crate::Timers::every) timer does about the ticks that it missed. The
/// names are those of `tokio`.
///
/// A timer has missed ticks if a [tick](crate::Timers::tick) hands its event out after its
/// deadline. Either the tick came late, or the sink had rejected the event. Set the behaviour with
/// [`set_missed_tick_behavior`](crate::Timers::set_missed_tick_behavior).
///
/// With [`Delay`](Self::Delay) and [`Skip`](Self::Skip), a timer fires once for all the deadlines
/// that have passed, and [`Fired::skipped`] counts the others.
///
/// `tokio` tolerates 5 ms. Here, one tick already counts as late.
///
/// # Examples
///
/// A period of 10, and a tick that comes at 35 instead of 10:
///
/// ```
/// use tickbus::Timers;
/// use tickbus::timer::MissedTickBehavior;
///
/// let times = |behavior| {
///     let mut timers: Timers<(), 1> = Timers::new();
///     let id = timers.every(10, ()).unwrap();
///     assert!(timers.set_missed_tick_behavior(id, behavior));
///     let mut times = vec![];
///     for now in 35..=60 {
///         let _ = timers.tick(now, |()| Ok(times.push(now)));
///     }
///     times
/// };
///
/// assert_eq!(times(MissedTickBehavior::Burst), [35, 35, 35, 40, 50, 60]);
/// assert_eq!(times(MissedTickBehavior::Delay), [35, 45, 55]);
/// assert_eq!(times(MissedTickBehavior::Skip), [35, 40, 50, 60]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MissedTickBehavior {
    /// Fires every missed copy at once. The deadlines stay multiples of the period from the start.
    /// The default.
    #[default]
    Burst,
    /// Fires once, and again a period after that. Two copies are never less than a period apart.
    Delay,
    /// Fires once, and again at the next multiple of the period from the start. It skips a multiple
    /// that falls on the moment of firing.
    Skip,
}

impl MissedTickBehavior {
    /// Returns how far behind its deadline a periodic timer fires again when it is handed out so
    /// `late`, and how many deadlines it passes over.
    #[inline]
    pub(super) fn next(self, late: u32, period: u32) -> (u32, u32) {
        let ahead = match self {
            Self::Burst => return (period, 0),
            Self::Delay => late.saturating_add(period),
            Self::Skip => (late - late % period).saturating_add(period),
        };
        (ahead.min(FARTHEST_NEXT), late / period)
    }
}

/// Counts what a [tick](crate::Timers::tick) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a report says what is due and found no room"]
#[non_exhaustive]
pub struct Fired {
    /// Events that the sink took.
    pub fired: usize,
    /// Timers that are due and stay pending, because the sink rejected an event.
    pub left: usize,
    /// Copies that periodic timers skipped, as [`MissedTickBehavior`] says. At most `usize::MAX`.
    pub skipped: usize,
}
