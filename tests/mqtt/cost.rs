//! What the engine costs beside its client, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features mqtt --test mqtt cost -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Three take turns: the client with the least that it can do, the client with the headers of an envelope, and
//! the engine. Each has topics and a session of its own on one server. What is published alone has no subscription.
//!
//! At quality of service 0, two things are measured. The first is the call alone: it hands a message to the
//! connection, and returns. As many are handed over as fit, so that neither the client nor the engine waits.
//! The second adds the task that carries the messages out, and counts processor time.

#[path = "../servers/spent.rs"]
mod spent;

use alloc::sync::Arc;
use core::time::Duration;

use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{
    AckMode, AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, PublishNotice,
    PublishOptions, QoS,
};
use tickbus::Envelope;
use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::engines::mqtt::Qos;
use tickbus::hosted::{Deliveries, Engine};
use tokio::time::sleep;

use self::spent::{Spent, Watch, show};
use crate::server::Server;
use crate::servers::cost::{PAIRS, PAYLOAD, envelopes};
use crate::{on, settings, up};

const TRIPS: usize = 100;
const BATCH: usize = 256;
const BATCHES: usize = 16;

/// As many as a connection takes before it waits.
const BURST: usize = 128;
/// Longer than it takes to carry them out.
const REST: Duration = Duration::from_millis(5);

/// The server keeps all, sends as much at a time as a client takes, and sends it at once.
const SERVER: &str = "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true";

fn batches(subject: &str) -> Vec<Vec<Arc<Envelope>>> {
    (0..BATCHES).map(|_| envelopes(subject, BATCH)).collect()
}

/// How long a round took: publish and receive one, publish one, publish in batches, receive and acknowledge.
struct Round {
    trip: Spent,
    one: Spent,
    batch: Spent,
    receive: Spent,
}

/// The client as it is used without the engine.
struct Raw {
    name: &'static str,
    publisher: AsyncClient,
    /// The payload alone.
    is_bare: bool,
    next: u64,
    server: u32,
    session: Session,
}

/// A session that is there. It is read where it is waited for, without a task of its own.
struct Session {
    client: AsyncClient,
    events: EventLoop,
}

fn options(port: u16, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, ("127.0.0.1", port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true); // as the engine does
    options.set_network_options(network);
    options.set_max_request_batch(BATCH).set_receive_maximum(Some(BATCH as u16));
    // The client looks at each place for a publish on its way whenever it flushes. Without a limit these are
    // 65,536, and a run takes minutes.
    options.set_outgoing_inflight_upper_limit(BATCH as u16);
    options
}

impl Raw {
    async fn new(server: &Server, name: &'static str, is_bare: bool) -> Self {
        let port = server.port();
        let build = AsyncClient::builder(options(port, &format!("{name}-out")));
        let (publisher, mut events) = build.capacity(BATCH).build();
        tokio::spawn(async move { while events.poll().await.is_ok() {} });
        let mut options = options(port, &format!("{name}-in"));
        options.set_ack_mode(AckMode::Manual);
        options.set_session_expiry_interval(Some(3600));
        let (client, events) = AsyncClient::builder(options).capacity(BATCH * 2).build();
        let mut session = Session { client, events };
        let filter = format!("$share/all/{name}/shot/#");
        session.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        session.subscribed().await;
        Self { name, publisher, is_bare, next: 0, server: server.process(), session }
    }

    fn watch(&self) -> Watch {
        Watch::start(self.server)
    }

    fn options(&self, id: &str, qos: QoS) -> PublishOptions {
        let options = PublishOptions::new(qos);
        if self.is_bare {
            return options;
        }
        let headers = [("tb-v", "1"), ("tb-id", id), ("tb-time", TIME)];
        options.properties(PublishProperties {
            user_properties: headers.map(|(key, value)| (key.into(), value.into())).into(),
            content_type: Some("application/octet-stream".into()),
            ..Default::default()
        })
    }

    async fn publish(&mut self, what: &str, qos: QoS) -> PublishNotice {
        self.next += 1;
        let options = self.options(&format!("0193f2a0-0000-7000-8000-{:012}", self.next), qos);
        let topic = format!("{}/{what}", self.name);
        self.publisher.publish_tracked(topic, PAYLOAD, options).await.unwrap()
    }

    async fn publish_batches(&mut self, what: &str) {
        for _ in 0..BATCHES {
            let mut notices = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                notices.push(self.publish(what, QoS::AtLeastOnce).await);
            }
            for notice in notices {
                notice.wait_async().await.unwrap();
            }
        }
    }

    async fn round(&mut self) -> Round {
        let watch = self.watch();
        for _ in 0..TRIPS {
            self.publish("shot", QoS::AtLeastOnce).await.wait_async().await.unwrap();
            self.session.receive(1).await;
        }
        let (trip, watch) = (watch.stop(), self.watch());
        for _ in 0..TRIPS {
            self.publish("alone", QoS::AtLeastOnce).await.wait_async().await.unwrap();
        }
        let (one, watch) = (watch.stop(), self.watch());
        self.publish_batches("alone").await;
        let batch = watch.stop();
        self.publish_batches("shot").await;
        let watch = self.watch();
        self.session.receive(BATCH * BATCHES).await;
        Round { trip, one, batch, receive: watch.stop() }
    }

    /// Returns what the calls took, and what all took.
    async fn unconfirmed(&mut self) -> [Spent; 2] {
        let ids = (0..BURST).map(|at| format!("0193f2a0-0000-7000-8000-{at:012}"));
        let ids: Vec<String> = ids.collect();
        let (all, calls) = (self.watch(), self.watch());
        for id in &ids {
            let options = self.options(id, QoS::AtMostOnce);
            let topic = format!("{}/alone", self.name);
            self.publisher.publish(topic, PAYLOAD, options).await.unwrap();
        }
        let calls = calls.stop();
        sleep(REST).await;
        [calls, all.stop()]
    }
}

