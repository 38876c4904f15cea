//! What all parts of a log share: the connections, the tables, and how they are asked.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::super::connection::Connection;
use super::super::error::PostgresError;
use super::schema::{COLUMNS, FORM, Tables};
use super::settings::Settings;
use super::upkeep::provide;
use crate::hosted::{Health, Reason};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// A parameter of a statement.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How many statements a connection keeps. Some name a segment, so they change.
const STATEMENTS: usize = 64;

/// A plan is made once for each statement, and walks the indexes. Without this, the server plans most
/// statements at each call, which takes longer than running them. A plan that is kept must not be the one of an empty table.
const PLANS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
                     -c enable_bitmapscan=off -c enable_sort=off -c jit=off";

pub(super) struct Base {
    /// The name of the engine.
    pub(super) name: Arc<str>,
    pub(super) connection: Connection,
    pub(super) tables: Tables,
    pub(super) lanes: i32,
    /// How many events a segment has.
    pub(super) segment: i64,
    pub(super) max_events: i64,
    pub(super) max_age: Duration,
    pub(super) dead_letters: i64,
    pub(super) max_attempts: Option<u32>,
    pub(super) poll: Duration,
    pub(super) wake: Wake,
    /// Whether there is a connection.
    pub(super) health: Lock<Health>,
    /// What readers failed at last that try again, by their numbers.
    failing: Lock<BTreeMap<usize, Arc<str>>>,
    readers: PlainNumber,
    /// The last sequence that is known.
    last: PlainNumber,
    /// 1 if the last publish had an id that is known.
    pub(super) repeats: PlainNumber,
    /// There are segments for the sequences below it.
    pub(super) end: PlainNumber,
    /// The first sequence that the tables still have, as far as it is known.
    pub(super) first: PlainNumber,
}

/// Wakes readers, here and in other processes.
pub(super) struct Wake {
    /// Changes when there may be events.
    pub(super) events: watch::Sender<u64>,
    /// Changes when members of a group may have come or gone.
    pub(super) groups: watch::Sender<u64>,
    /// What other processes are to be told.
    pub(super) tell_events: Notify,
    pub(super) tell_groups: Notify,
    /// A segment is in use for the first time: there must be another one ahead.
    pub(super) segments: Notify,
}

impl Wake {
    pub(super) fn published(&self) {
        self.events.send_modify(|count| *count += 1);
        self.tell_events.notify_one();
    }

    pub(super) fn regrouped(&self) {
        self.groups.send_modify(|count| *count += 1);
        self.tell_groups.notify_one();
    }
}

impl Base {
    /// Connects, and sees to the tables.
    pub(super) async fn open(name: &Arc<str>, settings: &Settings) -> Result<Self, PostgresError> {
        if settings.lanes == 0 {
            return Err(PostgresError::Settings("a log has 1 lane at least".into()));
        }
        let connection = Connection::with(&settings.database, PLANS)?;
        let tables = Tables::new(&settings.log)?;
        let make = tables.make(settings.lanes, settings.segment.max(2).into());
        let provision = settings.database.provision;
        tables.events.provide(&connection, provision, &make, &COLUMNS).await?;
        let mut base = Self {
            name: name.clone(),
            connection,
            tables,
            lanes: 0,
            segment: 0,
            max_events: i64::try_from(settings.max_events).unwrap_or(i64::MAX),
            max_age: settings.max_age,
            dead_letters: i64::try_from(settings.dead_letters).unwrap_or(i64::MAX),
            max_attempts: settings.max_attempts,
            poll: settings.poll.max(Duration::from_millis(10)),
            wake: Wake {
                events: watch::Sender::new(0),
                groups: watch::Sender::new(0),
                tell_events: Notify::new(),
                tell_groups: Notify::new(),
                segments: Notify::new(),
            },
            health: Lock::new(Health::Up),
            failing: Lock::default(),
            readers: PlainNumber::new(0),
            last: PlainNumber::new(0),
            repeats: PlainNumber::new(0),
            end: PlainNumber::new(0),
            first: PlainNumber::new(0),
        };
        base.read_about().await?;
        provide(&base).await?;
        Ok(base)
    }

    async fn read_about(&mut self) -> Result<(), PostgresError> {
        let Tables { about, events, sequence, .. } = &self.tables;
        let sql = format!(
            "SELECT form, lanes, segment, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM \
             {sequence}), (SELECT max(xid) FROM {events}), \
             pg_snapshot_xmax(pg_current_snapshot())::text::int8 FROM {about}"
        );
        let rows = match self.ask(&sql, &[]).await {
            // It says which table is missing. This is what makes it.
            Err(PostgresError::Refused { code, message }) if &*code == "42P01" => {
                let name = self.tables.name();
                let why = format!(
                    "a table of the log `{name}` is missing: {message}: `Provision::Create` creates \
                     them all"
                );
                return Err(PostgresError::Table(why.into()));
            }
            answer => answer?,
        };
        let Some(row) = rows.first() else {
            return Err(PostgresError::Table(format!("the table {about} is empty").into()));
        };
        let form: i32 = row.get(0);
        if form != FORM {
            let why =
                format!("the log has form {form}, and only {FORM} is known: update the program");
            return Err(PostgresError::Table(why.into()));
        }
        let (newest, next): (Option<i64>, i64) = (row.get(4), row.get(5));
        if newest.is_some_and(|newest| newest >= next) {
            let why = format!(
                "the log `{}` has transactions that this server does not know: it was copied from \
                 another server. Rows of events must not be copied: create the log anew",
                self.tables.name()
            );
            return Err(PostgresError::Table(why.into()));
        }
        let (lanes, segment): (i32, i64) = (row.get(1), row.get(2));
        if lanes < 1 || segment < 2 {
            return Err(PostgresError::Table(format!("the table {about} is another one").into()));
        }
        (self.lanes, self.segment) = (lanes, segment);
        self.seen(row.get(3));
        Ok(())
    }

