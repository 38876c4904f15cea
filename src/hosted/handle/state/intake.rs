//! What comes from the subscription: taken in, dropped, or put in the place of the oldest.

use alloc::boxed::Box;
use core::time::Duration;

use super::{After, Job, Left, Past, Phase, Stage, State, Task};
use crate::hosted::capabilities::Mode;
use crate::hosted::delivery::{Delivery, Gap, GapReason};
use crate::hosted::handle::keys::Keys;
use crate::hosted::handle::settings::Plan;
use crate::subject_bus::Overrun;

impl State {
    /// Returns whether it takes more in.
    pub(in crate::hosted::handle) fn wants(&self, plan: &Plan) -> bool {
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
    pub(in crate::hosted::handle) fn push(
        &mut self,
        plan: &Plan,
        delivery: Delivery,
        until: Duration,
    ) -> After {
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
    pub(in crate::hosted::handle) fn begin_with(
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
    pub(super) fn begins(&mut self, id: usize) {
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
    pub(in crate::hosted::handle) fn gap(&mut self, gap: Gap) {
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
}
