//! Records in a table: [`PostgresStore`].

mod columns;
mod list;
mod writer;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use tokio::sync::broadcast::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use self::writer::{Write, Writer};
use super::connection::Connection;
use super::database::Database;
use super::error::PostgresError;
use super::table::Table;
use super::time::parted;
use crate::envelope::Timestamp;
use crate::hosted::EngineFuture;
use crate::hosted::store::{
    Cursor, EventFilter, EventRecord, EventStatus, Page, Records, Store, StoreError, StoreStats,
};
use crate::subject::GlobPattern;
use crate::sync::Lock;

/// Keeps records in a table of a Postgres database.
///
/// Several stores, also of several programs, can use one table. Records that you store at the same time go
/// to the server in one statement, so store them concurrently if you have many.
///
/// | | |
/// |---|---|
/// | the order of lists | records of one program: as they were stored. A program that pages while another one stores may miss a record that becomes visible before its [`Cursor`] |
/// | [`total`](Page::total) and [`stats`](Store::stats) | are counted, which takes longer the more records there are |
/// | [`stream`](Store::stream) | has what this store stores, not what other programs do |
/// | room | without a limit: clean up by age. `evicted_events` is 0 |
/// | a text with the character NUL | is refused by [`PostgresError::Nul`]; in the payload and the metadata it is possible |
/// | the server is away | an operation waits for it, for at most the [`timeout`](Database::timeout), and then fails. After that the store connects again by itself |
/// | an error without an answer | [`TimedOut`](PostgresError::TimedOut) or [`Disconnected`](PostgresError::Disconnected): the change may have been made. Make it again: it has the same effect |
///
/// # Examples
///
/// ```no_run
/// use tickbus::hosted::broker::Broker;
/// use tickbus::hosted::engines::postgres::{Database, PostgresStore, Provision};
/// use tickbus::hosted::store::{EventFilter, EventStatus, Store};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let database = Database::new("postgres://shop@127.0.0.1/shop").provision(Provision::Create);
/// let store = std::sync::Arc::new(PostgresStore::connect(&database, "events").await?);
/// let broker = Broker::builder().store(store.clone()).build()?;
/// broker.start()?;
///
/// let failed = store.list(EventFilter::new().status(EventStatus::Failed).limit(100)).await?;
/// println!("{} of {}", failed.records.len(), failed.total);
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    connection: Connection,
    table: Table,
    get: String,
    /// `None` if the store is closed.
    open: Lock<Option<Open>>,
}

struct Open {
    queue: mpsc::UnboundedSender<Write>,
    news: Sender<Arc<EventRecord>>,
}

/// How many records a stream may be behind before it misses some.
const BEHIND: usize = 1024;
/// How many records a clean-up removes in one statement.
const CLEANED: u64 = 10_000;

impl PostgresStore {
    /// Connects, and sees to the table `table` or `schema.table` as the settings say.
    ///
    /// Call it in a runtime of tokio with time and I/O: what the store writes, it writes there.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError`] from the future if the settings are not possible, there is no
    /// connection, or the table is missing.
    pub async fn connect(database: &Database, table: &str) -> Result<Self, PostgresError> {
        let connection = Connection::new(database)?;
        let table = Table::new(table)?;
        let create = columns::create(&table);
        table.provide(&connection, database.provision, &create, columns::COLUMNS).await?;
        let news = Sender::new(BEHIND);
        let (queue, writes) = mpsc::unbounded_channel();
        tokio::spawn(Writer::new(connection.clone(), &table, news.clone()).run(writes));
        let get = alloc::format!("SELECT {} FROM {table} WHERE id = $1", columns::selected());
        Ok(Self { connection, table, get, open: Lock::new(Some(Open { queue, news })) })
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.open.lock().is_some() { Ok(()) } else { Err(StoreError::Closed) }
    }

    fn write(
        &self,
        record: Arc<EventRecord>,
        is_update: bool,
    ) -> EngineFuture<'_, Result<(), StoreError>> {
        if let Err(invalid) = record.validate() {
            return EngineFuture::ready(Err(invalid.into()));
        }
        if let Err(error) = columns::check(&record) {
            return EngineFuture::ready(Err(error.into()));
        }
        EngineFuture::new(async move {
            let (answer, answered) = oneshot::channel();
            let until = Instant::now() + self.connection.timeout();
            let write = Write { record, is_update, until, answer };
            match &*self.open.lock() {
                Some(open) => open.queue.send(write).map_err(|_| StoreError::Closed)?,
                None => return Err(StoreError::Closed),
            }
            answered.await.unwrap_or(Err(StoreError::Closed)) // the runtime has ended
        })
    }

    /// Asks until there is an answer. It returns the rows, and whether an attempt without an answer
    /// was before it.
    async fn ask(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<(Vec<Row>, bool), StoreError> {
        self.is_open()?;
        let mut attempts = self.connection.attempts();
        loop {
            let client = attempts.client().await?;
            let answer = attempts.answer(client.query_typed(sql, parameters)).await;
            client.give_back(&answer);
            if let Some(rows) = answer? {
                return Ok((rows, attempts.is_again()));
            }
        }
    }

    async fn page(&self, filter: EventFilter) -> Result<Page, StoreError> {
        let query = list::list(&self.table, &filter);
        let (rows, _) = self.ask(&query.sql, &query.parameters()).await?;
        let (mut records, mut last, mut total) = (Vec::new(), None, 0);
        let mut next = None;
        for row in &rows {
            total = number(row, 0)?;
            let Some(place) = row.get::<_, Option<i64>>(1) else { continue };
            if filter.limit > 0 && records.len() == filter.limit {
                next = last; // there is more
                break;
            }
            records.push(columns::read(row, 2)?);
            last = Some(Cursor(u64::try_from(place).unwrap_or(0)));
        }
        Ok(Page::new(records, next, total))
    }
}

