//! The conformance kit on a real server.

use core::time::Duration;

use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use crate::run;
use crate::server::Server;
use crate::servers::conformance::record;

struct Kit {
    server: Server,
    /// Whether the engine has a client id.
    durable: bool,
}

const PASSWORD: &str = "hunter/2";
const LINES: &str = "max_packet_size 65536\nmax_queued_messages 0";

impl conformance::Setup for Kit {
    type Engine = Mqtt;

    fn connect(&self) -> EngineFuture<'_, Result<Mqtt, StartError>> {
        EngineFuture::new(async {
            let mqtt = Mqtt::new(self.server.url())
                .login("kit", PASSWORD)
                .timeout(Duration::from_secs(2))
                .keep_alive(Duration::from_secs(1));
            let mqtt = if self.durable { mqtt.client_id("kit") } else { mqtt.prefix("live/1") };
            mqtt.start().await.map(|()| mqtt)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(600)
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into(), "hunter%2F2".into()]
    }

    fn reconnects(&self) -> bool {
        true
    }
}

fn kit(engine: &str, durable: bool) {
    let Some(server) = Server::with_password(LINES, "kit", PASSWORD) else { return };
    let version = server.version();
    run(async {
        let report = conformance::run(&Kit { server, durable }).await;
        record(engine, &version, &report);
    });
}

#[test]
fn the_kit_proves_it_with_a_client_id() {
    kit("MQTT 5 with a client id", true);
}

#[test]
fn the_kit_proves_it_below_a_prefix_and_without_a_client_id() {
    kit("MQTT 5", false);
}
