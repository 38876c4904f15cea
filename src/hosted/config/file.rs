//! The sections and forms of a file, and what is wrong with them as a whole: [`Config`].

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny};

use super::broker::{BrokerConfig, BrokerProvider};
use super::de::NodeDeserializer;
use super::error::{ConfigError, ConfigFault, Place, Step};
use super::near::near;
use super::node::{Entry, Node, Value};
use super::settings::Settings;
use super::span;
use super::types::DeliveryMode;
use crate::hosted::engine::Level;
use crate::hosted::start::OnStart;
use crate::hosted::stats::ALL;
use crate::subject::{PrefixPattern, Subject};

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
    /// The same, with its places.
    broker_settings: Option<Settings>,
    warnings: Vec<Warning>,
    file: Option<Arc<str>>,
}

/// A rule of a configuration: subjects, and the engine that carries them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleConfig {
    /// What the subjects match, in the dialect of [`PrefixPattern`]: `user.*` is every subject that
    /// begins with `user.`, and `*` is every subject.
    pub topics: Vec<Box<str>>,
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The least that a publish must have achieved.
    pub require: Option<Level>,
    /// Where the rule is.
    pub place: Option<Place>,
    /// The path of `require`.
    pub(super) path: Vec<Step>,
    /// Where `require` is.
    pub(super) require_at: Option<Place>,
}

impl RuleConfig {
    /// Returns whether the rule decides for `subject`, if no earlier one does.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        let mut topics = self.topics.iter().filter_map(|topic| PrefixPattern::new(topic).ok());
        topics.any(|topic| topic.matches(subject))
    }
}

impl RuleConfig {
    /// The error of a rule that requires more than its engine does.
    pub(super) fn too_high(&self, reaches: Level, file: Option<&Arc<str>>) -> ConfigError {
        let why = alloc::format!("the engine `{}` reaches `{reaches}` at most", self.engine);
        let error = ConfigError::new(ConfigFault::Invalid(why.into()), self.require_at);
        let path = self.path.iter().rev();
        path.fold(error, |error, step| error.under(step.clone())).in_file(file)
    }
}

/// Something in a configuration that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The file.
    pub file: Option<Arc<str>>,
    /// Where it is.
    pub place: Option<Place>,
    /// The path of the key.
    pub key: Box<str>,
    /// What is wrong.
    pub what: Box<str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "`{}`: {}", self.key, self.what)
    }
}

/// A file with sections.
#[derive(serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    /// The engines and the rules.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Bus>"))]
    #[expect(dead_code, reason = "checked on its own")]
    eventbus: Option<IgnoredAny>,
    /// The broker.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<BrokerConfig>"))]
    #[expect(dead_code, reason = "checked on its own")]
    event_broker: Option<IgnoredAny>,
}

/// The section `eventbus`, in either form.
#[derive(serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct Bus {
    /// The type of the only engine, which is called `default`.
    engine: Option<String>,
    /// How many events wait for the workers of a handler, and how many of a topic the history keeps.
    max_event_queue_size: Option<NonZeroU32>,
    /// How many events fit into the buffer of a live subscription that does not say how many.
    default_event_buffer_size: Option<NonZeroU32>,
    /// How many workers a handler has that does not say how many.
    worker_count: Option<NonZeroU32>,
    /// How old an event may be when its turn comes. 0 is without a limit.
    #[serde(rename = "eventTTL", deserialize_with = "span::optional")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    event_ttl: Option<Duration>,
    /// How many days the history keeps an event. 0 is without a history.
    retention_days: Option<u16>,
    /// What a publish does when the buffer of a subscription is full.
    delivery_mode: Option<DeliveryMode>,
    /// How long a publish waits at most with `deliveryMode: timeout`. 0 drops at once.
    #[serde(deserialize_with = "span::optional")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "span::schema"))]
    publish_block_timeout: Option<Duration>,
    /// Whether each publish begins with another subscription.
    rotate_subscriber_order: Option<bool>,
    /// The server of the only engine.
    #[serde(rename = "externalBrokerURL")]
    external_broker_url: Option<super::secret::ServerUrl>,
    /// The name to log in with.
    external_broker_user: Option<String>,
    /// The password to log in with.
    external_broker_password: Option<super::secret::Secret>,
    /// The engines, by name.
    engines: Option<Vec<Engine>>,
    /// The rules: the first one that matches a subject decides.
    routing: Vec<Rule>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Engine {
    name: Box<str>,
    #[serde(rename = "type")]
    kind: Box<str>,
    #[serde(default, rename = "onStart")]
    on_start: StartMode,
    #[serde(default)]
    #[expect(dead_code, reason = "checked by its type")]
    config: IgnoredAny,
}

