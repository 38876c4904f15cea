//! What workers take, and what they have done with it.

use alloc::boxed::Box;
use core::cmp::Reverse;
use core::task::Waker;

use tokio::task::AbortHandle;

use super::end::count_left;
use super::{After, Done, ERRORS, Job, Parked, Phase, Stage, State, Tally, Task, Worker};
use crate::hosted::capabilities::Mode;
use crate::hosted::handle::settings::Plan;

impl State {
    pub(in crate::hosted::handle) fn begin(&mut self, worker: usize, abort: AbortHandle) {
        self.workers[worker].abort = Some(abort);
    }

    /// Takes what a worker works on next.
    pub(in crate::hosted::handle) fn take(&mut self, worker: usize) -> Option<Task> {
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

    pub(super) fn works(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        worker.busy = true;
        worker.has_ended = false;
        worker.waker = None;
    }

    /// A worker waits for something.
    pub(in crate::hosted::handle) fn idles(
        &mut self,
        worker: usize,
        waker: Waker,
    ) -> Option<Waker> {
        let it = &mut self.workers[worker];
        if !core::mem::replace(&mut it.is_listed, true) {
            self.idle.push(worker);
        }
        it.waker.replace(waker)
    }

    pub(super) fn idle_worker(&mut self) -> Option<Waker> {
        while let Some(worker) = self.idle.pop() {
            self.workers[worker].is_listed = false;
            if let Some(waker) = self.workers[worker].waker.take() {
                return Some(waker);
            }
        }
        None
    }

    /// A worker takes no more of what is ready, so another has to.
    pub(in crate::hosted::handle) fn pass_on(&mut self) -> Option<Waker> {
        if self.ready.is_empty() { None } else { self.idle_worker() }
    }

    /// A worker is done with its task, whatever became of that. Returns whether those that wait for
    /// the end must look again.
    pub(in crate::hosted::handle) fn rests(&mut self, worker: usize) -> bool {
        self.workers[worker].busy = false;
        self.phase == Phase::Closed
    }

    /// Counts the call of a task that is not finished yet.
    pub(in crate::hosted::handle) fn called(&mut self, id: usize, tally: Tally) {
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
    pub(in crate::hosted::handle) fn is_busy(&self, spares: bool) -> bool {
        self.workers.iter().any(|it| it.busy && !it.is_spared(spares))
    }

    /// The handler of a worker begins to wait until others end, or no longer does.
    pub(in crate::hosted::handle) fn asks(&mut self, worker: usize, of_own: bool, begins: bool) {
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
    pub(in crate::hosted::handle) fn has_work(&self) -> bool {
        if self.asks_own == 0 || self.phase == Phase::Open {
            return !self.jobs.is_empty();
        }
        let asks = |worker: usize| self.workers[worker].asks_own > 0;
        let asks = |job: &Job| matches!(job.stage, Stage::Running(worker) if asks(worker));
        self.jobs.iter().any(|(_, job)| !asks(job))
    }

    /// Returns the first error of a task, or keeps this one as the first.
    pub(in crate::hosted::handle) fn first_error(&mut self, id: usize, error: &str) -> Box<str> {
        self.jobs[id].past().first_error.get_or_insert_with(|| error.into()).clone()
    }

    /// Counts what became of a task.
    pub(in crate::hosted::handle) fn finish(
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
    pub(super) fn remove(&mut self, id: usize) {
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
}
