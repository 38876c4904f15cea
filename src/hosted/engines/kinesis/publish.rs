//! How envelopes leave, and what comes back about them.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::error::{Failed, of_record};
use crate::envelope::Envelope;
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::server::Publish;
use crate::hosted::{EngineError, Level, Reason, Receipt, stamped};

/// How many records and how many bytes leave at once.
const CHUNK: usize = 500;
const CHUNK_BYTES: usize = 5 << 20;
/// How many units of UTF-16 a partition key has.
const KEY: usize = 256;
/// How long to wait before another attempt: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What travels for an envelope.
struct Record {
    key: String,
    data: Blob,
    size: usize,
}

/// Returns what decides about the shard: the ordering key, or else the subject. Of a longer one its
/// beginning, so that one key is on one shard.
fn partition_key(envelope: &Envelope) -> &str {
    let key = match envelope.key() {
        "" => envelope.subject().as_str(),
        key => key,
    };
    let mut units = 0;
    let end = key.char_indices().find(|(_, letter)| {
        units += letter.len_utf16();
        units > KEY
    });
    end.map_or(key, |(end, _)| &key[..end])
}

impl Connection {
    fn record(&self, envelope: &Envelope) -> Result<Record, Reason> {
        self.check()?;
        let (key, text) = (partition_key(envelope).to_string(), envelope.to_json());
        let (size, limit) = (text.len() + key.len(), self.limit());
        if size > limit {
            return Err(Reason::TooLarge { bytes: size, limit });
        }
        Ok(Record { key, data: Blob::new(text), size })
    }

    /// Says what a user can do about it.
    fn explained(&self, failed: Failed) -> Failed {
        match failed {
            Failed::Missing(_) => Failed::NotSent(self.missing()),
            other => other,
        }
    }

    async fn put(&self, record: Record) -> Result<(), Failed> {
        let mut attempts = Attempts::new(self.timeout);
        loop {
            let request = self.client.put_record().stream_name(&*self.stream);
            let request = request.partition_key(&record.key).data(record.data.clone());
            match self.ask(request.send()).await {
                Ok(_) => return Ok(()),
                Err(failed) => attempts.after(self, failed).await?,
            }
        }
    }
}

impl Publish for Connection {
    async fn publish(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let put = async {
            let record = self.record(&envelope).map_err(Failed::NotSent)?;
            self.put(record).await
        };
        match put.await {
            Ok(()) => Ok(Receipt::new(engine, Level::Stored)),
            Err(failed) => Err(self.explained(failed).of(engine, envelope)),
        }
    }

    async fn publish_batch(
        &self,
        engine: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let envelopes: Vec<_> = envelopes.into_iter().map(stamped).collect();
        let mut batch = Batch::new(envelopes.len());
        for (at, envelope) in envelopes.iter().enumerate() {
            match self.record(envelope) {
                Ok(record) => batch.add(at, envelope.key(), record),
                Err(reason) => batch.results[at] = Some(Err(Failed::NotSent(reason))),
            }
        }
        batch.send(self).await;
        let failed = |failed| self.explained(failed);
        let results = batch.results.into_iter().zip(envelopes);
        results
            .map(|(result, envelope)| match result {
                Some(Ok(())) => Ok(Receipt::new(engine, Level::Stored)),
                Some(Err(why)) => Err(failed(why).of(engine, envelope)),
                None => Err(EngineError::not_sent(engine, envelope, Reason::TimedOut)),
            })
            .collect()
    }
}

/// How often, and for how long, something is tried.
struct Attempts {
    until: Instant,
    pause: Duration,
    has_created: bool,
}

impl Attempts {
    fn new(time: Duration) -> Self {
        Self { until: Instant::now() + time, pause: FIRST_PAUSE, has_created: false }
    }

    /// Waits for another attempt. Returns `false` if there is no time for one.
    async fn wait(&mut self, connection: &Connection) -> bool {
        if Instant::now() + self.pause >= self.until {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        connection.check().is_ok()
    }

    /// Waits for another attempt, or returns the failure if it is not worth one.
    async fn after(&mut self, connection: &Connection, failed: Failed) -> Result<(), Failed> {
        match failed {
            Failed::Throttled(_) if self.wait(connection).await => Ok(()),
            Failed::Missing(_) if connection.creates() && !self.has_created => {
                self.has_created = true;
                connection.create().await
            }
            other => Err(other),
        }
    }
}

/// Envelopes that leave together.
///
/// The server may take a record and refuse the one before it. So a request has one record of a key at most,
/// and the next one of that key leaves when it has arrived.
struct Batch {
    results: Vec<Option<Result<(), Failed>>>,
    /// Whether an attempt may have stored it, although the answer was a failure.
    is_doubtful: Vec<bool>,
    records: Vec<Option<Record>>,
    /// The next envelope with the same key.
    behind: Vec<Option<usize>>,
    /// What may leave now.
    ready: VecDeque<usize>,
}

impl Batch {
    fn new(count: usize) -> Self {
        let empty = || (0..count).map(|_| None);
        Self {
            results: empty().collect(),
            is_doubtful: alloc::vec![false; count],
            records: (0..count).map(|_| None).collect(),
            behind: alloc::vec![None; count],
            ready: VecDeque::new(),
        }
    }

    fn add(&mut self, at: usize, key: &str, record: Record) {
        self.records[at] = Some(record);
        if key.is_empty() {
            self.ready.push_back(at);
        }
    }

