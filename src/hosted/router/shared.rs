//! What all handles of a router share: [`Shared`]. Publishing and subscribing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::attach::{Ask, Came, Entry, InTask, Joined, Opening, Part, Place};
use super::futures::all;
use super::launch::Declared;
use super::lifecycle::{Hub, LifecycleEvent, Watched};
use super::registry::{Attached, Registry};
use super::rules::{Decision, Rules};
use super::tenant::Scope;
use super::warning::Warning;
use crate::envelope::Envelope;
use crate::hosted::capabilities::{Capabilities, Capability};
use crate::hosted::clock::Clock;
use crate::hosted::counted::Counted;
use crate::hosted::delivery::Receive;
use crate::hosted::engine::{Carrier, Engine, EngineError, Health, Level, Reason, Receipt};
use crate::hosted::future::EngineFuture;
use crate::hosted::handle::Workers;
use crate::hosted::handle::ledger::Ledger;
use crate::hosted::start::OnStart;
use crate::hosted::subscribe::{OpenError, SubscriptionDefaults};
use crate::hosted::wire::stamped;
use crate::subject::PatternBuf;
use crate::sync::{Lock, PlainNumber, Relaxed};

/// How often a listener has the engines asked for their health by default.
pub(super) const WATCH: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) slots: Box<[Slot]>,
    pub(super) rules: Rules,
    pub(super) tenants: bool,
    pub(super) warnings: Vec<Warning>,
    /// Where the configuration came from.
    pub(super) source: Option<Arc<str>>,
    /// How often a listener has the engines asked for their health.
    pub(super) watch: Duration,
    pub(super) hub: Arc<Hub>,
    pub(super) registry: Arc<Registry>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) starting: tokio::sync::Mutex<()>,
    /// Whether those that wait for an engine need not wait any more.
    pub(super) stopped: watch::Sender<bool>,
    /// Whether the engines have started, for subscriptions that were declared before.
    pub(super) launched: watch::Sender<bool>,
    /// Handlers that were declared on the builder, until the start.
    pub(super) declared: Lock<Vec<Declared>>,
    /// Those that run.
    pub(super) handlers: Lock<Vec<Workers>>,
    /// How many starts and shutdowns are in progress that would leave engines running.
    pub(super) unfinished: PlainNumber,
    phase: PlainNumber,
}

/// One engine of the router.
pub(super) struct Slot {
    /// The name that the router knows it by.
    pub(super) name: Arc<str>,
    pub(super) engine: Counted<Arc<dyn Engine>>,
    pub(super) on_start: OnStart,
    /// How subscriptions on it are set up that do not say it.
    pub(super) defaults: SubscriptionDefaults,
    /// Whether it has started.
    pub(super) up: watch::Sender<bool>,
    /// What its subscriptions have received and missed.
    pub(super) came: Arc<Came>,
    /// Whether it could be reached when it was last asked.
    was_up: Lock<Option<bool>>,
}

impl Slot {
    pub(super) fn new(name: Arc<str>, engine: Arc<dyn Engine>, on_start: OnStart) -> Self {
        Self {
            name,
            engine: Counted::new(engine),
            on_start,
            defaults: SubscriptionDefaults::new(),
            up: watch::Sender::new(false),
            came: Arc::default(),
            was_up: Lock::new(None),
        }
    }
}

/// How far a router is. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    New,
    Started,
    /// Takes nothing in but what its own handlers publish.
    Draining,
    Closed,
}

/// Who publishes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A handle of yours.
    User,
    /// A handler of the router, for a dead letter.
    Handler,
}

/// A publish on its way to an engine.
struct Sending {
    decision: Decision,
    /// The envelope as it is on the engine.
    on_engine: Arc<Envelope>,
    /// The envelope as the publisher sees it, if it is needed behind the publish.
    kept: Option<Arc<Envelope>>,
}

impl Shared {
    /// Returns what a router shares that has only defaults beside these.
    pub(super) fn new(
        name: Arc<str>,
        clock: Arc<dyn Clock>,
        slots: Box<[Slot]>,
        rules: Rules,
        declared: Vec<Declared>,
    ) -> Self {
        Self {
            name,
            clock,
            slots,
            rules,
            tenants: false,
            warnings: Vec::new(),
            source: None,
            watch: WATCH,
            hub: Arc::default(),
            registry: Arc::default(),
            ledger: Arc::new(Ledger::new()),
            starting: tokio::sync::Mutex::new(()),
            stopped: watch::Sender::new(false),
            launched: watch::Sender::new(false),
            declared: Lock::new(declared),
            handlers: Lock::default(),
            unfinished: PlainNumber::new(0),
            phase: PlainNumber::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::New,
            1 => Phase::Started,
            2 => Phase::Draining,
            _ => Phase::Closed,
        }
    }

