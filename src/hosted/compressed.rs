//! An engine whose publishes are compressed: [`Compressed`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::compression::Compression;
use super::engine::{Engine, EngineError, Receipt};
use super::forward::forward;
use super::future::EngineFuture;
use super::wire::stamped;
use crate::envelope::Envelope;

/// Compresses what you publish through it. It works with every engine, also inside a router.
///
/// Receivers need no such engine: every subscription decompresses, in a program that has the feature
/// `compression`. An error of a publish returns the envelope as you published it. What the engine
/// says of payloads, such as a limit, is about the compressed ones.
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::{Compressed, Compression, Engine, MemoryEngine};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let engine = MemoryEngine::builder().max_payload(1000).build();
/// let engine = Compressed::new(engine, Compression::above(1024));
/// let mut maps = engine.subscribe("map.*.loaded")?.open().await?;
///
/// let map = Envelope::json("map.7.loaded", &".#".repeat(4096))?;
/// engine.publish(map.clone().into()).await?; // 8 kB, and less than 100 bytes on the way
///
/// let received = maps.next().await.expect("the engine is open")?;
/// assert_eq!(**received.envelope(), map);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Compressed<E = Arc<dyn Engine>> {
    engine: E,
    compression: Compression,
}

impl<E: Engine> Compressed<E> {
    /// Returns an engine that compresses what you publish through it.
    pub const fn new(engine: E, compression: Compression) -> Self {
        Self { engine, compression }
    }

    /// Returns the engine. What you publish there travels as it is.
    pub const fn get_ref(&self) -> &E {
        &self.engine
    }

    /// Returns what is published for this envelope, which has its id and time.
    fn sent(&self, envelope: &Arc<Envelope>) -> Arc<Envelope> {
        match self.compression.compress(envelope) {
            Some(sent) => Arc::new(sent),
            None => envelope.clone(),
        }
    }

    fn published<'a>(
        &'a self,
        envelope: Arc<Envelope>,
        publish: impl FnOnce(&'a E, Arc<Envelope>) -> EngineFuture<'a, Result<Receipt, EngineError>>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let envelope = stamped(envelope);
        let sent = self.sent(&envelope);
        if Arc::ptr_eq(&sent, &envelope) {
            drop(sent);
            return publish(&self.engine, envelope);
        }
        match publish(&self.engine, sent).now() {
            Ok(result) => EngineFuture::ready(result.map_err(|error| error.about(envelope))),
            Err(publish) => {
                EngineFuture::new(
                    async move { publish.await.map_err(|error| error.about(envelope)) },
                )
            }
        }
    }
}

impl<E: Engine> Engine for Compressed<E> {
    forward!(|self| self.engine =>
        name, capabilities, start, open_live, open_durable, health, carriers, lag, owner, clock,
        outlives_process, shutdown);

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.published(envelope, E::publish)
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.published(envelope, E::publish_and_wait)
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        let envelope = stamped(envelope);
        let sent = self.sent(&envelope);
        self.engine.try_publish(sent).map_err(|error| error.about(envelope))
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        let envelopes: Vec<_> = envelopes.into_iter().map(stamped).collect();
        let sent = envelopes.iter().map(|envelope| self.sent(envelope)).collect();
        let publish = self.engine.publish_batch(sent);
        EngineFuture::new(async move {
            let results = publish.await;
            let mut envelopes = envelopes.into_iter();
            let results = results.into_iter().map(|result| match (result, envelopes.next()) {
                (Err(error), Some(envelope)) => Err(error.about(envelope)),
                (result, _) => result,
            });
            results.collect()
        })
    }
}

impl<E: Engine> fmt::Debug for Compressed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressed")
            .field("engine", self.engine.name())
            .field("compression", &self.compression)
            .finish()
    }
}
