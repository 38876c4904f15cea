//! How [`Timers`](super::Timers) wait: the wheel.
//!
//! # The wheel
//!
//! A hierarchical timing wheel (Varghese and Lauck, 1987). The lowest level has a slot for each
//! tick of a block, about as many as the store has room for timers; each level above has 32 slots,
//! which stand for as many ticks each as all slots of the level below together. A slot has a list
//! of timers. The level of a timer is that of the highest digit in which its deadline differs from
//! the time of the wheel; its slot is that digit. When the time reaches a slot of a level above the
//! lowest, its timers move down, in their order.
//!
//! Two timers of one deadline are always in one list, since level and slot follow from the deadline
//! alone, and lists are appended to and moved from front to back. So a list is in the order in
//! which its timers were scheduled, and the wheel needs no sequence numbers to fire in (deadline,
//! sequence) order.
//!
//! Deadlines are only compared within a block or by their distance from the time of the wheel, so
//! the counter may wrap. On the highest level a lap of the counter has at least four slots, and a
//! deadline is less than three quarters of a lap ahead of the wheel: it is never taken for one of
//! the lap before.
//!
//! # Why a wheel
//!
//! 10,000 timers pending on a host, nanoseconds for each (medians), beside the heap of the standard
//! library and the least that fires in order: a `Vec` for each tick, which cannot cancel,
//! allocates, and goes no further than one lap. `benches/contenders/timers.rs` has the code.
//!
//! | | this wheel | `BinaryHeap` | a `Vec` for each tick |
//! |---|--:|--:|--:|
//! | schedule, up to 1000 / 10,000 ticks ahead | 4.8 / 7.2 | 7.1 / 7.5 | 1.7 / 4.3 |
//! | fire, of those | 4.2 / 11.7 | 64 / 62 | 1.0 / 4.7 |
//! | tick with nothing due | 3.7 | 0.5 | 1.1 |
//!
//! A heap would need no slots, which take 450 bytes and two for each timer here.

use core::mem;

use super::report::{Fired, MissedTickBehavior};
use crate::error::Full;

/// Bits of a time that tell the slot, on each level but the lowest.
const BITS: u32 = 5;
pub(super) const SLOTS: usize = 1 << BITS;
/// Levels above the lowest one.
pub(super) const LEVELS: usize = u32::BITS.div_ceil(BITS) as usize;

/// The most ticks that the wheel may be behind the clock. Together with `FARTHEST` less than three
/// quarters of a lap of the counter.
const FARTHEST_BEHIND: u32 = (1 << 30) - 1;

/// A node by its index.
pub(super) type Link = u16;

/// An index.
#[inline(always)]
pub(super) const fn at(link: Link) -> usize {
    link as usize
}

/// Timers by number, and the lists in which they wait.
pub(super) struct Wheel<E, const N: usize> {
    pub(super) nodes: [Node<E>; N],
    /// What the wheel needs of each node, apart from it: walking a list reads `next` alone, which
    /// stays in the cache.
    pub(super) place: [Place; N],
    /// The next of the list, of the last one the first. Of a free node, the next free one.
    pub(super) next: [Link; N],
    /// The lists of the lowest level, each by its last node plus one, or zero. The `next` of that
    /// node is the first one. There are `NEAR` of them; the rest is not used.
    pub(super) near: [Link; N],
    /// A bit for each group of slots of the lowest level that may have lists.
    pub(super) near_groups: u32,
    /// The lists of the levels above.
    pub(super) far: [[Link; SLOTS]; LEVELS],
    /// A bit for each slot that has a list.
    pub(super) occupied: [u32; LEVELS],
    /// The node that was freed last, if `len < used`.
    pub(super) free: Link,
    /// How many nodes were ever used: the first ones.
    pub(super) used: Link,
    pub(super) len: Link,
    /// Timers that were ever scheduled.
    pub(super) scheduled: u32,
    /// The time of the wheel: everything before has fired.
    pub(super) elapsed: u32,
    /// The time that has passed. Ahead of the wheel while the sink rejects events.
    pub(super) clock: u32,
    /// `E::clone`, once there was a periodic timer.
    pub(super) clone: Option<fn(&E) -> E>,
}

