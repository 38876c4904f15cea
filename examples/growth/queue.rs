//! The simulation: events that pass stations one after the other, each a queue before some servers.
//!
//! It is event by event, in whole nanoseconds, with numbers from a generator of its own, so that it
//! says the same everywhere. What it assumes:
//!
//! - Devices publish independently of each other: the times between events are exponential.
//! - A station takes as long for each event. It works on the oldest first, and its queue has no end.
//!   So events leave a station in the order in which they came to it.
//! - The last station are the handlers. When one of its processes is killed, what that process has
//!   fetched comes again when the lease ends, and its handlers are back after a while.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A queue before `servers` that each take `service` nanoseconds for an event.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) name: &'static str,
    pub(crate) servers: usize,
    pub(crate) service: u64,
}

/// A process of handlers is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) at: u64,
    /// How many handlers it has.
    pub(crate) handlers: usize,
    /// How many events it has fetched.
    pub(crate) fetched: usize,
    pub(crate) lease: u64,
    pub(crate) back_after: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Events a second.
    pub(crate) rate: f64,
    pub(crate) seconds: u64,
    pub(crate) stations: Vec<Station>,
    /// What an event takes besides: networks, wake-ups.
    pub(crate) constant: u64,
    pub(crate) kill: Option<Kill>,
    pub(crate) seed: u64,
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// How busy each station was: 1 is always.
    pub(crate) busy: Vec<f64>,
    /// From publish to handled, in nanoseconds, sorted.
    pub(crate) lags: Vec<u64>,
    /// For each second: how many were handled, and the 99th percentile of their lags.
    pub(crate) by_second: Vec<(usize, u64)>,
    /// Events handled a second, within the time of the run.
    pub(crate) throughput: f64,
}

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An exponential time with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        let uniform = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -mean * uniform.ln()
    }
}

impl Run {
    /// Runs it. An event is its time of publish, and the time at which it is at a station.
    pub(crate) fn outcome(&self) -> Outcome {
        let end = self.seconds * SECOND;
        let mut events = self.published(end);
        let mut busy = Vec::with_capacity(self.stations.len());
        let last = self.stations.len() - 1;
        for (at, station) in self.stations.iter().enumerate() {
            let kill = self.kill.filter(|_| at == last);
            let worked = station.pass(&mut events, kill, end);
            busy.push(worked as f64 / (end as f64 * station.servers as f64));
        }
        let mut seconds = vec![Vec::new(); self.seconds as usize];
        let mut lags = Vec::with_capacity(events.len());
        for (published, handled) in events {
            let handled = handled + self.constant;
            lags.push(handled - published);
            if let Some(second) = seconds.get_mut((handled / SECOND) as usize) {
                second.push(handled - published);
            }
        }
        lags.sort_unstable();
        let throughput = seconds.iter().map(Vec::len).sum::<usize>() as f64 / self.seconds as f64;
        let by_second = seconds.into_iter().map(|mut lags| {
            lags.sort_unstable();
            (lags.len(), percentile(&lags, 99))
        });
        Outcome { busy, lags, by_second: by_second.collect(), throughput }
    }

    fn published(&self, end: u64) -> Vec<(u64, u64)> {
        let mut random = Random(self.seed);
        let (mean, mut now) = (SECOND as f64 / self.rate, 0.0);
        let mut events = Vec::with_capacity((self.rate * self.seconds as f64 * 1.05) as usize);
        loop {
            now += random.exponential(mean);
            let at = now as u64;
            if at >= end {
                return events;
            }
            events.push((at, at));
        }
    }
}

impl Station {
    /// Lets the events pass, in the order in which they come. Returns how long its servers have worked
    /// until `end`, added up.
    fn pass(&self, events: &mut [(u64, u64)], kill: Option<Kill>, end: u64) -> u64 {
        let mut free: BinaryHeap<Reverse<u64>> = (0..self.servers).map(|_| Reverse(0)).collect();
        let mut worked = 0;
        let mut begin = |free: &mut BinaryHeap<Reverse<u64>>, now: u64| {
            let Reverse(is_free) = free.pop().expect("a station has a server");
            let done = now.max(is_free) + self.service;
            free.push(Reverse(done));
            worked += done.min(end).saturating_sub(now.max(is_free).min(end));
            done
        };
        // Those that the killed process had fetched come again together, when its lease ends.
        let (mut fetched, mut due) = (0..0, u64::MAX);
        let mut next = kill;
        for at in 0..events.len() {
            let now = events[at].1;
            if let Some(kill) = next.take_if(|kill| now >= kill.at) {
                due = kill.at + kill.lease;
                fetched = at..(at + kill.fetched).min(events.len());
                let mut all = core::mem::take(&mut free).into_vec();
                all.sort_unstable();
                for Reverse(is_free) in all.iter_mut().take(kill.handlers) {
                    *is_free = (*is_free).max(kill.at + kill.back_after);
                }
                free = all.into();
            }
            if now >= due {
                for at in core::mem::take(&mut fetched) {
                    events[at].1 = begin(&mut free, due);
                }
                due = u64::MAX;
            }
            if !fetched.contains(&at) {
                events[at].1 = begin(&mut free, now);
            }
        }
        for at in fetched {
            events[at].1 = begin(&mut free, due);
        }
        worked
    }
}

impl Outcome {
    /// Returns a percentile of the lags, in milliseconds.
    pub(crate) fn millis(&self, percent: usize) -> f64 {
        percentile(&self.lags, percent) as f64 / 1e6
    }

    /// Returns the station that is busiest: the first bottleneck.
    pub(crate) fn bottleneck(&self) -> usize {
        let busiest = self.busy.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        busiest.map_or(0, |(at, _)| at)
    }
}

/// Returns a percentile of sorted figures: 0 if there are none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0)
}
