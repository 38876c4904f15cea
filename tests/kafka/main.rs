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

use alloc::sync::Arc;
use core::time::Duration;

use krafka::admin::{AdminClient, DeleteRecordsOptions, ListConsumerGroupOffsetsOptions};
use krafka::consumer::TopicPartition;
use server::{Server, Which};
use tickbus::Envelope;
use tickbus::hosted::engines::kafka::{Kafka, Provision};
use tickbus::hosted::{Deliveries, Delivery, Engine, Gap, Subscribe};
use tokio::time::timeout;

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(30);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

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

fn envelope(subject: &str) -> Arc<Envelope> {
    Envelope::new(subject).unwrap().into()
}

fn number(subject: &str, number: u32) -> Arc<Envelope> {
    Envelope::json(subject, &number).unwrap().into()
}

async fn publish(kafka: &Kafka, subject: &str) -> u64 {
    kafka.publish(envelope(subject)).await.unwrap().sequence.unwrap()
}

fn group<'k>(kafka: &'k Kafka, pattern: &str, group: &str) -> Subscribe<'k> {
    kafka.subscribe(pattern).unwrap().group(group)
}

async fn next(from: &mut Deliveries) -> Result<Delivery, Gap> {
    timeout(SOON, from.next()).await.expect("a delivery comes").expect("and not the end")
}

async fn delivery(from: &mut Deliveries) -> Delivery {
    next(from).await.expect("a delivery, not a gap")
}

async fn nothing(from: &mut Deliveries) {
    if let Ok(come) = timeout(WHILE, from.next()).await {
        panic!("{come:?}");
    }
}

fn subject(delivery: &Delivery) -> &str {
    delivery.envelope().subject().as_str()
}

fn value(delivery: &Delivery) -> u32 {
    delivery.envelope().decode().unwrap().expect("a number")
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
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
