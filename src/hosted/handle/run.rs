//! One worker: it takes an event, calls the handler, and settles the event by the result.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::any::Any;
use core::error::Error;
use core::future::poll_fn;
use core::hash::BuildHasher;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context as TaskContext, Poll};
use core::time::Duration;
use std::panic::catch_unwind;

use foldhash::fast::RandomState;

use super::blocking::Stage;
use super::call::{Call, Fault, Message};
use super::context::Context;
use super::dead::{EXPIRES, Notice, letter};
use super::failure::{Failed, Handled, HandlerPanicked, HandlerTimedOut, Heard, OnFailure};
use super::ledger::Entry;
use super::retry::RetryPolicy;
use super::shared::{Shared, Sleep};
use super::state::{After, Done, Parked, Tally, Task};
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::capabilities::Mode;
use crate::hosted::delivery::{Delivery, Verdict};
use crate::hosted::engine::{BoxError, Engine, Level};
use crate::wait::panics::Panics;

/// How a dead letter is published again.
const AGAIN: RetryPolicy = RetryPolicy::new(u32::MAX);

/// Runs until the subscription ends.
pub(super) async fn work<C: Call>(
    shared: Arc<Shared>,
    number: usize,
    mut call: C,
    entry: Option<Arc<Entry>>,
) {
    let mut worker = Worker { shared, number, entry, sleep: Sleep::default() };
    let mut next = None;
    loop {
        tokio::task::coop::consume_budget().await;
        poll_fn(|context| worker.shared.poll_task(number, &mut next, context)).await;
        let Some(task) = &mut next else { return };
        worker.run(&mut call, task).await;
    }
}

struct Worker {
    shared: Arc<Shared>,
    number: usize,
    entry: Option<Arc<Entry>>,
    sleep: Sleep,
}

/// A task of a worker. If it is dropped before it is finished, the worker was ended in the middle.
struct Running<'a> {
    shared: &'a Arc<Shared>,
    worker: usize,
    task: &'a mut Task,
    sequence: Option<u64>,
    stage: Option<Arc<Stage>>,
    is_finished: bool,
    rests: bool,
}

/// An error of a handler. Its destructor is code of a user too.
struct Foreign(Option<BoxError>);

impl Drop for Foreign {
    fn drop(&mut self) {
        Panics::default().dispose(self.0.take());
    }
}

/// How a call went wrong.
enum Wrong {
    Error(Foreign),
    Unreadable(Foreign),
    Panicked(HandlerPanicked),
    TimedOut(HandlerTimedOut),
}

impl Wrong {
    fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        match self {
            Self::Error(error) | Self::Unreadable(error) => {
                &**error.0.as_ref().expect("it is dropped with it")
            }
            Self::Panicked(error) => error,
            Self::TimedOut(error) => error,
        }
    }
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Error(error) => Self::Error(Foreign(Some(error))),
            Fault::Unreadable(error) => Self::Unreadable(Foreign(Some(error))),
        }
    }
}

