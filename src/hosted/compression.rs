//! Payloads that are smaller on the way: [`Compression`], [`decompress`].

use alloc::string::String;
use core::error::Error;
use core::fmt;
use std::io::{self, Read, Write};

use flate2::GzBuilder;
use flate2::bufread::MultiGzDecoder;

use super::engine::BoxError;
use super::wire::encoding::{Before, CONTENT_ENCODING, content_encoding};
use super::wire::{CONTENT_TYPE, JSON, with_foreign_payload};
use crate::envelope::{Envelope, InvalidPayload};

/// How many bytes a decompressed payload has at most, if a subscription does not say it.
pub(super) const MAX_DECODED: usize = 64 << 20;

/// Which payloads are compressed: those above a size, if that makes them smaller.
///
/// A compressed payload is gzip. The envelope says so in the header `content-encoding`, and for a
/// payload of JSON without a content type of yours, in `content-type: application/json`. So a
/// program in any language can read it.
///
/// [`Compressed`](super::Compressed) applies it to each publish of an engine. Every subscription
/// decompresses by itself: see [`Subscribe::max_decoded`](super::Subscribe::max_decoded).
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::{Compression, decompress};
///
/// let compression = Compression::above(1024);
/// let small = Envelope::json("map.7.moved", "a short text")?;
/// assert_eq!(compression.compress(&small), None);
///
/// let map = Envelope::json("map.7.loaded", &".#".repeat(4096))?;
/// let sent = compression.compress(&map).expect("it shrinks");
/// assert_eq!(sent.headers().get("content-encoding"), "gzip");
/// assert!(sent.bytes().expect("gzip").len() < 100);
///
/// assert_eq!(decompress(&sent, 1 << 20)?, Some(map));
/// assert!(decompress(&sent, 1000).unwrap_err().to_string().contains("more than 1000 bytes"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Compression {
    above: usize,
}

/// What the headers of a compressed payload take.
const HEADERS: usize = 64;

impl Compression {
    /// Compresses payloads of more than so many bytes. Below 1 kB there is little to gain.
    pub const fn above(bytes: usize) -> Self {
        Self { above: bytes }
    }

    /// Returns the envelope with a compressed payload. Returns `None` if the envelope travels as it
    /// is: the payload is not above the size or does not shrink, or the envelope has a header
    /// `content-encoding` already.
    ///
    /// This computes for about 6 ms for each MiB and never waits.
    #[must_use]
    pub fn compress(self, envelope: &Envelope) -> Option<Envelope> {
        let (payload, is_json) = match (envelope.payload(), envelope.bytes()) {
            (Some(json), _) => (json.as_bytes(), true),
            (None, Some(bytes)) => (bytes, false),
            (None, None) => return None,
        };
        let has =
            |name: &str| envelope.headers().iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if payload.len() <= self.above || has(CONTENT_ENCODING) {
            return None;
        }
        let before = match is_json {
            true if has(CONTENT_TYPE) => Before::TypedJson,
            true => Before::Json,
            false => Before::Bytes,
        };
        let compressed = gzip(payload, before).ok()?;
        if compressed.len() + HEADERS > payload.len() {
            return None;
        }
        let mut sent = envelope.clone().with_bytes(compressed).header(CONTENT_ENCODING, "gzip");
        if before == Before::Json {
            sent.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        Some(sent)
    }
}

/// Without a time or a file name: one payload is always compressed to the same bytes.
fn gzip(payload: &[u8], before: Before) -> io::Result<alloc::vec::Vec<u8>> {
    let builder = GzBuilder::new().extra(before.field());
    let mut encoder = builder.write(alloc::vec::Vec::new(), flate2::Compression::fast());
    encoder.write_all(payload)?;
    encoder.finish()
}

/// Returns the envelope with the payload that it had before it was compressed, also by another
/// program. Subscriptions do this by themselves.
///
/// Returns `None` if there is nothing to do: the envelope has no header `content-encoding`, or it
/// says something else than `gzip`. The payload of another program is JSON or bytes by its content
/// type.
///
/// # Errors
///
/// Returns [`InvalidCompression`] if the payload has more than `limit` bytes when it is decompressed,
/// or is not what the header says. It reads no further than `limit`.
pub fn decompress(
    envelope: &Envelope,
    limit: usize,
) -> Result<Option<Envelope>, InvalidCompression> {
    let encoding = content_encoding(envelope).trim();
    let is_gzip = ["gzip", "x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
    let (true, Some(compressed)) = (is_gzip, envelope.bytes()) else { return Ok(None) };
    let payload = gunzip(compressed, limit)?;
    let mut decoded = envelope.clone();
    decoded.headers_mut().remove_in_any_case(CONTENT_ENCODING);
    let before = Before::of(compressed);
    if before == Some(Before::Json) {
        decoded.headers_mut().remove(CONTENT_TYPE);
    }
    Ok(Some(match before {
        Some(Before::Json | Before::TypedJson) => {
            let text = String::from_utf8(payload).map_err(InvalidCompression::corrupt)?;
            decoded.with_raw_payload(text).map_err(InvalidCompression::Payload)?
        }
        Some(Before::Bytes) => decoded.with_bytes(payload),
        None => {
            let names = [CONTENT_TYPE, "datacontenttype"];
            let types = names.map(|name| envelope.headers().get_in_any_case(name));
            let content_type = types.into_iter().find(|it| !it.is_empty());
            with_foreign_payload(decoded.with_bytes([]), &payload, content_type)
        }
    }))
}

fn gunzip(compressed: &[u8], limit: usize) -> Result<alloc::vec::Vec<u8>, InvalidCompression> {
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut payload = alloc::vec::Vec::new();
    let mut decoder = MultiGzDecoder::new(compressed).take(one_more);
    decoder.read_to_end(&mut payload).map_err(InvalidCompression::corrupt)?;
    if payload.len() > limit {
        return Err(InvalidCompression::TooLarge { limit });
    }
    Ok(payload)
}

/// A payload was not decompressed. Its event was received as it came.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidCompression {
    /// The payload has more bytes when it is decompressed than the subscription takes.
    #[non_exhaustive]
    TooLarge {
        /// How many bytes it may have.
        limit: usize,
    },
    /// The payload is not what `content-encoding` says: damaged, cut off, or something else.
    Corrupt(BoxError),
    /// The payload was compressed as JSON, and is not JSON.
    Payload(InvalidPayload),
}

impl InvalidCompression {
    fn corrupt(error: impl Into<BoxError>) -> Self {
        Self::Corrupt(error.into())
    }
}

impl fmt::Display for InvalidCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(
                f,
                "the payload has more than {limit} bytes when it is decompressed: \
                 raise `max_decoded` to receive it"
            ),
            Self::Corrupt(error) => {
                write!(f, "the payload is not gzip, as `content-encoding` says: {error}")
            }
            Self::Payload(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for InvalidCompression {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Corrupt(error) => error.source(),
            Self::Payload(error) => error.source(),
        }
    }
}
