//! What all subscriptions and publishes of an engine share. A request is complete in itself: there is no
//! connection to keep, only a stream to see to and a health to know.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::{StreamDescriptionSummary, StreamStatus};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::{Failed, failed};
use super::leases::LeaseStore;
use super::settings::Settings;
use crate::hosted::engines::failed::{no_answer, refused};
use crate::hosted::engines::limits::{FOR_EVER, SHORTEST_HEARTBEAT};
use crate::hosted::engines::server::Connected;
use crate::hosted::engines::troubles::Troubles;
use crate::hosted::provision::Provision;
use crate::hosted::{Health, Reason};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// A number of events that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;
/// How many bytes a record has at most, its key included, if the server does not say.
const LIMIT: usize = 1 << 20;
/// How long a stream may take until it can be used.
const CREATION: Duration = Duration::from_secs(120);
/// How long to wait before it asks again whether the server is there: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How far the end of an engine is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// It takes nothing in any more.
    pub(super) closed: bool,
    /// It is shut down.
    pub(super) ended: bool,
}

pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) stream: Box<str>,
    pub(super) leases: Option<Arc<dyn LeaseStore>>,
    pub(super) timeout: Duration,
    pub(super) poll: Duration,
    pub(super) checkpoint: Duration,
    pub(super) shard_lease: Duration,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    provision: Provision,
    shards: u32,
    heartbeat: Duration,
    limit: PlainNumber,
    state: Lock<State>,
    /// Wakes the keeper.
    noticed: Arc<Notify>,
    /// How many subscriptions have not ended.
    members: watch::Sender<usize>,
    lags: Lock<Vec<Weak<PlainNumber>>>,
    pub(super) troubles: Troubles,
    keeper: Lock<Option<AbortHandle>>,
}

struct State {
    /// Why the last request failed.
    down: Option<Arc<str>>,
    answered: Instant,
    /// What the server said of the stream.
    retention: Option<Duration>,
    /// When the stream was created, in milliseconds.
    created: Option<i64>,
}

/// A subscription that has not ended.
pub(super) struct Membership(watch::Sender<usize>);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.send_modify(|members| *members -= 1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.abort();
        }
    }
}

impl Connected for Connection {
    type Settings = Settings;

    async fn open(_: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let state = State { down: None, answered: Instant::now(), retention: None, created: None };
        let connection = Arc::new(Self {
            client: settings.client()?,
            stream: settings.stream.as_str().into(),
            leases: settings.leases.clone(),
            timeout: settings.timeout.min(FOR_EVER),
            poll: settings.poll.min(FOR_EVER),
            checkpoint: settings.checkpoint.min(FOR_EVER),
            shard_lease: settings.shard_lease.clamp(SHORTEST_HEARTBEAT, FOR_EVER),
            runtime: Handle::current(),
            signals: watch::Sender::new(Signal::default()),
            provision: settings.provision,
            shards: settings.shards,
            heartbeat: settings.heartbeat.clamp(SHORTEST_HEARTBEAT, FOR_EVER),
            limit: PlainNumber::new(LIMIT),
            state: Lock::new(state),
            noticed: Arc::default(),
            members: watch::Sender::new(0),
            lags: Lock::default(),
            troubles: Troubles::default(),
            keeper: Lock::new(None),
        });
        if connection.provision != Provision::Never {
            connection.provide().await.map_err(|reason| match (reason, &settings.endpoint) {
                (Reason::TimedOut, Some(url)) => {
                    no_answer(url, url.expose().starts_with("https://"))
                }
                (reason, _) => reason,
            })?;
        }
        let keeper = keep(Arc::downgrade(&connection), connection.signals.subscribe());
        *connection.keeper.lock() = Some(tokio::spawn(keeper).abort_handle());
        Ok(connection)
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let mut members = self.members.subscribe();
        let all = timeout(deadline, members.wait_for(|members| *members == 0)).await;
        let result = all.map(drop).map_err(|_| Reason::TimedOut);
        self.signals.send_modify(|signal| signal.ended = true);
        result
    }
}

