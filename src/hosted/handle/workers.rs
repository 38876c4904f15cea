//! The running handler of a subscription: [`Workers`].

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::time::Duration;

use super::call::Call;
use super::inside::Inside;
use super::ledger::{Entry, Ledger};
use super::report::{ShutdownReport, ShutdownTimeout};
use super::run::work;
use super::settings::Plan;
use super::shared::{PumpGuard, Shared, Sleep};
use crate::hosted::capabilities::Mode;
use crate::hosted::clock::Clock;
use crate::hosted::stats::HandlerStats;
use crate::hosted::subscribe::Deliveries;
use crate::subject::PatternBuf;

/// A subscription with a handler, as it runs.
///
/// Dropping it unsubscribes: no handler starts any more, and those that run end by themselves.
/// [`detach`](Self::detach) lets the handler run for as long as the engine.
#[must_use = "dropping it unsubscribes: keep it, or call `detach`"]
pub struct Workers {
    shared: Arc<Shared>,
    id: Box<str>,
    patterns: Vec<PatternBuf>,
    is_detached: bool,
}

impl Workers {
    /// Starts the tasks. Call it in a runtime.
    pub(super) fn start<C: Call>(
        plan: Plan,
        clock: Arc<dyn Clock>,
        ledger: Option<&Arc<Ledger>>,
        patterns: Vec<PatternBuf>,
        deliveries: Deliveries,
        mut call: impl FnMut() -> C,
    ) -> Self {
        let workers = plan.workers;
        let id = deliveries.id().map_or_else(|| uuid::Uuid::now_v7().to_string().into(), Box::from);
        let shared = Arc::new(Shared::new(plan, clock, deliveries));
        let entry: Option<Arc<Entry>> = ledger.map(|it| Arc::new(it.enter(shared.clone())));
        for worker in 0..workers {
            let task = work(shared.clone(), worker, call(), entry.clone());
            let task = tokio::spawn(Inside::new(shared.clone(), worker).scope(task));
            shared.state.lock().begin(worker, task.abort_handle());
        }
        let guard = PumpGuard(shared.clone());
        // Last: before it, there is nothing that a worker could take.
        tokio::spawn(async move {
            let _entry = entry;
            let mut sleep = Sleep::default();
            poll_fn(|context| guard.0.poll_pump(&mut sleep, context)).await;
        });
        Self { shared, id, patterns, is_detached: false }
    }

    /// Returns the id of the subscription. No other has the same.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the patterns, as you gave them.
    #[must_use]
    pub fn patterns(&self) -> &[PatternBuf] {
        &self.patterns
    }

    /// Returns whether the subscription is live or durable.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.shared.plan.mode
    }

    /// Returns what became of the deliveries, over all engines that they came from.
    #[must_use]
    pub fn stats(&self) -> HandlerStats {
        self.shared.stats()
    }

    /// Returns how many events the subscription has still to receive, if the engine knows. What its
    /// client has fetched ahead counts. What the workers have is
    /// [`in_flight`](HandlerStats::in_flight).
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        self.shared.lag()
    }

    /// Ends the subscription, and waits until no handler runs any more.
    ///
    /// No handler starts from now on. What has not begun is given back to the group, or, on a live
    /// subscription, dropped and counted as `unsubscribed`. A second call has no effect.
    ///
    /// You may call it in a handler, blocking ones included: then it waits for the other handlers,
    /// but not for those that have called it or [`shutdown`](Self::shutdown) too. In a task that a
    /// handler has spawned it waits for all.
    pub async fn unsubscribe(&self) {
        self.shared.unsubscribe();
        self.shared.unsubscribed().await;
    }

    /// Takes nothing in any more, handles what it has, and ends. After `deadline` it begins nothing,
    /// and drops what still runs.
    ///
    /// A live subscription handles what is in its buffer. A durable one gives back what it has not
    /// begun, unless the events end with the process: then it handles what the engine still has for
    /// it. With a deadline of zero, nothing more begins.
    ///
    /// You may call it in a handler. Then it waits as [`unsubscribe`](Self::unsubscribe) does, and
    /// neither drops nor counts the handlers that have called it too: they end by themselves.
    ///
    /// # Errors
    ///
    /// Returns [`ShutdownTimeout`] if a handler still ran at the deadline. Its future was dropped, and
    /// its event comes again if it is one of a group. A blocking handler cannot be ended: it is
    /// counted as `overrunning` until it returns.
    pub async fn shutdown(&self, deadline: Duration) -> Result<ShutdownReport, ShutdownTimeout> {
        self.shared.shutdown(deadline).await
    }

    /// Lets the handler run without this handle, until the engine ends the subscription.
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if !self.is_detached {
            self.shared.unsubscribe();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("id", &self.id)
            .field("engine", &self.shared.plan.engine)
            .field("patterns", &self.patterns)
            .field("mode", &self.mode())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
