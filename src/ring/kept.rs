//! An event that was taken and could not be handed out yet.

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
