//! Live subscriptions: what is written from now on, read without a group on a connection of their own.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use krafka::consumer::{AutoOffsetReset, Consumer, TopicPartition};
use krafka::{ConsumerRecord, KrafkaError};
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::{Connection, Membership, Signal};
use super::fault;
use super::message;
use super::topics::Place;
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};

/// How long a read waits for events.
const READ: Duration = Duration::from_millis(500);

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let runtime = connection.runtime.clone();
    // The client works on the runtime on which it is made.
    match runtime.spawn(begin(connection, options)).await {
        Ok(opened) => opened.map(|live| -> Box<dyn Receive> { Box::new(live) }),
        Err(_) => Err(Reason::Closed),
    }
}

async fn begin(connection: Arc<Connection>, options: LiveOptions) -> Result<Live, Reason> {
    let membership = connection.join()?;
    let topics = connection.topics.carrying(&options.patterns);
    let places = connection.places(&topics).await?;
    let client = connection.settings.client().await?;
    let consumer = client
        .consumer_without_group()
        // A partition that is new later is read from its beginning.
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_wait(READ)
        .metrics_push(false);
    let consumer = consumer.build().await.map_err(|error| fault::reason(&error))?;
    let mut reader = Reader {
        topics,
        expected: BTreeMap::new(),
        signals: connection.signals.subscribe(),
        mailbox: Mailbox::new(),
        trouble: connection.troubles.join(),
        connection,
        options,
        _membership: membership,
    };
    reader.assign(&consumer).await.map_err(|error| fault::reason(&error))?;
    for place in places {
        let topic = reader.connection.topics.name(place.topic);
        let ends = reader.connection.scout.fetch_watermarks(topic, place.partition).await;
        let (_, end) = ends.map_err(|error| fault::reason(&error))?;
        let sought = consumer.seek(topic, place.partition, end).await;
        sought.map_err(|error| fault::reason(&error))?;
        reader.expected.insert(place, end);
    }
    let mailbox = reader.mailbox.clone();
    let task = tokio::spawn(reader.run(consumer)).abort_handle();
    Ok(Live { mailbox, task })
}

struct Reader {
    connection: Arc<Connection>,
    topics: Vec<usize>,
    options: LiveOptions,
    signals: watch::Receiver<Signal>,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    /// The offsets that come next if nothing is missing.
    expected: BTreeMap<Place, i64>,
    /// Why it cannot read.
    trouble: Arc<Trouble>,
    _membership: Membership,
}

impl Reader {
    /// Reads all partitions that there are. Those that it has read stay where they are.
    async fn assign(&self, consumer: &Consumer) -> Result<(), KrafkaError> {
        for topic in &self.topics {
            let Some(facts) = self.connection.facts(*topic) else { continue };
            let partitions = (0..facts.partitions).collect();
            consumer.assign(self.connection.topics.name(*topic), partitions).await?;
        }
        Ok(())
    }

    fn partitions(&self) -> i32 {
        let facts = self.topics.iter().filter_map(|topic| self.connection.facts(*topic));
        facts.map(|facts| facts.partitions).sum()
    }

    async fn run(mut self, consumer: Consumer) {
        let _end = EndOf(self.mailbox.clone());
        let mut partitions = self.partitions();
        let mut pause = Duration::ZERO;
        loop {
            if self.signals.borrow_and_update().closed {
                return;
            }
            let now = self.partitions();
            if now > partitions && self.assign(&consumer).await.is_ok() {
                partitions = now;
            }
            let mut signals = self.signals.clone();
            tokio::select! {
                _ = signals.changed() => {}
                records = consumer.poll(READ) => match records {
                    Ok(records) => {
                        pause = Duration::ZERO;
                        self.trouble.clear();
                        self.receive(&consumer, records).await;
                    }
                    Err(error) => {
                        if !error.is_retriable() {
                            self.trouble.set(&fault::reason(&error));
                        }
                        pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                        sleep(pause).await;
                    }
                },
            }
        }
    }

    async fn receive(&mut self, consumer: &Consumer, records: Vec<ConsumerRecord>) {
        for record in records {
            let Some(topic) = self.connection.topics.number(&record.topic) else { continue };
            let place = Place { topic, partition: record.partition };
            let expected = self.expected.insert(place, record.offset + 1);
            match expected {
                Some(expected) if record.offset > expected => {
                    self.jumped(consumer, &self.connection.partition(place), expected).await;
                }
                // Another log has this name.
                Some(expected) if record.offset < expected => {
                    self.tell(Gap::new(None, GapReason::Trimmed));
                }
                _ => {}
            }
            match message::read(&record) {
                Ok(envelope) if self.options.matches(envelope.subject()) => {
                    self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
                }
                Ok(_) => {}
                Err(_) => self.tell(Gap::new(Some(1), GapReason::Unreadable)),
            }
        }
    }

    /// Offsets may be missing without a loss: in a compacted topic, and after a transaction.
    async fn jumped(&self, consumer: &Consumer, partition: &TopicPartition, expected: i64) {
        let lag = consumer.lag().await;
        let first = lag.get(partition).and_then(|it| it.log_start_offset);
        if let Some(first) = first.filter(|first| *first > expected) {
            // Not everything that is gone was for this subscription.
            let all = self.options.patterns.iter().any(|pattern| pattern.as_str() == ">");
            let missed = u64::try_from(first - expected).ok().filter(|_| all);
            self.tell(Gap::new(missed, GapReason::Trimmed));
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }
}
