//! Events of what happens to the rows of a table: [`Crud`].

use alloc::boxed::Box;
use core::future::Future;

use serde::Serialize;

use super::error::BrokerError;
use super::run::Broker;
use crate::hosted::store::{EventRecord, EventSource, PayloadError};

/// Publishes what happens to the rows of a schema: create, update and delete, and read if you ask
/// for it.
///
/// Call it where you change a row, after the change is permanent. With the outbox of a database
/// (`engines::postgres::unstable::InTransaction`) call it in the transaction of the change.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use tickbus::hosted::broker::{Broker, BrokerError, Crud, ProcessingMode};
/// use tickbus::hosted::store::{EventFilter, MemoryStore, Store};
///
/// /// The names of users, by their number.
/// struct Users {
///     rows: BTreeMap<u32, String>,
///     crud: Crud,
/// }
///
/// impl Users {
///     async fn put(&mut self, id: u32, name: &str) -> Result<(), BrokerError> {
///         match self.rows.insert(id, name.into()) {
///             None => self.crud.created("users", &(id, name)).await,
///             Some(_) => self.crud.updated("users", &(id, name)).await,
///         }
///     }
///
///     async fn name(&self, id: u32) -> Result<Option<&str>, BrokerError> {
///         self.crud.read("users", &id).await?;
///         Ok(self.rows.get(&id).map(String::as_str))
///     }
///
///     async fn remove(&mut self, id: u32) -> Result<(), BrokerError> {
///         match self.rows.remove(&id) {
///             None => Ok(()), // nothing has changed
///             Some(name) => self.crud.deleted("users", &(id, name)).await,
///         }
///     }
/// }
///
/// let store = Arc::new(MemoryStore::default());
/// let broker = Broker::builder().store(store.clone()).mode(ProcessingMode::Synchronous).build()?;
/// broker.start()?;
/// let mut users = Users { rows: BTreeMap::new(), crud: Crud::new(broker, "public") };
///
/// users.put(7, "Ada").await?;
/// users.put(7, "Ada Lovelace").await?;
/// assert_eq!(users.name(7).await?, Some("Ada Lovelace")); // publishes nothing: reads are off
/// users.remove(7).await?;
/// users.remove(7).await?;
///
/// let kept = store.list(EventFilter::new().entity("users")).await?.records;
/// let events: Vec<_> = kept.iter().map(|it| (it.event_type(), it.raw_payload())).collect();
/// assert_eq!(
///     events,
///     [
///         ("public.users.create", Some(r#"[7,"Ada"]"#)),
///         ("public.users.update", Some(r#"[7,"Ada Lovelace"]"#)),
///         ("public.users.delete", Some(r#"[7,"Ada Lovelace"]"#)),
///     ]
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Crud<P = Broker> {
    target: P,
    schema: Box<str>,
    creates: bool,
    updates: bool,
    deletes: bool,
    reads: bool,
}

/// Takes the events of [`Crud`]: a [`Broker`], or an outbox in a transaction.
pub trait CrudTarget: Sync {
    /// What went wrong.
    type Error: From<PayloadError>;

    /// Takes the event of one change.
    ///
    /// # Errors
    ///
    /// Returns the error from the future if the event is not taken.
    fn take(&self, record: EventRecord) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl CrudTarget for Broker {
    type Error = BrokerError;

    async fn take(&self, record: EventRecord) -> Result<(), BrokerError> {
        self.publish(record).await
    }
}

impl<P: CrudTarget> Crud<P> {
    /// Returns hooks for the rows of `schema`. Their events go to `target`.
    #[must_use]
    pub fn new(target: P, schema: &str) -> Self {
        let schema = schema.into();
        Self { target, schema, creates: true, updates: true, deletes: true, reads: false }
    }

    /// Sets whether it publishes new rows: yes by default.
    #[must_use]
    pub const fn creates(mut self, publish: bool) -> Self {
        self.creates = publish;
        self
    }

    /// Sets whether it publishes changed rows: yes by default.
    #[must_use]
    pub const fn updates(mut self, publish: bool) -> Self {
        self.updates = publish;
        self
    }

    /// Sets whether it publishes removed rows: yes by default.
    #[must_use]
    pub const fn deletes(mut self, publish: bool) -> Self {
        self.deletes = publish;
        self
    }

    /// Sets whether it publishes rows that are read: no by default.
    #[must_use]
    pub const fn reads(mut self, publish: bool) -> Self {
        self.reads = publish;
        self
    }

    /// Publishes `schema.entity.create` with `row`.
    ///
    /// # Errors
    ///
    /// Returns the errors of the target from the future, those of [`Broker::publish`] for a broker, and
    /// [`BrokerError::Payload`] or its like if the row is not possible as JSON.
    pub async fn created<T: Serialize + ?Sized>(
        &self,
        entity: &str,
        row: &T,
    ) -> Result<(), P::Error> {
        self.publish(self.creates, entity, "create", |it| it.set_payload(row)).await
    }

    /// Publishes `schema.entity.update` with `row`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`created`](Self::created) from the future.
    pub async fn updated<T: Serialize + ?Sized>(
        &self,
        entity: &str,
        row: &T,
    ) -> Result<(), P::Error> {
        self.publish(self.updates, entity, "update", |it| it.set_payload(row)).await
    }

    /// Publishes `schema.entity.delete` with `row`, or with its key.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`created`](Self::created) from the future.
    pub async fn deleted<T: Serialize + ?Sized>(
        &self,
        entity: &str,
        row: &T,
    ) -> Result<(), P::Error> {
        self.publish(self.deletes, entity, "delete", |it| it.set_payload(row)).await
    }

    /// Publishes `schema.entity.read` with `row`, or with its key.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`created`](Self::created) from the future.
    pub async fn read<T: Serialize + ?Sized>(&self, entity: &str, row: &T) -> Result<(), P::Error> {
        self.publish(self.reads, entity, "read", |it| it.set_payload(row)).await
    }

    /// The payload is set only where it is published.
    async fn publish(
        &self,
        publish: bool,
        entity: &str,
        operation: &str,
        fill: impl FnOnce(&mut EventRecord) -> Result<(), PayloadError>,
    ) -> Result<(), P::Error> {
        if !publish {
            return Ok(());
        }
        let mut record = EventRecord::new(EventSource::Database, &self.schema, entity, operation);
        fill(&mut record)?;
        self.target.take(record).await
    }
}