    /// Goes on to a phase. Returns the one before.
    pub(super) fn advance(&self, to: Phase) -> Phase {
        match self.phase.fetch_max(to as usize, Relaxed) {
            0 => Phase::New,
            1 => Phase::Started,
            2 => Phase::Draining,
            _ => Phase::Closed,
        }
    }

    fn refusal(&self, from: From) -> Option<Reason> {
        match self.phase() {
            Phase::Started => None,
            Phase::New | Phase::Draining if from == From::Handler => None,
            Phase::New => Some(Reason::NotStarted),
            Phase::Draining | Phase::Closed => Some(Reason::Closed),
        }
    }

    // ---- Publishing ----------------------------------------------------------------------------

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

    // ---- Subscribing ---------------------------------------------------------------------------

    /// Opens a subscription on each engine that carries events of its patterns. One that is
    /// `declared` waits until the engines have started.
    pub(super) async fn attach(
        &self,
        scope: Scope,
        declared: bool,
        ask: Ask,
    ) -> Result<Box<dyn Receive>, OpenError> {
        let from = if declared { From::Handler } else { From::User };
        if let Some(reason) = self.refusal(from) {
            return Err(OpenError::failed(&self.name, reason));
        }
        let on_engine = ask.scoped(&scope)?;
        let mut parts = Vec::new();
        for at in self.rules.engines(ask.patterns()) {
            let slot = &self.slots[at];
            let state = if declared && !*slot.up.borrow() {
                // An engine that can do so has it before it connects.
                match on_engine.with(slot.defaults).open(&slot.engine).await {
                    Ok(receive) => Place::Open(receive),
                    Err(_) => Place::Ended,
                }
            } else {
                Place::Ended
            };
            parts.push((slot, state));
        }
        if declared {
            let mut launched = self.launched.subscribe();
            let _ = launched.wait_for(|launched| *launched).await;
        }
        let mut opened = Vec::new();
        for (slot, mut state) in parts {
            if let Place::Ended = state {
                state = if *slot.up.borrow() {
                    let open = on_engine.with(slot.defaults).open(&slot.engine).await;
                    Place::Open(open.map_err(|error| error.of(&slot.name))?)
                } else {
                    Place::Opening(self.open_later(slot, on_engine.with(slot.defaults)))
                };
            }
            let (engine, came) = (slot.name.clone(), slot.came.clone());
            opened.push(Part { engine, came, state });
        }
        let attached = |id| Attached {
            id,
            patterns: ask.patterns().to_vec(),
            policy: ask.policy(),
            tenant: scope.tenant().cloned(),
            engines: opened.iter().map(|part| part.engine.clone()).collect(),
        };
        let Some(attached) = self.registry.add(&self.hub, attached) else {
            return Err(OpenError::failed(&self.name, Reason::Closed));
        };
        let (registry, hub) = (self.registry.clone(), self.hub.clone());
        Ok(Box::new(Joined::new(opened, scope, Entry { attached, registry, hub })))
    }

    /// Opens a subscription when the engine is up, in a task of its own if there is a runtime.
    fn open_later(&self, slot: &Slot, ask: Ask) -> Opening {
        let (name, engine) = (slot.name.clone(), Arc::downgrade(slot.engine.get_ref()));
        let (mut up, mut stopped) = (slot.up.subscribe(), self.stopped.subscribe());
        let open = async move {
            let closed = || OpenError::failed(&name, Reason::Closed);
            let up = super::futures::first(async { up.wait_for(|up| *up).await.is_ok() }, async {
                stopped.wait_for(|stopped| *stopped).await.is_ok()
            });
            if up.await != Some(true) {
                return Err(closed());
            }
            let Some(engine) = engine.upgrade() else { return Err(closed()) };
            ask.open(&engine).await.map_err(|error| error.of(&name))
        };
        match Handle::try_current() {
            Ok(runtime) => Box::pin(InTask::new(runtime.spawn(open), &slot.name)),
            Err(_) => Box::pin(open),
        }
    }

    // ---- Capabilities and health ---------------------------------------------------------------

