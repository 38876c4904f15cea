//! The conformance kit on a real server.

use core::time::Duration;

use tickbus::hosted::engines::Postgres;
use tickbus::hosted::engines::postgres::Provision;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use super::on;
use crate::client;
use crate::server::Postgres as Server;
use crate::servers::conformance::record;

struct Kit {
    server: Server,
    lanes: u16,
}

const KEPT: u64 = 100;
const PASSWORD: &str = "hunter2";

impl conformance::Setup for Kit {
    type Engine = Postgres;

    fn connect(&self) -> EngineFuture<'_, Result<Postgres, StartError>> {
        EngineFuture::new(async {
            let postgres = Postgres::new(self.server.url())
                .login("postgres", PASSWORD)
                .log("kit")
                .lanes(self.lanes)
                .segment(50)
                .max_events(KEPT)
                .dead_letters(10)
                .provision(Provision::Create)
                .timeout(Duration::from_secs(2));
            postgres.start().await.map(|()| postgres)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn patience(&self) -> Duration {
        3 * crate::SOON
    }

    fn kept(&self) -> Option<u64> {
        Some(KEPT)
    }

    fn dead_letters(&self, _: &Postgres) -> Option<Vec<String>> {
        let url = self.server.url();
        let ids = std::thread::spawn(move || {
            crate::run(async {
                let rows = client(url).await.query("SELECT id FROM kit_dead", &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            })
        });
        ids.join().ok()
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into()]
    }

    fn reconnects(&self) -> bool {
        true
    }
}

#[test]
fn the_kit_proves_a_log() {
    on(&[], async |server| {
        let version = server.version();
        let report = conformance::run(&Kit { server, lanes: 16 }).await;
        record("Postgres log", &version, &report);
    });
}

#[test]
fn the_kit_proves_what_one_lane_changes() {
    on(&[], async |server| {
        let kit = Kit { server, lanes: 1 };
        for behaviour in [
            "durable_receives_exactly_what_was_published",
            "durable_group_shares",
            "durable_keeps_the_order_of_a_publisher",
            "durable_keeps_the_order_of_a_key",
            "durable_key_is_with_one_member",
            "durable_other_leases_are_kept_or_refused",
            "durable_group_continues_where_it_stopped",
        ] {
            let report = conformance::run_one(&kit, behaviour).await;
            println!("{report}");
            assert!(report.is_proven(), "{report}");
        }
    });
}
