//! What a start does while a server does not answer: [`OnStart`].

use core::time::Duration;

/// Says what a start does while an engine cannot be reached.
///
/// Only a missing connection is worth another attempt. A refusal, such as a wrong password, ends
/// the start at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStart {
    /// Fails after one attempt.
    #[default]
    Fail,
    /// Tries again, for at most this long, and then fails.
    Wait(Duration),
    /// Succeeds at once, and tries again in the background until the engine is up.
    Background,
}
