//! Envelopes as messages of MQTT 5, for a client without an allocator.
//!
//! The engine `hosted::engines::Mqtt` writes and reads the same messages, by the same rules.
//!
//! | of the envelope | in the message |
//! |---|---|
//! | subject `device.7.reading` | topic `device/7/reading`, below a prefix if there is one |
//! | | user property `tb-v` with the value `1`, always |
//! | id, time, source, key | user properties `tb-id`, `tb-time`, `tb-source`, `tb-key`, if not empty |
//! | ids of a trace that came by themselves | user properties `tb-trace-id`, `tb-span-id` |
//! | headers | user properties of their keys |
//! | header `content-type`, else `application/json` or `application/octet-stream` | the property content type |
//! | what the payload is, if there is a header `content-type` | user property `tb-payload`: `json`, `bytes` or `none` |
//! | payload | payload |
//!
//! A subject with `/`, `+` or `#`, with a control character, or with one that Unicode never assigns,
//! has no topic; without a prefix one that begins with `$` has none either. A topic with a `.` or an
//! empty level has no subject. Texts have 65,535 bytes at most.
//!
//! # Examples
//!
//! A reading leaves, and a command comes. `heapless::Vec` holds the user properties, in the types
//! of the client.
//!
//! ```
//! use heapless::Vec;
//! use tickbus::Subject;
//! use tickbus::envelope::compact::{CompactEnvelope, mqtt};
//!
//! let mut buffer = [0; 64];
//! let reading = CompactEnvelope::new(Subject::from_static("device.7.reading"))
//!     .with_id("7-212-1")
//!     .with_headers(&[("unit", "mC")])
//!     .with_raw_payload("21500");
//! assert_eq!(mqtt::topic("", reading.subject(), &mut buffer)?, "device/7/reading");
//! let properties: Vec<_, 12> = reading.properties()?.collect();
//! assert_eq!(properties, [("tb-v", "1"), ("tb-id", "7-212-1"), ("unit", "mC")]);
//! assert_eq!(reading.content_type(), Some("application/json"));
//!
//! let subject = mqtt::subject("", "device/7/command", &mut buffer)?;
//! let properties = [("tb-v", "1"), ("tb-id", "0193"), ("room", "cellar")];
//! let command =
//!     CompactEnvelope::from_properties(subject, &properties, Some("application/json"), b"\"led on\"")?;
//! assert_eq!((command.id(), command.payload()), ("0193", Some("\"led on\"")));
//! assert!(command.headers().eq([("room", "cellar")]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::error::{DecodeError, EncodeError};
use super::fields::{CompactEnvelope, Payload};
use super::headers::{KEY, List};
use super::time::is_time;
use crate::subject::{Pattern, Subject};

/// How many bytes a text may have.
pub(crate) const LONGEST: usize = u16::MAX as usize;
/// Begins the keys that are ours.
const OURS: &str = "tb-";
pub(crate) const CONTENT_TYPE: &str = "content-type";
pub(crate) const JSON: &str = "application/json";
pub(crate) const BYTES: &str = "application/octet-stream";

/// Returns whether the key begins with `tb-`, in any case.
pub(crate) fn begins_ours(key: &str) -> bool {
    let start = key.as_bytes().get(..OURS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OURS.as_bytes()))
}

pub(super) const fn is_content_type(key: &str) -> bool {
    key.eq_ignore_ascii_case(CONTENT_TYPE)
}

/// Returns whether data of this content type is JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = media_type.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype.rsplit('+').next().is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}

/// Returns whether a server may refuse the character in any text: control characters, and those
/// that Unicode does not assign to anything ever.
pub(crate) fn is_unsound(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Returns whether a server takes the text.
pub(crate) fn is_sound(text: &str) -> bool {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte);
    text.len() <= LONGEST && (text.bytes().all(is_plain) || !text.chars().any(is_unsound))
}

/// Returns why a topic cannot have this text.
fn fault(text: &str) -> Option<&'static str> {
    if text.contains(['/', '+', '#']) {
        return Some("it has a `/`, `+` or `#`, which topics have for themselves");
    }
    (!is_sound(text)).then_some("it has a control character, or one that Unicode never assigns")
}