    /// Lines up the envelopes of each key.
    fn line_up(&mut self) {
        let mut ready = VecDeque::with_capacity(self.records.len());
        let mut unordered = core::mem::take(&mut self.ready).into_iter().peekable();
        let mut last: HashMap<&str, usize, foldhash::fast::FixedState> = HashMap::default();
        for (at, record) in self.records.iter().enumerate() {
            let Some(record) = record else { continue };
            if unordered.next_if_eq(&at).is_some() {
                ready.push_back(at);
                continue;
            }
            match last.entry(&record.key) {
                Entry::Occupied(mut last) => self.behind[last.insert(at)] = Some(at),
                Entry::Vacant(first) => {
                    first.insert(at);
                    ready.push_back(at);
                }
            }
        }
        self.ready = ready;
    }

    async fn send(&mut self, connection: &Connection) {
        self.line_up();
        let mut attempts = Attempts::new(connection.timeout);
        while !self.ready.is_empty() {
            let (mut chunk, mut entries, mut size) = (Vec::new(), Vec::new(), 0);
            while chunk.len() < CHUNK
                && let Some(at) = self.ready.front().copied()
                && let Some(record) = &self.records[at]
                && (chunk.is_empty() || size + record.size <= CHUNK_BYTES)
            {
                self.ready.pop_front();
                size += record.size;
                let entry = PutRecordsRequestEntry::builder().data(record.data.clone());
                // Both are set.
                entries.extend(entry.partition_key(&record.key).build());
                chunk.push(at);
            }
            let request = connection.client.put_records().stream_name(&*connection.stream);
            let answer = connection.ask(request.set_records(Some(entries)).send()).await;
            let mut again = Vec::new();
            match answer {
                Ok(answer) => {
                    let mut answers = answer.records.into_iter();
                    for at in chunk {
                        let failed = match answers.next() {
                            Some(it) => it.error_code.as_deref().map(|code| {
                                of_record(code, it.error_message.as_deref().unwrap_or_default())
                            }),
                            None => {
                                let why = "the server did not answer for each record";
                                self.failed(at, &Failed::Unknown(refused(why)));
                                continue;
                            }
                        };
                        match failed {
                            None => {
                                self.done(at);
                                attempts.until = Instant::now() + connection.timeout;
                            }
                            // The server could not store it now.
                            Some(failed @ (Failed::Throttled(_) | Failed::Unknown(_))) => {
                                self.is_doubtful[at] |= matches!(failed, Failed::Unknown(_));
                                again.push((at, failed));
                            }
                            Some(failed) => self.failed(at, &failed),
                        }
                    }
                    if again.is_empty() {
                        attempts.pause = FIRST_PAUSE;
                    } else if !attempts.wait(connection).await {
                        again.drain(..).for_each(|(at, failed)| self.failed(at, &failed));
                    }
                }
                Err(failed) => {
                    let of = failed.again();
                    match attempts.after(connection, failed).await {
                        Ok(()) => again.extend(chunk.into_iter().map(|at| (at, of.again()))),
                        Err(failed) => chunk.iter().for_each(|at| self.failed(*at, &failed)),
                    }
                }
            }
            again.into_iter().rev().for_each(|(at, _)| self.ready.push_front(at));
        }
    }

    fn done(&mut self, at: usize) {
        self.results[at] = Some(Ok(()));
        self.records[at] = None;
        self.ready.extend(self.behind[at]);
    }

    /// Those behind it do not leave either: they would be out of order when this one is sent again.
    fn failed(&mut self, at: usize, failed: &Failed) {
        let own = failed.again();
        self.results[at] = Some(Err(match own {
            // What the last attempt says is not all: one before it may have had an effect.
            own if self.is_doubtful[at] => Failed::Unknown(own.reason()),
            own => own,
        }));
        let mut next = self.behind[at];
        while let Some(at) = next {
            let why = failed.again().reason();
            self.results[at] = Some(Err(Failed::NotSent(why)));
            next = self.behind[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Blob, Envelope, Failed, Reason, Record, partition_key};

    fn key(of: &Envelope) -> &str {
        partition_key(of)
    }

    #[test]
    fn a_partition_key_is_the_key_or_the_subject_and_never_too_long() {
        let envelope = |key: &str| Envelope::new("game.hit").unwrap().with_key(key);
        assert_eq!(key(&envelope("")), "game.hit");
        assert_eq!(key(&envelope("k")), "k");
        assert_eq!(key(&envelope(&"x".repeat(300))), "x".repeat(256));
        // Two units each.
        assert_eq!(key(&envelope(&"\u{1f6aa}".repeat(200))), "\u{1f6aa}".repeat(128));
    }

    #[test]
    fn a_request_has_one_record_of_a_key_at_most() {
        let record = |key: &str| Record { key: key.into(), data: Blob::new("x"), size: 1 };
        let mut batch = Batch::new(5);
        for (at, key) in ["a", "", "a", "b", "a"].into_iter().enumerate() {
            batch.add(at, key, record(key));
        }
        batch.line_up();
        assert_eq!(batch.ready, [0, 1, 3]);
        batch.ready.clear();
        batch.done(0);
        assert_eq!(batch.ready, [2]);
        batch.failed(2, &Failed::Unknown(Reason::TimedOut));
        assert!(matches!(batch.results[2], Some(Err(Failed::Unknown(_)))));
        assert!(matches!(batch.results[4], Some(Err(Failed::NotSent(_)))));
    }
}
