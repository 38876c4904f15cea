//! The lanes of a member: what changes in them, and how that is written in one statement.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio_postgres::types::Type;

use super::super::error::PostgresError;
use super::base::Param;
use super::filter::{exact, plain};
use super::group::{Group, Held, arrays};
use super::position::Position;
use super::queue::Reply;
use crate::envelope::Envelope;
use crate::hosted::SettleError;

/// A lane that this member has.
pub(super) struct Lane {
    pub(super) slot: i16,
    pub(super) version: i64,
    pub(super) position: Arc<Position>,
    /// The mark that the server has.
    pub(super) saved: i64,
    /// Events that were delivered for the first time, and are not settled: the sequence, the transaction.
    /// Others that are not settled have a row among the retries.
    pub(super) open: BTreeMap<i64, i64>,
    /// Another member should have it.
    pub(super) leaving: bool,
    pub(super) changes: Changes,
}

/// What the server does not know yet.
#[derive(Default)]
pub(super) struct Changes {
    /// Whether there are any.
    pub(super) any: bool,
    pub(super) puts: Vec<Put>,
    pub(super) settled: Vec<i64>,
    pub(super) dead: Vec<Dead>,
    pub(super) replies: Vec<Reply>,
    /// What is passed on when the server knows of it.
    pub(super) fresh: Vec<Ready>,
    /// Whether the lane is given away.
    pub(super) release: bool,
}

impl Changes {
    /// Returns whether the server only has to know how far the lane is: without that, events come again.
    fn is_position(&self) -> bool {
        let Self { any: _, puts, settled, dead, replies, fresh: _, release } = self;
        puts.is_empty() && settled.is_empty() && dead.is_empty() && replies.is_empty() && !release
    }

    /// Returns whether nothing waits for the server to know of it.
    pub(super) fn can_wait(&self) -> bool {
        self.is_position() && self.fresh.is_empty()
    }
}

/// An event that comes again.
pub(super) struct Put {
    pub(super) xid: i64,
    pub(super) seq: i64,
    pub(super) attempts: u32,
    /// `None` while this member has it in work.
    pub(super) delay: Option<Duration>,
}

/// An event that never comes again.
pub(super) struct Dead {
    pub(super) xid: i64,
    pub(super) seq: i64,
    pub(super) reason: Box<str>,
    pub(super) attempts: u32,
}

/// An event that is for this member, and waits for its place.
pub(super) struct Ready {
    pub(super) lane: i32,
    pub(super) xid: i64,
    pub(super) seq: i64,
    pub(super) attempt: u32,
    pub(super) envelope: Arc<Envelope>,
}

impl Lane {
    pub(super) fn new(held: &Held, position: Position) -> Self {
        Self {
            slot: held.slot,
            version: held.version,
            saved: position.mark,
            position: Arc::new(position),
            open: BTreeMap::new(),
            leaving: false,
            changes: Changes::default(),
        }
    }

    /// The event is done with.
    pub(super) fn settle(&mut self, seq: i64) {
        self.changes.any = true;
        if self.open.remove(&seq).is_none() {
            self.changes.puts.retain(|put| put.seq != seq);
            self.changes.settled.push(seq);
        }
    }

    /// The event comes again, or does now.
    pub(super) fn put(&mut self, put: Put) {
        self.changes.any = true;
        self.open.remove(&put.seq);
        self.changes.puts.retain(|other| other.seq != put.seq);
        self.changes.puts.push(put);
    }

    /// The server knows everything. Returns what can be passed on.
    pub(super) fn written(&mut self) -> Vec<Ready> {
        self.version += 1;
        self.saved = self.position.mark;
        let changes = core::mem::take(&mut self.changes);
        for reply in changes.replies {
            let _ = reply.send(Ok(()));
        }
        changes.fresh
    }

    /// Another member has it.
    pub(super) fn lost(self) {
        for reply in self.changes.replies {
            let _ = reply.send(Err(SettleError::Late));
        }
    }
}

