//! Envelopes to and from JSON, and the payload.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::{Envelope, Payload};
use super::headers::Headers;
use super::time::Timestamp;
use super::{exact, raw};
use crate::error::{self, InvalidSubject};
use crate::subject::{MAX_LEN, Subject};

impl Envelope {
    /// Returns an envelope with a new id, the current time, and `payload` as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEnvelope`] if `subject` is not a [`Subject`], and then does not look at
    /// `payload`. Also returns it if `payload` cannot be written as JSON, or would read back as
    /// something else: see [`with_payload`](Self::with_payload).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let envelope = Envelope::json("player.7.moved", &(3, -4))?;
    /// assert_eq!(envelope.payload(), Some("[3,-4]"));
    /// assert_eq!(envelope.decode()?, Some((3, -4)));
    ///
    /// let error = Envelope::json("player..moved", &(3, -4)).unwrap_err();
    /// assert_eq!(error.to_string(), "`player..moved`: the subject has two dots in a row: \
    ///     remove one, or name the segment between them");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn json(
        subject: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Self, InvalidEnvelope> {
        Ok(Self::new(subject)?.with_payload(payload)?)
    }

    /// Sets the payload to `payload` as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPayload`] if `payload` cannot be written as JSON. One example is a map with
    /// keys that are not texts. Also returns it if the payload would read back as something else.
    /// Examples are a float that is NaN or infinite, and a `Some` whose content is `null` in JSON,
    /// such as `Some(())`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let error = Envelope::unstamped("lamp.3.level")?.with_payload(&[0.5, f32::NAN]).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "the payload for `lamp.3.level` is not JSON: \
    ///      a float that is NaN or infinite is not a number in JSON",
    /// );
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn with_payload(
        mut self,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Self, InvalidPayload> {
        match exact::to_raw(payload) {
            Ok(payload) => self.payload = Payload::Json(payload),
            Err(error) => return Err(InvalidPayload::encoding(self.subject, error)),
        }
        Ok(self)
    }

    /// Sets the payload to the JSON value in `payload`, byte for byte, without white space around
    /// it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPayload`] if `payload` is not one JSON value.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let envelope = Envelope::unstamped("bank.rate")?.with_raw_payload(r#"{"z": 1e400, "a": 0}"#)?;
    /// assert_eq!(envelope.payload(), Some(r#"{"z": 1e400, "a": 0}"#));
    ///
    /// let error = Envelope::unstamped("bank.rate")?.with_raw_payload("not json").unwrap_err();
    /// assert!(error.to_string().starts_with("the payload for `bank.rate` is not JSON: line 1 column 2: "));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn with_raw_payload(mut self, payload: impl Into<String>) -> Result<Self, InvalidPayload> {
        match RawValue::from_string(payload.into()) {
            Ok(payload) => self.payload = Payload::Json(payload),
            Err(error) => return Err(InvalidPayload::encoding(self.subject, error)),
        }
        Ok(self)
    }

    /// Returns the payload if it is JSON, as the text of one value: `null` is `Some("null")`. Returns
    /// `None` if the payload is [`bytes`](Self::bytes), or missing.
    #[must_use]
    pub fn payload(&self) -> Option<&str> {
        self.payload.json()
    }

