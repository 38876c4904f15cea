//! How envelopes leave: what waits at the same time goes in one statement.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::{HashMap, HashSet};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use super::super::error::{PostgresError, is_of_a_row};
use super::base::{Base, reason};
use super::filter::{exact, plain};
use super::upkeep::provide;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::Failed;
use crate::hosted::{Level, Reason, Receipt};
use crate::sync::Relaxed;

/// How many envelopes, and about how many bytes, a statement has.
const MOST: usize = 1024;
const MOST_BYTES: usize = 8 << 20;
/// How many bytes a payload may have.
pub(super) const LIMIT: usize = 16 << 20;
/// How many bytes an envelope may have with everything: a server allows a row of a gigabyte.
const LIMIT_OF_ALL: usize = 64 << 20;
const DIVISION_BY_ZERO: &str = "22012";
/// How many bytes of an id the index takes, whatever they are.
const LONGEST_ID: usize = 2000;

/// An envelope as it is written.
pub(super) struct Row {
    id: String,
    key: String,
    subject: String,
    envelope: String,
}

impl Row {
    pub(super) fn new(envelope: &Envelope) -> Result<Self, Reason> {
        let bytes =
            envelope.bytes().map_or(0, <[u8]>::len) + envelope.payload().map_or(0, str::len);
        if bytes > LIMIT {
            return Err(Reason::TooLarge { bytes, limit: LIMIT });
        }
        let text = envelope.to_json();
        if text.len() > LIMIT_OF_ALL {
            return Err(Reason::TooLarge { bytes: text.len(), limit: LIMIT_OF_ALL });
        }
        let id = exact(envelope.id());
        if id.len() > LONGEST_ID {
            let why = format!("the id has more than {LONGEST_ID} bytes");
            return Err(Reason::Refused(why.into()));
        }
        Ok(Self {
            id,
            key: plain(envelope.key()),
            subject: plain(envelope.subject().as_str()),
            envelope: text,
        })
    }

    const fn size(&self) -> usize {
        self.envelope.len() + self.subject.len() + self.id.len() + 64
    }
}

/// What became of an envelope.
pub(super) type Outcome = Result<Receipt, Failed>;

pub(super) enum Outgoing {
    Rows(Vec<Row>, oneshot::Sender<Vec<Outcome>>),
    /// Everything before it has left.
    Flush(oneshot::Sender<()>),
}

