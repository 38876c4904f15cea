//! The sums of Jepsen: what was acknowledged and is not delivered is lost, what was delivered and never
//! attempted is unexpected.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use std::env;
use std::thread;
use std::time::{Instant, SystemTime};

#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) attempted: BTreeSet<u32>,
    pub(crate) acknowledged: BTreeSet<u32>,
    delivered: BTreeMap<u32, usize>,
}

impl Sums {
    pub(crate) fn deliver(&mut self, number: u32) {
        *self.delivered.entry(number).or_default() += 1;
    }

    pub(crate) fn has_all(&self) -> bool {
        self.acknowledged.iter().all(|number| self.delivered.contains_key(number))
    }

    pub(crate) fn check(&self, what: &str) {
        let delivered: BTreeSet<u32> = self.delivered.keys().copied().collect();
        let lost: Vec<_> = self.acknowledged.difference(&delivered).collect();
        let unexpected: Vec<_> = delivered.difference(&self.attempted).collect();
        let recovered = delivered.difference(&self.acknowledged).count();
        let duplicated = self.delivered.values().filter(|count| **count > 1).count();
        println!(
            "{what}: attempted {}, acknowledged {}, delivered {}, lost {}, unexpected {}, \
             duplicated {duplicated}, recovered {recovered}",
            self.attempted.len(),
            self.acknowledged.len(),
            delivered.len(),
            lost.len(),
            unexpected.len(),
        );
        assert!(
            lost.is_empty() && unexpected.is_empty(),
            "lost {lost:?}, unexpected {unexpected:?}"
        );
        assert!(self.acknowledged.len() > 20, "too little happened to say anything");
    }
}

/// Waits until so much more is acknowledged, however slow the machine is.
pub(crate) fn until_acknowledged(more: usize, acknowledged: impl Fn() -> usize) {
    let (began, wanted) = (Instant::now(), acknowledged() + more);
    while acknowledged() < wanted {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is acknowledged any more");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A time between these, which differs from run to run.
pub(crate) fn between(from: u64, to: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_millis(from + u64::from(now.subsec_nanos()) / 1000 % (to - from))
}

/// How often something is killed.
pub(crate) fn rounds() -> u32 {
    env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}
