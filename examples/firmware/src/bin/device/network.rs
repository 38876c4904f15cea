//! The connection to the server: what leaves, what comes, and how it is made anew.

use core::future::poll_fn;
use core::num::NonZero;
use core::task::Poll;

use heapless::{String, Vec};
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::event::{Event, Publish};
use rust_mqtt::client::options::{
    ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::client::{Client as OfLine, MqttError};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::types::{
    MqttString, MqttStringPair, PacketIdentifier, ReasonCode, TopicFilter, TopicName,
};
use semihosting::println;
use tickbus::envelope::compact::{CompactEnvelope, Id, mqtt};
use tickbus::{Consumer, DropOldest, Event as _, Subject};

use crate::events::{COMMANDS, COUNTS, Command, OUTGOING, Outgoing, id_of};
use crate::line::Line;
use crate::{board, now};

/// The number of this device, and what all its topics begin with.
const DEVICE: u32 = 7;
const PREFIX: &str = "device/7";
const NAME: &str = "device-7";

/// How many events wait for the server's word at a time.
const WINDOW: usize = 4;
/// How many user properties a message may have: 8 of tickbus, and the headers.
const PROPERTIES: usize = 16;
/// The longest packet that the server may send, and the memory for it, in bytes.
const LONGEST: usize = 1024;

const PAUSE: u32 = board::TICKS_PER_SECOND / 2;
const PING_AFTER: u32 = board::TICKS_PER_SECOND;

type Client<'c> = OfLine<'c, 'c, &'c Line, BumpBuffer<'c>, 1, WINDOW, WINDOW, 0, PROPERTIES, 0, 0>;

/// An event that the server has not acknowledged yet.
struct Sent {
    packet: PacketIdentifier,
    number: u64,
    event: Outgoing,
}

/// Why a connection is over. The client for MQTT has the rest.
enum Lost {
    /// No connection was made.
    Never,
    /// The server says nothing, or not what it should.
    Line,
    Refused(ReasonCode),
}

impl<const N: usize> From<MqttError<'_, N>> for Lost {
    fn from(error: MqttError<'_, N>) -> Self {
        match error {
            MqttError::Disconnect { reason, .. } => Self::Refused(reason),
            _ => Self::Line,
        }
    }
}

struct Network<'c> {
    line: &'c Line,
    client: Client<'c>,
    outgoing: Consumer<'static, Outgoing, DropOldest>,
    window: Vec<Sent, WINDOW>,
    /// How many events have been taken from the bus. It makes their ids.
    taken: u64,
    /// What no other start of this device has.
    start: u32,
    is_pinging: bool,
    sent_at: u32,
}

/// Keeps the device connected.
pub async fn run(line: &Line) -> core::convert::Infallible {
    let mut memory = [0; LONGEST];
    let mut buffer = BumpBuffer::new(&mut memory);
    let mut network = Network {
        line,
        client: Client::new(&mut buffer),
        outgoing: OUTGOING.consumer().expect("the network is the only consumer"),
        window: Vec::new(),
        taken: 0,
        start: start(),
        is_pinging: false,
        sent_at: 0,
    };
    loop {
        // A line that was just opened, or lost, has no other end yet.
        network.line.expect(false);
        let until = now().wrapping_add(PAUSE);
        poll_fn(|_| if now() == until { Poll::Ready(()) } else { Poll::Pending }).await;
        match network.session().await {
            Ok(never) => match never {},
            Err(Lost::Never) => println!("no server answers"),
            Err(Lost::Line) => println!("lost the server"),
            Err(Lost::Refused(reason)) => println!("the server ends the connection: {reason:?}"),
        }
        // The line itself stays, and is used again.
        let _ = network.client.abort().await;
    }
}

