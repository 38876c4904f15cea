//! The text of a file as nodes that know their places.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::error::{ConfigError, ConfigFault, Place};
use super::node::{Entry, Node, Value};

/// Parses YAML, and so JSON.
pub(super) fn parse(text: &str) -> Result<Node, ConfigError> {
    let options = serde_saphyr::options! {
        // No file of a person comes near these.
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 50_000,
            max_events: 200_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 50_000 },
        // Ours says where the first one is.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => node(raw),
        Err(error) => Err(syntax(&error)),
    }
}

/// Says what the parser says where that is about the form. What quotes the text stays behind.
fn syntax(error: &serde_saphyr::Error) -> ConfigError {
    use serde_saphyr::Error as E;
    let error = error.without_snippet();
    let what: Box<str> = match error {
        E::ExternalMessage { msg, .. } => format!("it is not YAML: {msg}").into(),
        E::MultipleDocuments { .. } => "the file has several documents: keep one".into(),
        E::UnknownAnchor { .. } => {
            "the alias has no anchor: quote a text that begins with `*`".into()
        }
        E::UnsupportedTag { .. } => {
            "the tag is not known: quote a text that begins with `!`".into()
        }
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. } => "the file is too large, or too deep".into(),
        _ => "it is not YAML".into(),
    };
    ConfigError::new(ConfigFault::Syntax(what), error.location().and_then(place))
}

fn place(location: Location) -> Option<Place> {
    let (line, column) = (location.line(), location.column());
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (line > 0).then(|| Place { line: narrow(line), column: narrow(column) })
}

enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

/// Where the value is written: also where an alias or a merge brings it from.
fn node(raw: Spanned<Raw>) -> Result<Node, ConfigError> {
    let at = place(raw.defined);
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(list) => Value::List(list.into_iter().map(node).collect::<Result<_, _>>()?),
        Raw::Map(pairs) => {
            let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                let at = place(key.defined);
                let Raw::Scalar(Value::Text(key)) = key.value else {
                    let what = "a key must be a text: write it in quotes";
                    return Err(ConfigError::new(ConfigFault::Syntax(what.into()), at));
                };
                if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                    let fault = ConfigFault::DuplicateKey { first: first.place };
                    return Err(ConfigError::new(fault, at).under_key(&key));
                }
                let node = node(value).map_err(|error| error.under_key(&key))?;
                entries.push(Entry { key, place: at, node });
            }
            Value::Map(entries)
        }
    };
    Ok(Node::new(value, at))
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyRaw)
    }
}

struct AnyRaw;

impl<'de> Visitor<'de> for AnyRaw {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Int(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Int(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(i128::try_from(value).map_or(Value::Float(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = access.next_element()? {
            list.push(one);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}
