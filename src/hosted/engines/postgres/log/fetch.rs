//! Reads what came since a position.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::super::error::PostgresError;
use super::base::{Base, Param};
use super::filter::Filter;
use super::position::{Position, Reads, Snapshot};
use super::upkeep::provide;
use crate::envelope::Envelope;
use crate::hosted::wire::{self, InvalidMessage};
use crate::sync::Relaxed;

/// How far a sequence may go back.
const SLACK: i64 = 1024;

/// Lanes that are at one position.
pub(super) struct Part {
    pub(super) position: Position,
    /// `None` is all lanes.
    pub(super) lanes: Option<Vec<i32>>,
}

/// An event of the log.
pub(super) struct Event {
    pub(super) lane: i32,
    pub(super) xid: i64,
    pub(super) seq: i64,
    pub(super) envelope: Result<Arc<Envelope>, InvalidMessage>,
}

/// What a read returned, for each part in turn.
pub(super) struct Read {
    pub(super) parts: Vec<(Position, Vec<Event>)>,
    /// Whether there may be more.
    pub(super) is_behind: bool,
    /// Up to here events were removed that a part had not read.
    pub(super) trimmed: Option<i64>,
}

/// Which events a reader wants.
pub(super) struct Wanted {
    pub(super) filter: Filter,
    /// Those of this sequence and later.
    pub(super) from_seq: i64,
    /// Those that the log has since this time, as Postgres writes it.
    pub(super) from_time: Option<String>,
}

impl Wanted {
    pub(super) const fn all_that_match(filter: Filter) -> Self {
        Self { filter, from_seq: 0, from_time: None }
    }
}

/// The parameters of a statement while it is written.
#[derive(Default)]
struct Params(Vec<(Box<dyn ToSql + Sync + Send>, Type)>);

impl Params {
    fn add(&mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> String {
        self.0.push((Box::new(value), of));
        format!("${}", self.0.len())
    }
}

/// Reads about `room` events for the parts.
pub(super) async fn read(
    base: &Base,
    wanted: &Wanted,
    parts: &[Part],
    room: usize,
    reads: &mut Reads,
) -> Result<Read, PostgresError> {
    let low = parts.iter().map(|part| part.position.low).min().unwrap_or(0);
    // A sequence goes back a little if a server is killed.
    let low = base.segment_of((low.max(base.counted_out(base.last())) - SLACK).max(0));
    // The planner must know how few it reads.
    let limit = (room / parts.len().max(1)).clamp(1, 1024);
    let limit = if limit.is_power_of_two() { limit } else { limit.next_power_of_two() / 2 };
    let wrong = || PostgresError::Answer("it is not a snapshot".into());
    let rows = loop {
        let end = i64::try_from(base.end.load(Relaxed)).unwrap_or(i64::MAX);
        let mut params = Params::default();
        let sql = statement(base, wanted, parts, (low, end), limit, &mut params);
        let params: Vec<Param<'_>> = params
            .0
            .iter()
            .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
            .collect();
        let rows = base.ask(&sql, &params).await?;
        // A segment that came since the statement was planned was not read, and its events may be
        // committed.
        if rows.iter().find(is_of_the_log).is_some_and(|row| row.get::<_, i64>(0) < end) {
            break rows;
        }
        provide(base).await?;
    };

    let log = rows.iter().find(is_of_the_log).ok_or_else(wrong)?;
    let last: i64 = log.get(0);
    let now = Snapshot::parse(log.get(1)).ok_or_else(wrong)?;
    base.seen(last);
    let newest = log.get::<_, Option<i64>>(2).map_or(0, |newest| newest + 1);
    let xmax = parts.iter().fold(newest, |xmax, part| xmax.max(part.position.done.xmax));
    let mut events: Vec<Vec<Event>> = parts.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        let Some(part) = row.get::<_, Option<i32>>(3) else { continue };
        let Some(events) = usize::try_from(part).ok().and_then(|part| events.get_mut(part)) else {
            continue;
        };
        let seq: i64 = row.get(5);
        let envelope = envelope(base, seq, row.get(7), row.get(8));
        events.push(Event { xid: row.get(4), seq, lane: row.get(6), envelope });
    }
    // Most are in order already.
    events.iter_mut().for_each(|events| events.sort_by_key(|event| (event.xid, event.seq)));
    let trimmed = trimmed(base, parts, last).await?;
    let all_low = parts.iter().map(|part| part.position.low).min().unwrap_or(0);
    let caught_up = reads.caught_up(now, xmax, last, all_low);
    let mut read = Read { parts: Vec::new(), is_behind: false, trimmed };
    for (part, events) in parts.iter().zip(events) {
        let position = match events.last() {
            Some(event) if events.len() >= limit => {
                read.is_behind = true;
                let at = (event.xid, event.seq);
                let end = part.position.window.as_ref().map_or(&caught_up.done, |(end, _)| end);
                // The mark stays: what is not read of the window may have lower sequences.
                Position { window: Some((end.clone(), at)), ..part.position.clone() }
            }
            _ => match &part.position.window {
                // The window is read. What came since its end is next.
                Some((end, _)) => {
                    read.is_behind = true;
                    let Position { mark, low, .. } = part.position;
                    Position { done: end.clone(), window: None, mark, low }
                }
                None => caught_up.clone(),
            },
        };
        let mark = position.mark.max(trimmed.unwrap_or(0));
        read.parts.push((Position { mark, ..position }, events));
    }
    Ok(read)
}

