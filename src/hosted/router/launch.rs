//! How the engines of a router start and end.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};

use tokio::runtime::Handle;

use super::futures::{all, first};
use super::lifecycle::LifecycleEvent;
use super::shared::{Phase, Shared, Slot};
use crate::hosted::engine::{BoxError, Engine, Reason, ShutdownError, StartError};
use crate::hosted::future::{EngineFuture, contained};
use crate::hosted::handle::{ShutdownReport, Workers, panicked};
use crate::hosted::start::OnStart;
use crate::hosted::subscribe::OpenError;
use crate::sync::Relaxed;

/// A handler that was declared on the builder, being opened.
pub(super) type Declared =
    Box<dyn FnOnce(Arc<Shared>) -> Pin<Box<dyn Future<Output = DeclaredResult> + Send>> + Send>;
type DeclaredResult = Result<Workers, OpenError>;

/// The pauses between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long after its deadline an engine may still say that it has ended.
const GRACE: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let _one = self.starting.lock().await;
        let closed = || StartError::new(&self.name, Reason::Closed);
        match self.phase() {
            Phase::New => {}
            Phase::Started => return Ok(()),
            Phase::Draining | Phase::Closed => return Err(closed()),
        }
        let unfinished = Unfinished::new(self);
        let mut stopped = self.stopped.subscribe();
        match first(self.launch(), stopped.wait_for(|it| *it)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                // None may run on.
                self.outlive(self.ending(Duration::ZERO)).await;
                return Err(error);
            }
            None => return Err(closed()), // it was shut down meanwhile
        }
        if self.advance(Phase::Started) != Phase::New {
            return Err(closed());
        }
        unfinished.disarm();
        if let Some(source) = &self.source {
            self.hub.emit(|| LifecycleEvent::ConfigLoaded { source: source.clone() });
        }
        self.hub.emit(|| LifecycleEvent::BusStarted);
        for slot in &self.slots {
            self.look_at(slot);
        }
        Ok(())
    }

    async fn launch(self: &Arc<Self>) -> Result<(), StartError> {
        let declared = core::mem::take(&mut *self.declared.lock());
        let mut declared: Vec<_> =
            declared.into_iter().map(|open| Some(open(self.clone()))).collect();
        let mut opened: Vec<Workers> = Vec::new();
        // Once, so that an engine that can do so has them before it connects.
        poll_fn(|context| {
            for open in &mut declared {
                let Some(future) = open else { continue };
                if let Poll::Ready(result) = future.as_mut().poll(context) {
                    *open = None;
                    match result {
                        Ok(workers) => opened.push(workers),
                        Err(error) => return Poll::Ready(Err(not_opened(error))),
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        let start = self.slots.iter().enumerate();
        let start = start.map(|(at, slot)| EngineFuture::new(self.start_one(at, slot)));
        for started in all(start.collect()).await {
            started?;
        }
        self.launched.send_replace(true);
        for opening in all(declared.into_iter().flatten().collect()).await {
            opened.push(opening.map_err(not_opened)?);
        }
        self.handlers.lock().extend(opened);
        Ok(())
    }

    async fn start_one(self: &Arc<Self>, at: usize, slot: &Slot) -> Result<(), StartError> {
        let failed = |reason| StartError::new(&slot.name, reason);
        let of_engine = |error: StartError| failed(error.reason);
        match slot.on_start {
            OnStart::Fail => slot.engine.start().await.map_err(of_engine)?,
            OnStart::Wait(wait) => {
                let until = self.clock.now().saturating_add(wait);
                let mut pause = FIRST_PAUSE;
                loop {
                    let start = first(slot.engine.start(), self.clock.sleep_until(until)).await;
                    let error = match start {
                        Some(Ok(())) => break,
                        Some(Err(error)) => error,
                        None => return Err(failed(Reason::TimedOut)),
                    };
                    let next = self.clock.now().saturating_add(pause);
                    if !is_worth_another(&error.reason) || next >= until {
                        return Err(of_engine(error));
                    }
                    self.clock.sleep_until(next).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            OnStart::Background => {
                let Ok(runtime) = Handle::try_current() else {
                    let why: BoxError = "there is no tokio runtime here".into();
                    return Err(failed(Reason::Refused(why)));
                };
                runtime.spawn(in_background(Arc::downgrade(self), at));
                return Ok(());
            }
        }
        self.check_level(at, slot)?;
        slot.up.send_replace(true);
        Ok(())
    }

    /// An engine knows what it can do when it has started.
    fn check_level(&self, at: usize, slot: &Slot) -> Result<(), StartError> {
        let reached = slot.engine.capabilities().highest_level();
        let rules = self.rules.all().iter().filter(|rule| rule.engine == at);
        match rules.filter_map(|rule| rule.requires).find(|required| reached < *required) {
            Some(required) => Err(StartError::new(&slot.name, Reason::Level { reached, required })),
            None => Ok(()),
        }
    }

    /// Ends all handlers, and then all engines.
    pub(super) async fn shut_down(
        self: &Arc<Self>,
        deadline: Duration,
    ) -> (ShutdownReport, Result<(), ShutdownError>) {
        let until = self.clock.now().saturating_add(deadline);
        let unfinished = Unfinished::new(self);
        self.advance(Phase::Draining);
        self.stopped.send_replace(true);
        // In the task of the caller, which may be a handler.
        let ended = self.ledger.shutdown(deadline).await;
        let mut report = ended.unwrap_or_else(|timeout| timeout.0);
        let ending = self.ending(until.saturating_sub(self.clock.now()));
        unfinished.disarm();
        let ended = self.outlive(ending).await;
        report.engines = ended.iter().filter(|it| it.is_err()).count() as u64;
        (report, ended.into_iter().collect())
    }

    /// Awaits it in a task of its own if there is a runtime, so that it outlives the caller.
    async fn outlive(&self, mut ending: Ending) -> Vec<Result<(), ShutdownError>> {
        // The first poll is here: engines end as soon as they are told.
        if let Poll::Ready(ended) = poll_fn(|it| Poll::Ready(ending.as_mut().poll(it))).await {
            return ended;
        }
        let Ok(runtime) = Handle::try_current() else { return ending.await };
        match runtime.spawn(ending).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => {
                    let closed = |slot: &Slot| ShutdownError::new(&slot.name, Reason::Closed);
                    self.slots.iter().map(|slot| Err(closed(slot))).collect()
                }
            },
        }
    }

    /// Closes the router now. The future ends all engines.
    fn ending(self: &Arc<Self>, deadline: Duration) -> Ending {
        let first = self.advance(Phase::Closed) != Phase::Closed;
        self.stopped.send_replace(true);
        let last = first.then(|| Last(self.clone()));
        let shared = self.clone();
        Box::pin(async move {
            let until = shared.clock.now().saturating_add(deadline).saturating_add(GRACE);
            let ends = shared.slots.iter().map(|slot| shared.end_one(slot, deadline, until));
            let ended = all(ends.map(EngineFuture::new).collect()).await;
            let handlers = core::mem::take(&mut *shared.handlers.lock());
            drop(handlers);
            shared.registry.close(&shared.hub);
            if last.is_some() {
                for slot in &shared.slots {
                    shared.look_at(slot);
                }
            }
            drop(last);
            ended
        })
    }

    /// Ends an engine. Gives up at `until`, for it may never return. A panic of it keeps no other
    /// engine from its end.
    async fn end_one(
        &self,
        slot: &Slot,
        deadline: Duration,
        until: Duration,
    ) -> Result<(), ShutdownError> {
        let end = contained(|| slot.engine.shutdown(deadline));
        let reason = match first(end, self.clock.sleep_until(until)).await {
            Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(error))) => error.reason,
            Some(Err(panic)) => panicked(panic),
            None => Reason::TimedOut,
        };
        Err(ShutdownError::new(&slot.name, reason))
    }
}

type Ending = Pin<Box<dyn Future<Output = Vec<Result<(), ShutdownError>>> + Send>>;

/// Tells all that listen that the router has ended, also if its runtime did not let it end.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.registry.close(&shared.hub);
        shared.hub.emit(|| LifecycleEvent::BusStopped);
        shared.hub.end();
    }
}