const TIME: &str = "2026-11-30T02:36:00.123456789Z";

impl Session {
    async fn next(&mut self) -> Packet {
        loop {
            if let Event::Incoming(packet) = self.events.poll().await.unwrap() {
                return packet;
            }
        }
    }

    async fn subscribed(&mut self) {
        while !matches!(self.next().await, Packet::SubAck(_)) {}
    }

    async fn receive(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            if let Packet::Publish(message) = self.next().await {
                core::hint::black_box(message.payload.len());
                self.client.try_ack(&message).unwrap();
                left -= 1;
            }
        }
    }
}

/// The engine.
struct Ours {
    mqtt: Mqtt,
    server: u32,
    group: Option<Deliveries>,
}

impl Ours {
    async fn new(server: &Server, qos: Qos) -> Self {
        let mqtt = up(settings(server.url()).qos(qos)).await;
        let group = match qos {
            Qos::AtMostOnce => None,
            _ => {
                let group = mqtt.subscribe("game.>").unwrap().group("all").in_flight(BATCH);
                Some(group.open().await.unwrap())
            }
        };
        Self { mqtt, server: server.process(), group }
    }

    fn watch(&self) -> Watch {
        Watch::start(self.server)
    }

    async fn receive(&mut self, count: usize) {
        let group = self.group.as_mut().unwrap();
        for _ in 0..count {
            group.next().await.unwrap().unwrap().ack();
        }
    }

    async fn publish_batches(&self, batches: Vec<Vec<Arc<Envelope>>>) {
        for batch in batches {
            assert!(self.mqtt.publish_batch(batch).await.iter().all(Result::is_ok));
        }
    }

    async fn round(&mut self) -> Round {
        let [shots, alone] = ["game.shot", "alone"].map(|subject| envelopes(subject, TRIPS));
        let watch = self.watch();
        for envelope in shots {
            self.mqtt.publish(envelope).await.unwrap();
            self.receive(1).await;
        }
        let (trip, watch) = (watch.stop(), self.watch());
        for envelope in alone {
            self.mqtt.publish(envelope).await.unwrap();
        }
        let one = watch.stop();
        let [shots, alone] = ["game.shot", "alone"].map(batches);
        let watch = self.watch();
        self.publish_batches(alone).await;
        let batch = watch.stop();
        self.publish_batches(shots).await;
        let watch = self.watch();
        self.receive(BATCH * BATCHES).await;
        Round { trip, one, batch, receive: watch.stop() }
    }

    async fn unconfirmed(&mut self) -> [Spent; 2] {
        let now = envelopes("alone", BURST);
        let (all, calls) = (self.watch(), self.watch());
        for envelope in now {
            self.mqtt.publish(envelope).await.unwrap();
        }
        let calls = calls.stop();
        sleep(REST).await;
        [calls, all.stop()]
    }

    async fn unconfirmed_batch(&mut self) -> [Spent; 2] {
        let now = envelopes("alone", BURST);
        let (all, calls) = (self.watch(), self.watch());
        assert!(self.mqtt.publish_batch(now).await.iter().all(Result::is_ok));
        let calls = calls.stop();
        sleep(REST).await;
        [calls, all.stop()]
    }
}

#[test]
#[ignore = "it measures"]
fn beside_the_client() {
    on(SERVER, async |server: Server| {
        let mut bare = Raw::new(&server, "bare", true).await;
        let mut same = Raw::new(&server, "raw", false).await;
        let mut ours = Ours::new(&server, Qos::AtLeastOnce).await;
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

/// At quality of service 0 the server confirms nothing: what counts is the time that is ours.
#[test]
#[ignore = "it measures"]
fn beside_the_client_without_confirmation() {
    on(SERVER, async |server: Server| {
        let mut bare = Raw::new(&server, "bare", true).await;
        let mut same = Raw::new(&server, "raw", false).await;
        let mut ours = Ours::new(&server, Qos::AtMostOnce).await;
        let mut rounds: [Vec<[Spent; 2]>; 4] = Default::default();
        for pair in 0..=PAIRS * 16 {
            let (bare, same) = (bare.unconfirmed().await, same.unconfirmed().await);
            let now = [bare, same, ours.unconfirmed().await, ours.unconfirmed_batch().await];
            if pair > 0 {
                rounds.iter_mut().zip(now).for_each(|(all, now)| all.push(now));
            }
        }
        for (at, what) in ["the call", "and what carries it"].into_iter().enumerate() {
            let part = |who: usize| rounds[who].iter().map(|spent| spent[at]).collect();
            show(&format!("quality 0, one by one, {what}"), BURST, [0, 1, 2].map(part));
            show(&format!("quality 0, a batch, {what}"), BURST, [0, 1, 3].map(part));
        }
    });
}
