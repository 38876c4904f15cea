//! The engine for Kinesis on a server that stands for it. Without it each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod cost;
mod faults;
mod group;
mod kill;
mod kit;
mod live;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "some of it is for the tests of Postgres")]
#[path = "../postgres/server.rs"]
mod postgres;
mod reshard;
mod router;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod start;
mod stub;
mod wire;

use core::time::Duration;

use server::Server;
use servers::events::{delivery, envelope, next, nothing, run, subject, until, value};
use tickbus::Envelope;
use tickbus::hosted::engines::kinesis::{Kinesis, MemoryLeases, Provision};
use tickbus::hosted::{Engine, Level};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(20);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wordofmine";

/// Runs a test on a server of its own.
fn on(test: impl AsyncFn(Server)) {
    if let Some(server) = Server::start() {
        run(test(server));
    }
}

fn settings(url: impl Into<String>) -> Kinesis {
    Kinesis::new("game")
        .region("us-east-1")
        .endpoint(url)
        .credentials(KEY_ID, SECRET)
        .provision(Provision::Create)
        .timeout(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(250))
        .poll_interval(Duration::from_millis(20))
        .checkpoint_interval(Duration::from_millis(50))
        .shard_lease(Duration::from_secs(2))
}

async fn up(kinesis: Kinesis) -> Kinesis {
    kinesis.start().await.expect("it starts");
    kinesis
}

/// An engine of two shards, with leases in memory.
async fn started(url: impl Into<String>) -> Kinesis {
    up(settings(url).shards(2).lease_store(MemoryLeases::new())).await
}

fn number(subject: &str, number: u32) -> Envelope {
    Envelope::json(subject, &number).unwrap()
}

async fn publish(kinesis: &Kinesis, subject: &str) {
    let receipt = kinesis.publish(envelope(subject)).await.unwrap();
    assert_eq!((receipt.level, receipt.sequence), (Level::Stored, None));
}
