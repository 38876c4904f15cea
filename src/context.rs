//! What reaches a handler beside its event: [`Context`].

use core::fmt;
#[cfg(feature = "std")]
use std::time::Instant;

use crate::envelope::TraceParent;
#[cfg(feature = "std")]
use crate::wait::Wait;

/// Tells a handler how long its work is wanted, and to which trace it belongs.
///
/// You give one to a tick, and each handler that asks for it gets a reference. It stops nothing: a
/// handler that does not check it runs to its end. It is `Copy`, so a handler may pass on a
/// narrowed one.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use tickbus::context::Context;
/// use tickbus::wait::{Cancel, Wait};
///
/// let shutdown = Cancel::new();
/// let context = Context::new().within(Wait::forever().until(&shutdown));
/// assert!(!context.is_over());
///
/// shutdown.cancel();
/// assert!(context.is_over() && context.is_cancelled());
///
/// let late = context.within(Wait::forever().deadline(Instant::now()));
/// assert!(late.is_over() && !late.is_cancelled());
/// ```
///
/// Without `std`, pass a function that returns `true` when the work should stop:
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use tickbus::context::Context;
/// use tickbus::envelope::TraceParent;
///
/// static TICKS: AtomicU32 = AtomicU32::new(0);
/// let late = || TICKS.load(Ordering::Relaxed) >= 10;
/// let context = Context::new().until(&late).with_trace(TraceParent::new(1, 2));
///
/// assert!(!context.is_over());
/// TICKS.store(10, Ordering::Relaxed);
/// assert!(context.is_over());
/// assert_eq!(context.trace().unwrap().trace_id(), 1);
/// ```
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    #[cfg(feature = "std")]
    wait: Wait<'a>,
    over: Option<&'a (dyn Fn() -> bool + Sync)>,
    trace: Option<TraceParent>,
}

impl<'a> Context<'a> {
    /// Returns a context without a limit and without a trace.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            wait: Wait::forever(),
            over: None,
            trace: None,
        }
    }

    /// Sets the deadline and the cancellation, those of `wait`. Each call replaces the previous
    /// one.
    #[cfg(feature = "std")]
    #[must_use]
    pub const fn within(self, wait: Wait<'a>) -> Self {
        Self { wait, ..self }
    }

    /// Sets a function that returns `true` when the work should stop. It reads your clock or your flag.
    #[must_use]
    pub const fn until(self, over: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { over: Some(over), ..self }
    }

    /// Sets the trace to which the work belongs, or none.
    #[must_use]
    pub const fn with_trace(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// Returns the deadline, if there is one.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wait.limit()
    }

    /// Returns whether it was cancelled, by the `Cancel` of its wait.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.wait.is_cancelled()
    }

    /// Returns whether the work should stop: it is cancelled, the deadline has passed, or your function returns `true`.
    #[must_use]
    pub fn is_over(&self) -> bool {
        #[cfg(feature = "std")]
        if self.wait.is_over() {
            return true;
        }
        self.over.is_some_and(|over| over())
    }

    /// Returns the wait for a `publish_wait` in a handler: until the deadline or the cancellation.
    #[cfg(feature = "std")]
    pub const fn wait(&self) -> Wait<'a> {
        self.wait
    }

    /// Returns the trace to which the work belongs.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceParent> {
        self.trace
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Context");
        #[cfg(feature = "std")]
        shown.field("wait", &self.wait);
        shown.field("trace", &self.trace).finish_non_exhaustive()
    }
}
