//! Spans of time in a configuration: `250ms`, `1m30s`, or a number of seconds.

use alloc::format;
use core::fmt;
use core::time::Duration;

use jiff::SignedDuration;
use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// Longer ones are mistakes, and clocks end before.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const EXPECTED: &str = "a span of time, as `250ms`, `1m30s`, or a number of seconds";

pub(super) struct Span;

impl Visitor<'_> for Span {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Some(Duration::from_secs(seconds)).filter(|span| *span <= LONGEST).ok_or_else(too_long)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds);
        self.visit_u64(seconds.map_err(|_| E::custom("a span of time is not negative"))?)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        if seconds < 0.0 {
            return Err(E::custom("a span of time is not negative"));
        }
        let span = Duration::try_from_secs_f64(seconds).ok();
        span.filter(|span| *span <= LONGEST).ok_or_else(too_long)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        if let Ok(seconds) = text.parse() {
            return self.visit_u64(seconds);
        }
        // `P1D` would be one too, but means nothing to most readers.
        let plain = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let span: Option<SignedDuration> = text.parse().ok().filter(|_| plain);
        let Some(span) = span else { return Err(E::invalid_value(Unexpected::Str(""), &self)) };
        if span.is_negative() {
            return Err(E::custom("a span of time is not negative"));
        }
        Some(span.unsigned_abs()).filter(|span| *span <= LONGEST).ok_or_else(too_long)
    }
}

fn too_long<E: Error>() -> E {
    E::custom(format!("it is longer than {} years", LONGEST.as_secs() / (365 * 24 * 3600)))
}

/// Zero is a span too.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Span)
}

/// Not zero.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match span(deserializer)? {
        Duration::ZERO => Err(D::Error::custom("it must be longer than 0")),
        span => Ok(span),
    }
}

pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    span(deserializer).map(Some)
}

#[cfg(feature = "schema")]
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": ["string", "integer"],
        "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d)?)+$|\$\{",
        "minimum": 0,
        "description": "A span of time, as `250ms`, `1m30s`, or a number of seconds.",
    })
}
