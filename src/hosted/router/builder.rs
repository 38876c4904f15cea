//! How a router is made: [`RouterBuilder`], [`Rule`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::engines::Declarer;
use super::error::BuildError;
use super::front::Router;
use super::launch::Declared;
use super::pattern::RulePattern;
use super::rules::{Decides, Rules};
use super::shared::{Shared, Slot, WATCH};
use super::warning::Warning;
use crate::error::InvalidPattern;
use crate::hosted::clock::Clock;
use crate::hosted::engine::{BoxError, Engine, Health, Level};
use crate::hosted::handle::Context;
use crate::hosted::start::OnStart;
use crate::hosted::stats::ALL;
use crate::hosted::subscribe::{Subscribe, SubscriptionDefaults};

/// A rule of a router: events of these subjects go to this engine.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::{Level, MemoryEngine, Router, Rule};
///
/// let router = Router::builder()
///     .engine("fast", MemoryEngine::new())
///     .rule(Rule::new("fast").pattern("match.*.score").prefix("user.*").require(Level::Accepted))
///     .build()?;
/// assert_eq!(&**router.engine_for("user.7.created")?, "fast");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Rule {
    engine: Arc<str>,
    patterns: Vec<Result<RulePattern, InvalidPattern>>,
    requires: Option<Level>,
}

impl Rule {
    /// Returns a rule for an engine, without patterns.
    pub fn new(engine: impl Into<Arc<str>>) -> Self {
        Self { engine: engine.into(), patterns: Vec::new(), requires: None }
    }

    /// Adds a [`Pattern`](crate::Pattern). If it is not one, [`build`](RouterBuilder::build) fails.
    pub fn pattern(mut self, pattern: &str) -> Self {
        self.patterns.push(RulePattern::try_from(pattern));
        self
    }

    /// Adds a [`PrefixPattern`](crate::subject::PrefixPattern). If it is not one,
    /// [`build`](RouterBuilder::build) fails.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.patterns.push(RulePattern::prefix(prefix));
        self
    }

    /// Demands that a publish reaches this level. A router whose engine cannot is not built or not
    /// started. A receipt below the level is an error.
    pub const fn require(mut self, level: Level) -> Self {
        self.requires = Some(level);
        self
    }
}

/// Makes a [`Router`]. See [`Router::builder`].
#[must_use]
pub struct RouterBuilder {
    name: Arc<str>,
    engines: Vec<Slot>,
    rules: Vec<Rule>,
    fallback: Option<Arc<str>>,
    tenants: bool,
    clock: Option<Arc<dyn Clock>>,
    source: Option<Arc<str>>,
    watch: Duration,
    declared: Vec<Declared>,
    fault: Option<BuildError>,
}

