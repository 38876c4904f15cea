//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features kafka --test kafka cost -- --ignored --nocapture --test-threads 1
//! ```

use core::time::Duration;
use std::time::Instant;

use krafka::Record;
use krafka::admin::{AlterConsumerGroupOffsetsOptions, CreateTopicsOptions, NewTopic};
use krafka::consumer::{Consumer, OffsetAndMetadata, TopicPartition};
use krafka::producer::Producer;
use tickbus::hosted::{Deliveries, Engine};

use crate::server::{Server, Which};
use crate::servers::cost::{PAIRS, PAYLOAD, envelopes, median};
use crate::{client, group, run, started};

const TRIPS: usize = 200;
const BATCH: usize = 256;
const BATCHES: usize = 8;

/// The client as it is used without the engine: the same headers, a group of its own, and a position
/// for all that came at once.
struct Raw {
    producer: Producer,
    consumer: Consumer,
    next: u64,
}

impl Raw {
    async fn new(server: &Server) -> Self {
        let writes = client(&server.brokers()).await;
        let admin = writes.admin();
        let topic = NewTopic::new("raw", 1, 1).unwrap();
        drop(admin.create_topics([topic], CreateTopicsOptions::default()).await.unwrap());
        let begin = [(TopicPartition::new("raw", 0), 0)];
        let options = AlterConsumerGroupOffsetsOptions::default();
        drop(admin.alter_consumer_group_offsets("raw", begin, options).await.unwrap());
        let producer = writes.producer().linger(Duration::ZERO).metrics_push(false);
        let reads = client(&server.brokers()).await;
        let consumer = reads.consumer("raw").enable_auto_commit(false).metrics_push(false);
        let consumer = consumer.build().await.unwrap();
        consumer.subscribe(["raw"]).await.unwrap();
        while consumer.assignment().await.is_empty() {
            let _ = consumer.poll(Duration::from_millis(50)).await.unwrap();
        }
        Self { producer: producer.build().await.unwrap(), consumer, next: 0 }
    }

    fn record(&mut self) -> Record {
        self.next += 1;
        Record::new("raw", PAYLOAD)
            .key("game.shot")
            .header("tb-subject", "game.shot")
            .header("tb-v", "1")
            .header("tb-id", format!("0193f2a0-0000-7000-8000-{:012}", self.next))
            .header("tb-time", "2026-11-30T02:36:00.123456789Z")
            .header("content-type", "application/octet-stream")
    }

    async fn publish(&mut self) {
        let record = self.record();
        let _ = self.producer.send(record).await.unwrap();
    }

    async fn publish_batch(&mut self, count: usize) {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            let record = self.record();
            handles.push(self.producer.enqueue(record).await.unwrap());
        }
        for handle in handles {
            let _ = handle.await.unwrap();
        }
    }

    /// Receives what comes, and tells the position if it is `told`.
    async fn receive(&mut self, told: bool) -> usize {
        let records = self.consumer.poll(Duration::from_secs(5)).await.unwrap();
        if let Some(last) = records.last().filter(|_| told) {
            let position = OffsetAndMetadata::new(last.offset + 1);
            let of = [(TopicPartition::new("raw", 0), position)];
            self.consumer.commit_offsets(of).await.unwrap();
        }
        core::hint::black_box(records.iter().map(|it| it.headers.len()).sum::<usize>());
        records.len()
    }
}

async fn receive(from: &mut Deliveries) {
    from.next().await.unwrap().unwrap().ack();
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    // The other server answers a waiting read at the end of its time only, also if events have come.
    let Some(server) = Server::start(Which::Noida) else { return };
    run(async {
        let mut raw = Raw::new(&server).await;
        let kafka = started(server.brokers()).await;
        let open = || group(&kafka, "game.>", "all").in_flight(BATCH * 2).open();
        let mut ours = open().await.unwrap();
        let (mut client, mut engine) = (Vec::new(), Vec::new());
        for pair in 0..=PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                raw.publish().await;
                // The engine tells the position ten times a second too.
                raw.receive(false).await;
            }
            client.push(began.elapsed());
            let envelopes = envelopes("game.shot", TRIPS);
            let began = Instant::now();
            for envelope in envelopes {
                kafka.publish(envelope).await.unwrap();
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
        let (mut client_all, mut engine_all) = (Vec::new(), Vec::new());
        let (mut client_in, mut engine_in) = (Vec::new(), Vec::new());
        let of = BATCH * BATCHES;
        // Nothing reads while it is measured what writing takes.
        drop(ours);
        for _ in 0..PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                raw.publish().await;
            }
            client.push(began.elapsed());
            let one_by_one = envelopes("game.shot", TRIPS);
            let began = Instant::now();
            for envelope in one_by_one {
                kafka.publish(envelope).await.unwrap();
            }
            engine.push(began.elapsed());
            let began = Instant::now();
            for _ in 0..BATCHES {
                raw.publish_batch(BATCH).await;
            }
            client_all.push(began.elapsed());
            let batches: Vec<_> = (0..BATCHES).map(|_| envelopes("game.shot", BATCH)).collect();
            let began = Instant::now();
            for envelopes in batches {
                let receipts = kafka.publish_batch(envelopes).await;
                assert!(receipts.iter().all(Result::is_ok));
            }
            engine_all.push(began.elapsed());
        }
        let (client, engine) = (median(client, TRIPS), median(engine, TRIPS));
        println!(
            "publish, one by one: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );
        let (client, engine) = (median(client_all, of), median(engine_all, of));
        println!(
            "publish, batches of {BATCH}: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );
        // Both have the same before them. They read it in turns.
        let mut ours = open().await.unwrap();
        receive(&mut ours).await;
        for _ in 0..PAIRS - 2 {
            let began = Instant::now();
            let mut left = of.cast_signed();
            while left > 0 {
                left -= raw.receive(true).await.cast_signed();
            }
            client_in.push(began.elapsed());
            let began = Instant::now();
            for _ in 0..of {
                receive(&mut ours).await;
            }
            engine_in.push(began.elapsed());
        }
        let (client, engine) = (median(client_in, of), median(engine_in, of));
        println!(
            "consume and acknowledge: client {client:.0} ns, engine {engine:.0} ns, \
             {:.2} of its throughput",
            client / engine
        );
    });
}
