//! What the header `content-encoding` says of a payload.

use crate::envelope::Envelope;

/// The standard term. The value is a name of HTTP, such as `gzip`.
pub(in crate::hosted) const CONTENT_ENCODING: &str = "content-encoding";

/// What a payload was before it was compressed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::hosted) enum Before {
    /// JSON without a content type of the user: the header `content-type` says so since.
    Json = b'j',
    /// JSON, and the content type is the user's.
    TypedJson = b'J',
    /// Bytes.
    Bytes = b'b',
}

/// A field of gzip with one byte, which readers that do not know it skip: RFC 1952, 2.3.1.1.
const FIELD: [u8; 4] = [b't', b'b', 1, 0];
/// Where the field is: after the fixed part of the header, and the length of all fields.
const FIELD_AT: usize = 12;

impl Before {
    /// Returns the field that says it.
    #[cfg(feature = "compression")]
    pub(in crate::hosted) const fn field(self) -> [u8; 5] {
        let [a, b, c, d] = FIELD;
        [a, b, c, d, self as u8]
    }

    /// Reads the field. `None` if another program has compressed the payload.
    pub(in crate::hosted) fn of(gzip: &[u8]) -> Option<Self> {
        const HAS_FIELDS: u8 = 4;
        if !gzip.starts_with(&[0x1f, 0x8b, 8]) || gzip.get(3)? & HAS_FIELDS == 0 {
            return None;
        }
        match gzip.get(FIELD_AT..)?.strip_prefix(&FIELD)?.first()? {
            b'j' => Some(Self::Json),
            b'J' => Some(Self::TypedJson),
            b'b' => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// Returns the encoding of a payload of bytes. Empty if there is none.
pub(in crate::hosted) fn content_encoding(envelope: &Envelope) -> &str {
    match envelope.bytes() {
        Some(_) => envelope.headers().get_in_any_case(CONTENT_ENCODING),
        None => "",
    }
}
