//! What `event_broker` says: [`BrokerConfig`].

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use serde::Deserializer;
use serde::de::{Deserialize, Error};

use super::node::{Entry, Node, Value};
use super::secret::{Secret, ServerUrl};
use super::span;
use super::types::{Storage, TlsSettings};
use crate::hosted::broker::{Broker, BrokerBuilder, ProcessingMode};
use crate::hosted::handle::RetryPolicy;
use crate::hosted::provision::Provision;
use crate::hosted::store::MemoryStore;

/// The section `event_broker` of a configuration.
///
/// [`Registry::broker`](super::Registry::broker) makes a broker of it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Whether the broker runs.
    pub enabled: bool,
    /// Where the broker keeps its records, and over what it shares them with others.
    pub provider: BrokerProvider,
    /// The name of one of the `engines`, over which the brokers of a group share the events. Then
    /// `provider` only says where records are kept: in `memory` or a `database`.
    pub engine: Option<String>,
    /// The group of brokers that share the events of an engine.
    pub group: String,
    /// Whether a publish waits for the handlers.
    pub mode: BrokerMode,
    /// How many workers there are in the mode `async`.
    pub worker_count: NonZeroU32,
    /// How many events wait for the workers.
    pub buffer_size: NonZeroU32,
    /// The name of this process in records. Without it, the name of the host.
    pub instance_id: Option<String>,
    /// How often a failed handler is called again.
    pub retry_policy: RetryConfig,
    /// The keys of `provider: redis`.
    pub redis: BrokerRedis,
    /// The keys of `provider: nats`.
    pub nats: BrokerNats,
    /// The keys of `provider: database`.
    pub database: BrokerDatabase,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            provider: BrokerProvider::Memory,
            engine: None,
            group: "resolvespec-workers".into(),
            mode: BrokerMode::Async,
            worker_count: NonZeroU32::new(10).unwrap(),
            buffer_size: NonZeroU32::new(1000).unwrap(),
            instance_id: None,
            retry_policy: RetryConfig::default(),
            redis: BrokerRedis::default(),
            nats: BrokerNats::default(),
            database: BrokerDatabase::default(),
        }
    }
}

impl BrokerConfig {
    /// Returns the builder of a broker with these settings, without an engine. Whether to make one
    /// at all is what [`enabled`](Self::enabled) says.
    ///
    /// With the provider `memory`, it has a store in memory. With another one, or with
    /// [`engine`](Self::engine), let a [`Registry`](super::Registry::broker) make the broker, or set
    /// what is missing: without a [`store`](BrokerBuilder::store), `build` returns
    /// [`Provider`](crate::hosted::broker::InvalidBroker::Provider).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// use tickbus::hosted::config::Config;
    ///
    /// let config = Config::from_yaml("
    /// event_broker:
    ///   enabled: true
    ///   instance_id: ${HOST:-game-1}
    ///   retry_policy: { max_retries: 0 }
    /// ")?;
    /// if let Some(section) = config.broker().filter(|section| section.enabled) {
    ///     let broker = section.builder().build()?;
    ///     assert_eq!(&*broker.stats().instance_id, "game-1");
    /// }
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(&self) -> BrokerBuilder {
        let number = |number: NonZeroU32| usize::try_from(number.get()).unwrap_or(usize::MAX);
        let mut broker = Broker::builder()
            .mode(match self.mode {
                BrokerMode::Sync => ProcessingMode::Synchronous,
                BrokerMode::Async => ProcessingMode::Asynchronous,
            })
            .workers(number(self.worker_count))
            .buffer(number(self.buffer_size))
            .retry(self.retry_policy.policy());
        if let Some(id) = &self.instance_id {
            broker = broker.instance_id(id.as_str());
        }
        match (self.provider, &self.engine) {
            (BrokerProvider::Memory, None) => broker.store(Arc::new(MemoryStore::default())),
            (BrokerProvider::Memory, Some(_)) => broker.provider("engine"),
            (provider, _) => broker.provider(provider.name()),
        }
    }
}

impl BrokerProvider {
    /// Returns the name in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Database => "database",
        }
    }
}

impl RetryConfig {
    /// Returns the policy.
    pub fn policy(&self) -> RetryPolicy {
        let policy = RetryPolicy::new(self.max_retries).initial(self.initial_delay);
        let policy = policy.max(self.max_delay);
        // A factor that is none was refused.
        policy.factor(self.backoff_factor).unwrap_or(policy)
    }
}

fn entry(key: &str, value: Value) -> Entry {
    Entry { key: key.into(), place: None, node: Node::new(value, None) }
}

