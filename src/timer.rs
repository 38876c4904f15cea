//! Events for later: [`Timers`].
//!
//! # The wheel
//!
//! A hierarchical timing wheel (Varghese and Lauck, 1987). The lowest level has a slot for each tick of
//! a block, about as many as the store has room for timers; each level above has 32 slots, which stand
//! for as many ticks each as all slots of the level below together. A slot has a list of timers. The
//! level of a timer is that of the highest digit in which its deadline differs from the time of the
//! wheel; its slot is that digit. When the time reaches a slot of a level above the lowest, its timers
//! move down, in their order.
//!
//! Two timers of one deadline are always in one list, since level and slot follow from the deadline
//! alone, and lists are appended to and moved from front to back. So a list is in the order in which
//! its timers were scheduled, and the wheel needs no sequence numbers to fire in (deadline, sequence)
//! order.
//!
//! Deadlines are only compared within a block or by their distance from the time of the wheel, so the
//! counter may wrap. On the highest level a lap of the counter has at least four slots, and a deadline is
//! less than three quarters of a lap ahead of the wheel: it is never taken for one of the lap before.
//!
//! # Why a wheel
//!
//! 10,000 timers pending on a host, nanoseconds for each, beside the heap of the standard library and
//! the least that fires in order: a `Vec` for each tick, which cannot cancel, allocates, and goes no further
//! than one lap. `benches/contenders/timers.rs` has the code.
//!
//! | | this wheel | `BinaryHeap` | a `Vec` for each tick |
//! |---|--:|--:|--:|
//! | schedule, up to 1000 / 10,000 ticks ahead | 6.0 / 6.8 | 7.9 / 6.9 | 2.1 / 17.9 |
//! | fire, of those | 4.4 / 14 | 72 / 65 | 0.9 / 4.2 |
//! | tick with nothing due | 3.6 | 0.5 | 1.1 |
//!
//! A heap would need no slots, which take 450 bytes and two for each timer here.

use core::error::Error;
use core::fmt;
use core::mem;

use crate::Full;

/// Bits of a time that tell the slot, on each level but the lowest.
const BITS: u32 = 5;
const SLOTS: usize = 1 << BITS;
/// Levels above the lowest one.
const LEVELS: usize = u32::BITS.div_ceil(BITS) as usize;

/// The most ticks that a deadline may lie ahead.
const FARTHEST: u32 = i32::MAX as u32;

/// The most ticks that the wheel may be behind the clock. Together with `FARTHEST` less than three
/// quarters of a lap of the counter.
const FARTHEST_BEHIND: u32 = (1 << 30) - 1;

/// A node by its index.
type Link = u16;

/// An index.
#[inline(always)]
const fn at(link: Link) -> usize {
    link as usize
}

/// Names a timer of one [`Timers`], to [cancel](Timers::cancel) it.
///
/// A number, not a guard: dropping it does nothing. Once the timer has fired or is cancelled it names
/// none (until 2^32 timers later). To another store it means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    link: Link,
    number: u32,
}

/// What a [tick](Timers::tick) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a report tells what is due and has found no room"]
#[non_exhaustive]
pub struct Fired {
    /// Events that the sink took.
    pub fired: usize,
    /// Timers that are due and wait, because the sink refused an event.
    pub left: usize,
}

/// Why an event was not scheduled. It comes back untouched.
///
/// `Debug` and `Display` do not show the event, so `unwrap`, `expect` and `?` work for every `E`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unscheduled<E> {
    /// All `N` timers are pending.
    Full(E),
    /// The delay or the period has more than `i32::MAX` ticks.
    TooFar(E),
}

impl<E> Unscheduled<E> {
    /// The event.
    pub fn into_event(self) -> E {
        match self {
            Self::Full(event) | Self::TooFar(event) => event,
        }
    }
}

impl<E> fmt::Debug for Unscheduled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "Full(..)",
            Self::TooFar(_) => "TooFar(..)",
        })
    }
}

