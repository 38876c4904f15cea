//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features nats --test nats cost -- --ignored --nocapture --test-threads 1
//! ```

use alloc::sync::Arc;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use tickbus::Envelope;
use tickbus::hosted::{Deliveries, Engine, Link, LinkOptions, MemoryEngine};

use crate::servers::{Nats as Server, TestServer};
use crate::{run, started};

const PAIRS: usize = 15;
const PAYLOAD: &[u8] = &[b'x'; 100];

fn envelopes(count: usize) -> Vec<Arc<Envelope>> {
    let make = |_| Envelope::new("game.shot").unwrap().with_bytes(PAYLOAD).into();
    (0..count).map(make).collect()
}

fn median(mut times: Vec<Duration>, of: usize) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / of as f64
}

/// The client as it is used without the engine: with an id, and a consumer of its own.
struct Raw {
    context: jetstream::Context,
    messages: pull::Stream,
    next: u64,
}

impl Raw {
    async fn new(url: &str) -> Self {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let config = jetstream::stream::Config {
            name: "RAW".into(),
            subjects: vec!["raw.>".into()],
            ..Default::default()
        };
        let stream = context.create_stream(config).await.unwrap();
        let config = pull::Config {
            durable_name: Some("raw".into()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: -1,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let messages = consumer.messages().await.unwrap();
        Self { context, messages, next: 0 }
    }

    async fn publish(&mut self) -> PublishAckFuture {
        self.next += 1;
        let message = PublishMessage::build().message_id(self.next.to_string());
        let message = message.payload(PAYLOAD.into());
        self.context.send_publish("raw.shot", message).await.unwrap()
    }

    async fn receive(&mut self) {
        use futures_core::Stream;
        let next = core::future::poll_fn(|context| {
            core::pin::Pin::new(&mut self.messages).poll_next(context)
        });
        next.await.unwrap().unwrap().ack().await.unwrap();
    }
}

async fn receive(from: &mut Deliveries) {
    from.next().await.unwrap().unwrap().ack();
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    for server in Server::BOTH {
        let Some(server) = TestServer::start(server, "") else { continue };
        run(async {
            let mut raw = Raw::new(&server.url()).await;
            let nats = started(server.url()).await;
            let group = nats.subscribe("game.>").unwrap().group("all").in_flight(256);
            let mut ours = group.open().await.unwrap();

            const TRIPS: usize = 200;
            let (mut client, mut engine) = (Vec::new(), Vec::new());
            for pair in 0..=PAIRS {
                let began = Instant::now();
                for _ in 0..TRIPS {
                    raw.publish().await.await.unwrap();
                    raw.receive().await;
                }
                client.push(began.elapsed());
                let envelopes = envelopes(TRIPS);
                let began = Instant::now();
                for envelope in envelopes {
                    nats.publish(envelope).await.unwrap();
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

            const BATCH: usize = 256;
            const BATCHES: usize = 8;
            let (mut client, mut engine) = (Vec::new(), Vec::new());
            let (mut client_in, mut engine_in) = (Vec::new(), Vec::new());
            for _ in 0..PAIRS {
                let began = Instant::now();
                for _ in 0..BATCHES {
                    let mut acks = Vec::with_capacity(BATCH);
                    for _ in 0..BATCH {
                        acks.push(raw.publish().await);
                    }
                    for ack in acks {
                        ack.await.unwrap();
                    }
                }
                client.push(began.elapsed());
                let began = Instant::now();
                for _ in 0..BATCH * BATCHES {
                    raw.receive().await;
                }
                client_in.push(began.elapsed());
                let envelopes: Vec<_> = (0..BATCHES).map(|_| envelopes(BATCH)).collect();
                let began = Instant::now();
                for envelopes in envelopes {
                    let receipts = nats.publish_batch(envelopes).await;
                    assert!(receipts.iter().all(Result::is_ok));
                }
                engine.push(began.elapsed());
                let began = Instant::now();
                for _ in 0..BATCH * BATCHES {
                    receive(&mut ours).await;
                }
                engine_in.push(began.elapsed());
            }
            let of = BATCH * BATCHES;
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
}

#[test]
#[ignore = "it measures"]
fn of_a_link_in_the_tick() {
    const EVENTS: usize = 1000;
    let link = Link::spawn(MemoryEngine::new(), LinkOptions::default()).unwrap();
    let bus = link.bus();
    let mut inbox = link.inbox(">").unwrap().group("all");
    while !inbox.is_open() {
        thread::sleep(Duration::from_millis(1));
    }
    let (mut out, mut back, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..301 {
        let envelopes = envelopes(EVENTS);
        let began = Instant::now();
        for envelope in envelopes {
            let _ = bus.try_publish(envelope).unwrap();
        }
        let sent = began.elapsed();
        while inbox.pending() < EVENTS || link.stats().pending > 0 {
            thread::sleep(Duration::from_micros(200));
        }
        let began = Instant::now();
        for delivery in inbox.drain(EVENTS) {
            core::hint::black_box(delivery.envelope().bytes());
            delivery.ack();
        }
        let taken = began.elapsed();
        out.push(sent);
        back.push(taken);
        both.push(sent + taken);
        while inbox.stats().pending > 0 {
            thread::sleep(Duration::from_micros(200));
        }
    }
    println!(
        "a frame of {EVENTS} events through a link costs the tick: out {:.0}, in {:.0}, both {:.0} \
         ns an event",
        median(out, EVENTS),
        median(back, EVENTS),
        median(both, EVENTS),
    );
}
