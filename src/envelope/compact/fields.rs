//! The envelope that borrows: [`CompactEnvelope`].

use core::fmt;

use super::error::EncodeError;
use super::headers::{KEY, List};
use super::time::is_time;
use crate::subject::Subject;

/// Borrows an event that travels: its subject, id, time, source, key, headers and payload.
///
/// It has the fields of an `Envelope`, and a missing text is empty. It neither allocates nor copies,
/// and needs no feature. [The module](super) has the forms in which it travels.
///
/// The setters check nothing. [`encode`](Self::encode) and [`properties`](Self::properties) check
/// all, before they write the first byte.
#[derive(Clone, Copy)]
#[must_use]
pub struct CompactEnvelope<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) id: &'a str,
    pub(super) time: &'a str,
    pub(super) source: &'a str,
    pub(super) key: &'a str,
    pub(super) trace_id: &'a str,
    pub(super) span_id: &'a str,
    pub(super) headers: List<'a>,
    pub(super) payload: Payload<'a>,
}

/// What an envelope carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    None,
    Json(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> CompactEnvelope<'a> {
    /// Returns an envelope that has nothing but a subject.
    pub const fn new(subject: Subject<'a>) -> Self {
        Self {
            subject,
            id: "",
            time: "",
            source: "",
            key: "",
            trace_id: "",
            span_id: "",
            headers: List::Pairs(&[]),
            payload: Payload::None,
        }
    }

    /// Sets the id: see [`Id`](super::Id).
    pub const fn with_id(mut self, id: &'a str) -> Self {
        self.id = id;
        self
    }

    /// Sets the time: a text in UTC, in the form of RFC 3339, such as `2026-08-01T12:30:00.25Z`.
    ///
    /// Readers keep nine digits behind the point. The crate `jiff` formats such a text without an
    /// allocator.
    pub const fn with_time(mut self, time: &'a str) -> Self {
        self.time = time;
        self
    }

    /// Sets the source: the name of the sender.
    pub const fn with_source(mut self, source: &'a str) -> Self {
        self.source = source;
        self
    }

    /// Sets the ordering key. A subscription can ask that events of one key are handled one after
    /// the other.
    pub const fn with_key(mut self, key: &'a str) -> Self {
        self.key = key;
        self
    }

    /// Sets the headers: keys and values, up to 255 for [`encode`](Self::encode). No key may be
    /// there twice.
    ///
    /// The ordering key is not among them. `traceparent` is: a receiver with an `Envelope` takes the
    /// ids of the trace from it. So is `content-type`, if you need another one than the default.
    pub const fn with_headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = List::Pairs(headers);
        self
    }

    /// Sets the payload to a text of JSON. Nothing here checks it: an `Envelope` refuses a text that
    /// is not JSON.
    pub const fn with_raw_payload(mut self, json: &'a str) -> Self {
        self.payload = Payload::Json(json);
        self
    }

    /// Sets the payload to these bytes. They may be none.
    pub const fn with_bytes(mut self, bytes: &'a [u8]) -> Self {
        self.payload = Payload::Bytes(bytes);
        self
    }

    /// Returns the subject.
    #[must_use]
    pub const fn subject(&self) -> Subject<'a> {
        self.subject
    }

    /// Returns the id. Empty if there is none, as in a message of another program.
    #[must_use]
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// Returns the time as text. Empty if there is none.
    #[must_use]
    pub const fn time(&self) -> &'a str {
        self.time
    }

    /// Returns the source: the name of the sender. May be empty.
    #[must_use]
    pub const fn source(&self) -> &'a str {
        self.source
    }

    /// Returns the ordering key. Empty if there is none.
    #[must_use]
    pub const fn key(&self) -> &'a str {
        self.key
    }

    /// Returns the id of the trace, if the sender has sent it by itself. The header `traceparent`
    /// is the usual way.
    #[must_use]
    pub const fn trace_id(&self) -> &'a str {
        self.trace_id
    }

    /// Returns the id of the span that sent the envelope, if it came by itself, as that of the
    /// [trace](Self::trace_id).
    #[must_use]
    pub const fn span_id(&self) -> &'a str {
        self.span_id
    }

    /// Returns keys and values of the headers, in the order in which they were given or came.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        self.headers.iter()
    }

    /// Returns the value of a header. Empty if there is none.
    #[must_use]
    pub fn header(&self, key: &str) -> &'a str {
        self.headers().find(|(other, _)| *other == key).map_or("", |(_, value)| value)
    }

    /// Returns the payload if it is JSON, as text. Nothing has read it: it may be no JSON.
    #[must_use]
    pub const fn payload(&self) -> Option<&'a str> {
        match self.payload {
            Payload::Json(json) => Some(json),
            _ => None,
        }
    }

    /// Returns the payload if it is bytes. Returns `None` if it is JSON, or missing.
    #[must_use]
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self.payload {
            Payload::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the payload as it travels: the text of JSON, or the bytes. Empty if there is none.
    #[must_use]
    pub const fn payload_bytes(&self) -> &'a [u8] {
        match self.payload {
            Payload::None => &[],
            Payload::Json(json) => json.as_bytes(),
            Payload::Bytes(bytes) => bytes,
        }
    }

    /// Checks what every form needs. `fault` says why a header cannot be written.
    pub(super) fn check(
        &self,
        fault: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> Result<(), EncodeError> {
        if !(self.time.is_empty() || is_time(self.time)) {
            return Err(EncodeError::Time);
        }
        for (index, (key, value)) in self.headers().enumerate() {
            let before = || self.headers().take(index);
            let why = if key == KEY && !(value.is_empty() && self.key.is_empty()) {
                Some("`with_key` sets the ordering key")
            } else if before().any(|(other, _)| other == key) {
                Some("its key is there twice")
            } else {
                fault(key, value)
            };
            if let Some(why) = why {
                return Err(EncodeError::Header { index, why });
            }
        }
        Ok(())
    }
}

/// Shows all fields. Of the payload it shows only the length in bytes.
impl fmt::Debug for CompactEnvelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Pairs<'a>(List<'a>);
        impl fmt::Debug for Pairs<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.iter()).finish()
            }
        }
        let has_payload = self.payload != Payload::None;
        f.debug_struct("CompactEnvelope")
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("time", &self.time)
            .field("source", &self.source)
            .field("key", &self.key)
            .field("trace_id", &self.trace_id)
            .field("span_id", &self.span_id)
            .field("headers", &Pairs(self.headers))
            .field("payload_len", &has_payload.then_some(self.payload_bytes().len()))
            .finish()
    }
}
