//! A whole bus as it is now, to be printed or serialised.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use super::queue::{End, Queue};
use super::{Overrun, SubjectBus, SubjectBusStats, SubscriptionStats};

/// A bus as it is now: [`SubjectBus::info`].
///
/// It prints as a table, a line for each subscription. With the feature `json` it is `Serialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubjectBusInfo {
    /// Whether it is closed.
    pub closed: bool,
    /// Its numbers.
    pub stats: SubjectBusStats,
    /// The subscriptions whose handle is alive, in the order in which they were opened.
    pub subscriptions: Vec<SubscriptionInfo>,
}

impl SubjectBus {
    /// Everything there is to know, to be printed or serialised: the numbers of the bus and of each
    /// subscription. Publishers go on meanwhile, so the numbers of two subscriptions may be of different
    /// moments.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus, Overrun};
    ///
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.capacity(2).overrun(Overrun::DropOldest).open();
    /// let all = bus.subscribe(">")?.open();
    /// for lap in ["lap.1", "lap.2", "lap.3"] {
    ///     bus.publish(Envelope::new(lap)?)?;
    /// }
    /// all.close();
    ///
    /// assert_eq!(bus.info().to_string(), "\
    /// 3 published, 2 subscriptions, 6 delivered, 1 dropped
    /// id  pattern  when full    received  dropped  queued  most
    ///  1  lap.*    drop_oldest         0        1     2/2     2
    ///  2  >        drop_newest         0        0    3/64     3  closed
    /// ");
    /// # drop(laps);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn info(&self) -> SubjectBusInfo {
        SubjectBusInfo {
            closed: self.is_closed(),
            stats: self.stats(),
            subscriptions: self.subscriptions(),
        }
    }
}

impl fmt::Display for SubjectBusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubjectBusStats { published, subscriptions, deliveries, .. } = &self.stats;
        let (delivered, dropped) = (deliveries.delivered, deliveries.dropped());
        write!(f, "{published} published, {subscriptions} subscriptions, ")?;
        writeln!(
            f,
            "{delivered} delivered, {dropped} dropped{}",
            if self.closed { ", closed" } else { "" }
        )?;
        let patterns = self.subscriptions.iter().map(|info| info.pattern.chars().count());
        let width = patterns.max().unwrap_or_default().max("pattern".len());
        writeln!(f, "id  {:width$}  when full    received  dropped  queued  most", "pattern")?;
        for info in &self.subscriptions {
            let queued = [info.stats.pending.to_string(), info.capacity.to_string()].join("/");
            writeln!(
                f,
                "{:>2}  {:width$}  {:11}  {:>8}  {:>7}  {:>6}  {:>4}{}",
                info.id,
                info.pattern,
                info.when_full,
                info.stats.received,
                info.stats.dropped(),
                queued,
                info.stats.high_water,
                if info.closed { "  closed" } else { "" }
            )?;
        }
        Ok(())
    }
}

/// One subscription of a bus, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// Its number, unique on its bus.
    pub id: u64,
    /// The text of its pattern.
    pub pattern: Box<str>,
    /// How many envelopes may wait.
    pub capacity: usize,
    /// What happens to an envelope for which there is no room.
    pub when_full: Overrun,
    /// Whether it has ended.
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
            when_full: queue.about.when_full,
            closed: queue.end == End::Closed,
            stats: queue.stats(),
        }
    }
}
