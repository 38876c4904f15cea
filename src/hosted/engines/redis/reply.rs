//! What a server answers.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use redis::{RedisError, Value};

use super::id::Id;
use crate::envelope::Envelope;
use crate::hosted::Reason;
use crate::hosted::engines::failed::{disconnected, refused};
use crate::hosted::wire::{self, InvalidMessage};
use crate::subject::Subject;

/// Returns the code and the text of an answer that is an error.
pub(super) fn error(value: &Value) -> Option<(&str, String)> {
    let Value::ServerError(error) = value else { return None };
    let text = error.details().unwrap_or_default();
    // Where in a script it happened is of no use to the reader.
    let text = text.split(" script: ").next().unwrap_or_default();
    Some((error.code(), format!("{} {text}", error.code())))
}

pub(super) fn has_code(value: &Value, code: &str) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == code)
}

/// Returns the reason of a server that did not let a client in.
pub(super) fn no_entry(error: &RedisError) -> Reason {
    if error.is_io_error() || error.is_connection_dropped() {
        return disconnected(error.to_string());
    }
    match error.code() {
        // It will, later.
        Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN") => {
            disconnected(error.to_string())
        }
        _ => refused(error.to_string()),
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes(value).unwrap_or_default())
}

pub(super) fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        other => text(other).parse().ok(),
    }
}

pub(super) fn array(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        _ => &[],
    }
}

/// Returns the value of a name in an answer of names and values.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let (pairs, _) = array(value).as_chunks::<2>();
    pairs.iter().find(|[key, _]| bytes(key) == Some(name.as_bytes())).map(|[_, value]| value)
}

/// The entries in the answer to a read of one stream.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (Id, &Value)> {
    let of_stream = array(value).first().map_or(&[][..], array);
    of_stream.get(1).map_or(&[][..], array).iter().filter_map(|entry| {
        let [id, fields] = array(entry) else { return None };
        Some((Id::parse(bytes(id)?)?, fields))
    })
}

/// Reads an envelope from the fields of an entry. That of another program is of the subject in its field
/// `subject`, or else of the stream's name.
pub(super) fn read(stream: &str, id: Id, fields: &Value) -> Result<Arc<Envelope>, InvalidMessage> {
    let (pairs, _) = array(fields).as_chunks::<2>();
    let mut named = Vec::with_capacity(pairs.len());
    for [name, value] in pairs {
        let name = bytes(name).unwrap_or_default();
        let name = core::str::from_utf8(name)
            .map_err(|_| InvalidMessage::Header(String::from_utf8_lossy(name).into()))?;
        named.push((name, bytes(value).unwrap_or_default()));
    }
    let said = named.iter().find(|(name, _)| *name == "subject").map(|(_, value)| *value);
    let said = said.and_then(|value| core::str::from_utf8(value).ok());
    let subject = said.filter(|subject| Subject::new(subject).is_ok()).unwrap_or(stream);
    wire::from_fields(subject, named, || format!("{stream}/{id}")).map(Arc::new)
}
