//! A broker as a member of a group: records travel over an engine, and each comes to one member.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use tokio::sync::watch;

use super::error::BrokerError;
use super::process::{self, After, Ending, Work, add};
use crate::envelope::Envelope;
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::delivery::SettleError;
use crate::hosted::engine::{Engine, Reason};
use crate::hosted::future::contained;
use crate::hosted::handle::{Context, OnFailure, RetryPolicy, Workers, panicked};
use crate::hosted::store::{EventRecord, EventStatus, PayloadError, StoreError};
use crate::hosted::subscribe::{OpenError, StartAt, Subscribe};
use crate::subject::Subject;
use crate::sync::Lock;

/// How a broker uses its engine.
pub(super) struct Group {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) name: Box<str>,
    /// What the subjects of records begin with.
    pub(super) prefix: Box<str>,
    pub(super) start_at: StartAt,
    pub(super) lease: Duration,
    pub(super) workers: usize,
}

/// A membership, from the start of the broker until its stop.
pub(super) struct Member {
    group: Arc<Group>,
    state: watch::Sender<Opened>,
    workers: Lock<Option<Arc<Workers>>>,
}

#[derive(Clone)]
enum Opened {
    /// The engine has not answered yet.
    Not,
    /// It was not opened. It is tried again.
    Failed(Arc<OpenError>),
    Yes,
    Ended,
}

/// The header of a record whose payload is set to null: in JSON, one that is not set is null too.
const SET_NULL: &str = "payload-set-null";

/// How a membership that did not open is tried again.
const AGAIN: RetryPolicy = RetryPolicy::new(u32::MAX).initial(Duration::from_millis(100));

impl Group {
    fn subscribe(&self) -> Result<Subscribe<'_>, OpenError> {
        let pattern = format!("{}.>", self.prefix);
        let subscribe = self.engine.subscribe(&pattern)?.group(&*self.name);
        let subscribe = subscribe.demand(Capability::Redelivery).start_at(self.start_at);
        // An event that is not handled comes again for ever: its record says when it has failed.
        let subscribe = subscribe.lease(self.lease).retry(RetryPolicy::new(u32::MAX));
        let subscribe = subscribe.in_flight(self.workers.saturating_mul(2));
        let subscribe = subscribe.classify(|error| match error.downcast_ref::<NotHandled>() {
            Some(NotHandled::Unreadable) => OnFailure::Reject,
            _ => OnFailure::Retry,
        });
        Ok(subscribe.workers(self.workers))
    }

    /// Starts the engine if it is not, and opens the subscription.
    async fn open<F, R>(&self, handle: F) -> Result<Workers, OpenError>
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), NotHandled>> + Send + 'static,
    {
        let started = self.engine.start().await;
        started.map_err(|error| OpenError::failed(&error.engine, error.reason))?;
        self.subscribe()?.handle(handle).await
    }

    fn has(&self, capability: Capability) -> bool {
        self.engine.capabilities().has(Mode::Durable, capability)
    }

    /// Stores the record, and gives it to the engine.
    pub(super) async fn publish(
        &self,
        work: &Work,
        record: Arc<EventRecord>,
    ) -> Result<(), BrokerError> {
        let subject = format!("{}.{}", self.prefix, record.event_type());
        Subject::new(&subject).map_err(BrokerError::Type)?;
        let records = work.records();
        let before = match records.get(&record.id).await {
            Ok(before) => Some(before),
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let (record, is_new) = match &before {
            None => (record, true),
            // It may not have reached the engine.
            Some(before) if before.status == EventStatus::Pending => (before.clone(), false),
            Some(before) if before.status == EventStatus::Failed => {
                let record = again(Arc::unwrap_or_clone(record), before.retry_count);
                (Arc::new(record), true)
            }
            Some(_) => {
                add(&work.duplicates);
                return Ok(());
            }
        };
        let envelope = self.envelope(work, &subject, &record)?;
        if is_new {
            records.put_shared(record.clone()).await?;
        }
        let Err(error) = self.engine.publish(envelope.into()).await else {
            work.count_published(&record);
            return Ok(());
        };
        if is_new && !error.is_unknown() {
            let undo = async {
                match before {
                    Some(before) => records.update_shared(before).await,
                    None => records.delete(&record.id).await,
                }
            };
            if !matches!(process::contained(undo).await, Some(Ok(()))) {
                work.count_store_error();
            }
        }
        Err(match error.reason() {
            Reason::Full => BrokerError::QueueFull,
            _ => BrokerError::Engine(Box::new(error)),
        })
    }

    fn envelope(
        &self,
        work: &Work,
        subject: &str,
        record: &EventRecord,
    ) -> Result<Envelope, BrokerError> {
        // An engine that deduplicates takes a record once, and takes a failed one again.
        let id = match record.retry_count {
            0 => record.id.clone(),
            retries => format!("{}.{retries}", record.id),
        };
        let json = serde_json::to_string(record);
        let json = json.map_err(|error| BrokerError::Payload(PayloadError::Json(error)))?;
        let envelope = Envelope::unstamped(subject).map_err(BrokerError::Type)?;
        let mut envelope = envelope.with_id(id).with_source(&**work.instance_id());
        if record.raw_payload() == Some("null") {
            envelope = envelope.header(SET_NULL, "true");
        }
        Ok(envelope.with_raw_payload(json).expect("what was written as JSON is JSON"))
    }
}

