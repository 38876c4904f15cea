//! The log.

mod cost;
mod faults;
mod group;
mod kill;
mod kit;
mod rate;

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;
use tickbus::hosted::engines::Postgres;
use tickbus::hosted::engines::postgres::Provision;
use tickbus::hosted::{Deliveries, Delivery, Engine, Gap};
use tokio::time::timeout;

use crate::server::Postgres as Server;
use crate::{SOON, WHILE, run};

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

fn envelope(subject: &str) -> Arc<Envelope> {
    Envelope::new(subject).unwrap().into()
}

fn number(subject: &str, number: u32) -> Arc<Envelope> {
    Envelope::json(subject, &number).unwrap().into()
}

fn keyed(key: &str, number: u32) -> Arc<Envelope> {
    Envelope::json("game.shot", &number).unwrap().with_key(key).into()
}

async fn publish(engine: &Postgres, subject: &str) -> u64 {
    let receipt = engine.publish(envelope(subject)).await.unwrap();
    assert!(!receipt.duplicate);
    receipt.sequence.unwrap()
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
