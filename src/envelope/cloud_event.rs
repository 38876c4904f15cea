//! Envelopes as `CloudEvents` 1.0, and back.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::{Envelope, Payload};
use super::headers::Headers;
use super::json::{self, Base64, Bytes, InvalidJson, Quoted};
use super::time::Timestamp;
use super::trace::{TRACE_PARENT, TraceParent};
use crate::subject::Subject;

/// Headers whose keys no attribute can have, and the attributes that stand for them.
const RENAMED: [(&str, &str); 5] = [
    (Headers::RUN_ID, "runid"),
    (Headers::NODE_ID, "nodeid"),
    (Headers::ACTOR_ID, "actorid"),
    (Headers::GRAPH_ID, "graphid"),
    (Headers::KEY, "partitionkey"),
];

/// Attributes that come from something else than a header.
const TAKEN: [&str; 6] = ["specversion", "id", "source", "type", "time", "data"];

/// Attributes that are texts, whatever others may be.
const TEXTS: [&str; 8] =
    ["specversion", "id", "source", "type", "time", "subject", "dataschema", CONTENT_TYPE];

const CONTENT_TYPE: &str = "datacontenttype";

/// # `CloudEvents`
///
/// An envelope is also a [CloudEvent](https://cloudevents.io) 1.0, in the structured JSON format
/// (`application/cloudevents+json`):
///
/// | envelope | attribute |
/// |---|---|
/// | [`id`](Self::id), [`source`](Self::source) | `id`, `source`, both required |
/// | [`subject`](Self::subject) | `type`, required |
/// | [`time`](Self::time) | `time` |
/// | [`trace_parent`](Self::trace_parent) | `traceparent` |
/// | the headers `run_id`, `node_id`, `actor_id`, `graph_id` | `runid`, `nodeid`, `actorid`, `graphid` |
/// | [`key`](Self::key) | `partitionkey` |
/// | [`data_schema`](Self::data_schema) | `dataschema` |
/// | other headers | the attribute of this name: `subject`, `datacontenttype`, any extension |
/// | [`payload`](Self::payload) or [`bytes`](Self::bytes) | `data` or `data_base64` |
///
/// `from_cloud_event` turns an attribute that is a number or a boolean into a header with its text,
/// and ignores one that is empty or `null`. `to_cloud_event` writes every header as a text. It can
/// write each envelope that `from_cloud_event` reads.
impl Envelope {
    /// Returns the envelope as a `CloudEvent`.
    ///
    /// It leaves out empty headers, and a header `traceparent` that names another span than the
    /// envelope.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidCloudEvent`] if something in the envelope has no place in a `CloudEvent`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::envelope::{Headers, InvalidCloudEvent};
    ///
    /// let hit = Envelope::unstamped("player.7.hit")?
    ///     .with_id("17")
    ///     .with_source("/arena/1")
    ///     .header(Headers::RUN_ID, "r3")
    ///     .with_payload(&12)?;
    /// assert_eq!(
    ///     hit.to_cloud_event()?,
    ///     r#"{"specversion":"1.0","id":"17","source":"/arena/1","type":"player.7.hit","runid":"r3","data":12}"#,
    /// );
    ///
    /// let hit = hit.header("Match", "42");
    /// let error = hit.to_cloud_event().unwrap_err();
    /// assert_eq!(error, InvalidCloudEvent::Header("Match".into())); // lower-case letters and digits only
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn to_cloud_event(&self) -> Result<String, InvalidCloudEvent> {
        for (name, text) in [("id", &self.id), ("source", &self.source)] {
            if text.is_empty() {
                return Err(InvalidCloudEvent::Missing(name));
            }
        }
        if !is_uri_reference(&self.source) {
            return Err(InvalidCloudEvent::Source(self.source.clone()));
        }
        if !is_uri_reference(self.data_schema()) {
            return Err(InvalidCloudEvent::DataSchema(self.data_schema().into()));
        }
        let mut attributes = Vec::new();
        for (key, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            if key.eq_ignore_ascii_case(TRACE_PARENT) {
                continue;
            }
            let renamed = RENAMED.iter().find(|(header, _)| *header == key);
            let free = || {
                is_name(key)
                    && !TAKEN.contains(&key)
                    && RENAMED.iter().all(|(_, attribute)| *attribute != key)
            };
            let name = match renamed {
                Some((_, attribute)) => *attribute,
                None if free() => key,
                None => return Err(InvalidCloudEvent::Header(key.into())),
            };
            attributes.push((name, Cow::Borrowed(value)));
        }
        let written = self.headers.get_in_any_case(TRACE_PARENT);
        match self.trace_parent() {
            Some(parent) if !written.parse().is_ok_and(|written| parent.is_span_of(written)) => {
                attributes.push((TRACE_PARENT, parent.to_string().into()));
            }
            None if !(self.trace_id.is_empty() && self.span_id.is_empty()) => {
                return Err(InvalidCloudEvent::Trace);
            }
            _ if written.is_empty() => {}
            _ => attributes.push((TRACE_PARENT, written.into())),
        }
        let content_type = self.headers.get(CONTENT_TYPE);
        if !is_json(content_type) && self.payload().is_some_and(|data| !data.starts_with('"')) {
            return Err(InvalidCloudEvent::Data(content_type.into()));
        }
        let texts = [("id", &*self.id), ("type", &*self.subject)].into_iter();
        let mut texts = texts.chain(attributes.iter().map(|(name, text)| (*name, &**text)));
        if let Some((name, _)) = texts.find(|(_, text)| !is_text(text)) {
            return Err(InvalidCloudEvent::Character(name.into()));
        }
        let event = Written { envelope: self, attributes: &attributes };
        // Texts and checked JSON: neither can fail.
        Ok(serde_json::to_string(&event).unwrap_or_default())
    }

