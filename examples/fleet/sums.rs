//! The sums of Jepsen: what was acknowledged and not delivered is lost, what was delivered and never
//! attempted is unexpected.

use core::fmt;
use std::collections::HashMap;

/// What became of the events of one flow.
#[derive(Default)]
pub(crate) struct Sums {
    fates: HashMap<u64, Fate>,
    totals: Totals,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Fate {
    pub(crate) is_attempted: bool,
    pub(crate) is_acknowledged: bool,
    pub(crate) delivered: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) attempted: i64,
    pub(crate) acknowledged: i64,
    pub(crate) delivered: i64,
    /// Acknowledged and not delivered. Until the end, these are on the way.
    pub(crate) lost: i64,
    pub(crate) unexpected: i64,
    /// Delivered more than once.
    pub(crate) duplicated: i64,
    /// Delivered, although it was never acknowledged.
    pub(crate) recovered: i64,
}

impl Sums {
    /// Notes what a process has said of an event. Lines of two processes may come in any order.
    pub(crate) fn note(&mut self, id: u64, change: impl FnOnce(&mut Fate)) {
        let fate = self.fates.entry(id).or_default();
        self.totals.add(fate, -1);
        change(fate);
        self.totals.add(fate, 1);
    }

    pub(crate) const fn totals(&self) -> &Totals {
        &self.totals
    }
}

impl Totals {
    fn add(&mut self, fate: &Fate, by: i64) {
        let is_delivered = fate.delivered > 0;
        for (total, counts) in [
            (&mut self.attempted, fate.is_attempted),
            (&mut self.acknowledged, fate.is_acknowledged),
            (&mut self.delivered, is_delivered),
            (&mut self.lost, fate.is_acknowledged && !is_delivered),
            (&mut self.unexpected, is_delivered && !fate.is_attempted),
            (&mut self.duplicated, fate.delivered > 1),
            (&mut self.recovered, is_delivered && fate.is_attempted && !fate.is_acknowledged),
        ] {
            *total += if counts { by } else { 0 };
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, acknowledged, delivered, .. } = self;
        let Self { lost, unexpected, duplicated, recovered, .. } = self;
        write!(
            f,
            "attempted {attempted}, acknowledged {acknowledged}, delivered {delivered}, lost {lost}, \
             unexpected {unexpected}, duplicated {duplicated}, recovered {recovered}"
        )
    }
}
