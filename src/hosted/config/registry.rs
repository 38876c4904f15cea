//! Which engine is built for which type: [`Registry`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use super::broker::{BrokerConfig, BrokerMode, BrokerProvider};
use super::error::{ConfigError, ConfigFault};
use super::file::Config;
use super::near::near;
use super::settings::Settings;
use crate::hosted::broker::BrokerBuilder;
use crate::hosted::engine::{BoxError, Engine, Health};
use crate::hosted::memory::MemoryEngine;
use crate::hosted::router::{Router, RouterBuilder, Rule};
use crate::hosted::store::MemoryStore;

type Factory = Arc<dyn Fn(&Settings) -> Result<Arc<dyn Engine>, BoxError> + Send + Sync>;

/// The types that a file may name, and how an engine of each is built.
///
/// It is a value: pass it to where you build. [`new`](Self::new) has `memory`, and `kafka`, `kinesis`, `mqtt`,
/// `nats`, `postgres` and `redis` with the features of these names.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "yaml")] {
/// use tickbus::hosted::{Engine, MemoryEngine};
/// use tickbus::hosted::config::{Config, Registry, Settings};
///
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Small {
///     most_events: usize,
/// }
///
/// let registry = Registry::new().register("small", |settings: &Settings| {
///     let small: Small = settings.read()?; // its errors have the line and the column
///     Ok(MemoryEngine::builder().name(settings.name()).log(small.most_events).build())
/// });
///
/// let config = Config::from_yaml("
/// engines:
///   - name: box
///     type: small
///     config: { mostEvents: 16 }
/// ")?;
/// let engines = registry.build(&config)?;
/// assert_eq!(&**engines[0].name(), "box");
///
/// let wrong = Config::from_yaml("
/// engines:
///   - name: box
///     type: small
///     config: { mostEvent: 16 }
/// ")?;
/// let error = registry.build(&wrong).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "configuration:5:15: `engines[0].config.mostEvent`: \
///      unknown key: did you mean `mostEvents`?",
/// );
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    factories: BTreeMap<Box<str>, Factory>,
}

impl Registry {
    /// Returns a registry with the engines of this build.
    #[must_use]
    pub fn new() -> Self {
        let registry = Self { factories: BTreeMap::new() };
        let registry = registry.register("memory", memory);
        #[cfg(all(feature = "kafka", not(tickbus_loom)))]
        let registry = registry.register("kafka", kafka);
        #[cfg(all(feature = "kinesis", not(tickbus_loom)))]
        let registry = registry.register("kinesis", kinesis);
        #[cfg(all(feature = "mqtt", not(tickbus_loom)))]
        let registry = registry.register("mqtt", mqtt);
        #[cfg(all(feature = "nats", not(tickbus_loom)))]
        let registry = registry.register("nats", nats);
        #[cfg(all(feature = "postgres", not(tickbus_loom)))]
        let registry = registry.register("postgres", postgres);
        #[cfg(all(feature = "redis", not(tickbus_loom)))]
        let registry = registry.register("redis", redis);
        registry
    }

    /// Adds a type, or replaces it. `factory` makes an engine of what the file says.
    ///
    /// An error that the factory returns becomes that of [`build`](Self::build). If it is a
    /// [`ConfigError`], it stays as it is.
    #[must_use]
    pub fn register<E: Engine>(
        mut self,
        type_name: &str,
        factory: impl Fn(&Settings) -> Result<E, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let factory: Factory = Arc::new(move |settings| Ok(Arc::new(factory(settings)?)));
        self.factories.insert(type_name.into(), factory);
        self
    }

