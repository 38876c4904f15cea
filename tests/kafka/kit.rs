//! The conformance kit on a server.

use core::time::Duration;

use tickbus::hosted::engines::Kafka;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use crate::server::{Server, Which};
use crate::servers::conformance::record;
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

#[test]
fn the_kit_proves_one_partition() {
    let Some(server) = Server::start(Which::Noida) else { return };
    let version = server.version();
    run(async {
        let report = conformance::run(&Kit { server, partitions: 1 }).await;
        record("Kafka with one partition", &version, &report);
    });
}

#[test]
fn the_kit_proves_what_several_partitions_change() {
    let Some(server) = Server::start(Which::Noida) else { return };
    run(async {
        let kit = Kit { server, partitions: 4 };
        for behaviour in [
            "durable_patterns_are_those_of_the_matcher",
            "durable_group_shares",
            "durable_keeps_the_order_of_a_publisher",
            "durable_keeps_the_order_of_a_key",
            "durable_key_is_with_one_member",
            "durable_other_leases_are_kept_or_refused",
            "durable_begins_at_a_sequence",
            "durable_begins_at_a_time_to_come",
        ] {
            let report = conformance::run_one(&kit, behaviour).await;
            println!("{report}");
            assert!(report.is_proven(), "{report}");
        }
    });
}
