//! How a router publishes: the rule that decides, the engine, and what the rule demands of a receipt.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::futures::all;
use super::lifecycle::LifecycleEvent;
use super::rules::Decision;
use super::shared::{From, Shared};
use super::tenant::Scope;
use crate::envelope::Envelope;
use crate::hosted::counted::Counted;
use crate::hosted::engine::{Engine, EngineError, Level, Reason, Receipt};
use crate::hosted::future::EngineFuture;
use crate::hosted::wire::stamped;

/// A publish on its way to an engine.
struct Sending {
    decision: Decision,
    /// The envelope as it is on the engine.
    on_engine: Arc<Envelope>,
    /// The envelope as the publisher sees it, if it is needed behind the publish.
    kept: Option<Arc<Envelope>>,
}

impl Shared {
    pub(super) fn publish(
        &self,
        scope: &Scope,
        from: From,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.publish_by(Engine::publish, scope, from, envelope)
    }

    /// Publishes with the method `by` of the engine.
    pub(super) fn publish_by<'a>(
        &'a self,
        by: impl FnOnce(&'a Counted, Arc<Envelope>) -> EngineFuture<'a, Result<Receipt, EngineError>>,
        scope: &Scope,
        from: From,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let sending = match self.route(scope, from, envelope) {
            Ok(sending) => sending,
            Err(error) => return EngineFuture::ready(Err(error)),
        };
        let Sending { decision, on_engine, kept } = sending;
        let slot = &self.slots[decision.engine];
        if let Some(reason) = slot.refusal() {
            let result = slot.engine.refuse(on_engine, reason);
            return EngineFuture::ready(self.sent(decision, kept, result));
        }
        match by(&slot.engine, on_engine).now() {
            Ok(result) => EngineFuture::ready(self.sent(decision, kept, result)),
            Err(publish) => EngineFuture::new(async move {
                let result = publish.await;
                self.sent(decision, kept, result)
            }),
        }
    }

    pub(super) fn try_publish(
        &self,
        scope: &Scope,
        from: From,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let Sending { decision, on_engine, kept } = self.route(scope, from, envelope)?;
        let slot = &self.slots[decision.engine];
        let result = match slot.refusal() {
            None => slot.engine.try_publish(on_engine),
            Some(reason) => slot.engine.refuse(on_engine, reason),
        };
        self.sent(decision, kept, result)
    }

    /// Publishes those of each engine together, on all engines side by side.
    pub(super) fn publish_batch(
        &self,
        scope: &Scope,
        from: From,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        let mut results: Vec<Option<_>> = Vec::with_capacity(envelopes.len());
        let mut batches: Vec<Vec<(usize, Sending)>> = Vec::new();
        batches.resize_with(self.slots.len(), Vec::new);
        for (at, envelope) in envelopes.into_iter().enumerate() {
            match self.route(scope, from, envelope) {
                Ok(sending) => {
                    let slot = &self.slots[sending.decision.engine];
                    if let Some(reason) = slot.refusal() {
                        let Sending { decision, on_engine, kept } = sending;
                        let result = slot.engine.refuse(on_engine, reason);
                        results.push(Some(self.sent(decision, kept, result)));
                        continue;
                    }
                    batches[sending.decision.engine].push((at, sending));
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        EngineFuture::new(async move {
            let batches = self.slots.iter().zip(batches).filter(|(_, batch)| !batch.is_empty());
            let publish = batches.map(|(slot, batch)| {
                EngineFuture::new(async move {
                    let on_engine = batch.iter().map(|(_, it)| it.on_engine.clone()).collect();
                    let mut sent = slot.engine.publish_batch(on_engine).await.into_iter();
                    let results = batch.into_iter().map(|(at, sending)| {
                        let Sending { decision, on_engine, kept } = sending;
                        let result = sent.next().unwrap_or_else(|| {
                            let why = Reason::Refused("the engine returned no result".into());
                            Err(EngineError::unknown(&slot.name, on_engine, why))
                        });
                        (at, self.sent(decision, kept, result))
                    });
                    results.collect::<Vec<_>>()
                })
            });
            for (at, result) in all(publish.collect()).await.into_iter().flatten() {
                results[at] = Some(result);
            }
            results.into_iter().flatten().collect()
        })
    }

    fn route(
        &self,
        scope: &Scope,
        from: From,
        envelope: Arc<Envelope>,
    ) -> Result<Sending, EngineError> {
        let envelope = stamped(envelope);
        if let Some(reason) = self.refusal(from) {
            return Err(EngineError::not_sent(&self.name, envelope, reason));
        }
        let decision = self.rules.decide(envelope.subject());
        let on_engine = match scope.outgoing(&envelope) {
            Ok(on_engine) => on_engine,
            Err(reason) => {
                let name = &self.slots[decision.engine].name;
                return Err(EngineError::not_sent(name, envelope, reason));
            }
        };
        let is_kept = !scope.is_off() || self.required(decision).is_some() || self.hub.is_heard();
        let kept = is_kept.then_some(envelope);
        Ok(Sending { decision, on_engine, kept })
    }

    /// Names the engine as the router does, and holds the rule to its demand.
    fn sent(
        &self,
        decision: Decision,
        kept: Option<Arc<Envelope>>,
        result: Result<Receipt, EngineError>,
    ) -> Result<Receipt, EngineError> {
        let slot = &self.slots[decision.engine];
        let error = match result {
            Ok(mut receipt) => {
                receipt.engine = slot.name.clone();
                let Some(envelope) = kept else { return Ok(receipt) };
                let reached = receipt.level;
                match self.required(decision).filter(|required| reached < *required) {
                    None => {
                        self.hub.emit(|| LifecycleEvent::MessagePublished {
                            engine: slot.name.clone(),
                            envelope,
                            level: reached,
                        });
                        return Ok(receipt);
                    }
                    Some(required) => {
                        let reason = Reason::Level { reached, required };
                        EngineError::unknown(&slot.name, envelope, reason)
                    }
                }
            }
            Err(EngineError::NotSent { envelope, reason, .. }) => {
                EngineError::not_sent(&slot.name, kept.unwrap_or(envelope), reason)
            }
            Err(EngineError::Unknown { envelope, reason, .. }) => {
                EngineError::unknown(&slot.name, kept.unwrap_or(envelope), reason)
            }
        };
        self.look_at(slot);
        self.hub.emit(|| LifecycleEvent::failed(&error));
        Err(error)
    }

    fn required(&self, decision: Decision) -> Option<Level> {
        decision.rule.and_then(|rule| self.rules.all()[rule].requires)
    }
}
