//! What every exporter sends: two numbers of each engine, and their sums.

use alloc::vec::Vec;

use crate::hosted::stats::{ALL, EngineStats};

/// What is exported of one engine.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) engine: &'a str,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
}

/// A number of a sample, by its name in metrics.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) value: fn(&Sample<'_>) -> u64,
}

pub(super) const FAMILIES: [Family; 2] = [
    Family {
        name: "delivered_total",
        help: "Deliveries that a handler ran for, well or badly.",
        value: |sample| sample.delivered,
    },
    Family {
        name: "dropped_total",
        help: "Deliveries that no handler finished: no room, too old, discarded, unsubscribed or \
               abandoned.",
        value: |sample| sample.dropped,
    },
];

impl Sample<'_> {
    fn add(&mut self, delivered: u64, dropped: u64) {
        self.delivered = self.delivered.saturating_add(delivered);
        self.dropped = self.dropped.saturating_add(dropped);
    }
}

/// Returns a sample of each engine, in the order of `engines`, and the sum of all as the last one.
/// A name comes once: two engines of one name are one sample.
pub(super) fn samples(engines: &[EngineStats]) -> Vec<Sample<'_>> {
    let mut samples = Vec::<Sample<'_>>::with_capacity(engines.len() + 1);
    let mut all = Sample { engine: ALL, delivered: 0, dropped: 0 };
    for stats in engines.iter().filter(|stats| &*stats.engine != ALL) {
        let (delivered, dropped) = (stats.handlers.delivered(), stats.handlers.dropped.total());
        all.add(delivered, dropped);
        match samples.iter_mut().find(|sample| sample.engine == &*stats.engine) {
            Some(sample) => sample.add(delivered, dropped),
            None => samples.push(Sample { engine: &stats.engine, delivered, dropped }),
        }
    }
    samples.push(all);
    samples
}
