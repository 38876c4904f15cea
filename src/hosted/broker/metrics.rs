//! What a broker measures, by source and type: [`BrokerMetrics`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::hosted::store::{EventRecord, EventSource};
use crate::sync::Lock;

/// The type under which a broker counts events of types that are beyond its
/// [limit](super::BrokerBuilder::metric_types).
pub const OTHER: &str = "_other";

/// The upper bounds of the buckets of a [`Histogram`], in seconds. They are the default ones of the
/// clients of Prometheus. One more bucket has what took longer.
pub const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The same in nanoseconds.
const BOUNDS: [u64; BUCKETS.len()] = {
    let mut bounds = [0; BUCKETS.len()];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = (BUCKETS[at] * 1e9) as u64;
        at += 1;
    }
    bounds
};

/// What a broker has measured until now: see [`Broker::metrics`](super::Broker::metrics).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BrokerMetrics {
    /// Events that wait for a worker.
    pub queue_size: u64,
    /// The numbers of each source and type, sorted by both. A type beyond the limit is in [`OTHER`].
    pub series: Vec<EventMetrics>,
}

/// Counts the events of one source and type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventMetrics {
    /// The source.
    pub source: EventSource,
    /// The type, or [`OTHER`].
    pub event_type: Arc<str>,
    /// Events that this broker published.
    pub published: u64,
    /// Events whose handlers ended well in this broker.
    pub completed: u64,
    /// Events of which a handler failed in this broker.
    pub failed: u64,
    /// How long the handlers of an event took, with retries and the waits before them.
    pub duration: Histogram,
}

/// Counts spans of time by their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// How many are in each bucket of [`BUCKETS`], and how many took longer. Not cumulative.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// The sum of all, in nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    /// Counts a span.
    pub(super) fn record(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The numbers of one source and type, while events change them.
#[derive(Default)]
pub(super) struct Series(Lock<Numbers>);

#[derive(Clone, Copy, Default)]
struct Numbers {
    published: u64,
    completed: u64,
    failed: u64,
    duration: Histogram,
}

impl Series {
    pub(super) fn published(&self) {
        self.0.lock().published += 1;
    }

    pub(super) fn processed(&self, is_completed: bool, took: Duration) {
        let mut numbers = self.0.lock();
        if is_completed {
            numbers.completed += 1;
        } else {
            numbers.failed += 1;
        }
        numbers.duration.record(took);
    }
}

/// The series of a broker. An event that is not the first of its type allocates nothing.
pub(super) struct Metrics {
    /// How many types have series of their own.
    most: usize,
    types: Lock<Types>,
}

/// The series of a type, by source.
type Types = HashMap<Arc<str>, Vec<(EventSource, Arc<Series>)>, RandomState>;

impl Metrics {
    pub(super) fn new(most: usize) -> Self {
        Self { most, types: Lock::new(HashMap::default()) }
    }

    /// The series of an event. `None` if nothing is measured.
    pub(super) fn of(&self, record: &EventRecord) -> Option<Arc<Series>> {
        let source = record.source.filter(|_| self.most > 0)?;
        let mut types = self.types.lock();
        let known = types.get(record.event_type());
        if let Some((_, series)) = known.and_then(|all| all.iter().find(|(of, _)| *of == source)) {
            return Some(series.clone());
        }
        let is_new = known.is_none();
        let types_of_their_own = types.len() - usize::from(types.contains_key(OTHER));
        let has_room = types_of_their_own < self.most;
        let event_type = if is_new && !has_room { OTHER } else { record.event_type() };
        let series = types.entry(event_type.into()).or_default();
        if let Some((_, series)) = series.iter().find(|(of, _)| *of == source) {
            return Some(series.clone());
        }
        let new = Arc::<Series>::default();
        series.push((source, new.clone()));
        Some(new)
    }

    pub(super) fn read(&self, queue_size: u64) -> BrokerMetrics {
        let types = self.types.lock();
        let each = types.iter().flat_map(|(event_type, series)| {
            series.iter().map(move |(source, series)| {
                let Numbers { published, completed, failed, duration } = *series.0.lock();
                let (source, event_type) = (*source, event_type.clone());
                EventMetrics { source, event_type, published, completed, failed, duration }
            })
        });
        let mut series: Vec<EventMetrics> = each.collect();
        drop(types);
        series.sort_by(|a, b| (&a.event_type, a.source).cmp(&(&b.event_type, b.source)));
        BrokerMetrics { queue_size, series }
    }
}
