//! Envelopes as headers and a payload.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use smallvec::SmallVec;

use super::{BYTES, CONTENT_TYPE, InvalidMessage, JSON, cloud, foreign, is_json, trace, with_id};
use crate::envelope::compact::mqtt::begins_ours;
use crate::envelope::{Envelope, Headers, TraceParent};
use crate::hosted::engine::Reason;

const TRACE_PARENT: &str = "traceparent";

/// What the headers of an engine can carry, and in which form they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct NativeForm {
    carries: Carries,
    /// Before the attributes of a `CloudEvent`, if they are written as one.
    cloud: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Lines,
    Texts,
    Anything,
}

impl NativeForm {
    /// Lines with a colon, as in HTTP and NATS. Keys are visible ASCII characters without a colon.
    /// Values are without control characters, and without white space around them.
    pub const LINES: Self = Self { carries: Carries::Lines, cloud: None };
    /// Texts without the character NUL, as in MQTT 5.
    pub const TEXTS: Self = Self { carries: Carries::Texts, cloud: None };
    /// Texts, as in Kafka.
    pub const ANYTHING: Self = Self { carries: Carries::Anything, cloud: None };

    /// Writes a `CloudEvent` in the binary mode instead, with this before the names of attributes:
    /// `ce-` for HTTP and NATS, `ce_` for Kafka.
    ///
    /// The headers of `tickbus` itself are not written then. With the prefix `ce-`, values are
    /// escaped with `%`.
    pub const fn cloud_events(mut self, prefix: &'static str) -> Self {
        self.cloud = Some(prefix);
        self
    }

    fn check(self, key: &str, value: &str) -> Result<(), Reason> {
        let fits = match self.carries {
            Carries::Lines => {
                !key.is_empty()
                    && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
                    && !value.chars().any(char::is_control)
                    && value.trim() == value
            }
            Carries::Texts => !key.contains('\0') && !value.contains('\0'),
            Carries::Anything => true,
        };
        if fits { Ok(()) } else { Err(Reason::Header(key.into())) }
    }
}

/// An envelope as headers and a payload. The subject travels as the engine's own.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Native<'a> {
    /// Keys and values, in the order in which they are written.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The payload. It is empty if the envelope has none.
    pub payload: Cow<'a, [u8]>,
}

impl fmt::Debug for Native<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native")
            .field("headers", &self.headers)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish()
    }
}

/// Writes an envelope as headers and a payload.
///
/// # Errors
///
/// Returns [`Reason::Header`] with the key if the form cannot carry a header as it is. Returns
/// [`Reason::Refused`] if `form` asks for a `CloudEvent` and the envelope cannot be one.
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::wire::{self, NativeForm};
///
/// let hit = Envelope::unstamped("player.7.hit")?.with_id("17").with_key("7").with_payload(&12)?;
/// let native = wire::to_native(&hit, NativeForm::LINES)?;
/// assert_eq!(native.headers[1], ("tb-id".into(), "17".into()));
///
/// let headers = native.headers.iter().map(|(key, value)| (&**key, value.as_bytes()));
/// let read = wire::from_native("player.7.hit", headers, &native.payload, || unreachable!("ours"))?;
/// assert_eq!(read, hit);
///
/// let error = wire::to_native(&hit.header("two\nlines", ""), NativeForm::LINES).unwrap_err();
/// assert_eq!(error.to_string(), r"the engine cannot carry the header `two\nlines`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_native(envelope: &Envelope, form: NativeForm) -> Result<Native<'_>, Reason> {
    let native = match form.cloud {
        None => plain(envelope)?,
        Some(prefix) => cloud::to_native(envelope, prefix)?,
    };
    for (key, value) in &native.headers {
        form.check(key, value)?;
    }
    Ok(native)
}

fn plain<'a>(envelope: &'a Envelope) -> Result<Native<'a>, Reason> {
    let mut headers: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
    let mut push = |key: &'static str, value: Cow<'a, str>| {
        if !value.is_empty() {
            headers.push((key.into(), value));
        }
    };
    push("tb-v", "1".into());
    push("tb-id", envelope.id().into());
    push("tb-time", envelope.time().map(|time| time.to_string()).unwrap_or_default().into());
    push("tb-source", envelope.source().into());
    push("tb-key", envelope.key().into());
    let has_ids = !(envelope.trace_id().is_empty() && envelope.span_id().is_empty());
    match envelope.trace_parent().filter(|_| has_ids) {
        Some(parent) => push(TRACE_PARENT, trace_text(envelope, parent).into()),
        None => {
            push("tb-trace-id", envelope.trace_id().into());
            push("tb-span-id", envelope.span_id().into());
        }
    }
    let (kind, default, payload) = match (envelope.payload(), envelope.bytes()) {
        (Some(json), _) => ("json", JSON, json.as_bytes()),
        (None, Some(bytes)) => ("bytes", BYTES, bytes),
        (None, None) => ("none", "", &[][..]),
    };
    let users_own =
        envelope.headers().iter().any(|(key, _)| key.eq_ignore_ascii_case(CONTENT_TYPE));
    if users_own {
        push("tb-payload", kind.into());
    } else {
        push(CONTENT_TYPE, default.into());
    }
    for (key, value) in envelope.headers().iter() {
        if key == Headers::KEY && !value.is_empty() {
            continue;
        }
        if key.eq_ignore_ascii_case(TRACE_PARENT) && has_ids {
            continue;
        }
        if begins_ours(key) {
            return Err(Reason::Header(key.into()));
        }
        headers.push((key.into(), value.into()));
    }
    Ok(Native { headers, payload: payload.into() })
}

