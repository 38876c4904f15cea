//! What happens to one event: its handlers run, and its record says what became of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use tokio::sync::watch;

use super::error::BrokerError;
use super::handlers::{Handler, Handlers};
use super::metrics::{Metrics, Series};
use super::stats::BrokerStats;
use crate::envelope::Timestamp;
use crate::hosted::clock::Clock;
use crate::hosted::handle::RetryPolicy;
use crate::hosted::store::{EventRecord, EventStatus, Store, StoreError};
use crate::sync::{PlainNumber, Relaxed};
use crate::wait::panics::Panics;

/// A stored event whose handlers have not ended. Dropped before, it is counted as abandoned.
pub(super) struct Job {
    /// Shared with the store and the handlers: a change is one of a copy.
    pub(super) record: Arc<EventRecord>,
    series: Option<Arc<Series>>,
    work: Arc<Work>,
    is_over: bool,
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_over {
            add(&self.work.abandoned);
        }
        self.work.open.send_modify(|open| *open -= 1);
    }
}

/// How the handlers of an event ended.
pub(super) struct Ending {
    failure: Option<String>,
    is_unhandled: bool,
}

impl Ending {
    pub(super) const fn failed(failure: String) -> Self {
        Self { failure: Some(failure), is_unhandled: false }
    }
}

pub(super) struct Work {
    records: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    instance_id: Arc<str>,
    handlers: Handlers,
    metrics: Metrics,
    published: PlainNumber,
    received: PlainNumber,
    processed: PlainNumber,
    failed: PlainNumber,
    abandoned: PlainNumber,
    pub(super) fenced: PlainNumber,
    pub(super) duplicates: PlainNumber,
    pub(super) unreadable: PlainNumber,
    unhandled: PlainNumber,
    panicked: PlainNumber,
    store_errors: PlainNumber,
    /// How many jobs there are.
    open: watch::Sender<u64>,
}

pub(super) fn add(number: &PlainNumber) {
    number.fetch_add(1, Relaxed);
}

fn read(number: &PlainNumber) -> u64 {
    number.load(Relaxed) as u64
}

/// How long it waits for a store that fails: 1 s, and up to 30 s.
const AGAIN: RetryPolicy = RetryPolicy::new(u32::MAX);

impl Work {
    pub(super) fn new(
        records: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        retry: RetryPolicy,
        instance_id: Arc<str>,
        metric_types: usize,
    ) -> Self {
        let zero = || PlainNumber::new(0);
        Self {
            records,
            clock,
            retry,
            instance_id,
            handlers: Handlers::default(),
            metrics: Metrics::new(metric_types),
            published: zero(),
            received: zero(),
            processed: zero(),
            failed: zero(),
            abandoned: zero(),
            fenced: zero(),
            duplicates: zero(),
            unreadable: zero(),
            unhandled: zero(),
            panicked: zero(),
            store_errors: zero(),
            open: watch::Sender::new(0),
        }
    }