    /// Reads an envelope from a `CloudEvent`: one JSON object, in UTF-8.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidJson`] if the text is not JSON, or the `type` is not a [`Subject`]. Also
    /// returns it if the JSON is not a `CloudEvent` of version 1.0, because
    ///
    /// - `id`, `source` or `type` is missing or empty,
    /// - an attribute is there twice, or has an invalid name, type or character,
    /// - `source` or `dataschema` is not a URI reference, or `time` is not a time,
    /// - `data` is not a text although `datacontenttype` says that it is not JSON,
    /// - both `data` and `data_base64` are there.
    ///
    /// The error begins with the line and column.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    ///
    /// let opened = Envelope::from_cloud_event(r#"{
    ///     "specversion": "1.0",
    ///     "type": "com.github.pull_request.opened",
    ///     "source": "https://github.com/cloudevents/spec/pull",
    ///     "subject": "123",
    ///     "id": "A234-1234-1234",
    ///     "priority": 5,
    ///     "data": {"draft": false}
    /// }"#)?;
    /// assert_eq!(opened.subject().as_str(), "com.github.pull_request.opened");
    /// assert_eq!((opened.headers().get("subject"), opened.headers().get("priority")), ("123", "5"));
    /// assert_eq!(opened.payload(), Some(r#"{"draft": false}"#));
    ///
    /// let error = Envelope::from_cloud_event(r#"{"specversion": "1.0", "type": "a", "id": "7"}"#);
    /// assert_eq!(error.unwrap_err().to_string(), "line 1 column 46: the attribute `source` is missing");
    /// # Ok::<(), tickbus::envelope::InvalidJson>(())
    /// ```
    pub fn from_cloud_event<T: AsRef<[u8]> + ?Sized>(json: &T) -> Result<Self, InvalidJson> {
        json::read(json.as_ref()).map(|Read(envelope)| envelope)
    }
}

struct Written<'a> {
    envelope: &'a Envelope,
    attributes: &'a [(&'a str, Cow<'a, str>)],
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { envelope, attributes } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &envelope.id)?;
        map.serialize_entry("source", &envelope.source)?;
        map.serialize_entry("type", &envelope.subject)?;
        if let Some(time) = envelope.time {
            map.serialize_entry("time", &time)?;
        }
        for (name, text) in *attributes {
            map.serialize_entry(name, text)?;
        }
        match &envelope.payload {
            Payload::None => {}
            Payload::Json(data) => map.serialize_entry("data", data)?,
            Payload::Bytes(data) => map.serialize_entry("data_base64", &Base64(&**data))?,
        }
        map.end()
    }
}

