//! What a handler gets: [`Context`].

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::shared::Shared;
use crate::envelope::Envelope;
use crate::hosted::delivery::{Delivery, Lease, Settle, SettleError, Verdict};
use crate::subject::Subject;
use crate::wait::panics::Panics;

/// What a handler works on: one event, and how it came. Cheap to clone.
///
/// The worker settles the event by the result of the handler. So a context has no `ack`.
#[derive(Clone)]
pub struct Context {
    envelope: Arc<Envelope>,
    /// `None` if it is that of the subscription.
    engine: Option<Arc<str>>,
    settle: Option<Arc<dyn Settle>>,
    lease: Lease,
    attempt: u32,
    deadline: Option<Duration>,
    shared: Arc<Shared>,
}

impl Context {
    pub(super) fn new(
        shared: &Arc<Shared>,
        delivery: &Delivery,
        attempt: u32,
        deadline: Option<Duration>,
    ) -> Self {
        let (settle, lease) = delivery.keeper().unzip();
        Self {
            envelope: delivery.envelope().clone(),
            engine: delivery.other_engine().cloned(),
            settle,
            lease: lease.unwrap_or_default(),
            attempt,
            deadline,
            shared: shared.clone(),
        }
    }

    /// Returns the event.
    #[must_use]
    pub const fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// Returns the subject of the event.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        self.envelope.subject()
    }

    /// Returns the key of the event. It is empty if there is none.
    #[must_use]
    pub fn key(&self) -> &str {
        self.envelope.key()
    }

    /// Returns the URI that names the version of the payload. It is empty if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{BoxError, Context, Engine, MemoryEngine, OnFailure};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Score {
    ///     by: u32,
    /// }
    ///
    /// async fn count(event: Context) -> Result<(), BoxError> {
    ///     let by = match event.data_schema() {
    ///         // The first version is a number, and does not say so.
    ///         "" => event.envelope().decode()?.ok_or("no score")?,
    ///         "/score/2" => event.envelope().decode::<Score>()?.ok_or("no score")?.by,
    ///         other => return Err(format!("the version `{other}` is not known").into()),
    ///     };
    ///     println!("{by} more points");
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let engine = Arc::new(MemoryEngine::new());
    /// let scores = engine.subscribe("match.*.score")?.group("ladder");
    /// let scores = scores.classify(|_| OnFailure::Reject).dead_letter("dead.ladder");
    /// let scores = scores.handle(count).await?;
    ///
    /// engine.publish(Envelope::json("match.7.score", &3)?.into()).await?;
    /// for version in ["/score/2", "/score/3"] {
    ///     let score = Envelope::new("match.7.score")?.with_raw_payload(r#"{"by":4}"#)?;
    ///     engine.publish(score.with_data_schema(version).into()).await?;
    /// }
    /// scores.shutdown(std::time::Duration::from_secs(10)).await?;
    /// let stats = scores.stats();
    /// assert_eq!((stats.handled, stats.failed), (2, 1)); // the third is a dead letter
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn data_schema(&self) -> &str {
        self.envelope.data_schema()
    }

    /// Returns how often the event was tried, this time included.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the name of the engine that the event came from.
    #[must_use]
    pub fn engine(&self) -> &str {
        self.engine.as_ref().unwrap_or(&self.shared.plan.engine)
    }

    /// Returns where the event is in the engine's log, if it has one.
    #[must_use]
    pub const fn sequence(&self) -> Option<u64> {
        self.lease.sequence
    }

    /// Returns when the timeout ends, on the clock of the engine. `None` without a timeout.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns how much of the timeout is left. `None` without a timeout.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(self.shared.clock.now()))
    }

    /// Returns whether the result no longer counts: see [`cancelled`](Self::cancelled).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.time_left() == Some(Duration::ZERO) || self.shared.state.lock().is_over
    }

    /// Waits until the result no longer counts: the timeout is over, or the deadline of a shutdown
    /// has come.
    ///
    /// The worker then drops the future of the handler. So this is for what the handler has spawned,
    /// and [`is_cancelled`](Self::is_cancelled) is for blocking handlers.
    pub async fn cancelled(&self) {
        let mut over = core::pin::pin!(self.shared.over.notified());
        over.as_mut().enable();
        if self.is_cancelled() {
            return;
        }
        let mut sleep = self.deadline.map(|deadline| self.shared.clock.sleep_until(deadline));
        core::future::poll_fn(|context| {
            if let Some(sleep) = &mut sleep
                && core::pin::Pin::new(sleep).poll(context).is_ready()
            {
                return core::task::Poll::Ready(());
            }
            over.as_mut().poll(context)
        })
        .await;
    }

    /// Keeps the event for `lease` from now on, if it is of a group. Never waits.
    ///
    /// It does not move the timeout. The worker itself extends the lease of an event that waits for
    /// its turn or its next try, and makes it as long as the timeout when a call begins.
    pub fn extend(&self, lease: Duration) {
        if let Some(settle) = &self.settle {
            // A refusal is seen again when the event is settled.
            Panics::default().run(|| settle.settle(self.lease, Verdict::Extend(lease)));
        }
    }
}

impl Context {
    /// Keeps the event for `lease` from now on, if it is of a group. Never waits.
    ///
    /// Returns an error if the engine refuses, and knows that without waiting.
    pub(in crate::hosted) fn keep(&self, lease: Duration) -> Result<(), SettleError> {
        let Some(settle) = &self.settle else { return Ok(()) };
        let kept = Panics::default().run(|| settle.settle(self.lease, Verdict::Extend(lease)));
        kept.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("engine", &self.engine())
            .field("sequence", &self.lease.sequence)
            .field("attempt", &self.attempt)
            .field("envelope", &self.envelope)
            .finish_non_exhaustive()
    }
}
