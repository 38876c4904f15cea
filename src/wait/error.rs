//! Errors of a wait.

use core::error::Error;
use core::fmt;

use crate::error::{Lagged, TooManyWaiters};

/// Why a wait ended without success.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The subscriber missed events. The next wait gives the oldest event that is kept.
    Lagged(Lagged),
    /// It would have to wait, and other tasks hold all `K` places: raise the `K` of [`Waiters`](crate::Waiters).
    TooManyWaiters,
    /// The deadline of the [`Wait`](super::Wait) has passed.
    #[cfg(feature = "std")]
    TimedOut,
    /// The [`Cancel`](super::Cancel) of the [`Wait`](super::Wait) was cancelled.
    #[cfg(feature = "std")]
    Cancelled,
}

impl From<Lagged> for WaitError {
    fn from(lagged: Lagged) -> Self {
        Self::Lagged(lagged)
    }
}

impl From<TooManyWaiters> for WaitError {
    fn from(_: TooManyWaiters) -> Self {
        Self::TooManyWaiters
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(lagged) => lagged.fmt(f),
            Self::TooManyWaiters => TooManyWaiters.fmt(f),
            #[cfg(feature = "std")]
            Self::TimedOut => f.pad("the deadline of the wait has passed"),
            #[cfg(feature = "std")]
            Self::Cancelled => f.pad("the wait was cancelled"),
        }
    }
}

impl Error for WaitError {}

/// An event that a thread waited to publish, and did not publish.
///
/// It left no trace: no reader receives it, and no counter counts it.
///
/// # Examples
///
/// ```
/// use tickbus::wait::{NotPublished, Wait, WaitError};
/// use tickbus::{Bus, Reject, Waiters};
///
/// static BUS: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();
/// BUS.publish_batch(&[1, 2]).unwrap();
///
/// let NotPublished { event, reason } = BUS.publish_wait(3, Wait::never()).unwrap_err();
/// assert_eq!((event, reason), (3, WaitError::TimedOut));
/// ```
#[cfg(feature = "std")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotPublished<E> {
    /// The event.
    pub event: E,
    /// Why the wait is over: never [`WaitError::Lagged`].
    pub reason: WaitError,
}

/// Does not show the event, so `unwrap` works for every `E`.
#[cfg(feature = "std")]
impl<E> fmt::Debug for NotPublished<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotPublished").field("reason", &self.reason).finish_non_exhaustive()
    }
}

#[cfg(feature = "std")]
impl<E> fmt::Display for NotPublished<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event was not published: {}", self.reason)
    }
}

#[cfg(feature = "std")]
impl<E> Error for NotPublished<E> {}
