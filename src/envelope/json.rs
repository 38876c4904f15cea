//! Envelopes to and from JSON, and the payload.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::{Envelope, Headers, Timestamp};
use crate::error::InvalidSubject;
use crate::subject::Subject;

impl Envelope {
    /// An envelope with a new id, the time of now, and `payload` as JSON.
    ///
    /// # Errors
    ///
    /// If `subject` is not a [`Subject`]; `payload` is not looked at then. If `payload` cannot be
    /// written as JSON, as a map whose keys are no texts.
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
        let envelope = Self::new(subject)
            .map_err(|invalid| InvalidEnvelope::Subject(subject.into(), invalid))?;
        envelope.with_payload(payload).map_err(InvalidEnvelope::Payload)
    }

    /// Sets the payload: `payload` as JSON.
    ///
    /// # Errors
    ///
    /// If `payload` cannot be written as JSON.
    pub fn with_payload(
        mut self,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Self, InvalidPayload> {
        match to_raw_value(payload) {
            Ok(payload) => self.payload = Some(payload),
            Err(error) => return Err(InvalidPayload { subject: self.subject, error }),
        }
        Ok(self)
    }

    /// Sets the payload: the JSON value in `payload`, byte for byte, without white space around it.
    ///
    /// # Errors
    ///
    /// If `payload` is not one JSON value.
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
    /// assert!(error.to_string().starts_with("the payload for `bank.rate` is no JSON: "));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn with_raw_payload(mut self, payload: impl Into<String>) -> Result<Self, InvalidPayload> {
        match RawValue::from_string(payload.into()) {
            Ok(payload) => self.payload = Some(payload),
            Err(error) => return Err(InvalidPayload { subject: self.subject, error }),
        }
        Ok(self)
    }

    /// The text of the payload: one JSON value. `None` where there is no payload; a payload that is
    /// `null` is `Some("null")`.
    #[must_use]
    pub fn payload(&self) -> Option<&str> {
        self.text()
    }

    /// The payload as a `T`, which may borrow from it. `None` where there is no payload.
    ///
    /// # Errors
    ///
    /// If the payload is no `T`. The error names the subject and the place in the payload.
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
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DecodeError> {
        let Some(payload) = self.text() else { return Ok(None) };
        serde_json::from_str(payload)
            .map(Some)
            .map_err(|error| DecodeError { subject: self.subject.clone(), error })
    }

    /// The envelope as one JSON object, on one line if its payload is. See [`Envelope`] for the form.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, Timestamp};
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
        if let Some(payload) = self.text() {
            json.extend_from_slice(br#","payload":"#);
            json.extend_from_slice(payload.as_bytes());
        }
        json.push(b'}');
        String::from_utf8(json).unwrap_or_default() // it is
    }

    /// How many bytes of JSON it takes, if no text has to be escaped.
    fn length(&self) -> usize {
        // The names of the members, the time, and what is between them.
        const FRAME: usize = 128;
        let headers: usize =
            self.headers.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        let texts = [&self.id, &self.subject, &self.source, &self.trace_id, &self.span_id];
        let texts: usize = texts.into_iter().map(|text| text.len()).sum();
        FRAME + headers + texts + self.payload().map_or(0, str::len)
    }

    /// Reads an envelope from one JSON object, in UTF-8. See [`Envelope`] for what is refused.
    ///
    /// # Errors
    ///
    /// If the text is no JSON, or the JSON no envelope; the error says in which line and column.
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
    /// assert!(error.to_string().starts_with("`door.*`: the subject has a wildcard"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn from_json<T: AsRef<[u8]> + ?Sized>(json: &T) -> Result<Self, serde_json::Error> {
        // The parser does not look at the texts of members that it ignores.
        match core::str::from_utf8(json.as_ref()) {
            Ok(json) => serde_json::from_str(json),
            Err(error) => {
                let valid = error.valid_up_to();
                Err(serde_json::Error::custom(format_args!("invalid UTF-8 after {valid} bytes")))
            }
        }
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
            payload: self.payload.as_deref(),
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
}

fn read_payload<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Box<RawValue>>, D::Error> {
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

/// Takes an object alone; the derived code would take an array of the fields as well.
struct FromObject;

impl<'de> Visitor<'de> for FromObject {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Envelope, A::Error> {
        let read = Read::deserialize(MapAccessDeserializer::new(members))?;
        if let Err(invalid) = Subject::new(&read.subject) {
            return Err(A::Error::custom(format_args!("`{}`: {invalid}", read.subject)));
        }
        Ok(Envelope {
            id: read.id,
            subject: read.subject.into(),
            time: read.time,
            source: read.source,
            trace_id: read.trace_id,
            span_id: read.span_id,
            headers: read.headers,
            payload: read.payload,
        })
    }
}

/// As an object of texts; a key that is there twice is refused, as a member of the envelope is.
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
            headers
                .insert_new(key, value)
                .map_err(|key| A::Error::custom(format_args!("duplicate header `{key}`")))?;
        }
        Ok(headers)
    }
}

/// As text, in the form of `Display`.
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

/// Why there is no envelope: the subject is none, or the payload is none.
#[derive(Debug)]
pub enum InvalidEnvelope {
    /// The text, and why it is not a subject.
    Subject(Box<str>, InvalidSubject),
    /// The payload cannot be written as JSON.
    Payload(InvalidPayload),
}

impl fmt::Display for InvalidEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(text, invalid) => write!(f, "`{text}`: {invalid}"),
            Self::Payload(invalid) => fmt::Display::fmt(invalid, f),
        }
    }
}

impl Error for InvalidEnvelope {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Subject(..) => None, // `Display` says all of it
            Self::Payload(invalid) => invalid.source(),
        }
    }
}

/// What was to be the payload of an envelope is no JSON.
#[derive(Debug)]
pub struct InvalidPayload {
    pub(super) subject: Box<str>,
    pub(super) error: serde_json::Error,
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload for `{}` is no JSON: {}", self.subject, self.error)
    }
}

impl Error for InvalidPayload {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// The payload of an envelope is not of the type that was asked for.
#[derive(Debug)]
pub struct DecodeError {
    pub(super) subject: Box<str>,
    pub(super) error: serde_json::Error,
}

impl DecodeError {
    /// The subject of the envelope.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject::checked(&self.subject)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload of `{}` does not decode: {}", self.subject, self.error)
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