    /// Returns the types, sorted.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.factories.keys().map(|name| &**name)
    }

    /// Builds the engines, in the order of the file. None of them is started.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if an engine has a type that is not registered, or if its factory
    /// returns an error.
    pub fn build(&self, config: &Config) -> Result<Vec<Arc<dyn Engine>>, ConfigError> {
        config.engines().iter().map(|settings| self.one(settings)).collect()
    }

    /// Builds the engines, and makes of them and of the rules the builder of a router.
    ///
    /// Rules of a configuration are [prefixes](crate::subject::PrefixPattern). The keys of all
    /// engines are the [defaults](RouterBuilder::defaults) of their subscriptions: `workerCount` is
    /// for handlers that are [`pooled`](crate::hosted::Subscribe::pooled) or
    /// [`by_key`](crate::hosted::Subscribe::by_key).
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] as [`build`](Self::build) does. Also returns it if the configuration
    /// has no engines, or if a rule requires what its engine cannot do.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use std::time::Duration;
    /// use tickbus::Envelope;
    /// use tickbus::hosted::config::{Config, Registry};
    ///
    /// let config = Config::from_yaml("
    /// engines:
    ///   - { name: fast, type: memory }
    ///   - { name: slow, type: memory, config: { workerCount: 2 } }
    /// routing:
    ///   - { topics: [report.*], engine: slow, require: accepted }
    /// ")?;
    /// let router = Registry::new().router(&config)?.build()?;
    /// router.start().await?;
    /// let receipt = router.publish(Envelope::json("report.daily.7", &3)?).await?;
    /// assert_eq!(&*receipt.engine, "slow");
    /// router.shutdown(Duration::from_secs(1)).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn router(&self, config: &Config) -> Result<RouterBuilder, ConfigError> {
        if config.engines().is_empty() {
            return Err(ConfigError::new(ConfigFault::NoEngine, None).in_file(config.source()));
        }
        let engines = self.build(config)?;
        for rule in config.rules() {
            let mut named = config.engines().iter().zip(&engines);
            let engine = named.find(|(settings, _)| *settings.name() == *rule.engine);
            let (Some((_, engine)), Some(required)) = (engine, rule.require) else { continue };
            // What is not up may be able to do more when it is.
            let reaches = engine.capabilities().highest_level();
            if reaches < required && engine.health() == Health::Up {
                return Err(rule.too_high(reaches, config.source()));
            }
        }
        let mut router = Router::builder();
        for (settings, engine) in config.engines().iter().zip(engines) {
            router = router.engine(settings.name(), engine);
            router = router.on_start(settings.on_start()).defaults(settings.defaults()?);
        }
        for rule in config.rules() {
            let made = Rule::new(rule.engine.clone());
            let made = rule.topics.iter().fold(made, |made, topic| made.prefix(topic));
            router = router.rule(match rule.require {
                Some(level) => made.require(level),
                None => made,
            });
        }
        Ok(match config.source() {
            Some(file) => router.loaded_from(file.clone()),
            None => router,
        })
    }

    /// Makes the builder of the broker in the section `event_broker`. `None` without one, or if it is
    /// not [`enabled`](BrokerConfig::enabled).
    ///
    /// With an `engine`, or the provider `nats` or `redis`, the builder has that engine, of its own. A
    /// broker with the provider `database` needs a [`store`](BrokerBuilder::store), and its `build`
    /// says so.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the engine of the broker has a type that is not registered, or its
    /// factory returns an error. Also returns it if the mode is `sync`, and there is an engine.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use tickbus::hosted::config::{Config, Registry};
    ///
    /// let config = Config::from_yaml("
    /// eventbus:
    ///   engines: [{ name: fleet, type: memory }]
    /// event_broker: { enabled: true, engine: fleet, group: orders }
    /// ")?;
    /// if let Some(builder) = Registry::new().broker(&config)? {
    ///     let broker = builder.build()?;
    ///     broker.start()?;
    ///     broker.ready().await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn broker(&self, config: &Config) -> Result<Option<BrokerBuilder>, ConfigError> {
        let (Some(section), Some(settings)) = (config.broker(), config.broker_settings()) else {
            return Ok(None);
        };
        if !section.enabled {
            return Ok(None);
        }
        let engine = self.engine_of(config, section, settings)?;
        let Some(engine) = engine else { return Ok(Some(section.builder())) };
        if section.mode == BrokerMode::Sync {
            let why = "a broker with an engine needs workers: it must be `async`";
            return Err(settings.invalid("mode", why));
        }
        let group = match section.provider {
            BrokerProvider::Redis => &section.redis.consumer_group,
            _ => &section.group,
        };
        let mut broker = section.builder().engine(engine).group(group.as_str());
        if section.provider != BrokerProvider::Database {
            broker = broker.store(Arc::new(MemoryStore::default()));
        }
        Ok(Some(broker))
    }

    /// The engine of a broker, if it has one.
    fn engine_of(
        &self,
        config: &Config,
        section: &BrokerConfig,
        settings: &Settings,
    ) -> Result<Option<Arc<dyn Engine>>, ConfigError> {
        if let Some(name) = &section.engine {
            let named = config.engines().iter().find(|engine| engine.name() == name);
            return named.map(|engine| self.one(engine)).transpose();
        }
        let more = match section.provider {
            BrokerProvider::Nats => section.nats.engine(),
            BrokerProvider::Redis => section.redis.engine(),
            BrokerProvider::Memory | BrokerProvider::Database => return Ok(None),
        };
        let kind = section.provider.name();
        if !self.factories.contains_key(kind) {
            let fault = match kind {
                "nats" => ConfigFault::FeatureMissing("nats"),
                _ => ConfigFault::NoSuchEngine,
            };
            return Err(settings.wrong("provider", fault));
        }
        self.one(&settings.part(kind, &["host", "port", "consumer_group"], more)).map(Some)
    }

    fn one(&self, settings: &Settings) -> Result<Arc<dyn Engine>, ConfigError> {
        let kind = settings.type_name();
        let Some(factory) = self.factories.get(kind) else {
            let features = ["kafka", "kinesis", "mqtt", "nats", "postgres", "redis"];
            let feature = features.into_iter().find(|feature| *feature == kind);
            let fault = if let Some(feature) = feature {
                ConfigFault::FeatureMissing(feature)
            } else if kind == "custom" {
                ConfigFault::NoSuchEngine
            } else {
                let near = near(kind, self.types());
                ConfigFault::UnknownType { near, known: self.types().map(Box::from).collect() }
            };
            return Err(settings.wrong_type(fault));
        };
        let engine = factory(settings).map_err(|error| match error.downcast::<ConfigError>() {
            Ok(error) => *error,
            Err(error) => settings.wrong_engine(ConfigFault::Factory(error)),
        })?;
        match settings.common()?.compress_above {
            Some(above) => compressed(settings, engine, above),
            None => Ok(engine),
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("types", &self.factories.keys()).finish()
    }
}