/// `fail`, `background`, or how long to wait.
#[derive(Default)]
pub(super) struct StartMode(OnStart);

impl<'de> Deserialize<'de> for StartMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mode;
        impl serde::de::Visitor<'_> for Mode {
            type Value = OnStart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`fail`, `background`, or how long to wait, as `30s`")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<OnStart, E> {
                span::Span.visit_u64(seconds).map(OnStart::Wait)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OnStart, E> {
                match text {
                    "fail" => Ok(OnStart::Fail),
                    "background" => Ok(OnStart::Background),
                    text => match span::Span.visit_str::<E>(text) {
                        Ok(wait) => Ok(OnStart::Wait(wait)),
                        Err(_) => Err(E::invalid_value(serde::de::Unexpected::Str(""), &self)),
                    },
                }
            }
        }
        deserializer.deserialize_any(Mode).map(Self)
    }
}

#[derive(serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The subjects: exact ones, or with a `*` at the end for all that begin so. `*` is all.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    topics: Vec<Box<str>>,
    /// The name of the engine that carries them.
    engine: Box<str>,
    /// The least that a publish must have achieved.
    #[serde(default)]
    require: Option<Required>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Required {
    Buffered,
    Accepted,
    Stored,
}

impl From<Required> for Level {
    fn from(required: Required) -> Self {
        match required {
            Required::Buffered => Self::Buffered,
            Required::Accepted => Self::Accepted,
            Required::Stored => Self::Stored,
        }
    }
}

/// The keys that the form with one engine has, and the other does not.
const FLAT: [&str; 12] = [
    "engine",
    "maxEventQueueSize",
    "defaultEventBufferSize",
    "workerCount",
    "eventTTL",
    "retentionDays",
    "deliveryMode",
    "publishBlockTimeout",
    "rotateSubscriberOrder",
    "externalBrokerURL",
    "externalBrokerUser",
    "externalBrokerPassword",
];

/// Those of them that only an engine in memory has.
const MEMORY_ONLY: [&str; 5] =
    ["eventTTL", "retentionDays", "deliveryMode", "publishBlockTimeout", "rotateSubscriberOrder"];

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

fn warning(
    key: &[Step],
    place: Option<Place>,
    what: impl Into<Box<str>>,
    file: Option<&Arc<str>>,
) -> Warning {
    // The path in an error, which writes it.
    let error = ConfigError::new(ConfigFault::MissingKey, place);
    let error = key.iter().rev().fold(error, |error, step| error.under(step.clone()));
    Warning { file: file.cloned(), place, key: error.key().into(), what: what.into() }
}

fn unknown(entry: &Entry, known: &[&str]) -> ConfigError {
    let fault = ConfigFault::UnknownKey {
        near: near(&entry.key, known.iter().copied()),
        known: known.iter().map(|key| (*key).into()).collect(),
    };
    ConfigError::new(fault, entry.place).under_key(&entry.key)
}

/// The keys of the form with one engine become the `config` of an engine named `default`.
fn one_engine(
    node: &Node,
    bus: &Bus,
    base: &[Step],
    file: Option<&Arc<str>>,
    warnings: &mut Vec<Warning>,
) -> Result<Settings, ConfigError> {
    let kind = bus.engine.as_deref().unwrap_or("memory");
    let mut entries = Vec::new();
    for entry in node.entries().unwrap_or_default() {
        let server = entry.key.strip_prefix("externalBroker");
        match (&*entry.key, server) {
            ("engine" | "routing", _) => {}
            // Empty is unset: the documented form has it so.
            (_, Some(_)) if entry.node.text() == Some("") => {}
            (key, Some(_)) if kind == "memory" => {
                let why = "an engine in memory has no server: remove the key, or set `engine`";
                let error = ConfigError::new(ConfigFault::Invalid(why.into()), entry.place);
                return Err(error.under_key(key));
            }
            (_, Some(what)) => entries.push(server_entry(kind, what, entry)),
            (key, None) if kind != "memory" && MEMORY_ONLY.contains(&key) => {
                let key = [base, &[Step::Key(key.into())]].concat();
                let what = alloc::format!("it has no effect on an engine of the type `{kind}`");
                warnings.push(warning(&key, entry.place, what, file));
            }
            _ => entries.push(entry.clone()),
        }
    }
    join_sasl(&mut entries);
    let config = Node::new(Value::Map(entries), node.place);
    let engine = node.get("engine").and_then(|engine| engine.place);
    Ok(Settings::new("default", kind, config, base.to_vec(), node.place, file, 0).of(engine))
}

