//! A broker that runs: [`Broker`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::JoinHandle;

use super::error::BrokerError;
use super::handlers::SubscriptionId;
use super::member::{Group, Member};
use super::metrics::BrokerMetrics;
use super::mode::ProcessingMode;
use super::process::{Job, Work};
use super::stats::BrokerStats;
use crate::hosted::clock::Clock;
use crate::hosted::engine::BoxError;
use crate::hosted::store::{EventRecord, Store};
use crate::sync::Lock;

/// Handles each event that you publish, and keeps a record of it in a [`Store`].
///
/// Asynchronous, as by default, [`publish`](Self::publish) stores the record and returns. Workers
/// run the handlers. Synchronous, it returns when the handlers have run.
///
/// Every handler whose pattern matches the type of the event runs, one after another, in the order
/// of subscribing. A handler that fails is tried again, as the [`RetryPolicy`](crate::hosted::RetryPolicy)
/// says. The event is completed if all ended well, and failed with the last error if one did not.
/// A handler that panics has failed.
///
/// A clone is the same broker.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tickbus::hosted::broker::Broker;
/// use tickbus::hosted::store::{EventFilter, EventRecord, EventSource, EventStatus, MemoryStore, Store};
///
/// let store = Arc::new(MemoryStore::default());
/// let broker = Broker::builder().store(store.clone()).workers(1).build()?;
/// broker.subscribe("public.users.*", |record: Arc<EventRecord>| async move {
///     match record.payload::<u32>() {
///         Ok(7) => Err("seven is not possible"),
///         _ => Ok(()),
///     }
/// })?;
/// broker.start()?;
///
/// let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
/// record.set_payload(&7)?;
/// broker.publish(record).await?;
/// broker.stop(Duration::from_secs(60)).await?; // what is queued is handled
///
/// let failed = store.list(EventFilter::new().status(EventStatus::Failed)).await?;
/// assert_eq!(failed.records[0].error, "seven is not possible (after 4 attempts)");
/// assert_eq!(failed.records[0].retry_count, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    work: Arc<Work>,
    phase: Lock<Phase>,
    /// Held while it starts or stops.
    changing: AsyncMutex<()>,
}

/// How a broker runs.
pub(super) struct Settings {
    pub(super) mode: ProcessingMode,
    pub(super) workers: usize,
    pub(super) buffer: usize,
    pub(super) clean_up: Option<(Duration, Duration)>,
    pub(super) group: Option<Arc<Group>>,
}

enum Phase {
    /// Not started, or stopped.
    Idle,
    Running(Running),
    /// What still runs, while no stop waits for it.
    Stopping(Rest),
}

struct Running {
    to: Destination,
    rest: Rest,
    /// Ends the clean-up.
    end: watch::Sender<()>,
}

/// Where an asynchronous publish goes.
#[derive(Clone)]
enum Destination {
    /// Without workers.
    Nowhere,
    Queue(mpsc::Sender<Job>),
    Group(Arc<Group>, Arc<Member>),
}

/// What ends when it has nothing left to do.
#[derive(Default)]
struct Rest {
    tasks: Vec<JoinHandle<()>>,
    member: Option<Arc<Member>>,
    /// Opens the subscription of the member.
    opening: Option<JoinHandle<()>>,
}

impl Broker {
    pub(super) fn new(work: Work, settings: Settings) -> Self {
        let (phase, changing) = (Lock::new(Phase::Idle), AsyncMutex::new(()));
        let work = Arc::new(work);
        Self { shared: Arc::new(Shared { settings, work, phase, changing }) }
    }

    /// Starts the workers, on the runtime of tokio that calls it. With an engine, it starts that and
    /// opens the subscription of the group, in the background: see [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::AlreadyRunning`] if it is started, or still stopping.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime of tokio.
    pub fn start(&self) -> Result<(), BrokerError> {
        let shared = &self.shared;
        let Settings { mode, workers, buffer, clean_up: age, group } = &shared.settings;
        let mut phase = shared.phase.lock();
        if !matches!(&*phase, Phase::Idle) {
            return Err(BrokerError::AlreadyRunning);
        }
        let mut rest = Rest::default();
        let to = match (mode, group) {
            (ProcessingMode::Synchronous, _) => Destination::Nowhere,
            (ProcessingMode::Asynchronous, None) => {
                let (queue, jobs) = mpsc::channel(*buffer);
                let jobs = Arc::new(AsyncMutex::new(jobs));
                for _ in 0..*workers {
                    rest.tasks.push(tokio::spawn(work(shared.clone(), jobs.clone())));
                }
                Destination::Queue(queue)
            }
            (ProcessingMode::Asynchronous, Some(group)) => {
                let member = Member::new(group.clone());
                rest.opening = Some(tokio::spawn(member.clone().open(shared.work.clone())));
                rest.member = Some(member.clone());
                Destination::Group(group.clone(), member)
            }
        };
        let (end, ended) = watch::channel(());
        if let Some((every, age)) = *age {
            rest.tasks.push(tokio::spawn(clean_up(shared.clone(), every, age, ended)));
        }
        *phase = Phase::Running(Running { to, rest, end });
        Ok(())
    }