/// One row says how far the log is. The others are events, each of a part.
fn is_of_the_log(row: &&Row) -> bool {
    row.get::<_, Option<i32>>(3).is_none()
}

/// Returns up to where events were removed, if a part had not read them.
async fn trimmed(base: &Base, parts: &[Part], last: i64) -> Result<Option<i64>, PostgresError> {
    let oldest = parts.iter().map(|part| part.position.mark).min().unwrap_or(0).max(0);
    let is_counted_out = base.counted_out(last) > oldest;
    if oldest + 1 >= base.segment_of(last) && !is_counted_out {
        return Ok(None); // no engine removes the segment that is in use, whatever its settings
    }
    let floor = base.floor(last).await?;
    Ok((floor > oldest).then_some(floor))
}

/// Reads an envelope. A row of another program may have a payload alone.
pub(super) fn envelope(
    base: &Base,
    seq: i64,
    subject: &str,
    text: &str,
) -> Result<Arc<Envelope>, InvalidMessage> {
    let id = || format!("{}/{seq}", base.tables.name());
    wire::from_json(subject, text.as_bytes(), id).map(Arc::new)
}

fn statement(
    base: &Base,
    wanted: &Wanted,
    parts: &[Part],
    (low, end): (i64, i64),
    limit: usize,
    params: &mut Params,
) -> String {
    let (events, sequence) = (&base.tables.events, &base.tables.sequence);
    let mut fits = format!("seq >= {low} AND seq < {end}");
    match &wanted.filter {
        Filter::All => {}
        Filter::Is(subjects) => {
            fits +=
                &format!(" AND subject = ANY ({})", params.add(subjects.clone(), Type::TEXT_ARRAY));
        }
        Filter::Begins(begins) => {
            fits +=
                &format!(" AND subject ^@ ANY ({})", params.add(begins.clone(), Type::TEXT_ARRAY));
        }
        Filter::Like(regex) => {
            fits += &format!(" AND subject ~ {}", params.add(regex.clone(), Type::TEXT));
        }
    }
    if base.max_events > 0 {
        let most = params.add(base.max_events, Type::INT8);
        fits += &format!(" AND seq > (SELECT last FROM log) - {most}");
    }
    if wanted.from_seq > 0 {
        fits += &format!(" AND seq >= {}", params.add(wanted.from_seq, Type::INT8));
    }
    if let Some(time) = &wanted.from_time {
        fits += &format!(" AND at >= {}::text::timestamptz", params.add(time.clone(), Type::TEXT));
    }
    let mut branches: Vec<String> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let mut own = fits.clone();
        if let Some(lanes) = &part.lanes {
            own += &format!(" AND lane = ANY ({})", params.add(lanes.clone(), Type::INT4_ARRAY));
        }
        if let Some((end, (xid, seq))) = &part.position.window {
            own += &format!(" AND xid < {}", params.add(end.xmax, Type::INT8));
            if !end.open.is_empty() {
                let open = params.add(end.open.clone(), Type::INT8_ARRAY);
                own += &format!(" AND xid <> ALL ({open})");
            }
            let (xid, seq) = (params.add(*xid, Type::INT8), params.add(*seq, Type::INT8));
            own += &format!(" AND (xid, seq) > ({xid}, {seq})");
        }
        let columns = "xid, seq, lane, subject, envelope";
        let done = &part.position.done;
        let new = params.add(done.xmax, Type::INT8);
        let mut branch = format!(
            "(SELECT {number} AS part, {columns} FROM {events} WHERE {own} AND xid >= {new} \
             ORDER BY xid, seq LIMIT {limit})"
        );
        if !done.open.is_empty() {
            let open = params.add(done.open.clone(), Type::INT8_ARRAY);
            branch = format!(
                "(SELECT * FROM ({branch} UNION ALL (SELECT {number}, e.* FROM unnest({open}) AS o (xid) \
                 CROSS JOIN LATERAL (SELECT {columns} FROM {events} AS late WHERE {own} AND late.xid = \
                 o.xid ORDER BY seq LIMIT {limit}) AS e)) AS every ORDER BY xid, seq LIMIT {limit})"
            );
        }
        branches.push(branch);
    }
    format!(
        "WITH log AS MATERIALIZED (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last, \
         pg_current_snapshot()::text AS now FROM {sequence}) SELECT last, now, (SELECT max(xid) FROM \
         {events} WHERE seq >= {low} AND seq < {end}), NULL::int4, NULL::int8, NULL::int8, NULL::int4, \
         NULL, NULL FROM log UNION ALL SELECT NULL, NULL, NULL, e.* FROM ({}) AS e",
        branches.join(" UNION ALL ")
    )
}
