//! The router itself: [`Router`].

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::attach::Ask;
use super::builder::RouterBuilder;
use super::engines::owner;
use super::explain::{Explanation, explain, unfed};
use super::lifecycle::{Lifecycle, Watched};
use super::registry::Attached;
use super::shared::{From, Shared};
use super::stats::{RouterStats, stats};
use super::tenant::{self, Scope, Tenant, TenantError};
use super::warning::Warning;
use crate::envelope::Envelope;
use crate::error::{InvalidPattern, InvalidSubject};
use crate::hosted::capabilities::Capabilities;
use crate::hosted::clock::Clock;
use crate::hosted::delivery::Receive;
use crate::hosted::engine::{
    Carrier, Engine, EngineError, Health, Reason, Receipt, ShutdownError, StartError,
};
use crate::hosted::future::EngineFuture;
use crate::hosted::handle::{ShutdownReport, ShutdownTimeout};
use crate::hosted::subscribe::{DurableOptions, LiveOptions, OpenError, Owner, Subscribe};
use crate::subject::{PatternBuf, Subject};

/// Several engines behind one bus: rules decide which engine carries an event.
///
/// The first rule that matches the subject decides. If none does, the fallback has the event, or else
/// the first engine. A subscription is attached to every engine that can carry an event of its
/// patterns, and is still one subscription. An event comes twice only if two engines carry it.
///
/// A router is an engine itself. For a pattern, it can do what all engines of that pattern can:
/// [`capabilities_for`](Self::capabilities_for). Over several engines there is no common order, and
/// no common sequence to start at.
///
/// It is cheap to clone. Dropping the last clone ends the engines, and all that wait for them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tickbus::Envelope;
/// use tickbus::hosted::{BoxError, Context, MemoryEngine, Router};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let router = Router::builder()
///     .engine("fast", MemoryEngine::new())
///     .engine("fleet", MemoryEngine::new()) // or one of a server
///     .route(["match.*.score", "chat.>"], "fleet")
///     .fallback("fast")
///     .build()?;
/// router.start().await?;
///
/// let ladder = router.subscribe("match.*.*")?.group("ladder").workers(8).by_key();
/// let ladder = ladder.handle(async |context: Context| {
///     println!("{} from {}", context.subject(), context.engine());
///     Ok::<_, BoxError>(())
/// });
/// let _ladder = ladder.await?; // attached to both
///
/// let receipt = router.publish(Envelope::json("match.7.score", &3)?).await?;
/// assert_eq!(&*receipt.engine, "fleet");
/// let receipt = router.publish(Envelope::new("match.7.ended")?).await?;
/// assert_eq!(&*receipt.engine, "fast");
///
/// let report = router.shutdown(Duration::from_secs(10)).await?;
/// assert_eq!((report.handled, report.abandoned), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    pub(super) scope: Scope,
}

impl Router {
    pub(super) fn new(shared: Shared) -> Self {
        let scope = shared.scope();
        Self { shared: Arc::new(shared), scope }
    }