fn text(key: &str, text: &str) -> Entry {
    entry(key, Value::Text(text.into()))
}

impl BrokerNats {
    /// What its engine has to be told if the section does not say it.
    pub(super) fn engine(&self) -> Vec<Entry> {
        let subject = Node::new(Value::Text("events.>".into()), None);
        let mut told = alloc::vec![
            text("url", self.url.expose()),
            text("streamName", &self.stream_name),
            entry("maxAge", Value::Int(self.max_age.as_secs().into())),
        ];
        if self.subjects.is_empty() {
            told.push(entry("subjects", Value::List(alloc::vec![subject])));
        }
        told
    }
}

impl BrokerRedis {
    /// The same.
    pub(super) fn engine(&self) -> Vec<Entry> {
        alloc::vec![text("url", &alloc::format!("redis://{}:{}", self.host, self.port))]
    }
}

/// Where a broker keeps its records, and over what it shares events with others: see
/// [the module](crate::hosted::config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BrokerProvider {
    /// In memory.
    #[default]
    Memory,
    /// On a Redis server.
    Redis,
    /// On a NATS server.
    Nats,
    /// In a database.
    Database,
}

/// Whether a publish at a broker waits for the handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BrokerMode {
    /// It waits.
    Sync,
    /// Workers call the handlers.
    #[default]
    Async,
}

/// How often a failed handler is called again, and when. 0 retries are one call.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How often it is called again.
    pub max_retries: u32,
    /// The wait before the first retry.
    #[serde(deserialize_with = "span::span")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    pub initial_delay: Duration,
    /// The longest wait.
    #[serde(deserialize_with = "span::span")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    pub max_delay: Duration,
    /// By how much each wait is longer than the one before.
    #[serde(deserialize_with = "factor")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub backoff_factor: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            backoff_factor: 2.0,
        }
    }
}

fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let factor = f64::deserialize(deserializer)?;
    if factor.is_finite() && factor >= 0.0 {
        Ok(factor)
    } else {
        Err(D::Error::custom("it must be a number from 0, and finite"))
    }
}

/// The keys of `redis` in `event_broker`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrokerRedis {
    /// The stream.
    pub stream_name: String,
    /// The group.
    pub consumer_group: String,
    /// How many events the stream keeps. 0 is without a limit.
    pub max_len: u64,
    /// The host.
    pub host: String,
    /// The port.
    pub port: NonZeroU16,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// The number of the database.
    pub db: u32,
    /// What the broker does about a stream that is missing.
    pub provision: Provision,
    /// How the connection is encrypted.
    pub tls: TlsSettings,
}

impl Default for BrokerRedis {
    fn default() -> Self {
        Self {
            stream_name: "resolvespec:events".into(),
            consumer_group: "resolvespec-workers".into(),
            max_len: 10_000,
            host: "localhost".into(),
            port: NonZeroU16::new(6379).unwrap(),
            password: None,
            db: 0,
            provision: Provision::Check,
            tls: TlsSettings::default(),
        }
    }
}

/// The keys of `nats` in `event_broker`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrokerNats {
    /// The server, or several with commas between them.
    pub url: ServerUrl,
    /// The stream.
    pub stream_name: String,
    /// Patterns of the subjects that the stream takes.
    pub subjects: Vec<String>,
    /// Where the server keeps the stream.
    pub storage: Storage,
    /// How long the stream keeps an event. 0 is without a limit.
    #[serde(deserialize_with = "span::span")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    pub max_age: Duration,
    /// What the broker does about a stream that is missing.
    pub provision: Provision,
    /// How the connection is encrypted.
    pub tls: TlsSettings,
}

impl Default for BrokerNats {
    fn default() -> Self {
        Self {
            url: ServerUrl::new("nats://localhost:4222"),
            stream_name: "RESOLVESPEC_EVENTS".into(),
            subjects: Vec::new(),
            storage: Storage::File,
            max_age: Duration::from_secs(7 * 24 * 3600),
            provision: Provision::Check,
            tls: TlsSettings::default(),
        }
    }
}

/// The keys of `database` in `event_broker`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrokerDatabase {
    /// The table of the records.
    pub table_name: String,
    /// The channel on which the database announces events.
    pub channel: String,
    /// How often the broker asks for events that were not announced.
    #[serde(deserialize_with = "span::positive")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    pub poll_interval: Duration,
    /// What the broker does about a table that is missing.
    pub provision: Provision,
}

impl Default for BrokerDatabase {
    fn default() -> Self {
        Self {
            table_name: "events".into(),
            channel: "resolvespec_events".into(),
            poll_interval: Duration::from_secs(1),
            provision: Provision::Check,
        }
    }
}
