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
    /// Whether the bus is started.
    pub started: bool,
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
        write!(f, "{enqueued} enqueued, {dropped} dropped")?;
        if !self.started {
            write!(f, ", paused with {} held", self.stats.held)?;
        }
        writeln!(f, "{}", if self.closed { ", closed" } else { "" })?;
        let patterns: Vec<_> = self.subscriptions.iter().map(|it| it.patterns.join(", ")).collect();
        let longest = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(|text| text.chars().count()).max().unwrap_or_default()
        };
        let width = longest(&mut patterns.iter().map(|text| &**text)).max("pattern".len());
        // A column more where one of them has a name.
        let named = longest(&mut self.subscriptions.iter().map(|info| &*info.name));
        let name = |name| Name { name, width: if named == 0 { 0 } else { named.max(4) } };
        let title = "overrun      received  dropped  pending  most";
        writeln!(f, "id  {}{:width$}  {title}", name("name"), "pattern")?;
        for (info, pattern) in self.subscriptions.iter().zip(&patterns) {
            let pending = [info.stats.pending.to_string(), info.capacity.to_string()].join("/");
            writeln!(
                f,
                "{:>2}  {}{pattern:width$}  {:11}  {:>8}  {:>7}  {:>7}  {:>4}{}",
                info.id,
                name(&info.name),
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

/// A cell of the column of names, which has no width where there are none.
struct Name<'a> {
    name: &'a str,
    width: usize,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.width == 0 {
            return Ok(());
        }
        write!(f, "{:width$}  ", self.name, width = self.width)
    }
}

/// One subscription of a bus at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// The number of the subscription, unique on its bus.
    pub id: u64,
    /// Its name. Empty if it has none.
    pub name: Box<str>,
    /// The texts of its patterns, in the order in which they were named.
    pub patterns: Vec<Box<str>>,
    /// How many envelopes fit into its buffer.
    pub capacity: usize,
    /// What the subscription does with an envelope for which it has no room.
    pub overrun: Overrun,
    /// Whether the subscription has ended.
    pub closed: bool,
    /// See [`Subscription::missed_replay`](super::Subscription::missed_replay).
    pub missed_replay: u64,
    /// Its numbers.
    pub stats: SubscriptionStats,
}

impl SubscriptionInfo {
    pub(super) fn of(queue: &Queue) -> Self {
        Self {
            id: queue.about.id,
            name: queue.about.name.clone(),
            patterns: queue.about.patterns.to_vec(),
            capacity: queue.about.capacity,
            overrun: queue.about.overrun,
            closed: queue.end == End::Closed,
            missed_replay: queue.about.missed_replay,
            stats: queue.stats(),
        }
    }
}
