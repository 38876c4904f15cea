//! The conformance kit on a server.

use core::time::Duration;

use tickbus::hosted::engines::Kafka;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use crate::server::{Server, Which};
use crate::{run, settings};

struct Kit {
    server: Server,
    partitions: u16,
}

impl conformance::Setup for Kit {
    type Engine = Kafka;

    fn connect(&self) -> EngineFuture<'_, Result<Kafka, StartError>> {
        EngineFuture::new(async {
            let kafka = settings(self.server.brokers()).partitions(self.partitions);
            kafka.start().await.map(|()| kafka)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(800)
    }

    fn reconnects(&self) -> bool {
        true
    }
}

fn kit(partitions: u16) {
    let Some(server) = Server::start(Which::Noida) else { return };
    run(async {
        let report = conformance::run(&Kit { server, partitions }).await;
        println!("{report}");
        assert!(report.is_proven(), "{report}");
    });
}

#[test]
fn the_kit_proves_one_partition() {
    kit(1);
}

#[test]
fn the_kit_proves_several_partitions() {
    kit(4);
}