/// One key of the server, by the name that the type of engine has for it.
fn server_entry(kind: &str, what: &str, entry: &Entry) -> Entry {
    let place = entry.node.place;
    let text = |text: &str| Node::new(Value::Text(text.into()), place);
    let key = match (kind, what) {
        ("kafka", "URL") => {
            let brokers = entry.node.text().unwrap_or_default().split(',');
            let brokers = brokers.map(|broker| text(broker.trim())).collect();
            let node = Node::new(Value::List(brokers), place);
            return Entry { key: "brokers".into(), place: entry.place, node };
        }
        ("kafka", _) => "sasl",
        ("kinesis", "URL") => "endpoint",
        ("kinesis", "User") => "accessKeyId",
        ("kinesis", _) => "secretAccessKey",
        (_, "URL") => "url",
        (_, "User") => "username",
        _ => "password",
    };
    let node = if key == "sasl" {
        let name = if what == "User" { "username" } else { "password" };
        let pair = Entry { key: name.into(), place: entry.place, node: entry.node.clone() };
        let mechanism = Entry { key: "mechanism".into(), place: entry.place, node: text("PLAIN") };
        Node::new(Value::Map(alloc::vec![mechanism, pair]), place)
    } else {
        entry.node.clone()
    };
    Entry { key: key.into(), place: entry.place, node }
}

/// A name and a password make one login.
fn join_sasl(entries: &mut Vec<Entry>) {
    let Some(first) = entries.iter().position(|entry| &*entry.key == "sasl") else { return };
    let second = entries.iter().rposition(|entry| &*entry.key == "sasl");
    if let Some(second) = second.filter(|second| *second > first)
        && let Value::Map(mut pairs) = entries.remove(second).node.value
        && let Value::Map(login) = &mut entries[first].node.value
    {
        login.extend(pairs.pop());
    }
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

fn rules(
    node: &Node,
    rules: &[Rule],
    engines: &[Settings],
    base: &[Step],
) -> Result<Vec<RuleConfig>, ConfigError> {
    let list = node.get("routing");
    let mut done: Vec<RuleConfig> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let node = list.and_then(|list| list.index(at));
        let of = |key: &str| node.and_then(|node| node.get(key));
        let place = node.and_then(|node| node.place);
        let here = |error: ConfigError| error.at(place).under(Step::Index(at)).under_key("routing");
        if !engines.iter().any(|engine| engine.name() == &*rule.engine) {
            let names = || engines.iter().map(Settings::name);
            let fault = ConfigFault::UnknownEngine {
                near: near(&rule.engine, names()),
                known: names().map(Box::from).collect(),
            };
            let place = of("engine").and_then(|engine| engine.place);
            return Err(here(ConfigError::new(fault, place).under_key("engine")));
        }
        if rule.topics.is_empty() {
            let why = "a rule needs at least one topic".into();
            let place = of("topics").and_then(|topics| topics.place);
            let error = ConfigError::new(ConfigFault::Invalid(why), place);
            return Err(here(error.under_key("topics")));
        }
        for (which, topic) in rule.topics.iter().enumerate() {
            if let Err(wrong) = PrefixPattern::new(topic) {
                let place = of("topics").and_then(|topics| topics.index(which));
                let place = place.and_then(|topic| topic.place);
                let error = ConfigError::new(ConfigFault::Topic(wrong.fault()), place);
                return Err(here(error.under(Step::Index(which)).under_key("topics")));
            }
        }
        let earlier = |topic: &str| {
            done.iter().position(|rule| rule.topics.iter().any(|wide| covers(wide, topic)))
        };
        let covered: Vec<_> = rule.topics.iter().map(|topic| earlier(topic)).collect();
        if let Some(by) = covered.iter().copied().collect::<Option<BTreeSet<_>>>() {
            let earlier = by.first().and_then(|first| done[*first].place);
            // You count rules from 1.
            let by = by.into_iter().map(|rule| rule + 1).collect();
            let fault = ConfigFault::UnreachableRule { earlier, rule: at + 1, by };
            return Err(here(ConfigError::new(fault, place)));
        }
        done.push(RuleConfig {
            topics: rule.topics.clone(),
            engine: (&*rule.engine).into(),
            require: rule.require.map(Level::from),
            place,
            path: [
                base,
                &[Step::Key("routing".into()), Step::Index(at), Step::Key("require".into())],
            ]
            .concat(),
            require_at: of("require").and_then(|require| require.place),
        });
    }
    Ok(done)
}

/// Whether each subject that `narrow` matches is one that `wide` matches.
fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_suffix('*') {
        Some(prefix) => narrow.strip_suffix('*').unwrap_or(narrow).starts_with(prefix),
        None => wide == narrow,
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = Node::deserialize(deserializer)?;
        Self::read(&root, None, false).map_err(D::Error::custom)
    }
}
