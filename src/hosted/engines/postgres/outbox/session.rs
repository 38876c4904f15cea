//! A session with Postgres, while it lasts: it publishes, or waits until no other relay does.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::time::Duration;
use std::collections::HashSet;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client};

use super::super::error::PostgresError;
use super::Outbox;
use super::held::{Held, Line};
use super::stats::{Counts, add};
use crate::envelope::Envelope;
use crate::hosted::wire::InvalidMessage;
use crate::hosted::{Engine, EngineError, Health, Level, Reason, Receipt};

/// How many events are published before their rows are removed.
const PAGE: usize = 256;
/// About how many bytes they have at most.
const MOST_BYTES: i64 = 4 << 20;
/// How long an engine may take for a publish. After that it is made again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all sessions of a relay have.
pub(super) struct Work {
    pub(super) outbox: Outbox,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) required: Level,
    pub(super) poll: Duration,
    pub(super) counts: Counts,
    pub(super) health: watch::Sender<Health>,
    /// Whether this relay is the one that publishes.
    pub(super) publishes: watch::Sender<bool>,
}

struct Session<'a> {
    work: &'a Work,
    client: Client,
    woken: Arc<Notify>,
    stop: watch::Receiver<bool>,
}

/// A row, as it is published.
struct Event {
    place: i64,
    line: Line,
    envelope: Arc<Envelope>,
}

/// Rows that are published together.
struct Page {
    events: Vec<Event>,
    /// Whether more rows may wait.
    is_full: bool,
}

/// What became of an event.
enum Fate {
    Sent,
    /// It is tried again.
    Waits,
    /// The same again would fail again, for this reason.
    Refused(String),
}

impl Work {
    /// Returns an error if the engine cannot reach what is required.
    pub(super) fn check(&self) -> Result<(), PostgresError> {
        let (required, reaches) = (self.required, self.engine.capabilities().highest_level());
        if reaches >= required {
            return Ok(());
        }
        let why = format!(
            "the relay requires `{required}`, and engine `{}` reaches `{reaches}` at most",
            self.engine.name()
        );
        Err(PostgresError::Settings(why.into()))
    }