/// Returns the levels of a prefix: without the `/` at the end.
pub(crate) fn prefix_levels(prefix: &str) -> Result<&str, &'static str> {
    let levels = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_level = |level: &str| !level.is_empty() && fault(level).is_none();
    if !prefix.is_empty() && (levels.starts_with('$') || !levels.split('/').all(is_level)) {
        return Err("the prefix of topics is not valid: levels without `+`, `#` and `$`, as `a/b`");
    }
    Ok(levels)
}

/// Returns the pieces of the topic of a subject, or of the filter of a pattern, below the levels of
/// a prefix.
pub(crate) fn pieces<'t>(
    levels: &'t str,
    text: &'t str,
    wild: bool,
) -> Result<impl Iterator<Item = &'t str> + Clone, &'static str> {
    if let Some(why) = fault(text) {
        return Err(why);
    }
    if levels.is_empty() && text.starts_with('$') {
        return Err("the server keeps what begins with `$`: set a prefix");
    }
    let token = move |token| match token {
        "*" if wild => "+",
        ">" if wild => "#",
        token => token,
    };
    let tokens = text.split('.').flat_map(move |it| ["/", token(it)]);
    Ok(Some(levels).into_iter().chain(tokens.skip(usize::from(levels.is_empty()))))
}

/// Returns the levels of a topic below those of a prefix. `None` if they are not those of a subject:
/// each `/` is a dot of it then.
pub(crate) fn below<'t>(levels: &str, topic: &'t str) -> Option<&'t str> {
    let below = match levels {
        "" => topic,
        levels => topic.strip_prefix(levels)?.strip_prefix('/')?,
    };
    let is_kept = levels.is_empty() && below.starts_with('$');
    (!is_kept && !below.contains('.')).then_some(below)
}

fn write<'b>(
    prefix: &str,
    text: &str,
    wild: bool,
    buffer: &'b mut [u8],
) -> Result<&'b str, EncodeError> {
    let refused = |why| EncodeError::Topic { why };
    let pieces = pieces(prefix_levels(prefix).map_err(refused)?, text, wild).map_err(refused)?;
    let needed = pieces.clone().map(str::len).sum();
    if needed > LONGEST {
        return Err(refused("it has more than 65,535 bytes with its prefix"));
    }
    let Some(out) = buffer.get_mut(..needed) else {
        return Err(EncodeError::TooSmall { needed });
    };
    for (byte, of) in out.iter_mut().zip(pieces.flat_map(str::bytes)) {
        *byte = of;
    }
    core::str::from_utf8(out).map_err(|_| refused("it is not UTF-8"))
}

/// Writes the topic of a subject into `buffer`, below the topic `prefix`, which may be empty.
///
/// It has as many bytes as the subject, and one more than the prefix if there is one.
///
/// # Errors
///
/// Returns [`EncodeError::TooSmall`] with the needed length, and [`EncodeError::Topic`] if the
/// subject has no topic or the prefix is not valid.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::envelope::compact::{EncodeError, mqtt};
///
/// let reading = Subject::from_static("device.7.reading");
/// let mut buffer = [0; 24];
/// assert_eq!(mqtt::topic("", reading, &mut buffer), Ok("device/7/reading"));
/// assert_eq!(mqtt::topic("fleet/1", reading, &mut buffer), Ok("fleet/1/device/7/reading"));
///
/// assert_eq!(mqtt::topic("", reading, &mut [0; 8]), Err(EncodeError::TooSmall { needed: 16 }));
/// let error = mqtt::topic("", Subject::from_static("a/b"), &mut buffer).unwrap_err();
/// assert!(error.to_string().starts_with("not possible as a topic: it has a `/`"));
/// ```
pub fn topic<'b>(
    prefix: &str,
    subject: Subject<'_>,
    buffer: &'b mut [u8],
) -> Result<&'b str, EncodeError> {
    write(prefix, subject.as_str(), false, buffer)
}