    /// Returns a builder without engines.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::new()
    }

    /// Starts all engines, side by side, and opens the handlers of [`RouterBuilder::on`].
    ///
    /// A second call returns `Ok`. A router whose start failed, or was dropped before it was done, is
    /// shut down: build a new one.
    ///
    /// # Errors
    ///
    /// Returns [`StartError`] if an engine does not start, as its
    /// [`on_start`](RouterBuilder::on_start) says, or does not reach the level of a rule. None runs
    /// then. Returns it with [`Reason::Closed`] if the router is shut down, also meanwhile.
    pub async fn start(&self) -> Result<(), StartError> {
        self.shared.start().await
    }

    /// Publishes `envelope` on the engine that the rules say.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError`] if the router is not started or shut down, or the engine fails. It
    /// names the engine. Also returns it if the receipt is below the level that the rule requires.
    pub fn publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.shared.publish(&self.scope, From::User, envelope.into())
    }

    /// Starts a subscription to `pattern`. End it with [`open`](Subscribe::open) or a handler.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn subscribe(&self, pattern: &str) -> Result<Subscribe<'_>, InvalidPattern> {
        Subscribe::new(self, pattern)
    }

    /// Shuts the router down. Publishing and subscribing fail from now on.
    ///
    /// Handlers take nothing in any more, and handle what they have until the deadline. What an engine
    /// keeps beyond this process is given back instead. Then the engines end. With a deadline of
    /// zero, nothing more begins. A second call returns `Ok`. You may call it in a handler, as
    /// [`Workers::shutdown`](super::super::Workers::shutdown).
    ///
    /// You may call it in a handler, and you may drop the future: the router ends all the same. If
    /// handlers are still in progress when you drop it, no more begin, and the engines end at once. An
    /// engine that does not return is given up one second after the deadline.
    ///
    /// # Errors
    ///
    /// Returns [`ShutdownTimeout`] with the report if a handler still ran at the deadline, or an engine
    /// still had something to send or to hand out.
    pub async fn shutdown(&self, deadline: Duration) -> Result<ShutdownReport, ShutdownTimeout> {
        let (report, _) = self.shared.shut_down(deadline).await;
        if report.running > 0 || report.engines > 0 {
            return Err(ShutdownTimeout(report));
        }
        Ok(report)
    }

    /// Returns a handle that publishes and subscribes for one tenant only.
    ///
    /// Rules and patterns are about the logical subject. On an engine, its name is
    /// `<tenant>.<subject>`, and `_.<subject>` without a tenant. The id of an event and the name of a
    /// group begin with the tenant too. The router's own handles see all tenants: the header `tenant` says whose event it
    /// is.
    ///
    /// # Errors
    ///
    /// Returns [`TenantError`] if the router was not built with
    /// [`tenants(true)`](RouterBuilder::tenants), or the name is not one segment of a subject without
    /// white space and control characters.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{MemoryEngine, Router};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let router = Router::builder().engine("fast", MemoryEngine::new()).tenants(true).build()?;
    /// router.start().await?;
    /// let (red, blue) = (router.tenant("red")?, router.tenant("blue")?);
    ///
    /// let mut of_blue = blue.subscribe(">")?.open().await?;
    /// red.publish(Envelope::new("order.paid")?).await?;
    /// blue.publish(Envelope::new("order.sent")?).await?;
    ///
    /// let it = of_blue.next().await.expect("the router is up")?;
    /// assert_eq!(it.envelope().subject().as_str(), "order.sent");
    /// assert_eq!(it.envelope().headers().tenant(), "blue");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tenant(&self, name: &str) -> Result<Tenant, TenantError> {
        if self.scope.is_off() {
            return Err(TenantError::Off);
        }
        tenant::check(name)?;
        let (shared, scope) = (self.shared.clone(), Scope::One(name.into()));
        Ok(Tenant(Self { shared, scope }))
    }

    // ---- What it says about itself -------------------------------------------------------------

    /// Returns the name of the engine that an event of this subject goes to.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if the text is not a [`Subject`].
    pub fn engine_for(&self, subject: &str) -> Result<&Arc<str>, InvalidSubject> {
        Ok(self.engine_of(Subject::new(subject)?))
    }

    /// Returns the name of the engine that an event of this subject goes to. Allocates nothing.
    #[must_use]
    pub fn engine_of(&self, subject: Subject<'_>) -> &Arc<str> {
        let decision = self.shared.rules.decide(subject);
        &self.shared.slots[decision.engine].name
    }

    /// Returns what would become of an event of this subject, without publishing one.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if the text is not a [`Subject`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::hosted::{MemoryEngine, Router};
    ///
    /// let router = Router::builder()
    ///     .engine("fast", MemoryEngine::new())
    ///     .engine("fleet", MemoryEngine::new())
    ///     .route(["chat.>", "match.*.score"], "fleet")
    ///     .build()?;
    /// let explanation = router.explain("match.7.score")?;
    /// assert_eq!((&*explanation.engine, explanation.rule.unwrap().rule), ("fleet", 1));
    ///
    /// println!("{}", router.explain("match.7.ended")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, subject: &str) -> Result<Explanation, InvalidSubject> {
        Ok(explain(&self.shared, &self.scope, Subject::new(subject)?))
    }

    /// Returns what is probably not meant, and yet works.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.shared.warnings
    }

    /// Returns what subscriptions to these patterns can do: the weakest of the engines that they are
    /// attached to.
    pub fn capabilities_for(&self, patterns: &[PatternBuf]) -> Capabilities {
        self.shared.capabilities_for(patterns)
    }

    /// Returns the names of the engines that a subscription to these patterns is attached to.
    #[must_use]
    pub fn engines_for(&self, patterns: &[PatternBuf]) -> Vec<Arc<str>> {
        let engines = self.shared.rules.engines(patterns);
        engines.into_iter().map(|at| self.shared.slots[at].name.clone()).collect()
    }

    /// Returns the health of each engine, in the order of the builder.
    #[must_use]
    pub fn engines(&self) -> Vec<(Arc<str>, Health)> {
        let slots = self.shared.slots.iter();
        slots.map(|slot| (slot.name.clone(), self.shared.look_at(slot))).collect()
    }

    /// Returns the open subscriptions, in the order in which they were opened.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Arc<Attached>> {
        self.shared.registry.all()
    }

    /// Returns the open subscriptions that no rule can feed. Only the fallback can.
    #[must_use]
    pub fn unfed(&self) -> Vec<Arc<Attached>> {
        unfed(&self.shared)
    }

    /// Returns the patterns of the open subscriptions, each once, in the order in which they were first
    /// subscribed to.
    #[must_use]
    pub fn topics(&self) -> Vec<PatternBuf> {
        self.shared.registry.topics()
    }

    /// Returns how many subscriptions receive the subject `topic`. If it is a pattern with wildcards,
    /// returns how many have exactly this pattern. A subscription on several engines counts once.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.registry.subscribers(topic)
    }

    /// Returns the numbers of each engine, and their sum: [`RouterStats::total`].
    ///
    /// They count what goes through the router: publishes, and what handlers receive. An event that a
    /// full buffer has dropped is counted for its engine when the receiver comes to that place,
    /// whatever receives.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        stats(&self.shared)
    }

    /// Returns what happens to the router from now on. Costs nothing while nothing listens.
    #[must_use = "dropping it ends the stream"]
    pub fn lifecycle(&self) -> Lifecycle {
        let shared: Arc<dyn Watched> = self.shared.clone();
        let watched: Weak<dyn Watched> = Arc::downgrade(&shared);
        let (clock, every) = (self.shared.clock.clone(), self.shared.watch);
        Lifecycle::new(&self.shared.hub, watched, clock, every)
    }

    fn attach(&self, ask: Ask) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        EngineFuture::new(self.shared.attach(self.scope.clone(), false, ask))
    }
}

