//! The last events of a topic, read without taking them.

use core::fmt;
use core::iter::FusedIterator;

use super::{Many, Publishers};
use crate::ring::broadcast::{Shelf as _, before};
use crate::sync::Word;

/// Reads the last events of a topic or a feed without taking them: `Topic::history`, `GatedTopic::history`,
/// `Feed::history`.
///
/// A topic keeps its last `N` events in any case, so a history costs a publish nothing. Reading never blocks, takes
/// nothing from subscribers and is not counted. Any thread and any interrupt handler may read, even one that has
/// interrupted a publisher: the history shows an event as soon as its publish has put it in.
///
/// A history holds no events: it reads them from the topic. Make one where you need it. [`clear`](Self::clear) acts on
/// that one alone, so keep it if you use that.
///
/// # Beside a bus
///
/// A bus has no history, since its consumer takes the events. Let the tick publish each event to a
/// [`Feed`](crate::Feed), which has one publisher: this is the cheapest way to keep events. If the publishers of the bus
/// are to record the events themselves, use a [`Topic`](crate::Topic).
///
/// # Limits
///
/// It has the [safety limit](crate::Topic#safety-limit) of a topic. On targets without 64-bit atomics, a history shows
/// fewer events for a moment each time that 2^32 have been published.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Feed};
///
/// static COMMANDS: Bus<u16, 8> = Bus::new();
/// static LOG: Feed<u16, 4> = Feed::new();
///
/// COMMANDS.publish_batch(&[1, 2, 3, 4, 5, 6]).unwrap();
/// let mut commands = COMMANDS.consumer().unwrap();
/// let mut log = LOG.publisher().unwrap();
/// for command in commands.drain() {
///     log.publish(command); // after the loop the bus is empty, and the log has the last four
/// }
///
/// // In a fault handler, say:
/// let mut history = LOG.history();
/// assert!(history.all().eq([3, 4, 5, 6]));
/// assert!(history.last(2).eq([5, 6]));
///
/// history.clear();
/// log.publish(7);
/// assert!(history.all().eq([7]));
/// assert!(LOG.history().last(2).eq([6, 7])); // another one has not been cleared
/// ```
pub struct History<'a, E: Copy + 'a, P: Publishers = Many> {
    ring: &'a P::Ring<E>,
    /// Where it begins: what is before has been cleared.
    since: Word,
}

impl<'a, E: Copy, P: Publishers> History<'a, E, P> {
    #[inline]
    pub(super) fn of(ring: &'a P::Ring<E>) -> Self {
        Self { ring, since: 0 }
    }

    /// Returns the last `most` events, oldest first: as many as are kept, and none that are published later.
    ///
    /// An event that is overwritten before the iterator comes to it is left out.
    #[inline]
    pub fn last(&self, most: usize) -> Last<'a, E, P> {
        let end = self.ring.committed();
        // What nothing was published to has no event.
        let kept = end.wrapping_sub(self.since).min(self.ring.span());
        let count = Word::try_from(most).unwrap_or(Word::MAX).min(kept);
        Last { ring: self.ring, next: end.wrapping_sub(count), end }
    }

    /// Returns all events that are kept, oldest first.
    #[inline]
    pub fn all(&self) -> Last<'a, E, P> {
        self.last(usize::MAX)
    }

    /// Forgets the events so far. Other histories and subscribers still have them.
    pub fn clear(&mut self) {
        self.since = self.ring.committed();
    }

    /// Returns how many events the history has now: `N` at most.
    #[must_use]
    pub fn len(&self) -> usize {
        let Last { next, end, .. } = self.all();
        end.wrapping_sub(next) as usize
    }

    /// Returns whether nothing was published, or nothing since the last [`clear`](Self::clear).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E: Copy, P: Publishers> Clone for History<'_, E, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Copy, P: Publishers> Copy for History<'_, E, P> {}

impl<E: Copy, P: Publishers> fmt::Debug for History<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The last events of a topic, oldest first: [`History::last`].
#[must_use = "nothing is read until it is iterated over"]
pub struct Last<'a, E: Copy + 'a, P: Publishers = Many> {
    ring: &'a P::Ring<E>,
    next: Word,
    end: Word,
}

impl<E: Copy, P: Publishers> Iterator for Last<'_, E, P> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        while before(self.next, self.end) {
            if let Some(event) = self.ring.read(self.next) {
                self.next = self.next.wrapping_add(1);
                return Some(event);
            }
            // It was there, so it has been overwritten.
            self.next = self.next.wrapping_add(self.ring.overwritten(self.next).max(1));
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.wrapping_sub(self.next);
        (0, Some(if before(self.next, self.end) { left as usize } else { 0 }))
    }
}

impl<E: Copy, P: Publishers> FusedIterator for Last<'_, E, P> {}

impl<E: Copy, P: Publishers> Clone for Last<'_, E, P> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<E: Copy, P: Publishers> fmt::Debug for Last<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").field("most", &self.size_hint().1).finish_non_exhaustive()
    }
}
