//! The log: an [`Engine`] on tables of Postgres.
//!
//! | | |
//! |---|---|
//! | a publish is | [`Stored`](Level::Stored): it is committed. What survives the end of the server is what its `synchronous_commit` and `fsync` say |
//! | live subscriptions | yes, read from the log |
//! | durable subscriptions | yes: a group |
//! | wildcards | exact at the server: `=` or a regular expression over the subject; the core matcher decides |
//! | order | by key over the whole group. Without a key, and between keys: as published if the log has [one lane](Postgres::lanes), else as published until lanes move between members |
//! | a group | its members share the lanes of the log. A key has one lane, and events without a key are spread over all. One member at a time has a lane |
//! | acknowledged | by [`Delivery::ack`](crate::hosted::Delivery::ack): the server knows of it after about 5 ms, and its disk a little later. If the process or the server is killed before that, the event comes again. `ack_async` waits for the commit, on the disk |
//! | a retry | kept by the server, in a table of retries, until its time has come. The events behind it go on |
//! | attempts | counted by the server: also after a process has died, or by another member |
//! | replay | by sequence, by time, and from the earliest that the log still has |
//! | deduplication | by the id, at the server, among the last [`segment`](Postgres::segment) of events at least |
//! | late answers | refused by the server: each change of a lane has the next version number. The server takes each number once, so a late member's change fails |
//! | an extension | of any length, while the member lives |
//! | a lease | each member's own. It begins when you take the delivery. If the process dies, what it had comes again when the lease of its lanes ends, 200 ms at least |
//! | after a lost connection | continues where it was |
//! | events that the server has removed | [`Gap`](crate::hosted::Gap) `Trimmed` |
//! | dead letters | in a table beside it, [if you say so](Postgres::dead_letters) |
//! | the form | the [JSON form](crate::hosted::wire) of the envelope as a text, and its subject, id and key as columns |
//!
//! # How it works
//!
//! Events are inserted, never changed, into segments that are tables of their own. A batch is what is
//! committed in one snapshot and was not in the one before, so a transaction that stays open delays its own
//! events only. Who has a lane, how far it is and what is open of it is one row; each change inserts the
//! next one. Two tables of such rows take turns: the older one is emptied when each lane has a row in the
//! other. So nothing is left for `VACUUM` to do, but for the table of retries, which is small.
//!
//! If the server refuses a request of a subscription, the engine repeats it, and [`health`](Engine::health) says why.
//!
//! A commit wakes members in other processes by `NOTIFY`, sent after it, so that commits do not wait for each
//! other. An engine sends one a millisecond at most, and none while it is alone: each engine says every 2 s that
//! it listens. Readers also look each [`poll`](Postgres::poll).
//!
//! A member writes what it has read while it reads on, on two connections of the pool.
//!
//! Each statement is prepared, and planned once for all its values (`plan_cache_mode`). The sessions plan with
//! indexes only, so that a plan made for an empty table is right for a full one.
//!
//! # Traps
//!
//! - A group has as many members at work as the log has lanes, 16 by default. The number is fixed when the
//!   log is created.
//! - `retry_after` lets what follows in the lane go on, with the same key too. A handler
//!   [by key](crate::hosted::Subscribe::by_key) holds the key.
//! - A connection that stays in a transaction in which it has read the log keeps old segments and old rows
//!   of positions from being removed: they grow until it ends. Nothing else waits for it.
//! - [`max_events`](Postgres::max_events) counts sequences, and a publish that fails may use one up. What is
//!   beyond is not delivered any more; the disk has it back when its whole segment is out.
//! - An event of a transaction that commits after its segment is out is not delivered, without a gap: let the log
//!   keep more than what is published while your longest transaction is open.
//! - An id is known for a segment at least. A publish whose outcome is unknown and that is repeated later
//!   than that is two events.
//! - If two connections publish one id at the same moment, and a segment ends between them, it is two events.
//! - A gap never knows how many events are missing. It may come without a loss for the subscription: what
//!   was removed may not have been for it, or it had read that while it read a backlog.
//! - [`max_age`](Postgres::max_age) ends a segment that is too old, so sequences jump over up to two segments.
//!   `max_events` counts these too: with both, keep more than two segments of events.
//! - All members of a group must have the same patterns: the engine refuses others.
//! - The rows of a log are of one server: positions are numbers of its transactions. Do not copy them to
//!   another one by `pg_dump`. Replication and `pg_upgrade` keep them.
//! - Behind a pooler that gives each transaction another connection (`PgBouncer`), `LISTEN` and prepared
//!   statements do not work: connect to the server itself.
//! - Another program publishes by `INSERT INTO game (subject, key, envelope)`: the JSON form of an envelope,
//!   or any text, which is the payload then. Call `pg_notify` with the channel, or wait for the poll. A row
//!   that cannot be an envelope is a gap, `Unreadable`.
//! - Postgres cannot keep the character NUL in a text. In the columns of the subject, the key and the id,
//!   it is replaced; the envelope has it.
//! - A payload may have 16 MiB, and an id 2000 bytes.