impl Worker {
    async fn run<C: Call>(&mut self, call: &mut C, task: &mut Task) {
        let shared = &self.shared;
        let plan = &shared.plan;
        let Task { id, engine, tried, until, is_new, lost, .. } = *task;
        let sequence = task.delivery.as_ref().and_then(Delivery::sequence);
        let mut running = Running {
            shared,
            worker: self.number,
            task,
            sequence,
            stage: None,
            is_finished: false,
            rests: true,
        };
        if lost {
            // It comes again, or another member has it.
            Panics::default().dispose(running.task.delivery.take());
            return running.finish(Tally::default(), Done::Returned);
        }
        if let Some(notice) = running.task.notice.take() {
            let done = running.bury(until, notice).await;
            return running.finish(Tally::default(), done);
        }
        let Some(delivery) = &mut running.task.delivery else {
            return running.finish(Tally::default(), Done::Returned);
        };
        if is_expired(shared, delivery.envelope()) {
            running.settle(Verdict::Ack);
            return running.finish(Tally::default(), Done::Expired);
        }
        #[cfg(feature = "compression")]
        delivery.decompress(plan.max_decoded);
        let unreadable = delivery.take_unreadable();
        let prolongs = plan.can_extend && (!is_new || shared.may_prolong());
        let mut now = Duration::ZERO;
        if plan.timeout.is_some() || prolongs {
            now = shared.clock.now();
        }
        let until = if prolongs { shared.prolong(delivery, until, now) } else { until };
        let deadline = plan.timeout.map(|timeout| now.saturating_add(timeout));
        let attempt = plan.attempt(delivery).saturating_add(tried);
        if let Some(error) = unreadable {
            let done = running.fail(until, attempt, Wrong::Unreadable(Foreign(Some(error)))).await;
            return running.finish(Tally::default(), done);
        }
        let context = Context::new(shared, delivery, attempt, deadline);
        if C::BLOCKING {
            running.stage = Some(Stage::new(shared, engine, self.entry.clone()));
        }

        let stage = running.stage.clone();
        let mut future = pin!(Some(call.call(context, stage.clone())));
        let sleep = &mut self.sleep;
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = poll_call(future.as_mut(), context) {
                return Poll::Ready(result);
            }
            match (deadline, plan.timeout) {
                (Some(deadline), Some(timeout)) => {
                    let end = sleep.poll(&*shared.clock, deadline, context);
                    end.map(|()| Err(Wrong::TimedOut(HandlerTimedOut::new(timeout))))
                }
                _ => Poll::Pending,
            }
        })
        .await;

        let timed_out = matches!(result, Err(Wrong::TimedOut(_)));
        let overruns = timed_out && stage.is_some_and(|stage| stage.is_late());
        let result = if overruns { result } else { dispose(future.as_mut()).and(result) };
        let mut tally = Tally {
            called: !matches!(result, Err(Wrong::Unreadable(_))),
            panicked: matches!(result, Err(Wrong::Panicked(_))),
            timed_out,
        };
        let done = match result {
            Ok(message) => {
                running.says(attempt, message);
                running.settle(Verdict::Ack);
                Done::Handled
            }
            Err(wrong) => running.fail(until, attempt, wrong).await,
        };
        if overruns {
            // It keeps its worker, and its key, until it returns.
            shared.state.lock().called(id, core::mem::take(&mut tally));
            let keeps = plan.in_order || plan.by_key || matches!(done, Done::Parked(_));
            running.rests = false;
            let mut done = Some(done);
            if !keeps && let Some(done) = done.take() {
                running.finish(tally, done);
            }
            let _stale = poll_fn(|context| poll_call(future.as_mut(), context)).await;
            if let Some(done) = done {
                running.rests = true;
                running.finish(tally, done);
            }
            return;
        }
        running.finish(tally, done);
    }
}

/// Polls a call. A panic is one of the handler.
fn poll_call<F: Future<Output = Result<Message, Fault>>>(
    future: Pin<&mut Option<F>>,
    context: &mut TaskContext<'_>,
) -> Poll<Result<Message, Wrong>> {
    let Some(future) = future.as_pin_mut() else { return Poll::Ready(Ok(None)) };
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(Wrong::from)),
        Err(panic) => Poll::Ready(Err(panicked(panic))),
    }
}

/// Drops what a call has left. That may panic too.
fn dispose<F>(mut future: Pin<&mut Option<F>>) -> Result<(), Wrong> {
    catch_unwind(AssertUnwindSafe(|| future.set(None))).map_err(panicked)
}

fn panicked(panic: Box<dyn Any + Send>) -> Wrong {
    let error = HandlerPanicked::new(&*panic);
    Panics::default().dispose(panic);
    Wrong::Panicked(error)
}

fn is_expired(shared: &Shared, envelope: &Envelope) -> bool {
    let until = envelope.headers().get(EXPIRES);
    !until.is_empty() && until.parse::<Timestamp>().is_ok_and(|until| until <= shared.clock.wall())
}

/// Publishes a dead letter. One whose publish panics is not accepted.
async fn is_accepted(to: &dyn Engine, letter: Arc<Envelope>) -> bool {
    let publish = Panics::default().run(|| to.publish(letter));
    let Some(mut publish) = publish else { return false };
    let accepted = poll_fn(|context| {
        let poll = Panics::default().run(|| {
            let result = Pin::new(&mut publish).poll(context);
            result.map(|it| it.is_ok_and(|it| it.level >= Level::Accepted))
        });
        poll.unwrap_or(Poll::Ready(false))
    })
    .await;
    Panics::default().dispose(publish);
    accepted
}

