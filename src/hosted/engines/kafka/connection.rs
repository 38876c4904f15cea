//! What all subscriptions and publishes of an engine share: how it is made, watched and ended.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use krafka::admin::{
    ConfigResource, CreateTopicsOptions, DescribeConfigsOptions, DescribeTopicsOptions, NewTopic,
};
use krafka::consumer::Consumer;
use krafka::error::ErrorCode;
use krafka::producer::Producer;
use krafka::{CloseOptions, KrafkaError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::facts::{Facts, level};
use super::fault;
use super::settings::Settings;
use super::topics::{Place, Topics};
use crate::hosted::engines::failed::{cause, disconnected, refused};
use crate::hosted::engines::server::Connected;
use crate::hosted::engines::troubles::Troubles;
use crate::hosted::provision::Provision;
use crate::hosted::{Health, Reason};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// How many bytes a batch may have if the server does not say.
const LIMIT: usize = 1_048_588;
/// How long the engine waits before it asks again whether a server is back: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A number of events that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;

/// How far the end of an engine is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// It takes nothing in any more.
    pub(super) closed: bool,
    /// It is shut down.
    pub(super) ended: bool,
}

pub(super) struct Connection {
    pub(super) settings: Settings,
    pub(super) topics: Topics,
    pub(super) client: krafka::Kafka,
    /// Made anew when the connection was lost, and when the server has fenced it.
    producer: Lock<Arc<Producer>>,
    is_fenced: PlainNumber,
    /// Asks for offsets, and reads nothing.
    pub(super) scout: Consumer,
    pub(super) timeout: Duration,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    /// Held while a group is begun.
    pub(super) opening: tokio::sync::Mutex<()>,
    /// For each topic. `None` if it does not exist.
    facts: Lock<Vec<Option<Facts>>>,
    state: Lock<State>,
    /// 1 while the engine takes something in. Changed under the lock of the state.
    is_open: PlainNumber,
    /// Wakes the one that asks whether the server is there.
    doubt: Arc<Notify>,
    /// How many subscriptions have not ended.
    members: watch::Sender<usize>,
    lags: Lock<Vec<Weak<PlainNumber>>>,
    pub(super) troubles: Troubles,
    keeper: Lock<Option<AbortHandle>>,
}

enum State {
    Up,
    Down(Arc<str>),
    Ended,
}

/// A subscription that has not ended.
pub(super) struct Membership {
    members: watch::Sender<usize>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.members.send_modify(|members| *members -= 1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.abort();
        }
    }
}

/// Returns a number of events, unless it is not known.
pub(super) fn known(lag: &PlainNumber) -> Option<u64> {
    Some(lag.load(Relaxed)).filter(|lag| *lag != UNKNOWN).map(|lag| lag as u64)
}

impl Connected for Connection {
    type Settings = Settings;

    async fn open(_: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let topics = Topics::new(&settings.topic, &settings.topics)?;
        let client = settings.client().await?;
        let patience = settings.timeout();
        let producer = produce(&client, patience).await?;
        let scout = client.consumer_without_group().metrics_push(false).build().await;
        let connection = Arc::new(Self {
            settings: settings.clone(),
            facts: Lock::new(alloc::vec![None; topics.names().len()]),
            topics,
            client,
            producer: Lock::new(producer),
            is_fenced: PlainNumber::new(0),
            scout: scout.map_err(|error| fault::reason(&error))?,
            timeout: patience,
            runtime: Handle::current(),
            signals: watch::Sender::new(Signal::default()),
            opening: tokio::sync::Mutex::new(()),
            state: Lock::new(State::Up),
            is_open: PlainNumber::new(1),
            doubt: Arc::default(),
            members: watch::Sender::new(0),
            lags: Lock::default(),
            troubles: Troubles::default(),
            keeper: Lock::new(None),
        });
        connection.provide().await?;
        let keeper = keep(Arc::downgrade(&connection), connection.doubt.clone());
        *connection.keeper.lock() = Some(tokio::spawn(keeper).abort_handle());
        Ok(connection)
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
        let _state = self.state.lock();
        self.is_open.store(0, Relaxed);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let until = Instant::now() + deadline;
        let mut members = self.members.subscribe();
        let left = timeout(deadline, members.wait_for(|members| *members == 0)).await.is_ok();
        self.signals.send_modify(|signal| signal.ended = true);
        *self.state.lock() = State::Ended;
        let options = CloseOptions::new().timeout(until.saturating_duration_since(Instant::now()));
        let sent = self.producer().close_with(options).await.is_ok();
        if left && sent { Ok(()) } else { Err(Reason::TimedOut) }
    }
}

