//! Which engine is built for which type: [`Registry`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::error::{ConfigError, ConfigFault};
use super::file::Config;
use super::near::near;
use super::settings::Settings;
use crate::hosted::broker::BrokerBuilder;
use crate::hosted::engine::{BoxError, Engine, Health};
use crate::hosted::memory::MemoryEngine;
use crate::hosted::router::{Router, RouterBuilder, Rule};

type Factory = Arc<dyn Fn(&Settings) -> Result<Arc<dyn Engine>, BoxError> + Send + Sync>;

/// The types that a file may name, and how an engine of each is built.
///
/// It is a value: pass it to where you build. [`new`](Self::new) has `memory`, and `nats` with the
/// feature of that name.
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

/// Types whose keys are known, and whose engines this version does not have.
const WITHOUT_ENGINE: [&str; 6] = ["redis", "kafka", "kinesis", "postgres", "mqtt", "custom"];

impl Registry {
    /// Returns a registry with the engines of this build.
    #[must_use]
    pub fn new() -> Self {
        let registry = Self { factories: BTreeMap::new() };
        let registry = registry.register("memory", memory);
        #[cfg(all(feature = "nats", not(tickbus_loom)))]
        let registry = registry.register("nats", nats);
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

    /// Makes the builder of the broker of the section `event_broker`. `None` without the section, or
    /// if it is not `enabled`.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with the place if this build does not have the provider. For a store of
    /// your own, take [`BrokerConfig::builder`](super::BrokerConfig::builder).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// use tickbus::hosted::config::{Config, Registry};
    ///
    /// let config = Config::from_yaml("event_broker: { enabled: true, instance_id: game-1 }")?;
    /// let broker = Registry::new().broker(&config)?.expect("it is enabled").build()?;
    /// assert_eq!(&*broker.stats().instance_id, "game-1");
    ///
    /// let config = Config::from_yaml("event_broker: { enabled: true, provider: redis }")?;
    /// assert_eq!(
    ///     Registry::new().broker(&config).unwrap_err().to_string(),
    ///     "configuration:1:42: `event_broker.provider`: \
    ///      this build of tickbus has no broker with this provider: possible is `memory`",
    /// );
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn broker(&self, config: &Config) -> Result<Option<BrokerBuilder>, ConfigError> {
        let Some(section) = config.broker().filter(|section| section.enabled) else {
            return Ok(None);
        };
        if !section.provider.is_built_in() {
            return Err(config.wrong_provider());
        }
        Ok(Some(section.builder()))
    }

    fn one(&self, settings: &Settings) -> Result<Arc<dyn Engine>, ConfigError> {
        let kind = settings.type_name();
        let Some(factory) = self.factories.get(kind) else {
            let fault = if kind == "nats" {
                ConfigFault::FeatureMissing("nats")
            } else if WITHOUT_ENGINE.contains(&kind) {
                ConfigFault::NoSuchEngine
            } else {
                let near = near(kind, self.types());
                ConfigFault::UnknownType { near, known: self.types().map(Box::from).collect() }
            };
            return Err(settings.wrong_type(fault));
        };
        factory(settings).map_err(|error| match error.downcast::<ConfigError>() {
            Ok(error) => *error,
            Err(error) => settings.wrong_engine(ConfigFault::Factory(error)),
        })
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

fn memory(settings: &Settings) -> Result<MemoryEngine, BoxError> {
    Ok(settings.memory()?.builder().name(settings.name()).build())
}

#[cfg(all(feature = "nats", not(tickbus_loom)))]
fn nats(settings: &Settings) -> Result<crate::hosted::engines::Nats, BoxError> {
    use super::types::ProvisionMode;
    use crate::hosted::engines::nats::{Nats, Provision};

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
        nats = nats.stream(stream).subjects(it.subjects).provision(match it.provision {
            ProvisionMode::Never => Provision::Never,
            ProvisionMode::Check => Provision::Check,
            ProvisionMode::Create => Provision::Create,
        });
        nats = nats.replicas(it.replicas.get() as usize).max_age(it.max_age);
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
