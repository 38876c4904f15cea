//! Records as they are stored: [`Records`].

use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

use super::record::EventRecord;
use crate::subject::{GlobPattern, Subject};

/// Receives the records that are stored, from now on. It ends when the store closes.
#[derive(Debug)]
#[must_use = "dropping it ends the stream"]
pub struct Records {
    pattern: String,
    from: Receiver<Arc<EventRecord>>,
}

/// A reader was slower than its store, and missed this many records of any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missed {} records: the reader was too slow", self.0)
    }
}

impl Error for Missed {}

impl Records {
    /// Returns the stream of what `sender` sends from now on. A store of your own makes it.
    pub fn new(pattern: GlobPattern<'_>, sender: &Sender<Arc<EventRecord>>) -> Self {
        Self { pattern: pattern.as_str().into(), from: sender.subscribe() }
    }

    /// Waits for the next record. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns [`Missed`] if records are missing at this place. The stream continues after it.
    pub async fn next(&mut self) -> Option<Result<Arc<EventRecord>, Missed>> {
        loop {
            match self.from.recv().await {
                Ok(record) if self.matches(&record) => return Some(Ok(record)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Some(Err(Missed(missed))),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// A type that is no subject matches `*` alone.
    fn matches(&self, record: &EventRecord) -> bool {
        let Ok(pattern) = GlobPattern::new(&self.pattern) else { return false };
        match Subject::new(record.event_type()) {
            Ok(subject) => pattern.matches(subject),
            Err(_) => self.pattern == "*",
        }
    }
}
