//! The log.

mod cost;
mod faults;
mod group;
mod kill;
mod kit;
mod quiet;
mod rate;

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;
use tickbus::hosted::Engine;
use tickbus::hosted::engines::Postgres;
use tickbus::hosted::engines::postgres::Provision;

use crate::run;
use crate::server::Postgres as Server;
use crate::servers::events::{delivery, envelope, next, nothing, number, subject, value};

/// Runs a test on a server of its own.
fn on(options: &[&str], test: impl AsyncFn(Server)) {
    if let Some(server) = Server::start(options) {
        run(test(server));
    }
}

/// Runs a test on the server that all share, on a log of its own.
fn on_a_log(test: impl AsyncFn(&Server, &str)) {
    if let Some(server) = crate::server::shared() {
        let log = crate::table().replace("events", "log");
        run(test(server, &log));
    }
}

fn settings(url: impl Into<String>) -> Postgres {
    Postgres::new(url)
        .log("game")
        .provision(Provision::Create)
        .timeout(Duration::from_secs(2))
        .poll(Duration::from_secs(2))
}

async fn up(engine: Postgres) -> Postgres {
    engine.start().await.expect("it starts");
    engine
}

async fn started(url: impl Into<String>) -> Postgres {
    up(settings(url)).await
}

fn keyed(key: &str, number: u32) -> Arc<Envelope> {
    Envelope::json("game.shot", &number).unwrap().with_key(key).into()
}

async fn publish(engine: &Postgres, subject: &str) -> u64 {
    let receipt = engine.publish(envelope(subject)).await.unwrap();
    assert!(!receipt.duplicate);
    receipt.sequence.unwrap()
}
