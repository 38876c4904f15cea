//! The engine for Redis on a real server. Without it each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod cost;
mod disk;
mod faults;
mod group;
mod hostile;
mod kill;
mod kit;
mod live;
mod router;
mod scripts;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../servers/disk.rs"]
mod small_disk;
mod start;
mod wire;

use core::time::Duration;

use server::Server;
use servers::events::{delivery, envelope, next, nothing, number, run, subject, until, value};
use tickbus::hosted::Engine;
use tickbus::hosted::engines::redis::{Provision, Redis};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

/// Runs a test on a server of its own, with these options.
fn on(options: &[&str], test: impl AsyncFn(Server)) {
    if let Some(server) = Server::start(options) {
        run(test(server));
    }
}

fn settings(url: impl Into<String>) -> Redis {
    Redis::new(url)
        .stream("game")
        .provision(Provision::Create)
        .timeout(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(250))
}

async fn up(redis: Redis) -> Redis {
    redis.start().await.expect("it starts");
    redis
}

async fn started(url: impl Into<String>) -> Redis {
    up(settings(url)).await
}

async fn publish(redis: &Redis, subject: &str) -> u64 {
    let receipt = redis.publish(envelope(subject)).await.unwrap();
    assert!(!receipt.duplicate);
    receipt.sequence.unwrap()
}
