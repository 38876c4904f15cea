//! Writes payloads as JSON that reads back as what was written, or returns an error.

use alloc::boxed::Box;
use core::fmt;

use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Writes `value` as JSON.
pub(super) fn to_raw(
    value: &(impl Serialize + ?Sized),
) -> Result<Box<RawValue>, serde_json::Error> {
    to_raw_value(&Exact::new(value))
}

/// A value, or what writes it. `serde_json` writes floats that are not numbers as `null`, and
/// `Some` of what is `null` in JSON would come back as `None`: both are errors here.
struct Exact<T> {
    of: T,
    inside: Inside,
}

/// What a value is directly inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Anything,
    Some,
    /// The struct by which a `RawValue` inside of `Some` tells `serde_json` its text.
    Raw,
}

/// The name of that struct.
const RAW: &str = "$serde_json::private::RawValue";

impl<T> Exact<T> {
    const fn new(of: T) -> Self {
        Self { of, inside: Inside::Anything }
    }
}

impl<T: Serialize + ?Sized> Serialize for Exact<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.of.serialize(Exact { of: serializer, inside: self.inside })
    }
}

impl<S: Serializer> Exact<S> {
    fn number(self, is_finite: bool) -> Result<S, S::Error> {
        if is_finite {
            return Ok(self.of);
        }
        Err(S::Error::custom("a float that is NaN or infinite is not a number in JSON"))
    }

    fn null(self) -> Result<S, S::Error> {
        if self.inside == Inside::Anything {
            return Ok(self.of);
        }
        Err(S::Error::custom("a `Some` of what is `null` in JSON would come back as `None`"))
    }
}

macro_rules! pass_on {
    ($($method:ident($($name:ident: $type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<$ok, S::Error> {
            self.of.$method($($name),*)
        })*
    };
}

macro_rules! compounds {
    ($($method:ident($($name:ident: $type:ty),*) -> $compound:ident;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<Self::$compound, S::Error> {
            self.of.$method($($name),*).map(Exact::new)
        })*
    };
}

impl<S: Serializer> Serializer for Exact<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Exact<S::SerializeSeq>;
    type SerializeTuple = Exact<S::SerializeTuple>;
    type SerializeTupleStruct = Exact<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Exact<S::SerializeTupleVariant>;
    type SerializeMap = Exact<S::SerializeMap>;
    type SerializeStruct = Exact<S::SerializeStruct>;
    type SerializeStructVariant = Exact<S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.number(value.is_finite())?.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.number(value.is_finite())?.serialize_f64(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.null()?.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.null()?.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.null()?.serialize_unit_struct(name)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.of.serialize_some(&Exact { of: value, inside: Inside::Some })
    }

    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        let is_null = self.inside == Inside::Raw && value == "null";
        if is_null { self.null()? } else { self.of }.serialize_str(value)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let is_raw = self.inside == Inside::Some && name == RAW;
        let inside = if is_raw { Inside::Raw } else { Inside::Anything };
        self.of.serialize_struct(name, len).map(|of| Exact { of, inside })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Exact { of: value, inside: self.inside };
        self.of.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.of.serialize_newtype_variant(name, index, variant, &Exact::new(value))
    }

    pass_on! {
        serialize_bool(value: bool) -> S::Ok;
        serialize_i8(value: i8) -> S::Ok;
        serialize_i16(value: i16) -> S::Ok;
        serialize_i32(value: i32) -> S::Ok;
        serialize_i64(value: i64) -> S::Ok;
        serialize_i128(value: i128) -> S::Ok;
        serialize_u8(value: u8) -> S::Ok;
        serialize_u16(value: u16) -> S::Ok;
        serialize_u32(value: u32) -> S::Ok;
        serialize_u64(value: u64) -> S::Ok;
        serialize_u128(value: u128) -> S::Ok;
        serialize_char(value: char) -> S::Ok;
        serialize_bytes(value: &[u8]) -> S::Ok;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> S::Ok;
    }

    compounds! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant;
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.of.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.of.is_human_readable()
    }
}

macro_rules! elements {
    ($($compound:ident { $($method:ident($($key:ident: $type:ty)?);)* } $(and $skip:ident)?;)*) => {
        $(impl<C: $compound> $compound for Exact<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            $(fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: $type,)?
                value: &T,
            ) -> Result<(), C::Error> {
                self.of.$method($($key,)? &Exact { of: value, inside: self.inside })
            })*

            $(fn $skip(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.of.$skip(key)
            })?

            fn end(self) -> Result<C::Ok, C::Error> {
                self.of.end()
            }
        })*
    };
}

elements! {
    SerializeSeq { serialize_element(); };
    SerializeTuple { serialize_element(); };
    SerializeTupleStruct { serialize_field(); };
    SerializeTupleVariant { serialize_field(); };
    SerializeMap { serialize_key(); serialize_value(); };
    SerializeStruct { serialize_field(key: &'static str); } and skip_field;
    SerializeStructVariant { serialize_field(key: &'static str); } and skip_field;
}
