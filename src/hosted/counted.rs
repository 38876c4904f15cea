//! An engine whose publishes are counted: [`Counted`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::counts::{PublishStats, Sent};
use super::engine::{Engine, EngineError, Reason, Receipt};
use super::forward::forward;
use super::future::EngineFuture;
use super::wire::stamped;
use crate::envelope::Envelope;

/// Counts what becomes of each publish of an engine. It works with every engine.
///
/// It also fills in the id and the time of an envelope where they are missing.
pub struct Counted<E = Arc<dyn Engine>> {
    engine: E,
    sent: Sent,
}

impl<E: Engine> Counted<E> {
    /// Returns an engine that counts what you publish through it.
    pub fn new(engine: E) -> Self {
        Self { engine, sent: Sent::default() }
    }

    /// Returns the engine. What you publish there is not counted.
    pub const fn get_ref(&self) -> &E {
        &self.engine
    }

    /// Returns what became of the envelopes.
    #[must_use]
    pub fn stats(&self) -> PublishStats {
        self.sent.stats()
    }

    /// Counts an envelope that is kept from the engine, and returns the error.
    pub(super) fn refuse(
        &self,
        envelope: Arc<Envelope>,
        reason: Reason,
    ) -> Result<Receipt, EngineError> {
        let result = Err(EngineError::not_sent(self.engine.name(), stamped(envelope), reason));
        self.sent.offered(1);
        self.sent.result(&result);
        result
    }

    fn counted<'a>(
        &'a self,
        publish: impl FnOnce(&'a E) -> EngineFuture<'a, Result<Receipt, EngineError>>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        self.sent.offered(1);
        let mut progress = InProgress { sent: &self.sent, left: 1 };
        match publish(&self.engine).now() {
            Ok(result) => {
                progress.result(&result);
                EngineFuture::ready(result)
            }
            Err(publish) => EngineFuture::new(async move {
                let result = publish.await;
                progress.result(&result);
                result
            }),
        }
    }
}

/// Publishes in progress. Those that are dropped without a result are counted as unknown.
struct InProgress<'a> {
    sent: &'a Sent,
    left: usize,
}

impl InProgress<'_> {
    /// An engine that returns more results than it was given envelopes does not spoil the sum.
    fn result(&mut self, result: &Result<Receipt, EngineError>) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            self.sent.result(result);
        }
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.sent.unknown(self.left);
    }
}

impl<E: Engine> Engine for Counted<E> {
    forward!(|self| self.engine =>
        name, capabilities, start, open_live, open_durable, health, carriers, lag, owner, clock,
        outlives_process, shutdown);

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.counted(|engine| engine.publish(stamped(envelope)))
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.counted(|engine| engine.publish_and_wait(stamped(envelope)))
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        self.sent.offered(1);
        let mut progress = InProgress { sent: &self.sent, left: 1 };
        let result = self.engine.try_publish(stamped(envelope));
        progress.result(&result);
        result
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        self.sent.offered(envelopes.len());
        let mut progress = InProgress { sent: &self.sent, left: envelopes.len() };
        let publish = self.engine.publish_batch(envelopes.into_iter().map(stamped).collect());
        EngineFuture::new(async move {
            let results = publish.await;
            results.iter().for_each(|result| progress.result(result));
            results
        })
    }
}

impl<E: Engine> fmt::Debug for Counted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("engine", self.engine.name())
            .field("stats", &self.stats())
            .finish()
    }
}