/// Writes the topic filter of a pattern into `buffer`, below the topic `prefix`, which may be empty.
///
/// A filter that ends with `#` matches one topic more than the pattern, that without the last level.
/// Check the subject of what comes by [`Pattern::matches`].
///
/// # Errors
///
/// Returns what [`topic`] returns.
///
/// # Examples
///
/// ```
/// use tickbus::Pattern;
/// use tickbus::envelope::compact::mqtt;
///
/// let commands = Pattern::from_static("device.*.command.>");
/// assert_eq!(mqtt::filter("", commands, &mut [0; 32]), Ok("device/+/command/#"));
/// ```
pub fn filter<'b>(
    prefix: &str,
    pattern: Pattern<'_>,
    buffer: &'b mut [u8],
) -> Result<&'b str, EncodeError> {
    write(prefix, pattern.as_str(), true, buffer)
}

/// Writes the subject of a topic into `buffer`. It has at most as many bytes as the topic.
///
/// # Errors
///
/// Returns [`DecodeError::Subject`] if the topic is not below the prefix or has no subject, and
/// [`DecodeError::TooSmall`] with the needed length.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::compact::{DecodeError, mqtt};
///
/// let mut buffer = [0; 16];
/// let subject = mqtt::subject("fleet/1", "fleet/1/device/7/command", &mut buffer)?;
/// assert_eq!(subject.as_str(), "device.7.command");
///
/// assert_eq!(mqtt::subject("fleet/1", "fleet/2/device", &mut buffer), Err(DecodeError::Subject));
/// assert_eq!(mqtt::subject("", "a//b", &mut buffer), Err(DecodeError::Subject));
/// # Ok::<(), DecodeError>(())
/// ```
pub fn subject<'b>(
    prefix: &str,
    topic: &str,
    buffer: &'b mut [u8],
) -> Result<Subject<'b>, DecodeError> {
    let levels = prefix_levels(prefix).map_err(|_| DecodeError::Subject)?;
    let below = below(levels, topic).ok_or(DecodeError::Subject)?;
    let needed = below.len();
    let out = buffer.get_mut(..needed).ok_or(DecodeError::TooSmall { needed })?;
    for (byte, of) in out.iter_mut().zip(below.bytes()) {
        *byte = if of == b'/' { b'.' } else { of };
    }
    let text = core::str::from_utf8(out).map_err(|_| DecodeError::Subject)?;
    Subject::new(text).map_err(|_| DecodeError::Subject)
}

/// # Messages of MQTT 5
///
/// The topic is that of the subject: see [`mqtt::topic`](topic). The payload is
/// [`payload_bytes`](Self::payload_bytes).
impl<'a> CompactEnvelope<'a> {
    /// Returns keys and values of the user properties: up to 8, and one for each header.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::Time`] if the time is not one, [`EncodeError::Text`] if MQTT cannot
    /// carry an id, source or key, and [`EncodeError::Header`] if it cannot carry a header, or its
    /// key is there twice, begins with `tb-`, or is `key` beside or instead of [`key`](Self::key).
    pub fn properties(
        &self,
    ) -> Result<impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a>, EncodeError> {
        self.check(|key, value| {
            if begins_ours(key) {
                return Some("its key begins with `tb-`");
            }
            let sound = is_sound(key) && is_sound(value);
            (!sound).then_some("it has characters that servers refuse")
        })?;
        let has_type = self.headers().any(|(key, _)| is_content_type(key));
        let kind = match self.payload {
            _ if !has_type => "",
            Payload::None => "none",
            Payload::Json(_) => "json",
            Payload::Bytes(_) => "bytes",
        };
        let ours = [
            ("tb-v", "1"),
            ("tb-id", self.id),
            ("tb-time", self.time),
            ("tb-source", self.source),
            ("tb-key", self.key),
            ("tb-trace-id", self.trace_id),
            ("tb-span-id", self.span_id),
            ("tb-payload", kind),
        ];
        if let Some((property, _)) = ours.iter().find(|(_, value)| !is_sound(value)) {
            return Err(EncodeError::Text { property });
        }
        let ours = ours.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(ours.chain(self.headers().filter(|(key, _)| *key != CONTENT_TYPE)))
    }

