//! Events that are written in a transaction, and published after its commit: [`Outbox`].

mod held;
mod relay;
mod session;
mod stats;
mod write;

use alloc::string::String;
use core::fmt;

pub use self::relay::{Relay, RelayBuilder};
pub use self::stats::RelayStats;
use super::connection::Connection;
use super::database::Database;
use super::error::PostgresError;
use super::table::Table;

/// A table of events that wait to be published.
///
/// You write an event in the transaction that changes your own tables: by
/// [`unstable::write`](super::unstable::write), or by `INSERT` from SQL. A [`relay`](Self::relay)
/// publishes it after the commit, and never without one.
///
/// ```text
/// your transaction: UPDATE users … + write(event) ── COMMIT ──▶ table ──▶ Relay ──▶ Engine
///                                                  └ ROLLBACK: nothing
/// ```
///
/// | if this happens | then |
/// |---|---|
/// | the transaction rolls back | nothing is published |
/// | it commits | the event is published, with the id that `write` returned |
/// | its process is killed after the commit | another relay publishes, or the next one |
/// | a relay is killed after it published, before it removed the rows | the next one publishes at most 256 events, of about 4 MiB, again: the same envelopes with the same ids |
/// | Postgres ends or restarts | the relay connects again and goes on |
/// | the engine fails, or answers `Unknown` | the event waits, and with it those of its key; others go on. It is published again, with the same id |
/// | the engine can never take it: it is too large, or has a wrong subject or header | the row stays with the reason in its column `refused`, is counted, and its key goes on |
///
/// **Order.** Events of one key are published in the order in which they were written, one after the
/// other. For that, a transaction that writes an event with a key holds this key until it ends: another
/// one that writes the same key waits. If a transaction writes several keys, let all of them do so in the
/// same order, or Postgres ends one as a deadlock. Events without a key have no order, and do not wait.
///
/// **Several relays.** One of them publishes. Another one takes over when it ends. For that they
/// need a session of their own with Postgres: no pooler that shares sessions between transactions.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
/// use tickbus::Envelope;
/// use tickbus::hosted::Engine;
/// use tickbus::hosted::engines::postgres::{Database, Outbox, Provision, unstable};
///
/// # async fn run(engine: Arc<dyn Engine>, mut client: tokio_postgres::Client)
/// # -> Result<(), Box<dyn core::error::Error>> {
/// let database = Database::new("postgres://shop@127.0.0.1/shop").provision(Provision::Create);
/// let outbox = Outbox::connect(&database, "public.outbox").await?;
/// let relay = outbox.relay(engine).start()?;
///
/// let transaction = client.transaction().await?;
/// transaction.execute("UPDATE users SET name = 'Ada' WHERE id = 7", &[]).await?;
/// let renamed = Envelope::json("users.renamed", &"Ada")?.with_key("users/7");
/// unstable::write(&outbox, &transaction, renamed).await?;
/// transaction.commit().await?; // now it is published, whatever happens to this process
/// # drop(relay);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    connection: Connection,
    table: Table,
    notifies: bool,
}

/// What a table must have.
const COLUMNS: &[(&str, &str)] = &[
    ("place", "int8"),
    ("key", "text"),
    ("subject", "text"),
    ("envelope", "json"),
    ("written_at", "timestamptz"),
    ("refused", "text"),
];

fn create(table: &Table) -> String {
    alloc::format!(
        "CREATE TABLE {table} (
            place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key text NOT NULL DEFAULT '',
            subject text NOT NULL,
            envelope json NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now(),
            refused text
        )"
    )
}

impl Outbox {
    /// Connects, and sees to the table `table` or `schema.table` as the settings say.
    ///
    /// Name the schema if your transactions may have another `search_path` than this connection.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError`] from the future if the settings are not possible, there is no
    /// connection, or the table is missing.
    pub async fn connect(database: &Database, table: &str) -> Result<Self, PostgresError> {
        let connection = Connection::new(database)?;
        let table = Table::new(table)?;
        table.provide(&connection, database.provision, &create(&table), COLUMNS).await?;
        Ok(Self { connection, table, notifies: true })
    }

    /// Lets writes not wake the relay: it looks for events each [`poll`](RelayBuilder::poll).
    ///
    /// Commits that notify wait for each other on the whole server. Use this if there are thousands a
    /// second.
    #[must_use]
    pub const fn without_notify(mut self) -> Self {
        self.notifies = false;
        self
    }

    /// Returns how many events are committed and not published, and how many the engine can never take.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError`] from the future if Postgres does not answer.
    pub async fn pending(&self) -> Result<(u64, u64), PostgresError> {
        let sql = alloc::format!("SELECT count(*), count(refused) FROM {}", self.table);
        let mut attempts = self.connection.attempts();
        loop {
            let client = attempts.client().await?;
            let answer = attempts.answer(client.query_typed_one(&sql, &[])).await;
            client.give_back(&answer);
            if let Some(row) = answer? {
                let [all, refused] =
                    [0, 1].map(|at| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0));
                return Ok((all - refused, refused));
            }
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("server", &self.connection.server())
            .field("table", &self.table.name())
            .finish_non_exhaustive()
    }
}