    /// Asks until there is an answer, for as long as the settings say. It may be asked twice.
    pub(super) async fn ask(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, PostgresError> {
        let types: Vec<Type> = params.iter().map(|(_, of)| of.clone()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        let mut attempts = self.connection.attempts();
        loop {
            let client = attempts.client().await?;
            let answer = attempts
                .answer(async {
                    if client.statement_cache.size() > STATEMENTS {
                        client.statement_cache.clear();
                    }
                    let statement = client.prepare_typed_cached(sql, &types).await?;
                    client.query(&statement, &values).await
                })
                .await;
            client.give_back(&answer);
            if let Some(rows) = answer? {
                return Ok(rows);
            }
        }
    }

    /// Remembers a sequence of the log.
    pub(super) fn seen(&self, sequence: i64) {
        let sequence = usize::try_from(sequence).unwrap_or(0);
        let before = self.last.fetch_max(sequence, Relaxed);
        let segment = usize::try_from(self.segment).unwrap_or(0).max(1);
        if before / segment < sequence / segment {
            self.wake.segments.notify_one();
        }
    }

    pub(super) fn last(&self) -> i64 {
        i64::try_from(self.last.load(Relaxed)).unwrap_or(i64::MAX)
    }

    /// Returns the first sequence of a segment.
    pub(super) const fn segment_of(&self, sequence: i64) -> i64 {
        sequence / self.segment * self.segment
    }

    /// Returns the sequence up to which events are removed, or count as that.
    pub(super) async fn floor(&self, last: i64) -> Result<i64, PostgresError> {
        let sql = format!(
            "SELECT min(substring(c.relname FROM '[0-9]+$')::int8) FROM pg_inherits AS i JOIN pg_class \
             AS c ON c.oid = i.inhrelid WHERE i.inhparent = {}",
            self.tables.events.oid()
        );
        let rows = self.ask(&sql, &[]).await?;
        let oldest = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or(0);
        let first = oldest * self.segment;
        self.first.store(usize::try_from(first).unwrap_or(0), Relaxed);
        Ok((first - 1).max(self.counted_out(last)).max(0))
    }

    /// Returns the sequence up to which there are more events than the log keeps.
    pub(super) const fn counted_out(&self, last: i64) -> i64 {
        if self.max_events > 0 { last - self.max_events } else { 0 }
    }

    /// Returns whether there is a connection, and readers can read.
    pub(super) fn health(&self) -> Health {
        match &*self.health.lock() {
            Health::Up => {}
            other => return other.clone(),
        }
        match self.failing.lock().values().next() {
            Some(why) => Health::Down(why.clone()),
            None => Health::Up,
        }
    }

    /// Returns an error if nothing can be published.
    pub(super) fn check(&self) -> Result<(), Reason> {
        match &*self.health.lock() {
            Health::Up => Ok(()),
            Health::Closed => Err(Reason::Closed),
            Health::Down(why) => {
                let why = why.strip_prefix("there is no connection to ").unwrap_or(why);
                Err(Reason::Disconnected(why.into()))
            }
            other => Err(Reason::Disconnected(format!("{other}").into())),
        }
    }
}

/// What a reader tells of its attempts. It ends with the reader.
pub(super) struct Attempted {
    base: Arc<Base>,
    number: usize,
    /// What errors call the reader.
    who: Box<str>,
    has_failed: bool,
}

impl Attempted {
    pub(super) fn new(base: &Arc<Base>, who: impl Into<Box<str>>) -> Self {
        let number = base.readers.fetch_add(1, Relaxed);
        Self { base: base.clone(), number, who: who.into(), has_failed: false }
    }

    pub(super) fn succeeded(&mut self) {
        if core::mem::take(&mut self.has_failed) {
            self.base.failing.lock().remove(&self.number);
        }
    }

    pub(super) fn failed(&mut self, error: &PostgresError) {
        self.has_failed = true;
        let why = format!("{}: {error}", self.who);
        self.base.failing.lock().insert(self.number, why.into());
    }
}

impl Drop for Attempted {
    fn drop(&mut self) {
        self.succeeded();
    }
}

/// Returns the reason of an engine.
pub(super) fn reason(error: PostgresError) -> Reason {
    match error {
        PostgresError::TimedOut => Reason::TimedOut,
        PostgresError::Closed => Reason::Closed,
        // It says itself that there is no connection.
        PostgresError::Disconnected(why) => Reason::Disconnected(why.into_string().into()),
        other => Reason::Refused(Box::new(other)),
    }
}