fn number(row: &Row, at: usize) -> Result<u64, PostgresError> {
    u64::try_from(row.get::<_, i64>(at))
        .map_err(|_| PostgresError::Answer("a count below 0".into()))
}

impl Store for PostgresStore {
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        self.put_shared(Arc::new(record))
    }

    fn put_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        self.write(record, false)
    }

    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>> {
        let id = String::from(id);
        EngineFuture::new(async move {
            self.is_open()?;
            if id.contains('\0') {
                return Err(StoreError::NotFound(id));
            }
            let (rows, _) = self.ask(&self.get, &[(&id, Type::TEXT)]).await?;
            match rows.first() {
                Some(row) => Ok(columns::read(row, 0)?),
                None => Err(StoreError::NotFound(id)),
            }
        })
    }

    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        self.update_shared(Arc::new(record))
    }

    fn update_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        self.write(record, true)
    }

    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>> {
        let id = String::from(id);
        EngineFuture::new(async move {
            self.is_open()?;
            if id.contains('\0') {
                return Err(StoreError::NotFound(id));
            }
            let sql = alloc::format!("DELETE FROM {} WHERE id = $1 RETURNING 1", self.table);
            let (rows, is_again) = self.ask(&sql, &[(&id, Type::TEXT)]).await?;
            // An attempt before may have removed it.
            if rows.is_empty() && !is_again { Err(StoreError::NotFound(id)) } else { Ok(()) }
        })
    }

    fn list(&self, filter: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>> {
        EngineFuture::new(self.page(filter))
    }

    fn clean_up(&self, before: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>> {
        EngineFuture::new(async move {
            let (micros, nanos) = parted(before);
            let table = &self.table;
            let old =
                "status IN ('completed', 'failed') AND (created_at, created_nanos) < ($1, $2)";
            // Some at a time: each has the time of the settings.
            let sql = alloc::format!(
                "WITH gone AS (DELETE FROM {table} WHERE place = ANY (ARRAY(SELECT place FROM {table} \
                 WHERE {old} ORDER BY created_at LIMIT {CLEANED})) AND {old} RETURNING 1) \
                 SELECT count(*) FROM gone"
            );
            let mut removed = 0;
            loop {
                let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&micros, Type::TIMESTAMPTZ), (&nanos, Type::INT2)];
                let (rows, _) = self.ask(&sql, &parameters).await?;
                let gone = rows.first().map_or(Ok(0), |row| number(row, 0))?;
                removed += gone;
                if gone < CLEANED {
                    return Ok(removed);
                }
            }
        })
    }

    fn stream(&self, pattern: GlobPattern<'_>) -> Result<Records, StoreError> {
        let open = self.open.lock();
        open.as_ref().map(|it| Records::new(pattern, &it.news)).ok_or(StoreError::Closed)
    }

    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>> {
        EngineFuture::new(async move {
            let sql = alloc::format!("SELECT status, count(*) FROM {} GROUP BY status", self.table);
            let (rows, _) = self.ask(&sql, &[]).await?;
            let mut stats = StoreStats::default();
            for row in &rows {
                let count = number(row, 1)?;
                stats.total_events += count;
                for (status, events) in [
                    (EventStatus::Pending, &mut stats.pending_events),
                    (EventStatus::Processing, &mut stats.processing_events),
                    (EventStatus::Completed, &mut stats.completed_events),
                    (EventStatus::Failed, &mut stats.failed_events),
                ] {
                    if row.get::<_, &str>(0) == status.name() {
                        *events = count;
                    }
                }
            }
            let open = self.open.lock();
            stats.active_streams = open.as_ref().map_or(0, |it| it.news.receiver_count() as u64);
            Ok(stats)
        })
    }

    fn close(&self) {
        let open = self.open.lock().take();
        drop(open); // the writer ends, and with it the streams
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("server", &self.connection.server())
            .field("table", &self.table.name())
            .finish_non_exhaustive()
    }
}
