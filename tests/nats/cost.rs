//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features nats --test nats cost -- --ignored --nocapture --test-threads 1
//! ```

use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use futures_core::Stream as _;
use tickbus::hosted::engines::nats::Nats;
use tickbus::hosted::{Deliveries, Engine, Link, LinkOptions, MemoryEngine};

use crate::servers::cost::{PAIRS, PAYLOAD, envelopes, median};
use crate::servers::{Nats as Server, TestServer};
use crate::{run, started};

/// The client as it is used without the engine, with a stream and a consumer of its own.
struct Raw {
    context: jetstream::Context,
    messages: pull::Stream,
    subject: String,
    headers: Vec<(String, String)>,
    next: u64,
}

impl Raw {
    /// `headers` are written anew for each message.
    async fn new(url: &str, name: &str, mut headers: Vec<(String, String)>) -> Self {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let config = jetstream::stream::Config {
            name: name.into(),
            subjects: vec![format!("{name}.>")],
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
        for (key, value) in &mut headers {
            if *key == NATS_EXPECTED_STREAM.to_string() {
                *value = name.into();
            }
        }
        Self { context, messages, subject: format!("{name}.shot"), headers, next: 0 }
    }

    /// The headers that an envelope has at the server.
    async fn headers(url: &str, nats: &Nats) -> Vec<(String, String)> {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let receipt = nats.publish(envelopes("game.shot", 1).remove(0)).await.unwrap();
        let stream = context.get_stream("GAME").await.unwrap();
        let message = stream.get_raw_message(receipt.sequence.unwrap()).await.unwrap();
        let headers = message.headers.iter().filter(|(key, _)| **key != NATS_MESSAGE_ID);
        headers.map(|(key, values)| (key.to_string(), values[0].to_string())).collect()
    }

    async fn publish(&mut self) -> PublishAckFuture {
        self.next += 1;
        let mut headers = HeaderMap::new();
        for (key, value) in &self.headers {
            headers.insert(&**key, &**value);
        }
        let message = PublishMessage::build().headers(headers);
        let message = message.message_id(self.next.to_string()).payload(PAYLOAD.into());
        self.context.send_publish(self.subject.clone(), message).await.unwrap()
    }

    async fn receive(&mut self) {
        let next = poll_fn(|context| Pin::new(&mut self.messages).poll_next(context));
        next.await.unwrap().unwrap().ack().await.unwrap();
    }

    async fn trip(&mut self) -> Duration {
        let began = Instant::now();
        for _ in 0..TRIPS {
            self.publish().await.await.unwrap();
            self.receive().await;
        }
        began.elapsed()
    }

    /// Publishes batches, then receives them.
    async fn batches(&mut self) -> (Duration, Duration) {
        let began = Instant::now();
        for _ in 0..BATCHES {
            let mut acks = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                acks.push(self.publish().await);
            }
            for ack in acks {
                ack.await.unwrap();
            }
        }
        let (published, began) = (began.elapsed(), Instant::now());
        for _ in 0..BATCH * BATCHES {
            self.receive().await;
        }
        (published, began.elapsed())
    }
}

/// The engine.
struct Ours {
    nats: Nats,
    group: Deliveries,
}

impl Ours {
    async fn receive(&mut self) {
        self.group.next().await.unwrap().unwrap().ack();
    }

    async fn trip(&mut self) -> Duration {
        let envelopes = envelopes("game.shot", TRIPS);
        let began = Instant::now();
        for envelope in envelopes {
            self.nats.publish(envelope).await.unwrap();
            self.receive().await;
        }
        began.elapsed()
    }

    async fn batches(&mut self) -> (Duration, Duration) {
        let envelopes: Vec<_> = (0..BATCHES).map(|_| envelopes("game.shot", BATCH)).collect();
        let began = Instant::now();
        for envelopes in envelopes {
            let receipts = self.nats.publish_batch(envelopes).await;
            assert!(receipts.iter().all(Result::is_ok));
        }
        let (published, began) = (began.elapsed(), Instant::now());
        for _ in 0..BATCH * BATCHES {
            self.receive().await;
        }
        (published, began.elapsed())
    }
}

const TRIPS: usize = 200;
const BATCH: usize = 256;
const BATCHES: usize = 8;

/// Beside bare messages, and beside messages with the headers that an envelope has.
#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    for server in Server::BOTH {
        let Some(server) = TestServer::start(server, "") else { continue };
        run(async {
            let nats = started(server.url()).await;
            let headers = Raw::headers(&server.url(), &nats).await;
            let mut bare = Raw::new(&server.url(), "bare", Vec::new()).await;
            let mut same = Raw::new(&server.url(), "same", headers).await;
            let group = nats.subscribe("game.>").unwrap().group("all").in_flight(256);
            let mut ours = Ours { group: group.open().await.unwrap(), nats };

            let mut trips: [Vec<Duration>; 3] = Default::default();
            let mut published: [Vec<Duration>; 3] = Default::default();
            let mut received: [Vec<Duration>; 3] = Default::default();
            // The first is to warm up.
            for pair in 0..=PAIRS {
                let now = [bare.trip().await, same.trip().await, ours.trip().await];
                let batches = [bare.batches().await, same.batches().await, ours.batches().await];
                for contender in 0..if pair == 0 { 0 } else { 3 } {
                    trips[contender].push(now[contender]);
                    published[contender].push(batches[contender].0);
                    received[contender].push(batches[contender].1);
                }
            }
            let show = |what: &str, times: [Vec<Duration>; 3], of: usize| {
                let [bare, same, ours] = times.map(|times| median(times, of));
                println!(
                    "{what}: bare {bare:.0} ns, with our headers {same:.0} ns, engine {ours:.0} ns: \
                     {:.2} and {:.2} of the throughput",
                    bare / ours,
                    same / ours
                );
            };
            show("round trip", trips, TRIPS);
            show("publish in batches of 256", published, BATCH * BATCHES);
            show("consume and acknowledge", received, BATCH * BATCHES);
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
        let envelopes = envelopes("game.shot", EVENTS);
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
