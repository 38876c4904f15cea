//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features postgres --test postgres log::cost -- --ignored --nocapture
//! ```

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

/// The client as it is used without the engine: one connection, statements that are prepared, a table with the
/// same columns and indexes. It knows no groups, no transactions that commit late, and no ids that come twice.
struct Raw {
    client: Client,
    insert: Statement,
    insert_many: Statement,
    select: Statement,
    position: Statement,
    read: (i64, i64),
    next: u64,
}

impl Raw {
    async fn new(url: String) -> Self {
        drop(up(settings(url.clone()).log("raw")).await);
        let client = client(url).await;
        client.batch_execute("CREATE TABLE raw_positions (seq int8 PRIMARY KEY)").await.unwrap();
        let prepare = async |sql: &str| client.prepare(sql).await.unwrap();
        let insert =
            "INSERT INTO raw (id, key, subject, envelope) VALUES ($1, $2, $3, $4) RETURNING seq";
        let insert_many = "INSERT INTO raw (id, key, subject, envelope) SELECT * FROM unnest($1::text[], \
                           $2::text[], $3::text[], $4::text[]) RETURNING seq";
        let select = "SELECT xid, seq, envelope FROM raw WHERE (xid, seq) > ($1, $2) ORDER BY xid, seq \
                      LIMIT $3";
        let position = "INSERT INTO raw_positions VALUES ($1)";
        Self {
            insert: prepare(insert).await,
            insert_many: prepare(insert_many).await,
            select: prepare(select).await,
            position: prepare(position).await,
            client,
            read: (0, 0),
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
        let (insert, client) = (&self.insert, &self.client);
        let row = client.query_one(insert, &[&id, &"", &"game.shot", &envelope]).await.unwrap();
        core::hint::black_box(row.get::<_, i64>(0));
    }

    async fn publish_batch(&mut self, count: usize) {
        let (ids, envelopes): (Vec<_>, Vec<_>) = (0..count).map(|_| self.row()).unzip();
        let (keys, subjects) = (vec![""; count], vec!["game.shot"; count]);
        let (insert, client) = (&self.insert_many, &self.client);
        let rows = client.query(insert, &[&ids, &keys, &subjects, &envelopes]).await.unwrap();
        assert_eq!(rows.len(), count);
    }

    /// Receives at most so many, and says so.
    async fn receive(&mut self, count: usize) -> usize {
        let limit = count as i64;
        let Self { client, select, read: (xid, seq), .. } = &*self;
        let rows = client.query(select, &[xid, seq, &limit]).await.unwrap();
        for row in &rows {
            self.read = (row.get(0), row.get(1));
            let envelope = Envelope::from_json(row.get::<_, &str>(2)).unwrap();
            core::hint::black_box(envelope);
        }
        self.client.execute(&self.position, &[&self.read.1]).await.unwrap();
        rows.len()
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
    let open = || engine.subscribe("game.>").unwrap().group("all").in_flight(BATCH).open();
    drop(open().await.unwrap());

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
            raw.receive(1).await;
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
