//! What a pool of workers holds, and what became of the rest: [`State`]. It has neither a lock nor a
//! clock, and settles nothing.

mod end;
mod intake;
mod time;
mod work;

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::task::Waker;
use core::time::Duration;

use hashbrown::HashMap;
use slab::Slab;
use tokio::task::AbortHandle;

use super::dead::Notice;
use super::keys::Keys;
use super::settings::Plan;
use crate::hosted::delivery::Delivery;
use crate::hosted::stats::HandlerStats;

/// How many first errors are known of events that the engine has back.
const ERRORS: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Takes nothing in, handles what there is, and ends at this time.
    Draining(Duration),
    /// Begins nothing.
    Closed,
}

/// Why what is left is not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Unsubscribed,
    Abandoned,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) left: Left,
    /// Nothing comes any more.
    pub(super) ended: bool,
    /// The task that takes in has ended.
    pub(super) pumped: bool,
    /// How many handlers were ended because the deadline had come.
    pub(super) cut: usize,
    pub(super) is_over: bool,
    /// The newest known lag, once nothing is taken in any more.
    pub(super) lag: Option<u64>,
    numbers: Vec<(Arc<str>, HandlerStats)>,
    jobs: Slab<Job>,
    ready: VecDeque<usize>,
    /// What has never begun, in the order in which it came: the first and the last. Only where the
    /// oldest makes room.
    fresh: Option<(usize, usize)>,
    parked: BinaryHeap<Reverse<(Duration, usize)>>,
    keys: Keys,
    /// First errors of events that the engine has back, by their sequence.
    errors: HashMap<u64, Box<str>, foldhash::fast::FixedState>,
    /// How many are held and have not begun.
    pub(super) waiting: usize,
    workers: Vec<Worker>,
    idle: Vec<usize>,
    /// How often handlers wait for the end of this pool.
    asks_own: usize,
    /// Takes in, and waits for something.
    pub(super) pump: Option<Waker>,
    /// When leases must be extended.
    pub(super) beat: Option<Duration>,
}

#[derive(Default)]
struct Worker {
    waker: Option<Waker>,
    is_listed: bool,
    busy: bool,
    abort: Option<AbortHandle>,
    /// It was ended because the deadline had come.
    cut: bool,
    /// How often its handler waits until others end.
    asks: usize,
    /// How often these others are those of this pool.
    asks_own: usize,
    /// It has ended its own pool, so it runs for as long as it likes.
    has_ended: bool,
}

impl Worker {
    const fn is_spared(&self, spares: bool) -> bool {
        spares && (self.asks > 0 || self.has_ended)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// On this worker.
    Running(usize),
    Parked,
}

struct Job {
    /// A worker has it while it runs.
    delivery: Option<Delivery>,
    engine: usize,
    key: Option<u64>,
    /// What comes before it, of the same key, and what behind it.
    before: Option<usize>,
    next: Option<usize>,
    /// What came before and after it, of what has never begun.
    older: Option<usize>,
    newer: Option<usize>,
    until: Duration,
    stage: Stage,
    /// Its lease has ended.
    lost: bool,
    /// Its call is counted already.
    called: bool,
    /// It is counted already.
    cut: bool,
    /// `None` until it has failed.
    past: Option<Box<Past>>,
}

/// How an event has failed so far.
#[derive(Default)]
struct Past {
    /// How often it was tried here.
    tried: u32,
    first_error: Option<Box<str>>,
    notice: Option<Box<Notice>>,
}

impl Job {
    fn past(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }
}

/// What a worker works on.
pub(super) struct Task {
    pub(super) id: usize,
    pub(super) engine: usize,
    /// `None` once it is settled.
    pub(super) delivery: Option<Delivery>,
    /// How often it was tried here.
    pub(super) tried: u32,
    /// When its lease ends.
    pub(super) until: Duration,
    /// It has come just now.
    pub(super) is_new: bool,
    pub(super) lost: bool,
    pub(super) notice: Option<Box<Notice>>,
}

/// What became of a task.
pub(super) enum Done {
    Handled,
    Retried,
    Failed {
        dead_lettered: bool,
    },
    Discarded,
    Expired,
    Returned,
    /// The subscription ended before it could be tried again.
    Left,
    /// It is tried again here.
    Parked(Box<Parked>),
}

/// What is tried again here.
pub(super) struct Parked {
    pub(super) delivery: Delivery,
    pub(super) due: Duration,
    pub(super) until: Duration,
    pub(super) notice: Option<Box<Notice>>,
}

/// What a call of the handler adds to the numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) called: bool,
    pub(super) panicked: bool,
    pub(super) timed_out: bool,
}

/// What is called, settled or dropped when the lock is free.
#[derive(Default)]
#[must_use]
pub(super) struct After {
    pub(super) worker: Option<Waker>,
    pub(super) pump: Option<Waker>,
    pub(super) workers: Vec<Waker>,
    pub(super) dropped: Option<Delivery>,
    pub(super) given_back: Vec<Delivery>,
    /// Those that wait for the end must look again.
    pub(super) ended: bool,
}

impl After {
    /// Returns what wakes the task that takes in.
    pub(super) fn pump(pump: Option<Waker>) -> Self {
        Self { pump, ..Self::default() }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        let Self { worker, pump, workers, dropped, given_back, ended } = self;
        worker.is_none()
            && pump.is_none()
            && workers.is_empty()
            && dropped.is_none()
            && given_back.is_empty()
            && !*ended
    }
}

impl State {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            phase: Phase::Open,
            left: Left::Unsubscribed,
            ended: false,
            pumped: false,
            cut: 0,
            is_over: false,
            lag: None,
            numbers: alloc::vec![(plan.engine.clone(), HandlerStats::default())],
            jobs: Slab::new(),
            ready: VecDeque::new(),
            fresh: None,
            parked: BinaryHeap::new(),
            keys: Keys::default(),
            errors: HashMap::default(),
            waiting: 0,
            workers: (0..plan.workers).map(|_| Worker::default()).collect(),
            idle: Vec::with_capacity(plan.workers),
            asks_own: 0,
            pump: None,
            beat: None,
        }
    }

    pub(super) fn numbers(&self) -> &[(Arc<str>, HandlerStats)] {
        &self.numbers
    }

    pub(super) fn of(&mut self, engine: usize) -> &mut HandlerStats {
        &mut self.numbers[engine].1
    }

    fn engine(&mut self, name: Option<&Arc<str>>) -> usize {
        let Some(name) = name else { return 0 };
        let same = |(it, _): &(Arc<str>, _)| Arc::ptr_eq(it, name) || it == name;
        match self.numbers.iter().position(same) {
            Some(at) => at,
            None => {
                self.numbers.push((name.clone(), HandlerStats::default()));
                self.numbers.len() - 1
            }
        }
    }

    /// How many are held, those that run included.
    pub(super) fn held(&self) -> usize {
        self.jobs.len()
    }

    /// Returns whether there is something for a worker.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Nothing comes any more.
    pub(super) fn ends(&mut self) -> After {
        self.ended = true;
        After::pump(self.pump.take())
    }
}
