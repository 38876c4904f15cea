//! What runs around the handlers of a table: hooks, and wrappers.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Display};

use super::subscription::Subscription;
use crate::bus::Message;
use crate::context::Context;
use crate::envelope::Envelope;
use crate::wait::panics::Panics;

/// The call of a handler around which a hook or a wrapper runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The subscription that the envelope came from, with its name and patterns.
    pub subscription: &'a Subscription,
    /// The envelope.
    pub envelope: &'a Arc<Envelope>,
    /// The context that you gave to the tick, with the trace of the envelope.
    pub context: &'a Context<'a>,
}

/// The outcome of one call of a handler.
///
/// A handler that you added by [`on_with_context`](super::SubjectHandlers::on_with_context) gives
/// its message and its error. A handler that you added by [`on`](super::SubjectHandlers::on) does
/// not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler succeeded. The message is empty if it returned none.
    Handled(Box<str>),
    /// The handler returned an error with this text.
    Failed(Box<str>),
    /// The handler panicked. Without `std`, the tick does not catch a panic.
    Panicked,
}

impl Outcome {
    pub(super) const fn is_handled(&self) -> bool {
        matches!(self, Self::Handled(_))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text) = match self {
            Self::Handled(text) => ("handled", &**text),
            Self::Failed(text) => ("failed", &**text),
            Self::Panicked => ("panicked", ""),
        };
        f.write_str(what)?;
        if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
    }
}

/// What a handler with a context may return: `()`, a [`Message`], or a `Result` of one of them.
///
/// The message and the error are [`Display`]. See
/// [`SubjectHandlers::on_with_context`](super::SubjectHandlers::on_with_context).
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a handler with a context cannot return `{Self}`",
    note = "it returns `()`, `Message<M>`, or a `Result` of one of them, with `Display` for `M` and the error"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Tell`")]
pub trait Answer: Tell {}

/// The method of [`Answer`].
pub(crate) trait Tell {
    /// Says what became of the call; the texts are made only if they are `wanted`.
    fn tell(self, wanted: bool) -> Outcome;
}

fn text(of: &impl Display, wanted: bool) -> Box<str> {
    if wanted { of.to_string().into() } else { Box::default() }
}

impl Answer for () {}

impl Tell for () {
    fn tell(self, _: bool) -> Outcome {
        Outcome::Handled(Box::default())
    }
}

impl<M: Display> Answer for Message<M> {}

impl<M: Display> Tell for Message<M> {
    fn tell(self, wanted: bool) -> Outcome {
        Outcome::Handled(text(&self.0, wanted))
    }
}

impl<A: Answer, X: Display> Answer for Result<A, X> {}

impl<A: Answer, X: Display> Tell for Result<A, X> {
    fn tell(self, wanted: bool) -> Outcome {
        match self {
            Ok(answer) => answer.tell(wanted),
            Err(error) => Outcome::Failed(text(&error, wanted)),
        }
    }
}

pub(super) type Before<C> = Box<dyn FnMut(&mut C, &Call<'_>) + Send>;
pub(super) type After<C> = Box<dyn FnMut(&mut C, &Call<'_>, &Outcome) + Send>;
pub(super) type Wrapper<C> =
    Box<dyn FnMut(&mut C, &Call<'_>, &mut dyn FnMut(&mut C) -> Outcome) -> Outcome + Send>;

/// Each in the order of their addition.
pub(super) struct Hooks<C> {
    pub(super) before: Vec<Before<C>>,
    pub(super) after: Vec<After<C>>,
    pub(super) on_error: Vec<After<C>>,
    /// From the outermost to the innermost.
    pub(super) wrappers: Vec<Wrapper<C>>,
}

impl<C> Hooks<C> {
    pub(super) const fn new() -> Self {
        Self { before: Vec::new(), after: Vec::new(), on_error: Vec::new(), wrappers: Vec::new() }
    }

    /// Calls the handler with all that is around it. A hook that panics keeps nothing else from
    /// running.
    pub(super) fn run(
        &mut self,
        state: &mut C,
        call: &Call<'_>,
        handler: &mut dyn FnMut(&mut C) -> Outcome,
    ) -> Outcome {
        let mut panics = Panics::default();
        for hook in &mut self.before {
            panics.run(|| hook(state, call));
        }
        let mut outcome = wrapped(&mut self.wrappers, state, call, handler);
        for hook in &mut self.after {
            panics.run(|| hook(state, call, &outcome));
        }
        if !panics.none() {
            outcome = Outcome::Panicked;
        }
        if !outcome.is_handled() {
            for hook in &mut self.on_error {
                if panics.run(|| hook(state, call, &outcome)).is_none() {
                    outcome = Outcome::Panicked;
                }
            }
        }
        outcome
    }
}

/// Calls the handler inside of the wrappers. A panic ends at the wrapper around it.
fn wrapped<C>(
    wrappers: &mut [Wrapper<C>],
    state: &mut C,
    call: &Call<'_>,
    handler: &mut dyn FnMut(&mut C) -> Outcome,
) -> Outcome {
    let result = Panics::default().run(|| match wrappers.split_first_mut() {
        None => handler(state),
        Some((outer, inner)) => {
            outer(state, call, &mut |state| wrapped(inner, state, call, handler))
        }
    });
    result.unwrap_or(Outcome::Panicked)
}