#[cfg(feature = "compression")]
fn compressed(
    _: &Settings,
    engine: Arc<dyn Engine>,
    above: NonZeroU32,
) -> Result<Arc<dyn Engine>, ConfigError> {
    use crate::hosted::{Compressed, Compression};

    let above = usize::try_from(above.get()).unwrap_or(usize::MAX);
    Ok(Arc::new(Compressed::new(engine, Compression::above(above))))
}

#[cfg(not(feature = "compression"))]
fn compressed(
    settings: &Settings,
    _: Arc<dyn Engine>,
    _: NonZeroU32,
) -> Result<Arc<dyn Engine>, ConfigError> {
    Err(settings.wrong(super::types::COMPRESS_ABOVE, ConfigFault::FeatureMissing("compression")))
}

fn memory(settings: &Settings) -> Result<MemoryEngine, BoxError> {
    Ok(settings.memory()?.builder().name(settings.name()).build())
}

#[cfg(all(feature = "kafka", not(tickbus_loom)))]
fn kafka(settings: &Settings) -> Result<crate::hosted::engines::Kafka, BoxError> {
    use super::types::{KafkaProtocol, SaslMechanism};
    use crate::hosted::engines::kafka::{Kafka, Mechanism};

    let it = settings.kafka()?;
    let mut kafka = Kafka::new(it.brokers.join(",")).named(settings.name()).topic(it.topic);
    for topic in it.topics {
        kafka = kafka.topic_for(topic.pattern, topic.topic);
    }
    if let Some(prefix) = it.group_id {
        kafka = kafka.group_prefix(prefix);
    }
    if let Some(partitions) = it.partitions {
        kafka = kafka.partitions(partitions.get());
    }
    if let Some(replicas) = it.replicas {
        kafka = kafka.replicas(replicas.get());
    }
    kafka = kafka.provision(it.provision);
    let by = |mechanism| match mechanism {
        SaslMechanism::Plain => Mechanism::Plain,
        SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
    };
    let security = it.security;
    if let Some(sasl) = &it.sasl {
        kafka = kafka.login(by(sasl.mechanism), &*sasl.username, sasl.password.expose());
    } else if let (Some(mechanism), Some(user), Some(password)) =
        (security.sasl_mechanism, &security.sasl_username, &security.sasl_password)
    {
        kafka = kafka.login(by(mechanism), &**user, password.expose());
    }
    if it.tls.enabled
        || matches!(security.protocol, Some(KafkaProtocol::Ssl | KafkaProtocol::SaslSsl))
    {
        kafka = kafka.tls();
    }
    if let Some(file) = it.tls.ca_file {
        kafka = kafka.ca_file(file);
    }
    if let (Some(certificate), Some(key)) = (it.tls.cert_file, it.tls.key_file) {
        kafka = kafka.client_certificate(certificate, key);
    }
    kafka = kafka.session_timeout(it.session_timeout).commit_interval(it.commit_interval);
    Ok(kafka.timeout(it.timeout).heartbeat(it.heartbeat))
}