/// A start or a shutdown that is dropped before it is done ends the router, unless another shutdown
/// does.
struct Unfinished<'a>(&'a Arc<Shared>);

impl<'a> Unfinished<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        shared.unfinished.fetch_add(1, Relaxed);
        Self(shared)
    }

    fn disarm(self) {
        self.0.unfinished.fetch_sub(1, Relaxed);
        core::mem::forget(self);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Self(shared) = self;
        if shared.unfinished.fetch_sub(1, Relaxed) > 1 || shared.phase() == Phase::Closed {
            return;
        }
        shared.ledger.unsubscribe();
        let mut ending = shared.ending(Duration::ZERO);
        // An engine ends as soon as it is told; the rest is for what is left to do.
        let mut context = Context::from_waker(Waker::noop());
        let told = catch_unwind(AssertUnwindSafe(|| ending.as_mut().poll(&mut context)));
        if let (Ok(Poll::Pending), Ok(runtime)) = (told, Handle::try_current()) {
            runtime.spawn(ending);
        }
    }
}

/// A wrong password is as wrong in a second.
const fn is_worth_another(reason: &Reason) -> bool {
    matches!(reason, Reason::Disconnected(_) | Reason::TimedOut)
}

fn not_opened(error: OpenError) -> StartError {
    let engine = error.engine().cloned().unwrap_or_else(|| "router".into());
    StartError::new(&engine, Reason::Refused(Box::new(error)))
}

/// Starts an engine that the router did not wait for. Ends with the router.
async fn in_background(shared: Weak<Shared>, at: usize) {
    let Some(strong) = shared.upgrade() else { return };
    let engine = strong.slots[at].engine.get_ref().clone();
    let (clock, mut stopped) = (strong.clock.clone(), strong.stopped.subscribe());
    drop(strong);
    let mut pause = FIRST_PAUSE;
    loop {
        // Also `None` when the router is gone.
        let Some(started) = first(engine.start(), stopped.wait_for(|it| *it)).await else { return };
        let Some(strong) = shared.upgrade() else { return };
        let slot = &strong.slots[at];
        let started = match started {
            Ok(()) => strong.check_level(at, slot),
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => {
                slot.up.send_replace(true);
                strong.look_at(slot);
                return;
            }
            Err(error) => {
                if slot.goes_down() {
                    strong.hub.emit(|| LifecycleEvent::EngineDown {
                        engine: slot.name.clone(),
                        why: alloc::format!("{}", error.reason).into(),
                    });
                }
            }
        }
        drop(strong);
        let next = clock.now().saturating_add(pause);
        if first(clock.sleep_until(next), stopped.wait_for(|it| *it)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