    /// Works until the connection is lost, or the relay is stopped: then it returns `Ok`.
    pub(super) async fn session(&self, stop: watch::Receiver<bool>) -> Result<(), PostgresError> {
        let connection = &self.outbox.connection;
        let (client, mut driven) = connection.session().await?;
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        // It ends with the client.
        tokio::spawn(async move {
            loop {
                match poll_fn(|context| driven.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => wake.notify_one(),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return wake.notify_one(),
                }
            }
        });
        add(&self.counts.connects);
        let mut session = Session { work: self, client, woken, stop };
        let ended = session.run().await;
        self.publishes.send_replace(false);
        ended
    }
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), PostgresError> {
        let table = &self.work.outbox.table;
        let channel = format!("SELECT {}", table.channel());
        let channel: String = self.ask(self.client.query_typed_one(&channel, &[])).await?.get(0);
        // If this machine is gone, the server must notice: it holds the lock for this session.
        let set = format!(
            "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
             SET tcp_keepalives_count = 3; LISTEN \"{channel}\""
        );
        self.ask(self.client.batch_execute(&set)).await?;
        self.work.health.send_replace(Health::Up);

        let lock = format!(
            "SELECT pg_try_advisory_lock(hashtextextended('tickbus outbox ' || {}, 0))",
            table.oid()
        );
        while !self.ask(self.client.query_typed_one(&lock, &[])).await?.get::<_, bool>(0) {
            let again = Instant::now() + self.work.poll;
            if self.wait(again).await? {
                return Ok(());
            }
        }
        self.work.check()?; // an engine may know only when it is connected
        self.work.publishes.send_replace(true);

        let mut held = Held::default();
        loop {
            if !held.is_full() {
                let page = self.fetch(&held).await?;
                if !page.events.is_empty() {
                    self.publish(page.events, &mut held).await?;
                }
                if page.is_full && !*self.stop.borrow() {
                    continue;
                }
            }
            let poll = Instant::now() + self.work.poll;
            let again = held.next().map_or(poll, |retry| retry.min(poll));
            if self.wait(again).await? {
                return Ok(());
            }
        }
    }

    /// Waits for an answer of the server.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        let connection = &self.work.outbox.connection;
        match timeout(connection.timeout(), question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(connection.error(&error)),
            Err(_) => Err(PostgresError::TimedOut),
        }
    }

    /// Waits for a notification, the time, or the end. Returns whether the relay is stopped.
    async fn wait(&mut self, until: Instant) -> Result<bool, PostgresError> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stopped| *stopped) => return Ok(true),
            () = self.woken.notified() => {}
            () = sleep_until(until) => {}
        }
        self.is_connected().map(|()| false)
    }

    fn is_connected(&self) -> Result<(), PostgresError> {
        let server = self.work.outbox.connection.server();
        if self.client.is_closed() {
            Err(PostgresError::Disconnected(format!("{server}: it was lost").into()))
        } else {
            Ok(())
        }
    }

    /// Reads what is committed and does not wait, in the order of writing.
    async fn fetch(&self, held: &Held) -> Result<Page, PostgresError> {
        let table = &self.work.outbox.table;
        // The row that brings the bytes to their limit is the last one.
        let sql = format!(
            "SELECT place, key, subject, envelope::text, upto FROM (\
             SELECT *, octet_length(envelope::text) AS bytes, \
             sum(octet_length(envelope::text)) OVER (ORDER BY place) AS upto FROM (\
             SELECT place, key, subject, envelope FROM {table} WHERE refused IS NULL \
             AND (key = '' OR key <> ALL ($1)) AND place <> ALL ($2) ORDER BY place LIMIT {PAGE}\
             ) AS first) AS page WHERE upto - bytes < {MOST_BYTES} ORDER BY place"
        );
        let (keys, places) = held.lines();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&keys, Type::TEXT_ARRAY), (&places, Type::INT8_ARRAY)];
        let rows = self.ask(self.client.query_typed(&sql, &parameters)).await?;
        let bytes = rows.last().map_or(0, |row| row.get::<_, i64>(4));
        let is_full = rows.len() >= PAGE || bytes >= MOST_BYTES;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let (place, key): (i64, &str) = (row.get(0), row.get(1));
            match envelope(table.name(), place, key, row.get(2), row.get(3)) {
                Ok(envelope) => {
                    let line = match key {
                        "" => Line::Place(place),
                        key => Line::Key(key.into()),
                    };
                    events.push(Event { place, line, envelope });
                }
                Err(why) => self.refuse(place, &why.to_string()).await?,
            }
        }
        Ok(Page { events, is_full })
    }

    /// Publishes a page: of each line one event after the other, and the lines beside each other. Then it
    /// removes what the engine has.
    async fn publish(&self, page: Vec<Event>, held: &mut Held) -> Result<(), PostgresError> {
        let (mut sent, mut left) = (Vec::new(), page);
        while !left.is_empty() {
            // Another relay may publish by now.
            self.is_connected()?;
            let mut lines = HashSet::new();
            let first = |event: &mut Event| lines.insert(event.line.clone());
            let wave: Vec<Event> = left.extract_if(.., first).collect();
            for (event, fate) in self.publish_wave(wave).await {
                match fate {
                    Fate::Sent => {
                        add(&self.work.counts.published);
                        held.forget(&event.line);
                        sent.push(event.place);
                    }
                    Fate::Waits => {
                        add(&self.work.counts.failed);
                        left.retain(|other| other.line != event.line);
                        held.hold(event.line);
                    }
                    Fate::Refused(why) => {
                        held.forget(&event.line);
                        self.refuse(event.place, &why).await?;
                    }
                }
            }
        }
        let delete = format!("DELETE FROM {} WHERE place = ANY ($1)", self.work.outbox.table);
        self.ask(self.client.query_typed(&delete, &[(&sent, Type::INT8_ARRAY)])).await?;
        Ok(())
    }

    /// Publishes events of different lines.
    async fn publish_wave(&self, wave: Vec<Event>) -> Vec<(Event, Fate)> {
        let envelopes: Vec<_> = wave.iter().map(|event| event.envelope.clone()).collect();
        let engine = self.work.engine.clone();
        // A task, so a panic of the engine is a failure of the publish. It ends with this future.
        let mut task = JoinSet::new();
        task.spawn(async move { engine.publish_batch(envelopes).await });
        let results = match timeout(PATIENCE, task.join_next()).await {
            Ok(Some(Ok(results))) => results,
            _ => Vec::new(),
        };
        let mut results = results.into_iter();
        let fate = |event| {
            // Without a result it may have been published.
            let fate = results.next().map_or(Fate::Waits, |result| self.fate(result));
            (event, fate)
        };
        wave.into_iter().map(fate).collect()
    }

    fn fate(&self, result: Result<Receipt, EngineError>) -> Fate {
        match result {
            Ok(receipt) if receipt.level >= self.work.required => Fate::Sent,
            Ok(_) => Fate::Waits,
            Err(error) => match error.reason() {
                Reason::TooLarge { .. }
                | Reason::Subject(_)
                | Reason::Header(_)
                | Reason::Tenant(_) => Fate::Refused(error.reason().to_string()),
                _ => Fate::Waits,
            },
        }
    }

    /// Keeps the row, with the reason.
    async fn refuse(&self, place: i64, why: &str) -> Result<(), PostgresError> {
        let why = why.replace('\0', "\u{fffd}");
        let sql = format!("UPDATE {} SET refused = $2 WHERE place = $1", self.work.outbox.table);
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&place, Type::INT8), (&why, Type::TEXT)];
        self.ask(self.client.query_typed(&sql, &parameters)).await?;
        add(&self.work.counts.refused);
        Ok(())
    }
}

/// Reads a row. What SQL has written may lack an id or be a payload alone: each time that it is published it
/// has the same id. The key is that of the row, unless the envelope has one.
fn envelope(
    table: &str,
    place: i64,
    key: &str,
    subject: &str,
    json: &str,
) -> Result<Arc<Envelope>, InvalidMessage> {
    let envelope =
        crate::hosted::wire::from_json(subject, json.as_bytes(), || format!("{table}-{place}"))?;
    let has_key = !envelope.key().is_empty();
    Ok(if has_key { envelope } else { envelope.with_key(key) }.into())
}