#[cfg(all(feature = "kinesis", not(tickbus_loom)))]
fn kinesis(settings: &Settings) -> Result<crate::hosted::engines::Kinesis, BoxError> {
    use super::types::LeaseStoreKind;
    use crate::hosted::engines::kinesis::{Kinesis, MemoryLeases};

    let it = settings.kinesis()?;
    let mut kinesis = Kinesis::new(&*it.stream_name).named(settings.name()).region(&*it.region);
    if let Some(url) = &it.endpoint {
        kinesis = kinesis.endpoint(url.expose());
    }
    if let (Some(id), Some(secret)) = (&it.access_key_id, &it.secret_access_key) {
        kinesis = kinesis.credentials(id, secret.expose());
    }
    if let Some(token) = &it.session_token {
        kinesis = kinesis.session_token(token.expose());
    }
    if let Some(file) = &it.ca_file {
        kinesis = kinesis.ca_file(file);
    }
    kinesis = match it.leases {
        LeaseStoreKind::None => kinesis,
        LeaseStoreKind::Memory => kinesis.lease_store(MemoryLeases::new()),
        LeaseStoreKind::Postgres => postgres_leases(settings, &it, kinesis)?,
    };
    kinesis = kinesis.shards(it.shard_count.get()).provision(it.provision);
    kinesis = kinesis.poll_interval(it.poll_interval).shard_lease(it.shard_lease);
    Ok(kinesis.checkpoint_interval(it.checkpoint_interval).timeout(it.timeout))
}

#[cfg(all(feature = "kinesis", feature = "postgres", not(tickbus_loom)))]
fn postgres_leases(
    _: &Settings,
    it: &super::types::KinesisSettings,
    kinesis: crate::hosted::engines::Kinesis,
) -> Result<crate::hosted::engines::Kinesis, BoxError> {
    use crate::hosted::engines::postgres::{Database, PostgresLeases};

    let url = it.leases_url.as_ref().map_or("", |url| url.expose());
    let database = Database::new(url).timeout(it.timeout).provision(it.provision);
    Ok(kinesis.lease_store(PostgresLeases::new(&database, &it.leases_table)?))
}

#[cfg(all(feature = "kinesis", not(feature = "postgres"), not(tickbus_loom)))]
fn postgres_leases(
    settings: &Settings,
    _: &super::types::KinesisSettings,
    _: crate::hosted::engines::Kinesis,
) -> Result<crate::hosted::engines::Kinesis, BoxError> {
    Err(settings.wrong("leases", ConfigFault::FeatureMissing("postgres")).into())
}

#[cfg(all(feature = "mqtt", not(tickbus_loom)))]
fn mqtt(settings: &Settings) -> Result<crate::hosted::engines::Mqtt, BoxError> {
    use crate::hosted::engines::mqtt::{Mqtt, Qos};

    let it = settings.mqtt()?;
    let mut mqtt = Mqtt::new(it.url.expose()).named(settings.name());
    if let Some(id) = it.client_id {
        mqtt = mqtt.client_id(id);
    }
    if let Some(prefix) = it.prefix {
        mqtt = mqtt.prefix(prefix);
    }
    if let Some(user) = it.username {
        mqtt = mqtt.login(user, it.password.as_ref().map_or("", |it| it.expose()));
    }
    if it.qos == 0 {
        mqtt = mqtt.qos(Qos::AtMostOnce);
    }
    if it.tls.enabled {
        mqtt = mqtt.tls();
    }
    if let Some(file) = it.tls.ca_file {
        mqtt = mqtt.ca_file(file);
    }
    if let (Some(certificate), Some(key)) = (it.tls.cert_file, it.tls.key_file) {
        mqtt = mqtt.client_certificate(certificate, key);
    }
    mqtt = mqtt.keep_alive(it.keep_alive).session_expiry(it.session_expiry);
    Ok(mqtt.timeout(it.timeout))
}

