//! A configuration as a whole: [`Config`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::broker::{BrokerConfig, BrokerProvider};
use super::de::NodeDeserializer;
use super::error::{ConfigError, ConfigFault, Step};
use super::near::near;
use super::node::{Entry, Node, Value};
use super::rules::{RuleConfig, rules};
use super::sections::{Bus, Engine, Sections};
use super::settings::Settings;
use super::single::{FLAT, one_engine};
use super::warning::{Warning, warning};
use crate::hosted::stats::ALL;
use crate::subject::Subject;

/// A configuration that was read and checked: engines, rules, and the section of a broker.
///
/// See [the module](crate::hosted::config) for the file.
///
/// It is `Deserialize`, so another format than YAML can bring it. Its errors then name the key, but
/// no place, and variables are left as they are.
#[derive(Clone, Debug)]
pub struct Config {
    engines: Vec<Settings>,
    rules: Vec<RuleConfig>,
    broker: Option<BrokerConfig>,
    /// `broker` as the file says it, with places for errors.
    broker_settings: Option<Settings>,
    warnings: Vec<Warning>,
    file: Option<Arc<str>>,
}

impl Config {
    /// Returns the engines, in the order of the file. The first carries what no rule matches.
    #[must_use]
    pub fn engines(&self) -> &[Settings] {
        &self.engines
    }

    /// Returns the rules. The first one that matches decides.
    #[must_use]
    pub fn rules(&self) -> &[RuleConfig] {
        &self.rules
    }

    /// Returns the section `event_broker`, if there is one.
    #[must_use]
    pub fn broker(&self) -> Option<&BrokerConfig> {
        self.broker.as_ref()
    }

    /// Returns the file: its path, or the name that you gave to the text.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    pub(super) const fn broker_settings(&self) -> Option<&Settings> {
        self.broker_settings.as_ref()
    }

    pub(super) const fn source(&self) -> Option<&Arc<str>> {
        self.file.as_ref()
    }

    /// Returns what has no effect, but is not an error: an engine that no rule names, a key of another
    /// type of engine.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the name of the engine that carries `subject`, or `None` without engines.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "yaml")] {
    /// use tickbus::Subject;
    /// use tickbus::hosted::config::Config;
    ///
    /// let config = Config::from_yaml("
    /// engines:
    ///   - { name: fast, type: memory }
    ///   - { name: slow, type: memory }
    /// routing:
    ///   - { topics: [report.*], engine: slow }
    /// ")?;
    /// assert_eq!(config.engine_for(Subject::from_static("report.daily.7")), Some("slow"));
    /// assert_eq!(config.engine_for(Subject::from_static("chat.7")), Some("fast"));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn engine_for(&self, subject: Subject<'_>) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.matches(subject));
        let first = || self.engines.first().map(Settings::name);
        rule.map(|rule| &*rule.engine).or_else(first)
    }

    /// Reads a file whose variables are replaced.
    pub(super) fn read(
        root: &Node,
        file: Option<&Arc<str>>,
        other_sections: bool,
    ) -> Result<Self, ConfigError> {
        let config = Self::sections(root, file, other_sections)
            .map_err(|error| error.at(root.place).in_file(file))?;
        config.engines.iter().try_for_each(Settings::check)?;
        Ok(config)
    }

    fn sections(
        root: &Node,
        file: Option<&Arc<str>>,
        other_sections: bool,
    ) -> Result<Self, ConfigError> {
        let Some(entries) = root.entries() else {
            let fault =
                ConfigFault::WrongType { expected: "a mapping".into(), found: "something else" };
            return Err(ConfigError::new(fault, root.place));
        };
        let (bus, broker) = (root.get("eventbus"), root.get("event_broker"));
        if entries.is_empty() || other_sections && bus.is_none() && broker.is_none() {
            return Err(ConfigError::new(ConfigFault::NoEngine, root.place));
        }
        if bus.is_none() && broker.is_none() {
            // A typing error in the name of a section is not one in that of a key.
            let names = ["eventbus", "event_broker"];
            let wrong = |entry: &&Entry| near(&entry.key, names).is_some();
            if let Some(entry) = entries.iter().find(wrong) {
                return Err(unknown(entry, &names));
            }
            return Self::bus(root, None, file);
        }
        if !other_sections {
            let _: Sections = Deserialize::deserialize(NodeDeserializer::new(root))?;
        }
        let none = Self {
            engines: Vec::new(),
            rules: Vec::new(),
            broker: None,
            broker_settings: None,
            warnings: Vec::new(),
            file: file.cloned(),
        };
        let mut config = match bus {
            Some(bus) => Self::bus(bus, Some("eventbus"), file)
                .map_err(|error| error.at(bus.place).under_key("eventbus"))?,
            None => none,
        };
        if let Some(broker) = broker {
            let section = BrokerConfig::deserialize(NodeDeserializer::new(broker));
            let section = section.map_err(|error| error.at(broker.place).under_key("event_broker"));
            let section = section?;
            let path = alloc::vec![Step::Key("event_broker".into())];
            let kind = section.provider.name();
            let node = broker.clone();
            let place = broker.place;
            let settings = Settings::new("event_broker", kind, node, path, place, file, 0);
            config.check_engine_of(&section, &settings)?;
            (config.broker, config.broker_settings) = (Some(section), Some(settings));
        }
        Ok(config)
    }

    /// Checks the engine that a broker names.
    fn check_engine_of(
        &self,
        broker: &BrokerConfig,
        settings: &Settings,
    ) -> Result<(), ConfigError> {
        let Some(name) = &broker.engine else { return Ok(()) };
        if matches!(broker.provider, BrokerProvider::Nats | BrokerProvider::Redis) {
            let why = "the provider has an engine of its own: remove one of the two";
            return Err(settings.invalid("engine", why));
        }
        let names = || self.engines.iter().map(Settings::name);
        if names().any(|it| it == name) {
            return Ok(());
        }
        let known = names().map(Box::from).collect();
        let fault = ConfigFault::UnknownEngine { near: near(name, names()), known };
        Err(settings.wrong("engine", fault))
    }

    fn bus(
        node: &Node,
        section: Option<&str>,
        file: Option<&Arc<str>>,
    ) -> Result<Self, ConfigError> {
        if node.entry("engines").is_some() {
            let entries = node.entries().unwrap_or_default();
            if let Some(flat) = entries.iter().find(|entry| FLAT.contains(&&*entry.key)) {
                let error = ConfigError::new(ConfigFault::MixedForms, flat.place);
                return Err(error.under_key(&flat.key));
            }
        }
        if let Some(engine) = node.get("engine")
            && let Value::List(_) | Value::Map(_) = &engine.value
        {
            let found = if matches!(engine.value, Value::Map(_)) { "a mapping" } else { "a list" };
            let expected =
                "the type of the only engine, as `memory`: did you mean `engines`, with a list?";
            let fault = ConfigFault::WrongType { expected: expected.into(), found };
            return Err(ConfigError::new(fault, engine.place).under_key("engine"));
        }
        let bus = Bus::deserialize(NodeDeserializer::new(node))?;
        let mut warnings = Vec::new();
        let base: Vec<Step> = section.into_iter().map(|key| Step::Key(key.into())).collect();
        let engines = match &bus.engines {
            None => alloc::vec![one_engine(node, &bus, &base, file, &mut warnings)?],
            Some(engines) => several_engines(node, engines, &base, file)?,
        };
        let rules = rules(node, &bus.routing, &engines, &base)?;
        let idle = engines.iter().enumerate().skip(1);
        for (at, engine) in
            idle.filter(|(_, engine)| !rules.iter().any(|rule| *rule.engine == *engine.name()))
        {
            let key = [&base[..], &[Step::Key("engines".into()), Step::Index(at)]].concat();
            let what = "no rule names this engine: it carries nothing";
            warnings.push(warning(&key, engine.place(), what, file));
        }
        let (broker, broker_settings, file) = (None, None, file.cloned());
        Ok(Self { engines, rules, broker, broker_settings, warnings, file })
    }
}

