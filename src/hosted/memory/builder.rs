//! How an engine is set up: [`MemoryEngineBuilder`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use super::followed::Followed;
use super::history::{History, HistoryLimits};
use super::log::Log;
use super::seen::Seen;
use super::shared::Shared;
use super::{Defaults, MemoryEngine};
use crate::hosted::clock::{Clock, SystemClock};
use crate::subject_bus::{Overrun, SubjectBus};

/// Makes a [`MemoryEngine`] with other settings than the defaults: see [`MemoryEngine::builder`].
#[derive(Debug)]
#[must_use]
pub struct MemoryEngineBuilder {
    name: Arc<str>,
    log: usize,
    window: Duration,
    ids: usize,
    dead_letters: usize,
    max_payload: Option<usize>,
    clock: Option<Arc<dyn Clock>>,
    defaults: Defaults,
    rotate: bool,
    ttl: Option<Duration>,
    history: Option<HistoryLimits>,
}

impl MemoryEngineBuilder {
    /// Sets the name in errors and receipts: `memory` by default.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many events the log keeps: 4096 by default. With 0, there are no durable
    /// subscriptions.
    pub const fn log(mut self, events: usize) -> Self {
        self.log = events;
        self
    }

    /// Sets how long the engine knows an id, and how many ids: two minutes and 4096 by default.
    /// With 0 ids, or without a log, it deduplicates nothing.
    pub const fn deduplicate(mut self, window: Duration, ids: usize) -> Self {
        self.window = window;
        self.ids = ids;
        self
    }

    /// Sets how many dead letters the engine keeps: 1024 by default.
    pub const fn dead_letters(mut self, letters: usize) -> Self {
        self.dead_letters = letters;
        self
    }

    /// Sets how many bytes a payload may have. There is no limit by default.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Sets the clock: [`SystemClock`] by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets how many envelopes fit into the buffer of a live subscription that does not say: 64 by
    /// default, and for 0.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.defaults.capacity = Some(capacity).filter(|capacity| *capacity > 0);
        self
    }

    /// Sets what a full buffer of a live subscription does that does not say:
    /// [`Overrun::DropNewest`] by default.
    pub const fn overrun(mut self, overrun: Overrun) -> Self {
        self.defaults.overrun = Some(overrun);
        self.defaults.block_timeout = None;
        self
    }

    /// Lets publishers wait for room in a live subscription that does not say, and at most so long.
    /// 0 is [`Overrun::DropNewest`]. Replaces [`overrun`](Self::overrun).
    pub fn block_timeout(mut self, timeout: Duration) -> Self {
        let waits = !timeout.is_zero();
        self.defaults.overrun = Some(if waits { Overrun::Block } else { Overrun::DropNewest });
        self.defaults.block_timeout = waits.then_some(timeout);
        self
    }

    /// Sets whether live subscriptions take turns at being served first: see
    /// [`SubjectBusBuilder::rotate`](crate::subject_bus::SubjectBusBuilder::rotate). The default
    /// is `false`: a publish serves them in the order in which they were opened.
    pub const fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
        self
    }

    /// Sets how old an event may be when its turn comes, from its acceptance by the engine. By
    /// default, and with 0, events do not grow too old.
    pub fn ttl(mut self, age: Duration) -> Self {
        self.ttl = Some(age).filter(|age| !age.is_zero());
        self
    }

    /// Keeps a history: see [`MemoryEngine::history`]. By default there is none.
    pub const fn history(mut self, limits: HistoryLimits) -> Self {
        self.history = Some(limits);
        self
    }

    /// Makes the engine.
    #[must_use]
    pub fn build(self) -> MemoryEngine {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let seen = Seen::new(self.window, self.ids);
        let log = (self.log > 0).then(|| Log::new(self.log, seen, self.dead_letters));
        let durable = log.is_some();
        let followed = Arc::new(Followed::default());
        let lost = followed.clone();
        let bus = SubjectBus::builder().rotate(self.rotate);
        let bus = bus.on_loss(Box::new(move |envelope| lost.left(envelope))).build();
        let history = self.history.map(History::new);
        MemoryEngine {
            name: self.name,
            shared: Arc::new(Shared::new(bus, followed, clock, log, self.ttl, history)),
            defaults: self.defaults,
            max_payload: self.max_payload,
            durable,
            deduplicates: durable && self.ids > 0 && !self.window.is_zero(),
        }
    }
}

impl MemoryEngine {
    /// Returns a builder with the defaults.
    pub fn builder() -> MemoryEngineBuilder {
        MemoryEngineBuilder {
            name: "memory".into(),
            log: 4096,
            window: Duration::from_secs(120),
            ids: 4096,
            dead_letters: 1024,
            max_payload: None,
            clock: None,
            defaults: Defaults::default(),
            rotate: false,
            ttl: None,
            history: None,
        }
    }
}
