//! What happens to one event: its handlers run, and its record says what became of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use tokio::sync::Notify;

use super::error::BrokerError;
use super::handlers::{Handler, Handlers};
use super::stats::BrokerStats;
use crate::envelope::Timestamp;
use crate::hosted::clock::Clock;
use crate::hosted::handle::RetryPolicy;
use crate::hosted::store::{EventRecord, Store};
use crate::sync::{PlainNumber, Relaxed};
use crate::wait::panics::Panics;

/// A stored event whose handlers have not ended. Dropped before, it is counted as abandoned.
pub(super) struct Job {
    record: EventRecord,
    work: Arc<Work>,
    is_over: bool,
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_over {
            add(&self.work.abandoned);
        }
        if self.work.in_progress() == 0 {
            self.work.quiet.notify_waiters();
        }
    }
}

pub(super) struct Work {
    records: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    instance_id: Arc<str>,
    handlers: Handlers,
    published: PlainNumber,
    processed: PlainNumber,
    failed: PlainNumber,
    abandoned: PlainNumber,
    unhandled: PlainNumber,
    panicked: PlainNumber,
    store_errors: PlainNumber,
    /// Told when nothing is in progress.
    quiet: Notify,
}

fn add(number: &PlainNumber) {
    number.fetch_add(1, Relaxed);
}

fn read(number: &PlainNumber) -> u64 {
    number.load(Relaxed) as u64
}

impl Work {
    pub(super) fn new(
        records: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        retry: RetryPolicy,
        instance_id: Arc<str>,
    ) -> Self {
        let zero = || PlainNumber::new(0);
        Self {
            records,
            clock,
            retry,
            instance_id,
            handlers: Handlers::default(),
            published: zero(),
            processed: zero(),
            failed: zero(),
            abandoned: zero(),
            unhandled: zero(),
            panicked: zero(),
            store_errors: zero(),
            quiet: Notify::new(),
        }
    }

    pub(super) const fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) const fn records(&self) -> &Arc<dyn Store> {
        &self.records
    }

    /// Adds the instance id if it is missing, and checks the record.
    pub(super) fn complete(&self, mut record: EventRecord) -> Result<EventRecord, BrokerError> {
        if record.instance_id.is_empty() {
            record.instance_id = String::from(&*self.instance_id);
        }
        record.validate().map_err(BrokerError::Invalid)?;
        Ok(record)
    }

    /// Stores a new record, and counts it.
    pub(super) async fn store(self: &Arc<Self>, record: EventRecord) -> Result<Job, BrokerError> {
        self.records.put(record.clone()).await?;
        add(&self.published);
        Ok(Job { record, work: self.clone(), is_over: false })
    }

    /// Runs the handlers of a stored event.
    pub(super) async fn process(&self, mut job: Job) -> Result<(), BrokerError> {
        let record = &mut job.record;
        record.mark_processing(self.clock.wall());
        self.update(record).await;
        let handlers = self.handlers.of(record);
        let is_unhandled = handlers.is_empty();
        let mut failure = None;
        for handler in handlers {
            if let Err(error) = self.run(&handler, record).await {
                failure = Some(error);
            }
        }
        match &failure {
            Some(error) => record.mark_failed(self.clock.wall(), error),
            None => record.mark_completed(self.clock.wall()),
        }
        self.update(record).await;
        job.is_over = true; // it is counted, and then dropped
        match failure {
            Some(error) => {
                add(&self.failed);
                Err(BrokerError::Failed(error))
            }
            None => {
                if is_unhandled {
                    add(&self.unhandled);
                }
                add(&self.processed);
                Ok(())
            }
        }
    }

    /// Calls one handler. Calls it again after a failure, as the policy says.
    async fn run(&self, handler: &Handler, record: &mut EventRecord) -> Result<(), String> {
        let mut attempts = 0;
        loop {
            let event = Arc::new(record.clone());
            let outcome = contained(async { handler(event).await }).await;
            attempts += 1;
            let error = match outcome {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => error,
                None => {
                    add(&self.panicked);
                    "the handler panicked".into()
                }
            };
            if attempts > self.retry.retries() {
                let plural = if attempts == 1 { "" } else { "s" };
                return Err(format!("{error} (after {attempts} attempt{plural})"));
            }
            record.increment_retry();
            self.update(record).await;
            let wait = self.retry.delay(attempts);
            self.clock.sleep_until(self.clock.now().saturating_add(wait)).await;
        }
    }

    /// The store is the truth: what it does not keep is counted, and the handlers go on.
    async fn update(&self, record: &EventRecord) {
        let update = contained(async { self.records.update(record.clone()).await.is_ok() });
        if update.await != Some(true) {
            add(&self.store_errors);
        }
    }

    pub(super) async fn clean_up(&self, age: Duration) {
        let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        let before = self.clock.wall().unix_nanos().saturating_sub(age);
        let Ok(before) = Timestamp::from_unix_nanos(before) else { return };
        let clean_up = contained(async { self.records.clean_up(before).await.is_ok() });
        if clean_up.await != Some(true) {
            add(&self.store_errors);
        }
    }

    /// Waits until nothing is queued or being handled.
    pub(super) async fn quiet(&self) {
        loop {
            let mut quiet = pin!(self.quiet.notified());
            quiet.as_mut().enable();
            if self.in_progress() == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// How many events are queued or being handled.
    pub(super) fn in_progress(&self) -> u64 {
        let ended = read(&self.processed) + read(&self.failed) + read(&self.abandoned);
        read(&self.published).saturating_sub(ended)
    }

    pub(super) fn stats(&self) -> BrokerStats {
        BrokerStats {
            total_published: read(&self.published),
            total_processed: read(&self.processed),
            instance_id: self.instance_id.clone(),
            total_failed: read(&self.failed),
            abandoned: read(&self.abandoned),
            unhandled: read(&self.unhandled),
            in_progress: self.in_progress(),
            panicked: read(&self.panicked),
            store_errors: read(&self.store_errors),
            active_subscribers: self.handlers.count(),
            ..BrokerStats::default()
        }
    }
}

/// What code of a user comes to. `None` if it, or its drop, panicked.
async fn contained<T>(future: impl Future<Output = T>) -> Option<T> {
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
