//! What all handles of a router share: [`Shared`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::attach::{Ask, Came, Entry, InTask, Joined, Opening, Part, Place};
use super::launch::Declared;
use super::lifecycle::{Hub, LifecycleEvent, Watched};
use super::registry::{Attached, Registry};
use super::rules::Rules;
use super::tenant::Scope;
use super::warning::Warning;
use crate::hosted::capabilities::{Capabilities, Capability};
use crate::hosted::clock::Clock;
use crate::hosted::counted::Counted;
use crate::hosted::delivery::Receive;
use crate::hosted::engine::{Carrier, Engine, Health, Reason};
use crate::hosted::handle::Workers;
use crate::hosted::handle::ledger::Ledger;
use crate::hosted::start::OnStart;
use crate::hosted::subscribe::{OpenError, SubscriptionDefaults};
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

    pub(super) fn refusal(&self, from: From) -> Option<Reason> {
        match self.phase() {
            Phase::Started => None,
            Phase::New | Phase::Draining if from == From::Handler => None,
            Phase::New => Some(Reason::NotStarted),
            Phase::Draining | Phase::Closed => Some(Reason::Closed),
        }
    }

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
    pub(super) fn refusal(&self) -> Option<Reason> {
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
