//! What a consumer knows beside the ring: whether there is something to take, and what it has taken already.

use super::{Policy, Reader, State};

impl<'a, E> Reader<'a, E> {
    /// Where a tick counts what became of an event.
    #[inline(always)]
    pub(crate) fn state(&self) -> &'a State {
        self.core().state
    }

    /// Whether a drain that began now would find an event. On a ring that displaces it may find none all
    /// the same, if every one is being displaced; it then moves past them, and this is `false`.
    #[inline]
    pub(crate) fn has_event<P: Policy>(&mut self) -> bool {
        let span = self.freeze::<P>();
        span.head != span.end
    }
}

/// What was taken, and is kept until it can be handed out.
pub(crate) struct Kept<T>(Option<T>);

// SAFETY: a shared `Kept` says whether there is something, and gives no reference to it.
unsafe impl<T: Send> Sync for Kept<T> {}

/// What is kept is never pinned.
impl<T> Unpin for Kept<T> {}

impl<T> Kept<T> {
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    /// Whether a panic has left something. Never where a panic ends the program.
    #[inline(always)]
    pub(crate) const fn is_left(&self) -> bool {
        cfg!(panic = "unwind") && self.0.is_some()
    }

    /// What a panic has left.
    #[inline(always)]
    pub(crate) fn take_left(&mut self) -> Option<T> {
        if self.is_left() { self.0.take() } else { None }
    }

    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }

    /// Keeps this; what was kept before is dropped.
    #[inline(always)]
    pub(crate) fn put(&mut self, taken: T) {
        self.0 = Some(taken);
    }
}
