//! `CloudEvents` in the binary mode: attributes as headers, the data as the payload.
//!
//! What an attribute may be is decided where the structured mode is written and read. This takes the
//! structured form apart, and puts it together.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::value::RawValue;

use super::encoding::{Before, CONTENT_ENCODING, content_encoding};
use super::native::Native;
use super::{BYTES, CONTENT_TYPE, InvalidMessage, JSON, is_json};
use crate::envelope::Envelope;
use crate::hosted::engine::Reason;

const DATA_CONTENT_TYPE: &str = "datacontenttype";

type Object<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Whether the values of this prefix are escaped, as in HTTP.
fn escapes(prefix: &str) -> bool {
    prefix == "ce-"
}

pub(super) fn to_native<'e>(envelope: &'e Envelope, prefix: &str) -> Result<Native<'e>, Reason> {
    // What is about the payload on its way is no attribute.
    let encoding = content_encoding(envelope);
    let mut without = Cow::Borrowed(envelope);
    let mut content_type = None;
    if !encoding.is_empty() {
        without.to_mut().headers_mut().remove_in_any_case(CONTENT_ENCODING);
        if envelope.bytes().and_then(Before::of) == Some(Before::Json) {
            without.to_mut().headers_mut().remove(CONTENT_TYPE);
            content_type = Some(JSON.into());
        }
    }
    let event = without.to_cloud_event().map_err(|error| Reason::Refused(Box::new(error)))?;
    let refused = |error: serde_json::Error| Reason::Refused(Box::new(error));
    let object: Object<'_> = serde_json::from_str(&event).map_err(refused)?;
    let mut headers = Vec::new();
    for (name, value) in &object {
        if matches!(&**name, "data" | "data_base64") {
            continue;
        }
        let text: String = serde_json::from_str(value.get()).map_err(refused)?;
        if name == DATA_CONTENT_TYPE {
            content_type = Some(text);
            continue;
        }
        let text = if escapes(prefix) { escape(&text) } else { text };
        headers.push((format!("{prefix}{name}").into(), text.into()));
    }
    let payload = match (envelope.payload(), envelope.bytes()) {
        (Some(text), _) if content_type.as_deref().is_some_and(|it| !is_json(it)) => {
            let text: String = serde_json::from_str(text).map_err(refused)?;
            text.into_bytes().into()
        }
        (Some(json), _) => {
            content_type.get_or_insert_with(|| JSON.into());
            json.as_bytes().into()
        }
        (None, Some(bytes)) => {
            content_type.get_or_insert_with(|| BYTES.into());
            bytes.into()
        }
        (None, None) => Cow::default(),
    };
    if let Some(content_type) = content_type {
        headers.push((CONTENT_TYPE.into(), content_type.into()));
    }
    if !encoding.is_empty() {
        headers.push((CONTENT_ENCODING.into(), encoding.into()));
    }
    Ok(Native { headers, payload })
}

pub(super) fn from_native(
    headers: &[(&str, &str)],
    payload: &[u8],
) -> Result<Envelope, InvalidMessage> {
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    let mut others = Vec::new();
    let mut content_type = None;
    for (key, value) in headers {
        let wrong = || InvalidMessage::Header((*key).into());
        let prefix = key.get(..3).map(str::to_ascii_lowercase).unwrap_or_default();
        if matches!(&*prefix, "ce-" | "ce_") {
            let value =
                if escapes(&prefix) { unescape(value).ok_or_else(wrong)? } else { (*value).into() };
            if attributes.insert(key[3..].to_ascii_lowercase(), value).is_some() {
                return Err(wrong());
            }
        } else if key.eq_ignore_ascii_case(CONTENT_TYPE) {
            content_type = Some(*value);
        } else {
            others.push((*key, *value));
        }
    }
    // Without the data, whose form the content type decides.
    let event = serde_json::to_string(&attributes).unwrap_or_default();
    let mut envelope = Envelope::from_cloud_event(&event).map_err(InvalidMessage::CloudEvent)?;
    let encoding = others.iter().find(|(key, _)| key.eq_ignore_ascii_case(CONTENT_ENCODING));
    let is_encoded = encoding.is_some_and(|(_, value)| !value.is_empty());
    for (key, value) in others {
        envelope.headers_mut().insert(key, value);
    }
    match content_type {
        // If another program has compressed it, nothing else says that it was JSON.
        Some(JSON) if is_encoded && Before::of(payload).is_none() => {
            envelope.headers_mut().insert(DATA_CONTENT_TYPE, JSON);
        }
        Some(JSON | BYTES) | None => {}
        Some(other) => envelope.headers_mut().insert(DATA_CONTENT_TYPE, other),
    }
    match content_type {
        _ if is_encoded => Ok(envelope.with_bytes(payload)),
        None if payload.is_empty() => Ok(envelope),
        Some(it) if is_json(it) => {
            let text = core::str::from_utf8(payload);
            let text = text.map_err(|_| InvalidMessage::Header(CONTENT_TYPE.into()))?;
            Ok(envelope.with_raw_payload(text)?)
        }
        _ => Ok(envelope.with_bytes(payload)),
    }
}

/// Escapes white space, quotes, `%` and everything beyond ASCII.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => escaped.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_graphic() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = after.split_first_chunk::<2>()?;
        let digits = core::str::from_utf8(digits).ok()?;
        if digits.starts_with('+') {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
