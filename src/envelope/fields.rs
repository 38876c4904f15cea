//! The envelope: its fields, and how they are set and read.

use alloc::boxed::Box;
use core::fmt;

use super::headers::Headers;
use super::time::Timestamp;
#[cfg(feature = "opentelemetry")]
use super::trace;
#[cfg(feature = "opentelemetry")]
use super::trace::TRACE_STATE;
use super::trace::{TRACE_PARENT, TraceParent};
use crate::error::InvalidSubject;
use crate::subject::Subject;

/// Holds an event that travels: its subject, id, time, source, trace, headers and payload.
///
/// | field | set by | if not set |
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
/// `new` needs the feature `std`. [`unstamped`](Self::unstamped) needs neither a clock nor a source
/// of randomness. A payload of JSON needs the feature `json`. The envelope keeps it as the text it
/// came in, byte for byte, and reads it only when you decode it.
///
/// The header `traceparent` keeps the sampled flag of a trace. `tracestate`, the state of vendors,
/// is a header like any other; `new` takes it from the current span too.
///
/// The receivers on a bus share an envelope, so it never changes. To change a received one, clone
/// it.
///
/// # JSON
///
/// `to_json` always writes the members `id`, `subject` and `time`. Then it writes `source`,
/// `trace_id`, `span_id`, `headers` and `payload`, in this order, and leaves out those that are
/// empty. The keys of the headers are sorted, and the time is as [`Timestamp`] prints it. A payload
/// of bytes is `payload_base64` instead, in the standard alphabet with padding. An envelope without
/// a time is written with `0001-01-01T00:00:00Z`, and reads back without a time.
///
/// `from_json` ignores members that it does not know, and leaves a missing id or time for a bus to
/// fill in. It rejects
/// - a member of the wrong type, `null` included; a payload may be `null`,
/// - a member or a header that is there twice, and both payloads at once,
/// - a text that is not a time, and an invalid or missing subject,
/// - text after the end.
///
/// `Serialize` and `Deserialize` write and read the same form, also inside types that serde
/// buffers: `#[serde(tag = "…")]`, `untagged`, `flatten`. If serde buffered a payload, the envelope
/// holds it rewritten. It then has no white space, and the nearest `f64` replaces a number that
/// fits no 64-bit integer.
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
#[doc(alias("message", "CloudEvent"))]
#[derive(Clone)]
pub struct Envelope {
    pub(super) id: Box<str>,
    /// Passed the check of `Subject`.
    pub(super) subject: Box<str>,
    pub(super) time: Option<Timestamp>,
    pub(super) source: Box<str>,
    pub(super) trace_id: Box<str>,
    pub(super) span_id: Box<str>,
    pub(super) headers: Headers,
    pub(super) payload: Payload,
}

/// What an envelope carries.
#[derive(Clone)]
pub(super) enum Payload {
    None,
    #[cfg(feature = "json")]
    Json(Box<serde_json::value::RawValue>),
    Bytes(Box<[u8]>),
}