impl Connection {
    /// Waits for the answer to a request, and learns from it whether the server is there.
    pub(super) async fn ask<T, E>(
        &self,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failed>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let answer = match timeout(self.timeout, request).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(Failed::Unknown(Reason::TimedOut)),
        };
        match &answer {
            Err(Failed::NotSent(why) | Failed::Unknown(why))
                if matches!(why, Reason::Disconnected(_) | Reason::TimedOut) =>
            {
                self.is_down(why);
            }
            _ => self.is_up(),
        }
        answer
    }

    fn is_up(&self) {
        let mut state = self.state.lock();
        state.answered = Instant::now();
        state.down = None;
    }

    fn is_down(&self, why: &Reason) {
        self.state.lock().down = Some(format!("{why}").into());
        self.noticed.notify_one();
    }

    pub(super) fn health(&self) -> Health {
        self.troubles.of(match &self.state.lock().down {
            None => Health::Up,
            Some(why) => Health::Down(why.clone()),
        })
    }

    async fn describe(&self) -> Result<StreamDescriptionSummary, Failed> {
        let request = self.client.describe_stream_summary().stream_name(&*self.stream).send();
        let answer = self.ask(request).await?;
        let Some(summary) = answer.stream_description_summary else {
            return Err(Failed::NotSent(refused("the server does not describe the stream")));
        };
        if let Some(kilobytes) = summary.max_record_size_in_kib.and_then(|it| it.try_into().ok()) {
            let kilobytes: usize = kilobytes;
            self.limit.store(kilobytes.saturating_mul(1024).max(LIMIT), Relaxed);
        }
        let mut state = self.state.lock();
        state.retention = u64::try_from(summary.retention_period_hours)
            .ok()
            .filter(|hours| *hours > 0)
            .map(|hours| Duration::from_secs(hours * 3600));
        state.created = summary.stream_creation_timestamp.to_millis().ok();
        drop(state);
        Ok(summary)
    }

    /// Sees to the stream, as the settings say.
    async fn provide(&self) -> Result<(), Reason> {
        match self.describe().await {
            Ok(_) => {}
            Err(Failed::Missing(_)) if self.provision == Provision::Create => {
                return self.create().await.map_err(Failed::reason);
            }
            Err(Failed::Missing(_)) => return Err(self.missing()),
            Err(failed) => return Err(failed.reason()),
        }
        self.until_active(self.timeout).await.map_err(Failed::reason)
    }

    pub(super) async fn create(&self) -> Result<(), Failed> {
        let shards = i32::try_from(self.shards).unwrap_or(i32::MAX);
        let request =
            self.client.create_stream().stream_name(&*self.stream).shard_count(shards).send();
        match self.ask(request).await {
            Ok(_) => {}
            // Another engine was faster.
            Err(Failed::NotSent(Reason::Refused(why)))
                if format!("{why}").starts_with("ResourceInUseException") => {}
            Err(failed) => return Err(failed),
        }
        self.until_active(CREATION).await
    }

    /// Waits until the stream can be used.
    async fn until_active(&self, patience: Duration) -> Result<(), Failed> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let summary = self.describe().await?;
            match summary.stream_status {
                StreamStatus::Active | StreamStatus::Updating => return Ok(()),
                StreamStatus::Deleting if self.provision != Provision::Create => {
                    let why = format!("the stream `{}` is being deleted", self.stream);
                    return Err(Failed::NotSent(refused(why)));
                }
                _ if began.elapsed() + pause > patience => {
                    return Err(Failed::NotSent(Reason::TimedOut));
                }
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// The error of a stream that does not exist.
    pub(super) fn missing(&self) -> Reason {
        refused(format!(
            "the stream `{}` does not exist: create it, or provision with `Create`",
            self.stream
        ))
    }

    pub(super) fn creates(&self) -> bool {
        self.provision == Provision::Create
    }

    /// Returns how many bytes a record may have, its key included.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Returns for how long the stream keeps an event, if it is known.
    pub(super) fn retention(&self) -> Option<Duration> {
        self.state.lock().retention
    }

    /// Returns what tells the stream from another one that had its name before.
    pub(super) fn created(&self) -> Option<i64> {
        self.state.lock().created
    }

    /// Takes a subscription in.
    pub(super) fn join(&self) -> Result<Membership, Reason> {
        self.check()?;
        self.members.send_modify(|members| *members += 1);
        Ok(Membership(self.members.clone()))
    }

    /// Returns an error if the engine does not take anything in.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.signals.borrow().closed { Err(Reason::Closed) } else { Ok(()) }
    }

    /// Keeps an eye on how much a subscription has still to receive.
    pub(super) fn watch(&self, lag: &Arc<PlainNumber>) {
        let mut lags = self.lags.lock();
        lags.retain(|lag| lag.strong_count() > 0);
        lags.push(Arc::downgrade(lag));
    }

    /// Returns how much all subscriptions have still to receive, if all know.
    pub(super) fn lag(&self) -> Option<u64> {
        let mut sum = 0_u64;
        for lag in self.lags.lock().iter().filter_map(Weak::upgrade) {
            sum += known(&lag)?;
        }
        Some(sum)
    }
}

/// Returns a number of events, unless it is not known.
pub(super) fn known(lag: &PlainNumber) -> Option<u64> {
    Some(lag.load(Relaxed)).filter(|lag| *lag != UNKNOWN).map(|lag| lag as u64)
}

/// Asks the server whether it is there, when nothing else has for a while, or when it was not.
async fn keep(connection: Weak<Connection>, mut signals: watch::Receiver<Signal>) {
    let Some((noticed, heartbeat)) =
        connection.upgrade().map(|it| (it.noticed.clone(), it.heartbeat))
    else {
        return;
    };
    let (mut is_down, mut pause) = (false, FIRST_PAUSE);
    loop {
        let wait = if is_down { pause } else { heartbeat };
        tokio::select! {
            changed = signals.changed() => {
                if changed.is_err() || signals.borrow_and_update().ended {
                    return;
                }
                continue;
            }
            () = noticed.notified(), if !is_down => {
                (is_down, pause) = (true, FIRST_PAUSE);
                continue;
            }
            () = sleep(wait) => {}
        }
        let Some(connection) = connection.upgrade() else { return };
        let quiet = connection.state.lock().answered.elapsed() >= heartbeat;
        is_down = connection.state.lock().down.is_some();
        if is_down || quiet {
            // A refusal is an answer too.
            let _: Result<_, Failed> = connection.describe().await;
            is_down = connection.state.lock().down.is_some();
        }
        pause = if is_down { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
    }
}

/// Returns the text of a group's name in a store of leases.
pub(super) fn group_name(stream: &str, group: &str) -> String {
    format!("{stream}/{group}")
}
