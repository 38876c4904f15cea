//! The conformance kit on a real server.

use core::time::Duration;

use redis::Value;
use tickbus::hosted::engines::Redis;
use tickbus::hosted::engines::redis::Provision;
use tickbus::hosted::{Engine, EngineFuture, StartError, conformance};

use crate::run;
use crate::server::Server;
use crate::servers::conformance::record;

struct Kit {
    server: Server,
    /// Whether the engine has a stream.
    durable: bool,
}

/// A server of the kit removes single entries.
const OPTIONS: [&str; 4] = ["--proto-max-bulk-len", "1mb", "--stream-node-max-entries", "1"];
const KEPT: u64 = 100;
const PASSWORD: &str = "hunter/2";

impl conformance::Setup for Kit {
    type Engine = Redis;

    fn connect(&self) -> EngineFuture<'_, Result<Redis, StartError>> {
        EngineFuture::new(async {
            let redis = Redis::new(self.server.url())
                .password(PASSWORD)
                .timeout(Duration::from_secs(2))
                .heartbeat(Duration::from_millis(500));
            let redis = if self.durable {
                redis.stream("kit").provision(Provision::Create).max_len(KEPT).dead_letters(10)
            } else {
                redis
            };
            redis.start().await.map(|()| redis)
        })
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(800)
    }

    fn kept(&self) -> Option<u64> {
        self.durable.then_some(KEPT)
    }

    fn dead_letters(&self, _: &Redis) -> Option<Vec<String>> {
        let said = self.server.say(&["XRANGE", "{kit}:dead", "-", "+"]);
        let entries: Vec<(String, Vec<(String, String)>)> = redis::from_redis_value(said).unwrap();
        let id = |fields: Vec<(String, String)>| {
            fields.into_iter().find(|(name, _)| name == "id").map(|(_, id)| id)
        };
        Some(entries.into_iter().filter_map(|(_, fields)| id(fields)).collect())
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into(), "hunter%2F2".into()]
    }

    fn reconnects(&self) -> bool {
        true
    }
}

fn kit(engine: &str, durable: bool) {
    let Some(server) = Server::with_password(&OPTIONS, PASSWORD) else { return };
    let version = server.version();
    run(async {
        let report = conformance::run(&Kit { server, durable }).await;
        record(engine, &version, &report);
    });
}

#[test]
fn the_kit_proves_a_stream() {
    kit("Redis streams", true);
}

#[test]
fn the_kit_proves_pub_sub() {
    kit("Redis pub/sub", false);
}

#[test]
fn the_kit_proves_that_a_server_which_syncs_stores() {
    let options = [&OPTIONS[..], &["--appendfsync", "always"]].concat();
    let Some(server) = Server::with_password(&options, PASSWORD) else { return };
    assert!(!matches!(server.say(&["PING"]), Value::Nil));
    run(async {
        let kit = Kit { server, durable: true };
        let engine = conformance::Setup::connect(&kit).await.unwrap();
        assert_eq!(engine.capabilities().highest_level(), tickbus::hosted::Level::Stored);
        let report = conformance::run_one(&kit, "receipt_says_what_is_claimed").await;
        assert!(report.is_proven(), "{report}");
    });
}
