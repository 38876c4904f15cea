//! A configuration of the hosted tier: which engines there are, and which subjects go where.
//!
//! [`Config::from_file`] (feature `yaml`) reads YAML or JSON. A [`Registry`] makes the engines, and
//! the program can add types of its own. `Config::schema` (feature `schema`) returns the JSON schema
//! of the file.
//!
//! # A whole file
//!
//! ```
//! # #[cfg(feature = "yaml")] {
//! use tickbus::Subject;
//! use tickbus::hosted::config::{Config, Registry};
//!
//! let config = Config::loader().named("bus.yaml").text(r#"
//! eventbus:
//!   engines:                              # the first carries what no rule matches
//!     - name: fast
//!       type: memory
//!       config:                           # each key may be left out: defaults are shown (`MemorySettings` has more)
//!         workerCount: 5                  # workers of a pooled handler
//!         maxEventQueueSize: 1000         # events that wait for them; and the history, per topic
//!         defaultEventBufferSize: 10      # buffer of a live subscription
//!         deliveryMode: drop              # drop, drop_oldest, block, timeout: if the buffer is full
//!         rotateSubscriberOrder: true     # each publish begins with another subscription
//!         eventTTL: 3600s                 # older events are dropped; 0: none are
//!         retentionDays: 7                # history; 0: none
//!         maxHistoryEvents: 100000
//!         maxHistoryBytes: 67108864
//!     - name: patient
//!       type: memory
//!       onStart: 10s                      # fail (default), background, or how long to wait
//!       config:
//!         deliveryMode: timeout
//!         publishBlockTimeout: 250ms      # the longest wait of a publish; 0: drop
//!         workerCount: ${WORKERS:-8}      # from the environment, or 8
//!   routing:                              # the first rule that matches decides
//!     - topics: [report.*, audit.login]   # report.* is every subject that begins with `report.`
//!       engine: patient
//!       require: accepted                 # buffered, accepted, stored: or the publish fails
//!     - topics: ["*"]                     # every subject
//!       engine: fast
//!
//! event_broker:
//!   enabled: true
//!   provider: memory                      # memory, redis, nats, database
//!   mode: async                           # sync, async
//!   worker_count: 10
//!   buffer_size: 1000
//!   instance_id: ${HOSTNAME:-game-1}
//!   retry_policy: { max_retries: 3, initial_delay: 1s, max_delay: 30s, backoff_factor: 2.0 }
//! "#)?;
//!
//! assert_eq!(config.engine_for(Subject::from_static("report.daily.7")), Some("patient"));
//! let router = Registry::new().router(&config)?.build()?;
//! assert_eq!(&**router.engine_for("report.daily.7")?, "patient");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The file
//!
//! - **One engine** needs no list: `engine: memory` and its keys beside it are an engine named
//!   `default`. `externalBrokerURL`, `externalBrokerUser` and `externalBrokerPassword` are its
//!   server. The sections may be left out too: then the file is what `eventbus` says.
//! - **Topics** are in the dialect of [`PrefixPattern`](crate::subject::PrefixPattern): exact, or
//!   with a `*` at the end for whatever follows. `*` alone is everything. In code, a
//!   [`Pattern`](crate::Pattern) has a `*` for one segment, and `>` for the rest.
//! - **Compression** works with every engine: with `compressAbove: 4096` in its `config`, payloads of more
//!   bytes travel as gzip (feature `compression`).
//! - **Brokers of a group** share events over one of the engines: `engine: patient` and `group: orders` in
//!   `event_broker`.
//! - **Unset is not 0.** A key that is left out has its default. 0 workers, and a queue or buffer of
//!   0, are errors. `eventTTL: 0` and `retentionDays: 0` switch off, `publishBlockTimeout: 0` drops.
//! - **Spans of time** are numbers of seconds, or texts such as `250ms` and `1m30s`.
//! - **Variables**, `${NAME}` and `${NAME:-default}`, stand in values. They are replaced after the
//!   file is parsed, so no value can change what the rest means. Then they convert to what the key
//!   wants. The default also stands for an empty variable. `$${` is a plain `${`.
//!
//! # The broker
//!
//! [`Registry::broker`] makes the broker of `event_broker`. Where it keeps records, and over what it
//! shares events with other brokers of its group:
//!
//! | `provider` | records | events |
//! |---|---|---|
//! | `memory` | in memory | inside this process, or over the `engine` of that name |
//! | `nats`, `redis` | in memory, or in the store that the program sets | over an engine of that type, by the keys of the section `nats` or `redis` |
//! | `database` | in the store that the program sets | inside this process, or over the `engine` of that name |
//!
//! # Errors
//!
//! [`ConfigError`] names the file, the line, the column and the key, and has a
//! [`fault`](ConfigError::fault) for each thing that can be wrong: an unknown key or type, a wrong
//! type of value, two engines with one name, a rule for an engine that does not exist, a rule that
//! is never reached. An engine that no rule names is a [`Warning`]. Texts count rules from 1, as
//! [`explain`](crate::hosted::Router::explain) does: `rule 2`. A path counts from 0: `routing[1]`.
//!
//! No error and no `Debug` shows a [`Secret`], the login in a [`ServerUrl`], or the value of a
//! variable.
//!
//! # Types of engines
//!
//! | type | its `config` | engine |
//! |---|---|---|
//! | `memory` | [`MemorySettings`] | [`MemoryEngine`](crate::hosted::MemoryEngine) |
//! | `nats` | [`NatsSettings`] | `engines::Nats`, with the feature `nats` |
//! | `redis` | [`RedisSettings`] | `engines::Redis`, with the feature `redis` |
//! | `mqtt` | [`MqttSettings`] | `engines::Mqtt`, with the feature `mqtt` |
//! | `kafka` | [`KafkaSettings`] | `engines::Kafka`, with the feature `kafka` |
//! | `kinesis` | [`KinesisSettings`] | `engines::Kinesis`, with the feature `kinesis` |
//! | `postgres` | [`PostgresSettings`] | `engines::Postgres`, with the feature `postgres` |
//! | `custom` | [`CustomSettings`] | one that the program registers |
//! | any other | what its factory reads | one that the program registers |

mod broker;
mod de;
mod error;
#[cfg(feature = "yaml")]
mod expand;
mod file;
#[cfg(feature = "yaml")]
mod load;
mod near;
mod node;
mod registry;
mod rules;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod sections;
mod settings;
mod single;
mod span;
mod types;
mod warning;
#[cfg(feature = "yaml")]
mod yaml;

pub use self::broker::{
    BrokerConfig, BrokerDatabase, BrokerMode, BrokerNats, BrokerProvider, BrokerRedis, RetryConfig,
};
pub use self::error::{ConfigError, ConfigFault, Place};
pub use self::file::Config;
#[cfg(feature = "yaml")]
pub use self::load::Loader;
pub use self::registry::Registry;
pub use self::rules::RuleConfig;
pub use self::secret::{Secret, ServerUrl};
pub use self::settings::Settings;
pub use self::types::{
    CommonSettings, CustomSettings, DeliveryMode, FilterType, KafkaProtocol, KafkaSecurity,
    KafkaSettings, KafkaTopic, KinesisSettings, LeaseStoreKind, MemorySettings, MqttSettings,
    NatsSettings, PostgresSettings, RedisSettings, SaslMechanism, SaslSettings, Storage,
    TlsSettings, TopicFilter,
};
pub use self::warning::Warning;
pub use super::provision::Provision as ProvisionMode;
