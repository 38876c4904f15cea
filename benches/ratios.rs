//! One table of ratios: tickbus over each peer, from interleaved rounds in one run.
//!
//! `cargo bench -p tickbus-benches --bench ratios` runs all, `… --bench ratios -- exclusive` the rows whose name contains the
//! word; `--quick` runs fewer rounds, `--test` everything once, to see that it computes what the floor does.
//!
//! Each round runs every contender of a row once, in rotating order, so that what disturbs the machine
//! disturbs all alike. Rows on one thread tell the median of the rounds, those of Bevy the 25th percentile. Rows with threads tell the 10th percentile,
//! for the threads are pinned and whoever else wants a core can only make a round slower.

mod contenders;

use core::time::Duration;
use std::env;

use contenders::{Contender, FRAME, Row, rows};

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
    ("publish and drain, single producer", "rtrb", 1.0),
    ("frame of 1000 in 8 kinds, exclusive", "array + match", 1.4),
    ("frame of 1000 in 8 kinds, exclusive", "Bevy Messages x 8 with systems", 0.7),
    ("frame of 1000 in 8 kinds, shared", "ArrayQueue + match", 0.85),
    ("fan-out to 1", "disruptor, many producers", 1.0),
    ("fan-out to 1", "tokio broadcast", 0.15),
    ("fan-out to 8", "disruptor, many producers", 1.0),
    ("fan-out to 8", "tokio broadcast", 0.15),
    ("fan-out to 64", "disruptor, many producers", 1.0),
    ("fan-out to 64", "tokio broadcast", 0.15),
    ("fan-out to 1, single producer", "disruptor, single producer", 1.0),
    ("fan-out to 8, single producer", "disruptor, single producer", 1.0),
    ("fan-out to 64, single producer", "disruptor, single producer", 1.0),
    ("threads, 1 to 1", "rtrb, read in chunks", 1.0),
    ("threads, 1 to 1", "rtrb", 1.0),
    ("threads, 1 to 1, in batches of 64", "rtrb, in chunks", 1.0),
    ("threads, 2 to 1", "kanal", 1.0),
    ("threads, 2 to 1", "Mutex<Vec>, swapped", 1.0),
    ("threads, 2 to 1", "heapless mpmc", 1.0),
    ("threads, 2 to 1", "ArrayQueue", 1.0),
    ("threads, 2 to 1", "thingbuf", 1.0),
    ("threads, 2 to 1", "embassy Channel", 1.0),
    ("threads, 2 to 1", "Deque in a critical section", 1.0),
    ("threads, 2 to 1", "sync_channel", 1.0),
    ("drop-oldest on a full ring, exclusive", "HistoryBuf", 1.2),
    ("drop-oldest on a full ring, shared", "ArrayQueue::force_push", 0.7),
    ("drop-oldest on a full ring, shared", "embassy publish_immediate", 1.0),
    ("drain of an empty bus", "ArrayQueue", 0.5),
    ("bevy, 4096 from any thread to Messages", "crossbeam idiom", 0.35),
    ("bevy, 4096 to a frame slice", "MessageWriter::write", 0.35),
    ("bevy, 4096 to one batch trigger", "commands.trigger", 0.03),
    ("bevy, 4096 to an observer each", "commands.trigger", 0.9),
    ("bevy, burst of 16384 to Messages", "crossbeam idiom", 0.4),
    ("bevy, idle, each of 64", "message type", 1.5),
    ("10,000 timers up to 1000 ticks ahead: schedule", "BinaryHeap", 1.0),
    ("10,000 timers up to 1000 ticks ahead: fire", "BinaryHeap", 0.3),
    ("10,000 timers up to 10,000 ticks ahead: schedule", "BinaryHeap", 1.0),
    ("10,000 timers up to 10,000 ticks ahead: fire", "BinaryHeap", 0.5),
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
    let built = |row: &str| cfg!(feature = "bevy") || !row.starts_with("bevy");
    for (row, peer, _) in TARGETS.iter().filter(|(row, ..)| built(row)) {
        let known = |found: &Row| {
            found.name == *row && found.contenders.iter().any(|found| found.name == *peer)
        };
        assert!(rows.iter().any(known), "a target without a contender: {row}, {peer}");
    }
    println!("| row | contender | ns per event | tickbus / contender | target | |");
    println!("|---|---|--:|--:|--:|---|");
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

/// The nanoseconds per event of each contender.
fn measure(row: &mut Row, rounds: &Rounds) -> Vec<f64> {
    let bevy = row.name.starts_with("bevy");
    let threads = row.elements != FRAME && !bevy;
    let (rounds, percentile) = match (threads, bevy) {
        (true, _) => (rounds.threads, 10),
        (_, true) => (rounds.frames, 25),
        _ => (rounds.frames, 50),
    };
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
            figures[(figures.len() - 1) * percentile / 100]
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
    for (contender, figure) in row.contenders.iter().zip(figures) {
        let ratio = figures[0] / figure;
        let target =
            TARGETS.iter().find(|target| (target.0, target.1) == (row.name, contender.name));
        let verdict = match target {
            Some((.., target)) if ratio <= *target => format!("{target} | met"),
            Some((.., target)) => format!("{target} | MISSED"),
            None => "|".to_owned(),
        };
        println!("| {} | {} | {figure:.2} | {ratio:.2} | {verdict} |", row.name, contender.name);
    }
}
