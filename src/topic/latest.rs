//! A value that is replaced as a whole.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

use super::TopicEvent;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::latest::{Cells, Seen};
use crate::ring::link::Link;
use crate::wait::{NoWaiters, Waits};

/// The latest value of something: publishers replace it, and readers learn whether it has changed.
///
/// Any thread or interrupt handler may publish and read. No operation waits, and no reader gets half a value, however
/// large it is. Use a [`Topic`](crate::Topic) if readers need every value.
///
/// A new one is all zeros and has no value. It takes three words and room for four values, or for eight with 64-bit
/// atomics.
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the watchers that wait, up to `K` at the same time:
/// see [`Watcher::changed_async`].
///
/// # Interrupts
///
/// As for [`Topic`](crate::Topic): without compare-and-swap, a publish has two critical sections of constant length
/// for every `E`.
///
/// # Progress
///
/// Publishing and reading are lock-free: they retry only if another publish succeeded meanwhile. If three publishers are
/// interrupted at one moment, or seven with 64-bit atomics, the value of the next one is lost, as if one of them had
/// replaced it at once. [`lost`](Self::lost) counts it.
///
/// # Examples
///
/// ```
/// use tickbus::Latest;
/// use tickbus::topic::Changed;
///
/// static POSE: Latest<(f32, f32)> = Latest::new();
/// assert_eq!(POSE.get(), None);
///
/// let mut arm = POSE.watch();
/// POSE.publish((0.0, 1.0));
/// POSE.publish((0.5, 1.0));
///
/// assert_eq!(arm.changed(), Some(Changed { value: (0.5, 1.0), skipped: 1 }));
/// assert_eq!(arm.changed(), None);
/// assert_eq!(POSE.get(), Some((0.5, 1.0)));
/// ```
#[doc(alias = "watch")]
#[doc(alias = "signal")]
pub struct Latest<E: TopicEvent, W: Waits = NoWaiters> {
    cells: Cells<E>,
    waiters: W,
}

impl<E: Copy, W: Waits> Latest<E, W> {
    /// Creates one without a value.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { cells: Cells::new(), waiters: W::NEW }
    }

    /// Creates one without a value.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { cells: Cells::new(), waiters: W::fresh() }
    }

    /// Returns a place without a value on the heap, without room for it on the stack.
    ///
    /// Use it for values that are too large for a stack: `Box::new(Latest::new())` moves all its cells.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self> {
        boxed! { zeroed: [cells], each: [], waiters: W::NEW, }
    }

    #[cfg(all(test, not(tickbus_loom)))]
    pub(super) fn starting_before_wrap(back: usize, value: E) -> Self {
        Self { cells: Cells::starting_before_wrap(back, value), waiters: W::NEW }
    }

    /// Replaces the value. Never blocks and never fails.
    #[inline]
    pub fn publish(&self, value: E) {
        self.cells.publish(value);
        self.waiters.wake();
    }

    /// Returns the newest value, if there is one.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<E> {
        self.cells.newest()
    }

    /// Creates a reader that sees changes. A value that was published before is not a change.
    pub fn watch(&self) -> Watcher<'_, E, W> {
        let waiters = Link::to(&self.waiters);
        Watcher { seen: self.cells.seen(), cells: &self.cells, waiters }
    }

    /// Returns how many values were lost because publishers were interrupted: see [Progress](Self#progress). It wraps.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.cells.lost()
    }
}

impl<E: Copy, W: Waits> Default for Latest<E, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: TopicEvent, W: Waits> fmt::Debug for Latest<E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").finish_non_exhaustive()
    }
}

/// A value that its watcher had not seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<E> {
    /// The newest value.
    pub value: E,
    /// How many values were published and replaced since the watcher last looked.
    pub skipped: usize,
}

/// One reader of a [`Latest`], which remembers the last value that it saw.
///
/// # Limits
///
/// This concerns targets without 64-bit atomics. If exactly a multiple of 2^26 values were published since a watcher
/// last looked, it sees no change. It sees the next value, and counts the skipped ones modulo 2^26. At 1 kHz, 2^26 values
/// take 18.6 hours; at 1 MHz, 67 seconds.
#[must_use = "a watcher does nothing by itself"]
pub struct Watcher<'a, E: TopicEvent, W: Waits = NoWaiters> {
    cells: &'a Cells<E>,
    seen: Seen,
    pub(super) waiters: Link<'a, W>,
}

impl<E: Copy, W: Waits> Watcher<'_, E, W> {
    /// Returns the newest value, if this watcher has not seen it.
    #[inline]
    pub fn changed(&mut self) -> Option<Changed<E>> {
        let (value, passed) = self.cells.read(&mut self.seen)?;
        Some(Changed { value, skipped: passed - 1 })
    }

    /// Returns whether [`changed`](Self::changed) would return a value. Does not copy it.
    #[inline]
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.cells.is_newer_than(self.seen)
    }
}

impl<E: Copy, W: Waits> fmt::Debug for Watcher<'_, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("is_changed", &self.is_changed()).finish_non_exhaustive()
    }
}
