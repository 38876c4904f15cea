//! What the `config` of each type of engine says.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::secret::{Secret, ServerUrl};
use super::span;
use crate::hosted::memory::{HistoryLimits, MemoryEngine, MemoryEngineBuilder};
use crate::hosted::provision::Provision;
use crate::subject_bus::Overrun;

/// Defines the settings of a type of engine: documentation, name in the file, default. Each has the
/// keys of subscriptions too.
macro_rules! settings {
    ($(#[$about:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$meta])* pub $field: $type,)*
            /// How many workers a handler has that does not say how many.
            pub worker_count: NonZeroU32,
            /// How many events wait for the workers of a handler.
            pub max_event_queue_size: NonZeroU32,
            /// How many events fit into the buffer of a live subscription that does not say how many.
            pub default_event_buffer_size: NonZeroU32,
            /// Payloads of more bytes are compressed. Without it, none is. It needs the feature
            /// `compression`.
            pub compress_above: Option<NonZeroU32>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    worker_count: WORKERS,
                    max_event_queue_size: QUEUE,
                    default_event_buffer_size: BUFFER,
                    compress_above: None,
                }
            }
        }
    };
}

/// The keys that the `config` of each engine may have.
pub(super) const COMMON: [&str; 4] =
    ["workerCount", "maxEventQueueSize", "defaultEventBufferSize", COMPRESS_ABOVE];

pub(super) const COMPRESS_ABOVE: &str = "compressAbove";

const WORKERS: NonZeroU32 = NonZeroU32::new(5).unwrap();
const QUEUE: NonZeroU32 = NonZeroU32::new(1000).unwrap();
const BUFFER: NonZeroU32 = NonZeroU32::new(10).unwrap();
const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();

settings! {
    /// The keys of each type of engine.
    CommonSettings {}
}

settings! {
    /// The keys of `type: memory`.
    MemorySettings {
        /// How old an event may be when its turn comes. 0 is without a limit.
        #[serde(rename = "eventTTL", deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        event_ttl: Duration = Duration::from_secs(3600),
        /// How many days the history keeps an event. 0 is without a history.
        retention_days: u16 = 7,
        /// What a publish does when the buffer of a subscription is full.
        delivery_mode: DeliveryMode = DeliveryMode::Drop,
        /// How long a publish waits at most with `deliveryMode: timeout`. 0 drops at once.
        #[serde(deserialize_with = "span::optional")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        publish_block_timeout: Option<Duration> = None,
        /// Whether each publish begins with another subscription.
        rotate_subscriber_order: bool = true,
        /// How many events the history keeps over all topics.
        max_history_events: NonZeroU32 = NonZeroU32::new(100_000).unwrap(),
        /// How many bytes the history keeps over all topics.
        max_history_bytes: core::num::NonZeroU64 = core::num::NonZeroU64::new(64 * 1024 * 1024).unwrap(),
        /// How many events the log of durable subscriptions keeps. 0 is without them.
        max_log_events: u32 = 4096,
        /// How many dead letters are kept.
        max_dead_letters: u32 = 1024,
        /// How long the id of an event is known. 0 is without deduplication.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        deduplication_window: Duration = Duration::from_secs(120),
        /// How many ids are known. 0 is without deduplication.
        max_deduplication_ids: u32 = 4096,
        /// How many bytes a payload may have.
        max_payload: Option<NonZeroU32> = None,
    }
}

impl MemorySettings {
    /// Returns the builder of an engine with these settings, whose name is `memory`. A factory of
    /// yours can change more, or keep the engine to read its history.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// use std::sync::{Arc, OnceLock};
    /// use tickbus::hosted::MemoryEngine;
    /// use tickbus::hosted::config::{Config, MemorySettings, Registry, Settings};
    ///
    /// let kept: Arc<OnceLock<Arc<MemoryEngine>>> = Arc::default();
    /// let keep = kept.clone();
    /// let registry = Registry::new().register("memory", move |settings: &Settings| {
    ///     let memory = settings.read::<MemorySettings>()?.builder().name(settings.name());
    ///     Ok(keep.get_or_init(|| Arc::new(memory.build())).clone())
    /// });
    /// registry.build(&Config::from_yaml("engine: memory")?)?;
    /// assert!(kept.get().expect("it was built").history(">")?.all().is_empty());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(&self) -> MemoryEngineBuilder {
        let events = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let engine = MemoryEngine::builder()
            .capacity(events(self.default_event_buffer_size.get()))
            .rotate(self.rotate_subscriber_order)
            .ttl(self.event_ttl)
            .log(events(self.max_log_events))
            .deduplicate(self.deduplication_window, events(self.max_deduplication_ids))
            .dead_letters(events(self.max_dead_letters));
        let engine = match self.delivery_mode {
            DeliveryMode::Timeout => {
                engine.block_timeout(self.publish_block_timeout.unwrap_or_default())
            }
            mode => engine.overrun(mode.overrun()),
        };
        let engine = match self.max_payload {
            Some(bytes) => engine.max_payload(events(bytes.get())),
            None => engine,
        };
        if self.retention_days == 0 {
            return engine;
        }
        let bytes = usize::try_from(self.max_history_bytes.get()).unwrap_or(usize::MAX);
        let days = Duration::from_secs(24 * 3600) * u32::from(self.retention_days);
        let limits = HistoryLimits::new()
            .per_subject(events(self.max_event_queue_size.get()))
            .max_history_events(events(self.max_history_events.get()))
            .max_history_bytes(bytes)
            .retention(days);
        engine.history(limits)
    }
}

