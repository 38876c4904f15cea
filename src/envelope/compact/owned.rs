//! Envelopes of programs with an allocator, as the bytes of devices.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::error::{DecodeError, EncodeError};
use super::fields::{CompactEnvelope, Payload};
use super::headers::{KEY, List};
use crate::envelope::fields::Envelope;

/// # Bytes for devices
///
/// The [compact](super) form is for lines, radios and records in flash, where JSON is too
/// large. A device reads and writes it without an allocator.
impl Envelope {
    /// Returns the envelope in the [compact](super) form.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::Header`] if the envelope has more than 255 headers.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::envelope::compact::CompactEnvelope;
    ///
    /// let command = Envelope::json("device.7.command", "led on")?.with_key("7");
    /// let bytes = command.to_compact()?;
    /// assert_eq!(Envelope::from_compact(&bytes)?, command);
    ///
    /// let on_the_device = CompactEnvelope::decode(&bytes)?;
    /// assert_eq!(on_the_device.id(), command.id());
    /// assert_eq!((on_the_device.key(), on_the_device.payload()), ("7", Some("\"led on\"")));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn to_compact(&self) -> Result<Vec<u8>, EncodeError> {
        let time = self.time().map_or_else(String::new, |time| time.to_string());
        let headers = self.headers().iter().filter(|(key, value)| *key != KEY || value.is_empty());
        let headers: Vec<_> = headers.collect();
        let compact = CompactEnvelope {
            subject: self.subject(),
            id: self.id(),
            time: &time,
            source: self.source(),
            key: self.key(),
            trace_id: self.trace_id(),
            span_id: self.span_id(),
            headers: List::Pairs(&headers),
            payload: match (self.payload(), self.bytes()) {
                (Some(json), _) => Payload::Json(json),
                (None, Some(bytes)) => Payload::Bytes(bytes),
                (None, None) => Payload::None,
            },
        };
        let mut bytes = alloc::vec![0; compact.encoded_len()];
        compact.encode(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads an envelope from its [compact](super) form.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if the bytes are anything else. [`DecodeError::Payload`] is also a
    /// payload that should be JSON and is not.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::try_from(CompactEnvelope::decode(bytes)?)
    }
}

impl TryFrom<CompactEnvelope<'_>> for Envelope {
    type Error = DecodeError;

    /// Copies a compact envelope.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError::Time`] if the time is not one, and [`DecodeError::Payload`] if a
    /// payload of JSON is not JSON.
    fn try_from(compact: CompactEnvelope<'_>) -> Result<Self, DecodeError> {
        let of_subject = Self::unstamped(compact.subject.as_str());
        let mut envelope = of_subject.map_err(|_| DecodeError::Subject)?.with_id(compact.id);
        if !compact.time.is_empty() {
            envelope = envelope.with_time(compact.time.parse().map_err(|_| DecodeError::Time)?);
        }
        for (key, value) in compact.headers() {
            envelope.headers_mut().insert(key, value);
        }
        envelope = envelope.with_source(compact.source);
        if !compact.key.is_empty() {
            envelope = envelope.with_key(compact.key);
        }
        (envelope.trace_id, envelope.span_id) = (compact.trace_id.into(), compact.span_id.into());
        match compact.payload {
            Payload::None => Ok(envelope),
            Payload::Json(json) => {
                envelope.with_raw_payload(json).map_err(|_| DecodeError::Payload)
            }
            Payload::Bytes(bytes) => Ok(envelope.with_bytes(bytes)),
        }
    }
}
