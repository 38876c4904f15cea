//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features redis --test redis cost -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Three take turns: the client with the least that it can do, the client with the fields of an envelope, and
//! the engine. Each has a stream of its own on one server.

#[path = "../servers/spent.rs"]
mod spent;

use core::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Script, Value};
use tickbus::hosted::engines::redis::Redis;
use tickbus::hosted::{Deliveries, Engine};
use tokio::time::sleep;

use self::spent::{Spent, Watch, show};
use crate::server::Server;
use crate::servers::cost::{PAIRS, PAYLOAD, envelopes};
use crate::{on, settings, up};

const TRIPS: usize = 200;
const BATCH: usize = 256;
/// Opening a subscription is part of what they take.
const BATCHES: usize = 32;

/// How long a round took for each event: publish and receive one, publish one, publish in batches, receive
/// and acknowledge.
struct Round {
    trip: Spent,
    one: Spent,
    batch: Spent,
    receive: Spent,
}

/// The client as it is used without the engine: a group of its own, acknowledgements in one command for all
/// that came.
struct Raw {
    write: MultiplexedConnection,
    read: MultiplexedConnection,
    stream: &'static str,
    /// The payload alone.
    is_bare: bool,
    /// Knows ids, as the engine does.
    script: Option<Script>,
    next: u64,
    server: u32,
}

const SCRIPT: &str = "
    local seen = redis.call('GET', KEYS[2])
    if seen then return { seen, 1 } end
    local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV))
    redis.call('SET', KEYS[2], entry, 'PX', 120000)
    return { entry, 0 }";

impl Raw {
    async fn new(server: &Server, stream: &'static str, is_bare: bool, knows_ids: bool) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connect = || client.get_multiplexed_async_connection_with_config(&config);
        let (write, read) = (connect().await.unwrap(), connect().await.unwrap());
        server.say(&["XGROUP", "CREATE", stream, "raw", "$", "MKSTREAM"]);
        server.say(&["SCRIPT", "LOAD", SCRIPT]);
        let script = (knows_ids && !is_bare).then(|| Script::new(SCRIPT));
        Self { write, read, stream, is_bare, script, next: 0, server: server.process() }
    }

    fn watch(&self) -> Watch {
        Watch::start(self.server)
    }

    fn add(&mut self) -> Cmd {
        let mut add = Cmd::new();
        if self.is_bare {
            add.arg("XADD").arg(self.stream).arg("*").arg("bytes").arg(PAYLOAD);
            return add;
        }
        self.next += 1;
        let id = format!("0193f2a0-0000-7000-8000-{:012}", self.next);
        match &self.script {
            Some(script) => {
                let key = format!("{{raw}}:id:{id}");
                add.arg("EVALSHA").arg(script.get_hash()).arg(2).arg(self.stream).arg(key);
            }
            None => {
                add.arg("XADD").arg(self.stream).arg("*");
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
        read.arg("BLOCK").arg(5000).arg("STREAMS").arg(self.stream).arg(">");
        let Value::Array(streams) = self.read.send_packed_command(&read).await.unwrap() else {
            panic!()
        };
        let [Value::Array(stream)] = &streams[..] else { panic!() };
        let [_, Value::Array(entries)] = &stream[..] else { panic!() };
        let mut ack = Cmd::new();
        ack.arg("XACK").arg(self.stream).arg("raw");
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

    async fn receive_all(&mut self, mut left: usize) {
        while left > 0 {
            left -= self.receive(BATCH).await;
        }
    }

    async fn round(&mut self) -> Round {
        let watch = self.watch();
        for _ in 0..TRIPS {
            self.publish().await;
            self.receive(1).await;
        }
        let trip = watch.stop();
        let watch = self.watch();
        for _ in 0..TRIPS {
            self.publish().await;
        }
        let one = watch.stop();
        self.receive_all(TRIPS).await;
        let watch = self.watch();
        for _ in 0..BATCHES {
            self.publish_batch(BATCH).await;
        }
        let batch = watch.stop();
        let watch = self.watch();
        self.receive_all(BATCH * BATCHES).await;
        Round { trip, one, batch, receive: watch.stop() }
    }
}

/// The engine.
struct Ours(Redis, u32);

impl Ours {
    fn watch(&self) -> Watch {
        Watch::start(self.1)
    }

    async fn open(&self) -> Deliveries {
        let group = self.0.subscribe("game.>").unwrap().group("all").in_flight(BATCH);
        group.open().await.unwrap()
    }

    async fn receive(from: &mut Deliveries, count: usize) {
        for _ in 0..count {
            from.next().await.unwrap().unwrap().ack();
        }
    }

    /// The engine reads ahead while it publishes. So its consumer is not there then, as that of the client.
    async fn gone(group: Deliveries) {
        drop(group);
        sleep(Duration::from_millis(50)).await;
    }

    async fn round(&mut self) -> Round {
        let (now, mut group) = (envelopes("game.shot", TRIPS), self.open().await);
        let watch = self.watch();
        for envelope in now {
            self.0.publish(envelope).await.unwrap();
            Self::receive(&mut group, 1).await;
        }
        let trip = watch.stop();
        Self::gone(group).await;
        let now = envelopes("game.shot", TRIPS);
        let watch = self.watch();
        for envelope in now {
            self.0.publish(envelope).await.unwrap();
        }
        let (one, mut group) = (watch.stop(), self.open().await);
        Self::receive(&mut group, TRIPS).await;
        Self::gone(group).await;
        let now: Vec<_> = (0..BATCHES).map(|_| envelopes("game.shot", BATCH)).collect();
        let watch = self.watch();
        for envelopes in now {
            let receipts = self.0.publish_batch(envelopes).await;
            assert!(receipts.iter().all(Result::is_ok));
        }
        let (batch, watch) = (watch.stop(), self.watch());
        let mut group = self.open().await;
        Self::receive(&mut group, BATCH * BATCHES).await;
        let receive = watch.stop();
        Self::gone(group).await;
        Round { trip, one, batch, receive }
    }
}

fn beside(knows_ids: bool) {
    // While a server writes its file anew, it is slower for the one whose turn it is.
    on(&["--auto-aof-rewrite-percentage", "0"], async |server| {
        let window = Duration::from_secs(if knows_ids { 120 } else { 0 });
        let mut bare = Raw::new(&server, "bare", true, knows_ids).await;
        let mut same = Raw::new(&server, "raw", false, knows_ids).await;
        let ours = up(settings(server.url()).deduplicate(window)).await;
        let mut ours = Ours(ours, server.process());
        drop(ours.open().await); // the group begins here
        println!("deduplication: {knows_ids}");
        let mut rounds: [Vec<Round>; 3] = Default::default();
        for pair in 0..=PAIRS {
            let now = [bare.round().await, same.round().await, ours.round().await];
            // The first is to warm up.
            if pair > 0 {
                for (rounds, now) in rounds.iter_mut().zip(now) {
                    rounds.push(now);
                }
            }
        }
        let show = |what: &str, of: usize, part: fn(&Round) -> Spent| {
            show(what, of, rounds.each_ref().map(|rounds| rounds.iter().map(part).collect()));
        };
        show("round trip", TRIPS, |it| it.trip);
        show("publish, one by one", TRIPS, |it| it.one);
        show("publish, batches of 256", BATCH * BATCHES, |it| it.batch);
        show("consume and acknowledge", BATCH * BATCHES, |it| it.receive);
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