impl DeliveryMode {
    /// Returns what a full buffer does. Whether a wait has a limit is said apart.
    #[must_use]
    pub const fn overrun(self) -> Overrun {
        match self {
            Self::Drop => Overrun::DropNewest,
            Self::DropOldest => Overrun::DropOldest,
            Self::Block | Self::Timeout => Overrun::Block,
        }
    }
}

/// What a publish does when the buffer of a live subscription is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryMode {
    /// Drops the new event.
    #[default]
    Drop,
    /// Drops the oldest event of the buffer.
    DropOldest,
    /// Waits for room.
    Block,
    /// Waits for room, at most `publishBlockTimeout`.
    Timeout,
}

settings! {
    /// The keys of `type: nats`.
    NatsSettings {
        /// The server, or several with commas between them.
        url: ServerUrl = ServerUrl::new("nats://127.0.0.1:4222"),
        /// The name to log in with.
        username: Option<String> = None,
        /// The password of `username`.
        password: Option<Secret> = None,
        /// The token to log in with.
        token: Option<Secret> = None,
        /// The seed of an nkey to log in with.
        nkey: Option<Secret> = None,
        /// A file of credentials to log in with.
        credentials_file: Option<String> = None,
        /// The stream of `JetStream`. Without it the engine is core NATS.
        stream_name: Option<String> = None,
        /// Patterns of the subjects that the stream takes.
        subjects: Vec<String> = Vec::new(),
        /// What the engine does about the stream when it starts.
        provision: Provision = Provision::Check,
        /// How many servers keep a stream that the engine creates.
        replicas: NonZeroU32 = NonZeroU32::new(1).unwrap(),
        /// How long a stream that the engine creates keeps an event. 0 is without a limit.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        max_age: Duration = Duration::ZERO,
        /// Where the server keeps a stream that the engine creates.
        storage: Storage = Storage::File,
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// How often the server says that it is there, while it has nothing to send.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        heartbeat: Duration = Duration::from_secs(5),
        /// How the connection is encrypted.
        tls: TlsSettings = TlsSettings::default(),
    }
}

/// Where a server keeps a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory.
    Memory,
}

/// How a connection is encrypted: `true`, `false`, or the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Whether the connection is by TLS or not at all. Naming a file is a yes.
    pub enabled: bool,
    /// The authorities to trust, as a PEM file, instead of those of the system.
    pub ca_file: Option<String>,
    /// The certificate of this program, as a PEM file. It needs `key_file`.
    pub cert_file: Option<String>,
    /// The key of the certificate, as a PEM file.
    pub key_file: Option<String>,
}

#[derive(serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct TlsFiles {
    /// Whether the connection is by TLS or not at all. It is `true` by default here.
    enabled: Option<bool>,
    /// The authorities to trust, as a PEM file, instead of those of the system.
    ca_file: Option<String>,
    /// The certificate of this program, as a PEM file.
    cert_file: Option<String>,
    /// The key of the certificate, as a PEM file.
    key_file: Option<String>,
}

impl<'de> Deserialize<'de> for TlsSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoolOrFiles;
        impl<'de> Visitor<'de> for BoolOrFiles {
            type Value = TlsSettings;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("`true`, `false` or a mapping with `caFile`, `certFile`, `keyFile`")
            }

            fn visit_bool<E>(self, enabled: bool) -> Result<TlsSettings, E> {
                Ok(TlsSettings { enabled, ..TlsSettings::default() })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TlsSettings, E> {
                match text {
                    "true" => self.visit_bool(true),
                    "false" => self.visit_bool(false),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Str(""), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsSettings, A::Error> {
                let files = TlsFiles::deserialize(MapAccessDeserializer::new(map))?;
                let TlsFiles { enabled, ca_file, cert_file, key_file } = files;
                if cert_file.is_some() != key_file.is_some() {
                    let why = "`certFile` and `keyFile` need each other";
                    return Err(serde::de::Error::custom(why));
                }
                let named = ca_file.is_some() || cert_file.is_some();
                if enabled == Some(false) && named {
                    let why = "a file is named, and `enabled` is false: remove one of them";
                    return Err(serde::de::Error::custom(why));
                }
                Ok(TlsSettings { enabled: enabled.unwrap_or(true), ca_file, cert_file, key_file })
            }
        }
        deserializer.deserialize_any(BoolOrFiles)
    }
}

