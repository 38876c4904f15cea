//! What a broker measures, in the text format of Prometheus: [`BrokerPrometheus`].

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Display, Write};

use super::error::ExportError;
use super::prometheus::{LabelValue, checked};
use crate::hosted::broker::{BUCKETS, BrokerMetrics, EventMetrics};

/// Writes what a broker measures in the text format of Prometheus.
///
/// | name | labels | number |
/// |---|---|---|
/// | `eventbroker_events_published_total` | `source`, `type` | events that the broker published |
/// | `eventbroker_events_processed_total` | `source`, `type`, `status` | events whose handlers ended: `completed` or `failed` |
/// | `eventbroker_event_processing_duration_seconds` | `source`, `type` | how long they took: a histogram with [`BUCKETS`] |
/// | `eventbroker_queue_size` | | events that wait for a worker |
///
/// There are 5 sources, and as many types as the broker
/// [measures](crate::hosted::broker::BrokerBuilder::metric_types) and one more. So the series are
/// bounded, whatever types are published: at most 5 × 17 for each type.
///
/// Answer a request for `/metrics` with [`text`](Self::text), as
/// [`CONTENT_TYPE`](super::Prometheus::CONTENT_TYPE).
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::sync::Arc;
/// use tickbus::hosted::broker::{Broker, ProcessingMode};
/// use tickbus::hosted::export::BrokerPrometheus;
/// use tickbus::hosted::store::{EventRecord, EventSource, MemoryStore};
///
/// let broker = Broker::builder().store(Arc::new(MemoryStore::default()));
/// let broker = broker.mode(ProcessingMode::Synchronous).build()?;
/// broker.start()?;
/// broker.publish(EventRecord::new(EventSource::Database, "public", "users", "create")).await?;
///
/// let page = BrokerPrometheus::new().text(&broker.metrics());
/// let published = r#"{source="database",type="public.users.create"} 1"#;
/// assert!(page.contains(&format!("eventbroker_events_published_total{published}\n")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BrokerPrometheus {
    prefix: Box<str>,
}

const PREFIX: &str = "eventbroker";

impl BrokerPrometheus {
    /// Returns a writer of names that begin with `eventbroker_`.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: PREFIX.into() }
    }

    /// Returns a writer of names that begin with `prefix` and `_`.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError::Prefix`] as [`Prometheus`](super::Prometheus::with_prefix) does.
    pub fn with_prefix(prefix: &str) -> Result<Self, ExportError> {
        Ok(Self { prefix: checked(prefix)? })
    }

    /// Returns what a broker has measured.
    #[must_use]
    pub fn text(&self, metrics: &BrokerMetrics) -> String {
        let mut page = Page { text: String::new(), prefix: &self.prefix };
        let about = "Events that the broker published.";
        page.family("events_published_total", "counter", about);
        for series in &metrics.series {
            page.sample("events_published_total", Some(series), "", series.published);
        }
        let about = "Events whose handlers ended, by how.";
        page.family("events_processed_total", "counter", about);
        for series in &metrics.series {
            for (status, count) in [("completed", series.completed), ("failed", series.failed)] {
                let status = alloc::format!(",status=\"{status}\"");
                page.sample("events_processed_total", Some(series), &status, count);
            }
        }
        let about = "How long the handlers of an event took, retries included.";
        page.family("event_processing_duration_seconds", "histogram", about);
        for series in &metrics.series {
            page.histogram("event_processing_duration_seconds", series);
        }
        page.family("queue_size", "gauge", "Events that wait for a worker.");
        page.sample("queue_size", None, "", metrics.queue_size);
        page.text
    }
}

impl Default for BrokerPrometheus {
    fn default() -> Self {
        Self::new()
    }
}

struct Page<'a> {
    text: String,
    prefix: &'a str,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        let prefix = self.prefix;
        let _ = writeln!(self.text, "# HELP {prefix}_{name} {about}");
        let _ = writeln!(self.text, "# TYPE {prefix}_{name} {kind}");
    }

    /// `more` are labels with a comma before each.
    fn sample(
        &mut self,
        name: &str,
        series: Option<&EventMetrics>,
        more: &str,
        value: impl Display,
    ) {
        let prefix = self.prefix;
        let _ = write!(self.text, "{prefix}_{name}");
        if let Some(EventMetrics { source, event_type, .. }) = series {
            let event_type = LabelValue(event_type);
            let _ = write!(self.text, "{{source=\"{source}\",type=\"{event_type}\"{more}}}");
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn histogram(&mut self, name: &str, series: &EventMetrics) {
        let bucket = alloc::format!("{name}_bucket");
        let duration = &series.duration;
        let mut count = 0;
        for (bound, more) in BUCKETS.iter().zip(duration.buckets) {
            count += more;
            let bound = alloc::format!(",le=\"{bound}\"");
            self.sample(&bucket, Some(series), &bound, count);
        }
        self.sample(&bucket, Some(series), ",le=\"+Inf\"", duration.count());
        self.sample(&alloc::format!("{name}_sum"), Some(series), "", Seconds(duration.sum_nanos));
        self.sample(&alloc::format!("{name}_count"), Some(series), "", duration.count());
    }
}

/// Nanoseconds, as seconds without a rounding.
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{whole}");
        }
        let part = alloc::format!("{nanos:09}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}