/// Makes what sends. A batch is what comes while the one before is on its way.
async fn produce(client: &krafka::Kafka, patience: Duration) -> Result<Arc<Producer>, Reason> {
    let producer = client
        .producer()
        .linger(Duration::ZERO)
        .max_block(patience)
        .delivery_timeout(patience)
        .metrics_push(false);
    let made = producer.build().await;
    made.map(Arc::new).map_err(|error| fault::reason(&error))
}

impl Connection {
    pub(super) fn producer(&self) -> Arc<Producer> {
        self.producer.lock().clone()
    }

    /// Says that the server takes nothing more from the producer.
    pub(super) fn fenced(&self) {
        self.is_fenced.store(1, Relaxed);
    }

    /// Makes a new producer if the server may not know this one. What it has still leaves.
    async fn renew(&self) {
        let was_down = matches!(&*self.state.lock(), State::Down(_));
        if (self.is_fenced.swap(0, Relaxed) == 1 || was_down)
            && let Ok(made) = produce(&self.client, self.timeout).await
        {
            let before = core::mem::replace(&mut *self.producer.lock(), made);
            drop(before);
        }
    }

    /// Sees to the topics, as the settings say.
    async fn provide(&self) -> Result<(), Reason> {
        let began = Instant::now();
        loop {
            let facts = self.look().await?;
            let missing = self.missing_of(&facts);
            *self.facts.lock() = facts;
            let Some(topic) = missing.first() else { return Ok(()) };
            match self.settings.provision {
                Provision::Never => return Ok(()),
                Provision::Check => return Err(missing_topic(topic)),
                Provision::Create => self.create(&missing).await?,
            }
            // The server that answers may not be the one that has created it.
            if began.elapsed() > self.timeout {
                return Err(Reason::TimedOut);
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    fn missing_of(&self, facts: &[Option<Facts>]) -> Vec<String> {
        let all = self.topics.names().iter().zip(facts);
        all.filter(|(_, facts)| facts.is_none()).map(|(name, _)| name.clone()).collect()
    }

    async fn create(&self, missing: &[String]) -> Result<(), Reason> {
        let partitions = self.settings.partitions.map_or(-1, i32::from);
        let replicas = self.settings.replicas.map_or(-1, i16::from);
        let new = |name: &String| NewTopic::new(name, partitions, replicas);
        let topics = missing.iter().map(new).collect::<Result<Vec<_>, _>>();
        let topics = topics.map_err(|error| fault::reason(&error))?;
        let options = CreateTopicsOptions::default().timeout(self.timeout);
        let created = self.client.admin().create_topics(topics, options).await;
        let created = created.map_err(|error| fault::reason(&error))?;
        for error in created.into_values().filter_map(Result::err) {
            // Another engine was faster.
            if !matches!(error, KrafkaError::Broker { code: ErrorCode::TopicAlreadyExists, .. }) {
                return Err(fault::reason(&error));
            }
        }
        Ok(())
    }

    /// Asks the server what it has.
    async fn look(&self) -> Result<Vec<Option<Facts>>, Reason> {
        let admin = self.client.admin();
        let names = self.topics.names();
        let options = DescribeTopicsOptions::default().timeout(self.timeout);
        let described = admin.describe_topics(names, options).await;
        let mut described = described.map_err(|error| fault::reason(&error))?;
        // A user who may not ask does without.
        let resources = names.iter().map(ConfigResource::topic);
        let options = DescribeConfigsOptions::default().timeout(self.timeout);
        let configs = admin.describe_configs(resources, options).await.unwrap_or_default();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let topic = match described.remove(name) {
                Some(Ok(topic)) => topic,
                Some(Err(error)) if !fault::is_missing(&error) => {
                    return Err(fault::reason(&error));
                }
                _ => {
                    all.push(None);
                    continue;
                }
            };
            let config = configs.get(&ConfigResource::topic(name)).and_then(|it| it.as_ref().ok());
            let number = |key: &str| -> Option<u64> {
                let entry = config?.iter().find(|entry| entry.name == key)?;
                entry.value.as_deref()?.parse().ok()
            };
            let replicas = topic.partitions.iter().map(|it| it.replicas.len()).min();
            let level = level(
                replicas.unwrap_or(1),
                number("min.insync.replicas").unwrap_or(1),
                number("flush.messages").unwrap_or(u64::MAX),
            );
            let limit = number("max.message.bytes").and_then(|limit| usize::try_from(limit).ok());
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            all.push(Some(Facts { partitions, level, limit: limit.unwrap_or(LIMIT) }));
        }
        Ok(all)
    }

    /// Returns what is known of a topic. `None` if it does not exist.
    pub(super) fn facts(&self, topic: usize) -> Option<Facts> {
        self.facts.lock().get(topic).copied().flatten()
    }

    /// Returns what is known of all topics that exist.
    pub(super) fn all_facts(&self) -> Vec<Facts> {
        self.facts.lock().iter().flatten().copied().collect()
    }

    /// Returns the partitions of topics.
    pub(super) async fn places(&self, topics: &[usize]) -> Result<Vec<Place>, Reason> {
        if topics.iter().any(|topic| self.facts(*topic).is_none()) {
            let facts = self.look().await?;
            *self.facts.lock() = facts;
        }
        let mut places = Vec::new();
        for topic in topics.iter().copied() {
            let Some(facts) = self.facts(topic) else {
                return Err(missing_topic(self.topics.name(topic)));
            };
            places.extend((0..facts.partitions).map(|partition| Place { topic, partition }));
        }
        Ok(places)
    }

    /// Takes a subscription in.
    pub(super) fn join(&self) -> Result<Membership, Reason> {
        self.check()?;
        self.members.send_modify(|members| *members += 1);
        Ok(Membership { members: self.members.clone() })
    }

    /// Returns an error if the engine does not take anything in, or cannot.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.is_open.load(Relaxed) == 1 {
            return Ok(());
        }
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        match &*self.state.lock() {
            State::Up => Ok(()),
            State::Down(why) => Err(disconnected(why.to_string())),
            State::Ended => Err(Reason::Closed),
        }
    }

