//! Payloads as the text that stands in the JSON, also where serde has buffered it on the way.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::iter;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::value::RawValue;

/// Reads one JSON value, from `serde_json` or from what serde has buffered of it.
pub(crate) fn read<'de, D: Deserializer<'de>>(json: D) -> Result<Box<RawValue>, D::Error> {
    Deserialize::deserialize(Unbuffered(json))
}

/// A `RawValue` asks for a newtype of a name that only `serde_json` knows, which hands it a map
/// with the text. Everything else hands it the newtype itself.
struct Unbuffered<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Unbuffered<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Raw { name, visitor })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Raw<V> {
    name: &'static str,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Raw<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, text: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(text)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        let Self { name, visitor } = self;
        let mut json = String::new();
        value.deserialize_any(Writer { json: &mut json, raw: name })?;
        visitor.visit_map(MapDeserializer::new(iter::once((name, json))))
    }
}

/// What `serde_json` calls a number, where some crate of the program asks it to keep the digits.
const NUMBER: &str = "$serde_json::private::Number";

/// Writes what it visits as JSON, members in their order.
struct Writer<'a> {
    json: &'a mut String,
    /// The key of raw text, as a `RawValue` is written in other formats.
    raw: &'static str,
}

impl Writer<'_> {
    fn again(&mut self) -> Writer<'_> {
        Writer { json: self.json, raw: self.raw }
    }

    fn push<E: Error>(self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), E> {
        self.json.push_str(&serde_json::to_string(value).map_err(E::custom)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<(), E> {
            self.push(&value)
        })*
    };
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    scalars! {
        visit_bool: bool,
        visit_i64: i64,
        visit_i128: i128,
        visit_u64: u64,
        visit_u128: u128,
        visit_str: &str,
        visit_bytes: &[u8],
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if value.is_finite() { self.push(&value) } else { Err(E::custom("not a number in JSON")) }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.json.push_str("null");
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.json.push('[');
        let mut divider = None;
        loop {
            let end = self.json.len();
            self.json.extend(divider.replace(','));
            if elements.next_element_seed(self.again())?.is_none() {
                self.json.truncate(end);
                self.json.push(']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.json.push('{');
        let mut divider = None;
        while let Some(name) = members.next_key::<String>()? {
            if divider.is_none() && (name == self.raw || name == NUMBER && keeps_digits()) {
                let json: Box<RawValue> =
                    RawValue::from_string(members.next_value()?).map_err(A::Error::custom)?;
                self.json.pop();
                self.json.push_str(json.get());
                return match members.next_key::<String>()? {
                    None => Ok(()),
                    Some(other) => Err(A::Error::unknown_field(&other, &[])),
                };
            }
            self.json.extend(divider.replace(','));
            self.again().push::<A::Error>(&*name)?;
            self.json.push(':');
            members.next_value_seed(self.again())?;
        }
        self.json.push('}');
        Ok(())
    }
}

/// Returns whether `serde_json` keeps the digits of numbers. Then what it buffers as a map may be a
/// number.
fn keeps_digits() -> bool {
    serde_json::from_str::<serde_json::Number>("1e999").is_ok()
}