    /// Waits until the broker can publish. Without an engine, it can when it is started. With one, it
    /// can when the engine has opened the subscription of the group.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::NotRunning`] from the future if the broker is not started, and
    /// [`BrokerError::Open`] if the engine lacks what a group needs, cannot be reached, or panics. The
    /// broker goes on trying.
    pub async fn ready(&self) -> Result<(), BrokerError> {
        match self.destination()? {
            Destination::Group(_, member) => member.ready().await,
            Destination::Nowhere | Destination::Queue(_) => Ok(()),
        }
    }

    fn destination(&self) -> Result<Destination, BrokerError> {
        match &*self.shared.phase.lock() {
            Phase::Running(running) => Ok(running.to.clone()),
            _ => Err(BrokerError::NotRunning),
        }
    }

    /// Stops: takes no more events, and handles what is queued, for at most `deadline`. Then it
    /// cancels what still runs; such records stay `processing` or `pending` in the store.
    ///
    /// In a group, it handles what is queued only if that ends with the process. Else the others of
    /// the group have it, as they have what is cancelled.
    ///
    /// A broker that is not running returns `Ok`. It can be started again. If you drop the future,
    /// the next call goes on. Do not await it in a handler: it would wait for that one.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::StopTimedOut`] from the future if the deadline came first. Beside another
    /// stop with a later deadline, it returns that and cancels nothing.
    pub async fn stop(&self, deadline: Duration) -> Result<(), BrokerError> {
        let shared = &*self.shared;
        let clock = shared.work.clock();
        let until = clock.now().saturating_add(deadline);
        let mut late = clock.sleep_until(until);
        // Another stop may have a later deadline.
        let Some(_changing) = before(shared.changing.lock(), &mut late).await else {
            return Err(BrokerError::StopTimedOut { left: shared.work.in_progress() });
        };
        let mut stopping = {
            let mut phase = shared.phase.lock();
            let rest = match core::mem::replace(&mut *phase, Phase::Stopping(Rest::default())) {
                Phase::Idle => {
                    *phase = Phase::Idle;
                    return Ok(());
                }
                Phase::Running(Running { to, rest, end }) => {
                    drop((to, end)); // the tasks see that
                    rest
                }
                Phase::Stopping(rest) => rest,
            };
            Stopping { shared, rest, is_over: false }
        };
        let rest = &mut stopping.rest;
        if let Some(opening) = &mut rest.opening {
            opening.abort();
            let _ = opening.await; // it may just have opened
            rest.opening = None;
        }
        let mut cut = 0;
        if let Some(member) = &rest.member {
            let left = until.saturating_sub(clock.now());
            cut = member.close(left).await; // it ends what still runs then
            rest.member = None;
        }
        let all = async {
            while let Some(task) = rest.tasks.last_mut() {
                let _ = task.await; // it contains panics of handlers
                rest.tasks.pop();
            }
            shared.work.quiet().await; // also of synchronous publishes
        };
        let in_time = before(all, &mut late).await.is_some();
        let left = shared.work.in_progress();
        stopping.is_over = true;
        let rest = core::mem::take(&mut stopping.rest);
        for task in rest.tasks {
            task.abort();
        }
        if in_time && cut == 0 {
            return Ok(());
        }
        Err(BrokerError::StopTimedOut { left: left.max(cut) })
    }