impl RouterBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "router".into(),
            engines: Vec::new(),
            rules: Vec::new(),
            fallback: None,
            tenants: false,
            clock: None,
            source: None,
            watch: WATCH,
            declared: Vec::new(),
            fault: None,
        }
    }

    /// Sets the name of the router in errors: `router` by default.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds an engine. Receipts and errors of the router have this name, not the engine's own.
    ///
    /// The engine belongs to the router, which starts it and shuts it down.
    pub fn engine(mut self, name: impl Into<Arc<str>>, engine: impl Engine) -> Self {
        self.engines.push(Slot::new(name.into(), Arc::new(engine), OnStart::Fail));
        self
    }

    /// Sets what the start does while the engine that you added last cannot be reached:
    /// [`OnStart::Fail`] by default.
    ///
    /// With [`OnStart::Background`], publishing to the engine fails until it is up. A subscription
    /// is attached to it then: a live one begins with a [`Gap`](crate::hosted::Gap), and a group that
    /// is new begins there.
    pub fn on_start(mut self, on_start: OnStart) -> Self {
        match self.engines.last_mut() {
            Some(engine) => engine.on_start = on_start,
            None => self.fault = self.fault.or(Some(BuildError::Misplaced { setting: "on_start" })),
        }
        self
    }

    /// Sets how subscriptions are set up on the engine that you added last, where they do not say it.
    ///
    /// One that is attached to several engines has the buffer of each, and the workers and the queue
    /// of the first.
    pub fn defaults(mut self, defaults: SubscriptionDefaults) -> Self {
        match self.engines.last_mut() {
            Some(engine) => engine.defaults = defaults,
            None => self.fault = self.fault.or(Some(BuildError::Misplaced { setting: "defaults" })),
        }
        self
    }

    /// Adds a rule behind the others: events that match one of these
    /// [`Pattern`](crate::Pattern)s go to `engine`. The first rule that matches decides.
    ///
    /// In a file, `order.*` is every subject that begins with `order.`. Here it is one segment more:
    /// use `order.>`, or [`Rule::prefix`].
    pub fn route<'p>(
        self,
        patterns: impl IntoIterator<Item = &'p str>,
        engine: impl Into<Arc<str>>,
    ) -> Self {
        self.rule(patterns.into_iter().fold(Rule::new(engine), Rule::pattern))
    }

    /// Adds a rule behind the others.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Demands that a publish by the rule that you added last reaches this level: see
    /// [`Rule::require`].
    pub fn require(mut self, level: Level) -> Self {
        match self.rules.last_mut() {
            Some(rule) => rule.requires = Some(level),
            None => self.fault = self.fault.or(Some(BuildError::Misplaced { setting: "require" })),
        }
        self
    }

    /// Sets the engine of events that no rule matches. By default that is the first engine.
    pub fn fallback(mut self, engine: impl Into<Arc<str>>) -> Self {
        self.fallback = Some(engine.into());
        self
    }

    /// Keeps tenants apart, or not: not by default. See [`Router::tenant`].
    pub const fn tenants(mut self, tenants: bool) -> Self {
        self.tenants = tenants;
        self
    }

    /// Sets the clock: that of the first engine by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets how often a [`Lifecycle`](super::Lifecycle) that you wait for asks the engines for their
    /// health: every second by default.
    pub const fn watch(mut self, every: Duration) -> Self {
        self.watch = every;
        self
    }

    /// Says that the settings come from a configuration, for
    /// [`ConfigLoaded`](super::LifecycleEvent::ConfigLoaded).
    pub fn loaded_from(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Declares a handler that must exist before the engines connect, such as that of a session
    /// which a server has kept. [`Router::start`] opens its live subscription.
    ///
    /// The handler runs until the router is shut down. An engine that can open a subscription before
    /// it connects does so.
    pub fn on<F, R, T, E>(self, pattern: &str, f: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        self.on_with(pattern, |subscribe| subscribe, f)
    }

    /// Declares a handler as [`on`](Self::on) does, with settings of the subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{BoxError, Context, MemoryEngine, Router};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let router = Router::builder()
    ///     .engine("fast", MemoryEngine::new())
    ///     .on_with("match.*.score", |it| it.group("ladder").workers(8), async |context: Context| {
    ///         println!("{}", context.subject());
    ///         Ok::<_, BoxError>(())
    ///     })
    ///     .build()?;
    /// router.start().await?;
    /// router.publish(Envelope::json("match.7.score", &3)?).await?;
    /// assert_eq!(router.shutdown(std::time::Duration::from_secs(1)).await?.handled, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_with<F, R, T, E>(
        mut self,
        pattern: &str,
        set: impl for<'e> FnOnce(Subscribe<'e>) -> Subscribe<'e> + Send + 'static,
        f: F,
    ) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        let pattern: Box<str> = pattern.into();
        self.declared.push(Box::new(move |shared| {
            Box::pin(async move {
                let engine = Declarer::new(shared);
                set(Subscribe::new(&engine, &pattern)?).handle(f).await
            })
        }));
        self
    }

    /// Makes the router. Nothing is connected yet: see [`Router::start`].
    ///
    /// # Errors
    ///
    /// Returns [`BuildError`] if there is no engine, two have one name, or a rule cannot work.
    pub fn build(self) -> Result<Router, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let slots = self.engines.into_boxed_slice();
        if slots.is_empty() {
            return Err(BuildError::NoEngine);
        }
        for (at, slot) in slots.iter().enumerate() {
            let name = &slot.name;
            if name.is_empty() || **name == *ALL {
                return Err(BuildError::EngineName { engine: name.clone() });
            }
            if slots[..at].iter().any(|before| before.name == *name) {
                return Err(BuildError::DuplicateEngine { engine: name.clone() });
            }
        }
        let find = |name: &Arc<str>| slots.iter().position(|slot| slot.name == *name);
        let fallback = match self.fallback {
            None => 0,
            Some(name) => find(&name).ok_or(BuildError::UnknownFallback { engine: name })?,
        };
        let mut rules = Vec::new();
        for (number, rule) in (1..).zip(self.rules) {
            let Rule { engine: name, patterns, requires } = rule;
            let patterns: Result<Vec<_>, _> = patterns.into_iter().collect();
            let patterns =
                patterns.map_err(|invalid| BuildError::Pattern { rule: number, invalid })?;
            if patterns.is_empty() {
                return Err(BuildError::EmptyRule { rule: number });
            }
            let Some(engine) = find(&name) else {
                return Err(BuildError::UnknownEngine { rule: number, engine: name });
            };
            // What is not up may be able to do more when it is.
            let of = &slots[engine].engine;
            let reaches = of.capabilities().highest_level();
            if let Some(level) = requires.filter(|level| reaches < *level)
                && of.health() == Health::Up
            {
                let patterns = names(&patterns);
                return Err(BuildError::Level {
                    rule: number,
                    patterns,
                    engine: name,
                    level,
                    reaches,
                });
            }
            rules.push(Decides { patterns, engine, requires });
        }
        let rules = Rules::new(rules, fallback);
        let warnings = warnings(&rules, &slots)?;
        let clock = self.clock.unwrap_or_else(|| slots[0].engine.clock());
        let mut shared = Shared::new(self.name, clock, slots, rules, self.declared);
        shared.tenants = self.tenants;
        shared.warnings = warnings;
        shared.source = self.source;
        shared.watch = self.watch;
        Ok(Router::new(shared))
    }
}