    /// Decodes the payload as a `T`, which may borrow from it. Returns `None` if there is no
    /// payload.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPayload`] if the payload is not a `T`, or is bytes. The error names the
    /// subject, and the line and column in the payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let said = Envelope::unstamped("chat.said")?.with_payload("hello")?;
    /// assert_eq!(said.decode::<&str>()?, Some("hello")); // borrowed
    ///
    /// let nothing = Envelope::unstamped("chat.said")?;
    /// assert_eq!(nothing.decode::<&str>()?, None);
    ///
    /// let error = said.decode::<u32>().unwrap_err();
    /// assert!(error.to_string().starts_with("the payload of `chat.said` does not decode: "));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, InvalidPayload> {
        let wrong = |error| InvalidPayload::decoding(&self.subject, error);
        match &self.payload {
            Payload::None => Ok(None),
            Payload::Json(json) => serde_json::from_str(json.get()).map(Some).map_err(wrong),
            Payload::Bytes(_) => Err(wrong(is_bytes(&self.headers))),
        }
    }

    /// Returns the envelope as one JSON object. The text is one line if the payload is. See
    /// [`Envelope`] for the form.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::envelope::Timestamp;
    ///
    /// let envelope = Envelope::unstamped("door.opened")?
    ///     .with_id("7")
    ///     .with_time("2026-08-01T12:30:00Z".parse()?)
    ///     .header("z", "1")
    ///     .header("a", "2")
    ///     .with_raw_payload("null")?;
    /// assert_eq!(
    ///     envelope.to_json(),
    ///     r#"{"id":"7","subject":"door.opened","time":"2026-08-01T12:30:00Z","headers":{"a":"2","z":"1"},"payload":null}"#,
    /// );
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        fn write(json: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
            json.extend_from_slice(name.as_bytes());
            // Texts, and a map of texts: none of them can fail. Without `std`, serde_json writes into a
            // vector of its own.
            #[cfg(feature = "std")]
            let written = value.serialize(&mut serde_json::Serializer::new(json));
            #[cfg(not(feature = "std"))]
            let written = serde_json::to_vec(value).map(|text| json.extend(text));
            debug_assert!(written.is_ok(), "{written:?}");
        }

        let mut json = Vec::with_capacity(self.length());
        write(&mut json, r#"{"id":"#, &self.id);
        write(&mut json, r#","subject":"#, &self.subject);
        json.extend_from_slice(br#","time":""#);
        json.extend_from_slice(self.time.unwrap_or(Timestamp::NONE).text().as_str().as_bytes());
        json.push(b'"');
        for (name, text) in [
            (r#","source":"#, &self.source),
            (r#","trace_id":"#, &self.trace_id),
            (r#","span_id":"#, &self.span_id),
        ] {
            if !text.is_empty() {
                write(&mut json, name, text);
            }
        }
        if !self.headers.is_empty() {
            write(&mut json, r#","headers":"#, &self.headers);
        }
        match &self.payload {
            Payload::None => {}
            Payload::Json(payload) => {
                json.extend_from_slice(br#","payload":"#);
                json.extend_from_slice(payload.get().as_bytes());
            }
            Payload::Bytes(bytes) => {
                json.extend_from_slice(br#","payload_base64":""#);
                let from = json.len();
                json.resize(from + base64_len(bytes), 0);
                let written = BASE64.encode_slice(bytes, &mut json[from..]);
                debug_assert_eq!(written.ok(), Some(base64_len(bytes)));
                json.push(b'"');
            }
        }
        json.push(b'}');
        String::from_utf8(json).unwrap_or_default() // it is
    }

    /// Returns how many bytes of JSON it takes, if no text has to be escaped.
    fn length(&self) -> usize {
        // The names of the members, the time, and what is between them.
        const FRAME: usize = 136;
        let headers: usize =
            self.headers.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        let texts = [&self.id, &self.subject, &self.source, &self.trace_id, &self.span_id];
        let texts: usize = texts.into_iter().map(|text| text.len()).sum();
        let payload = match &self.payload {
            Payload::None => 0,
            Payload::Json(json) => json.get().len(),
            Payload::Bytes(bytes) => base64_len(bytes),
        };
        FRAME + headers + texts + payload
    }

    /// Reads an envelope from one JSON object, in UTF-8. See [`Envelope`] for what it rejects.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidJson`] if the text is not JSON, or the JSON not an envelope. The error
    /// begins with the line and column.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let envelope = Envelope::from_json(r#"{"subject": "door.opened", "floor": 3}"#)?;
    /// assert_eq!((envelope.id(), envelope.time(), envelope.payload()), ("", None, None));
    ///
    /// let error = Envelope::from_json(r#"{"subject": "door.*"}"#).unwrap_err();
    /// assert!(error.to_string().starts_with("line 1 column 21: `door.*`: the subject has a wildcard"));
    /// # Ok::<(), tickbus::envelope::InvalidJson>(())
    /// ```
    pub fn from_json<T: AsRef<[u8]> + ?Sized>(json: &T) -> Result<Self, InvalidJson> {
        read(json.as_ref())
    }
}

/// Reads one JSON value.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidJson> {
    // The parser does not look at the texts of members that it ignores.
    let json = core::str::from_utf8(json).map_err(|error| {
        let valid = &json[..error.valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + valid.iter().rev().take_while(|byte| **byte != b'\n').count();
        let at = format_args!("invalid UTF-8 at line {line} column {column}");
        InvalidJson(serde_json::Error::custom(at)) // which takes the place from the text
    })?;
    serde_json::from_str(json).map_err(InvalidJson)
}

/// Returns why a payload of bytes does not decode.
pub(super) fn is_bytes(headers: &Headers) -> serde_json::Error {
    match headers.get_in_any_case("content-encoding") {
        "" => serde_json::Error::custom("it is bytes, not JSON"),
        encoding => serde_json::Error::custom(format_args!(
            "it is bytes with the `content-encoding` {}, not JSON",
            Quoted(encoding)
        )),
    }
}

const fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

/// Bytes as a text in base64: the standard alphabet, with padding.
pub(super) struct Base64<T>(pub(super) T);

/// Bytes that were read.
pub(super) type Bytes = Base64<Box<[u8]>>;

impl Serialize for Base64<&[u8]> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(FromBase64)
    }
}

struct FromBase64;

impl Visitor<'_> for FromBase64 {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let bytes = BASE64.decode(text);
        let bytes = bytes.map_err(|why| E::custom(format_args!("not bytes in base64: {why}")))?;
        Ok(Base64(bytes.into()))
    }
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    subject: &'a str,
    time: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    span_id: &'a str,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Base64<&'a [u8]>>,
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written {
            id: &self.id,
            subject: &self.subject,
            time: self.time.unwrap_or(Timestamp::NONE),
            source: &self.source,
            trace_id: &self.trace_id,
            span_id: &self.span_id,
            headers: &self.headers,
            payload: match &self.payload {
                Payload::Json(json) => Some(json),
                _ => None,
            },
            payload_base64: self.bytes().map(Base64),
        }
        .serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(rename = "Envelope", expecting = "an envelope")]
struct Read<'a> {
    #[serde(default)]
    id: Box<str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(default, deserialize_with = "read_time")]
    time: Option<Timestamp>,
    #[serde(default)]
    source: Box<str>,
    #[serde(default)]
    trace_id: Box<str>,
    #[serde(default)]
    span_id: Box<str>,
    #[serde(default)]
    headers: Headers,
    // `Option` would take `null` for "none".
    #[serde(default, deserialize_with = "read_payload")]
    payload: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "read_bytes")]
    payload_base64: Option<Bytes>,
}

