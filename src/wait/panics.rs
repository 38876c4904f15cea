//! Code of users that panics: filters, observers, handlers, wakers, and their destructors.
//!
//! A panic in it must not keep the bus from its other work. So each call runs inside of
//! [`Panics::run`], the bus does all its work, and then [`resume`](Panics::resume) lets the first
//! panic continue. Without `std`, a panic cannot be caught, and continues at once.

#[cfg(feature = "std")]
use alloc::boxed::Box;
#[cfg(feature = "std")]
use core::any::Any;
#[cfg(feature = "std")]
use core::panic::AssertUnwindSafe;
use core::task::Waker;
#[cfg(feature = "std")]
use std::panic::{catch_unwind, resume_unwind};

/// The first panic of several calls. If it is dropped it ends there; the panic hook has reported
/// it.
#[derive(Default)]
pub(crate) struct Panics(#[cfg(feature = "std")] Option<Box<dyn Any + Send>>);

impl Panics {
    /// Calls `f`. `None` if it panics.
    #[inline]
    pub(crate) fn run<R>(&mut self, f: impl FnOnce() -> R) -> Option<R> {
        #[cfg(feature = "std")]
        return match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.keep(panic);
                None
            }
        };
        #[cfg(not(feature = "std"))]
        Some(f())
    }

    #[cfg(feature = "std")]
    #[cold]
    fn keep(&mut self, panic: Box<dyn Any + Send>) {
        match self.0 {
            None => self.0 = Some(panic),
            Some(_) => discard(panic),
        }
    }

    /// Wakes one after the other.
    pub(crate) fn wake(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            self.run(|| waker.wake());
        }
    }

    /// Drops what may have a destructor of a user.
    pub(crate) fn dispose<T>(&mut self, it: T) {
        self.run(|| drop(it));
    }

    /// Returns whether there was none.
    pub(crate) const fn none(&self) -> bool {
        #[cfg(feature = "std")]
        return self.0.is_none();
        #[cfg(not(feature = "std"))]
        true
    }

    /// Lets the first panic continue, unless this thread unwinds already.
    pub(crate) fn resume(self) {
        #[cfg(feature = "std")]
        {
            let mut panics = self;
            if !std::thread::panicking()
                && let Some(panic) = panics.0.take()
            {
                resume_unwind(panic);
            }
        }
    }
}

#[cfg(feature = "std")]
impl Drop for Panics {
    fn drop(&mut self) {
        if let Some(panic) = self.0.take() {
            discard(panic);
        }
    }
}

/// Drops what a panic was raised with; its destructor may panic in turn.
#[cfg(feature = "std")]
#[cold]
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        core::mem::forget(another); // as often as it likes
    }
}
