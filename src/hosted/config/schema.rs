//! The JSON schema of a configuration.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::file::Config;
use super::sections::{Bus, Engine, Sections};
use super::types::{
    CustomSettings, KafkaSettings, KinesisSettings, MemorySettings, MqttSettings, NatsSettings,
    PostgresSettings, RedisSettings, TlsFiles, TlsSettings,
};

impl Config {
    /// Returns the JSON schema (draft 2020-12) of the file, for editors and for checks before a
    /// start.
    ///
    /// It knows each key of each type of this crate. The `config` of a registered type may have any
    /// keys. A variable may stand for a number or a truth value.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::hosted::config::Config;
    ///
    /// let schema = Config::schema();
    /// let rule = &schema["$defs"]["Rule"];
    /// assert_eq!(rule["required"], serde_json::json!(["topics", "engine"]));
    /// assert_eq!(rule["additionalProperties"], false);
    /// ```
    #[must_use]
    pub fn schema() -> Value {
        let settings = SchemaSettings::draft2020_12().with_transform(AsWritten);
        let mut generator = SchemaGenerator::new(settings);
        let (sections, bus) =
            (generator.subschema_for::<Sections>(), generator.subschema_for::<Bus>());
        let mut root = json_schema!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of tickbus",
            // Without a section, the file is that of the engines.
            "if": {
                "anyOf": [{ "required": ["eventbus"] }, { "required": ["event_broker"] }],
            },
            "then": sections,
            "else": bus,
        });
        let mut definitions: serde_json::Map<_, _> = generator.take_definitions(false);
        for definition in definitions.values_mut() {
            if let Ok(schema) = definition.try_into() {
                AsWritten.transform(schema);
            }
        }
        root.insert("$defs".into(), definitions.into());
        root.into()
    }
}

/// Makes of a schema of types one of a file: a variable may stand for what is not any text, nothing
/// is not a value, and a span of time is a number of seconds.
#[derive(Clone, Debug)]
struct AsWritten;

impl Transform for AsWritten {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(schema) = schema.as_object_mut() else { return };
        without_null(schema);
        let variable = json!({ "type": "string", "pattern": r"\$\{" });
        if let Some(Value::Array(mut named)) = schema.remove("oneOf") {
            named.push(variable);
            schema.insert("anyOf".into(), named.into());
        } else if schema.contains_key("enum") || schema.get("type").is_some_and(is_other_scalar) {
            let about = ["description", "default"].map(|key| (key, schema.remove(key)));
            let plain = core::mem::take(schema);
            schema.insert("anyOf".into(), json!([plain, variable]));
            schema.extend(about.into_iter().filter_map(|(key, value)| Some((key.into(), value?))));
        }
    }
}

fn is_other_scalar(kind: &Value) -> bool {
    matches!(kind.as_str(), Some("integer" | "number" | "boolean"))
}

/// What is unset is left out. Only a mapping may be nothing.
fn without_null(schema: &mut serde_json::Map<String, Value>) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(seconds) = schema.get("default").and_then(|default| default.get("secs")).cloned() {
        schema.insert("default".into(), seconds);
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("type")
        && !kinds.contains(&json!("object"))
    {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &**kinds {
            let kind = kind.clone();
            schema.insert("type".into(), kind);
        }
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|one| one["type"] != "null");
    }
}

impl JsonSchema for Engine {
    fn schema_name() -> Cow<'static, str> {
        "Engine".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types = [
            ("memory", generator.subschema_for::<MemorySettings>()),
            ("nats", generator.subschema_for::<NatsSettings>()),
            ("redis", generator.subschema_for::<RedisSettings>()),
            ("kafka", generator.subschema_for::<KafkaSettings>()),
            ("kinesis", generator.subschema_for::<KinesisSettings>()),
            ("postgres", generator.subschema_for::<PostgresSettings>()),
            ("mqtt", generator.subschema_for::<MqttSettings>()),
            ("custom", generator.subschema_for::<CustomSettings>()),
        ];
        let of_type: Vec<Value> = types
            .into_iter()
            .map(|(kind, config)| {
                json!({
                    "if": { "properties": { "type": { "pattern": alloc::format!("^{kind}$") } } },
                    "then": { "properties": { "config": config } },
                })
            })
            .collect();
        json_schema!({
            "type": "object",
            "properties": {
                "name": {
                    "type": "string",
                    "minLength": 1,
                    "description": "The name of the engine, for rules, errors and metrics.",
                },
                "type": {
                    "type": "string",
                    "description": "The type of the engine: one of this crate, or a registered one.",
                },
                "onStart": {
                    "type": ["string", "integer"],
                    "minimum": 0,
                    "description": "What a start does while the engine cannot be reached: \
                                    `fail` (the default), `background`, or how long to wait.",
                },
                "config": {
                    "type": ["object", "null"],
                    "description": "What engines of this type are set up with.",
                },
            },
            "required": ["name", "type"],
            "additionalProperties": false,
            "allOf": of_type,
        })
    }
}

impl JsonSchema for TlsSettings {
    fn schema_name() -> Cow<'static, str> {
        "Tls".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<TlsFiles>()] })
    }
}
