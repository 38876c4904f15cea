//! What a configuration says of one engine: [`Settings`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use serde::de::DeserializeOwned;

use super::de::NodeDeserializer;
use super::error::{ConfigError, ConfigFault, Place, Step};
use super::node::{Entry, Node, Value};
use super::types::{
    COMMON, CommonSettings, CustomSettings, DeliveryMode, KafkaSettings, KinesisSettings,
    LeaseStoreKind, MemorySettings, MqttSettings, NatsSettings, PostgresSettings, RedisSettings,
};
use crate::hosted::start::OnStart;
use crate::hosted::subscribe::SubscriptionDefaults;
use crate::subject_bus::Overrun;

/// The name, the type and the `config` of an engine. A factory of a [`Registry`](super::Registry)
/// gets it.
///
/// Its `Debug` leaves out the `config`: a missing colon makes a secret part of a key.
#[derive(Clone)]
pub struct Settings {
    name: Arc<str>,
    kind: Box<str>,
    config: Node,
    path: Vec<Step>,
    place: Option<Place>,
    kind_at: Option<Place>,
    file: Option<Arc<str>>,
    /// How many steps from the config to the engine.
    depth: usize,
    on_start: OnStart,
}

impl Settings {
    pub(super) fn new(
        name: &str,
        kind: &str,
        config: Node,
        path: Vec<Step>,
        place: Option<Place>,
        file: Option<&Arc<str>>,
        depth: usize,
    ) -> Self {
        let file = file.cloned();
        let (name, kind) = (name.into(), kind.into());
        let on_start = OnStart::default();
        Self { name, kind, config, path, place, kind_at: None, file, depth, on_start }
    }

    pub(super) fn of(mut self, kind_at: Option<Place>) -> Self {
        self.kind_at = kind_at;
        self
    }

    pub(super) const fn starts(mut self, on_start: OnStart) -> Self {
        self.on_start = on_start;
        self
    }

    /// Returns what a start does while the engine cannot be reached.
    #[must_use]
    pub const fn on_start(&self) -> OnStart {
        self.on_start
    }

