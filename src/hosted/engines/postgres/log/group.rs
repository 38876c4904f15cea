//! A group, as the server keeps it: who has which lane, and how far it is.
//!
//! A lane's state is its latest row. Each row has the version after the one before it, and the version is
//! unique: one that has lost the lane cannot write.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::error::PostgresError;
use super::base::{Base, reason};
use super::fetch::Wanted;
use super::filter::Filter;
use super::live::now;
use super::position::{Position, Snapshot};
use super::schema::BEATS;
use crate::hosted::engines::failed::refused;
use crate::hosted::{DurableOptions, Reason, StartAt};

/// A member of a group.
pub(super) struct Group {
    pub(super) base: Arc<Base>,
    pub(super) number: i32,
    /// The name of the member.
    pub(super) me: String,
    pub(super) lease: Duration,
}

/// Where a new group begins.
pub(super) enum Begin {
    At(StartAt),
    /// It has existed, and is gone.
    Again(Position),
}

/// Who has a lane.
pub(super) struct Held {
    pub(super) lane: i32,
    pub(super) slot: i16,
    pub(super) version: i64,
    /// Empty if no member has it.
    pub(super) member: String,
}

/// The members that are there.
pub(super) struct There {
    pub(super) all: Vec<String>,
    /// Those that do not leave, sorted.
    pub(super) sharing: Vec<String>,
}

/// The state of a lane that was taken.
pub(super) struct Taken {
    pub(super) held: Held,
    pub(super) position: Position,
}

/// An event that comes again.
pub(super) struct Due {
    pub(super) lane: i32,
    pub(super) xid: i64,
    pub(super) seq: i64,
    pub(super) attempts: u32,
    /// `None` if the log has removed it.
    pub(super) event: Option<(String, String)>,
}

/// Finds the group, or makes it. Returns its number, what it wants, and how much the log had before.
pub(super) async fn open(
    base: &Base,
    options: &DurableOptions,
    begin: &Begin,
) -> Result<(i32, Wanted, i64), Reason> {
    let groups = &base.tables.groups;
    let find =
        format!("SELECT grp, patterns, from_seq, from_time::text FROM {groups} WHERE name = $1");
    let name = super::filter::exact(&options.group);
    let name = [(&name as _, Type::TEXT)];
    let (last, here) = now(base).await.map_err(reason)?;
    let mut found = base.ask(&find, &name).await.map_err(reason)?;
    if found.is_empty() {
        make(base, options, begin, last, here).await.map_err(reason)?;
        found = base.ask(&find, &name).await.map_err(reason)?;
    }
    let Some(row) = found.first() else { return Err(refused("the group has vanished")) };
    let (theirs, ours): (&str, String) = (row.get(1), patterns(options));
    if theirs != ours {
        return Err(refused(format!(
            "the group `{}` exists for other patterns ({theirs}): name another group",
            options.group
        )));
    }
    let filter = Filter::new(&options.patterns);
    let wanted = Wanted { filter, from_seq: row.get(2), from_time: row.get(3) };
    Ok((row.get(0), wanted, last))
}

/// What is said of a group, so that members with other patterns are found out.
fn patterns(options: &DurableOptions) -> String {
    let mut patterns: Vec<&str> = options.patterns.iter().map(|it| it.as_str()).collect();
    patterns.sort_unstable();
    patterns.dedup();
    super::filter::plain(&patterns.join(" "))
}

async fn make(
    base: &Base,
    options: &DurableOptions,
    begin: &Begin,
    last: i64,
    here: Position,
) -> Result<(), PostgresError> {
    let (mut from_seq, mut from_time) = (0, None);
    let nothing = Snapshot { xmin: 0, xmax: 0, open: Vec::new() };
    let position = match begin {
        Begin::Again(position) => position.clone(),
        Begin::At(StartAt::New) => here,
        Begin::At(StartAt::Earliest) => {
            Position { done: nothing, window: None, mark: base.floor(last).await?, low: 0 }
        }
        Begin::At(StartAt::Sequence(sequence)) => {
            // Beyond the end it is the next event.
            let sequence = i64::try_from(*sequence).unwrap_or(i64::MAX).min(last + 1);
            from_seq = sequence;
            let (done, _) = before(base, &here, "seq >= $1", &(&sequence as _, Type::INT8)).await?;
            Position { done, window: None, mark: sequence - 1, low: (sequence - 1).max(0) }
        }
        Begin::At(StartAt::Time(time)) => {
            // Postgres has another name for the years before our count begins.
            if time.unix_nanos() < 0 {
                Position { done: nothing, window: None, mark: base.floor(last).await?, low: 0 }
            } else {
                let time = time.to_string();
                let is_after = "at >= $1::text::timestamptz";
                let (done, first) =
                    before(base, &here, is_after, &(&time as _, Type::TEXT)).await?;
                from_time = Some(time);
                Position { done, window: None, mark: first.map_or(last, |it| it - 1), low: 0 }
            }
        }
    };
    let Base { tables, lanes, .. } = base;
    let sql = format!(
        "WITH made AS (INSERT INTO {} (name, patterns, from_seq, from_time) VALUES ($1, $2, $3, \
         $4::text::timestamptz) ON CONFLICT DO NOTHING RETURNING grp) INSERT INTO {} (slot, grp, lane, \
         version, moved, member, done, upto, at_xid, at_seq, mark, low, open_xids, open_seqs) SELECT 0, \
         grp, lane, 0, false, '', $5, $6, $7, $8, $9, $10, '{{}}', '{{}}' FROM made CROSS JOIN \
         generate_series(0, {} - 1) AS lane RETURNING lane",
        tables.groups, tables.states, lanes
    );
    let (name, patterns) = (super::filter::exact(&options.group), patterns(options));
    let done = position.done.to_string();
    let (upto, at) = position.parts();
    let params = [
        (&name as _, Type::TEXT),
        (&patterns as _, Type::TEXT),
        (&from_seq as _, Type::INT8),
        (&from_time as _, Type::TEXT),
        (&done as _, Type::TEXT),
        (&upto as _, Type::TEXT),
        (&at.0 as _, Type::INT8),
        (&at.1 as _, Type::INT8),
        (&position.mark as _, Type::INT8),
        (&position.low as _, Type::INT8),
    ];
    base.ask(&sql, &params).await.map(drop)
}