fn read_payload<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Box<RawValue>>, D::Error> {
    raw::read(json).map(Some)
}

fn read_bytes<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Bytes>, D::Error> {
    Deserialize::deserialize(json).map(Some)
}

fn read_time<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Timestamp>, D::Error> {
    let time = json.deserialize_str(FromText)?;
    Ok((time != Timestamp::NONE).then_some(time))
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(FromObject)
    }
}

/// Takes only an object. The derived code would also take an array of the fields.
struct FromObject;

impl<'de> Visitor<'de> for FromObject {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Envelope, A::Error> {
        let read = Read::deserialize(MapAccessDeserializer::new(members))?;
        if let Err(invalid) = Subject::new(&read.subject) {
            return Err(A::Error::custom(invalid));
        }
        let payload = match (read.payload, read.payload_base64) {
            (None, None) => Payload::None,
            (Some(json), None) => Payload::Json(json),
            (None, Some(Base64(bytes))) => Payload::Bytes(bytes),
            _ => return Err(A::Error::custom("both `payload` and `payload_base64` are there")),
        };
        Ok(Envelope {
            id: read.id,
            subject: read.subject.into(),
            time: read.time,
            source: read.source,
            trace_id: read.trace_id,
            span_id: read.span_id,
            headers: read.headers,
            payload,
        })
    }
}

/// Reads an object of texts. It rejects a key that is there twice.
impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(FromTexts)
    }
}

struct FromTexts;

