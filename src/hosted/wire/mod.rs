//! The forms in which envelopes travel. Engines write and read envelopes with this module.
//!
//! | the engine has | write | read |
//! |---|---|---|
//! | headers beside the payload (NATS, Kafka, MQTT 5) | [`to_native`] | [`from_native`] |
//! | fields (streams of Redis) | [`to_fields`] | [`from_fields`] |
//! | one value (Kinesis, Postgres, pub/sub of Redis) | [`Envelope::to_json`] | [`from_json`] |
//!
//! Every envelope reads back byte for byte, or writing it fails. A message that `tickbus` has not
//! written is *foreign*: it becomes an envelope without a time, whose id is the engine's position.
//!
//! # Native headers
//!
//! | header | value |
//! |---|---|
//! | `tb-v` | `1`, always |
//! | `tb-id`, `tb-source` | as they are, if not empty |
//! | `tb-time` | RFC 3339, if there is a time |
//! | `tb-key` | the ordering key, if there is one |
//! | `traceparent` | trace and span id, and their flags; `tb-trace-id` and `tb-span-id` if they do not have the form of the W3C |
//! | `content-type` | `application/json` or `application/octet-stream`, none without a payload; or a header of yours, and then `tb-payload` is `json`, `bytes` or `none` |
//! | others | the headers of the envelope |
//!
//! Writing fails if a header of yours begins with `tb-`, in upper or lower case. If only the header
//! `traceparent` names the span, reading sets the ids from it. If the ids name another span than
//! the header, writing leaves the header out.
//!
//! # Fields
//!
//! `v` is `1`. `id`, `subject`, `time`, `source`, `trace_id` and `span_id` are as in the JSON form,
//! and left out when empty. `json` or `bytes` is the payload. Each header is a field `h:` and its
//! key. Writing fields never fails.
//!
//! # Compressed payloads
//!
//! A payload that `hosted::Compression` (feature `compression`) has compressed is bytes, and the
//! header `content-encoding` is `gzip`. It has this name in the binary mode of `CloudEvents` too.
//! `content-type` is that of the payload before. A field of the gzip header, which other readers
//! skip, says whether the payload was JSON. Subscriptions decompress; the functions here do not.

mod cloud;
pub(in crate::hosted) mod encoding;
mod fields;
mod native;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

pub use fields::{from_fields, to_fields};
pub use native::{Native, NativeForm, from_native, to_native};

use crate::envelope::compact::mqtt::{BYTES, is_json};
/// The header that says what the payload is, and its value for JSON.
pub(in crate::hosted) use crate::envelope::compact::mqtt::{CONTENT_TYPE, JSON};
use crate::envelope::{Envelope, InvalidJson, InvalidPayload, InvalidTime};
use crate::error::InvalidSubject;

/// Fills in the id and the time where they are missing. Copies the envelope where it is shared.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tickbus::Envelope;
/// use tickbus::hosted::stamped;
///
/// let envelope = stamped(Arc::new(Envelope::unstamped("game.started")?));
/// assert!(!envelope.id().is_empty() && envelope.time().is_some());
///
/// let again = stamped(envelope.clone());
/// assert!(Arc::ptr_eq(&again, &envelope)); // nothing to do
/// # Ok::<(), tickbus::error::InvalidSubject>(())
/// ```
#[must_use]
pub fn stamped(mut envelope: Arc<Envelope>) -> Arc<Envelope> {
    if !envelope.is_stamped() {
        Arc::make_mut(&mut envelope).stamp();
    }
    envelope
}

/// Reads an envelope from its JSON form.
///
/// A text that is not an envelope is foreign: it becomes the payload of an envelope with `subject`.
/// Its id is what `position` returns.
///
/// # Errors
///
/// Returns [`InvalidMessage::Subject`] if the text is foreign and `subject` is not a subject.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::wire;
///
/// let ours = wire::from_json("orders", br#"{"id":"7","subject":"order.paid"}"#, || unreachable!())?;
/// assert_eq!((ours.id(), ours.subject().as_str()), ("7", "order.paid"));
///
/// let foreign = wire::from_json("orders", b"{\"paid\":true}", || "orders/49590".into())?;
/// assert_eq!((foreign.id(), foreign.payload()), ("orders/49590", Some("{\"paid\":true}")));
/// # Ok::<(), wire::InvalidMessage>(())
/// ```
pub fn from_json(
    subject: &str,
    text: &[u8],
    position: impl FnOnce() -> alloc::string::String,
) -> Result<Envelope, InvalidMessage> {
    match Envelope::from_json(text) {
        Ok(envelope) if !envelope.id().is_empty() => Ok(envelope),
        _ => foreign(subject, text, None, position),
    }
}