/// Gives `main` its turn: once.
async fn turn_of_main() {
    let mut has_waited = false;
    let wait = poll_fn(|_| {
        let is_over = core::mem::replace(&mut has_waited, true);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    wait.await;
}

/// Returns the seconds of the host's clock. A device counts its starts in flash instead.
fn start() -> u32 {
    semihosting::sys::arm_compat::sys_time().unwrap_or_default() as u32
}

impl<'c> Network<'c> {
    /// Connects, and stays connected until it no longer can.
    async fn session(&mut self) -> Result<core::convert::Infallible, Lost> {
        self.line.clear();
        self.line.expect(true);
        let options = ConnectOptions::new()
            .keep_alive(KeepAlive::Seconds(NonZero::new(10).expect("not 0")))
            .session_expiry_interval(SessionExpiryInterval::Seconds(
                NonZero::new(300).expect("not 0"),
            ))
            .maximum_packet_size(NonZero::new(LONGEST as u32).expect("not 0"));
        let name = MqttString::from_str(NAME).ok();
        let connected = self.client.connect(self.line, &options, name).await;
        let is_continued = match connected.map_err(Lost::from) {
            Ok(connected) => connected.session_present,
            Err(Lost::Line) => return Err(Lost::Never),
            Err(lost) => return Err(lost),
        };
        self.free();
        COUNTS.connections.add();
        println!("connected, with {} session", if is_continued { "the old" } else { "a new" });

        // It has no harm if the session has the subscription still.
        let mut topic = [0; 32];
        let topic = mqtt::topic(PREFIX, Subject::from_static("command"), &mut topic);
        let topic = topic.expect("a subject of ours");
        let filter = MqttString::from_str(topic).ok().and_then(TopicFilter::new);
        let options = SubscriptionOptions::new().at_least_once();
        self.client.subscribe(filter.expect("a topic is a filter"), &options).await?;
        self.send_again(is_continued).await?;

        self.is_pinging = false;
        self.sent_at = now();
        loop {
            self.line.expect(self.is_pinging || !self.window.is_empty());
            if self.line.has_bytes() || self.line.is_late() {
                self.line.expect(true);
                let event = self.client.poll().await?;
                self.come(event);
                self.free();
            } else if !self.window.is_full()
                && let Some(event) = self.outgoing.drain().next()
            {
                self.taken += 1;
                let number = self.taken;
                let packet = self.publish(None, number, &event).await?;
                if self.window.push(Sent { packet, number, event }).is_err() {
                    unreachable!("there was room");
                }
                COUNTS.in_flight.set(self.window.len() as u32);
            } else if !self.is_pinging && now().wrapping_sub(self.sent_at) > PING_AFTER {
                self.client.ping().await?;
                self.is_pinging = true;
                self.sent_at = now();
            } else {
                turn_of_main().await;
            }
        }
    }

    /// Sends again what the server has not acknowledged, in its order and with its ids.
    async fn send_again(&mut self, is_continued: bool) -> Result<(), Lost> {
        for at in 0..self.window.len() {
            let Sent { packet, number, event } = &self.window[at];
            let (packet, number, event) = (*packet, *number, event.clone());
            let old = is_continued.then_some(packet);
            self.window[at].packet = self.publish(old, number, &event).await?;
        }
        Ok(())
    }

    /// Publishes an event, or publishes it again in the session that has its packet already.
    async fn publish(
        &mut self,
        old: Option<PacketIdentifier>,
        number: u64,
        event: &Outgoing,
    ) -> Result<PacketIdentifier, Lost> {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&DEVICE.to_be_bytes());
        id[4..8].copy_from_slice(&self.start.to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        let id = Id::new(id);
        let mut payload = String::<192>::new();
        core::fmt::write(&mut payload, format_args!("{event}")).expect("the longest fits");
        let headers = match event {
            Outgoing::Reading { .. } => [("unit", "mC")],
            Outgoing::Answer(answer) => [("answers", &*answer.to)],
        };
        let subject = Subject::from_static(event.subject());
        let envelope = CompactEnvelope::new(subject)
            .with_id(id.as_str())
            .with_source(NAME)
            .with_key("7")
            .with_headers(&headers)
            .with_raw_payload(&payload);

        let mut topic = [0; 32];
        let topic = mqtt::topic(PREFIX, envelope.subject(), &mut topic);
        let text = |text| MqttString::from_str(text).expect("a text of ours");
        let topic = TopicName::new(text(topic.expect("a subject of ours"))).expect("a topic");
        let properties = envelope.properties().expect("texts of ours");
        let properties: Vec<_, PROPERTIES> =
            properties.map(|(key, value)| MqttStringPair::new(text(key), text(value))).collect();
        let options = PublicationOptions::new(TopicReference::Name(topic))
            .at_least_once()
            .user_properties(&properties)
            .content_type(text(envelope.content_type().expect("the type of JSON")));

        self.sent_at = now();
        self.line.expect(true);
        let payload = envelope.payload_bytes();
        if let Some(packet) = old
            && self.client.republish(packet, &options, payload.into()).await.is_ok()
        {
            return Ok(packet);
        }
        let packet = self.client.publish(&options, payload.into()).await?;
        Ok(packet.expect("at least once has a packet identifier"))
    }

    /// Handles what the server says.
    fn come(&mut self, event: Event<'_, 0, PROPERTIES>) {
        let (packet, count) = match event {
            Event::Pingresp => {
                self.is_pinging = false;
                return;
            }
            Event::Publish(message) => {
                if hear(&message).is_none() {
                    COUNTS.malformed.add();
                }
                return;
            }
            Event::PublishAcknowledged(it) => (it.packet_identifier, &COUNTS.acknowledged),
            Event::PublishRejected(it) => (it.packet_identifier, &COUNTS.rejected),
            _ => return,
        };
        if let Some(at) = self.window.iter().position(|sent| sent.packet == packet) {
            self.window.remove(at);
            COUNTS.in_flight.set(self.window.len() as u32);
            count.add();
        }
    }

    /// Makes the memory free in which a packet was.
    fn free(&mut self) {
        // SAFETY: what the client has returned of a packet is no longer there, since its users end before.
        unsafe { self.client.buffer_mut().reset() };
    }
}

/// Publishes a command. `None` if the message is not one.
fn hear(message: &Publish<'_, 0, PROPERTIES>) -> Option<()> {
    let mut subject = [0; 32];
    let topic = message.topic.name()?.as_ref().as_str();
    let subject = mqtt::subject(PREFIX, topic, &mut subject).ok()?;
    // With as many as fit there may have been more.
    if message.user_properties.is_full() || subject.as_str() != "command" {
        return None;
    }
    let pairs = message.user_properties.iter().map(|it| (it.name.as_str(), it.value.as_str()));
    let pairs: Vec<_, PROPERTIES> = pairs.collect();
    let content_type = message.content_type.as_ref().map(MqttString::as_str);
    let envelope =
        CompactEnvelope::from_properties(subject, &pairs, content_type, &message.message).ok()?;
    let text = core::str::from_utf8(envelope.payload_bytes()).ok()?;
    // A command that finds no room is counted by the bus.
    let _ = COMMANDS.publish(Command::of(text, id_of(envelope.id())));
    Some(())
}