impl<'de> Visitor<'de> for FromTexts {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        while let Some((key, value)) = members.next_entry::<Box<str>, Box<str>>()? {
            headers.insert_new(key, value).map_err(|key| {
                A::Error::custom(format_args!("duplicate header {}", Quoted(&key)))
            })?;
        }
        Ok(headers)
    }
}

/// Writes a text, in the form of `Display`.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(FromText)
    }
}

struct FromText;

impl Visitor<'_> for FromText {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of RFC 3339")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }
}

/// A text is not JSON, or the JSON is not an envelope.
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
///
/// let error = Envelope::from_json(r#"{"subject": "door.opened", "time": "noon"}"#).unwrap_err();
/// assert_eq!((error.line(), error.column()), (1, 41));
/// assert!(error.to_string().starts_with("line 1 column 41: not a time: "));
/// ```
#[derive(Debug)]
pub struct InvalidJson(pub(super) serde_json::Error);

impl InvalidJson {
    /// Returns the line of the text, from 1. Lines end with a line feed.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line()
    }

    /// Returns the byte of the line at which the reading stopped, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column().max(1)
    }
}

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Placed(&self.0), f)
    }
}

impl Error for InvalidJson {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Shows an error after its place, if it knows the place.
pub(super) struct Placed<'a>(pub(super) &'a serde_json::Error);

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.0.line(), self.0.column());
        let text = self.0.to_string();
        if line == 0 {
            return f.pad(&text);
        }
        let place = alloc::format!(" at line {line} column {column}");
        let text = text.strip_suffix(&*place).unwrap_or(&text);
        // The parser counts the bytes that it has read: none at the beginning of a line.
        write!(f, "line {line} column {}: {text}", column.max(1))
    }
}

/// A text of unknown origin in a message: on one line, and only its beginning if it is longer than
/// a subject may be.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.0.len() > MAX_LEN { 100 } else { MAX_LEN };
        let end = self.0.char_indices().nth(most).map_or(self.0.len(), |(end, _)| end);
        let quoted = error::Quoted { text: &self.0[..end], cut: end < self.0.len() };
        fmt::Display::fmt(&quoted, f)
    }
}

/// What you gave does not make an envelope: the subject or the payload is invalid.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidEnvelope {
    /// The text is not a subject.
    Subject(InvalidSubject),
    /// The payload cannot be written as JSON, or would read back as something else.
    Payload(InvalidPayload),
}

impl fmt::Display for InvalidEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(invalid) => fmt::Display::fmt(invalid, f),
            Self::Payload(invalid) => fmt::Display::fmt(invalid, f),
        }
    }
}

impl Error for InvalidEnvelope {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Subject(_) => None, // `Display` says all of it
            Self::Payload(invalid) => invalid.source(),
        }
    }
}

impl From<InvalidSubject> for InvalidEnvelope {
    fn from(invalid: InvalidSubject) -> Self {
        Self::Subject(invalid)
    }
}

impl From<InvalidPayload> for InvalidEnvelope {
    fn from(invalid: InvalidPayload) -> Self {
        Self::Payload(invalid)
    }
}

/// A payload cannot be written as JSON, or does not decode.
///
/// When you set a payload, it cannot be written as JSON, or would read back as something else. When
/// you decode a payload, it is not of the type that you asked for. The message names the subject of
/// the envelope.
#[derive(Debug)]
pub struct InvalidPayload {
    subject: Box<str>,
    decoding: bool,
    error: serde_json::Error,
}

impl InvalidPayload {
    pub(super) const fn encoding(subject: Box<str>, error: serde_json::Error) -> Self {
        Self { subject, decoding: false, error }
    }

    pub(super) fn decoding(subject: &str, error: serde_json::Error) -> Self {
        Self { subject: subject.into(), decoding: true, error }
    }

    /// Returns the subject of the envelope.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject::checked(&self.subject)
    }
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, error) = (Quoted(&self.subject), Placed(&self.error));
        if self.decoding {
            write!(f, "the payload of {subject} does not decode: {error}")
        } else {
            write!(f, "the payload for {subject} is not JSON: {error}")
        }
    }
}

impl Error for InvalidPayload {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
