//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features kinesis --test kinesis cost -- --ignored --nocapture --test-threads 1
//! ```

use core::time::Duration;
use std::time::Instant;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use tickbus::hosted::engines::kinesis::MemoryLeases;
use tickbus::hosted::{Deliveries, Engine};
use tokio::time::sleep;

use crate::server::Raw;
use crate::servers::cost::{PAIRS, envelopes, median};
use crate::{on, settings, up};

const TRIPS: usize = 40;
const BATCH: usize = 500;
const BATCHES: usize = 4;

fn compare(what: &str, client: Vec<Duration>, engine: Vec<Duration>, of: usize) {
    let (client, engine) = (median(client, of), median(engine, of));
    println!(
        "{what}: client {client:.0} ns, engine {engine:.0} ns, {:.2} of its throughput",
        client / engine
    );
}

/// The client as it is used without the engine, with records of the same size.
struct Use {
    raw: Raw,
    iterator: String,
    record: Vec<u8>,
}

impl Use {
    async fn new(raw: Raw) -> Self {
        let record = envelopes("game.shot", 1).remove(0).to_json().into_bytes();
        let mut it = Self { raw, iterator: String::new(), record };
        it.begin().await;
        it
    }

    async fn begin(&mut self) {
        let shard = self.raw.shards().await[0].shard_id.clone();
        let request = self.raw.0.get_shard_iterator().stream_name("game").shard_id(shard);
        let request = request.shard_iterator_type(ShardIteratorType::Latest);
        self.iterator = request.send().await.unwrap().shard_iterator.unwrap();
    }

    async fn publish(&self) {
        let request = self.raw.0.put_record().stream_name("game").partition_key("game.shot");
        request.data(Blob::new(self.record.clone())).send().await.unwrap();
    }

    async fn publish_batch(&self) {
        let entry = |_| {
            let entry = PutRecordsRequestEntry::builder().partition_key("game.shot");
            entry.data(Blob::new(self.record.clone())).build().unwrap()
        };
        let request = self.raw.0.put_records().stream_name("game");
        let answer = request.set_records(Some((0..BATCH).map(entry).collect())).send().await;
        assert!(answer.unwrap().failed_record_count.unwrap_or(0) == 0);
    }

    async fn receive(&mut self, count: usize) -> usize {
        let limit = i32::try_from(count).unwrap();
        let request = self.raw.0.get_records().shard_iterator(&self.iterator).limit(limit);
        let answer = request.send().await.unwrap();
        self.iterator = answer.next_shard_iterator.unwrap();
        for record in &answer.records {
            core::hint::black_box(record.data.as_ref().len());
        }
        answer.records.len()
    }
}

async fn receive(from: &mut Deliveries) {
    from.next().await.unwrap().unwrap().ack();
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    on(async |server| {
        let raw = server.client();
        raw.create(1).await;
        let mut client = Use::new(server.client()).await;
        // The client asks again at once when there is something, and so does the engine.
        let poll = Duration::from_millis(1);
        let leases = MemoryLeases::new();
        let kinesis = up(settings(server.url()).poll_interval(poll).lease_store(leases)).await;
        let member = || kinesis.subscribe("game.>").unwrap().group("all").in_flight(BATCH);

        let (mut clients, mut engines) = (Vec::new(), Vec::new());
        for pair in 0..=PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                client.publish().await;
            }
            clients.push(began.elapsed());
            let envelopes = envelopes("game.shot", TRIPS);
            let began = Instant::now();
            for envelope in envelopes {
                kinesis.publish(envelope).await.unwrap();
            }
            engines.push(began.elapsed());
            if pair == 0 {
                (clients, engines) = (Vec::new(), Vec::new()); // to warm up
            }
        }
        compare("publish, one by one", clients, engines, TRIPS);

        let (mut clients, mut engines) = (Vec::new(), Vec::new());
        let (mut clients_in, mut engines_in) = (Vec::new(), Vec::new());
        let of = BATCH * BATCHES;
        let mut ours = member().open().await.unwrap();
        client.begin().await;
        for _ in 0..PAIRS {
            let began = Instant::now();
            for _ in 0..BATCHES {
                client.publish_batch().await;
            }
            clients.push(began.elapsed());
            let began = Instant::now();
            let mut left = of;
            while left > 0 {
                left -= client.receive(4 * BATCH).await;
            }
            clients_in.push(began.elapsed());
            for _ in 0..of {
                receive(&mut ours).await; // what the client has sent
            }
            // The engine reads ahead while it publishes: its member is not there then.
            ours.close();
            drop(ours);
            sleep(Duration::from_millis(50)).await; // it gives its shard back
            let envelopes = envelopes("game.shot", of);
            let began = Instant::now();
            let receipts = kinesis.publish_batch(envelopes).await;
            engines.push(began.elapsed());
            assert!(receipts.iter().all(Result::is_ok));
            let began = Instant::now();
            ours = member().open().await.unwrap();
            for _ in 0..of {
                receive(&mut ours).await;
            }
            engines_in.push(began.elapsed());
            let mut left = of;
            while left > 0 {
                left -= client.receive(4 * BATCH).await;
            }
        }
        compare("publish, batches of 500", clients, engines, of);
        compare("consume and acknowledge, with a new member", clients_in, engines_in, of);
    });
}