/// How a program proves to a server who it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct SaslSettings {
    /// The mechanism.
    pub mechanism: SaslMechanism,
    /// The name to log in with.
    pub username: String,
    /// The password of `username`.
    pub password: Secret,
}

/// A mechanism of SASL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum SaslMechanism {
    /// A name and a password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A challenge with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A challenge with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

settings! {
    /// The keys of `type: redis`.
    RedisSettings {
        /// The server.
        url: ServerUrl = ServerUrl::new("redis://127.0.0.1:6379"),
        /// The number of the database: that of the URL by default, or else 0.
        db: Option<u32> = None,
        /// How many connections there are at most.
        pool_size: NonZeroU32 = TEN,
        /// The name to log in with.
        username: Option<String> = None,
        /// The password to log in with.
        password: Option<Secret> = None,
        /// The stream. Without it the engine is pub/sub.
        stream_name: Option<String> = None,
        /// What stands before the subject in the name of a channel of pub/sub.
        prefix: Option<String> = None,
        /// What the engine does about a stream that is missing.
        provision: Provision = Provision::Check,
        /// How many entries the stream keeps at least. 0 is all.
        max_len: u64 = 0,
        /// How long the id of an event is known. 0 is without deduplication.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        deduplication_window: Duration = Duration::from_secs(120),
        /// How many dead letters are kept at least. 0 is without them.
        max_dead_letters: u64 = 0,
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// How often a connection on which nothing happens must show that it is alive.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        heartbeat: Duration = Duration::from_secs(5),
        /// How the connection is encrypted.
        tls: TlsSettings = TlsSettings::default(),
    }
}

settings! {
    /// The keys of `type: kafka`.
    KafkaSettings {
        /// The servers to begin with, each as `host:port`.
        brokers: Vec<String> = alloc::vec!["127.0.0.1:9092".into()],
        /// The prefix of the names of groups.
        group_id: Option<String> = None,
        /// The topic.
        topic: String = "eventbus".into(),
        /// Patterns of subjects, each with a topic of its own. The first that matches decides.
        topics: Vec<KafkaTopic> = Vec::new(),
        /// How many partitions a topic has that the engine creates: as the server says by default.
        partitions: Option<core::num::NonZeroU16> = None,
        /// How many servers keep a topic that the engine creates: as the server says by default.
        replicas: Option<core::num::NonZeroU8> = None,
        /// How long the server waits for a silent member before it gives its partitions to others.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        session_timeout: Duration = Duration::from_secs(45),
        /// How often a member tells the server what is acknowledged.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        commit_interval: Duration = Duration::from_millis(100),
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// How often the engine asks whether the server is there.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        heartbeat: Duration = Duration::from_secs(5),
        /// The settings of the client, by its own names.
        security: KafkaSecurity = KafkaSecurity::default(),
        /// How the program logs in.
        sasl: Option<SaslSettings> = None,
        /// What the engine does about a topic that is missing.
        provision: Provision = Provision::Check,
        /// How the connection is encrypted.
        tls: TlsSettings = TlsSettings::default(),
    }
}

/// A topic of `type: kafka` for some subjects.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct KafkaTopic {
    /// The pattern of the subjects, with `*` for one segment and `>` for the rest.
    pub pattern: String,
    /// The name of the topic.
    pub topic: String,
}

/// The keys of `security` of `type: kafka`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSecurity {
    /// The protocol.
    #[serde(rename = "security.protocol")]
    pub protocol: Option<KafkaProtocol>,
    /// The mechanism to log in by.
    #[serde(rename = "sasl.mechanism")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The name to log in with.
    #[serde(rename = "sasl.username")]
    pub sasl_username: Option<String>,
    /// The password to log in with.
    #[serde(rename = "sasl.password")]
    pub sasl_password: Option<Secret>,
}

/// A protocol of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum KafkaProtocol {
    /// Without encryption.
    Plaintext,
    /// TLS.
    Ssl,
    /// A login without encryption.
    SaslPlaintext,
    /// A login by TLS.
    SaslSsl,
}

