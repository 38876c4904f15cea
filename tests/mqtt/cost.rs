//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features mqtt --test mqtt cost -- --ignored --nocapture --test-threads 1
//! ```

use alloc::sync::Arc;
use core::time::Duration;
use std::time::Instant;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{AckMode, AsyncClient, Event, MqttOptions, PublishOptions};
use tickbus::Envelope;
use tickbus::hosted::{Deliveries, Engine};
use tokio::sync::mpsc;

use crate::server::Server;
use crate::{on, settings, up};

const PAIRS: usize = 15;
const PAYLOAD: &[u8] = &[b'x'; 100];
const TRIPS: usize = 200;
const BATCH: usize = 2000;

fn envelopes(count: usize) -> Vec<Arc<Envelope>> {
    let make = |_| Envelope::new("game.shot").unwrap().with_bytes(PAYLOAD).into();
    (0..count).map(make).collect()
}

fn median(mut times: Vec<Duration>, of: usize) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / of as f64
}

/// The client as it is used without the engine: the same properties, a session of its own, an
/// acknowledgement for each message.
struct Raw {
    write: AsyncClient,
    come: mpsc::UnboundedReceiver<()>,
    next: u64,
}

fn connect(server: &Server, id: &str, topic: Option<&'static str>) -> Raw {
    let mut options = MqttOptions::new(id, ("127.0.0.1", server.port()));
    options.set_ack_mode(AckMode::Manual);
    let (client, mut events) = AsyncClient::builder(options).capacity(1024).build();
    let (tell, come) = mpsc::unbounded_channel();
    let acks = client.clone();
    tokio::spawn(async move {
        loop {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(message)) => {
                    assert_eq!(message.payload.len(), PAYLOAD.len());
                    let count = message.properties.iter().map(|it| it.user_properties.len()).sum();
                    core::hint::black_box::<usize>(count);
                    acks.try_ack(&message).unwrap();
                    let _ = tell.send(());
                }
                Event::Incoming(Packet::ConnAck(_)) => {
                    if let Some(topic) = topic {
                        acks.try_subscribe(topic, QoS::AtLeastOnce).unwrap();
                    } else {
                        let _ = tell.send(());
                    }
                }
                Event::Incoming(Packet::SubAck(_)) => drop(tell.send(())),
                _ => {}
            }
        }
    });
    Raw { write: client, come, next: 0 }
}

impl Raw {
    fn options(&mut self) -> PublishOptions {
        self.next += 1;
        let id = format!("0193f2a0-0000-7000-8000-{:012}", self.next);
        let time = "2026-11-30T02:36:00.123456789Z";
        let text = |it: &str| it.to_owned();
        let properties = PublishProperties {
            user_properties: vec![
                (text("tb-v"), text("1")),
                (text("tb-id"), id),
                (text("tb-time"), text(time)),
            ],
            content_type: Some(text("application/octet-stream")),
            ..Default::default()
        };
        PublishOptions::at_least_once().properties(properties)
    }

    async fn publish(&mut self, count: usize) {
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            let options = self.options();
            let publish = self.write.publish_tracked("raw/shot", PAYLOAD.to_vec(), options);
            sent.push(publish.await.unwrap());
        }
        for sent in sent {
            sent.wait_completion_async().await.unwrap();
        }
    }

    async fn receive(&mut self, count: usize) {
        for _ in 0..count {
            self.come.recv().await.unwrap();
        }
    }
}

async fn receive(from: &mut Deliveries, count: usize) {
    for _ in 0..count {
        from.next().await.unwrap().unwrap().ack();
    }
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    on("max_queued_messages 0\nmax_inflight_messages 0\npersistence false", async |server| {
        let mut raw = connect(&server, "raw", None);
        let mut raw_in = connect(&server, "raw-in", Some("$share/g/raw/#"));
        raw.receive(1).await;
        raw_in.receive(1).await;
        let mqtt = up(settings(server.url())).await;
        let mut ours =
            mqtt.subscribe("game.>").unwrap().group("g").in_flight(256).open().await.unwrap();

        let (mut client, mut engine) = (Vec::new(), Vec::new());
        for pair in 0..=PAIRS {
            let began = Instant::now();
            for _ in 0..TRIPS {
                raw.publish(1).await;
                raw_in.receive(1).await;
            }
            client.push(began.elapsed());
            let envelopes = envelopes(TRIPS);
            let began = Instant::now();
            for envelope in envelopes {
                mqtt.publish(envelope).await.unwrap();
                receive(&mut ours, 1).await;
            }
            engine.push(began.elapsed());
            if pair == 0 {
                (client, engine) = (Vec::new(), Vec::new()); // to warm up
            }
        }
        let (client, engine) = (median(client, TRIPS), median(engine, TRIPS));
        println!(
            "round trip: client {client:.0} ns, engine {engine:.0} ns, {:.2} of its throughput",
            client / engine
        );

        let (mut client, mut engine) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let began = Instant::now();
            let (_, ()) = tokio::join!(raw.publish(BATCH), raw_in.receive(BATCH));
            client.push(began.elapsed());
            let envelopes = envelopes(BATCH);
            let began = Instant::now();
            let publish = mqtt.publish_batch(envelopes);
            let (receipts, ()) = tokio::join!(publish, receive(&mut ours, BATCH));
            assert!(receipts.iter().all(Result::is_ok));
            engine.push(began.elapsed());
        }
        let (client, engine) = (median(client, BATCH), median(engine, BATCH));
        println!(
            "publish in batches of {BATCH}, receive and acknowledge beside it: client {client:.0} ns, \
             engine {engine:.0} ns, {:.2} of its throughput",
            client / engine
        );
    });
}