    pub(super) fn health(&self) -> Health {
        self.troubles.of(match &*self.state.lock() {
            State::Up => Health::Up,
            State::Down(why) => Health::Down(why.clone()),
            State::Ended => Health::Closed,
        })
    }

    /// Asks soon whether the server is there.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    fn set(&self, state: State) {
        let mut own = self.state.lock();
        if !matches!(*own, State::Ended) {
            *own = state;
            let is_open = matches!(*own, State::Up) && !self.signals.borrow().closed;
            self.is_open.store(usize::from(is_open), Relaxed);
        }
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

/// The error of a topic that does not exist.
pub(super) fn missing_topic(topic: &str) -> Reason {
    refused(format!("the topic `{topic}` does not exist: create it, or provision with `Create`"))
}

/// Asks again and again whether the server is there, and what it has.
async fn keep(connection: Weak<Connection>, doubt: Arc<Notify>) {
    let Some((heartbeat, mut signals)) =
        connection.upgrade().map(|it| (it.settings.heartbeat(), it.signals.subscribe()))
    else {
        return;
    };
    let mut pause = heartbeat;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = doubt.notified() => {}
            _ = signals.wait_for(|signal| signal.ended) => return,
        }
        let Some(asks) = connection.upgrade() else { return };
        let looked = match asks.settings.provision {
            Provision::Create => asks.provide().await,
            Provision::Never | Provision::Check => match asks.look().await {
                Ok(facts) => {
                    *asks.facts.lock() = facts;
                    Ok(())
                }
                Err(reason) => Err(reason),
            },
        };
        match looked {
            Ok(()) => {
                asks.renew().await;
                asks.set(State::Up);
                pause = heartbeat;
            }
            Err(reason) => {
                asks.set(State::Down(cause(&reason).into()));
                pause = if pause == heartbeat { FIRST_PAUSE } else { pause * 2 };
                pause = pause.min(LONGEST_PAUSE);
            }
        }
    }
}
