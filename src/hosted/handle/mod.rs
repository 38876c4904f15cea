//! A subscription with a handler: what is set on [`Subscribe`] for it, and how it starts.
//!
//! ```text
//!  Deliveries ──▶ one task takes in ──▶ queue, keys ──▶ N workers ──▶ handler
//!                 and keeps the times   (State)         settle by its result
//! ```

mod blocking;
mod call;
mod context;
mod dead;
mod failure;
mod inside;
mod keys;
pub(in crate::hosted) mod ledger;
mod report;
mod retry;
mod run;
pub(in crate::hosted) mod settings;
mod shared;
mod state;
mod workers;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::marker::PhantomData;
use core::time::Duration;

use serde::de::DeserializeOwned;
use tower_service::Service;

use self::call::{Blocking, Call, Function, Json, OfService};
use self::settings::Settings;
use super::engine::BoxError;
use super::subscribe::{OpenError, Subscribe};

pub(super) use failure::{Heard, panicked};

pub use context::Context;
pub use failure::{Failed, Handled, HandlerPanicked, HandlerTimedOut, OnFailure};
pub use report::{ShutdownReport, ShutdownTimeout};
pub use retry::{InvalidRetryPolicy, RetryPolicy};
pub use workers::Workers;

/// Handlers.
impl Subscribe<'_> {
    /// Sets how many handlers run at a time: at most 65536. For a handler.
    ///
    /// Without it, nor [`by_key`](Self::by_key) nor [`queue`](Self::queue), events are handled in
    /// order: the next begins when the one before is done with, its retries included.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.handler.workers = Some(workers);
        self
    }

    /// Handles events on as many workers as the engine has by default. Without such a
    /// [default](super::RouterBuilder::defaults), there is one. For a handler.
    ///
    /// [`workers`](Self::workers) says how many, whatever the engine. With one of the two, events have
    /// no order.
    pub const fn pooled(mut self) -> Self {
        self.handler.pooled = true;
        self
    }

    /// Handles the events of one key in order, one at a time, and those of several keys at once. For a
    /// handler.
    ///
    /// An event that fails holds its key until it is handled, or is a dead letter. Events without a
    /// key have no order.
    pub const fn by_key(mut self) -> Self {
        self.handler.by_key = true;
        self
    }

    /// Sets how many events may wait for a worker: 1000 by default. For a handler, live only.
    ///
    /// A full queue does what [`overrun`](Self::overrun) says. The oldest is the oldest that has never
    /// begun. Each event that it drops is counted as `queue_full`. On a durable subscription,
    /// [`in_flight`](Self::in_flight) is the bound.
    pub const fn queue(mut self, events: usize) -> Self {
        self.handler.queue = Some(events);
        self
    }

    /// Sets how often a failed event is tried again: as [`RetryPolicy::default`] says if the
    /// subscription is durable, else not at all. For a handler.
    ///
    /// Where the engine can keep an event for a while, it does. With [`by_key`](Self::by_key), in order,
    /// and on live subscriptions the event waits here, and its lease is extended.
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.handler.retry = Some(policy);
        self
    }

    /// Sets how long one call of the handler may take. There is no limit by default. For a handler.
    ///
    /// When the time is over, the future of the handler is dropped and the event has failed. A
    /// blocking handler goes on and keeps its worker, and its result does not count.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.handler.timeout = Some(timeout);
        self
    }

    /// Publishes each event that has failed for good to `subject`. For a handler, durable only.
    ///
    /// The dead letter has the payload, the key and the headers of the event without `expires`, and
    /// the headers `dead-reason`, `dead-attempts`, `dead-first-error`, `dead-last-error`, `dead-id`,
    /// `dead-subject`, `dead-group`, `dead-engine` and `dead-sequence`. Where the engine had the event
    /// between two tries, the first error is the first that this process knows. The event is
    /// acknowledged only when the dead letter is accepted. Without a subject, the event is rejected,
    /// and the engine keeps it if it can.
    ///
    /// A payload that came compressed is compressed in the dead letter too. An event whose payload
    /// cannot be decompressed has failed for good.
    pub fn dead_letter(mut self, subject: impl Into<Box<str>>) -> Self {
        self.handler.dead_letter = Some(subject.into());
        self
    }

    /// Decides by the error what becomes of a failed event: [`OnFailure::Retry`] by default. For a
    /// handler. The error may be [`HandlerPanicked`] or [`HandlerTimedOut`].
    pub fn classify(
        mut self,
        f: impl Fn(&(dyn Error + Send + Sync + 'static)) -> OnFailure + Send + Sync + 'static,
    ) -> Self {
        self.handler.classify = Some(Box::new(f));
        self
    }

    /// Calls `f` for each failed call of the handler, to log it. For a handler. `f` must not wait.
    pub fn on_failed(mut self, f: impl Fn(&Failed<'_>) + Send + Sync + 'static) -> Self {
        self.handler.on_failed = Some(Box::new(f));
        self
    }

    /// Calls `f` for each call of the handler that returned a message, to log it. For a handler. `f`
    /// must not wait.
    ///
    /// A message is a `String`, a `&'static str` or a `Cow<'static, str>` in the `Ok` of the handler, or
    /// an `Option` of one of these. Other values say nothing, and cost nothing. A router also has the
    /// messages in its [`Lifecycle`](super::Lifecycle).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, mpsc};
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{BoxError, Context, Engine, MemoryEngine};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let engine = Arc::new(MemoryEngine::new());
    /// let (send, log) = mpsc::channel();
    /// let ladder = engine.subscribe("match.*.score")?;
    /// let ladder = ladder.on_handled(move |it| send.send(it.to_string()).unwrap());
    /// let ladder = ladder.handle(async |context: Context| {
    ///     let points: u32 = context.envelope().decode()?.ok_or("no points")?;
    ///     Ok::<_, BoxError>((points > 2).then(|| format!("{points} at once")))
    /// });
    /// let ladder = ladder.await?;
    ///
    /// engine.publish(Envelope::json("match.7.score", &1)?.into()).await?;
    /// engine.publish(Envelope::json("match.7.score", &3)?.into()).await?;
    /// ladder.shutdown(std::time::Duration::from_secs(1)).await?;
    /// drop(ladder);
    /// assert_eq!(log.try_iter().collect::<Vec<_>>(), ["`match.7.score` handled: 3 at once"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_handled(mut self, f: impl Fn(&Handled<'_>) + Send + Sync + 'static) -> Self {
        self.handler.on_handled = Some(Box::new(f));
        self
    }

    /// Opens the subscription, and calls `f` for each event, in tasks of the current runtime.
    ///
    /// An `Ok` acknowledges the event. It may carry a message: see [`on_handled`](Self::on_handled). An
    /// error or a panic is tried again, as
    /// [`retry`](Self::retry) says.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] as [`open`](Self::open) does, and if a setting of the handler is out of
    /// range, or there is no runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{Context, Engine, MemoryEngine};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let engine = Arc::new(MemoryEngine::new());
    /// let ladder = engine.subscribe("match.*.score")?.group("ladder").workers(8).by_key();
    /// let ladder = ladder.dead_letter("dead.ladder").timeout(Duration::from_secs(5));
    /// let sum = Arc::new(AtomicU32::new(0)); // shared by all calls: each future gets a clone
    /// let points = sum.clone();
    /// let ladder = ladder.handle(move |context: Context| {
    ///     let points = points.clone();
    ///     async move {
    ///         let score: u32 = context.envelope().decode()?.ok_or("no score")?;
    ///         points.fetch_add(score, Relaxed);
    ///         Ok::<_, tickbus::hosted::BoxError>(())
    ///     }
    /// });
    /// let ladder = ladder.await?;
    ///
    /// let score = Envelope::json("match.7.score", &3)?.with_key("match-7");
    /// engine.publish(score.into()).await?;
    /// let report = ladder.shutdown(Duration::from_secs(10)).await?;
    /// assert_eq!((report.handled, report.abandoned, sum.load(Relaxed)), (1, 0, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn handle<F, R, T, E>(self, f: F) -> Result<Workers, OpenError>
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        let f = Arc::new(f);
        start(self, || Function(f.clone())).await
    }

    /// Opens the subscription, and calls `f` for the payload of each event: see
    /// [`handle`](Self::handle).
    ///
    /// A payload that does not decode becomes a dead letter at once, without a call.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] as [`handle`](Self::handle) does.
    pub async fn handle_json<P, F, R, T, E>(self, f: F) -> Result<Workers, OpenError>
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(P, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        let f = Arc::new(f);
        start(self, || Json(f.clone(), PhantomData)).await
    }

    /// Opens the subscription, and calls `f` for each event on a thread of its own, where it may
    /// block: see [`handle`](Self::handle).
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] as [`handle`](Self::handle) does.
    pub async fn handle_blocking<F, T, E>(self, f: F) -> Result<Workers, OpenError>
    where
        F: Fn(Context) -> Result<T, E> + Send + Sync + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        let f = Arc::new(f);
        start(self, || Blocking(f.clone())).await
    }

    /// Opens the subscription, and calls a clone of `service` in each worker: see
    /// [`handle`](Self::handle).
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] as [`handle`](Self::handle) does.
    pub async fn handle_service<S>(self, service: S) -> Result<Workers, OpenError>
    where
        S: Service<Context> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        start(self, move || OfService(service.clone())).await
    }
}

async fn start<C: Call>(
    mut subscribe: Subscribe<'_>,
    call: impl FnMut() -> C,
) -> Result<Workers, OpenError> {
    let settings: Settings = core::mem::take(&mut subscribe.handler);
    subscribe.check()?;
    let of = subscribe.of();
    let plan = settings.plan(&of).map_err(|fault| of.error(&fault))?;
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(OpenError::invalid(
            of.engine.name(),
            "handle",
            "there is no tokio runtime here",
        ));
    }
    let clock = of.engine.clock();
    let (ledger, patterns) = (subscribe.ledger.clone(), subscribe.patterns().to_vec());
    // What waits for a worker stays compressed: each worker decompresses what it takes.
    #[cfg(feature = "compression")]
    let subscribe = subscribe.max_decoded(0);
    let deliveries = subscribe.open().await?;
    Ok(Workers::start(plan, clock, ledger.as_ref(), patterns, deliveries, call))
}
