//! What the benches compare: rows of contenders that do the same work, each checked against the same reference.

mod bevy;
mod dispatch;
mod fan_out;
mod polled;
mod publish;
mod saturated;
mod threads;
mod timers;

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

/// Events in a frame, the work of one iteration where one thread does it all.
pub(crate) const FRAME: u64 = 1000;

/// Slots of every queue.
const CAPACITY: usize = 1024;

/// Events in a batch.
const BATCH: usize = 64;

/// Contenders that do the same work on the same events.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Events of one iteration.
    pub(crate) elements: u64,
    pub(crate) contenders: Vec<Contender>,
}

/// One way to do a row's work.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Does the work so many times, checks the results and returns the time that the work took.
    pub(crate) run: Box<dyn FnMut(u64) -> Duration>,
}

/// Every row, in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = publish::rows();
    rows.extend(dispatch::rows());
    rows.extend(fan_out::rows());
    rows.extend(threads::rows());
    rows.extend(polled::rows());
    rows.extend(saturated::rows());
    rows.extend(bevy::rows());
    rows.extend(timers::rows());
    rows
}

/// The event of all rows but dispatch: 16 bytes, `Copy`, and every half can be told from the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sample {
    key: u64,
    value: u64,
}

impl Sample {
    /// The key goes through `black_box`, so no publish loop turns into one vectorized fill.
    fn new(key: u64, salt: u64) -> Self {
        let key = black_box(key);
        Self { key, value: Self::value(key) ^ salt }
    }

    fn value(key: u64) -> u64 {
        key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Folds the event into a sum that also tells the order.
    fn fold(self, sum: u64) -> u64 {
        sum.rotate_left(5).wrapping_add(self.key ^ self.value)
    }
}

/// The sum of a frame, for each salt.
type Sums = [u64; 8];

/// What `frame` computes for each salt.
fn sums(frame: impl FnMut(u64) -> u64) -> Sums {
    let mut frame = frame;
    core::array::from_fn(|salt| frame(salt as u64))
}

/// A contender that runs frame after frame on one thread; successive frames carry different events.
fn frames(
    name: &'static str,
    expected: Sums,
    mut frame: impl FnMut(u64) -> u64 + 'static,
) -> Contender {
    let mut salt = 0;
    let run = Box::new(move |iterations| {
        let start = Instant::now();
        for _ in 0..iterations {
            let sum = frame(salt as u64);
            assert_eq!(sum, expected[salt], "{name} computed something else than the floor");
            salt = (salt + 1) % expected.len();
        }
        start.elapsed()
    });
    Contender { name, run }
}

/// Keeps one value for the rest of the program, so that every queue is as shared as a `static`.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
