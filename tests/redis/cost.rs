//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features redis --test redis cost -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Three take turns: the client with the least that it can do, the client with what the engine promises, and
//! the engine. Each has a stream of its own on one server.
//!
//! The client has a shared connection for writing, and one of its own for reading, as the engine has. It waits
//! no longer for an answer than the engine does, sends a batch as one pipeline, and acknowledges all that came
//! in one command. With what the engine promises, it sends the fields of an envelope, knows ids where the
//! engine does, and acknowledges by a script that refuses what another consumer has or what the lease is over
//! for. The script is the cheapest that does so. With the least, it sends the payload alone, and acknowledges
//! what another consumer may have.
//!
//! To consume includes the opening of a connection and of the group, and ends when the server has confirmed the
//! last acknowledgement. Before each part, all rest for as long.

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

const TRIPS: usize = 1000;
const BATCH: usize = 256;
const BATCHES: usize = 32;
/// How long the engine waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a round took for each event: publish and receive one, publish one, publish in batches, receive
/// and acknowledge.
struct Round {
    trip: Spent,
    one: Spent,
    batch: Spent,
    receive: Spent,
}

/// The client as it is used without the engine.
struct Raw {
    client: redis::Client,
    write: MultiplexedConnection,
    read: MultiplexedConnection,
    stream: &'static str,
    /// The payload alone.
    is_bare: bool,
    /// Knows ids, as the engine does.
    script: Option<Script>,
    ack: Script,
    next: u64,
    server: u32,
}

const SCRIPT: &str = "
    local seen = redis.call('GET', KEYS[2])
    if seen then return { seen, 1 } end
    local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV))
    redis.call('SET', KEYS[2], entry, 'PX', 120000)
    return { entry, 0 }";

/// The stream; the group, the consumer, its lease, the first, the last, and all entries.
const ACK: &str = "
    for _, it in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1])[4] or {}) do
        if it[1] ~= ARGV[2] and
            redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[5], 1, it[1])[1] then return 0 end
    end
    local late = redis.call(
        'XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], ARGV[4], ARGV[5], 1, ARGV[2])
    if late[1] then return 0 end
    return redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 6))";

async fn connect(client: &redis::Client, timeout: Option<Duration>) -> MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(timeout);
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// What they do before each part. The engine reads ahead while it publishes: so its consumer is not there
/// then, as that of the client.
async fn rest() {
    sleep(Duration::from_millis(50)).await;
}

impl Raw {
    async fn new(server: &Server, stream: &'static str, is_bare: bool, knows_ids: bool) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        let (write, read) = (connect(&client, Some(TIMEOUT)).await, connect(&client, None).await);
        let script = (knows_ids && !is_bare).then(|| Script::new(SCRIPT));
        let (ack, server_process) = (Script::new(ACK), server.process());
        server.say(&["SCRIPT", "LOAD", SCRIPT]);
        server.say(&["SCRIPT", "LOAD", ACK]);
        server.say(&["XGROUP", "CREATE", stream, "raw", "$", "MKSTREAM"]);
        Self { client, write, read, stream, is_bare, script, ack, next: 0, server: server_process }
    }

    /// Connects to read, and sees to the group.
    async fn open(&mut self) {
        self.read = connect(&self.client, None).await;
        let mut group = Cmd::new();
        group.arg("XGROUP").arg("CREATE").arg(self.stream).arg("raw").arg("$");
        self.write.send_packed_command(&group).await.unwrap(); // it is there
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
        let mut ids = Vec::with_capacity(entries.len());
        for entry in entries {
            let Value::Array(entry) = entry else { panic!() };
            let Value::BulkString(id) = &entry[0] else { panic!() };
            let Value::Array(fields) = &entry[1] else { panic!() };
            core::hint::black_box(fields.len());
            ids.push(&id[..]);
        }
        let mut ack = Cmd::new();
        if self.is_bare {
            ack.arg("XACK").arg(self.stream).arg("raw");
        } else {
            ack.arg("EVALSHA").arg(self.ack.get_hash()).arg(1).arg(self.stream).arg("raw");
            ack.arg("me").arg(30_000).arg(ids[0]).arg(ids[ids.len() - 1]);
        }
        ack.arg(&ids);
        let done = self.write.send_packed_command(&ack).await.unwrap();
        assert_eq!(done, Value::Int(ids.len() as i64));
        ids.len()
    }

    async fn receive_all(&mut self, mut left: usize) {
        while left > 0 {
            left -= self.receive(BATCH).await;
        }
    }

    async fn round(&mut self) -> Round {
        rest().await;
        let watch = self.watch();
        for _ in 0..TRIPS {
            self.publish().await;
            self.receive(1).await;
        }
        let trip = watch.stop();
        rest().await;
        let watch = self.watch();
        for _ in 0..TRIPS {
            self.publish().await;
        }
        let one = watch.stop();
        self.receive_all(TRIPS).await;
        rest().await;
        let watch = self.watch();
        for _ in 0..BATCHES {
            self.publish_batch(BATCH).await;
        }
        let batch = watch.stop();
        rest().await;
        let watch = self.watch();
        self.open().await;
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
        for _ in 1..count {
            from.next().await.unwrap().unwrap().ack();
        }
        from.next().await.unwrap().unwrap().ack_async().await.unwrap();
    }

    async fn gone(group: Deliveries) {
        drop(group);
        rest().await;
    }

    async fn round(&mut self) -> Round {
        let (now, mut group) = (envelopes("game.shot", TRIPS), self.open().await);
        rest().await;
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
        let batch = watch.stop();
        rest().await;
        let watch = self.watch();
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
        let ours = settings(server.url()).timeout(TIMEOUT);
        let ours = up(ours.deduplicate(window)).await;
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
