//! How a broker is set up: [`BrokerBuilder`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use tokio::sync::Semaphore;

use super::error::InvalidBroker;
use super::member::Group;
use super::mode::ProcessingMode;
use super::process::Work;
use super::run::{Broker, Settings};
use crate::hosted::clock::{Clock, SystemClock};
use crate::hosted::engine::Engine;
use crate::hosted::handle::RetryPolicy;
use crate::hosted::store::Store;
use crate::hosted::subscribe::StartAt;
use crate::subject::Subject;

/// Makes a [`Broker`]. It needs a store.
#[must_use = "`build` makes the broker"]
pub struct BrokerBuilder {
    store: Option<Arc<dyn Store>>,
    mode: ProcessingMode,
    workers: usize,
    buffer: usize,
    instance_id: Box<str>,
    retry: RetryPolicy,
    clean_up: Option<(Duration, Duration)>,
    clock: Option<Arc<dyn Clock>>,
    metric_types: usize,
    engine: Option<Arc<dyn Engine>>,
    group: Option<Box<str>>,
    prefix: Option<Box<str>>,
    start_at: Option<StartAt>,
    lease: Option<Duration>,
    /// The provider of a configuration, if it is not made of the configuration alone.
    provider: Option<&'static str>,
}

/// The most workers: each is a task.
const WORKERS: usize = 1 << 16;
const LEASE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

impl Broker {
    /// Returns a builder with the defaults.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::new()
    }
}

impl BrokerBuilder {
    fn new() -> Self {
        let host: String = gethostname::gethostname().to_string_lossy().into();
        Self {
            store: None,
            mode: ProcessingMode::default(),
            workers: 10,
            buffer: 1000,
            instance_id: host.into(),
            retry: RetryPolicy::default(),
            clean_up: Some((5 * MINUTE, 24 * 60 * MINUTE)),
            clock: None,
            metric_types: 1000,
            engine: None,
            group: None,
            prefix: None,
            start_at: None,
            lease: None,
            provider: None,
        }
    }

    /// Sets the store, which keeps the records. A broker needs one.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets when handlers run: on workers by default.
    pub const fn mode(mut self, mode: ProcessingMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how many events are handled at the same time: 10 by default, 65,536 at most. With 1, events
    /// are handled in the order of publishing.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets how many events may wait while all workers are busy: 1000 by default.
    pub const fn buffer(mut self, events: usize) -> Self {
        self.buffer = events;
        self
    }

    /// Sets the name of this program in its records: the name of the host by default.
    pub fn instance_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.instance_id = id.into();
        self
    }

    /// Sets how often a handler that failed is tried again, and when: 3 times by default.
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Every `every` (5 minutes), removes completed and failed records older than `age` (24 hours). With 0
    /// for `every`, it removes none.
    pub const fn clean_up(mut self, every: Duration, age: Duration) -> Self {
        self.clean_up = if every.is_zero() { None } else { Some((every, age)) };
        self
    }

    /// Sets how many types of events have [metrics](Broker::metrics) of their own: 1000 by default.
    /// The events of further types are counted together, as [`OTHER`](super::OTHER). With 0, nothing
    /// is measured.
    pub const fn metric_types(mut self, types: usize) -> Self {
        self.metric_types = types;
        self
    }

    /// Sends records over this engine, so that each is handled by one broker of the
    /// [`group`](Self::group), in any process. The broker starts the engine, and does not shut it
    /// down.
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Some(Arc::new(engine));
        self
    }

    /// Sets the name of the group. A broker with an engine needs one. The brokers of a group share a
    /// store, or each knows only what it has published and handled.
    pub fn group(mut self, name: impl Into<Box<str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Sets what the subjects of records begin with on the engine: `events` by default. A record of
    /// the type `public.users.create` is `events.public.users.create` there.
    pub fn prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets where a new group begins on the engine: [`StartAt::New`] by default.
    pub const fn start_at(mut self, start_at: StartAt) -> Self {
        self.start_at = Some(start_at);
        self
    }

    /// Sets after which time another broker of the group has the record of one that died: 30 s by
    /// default. A broker that lives keeps a record for as long as its handlers run, if the engine
    /// can extend a lease.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The configuration names a provider that needs more than it says.
    pub(in crate::hosted) const fn provider(mut self, provider: &'static str) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Sets the clock: [`SystemClock`] by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Makes the broker. [`start`](Broker::start) starts it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidBroker`] if the store is missing, the instance id is empty, or the number of
    /// workers or of places in the queue is 0 or too large. Also returns it if the settings of a
    /// group do not fit together.
    pub fn build(self) -> Result<Broker, InvalidBroker> {
        let group = self.members()?;
        let store = self.store.ok_or(match self.provider {
            Some(provider) => InvalidBroker::Provider { provider },
            None => InvalidBroker::NoStore,
        })?;
        if self.instance_id.is_empty() {
            return Err(InvalidBroker::NoInstanceId);
        }
        for (setting, number, most) in
            [("workers", self.workers, WORKERS), ("buffer", self.buffer, Semaphore::MAX_PERMITS)]
        {
            if number == 0 {
                return Err(InvalidBroker::Zero { setting });
            }
            if number > most {
                return Err(InvalidBroker::TooMany { setting, most });
            }
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let instance_id: Arc<str> = self.instance_id.into();
        let work = Work::new(store, clock, self.retry, instance_id, self.metric_types);
        let (mode, workers, buffer, clean_up) =
            (self.mode, self.workers, self.buffer, self.clean_up);
        Ok(Broker::new(work, Settings { mode, workers, buffer, clean_up, group }))
    }

    /// How the broker uses its engine, if it has one.
    fn members(&self) -> Result<Option<Arc<Group>>, InvalidBroker> {
        let Some(engine) = &self.engine else {
            let set = [
                ("group", self.group.is_some()),
                ("prefix", self.prefix.is_some()),
                ("start_at", self.start_at.is_some()),
                ("lease", self.lease.is_some()),
            ];
            return match set.into_iter().find(|(_, is_set)| *is_set) {
                Some((setting, _)) => Err(InvalidBroker::NoEngine { setting }),
                None => Ok(None),
            };
        };
        let name = self.group.clone().filter(|name| !name.is_empty());
        let name = name.ok_or(InvalidBroker::NoGroup)?;
        if self.mode == ProcessingMode::Synchronous {
            return Err(InvalidBroker::Synchronous);
        }
        let prefix = self.prefix.clone().unwrap_or_else(|| "events".into());
        if Subject::new(&prefix).is_err() {
            return Err(InvalidBroker::Prefix { prefix });
        }
        let lease = self.lease.unwrap_or(LEASE);
        if lease.is_zero() {
            return Err(InvalidBroker::Zero { setting: "lease" });
        }
        let start_at = self.start_at.unwrap_or_default();
        let (engine, workers) = (engine.clone(), self.workers);
        Ok(Some(Arc::new(Group { engine, name, prefix, start_at, lease, workers })))
    }
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("mode", &self.mode)
            .field("workers", &self.workers)
            .field("buffer", &self.buffer)
            .field("instance_id", &self.instance_id)
            .field("retry", &self.retry)
            .field("engine", &self.engine)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
