//! Nodes as types: what serde derives, with the key and the place in each error.

use alloc::boxed::Box;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, ConfigFault, Place, Step};
use super::near::near;
use super::node::{Entry, Node, Value};

/// Deserializes a node. A struct takes its own fields, and `skipped`, which it does not see.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    pub(super) node: &'a Node,
    pub(super) skipped: &'a [&'a str],
}

impl<'a> NodeDeserializer<'a> {
    pub(super) const fn new(node: &'a Node) -> Self {
        Self { node, skipped: &[] }
    }

    /// Gives an error the place of this node, and takes the value of a variable out of it.
    fn found<T>(self, result: Result<T, ConfigError>) -> Result<T, ConfigError> {
        result.map_err(|error| {
            let error = match &self.node.value {
                Value::Expanded(value) => error.without(value),
                _ => error,
            };
            error.at(self.node.place)
        })
    }

    /// What is expanded converts to a number.
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let result = match &self.node.value {
            Value::Int(number) => integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Expanded(text) => match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(number), _) => integer(number, visitor),
                (_, Ok(number)) => visitor.visit_f64(number),
                _ => Err(ConfigError::invalid_type(Unexpected::Str(""), &visitor)),
            },
            _ => return self.deserialize_any(visitor),
        };
        self.found(result)
    }
}

fn integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, ConfigError> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        Err(ConfigError::invalid_value(Unexpected::Other(""), &visitor))
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {
        $(
            fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
                self.number(visitor)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = ConfigError;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let result = match &self.node.value {
            Value::Null => Err(ConfigError::new(ConfigFault::NoValue, None)),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(number) => integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) | Value::Expanded(text) => visitor.visit_str(text),
            Value::List(list) => visitor.visit_seq(List { list, at: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries)),
        };
        self.found(result)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.node.value {
            Value::Expanded(text) => self.found(match &**text {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(ConfigError::invalid_type(Unexpected::Str(""), &visitor)),
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.node.value {
            // A key that is there says something: what is unset is left out.
            Value::Null => self.found(Err(ConfigError::new(ConfigFault::NoValue, None))),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.found(visitor.visit_newtype_struct(self))
    }

    /// Whatever the type says about unknown keys, they are errors.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let Some(entries) = self.node.entries() else { return self.deserialize_any(visitor) };
        let skipped = |key: &str| self.skipped.contains(&key);
        let known = |key: &str| fields.contains(&key) || skipped(key);
        if let Some(unknown) = entries.iter().find(|entry| !known(&entry.key)) {
            let all = || fields.iter().chain(self.skipped).copied();
            let fault = ConfigFault::UnknownKey {
                near: near(&unknown.key, all()),
                known: all().map(Box::from).collect(),
            };
            return Err(ConfigError::new(fault, unknown.place).under_key(&unknown.key));
        }
        // What the type names is its own.
        let entries = entries.iter().filter(|entry| fields.contains(&&*entry.key));
        self.found(visitor.visit_map(Fields { entries, value: None }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let result = match &self.node.value {
            Value::Text(text) | Value::Expanded(text) => {
                let text: StrDeserializer<'_, ConfigError> = (&**text).into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Map(entries) => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries::new(entries)))
            }
            _ => return self.deserialize_any(visitor),
        };
        self.found(result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

struct List<'a> {
    list: &'a [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        let Some(node) = self.list.get(self.at) else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        let one = seed.deserialize(NodeDeserializer::new(node));
        one.map(Some).map_err(|error| error.at(node.place).under(Step::Index(at)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.list.len() - self.at)
    }
}

/// Passes the entries on, one after the other.
struct Fields<'a, I> {
    entries: I,
    value: Option<&'a Entry>,
}

type Entries<'a> = Fields<'a, core::slice::Iter<'a, Entry>>;

impl<'a> Entries<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        Self { entries: entries.iter(), value: None }
    }
}

impl<'de, 'a, I: Iterator<Item = &'a Entry>> MapAccess<'de> for Fields<'a, I> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ConfigError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, ConfigError> = (&*entry.key).into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.at(entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ConfigError> {
        let Some(entry) = self.value.take() else {
            return Err(ConfigError::custom("a value was asked for before its key"));
        };
        let value = seed.deserialize(NodeDeserializer::new(&entry.node));
        let place: Option<Place> = entry.node.place.or(entry.place);
        value.map_err(|error| error.at(place).under_key(&entry.key))
    }
}
