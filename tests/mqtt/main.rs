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

use core::time::Duration;

use server::Server;
use servers::events::{delivery, envelope, next, nothing, number, run, subject, until, value};
use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::{Engine, Level};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

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

async fn publish(mqtt: &Mqtt, subject: &str) {
    let receipt = mqtt.publish(envelope(subject)).await.unwrap();
    assert_eq!((receipt.level, receipt.duplicate), (Level::Accepted, false));
}
