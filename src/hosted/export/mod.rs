//! Takes the numbers of engines to where you watch them.
//!
//! | to | type | feature |
//! |---|---|---|
//! | Prometheus, which asks for a page of text | [`Prometheus`] | |
//! | Prometheus, what a broker measures | [`BrokerPrometheus`] | |
//! | an agent of Datadog, by UDP | `DogStatsd` | `dogstatsd` |
//! | the recorder of the crate `metrics` | `MetricsFacade` | `metrics` |
//! | a destination of your own | [`Exporter`], which polls the numbers for you | |
//! | a tracer of OpenTelemetry | `Traced`, `Spans` | `opentelemetry` |
//!
//! [`Prometheus`], `DogStatsd` and `MetricsFacade` export the numbers of each engine, and of all engines under the name
//! [`ALL`]; `DogStatsd` and `MetricsFacade` also export those of a broker. *Delivered* is how many deliveries were handled, failed or given back after a failure,
//! and *dropped* is how many no handler finished. A sum over the label `engine` counts each twice:
//! leave [`ALL`] out of it. They read a slice of [`EngineStats`](super::EngineStats).
//! [`Prometheus`] has the list.
//!
//! Names of engines begin with `modular_eventbus` by default, those of `DogStatsd` with `modular.eventbus.`. The
//! event bus of the Go framework `modular` exports its `delivered_total` and `dropped_total` under these names, so
//! a dashboard for it can show both. Each exporter takes a prefix of your own.
//!
//! # Examples
//!
//! An exporter of your own, which logs what each engine dropped and why:
//!
//! ```
//! use core::time::Duration;
//! use tickbus::hosted::EngineStats;
//! use tickbus::hosted::export::Exporter;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let stats = || vec![EngineStats::new("fast".into())]; // your engines
//! let exporter = Exporter::spawn(Duration::from_secs(30), stats, |engines| {
//!     for engine in engines {
//!         for (reason, dropped) in engine.handlers.dropped.by_reason() {
//!             println!("{}: {dropped} dropped, {reason}", engine.engine);
//!         }
//!     }
//! })?;
//! exporter.close().await; // exports for the last time
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod broker;
#[cfg(feature = "dogstatsd")]
mod dogstatsd;
mod error;
mod exporter;
#[cfg(feature = "metrics")]
mod metrics;
mod prometheus;
mod samples;
#[cfg(feature = "opentelemetry")]
mod spans;
#[cfg(feature = "opentelemetry")]
mod traced;

pub use super::stats::ALL;
pub use broker::BrokerPrometheus;
#[cfg(feature = "dogstatsd")]
pub use dogstatsd::{DogStatsd, DogStatsdBuilder};
pub use error::ExportError;
pub use exporter::Exporter;
#[cfg(feature = "metrics")]
pub use metrics::MetricsFacade;
pub use prometheus::Prometheus;
#[cfg(feature = "opentelemetry")]
pub use spans::{Processed, Spans};
#[cfg(feature = "opentelemetry")]
pub use traced::Traced;
