//! What a pool of workers holds, and what became of the rest: [`State`]. It has neither a lock nor a
//! clock, and settles nothing.

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
use crate::hosted::capabilities::Mode;
use crate::hosted::delivery::{Delivery, Gap, GapReason};
use crate::hosted::stats::{Dropped, HandlerStats};
use crate::subject_bus::Overrun;

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

    /// Returns whether it takes more in.
    pub(super) fn wants(&self, plan: &Plan) -> bool {
        if self.ended || self.phase == Phase::Closed {
            return false;
        }
        let drains = self.phase != Phase::Open;
        match plan.mode {
            Mode::Durable if drains && plan.outlives_process => false,
            Mode::Durable => self.jobs.len() < plan.held,
            Mode::Live if plan.in_order => self.jobs.is_empty(),
            // One that is full drops, or lets the publishers wait.
            Mode::Live if plan.overrun == Overrun::Block || drains => self.waiting < plan.queue,
            Mode::Live => true,
        }
    }

    /// Takes in what came from the subscription.
    pub(super) fn push(&mut self, plan: &Plan, delivery: Delivery, until: Duration) -> After {
        let mut after = After::default();
        let engine = self.engine(delivery.other_engine());
        self.of(engine).received += 1;
        if self.phase == Phase::Closed {
            let left = self.left;
            let numbers = self.of(engine);
            match (plan.mode, left) {
                (Mode::Durable, _) => numbers.returned += 1,
                (Mode::Live, Left::Unsubscribed) => numbers.dropped.unsubscribed += 1,
                (Mode::Live, Left::Abandoned) => numbers.dropped.abandoned += 1,
            }
            after.dropped = Some(delivery);
            return after;
        }
        if plan.mode == Mode::Live && !plan.in_order && self.waiting >= plan.queue {
            let evicted = if plan.overrun == Overrun::DropOldest { self.evict() } else { None };
            let Some(evicted) = evicted else {
                self.of(engine).dropped.queue_full += 1;
                after.dropped = Some(delivery);
                return after;
            };
            after.dropped = Some(evicted);
        }
        let key = if plan.by_key { Keys::hash(delivery.envelope().key()) } else { None };
        let past = self.past(&delivery);
        self.of(engine).in_flight += 1;
        self.waiting += 1;
        let id = self.jobs.insert(Job {
            delivery: Some(delivery),
            engine,
            key,
            before: None,
            next: None,
            older: None,
            newer: None,
            until,
            stage: Stage::Waiting,
            lost: false,
            called: false,
            cut: false,
            past,
        });
        if plan.mode == Mode::Live && plan.overrun == Overrun::DropOldest {
            self.is_fresh(id);
        }
        match key.and_then(|key| self.keys.push(key, id)) {
            Some(before) => {
                self.jobs[before].next = Some(id);
                self.jobs[id].before = Some(before);
            }
            None => {
                self.ready.push_back(id);
                after.worker = self.idle_worker();
            }
        }
        if plan.can_extend && self.beat.is_none() {
            self.beat = Some(until.saturating_sub(plan.lease / 2));
            after.pump = self.pump.take();
        }
        after
    }

    /// Takes in what came from the subscription, for the worker that has asked for it and that
    /// handles in order: nothing else is held.
    pub(super) fn begin_with(
        &mut self,
        worker: usize,
        delivery: Delivery,
        until: Duration,
        task: &mut Option<Task>,
    ) -> Result<(), Delivery> {
        if self.phase == Phase::Closed || !self.jobs.is_empty() {
            return Err(delivery);
        }
        let engine = self.engine(delivery.other_engine());
        let past = self.past(&delivery);
        let numbers = self.of(engine);
        numbers.received += 1;
        numbers.in_flight += 1;
        let id = self.jobs.insert(Job {
            delivery: None,
            engine,
            key: None,
            before: None,
            next: None,
            older: None,
            newer: None,
            until,
            stage: Stage::Running(worker),
            lost: false,
            called: false,
            cut: false,
            past,
        });
        self.works(worker);
        *task = Some(Task {
            id,
            engine,
            delivery: Some(delivery),
            tried: 0,
            until,
            is_new: true,
            lost: false,
            notice: None,
        });
        Ok(())
    }

    /// Returns the first error of an event that the engine had back, if it is known.
    fn past(&mut self, delivery: &Delivery) -> Option<Box<Past>> {
        if self.errors.is_empty() {
            return None;
        }
        let first_error = self.errors.remove(&delivery.sequence()?)?;
        Some(Box::new(Past { first_error: Some(first_error), ..Past::default() }))
    }

    /// Removes the oldest that has never begun, and counts it.
    fn evict(&mut self) -> Option<Delivery> {
        let (id, _) = self.fresh?;
        self.begins(id);
        let Job { engine, key, before, next, .. } = self.jobs[id];
        let delivery = self.jobs[id].delivery.take();
        self.waiting -= 1;
        self.of(engine).in_flight -= 1;
        self.of(engine).dropped.queue_full += 1;
        match (key, before) {
            (Some(key), Some(before)) => {
                self.jobs.remove(id);
                self.jobs[before].next = next;
                match next {
                    Some(next) => self.jobs[next].before = Some(before),
                    None => drop(self.keys.push(key, before)),
                }
            }
            _ => {
                // It is the first, unless a key or a retry has held it up.
                let at = self.ready.iter().position(|it| *it == id);
                at.and_then(|at| self.ready.remove(at));
                self.remove(id);
            }
        }
        delivery
    }

    /// Adds what came last to what has never begun.
    fn is_fresh(&mut self, id: usize) {
        let last = self.fresh.map(|(_, last)| last);
        if let Some(last) = last {
            self.jobs[last].newer = Some(id);
        }
        self.jobs[id].older = last;
        self.fresh = Some((self.fresh.map_or(id, |(first, _)| first), id));
    }

    /// Removes a job from what has never begun, if it is there.
    fn begins(&mut self, id: usize) {
        let Some((first, last)) = self.fresh else { return };
        let job = &mut self.jobs[id];
        let (older, newer) = (job.older.take(), job.newer.take());
        if let Some(older) = older {
            self.jobs[older].newer = newer;
        }
        if let Some(newer) = newer {
            self.jobs[newer].older = older;
        }
        self.fresh = match (older, newer) {
            (None, None) if first != id => Some((first, last)),
            (None, None) => None,
            (older, newer) => Some((
                if older.is_none() { newer.unwrap_or(first) } else { first },
                if newer.is_none() { older.unwrap_or(last) } else { last },
            )),
        };
    }

    /// Counts what is missing.
    pub(super) fn gap(&mut self, gap: Gap) {
        let missed = gap.missed.unwrap_or(0);
        let stats = self.of(0);
        let dropped = match gap.reason {
            GapReason::Overflow => &mut stats.dropped.buffer_full,
            GapReason::Expired => &mut stats.dropped.expired,
            _ => return,
        };
        *dropped += missed;
        stats.received += missed;
    }

    // ---- Workers -------------------------------------------------------------------------------

    pub(super) fn begin(&mut self, worker: usize, abort: AbortHandle) {
        self.workers[worker].abort = Some(abort);
    }

    /// Takes what a worker works on next.
    pub(super) fn take(&mut self, worker: usize) -> Option<Task> {
        if self.phase == Phase::Closed {
            return None;
        }
        let id = self.ready.pop_front()?;
        self.waiting -= 1;
        self.begins(id);
        self.works(worker);
        let job = &mut self.jobs[id];
        job.stage = Stage::Running(worker);
        let (tried, notice) = match &mut job.past {
            Some(past) => (past.tried, past.notice.take()),
            None => (0, None),
        };
        Some(Task {
            id,
            engine: job.engine,
            delivery: job.delivery.take(),
            tried,
            until: job.until,
            is_new: false,
            lost: job.lost,
            notice,
        })
    }

    fn works(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        worker.busy = true;
        worker.has_ended = false;
        worker.waker = None;
    }

    /// A worker waits for something.
    pub(super) fn idles(&mut self, worker: usize, waker: Waker) -> Option<Waker> {
        let it = &mut self.workers[worker];
        if !core::mem::replace(&mut it.is_listed, true) {
            self.idle.push(worker);
        }
        it.waker.replace(waker)
    }

    fn idle_worker(&mut self) -> Option<Waker> {
        while let Some(worker) = self.idle.pop() {
            self.workers[worker].is_listed = false;
            if let Some(waker) = self.workers[worker].waker.take() {
                return Some(waker);
            }
        }
        None
    }

    /// A worker takes no more of what is ready, so another has to.
    pub(super) fn pass_on(&mut self) -> Option<Waker> {
        if self.ready.is_empty() { None } else { self.idle_worker() }
    }

    /// A worker is done with its task, whatever became of that. Returns whether those that wait for
    /// the end must look again.
    pub(super) fn rests(&mut self, worker: usize) -> bool {
        self.workers[worker].busy = false;
        self.phase == Phase::Closed
    }

    /// Counts the call of a task that is not finished yet.
    pub(super) fn called(&mut self, id: usize, tally: Tally) {
        let job = &mut self.jobs[id];
        job.called |= tally.called;
        let engine = job.engine;
        self.tally(engine, tally);
    }

    fn tally(&mut self, engine: usize, tally: Tally) {
        let numbers = self.of(engine);
        numbers.calls += u64::from(tally.called);
        numbers.panicked += u64::from(tally.panicked);
        numbers.timed_out += u64::from(tally.timed_out);
    }

    /// Returns whether a worker is busy. `spares`: but for those whose handler ends others.
    pub(super) fn is_busy(&self, spares: bool) -> bool {
        self.workers.iter().any(|it| it.busy && !it.is_spared(spares))
    }

    /// The handler of a worker begins to wait until others end, or no longer does.
    pub(super) fn asks(&mut self, worker: usize, of_own: bool, begins: bool) {
        let own = usize::from(of_own);
        let Worker { asks, asks_own, has_ended, .. } = &mut self.workers[worker];
        if begins {
            *has_ended |= of_own;
            *asks += 1;
            *asks_own += own;
            self.asks_own += own;
        } else {
            *asks -= 1;
            *asks_own -= own;
            self.asks_own -= own;
        }
    }

    /// Returns whether anything is held, but for what waits for the end of this pool.
    pub(super) fn has_work(&self) -> bool {
        if self.asks_own == 0 || self.phase == Phase::Open {
            return !self.jobs.is_empty();
        }
        let asks = |worker: usize| self.workers[worker].asks_own > 0;
        let asks = |job: &Job| matches!(job.stage, Stage::Running(worker) if asks(worker));
        self.jobs.iter().any(|(_, job)| !asks(job))
    }

    /// Returns the first error of a task, or keeps this one as the first.
    pub(super) fn first_error(&mut self, id: usize, error: &str) -> Box<str> {
        self.jobs[id].past().first_error.get_or_insert_with(|| error.into()).clone()
    }

    /// Counts what became of a task.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        id: usize,
        sequence: Option<u64>,
        tally: Tally,
        done: Done,
    ) -> Option<After> {
        let Job { engine, cut, .. } = self.jobs[id];
        if cut {
            self.remove(id);
            return None;
        }
        self.tally(engine, tally);
        let ends = match self.phase {
            Phase::Open => false,
            Phase::Draining(_) => plan.mode == Mode::Durable && plan.outlives_process,
            Phase::Closed => true,
        };
        let left = self.left;
        let numbers = &mut self.numbers[engine].1;
        let mut dropped = None;
        match done {
            Done::Handled => numbers.handled += 1,
            Done::Retried => {
                numbers.retried += 1;
                let past = self.jobs[id].past.as_mut();
                let error = past.and_then(|past| past.first_error.take());
                if let (Some(sequence), Some(error)) = (sequence, error) {
                    if self.errors.len() == ERRORS {
                        self.errors.clear(); // those that other members have tried stay for ever
                    }
                    self.errors.insert(sequence, error);
                }
            }
            Done::Failed { dead_lettered } => {
                numbers.failed += 1;
                numbers.dead_lettered += u64::from(dead_lettered);
            }
            Done::Discarded => numbers.dropped.discarded += 1,
            Done::Expired => numbers.dropped.expired += 1,
            Done::Returned => numbers.returned += 1,
            Done::Left => count_left(numbers, plan, left),
            Done::Parked(parked) if ends => {
                count_left(numbers, plan, left);
                dropped = Some(parked.delivery);
            }
            Done::Parked(parked) => {
                let Parked { delivery, due, until, notice } = *parked;
                let job = &mut self.jobs[id];
                job.delivery = Some(delivery);
                let past = job.past();
                past.tried += u32::from(notice.is_none()); // with one, it was not called again
                past.notice = notice;
                (job.stage, job.until, job.called) = (Stage::Parked, until, false);
                self.waiting += 1;
                self.parked.push(Reverse((due, id)));
                if plan.can_extend && self.beat.is_none() {
                    self.beat = Some(until.saturating_sub(plan.lease / 2));
                }
                return Some(After::pump(self.pump.take()));
            }
        }
        numbers.in_flight -= 1;
        self.remove(id);
        if self.ended || self.phase != Phase::Open {
            return Some(After { dropped, ..After::pump(self.pump.take()) });
        }
        None
    }

    /// Removes a job. What comes behind it is ready.
    fn remove(&mut self, id: usize) {
        let Job { key, next, .. } = self.jobs[id];
        drop(self.jobs.remove(id));
        match (key, next) {
            (_, Some(next)) if self.jobs.contains(next) => {
                self.jobs[next].before = None;
                self.ready.push_back(next);
            }
            (Some(key), None) if self.phase != Phase::Closed => self.keys.end(key, id),
            _ => {}
        }
    }

    // ---- Time ----------------------------------------------------------------------------------

    /// Returns whether anything waits for a time.
    pub(super) fn has_timers(&self) -> bool {
        !self.parked.is_empty() || self.beat.is_some() || matches!(self.phase, Phase::Draining(_))
    }

    /// Returns when the next of them is.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        let parked = self.parked.peek().map(|Reverse((due, _))| *due);
        let drains = if let Phase::Draining(until) = self.phase { Some(until) } else { None };
        parked.into_iter().chain(self.beat).chain(drains).min()
    }

    /// Makes ready what was parked until now.
    pub(super) fn unpark(&mut self, now: Duration) -> After {
        let mut after = After::default();
        while let Some(Reverse((due, _))) = self.parked.peek()
            && *due <= now
        {
            let Some(Reverse((_, id))) = self.parked.pop() else { break };
            self.jobs[id].stage = Stage::Waiting;
            self.ready.push_back(id);
            after.workers.extend(self.idle_worker());
        }
        after
    }

    /// Calls `each` with what has not begun and whose lease must be extended, and sets the new end.
    pub(super) fn extend(
        &mut self,
        plan: &Plan,
        now: Duration,
        mut each: impl FnMut(usize, &Delivery),
    ) {
        let until = now.saturating_add(plan.lease);
        let soon = now.saturating_add(plan.lease * 2 / 3);
        for (id, job) in &mut self.jobs {
            if let Some(delivery) = &job.delivery
                && !job.lost
                && job.until <= soon
            {
                each(id, delivery);
                job.until = until;
            }
        }
        let waits = self.jobs.iter().any(|(_, job)| job.delivery.is_some());
        self.beat = waits.then(|| now.saturating_add(plan.lease / 3));
    }

    /// The lease of what has not begun has ended.
    pub(super) fn lose(&mut self, id: usize, sequence: Option<u64>) {
        if let Some(job) = self.jobs.get_mut(id)
            && job.delivery.as_ref().is_some_and(|it| it.sequence() == sequence)
        {
            job.lost = true;
        }
    }

    // ---- The end -------------------------------------------------------------------------------

    /// Begins nothing any more. Returns what has not begun.
    pub(super) fn close(&mut self, plan: &Plan, left: Left) -> After {
        self.phase = Phase::Closed;
        self.left = left;
        let mut after = self.give_back(plan, left);
        after.pump = self.pump.take();
        after.workers.extend(self.workers.iter_mut().filter_map(|it| it.waker.take()));
        after
    }

    /// Removes what has not begun, and counts it.
    pub(super) fn give_back(&mut self, plan: &Plan, left: Left) -> After {
        let mut after = After::default();
        self.ready.clear();
        self.parked.clear();
        self.keys.clear();
        self.fresh = None;
        let Self { jobs, numbers, .. } = self;
        jobs.retain(|_, job| {
            (job.before, job.next) = (None, None);
            let Some(delivery) = job.delivery.take() else { return true };
            after.given_back.push(delivery);
            let numbers = &mut numbers[job.engine].1;
            numbers.in_flight -= 1;
            count_left(numbers, plan, left);
            false
        });
        // What runs still holds its key.
        for (id, job) in &*jobs {
            if let Some(key) = job.key {
                self.keys.push(key, id);
            }
        }
        self.waiting = 0;
        after
    }

    /// The deadline has come: what runs is abandoned. Returns the workers that run it. `spares`: but
    /// for those whose handler ends others.
    pub(super) fn cut(&mut self, spares: bool) -> Vec<AbortHandle> {
        for (_, job) in &mut self.jobs {
            if let Stage::Running(worker) = job.stage
                && !self.workers[worker].is_spared(spares)
                && !core::mem::replace(&mut job.cut, true)
            {
                let numbers = &mut self.numbers[job.engine].1;
                numbers.in_flight -= 1;
                numbers.calls += u64::from(!job.called);
                numbers.dropped.abandoned += 1;
            }
        }
        let mut ended = Vec::new();
        for it in &mut self.workers {
            if it.busy && !it.is_spared(spares) && !core::mem::replace(&mut it.cut, true) {
                ended.extend(it.abort.clone());
            }
        }
        self.is_over |= !ended.is_empty();
        self.cut += ended.len();
        ended
    }
}

fn count_left(numbers: &mut HandlerStats, plan: &Plan, left: Left) {
    let Dropped { unsubscribed, abandoned, .. } = &mut numbers.dropped;
    match (plan.mode, left) {
        (Mode::Live, Left::Unsubscribed) => *unsubscribed += 1,
        (Mode::Live, Left::Abandoned) => *abandoned += 1,
        // It ends with the process.
        (Mode::Durable, Left::Abandoned) if !plan.outlives_process => *abandoned += 1,
        (Mode::Durable, _) => numbers.returned += 1,
    }
}
