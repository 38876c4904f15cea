//! What every exporter sends: the numbers of each engine, and their sums.

use alloc::vec::Vec;

#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
use crate::hosted::broker::{BrokerMetrics, EventMetrics};
use crate::hosted::stats::{ALL, EngineStats};

/// How a number moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It also falls.
    Gauge,
}

/// A number of an engine, by its name in metrics. Series of one name follow each other.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    /// A label beside that of the engine, and its value.
    pub(super) label: Option<(&'static str, &'static str)>,
    /// `None` if the engine does not know it.
    pub(super) value: fn(&EngineStats) -> Option<u64>,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&EngineStats) -> Option<u64>,
) -> Series {
    Series { name, help, kind: Kind::Counter, label: None, value }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&EngineStats) -> Option<u64>,
) -> Series {
    Series { name, help, kind: Kind::Gauge, label: None, value }
}

const fn reason(reason: &'static str, value: fn(&EngineStats) -> Option<u64>) -> Series {
    let (name, help) =
        ("dropped_by_reason_total", "Deliveries that no handler finished, by reason.");
    Series { name, help, kind: Kind::Counter, label: Some(("reason", reason)), value }
}

const fn outcome(outcome: &'static str, value: fn(&EngineStats) -> Option<u64>) -> Series {
    let (name, help) = ("published_total", "Publishes, by outcome.");
    Series { name, help, kind: Kind::Counter, label: Some(("outcome", outcome)), value }
}

/// All numbers. The first two are those that dashboards of other buses know.
pub(super) const SERIES: [Series; 26] = [
    counter("delivered_total", "Deliveries that a handler ran for, well or badly.", |it| {
        Some(it.handlers.delivered())
    }),
    counter(
        "dropped_total",
        "Deliveries that no handler finished: no room, too old, discarded, unsubscribed or \
         abandoned.",
        |it| Some(it.handlers.dropped.total()),
    ),
    reason("buffer_full", |it| Some(it.handlers.dropped.buffer_full)),
    reason("queue_full", |it| Some(it.handlers.dropped.queue_full)),
    reason("expired", |it| Some(it.handlers.dropped.expired)),
    reason("discarded", |it| Some(it.handlers.dropped.discarded)),
    reason("unsubscribed", |it| Some(it.handlers.dropped.unsubscribed)),
    reason("abandoned", |it| Some(it.handlers.dropped.abandoned)),
    counter("received_total", "Deliveries that handlers took from their subscriptions.", |it| {
        Some(it.handlers.received)
    }),
    counter("handled_total", "Deliveries whose handler returned Ok.", |it| {
        Some(it.handlers.handled)
    }),
    counter("retried_total", "Deliveries given back to the engine after a failure.", |it| {
        Some(it.handlers.retried)
    }),
    counter("failed_total", "Deliveries whose last attempt failed.", |it| Some(it.handlers.failed)),
    counter("dead_lettered_total", "Failed deliveries that became a dead letter.", |it| {
        Some(it.handlers.dead_lettered)
    }),
    counter("returned_total", "Deliveries given back before a handler had finished them.", |it| {
        Some(it.handlers.returned)
    }),
    counter("calls_total", "Calls of handlers, further attempts included.", |it| {
        Some(it.handlers.calls)
    }),
    counter("panicked_total", "Calls of handlers that panicked.", |it| Some(it.handlers.panicked)),
    counter("timed_out_total", "Calls of handlers that took longer than their timeout.", |it| {
        Some(it.handlers.timed_out)
    }),
    counter("without_handler_total", "Deliveries to subscriptions that have no handler.", |it| {
        Some(it.without_handler)
    }),
    outcome("buffered", |it| Some(it.published.buffered)),
    outcome("accepted", |it| Some(it.published.accepted)),
    outcome("stored", |it| Some(it.published.stored)),
    outcome("duplicate", |it| Some(it.published.duplicate)),
    outcome("refused", |it| Some(it.published.refused)),
    outcome("unknown", |it| Some(it.published.unknown)),
    gauge("in_flight", "Deliveries that wait for a worker, or that one works on.", |it| {
        Some(it.handlers.in_flight)
    }),
    gauge("lag", "Events that subscriptions have still to receive.", |it| it.lag),
];

/// Returns the numbers of each engine, in the order of `engines`, and the sum of all as the last one.
/// A name comes once: two engines of one name are one.
pub(super) fn samples(engines: &[EngineStats]) -> Vec<EngineStats> {
    let mut samples = Vec::<EngineStats>::with_capacity(engines.len() + 1);
    let mut all = EngineStats::new(ALL.into());
    for stats in engines.iter().filter(|stats| &*stats.engine != ALL) {
        all.add(stats);
        match samples.iter_mut().find(|sample| sample.engine == stats.engine) {
            Some(sample) => sample.add(stats),
            None => samples.push(stats.clone()),
        }
    }
    samples.push(all);
    samples
}

/// A number of a broker. Those of one name follow each other.
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
pub(super) struct BrokerSample<'a> {
    pub(super) name: &'static str,
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "DogStatsD has neither"))]
    pub(super) help: &'static str,
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "DogStatsD has neither"))]
    pub(super) kind: Kind,
    /// The source and the type that it is of.
    pub(super) of: Option<&'a EventMetrics>,
    pub(super) status: Option<&'static str>,
    pub(super) value: u64,
    /// Its unit is a nanosecond, and that of the metric a second.
    pub(super) is_time: bool,
}

/// Returns the numbers of a broker. Of a histogram, they have the count and the sum.
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
pub(super) fn broker_samples(metrics: &BrokerMetrics) -> Vec<BrokerSample<'_>> {
    const PROCESSED: &str = "events_processed_total";
    type Value = fn(&EventMetrics) -> u64;
    let each: [(&str, &str, Option<&str>, Value); 5] = [
        ("events_published_total", "Events that the broker published.", None, |it| it.published),
        (PROCESSED, "Events whose handlers ended, by how.", Some("completed"), |it| it.completed),
        (PROCESSED, "Events whose handlers ended, by how.", Some("failed"), |it| it.failed),
        ("event_processing_duration_seconds_count", "Events whose handlers ended.", None, |it| {
            it.duration.count()
        }),
        (
            "event_processing_duration_seconds_sum",
            "How long all handlers took, retries included.",
            None,
            |it| it.duration.sum_nanos,
        ),
    ];
    let mut samples = Vec::with_capacity(metrics.series.len() * each.len() + 1);
    for (name, help, status, value) in each {
        let is_time = name.ends_with("_sum");
        let kind = if is_time { Kind::Gauge } else { Kind::Counter };
        samples.extend(metrics.series.iter().map(|of| BrokerSample {
            name,
            help,
            kind,
            of: Some(of),
            status,
            value: value(of),
            is_time,
        }));
    }
    samples.push(BrokerSample {
        name: "queue_size",
        help: "Events that wait for a worker.",
        kind: Kind::Gauge,
        of: None,
        status: None,
        value: metrics.queue_size,
        is_time: false,
    });
    samples
}