impl<E> fmt::Display for Unscheduled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full(_) => "all timers are pending",
            Self::TooFar(_) => "the timer is more than `i32::MAX` ticks away",
        })
    }
}

impl<E> Error for Unscheduled<E> {}

/// The event of a node. Not an `Option`, whose `None` need not be zero.
#[repr(u8)]
enum Content<E> {
    Free,
    Pending(E),
}

struct Node<E> {
    event: Content<E>,
    /// Zero: fires once.
    period: u32,
    /// The number of the timer, to tell it from the ones before and after it.
    number: u32,
}

/// Where a node is in the wheel.
struct Place {
    deadline: u32,
    /// The one before in its list, unless this is the first.
    previous: Link,
}

/// Events for later: room for `N` timers, which fire in the order of their deadlines, from the tick.
///
/// Schedule an event [at](Self::at) a moment, [after](Self::after) a delay or [every](Self::every)
/// so many ticks; [`tick`](Self::tick) hands the events that are due to a sink, such as a
/// [`Bus`](crate::Bus). Timers of one deadline fire in the order in which they were scheduled.
///
/// Time is whatever the caller counts: milliseconds, frames, timer interrupts. It is a `u32` that may
/// wrap, moves only by [`tick`](Self::tick), and stands still while the store is
/// [paused](Self::pause).
///
/// `N` is 1 to 65,535 and need not be a power of two. A new store that starts at 0 is all zeros. It
/// takes 18 bytes for each timer beside the event and its tag, and about 500 for itself.
///
/// # Interrupts
///
/// A store belongs to the main loop: everything that changes it takes `&mut`. Interrupts and other
/// threads set a timer by publishing the wish to a bus, which the main loop drains into
/// [`after`](Self::after); what they learn of time they learn by the events that fire.
///
/// # Progress
///
/// Scheduling and cancelling take constant time, firing is constant for each event, and so is a tick
/// at which nothing happens, however many timers are pending. Two things come on top:
///
/// - A timer that was scheduled more than about `N` ticks ahead is moved on its way, at most 7 times, by
///   the tick that comes near it. One tick may move many.
/// - A tick that comes after a gap looks for what it has missed: at up to `N` / 32 slots for each timer
///   that it finds.
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
/// # Ok::<(), tickbus::Unscheduled<&str>>(())
/// ```
pub struct Timers<E, const N: usize> {
    nodes: [Node<E>; N],
    /// What the wheel needs of each node, apart from it: walking a list reads `next` alone, which stays in
    /// the cache.
    place: [Place; N],
    /// The next of the list, of the last one the first. Of a free node, the next free one.
    next: [Link; N],
    /// The lists of the lowest level, each by its last node plus one, or zero. The `next` of that node is
    /// the first one. There are `NEAR` of them; the rest is not used.
    near: [Link; N],
    /// A bit for each group of slots of the lowest level that may have lists.
    near_groups: u32,
    /// The lists of the levels above.
    far: [[Link; SLOTS]; LEVELS],
    /// A bit for each slot that has a list.
    occupied: [u32; LEVELS],
    /// The node that was freed last, if `len < used`.
    free: Link,
    /// Nodes that were ever used: the first so many.
    used: Link,
    len: Link,
    /// Timers that were ever scheduled.
    scheduled: u32,
    /// The time of the wheel: everything before has fired.
    elapsed: u32,
    /// The time that has passed. Ahead of the wheel while the sink refuses.
    clock: u32,
    /// What the caller's counter showed at `clock`. Differs from it by the time spent paused.
    told: u32,
    paused: bool,
    /// `E::clone`, once there was a periodic timer.
    clone: Option<fn(&E) -> E>,
}

impl<E, const N: usize> Timers<E, N> {
    const VALID: () = assert!(N > 0 && N <= at(Link::MAX), "a store has 1 to 65,535 timers");