/// A failed record, to be handled again. Its retries count on.
fn again(mut record: EventRecord, retries: u32) -> EventRecord {
    record.retry_count = retries;
    record.increment_retry();
    record
}

/// Why a delivery is not acknowledged.
#[derive(Debug)]
enum NotHandled {
    Unreadable,
    /// Another member has it.
    Lost,
}

impl fmt::Display for NotHandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unreadable => "the event is not a record of a broker",
            Self::Lost => "the lease of the event has ended",
        })
    }
}

impl Error for NotHandled {}

impl Member {
    /// Opens the subscription of the group in the background.
    pub(super) fn new(group: Arc<Group>) -> Arc<Self> {
        let (state, workers) = (watch::Sender::new(Opened::Not), Lock::new(None));
        Arc::new(Self { group, state, workers })
    }

    /// Opens the subscription, for as long as that takes.
    pub(super) async fn open(self: Arc<Self>, work: Arc<Work>) {
        let mut failures = 0_u32;
        loop {
            let (member, works) = (self.clone(), work.clone());
            let handle = move |context: Context| {
                let (member, work) = (member.clone(), works.clone());
                async move { member.receive(&work, context).await }
            };
            let error = match contained(|| self.group.open(handle)).await {
                Ok(Ok(workers)) => {
                    *self.workers.lock() = Some(Arc::new(workers));
                    self.state.send_replace(Opened::Yes);
                    return;
                }
                Ok(Err(error)) => error,
                Err(panic) => OpenError::failed(self.group.engine.name(), panicked(panic)),
            };
            self.state.send_replace(Opened::Failed(Arc::new(error)));
            failures = failures.saturating_add(1);
            let clock = work.clock();
            clock.sleep_until(clock.now().saturating_add(AGAIN.delay(failures))).await;
        }
    }

    /// Waits until the subscription is open, or did not open.
    pub(super) async fn ready(&self) -> Result<(), BrokerError> {
        let mut state = self.state.subscribe();
        let opened = state.wait_for(|opened| !matches!(opened, Opened::Not)).await;
        match opened.as_deref() {
            Ok(Opened::Yes) => Ok(()),
            Ok(Opened::Failed(error)) => Err(BrokerError::Open(error.clone())),
            _ => Err(BrokerError::NotRunning),
        }
    }

    /// Returns how many events wait: those that the engine still has for the group, if it knows, and
    /// those that this member has taken and that are not in progress.
    pub(super) fn waiting(&self, in_progress: u64) -> u64 {
        let Some(workers) = self.workers.lock().clone() else { return 0 };
        let taken = workers.stats().in_flight.saturating_sub(in_progress);
        workers.lag().unwrap_or(0).saturating_add(taken)
    }

    /// Takes nothing more, and ends what it has. Returns how many handlers still ran at the deadline.
    pub(super) async fn close(&self, deadline: Duration) -> u64 {
        self.state.send_replace(Opened::Ended);
        let workers = self.workers.lock().clone();
        let Some(workers) = workers else { return 0 };
        let running = match workers.shutdown(deadline).await {
            Ok(_) => 0,
            Err(timeout) => timeout.0.running,
        };
        self.workers.lock().take();
        running
    }

