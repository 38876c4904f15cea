//! Sees to the tables: segments for what comes, and none for what is too old; rows that only the latest
//! of counts.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::types::Type;

use super::super::error::PostgresError;
use super::base::Base;
use super::log::{Signal, closed};
use super::schema::{AHEAD, BEATS, Tables};

/// Held by what changes the segments.
const LOCK: u32 = 8_101_100;
/// A table of states is left for the other one from this size on, in bytes.
const LARGE: i64 = 8 << 20;
/// How long a table that others use is waited for. Meanwhile they wait as well.
const PATIENCE: &str = "20ms";
/// How many polls pass until a table that others use is tried again.
const PAUSE: u32 = 10;

/// Looks after the tables until the engine ends.
pub(super) async fn look_after(base: Arc<Base>, mut signals: watch::Receiver<Signal>) {
    let (mut drops, mut rotates) = (0_u32, 0_u32);
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = closed(&mut signals) => return,
            () = base.wake.segments.notified() => {
                let _ = provide(&base).await;
                continue;
            }
            () = sleep_until(next) => {}
        }
        next = Instant::now() + base.poll.max(core::time::Duration::from_millis(250));
        if base.check().is_err() || provide(&base).await.is_err() {
            continue;
        }
        // What is not possible now is later.
        for (wait, is_done) in [(&mut drops, 0), (&mut rotates, 1)] {
            if *wait > 0 {
                *wait -= 1;
                continue;
            }
            let done = match is_done {
                0 => retain(&base).await,
                _ => rotate(&base).await,
            };
            if done.is_err() {
                *wait = PAUSE;
            }
        }
    }
}