    /// Returns whether the broker is started.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(&*self.shared.phase.lock(), Phase::Running(_))
    }

    /// Runs `handler` for each event whose type matches `pattern`, a
    /// [`GlobPattern`](crate::subject::GlobPattern): `*` alone is everything.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::Pattern`] if the text is empty, or not a pattern.
    pub fn subscribe<F, R, E>(
        &self,
        pattern: &str,
        handler: F,
    ) -> Result<SubscriptionId, BrokerError>
    where
        F: Fn(Arc<EventRecord>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.shared.work.handlers().add(pattern, handler)
    }

    /// Removes a handler. What it works on continues.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::NotSubscribed`] if the broker has no handler of this id.
    pub fn unsubscribe(&self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.shared.work.handlers().remove(id)
    }

    /// Publishes by the mode of the broker: [`publish_async`](Self::publish_async) or
    /// [`publish_sync`](Self::publish_sync).
    ///
    /// # Errors
    ///
    /// Returns the errors of that one from the future.
    pub async fn publish(&self, record: EventRecord) -> Result<(), BrokerError> {
        match self.shared.settings.mode {
            ProcessingMode::Asynchronous => self.publish_async(record).await,
            ProcessingMode::Synchronous => self.publish_sync(record).await,
        }
    }

    /// Stores the record, queues the event and returns. It never waits for a handler.
    ///
    /// With an engine, it waits until the engine has the record.
    ///
    /// If you drop the future before it is ready, the event is neither queued nor counted, and its record
    /// may stay in the store as `pending`. With an engine, it may also be published.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError`] from the future if the broker does not run or its queue is full, and
    /// if the record is not valid or not stored. Then nothing is queued or counted, and nothing is
    /// stored. Exception: with the code `outcome_unknown`, the engine may have the record, and it
    /// stays stored.
    pub async fn publish_async(&self, record: EventRecord) -> Result<(), BrokerError> {
        let work = &self.shared.work;
        let queue = match self.destination()? {
            Destination::Queue(queue) => queue,
            Destination::Nowhere => return Err(BrokerError::NoWorkers),
            Destination::Group(group, member) => {
                let record = work.complete(record)?;
                member.ready().await?;
                return group.publish(work, record).await;
            }
        };
        let record = work.complete(record)?;
        let place = queue.try_reserve_owned().map_err(|error| match error {
            TrySendError::Full(_) => BrokerError::QueueFull,
            TrySendError::Closed(_) => BrokerError::WorkerPoolStopped,
        })?;
        place.send(work.store(record).await?);
        Ok(())
    }

    /// Stores the record, runs the handlers, and returns when they have ended.
    ///
    /// # Errors
    ///
    /// Returns [`BrokerError::Failed`] from the future if a handler failed, with the last error;
    /// and [`BrokerError`] if the broker does not run, or the record is not valid or not stored.
    pub async fn publish_sync(&self, record: EventRecord) -> Result<(), BrokerError> {
        if !self.is_running() {
            return Err(BrokerError::NotRunning);
        }
        let record = self.shared.work.complete(record)?;
        let job = self.shared.work.store(record).await?;
        self.shared.work.process(job).await
    }

    /// Returns what became of the events.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let Settings { mode, workers, .. } = self.shared.settings;
        let mut stats = self.shared.work.stats();
        stats.mode = mode;
        stats.is_running = self.is_running();
        stats.queue_size = self.queue_size();
        stats.workers = if mode == ProcessingMode::Asynchronous { workers } else { 0 };
        stats
    }

    /// Returns what was measured of the events, by source and type: for an exporter, such as
    /// [`BrokerPrometheus`](crate::hosted::export::BrokerPrometheus).
    #[must_use]
    pub fn metrics(&self) -> BrokerMetrics {
        self.shared.work.metrics().read(self.queue_size() as u64)
    }

    fn queue_size(&self) -> usize {
        match self.destination() {
            Ok(Destination::Queue(queue)) => queue.max_capacity() - queue.capacity(),
            Ok(Destination::Group(_, member)) => {
                let waiting = member.waiting(self.shared.work.in_progress());
                usize::try_from(waiting).unwrap_or(usize::MAX)
            }
            Ok(Destination::Nowhere) | Err(_) => 0,
        }
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        self.shared.work.records()
    }
}

/// Waits for `future` until it is late. `None` if it is.
async fn before<T>(
    future: impl Future<Output = T>,
    mut late: impl Future<Output = ()> + Unpin,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        Pin::new(&mut late).poll(context).map(|()| None)
    })
    .await
}

/// A stop. If it is dropped, the next one goes on with what is left.
struct Stopping<'a> {
    shared: &'a Shared,
    rest: Rest,
    is_over: bool,
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        let rest = core::mem::take(&mut self.rest);
        *self.shared.phase.lock() = if self.is_over { Phase::Idle } else { Phase::Stopping(rest) };
    }
}

/// Handles what is queued, until the queue is closed and empty.
async fn work(shared: Arc<Shared>, jobs: Arc<AsyncMutex<mpsc::Receiver<Job>>>) {
    loop {
        let next = jobs.lock().await.recv().await;
        let Some(job) = next else { return };
        let _ = shared.work.process(job).await; // it is in the record
    }
}

async fn clean_up(
    shared: Arc<Shared>,
    every: Duration,
    age: Duration,
    mut ended: watch::Receiver<()>,
) {
    let clock: &dyn Clock = shared.work.clock();
    loop {
        // It rests as long after a clean-up that took long, and after a clock that jumped.
        let mut sleep = clock.sleep_until(clock.now().saturating_add(every));
        let mut end = pin!(ended.changed());
        let is_time = poll_fn(|context| {
            if end.as_mut().poll(context).is_ready() {
                return Poll::Ready(false); // the sender is gone
            }
            Pin::new(&mut sleep).poll(context).map(|()| true)
        })
        .await;
        if !is_time {
            return;
        }
        shared.work.clean_up(age).await;
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
