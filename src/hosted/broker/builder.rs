//! How a broker is set up: [`BrokerBuilder`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use tokio::sync::Semaphore;

use super::error::InvalidBroker;
use super::process::Work;
use super::run::{Broker, ProcessingMode};
use crate::hosted::clock::{Clock, SystemClock};
use crate::hosted::handle::RetryPolicy;
use crate::hosted::store::Store;

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
}

/// The most workers: each is a task.
const WORKERS: usize = 1 << 16;
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

    /// Removes completed and failed records older than `age`, each time `every` has passed: every 5
    /// minutes and 24 hours by default. With 0 for `every`, it removes none.
    pub const fn clean_up(mut self, every: Duration, age: Duration) -> Self {
        self.clean_up = if every.is_zero() { None } else { Some((every, age)) };
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
    /// workers or of places in the queue is 0 or too large.
    pub fn build(self) -> Result<Broker, InvalidBroker> {
        let store = self.store.ok_or(InvalidBroker::NoStore)?;
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
        let work = Work::new(store, clock, self.retry, instance_id);
        Ok(Broker::new(work, self.mode, self.workers, self.buffer, self.clean_up))
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
            .finish_non_exhaustive()
    }
}
