//! When handlers run: [`ProcessingMode`].

use serde::Serialize;

/// When the handlers of a published event run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum ProcessingMode {
    /// On workers, after `publish` has returned.
    #[default]
    #[serde(rename = "async")]
    Asynchronous,
    /// Before `publish` returns.
    #[serde(rename = "sync")]
    Synchronous,
}
