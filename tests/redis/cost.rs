//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features redis --test redis cost -- --ignored --nocapture --test-threads 1
//! ```

use alloc::sync::Arc;
use core::time::Duration;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Script, Value};
use tickbus::Envelope;
use tickbus::hosted::{Deliveries, Engine};

use crate::server::Server;
use crate::{on, settings, up};

const PAIRS: usize = 15;
const PAYLOAD: &[u8] = &[b'x'; 100];
const TRIPS: usize = 200;
const BATCH: usize = 256;
const BATCHES: usize = 8;

fn envelopes(count: usize) -> Vec<Arc<Envelope>> {
    let make = |_| Envelope::new("game.shot").unwrap().with_bytes(PAYLOAD).into();
    (0..count).map(make).collect()
}

fn median(mut times: Vec<Duration>, of: usize) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / of as f64
}

/// The client as it is used without the engine: the same fields, a group of its own, acknowledgements in
/// one command for all that came.
struct Raw {
    write: MultiplexedConnection,
    read: MultiplexedConnection,
    /// Knows ids, as the engine does.
    script: Option<Script>,
    next: u64,
}

const SCRIPT: &str = "
    local seen = redis.call('GET', KEYS[2])
    if seen then return { seen, 1 } end
    local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV))
    redis.call('SET', KEYS[2], entry, 'PX', 120000)
    return { entry, 0 }";

impl Raw {
    async fn new(server: &Server, knows_ids: bool) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connect = || client.get_multiplexed_async_connection_with_config(&config);
        let (write, read) = (connect().await.unwrap(), connect().await.unwrap());
        server.say(&["XGROUP", "CREATE", "raw", "raw", "$", "MKSTREAM"]);
        server.say(&["SCRIPT", "LOAD", SCRIPT]);
        Self { write, read, script: knows_ids.then(|| Script::new(SCRIPT)), next: 0 }
    }

    fn add(&mut self) -> Cmd {
        self.next += 1;
        let id = format!("0193f2a0-0000-7000-8000-{:012}", self.next);
        let mut add = Cmd::new();
        match &self.script {
            Some(script) => {
                let key = format!("{{raw}}:id:{id}");
                add.arg("EVALSHA").arg(script.get_hash()).arg(2).arg("raw").arg(key);
            }
            None => {
                add.arg("XADD").arg("raw").arg("*");
            }
        }
        let time = "2026-11-30T02:36:00.123456789Z";
        for (name, value) in [("v", "1"), ("id", &id), ("subject", "game.shot"), ("time", time)] {
            add.arg(name).arg(value);
        }
        add.arg("bytes").arg(PAYLOAD);
        add
    }

    async fn publish(&mut self) {
        let add = self.add();
        self.write.send_packed_command(&add).await.unwrap();
    }

    async fn publish_batch(&mut self, count: usize) {
        let mut adds = Pipeline::with_capacity(count);
        for _ in 0..count {
            let add = self.add();
            adds.add_command(add);
        }
        self.write.send_packed_commands(&adds, 0, count).await.unwrap();
    }

    /// Receives at most so many, and acknowledges them.
    async fn receive(&mut self, count: usize) -> usize {
        let mut read = Cmd::new();
        read.arg("XREADGROUP").arg("GROUP").arg("raw").arg("me").arg("COUNT").arg(count);
        read.arg("BLOCK").arg(5000).arg("STREAMS").arg("raw").arg(">");
        let Value::Array(streams) = self.read.send_packed_command(&read).await.unwrap() else {
            panic!()
        };
        let [Value::Array(stream)] = &streams[..] else { panic!() };
        let [_, Value::Array(entries)] = &stream[..] else { panic!() };
        let mut ack = Cmd::new();
        ack.arg("XACK").arg("raw").arg("raw");
        for entry in entries {
            let Value::Array(entry) = entry else { panic!() };
            let Value::BulkString(id) = &entry[0] else { panic!() };
            let Value::Array(fields) = &entry[1] else { panic!() };
            core::hint::black_box(fields.len());
            ack.arg(&id[..]);
        }
        self.write.send_packed_command(&ack).await.unwrap();
        entries.len()
    }
}

async fn receive(from: &mut Deliveries) {
    from.next().await.unwrap().unwrap().ack();
}

fn beside(knows_ids: bool) {
    on(&[], async |server| {
        let mut raw = Raw::new(&server, knows_ids).await;
        let window = Duration::from_secs(if knows_ids { 120 } else { 0 });
        let redis = up(settings(server.url()).deduplicate(window)).await;
        let group = redis.subscribe("game.>").unwrap().group("all").in_flight(BATCH);
        let mut ours = group.open().await.unwrap();
        println!("deduplication: {knows_ids}");

        let (mut client, mut engine) = (Vec::new(), Vec::new());
        for pair in 0..=PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                raw.publish().await;
                raw.receive(1).await;
            }
            client.push(began.elapsed());
            let envelopes = envelopes(TRIPS);
            let began = Instant::now();
            for envelope in envelopes {
                redis.publish(envelope).await.unwrap();
                receive(&mut ours).await;
            }
            engine.push(began.elapsed());
            if pair == 0 {
                (client, engine) = (Vec::new(), Vec::new()); // to warm up
            }
        }
        let (client, engine) = (median(client, TRIPS), median(engine, TRIPS));
        println!(
            "round trip: client {client:.0} ns, engine {engine:.0} ns, {:.2} x",
            engine / client
        );

        let (mut client, mut engine) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                raw.publish().await;
            }
            client.push(began.elapsed());
            let envelopes = envelopes(TRIPS);
            let began = Instant::now();
            for envelope in envelopes {
                redis.publish(envelope).await.unwrap();
            }
            engine.push(began.elapsed());
            for _ in 0..TRIPS {
                receive(&mut ours).await;
            }
            let mut left = TRIPS;
            while left > 0 {
                left -= raw.receive(BATCH).await;
            }
        }
        let (client, engine) = (median(client, TRIPS), median(engine, TRIPS));
        println!(
            "publish, one by one: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );

        let (mut client, mut engine) = (Vec::new(), Vec::new());
        let (mut client_in, mut engine_in) = (Vec::new(), Vec::new());
        let of = BATCH * BATCHES;
        for _ in 0..PAIRS {
            let began = Instant::now();
            for _ in 0..BATCHES {
                raw.publish_batch(BATCH).await;
            }
            client.push(began.elapsed());
            let began = Instant::now();
            let mut left = of;
            while left > 0 {
                left -= raw.receive(BATCH).await;
            }
            client_in.push(began.elapsed());
            // The engine reads ahead while it publishes: its consumer is not there then.
            drop(ours);
            let envelopes: Vec<_> = (0..BATCHES).map(|_| envelopes(BATCH)).collect();
            let began = Instant::now();
            for envelopes in envelopes {
                let receipts = redis.publish_batch(envelopes).await;
                assert!(receipts.iter().all(Result::is_ok));
            }
            engine.push(began.elapsed());
            let group = redis.subscribe("game.>").unwrap().group("all").in_flight(BATCH);
            let began = Instant::now();
            ours = group.open().await.unwrap();
            for _ in 0..of {
                receive(&mut ours).await;
            }
            engine_in.push(began.elapsed());
        }
        let (client, engine) = (median(client, of), median(engine, of));
        println!(
            "publish, batches of {BATCH}: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );
        let (client, engine) = (median(client_in, of), median(engine_in, of));
        println!(
            "consume and acknowledge: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );
    });
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    beside(false);
}

#[test]
#[ignore = "it measures"]
fn beside_the_client_with_deduplication() {
    beside(true);
}