impl Engine for Router {
    fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        EngineFuture::new(self.shared.start())
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        Self::publish(self, envelope)
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.shared.publish_by(Engine::publish_and_wait, &self.scope, From::User, envelope)
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        self.shared.try_publish(&self.scope, From::User, envelope)
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        self.shared.publish_batch(&self.scope, From::User, envelopes)
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

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn carriers(&self, patterns: &[PatternBuf]) -> Vec<Carrier> {
        self.shared.carriers(patterns)
    }

    fn lag(&self) -> Option<u64> {
        self.stats().total().lag
    }

    fn owner(&self) -> Option<Owner> {
        Some(owner(&self.shared, &self.scope))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.shared.clock.clone()
    }

    fn outlives_process(&self) -> bool {
        self.shared.slots.iter().all(|slot| slot.engine.outlives_process())
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::new(async move {
            let (report, ended) = self.shared.shut_down(deadline).await;
            match ended {
                Ok(()) if report.running > 0 => {
                    Err(ShutdownError::new(&self.shared.name, Reason::TimedOut))
                }
                ended => ended,
            }
        })
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engines: Vec<_> = self.shared.slots.iter().map(|slot| &slot.name).collect();
        f.debug_struct("Router")
            .field("name", &self.shared.name)
            .field("phase", &self.shared.phase())
            .field("engines", &engines)
            .field("rules", &self.shared.rules.all())
            .field("subscriptions", &self.shared.registry.all().len())
            .finish_non_exhaustive()
    }
}
