//! stub

mod broker;
mod de;
mod error;
mod expand;
mod file;
#[cfg(feature = "yaml")]
mod load;
mod near;
mod node;
mod registry;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod settings;
mod span;
mod types;
#[cfg(feature = "yaml")]
mod yaml;

pub use self::broker::{
    BrokerConfig, BrokerDatabase, BrokerMode, BrokerNats, BrokerProvider, BrokerRedis, RetryConfig,
    Storage,
};
pub use self::error::{ConfigError, ConfigFault, Place};
pub use self::file::{Config, RuleConfig, Warning};
#[cfg(feature = "yaml")]
pub use self::load::Loader;
pub use self::registry::Registry;
pub use self::secret::{Secret, ServerUrl};
pub use self::settings::Settings;
pub use self::types::{
    CommonSettings, CustomSettings, DeliveryMode, FilterType, KafkaProtocol, KafkaSecurity,
    KafkaSettings, KinesisSettings, MemorySettings, MqttSettings, NatsSettings, PostgresSettings,
    ProvisionMode, RedisSettings, SaslMechanism, SaslSettings, TlsSettings, TopicFilter,
};