    /// Bits of a time that tell the slot on the lowest level: about as many slots as timers. But a lap
    /// of the counter has at least four slots on the highest level.
    const NEAR_BITS: u32 = {
        let bits = N.ilog2();
        if (u32::BITS - bits) % BITS == 1 { bits - 1 } else { bits }
    };

    const NEAR: u32 = 1 << Self::NEAR_BITS;

    /// Slots of the lowest level that have one bit together: a power of two, as its logarithm.
    const GROUP_BITS: u32 = Self::NEAR_BITS.saturating_sub(5);

    /// The bits of a time that a level above the lowest leaves to those below.
    #[inline(always)]
    const fn shift(level: usize) -> u32 {
        Self::NEAR_BITS + level as u32 * BITS
    }

    /// The slot of a time at a level above the lowest.
    #[inline(always)]
    const fn digit(time: u32, level: usize) -> usize {
        let shift = Self::shift(level);
        (time >> shift) as usize & (SLOTS - 1)
    }

    #[inline(always)]
    const fn near_digit(time: u32) -> usize {
        (time & (Self::NEAR - 1)) as usize
    }

    /// An empty store for a counter that starts at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self::starting_at(0)
    }

    /// An empty store for a counter that shows `now`.
    #[must_use]
    pub const fn starting_at(now: u32) -> Self {
        const { Self::VALID };
        Self {
            nodes: [const { Node { event: Content::Free, period: 0, number: 0 } }; N],
            place: [const { Place { deadline: 0, previous: 0 } }; N],
            next: [0; N],
            near: [0; N],
            near_groups: 0,
            far: [[0; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            free: 0,
            used: 0,
            len: 0,
            scheduled: 0,
            elapsed: now,
            clock: now,
            told: now,
            paused: false,
            clone: None,
        }
    }

    /// Schedules `event` for the moment at which the counter shows `deadline`.
    ///
    /// A deadline that has passed counts as now: it fires at the next tick, after those that were due
    /// before. It has passed if it is not among the `i32::MAX` ticks ahead of the last
    /// [tick](Self::tick); so at a counter that has not been told yet, start
    /// [there](Self::starting_at).
    ///
    /// # Errors
    ///
    /// [`Unscheduled::Full`] gives the event back when `N` timers are pending.
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
    /// # Ok::<(), tickbus::Unscheduled<u8>>(())
    /// ```
    #[inline]
    pub fn at(&mut self, deadline: u32, event: E) -> Result<TimerId, Unscheduled<E>> {
        let ahead = deadline.wrapping_sub(self.told);
        self.schedule(if ahead > FARTHEST { 0 } else { ahead }, 0, event)
    }

    /// Schedules `event` for `delay` ticks after the last [tick](Self::tick).
    ///
    /// With a delay of 0 it fires at the next tick.
    ///
    /// # Errors
    ///
    /// [`Unscheduled`] gives the event back when `N` timers are pending, or if the delay has more than
    /// `i32::MAX` ticks.
    #[inline]
    pub fn after(&mut self, delay: u32, event: E) -> Result<TimerId, Unscheduled<E>> {
        self.schedule(delay, 0, event)
    }

    /// Schedules a copy of `event` for every `period` ticks, the first one `period` after the last
    /// [tick](Self::tick), until it is [cancelled](Self::cancel).
    ///
    /// The times do not drift: a tick that comes late fires every copy it has missed, each in its place
    /// among the others. A period of 0 counts as 1.
    ///
    /// # Errors
    ///
    /// [`Unscheduled`] gives the event back when `N` timers are pending, or if the period has more than
    /// `i32::MAX` ticks.
    #[inline]
    pub fn every(&mut self, period: u32, event: E) -> Result<TimerId, Unscheduled<E>>
    where
        E: Clone,
    {
        self.clone = Some(E::clone);
        let period = period.max(1);
        self.schedule(period, period, event)
    }

    /// Stops the time at the last [tick](Self::tick). Nothing fires, not even what is due. No effect on
    /// a store that is paused.
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
    /// # Ok::<(), tickbus::Unscheduled<&str>>(())
    /// ```
    pub const fn pause(&mut self) {
        self.paused = true;
    }

    /// Lets the time go on from where it stopped; the counter shows `now`. No effect on a store that is
    /// not paused.
    pub const fn resume(&mut self, now: u32) {
        if self.paused {
            self.paused = false;
            self.told = now;
        }
    }

    /// Whether the time stands still.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// How many timers are pending, due ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        at(self.len)
    }

    /// Whether no timer is pending.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many timers fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    #[inline]
    fn schedule(&mut self, ahead: u32, period: u32, event: E) -> Result<TimerId, Unscheduled<E>> {
        if ahead > FARTHEST {
            return Err(Unscheduled::TooFar(event));
        }
        let link = if self.len < self.used {
            let link = self.free;
            self.free = self.next[at(link)];
            link
        } else if usize::from(self.used) < N {
            self.used += 1;
            self.used - 1
        } else {
            return Err(Unscheduled::Full(event));
        };
        self.len += 1;
        let deadline = self.clock.wrapping_add(ahead);
        let number = self.scheduled;
        self.scheduled = number.wrapping_add(1);
        *self.node(link) = Node { event: Content::Pending(event), period, number };
        self.append(link, deadline);
        Ok(TimerId { link, number })
    }

    /// Takes a timer back, and its event. `None` if it has fired or was cancelled.
    ///
    /// What has been handed to the sink is out of reach: an event that waits on a bus comes all the
    /// same.
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
    /// # Ok::<(), tickbus::Unscheduled<&str>>(())
    /// ```
    pub fn cancel(&mut self, timer: TimerId) -> Option<E> {
        if !self.is_pending(timer) {
            return None;
        }
        self.unlink(timer.link);
        Some(self.release(timer.link))
    }

    /// Whether a timer is still to fire.
    #[must_use]
    pub fn is_pending(&self, timer: TimerId) -> bool {
        self.nodes.get(usize::from(timer.link)).is_some_and(|node| {
            node.number == timer.number && matches!(node.event, Content::Pending(_))
        })
    }

    /// Tells the time and hands what is due to `sink`, in (deadline, sequence) order.
    ///
    /// A sink that has no room gives the event back in [`Full`]. Then the tick ends: that timer and
    /// those after it stay due, are reported as left, and fire in the same order at the next tick that
    /// finds room. Nothing is lost, and no timer overtakes another. To bound a tick, refuse what goes
    /// beyond.
    ///
    /// Call it at least every `i32::MAX` ticks. A counter that goes back counts as one that stands
    /// still, and the time never gets 2^30 ticks ahead of a timer that is refused. Counting those left looks at every timer, and is done only when the sink refuses.
    ///
    /// # Panics
    ///
    /// Only if the sink does, or `E::clone`. An event that the sink has been given is gone; everything
    /// else stays due.
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
    /// # Ok::<(), tickbus::Unscheduled<char>>(())
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
        loop {
            let step = passed.min(FARTHEST_BEHIND - self.clock.wrapping_sub(self.elapsed));
            self.clock = self.clock.wrapping_add(step);
            if !self.catch_up(&mut report.fired, &mut sink) {
                report.left = self.due();
                return report;
            }
            passed -= step;
            if passed == 0 {
                return report;
            }
        }
    }

    /// Turns the wheel to the clock. Whether the sink took all events.
    #[inline]
    fn catch_up(
        &mut self,
        fired: &mut usize,
        sink: &mut impl FnMut(E) -> Result<(), Full<E>>,
    ) -> bool {
        loop {
            let block = self.elapsed & !(Self::NEAR - 1);
            let last = self.clock & !(Self::NEAR - 1) == block;
            let end = if last { Self::near_digit(self.clock) } else { Self::NEAR as usize - 1 };
            let mut slot = Self::near_digit(self.elapsed);
            while slot <= end {
                let group = slot >> Self::GROUP_BITS;
                let behind = (group + 1) << Self::GROUP_BITS;
                if self.near_groups & 1 << group == 0 {
                    slot = behind;
                    continue;
                }
                if self.near[slot] != 0 {
                    self.elapsed = block | slot as u32;
                    if !self.fire(slot, fired, sink) {
                        return false;
                    }
                }
                slot += 1;
                if slot == behind {
                    self.near_groups &= !(1 << group);
                }
            }
            if last || !self.descend() {
                self.elapsed = self.clock;
                return true;
            }
        }
    }

    /// Moves on to the first slot above the lowest level, and its timers down. Whether the time has
    /// reached one.
    fn descend(&mut self) -> bool {
        let Some(level) = self.occupied.iter().position(|occupied| *occupied != 0) else {
            return false;
        };
        let here = Self::digit(self.elapsed, level) as u32;
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) & (SLOTS as u32 - 1);
        let above = u32::MAX.checked_shl(Self::shift(level + 1)).unwrap_or(0);
        let start = self.elapsed & above | slot << Self::shift(level);
        let reached = start.wrapping_sub(self.elapsed) <= self.clock.wrapping_sub(self.elapsed);
        if reached {
            self.elapsed = start;
            self.cascade(level, slot as usize);
        }
        reached
    }

    /// Moves the timers of a slot that the time has reached to lower levels.
    fn cascade(&mut self, level: usize, slot: usize) {
        let last = mem::take(&mut self.far[level][slot]) - 1;
        self.occupied[level] &= !(1 << slot);
        let mut link = self.next[at(last)];
        loop {
            let (deadline, next) = (self.place[at(link)].deadline, self.next[at(link)]);
            self.append(link, deadline);
            if link == last {
                return;
            }
            link = next;
        }
    }

    /// Fires the timers of a slot of the lowest level, until the sink refuses. Whether it took all.
    ///
    /// Before the sink is called the timer has left the list, in case the sink panics.
    #[inline]
    fn fire(
        &mut self,
        slot: usize,
        fired: &mut usize,
        sink: &mut impl FnMut(E) -> Result<(), Full<E>>,
    ) -> bool {
        let last = self.near[slot] - 1;
        let mut link = self.next[at(last)];
        loop {
            let next = self.next[at(link)];
            let period = self.node(link).period;
            let again = if period == 0 { None } else { Some(self.copy(link)) };
            if link == last {
                self.near[slot] = 0;
            } else {
                self.next[at(last)] = next;
            }
            let refused = if let Some(event) = again {
                let deadline = self.elapsed;
                let next = deadline.wrapping_add(period);
                self.append(link, next);
                sink(event).is_err() && {
                    self.unlink(link);
                    self.place[at(link)].deadline = deadline;
                    true
                }
            } else {
                let event = self.release(link);
                match sink(event) {
                    Ok(()) => false,
                    Err(Full(event)) => {
                        self.restore(link, event);
                        true
                    }
                }
            };
            if refused {
                self.prepend(link, slot);
                return false;
            }
            *fired += 1;
            if link == last {
                return true;
            }
            link = next;
        }
    }

    /// The event of a periodic timer.
    fn copy(&self, link: Link) -> E {
        match (&self.nodes[usize::from(link)].event, self.clone) {
            (Content::Pending(event), Some(clone)) => clone(event),
            _ => unreachable!("a periodic timer has an event that can be cloned"),
        }
    }

    /// How many timers are due.
    fn due(&self) -> usize {
        let lag = self.clock.wrapping_sub(self.elapsed);
        let pending = |node: &Node<E>| matches!(node.event, Content::Pending(_));
        let due = |place: &Place| place.deadline.wrapping_sub(self.elapsed) <= lag;
        let nodes = self.nodes.iter().zip(&self.place).take(usize::from(self.used));
        nodes.filter(|(node, place)| pending(node) && due(place)).count()
    }

    #[inline(always)]
    fn node(&mut self, link: Link) -> &mut Node<E> {
        &mut self.nodes[usize::from(link)]
    }

    /// The level above the lowest at which a deadline differs from the time of the wheel, and its slot.
    /// `None` if that is the lowest.
    #[inline(always)]
    fn far_place(&self, deadline: u32) -> Option<(usize, usize)> {
        let differs = (deadline ^ self.elapsed) >> Self::NEAR_BITS;
        let level = (differs.checked_ilog2()? / BITS) as usize;
        Some((level, Self::digit(deadline, level)))
    }

    /// The list of a deadline.
    #[inline(always)]
    fn list(&mut self, deadline: u32) -> &mut Link {
        match self.far_place(deadline) {
            Some((level, slot)) => &mut self.far[level][slot],
            None => &mut self.near[Self::near_digit(deadline)],
        }
    }

    /// The list of a deadline, about to have a timer.
    #[inline(always)]
    fn list_to_fill(&mut self, deadline: u32) -> &mut Link {
        match self.far_place(deadline) {
            Some((level, slot)) => {
                self.occupied[level] |= 1 << slot;
                &mut self.far[level][slot]
            }
            None => {
                let slot = Self::near_digit(deadline);
                self.near_groups |= 1 << (slot >> Self::GROUP_BITS);
                &mut self.near[slot]
            }
        }
    }

    /// Makes a node the last of the list of its deadline.
    #[inline(always)]
    fn append(&mut self, link: Link, deadline: u32) {
        // Without a branch: what is alone in its list follows itself.
        self.next[at(link)] = link;
        let last = mem::replace(self.list_to_fill(deadline), link + 1);
        let previous = if last == 0 { link } else { last - 1 };
        let next = mem::replace(&mut self.next[at(previous)], link);
        self.next[at(link)] = next;
        self.place[at(link)] = Place { deadline, previous };
    }

    /// Makes a node the first of a list of the lowest level.
    fn prepend(&mut self, link: Link, slot: usize) {
        let last = self.near[slot];
        if last == 0 {
            self.near_groups |= 1 << (slot >> Self::GROUP_BITS);
            self.near[slot] = link + 1;
            self.next[at(link)] = link;
        } else {
            let first = mem::replace(&mut self.next[at(last - 1)], link);
            self.next[at(link)] = first;
            self.place[at(first)].previous = link;
        }
    }

    /// Takes a node out of its list.
    fn unlink(&mut self, link: Link) {
        let deadline = self.place[at(link)].deadline;
        let (next, previous) = (self.next[at(link)], self.place[at(link)].previous);
        let last = *self.list(deadline) - 1;
        if next == link {
            *self.list(deadline) = 0;
            if let Some((level, slot)) = self.far_place(deadline) {
                self.occupied[level] &= !(1 << slot);
            }
        } else if self.next[at(last)] == link {
            self.next[at(last)] = next;
        } else {
            self.next[at(previous)] = next;
            if link == last {
                *self.list(deadline) = previous + 1;
            } else {
                self.place[at(next)].previous = previous;
            }
        }
    }

    /// Frees a node that is in no list.
    #[inline(always)]
    fn release(&mut self, link: Link) -> E {
        let free = mem::replace(&mut self.free, link);
        self.len -= 1;
        self.next[at(link)] = free;
        match mem::replace(&mut self.node(link).event, Content::Free) {
            Content::Pending(event) => event,
            Content::Free => unreachable!("a free node in a list"),
        }
    }

    /// Undoes `release`, which was the last thing that happened.
    fn restore(&mut self, link: Link, event: E) {
        self.node(link).event = Content::Pending(event);
        self.free = self.next[at(link)];
        self.len += 1;
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
            .field("len", &self.len)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}