impl Envelope {
    /// Returns an envelope without payload, with a new id and the current time.
    ///
    /// The id is a `UUIDv7` of 36 characters. It is unique, and later ids of one process sort after
    /// it. Under the feature `opentelemetry`, the envelope takes the trace id, the span id, the
    /// sampled flag and the `tracestate` of the current span, if there is one. With the crate
    /// `tracing-opentelemetry` that is the current span of `tracing`.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if `subject` is not a [`Subject`].
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
        envelope.carry_span(&trace::current());
        Ok(envelope)
    }

    /// Returns an envelope without payload, id and time.
    ///
    /// Use it in programs without a clock or a source of randomness, and set both by
    /// [`with_id`](Self::with_id) and [`with_time`](Self::with_time). Under the feature `std`, a
    /// bus fills in a missing id or time.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if `subject` is not a [`Subject`].
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

    /// Returns the id, which no other envelope has. It is empty until you or a bus sets it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the subject.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject::checked(&self.subject)
    }

    /// Returns the time. It is `None` until you or a bus sets it.
    #[must_use]
    pub const fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// Returns the source: the name that the sender gave itself. May be empty.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the id of the trace. May be empty.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// Returns the id of the span that sent the envelope. May be empty.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.span_id
    }

    /// Returns the trace and span ids in the form of the W3C. `None` if one is missing or has
    /// another form.
    ///
    /// The flags are those of the header `traceparent` if it names the same span, otherwise 0. The
    /// case of the header's key does not matter. If the envelope has neither id, the method takes
    /// both from the header, because some systems know only the header.
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

    /// Returns the headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the headers, for you to change.
    #[must_use]
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Sets one header: any key, any value. It replaces the value that the key had.
    #[must_use]
    pub fn header(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.headers.insert(key, value);
        self
    }

    /// Sets the id. A bus fills in an empty one.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the time. As in JSON, 0001-01-01T00:00:00Z means that the envelope has no time.
    #[must_use]
    pub fn with_time(mut self, time: Timestamp) -> Self {
        self.time = (time != Timestamp::NONE).then_some(time);
        self
    }

    /// Sets the source: the name of the sender.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// Sets the ordering key, which is the header [`Headers::KEY`]. An empty one removes it.
    ///
    /// A subscription can ask that events of one key are handled one after the other. Events
    /// without a key have no order among each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let score = Envelope::unstamped("match.7.score")?.with_key("match-7");
    /// assert_eq!((score.key(), score.headers().get("key")), ("match-7", "match-7"));
    /// assert_eq!(score.with_key("").headers().len(), 0);
    /// # Ok::<(), tickbus::error::InvalidSubject>(())
    /// ```
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Box<str>>) -> Self {
        let key = key.into();
        if key.is_empty() {
            self.headers.remove(Headers::KEY);
        } else {
            self.headers.insert(Headers::KEY, key);
        }
        self
    }

    /// Returns the ordering key. Empty if there is none.
    #[must_use]
    pub fn key(&self) -> &str {
        self.headers.get(Headers::KEY)
    }

    /// Sets the URI that names the version of the payload. It is the header
    /// [`Headers::DATA_SCHEMA`], and the attribute `dataschema` of a `CloudEvent`. An empty one
    /// removes it.
    ///
    /// Change the URI when a reader of the old payload would misread the new one. A `CloudEvent`
    /// refuses a text that is not a URI reference, for example one with a space.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use tickbus::Envelope;
    ///
    /// const V1: &str = "https://arena.example/score/1"; // a number
    /// const V2: &str = "https://arena.example/score/2"; // an object
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Score {
    ///     by: u32,
    /// }
    ///
    /// fn points(event: &Envelope) -> Result<u32, Box<dyn core::error::Error>> {
    ///     match event.data_schema() {
    ///         // What was published before there were versions is of the first.
    ///         "" | V1 => Ok(event.decode()?.ok_or("no payload")?),
    ///         V2 => Ok(event.decode::<Score>()?.ok_or("no payload")?.by),
    ///         other => Err(format!("update this program: it does not know `{other}`").into()),
    ///     }
    /// }
    ///
    /// let old = Envelope::unstamped("match.7.score")?.with_payload(&3)?;
    /// let new = Envelope::unstamped("match.7.score")?
    ///     .with_raw_payload(r#"{"by":4}"#)?
    ///     .with_data_schema(V2);
    /// assert_eq!((points(&old)?, points(&new)?), (3, 4));
    /// assert!(points(&new.with_data_schema("https://arena.example/score/3")).is_err());
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_data_schema(mut self, uri: impl Into<Box<str>>) -> Self {
        let uri = uri.into();
        if uri.is_empty() {
            self.headers.remove(Headers::DATA_SCHEMA);
        } else {
            self.headers.insert(Headers::DATA_SCHEMA, uri);
        }
        self
    }

    /// Returns the URI that names the version of the payload. Empty if there is none.
    #[must_use]
    pub fn data_schema(&self) -> &str {
        self.headers.get(Headers::DATA_SCHEMA)
    }

    /// Sets the trace and span ids, as texts of lower-case hexadecimal digits.
    ///
    /// It also sets the header `traceparent` if the flags are not 0, and otherwise removes it.
    #[must_use]
    pub fn with_trace_parent(mut self, parent: TraceParent) -> Self {
        self.set_trace_parent(parent);
        self
    }

    fn set_trace_parent(&mut self, parent: TraceParent) {
        let (trace_id, span_id) = parent.ids();
        (self.trace_id, self.span_id) = (trace_id.as_str().into(), span_id.as_str().into());
        self.headers.remove_in_any_case(TRACE_PARENT);
        if parent.flags() != 0 {
            self.headers.insert(TRACE_PARENT, alloc::format!("{parent}"));
        }
    }

    /// Makes a span the sender of the envelope. A span that is not valid changes nothing.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn carry_span(&mut self, span: &opentelemetry::trace::SpanContext) {
        let Some(parent) = trace::parent(span) else { return };
        self.set_trace_parent(parent);
        let state = span.trace_state().header();
        self.headers.remove_in_any_case(TRACE_STATE);
        if !state.is_empty() {
            self.headers.insert(TRACE_STATE, state);
        }
    }

    /// Returns the span that sent the envelope, with its `tracestate`.
    #[cfg(all(feature = "hosted", feature = "opentelemetry"))]
    pub(crate) fn carried_span(&self) -> Option<opentelemetry::trace::SpanContext> {
        use opentelemetry::trace::SpanContext;

        let span = SpanContext::from(self.trace_parent()?);
        let state = self.headers.get_in_any_case(TRACE_STATE).parse().unwrap_or_default();
        Some(SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags(), true, state))
    }

    /// Sets the trace and span ids to any texts, and leaves the headers alone.
    #[cfg(feature = "hosted")]
    pub(crate) fn set_trace(
        &mut self,
        trace_id: impl Into<Box<str>>,
        span_id: impl Into<Box<str>>,
    ) {
        (self.trace_id, self.span_id) = (trace_id.into(), span_id.into());
    }

    /// Sets the payload to these bytes. It replaces a payload of JSON.
    ///
    /// The JSON form writes bytes as `payload_base64`, and a `CloudEvent` as `data_base64`. Both
    /// read back unchanged.
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

    /// Returns the payload if it is bytes. Returns `None` if it is JSON, or missing.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Sets another subject.
    #[cfg(feature = "hosted")]
    pub(crate) fn with_subject(mut self, subject: Subject<'_>) -> Self {
        self.subject = subject.as_str().into();
        self
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

    /// Returns whether a bus has nothing to fill in.
    #[cfg(feature = "std")]
    pub(crate) fn is_stamped(&self) -> bool {
        !self.id.is_empty() && self.time.is_some()
    }
}

impl Payload {
    /// Returns its text, if it is JSON.
    pub(super) fn json(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "json")]
            Self::Json(json) => Some(json.get()),
            _ => None,
        }
    }

    /// Returns how many bytes it has.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len()),
            other => other.json().map(str::len),
        }
    }
}

/// Payloads of JSON are equal if their texts are.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(ours), Self::Bytes(theirs)) => ours == theirs,
            (Self::Bytes(_), _) | (_, Self::Bytes(_)) => false,
            _ => self.json() == other.json(),
        }
    }
}

/// Two envelopes are equal if all their fields are. Payloads are equal if their texts or bytes are.
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

/// Shows all fields. Of the payload it shows only the length in bytes.
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
