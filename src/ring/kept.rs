//! A place for an event that was taken and could not be handed out yet.

/// Says where such events are kept: nowhere, if every event is handed out at once.
pub(crate) trait Keeps {
    /// A place for one.
    type Place<T>: Place<T>;
}

/// A place for a `T` that was taken, and is kept until it can be handed out.
///
/// # Safety
///
/// An implementation must hold at most a `T`, and give no reference to it.
pub(crate) unsafe trait Place<T>: Unpin {
    /// A place without an event.
    const EMPTY: Self;

    /// Whether a panic has left something here. Always `false` where a panic ends the program.
    fn is_left(&self) -> bool;

    /// Takes what a panic has left, unless it is withheld.
    fn take_left(&mut self) -> Option<T>;

    /// Sets whether [`take_left`](Self::take_left) holds back what is left.
    fn withhold(&mut self, is_withheld: bool);
}

/// The place of a handle.
pub(crate) struct Kept<T, K: Keeps>(pub(crate) K::Place<T>);

// SAFETY: `Place` requires it.
unsafe impl<T: Send, K: Keeps> Send for Kept<T, K> {}

// SAFETY: a shared `Place` says whether it holds something, and gives no reference to it.
unsafe impl<T: Send, K: Keeps> Sync for Kept<T, K> {}

impl<T, K: Keeps> Kept<T, K> {
    pub(crate) const fn nothing() -> Self {
        Self(K::Place::EMPTY)
    }

    #[inline(always)]
    pub(crate) fn is_left(&self) -> bool {
        self.0.is_left()
    }

    #[inline(always)]
    pub(crate) fn take_left(&mut self) -> Option<T> {
        self.0.take_left()
    }

    #[inline(always)]
    pub(crate) fn withhold(&mut self, is_withheld: bool) {
        self.0.withhold(is_withheld);
    }
}

/// No place.
pub(crate) struct Nowhere;

// SAFETY: it holds nothing.
unsafe impl<T> Place<T> for Nowhere {
    const EMPTY: Self = Self;

    #[inline(always)]
    fn is_left(&self) -> bool {
        false
    }

    #[inline(always)]
    fn take_left(&mut self) -> Option<T> {
        None
    }

    #[inline(always)]
    fn withhold(&mut self, _: bool) {}
}

/// One place.
pub(crate) struct Left<T> {
    event: Option<T>,
    is_withheld: bool,
}

/// What is kept is never pinned.
impl<T> Unpin for Left<T> {}

// SAFETY: it holds an `Option<T>`, and no method gives a reference to it.
unsafe impl<T> Place<T> for Left<T> {
    const EMPTY: Self = Self { event: None, is_withheld: false };

    #[inline(always)]
    fn is_left(&self) -> bool {
        cfg!(panic = "unwind") && self.event.is_some()
    }

    #[inline(always)]
    fn take_left(&mut self) -> Option<T> {
        if self.is_left() && !self.is_withheld { self.event.take() } else { None }
    }

    #[inline(always)]
    fn withhold(&mut self, is_withheld: bool) {
        if cfg!(panic = "unwind") {
            self.is_withheld = is_withheld;
        }
    }
}

impl<T> Left<T> {
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.event.take()
    }

    /// Keeps `taken`, and drops what was kept before.
    #[inline(always)]
    pub(crate) fn put(&mut self, taken: T) {
        self.event = Some(taken);
    }
}