/// The event of a node. Not an `Option`, whose `None` need not be zero.
#[repr(u8)]
pub(super) enum Content<E> {
    Free,
    /// In this order a byte beside the tag, where most events leave a gap.
    Pending(MissedTickBehavior, E),
}

pub(super) struct Node<E> {
    pub(super) event: Content<E>,
    /// Zero: fires once.
    pub(super) period: u32,
    /// The number of the timer, to tell it from the ones before and after it.
    pub(super) number: u32,
}

/// Where a node is in the wheel.
pub(super) struct Place {
    pub(super) deadline: u32,
    /// The one before in its list, unless this is the first.
    pub(super) previous: Link,
}

impl<E, const N: usize> Wheel<E, N> {
    /// Bits of a time that tell the slot on the lowest level: about as many slots as timers. But a
    /// lap of the counter has at least four slots on the highest level.
    const NEAR_BITS: u32 = {
        let bits = N.ilog2();
        if (u32::BITS - bits) % BITS == 1 { bits - 1 } else { bits }
    };

    const NEAR: u32 = 1 << Self::NEAR_BITS;

    /// Slots of the lowest level that have one bit together: a power of two, as its logarithm.
    const GROUP_BITS: u32 = Self::NEAR_BITS.saturating_sub(5);

    /// Returns the bits of a time that a level above the lowest leaves to those below.
    #[inline(always)]
    const fn shift(level: usize) -> u32 {
        Self::NEAR_BITS + level as u32 * BITS
    }

    /// Returns the slot of a time at a level above the lowest.
    #[inline(always)]
    const fn digit(time: u32, level: usize) -> usize {
        let shift = Self::shift(level);
        (time >> shift) as usize & (SLOTS - 1)
    }

    #[inline(always)]
    const fn near_digit(time: u32) -> usize {
        (time & (Self::NEAR - 1)) as usize
    }

