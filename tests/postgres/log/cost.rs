//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features postgres --test postgres log::cost -- --ignored --nocapture --test-threads 1
//! ```
//!
//! The client does by hand what the engine promises of one member that has all lanes:
//!
//! - A publish is one statement on a table with the columns, indexes and segments of the log. An id that is in the
//!   segment is not written again. The answer has the sequence. It looks up no ids of the segment before, which
//!   the engine does as soon as there is one.
//! - A read takes what is below all open transactions, by the transaction and the sequence, so it skips nothing
//!   that commits late. An open transaction delays it, which is not so with the engine.
//! - One statement for each read says of each lane how far it is and what is delivered of it, before the events
//!   are handled. So an event that ends its process counts as an attempt, and what was read before is
//!   acknowledged by it. It is refused if another owner has the lane. Its commit does not wait for the disk, but
//!   for the last one, as that of the engine.
//!
//! The client has no retries, no other members, no patterns, and does not connect again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::engines::Postgres;
use tickbus::hosted::{Deliveries, Engine};
use tokio_postgres::{Client, Statement};

use super::{on, settings, up};
use crate::client;
use crate::servers::cost::{PAIRS, PAYLOAD, envelopes, median};

const TRIPS: usize = 100;
const BATCH: usize = 256;
const BATCHES: usize = 8;
const LANES: i32 = 16;

/// The client as it is used without the engine: statements that are prepared, on a connection that publishes and
/// one that reads.
struct Raw {
    publisher: Client,
    reader: Client,
    insert: Statement,
    insert_many: Statement,
    select: Statement,
    state: Statement,
    read: (i64, i64),
    /// The lanes of which something is delivered and not acknowledged.
    open: Vec<i32>,
    next: u64,
}

impl Raw {
    async fn new(url: String) -> Self {
        drop(up(settings(url.clone()).log("raw")).await);
        let (publisher, reader) = (client(url.clone()).await, client(url).await);
        let states = format!(
            "CREATE TABLE raw_lanes (lane int4 PRIMARY KEY, owner text NOT NULL, epoch int8 NOT NULL, xid int8 \
             NOT NULL, seq int8 NOT NULL, open int8[] NOT NULL);
             INSERT INTO raw_lanes SELECT lane, 'me', 1, 0, 0, '{{}}' FROM generate_series(0, {LANES} - 1) AS \
             lane"
        );
        reader.batch_execute(&states).await.unwrap();
        reader.batch_execute("SET synchronous_commit = off").await.unwrap();
        let insert = "INSERT INTO raw (id, key, subject, envelope) VALUES ($1, $2, $3, $4) ON CONFLICT DO \
                      NOTHING RETURNING seq";
        let insert_many = "INSERT INTO raw (id, key, subject, envelope) SELECT * FROM unnest($1::text[], \
                           $2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING RETURNING seq";
        let select = "SELECT xid, seq, lane, envelope FROM raw WHERE (xid, seq) > ($1, $2) AND xid < \
                      pg_snapshot_xmin(pg_current_snapshot())::text::int8 ORDER BY xid, seq LIMIT $3";
        let state = "UPDATE raw_lanes AS l SET xid = $2, seq = $3, open = n.open::int8[] FROM \
                     unnest($4::int4[], $5::text[]) AS n (lane, open) WHERE l.lane = n.lane AND l.owner = $1 AND \
                     l.epoch = 1";
        Self {
            insert: publisher.prepare(insert).await.unwrap(),
            insert_many: publisher.prepare(insert_many).await.unwrap(),
            select: reader.prepare(select).await.unwrap(),
            state: reader.prepare(state).await.unwrap(),
            publisher,
            reader,
            read: (0, 0),
            open: Vec::new(),
            next: 0,
        }
    }

    fn row(&mut self) -> (String, String) {
        self.next += 1;
        let id = format!("0193f2a0-0000-7000-8000-{:012}", self.next);
        let envelope = Envelope::new("game.shot").unwrap().with_id(&*id).with_bytes(PAYLOAD);
        (id, envelope.to_json())
    }

    async fn publish(&mut self) {
        let (id, envelope) = self.row();
        let (insert, client) = (&self.insert, &self.publisher);
        let row = client.query_one(insert, &[&id, &"", &"game.shot", &envelope]).await.unwrap();
        core::hint::black_box(row.get::<_, i64>(0));
    }

    async fn publish_batch(&mut self, count: usize) {
        let (ids, envelopes): (Vec<_>, Vec<_>) = (0..count).map(|_| self.row()).unzip();
        let (keys, subjects) = (vec![""; count], vec!["game.shot"; count]);
        let (insert, client) = (&self.insert_many, &self.publisher);
        let rows = client.query(insert, &[&ids, &keys, &subjects, &envelopes]).await.unwrap();
        assert_eq!(rows.len(), count);
    }

