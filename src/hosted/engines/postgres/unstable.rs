//! What has types of the client in its signatures: it changes when the client does, outside the promise of
//! this crate's version.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use tokio_postgres::Transaction;

use super::error::PostgresError;
use super::outbox::Outbox;
use crate::envelope::{Envelope, InvalidEnvelope};
use crate::hosted::broker::CrudTarget;
use crate::hosted::store::{EventRecord, PayloadError};

/// Writes an event in your transaction. A [`Relay`](super::Relay) publishes it after the commit.
///
/// It returns the envelope as it will be published, with its id and time.
///
/// # Errors
///
/// Returns [`PostgresError`] from the future if it is not written. After
/// [`Nul`](PostgresError::Nul) the transaction can go on, after the others it cannot.
pub async fn write(
    outbox: &Outbox,
    transaction: &Transaction<'_>,
    envelope: Envelope,
) -> Result<Arc<Envelope>, PostgresError> {
    outbox.write(transaction, envelope).await
}

/// An outbox in a transaction, for [`Crud`](crate::hosted::broker::Crud): the event of a change is written
/// where the change is.
///
/// The subject of an event is its type, such as `public.users.create`, and its payload is the row. Its id is
/// that of the record.
///
/// # Examples
///
/// ```no_run
/// use tickbus::hosted::broker::Crud;
/// use tickbus::hosted::engines::postgres::Outbox;
/// use tickbus::hosted::engines::postgres::unstable::InTransaction;
///
/// # async fn run(outbox: Outbox, mut client: tokio_postgres::Client)
/// # -> Result<(), Box<dyn core::error::Error>> {
/// let transaction = client.transaction().await?;
/// transaction.execute("INSERT INTO users VALUES (7, 'Ada')", &[]).await?;
/// let crud = Crud::new(InTransaction::new(&outbox, &transaction).with_key("users/7"), "public");
/// crud.created("users", &(7, "Ada")).await?;
/// transaction.commit().await?; // both, or neither
/// # Ok(())
/// # }
/// ```
pub struct InTransaction<'a> {
    outbox: &'a Outbox,
    transaction: &'a Transaction<'a>,
    key: Box<str>,
}

impl<'a> InTransaction<'a> {
    /// Returns what writes in this transaction.
    #[must_use]
    pub fn new(outbox: &'a Outbox, transaction: &'a Transaction<'a>) -> Self {
        Self { outbox, transaction, key: "".into() }
    }

    /// Sets the key of the events, such as one of the row. Events of a key are published in order.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Box<str>>) -> Self {
        self.key = key.into();
        self
    }
}

/// An event of a change was not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotWritten {
    /// The row is not possible as JSON.
    Payload(PayloadError),
    /// The schema, the entity and the operation are no subject.
    Envelope(InvalidEnvelope),
    /// Postgres did not write it.
    Postgres(PostgresError),
}

impl CrudTarget for InTransaction<'_> {
    type Error = NotWritten;

    async fn take(&self, record: EventRecord) -> Result<(), NotWritten> {
        let mut envelope = Envelope::new(record.event_type())
            .map_err(|invalid| NotWritten::Envelope(InvalidEnvelope::Subject(invalid)))?
            .with_id(record.id.as_str())
            .with_time(record.created_at)
            .with_key(self.key.clone());
        if let Some(row) = record.raw_payload() {
            let invalid = |invalid| NotWritten::Envelope(InvalidEnvelope::Payload(invalid));
            envelope = envelope.with_raw_payload(row).map_err(invalid)?;
        }
        self.outbox.write(self.transaction, envelope).await.map_err(NotWritten::Postgres)?;
        Ok(())
    }
}

impl fmt::Debug for InTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransaction")
            .field("outbox", &self.outbox)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::Envelope(invalid) => fmt::Display::fmt(invalid, f),
            Self::Postgres(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for NotWritten {}

impl From<PayloadError> for NotWritten {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}
