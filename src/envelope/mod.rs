//! An event that travels: its subject, who sent it and when, and its payload as JSON or bytes.

#[cfg(feature = "json")]
mod cloud_event;
#[cfg(feature = "json")]
mod event;
#[cfg(feature = "json")]
mod exact;
mod headers;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
mod raw;
mod time;
mod trace;

use alloc::boxed::Box;
use core::fmt;

use crate::error::InvalidSubject;
use crate::subject::Subject;

#[cfg(feature = "json")]
pub use cloud_event::InvalidCloudEvent;
#[cfg(feature = "json")]
pub use event::InvalidEvent;
pub use headers::Headers;
#[cfg(feature = "json")]
pub use json::{InvalidEnvelope, InvalidJson, InvalidPayload};
pub use time::{InvalidTime, Timestamp};
use trace::TRACE_PARENT;
pub use trace::{InvalidTraceParent, TraceParent};

/// An event that travels: what happened, when, where it came from, and the payload.
///
/// | field | set by | where there is none |
/// |---|---|---|
/// | [`id`](Self::id) | `new`: a `UUIDv7`; [`with_id`](Self::with_id) | empty; a bus fills it in |
/// | [`subject`](Self::subject) | every constructor; always valid | |
/// | [`time`](Self::time) | `new`: now; [`with_time`](Self::with_time) | `None`; a bus fills it in |
/// | [`source`](Self::source) | [`with_source`](Self::with_source) | empty |
/// | [`trace_id`](Self::trace_id), [`span_id`](Self::span_id) | `new`, from the current span under the feature `opentelemetry`; [`with_trace_parent`](Self::with_trace_parent) | empty |
/// | [`headers`](Self::headers) | [`header`](Self::header) | no entries |
/// | `payload` | `json`, `with_payload`, `with_raw_payload` | `None`, which is not `null` |
/// | or [`bytes`](Self::bytes) | [`with_bytes`](Self::with_bytes) | `None`, which is not empty |
///
/// `new` needs the feature `std`; without a clock and a source of randomness,
/// [`unstamped`](Self::unstamped) takes neither. A payload of JSON needs the feature `json`; it is kept as
/// the text it came in, byte for byte, and looked into only when it is decoded.
///
/// The sampled flag of a trace is kept in the header `traceparent`; the state of vendors, `tracestate`, is
/// a header like any other, and `new` takes it from the current span too.
///
/// On a bus an envelope is shared and never changes. To change a received one, clone it.
///
/// # JSON
///
/// `to_json` writes the members `id`, `subject` and `time` always, then `source`, `trace_id`,
/// `span_id`, `headers` and `payload` where they are not empty, in this order; the keys of the headers
/// are sorted, the time is as [`Timestamp`] prints it. A payload of bytes is `payload_base64` instead, in
/// the standard alphabet with padding. An envelope without a time is written with
/// `0001-01-01T00:00:00Z`, which reads back as none.
///
/// `from_json` ignores members it does not know. It rejects a member of the wrong type (`null` too,
/// but in the payload), a member or a header that is there twice, both payloads at once, a text that is not a
/// time, an invalid or missing subject, and text after the end. A missing id or time is left for a bus to
/// fill in.
///
/// `Serialize` and `Deserialize` do the same with `serde_json`, also inside of types that serde buffers:
/// `#[serde(tag = "…")]`, `untagged`, `flatten`. A payload that was buffered is written anew: without white
/// space, and with a number that fits no 64-bit integer as the nearest `f64`.
///
/// # Examples
///
/// ```
/// # #[cfg(all(feature = "std", feature = "json"))] {
/// use tickbus::Envelope;
/// use tickbus::envelope::Headers;
///
/// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
/// struct Hit {
///     by: u32,
///     amount: u32,
/// }
///
/// let sent = Envelope::json("player.7.hit", &Hit { by: 3, amount: 12 })?
///     .header(Headers::TENANT, "arena")
///     .header("match", "42");
/// let received = Envelope::from_json(&sent.to_json())?;
///
/// assert_eq!(received, sent);
/// assert_eq!(received.decode()?, Some(Hit { by: 3, amount: 12 }));
/// assert_eq!(received.headers().tenant(), "arena");
/// assert_eq!(received.headers().get("round"), ""); // missing is empty
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Envelope {
    id: Box<str>,
    /// Has passed the check of `Subject`.
    subject: Box<str>,
    time: Option<Timestamp>,
    source: Box<str>,
    trace_id: Box<str>,
    span_id: Box<str>,
    headers: Headers,
    payload: Payload,
}

