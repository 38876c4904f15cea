//! What waits for a time: retries, leases, and the deadline.

use core::cmp::Reverse;
use core::time::Duration;

use super::{After, Phase, Stage, State};
use crate::hosted::delivery::Delivery;
use crate::hosted::handle::settings::Plan;

impl State {
    /// Returns whether anything waits for a time.
    pub(in crate::hosted::handle) fn has_timers(&self) -> bool {
        !self.parked.is_empty() || self.beat.is_some() || matches!(self.phase, Phase::Draining(_))
    }

    /// Returns when the next of them is.
    pub(in crate::hosted::handle) fn next_timer(&self) -> Option<Duration> {
        let parked = self.parked.peek().map(|Reverse((due, _))| *due);
        let drains = if let Phase::Draining(until) = self.phase { Some(until) } else { None };
        parked.into_iter().chain(self.beat).chain(drains).min()
    }

    /// Makes ready what was parked until now.
    pub(in crate::hosted::handle) fn unpark(&mut self, now: Duration) -> After {
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
    pub(in crate::hosted::handle) fn extend(
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
    pub(in crate::hosted::handle) fn lose(&mut self, id: usize, sequence: Option<u64>) {
        if let Some(job) = self.jobs.get_mut(id)
            && job.delivery.as_ref().is_some_and(|it| it.sequence() == sequence)
        {
            job.lost = true;
        }
    }
}