    /// Returns the name of the engine. The engine should use it in its errors and receipts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type of the engine.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.kind
    }

    /// Returns where the engine is in the file.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Reads the `config` as a type of yours, which derives `Deserialize`.
    ///
    /// A key that the type does not have is an error, as is one without a value. The type need not
    /// have [the keys of all engines](Self::common), but may have them.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with the place and the key if the `config` is not of this type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let node = NodeDeserializer { node: &self.config, skipped: &COMMON };
        T::deserialize(node).map_err(|error| self.located(error.at(self.config.place)))
    }

    /// Returns the keys that each type of engine has: how its subscriptions are set up by default.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if one of these keys has another type.
    pub fn common(&self) -> Result<CommonSettings, ConfigError> {
        let entries = self.config.entries().unwrap_or_default();
        let common = entries.iter().filter(|entry| COMMON.contains(&&*entry.key)).cloned();
        let node = Node::new(Value::Map(common.collect()), self.config.place);
        let common = serde::Deserialize::deserialize(NodeDeserializer::new(&node));
        common.map_err(|error: ConfigError| self.located(error))
    }

    /// How subscriptions are set up that do not say it.
    pub(super) fn defaults(&self) -> Result<SubscriptionDefaults, ConfigError> {
        let common = self.common()?;
        let number = |number: NonZeroU32| usize::try_from(number.get()).unwrap_or(usize::MAX);
        let defaults = SubscriptionDefaults::new()
            .capacity(number(common.default_event_buffer_size))
            .workers(number(common.worker_count))
            .queue(number(common.max_event_queue_size));
        Ok(match &*self.kind {
            "memory" => {
                let memory = self.memory()?;
                let waits = memory.publish_block_timeout != Some(Duration::ZERO);
                defaults.overrun(match memory.delivery_mode {
                    DeliveryMode::Timeout if !waits => Overrun::DropNewest,
                    mode => mode.overrun(),
                })
            }
            _ => defaults,
        })
    }

    /// Returns an error about a key of the `config`, with its place: for what a type cannot check.
    #[must_use]
    pub fn invalid(&self, key: &str, why: impl Into<Box<str>>) -> ConfigError {
        self.wrong(key, ConfigFault::Invalid(why.into()))
    }

    pub(super) fn wrong(&self, key: &str, fault: ConfigFault) -> ConfigError {
        let entry = self.config.entry(key);
        let place = entry.map_or(self.config.place, |entry| entry.node.place.or(entry.place));
        self.located(ConfigError::new(fault, place).under_key(key))
    }

    /// The settings of an engine that the section `key` describes, without what is `used` elsewhere,
    /// and with `more` where the section says nothing.
    pub(super) fn part(&self, key: &str, used: &[&str], more: Vec<Entry>) -> Self {
        let part = self.config.entry(key);
        let own = part.map(|entry| entry.node.entries().unwrap_or_default().to_vec());
        let mut entries = own.unwrap_or_default();
        entries.retain(|entry| !used.contains(&&*entry.key));
        for entry in &mut entries {
            entry.key = camel(&entry.key);
        }
        for entry in more {
            if !entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
        let place = part.and_then(|entry| entry.place).or(self.place);
        let path = [&self.path[..], &[Step::Key(key.into())]].concat();
        let config = Node::new(Value::Map(entries), place);
        Self::new(&self.name, key, config, path, place, self.file(), 0)
    }

    /// An error about the type.
    pub(super) fn wrong_type(&self, fault: ConfigFault) -> ConfigError {
        let key = if self.depth == 0 { "engine" } else { "type" };
        let error = ConfigError::new(fault, self.kind_at.or(self.place)).under_key(key);
        let path = &self.path[..self.path.len() - self.depth];
        path.iter().rev().fold(error, |error, step| error.under(step.clone())).in_file(self.file())
    }

    /// An error of the engine as a whole.
    pub(super) fn wrong_engine(&self, fault: ConfigFault) -> ConfigError {
        self.located(ConfigError::new(fault, self.place))
    }

    fn located(&self, error: ConfigError) -> ConfigError {
        let steps = self.path.iter().rev();
        steps.fold(error, |error, step| error.under(step.clone())).in_file(self.file())
    }

    fn file(&self) -> Option<&Arc<str>> {
        self.file.as_ref()
    }

    /// Checks what is known of the type.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.common()?;
        match &*self.kind {
            "memory" => self.memory().map(drop),
            "nats" => self.nats().map(drop),
            "redis" => self.redis().map(drop),
            "kafka" => self.kafka().map(drop),
            "kinesis" => self.kinesis().map(drop),
            "postgres" => self.postgres().map(drop),
            "mqtt" => self.mqtt().map(drop),
            "custom" => self.read::<CustomSettings>().map(drop),
            _ => Ok(()),
        }
    }

    pub(super) fn memory(&self) -> Result<MemorySettings, ConfigError> {
        let settings: MemorySettings = self.read()?;
        let waits = settings.delivery_mode == DeliveryMode::Timeout;
        if waits && settings.publish_block_timeout.is_none() {
            return Err(self.wrong("publishBlockTimeout", ConfigFault::MissingKey));
        }
        Ok(settings)
    }

    pub(super) fn nats(&self) -> Result<NatsSettings, ConfigError> {
        let settings: NatsSettings = self.read()?;
        let logins = [
            ("username", settings.username.is_some()),
            ("token", settings.token.is_some()),
            ("nkey", settings.nkey.is_some()),
            ("credentialsFile", settings.credentials_file.is_some()),
        ];
        let mut logins = logins.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key);
        if let (Some(first), Some(second)) = (logins.next(), logins.next()) {
            let why = alloc::format!("there is a `{first}` too: keep one login");
            return Err(self.invalid(second, why));
        }
        if settings.username.is_some() != settings.password.is_some() {
            let key = if settings.username.is_some() { "username" } else { "password" };
            return Err(self.invalid(key, "`username` and `password` need each other"));
        }
        if settings.stream_name.is_none() {
            let of_stream = ["subjects", "provision", "replicas", "maxAge", "storage"];
            if let Some(key) = of_stream.into_iter().find(|key| self.config.get(key).is_some()) {
                return Err(self.invalid(key, "it is of a stream: name one by `streamName`"));
            }
        }
        Ok(settings)
    }

    pub(super) fn kinesis(&self) -> Result<KinesisSettings, ConfigError> {
        let settings: KinesisSettings = self.read()?;
        if settings.access_key_id.is_some() != settings.secret_access_key.is_some() {
            let (key, other) = match settings.access_key_id {
                Some(_) => ("accessKeyId", "secretAccessKey"),
                None => ("secretAccessKey", "accessKeyId"),
            };
            return Err(self.invalid(key, alloc::format!("it needs a `{other}`")));
        }
        if settings.session_token.is_some() && settings.access_key_id.is_none() {
            return Err(self.invalid("sessionToken", "it needs an `accessKeyId`"));
        }
        let of_postgres = ["leasesUrl", "leasesTable"];
        if settings.leases != LeaseStoreKind::Postgres {
            let why = "it is of `leases: postgres`";
            match of_postgres.into_iter().find(|key| self.config.get(key).is_some()) {
                Some(key) => return Err(self.invalid(key, why)),
                None => return Ok(settings),
            }
        }
        match settings.leases_url {
            Some(_) => Ok(settings),
            None => Err(self.wrong("leasesUrl", ConfigFault::MissingKey)),
        }
    }

    pub(super) fn redis(&self) -> Result<RedisSettings, ConfigError> {
        let settings: RedisSettings = self.read()?;
        if settings.username.is_some() && settings.password.is_none() {
            return Err(self.invalid("username", "it needs a `password`"));
        }
        let (others, why): (&[&str], _) = if settings.stream_name.is_some() {
            (&["prefix"], "it is of pub/sub: remove it, or `streamName`")
        } else {
            let of_stream = &["provision", "maxLen", "deduplicationWindow", "maxDeadLetters"];
            (of_stream, "it is of a stream: name one by `streamName`")
        };
        match others.iter().find(|key| self.config.get(key).is_some()) {
            Some(key) => Err(self.invalid(key, why)),
            None => Ok(settings),
        }
    }

    pub(super) fn postgres(&self) -> Result<PostgresSettings, ConfigError> {
        let settings: PostgresSettings = self.read()?;
        if settings.password.is_some() && settings.username.is_none() {
            return Err(self.invalid("password", "it needs a `username`"));
        }
        if settings.segment_events.get() < 2 {
            return Err(self.invalid("segmentEvents", "it is 2 or more"));
        }
        Ok(settings)
    }

    pub(super) fn mqtt(&self) -> Result<MqttSettings, ConfigError> {
        let settings: MqttSettings = self.read()?;
        if settings.password.is_some() && settings.username.is_none() {
            return Err(self.invalid("password", "it needs a `username`"));
        }
        if settings.qos > 1 {
            return Err(self.invalid("qos", "it is 0 or 1"));
        }
        if settings.client_id.as_deref() == Some("") {
            return Err(self.invalid("clientId", "it is empty"));
        }
        Ok(settings)
    }

    pub(super) fn kafka(&self) -> Result<KafkaSettings, ConfigError> {
        use super::types::KafkaProtocol as Protocol;

        let settings: KafkaSettings = self.read()?;
        if settings.brokers.is_empty() {
            return Err(self.invalid("brokers", "it must name at least one"));
        }
        let security = &settings.security;
        if settings.sasl.is_some() && security.sasl_mechanism.is_some() {
            return Err(self.invalid("sasl", "`security` has a login too: keep one"));
        }
        let has_name = security.sasl_username.is_some() && security.sasl_password.is_some();
        if security.sasl_mechanism.is_some() && !has_name {
            return Err(self.invalid("security", "a mechanism needs a username and a password"));
        }
        let has_login = settings.sasl.is_some() || security.sasl_mechanism.is_some();
        match security.protocol {
            Some(Protocol::Plaintext | Protocol::Ssl) if has_login => {
                Err(self.invalid("security", "this `security.protocol` has no login"))
            }
            Some(Protocol::SaslPlaintext | Protocol::SaslSsl) if !has_login => {
                Err(self.invalid("security", "this `security.protocol` needs a login"))
            }
            Some(Protocol::Plaintext | Protocol::SaslPlaintext) if settings.tls.enabled => {
                Err(self.invalid("tls", "`security.protocol` is without TLS: remove one of them"))
            }
            _ => Ok(settings),
        }
    }
}

/// `max_age` as `maxAge`.
fn camel(key: &str) -> Box<str> {
    let mut words = key.split('_');
    let mut camel: String = words.next().unwrap_or_default().into();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel.into()
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("type", &self.kind)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
