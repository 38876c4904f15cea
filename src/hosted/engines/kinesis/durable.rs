//! Durable subscriptions: how a member of a group begins.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, UNKNOWN, group_name};
use super::error::Failed;
use super::group::{Durable, Group};
use super::ledger::Ledger;
use super::member::Member;
use super::position::{Mark, Position};
use super::reader::Cursor;
use crate::envelope::Timestamp;
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{BoxError, DurableOptions, Reason, Receive, StartAt};
use crate::sync::PlainNumber;

/// How much earlier than now a new group begins for a member that takes over before anything has come: the
/// clock of the server may be another one.
const MARGIN: Duration = Duration::from_secs(1);

pub(super) async fn open(
    connection: Arc<Connection>,
    mut options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let Some(store) = connection.leases.clone() else {
        return Err(Reason::Unsupported("groups without a lease store"));
    };
    let membership = connection.join()?;
    options.lease = options.lease.min(FOR_EVER);
    let begin = match options.start_at {
        StartAt::Time(time) => Position::At(time),
        StartAt::New | StartAt::Earliest => Position::Earliest,
        StartAt::Sequence(_) => return Err(Reason::Unsupported("a start at a sequence")),
    };
    let shards = connection.shards().await.map_err(|failed| match failed {
        Failed::Missing(_) => connection.missing(),
        other => other.reason(),
    })?;
    let is_new = options.start_at == StartAt::New;
    let mut rows = Vec::with_capacity(shards.len());
    let mut cursors = BTreeMap::new();
    let now = Timestamp::now().unix_nanos() - i128::try_from(MARGIN.as_nanos()).unwrap_or(0);
    for shard in &shards {
        let position = match (is_new, shard.is_open) {
            (true, true) => {
                let mut cursor = Cursor::new(&shard.id, None);
                cursor.pin(&connection).await.map_err(Failed::reason)?;
                cursors.insert(shard.id.clone(), cursor);
                Timestamp::from_unix_nanos(now).map_or(Position::Earliest, Position::At)
            }
            (true, false) => Position::End,
            (false, _) => begin.clone(),
        };
        rows.push((Box::<str>::from(&*shard.id), Mark::new(position).text().into()));
    }
    let name = group_name(&connection.stream, &options.group);
    let about = about(&connection, &options, &begin);
    let opened = timeout(connection.timeout, store.open(&name, &about, &rows)).await;
    let opened = opened.map_err(|_| Reason::TimedOut)?.map_err(|error| of_store(&error))?;
    let begin = check(&options, &about, &opened.about)?;
    let ledger = Ledger::new(options.in_flight, options.lease, options.max_attempts);
    let group = Arc::new(Group::new(connection.clone(), ledger));
    let lag = Arc::new(PlainNumber::new(UNKNOWN));
    connection.watch(&lag);
    let now = Instant::now();
    let mut member = Member {
        group: group.clone(),
        store,
        group_name: name,
        me: format!("{}", uuid::Uuid::now_v7().simple()).into(),
        begin,
        signals: connection.signals.subscribe(),
        lag: lag.clone(),
        trouble: connection.troubles.join(),
        _membership: membership,
        owned: BTreeMap::new(),
        reads: JoinSet::new(),
        given: BTreeMap::new(),
        numbers: 0,
        look_at: now,
        renew_at: now,
        commit_at: now,
        options,
    };
    if opened.created {
        // The one that made the group has asked where the shards are now.
        for (shard, cursor) in cursors {
            member.claim(&shard, Some(cursor)).await.map_err(|error| of_store(&error))?;
        }
    }
    connection.runtime.spawn(member.run());
    Ok(Box::new(Durable { group, lag }))
}

fn of_store(error: &BoxError) -> Reason {
    refused(format!("the lease store: {error}"))
}

/// What is said of a group: where it begins, which stream it is of, and the patterns.
fn about(connection: &Connection, options: &DurableOptions, begin: &Position) -> String {
    let mut patterns: Vec<&str> = options.patterns.iter().map(|pattern| pattern.as_str()).collect();
    patterns.sort_unstable();
    patterns.dedup();
    let created = connection.created().map_or_else(|| "?".into(), |at| format!("{at}"));
    format!("{} {created} {}", Mark::new(begin.clone()).text(), patterns.join(" "))
}

/// Compares what is said of a group with what this member says. Returns where the group begins.
fn check(options: &DurableOptions, ours: &str, theirs: &str) -> Result<Position, Reason> {
    let parts = |text: &str| {
        let (begin, rest) = text.split_once(' ')?;
        let (created, patterns) = rest.split_once(' ')?;
        Some((Mark::parse(begin)?.position, String::from(created), String::from(patterns)))
    };
    let group = &options.group;
    let (Some((_, stream, wanted)), Some((begin, other, patterns))) = (parts(ours), parts(theirs))
    else {
        return Err(refused(format!("what the lease store has of `{group}` is not understood")));
    };
    if wanted != patterns {
        return Err(refused(format!(
            "the group `{group}` exists for other patterns ({patterns}): name another group"
        )));
    }
    if stream != other && stream != "?" && other != "?" {
        return Err(refused(format!(
            "the group `{group}` is of another stream that had this name before: its positions are \
             lost. Remove its leases, or name another group"
        )));
    }
    Ok(begin)
}