struct Read(Envelope);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(FromObject)
    }
}

struct FromObject;

impl<'de> Visitor<'de> for FromObject {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Read, A::Error> {
        // Every attribute at first, under its own name.
        let mut attributes = Headers::new();
        let (mut data, mut binary) = (None, None);
        while let Some(name) = members.next_key::<Box<str>>()? {
            match &*name {
                "data" => {
                    let value: Box<RawValue> = members.next_value()?;
                    if data.replace(value).is_some() {
                        return Err(A::Error::duplicate_field("data"));
                    }
                    continue;
                }
                "data_base64" => {
                    let value: Option<Bytes> = members.next_value()?;
                    if binary.replace(value).is_some() {
                        return Err(A::Error::duplicate_field("data_base64"));
                    }
                    continue;
                }
                _ => {}
            }
            let value: &RawValue = members.next_value()?;
            if !is_name(&name) {
                if value.get() == "null" {
                    continue; // whatever it is called, it is not set
                }
                let why = "an attribute has lower-case letters and digits in its name, no others";
                return Err(A::Error::custom(format_args!("{}: {why}", Quoted(&name))));
            }
            let value = attribute(&name, value).map_err(|why| {
                A::Error::custom(format_args!("the attribute {} {why}", Quoted(&name)))
            })?;
            attributes.insert_new(name, value).map_err(|name| {
                A::Error::custom(format_args!("the attribute {} is there twice", Quoted(&name)))
            })?;
        }

        let mut take = |name: &str| attributes.take(name).unwrap_or_default();
        let (version, time) = (take("specversion"), take("time"));
        let (id, source, subject) = (take("id"), take("source"), take("type"));
        let (mut trace_id, mut span_id) = <(Box<str>, Box<str>)>::default();
        let required =
            [("specversion", &version), ("id", &id), ("source", &source), ("type", &subject)];
        if let Some((name, _)) = required.iter().find(|(_, text)| text.is_empty()) {
            return Err(A::Error::custom(format_args!("the attribute `{name}` is missing")));
        }
        if *version != *"1.0" {
            return Err(A::Error::custom(format_args!(
                "`specversion` is {}, not `1.0`",
                Quoted(&version)
            )));
        }
        if let Err(invalid) = Subject::new(&subject) {
            return Err(A::Error::custom(invalid));
        }
        if !is_uri_reference(&source) {
            return Err(A::Error::custom(InvalidCloudEvent::Source(source)));
        }
        let schema = attributes.get(Headers::DATA_SCHEMA);
        if !is_uri_reference(schema) {
            return Err(A::Error::custom(InvalidCloudEvent::DataSchema(schema.into())));
        }
        let time = if time.is_empty() {
            None
        } else {
            let time = time.parse();
            let time = time.map_err(|why| A::Error::custom(format_args!("`time`: {why}")))?;
            Some(time).filter(|time| *time != Timestamp::NONE)
        };
        if let Ok(parent) = attributes.get(TRACE_PARENT).parse::<TraceParent>() {
            let plain = parent.with_flags(0);
            // Flags and later versions have no other place than the header.
            if *plain.to_string() == *attributes.get(TRACE_PARENT) {
                attributes.remove(TRACE_PARENT);
            }
            let (trace, span) = plain.ids();
            (trace_id, span_id) = (trace.into(), span.into());
        }
        let binary = binary.flatten();
        if binary.is_some() {
            data = data.filter(|data| data.get() != "null"); // not set, beside the other
        }
        let content_type = attributes.get(CONTENT_TYPE);
        let is_text = |data: &RawValue| data.get().starts_with('"');
        if !is_json(content_type) && !data.as_deref().is_none_or(is_text) {
            let error = InvalidCloudEvent::Data(content_type.into());
            return Err(A::Error::custom(error));
        }
        for (header, attribute) in RENAMED {
            if let Some(value) = attributes.take(attribute) {
                attributes.insert(header, value);
            }
        }
        attributes.retain_non_empty();
        let headers = attributes;
        let payload = match (data, binary) {
            (None, None) => Payload::None,
            (Some(json), None) => Payload::Json(json),
            (None, Some(Base64(bytes))) => Payload::Bytes(bytes),
            _ => return Err(A::Error::custom("both `data` and `data_base64` are there")),
        };
        Ok(Read(Envelope { id, subject, time, source, trace_id, span_id, headers, payload }))
    }
}

