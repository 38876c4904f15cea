//! One table of ratios: tickbus over each peer, from interleaved rounds in one run.
//!
//! `cargo bench -p tickbus-benches --bench ratios` runs all, `… --bench ratios -- exclusive` the rows whose name contains the
//! word; `--quick` runs fewer rounds, `--test` everything once, to see that it computes what the floor does.
//!
//! Each round runs every contender of a row once, in rotating order, so that what disturbs the machine
//! disturbs all alike. The table says of each row which figure of the rounds it tells: the median; the 25th
//! percentile for Bevy's frames; the 10th for rows with threads, which are pinned, so that another program
//! that wants a core can only make a round slower. Where threads poll it is the median, for their rounds differ
//! by how the two sides fall into step.

mod contenders;

use core::time::Duration;
use std::env;

use contenders::{Contender, Row, rows};

/// The ratio that tickbus must reach against a peer of a row. The first contender of a row is tickbus.
const TARGETS: &[(&str, &str, f64)] = &[
    ("publish and drain, exclusive", "array", 1.25),
    ("publish and drain, exclusive", "heapless Deque", 0.9),
    ("publish and drain, shared", "kanal", 1.0),
    ("publish and drain, shared", "heapless mpmc", 0.8),
    ("publish and drain, shared", "ArrayQueue", 1.0),
    ("publish and drain, shared", "thingbuf", 1.0),
    ("publish and drain, shared", "embassy Channel", 1.0),
    ("publish and drain, shared", "Deque in a critical section", 1.0),
    ("publish and drain, shared", "sync_channel", 1.0),
    ("publish in batches of 64 and drain, shared", "array", 1.5),
    ("publish and drain, single publisher", "rtrb", 1.0),
    ("frame of 1000 in 8 kinds, exclusive", "array + match", 1.4),
    ("frame of 1000 in 8 kinds, exclusive", "Bevy Messages x 8 with systems", 0.7),
    ("frame of 1000 in 8 kinds, shared", "ArrayQueue + match", 0.85),
    ("frame of 1000 in 8 kinds at random", "rtrb + [fn; 8]", 1.05),
    ("publish and append to a vector, single publisher", "rtrb, read in chunks", 1.0),
    ("fan-out to 8", "disruptor, many publishers", 1.0),
    ("fan-out to 8", "tokio broadcast", 0.15),
    ("fan-out to 64", "disruptor, many publishers", 1.0),
    ("fan-out to 8, single publisher", "disruptor, single publisher", 1.0),
    ("fan-out to 64, single publisher", "disruptor, single publisher", 1.0),
    ("threads, 1 to 1", "rtrb, read in chunks", 1.0),
    ("threads, 1 to 1, in batches of 64", "rtrb, in chunks", 1.0),
    ("threads, 2 to 1", "kanal", 1.0),
    ("threads, 2 to 1", "Mutex<Vec>, swapped", 1.0),
    ("threads, 2 to 1", "heapless mpmc", 1.0),
    ("threads, 2 to 1", "ArrayQueue", 1.0),
    ("threads, 2 to 1", "thingbuf", 1.0),
    ("threads, 2 to 1", "embassy Channel", 1.0),
    ("threads, 2 to 1", "Deque in a critical section", 1.0),
    ("threads, 2 to 1", "sync_channel", 1.0),
    ("threads, 1 to 1, the consumer polls", "ArrayQueue", 3.0),
    ("threads, 2 to 1, the consumer polls", "ArrayQueue", 1.5),
    ("threads, ping-pong", "ArrayQueue", 0.85),
    ("drop-oldest on a full ring, exclusive", "HistoryBuf", 1.2),
    ("drop-oldest on a full ring, shared", "ArrayQueue::force_push", 0.7),
    ("drain of an empty bus", "ArrayQueue", 0.5),
    ("bevy, 4096 from any thread to Messages", "crossbeam idiom", 0.35),
    ("bevy, 4096 to a frame slice", "MessageWriter::write", 0.35),
    ("bevy, 4096 to one batch trigger", "commands.trigger", 0.03),
    ("bevy, 4096 to an observer each", "commands.trigger", 0.9),
    ("bevy, burst of 16384 to Messages", "crossbeam idiom", 0.4),
    ("bevy, idle, each of 64", "message type", 1.5),
    ("bevy, idle, the only one", "message type", 1.5),
    ("10,000 timers: tick with nothing due", "tickbus Timers, 100 pending", 1.1),
];

/// The nanoseconds per event that tickbus may take, where no ratio was asked for.
const LIMITS: &[(&str, f64)] = &[
    ("history: keep one event", 2.0),
    ("10,000 timers up to 1000 ticks ahead: schedule", 5.0),
    ("10,000 timers up to 1000 ticks ahead: fire", 5.0),
    ("10,000 timers up to 10,000 ticks ahead: schedule", 5.0),
    ("10,000 timers up to 10,000 ticks ahead: fire", 5.0),
];

