//! An engine whose publishes and deliveries have spans: [`Traced`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll};

use opentelemetry::trace::FutureExt;

use super::spans::Spans;
use crate::envelope::Envelope;
use crate::hosted::delivery::{Delivery, Gap, Receive};
use crate::hosted::engine::{Engine, EngineError, Receipt};
use crate::hosted::forward::forward;
use crate::hosted::future::EngineFuture;
use crate::hosted::subscribe::{DurableOptions, LiveOptions, OpenError};
use crate::hosted::wire::stamped;

/// Makes a span for each publish and each delivery of an engine. It works with every engine.
///
/// A published envelope names the span of its publish, also where it named another one before. A
/// receiver in any process links to it. See [`Spans`] for an example.
pub struct Traced<E = Arc<dyn Engine>> {
    engine: E,
    spans: Spans,
}

impl<E: Engine> Traced<E> {
    /// Returns an engine whose publishes and deliveries have spans.
    pub const fn new(engine: E, spans: Spans) -> Self {
        Self { engine, spans }
    }

    /// Returns the engine. What you do with it has no spans.
    pub const fn get_ref(&self) -> &E {
        &self.engine
    }

    fn published<'a>(
        &'a self,
        envelope: Arc<Envelope>,
        publish: impl FnOnce(&'a E, Arc<Envelope>) -> EngineFuture<'a, Result<Receipt, EngineError>>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let mut envelope = stamped(envelope);
        let span = self.spans.publish(self.name(), &mut envelope);
        let in_span = span.context.clone().attach();
        let publish = publish(&self.engine, envelope).now();
        drop(in_span);
        match publish {
            Ok(result) => {
                span.published(&result);
                EngineFuture::ready(result)
            }
            Err(publish) => EngineFuture::new(async move {
                let result = publish.with_context(span.context.clone()).await;
                span.published(&result);
                result
            }),
        }
    }

    fn traced(&self, group: Option<Box<str>>, from: Box<dyn Receive>) -> Box<dyn Receive> {
        let (engine, spans) = (self.name().clone(), self.spans.clone());
        Box::new(TracedReceive { from, engine, group, spans })
    }
}

impl<E: Engine> Engine for Traced<E> {
    forward!(|self| self.engine =>
        name, capabilities, start, health, carriers, lag, owner, clock, outlives_process,
        shutdown);

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
        let mut envelope = stamped(envelope);
        let span = self.spans.publish(self.name(), &mut envelope);
        let in_span = span.context.clone().attach();
        let result = self.engine.try_publish(envelope);
        drop(in_span);
        span.published(&result);
        result
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        let mut envelopes: Vec<_> = envelopes.into_iter().map(stamped).collect();
        let span = self.spans.publish_batch(self.name(), &mut envelopes);
        let in_span = span.context.clone().attach();
        let publish = self.engine.publish_batch(envelopes);
        drop(in_span);
        EngineFuture::new(async move {
            let results = publish.with_context(span.context.clone()).await;
            span.published_all(&results);
            results
        })
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let open = self.engine.open_live(options);
        EngineFuture::new(async move { Ok(self.traced(None, open.await?)) })
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let group = Some(options.group.clone());
        let open = self.engine.open_durable(options);
        EngineFuture::new(async move { Ok(self.traced(group, open.await?)) })
    }
}

impl<E: Engine> fmt::Debug for Traced<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced")
            .field("engine", self.engine.name())
            .field("spans", &self.spans)
            .finish()
    }
}

/// A subscription whose deliveries have spans.
struct TracedReceive {
    from: Box<dyn Receive>,
    engine: Arc<str>,
    group: Option<Box<str>>,
    spans: Spans,
}

impl TracedReceive {
    fn trace(&self, next: &Poll<Option<Result<Delivery, Gap>>>) {
        if let Poll::Ready(Some(Ok(delivery))) = next {
            self.spans.receive(&self.engine, self.group.as_deref(), delivery.envelope());
        }
    }
}

impl Receive for TracedReceive {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        let next = self.from.poll_next(context);
        self.trace(&next);
        next
    }

    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        let next = self.from.try_next();
        self.trace(&next);
        next
    }

    fn close(&mut self) {
        self.from.close();
    }

    fn id(&self) -> Option<&str> {
        self.from.id()
    }

    fn lag(&self) -> Option<u64> {
        self.from.lag()
    }
}
