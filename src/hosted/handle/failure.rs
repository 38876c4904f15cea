//! How a handler fails: [`OnFailure`], [`Failed`], and the errors that are not the handler's own.

use alloc::boxed::Box;
use alloc::string::String;
use core::any::Any;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use crate::envelope::Envelope;
use crate::hosted::engine::Reason;
use crate::wait::panics::Panics;

/// Says what becomes of an event whose handler has failed.
///
/// See [`Subscribe::classify`](crate::hosted::Subscribe::classify).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFailure {
    /// Try again, as the retry policy says. The default.
    #[default]
    Retry,
    /// Do not try again: the event becomes a dead letter.
    Reject,
    /// Do not try again, and keep no dead letter.
    Drop,
}

/// One failed call of a handler, as [`on_failed`](crate::hosted::Subscribe::on_failed) receives it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failed<'a> {
    /// The event.
    pub envelope: &'a Envelope,
    /// The engine that it came from.
    pub engine: &'a str,
    /// How often the event was tried, this time included.
    pub attempt: u32,
    /// The error of the handler, or [`HandlerPanicked`], [`HandlerTimedOut`].
    pub error: &'a (dyn Error + Send + Sync + 'static),
    /// When the event is tried again. `None` if it is not.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.envelope.subject())?;
        match self.retry_after {
            Some(wait) => write!(f, "failed, attempt {}, next in {wait:?}: ", self.attempt)?,
            None => write!(f, "failed after {}: ", Attempts(self.attempt))?,
        }
        write!(f, "{}", self.error)
    }
}

/// One call of a handler that returned a message, as
/// [`on_handled`](crate::hosted::Subscribe::on_handled) receives it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Handled<'a> {
    /// The event.
    pub envelope: &'a Envelope,
    /// The engine that it came from.
    pub engine: &'a str,
    /// How often the event was tried, this time included.
    pub attempt: u32,
    /// What the handler said.
    pub message: &'a str,
}

impl fmt::Display for Handled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` handled: {}", self.envelope.subject(), self.message)
    }
}

/// What an observer hears of a call.
pub(in crate::hosted) enum Heard<'a> {
    Failed(&'a Failed<'a>),
    Handled(&'a Handled<'a>),
}

/// `1 attempt`, `4 attempts`.
pub(super) struct Attempts(pub(super) u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempt{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// A handler panicked. The worker goes on.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandlerPanicked {
    /// The text of the panic.
    pub message: Box<str>,
}

impl HandlerPanicked {
    pub(super) fn new(panic: &(dyn Any + Send)) -> Self {
        Self { message: panic_text(panic).into() }
    }
}

/// Returns the reason of an engine that panicked.
pub(in crate::hosted) fn panicked(panic: Box<dyn Any + Send>) -> Reason {
    let text = panic_text(&*panic).into();
    Panics::default().dispose(panic);
    Reason::Panicked(text)
}

/// Returns what a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

impl fmt::Display for HandlerPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler panicked: {}", self.message)
    }
}

impl Error for HandlerPanicked {}

/// A handler took longer than its timeout.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandlerTimedOut {
    /// The timeout.
    pub timeout: Duration,
}

impl HandlerTimedOut {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl fmt::Display for HandlerTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler took longer than {:?}", self.timeout)
    }
}

impl Error for HandlerTimedOut {}

/// An event has no payload, and the handler needs one.
#[derive(Debug)]
pub(super) struct NoPayload;

impl fmt::Display for NoPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("there is no payload")
    }
}

impl Error for NoPayload {}