    /// Returns the engines that carry these patterns, and the router if they can do less together.
    pub(super) fn carriers(&self, patterns: &[PatternBuf]) -> Vec<Carrier> {
        let of = |at: &usize| {
            let slot = &self.slots[*at];
            Carrier::new(&slot.name, slot.engine.capabilities())
                .outlives_process(slot.engine.outlives_process())
                .with_defaults(slot.defaults)
        };
        let mut carriers: Vec<_> = self.rules.engines(patterns).iter().map(of).collect();
        if carriers.len() > 1 {
            let outlives = carriers.iter().all(|it| it.outlives_process);
            let together = together(carriers.iter().map(|it| it.capabilities));
            carriers.push(Carrier::new(&self.name, together).outlives_process(outlives));
        }
        carriers
    }

    /// Returns what the router can do for these patterns.
    pub(super) fn capabilities_for(&self, patterns: &[PatternBuf]) -> Capabilities {
        self.together(&self.rules.engines(patterns))
    }

    /// Returns what the router can do for all subjects.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.together(&self.rules.in_use())
    }

    fn together(&self, engines: &[usize]) -> Capabilities {
        together(engines.iter().map(|at| self.slots[*at].engine.capabilities()))
    }

    /// Returns whose events an unscoped handle sees.
    pub(super) const fn scope(&self) -> Scope {
        if self.tenants { Scope::All } else { Scope::Off }
    }

    pub(super) fn health(&self) -> Health {
        match self.phase() {
            Phase::New => return Health::NotStarted,
            Phase::Closed => return Health::Closed,
            Phase::Started | Phase::Draining => {}
        }
        let mut worst = Health::Up;
        for slot in &self.slots {
            let health = self.look_at(slot);
            let why = match (&worst, health) {
                (Health::Down(_), _) | (_, Health::Up) => continue,
                (_, Health::NotStarted | Health::Connecting) => {
                    worst = Health::Connecting;
                    continue;
                }
                (_, Health::Down(why)) => why,
                (_, Health::Closed) => "closed".into(),
            };
            worst = Health::Down(alloc::format!("engine `{}`: {why}", slot.name).into());
        }
        worst
    }

    /// Asks an engine how it is, and emits a change.
    pub(super) fn look_at(&self, slot: &Slot) -> Health {
        let health = slot.engine.health();
        if self.phase() == Phase::New && !matches!(health, Health::Down(_) | Health::Closed) {
            return Health::NotStarted;
        }
        // One that cannot tell would say that it is up.
        let health = match health {
            Health::Up if !*slot.up.borrow() => Health::Connecting,
            health => health,
        };
        let up = health == Health::Up;
        let before = slot.was_up.lock().replace(up);
        let engine = slot.name.clone();
        match before {
            Some(before) if before == up => {}
            _ if up => self.hub.emit(|| LifecycleEvent::EngineUp { engine }),
            _ => self.hub.emit(|| LifecycleEvent::EngineDown {
                engine,
                why: match &health {
                    Health::Down(why) => why.clone(),
                    other => alloc::format!("{other}").into(),
                },
            }),
        }
        health
    }
}

impl Slot {
    /// Returns why the router publishes nothing on it: it starts in the background, and is not up.
    fn refusal(&self) -> Option<Reason> {
        (self.on_start == OnStart::Background && !*self.up.borrow())
            .then(|| Reason::Disconnected("it has not started yet".into()))
    }

    /// Returns whether this is the news that it cannot be reached.
    pub(super) fn goes_down(&self) -> bool {
        self.was_up.lock().replace(false) != Some(false)
    }
}

/// What engines can do as one. Each keeps an order of its own, and counts sequences of its own.
fn together(mut each: impl Iterator<Item = Capabilities>) -> Capabilities {
    let Some(first) = each.next() else { return Capabilities::new() };
    let mut several = false;
    let weakest = each.fold(first, |weakest, next| {
        several = true;
        weakest.weakest(next)
    });
    if !several {
        return weakest;
    }
    weakest
        .without(Capability::PublisherOrder)
        .without(Capability::KeyOrderPerMember)
        .without(Capability::KeyOrderAcrossGroup)
        .without(Capability::StartSequence)
}

impl Watched for Shared {
    fn look(&self) {
        if matches!(self.phase(), Phase::Started | Phase::Draining) {
            for slot in &self.slots {
                self.look_at(slot);
            }
        }
    }
}

/// Also the end of those that listen, and of subscriptions that wait for an engine.
impl Drop for Shared {
    fn drop(&mut self) {
        self.ledger.unsubscribe();
        self.registry.close(&self.hub);
        self.hub.end();
    }
}
