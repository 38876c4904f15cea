//! Threads that wait: deadlines and cancellation.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::error::WaitError;
use super::panics::Panics;
use crate::sync::Lock;
use crate::sync::host::{park, park_timeout, this_thread};

/// A signal that ends waits: those of threads, and subscriptions that were opened with it.
///
/// Clones are the same signal. Cancelling wakes every thread that waits with it. It cannot be undone, and cancelling
/// again does nothing.
///
/// # Examples
///
/// ```
/// use tickbus::SubjectBus;
/// use tickbus::wait::Cancel;
///
/// let bus = SubjectBus::new();
/// let shutdown = Cancel::new();
/// let hits = bus.subscribe("player.*.hit")?.until(&shutdown).open();
///
/// shutdown.cancel();
/// assert!(shutdown.is_cancelled() && hits.is_closed());
/// # Ok::<(), tickbus::subject_bus::SubscribeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<Lock<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    next: u64,
    /// What to run: code of this crate that wakes a thread or closes a subscription.
    actions: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
}

impl Cancel {
    /// Creates a signal that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every wait with this signal, also later ones.
    pub fn cancel(&self) {
        let mut state = self.0.lock();
        state.cancelled = true;
        let actions = core::mem::take(&mut state.actions);
        drop(state);
        let mut panics = Panics::default();
        for action in actions.into_values() {
            panics.run(action); // it wakes, and a waker may be a user's
        }
        panics.resume();
    }

    /// Returns whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Runs `action` when this is cancelled, or at once if it was, unless the registration is dropped before.
    pub(crate) fn on_cancel(&self, action: impl FnOnce() + Send + 'static) -> Registration {
        let mut state = self.0.lock();
        let key = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            action();
        } else {
            state.actions.insert(key, Box::new(action));
        }
        Registration { cancel: self.clone(), key }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Removes its action when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    cancel: Cancel,
    key: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let action = self.cancel.0.lock().actions.remove(&self.key);
        drop(action); // after the lock
    }
}

/// How long a thread waits for room, for an event or for a change.
///
/// Success wins over the end of the wait: if there is room or an event, a deadline in the past or a cancellation changes
/// nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tickbus::{Envelope, SubjectBus, Overrun};
/// use tickbus::subject_bus::PublishError;
/// use tickbus::wait::{Cancel, Wait};
///
/// let bus = SubjectBus::new();
/// let orders = bus.subscribe("order.*")?.capacity(1).overrun(Overrun::Block).open();
/// bus.publish(Envelope::new("order.1")?)?;
///
/// let brief = Wait::forever().timeout(Duration::from_millis(5));
/// let error = bus.publish_wait(Envelope::new("order.2")?, brief).unwrap_err();
/// assert!(matches!(error, PublishError::TimedOut(_)));
///
/// let shutdown = Cancel::new();
/// shutdown.cancel();
/// let wait = Wait::forever().until(&shutdown);
/// let error = bus.publish_wait(Envelope::new("order.3")?, wait).unwrap_err();
/// assert!(matches!(error, PublishError::Cancelled(_)));
///
/// assert_eq!(orders.recv().unwrap().subject().as_str(), "order.1");
/// bus.publish_wait(Envelope::new("order.4")?, wait)?; // room wins
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Wait<'a> {
    deadline: Option<Instant>,
    cancel: Option<&'a Cancel>,
    never: bool,
}

/// Why a wait ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GaveUp {
    TimedOut,
    Cancelled,
}

impl From<GaveUp> for WaitError {
    fn from(gave_up: GaveUp) -> Self {
        match gave_up {
            GaveUp::TimedOut => Self::TimedOut,
            GaveUp::Cancelled => Self::Cancelled,
        }
    }
}

impl<'a> Wait<'a> {
    /// Waits as long as it takes, or until the bus is closed. The default.
    pub const fn forever() -> Self {
        Self { deadline: None, cancel: None, never: false }
    }

    /// Does not wait.
    pub const fn never() -> Self {
        Self { deadline: None, cancel: None, never: true }
    }

    /// Waits at most so long from now. A timeout that the clock cannot represent counts as none.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(timeout), ..self }
    }

    /// Waits at most until `deadline`.
    pub const fn deadline(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Waits at most until `cancel` is cancelled.
    pub const fn until(self, cancel: &'a Cancel) -> Self {
        Self { cancel: Some(cancel), ..self }
    }

    /// Returns whether it waits at all.
    pub(crate) const fn waits(&self) -> bool {
        !self.never
    }

    /// Returns until when it waits. A wait that is not one ends at once, and has no moment.
    pub(crate) const fn limit(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether it was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(Cancel::is_cancelled)
    }

    /// Returns whether there is nothing left to wait.
    pub(crate) fn is_over(&self) -> bool {
        let is_late = |deadline| Instant::now() >= deadline;
        self.never || self.is_cancelled() || self.deadline.is_some_and(is_late)
    }

    /// Wakes this thread on cancellation, as long as the registration lives.
    pub(crate) fn wake_on_cancel(&self) -> Option<Registration> {
        self.cancel.map(|cancel| {
            let thread = this_thread();
            cancel.on_cancel(move || thread.wake())
        })
    }

    /// Parks this thread until it is unparked or the wait is over. It may return early.
    pub(crate) fn park(&self) -> Result<(), GaveUp> {
        if self.never {
            return Err(GaveUp::TimedOut);
        }
        if self.is_cancelled() {
            return Err(GaveUp::Cancelled);
        }
        let Some(deadline) = self.deadline else {
            park();
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GaveUp::TimedOut);
        }
        park_timeout(left);
        Ok(())
    }
}

/// Polls until `poll` is ready, or the wait is over.
pub(crate) fn block_on<T>(
    wait: Wait<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, WaitError> {
    let thread = this_thread();
    let mut context = Context::from_waker(&thread);
    if let Poll::Ready(found) = poll(&mut context) {
        return Ok(found);
    }
    let _woken = wait.wake_on_cancel();
    loop {
        let parked = wait.park();
        // Also when the wait is over: what came before its end wins.
        if let Poll::Ready(found) = poll(&mut context) {
            return Ok(found);
        }
        parked?;
    }
}

#[cfg(test)]
mod tests;
