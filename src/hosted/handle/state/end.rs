//! The end: what is given back, and what is cut.

use alloc::vec::Vec;

use tokio::task::AbortHandle;

use super::{After, Left, Phase, Stage, State};
use crate::hosted::capabilities::Mode;
use crate::hosted::handle::settings::Plan;
use crate::hosted::stats::{Dropped, HandlerStats};

impl State {
    /// Begins nothing any more. Returns what has not begun.
    pub(in crate::hosted::handle) fn close(&mut self, plan: &Plan, left: Left) -> After {
        self.phase = Phase::Closed;
        self.left = left;
        let mut after = self.give_back(plan, left);
        after.pump = self.pump.take();
        after.workers.extend(self.workers.iter_mut().filter_map(|it| it.waker.take()));
        after
    }

    /// Removes what has not begun, and counts it.
    pub(in crate::hosted::handle) fn give_back(&mut self, plan: &Plan, left: Left) -> After {
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
    pub(in crate::hosted::handle) fn cut(&mut self, spares: bool) -> Vec<AbortHandle> {
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

pub(super) fn count_left(numbers: &mut HandlerStats, plan: &Plan, left: Left) {
    let Dropped { unsubscribed, abandoned, .. } = &mut numbers.dropped;
    match (plan.mode, left) {
        (Mode::Live, Left::Unsubscribed) => *unsubscribed += 1,
        (Mode::Live, Left::Abandoned) => *abandoned += 1,
        // It ends with the process.
        (Mode::Durable, Left::Abandoned) if !plan.outlives_process => *abandoned += 1,
        (Mode::Durable, _) => numbers.returned += 1,
    }
}
