//! The conformance kit on a server that stands for Kinesis.

use core::time::Duration;

use tickbus::hosted::conformance;
use tickbus::hosted::engines::kinesis::{Kinesis, MemoryLeases};
use tickbus::hosted::{Engine, EngineFuture, StartError};

use crate::server::Server;
use crate::servers::conformance::record;
use crate::{KEY_ID, SECRET, run, settings};

struct Kit {
    server: Server,
    leases: Option<MemoryLeases>,
}

const TOKEN: &str = "token/of+session";

impl conformance::Setup for Kit {
    type Engine = Kinesis;

    fn connect(&self) -> EngineFuture<'_, Result<Kinesis, StartError>> {
        EngineFuture::new(async {
            let kinesis = settings(self.server.url())
                .credentials(KEY_ID, SECRET)
                .session_token(TOKEN)
                .shards(2);
            let kinesis = match &self.leases {
                Some(leases) => kinesis.lease_store(leases.clone()),
                None => kinesis,
            };
            kinesis.start().await.map(|()| kinesis)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(800)
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.into(), TOKEN.into()]
    }

    fn cannot_try(&self, behaviour: &str) -> Option<&'static str> {
        (behaviour == "durable_tells_of_what_was_trimmed").then_some("`kinesalite` removes nothing")
    }

    fn reconnects(&self) -> bool {
        true
    }
}

fn kit(engine: &str, leases: Option<MemoryLeases>) {
    let Some(server) = Server::start() else { return };
    let version = server.version();
    run(async {
        let report = conformance::run(&Kit { server, leases }).await;
        record(engine, &version, &report);
    });
}

#[test]
fn the_kit_proves_a_stream_with_leases() {
    kit("Kinesis with a lease store", Some(MemoryLeases::new()));
}

#[test]
fn the_kit_proves_a_stream_without_groups() {
    kit("Kinesis", None);
}