impl Running<'_> {
    /// Settles the delivery. A panic of the engine is not one of the worker.
    fn settle(&mut self, verdict: Verdict) {
        let Some(delivery) = self.task.delivery.take() else { return };
        if !delivery.is_durable() {
            return; // there is nothing to settle
        }
        Panics::default().run(|| match verdict {
            Verdict::Ack => delivery.ack(),
            Verdict::RetryAfter(delay) => delivery.retry_after(delay),
            Verdict::Reject(reason) => delivery.reject(reason),
            Verdict::Extend(lease) => delivery.extend(lease),
        });
    }

    /// What becomes of an event whose call has failed.
    async fn fail(&mut self, until: Duration, attempt: u32, wrong: Wrong) -> Done {
        let plan = &self.shared.plan;
        let Some(delivery) = &self.task.delivery else { return Done::Returned };
        let error = wrong.error();
        let class = match (&wrong, &plan.classify) {
            (Wrong::Unreadable(_), _) => OnFailure::Reject,
            (_, Some(classify)) => Panics::default().run(|| classify(error)).unwrap_or_default(),
            (_, None) => OnFailure::Retry,
        };
        let again = class == OnFailure::Retry && attempt < plan.retry.attempts();
        let delay = again.then(|| {
            let random = RandomState::default().hash_one((self.task.id, attempt));
            plan.retry.delay_with(attempt, random)
        });
        let (envelope, engine, retry_after) = (delivery.envelope(), delivery.engine(), delay);
        let failed = Failed { envelope, engine, attempt, error, retry_after };
        if let Some(on_failed) = &plan.on_failed {
            Panics::default().run(|| on_failed(&failed));
        }
        if let Some(observer) = &plan.observer {
            Panics::default().run(|| observer(&Heard::Failed(&failed)));
        }
        let keyed = plan.by_key && !delivery.envelope().key().is_empty();
        let here = plan.mode == Mode::Live || plan.in_order || keyed || !plan.engine_waits;
        let last = || Panics::default().run(|| error.to_string()).unwrap_or_default();
        match (class, delay) {
            (OnFailure::Drop, _) => {
                self.settle(Verdict::Ack);
                Done::Discarded
            }
            (_, Some(delay)) => {
                if plan.mode == Mode::Durable {
                    self.shared.state.lock().first_error(self.task.id, &last());
                }
                if !here {
                    self.settle(Verdict::RetryAfter(delay));
                    return Done::Retried;
                }
                let due = self.shared.clock.now().saturating_add(delay);
                self.park(due, until, None)
            }
            (_, None) => {
                let last: Box<str> = last().into();
                let first = self.shared.state.lock().first_error(self.task.id, &last);
                let reason = match (&wrong, class) {
                    (Wrong::Unreadable(_), _) => "unreadable",
                    (_, OnFailure::Reject) => "rejected",
                    _ => "failed",
                };
                let notice = Notice { reason, attempts: attempt, first, last, failed: 0 };
                self.bury(until, Box::new(notice)).await
            }
        }
    }

    /// Passes on what the handler said.
    fn says(&self, attempt: u32, message: Message) {
        let plan = &self.shared.plan;
        let (Some(message), Some(delivery)) = (message, &self.task.delivery) else { return };
        let (envelope, engine) = (delivery.envelope(), delivery.engine());
        let handled = Handled { envelope, engine, attempt, message: &message };
        if let Some(on_handled) = &plan.on_handled {
            Panics::default().run(|| on_handled(&handled));
        }
        if let Some(observer) = &plan.observer {
            Panics::default().run(|| observer(&Heard::Handled(&handled)));
        }
    }

    fn park(&mut self, due: Duration, until: Duration, notice: Option<Box<Notice>>) -> Done {
        match self.task.delivery.take() {
            Some(delivery) => Done::Parked(Box::new(Parked { delivery, due, until, notice })),
            None => Done::Returned,
        }
    }

    /// Makes a dead letter of what has failed for good. The event is acknowledged when the letter is
    /// accepted, and until then the letter is published again.
    async fn bury(&mut self, until: Duration, mut notice: Box<Notice>) -> Done {
        let plan = &self.shared.plan;
        let Some(delivery) = &self.task.delivery else { return Done::Returned };
        let Some(to) = &plan.dead else {
            self.settle(Verdict::Reject(notice.to_string().into()));
            return Done::Failed { dead_lettered: plan.keeps_dead_letters };
        };
        let accepted = match letter(&notice, to, delivery) {
            Some(letter) => is_accepted(&*to.publisher, letter).await,
            None => false,
        };
        if accepted {
            self.settle(Verdict::Ack);
            return Done::Failed { dead_lettered: true };
        }
        notice.failed = notice.failed.saturating_add(1);
        let due = self.shared.clock.now().saturating_add(AGAIN.delay(notice.failed));
        self.park(due, until, Some(notice))
    }

    /// Counts what became of it.
    fn finish(&mut self, tally: Tally, done: Done) {
        self.is_finished = true;
        let mut state = self.shared.state.lock();
        let after = state.finish(&self.shared.plan, self.task.id, self.sequence, tally, done);
        let ended = self.rests && state.rests(self.worker);
        drop(state);
        if after.is_some() || ended {
            let after = after.unwrap_or_default();
            self.shared.after(After { ended, ..after });
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.is_finished && self.rests {
            return;
        }
        self.rests = true;
        if self.is_finished {
            let ended = self.shared.state.lock().rests(self.worker);
            return self.shared.after(After { ended, ..After::default() });
        }
        // A blocking call that still runs keeps its event until the lease ends.
        let still_runs = self.stage.as_ref().is_some_and(|stage| stage.is_late());
        if !still_runs {
            self.settle(Verdict::RetryAfter(Duration::ZERO));
        }
        self.finish(Tally::default(), Done::Left);
        let passed_on = self.shared.state.lock().pass_on();
        self.shared.after(After { worker: passed_on, ..After::default() });
    }
}
