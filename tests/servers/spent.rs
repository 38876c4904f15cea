//! What some work takes: time, and time on a processor, here and at a server.
//!
//! The second is near the same on a busy machine, where the first is not. It is known on Linux only.

use core::time::Duration;
use std::fs;
use std::time::Instant;

/// What some work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    time: Duration,
    here: u64,
    there: u64,
}

/// Begins with some work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    server: u32,
    began: Instant,
    here: u64,
    there: u64,
}

/// How many nanoseconds a thread was on a processor.
fn on_processor(of: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{of}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Watch {
    /// Watches this thread, and the first thread of a server.
    pub(crate) fn start(server: u32) -> Self {
        let there = on_processor(&format!("{server}/task/{server}"));
        Self { server, there, here: on_processor("thread-self"), began: Instant::now() }
    }

    pub(crate) fn stop(self) -> Spent {
        let time = self.began.elapsed();
        let (here, there) = (self.here, self.there);
        let now = Self::start(self.server);
        Spent { time, here: now.here - here, there: now.there - there }
    }
}

/// Prints medians of the time for each event, and means of the time on a processor. The last contender is the
/// engine.
pub(crate) fn show<const N: usize>(what: &str, of: usize, rounds: [Vec<Spent>; N]) {
    let median = |rounds: &Vec<Spent>| {
        let mut times: Vec<Duration> = rounds.iter().map(|it| it.time).collect();
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64 / of as f64
    };
    let times: Vec<f64> = rounds.iter().map(median).collect();
    let mean = |part: fn(&Spent) -> u64| -> Vec<String> {
        let mean = |rounds: &Vec<Spent>| {
            let sum: u64 = rounds.iter().map(part).sum();
            format!("{}", sum / (of * rounds.len()) as u64)
        };
        rounds.iter().map(mean).collect()
    };
    let (here, there) = (mean(|it| it.here).join(", "), mean(|it| it.there).join(", "));
    let shown: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
    let ratios: Vec<String> =
        times[..N - 1].iter().map(|time| format!("{:.2}", time / times[N - 1])).collect();
    println!(
        "{what}: {} ns, so the engine has {} of the throughput; on a processor {here} ns here, {there} ns at \
         the server",
        shown.join(", "),
        ratios.join(" and "),
    );
}
