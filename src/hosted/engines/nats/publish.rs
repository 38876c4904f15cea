//! How envelopes leave, and what comes back about them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::{Failed, disconnected, refused};
use crate::hosted::engines::server::Publish;
use crate::hosted::wire::{self, InvalidMessage, NativeForm};
use crate::hosted::{EngineError, Level, Reason, Receipt, stamped};

/// Begins the headers that the server reads.
const OF_THE_SERVER: &str = "nats-";
/// How often a publish is repeated that no server took, and the pause before. A cluster that elects
/// a leader answers so.
const ELECTION: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(500)];
/// The code of an error of the server's disk, which others of the cluster may not have had.
const STORE_FAILED: u64 = 10077;

/// How long a publish waits for an answer after the client has connected anew.
const GRACE: Duration = Duration::from_millis(250);

/// Until when a publish waits, or those of a batch do together.
struct Patience {
    deadline: Instant,
    /// How often the client had connected when it was sent.
    connects: u64,
}

struct Message {
    headers: HeaderMap,
    payload: Vec<u8>,
}

fn of_the_server(key: &str) -> bool {
    key.get(..OF_THE_SERVER.len()).is_some_and(|start| start.eq_ignore_ascii_case(OF_THE_SERVER))
}

/// Returns a key as the client takes it. Those of each envelope are not allocated.
fn name(key: &str) -> Option<HeaderName> {
    const KNOWN: [&str; 6] = ["tb-v", "tb-id", "tb-time", "tb-source", "tb-key", "content-type"];
    match KNOWN.into_iter().find(|known| *known == key) {
        Some(known) => Some(HeaderName::from_static(known)),
        None => key.parse().ok(),
    }
}

/// Reads an envelope from a message. `position` names it if another program has written it.
pub(super) fn read(
    message: &async_nats::Message,
    position: impl FnOnce() -> String,
) -> Result<Arc<Envelope>, InvalidMessage> {
    let headers = message.headers.iter().flat_map(HeaderMap::iter);
    let headers = headers
        .map(|(key, values)| (AsRef::<str>::as_ref(key), values))
        .filter(|(key, _)| !of_the_server(key))
        .flat_map(|(key, values)| values.iter().map(move |value| (key, value.as_str().as_bytes())));
    wire::from_native(&message.subject, headers, &message.payload, position).map(Arc::new)
}

/// Returns whether the server keeps subjects that begin so for itself.
pub(super) fn is_reserved(subject: &str) -> bool {
    // A segment that is `_` alone is free.
    subject.starts_with('$') || subject.starts_with('_') && !subject.starts_with("_.")
}

impl Publish for Connection {
    async fn publish(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let mut patience = self.patience();
        let sent = match self.send(&envelope).await {
            Ok(sent) => self.receive(engine, &envelope, sent, &mut patience).await,
            Err(reason) => Err(Failed::NotSent(reason)),
        };
        sent.map_err(|failed| failed.of(engine, envelope))
    }

    async fn publish_batch(
        &self,
        engine: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let mut patience = self.patience();
        let mut sent = Vec::with_capacity(envelopes.len());
        for envelope in envelopes {
            let envelope = stamped(envelope);
            let result = self.send(&envelope).await;
            sent.push((envelope, result));
        }
        patience.deadline = Instant::now() + self.timeout;
        // One answer is enough for all: see `confirm`.
        let mut confirmed = None;
        let mut results = Vec::with_capacity(sent.len());
        for (envelope, sent) in sent {
            let result = match sent {
                Err(reason) => Err(Failed::NotSent(reason)),
                Ok(Some(ack)) => self.receive(engine, &envelope, Some(ack), &mut patience).await,
                Ok(None) => {
                    if confirmed.is_none() {
                        confirmed = Some(self.confirm_since(patience.connects).await.is_ok());
                    }
                    match confirmed {
                        Some(true) => Ok(Receipt::new(engine, Level::Accepted)),
                        _ => Err(Failed::Unknown(Reason::TimedOut)),
                    }
                }
            };
            results.push(result.map_err(|failed| failed.of(engine, envelope)));
        }
        results
    }
}

