//! The crate `metrics`: [`MetricsFacade`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ::metrics::{Counter, Gauge, Label, Unit};

use super::error::ExportError;
use super::prometheus::{PREFIX, checked};
use super::samples::{Kind, SERIES, broker_samples, samples};
use crate::hosted::broker::BrokerMetrics;
use crate::hosted::stats::EngineStats;

/// Gives the numbers of engines to the recorder of the crate `metrics`, as counters
/// and gauges.
///
/// The names and the labels are those of [`Prometheus`](super::Prometheus). Install the recorder
/// first: the facade keeps the metrics of an engine from the first [`record`](Self::record) on.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tickbus::hosted::EngineStats;
/// use tickbus::hosted::export::{Exporter, MetricsFacade};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let stats = || vec![EngineStats::new("fast".into())]; // your engines
/// let mut facade = MetricsFacade::new();
/// let exporter =
///     Exporter::spawn(Duration::from_secs(5), stats, move |engines| facade.record(engines))?;
/// exporter.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MetricsFacade {
    prefix: Box<str>,
    /// The names of the series.
    names: [String; SERIES.len()],
    engines: BTreeMap<Box<str>, [Metric; SERIES.len()]>,
}

enum Metric {
    Counter(Counter),
    Gauge(Gauge),
}

impl MetricsFacade {
    /// Returns a facade whose names begin with `modular_eventbus_`, as [`export`](super) explains.
    #[must_use]
    pub fn new() -> Self {
        Self::of(PREFIX)
    }

    /// Returns a facade whose names begin with `prefix` and `_`.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError::Prefix`] as [`Prometheus`](super::Prometheus::with_prefix) does.
    pub fn with_prefix(prefix: &str) -> Result<Self, ExportError> {
        Ok(Self::of(&checked(prefix)?))
    }

    fn of(prefix: &str) -> Self {
        let names = SERIES.map(|series| alloc::format!("{prefix}_{}", series.name));
        Self { prefix: prefix.into(), names, engines: BTreeMap::new() }
    }

    /// Sets the metrics of these engines, and those of all of them under the name
    /// [`ALL`](super::ALL).
    pub fn record(&mut self, engines: &[EngineStats]) {
        if self.engines.is_empty() {
            self.describe();
        }
        for sample in samples(engines) {
            if !self.engines.contains_key(&*sample.engine) {
                let metrics = self.register(&sample.engine);
                self.engines.insert((*sample.engine).into(), metrics);
            }
            let metrics = &self.engines[&*sample.engine];
            for (metric, series) in metrics.iter().zip(SERIES) {
                let Some(value) = (series.value)(&sample) else { continue };
                match metric {
                    Metric::Counter(counter) => counter.absolute(value),
                    Metric::Gauge(gauge) => gauge.set(value as f64),
                }
            }
        }
    }

    /// Sets the metrics of a broker, with the names and labels of
    /// [`BrokerPrometheus`](super::BrokerPrometheus). Of the histogram, it sets the count and the sum.
    ///
    /// The names begin with the prefix of this facade: give a broker's one
    /// [`with_prefix("eventbroker")`](Self::with_prefix).
    pub fn record_broker(&self, metrics: &BrokerMetrics) {
        let mut before = "";
        for sample in broker_samples(metrics) {
            let name = alloc::format!("{}_{}", self.prefix, sample.name);
            let mut labels = Vec::new();
            if let Some(of) = sample.of {
                let source = alloc::format!("{}", of.source);
                labels.push(Label::new("source", source));
                labels.push(Label::new("type", String::from(&*of.event_type)));
            }
            labels.extend(sample.status.map(|status| Label::new("status", status)));
            let is_new = sample.name != core::mem::replace(&mut before, sample.name);
            let unit = if sample.is_time { Unit::Seconds } else { Unit::Count };
            match sample.kind {
                Kind::Counter => {
                    if is_new {
                        ::metrics::describe_counter!(name.clone(), unit, sample.help);
                    }
                    ::metrics::counter!(name, labels).absolute(sample.value);
                }
                Kind::Gauge => {
                    if is_new {
                        ::metrics::describe_gauge!(name.clone(), unit, sample.help);
                    }
                    let value = sample.value as f64;
                    let value = if sample.is_time { value / 1e9 } else { value };
                    ::metrics::gauge!(name, labels).set(value);
                }
            }
        }
    }

    fn describe(&self) {
        let mut before = "";
        for (name, series) in self.names.iter().zip(SERIES) {
            if series.name == core::mem::replace(&mut before, series.name) {
                continue;
            }
            let (name, help) = (name.clone(), series.help);
            match series.kind {
                Kind::Counter => ::metrics::describe_counter!(name, Unit::Count, help),
                Kind::Gauge => ::metrics::describe_gauge!(name, Unit::Count, help),
            }
        }
    }

    fn register(&self, engine: &str) -> [Metric; SERIES.len()] {
        core::array::from_fn(|at| {
            let (name, series) = (self.names[at].clone(), &SERIES[at]);
            let mut labels: Vec<Label> = Vec::from([Label::new("engine", String::from(engine))]);
            labels.extend(series.label.map(|(key, value)| Label::new(key, value)));
            match series.kind {
                Kind::Counter => Metric::Counter(::metrics::counter!(name, labels)),
                Kind::Gauge => Metric::Gauge(::metrics::gauge!(name, labels)),
            }
        })
    }
}

impl Default for MetricsFacade {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsFacade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsFacade")
            .field("names", &self.names)
            .field("engines", &self.engines.keys())
            .finish()
    }
}