    /// Handles one delivery. `Ok` acknowledges it, when the store has its status.
    async fn receive(&self, work: &Arc<Work>, context: Context) -> Result<(), NotHandled> {
        let Some(record) = self.read(&context) else {
            add(&work.unreadable);
            return Err(NotHandled::Unreadable);
        };
        match self.hold(&context, work, self.process(work, record, &context)).await {
            Some(true) => Ok(()),
            Some(false) | None => {
                add(&work.fenced);
                Err(NotHandled::Lost)
            }
        }
    }

    fn read(&self, context: &Context) -> Option<EventRecord> {
        let mut record: EventRecord = context.envelope().decode().ok().flatten()?;
        if context.envelope().headers().get(SET_NULL) == "true" {
            record.restore_null();
        }
        let event_type = context.subject().as_str().strip_prefix(&*self.group.prefix)?;
        let is_of_subject = event_type.strip_prefix('.')? == record.event_type();
        (is_of_subject && record.validate().is_ok()).then_some(record)
    }

    /// Keeps the lease of a delivery while `work_on` runs. `None` if it has ended.
    async fn hold<T>(
        &self,
        context: &Context,
        work: &Work,
        work_on: impl Future<Output = T>,
    ) -> Option<T> {
        let (lease, clock) = (self.group.lease, work.clock());
        let can_extend = self.group.has(Capability::Extend);
        let mut work_on = pin!(work_on);
        loop {
            let mut sleep = None;
            let done = poll_fn(|task| {
                if let Poll::Ready(done) = work_on.as_mut().poll(task) {
                    return Poll::Ready(Some(done));
                }
                if !can_extend {
                    return Poll::Pending;
                }
                let next = || clock.sleep_until(clock.now().saturating_add(lease / 3));
                Pin::new(sleep.get_or_insert_with(next)).poll(task).map(|()| None)
            })
            .await;
            if done.is_some() {
                return done;
            }
            if self.is_late(context) {
                return None;
            }
        }
    }

    /// Extends the lease. Returns whether it had ended.
    fn is_late(&self, context: &Context) -> bool {
        self.group.has(Capability::Extend)
            && matches!(context.keep(self.group.lease), Err(SettleError::Late))
    }

    /// Runs the handlers of a record, and stores what became of it. Returns whether this member still
    /// had it.
    async fn process(&self, work: &Arc<Work>, sent: EventRecord, context: &Context) -> bool {
        let records = work.records();
        let kept = work.ask(|| records.get(&sent.id)).await.ok();
        let mut spent = 0;
        let record = match &kept {
            None => sent,
            Some(kept) if kept.has_ended() && kept.retry_count >= sent.retry_count => {
                add(&work.duplicates);
                return true;
            }
            // It was published again, by a broker with another store.
            Some(kept) if kept.has_ended() => sent,
            Some(kept) if kept.status == EventStatus::Processing => {
                // The one that had it has died, or lost its lease.
                let mut record = (**kept).clone();
                record.increment_retry();
                let counts = self.group.has(Capability::Attempts);
                let again = if counts { context.attempt().saturating_sub(1) } else { u32::MAX };
                spent = again.min(record.retry_count);
                record
            }
            Some(kept) => (**kept).clone(),
        };
        let mut job = work.receive(Arc::new(record));
        let begin = work.begin(&mut job);
        let _ = work.ask(|| records.put_shared(job.record.clone())).await;
        let ending = if spent > work.retries() {
            Ending::failed(format!("no broker lived through its handlers {}", After(spent)))
        } else {
            match work.handle(&mut job, spent, true).await {
                Some(ending) => ending,
                None => return false,
            }
        };
        if self.is_late(context) || work.is_taken_over(&job.record).await {
            return false;
        }
        work.mark(&mut job, &ending);
        let stored = work.ask(|| records.update_shared(job.record.clone())).await;
        if stored.is_err() {
            work.count_store_error(); // it was deleted meanwhile
        }
        let _ = work.end(job, ending, begin); // it is in the record
        true
    }
}