    pub(super) const fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    pub(super) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) const fn records(&self) -> &Arc<dyn Store> {
        &self.records
    }

    pub(super) const fn instance_id(&self) -> &Arc<str> {
        &self.instance_id
    }

    pub(super) const fn retries(&self) -> u32 {
        self.retry.retries()
    }

    /// Adds the instance id if it is missing, and checks the record. Its handlers have not begun,
    /// whatever became of it before.
    pub(super) fn complete(&self, record: EventRecord) -> Result<Arc<EventRecord>, BrokerError> {
        let mut shared = Arc::new(record); // so that it moves no more
        let record = Arc::make_mut(&mut shared);
        if record.instance_id.is_empty() {
            record.instance_id = String::from(&*self.instance_id);
        }
        record.validate().map_err(BrokerError::Invalid)?;
        record.status = EventStatus::Pending;
        record.error = String::new();
        (record.processed_at, record.completed_at) = (None, None);
        Ok(shared)
    }

    /// Stores a new record, and counts it.
    pub(super) async fn store(
        self: &Arc<Self>,
        record: Arc<EventRecord>,
    ) -> Result<Job, BrokerError> {
        self.records.put_shared(record.clone()).await?;
        let series = self.count_published(&record);
        Ok(self.job(record, series))
    }

    /// Counts a record that was published. Returns its series.
    pub(super) fn count_published(&self, record: &EventRecord) -> Option<Arc<Series>> {
        add(&self.published);
        let series = self.metrics.of(record);
        if let Some(series) = &series {
            series.published();
        }
        series
    }

    /// This broker is to handle the event, which came over an engine.
    pub(super) fn receive(self: &Arc<Self>, record: Arc<EventRecord>) -> Job {
        let series = self.metrics.of(&record);
        self.job(record, series)
    }

    fn job(self: &Arc<Self>, record: Arc<EventRecord>, series: Option<Arc<Series>>) -> Job {
        add(&self.received);
        self.open.send_modify(|open| *open += 1);
        Job { record, series, work: self.clone(), is_over: false }
    }

    /// Runs the handlers of a stored event.
    pub(super) async fn process(&self, mut job: Job) -> Result<(), BrokerError> {
        let begin = self.begin(&mut job);
        self.update(&job.record).await;
        let Some(ending) = self.handle(&mut job, 0, false).await else { return Ok(()) };
        self.mark(&mut job, &ending);
        self.update(&job.record).await;
        self.end(job, ending, begin)
    }

    /// Says in the record that its handlers begin. Returns when that is.
    pub(super) fn begin(&self, job: &mut Job) -> Duration {
        Arc::make_mut(&mut job.record).mark_processing(self.clock.wall());
        self.clock.now()
    }

    /// Calls the handlers of an event. Each has been called `spent` times already.
    ///
    /// Returns `None` if the event is shared with other brokers, and one of them has taken it over.
    pub(super) async fn handle(
        &self,
        job: &mut Job,
        spent: u32,
        is_shared: bool,
    ) -> Option<Ending> {
        let handlers = self.handlers.of(&job.record);
        let mut failure = None;
        for handler in &*handlers {
            if let Err(error) = self.run(handler, &mut job.record, spent, is_shared).await? {
                failure = Some(error);
            }
        }
        Some(Ending { failure, is_unhandled: handlers.is_empty() })
    }

    /// Returns whether the store has more than this broker knows.
    pub(super) async fn is_taken_over(&self, record: &EventRecord) -> bool {
        let kept = self.ask(|| self.records.get(&record.id)).await;
        kept.is_ok_and(|kept| kept.has_ended() || kept.retry_count > record.retry_count)
    }

    /// Says in the record how its handlers ended.
    pub(super) fn mark(&self, job: &mut Job, ending: &Ending) {
        let record = Arc::make_mut(&mut job.record);
        match &ending.failure {
            Some(error) => record.mark_failed(self.clock.wall(), error),
            None => record.mark_completed(self.clock.wall()),
        }
    }

    /// Counts how the handlers ended.
    pub(super) fn end(
        &self,
        mut job: Job,
        ending: Ending,
        begin: Duration,
    ) -> Result<(), BrokerError> {
        job.is_over = true; // it is counted, and then dropped
        if let Some(series) = &job.series {
            let took = self.clock.now().saturating_sub(begin);
            series.processed(ending.failure.is_none(), took);
        }
        match ending.failure {
            Some(error) => {
                add(&self.failed);
                Err(BrokerError::Failed(error))
            }
            None => {
                if ending.is_unhandled {
                    add(&self.unhandled);
                }
                add(&self.processed);
                Ok(())
            }
        }
    }

    /// Calls one handler. Calls it again after a failure, as the policy says. `None` as for
    /// [`handle`](Self::handle).
    async fn run(
        &self,
        handler: &Handler,
        record: &mut Arc<EventRecord>,
        spent: u32,
        is_shared: bool,
    ) -> Option<Result<(), String>> {
        let mut attempts = spent;
        loop {
            let event = record.clone();
            let outcome = contained(async { handler(event).await }).await;
            attempts = attempts.saturating_add(1);
            let error = match outcome {
                Some(Ok(())) => return Some(Ok(())),
                Some(Err(error)) => error,
                None => {
                    add(&self.panicked);
                    "the handler panicked".into()
                }
            };
            if attempts > self.retry.retries() {
                return Some(Err(format!("{error} {}", After(attempts))));
            }
            if is_shared && self.is_taken_over(record).await {
                return None;
            }
            Arc::make_mut(record).increment_retry();
            self.update(record).await;
            let wait = self.retry.delay(attempts);
            self.clock.sleep_until(self.clock.now().saturating_add(wait)).await;
        }
    }

    /// The store is the truth: what it does not keep is counted, and the handlers go on.
    async fn update(&self, record: &Arc<EventRecord>) {
        let update = async { self.records.update_shared(record.clone()).await.is_ok() };
        if contained(update).await != Some(true) {
            self.count_store_error();
        }
    }

    pub(super) fn count_store_error(&self) {
        add(&self.store_errors);
    }

    /// Asks the store until it answers. Each failure is counted.
    ///
    /// Returns an error that does not pass by waiting: the record is not there, or is not valid.
    pub(super) async fn ask<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let mut failures = 0_u32;
        loop {
            match contained(async { ask().await }).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error @ (StoreError::NotFound(_) | StoreError::Invalid(_)))) => {
                    return Err(error);
                }
                Some(Err(_)) | None => {}
            }
            self.count_store_error();
            failures = failures.saturating_add(1);
            let wait = AGAIN.delay(failures);
            self.clock.sleep_until(self.clock.now().saturating_add(wait)).await;
        }
    }

    pub(super) async fn clean_up(&self, age: Duration) {
        let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        let before = self.clock.wall().unix_nanos().saturating_sub(age);
        let Ok(before) = Timestamp::from_unix_nanos(before) else { return };
        let clean_up = contained(async { self.records.clean_up(before).await.is_ok() });
        if clean_up.await != Some(true) {
            self.count_store_error();
        }
    }

    /// Waits until nothing is queued or being handled.
    pub(super) async fn quiet(&self) {
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open == 0).await; // this broker has the sender
    }

    /// How many events are queued or being handled.
    pub(super) fn in_progress(&self) -> u64 {
        *self.open.borrow()
    }

    pub(super) fn stats(&self) -> BrokerStats {
        BrokerStats {
            instance_id: self.instance_id.clone(),
            total_published: read(&self.published),
            total_received: read(&self.received),
            total_processed: read(&self.processed),
            total_failed: read(&self.failed),
            abandoned: read(&self.abandoned),
            fenced: read(&self.fenced),
            duplicates: read(&self.duplicates),
            unreadable: read(&self.unreadable),
            unhandled: read(&self.unhandled),
            in_progress: self.in_progress(),
            panicked: read(&self.panicked),
            store_errors: read(&self.store_errors),
            active_subscribers: self.handlers.count(),
            ..BrokerStats::default()
        }
    }
}

/// `(after 4 attempts)`.
pub(super) struct After(pub(super) u32);

impl core::fmt::Display for After {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "(after {} attempt{})", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// What code of a user comes to. `None` if it, or its drop, panicked.
pub(super) async fn contained<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(Some(future));
    let mut panics = Panics::default();
    let value = poll_fn(|context| {
        let polled = panics.run(|| future.as_mut().as_pin_mut().map(|it| it.poll(context)));
        match polled.flatten() {
            Some(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Some(Poll::Pending) => Poll::Pending,
            None => Poll::Ready(None),
        }
    })
    .await;
    panics.run(|| future.set(None));
    value.filter(|_| panics.none())
}
