//! The conformance kit on a server that stands for Kinesis.

use core::time::Duration;

use tickbus::hosted::conformance::{self, Outcome};
use tickbus::hosted::engines::kinesis::{Kinesis, MemoryLeases};
use tickbus::hosted::{Engine, EngineFuture, StartError};

use crate::server::Server;
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

    fn reconnects(&self) -> bool {
        true
    }
}

fn kit(leases: Option<MemoryLeases>) {
    let Some(server) = Server::start() else { return };
    run(async {
        let report = conformance::run(&Kit { server, leases }).await;
        println!("{report}");
        assert!(report.is_proven(), "{report}");
        // The server removes nothing, so this one cannot be tried.
        let skipped = report.rows.iter().filter(|row| row.outcome == Outcome::Skipped);
        assert!(
            skipped.into_iter().all(|row| row.behaviour == "durable_tells_of_what_was_trimmed")
        );
    });
}

#[test]
fn the_kit_proves_a_stream_with_leases() {
    kit(Some(MemoryLeases::new()));
}

#[test]
fn the_kit_proves_a_stream_without_groups() {
    kit(None);
}