fn unknown(entry: &Entry, known: &[&str]) -> ConfigError {
    let fault = ConfigFault::UnknownKey {
        near: near(&entry.key, known.iter().copied()),
        known: known.iter().map(|key| (*key).into()).collect(),
    };
    ConfigError::new(fault, entry.place).under_key(&entry.key)
}

fn several_engines(
    node: &Node,
    engines: &[Engine],
    base: &[Step],
    file: Option<&Arc<str>>,
) -> Result<Vec<Settings>, ConfigError> {
    let list = node.get("engines");
    if engines.is_empty() {
        let place = list.and_then(|list| list.place);
        return Err(ConfigError::new(ConfigFault::NoEngine, place).under_key("engines"));
    }
    let mut done: Vec<Settings> = Vec::new();
    for (at, Engine { name, kind, on_start, .. }) in engines.iter().enumerate() {
        let node = list.and_then(|list| list.index(at));
        let name_at = node.and_then(|node| node.get("name")).and_then(|name| name.place);
        let wrong = |fault| {
            let error = ConfigError::new(fault, name_at).under_key("name");
            error.under(Step::Index(at)).under_key("engines")
        };
        if name.trim().is_empty() {
            return Err(wrong(ConfigFault::Invalid("a name must not be empty".into())));
        }
        if **name == *ALL {
            let why = "`_all` stands for all engines in statistics: use another name";
            return Err(wrong(ConfigFault::Invalid(why.into())));
        }
        if let Some(other) = done.iter().find(|other| other.name() == &**name) {
            return Err(wrong(ConfigFault::DuplicateEngine { first: other.place() }));
        }
        let config = node.and_then(|node| node.entry("config"));
        let place = node.and_then(|node| node.place);
        let kind_at = node.and_then(|node| node.get("type")).and_then(|kind| kind.place);
        let config = match config {
            Some(entry) => Node::new(entry.node.value.clone(), entry.node.place.or(entry.place)),
            None => Node::new(Value::Map(Vec::new()), place),
        };
        let steps = [Step::Key("engines".into()), Step::Index(at), Step::Key("config".into())];
        let path = [base, &steps].concat();
        let settings = Settings::new(name, kind, config, path, name_at.or(place), file, 1);
        done.push(settings.of(kind_at).starts(on_start.0));
    }
    Ok(done)
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = Node::deserialize(deserializer)?;
        Self::read(&root, None, false).map_err(D::Error::custom)
    }
}
