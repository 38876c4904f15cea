//! How a subscription is opened: [`Subscribe`].

mod deliveries;
mod error;
mod options;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use deliveries::Deliveries;
pub use error::OpenError;
pub use options::{DurableOptions, LiveOptions, StartAt, SubscriptionDefaults};

use super::capabilities::{Capability, Mode};
#[cfg(feature = "compression")]
use super::compression::MAX_DECODED;
use super::counts::{Counts, OnGap, OnRefused};
use super::delivery::{Gap, SettleError};
use super::engine::Engine;
use super::handle::ledger::Ledger;
use super::handle::settings::{Fault, Observer, Of, Settings};
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::PatternBuf;
use crate::subject_bus::Overrun;

/// Sets up a subscription. [`open`](Self::open) opens it.
///
/// Without a [`group`](Self::group), the subscription is live. It receives what is published from
/// now on, at most once, in a buffer of its own. With a group, it is durable. The members of the
/// group share the events, the engine keeps the group's position, and unsettled events come again.
/// Each setting says to which kind it belongs; [`open`](Self::open) fails if you use it on the
/// other kind.
#[must_use = "nothing is subscribed before `open`"]
pub struct Subscribe<'e> {
    engine: &'e dyn Engine,
    patterns: Vec<PatternBuf>,
    group: Option<Box<str>>,
    capacity: Option<usize>,
    overrun: Option<Overrun>,
    block_timeout: Option<Duration>,
    start_at: Option<StartAt>,
    lease: Option<Duration>,
    in_flight: Option<usize>,
    max_attempts: Option<u32>,
    demands: Vec<Capability>,
    on_gap: Option<OnGap>,
    on_refused: Option<OnRefused>,
    /// Publishes dead letters.
    publisher: Option<Arc<dyn Engine>>,
    /// Counts what handlers do, over all subscriptions of an owner.
    pub(in crate::hosted) ledger: Option<Arc<Ledger>>,
    pub(in crate::hosted) handler: Settings,
    #[cfg(feature = "compression")]
    max_decoded: usize,
}

/// What an engine has for the handlers of its subscriptions.
pub struct Owner {
    /// Publishes dead letters.
    pub(in crate::hosted) publisher: Arc<dyn Engine>,
    /// Counts what handlers do.
    pub(in crate::hosted) ledger: Arc<Ledger>,
    /// Is called for each failed call of a handler, and for each that returned a message.
    pub(in crate::hosted) observer: Observer,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

/// The defaults.
const CAPACITY: usize = 64;
const LEASE: Duration = Duration::from_secs(30);
const IN_FLIGHT: usize = 64;

impl<'e> Subscribe<'e> {
    /// Starts a subscription to `pattern` on `engine`.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn new(engine: &'e dyn Engine, pattern: &str) -> Result<Self, InvalidPattern> {
        let (mut publisher, mut ledger, mut handler) = (None, None, Settings::default());
        if let Some(owner) = engine.owner() {
            (publisher, ledger) = (Some(owner.publisher), Some(owner.ledger));
            handler.observer = Some(owner.observer);
        }
        Ok(Self {
            engine,
            patterns: alloc::vec![pattern.parse()?],
            group: None,
            capacity: None,
            overrun: None,
            block_timeout: None,
            start_at: None,
            lease: None,
            in_flight: None,
            max_attempts: None,
            demands: Vec::new(),
            on_gap: None,
            on_refused: None,
            publisher,
            ledger,
            handler,
            #[cfg(feature = "compression")]
            max_decoded: MAX_DECODED,
        })
    }

    /// Sets who publishes dead letters, unless the engine knows better.
    pub(in crate::hosted) fn with_publisher(
        mut self,
        publisher: impl FnOnce() -> Arc<dyn Engine>,
    ) -> Self {
        self.publisher.get_or_insert_with(publisher);
        self
    }

