//! The engine for MQTT on a real server, `mosquitto`. Without it most tests say SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod cost;
mod device;
mod faults;
mod group;
mod hostile;
mod kill;
mod kit;
mod router;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../servers/disk.rs"]
mod small_disk;
mod start;
mod wire;

use alloc::sync::Arc;
use core::time::Duration;

use server::Server;
use tickbus::Envelope;
use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::{Deliveries, Delivery, Engine, Gap, Level};
use tokio::time::timeout;

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

/// Runs a test on a server of its own, with these lines of configuration.
fn on(lines: &str, test: impl AsyncFn(Server)) {
    if let Some(server) = Server::start(lines) {
        run(test(server));
    }
}

fn settings(url: impl Into<String>) -> Mqtt {
    Mqtt::new(url)
        .client_id("game")
        .timeout(Duration::from_secs(2))
        .keep_alive(Duration::from_millis(500))
}

async fn up(mqtt: Mqtt) -> Mqtt {
    mqtt.start().await.expect("it starts");
    mqtt
}

async fn started(url: impl Into<String>) -> Mqtt {
    up(settings(url)).await
}

fn envelope(subject: &str) -> Arc<Envelope> {
    Envelope::new(subject).unwrap().into()
}

fn number(subject: &str, number: u32) -> Arc<Envelope> {
    Envelope::json(subject, &number).unwrap().into()
}

async fn publish(mqtt: &Mqtt, subject: &str) {
    let receipt = mqtt.publish(envelope(subject)).await.unwrap();
    assert_eq!((receipt.level, receipt.duplicate), (Level::Accepted, false));
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