fn warnings(rules: &Rules, slots: &[Slot]) -> Result<Vec<Warning>, BuildError> {
    let dead = rules.unreachable();
    for (number, rule) in rules.all().iter().enumerate() {
        let of_rule = || dead.iter().filter(|it| it.rule == number);
        if of_rule().count() == rule.patterns.len() {
            let mut by: Vec<_> = of_rule().flat_map(|it| numbers(&it.by)).collect();
            by.sort_unstable();
            by.dedup();
            by.retain(|it| *it != number + 1);
            let patterns = names(&rule.patterns);
            return Err(BuildError::Unreachable { rule: number + 1, patterns, by });
        }
    }
    let used = rules.in_use();
    let unused = slots.iter().enumerate().filter(|(at, _)| !used.contains(at));
    let unused = unused.map(|(_, slot)| Warning::UnusedEngine { engine: slot.name.clone() });
    let dead = dead.into_iter().map(|it| Warning::UnreachablePattern {
        rule: it.rule + 1,
        pattern: rules.all()[it.rule].patterns[it.pattern].clone(),
        by: numbers(&it.by).collect(),
    });
    Ok(unused.chain(dead).collect())
}

/// You count rules from 1.
fn numbers(rules: &[usize]) -> impl Iterator<Item = usize> {
    rules.iter().map(|at| at + 1)
}

fn names(patterns: &[RulePattern]) -> Box<str> {
    let names: Vec<String> = patterns.iter().map(|it| alloc::format!("{it}")).collect();
    names.join(", ").into()
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engines: Vec<_> = self.engines.iter().map(|slot| &slot.name).collect();
        f.debug_struct("RouterBuilder")
            .field("name", &self.name)
            .field("engines", &engines)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