#[cfg(all(feature = "nats", not(tickbus_loom)))]
fn nats(settings: &Settings) -> Result<crate::hosted::engines::Nats, BoxError> {
    use super::types::Storage;
    use crate::hosted::engines::nats::Nats;

    let it = settings.nats()?;
    let mut nats = Nats::new(it.url.expose()).named(settings.name());
    if let (Some(user), Some(password)) = (it.username, &it.password) {
        nats = nats.password(user, password.expose());
    }
    if let Some(token) = &it.token {
        nats = nats.token(token.expose());
    }
    if let Some(seed) = &it.nkey {
        nats = nats.nkey(seed.expose());
    }
    if let Some(file) = it.credentials_file {
        nats = nats.credentials_file(file);
    }
    if let Some(stream) = it.stream_name {
        nats = nats.stream(stream).subjects(it.subjects).provision(it.provision);
        nats = nats.replicas(it.replicas.get() as usize).max_age(it.max_age);
        if it.storage == Storage::Memory {
            nats = nats.in_memory();
        }
    }
    if it.tls.enabled {
        nats = nats.tls();
    }
    if let Some(file) = it.tls.ca_file {
        nats = nats.ca_file(file);
    }
    if let (Some(certificate), Some(key)) = (it.tls.cert_file, it.tls.key_file) {
        nats = nats.client_certificate(certificate, key);
    }
    Ok(nats.timeout(it.timeout).heartbeat(it.heartbeat))
}

#[cfg(all(feature = "postgres", not(tickbus_loom)))]
fn postgres(settings: &Settings) -> Result<crate::hosted::engines::Postgres, BoxError> {
    use crate::hosted::engines::Postgres;

    let it = settings.postgres()?;
    let mut postgres = Postgres::new(it.url.expose()).named(settings.name()).log(it.table_name);
    if let Some(user) = it.username {
        postgres = postgres.login(user, it.password.as_ref().map_or("", |it| it.expose()));
    }
    postgres = postgres.provision(it.provision);
    if it.tls.enabled {
        postgres = postgres.tls();
    }
    if let Some(file) = it.tls.ca_file {
        postgres = postgres.ca_file(file);
    }
    if let (Some(certificate), Some(key)) = (it.tls.cert_file, it.tls.key_file) {
        postgres = postgres.client_certificate(certificate, key);
    }
    postgres = postgres.lanes(it.lanes.get()).segment(it.segment_events.get());
    postgres = postgres.max_events(it.max_events).max_age(it.max_age);
    postgres = postgres.dead_letters(it.max_dead_letters).max_attempts(it.max_attempts);
    postgres = postgres.pool_size(it.pool_size.get() as usize);
    Ok(postgres.poll(it.poll_interval).timeout(it.timeout))
}

#[cfg(all(feature = "redis", not(tickbus_loom)))]
fn redis(settings: &Settings) -> Result<crate::hosted::engines::Redis, BoxError> {
    use crate::hosted::engines::redis::Redis;

    let it = settings.redis()?;
    let mut redis = Redis::new(it.url.expose()).named(settings.name());
    if let Some(db) = it.db {
        redis = redis.db(db);
    }
    redis = match (it.username, &it.password) {
        (Some(user), Some(password)) => redis.login(user, password.expose()),
        (None, Some(password)) => redis.password(password.expose()),
        (_, None) => redis,
    };
    if let Some(stream) = it.stream_name {
        redis = redis.stream(stream).provision(it.provision);
        redis = redis.max_len(it.max_len).dead_letters(it.max_dead_letters);
        redis = redis.deduplicate(it.deduplication_window);
    }
    if let Some(prefix) = it.prefix {
        redis = redis.prefix(prefix);
    }
    if it.tls.enabled {
        redis = redis.tls();
    }
    if let Some(file) = it.tls.ca_file {
        redis = redis.ca_file(file);
    }
    if let (Some(certificate), Some(key)) = (it.tls.cert_file, it.tls.key_file) {
        redis = redis.client_certificate(certificate, key);
    }
    let size = it.pool_size.get() as usize;
    Ok(redis.pool_size(size).timeout(it.timeout).heartbeat(it.heartbeat))
}
