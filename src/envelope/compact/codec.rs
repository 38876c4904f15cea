//! The form of bytes.

use super::error::{DecodeError, EncodeError};
use super::fields::{CompactEnvelope, Payload};
use super::headers::{KEY, List};
use super::time::is_time;
use crate::subject::Subject;

const VERSION: u8 = 1;

impl<'a> CompactEnvelope<'a> {
    /// Returns how many bytes [`encode`](Self::encode) writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut len = 3; // version, payload and number of headers
        self.for_each_text(|text| len += length_len(text.len()) + text.len());
        len
    }

    /// Calls `write` with each text of the form, in its order.
    fn for_each_text(&self, mut write: impl FnMut(&'a [u8])) {
        for text in self.fields() {
            write(text.as_bytes());
        }
        for (key, value) in self.headers() {
            write(key.as_bytes());
            write(value.as_bytes());
        }
        if self.payload != Payload::None {
            write(self.payload_bytes());
        }
    }

    fn fields(&self) -> [&'a str; 7] {
        let subject = self.subject.as_str();
        [subject, self.id, self.time, self.source, self.key, self.trace_id, self.span_id]
    }

    /// Writes the envelope into `buffer` in the form of [bytes](super#bytes). Returns what it wrote:
    /// the first [`encoded_len`](Self::encoded_len) bytes.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::TooSmall`] with the needed length, [`EncodeError::Time`] if the time
    /// is not one, and [`EncodeError::Header`] if a key is there twice, is `key` beside or instead of
    /// [`key`](Self::key), or is number 256. The buffer has not changed then.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        self.check(|_, _| None)?;
        let count = self.headers().count();
        let Ok(count) = u8::try_from(count) else {
            return Err(EncodeError::Header { index: 255, why: "there are more than 255" });
        };
        let needed = self.encoded_len();
        let Some(out) = buffer.get_mut(..needed) else {
            return Err(EncodeError::TooSmall { needed });
        };
        out[0] = VERSION;
        out[1] = match self.payload {
            Payload::None => 0,
            Payload::Json(_) => 1,
            Payload::Bytes(_) => 2,
        };
        let (mut at, mut texts) = (2, 0);
        self.for_each_text(|text| {
            if texts == self.fields().len() {
                out[at] = count;
                at += 1;
            }
            texts += 1;
            at += write_length(&mut out[at..], text.len());
            out[at..at + text.len()].copy_from_slice(text);
            at += text.len();
        });
        if texts == self.fields().len() {
            out[at] = count; // 0, and there is no payload
        }
        Ok(out)
    }

    /// Reads an envelope that borrows from `bytes`, which [`encode`](Self::encode) wrote: all of
    /// them, and no more.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if the bytes are anything else. Whatever they are, it does not panic.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        if from.byte()? != VERSION {
            return Err(DecodeError::Version);
        }
        let kind = from.byte()?;
        let subject = Subject::new(from.text()?).map_err(|_| DecodeError::Subject)?;
        let mut envelope = Self::new(subject);
        envelope.id = from.text()?;
        envelope.time = from.text()?;
        envelope.source = from.text()?;
        envelope.key = from.text()?;
        envelope.trace_id = from.text()?;
        envelope.span_id = from.text()?;
        if !(envelope.time.is_empty() || is_time(envelope.time)) {
            return Err(DecodeError::Time);
        }
        let count = from.byte()?;
        let list = |count, from: &Reader<'a>| List::Encoded { count, bytes: from.0 };
        let headers = from.clone();
        for before in 0..count {
            let (key, value) = (from.text()?, from.text()?);
            let is_twice = list(before, &headers).iter().any(|(other, _)| other == key);
            let is_second = !(value.is_empty() && envelope.key.is_empty());
            if is_twice || key == KEY && is_second {
                return Err(DecodeError::Header);
            }
        }
        envelope.headers = list(count, &headers);
        envelope.payload = match kind {
            0 => Payload::None,
            1 => Payload::Json(from.text()?),
            2 => Payload::Bytes(from.bytes()?),
            _ => return Err(DecodeError::Payload),
        };
        if from.0.is_empty() { Ok(envelope) } else { Err(DecodeError::Rest) }
    }
}

/// Returns how many bytes a length has.
const fn length_len(length: usize) -> usize {
    let bits = (usize::BITS - length.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Returns how many bytes it wrote.
fn write_length(out: &mut [u8], mut length: usize) -> usize {
    let mut at = 0;
    while length > 0x7f {
        out[at] = (length & 0x7f) as u8 | 0x80;
        length >>= 7;
        at += 1;
    }
    out[at] = length as u8;
    at + 1
}

/// What is still to be read.
#[derive(Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Ended)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        let mut length = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(DecodeError::Length);
            }
            length |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                let length = usize::try_from(length).map_err(|_| DecodeError::Length)?;
                return if is_shortest { Ok(length) } else { Err(DecodeError::Length) };
            }
        }
        Err(DecodeError::Length)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Ended)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Text)
    }
}
