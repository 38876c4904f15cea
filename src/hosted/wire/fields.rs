//! Envelopes as fields.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{InvalidMessage, foreign, with_id};
use crate::envelope::Envelope;

/// Begins the fields that are headers.
const HEADER: &str = "h:";

/// Writes an envelope as fields.
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::wire;
///
/// let frame = Envelope::unstamped("camera.2.frame")?.with_id("17").with_bytes([0xff, 0xd8]);
/// let fields = wire::to_fields(&frame);
/// assert_eq!(fields.last().unwrap(), &("bytes".into(), [0xff, 0xd8][..].into()));
///
/// let fields = fields.iter().map(|(name, value)| (&**name, &**value));
/// assert_eq!(wire::from_fields("cameras", fields, || unreachable!("ours"))?, frame);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn to_fields(envelope: &Envelope) -> Vec<(Cow<'_, str>, Cow<'_, [u8]>)> {
    let mut fields = Vec::with_capacity(8 + envelope.headers().len());
    fields.push(("v".into(), b"1"[..].into()));
    let time = envelope.time().map(|time| time.to_string().into_bytes()).unwrap_or_default();
    let texts: [(&str, Cow<'_, [u8]>); 6] = [
        ("id", envelope.id().as_bytes().into()),
        ("subject", envelope.subject().as_str().as_bytes().into()),
        ("time", time.into()),
        ("source", envelope.source().as_bytes().into()),
        ("trace_id", envelope.trace_id().as_bytes().into()),
        ("span_id", envelope.span_id().as_bytes().into()),
    ];
    let texts = texts.into_iter().filter(|(_, value)| !value.is_empty());
    fields.extend(texts.map(|(name, value)| (Cow::from(name), value)));
    for (key, value) in envelope.headers().iter() {
        fields.push((alloc::format!("{HEADER}{key}").into(), value.as_bytes().into()));
    }
    if let Some(json) = envelope.payload() {
        fields.push(("json".into(), json.as_bytes().into()));
    }
    if let Some(bytes) = envelope.bytes() {
        fields.push(("bytes".into(), bytes.into()));
    }
    fields
}

/// Reads an envelope from fields.
///
/// Fields without a `v` are foreign: they become the headers of an envelope with `subject`, whose id
/// is what `position` returns, as is that of fields without an `id`. A foreign field `payload` or `data` is the payload.
///
/// # Errors
///
/// Returns [`InvalidMessage`] if the fields are not an envelope, or a field other than the payload
/// is not text.
pub fn from_fields<'f>(
    subject: &str,
    fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    position: impl FnOnce() -> String,
) -> Result<Envelope, InvalidMessage> {
    let fields: Vec<_> = fields.into_iter().collect();
    for (at, (name, _)) in fields.iter().enumerate() {
        if fields[..at].iter().any(|(other, _)| other == name) {
            return Err(InvalidMessage::Header((*name).into()));
        }
    }
    let find = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|it| it.1);
    let text = |name: &str, value| match core::str::from_utf8(value) {
        Ok(text) => Ok(text),
        Err(_) => Err(InvalidMessage::Header(name.into())),
    };
    match find("v") {
        Some(b"1") => {}
        Some(other) => return Err(InvalidMessage::Version(String::from_utf8_lossy(other).into())),
        None => {
            let payload = ["payload", "data"].into_iter().find(|name| find(name).is_some());
            let value = payload.and_then(find).unwrap_or_default();
            let mut envelope = foreign(subject, value, None, position)?;
            for (name, value) in fields.iter().filter(|(name, _)| Some(*name) != payload) {
                envelope.headers_mut().insert(*name, text(name, value)?);
            }
            return Ok(envelope);
        }
    }
    let get = |name: &str| text(name, find(name).unwrap_or_default());
    let mut envelope =
        Envelope::unstamped(get("subject")?)?.with_id(get("id")?).with_source(get("source")?);
    envelope.set_trace(get("trace_id")?, get("span_id")?);
    if let time @ [_, ..] = find("time").unwrap_or_default() {
        envelope = envelope.with_time(text("time", time)?.parse()?);
    }
    for (name, value) in &fields {
        if let Some(key) = name.strip_prefix(HEADER) {
            envelope.headers_mut().insert(key, text(name, value)?);
        }
    }
    match (find("json"), find("bytes")) {
        (None, None) => {}
        (Some(json), None) => envelope = envelope.with_raw_payload(text("json", json)?)?,
        (None, Some(bytes)) => envelope = envelope.with_bytes(bytes),
        (Some(_), Some(_)) => return Err(InvalidMessage::Header("bytes".into())),
    }
    Ok(with_id(envelope, position))
}