    /// Receives at most so many, and says so. What it received before is acknowledged.
    async fn receive(&mut self, count: usize) -> usize {
        let limit = count as i64;
        let Self { reader, select, read: (xid, seq), .. } = &*self;
        let rows = reader.query(select, &[xid, seq, &limit]).await.unwrap();
        let mut lanes: BTreeMap<i32, Vec<String>> =
            self.open.drain(..).map(|lane| (lane, Vec::new())).collect();
        for row in &rows {
            self.read = (row.get(0), row.get(1));
            lanes.entry(row.get(2)).or_default().push(self.read.1.to_string());
        }
        if rows.is_empty() {
            self.open = lanes.into_keys().collect();
            return 0;
        }
        self.say(&lanes).await;
        for row in &rows {
            let envelope = Envelope::from_json(row.get::<_, &str>(3)).unwrap();
            core::hint::black_box(envelope);
        }
        self.open = lanes.into_keys().collect();
        rows.len()
    }

    /// Acknowledges what it received, and waits until that is on the disk.
    async fn acknowledge(&mut self) {
        self.reader.batch_execute("SET synchronous_commit = on").await.unwrap();
        let lanes = self.open.drain(..).map(|lane| (lane, Vec::new())).collect();
        self.say(&lanes).await;
        self.reader.batch_execute("SET synchronous_commit = off").await.unwrap();
    }

    async fn say(&self, lanes: &BTreeMap<i32, Vec<String>>) {
        let numbers: Vec<i32> = lanes.keys().copied().collect();
        let open: Vec<String> = lanes.values().map(|it| format!("{{{}}}", it.join(","))).collect();
        let (xid, seq) = self.read;
        let written = self.reader.execute(&self.state, &[&"me", &xid, &seq, &numbers, &open]).await;
        assert_eq!(written.unwrap(), numbers.len() as u64, "another has the lanes");
    }
}

async fn receive(from: &mut Deliveries) {
    from.next().await.unwrap().unwrap().ack();
}

async fn publish(engine: &Postgres, envelopes: Vec<Arc<Envelope>>) {
    for envelope in envelopes {
        engine.publish(envelope).await.unwrap();
    }
}

/// Both times of one work, one after the other.
#[derive(Default)]
struct Beside {
    client: Vec<Duration>,
    engine: Vec<Duration>,
}

impl Beside {
    fn say(mut self, what: &str, of: usize) {
        // The first is to warm up.
        let (client, engine) = (self.client.split_off(1), self.engine.split_off(1));
        let (client, engine) = (median(client, of), median(engine, of));
        println!(
            "{what}: client {client:.0} ns, engine {engine:.0} ns, {:.2} of its throughput",
            client / engine
        );
    }
}

async fn beside(url: String) {
    let mut raw = Raw::new(url.clone()).await;
    let engine = up(settings(url)).await;
    // It reads when half of them are free: as many at once as the client.
    let open = || engine.subscribe("game.>").unwrap().group("all").in_flight(2 * BATCH).open();
    drop(open().await.unwrap());
    // An engine that is alone announces nothing, as the client. It knows after 5 s.
    tokio::time::sleep(Duration::from_secs(6)).await;

    let (mut one, mut many, mut trips, mut reads) =
        (Beside::default(), Beside::default(), Beside::default(), Beside::default());
    for _ in 0..=PAIRS {
        let began = Instant::now();
        for _ in 0..TRIPS {
            raw.publish().await;
        }
        one.client.push(began.elapsed());
        let all = envelopes("game.shot", TRIPS);
        let began = Instant::now();
        publish(&engine, all).await;
        one.engine.push(began.elapsed());

        let began = Instant::now();
        for _ in 0..BATCHES {
            raw.publish_batch(BATCH).await;
        }
        many.client.push(began.elapsed());
        let all: Vec<_> = (0..BATCHES).map(|_| envelopes("game.shot", BATCH)).collect();
        let began = Instant::now();
        for envelopes in all {
            let receipts = engine.publish_batch(envelopes).await;
            assert!(receipts.iter().all(Result::is_ok));
        }
        many.engine.push(began.elapsed());

        let of = TRIPS + BATCH * BATCHES;
        let began = Instant::now();
        let mut left = of;
        while left > 0 {
            left -= raw.receive(BATCH).await;
        }
        raw.acknowledge().await;
        reads.client.push(began.elapsed());
        // The engine reads ahead while it publishes: its member is not there then.
        let mut group = open().await.unwrap();
        receive(&mut group).await;
        let began = Instant::now();
        for _ in 1..of - 1 {
            receive(&mut group).await;
        }
        let last = group.next().await.unwrap().unwrap();
        last.ack_async().await.unwrap();
        reads.engine.push(began.elapsed());

        let began = Instant::now();
        for _ in 0..TRIPS {
            raw.publish().await;
            while raw.receive(1).await == 0 {}
        }
        trips.client.push(began.elapsed());
        let all = envelopes("game.shot", TRIPS);
        let began = Instant::now();
        for envelope in all {
            engine.publish(envelope).await.unwrap();
            receive(&mut group).await;
        }
        trips.engine.push(began.elapsed());
        drop(group);
        tokio::time::sleep(Duration::from_millis(200)).await; // its lanes are free
    }
    one.say("publish, one by one", TRIPS);
    many.say(&format!("publish, batches of {BATCH}"), BATCH * BATCHES);
    reads.say("consume and acknowledge", TRIPS + BATCH * BATCHES);
    trips.say("publish one and receive it", TRIPS);
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    for fsync in ["fsync=on", "fsync=off"] {
        println!("{fsync}");
        on(&[fsync], async |server| beside(server.url()).await);
    }
}
