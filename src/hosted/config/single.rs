//! The form with one engine: its keys become the `config` of an engine named `default`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::error::{ConfigError, ConfigFault, Step};
use super::node::{Entry, Node, Value};
use super::sections::Bus;
use super::settings::Settings;
use super::warning::{Warning, warning};

/// The keys that the form with one engine has, and the other does not.
pub(super) const FLAT: [&str; 12] = [
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

/// The keys of the form with one engine become the `config` of an engine named `default`.
pub(super) fn one_engine(
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