    /// Adds another pattern. An event that matches several patterns comes once.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn or(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        self.patterns.push(pattern.parse()?);
        Ok(self)
    }

    /// Makes the subscription durable, as a member of the group `name`.
    pub fn group(mut self, name: impl Into<Box<str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Sets how many envelopes fit into the buffer: 64 by default. Live only.
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets what a full buffer does: [`Overrun::DropNewest`] by default. Live only.
    pub const fn overrun(mut self, overrun: Overrun) -> Self {
        self.overrun = Some(overrun);
        self
    }

    /// Lets a publisher wait for room, and at most so long. Live only.
    ///
    /// After that the event is dropped here as with [`Overrun::DropNewest`], and the publish
    /// succeeds. 0 is `DropNewest`: publishers do not wait. Without this setting,
    /// [`Overrun::Block`] waits without a limit.
    pub const fn block_timeout(mut self, timeout: Duration) -> Self {
        self.block_timeout = Some(timeout);
        self
    }

    /// Sets where the group begins if it is new: [`StartAt::New`] by default. Durable only.
    pub const fn start_at(mut self, start_at: StartAt) -> Self {
        self.start_at = Some(start_at);
        self
    }

    /// Sets how long a delivery may stay unsettled before it comes again: 30 s by default. Durable
    /// only.
    ///
    /// Where the lease is each member's own, as in memory, members may have different ones. An
    /// engine whose server has one lease for the group, such as NATS, refuses another one.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets how many deliveries of this member may be unsettled: 64 by default. Durable only.
    pub const fn in_flight(mut self, deliveries: usize) -> Self {
        self.in_flight = Some(deliveries);
        self
    }

    /// Sets how often an event is delivered before it becomes a dead letter: without a limit by
    /// default. Durable only.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets how many bytes a payload may have when it is decompressed: 64 MiB by default. With 0,
    /// payloads stay as they came.
    ///
    /// A payload is decompressed if the header `content-encoding` says `gzip`, whatever program has
    /// compressed it, and the header is removed. With any other encoding the payload stays as it
    /// came, and you decode it by the header. One that is larger, or damaged, stays as it came too:
    /// [`Delivery::undecoded`](super::Delivery::undecoded) says why, and for a handler the event
    /// becomes a dead letter at once.
    #[cfg(feature = "compression")]
    pub const fn max_decoded(mut self, bytes: usize) -> Self {
        self.max_decoded = bytes;
        self
    }

    /// Demands a capability of the engine. [`open`](Self::open) fails if the engine lacks it.
    pub fn demand(mut self, capability: Capability) -> Self {
        self.demands.push(capability);
        self
    }

    /// Calls `f` for each gap, in addition to the item of the stream. `f` must not wait.
    pub fn on_gap(mut self, f: impl Fn(Gap) + Send + Sync + 'static) -> Self {
        self.on_gap = Some(Box::new(f));
        self
    }

    /// Calls `f` for each verdict that the engine refused. `f` must not wait.
    pub fn on_refused(
        mut self,
        f: impl Fn(&Envelope, &SettleError) + Send + Sync + 'static,
    ) -> Self {
        self.on_refused = Some(Box::new(f));
        self
    }

    /// Opens the subscription.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if the engine lacks a demanded capability, or cannot be reached. Also
    /// returns it if a setting is out of range, or is for the other kind of subscription.
    pub async fn open(mut self) -> Result<Deliveries, OpenError> {
        if let Some(setting) = self.handler.is_set() {
            let why = "it is for a handler: end with `handle`";
            return Err(OpenError::invalid(self.engine.name(), setting, why));
        }
        self.check()?;
        let counts =
            Counts::new(self.engine.name().clone(), self.on_gap.take(), self.on_refused.take());
        let mode = self.mode();
        let (overrun, sets_overrun) = (self.policy(), self.sets_overrun());
        let from = match self.group {
            None => {
                let options = LiveOptions {
                    patterns: self.patterns,
                    capacity: self.capacity.unwrap_or(CAPACITY),
                    overrun,
                    block_timeout: self.block_timeout.filter(|timeout| !timeout.is_zero()),
                    sets_capacity: self.capacity.is_some(),
                    sets_overrun,
                };
                self.engine.open_live(options).await?
            }
            Some(group) => {
                let options = DurableOptions {
                    patterns: self.patterns,
                    group,
                    start_at: self.start_at.unwrap_or_default(),
                    lease: self.lease.unwrap_or(LEASE),
                    in_flight: self.in_flight.unwrap_or(IN_FLIGHT),
                    max_attempts: self.max_attempts,
                };
                self.engine.open_durable(options).await?
            }
        };
        Ok(Deliveries {
            from,
            mode,
            received: 0,
            counts: Arc::new(counts),
            #[cfg(feature = "compression")]
            max_decoded: self.max_decoded,
        })
    }

    const fn sets_overrun(&self) -> bool {
        self.overrun.is_some() || self.block_timeout.is_some()
    }

    /// What a full buffer does.
    fn policy(&self) -> Overrun {
        match self.block_timeout {
            Some(Duration::ZERO) => Overrun::DropNewest,
            Some(_) => Overrun::Block,
            None => self.overrun.unwrap_or_default(),
        }
    }

    const fn mode(&self) -> Mode {
        if self.group.is_some() { Mode::Durable } else { Mode::Live }
    }

    pub(in crate::hosted) fn patterns(&self) -> &[PatternBuf] {
        &self.patterns
    }

    /// What a handler needs to know.
    pub(in crate::hosted) fn of(&self) -> Of<'_> {
        Of {
            engine: self.engine,
            publisher: self.publisher.as_ref(),
            mode: self.mode(),
            patterns: &self.patterns,
            group: self.group.as_deref(),
            overrun: self.sets_overrun().then(|| self.policy()),
            lease: self.lease.unwrap_or(LEASE),
            in_flight: self.in_flight.unwrap_or(IN_FLIGHT),
            #[cfg(feature = "compression")]
            max_decoded: self.max_decoded,
        }
    }

    /// Everything that is wrong whatever the engine's state.
    pub(in crate::hosted) fn check(&self) -> Result<(), OpenError> {
        let engine = self.engine.name();
        let invalid = |setting, why| OpenError::invalid(engine, setting, why);
        let mode = self.mode();
        let of_live = [
            ("capacity", self.capacity.is_some()),
            ("overrun", self.overrun.is_some()),
            ("block_timeout", self.block_timeout.is_some()),
        ];
        let of_durable = [
            ("start_at", self.start_at.is_some()),
            ("lease", self.lease.is_some()),
            ("in_flight", self.in_flight.is_some()),
            ("max_attempts", self.max_attempts.is_some()),
        ];
        let others: &[_] = if mode == Mode::Live { &of_durable } else { &of_live };
        if let Some((setting, _)) = others.iter().find(|(_, is_set)| *is_set) {
            return Err(OpenError::WrongMode { engine: engine.clone(), setting, mode });
        }
        if self.group.as_deref() == Some("") {
            return Err(invalid("group", "it is empty"));
        }
        if self.capacity == Some(0) {
            return Err(invalid("capacity", "it is 0"));
        }
        if self.block_timeout.is_some() && !matches!(self.overrun, None | Some(Overrun::Block)) {
            return Err(invalid("block_timeout", "the overrun is not `Block`: remove one of them"));
        }
        if self.in_flight == Some(0) {
            return Err(invalid("in_flight", "it is 0"));
        }
        if self.max_attempts == Some(0) {
            return Err(invalid("max_attempts", "it is 0"));
        }
        if self.lease == Some(Duration::ZERO) {
            return Err(invalid("lease", "it is 0"));
        }
        let carriers = self.engine.carriers(&self.patterns);
        let kind = if mode == Mode::Live { Capability::Live } else { Capability::Durable };
        let start = match self.start_at.unwrap_or_default() {
            StartAt::New => None,
            StartAt::Earliest => Some(Capability::StartEarliest),
            StartAt::Sequence(_) => Some(Capability::StartSequence),
            StartAt::Time(_) => Some(Capability::StartTime),
        };
        let block = (self.policy() == Overrun::Block).then_some(Capability::Block);
        let brief = block.and(self.block_timeout).map(|_| Capability::BlockTimeout);
        let limit = self.max_attempts.map(|_| Capability::Attempts);
        let blocks = if brief.is_some() { "block_timeout" } else { "overrun(Block)" };
        let needs = [
            (Some(kind), None),
            (start, Some("start_at")),
            (block, Some(blocks)),
            (brief, Some("block_timeout")),
            (limit, Some("max_attempts")),
        ];
        let implied = needs.into_iter().filter_map(|(demand, setting)| Some((demand?, setting)));
        let demands = self.demands.iter().map(|demand| (*demand, None));
        for (demand, setting) in implied.chain(demands) {
            if let Some(it) = carriers.iter().find(|it| !it.capabilities.has(mode, demand)) {
                return Err(OpenError::needs(&it.engine, mode, demand, setting));
            }
        }
        Ok(())
    }
}

impl Of<'_> {
    /// Returns the error of what is wrong with the settings of a handler.
    pub(in crate::hosted) fn error(&self, fault: &Fault) -> OpenError {
        let (engine, mode) = (self.engine.name().clone(), self.mode);
        match *fault {
            Fault::Durable(setting) | Fault::Live(setting) => {
                OpenError::WrongMode { engine, setting, mode }
            }
            Fault::Invalid(setting, why) => OpenError::Invalid { engine, setting, why },
        }
    }
}

impl fmt::Debug for Subscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("engine", self.engine.name())
            .field("patterns", &self.patterns)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