impl Connection {
    fn message(&self, envelope: &Envelope) -> Result<Message, Reason> {
        let subject = envelope.subject().as_str();
        if is_reserved(subject) {
            return Err(Reason::Subject(
                "the server keeps what begins with `$`, or with `_` and more in the first segment"
                    .into(),
            ));
        }
        if subject.contains([' ', '\t', '\r', '\n']) {
            return Err(Reason::Subject("it has white space".into()));
        }
        let native = wire::to_native(envelope, NativeForm::LINES)?;
        let mut headers = HeaderMap::new();
        // As the client counts: the line of the version, and the empty line at the end.
        let mut size = "NATS/1.0\r\n\r\n".len() + native.payload.len();
        let mut insert = |key: HeaderName, value: &str| {
            size += AsRef::<str>::as_ref(&key).len() + value.len() + ": \r\n".len();
            let kept = value.parse::<HeaderValue>();
            kept.map(|value| headers.insert(key, value)).map_err(|_| Reason::Header(value.into()))
        };
        for (key, value) in &native.headers {
            let name = name(key).filter(|_| !of_the_server(key));
            insert(name.ok_or_else(|| Reason::Header((**key).into()))?, value)?;
        }
        if let Some(stream) = &self.stream {
            insert(header::NATS_MESSAGE_ID, envelope.id())?;
            insert(header::NATS_EXPECTED_STREAM, stream)?;
        }
        let limit = self.client.max_payload();
        if size > limit {
            return Err(Reason::TooLarge { bytes: size, limit });
        }
        Ok(Message { headers, payload: native.payload.into_owned() })
    }

    /// Hands an envelope to the client. `None` where `JetStream` has nothing to do with it.
    async fn send(&self, envelope: &Envelope) -> Result<Option<PublishAckFuture>, Reason> {
        self.check()?;
        let Message { headers, payload } = self.message(envelope)?;
        let subject = String::from(envelope.subject().as_str());
        if self.stream.is_none() {
            let publish = self.client.publish_with_headers(subject, headers, payload.into());
            publish.await.map_err(disconnected)?;
            return Ok(None);
        }
        let message = PublishMessage::build().headers(headers).payload(payload.into());
        let sent = self.context.send_publish(subject, message).await;
        sent.map(Some).map_err(|error| match error.kind() {
            PublishErrorKind::TimedOut | PublishErrorKind::MaxAckPending => Reason::Full,
            _ => disconnected(error),
        })
    }

    fn patience(&self) -> Patience {
        Patience { deadline: Instant::now() + self.timeout, connects: self.connects() }
    }

    /// Waits for what the server says of a publish. `None` if it may never say it.
    async fn answer(
        &self,
        ack: PublishAckFuture,
        patience: &mut Patience,
    ) -> Option<Result<PublishAck, PublishError>> {
        let mut ack = ack.into_future();
        let mut signals = self.signals.subscribe();
        loop {
            tokio::select! {
                biased;
                answer = &mut ack => return Some(answer),
                () = sleep_until(patience.deadline) => return None,
                _ = signals.changed() => {
                    let connects = self.connects();
                    if core::mem::replace(&mut patience.connects, connects) != connects {
                        // What was on its way with the old connection has no answer.
                        patience.deadline = patience.deadline.min(Instant::now() + GRACE);
                    }
                }
            }
        }
    }

    async fn receive(
        &self,
        engine: &Arc<str>,
        envelope: &Envelope,
        sent: Option<PublishAckFuture>,
        patience: &mut Patience,
    ) -> Result<Receipt, Failed> {
        let Some(mut ack) = sent else {
            self.confirm_since(patience.connects).await.map_err(Failed::Unknown)?;
            return Ok(Receipt::new(engine, Level::Accepted));
        };
        let mut pauses = ELECTION.into_iter();
        loop {
            let error = match self.answer(ack, patience).await {
                Some(Ok(ack)) => return Ok(receipt(engine, &ack)),
                Some(Err(error)) => error,
                None => return Err(Failed::Unknown(Reason::TimedOut)),
            };
            // No stream took it: nothing is stored.
            let again = error.kind() == PublishErrorKind::StreamNotFound;
            let Some(pause) =
                pauses.next().filter(|pause| again && Instant::now() + *pause < patience.deadline)
            else {
                return Err(failed(error));
            };
            tokio::time::sleep(pause).await;
            match self.send(envelope).await {
                Ok(Some(next)) => ack = next,
                Ok(None) => return Err(failed(error)),
                Err(reason) => return Err(Failed::NotSent(reason)),
            }
        }
    }
}

fn receipt(engine: &Arc<str>, ack: &PublishAck) -> Receipt {
    Receipt::new(engine, Level::Stored).at(ack.sequence).duplicate(ack.duplicate)
}

/// What an error means that came instead of a confirmation.
fn failed(error: PublishError) -> Failed {
    use core::error::Error;
    match error.kind() {
        PublishErrorKind::StreamNotFound => {
            Failed::NotSent(refused("no stream takes this subject, or there is no JetStream"))
        }
        PublishErrorKind::TimedOut => Failed::Unknown(Reason::TimedOut),
        PublishErrorKind::BrokenPipe => Failed::Unknown(disconnected(error)),
        _ => {
            let of_server = error
                .source()
                .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
            match of_server {
                // "maximum messages exceeded" and the like are said before anything is stored.
                Some(found)
                    if found.error_code().0 != STORE_FAILED
                        || alloc::format!("{found}").contains("maximum") =>
                {
                    Failed::NotSent(refused(error))
                }
                _ => Failed::Unknown(refused(error)),
            }
        }
    }
}