settings! {
    /// The keys of `type: kinesis`.
    KinesisSettings {
        /// The region.
        region: String = "us-east-1".into(),
        /// The stream.
        stream_name: String = "eventbus".into(),
        /// How many shards a stream has that the engine creates.
        shard_count: NonZeroU32 = NonZeroU32::new(1).unwrap(),
        /// The server, if it is not that of the region.
        endpoint: Option<ServerUrl> = None,
        /// The id of the key to log in with.
        access_key_id: Option<String> = None,
        /// The key to log in with.
        secret_access_key: Option<Secret> = None,
        /// The token of a session.
        session_token: Option<Secret> = None,
        /// The authorities to trust, as a PEM file, instead of those of the system.
        ca_file: Option<String> = None,
        /// Where it is kept which member of a group reads which shard, and how far. Without it there are no
        /// groups.
        leases: LeaseStoreKind = LeaseStoreKind::None,
        /// The database of `leases: postgres`.
        leases_url: Option<ServerUrl> = None,
        /// The table of `leases: postgres`.
        leases_table: String = "kinesis_leases".into(),
        /// How long a member has a shard without a sign of life.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        shard_lease: Duration = Duration::from_secs(10),
        /// How often the position of a shard is kept, at most.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        checkpoint_interval: Duration = Duration::from_secs(1),
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// How often the engine asks for events.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        poll_interval: Duration = Duration::from_secs(1),
        /// What the engine does about a stream that is missing.
        provision: Provision = Provision::Check,
    }
}

/// Where an engine keeps which member of a group reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaseStoreKind {
    /// Nowhere.
    #[default]
    None,
    /// In memory, for the members of one engine.
    Memory,
    /// In a table of Postgres. It needs the feature `postgres`.
    Postgres,
}

settings! {
    /// The keys of `type: postgres`.
    PostgresSettings {
        /// The server and the database.
        url: ServerUrl = ServerUrl::new("postgres://127.0.0.1:5432"),
        /// The name to log in with.
        username: Option<String> = None,
        /// The password to log in with.
        password: Option<Secret> = None,
        /// The log: what the names of its tables begin with.
        table_name: String = "events".into(),
        /// How many connections there are at most, and one more that listens.
        pool_size: NonZeroU32 = TEN,
        /// How many lanes a log has that the engine creates.
        lanes: core::num::NonZeroU16 = core::num::NonZeroU16::new(16).unwrap(),
        /// How many events a segment of a log has that the engine creates. So many ids are known.
        segment_events: NonZeroU32 = NonZeroU32::new(250_000).unwrap(),
        /// How many events the log keeps. 0 is all.
        max_events: u64 = 0,
        /// How long the log keeps an event at least. 0 is without a limit.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        max_age: Duration = Duration::ZERO,
        /// How many dead letters are kept at least. 0 is without them.
        max_dead_letters: u64 = 0,
        /// How often an event is delivered in groups that do not say it. 0 is without a limit.
        max_attempts: u32 = 0,
        /// How often the engine asks for events that no notification announced.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        poll_interval: Duration = Duration::from_secs(1),
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// What the engine does about tables that are missing.
        provision: Provision = Provision::Check,
        /// How the connection is encrypted.
        tls: TlsSettings = TlsSettings::default(),
    }
}

settings! {
    /// The keys of `type: mqtt`.
    MqttSettings {
        /// The server.
        url: ServerUrl = ServerUrl::new("mqtt://127.0.0.1:1883"),
        /// What begins the client ids of the program, another one for each process. Without it there are
        /// no groups.
        client_id: Option<String> = None,
        /// What stands before all topics.
        prefix: Option<String> = None,
        /// The quality of service: 0 or 1.
        qos: u8 = 1,
        /// The name to log in with.
        username: Option<String> = None,
        /// The password to log in with.
        password: Option<Secret> = None,
        /// How often the client says that it is there.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        keep_alive: Duration = Duration::from_secs(30),
        /// How long the server keeps the session of a client that is away.
        #[serde(deserialize_with = "span::span")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        session_expiry: Duration = Duration::from_secs(3600),
        /// How long the engine waits for an answer of the server.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        timeout: Duration = Duration::from_secs(5),
        /// How the connection is encrypted.
        tls: TlsSettings = TlsSettings::default(),
    }
}

settings! {
    /// The keys of `type: custom`, an engine that the program registers.
    CustomSettings {
        /// Whether the engine counts what it carries.
        enable_metrics: bool = true,
        /// How often it reports the numbers.
        #[serde(deserialize_with = "span::positive")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
        metrics_interval: Duration = Duration::from_secs(30),
        /// What it lets through.
        event_filters: Vec<TopicFilter> = Vec::new(),
    }
}

/// Lets some events through.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct TopicFilter {
    /// How it decides.
    #[serde(rename = "type")]
    pub kind: FilterType,
    /// The beginnings of the subjects that it lets through. Without any, it lets all through.
    #[serde(default)]
    pub prefixes: Vec<Box<str>>,
}

/// How a filter decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FilterType {
    /// By the beginning of the subject.
    TopicPrefix,
}
