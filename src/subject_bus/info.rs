//! A bus and its subscriptions at one moment, to be printed or serialised.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use super::observer::Overrun;
use super::queue::{End, Queue};
use super::stats::{SubjectBusStats, SubscriptionStats};

/// A bus at one moment: see [`SubjectBus::info`](super::SubjectBus::info).
///
/// It prints as a table with a line for each subscription. With the feature `json` it is
/// `Serialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubjectBusInfo {
    /// Whether the bus is closed.
    pub closed: bool,
    /// The numbers of the bus.
    pub stats: SubjectBusStats,
    /// The subscriptions whose handle is alive, in the order in which they were opened.
    pub subscriptions: Vec<SubscriptionInfo>,
}

impl fmt::Display for SubjectBusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubjectBusStats { published, subscriptions, totals, .. } = &self.stats;
        let (enqueued, dropped) = (totals.enqueued, totals.dropped());
        write!(f, "{published} published, {subscriptions} subscriptions, ")?;
        writeln!(
            f,
            "{enqueued} enqueued, {dropped} dropped{}",
            if self.closed { ", closed" } else { "" }
        )?;
        let patterns = self.subscriptions.iter().map(|info| info.pattern.chars().count());
        let width = patterns.max().unwrap_or_default().max("pattern".len());
        writeln!(f, "id  {:width$}  overrun      received  dropped  pending  most", "pattern")?;
        for info in &self.subscriptions {
            let pending = [info.stats.pending.to_string(), info.capacity.to_string()].join("/");
            writeln!(
                f,
                "{:>2}  {:width$}  {:11}  {:>8}  {:>7}  {:>7}  {:>4}{}",
                info.id,
                info.pattern,
                info.overrun,
                info.stats.received,
                info.stats.dropped(),
                pending,
                info.stats.high_water,
                if info.closed { "  closed" } else { "" }
            )?;
        }
        Ok(())
    }
}

/// One subscription of a bus at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// The number of the subscription, unique on its bus.
    pub id: u64,
    /// The text of its pattern.
    pub pattern: Box<str>,
    /// How many envelopes fit into its buffer.
    pub capacity: usize,
    /// What happens to an envelope for which there is no room.
    pub overrun: Overrun,
    /// Whether the subscription has ended.
    pub closed: bool,
    /// Its numbers.
    pub stats: SubscriptionStats,
}

impl SubscriptionInfo {
    pub(super) fn of(queue: &Queue) -> Self {
        Self {
            id: queue.about.id,
            pattern: queue.about.pattern().as_str().into(),
            capacity: queue.about.capacity,
            overrun: queue.about.overrun,
            closed: queue.end == End::Closed,
            stats: queue.stats(),
        }
    }
}
