//! What a start does while an engine cannot be reached: [`OnStart`].

use core::time::Duration;

/// What [`start`](super::Engine::start) does while an engine cannot be reached.
///
/// A router has it for each of its engines, and an engine of a server for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStart {
    /// Fails after one attempt.
    ///
    /// An attempt of the Postgres log lasts for its `timeout`: a database that restarts meanwhile is
    /// found.
    #[default]
    Fail,
    /// Tries again, for at most this long, and then fails. A refusal, such as of a wrong password,
    /// fails at once.
    Wait(Duration),
    /// Returns at once. The engine tries again in the background, without a time limit, whatever
    /// the reason of the failure.
    ///
    /// Until it is connected, its [`health`](super::Engine::health) is
    /// [`Connecting`](super::Health::Connecting), or [`Down`](super::Health::Down) with the reason
    /// if a server refused. Publishing fails: try again later. A router opens subscriptions when
    /// the engine is up. The engine alone returns
    /// [`Reason::Disconnected`](super::Reason::Disconnected) for them, and its capabilities do not
    /// contain the server's limit of payloads before.
    Background,
}