    /// Returns an empty wheel whose clock shows `now`.
    pub(super) const fn starting_at(now: u32) -> Self {
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
            clone: None,
        }
    }

    /// Lets periodic timers be scheduled.
    #[inline(always)]
    pub(super) fn clone_by(&mut self, clone: fn(&E) -> E) {
        self.clone = Some(clone);
    }

    /// Returns how many timers are pending.
    #[inline(always)]
    pub(super) const fn len(&self) -> Link {
        self.len
    }

    /// Schedules `event` for so many ticks ahead of the clock. Returns the place and the number of the timer, or the
    /// event if all places are taken.
    #[inline]
    pub(super) fn schedule(&mut self, ahead: u32, period: u32, event: E) -> Result<(Link, u32), E> {
        let link = if self.len < self.used {
            let link = self.free;
            self.free = self.next[at(link)];
            link
        } else if usize::from(self.used) < N {
            self.used += 1;
            self.used - 1
        } else {
            return Err(event);
        };
        self.len += 1;
        let deadline = self.clock.wrapping_add(ahead);
        let number = self.scheduled;
        self.scheduled = number.wrapping_add(1);
        let event = Content::Pending(MissedTickBehavior::Burst, event);
        *self.node(link) = Node { event, period, number };
        self.append(link, deadline);
        Ok((link, number))
    }

    /// Takes a timer off the wheel and returns its event. `None` if it is not pending.
    pub(super) fn cancel(&mut self, link: Link, number: u32) -> Option<E> {
        if !self.is_pending(link, number) {
            return None;
        }
        self.unlink(link);
        Some(self.release(link))
    }

    /// Returns whether a timer is still to fire.
    pub(super) fn is_pending(&self, link: Link, number: u32) -> bool {
        self.nodes
            .get(usize::from(link))
            .is_some_and(|node| node.number == number && matches!(node.event, Content::Pending(..)))
    }

    /// Returns what a periodic timer does about ticks that it misses. `None` if it is not pending or fires once.
    pub(super) fn behavior(&self, link: Link, number: u32) -> Option<MissedTickBehavior> {
        let node = self.nodes.get(usize::from(link))?;
        match node.event {
            Content::Pending(missed, _) if node.number == number && node.period > 0 => Some(missed),
            _ => None,
        }
    }

    /// As [`behavior`](Self::behavior), to change it.
    pub(super) fn missed(&mut self, link: Link, number: u32) -> Option<&mut MissedTickBehavior> {
        let node = self.nodes.get_mut(usize::from(link))?;
        match &mut node.event {
            Content::Pending(missed, _) if node.number == number && node.period > 0 => Some(missed),
            _ => None,
        }
    }

    /// Moves the clock on by so many ticks, and fires what is due.
    #[inline]
    pub(super) fn turn(
        &mut self,
        mut passed: u32,
        report: &mut Fired,
        sink: &mut impl FnMut(E) -> Result<(), Full<E>>,
    ) {
        let end = self.clock.wrapping_add(passed);
        loop {
            let step = passed.min(FARTHEST_BEHIND - self.clock.wrapping_sub(self.elapsed));
            self.clock = self.clock.wrapping_add(step);
            if !self.catch_up(end, report, sink) {
                report.left = self.due();
                return;
            }
            passed -= step;
            if passed == 0 {
                return;
            }
        }
    }

    /// Turns the wheel to the clock; `now` is where the clock will be at the end of the tick.
    /// Whether the sink took all events.
    #[inline]
    fn catch_up(
        &mut self,
        now: u32,
        report: &mut Fired,
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
                    if !self.fire(slot, now, report, sink) {
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
    /// Before the sink is called the timer has left the list, in case the sink panics. What the
    /// sink gives back of a periodic timer is dropped last, in case that panics.
    #[inline]
    fn fire(
        &mut self,
        slot: usize,
        now: u32,
        report: &mut Fired,
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
            if let Some((event, missed)) = again {
                let deadline = self.elapsed;
                let (ahead, skipped) = missed.next(now.wrapping_sub(deadline), period);
                self.append(link, deadline.wrapping_add(ahead));
                let taken = sink(event);
                if taken.is_err() {
                    self.unlink(link);
                    self.place[at(link)].deadline = deadline;
                    self.prepend(link, slot);
                    return false;
                }
                report.skipped = report.skipped.saturating_add(skipped as usize);
            } else {
                let event = self.release(link);
                if let Err(Full(event)) = sink(event) {
                    self.restore(link, event);
                    self.prepend(link, slot);
                    return false;
                }
            }
            report.fired += 1;
            if link == last {
                return true;
            }
            link = next;
        }
    }

    /// Returns the event of a periodic timer, and what becomes of those it has missed.
    fn copy(&self, link: Link) -> (E, MissedTickBehavior) {
        match (&self.nodes[usize::from(link)].event, self.clone) {
            (Content::Pending(missed, event), Some(clone)) => (clone(event), *missed),
            _ => unreachable!("a periodic timer has an event that can be cloned"),
        }
    }

    /// Returns how many timers are due.
    fn due(&self) -> usize {
        let lag = self.clock.wrapping_sub(self.elapsed);
        let pending = |node: &Node<E>| matches!(node.event, Content::Pending(..));
        let due = |place: &Place| place.deadline.wrapping_sub(self.elapsed) <= lag;
        let nodes = self.nodes.iter().zip(&self.place).take(usize::from(self.used));
        nodes.filter(|(node, place)| pending(node) && due(place)).count()
    }

    #[inline(always)]
    fn node(&mut self, link: Link) -> &mut Node<E> {
        &mut self.nodes[usize::from(link)]
    }

    /// Returns the level above the lowest at which a deadline differs from the time of the wheel,
    /// and its slot. `None` if that is the lowest.
    #[inline(always)]
    fn far_place(&self, deadline: u32) -> Option<(usize, usize)> {
        let differs = (deadline ^ self.elapsed) >> Self::NEAR_BITS;
        let level = (differs.checked_ilog2()? / BITS) as usize;
        Some((level, Self::digit(deadline, level)))
    }

    /// Returns the list of a deadline.
    #[inline(always)]
    fn list(&mut self, deadline: u32) -> &mut Link {
        match self.far_place(deadline) {
            Some((level, slot)) => &mut self.far[level][slot],
            None => &mut self.near[Self::near_digit(deadline)],
        }
    }

    /// Returns the list of a deadline, about to have a timer.
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
            Content::Pending(_, event) => event,
            Content::Free => unreachable!("a free node in a list"),
        }
    }

    /// Undoes `release`, which was the last thing that happened, for a timer that fires once.
    fn restore(&mut self, link: Link, event: E) {
        self.node(link).event = Content::Pending(MissedTickBehavior::Burst, event);
        self.free = self.next[at(link)];
        self.len += 1;
    }
}