/// Returns the text of an attribute's value. Empty if it is not set.
fn attribute(name: &str, value: &RawValue) -> Result<Box<str>, &'static str> {
    let text = value.get();
    match text.as_bytes() {
        [b'"', ..] => match serde_json::from_str::<Box<str>>(text) {
            Ok(text) if is_text(&text) => Ok(text),
            Ok(_) => Err("has a control character in it"),
            Err(_) => Err("is not a text in Unicode"),
        },
        b"null" => Ok(Box::default()),
        [b'{' | b'[', ..] => Err("is an object or an array, which no attribute is"),
        _ if TEXTS.contains(&name) => Err("is not a text"),
        _ if text.contains(['.', 'e', 'E']) && !matches!(text, "true" | "false") => {
            Err("is a number that is not an integer")
        }
        _ => Ok(text.into()),
    }
}

/// Returns whether an attribute can have this name.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Returns whether a String of `CloudEvents` can have these characters.
fn is_text(text: &str) -> bool {
    let is_none = |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !text.chars().any(|c| c.is_control() || is_none(c))
}

/// Returns whether the characters are those of a URI reference of RFC 3986. It does not check their
/// order.
fn is_uri_reference(text: &str) -> bool {
    let mut parts = text.split('%');
    let plain = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte))
    };
    let escaped = |part: &str| {
        part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()) && plain(part)
    };
    parts.next().is_some_and(plain) && parts.all(escaped)
}

/// Returns whether data of this content type is JSON. Without one, it is.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = media_type.split_once('/') else { return media_type.is_empty() };
    let ending = subtype.rsplit('+').next().unwrap_or_default();
    ending.eq_ignore_ascii_case("json")
}

/// An envelope cannot be written as a `CloudEvent`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCloudEvent {
    /// The envelope lacks this field, `id` or `source`.
    Missing(&'static str),
    /// The envelope has this source, which is not a URI reference. For example, it contains a
    /// space.
    Source(Box<str>),
    /// The envelope has this [`data_schema`](Envelope::data_schema), which is not a URI reference.
    DataSchema(Box<str>),
    /// The trace id or the span id is missing, or is not in the form of the W3C.
    Trace,
    /// A header has this key, which cannot be an attribute name. It contains characters other than
    /// lower-case letters and digits, or it means something else in a `CloudEvent`.
    Header(Box<str>),
    /// The attribute of this name would have control characters or non-characters.
    Character(Box<str>),
    /// The header `datacontenttype` has this value, which is not JSON, and the payload is not a
    /// text.
    Data(Box<str>),
}

impl fmt::Display for InvalidCloudEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => {
                write!(f, "the envelope has no {name}, which a CloudEvent must have")
            }
            Self::Source(source) => write!(
                f,
                "the source {} is not a URI reference: write it as in `/arena/1`, \
                 with `%20` for a space",
                Quoted(source)
            ),
            Self::DataSchema(schema) => write!(
                f,
                "the dataschema {} is not a URI: write it as in `https://arena.example/score/2`",
                Quoted(schema)
            ),
            Self::Trace => f.pad(
                "the trace and span ids are not both in the form of the W3C, \
                 as `traceparent` must have them",
            ),
            Self::Header(key) => write!(
                f,
                "the header {} cannot be an attribute of a CloudEvent: it has other characters \
                 than lower-case letters and digits, or a name that means something else",
                Quoted(key)
            ),
            Self::Character(name) => {
                write!(f, "the attribute {} has a control character in it", Quoted(name))
            }
            Self::Data(content_type) => {
                write!(f, "the data is not a text, and {} is not JSON", Quoted(content_type))
            }
        }
    }
}

impl Error for InvalidCloudEvent {}