/// How long one contender runs in one round.
const SLICE: Duration = Duration::from_micros(300);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let flag = |name| arguments.iter().any(|argument| argument == name);
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    // Cargo passes `--bench` from `cargo bench` only. Without it this is a test: everything once.
    let rounds = match (flag("--bench") && !flag("--test"), flag("--quick")) {
        (false, _) => Rounds { frames: 1, threads: 1 },
        (true, true) => Rounds { frames: 31, threads: 7 },
        (true, false) => Rounds { frames: 301, threads: 41 },
    };

    let rows = rows();
    for (row, peer, _) in TARGETS {
        let known = |found: &Row| {
            found.name == *row && found.contenders.iter().any(|found| found.name == *peer)
        };
        assert!(rows.iter().any(known), "a target without a contender: {row}, {peer}");
    }
    for (row, _) in LIMITS {
        assert!(rows.iter().any(|found| found.name == *row), "a limit without a row: {row}");
    }
    println!("| row | figure | contender | ns per event | tickbus / contender | target | |");
    println!("|---|---|---|--:|--:|--:|---|");
    for mut row in rows {
        if filters.is_empty() || filters.iter().any(|&filter| row.name.contains(filter)) {
            let figures = measure(&mut row, &rounds);
            print(&row, &figures);
        }
    }
}

struct Rounds {
    frames: usize,
    threads: usize,
}

/// Which of the figures of all rounds a row tells.
enum Figure {
    Median,
    Percentile25,
    /// Of turns that are the fastest of many themselves.
    Percentile25OfFastest,
    Percentile10,
}

impl Figure {
    fn of(row: &Row) -> Self {
        match row.name.split([',', ' ']).next() {
            Some("bevy") if row.name.starts_with("bevy, idle") => Self::Percentile25OfFastest,
            Some("bevy") => Self::Percentile25,
            Some("threads") if row.name.ends_with(", the consumer polls") => Self::Median,
            Some("threads") if row.name.ends_with(", ping-pong") => Self::Median,
            Some("threads") => Self::Percentile10,
            _ => Self::Median,
        }
    }

    const fn percent(&self) -> usize {
        match self {
            Self::Median => 50,
            Self::Percentile25 | Self::Percentile25OfFastest => 25,
            Self::Percentile10 => 10,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::Percentile25 => "25th percentile",
            Self::Percentile25OfFastest => "25th percentile of the fastest of 64",
            Self::Percentile10 => "10th percentile",
        }
    }
}

/// The nanoseconds per event of each contender.
fn measure(row: &mut Row, rounds: &Rounds) -> Vec<f64> {
    let figure = Figure::of(row);
    let threads = row.name.starts_with("threads");
    let rounds = if threads { rounds.threads } else { rounds.frames };
    let iterations: Vec<u64> = row
        .contenders
        .iter_mut()
        .map(|contender| if threads || rounds == 1 { 1 } else { iterations(contender) })
        .collect();

    let contenders = row.contenders.len();
    let mut figures = vec![Vec::with_capacity(rounds); contenders];
    for round in 0..rounds {
        for turn in 0..contenders {
            let which = (round + turn) % contenders;
            let elapsed = (row.contenders[which].run)(iterations[which]);
            let events = iterations[which] * row.elements;
            figures[which].push(elapsed.as_secs_f64() * 1e9 / events as f64);
        }
    }
    figures
        .into_iter()
        .map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[(figures.len() - 1) * figure.percent() / 100]
        })
        .collect()
}

/// How many iterations fill a slice; warms the contender up.
fn iterations(contender: &mut Contender) -> u64 {
    let mut iterations = 1;
    loop {
        let elapsed = (contender.run)(iterations);
        if elapsed >= SLICE {
            return (iterations as f64 * SLICE.div_duration_f64(elapsed)).ceil() as u64;
        }
        iterations *= 2;
    }
}

fn print(row: &Row, figures: &[f64]) {
    let name = Figure::of(row).name();
    for (which, (contender, figure)) in row.contenders.iter().zip(figures).enumerate() {
        let ratio = figures[0] / figure;
        let target =
            TARGETS.iter().find(|target| (target.0, target.1) == (row.name, contender.name));
        let limit = LIMITS.iter().find(|limit| which == 0 && limit.0 == row.name);
        let met = |is_met| if is_met { "met" } else { "MISSED" };
        let verdict = match (target, limit) {
            (Some((.., target)), _) => format!("{target} | {}", met(ratio <= *target)),
            (None, Some((_, limit))) => format!("{limit} ns | {}", met(*figure <= *limit)),
            (None, None) => "|".to_owned(),
        };
        println!(
            "| {} | {name} | {} | {figure:.2} | {ratio:.2} | {verdict} |",
            row.name, contender.name
        );
    }
}