/// Returns a key that is there twice. Those of `tickbus` are the same in any case.
fn is_twice<'h>(headers: &[(&'h str, &str)]) -> Option<&'h str> {
    const FEW: usize = 16;
    if headers.len() <= FEW {
        let keys = || headers.iter().map(|(key, _)| *key);
        let is_same = |key: &str, other: &str| {
            key.len() == other.len()
                && (key == other || begins_ours(key) && key.eq_ignore_ascii_case(other))
        };
        let earlier = |at: usize, key: &str| keys().take(at).any(|other| is_same(key, other));
        return keys().enumerate().find(|(at, key)| earlier(*at, key)).map(|(_, key)| key);
    }
    let folded = |key: &&'h str| {
        key.bytes().map({
            let ours = begins_ours(key);
            move |byte| if ours { byte.to_ascii_lowercase() } else { byte }
        })
    };
    let mut keys: SmallVec<[&str; 16]> = headers.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable_by(|a, b| folded(a).cmp(folded(b)));
    keys.windows(2).find(|pair| folded(&pair[0]).eq(folded(&pair[1]))).map(|pair| pair[1])
}

/// The text of the header where it names the same span: a later version says more than the ids.
fn trace_text(envelope: &Envelope, parent: TraceParent) -> String {
    let same = |text: &&str| {
        text.parse::<TraceParent>().is_ok_and(|header| {
            (header.trace_id(), header.span_id()) == (parent.trace_id(), parent.span_id())
        })
    };
    let mut headers = envelope.headers().iter();
    let header = headers.find(|(key, _)| key.eq_ignore_ascii_case(TRACE_PARENT));
    match header.map(|(_, text)| text).filter(same) {
        Some(text) => text.into(),
        None => parent.to_string(),
    }
}

/// Reads an envelope from headers and a payload. The case of the keys of `tickbus` does not matter.
///
/// A message without `tb-v` is foreign. Its id is what `position` returns, and so is that of a message
/// without `tb-id`. If a key is there
/// several times, a comma joins its values. The payload is JSON if the content type says so.
/// Without a content type, it is JSON if it is a JSON object or array. Otherwise it is bytes. A
/// `CloudEvent` in the binary mode is read as one.
///
/// # Errors
///
/// Returns [`InvalidMessage`] if the message is not what its headers say, or a header is not text.
pub fn from_native<'h>(
    subject: &str,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    payload: &[u8],
    position: impl FnOnce() -> String,
) -> Result<Envelope, InvalidMessage> {
    let texts = headers.into_iter().map(|(key, value)| match core::str::from_utf8(value) {
        Ok(text) => Ok((key, text)),
        Err(_) => Err(InvalidMessage::Header(key.into())),
    });
    let headers = texts.collect::<Result<Vec<_>, _>>()?;
    let find = |wanted: &str| {
        let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| *value)
    };
    match find("tb-v") {
        Some("1") => Ok(with_id(ours(subject, &headers, payload)?, position)),
        Some(other) => Err(InvalidMessage::Version(other.into())),
        None if ["ce-specversion", "ce_specversion"].into_iter().any(|key| find(key).is_some()) => {
            cloud::from_native(&headers, payload)
        }
        None => {
            let mut envelope = foreign(subject, payload, find(CONTENT_TYPE), position)?;
            for (key, value) in &headers {
                let old = envelope.headers().get(key);
                let value: String =
                    if old.is_empty() { (*value).into() } else { alloc::format!("{old}, {value}") };
                envelope.headers_mut().insert(*key, value);
            }
            if let Some(text) = find(TRACE_PARENT) {
                trace(&mut envelope, text);
            }
            Ok(envelope)
        }
    }
}

fn ours(
    subject: &str,
    headers: &[(&str, &str)],
    payload: &[u8],
) -> Result<Envelope, InvalidMessage> {
    if let Some(key) = is_twice(headers) {
        return Err(InvalidMessage::Header(key.into()));
    }
    let mut envelope = Envelope::unstamped(subject)?;
    let (mut trace_id, mut span_id) = ("", "");
    let (mut content_types, mut kind) = (SmallVec::<[_; 1]>::new(), None);
    for (key, value) in headers {
        // Ours are read in any case. Those of the user differ by it.
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        match *value {
            _ if begins_ours(key) => match *value {
                value if is("tb-id") => envelope = envelope.with_id(value),
                value if is("tb-time") => envelope = envelope.with_time(value.parse()?),
                value if is("tb-source") => envelope = envelope.with_source(value),
                value if is("tb-key") => envelope = envelope.with_key(value),
                value if is("tb-trace-id") => trace_id = value,
                value if is("tb-span-id") => span_id = value,
                value if is("tb-payload") => kind = Some(value),
                _ => {} // the version, or of a later one
            },
            value if is(CONTENT_TYPE) => content_types.push((*key, value)),
            value if is(TRACE_PARENT) && trace(&mut envelope, value) => {}
            value => envelope.headers_mut().insert(*key, value),
        }
    }
    if !(trace_id.is_empty() && span_id.is_empty()) {
        envelope.set_trace(trace_id, span_id);
    }
    let kind = match (kind, &*content_types) {
        (Some(kind), headers) => {
            for (key, value) in headers {
                envelope.headers_mut().insert(*key, *value);
            }
            kind
        }
        (None, [(_, value), ..]) if is_json(value) => "json",
        (None, []) if payload.is_empty() => "none",
        (None, _) => "bytes",
    };
    match kind {
        "json" => {
            let text = core::str::from_utf8(payload);
            let text = text.map_err(|_| InvalidMessage::Header(CONTENT_TYPE.into()))?;
            Ok(envelope.with_raw_payload(text)?)
        }
        "bytes" => Ok(envelope.with_bytes(payload)),
        "none" if payload.is_empty() => Ok(envelope),
        _ => Err(InvalidMessage::Header("tb-payload".into())),
    }
}