mod base;
mod fetch;
mod filter;
mod group;
mod lanes;
mod listen;
mod live;
#[expect(clippy::module_inception, reason = "a log is what is up")]
mod log;
mod member;
mod position;
mod publish;
mod queue;
mod schema;
mod settings;
mod share;
mod upkeep;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use self::log::Log;
use self::settings::Settings;
use super::database::Database;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::provision::Provision;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine that is a log in a Postgres database, of version 13 or later. It is tested on 15.
///
/// The settings say where and how to connect. [`start`](Engine::start) connects, on the runtime of
/// tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` panics. After the start the engine reconnects by
/// itself, without a time limit.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, StartAt};
/// use tickbus::hosted::engines::Postgres;
/// use tickbus::hosted::engines::postgres::Provision;
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let fleet = Postgres::new("postgres://game@127.0.0.1/game")
///     .log("game")
///     .max_events(10_000_000)
///     .provision(Provision::Create);
/// fleet.start().await?;
///
/// let score = Envelope::json("match.7.score", &3)?.with_key("match-7");
/// let receipt = fleet.publish(score.into()).await?;
/// assert!(receipt.sequence.is_some());
///
/// let ladder = fleet.subscribe("match.*.score")?.group("ladder").start_at(StartAt::Earliest);
/// let mut ladder = ladder.open().await?;
/// while let Some(Ok(delivery)) = ladder.next().await {
///     println!("{:?}", delivery.envelope());
///     delivery.ack();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Postgres {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Log>,
}

impl Postgres {
    /// Returns the settings for the database at `url`, `postgres://user:password@host:port/database`.
    ///
    /// [`Database::new`] says what else a URL may have, and when the connection is by TLS.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Database::new(url).pool_size(10))
    }

    /// Returns the settings for a database that you have described.
    #[must_use]
    pub fn of(database: Database) -> Self {
        Self {
            name: "postgres".into(),
            settings: Settings {
                database,
                log: "events".into(),
                lanes: 16,
                segment: 250_000,
                max_events: 0,
                max_age: Duration::ZERO,
                dead_letters: 0,
                max_attempts: None,
                poll: Duration::from_secs(1),
                on_start: OnStart::default(),
            },
            starting: Starting::new(),
        }
    }

    setters!(named "postgres");

    /// Sets the name of the log, `table` or `schema.table`: `events` by default. Its tables begin so.
    #[must_use]
    pub fn log(mut self, name: impl Into<String>) -> Self {
        self.settings.log = name.into();
        self
    }

    /// Sets how many lanes a log has that the engine creates: 16 by default. An existing log keeps its own.
    #[must_use]
    pub const fn lanes(mut self, lanes: u16) -> Self {
        self.settings.lanes = lanes;
        self
    }

    /// Sets how many events each segment of a log has that the engine creates: 250,000 by default.
    ///
    /// The server knows the ids of so many events at least, and removes events in whole segments.
    #[must_use]
    pub const fn segment(mut self, events: u32) -> Self {
        self.settings.segment = events;
        self
    }

    /// Sets how many events the log keeps: all by default. 0 is all.
    #[must_use]
    pub const fn max_events(mut self, events: u64) -> Self {
        self.settings.max_events = events;
        self
    }

    /// Sets how long the log keeps an event at least: without a limit by default. 0 is without a limit.
    ///
    /// A segment is dropped when all its events are older.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age;
        self
    }

    /// Keeps at least the last so many rejected events, and those out of attempts, in a table: none by
    /// default. 0 is none.
    ///
    /// For the log `game` it is `game_dead`, with the reason, the attempts and the group.
    #[must_use]
    pub const fn dead_letters(mut self, events: u64) -> Self {
        self.settings.dead_letters = events;
        self
    }

    /// Sets how often an event is delivered in groups that do not say it. 0, the default, is without a
    /// limit.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = if attempts == 0 { None } else { Some(attempts) };
        self
    }

    /// Sets how often a reader looks for events that no notification has announced: 1 s by default.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.settings.poll = every.min(FOR_EVER);
        self
    }

    /// Sets what the engine does about a missing log: [`Provision::Check`] by default.
    #[must_use]
    pub fn provision(mut self, provision: Provision) -> Self {
        self.settings.database = self.settings.database.provision(provision);
        self
    }

    /// Logs in with a name and a password, whatever the URL has.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.database = self.settings.database.password(user, password);
        self
    }

    /// Sets how many connections there are at most: 10 by default, and one more that listens.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.settings.database = self.settings.database.pool_size(connections);
        self
    }

    /// Connects by TLS or not at all.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.settings.database = self.settings.database.tls();
        self
    }

    /// Trusts the authorities in this PEM file, instead of those of the system. Connects by TLS or
    /// not at all.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.database = self.settings.database.ca_file(path);
        self
    }

    /// Shows the server this certificate and its key, both PEM files. Connects by TLS or not at
    /// all.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.settings.database = self.settings.database.client_certificate(certificate, key);
        self
    }

    setters!(on_start);

    /// Sets how long the engine waits for an answer of the server: 5 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.database = self.settings.database.timeout(timeout);
        self
    }
}

impl Engine for Postgres {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let live = [Can::Headers, Can::PublisherOrder, Can::Gaps, Can::Deduplication];
        let mut can = Capabilities::new()
            .level(Level::Stored)
            .max_payload(publish::LIMIT)
            .live(live)
            .durable([
                Can::Headers,
                Can::KeyOrderAcrossGroup,
                Can::Deduplication,
                Can::Redelivery,
                Can::Delay,
                Can::Attempts,
                Can::Extend,
                Can::FencingServer,
                Can::Resume,
                Can::StartEarliest,
                Can::StartSequence,
                Can::StartTime,
                Can::Gaps,
            ]);
        // One member has the one lane.
        if self.starting.get().map_or(self.settings.lanes == 1, |log| log.base.lanes == 1) {
            can = can.durable([Can::PublisherOrder]);
        }
        if self.settings.dead_letters > 0 {
            can = can.durable([Can::DeadLetters]);
        }
        can
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |log| live::open(log, options))
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |log| member::open(log, options))
    }

    fn health(&self) -> Health {
        self.starting.health(|log| log.base.health())
    }

    fn lag(&self) -> Option<u64> {
        self.starting.get().ok()?.lag()
    }
}

/// Says where and how, but no secret.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("name", &self.name)
            .field("database", &self.settings.database)
            .field("log", &self.settings.log)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
