//! What the tasks of a pool share: the task that takes in, the workers, and the handle.
//!
//! No code of a user runs under the lock of the state. The lock of the intake is held while the
//! engine is asked, by tasks of the pool alone.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::inside::Asks;
use super::ledger::Numbers;
use super::report::{ShutdownReport, ShutdownTimeout};
use super::settings::Plan;
use super::state::{After, Left, Phase, State, Task};
use crate::hosted::capabilities::Mode;
use crate::hosted::clock::Clock;
use crate::hosted::delivery::{Delivery, Verdict};
use crate::hosted::future::EngineFuture;
use crate::hosted::stats::HandlerStats;
use crate::hosted::subscribe::Deliveries;
use crate::sync::Lock;
use crate::wait::panics::Panics;

/// How many are taken in before other tasks have their turn.
const TURN: usize = 256;

/// How often a shutdown whose deadline has come asks for the intake.
const TRIES: usize = 64;

pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Lock<State>,
    intake: Lock<Intake>,
    /// Something has ended.
    pub(super) done: Notify,
    /// The deadline of a shutdown has come.
    pub(super) over: Notify,
}

struct Intake {
    /// `None` at the end.
    deliveries: Option<Deliveries>,
    is_closed: bool,
}

/// What a look for more has come to.
#[derive(PartialEq, Eq)]
enum Filled {
    /// There is no more, or no more is wanted.
    All,
    /// There may be more.
    More,
    /// The worker that asked has its task.
    Begun,
}