/// Returns a snapshot before all events of which this holds, those of open transactions included, and the
/// first of these events.
async fn before(
    base: &Base,
    here: &Position,
    holds: &str,
    param: &super::base::Param<'_>,
) -> Result<(Snapshot, Option<i64>), PostgresError> {
    let sql = format!("SELECT min(xid), min(seq) FROM {} WHERE {holds}", base.tables.events);
    let rows = base.ask(&sql, &[(param.0, param.1.clone())]).await?;
    let first = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or(i64::MAX);
    let xmax = first.min(here.done.xmin);
    let first = rows.first().and_then(|row| row.get::<_, Option<i64>>(1));
    Ok((Snapshot { xmin: xmax, xmax, open: Vec::new() }, first))
}

impl Group {
    /// Says that the member is there for another lease, or is gone. One that leaves wants no lanes.
    pub(super) async fn beat(&self, is_gone: bool, wants: bool) -> Result<(), PostgresError> {
        let sql = format!(
            "INSERT INTO {} (slot, grp, member, until, gone, wants) VALUES ((extract(epoch FROM now())::int8 / \
             {BEATS} % 3)::int2, $1, $2, now() + make_interval(secs => $3), $4, $5)",
            self.base.tables.members
        );
        let lease = self.lease.as_secs_f64();
        let params = [
            (&self.number as _, Type::INT4),
            (&self.me as _, Type::TEXT),
            (&lease as _, Type::FLOAT8),
            (&is_gone as _, Type::BOOL),
            (&wants as _, Type::BOOL),
        ];
        self.base.ask(&sql, &params).await.map(drop)
    }

    /// Returns who has each lane, and the members that are there, sorted.
    pub(super) async fn look(&self) -> Result<(Vec<Held>, There), PostgresError> {
        let tables = &self.base.tables;
        let sql = format!(
            "WITH m AS MATERIALIZED (SELECT member, bool_and(wants) AS wants FROM {} WHERE grp = $1 AND \
             until > now() GROUP BY member HAVING NOT bool_or(gone)) SELECT l.lane, s.slot, s.version, \
             s.member, (SELECT array_agg(member) FROM m), (SELECT array_agg(member ORDER BY member) FROM m \
             WHERE wants) FROM generate_series(0, $2) AS l (lane) CROSS JOIN LATERAL (SELECT slot, version, \
             member FROM {} AS s WHERE s.grp = $1 AND s.lane = l.lane AND NOT s.moved ORDER BY version DESC \
             LIMIT 1) AS s",
            tables.members, tables.states
        );
        let last = self.base.lanes - 1;
        let params = [(&self.number as _, Type::INT4), (&last as _, Type::INT4)];
        let rows = self.base.ask(&sql, &params).await?;
        let names = |at| {
            let names = rows.first().and_then(|row| row.get::<_, Option<Vec<String>>>(at));
            names.unwrap_or_default()
        };
        let there = There { all: names(4), sharing: names(5) };
        Ok((rows.iter().map(held).collect(), there))
    }

