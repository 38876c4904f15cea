//! What cannot be written, and what cannot be read.

use core::error::Error;
use core::fmt;

/// A [`CompactEnvelope`](super::CompactEnvelope) cannot be written.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    TooSmall {
        /// How many bytes it must have at least.
        needed: usize,
    },
    /// The time is not a text such as `2026-08-01T12:30:00.25Z`, in UTC.
    Time,
    /// A header cannot be written.
    Header {
        /// Which one, counted from 0.
        index: usize,
        /// Why.
        why: &'static str,
    },
    /// MQTT has no topic for the subject or the pattern, or the prefix is not valid.
    Topic {
        /// Why.
        why: &'static str,
    },
    /// MQTT cannot carry the id, source, key or another text: it has a control character, one that
    /// Unicode never assigns, or more than 65,535 bytes.
    Text {
        /// The name of its user property.
        property: &'static str,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed } => {
                write!(f, "the buffer is too small: it needs {needed} bytes")
            }
            Self::Time => f.pad("not a time in UTC: write it as `2026-08-01T12:30:00.25Z`"),
            Self::Header { index, why } => write!(f, "header {index} cannot be written: {why}"),
            Self::Topic { why } => write!(f, "not possible as a topic: {why}"),
            Self::Text { property } => {
                write!(
                    f,
                    "MQTT cannot carry the `{property}`: it has characters that servers refuse"
                )
            }
        }
    }
}

impl Error for EncodeError {}

/// What came is not a [`CompactEnvelope`](super::CompactEnvelope).
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// It has a version of the form that this crate does not know.
    Version,
    /// It ends too early.
    Ended,
    /// It goes on behind its end.
    Rest,
    /// A length has more bytes than it needs, or is 2³² or more.
    Length,
    /// A text is not UTF-8.
    Text,
    /// The subject or the topic is not that of a subject.
    Subject,
    /// The time is not a time in UTC.
    Time,
    /// A header is there twice, or has a value that it must not have.
    Header,
    /// The payload is not what the form says.
    Payload,
    /// The buffer for the subject is too small.
    TooSmall {
        /// How many bytes it must have at least.
        needed: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Version => "the envelope has an unknown version of the form: update the reader",
            Self::Ended => "the envelope ends too early",
            Self::Rest => "the envelope goes on behind its end",
            Self::Length => {
                "a length in the envelope has more bytes than it needs, or is too large"
            }
            Self::Text => "a text in the envelope is not UTF-8",
            Self::Subject => "the envelope has no valid subject",
            Self::Time => "the envelope has a time that is not one in UTC",
            Self::Header => "a header is there twice, or has a wrong value",
            Self::Payload => "the payload is not what the envelope says",
            Self::TooSmall { needed } => {
                return write!(
                    f,
                    "the buffer for the subject is too small: it needs {needed} bytes"
                );
            }
        })
    }
}

impl Error for DecodeError {}
