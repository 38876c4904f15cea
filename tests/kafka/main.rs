//! The engine for Kafka on real servers. Without them each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod cost;
mod faults;
mod group;
mod kill;
mod kit;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod start;
mod wire;

use core::time::Duration;

use krafka::admin::{AdminClient, DeleteRecordsOptions, ListConsumerGroupOffsetsOptions};
use krafka::consumer::TopicPartition;
use server::{Server, Which};
use servers::events::{delivery, envelope, next, nothing, number, run, subject, until, value};
use tickbus::hosted::engines::kafka::{Kafka, Provision};
use tickbus::hosted::{Engine, Subscribe};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(30);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

/// Runs a test on a server of its own.
fn on(test: impl AsyncFn(Server)) {
    if let Some(server) = Server::start(Which::Noida) {
        run(test(server));
    }
}

/// An engine of one partition.
fn settings(brokers: impl Into<String>) -> Kafka {
    Kafka::new(brokers)
        .topic("game")
        .partitions(1)
        .provision(Provision::Create)
        .timeout(Duration::from_secs(3))
        .heartbeat(Duration::from_millis(250))
        .session_timeout(Duration::from_secs(6))
}

async fn up(kafka: Kafka) -> Kafka {
    kafka.start().await.expect("it starts");
    kafka
}

async fn started(brokers: impl Into<String>) -> Kafka {
    up(settings(brokers)).await
}

async fn publish(kafka: &Kafka, subject: &str) -> u64 {
    kafka.publish(envelope(subject)).await.unwrap().sequence.unwrap()
}

fn group<'k>(kafka: &'k Kafka, pattern: &str, group: &str) -> Subscribe<'k> {
    kafka.subscribe(pattern).unwrap().group(group)
}

/// The client as another program uses it.
async fn client(brokers: &str) -> krafka::Kafka {
    krafka::Kafka::builder(brokers).connect().await.unwrap()
}

/// The position of a group in a partition of the topic.
async fn position(admin: &AdminClient, group: &str, partition: i32) -> Option<i64> {
    let options = ListConsumerGroupOffsetsOptions::default();
    let listed = admin.list_consumer_group_offsets(group, options).await.unwrap();
    let of = listed.get(&TopicPartition::new("game", partition))?;
    of.as_ref().unwrap().offset
}

/// Removes what is before an offset, as the retention does.
async fn trim(admin: &AdminClient, before: i64) {
    let of = [(TopicPartition::new("game", 0), before)];
    let deleted = admin.delete_records(of, DeleteRecordsOptions::default()).await.unwrap();
    assert!(deleted.into_values().all(|it| it.is_ok()));
}
