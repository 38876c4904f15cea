//! The conformance kit on real servers.

use core::time::Duration;

use tickbus::hosted::engines::Nats;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use crate::run;
use crate::servers::conformance::record;
use crate::servers::{Nats as Server, TestServer};

/// The kit on one server. Each run has a stream of its own.
struct Kit {
    url: String,
    /// Whether the engine has a stream.
    durable: bool,
}

impl conformance::Setup for Kit {
    type Engine = Nats;

    fn connect(&self) -> EngineFuture<'_, Result<Nats, StartError>> {
        EngineFuture::new(async {
            let nats = Nats::new(&*self.url)
                .password("kit", "hunter/2")
                .timeout(Duration::from_secs(2))
                .heartbeat(Duration::from_millis(500));
            let nats = if self.durable { nats.stream("KIT") } else { nats };
            nats.start().await.map(|()| nats)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(600)
    }

    fn kept(&self) -> Option<u64> {
        self.durable.then_some(KEPT)
    }

    fn secrets(&self) -> Vec<String> {
        vec!["hunter/2".into(), "hunter%2F2".into()]
    }

    fn reconnects(&self) -> bool {
        true
    }
}

const KEPT: u64 = 100;

fn kit(engine: &str, server: Server, durable: bool) {
    let login = "max_payload: 65536\nauthorization { user: kit, password: \"hunter/2\" }";
    let Some(server) = TestServer::start(server, login) else { return };
    let version = server.version();
    run(async {
        let options = async_nats::ConnectOptions::new();
        let options = options.user_and_password("kit".into(), "hunter/2".into());
        let context = async_nats::jetstream::new(options.connect(server.url()).await.unwrap());
        let config = async_nats::jetstream::stream::Config {
            name: "KIT".into(),
            subjects: vec!["kit.>".into()],
            max_messages: KEPT.cast_signed(),
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
        let report = conformance::run(&Kit { url: server.url(), durable }).await;
        record(engine, &version, &report);
    });
}

#[test]
fn the_kit_proves_it_on_the_old_server() {
    kit("NATS `JetStream` before 2.10", Server::Old, true);
}

#[test]
fn the_kit_proves_it_on_the_new_server() {
    kit("NATS `JetStream`", Server::New, true);
}

#[test]
fn the_kit_proves_core_nats() {
    kit("NATS core", Server::Old, false);
}