/// Gives an envelope an id if it has none: those without one would be one event.
fn with_id(envelope: Envelope, position: impl FnOnce() -> alloc::string::String) -> Envelope {
    if envelope.id().is_empty() { envelope.with_id(position()) } else { envelope }
}

/// Returns an envelope for what another program has published.
fn foreign(
    subject: &str,
    payload: &[u8],
    content_type: Option<&str>,
    position: impl FnOnce() -> alloc::string::String,
) -> Result<Envelope, InvalidMessage> {
    let envelope = Envelope::unstamped(subject)?.with_id(position());
    if payload.is_empty() {
        return Ok(envelope);
    }
    Ok(with_foreign_payload(envelope, payload, content_type))
}

/// Sets a payload of another program: JSON if the content type says so, or if it looks like that.
pub(in crate::hosted) fn with_foreign_payload(
    envelope: Envelope,
    payload: &[u8],
    content_type: Option<&str>,
) -> Envelope {
    let looks_like_json = matches!(payload, [b'{', .., b'}'] | [b'[', .., b']']);
    if content_type.map_or(looks_like_json, is_json)
        && let Ok(text) = core::str::from_utf8(payload)
        && let Ok(with_json) = envelope.clone().with_raw_payload(text)
        // White space around it would be lost.
        && with_json.payload() == Some(text)
    {
        return with_json;
    }
    envelope.with_bytes(payload)
}

/// Sets the trace and span ids from a header `traceparent`. Returns whether the header says no
/// more than that.
fn trace(envelope: &mut Envelope, text: &str) -> bool {
    let Ok(parent) = text.parse::<crate::envelope::TraceParent>() else { return false };
    envelope.set_trace(
        alloc::format!("{:032x}", parent.trace_id()),
        alloc::format!("{:016x}", parent.span_id()),
    );
    alloc::format!("{}", parent.with_flags(0)) == text
}

/// A message is not an envelope.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The message has a version of the form that this crate does not know.
    Version(Box<str>),
    /// A header or field is there twice, is not a text in UTF-8, or has a value that it must not
    /// have.
    Header(Box<str>),
    /// The subject is not valid.
    Subject(InvalidSubject),
    /// The time is not valid.
    Time(InvalidTime),
    /// The payload is not the JSON that it claims to be.
    Payload(InvalidPayload),
    /// The message claims to be a `CloudEvent`, and is not one.
    CloudEvent(InvalidJson),
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(
                f,
                "the message has version `{}` of the form, and only 1 is known: \
                 update the reader",
                found.escape_debug()
            ),
            Self::Header(key) => write!(
                f,
                "`{}` is there twice, is not text, or has a wrong value",
                key.escape_debug()
            ),
            Self::Subject(error) => fmt::Display::fmt(error, f),
            Self::Time(error) => fmt::Display::fmt(error, f),
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::CloudEvent(error) => write!(f, "not a CloudEvent: {error}"),
        }
    }
}

impl Error for InvalidMessage {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Payload(error) => error.source(),
            Self::CloudEvent(error) => error.source(),
            _ => None,
        }
    }
}

impl From<InvalidSubject> for InvalidMessage {
    fn from(error: InvalidSubject) -> Self {
        Self::Subject(error)
    }
}

impl From<InvalidTime> for InvalidMessage {
    fn from(error: InvalidTime) -> Self {
        Self::Time(error)
    }
}

impl From<InvalidPayload> for InvalidMessage {
    fn from(error: InvalidPayload) -> Self {
        Self::Payload(error)
    }
}
