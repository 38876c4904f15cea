//! A router as the handlers of its own subscriptions see it: [`Declarer`], [`Inside`].

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::attach::Ask;
use super::lifecycle::LifecycleEvent;
use super::shared::{From, Shared};
use super::tenant::Scope;
use crate::envelope::Envelope;
use crate::hosted::capabilities::Capabilities;
use crate::hosted::clock::Clock;
use crate::hosted::delivery::Receive;
use crate::hosted::engine::{Carrier, Engine, EngineError, Reason, Receipt, ShutdownError};
use crate::hosted::future::EngineFuture;
use crate::hosted::handle::Heard;
use crate::hosted::subscribe::{DurableOptions, LiveOptions, OpenError, Owner};
use crate::subject::PatternBuf;

/// Publishes dead letters of the handlers, also while the router shuts down. It does not keep the
/// router alive.
pub(super) struct Inside {
    name: Arc<str>,
    shared: Weak<Shared>,
    scope: Scope,
}

pub(super) fn owner(shared: &Arc<Shared>, scope: &Scope) -> Owner {
    let (name, scope) = (shared.name.clone(), scope.clone());
    let inside = Inside { name, shared: Arc::downgrade(shared), scope };
    let hub = shared.hub.clone();
    Owner {
        publisher: Arc::new(inside),
        ledger: shared.ledger.clone(),
        observer: Box::new(move |heard| {
            hub.emit(|| match heard {
                Heard::Failed(failed) => LifecycleEvent::MessageFailed {
                    engine: failed.engine.into(),
                    envelope: Arc::new(failed.envelope.clone()),
                    why: format!("{failed}").into(),
                },
                Heard::Handled(handled) => LifecycleEvent::MessageHandled {
                    engine: handled.engine.into(),
                    envelope: Arc::new(handled.envelope.clone()),
                    message: handled.message.into(),
                },
            });
        }),
    }
}

impl Engine for Inside {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.upgrade().map_or_else(Capabilities::new, |it| it.capabilities())
    }

    fn carriers(&self, patterns: &[PatternBuf]) -> Vec<Carrier> {
        self.shared.upgrade().map_or_else(Vec::new, |it| it.carriers(patterns))
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let Some(shared) = self.shared.upgrade() else {
            let error = EngineError::not_sent(&self.name, envelope, Reason::Closed);
            return EngineFuture::ready(Err(error));
        };
        let scope = self.scope.clone();
        EngineFuture::new(async move { shared.publish(&scope, From::Handler, envelope).await })
    }

    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}

/// Opens the subscriptions that were declared on the builder, before the router has started.
pub(super) struct Declarer {
    shared: Arc<Shared>,
    scope: Scope,
}

impl Declarer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let scope = shared.scope();
        Self { shared, scope }
    }

    fn attach(&self, ask: Ask) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        EngineFuture::new(self.shared.attach(self.scope.clone(), true, ask))
    }
}

impl Engine for Declarer {
    fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn carriers(&self, patterns: &[PatternBuf]) -> Vec<Carrier> {
        self.shared.carriers(patterns)
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.shared.publish(&self.scope, From::Handler, envelope)
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.attach(Ask::Live(options))
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.attach(Ask::Durable(options))
    }

    fn owner(&self) -> Option<Owner> {
        Some(owner(&self.shared, &self.scope))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.shared.clock.clone()
    }

    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}

impl fmt::Debug for Declarer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Declarer").field(&self.shared.name).finish()
    }
}
