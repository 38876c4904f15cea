//! The last envelopes of a subject bus, kept beside it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::observer::Observer;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::{Pattern, matches};
use crate::sync::Lock;

/// Keeps the last envelopes that match a pattern, as an [`Observer`] of a bus.
///
/// It keeps every published envelope that matches, even if no subscription wants it or has room for
/// it. Reading removes nothing. Each publish that matches takes one lock more, and the first ones
/// may allocate.
///
/// For events without an allocator, use the [`History`](crate::topic::History) of a topic.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::SubjectHistory;
///
/// let hits = Arc::new(SubjectHistory::new("player.*.hit", 2)?);
/// let bus = SubjectBus::builder().observer(hits.clone()).build();
/// for subject in ["player.1.hit", "player.2.hit", "player.2.left", "player.3.hit"] {
///     bus.try_publish(Envelope::unstamped(subject)?)?;
/// }
///
/// let subjects = |last: Vec<Arc<Envelope>>| last.iter().map(|e| e.subject().to_string()).collect::<Vec<_>>();
/// assert_eq!(subjects(hits.all()), ["player.2.hit", "player.3.hit"]); // oldest first
/// assert_eq!(subjects(hits.last(1)), ["player.3.hit"]);
/// hits.clear();
/// assert!(hits.is_empty());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct SubjectHistory {
    pattern: Box<str>,
    capacity: usize,
    kept: Lock<VecDeque<Arc<Envelope>>>,
}

impl SubjectHistory {
    /// Returns an empty history for `capacity` envelopes whose subjects match `pattern`.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if `pattern` is not a [`Pattern`].
    pub fn new(pattern: &str, capacity: usize) -> Result<Self, InvalidPattern> {
        Pattern::new(pattern)?;
        Ok(Self { pattern: pattern.into(), capacity, kept: Lock::new(VecDeque::new()) })
    }

    /// Returns the last envelopes, at most `most`, oldest first.
    #[must_use]
    pub fn last(&self, most: usize) -> Vec<Arc<Envelope>> {
        let kept = self.kept.lock();
        kept.iter().skip(kept.len().saturating_sub(most)).map(Arc::clone).collect()
    }

    /// Returns all envelopes in the history, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Envelope>> {
        self.last(usize::MAX)
    }

    /// Forgets all envelopes.
    pub fn clear(&self) {
        let kept = core::mem::take(&mut *self.kept.lock());
        drop(kept); // after the lock
    }

    /// Returns how many envelopes the history holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.lock().len()
    }

    /// Returns whether the history holds no envelope.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many envelopes the history can hold.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Observer for SubjectHistory {
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        if self.capacity == 0
            || !matches(self.pattern.as_bytes(), envelope.subject().as_str().as_bytes())
        {
            return;
        }
        let mut kept = self.kept.lock();
        let oldest = if kept.len() == self.capacity { kept.pop_front() } else { None };
        kept.push_back(Arc::clone(envelope));
        drop(kept);
        drop(oldest); // after the lock
    }
}

impl fmt::Debug for SubjectHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectHistory")
            .field("pattern", &self.pattern)
            .field("capacity", &self.capacity)
            .field("len", &self.len())
            .finish()
    }
}