    /// Takes lanes that no member has, or one that is gone. What that one had in work comes again.
    pub(super) async fn take(&self, free: &[Held]) -> Result<Vec<Taken>, PostgresError> {
        let tables = &self.base.tables;
        let rest = "done, upto, at_xid, at_seq, mark, low";
        let sql = format!(
            "WITH old AS MATERIALIZED (SELECT s.* FROM unnest($3, $4, $5) AS f (lane, slot, version) JOIN \
             {states} AS s ON s.slot = f.slot AND s.grp = $1 AND s.lane = f.lane AND s.version = f.version \
             AND NOT s.moved AND (s.member IN ('', $2) OR s.member NOT IN (SELECT member FROM {members} \
             WHERE grp = $1 AND until > now() GROUP BY member HAVING NOT bool_or(gone)))), \
             claim AS (INSERT INTO {states} (slot, grp, lane, version, moved, member, {rest}, open_xids, \
             open_seqs) SELECT slot, grp, lane, version + 1, false, $2, {rest}, '{{}}', '{{}}' FROM old ON \
             CONFLICT DO NOTHING RETURNING lane), \
             back AS (INSERT INTO {retries} (grp, lane, xid, seq, attempts, due) SELECT $1, o.lane, e.xid, \
             e.seq, 1, now() FROM old AS o JOIN claim USING (lane) CROSS JOIN unnest(o.open_xids, \
             o.open_seqs) AS e (xid, seq) ON CONFLICT DO NOTHING), \
             again AS (UPDATE {retries} SET due = now() WHERE grp = $1 AND lane IN (SELECT lane FROM claim) \
             AND due = 'infinity') \
             SELECT o.lane, o.slot, o.version + 1, $2, {rest} FROM old AS o JOIN claim USING (lane)",
            states = tables.states,
            members = tables.members,
            retries = tables.retries,
        );
        let lanes: Vec<i32> = free.iter().map(|it| it.lane).collect();
        let slots: Vec<i16> = free.iter().map(|it| it.slot).collect();
        let versions: Vec<i64> = free.iter().map(|it| it.version).collect();
        let params = [
            (&self.number as _, Type::INT4),
            (&self.me as _, Type::TEXT),
            (&lanes as _, Type::INT4_ARRAY),
            (&slots as _, Type::INT2_ARRAY),
            (&versions as _, Type::INT8_ARRAY),
        ];
        let rows = self.base.ask(&sql, &params).await?;
        let taken = |row: &Row| {
            let wrong = || PostgresError::Answer("it is not a snapshot".into());
            let done = Snapshot::parse(row.get(4)).ok_or_else(wrong)?;
            let window = match row.get::<_, Option<&str>>(5) {
                Some(end) => {
                    let end = Snapshot::parse(end).ok_or_else(wrong)?;
                    Some((end, (row.get(6), row.get(7))))
                }
                None => None,
            };
            let position = Position { done, window, mark: row.get(8), low: row.get(9) };
            Ok(Taken { held: held(row), position })
        };
        rows.iter().map(taken).collect()
    }

    /// Returns what comes again now, and in how long the next is due.
    pub(super) async fn due(
        &self,
        lanes: &[i32],
        room: usize,
    ) -> Result<(Vec<Due>, Option<Duration>), PostgresError> {
        let Base { tables, .. } = &*self.base;
        let sql = format!(
            "SELECT r.lane, r.xid, r.seq, r.attempts, e.subject, e.envelope, (SELECT extract(epoch FROM \
             min(due) - now())::float8 FROM {retries} WHERE grp = $1 AND lane = ANY ($2) AND due > now() \
             AND due < 'infinity') FROM (SELECT) AS one LEFT JOIN (SELECT * FROM {retries} WHERE grp = $1 \
             AND lane = ANY ($2) AND due <= now() ORDER BY xid, seq LIMIT $3) AS r ON true LEFT JOIN \
             LATERAL (SELECT subject, envelope FROM {events} AS e WHERE e.xid = r.xid AND e.seq = r.seq) \
             AS e ON true ORDER BY r.xid, r.seq",
            retries = tables.retries,
            events = tables.events,
        );
        let lanes = lanes.to_vec();
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let params = [
            (&self.number as _, Type::INT4),
            (&lanes as _, Type::INT4_ARRAY),
            (&room as _, Type::INT8),
        ];
        let rows = self.base.ask(&sql, &params).await?;
        let next = rows.first().and_then(|row| row.get::<_, Option<f64>>(6));
        let next = next.map(|secs| Duration::try_from_secs_f64(secs).unwrap_or_default());
        let mut due = Vec::new();
        for row in &rows {
            let Some(lane) = row.get::<_, Option<i32>>(0) else { continue };
            let subject: Option<String> = row.get(4);
            due.push(Due {
                lane,
                xid: row.get(1),
                seq: row.get(2),
                attempts: u32::try_from(row.get::<_, i32>(3)).unwrap_or(0),
                event: subject.zip(row.get::<_, Option<String>>(5)),
            });
        }
        Ok((due, next))
    }
}

fn held(row: &Row) -> Held {
    Held { lane: row.get(0), slot: row.get(1), version: row.get(2), member: row.get(3) }
}

/// Returns an array as SQL writes it.
pub(super) fn array(of: impl Iterator<Item = i64>) -> String {
    let parts: Vec<String> = of.map(|it| it.to_string()).collect();
    format!("{{{}}}", parts.join(","))
}

/// Returns what is open of a lane as two arrays: the transactions, and the sequences.
pub(super) fn arrays(open: &BTreeMap<i64, i64>) -> (String, String) {
    (array(open.values().copied()), array(open.keys().copied()))
}