/// Waits until a time, and is made anew only for an earlier one.
#[derive(Default)]
pub(super) struct Sleep(Option<(Duration, EngineFuture<'static, ()>)>);

impl Sleep {
    pub(super) fn poll(
        &mut self,
        clock: &dyn Clock,
        at: Duration,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.0.as_ref().is_none_or(|(end, _)| *end > at) {
                self.0 = Some((at, clock.sleep_until(at)));
            }
            let Some((end, sleep)) = &mut self.0 else { return Poll::Pending };
            let end = *end;
            if Pin::new(sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.0 = None;
            if end >= at {
                return Poll::Ready(());
            }
        }
    }
}

/// Returns the lag, unless the engine panics.
fn lag(of: Option<&Deliveries>) -> Option<u64> {
    Panics::default().run(|| of?.lag()).flatten()
}

impl Shared {
    pub(super) fn new(plan: Plan, clock: Arc<dyn Clock>, deliveries: Deliveries) -> Self {
        let state = Lock::new(State::new(&plan));
        let intake = Lock::new(Intake { deliveries: Some(deliveries), is_closed: false });
        Self { plan, clock, state, intake, done: Notify::new(), over: Notify::new() }
    }

    /// Does what could not be done under the lock.
    #[inline]
    pub(super) fn after(&self, after: After) {
        if !after.is_nothing() {
            self.do_after(after);
        }
    }

    fn do_after(&self, after: After) {
        let After { worker, pump, workers, dropped, given_back, ended } = after;
        if ended {
            self.done.notify_waiters();
        }
        let mut panics = Panics::default();
        panics.wake(worker.into_iter().chain(pump).chain(workers));
        for delivery in dropped.into_iter().chain(given_back) {
            panics.run(|| delivery.retry_after(Duration::ZERO));
        }
    }

    // ---- Workers -------------------------------------------------------------------------------

    /// Waits for the next task of a worker. Ready without one at the end.
    pub(super) fn poll_task(
        &self,
        worker: usize,
        task: &mut Option<Task>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let in_order = self.plan.in_order;
        let mut filled = in_order;
        // Straight from the subscription, and woken by it: what would wait here is not taken in.
        if in_order && self.fill(context, Some((worker, &mut *task))) == Filled::Begun {
            return Poll::Ready(());
        }
        loop {
            let mut state = self.state.lock();
            *task = state.take(worker);
            if task.is_some() {
                // A full queue has a place again, for which a publisher may wait.
                let had_no_place = state.waiting + 1 == self.plan.queue;
                let pump = if had_no_place { state.pump.clone() } else { None };
                drop(state);
                if let Some(pump) = pump {
                    pump.wake();
                }
                return Poll::Ready(());
            }
            if state.phase == Phase::Closed {
                return Poll::Ready(());
            }
            if filled || !state.wants(&self.plan) {
                drop(state);
                let waker = context.waker().clone();
                let mut state = self.state.lock();
                // What came meanwhile has woken none.
                if state.phase == Phase::Closed || state.is_ready() {
                    drop(state);
                    filled = in_order;
                    continue;
                }
                let old = state.idles(worker, waker);
                drop(state);
                drop(old);
                return Poll::Pending;
            }
            // In the name of the task that takes in, so that it is the one that is woken.
            let pump = state.pump.clone();
            drop(state);
            filled = true;
            if let Some(pump) = pump {
                self.fill(&mut Context::from_waker(&pump), None);
            }
        }
    }

    /// Returns whether a lease that has begun just now may be too short for a call.
    pub(super) fn may_prolong(&self) -> bool {
        let Plan { lease, timeout, .. } = self.plan;
        timeout.is_some_and(|timeout| timeout.saturating_add(lease / 4) > lease)
    }

    /// Makes the lease of an event as long as a call may take. Returns when it ends.
    pub(super) fn prolong(&self, delivery: &Delivery, until: Duration, now: Duration) -> Duration {
        let Plan { lease, timeout, .. } = self.plan;
        let needs = timeout.map_or(lease, |timeout| lease.max(timeout.saturating_add(lease / 4)));
        if !self.plan.can_extend || until.saturating_sub(now) >= needs.saturating_sub(lease / 8) {
            return until;
        }
        Panics::default().run(|| delivery.extend(needs));
        now.saturating_add(needs)
    }

    // ---- Intake --------------------------------------------------------------------------------

    /// Takes in as much as there is, and as is wanted. `to` is a worker that asks for its next task.
    fn fill(
        &self,
        context: &mut Context<'_>,
        mut to: Option<(usize, &mut Option<Task>)>,
    ) -> Filled {
        let mut intake = self.intake.lock();
        if !self.state.lock().wants(&self.plan) {
            return Filled::All;
        }
        for _ in 0..TURN {
            let Some(deliveries) = &mut intake.deliveries else { return Filled::All };
            let mut panics = Panics::default();
            let next = panics.run(|| Pin::new(deliveries).poll_next(context));
            match next {
                Some(Poll::Pending) => return Filled::All,
                Some(Poll::Ready(Some(Ok(mut delivery)))) => {
                    let until = self.lease_ends();
                    let mut state = self.state.lock();
                    if let Some((worker, task)) = &mut to {
                        match state.begin_with(*worker, delivery, until, task) {
                            Ok(()) => return Filled::Begun,
                            Err(it) => delivery = it,
                        }
                    }
                    let after = state.push(&self.plan, delivery, until);
                    let wants = state.wants(&self.plan);
                    drop(state);
                    self.after(after);
                    if !wants {
                        return Filled::All;
                    }
                }
                Some(Poll::Ready(Some(Err(gap)))) => self.state.lock().gap(gap),
                // It panics, so nothing comes any more.
                None | Some(Poll::Ready(None)) => {
                    let after = self.state.lock().ends();
                    let deliveries = intake.deliveries.take();
                    drop(intake);
                    panics.dispose(deliveries);
                    self.after(after);
                    return Filled::All;
                }
            }
        }
        Filled::More
    }

    /// Returns when the lease of what has come just now ends.
    fn lease_ends(&self) -> Duration {
        match self.plan.mode {
            Mode::Live => Duration::ZERO,
            Mode::Durable => self.clock.now().saturating_add(self.plan.lease),
        }
    }

    /// The task that takes in, and that keeps the times.
    pub(super) fn poll_pump(&self, sleep: &mut Sleep, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let waker = context.waker().clone();
            let mut state = self.state.lock();
            let old = state.pump.replace(waker);
            let phase = state.phase;
            let timers = state.has_timers();
            drop(state);
            drop(old);
            if timers && phase != Phase::Closed {
                self.timers();
            }
            let phase = self.state.lock().phase;
            match phase {
                Phase::Open => {}
                Phase::Draining(_) => self.close_live(),
                Phase::Closed => {
                    self.end();
                    return Poll::Ready(());
                }
            }
            if self.fill(context, None) == Filled::More {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.is_done() {
                let after = self.state.lock().close(&self.plan, Left::Abandoned);
                self.after(after);
                continue;
            }
            // What changes from here on wakes this task.
            let Some(at) = self.state.lock().next_timer() else { return Poll::Pending };
            if sleep.poll(&*self.clock, at, context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Does what is due.
    fn timers(&self) {
        let now = self.clock.now();
        let mut keepers = Vec::new();
        let mut state = self.state.lock();
        let mut after = state.unpark(now);
        if state.beat.is_some_and(|beat| beat <= now) {
            state.extend(&self.plan, now, |id, delivery| {
                keepers.extend(delivery.keeper().map(|keeper| (id, keeper)));
            });
        }
        let mut cut = Vec::new();
        if let Phase::Draining(until) = state.phase
            && until <= now
        {
            let unparked = core::mem::take(&mut after.workers);
            after = state.close(&self.plan, Left::Abandoned);
            after.workers.extend(unparked);
            cut = state.cut(true);
        }
        drop(state);
        self.after(after);
        self.abort(cut);
        for (id, (settle, lease)) in keepers {
            let mut panics = Panics::default();
            let extended = panics.run(|| settle.settle(lease, Verdict::Extend(self.plan.lease)));
            if !matches!(extended, Some(Ok(()))) {
                self.state.lock().lose(id, lease.sequence);
            }
        }
    }

    /// Ends what still runs: the deadline of a shutdown has come.
    fn cut(&self, spares: bool) {
        let workers = self.state.lock().cut(spares);
        self.abort(workers);
    }

    fn abort(&self, workers: Vec<AbortHandle>) {
        if workers.is_empty() {
            return;
        }
        self.over.notify_waiters();
        for worker in workers {
            worker.abort();
        }
        self.done.notify_waiters();
    }

    /// A live subscription takes nothing in any more, and still gives out what it has.
    fn close_live(&self) {
        let mut intake = self.intake.lock();
        if self.plan.mode == Mode::Durable || core::mem::replace(&mut intake.is_closed, true) {
            return;
        }
        if let Some(deliveries) = &mut intake.deliveries {
            Panics::default().run(|| deliveries.close());
        }
    }

    /// Returns whether nothing is held, and nothing more comes.
    fn is_done(&self) -> bool {
        let state = self.state.lock();
        let (phase, ended, held, works) =
            (state.phase, state.ended, state.held(), state.has_work());
        drop(state);
        if works || phase == Phase::Open && !ended {
            return false;
        }
        // In a subscription that is closed, what is there now is all. Of a live one, everything is
        // taken in, unless a handler that asks for the end keeps the only place.
        ended
            || self.plan.mode == Mode::Live && held == 0
            || self.plan.outlives_process
            || lag(self.intake.lock().deliveries.as_ref()).unwrap_or(0) == 0
    }

    /// Ends the subscription, and counts what it still has.
    fn end(&self) {
        let mut intake = self.intake.lock();
        self.take_rest(&mut intake);
        let lag = lag(intake.deliveries.as_ref());
        let deliveries = intake.deliveries.take();
        drop(intake);
        Panics::default().dispose(deliveries);
        let mut state = self.state.lock();
        state.ended = true;
        state.pumped = true;
        state.lag = lag;
        drop(state);
        self.done.notify_waiters();
    }

    /// Takes in what the buffer of a live subscription still has, only to be counted: the phase is
    /// closed.
    fn take_rest(&self, intake: &mut Intake) {
        let Some(deliveries) = &mut intake.deliveries else { return };
        if self.plan.mode == Mode::Durable {
            return;
        }
        let mut panics = Panics::default();
        panics.run(|| deliveries.close());
        while let Some(Poll::Ready(Some(next))) = panics.run(|| deliveries.try_next()) {
            match next {
                Ok(delivery) => {
                    let until = self.lease_ends();
                    let after = self.state.lock().push(&self.plan, delivery, until);
                    self.after(after);
                }
                Err(gap) => self.state.lock().gap(gap),
            }
        }
    }

    // ---- The handle ----------------------------------------------------------------------------

    /// Begins nothing any more.
    pub(super) fn unsubscribe(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return;
        }
        let after = state.close(&self.plan, Left::Unsubscribed);
        drop(state);
        self.after(after);
    }

    /// Takes nothing in any more, and begins nothing from `deadline` on. Returns when that is.
    /// `spares`: handlers that end others run on.
    fn shut_down(&self, deadline: Duration, spares: bool) -> Duration {
        let until = self.clock.now().saturating_add(deadline);
        let mut state = self.state.lock();
        let mut cut = Vec::new();
        let after = match state.phase {
            // Something may still run.
            Phase::Closed => After::default(),
            _ if deadline.is_zero() => {
                let after = state.close(&self.plan, Left::Abandoned);
                cut = state.cut(spares);
                after
            }
            Phase::Draining(before) => {
                state.phase = Phase::Draining(before.min(until));
                After::pump(state.pump.take())
            }
            Phase::Open => {
                state.phase = Phase::Draining(until);
                let mut after = After::default();
                if self.plan.mode == Mode::Durable && self.plan.outlives_process {
                    after = state.give_back(&self.plan, Left::Abandoned);
                }
                after.pump = state.pump.take();
                after
            }
        };
        drop(state);
        self.after(after);
        self.abort(cut);
        until
    }

    /// Ends as [`shut_down`](Self::shut_down) says, and waits for that.
    pub(super) async fn shutdown(
        &self,
        deadline: Duration,
    ) -> Result<ShutdownReport, ShutdownTimeout> {
        let asks = Asks::begin(self);
        let before = self.stats();
        let cut_before = self.state.lock().cut;
        let until = self.shut_down(deadline, asks.is_some());
        let mut sleep = Sleep::default();
        let mut quiet = pin!(self.quiet(asks.as_ref()));
        let is_quiet = poll_fn(|context| {
            if quiet.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            if deadline.is_zero() {
                return Poll::Ready(false);
            }
            sleep.poll(&*self.clock, until, context).map(|()| false)
        })
        .await;
        if !is_quiet {
            // The task that takes in may not have had its turn.
            self.shut_down(Duration::ZERO, asks.is_some());
            self.cut(asks.is_some());
            // Another thread has the intake only while it asks the engine, which may never return.
            for _ in 0..TRIES {
                if let Some(mut intake) = self.intake.try_lock() {
                    self.take_rest(&mut intake);
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let after = self.stats();
        let left = if self.plan.outlives_process { None } else { self.lag() };
        let state = self.state.lock();
        let report = ShutdownReport {
            handled: after.delivered() - before.delivered(),
            returned: after.returned - before.returned,
            abandoned: after.dropped.abandoned - before.dropped.abandoned,
            left: left.unwrap_or(0),
            running: (state.cut - cut_before) as u64,
            engines: 0,
        };
        drop(state);
        if report.running > 0 { Err(ShutdownTimeout(report)) } else { Ok(report) }
    }

    /// Waits until nothing runs any more.
    pub(super) async fn unsubscribed(&self) {
        let asks = Asks::begin(self);
        self.quiet(asks.as_ref()).await;
    }

    /// Waits until nothing runs any more. A handler that asks does not wait for those that ask too.
    async fn quiet(&self, asks: Option<&Asks>) {
        loop {
            let mut done = pin!(self.done.notified());
            done.as_mut().enable();
            if self.is_quiet(asks.is_some()) {
                return;
            }
            done.await;
        }
    }

    fn is_quiet(&self, spares: bool) -> bool {
        let state = self.state.lock();
        state.pumped && !state.is_busy(spares)
    }

    /// The handler of a worker begins to wait until others end, or no longer does.
    pub(super) fn asks(&self, worker: usize, of_own: bool, begins: bool) {
        let mut state = self.state.lock();
        state.asks(worker, of_own, begins);
        let pump = state.pump.take();
        drop(state);
        self.after(After { ended: true, ..After::pump(pump) });
    }

    /// Counts a blocking handler that still runs although its time is over, or one that ends.
    pub(super) fn overruns(&self, engine: usize, begins: bool) {
        let mut state = self.state.lock();
        let overrunning = &mut state.of(engine).overrunning;
        *overrunning = if begins { *overrunning + 1 } else { *overrunning - 1 };
    }

    pub(super) fn stats(&self) -> HandlerStats {
        let mut sum = HandlerStats::default();
        for (_, stats) in self.state.lock().numbers() {
            sum += *stats;
        }
        sum
    }

    /// Returns the lag, unless the subscription is asked for more at this moment.
    pub(super) fn lag(&self) -> Option<u64> {
        let intake = self.intake.try_lock()?;
        match &intake.deliveries {
            Some(_) => lag(intake.deliveries.as_ref()),
            None => self.state.lock().lag,
        }
    }
}

impl Numbers for Shared {
    fn read(&self, each: &mut dyn FnMut(&Arc<str>, &HandlerStats)) {
        let numbers = self.state.lock();
        for (engine, stats) in numbers.numbers() {
            each(engine, stats);
        }
    }

    fn unsubscribe(&self) {
        Self::unsubscribe(self);
    }

    fn shutdown(
        self: Arc<Self>,
        deadline: Duration,
    ) -> EngineFuture<'static, Result<ShutdownReport, ShutdownTimeout>> {
        EngineFuture::new(async move { Self::shutdown(&self, deadline).await })
    }
}

/// Ends what its task has not: the runtime may have dropped it.
pub(super) struct PumpGuard(pub(super) Arc<Shared>);

impl Drop for PumpGuard {
    fn drop(&mut self) {
        self.0.unsubscribe();
        if !self.0.state.lock().pumped {
            self.0.end();
        }
    }
}
