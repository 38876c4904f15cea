//! The crate `metrics`: [`MetricsFacade`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use ::metrics::{Counter, Unit};

use super::error::ExportError;
use super::prometheus::{PREFIX, checked};
use super::samples::{FAMILIES, samples};
use crate::hosted::stats::EngineStats;

/// Gives the numbers of engines to the recorder of the crate `metrics`, as counters.
///
/// The names and the label `engine` are those of [`Prometheus`](super::Prometheus). Install the
/// recorder first: the facade keeps the counters of an engine from the first
/// [`record`](Self::record) on.
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
    /// The names of the families.
    names: [String; FAMILIES.len()],
    counters: BTreeMap<Box<str>, [Counter; FAMILIES.len()]>,
}

impl MetricsFacade {
    /// Returns a facade whose names begin with `modular_eventbus_`.
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
        let names = FAMILIES.map(|family| alloc::format!("{prefix}_{}", family.name));
        Self { names, counters: BTreeMap::new() }
    }

    /// Sets the counters of these engines, and those of all of them under the name
    /// [`ALL`](super::ALL).
    pub fn record(&mut self, engines: &[EngineStats]) {
        if self.counters.is_empty() {
            for (name, family) in self.names.iter().zip(FAMILIES) {
                ::metrics::describe_counter!(name.clone(), Unit::Count, family.help);
            }
        }
        for sample in samples(engines) {
            if !self.counters.contains_key(sample.engine) {
                let engine = String::from(sample.engine);
                let counters = self
                    .names
                    .each_ref()
                    .map(|name| ::metrics::counter!(name.clone(), "engine" => engine.clone()));
                self.counters.insert(sample.engine.into(), counters);
            }
            let counters = &self.counters[sample.engine];
            for (counter, family) in counters.iter().zip(FAMILIES) {
                counter.absolute((family.value)(&sample));
            }
        }
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
            .field("engines", &self.counters.keys())
            .finish()
    }
}