/// Makes the segments for what comes.
pub(super) async fn provide(base: &Base) -> Result<(), PostgresError> {
    let Tables { sequence, events, .. } = &base.tables;
    let sql = format!(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END, (SELECT \
         max(substring(c.relname FROM '[0-9]+$')::int8) FROM pg_inherits AS i JOIN pg_class AS c ON \
         c.oid = i.inhrelid WHERE i.inhparent = {}) FROM {sequence}",
        events.oid()
    );
    let rows = base.ask(&sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (last, newest): (i64, Option<i64>) = (row.get(0), row.get(1));
    base.seen(last);
    let wanted = last / base.segment + AHEAD;
    let newest = newest.unwrap_or(wanted - AHEAD - 1);
    for number in (newest + 1)..=wanted {
        let make = base.tables.make_segment(number, base.segment);
        match batch(base, &format!("SELECT pg_advisory_xact_lock({LOCK}); {make}")).await {
            Ok(()) => {}
            // Another engine was faster.
            Err(PostgresError::Refused { code, .. }) if &*code == "42P07" => {}
            Err(error) => return Err(error),
        }
    }
    let end = usize::try_from((newest.max(wanted) + 1) * base.segment).unwrap_or(usize::MAX);
    let _ = base.end.fetch_max(end, crate::sync::Relaxed);
    Ok(())
}

/// Runs statements in one transaction.
async fn batch(base: &Base, sql: &str) -> Result<(), PostgresError> {
    let mut attempts = base.connection.attempts();
    let client = attempts.client().await?;
    // Statements in one message are one transaction.
    let answer = attempts.answer(client.batch_execute(sql)).await;
    client.give_back(&answer);
    answer.map(drop)
}

/// Drops the segments that are too old, or too many.
async fn retain(base: &Base) -> Result<(), PostgresError> {
    if base.dead_letters > 0 {
        let sql = format!(
            "DELETE FROM {0} WHERE place <= (SELECT max(place) FROM {0}) - $1",
            base.tables.dead
        );
        base.ask(&sql, &[(&base.dead_letters, Type::INT8)]).await?;
    }
    if base.max_events == 0 && base.max_age.is_zero() {
        return Ok(());
    }
    let floor = base.floor(base.last()).await?;
    let first = i64::try_from(base.first.load(crate::sync::Relaxed)).unwrap_or(0) / base.segment;
    let current = base.last() / base.segment;
    for number in first..=current {
        let is_out = (number + 1) * base.segment <= floor + 1;
        let is_out = is_out || number < current && is_old(base, number, true).await?;
        if !is_out {
            if number == current {
                begin_anew(base, number).await?;
            }
            break;
        }
        let drop = format!(
            "SET LOCAL lock_timeout = '{PATIENCE}'; DROP TABLE IF EXISTS {}",
            base.tables.segment(number)
        );
        batch(base, &drop).await?;
    }
    base.floor(base.last()).await.map(drop)
}

/// Returns whether the first event of a segment, or its last one, is older than events may be. Without
/// an event the last one is.
async fn is_old(base: &Base, number: i64, is_last: bool) -> Result<bool, PostgresError> {
    if base.max_age.is_zero() {
        return Ok(false);
    }
    let order = if is_last { "xid DESC, seq DESC" } else { "xid, seq" };
    let sql = format!(
        "SELECT at < now() - make_interval(secs => $1) FROM {} ORDER BY {order} LIMIT 1",
        base.tables.segment(number)
    );
    match base.ask(&sql, &[(&base.max_age.as_secs_f64(), Type::FLOAT8)]).await {
        Ok(rows) => Ok(rows.first().map_or(is_last, |row| row.get(0))),
        // It is gone already.
        Err(PostgresError::Refused { code, .. }) if &*code == "42P01" => Ok(is_last),
        Err(error) => Err(error),
    }
}

/// Goes on in a later segment if the current one has events that are too old: it can be dropped then.
async fn begin_anew(base: &Base, number: i64) -> Result<(), PostgresError> {
    if !is_old(base, number, false).await? {
        return Ok(());
    }
    // So far ahead that no sequence is given twice, whoever takes some meanwhile.
    let next = (number + AHEAD) * base.segment;
    // One engine after the other: else the second sets back what others have taken after the first.
    let sequence = &base.tables.sequence;
    let sql = format!(
        "SELECT pg_advisory_xact_lock({LOCK}); \
         SELECT setval('{}', {next}) FROM {sequence} WHERE last_value < {next}",
        format!("{sequence}").replace('\'', "''"),
    );
    batch(base, &sql).await?;
    provide(base).await
}

/// Empties what counts no more.
async fn rotate(base: &Base) -> Result<(), PostgresError> {
    let Tables { members, states, .. } = &base.tables;
    // Heartbeats of the table before the last one are over.
    let sql = format!(
        "SELECT (extract(epoch FROM now())::int8 / {BEATS} + 1) % 3, {}, {}",
        size(&Tables::part(states, 0)),
        size(&Tables::part(states, 1)),
    );
    let rows = base.ask(&sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let old = Tables::part(members, row.get::<_, i64>(0));
    let is_used = format!("SELECT EXISTS (SELECT FROM {old})");
    if base.ask(&is_used, &[]).await?.first().is_some_and(|row| row.get(0)) {
        truncate(base, &old, &format!("EXISTS (SELECT FROM {old} WHERE until > now())")).await?;
    }
    let sizes: [i64; 2] = [row.get(1), row.get(2)];
    let (from, to) = if sizes[0] >= sizes[1] { (0_i16, 1_i16) } else { (1, 0) };
    if sizes[usize::from(from.cast_unsigned())] < LARGE {
        return Ok(());
    }
    move_states(base, from, to).await?;
    let (old, groups) = (Tables::part(states, from.into()), &base.tables.groups);
    let lacks = format!(
        "EXISTS (SELECT FROM {groups} AS g CROSS JOIN generate_series(0, {}) AS l (lane) CROSS JOIN \
         LATERAL (SELECT moved FROM {old} AS s WHERE s.slot = {from} AND s.grp = g.grp AND s.lane = \
         l.lane ORDER BY version DESC LIMIT 1) AS s WHERE NOT s.moved)",
        base.lanes - 1
    );
    truncate(base, &old, &lacks).await
}

fn size(table: &str) -> alloc::string::String {
    format!("pg_relation_size('{}'::regclass)", table.replace('\'', "''"))
}

/// Empties a table, unless there is a reason against it when nothing else uses it.
async fn truncate(base: &Base, table: &str, unless: &str) -> Result<(), PostgresError> {
    let quoted = table.replace('\'', "''");
    let sql = format!(
        "SET LOCAL lock_timeout = '{PATIENCE}'; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; \
         DO $do$ BEGIN IF NOT ({unless}) THEN EXECUTE 'TRUNCATE {quoted}'; END IF; END $do$"
    );
    batch(base, &sql).await
}

/// Writes the latest row of each lane into the other table. The next version in the old one is used up
/// by that, so one that does not know of it cannot write there.
async fn move_states(base: &Base, from: i16, to: i16) -> Result<(), PostgresError> {
    let states = &base.tables.states;
    let (old, groups) = (Tables::part(states, from.into()), &base.tables.groups);
    let columns =
        "grp, lane, version, member, done, upto, at_xid, at_seq, mark, low, open_xids, open_seqs";
    let rest = "member, done, upto, at_xid, at_seq, mark, low, open_xids, open_seqs";
    let sql = format!(
        "WITH latest AS MATERIALIZED (SELECT s.* FROM {groups} AS g CROSS JOIN generate_series(0, $3) AS \
         l (lane) CROSS JOIN LATERAL (SELECT {columns}, moved FROM {old} AS s WHERE s.slot = $1 AND s.grp = g.grp AND \
         s.lane = l.lane ORDER BY version DESC LIMIT 1) AS s WHERE NOT s.moved), \
         used AS (INSERT INTO {states} (slot, grp, lane, version, moved, {rest}) SELECT $1, grp, lane, \
         version + 1, true, {rest} FROM latest ON CONFLICT DO NOTHING RETURNING grp, lane) \
         INSERT INTO {states} (slot, grp, lane, version, moved, {rest}) SELECT $2, grp, lane, version + 1, \
         false, {rest} FROM latest JOIN used USING (grp, lane) RETURNING lane"
    );
    let last = base.lanes - 1;
    let params = [(&from as _, Type::INT2), (&to as _, Type::INT2), (&last as _, Type::INT4)];
    // Lanes that are written to at the same moment are moved by the next attempt.
    let mut moved = Vec::new();
    for _ in 0..5 {
        moved = base.ask(&sql, &params).await?;
        if moved.is_empty() {
            break;
        }
    }
    drop(moved);
    Ok(())
}
