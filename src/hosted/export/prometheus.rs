//! The text format of Prometheus: [`Prometheus`].

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};

use super::error::ExportError;
use super::samples::{Kind, SERIES, Series, samples};
use crate::hosted::stats::EngineStats;

/// What the names of metrics begin with by default.
pub(super) const PREFIX: &str = "modular_eventbus";

/// Returns the prefix if the names that begin with it are names of Prometheus.
pub(super) fn checked(prefix: &str) -> Result<Box<str>, ExportError> {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_valid =
        prefix.starts_with(begins) && prefix.chars().all(|c| begins(c) || c.is_ascii_digit());
    if is_valid {
        Ok(prefix.into())
    } else {
        let allowed = "letters of ASCII, digits and `_`, and not a digit first";
        Err(ExportError::prefix(prefix, allowed))
    }
}

/// Writes the numbers of engines in the text format of Prometheus.
///
/// Answer a request for `/metrics` with [`text`](Self::text), as
/// [`CONTENT_TYPE`](Self::CONTENT_TYPE).
///
/// | metric, behind the prefix | labels beside `engine` | number |
/// |---|---|---|
/// | `delivered_total` | | deliveries that were handled, failed or given back after a failure |
/// | `dropped_total` | | deliveries that no handler finished |
/// | `dropped_by_reason_total` | `reason` | the same, by the names of [`Dropped`](crate::hosted::Dropped) |
/// | `received_total`, `handled_total`, `retried_total`, `failed_total`, `dead_lettered_total`, `returned_total`, `calls_total`, `panicked_total`, `timed_out_total` | | those of [`HandlerStats`](crate::hosted::HandlerStats) |
/// | `without_handler_total` | | deliveries to subscriptions that have no handler |
/// | `published_total` | `outcome` | publishes, by the names of [`PublishStats`](crate::hosted::PublishStats) |
/// | `in_flight`, a gauge | | deliveries that wait for a worker, or that one works on |
/// | `lag`, a gauge, if the engine knows it | | events that subscriptions have still to receive |
///
/// # Examples
///
/// ```
/// use tickbus::hosted::EngineStats;
/// use tickbus::hosted::export::Prometheus;
///
/// let mut fast = EngineStats::new("fast".into());
/// fast.handlers.handled = 3;
/// let page = Prometheus::with_prefix("game")?.text(&[fast]);
///
/// assert!(page.contains("# TYPE game_delivered_total counter\n"));
/// assert!(page.contains("game_delivered_total{engine=\"fast\"} 3\n"));
/// assert!(page.contains("game_dropped_total{engine=\"_all\"} 0\n"));
/// # Ok::<(), tickbus::hosted::export::ExportError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prometheus {
    prefix: Box<str>,
}

impl Prometheus {
    /// The media type of the text.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Returns a writer of names that begin with `modular_eventbus_`, as [`export`](super) explains.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: PREFIX.into() }
    }

    /// Returns a writer of names that begin with `prefix` and `_`.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError::Prefix`] if it is empty, begins with a digit, or has another character
    /// than letters of ASCII, digits and `_`. Prometheus keeps `:` for names of its rules.
    pub fn with_prefix(prefix: &str) -> Result<Self, ExportError> {
        Ok(Self { prefix: checked(prefix)? })
    }

    /// Returns the numbers of these engines, and their sums under the name [`ALL`](super::ALL).
    #[must_use]
    pub fn text(&self, engines: &[EngineStats]) -> String {
        let (samples, prefix) = (samples(engines), &self.prefix);
        let mut text = String::new();
        let mut before = "";
        for Series { name, help, kind, label, value } in SERIES {
            if before != name {
                let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
                let _ = writeln!(text, "# HELP {prefix}_{name} {help}");
                let _ = writeln!(text, "# TYPE {prefix}_{name} {kind}");
                before = name;
            }
            for sample in &samples {
                let Some(value) = value(sample) else { continue };
                let _ = write!(text, "{prefix}_{name}{{engine=\"{}\"", LabelValue(&sample.engine));
                if let Some((key, label)) = label {
                    let _ = write!(text, ",{key}=\"{label}\"");
                }
                let _ = writeln!(text, "}} {value}");
            }
        }
        text
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self::new()
    }
}

/// Any text, as it stands between the quotes of a label.
pub(super) struct LabelValue<'a>(pub(super) &'a str);

impl fmt::Display for LabelValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