/// What an envelope carries.
#[derive(Clone)]
enum Payload {
    None,
    #[cfg(feature = "json")]
    Json(Box<serde_json::value::RawValue>),
    Bytes(Box<[u8]>),
}

impl Envelope {
    /// An envelope without payload, with a new id and the time of now.
    ///
    /// The id is a `UUIDv7`: 36 characters, unique, and later ones of one process sort later. Under the
    /// feature `opentelemetry` the trace and span ids are those of the current span, where there is
    /// one; both or none. Its sampled flag and its `tracestate` come along. With the crate
    /// `tracing-opentelemetry` that is the current span of `tracing`.
    ///
    /// # Errors
    ///
    /// If `subject` is not a [`Subject`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let first = Envelope::new("game.started")?;
    /// let second = Envelope::new("game.started")?;
    /// assert!(first.id() < second.id() && first.time() <= second.time());
    ///
    /// let error = Envelope::new("game.*").unwrap_err();
    /// assert!(error.to_string().starts_with("`game.*`: the subject has a wildcard"));
    /// # Ok::<(), tickbus::error::InvalidSubject>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn new(subject: &str) -> Result<Self, InvalidSubject> {
        let mut envelope = Self::unstamped(subject)?;
        envelope.stamp();
        #[cfg(feature = "opentelemetry")]
        if let Some((parent, state)) = trace::current() {
            envelope = envelope.with_trace_parent(parent);
            if !state.is_empty() {
                envelope.headers.insert("tracestate", state);
            }
        }
        Ok(envelope)
    }

    /// An envelope without payload, id and time.
    ///
    /// For programs without a clock and a source of randomness, which set both by
    /// [`with_id`](Self::with_id) and [`with_time`](Self::with_time). A bus fills in what is missing.
    ///
    /// # Errors
    ///
    /// If `subject` is not a [`Subject`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::envelope::Timestamp;
    /// use tickbus::error::InvalidSubject;
    ///
    /// let envelope = Envelope::unstamped("sensor.3.reading")?;
    /// assert_eq!((envelope.id(), envelope.time()), ("", None));
    ///
    /// let uptime = Timestamp::from_unix_nanos(1_500_000_000).expect("in range");
    /// let envelope = envelope.with_id("board-3/17").with_time(uptime);
    /// assert_eq!((envelope.id(), envelope.time()), ("board-3/17", Some(uptime)));
    /// # Ok::<(), InvalidSubject>(())
    /// ```
    pub fn unstamped(subject: &str) -> Result<Self, InvalidSubject> {
        Ok(Self {
            id: Box::default(),
            subject: Subject::new(subject)?.as_str().into(),
            time: None,
            source: Box::default(),
            trace_id: Box::default(),
            span_id: Box::default(),
            headers: Headers::new(),
            payload: Payload::None,
        })
    }

    /// What tells this envelope from all others. Empty only where nobody has set it yet.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject::checked(&self.subject)
    }

    /// When it happened. `None` only where nobody has set it yet.
    #[must_use]
    pub const fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// Who sent it, in the sender's own words. May be empty.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The id of the trace it belongs to. May be empty.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The id of the span that sent it. May be empty.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.span_id
    }

    /// Its trace and span ids in the form of the W3C, unless one is missing or has another form.
    ///
    /// The flags are those of the header `traceparent`, in whatever case, if it names the same span; else 0.
    /// Where the envelope has neither id, as one from a system that knows the header alone, the header names
    /// the span.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let envelope = Envelope::unstamped("order.paid")?.with_trace_parent(incoming.parse()?);
    /// assert_eq!(envelope.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    ///
    /// let parent = envelope.trace_parent().expect("both ids are there");
    /// assert!(parent.is_sampled());
    /// assert_eq!(parent.to_string(), incoming);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn trace_parent(&self) -> Option<TraceParent> {
        let header = || self.headers.get_in_any_case(TRACE_PARENT).parse::<TraceParent>().ok();
        if self.trace_id.is_empty() && self.span_id.is_empty() {
            return header();
        }
        let parent = TraceParent::from_ids(&self.trace_id, &self.span_id)?;
        Some(header().filter(|header| header.is_span_of(parent)).unwrap_or(parent))
    }

    /// Its headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Its headers, to be changed.
    #[must_use]
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Sets one header: any key, any value. What was there under this key is replaced.
    #[must_use]
    pub fn header(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.headers.insert(key, value);
        self
    }

    /// Sets the id. An empty one is filled in by a bus.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the time. 0001-01-01T00:00:00Z is none, as in JSON.
    #[must_use]
    pub fn with_time(mut self, time: Timestamp) -> Self {
        self.time = (time != Timestamp::NONE).then_some(time);
        self
    }

    /// Says who sends it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// Sets the trace and span ids: as text in lower-case hexadecimal digits.
    ///
    /// The flags, if they are not 0, stand in the header `traceparent`. One that was there before is
    /// replaced or removed.
    #[must_use]
    pub fn with_trace_parent(mut self, parent: TraceParent) -> Self {
        let (trace_id, span_id) = parent.ids();
        (self.trace_id, self.span_id) = (trace_id.as_str().into(), span_id.as_str().into());
        self.headers.remove_in_any_case(TRACE_PARENT);
        if parent.flags() != 0 {
            self.headers.insert(TRACE_PARENT, alloc::format!("{parent}"));
        }
        self
    }

    /// Sets the payload to these bytes. A payload of JSON is replaced.
    ///
    /// They are `payload_base64` in the JSON form and `data_base64` in a `CloudEvent`, and come back the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let frame = Envelope::unstamped("camera.2.frame")?.with_bytes([0xff, 0xd8, 0xff]);
    /// assert_eq!(frame.bytes(), Some(&[0xff, 0xd8, 0xff][..]));
    /// # #[cfg(feature = "json")] {
    /// assert!(frame.to_json().ends_with(r#","payload_base64":"/9j/"}"#));
    /// assert_eq!(Envelope::from_json(&frame.to_json())?, frame);
    ///
    /// let error = frame.decode::<u32>().unwrap_err();
    /// assert_eq!(error.to_string(), "the payload of `camera.2.frame` does not decode: it is bytes, not JSON");
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_bytes(mut self, bytes: impl Into<Box<[u8]>>) -> Self {
        self.payload = Payload::Bytes(bytes.into());
        self
    }

    /// The bytes of the payload. `None` where there is no payload, or one of JSON.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Fills in the id and the time where they are missing.
    #[cfg(feature = "std")]
    pub(crate) fn stamp(&mut self) {
        if self.id.is_empty() {
            let mut text = uuid::Uuid::encode_buffer();
            self.id = (&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text)).into();
        }
        if self.time.is_none() {
            self.time = Some(Timestamp::now());
        }
    }

    /// Whether a bus has nothing to fill in.
    #[cfg(feature = "std")]
    pub(crate) fn is_stamped(&self) -> bool {
        !self.id.is_empty() && self.time.is_some()
    }
}

impl Payload {
    /// Its text, if it is JSON.
    fn json(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "json")]
            Self::Json(json) => Some(json.get()),
            _ => None,
        }
    }

    /// How many bytes it has.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len()),
            other => other.json().map(str::len),
        }
    }
}

/// Payloads of JSON are equal when their texts are.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(ours), Self::Bytes(theirs)) => ours == theirs,
            (Self::Bytes(_), _) | (_, Self::Bytes(_)) => false,
            _ => self.json() == other.json(),
        }
    }
}

/// Two envelopes are equal when all their fields are; payloads, when their texts or bytes are.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.subject == other.subject
            && self.time == other.time
            && self.source == other.source
            && self.trace_id == other.trace_id
            && self.span_id == other.span_id
            && self.headers == other.headers
            && self.payload == other.payload
    }
}

impl Eq for Envelope {}

/// All fields but the payload, of which it says the length in bytes.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("time", &self.time)
            .field("source", &self.source)
            .field("trace_id", &self.trace_id)
            .field("span_id", &self.span_id)
            .field("headers", &self.headers)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}
