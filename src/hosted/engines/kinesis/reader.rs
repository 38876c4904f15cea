//! Reads one shard, from where it is.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};

use super::connection::Connection;
use super::error::Failed;
use super::position::Position;
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::wire::{self, InvalidMessage};
use crate::subject::Subject;

/// A place in a shard from which to read on.
pub(super) struct Cursor {
    pub(super) shard: Arc<str>,
    /// `None` is behind the newest event at the time when it is asked for.
    pub(super) from: Option<Position>,
    iterator: Option<String>,
    /// What arrived before is not wanted.
    not_before: Option<Timestamp>,
}

/// What one request returned.
pub(super) struct Page {
    pub(super) records: Vec<Came>,
    /// Whether the shard has ended behind it.
    pub(super) is_last: bool,
    /// Whether there is more now.
    pub(super) is_behind: bool,
}

/// A record, and what it is to a subscription.
pub(super) struct Came {
    pub(super) sequence: Arc<str>,
    /// When it arrived, in milliseconds.
    pub(super) arrived: Option<i64>,
    /// `None` if it arrived too early.
    pub(super) envelope: Option<Result<Arc<Envelope>, InvalidMessage>>,
}

impl Cursor {
    pub(super) fn new(shard: &Arc<str>, from: Option<Position>) -> Self {
        let not_before = match &from {
            Some(Position::At(time)) => Some(*time),
            _ => None,
        };
        Self { shard: shard.clone(), from, iterator: None, not_before }
    }

    /// Passes over what arrived before this time.
    pub(super) const fn wants_from(&mut self, time: Timestamp) {
        self.not_before = Some(time);
    }

    /// Asks for the iterator now.
    pub(super) async fn pin(&mut self, connection: &Connection) -> Result<(), Failed> {
        if self.iterator.is_none() {
            self.iterator = Some(self.ask(connection).await?);
        }
        Ok(())
    }

    async fn ask(&self, connection: &Connection) -> Result<String, Failed> {
        let request = connection.client.get_shard_iterator();
        let request = request.stream_name(&*connection.stream).shard_id(&*self.shard);
        let kind = |kind| request.clone().shard_iterator_type(kind);
        let request = match &self.from {
            None | Some(Position::End) => kind(ShardIteratorType::Latest),
            Some(Position::Earliest) => kind(ShardIteratorType::TrimHorizon),
            // The server refuses a time to come.
            Some(Position::At(time)) if *time > Timestamp::now() => kind(ShardIteratorType::Latest),
            Some(Position::At(time)) => {
                let time =
                    DateTime::from_nanos(time.unix_nanos()).unwrap_or(DateTime::from_secs(0));
                kind(ShardIteratorType::AtTimestamp).timestamp(time)
            }
            Some(Position::After(sequence)) => {
                kind(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(&**sequence)
            }
        };
        let iterator = connection.ask(request.send()).await?.shard_iterator;
        iterator.ok_or_else(|| Failed::Missing(format!("the shard `{}` is not there", self.shard)))
    }

    /// Reads what comes next, if there is something.
    pub(super) async fn read(
        &mut self,
        connection: &Connection,
        most: usize,
    ) -> Result<Page, Failed> {
        let most = most.clamp(1, 10_000);
        self.pin(connection).await?;
        let Some(iterator) = &self.iterator else { return Err(Failed::Expired) };
        let limit = i32::try_from(most).unwrap_or(i32::MAX);
        let request = connection.client.get_records().shard_iterator(iterator).limit(limit);
        let answer = match connection.ask(request.send()).await {
            Ok(answer) => answer,
            Err(failed) => {
                if let Failed::Expired | Failed::Invalid(_) = failed {
                    self.iterator = None;
                }
                return Err(failed);
            }
        };
        let is_behind = answer.millis_behind_latest.is_some_and(|behind| behind > 0)
            || answer.records.len() >= most;
        let records: Vec<_> =
            answer.records.into_iter().map(|record| self.came(connection, record)).collect();
        if let Some(last) = records.last() {
            self.from = Some(Position::After(last.sequence.clone()));
        }
        self.iterator = answer.next_shard_iterator;
        Ok(Page { records, is_last: self.iterator.is_none(), is_behind })
    }

    fn came(&self, connection: &Connection, record: Record) -> Came {
        let sequence: Arc<str> = record.sequence_number.into();
        let nanos = record.approximate_arrival_timestamp.map(|time| time.as_nanos());
        let is_early = nanos.zip(self.not_before).is_some_and(|(at, time)| {
            // The server counts in milliseconds.
            at / 1_000_000 < time.unix_nanos() / 1_000_000
        });
        let arrived = nanos.and_then(|nanos| i64::try_from(nanos / 1_000_000).ok());
        let envelope = (!is_early).then(|| {
            let position = || format!("{}/{}/{sequence}", connection.stream, self.shard);
            wire::from_json(&foreign(&connection.stream), record.data.as_ref(), position)
                .map(Arc::new)
        });
        Came { sequence, arrived, envelope }
    }
}

impl Page {
    /// Returns until when everything that arrived was seen, in milliseconds.
    pub(super) fn seen(&self, began: i64) -> Option<i64> {
        if self.is_behind { self.records.last().and_then(|last| last.arrived) } else { Some(began) }
    }
}

/// Returns the subject of what another program has published: the name of the stream.
fn foreign(stream: &str) -> String {
    match Subject::new(stream) {
        Ok(subject) => subject.as_str().to_string(),
        Err(_) => stream.replace('.', "-"),
    }
}
