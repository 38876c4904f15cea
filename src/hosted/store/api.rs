//! What keeps records: [`Store`].

use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use super::filter::EventFilter;
use super::page::{Page, StoreStats};
use super::record::{EventRecord, InvalidRecord};
use super::stream::Records;
use crate::envelope::Timestamp;
use crate::hosted::engine::BoxError;
use crate::hosted::future::EngineFuture;
use crate::subject::GlobPattern;

/// Keeps records. What a store has is the truth: times, error and retries of a record are those
/// that were stored last.
///
/// The trait is usable as an object.
pub trait Store: Send + Sync + 'static {
    /// Stores a record. One of the same id is replaced, and keeps its place in lists.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] from the future if the record is not valid, or the store is closed or
    /// fails. Nothing has changed then.
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>>;

    /// Returns the record of this id.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] from the future if there is none.
    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>>;

    /// Replaces the record of the same id.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] from the future if there is none.
    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>>;

    /// Stores a record that others have too, as [`put`](Self::put) does. The default implementation
    /// clones it. A store in memory keeps it as it is.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`put`](Self::put) from the future.
    fn put_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        self.put(Arc::unwrap_or_clone(record))
    }

    /// Replaces a record by one that others have too, as [`update`](Self::update) does. The default
    /// implementation clones it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`update`](Self::update) from the future.
    fn update_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        self.update(Arc::unwrap_or_clone(record))
    }

    /// Removes the record of this id.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] from the future if there is none.
    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>>;

    /// Returns the selected records, those that were stored first before the others.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] from the future if the store is closed or fails.
    fn list(&self, filter: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>>;

    /// Removes completed and failed records that were made before this time. Returns how many.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] from the future if the store is closed or fails.
    fn clean_up(&self, before: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>>;

    /// Returns a stream of the records that are stored from now on, whose type matches `pattern`.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Closed`] if the store is closed.
    fn stream(&self, pattern: GlobPattern<'_>) -> Result<Records, StoreError>;

    /// Returns how many records there are.
    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>>;

    /// Closes the store. Streams end after what was stored. A second call does nothing.
    fn close(&self);
}

/// A store did not do what you asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no record of this id.
    NotFound(String),
    /// The record is not valid.
    Invalid(InvalidRecord),
    /// The store is closed.
    Closed,
    /// What is behind the store failed.
    Failed(BoxError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(id) => write!(f, "event not found: {id}"),
            Self::Invalid(invalid) => fmt::Display::fmt(invalid, f),
            Self::Closed => f.pad("the store is closed"),
            Self::Failed(error) => write!(f, "the store failed: {error}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}

impl From<InvalidRecord> for StoreError {
    fn from(invalid: InvalidRecord) -> Self {
        Self::Invalid(invalid)
    }
}