/// Publishes until the last sender is gone.
pub(super) async fn publish_all(base: Arc<Base>, mut incoming: mpsc::UnboundedReceiver<Outgoing>) {
    let mut next = None;
    loop {
        if next.is_none() {
            next = incoming.recv().await;
        }
        let (mut rows, mut bytes, mut replies) = (Vec::new(), 0, Vec::new());
        let mut done = None;
        while let Some(outgoing) = next.take() {
            match outgoing {
                Outgoing::Rows(more, reply) => {
                    let size: usize = more.iter().map(Row::size).sum();
                    let has_room = rows.len() + more.len() <= MOST && bytes + size <= MOST_BYTES;
                    if !rows.is_empty() && !has_room {
                        next = Some(Outgoing::Rows(more, reply));
                        break;
                    }
                    replies.push((more.len(), reply));
                    bytes += size;
                    rows.extend(more);
                }
                Outgoing::Flush(reply) => {
                    done = Some(reply);
                    break;
                }
            }
            next = incoming.try_recv().ok();
        }
        if rows.is_empty() && done.is_none() {
            return;
        }
        let mut outcomes = publish(&base, rows).await.into_iter();
        for (count, reply) in replies {
            let _ = reply.send(outcomes.by_ref().take(count).collect());
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

/// Publishes rows: a large batch in parts, and those that a server refuses alone. A part has each id once: a
/// statement does not see its own rows.
async fn publish(base: &Base, rows: Vec<Row>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut rest = &rows[..];
    while !rest.is_empty() {
        let (mut bytes, mut ids) = (0, HashSet::new());
        let mut count = 0;
        for row in rest.iter().take(MOST) {
            bytes += row.size();
            if !ids.insert(&*row.id) || (bytes > MOST_BYTES && count > 0) {
                break;
            }
            count += 1;
        }
        let (part, others) = rest.split_at(count);
        rest = others;
        match insert(base, part).await {
            Ok(receipts) => outcomes.extend(receipts.into_iter().map(Ok)),
            Err(Asked::Not(error)) if part.len() > 1 && is_of_a_row(&error) => {
                for row in part {
                    let one = insert(base, core::slice::from_ref(row)).await;
                    outcomes.push(match one {
                        Ok(mut receipts) => match receipts.pop() {
                            Some(receipt) => Ok(receipt),
                            None => Err(Failed::Unknown(Reason::TimedOut)),
                        },
                        Err(asked) => Err(asked.failed()),
                    });
                }
            }
            Err(asked) => outcomes.extend(part.iter().map(|_| Err(asked.clone().failed()))),
        }
    }
    if outcomes.iter().any(Result::is_ok) {
        base.wake.published();
    }
    outcomes
}

/// Whether rows were written that there was no good answer for.
#[derive(Clone)]
enum Asked {
    Not(PostgresError),
    Perhaps(PostgresError),
}

impl Asked {
    fn failed(self) -> Failed {
        match self {
            Self::Not(error) => Failed::NotSent(reason(error)),
            Self::Perhaps(error) => Failed::Unknown(reason(error)),
        }
    }
}

/// Writes rows whose ids are not known yet.
async fn insert(base: &Base, rows: &[Row]) -> Result<Vec<Receipt>, Asked> {
    let last = base.last();
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    // Others may have used some that are not known here.
    let end = last.saturating_add(count).saturating_add(base.segment / 8);
    // An id that the index finds takes a sequence: while there are such, all are looked up before.
    let mut spans =
        base.segment_of(last) != base.segment_of(end) || base.repeats.load(Relaxed) == 1;
    let mut has_provided = false;
    loop {
        match attempt(base, rows, spans).await {
            Err(Asked::Not(PostgresError::Refused { code, .. }))
                if &*code == DIVISION_BY_ZERO && !spans =>
            {
                spans = true;
            }
            // There is no segment for them yet: it was used up faster than it was looked after.
            Err(Asked::Not(PostgresError::Refused { code, .. }))
                if &*code == "23514" && !has_provided =>
            {
                provide(base).await.map_err(Asked::Not)?;
                has_provided = true;
            }
            answer => return answer,
        }
    }
}

/// Writes rows. The index of a segment finds ids that are known in it. Those of the segment before, which makes
/// one whole segment at least, are looked up. That is right if the rows come into the segment that is in use:
/// the server refuses them elsewhere, by a division by zero, unless they may span segments.
async fn attempt(base: &Base, rows: &[Row], spans: bool) -> Result<Vec<Receipt>, Asked> {
    let events = &base.tables.events;
    let current = base.segment_of(base.last());
    let from = current - base.segment;
    let texts = |of: fn(&Row) -> &str| -> Vec<&str> { rows.iter().map(of).collect() };
    let (before, seq) = if spans {
        (String::new(), "seq".into())
    } else {
        let end = current + base.segment;
        (format!("AND old.seq < {current}"), format!("seq / (seq < {end})::int4"))
    };
    let is_new = if from < 0 && !spans {
        String::new()
    } else {
        format!(
            "WHERE (SELECT true FROM {events} AS old WHERE old.seq >= {from} {before} AND old.id = \
             new.id LIMIT 1) IS NULL"
        )
    };
    let (ids, keys) = (texts(|row| &row.id), texts(|row| &row.key));
    let (subjects, envelopes) = (texts(|row| &row.subject), texts(|row| &row.envelope));
    // One row alone is cheaper without arrays.
    let (new, of, params): (_, _, [&(dyn ToSql + Sync); 4]) = match rows {
        [row] => (
            "(VALUES ($1, $2, $3, $4, 1))",
            Type::TEXT,
            [&row.id, &row.key, &row.subject, &row.envelope],
        ),
        _ => {
            let new = "unnest($1, $2, $3, $4) WITH ORDINALITY";
            (new, Type::TEXT_ARRAY, [&ids, &keys, &subjects, &envelopes])
        }
    };
    let types = [of.clone(), of.clone(), of.clone(), of];
    let sql = format!(
        "INSERT INTO {events} (id, key, subject, envelope) SELECT id, key, subject, envelope FROM {new} \
         AS new (id, key, subject, envelope, n) {is_new} ORDER BY n ON CONFLICT DO NOTHING RETURNING id, \
         {seq}"
    );

    let mut attempts = base.connection.attempts_until(Instant::now() + base.connection.timeout());
    let client = attempts.client().await.map_err(Asked::Not)?;
    let answer = attempts
        .answer(async {
            let statement = client.prepare_typed_cached(&sql, &types).await?;
            client.query(&statement, &params).await
        })
        .await;
    client.give_back(&answer);
    let written = match answer {
        Ok(Some(written)) => written,
        // The connection was lost meanwhile.
        Ok(None) => {
            let why = format!("{}: it was lost", base.connection.server());
            return Err(Asked::Perhaps(PostgresError::Disconnected(why.into())));
        }
        Err(error @ PostgresError::Refused { .. }) => return Err(Asked::Not(error)),
        Err(error) => return Err(Asked::Perhaps(error)),
    };

    let mut written = written.into_iter().peekable();
    let mut receipts: Vec<Option<Receipt>> = Vec::with_capacity(rows.len());
    let mut others = Vec::new();
    for row in rows {
        let own = written.next_if(|it| it.get::<_, &str>(0) == row.id);
        receipts.push(own.map(|it| {
            let sequence: i64 = it.get(1);
            base.seen(sequence);
            Receipt::new(&base.name, Level::Stored).at(sequence.cast_unsigned())
        }));
        if receipts.last().is_some_and(Option::is_none) {
            others.push(&*row.id);
        }
    }
    base.repeats.store(usize::from(!others.is_empty()), Relaxed);
    let known = if others.is_empty() { HashMap::new() } else { find(base, &others, from).await };
    let duplicate = |row: &Row| {
        let receipt = Receipt::new(&base.name, Level::Stored).duplicate(true);
        match known.get(&row.id) {
            Some(sequence) => receipt.at(sequence.cast_unsigned()),
            None => receipt,
        }
    };
    let receipts = rows.iter().zip(receipts);
    Ok(receipts.map(|(row, receipt)| receipt.unwrap_or_else(|| duplicate(row))).collect())
}

/// Returns where events of these ids are. What cannot be found out is left out.
async fn find(base: &Base, ids: &[&str], from: i64) -> HashMap<String, i64> {
    let sql =
        format!("SELECT id, seq FROM {} WHERE seq >= {from} AND id = ANY ($1)", base.tables.events);
    let rows = base.ask(&sql, &[(&ids, Type::TEXT_ARRAY)]).await.unwrap_or_default();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