    /// Returns the property content type: that of the header `content-type`, else that of the
    /// payload. `None` without a payload, and if only a header such as `Content-Type` says it, which
    /// stays a user property.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        let mut types = self.headers().filter(|(key, _)| is_content_type(key)).peekable();
        let default = match self.payload {
            _ if types.peek().is_some() => None,
            Payload::None => None,
            Payload::Json(_) => Some(JSON),
            Payload::Bytes(_) => Some(BYTES),
        };
        types.find(|(key, _)| *key == CONTENT_TYPE).map(|(_, value)| value).or(default)
    }

    /// Reads an envelope that borrows from what came: the [subject] of the topic, the user
    /// properties, the property content type and the payload.
    ///
    /// A message without `tb-v` is of another program. All its properties are headers then, and its
    /// id is empty. Its payload is JSON if the content type says so, else bytes.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError::Version`], [`DecodeError::Time`], [`DecodeError::Header`] if a property
    /// is there twice or has a wrong value, and [`DecodeError::Payload`] if the payload is not what
    /// the properties say. Whatever came, it does not panic.
    pub fn from_properties(
        subject: Subject<'a>,
        properties: &'a [(&'a str, &'a str)],
        content_type: Option<&'a str>,
        payload: &'a [u8],
    ) -> Result<Self, DecodeError> {
        let find = |wanted: &str| {
            let mut found = properties.iter().filter(|(key, _)| key.eq_ignore_ascii_case(wanted));
            found.next().map(|(_, value)| *value)
        };
        let mut envelope = Self::new(subject);
        let json =
            || core::str::from_utf8(payload).map(Payload::Json).map_err(|_| DecodeError::Payload);
        match find("tb-v") {
            None => {
                envelope.headers = List::Foreign { properties, content_type };
                envelope.payload = match content_type.or_else(|| find(CONTENT_TYPE)) {
                    _ if payload.is_empty() => Payload::None,
                    Some(it) if is_json(it) => json().unwrap_or(Payload::Bytes(payload)),
                    _ => Payload::Bytes(payload),
                };
                return Ok(envelope);
            }
            Some("1") => {}
            Some(_) => return Err(DecodeError::Version),
        }
        let is_twice = |at: usize, key: &str| {
            let same = |other: &str| match begins_ours(key) {
                true => other.eq_ignore_ascii_case(key),
                false => other == key,
            };
            properties[..at].iter().any(|(other, _)| same(other))
        };
        let mut keys = properties.iter().map(|(key, _)| *key).enumerate();
        let is_type_twice =
            content_type.is_some() && properties.iter().any(|it| it.0 == CONTENT_TYPE);
        if is_type_twice || keys.any(|(at, key)| is_twice(at, key)) {
            return Err(DecodeError::Header);
        }
        let get = |wanted| find(wanted).unwrap_or_default();
        envelope.id = get("tb-id");
        envelope.time = get("tb-time");
        envelope.source = get("tb-source");
        envelope.key = get("tb-key");
        envelope.trace_id = get("tb-trace-id");
        envelope.span_id = get("tb-span-id");
        if !(envelope.time.is_empty() || is_time(envelope.time)) {
            return Err(DecodeError::Time);
        }
        match properties.iter().find(|(key, _)| *key == KEY) {
            Some(_) if find("tb-key").is_some() => return Err(DecodeError::Header),
            Some((_, key)) => envelope.key = key,
            None => {}
        }
        let kind = find("tb-payload");
        envelope.headers = List::Properties {
            properties,
            content_type: content_type.filter(|_| kind.is_some()),
            keeps_types: kind.is_some(),
        };
        let kind = kind.unwrap_or_else(|| match find(CONTENT_TYPE).or(content_type) {
            Some(it) if is_json(it) => "json",
            None if payload.is_empty() => "none",
            _ => "bytes",
        });
        envelope.payload = match kind {
            "json" => json()?,
            "bytes" => Payload::Bytes(payload),
            "none" if payload.is_empty() => Payload::None,
            _ => return Err(DecodeError::Payload),
        };
        Ok(envelope)
    }
}
