//! A bus or a lane at one moment, for a log or a debugger.

use core::any::type_name;
use core::fmt;

use super::overrun::Taken;
use super::stats::Stats;

/// A bus or a lane at one moment: see [`Bus::info`](crate::Bus::info) and [`Lane::info`](crate::Lane::info).
///
/// It prints as one line. With the feature `serde` it is `Serialize`.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusInfo {
    /// The type of the events, as [`type_name`] has it.
    pub event: &'static str,
    /// How many events fit.
    pub capacity: usize,
    /// What a full one does: `reject`, `drop_oldest` or `drop_newest`.
    pub overrun: &'static str,
    /// What has happened so far, and how many events are pending.
    pub stats: Stats,
}

impl BusInfo {
    pub(super) fn of<E, P: Taken>(capacity: usize, stats: Stats) -> Self {
        Self { event: type_name::<E>(), capacity, overrun: P::LABEL, stats }
    }
}

/// One line: `game::Input: 2 of 64 pending, reject; published 9 = handled 6 + ..`, as [`Stats`] prints.
impl fmt::Display for BusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, capacity, overrun, stats } = self;
        write!(f, "{event}: {} of {capacity} pending, {overrun}; {stats}", stats.pending)
    }
}