/// Columns of arrays for a statement.
#[derive(Default)]
struct Columns {
    lanes: Vec<i32>,
    slots: Vec<i16>,
    versions: Vec<i64>,
    members: Vec<String>,
    done: Vec<String>,
    upto: Vec<Option<String>>,
    at_xids: Vec<i64>,
    at_seqs: Vec<i64>,
    marks: Vec<i64>,
    lows: Vec<i64>,
    open_xids: Vec<String>,
    open_seqs: Vec<String>,
}

/// Lane, transaction, sequence, why, and attempts of each dead letter.
type DeadColumns = (Vec<i32>, Vec<i64>, Vec<i64>, Vec<String>, Vec<i32>);

/// Rows of the retries: the lane, the transaction, the sequence, the attempts, the delay in seconds, which is
/// below 0 while it is in work.
type Puts = (Vec<i32>, Vec<i64>, Vec<i64>, Vec<i32>, Vec<f64>);

/// Writes what has changed. Returns the lanes of which the server knows it now: it refuses those that this
/// member has no more, or that were written to by another version.
pub(super) async fn write(
    group: &Group,
    name: &str,
    lanes: &BTreeMap<i32, Lane>,
) -> Result<Vec<i32>, PostgresError> {
    let mut rows = Columns::default();
    let mut puts = Puts::default();
    let mut settled: (Vec<i32>, Vec<i64>) = Default::default();
    let mut dead = DeadColumns::default();
    let name = exact(name);
    for (number, lane) in lanes.iter().filter(|(_, lane)| lane.changes.any) {
        let (upto, at) = lane.position.parts();
        let (open_xids, open_seqs) = arrays(&lane.open);
        rows.lanes.push(*number);
        rows.slots.push(lane.slot);
        rows.versions.push(lane.version + 1);
        rows.members.push(if lane.changes.release { String::new() } else { group.me.clone() });
        rows.done.push(lane.position.done.to_string());
        rows.upto.push(upto);
        rows.at_xids.push(at.0);
        rows.at_seqs.push(at.1);
        rows.marks.push(lane.position.mark);
        rows.lows.push(lane.position.low);
        rows.open_xids.push(open_xids);
        rows.open_seqs.push(open_seqs);
        for put in &lane.changes.puts {
            puts.0.push(*number);
            puts.1.push(put.xid);
            puts.2.push(put.seq);
            puts.3.push(i32::try_from(put.attempts).unwrap_or(i32::MAX));
            puts.4.push(put.delay.map_or(-1.0, |delay| delay.as_secs_f64()));
        }
        for seq in &lane.changes.settled {
            settled.0.push(*number);
            settled.1.push(*seq);
        }
        for it in &lane.changes.dead {
            dead.0.push(*number);
            dead.1.push(it.xid);
            dead.2.push(it.seq);
            dead.3.push(plain(&it.reason));
            dead.4.push(i32::try_from(it.attempts).unwrap_or(i32::MAX));
        }
    }
    let (int4, int8, text) = (Type::INT4_ARRAY, Type::INT8_ARRAY, Type::TEXT_ARRAY);
    let mut params: Vec<Param<'_>> = alloc::vec![
        (&group.number, Type::INT4),
        (&rows.lanes, int4.clone()),
        (&rows.slots, Type::INT2_ARRAY),
        (&rows.versions, int8.clone()),
        (&rows.members, text.clone()),
        (&rows.done, text.clone()),
        (&rows.upto, text.clone()),
        (&rows.at_xids, int8.clone()),
        (&rows.at_seqs, int8.clone()),
        (&rows.marks, int8.clone()),
        (&rows.lows, int8.clone()),
        (&rows.open_xids, text.clone()),
        (&rows.open_seqs, text.clone()),
        // A server that was killed may have lost a state, and another member may have its version.
        (&group.me, Type::TEXT),
    ];
    let tables = &group.base.tables;
    let (states, retries) = (&tables.states, &tables.retries);
    let mut sql = format!(
        "WITH claim AS (INSERT INTO {states} (slot, grp, lane, version, moved, member, done, upto, at_xid, \
         at_seq, mark, low, open_xids, open_seqs) SELECT n.slot, $1, n.lane, n.version, false, n.member, \
         n.done, n.upto, n.at_xid, n.at_seq, n.mark, n.low, n.open_xids::int8[], n.open_seqs::int8[] FROM \
         unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS n (lane, slot, version, member, done, \
         upto, at_xid, at_seq, mark, low, open_xids, open_seqs) WHERE (SELECT true FROM {states} AS s WHERE \
         s.slot = n.slot AND s.grp = $1 AND s.lane = n.lane AND s.version = n.version - 1 AND s.member = \
         $14) ON CONFLICT DO NOTHING RETURNING lane)"
    );
    if !puts.0.is_empty() {
        let at = params.len() + 1;
        params.push((&puts.0, int4.clone()));
        params.push((&puts.1, int8.clone()));
        params.push((&puts.2, int8.clone()));
        params.push((&puts.3, int4.clone()));
        params.push((&puts.4, Type::FLOAT8_ARRAY));
        sql += &format!(
            ", put AS (INSERT INTO {retries} (grp, lane, xid, seq, attempts, due) SELECT $1, p.lane, p.xid, \
             p.seq, p.attempts, CASE WHEN p.delay < 0 THEN 'infinity' ELSE now() + make_interval(secs => \
             p.delay) END FROM unnest(${}, ${}, ${}, ${}, ${}) AS p (lane, xid, seq, attempts, delay) JOIN \
             claim USING (lane) ON CONFLICT (grp, seq) DO UPDATE SET attempts = excluded.attempts, due = \
             excluded.due)",
            at,
            at + 1,
            at + 2,
            at + 3,
            at + 4
        );
    }
    if !settled.0.is_empty() {
        let at = params.len() + 1;
        params.push((&settled.0, int4.clone()));
        params.push((&settled.1, int8.clone()));
        sql += &format!(
            ", done AS (DELETE FROM {retries} AS r USING unnest(${}, ${}) AS d (lane, seq) JOIN claim USING \
             (lane) WHERE r.grp = $1 AND r.seq = d.seq)",
            at,
            at + 1
        );
    }
    if !dead.0.is_empty() {
        let at = params.len() + 1;
        params.push((&dead.0, int4.clone()));
        params.push((&dead.1, int8.clone()));
        params.push((&dead.2, int8));
        params.push((&dead.3, text));
        params.push((&dead.4, int4));
        params.push((&name, Type::TEXT));
        sql += &format!(
            ", dead AS (INSERT INTO {} (grp, seq, id, subject, envelope, reason, attempts) SELECT ${}, e.seq, \
             e.id, e.subject, e.envelope, d.reason, d.attempts FROM unnest(${}, ${}, ${}, ${}, ${}) AS d \
             (lane, xid, seq, reason, attempts) JOIN claim USING (lane) CROSS JOIN LATERAL (SELECT * FROM {} \
             AS e WHERE e.xid = d.xid AND e.seq = d.seq) AS e ON CONFLICT DO NOTHING)",
            tables.dead,
            at + 5,
            at,
            at + 1,
            at + 2,
            at + 3,
            at + 4,
            tables.events,
        );
    }
    if lanes.values().all(|lane| lane.changes.is_position()) {
        // The commit does not wait for the disk. A server that is killed may have an earlier state of the lane
        // then, which is whole, and this member writes the next one after it.
        sql += ", quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)) \
                SELECT lane FROM claim CROSS JOIN quick";
    } else {
        sql += " SELECT lane FROM claim";
    }
    let rows = group.base.ask(&sql, &params).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
