//! Events of the program as envelopes: the subject names the variant, the payload holds its fields.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::ser::{
    SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleVariant, Serializer,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::exact;
use super::fields::{Envelope, Payload};
use super::json::{InvalidEnvelope, InvalidPayload, Quoted, is_bytes};
use crate::event::Event;
use crate::subject::Subject;

/// # Events
///
/// An enum of [`events!`](crate::events) with serde's derives travels as it is. Each variant
/// becomes a payload:
///
/// | variant | payload |
/// |---|---|
/// | `Started` | none |
/// | `Pressed(Button)` | what a `Button` is in JSON |
/// | `Moved(i16, i16)` | `[3,-4]` |
/// | `Tilt { x: i16, y: i16 }` | `{"x":3,"y":-4}` |
///
/// The subject names the variant, and the payload does not repeat the name. Attributes of serde on
/// fields apply. Attributes that rename a variant have no effect, and you cannot use those that
/// skip one.
///
/// A hand-written [`Event`] may also be a struct, or an enum that is `#[serde(untagged)]` or has a
/// `tag`. Then the payload is the whole value. For other enums, the kinds must be the variants.
impl Envelope {
    /// Returns an envelope that holds `event`, with a new id and the current time.
    ///
    /// A type of another crate is not an [`Event`]: give it a subject with [`json`](Self::json), or
    /// put it in a variant.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEnvelope`] if the event cannot be written as JSON, or would read back as
    /// something else: see [`with_payload`](Self::with_payload). Also returns it if a hand-written
    /// [`Event`] has an invalid subject, or a kind that is not the index of its variant.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// tickbus::events! {
    ///     #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    ///     enum Input {
    ///         #[subject = "input.pause"] Pause,
    ///         #[subject = "input.tilt"]  Tilt { x: i16, y: i16 },
    ///     }
    /// }
    ///
    /// let bus = SubjectBus::new();
    /// let inputs = bus.subscribe("input.*")?.open();
    /// bus.publish(Envelope::event(&Input::Tilt { x: 3, y: -4 })?)?;
    /// bus.publish(Envelope::event(&Input::Pause)?)?;
    ///
    /// let tilt = inputs.recv().expect("two were published");
    /// assert_eq!((tilt.subject().as_str(), tilt.payload()), ("input.tilt", Some(r#"{"x":3,"y":-4}"#)));
    /// assert_eq!(tilt.decode_event::<Input>()?, Input::Tilt { x: 3, y: -4 });
    ///
    /// let pause = inputs.recv().expect("two were published");
    /// assert_eq!(pause.payload(), None);
    /// assert_eq!(pause.decode_event::<Input>()?, Input::Pause);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn event<E: Event + Serialize>(event: &E) -> Result<Self, InvalidEnvelope> {
        Ok(Self::new(event.subject())?.with_fields(event)?)
    }

    /// Returns an envelope that holds `event`, without id and time: see
    /// [`unstamped`](Self::unstamped).
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEnvelope`] if the event cannot be written as JSON, or would read back as
    /// something else: see [`with_payload`](Self::with_payload). Also returns it if a hand-written
    /// [`Event`] has an invalid subject, or a kind that is not the index of its variant.
    pub fn unstamped_event<E: Event + Serialize>(event: &E) -> Result<Self, InvalidEnvelope> {
        Ok(Self::unstamped(event.subject())?.with_fields(event)?)
    }

    fn with_fields<E: Event + Serialize>(mut self, event: &E) -> Result<Self, InvalidPayload> {
        match exact::to_raw(&Fields { kind: event.kind(), of: event }) {
            Ok(payload) if payload.get() == "null" => self.payload = Payload::None,
            Ok(payload) => self.payload = Payload::Json(payload),
            Err(error) => return Err(InvalidPayload::encoding(self.subject, error)),
        }
        Ok(self)
    }

    /// Decodes the event in this envelope: the subject names its kind, and the payload holds its
    /// fields. The event may borrow from the payload.
    ///
    /// A `null` payload means the same as a missing one. The method compares the subjects of `E`
    /// one after the other.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEvent::Subject`] if no kind of `E` has this subject, and
    /// [`InvalidEvent::Payload`] if the payload does not hold the fields of that kind. Both name
    /// the subject.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Envelope;
    /// use tickbus::envelope::InvalidEvent;
    ///
    /// tickbus::events! {
    ///     #[derive(Debug, PartialEq, serde::Deserialize)]
    ///     enum Chat {
    ///         #[subject = "chat.said"] Said { by: u32, text: String },
    ///     }
    /// }
    ///
    /// let said = Envelope::from_json(r#"{"subject":"chat.said","payload":{"by":7,"text":"hello"}}"#)?;
    /// assert_eq!(said.decode_event::<Chat>()?, Chat::Said { by: 7, text: "hello".into() });
    ///
    /// let left = Envelope::from_json(r#"{"subject":"chat.left","payload":{"by":7}}"#)?;
    /// assert!(matches!(left.decode_event::<Chat>(), Err(InvalidEvent::Subject(_))));
    ///
    /// let error = Envelope::from_json(r#"{"subject":"chat.said","payload":{"by":7}}"#)?
    ///     .decode_event::<Chat>()
    ///     .unwrap_err();
    /// assert!(error.to_string().starts_with("the payload of `chat.said` does not decode: line 1 column 8: missing field"));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn decode_event<'a, E: Event + Deserialize<'a>>(&'a self) -> Result<E, InvalidEvent> {
        let subject = &*self.subject;
        let kind = E::SUBJECTS.iter().position(|of_kind| *of_kind == subject);
        let kind = kind.ok_or_else(|| InvalidEvent::Subject(subject.into()))?;
        let wrong = |error| InvalidEvent::Payload(InvalidPayload::decoding(subject, error));
        let payload = match &self.payload {
            Payload::None => "null",
            Payload::Json(json) => json.get(),
            Payload::Bytes(_) => return Err(wrong(is_bytes(&self.headers))),
        };
        let fields = FieldsOf { kind: kind as u32, payload };
        let event = E::deserialize(fields).map_err(wrong)?;
        if event.kind() != kind {
            // By hand, the kind may depend on the fields.
            let other = event.subject();
            let other = <serde_json::Error as serde::de::Error>::custom(format_args!(
                "it is that of `{other}`"
            ));
            return Err(wrong(other));
        }
        Ok(event)
    }
}

/// An envelope does not hold an event of the type that you asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The envelope has this subject, which no kind of the event has.
    Subject(Box<str>),
    /// The payload does not hold the fields of the kind that the subject names.
    Payload(InvalidPayload),
}

impl InvalidEvent {
    /// Returns the subject of the envelope.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Self::Subject(subject) => Subject::checked(subject),
            Self::Payload(error) => error.subject(),
        }
    }
}

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => {
                write!(f, "no such event has the subject {}", Quoted(subject))
            }
            Self::Payload(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for InvalidEvent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Subject(_) => None,
            Self::Payload(error) => error.source(),
        }
    }
}

/// Writes a variant as its fields, without its name. Writes everything else as it is.
struct Fields<T> {
    kind: usize,
    of: T,
}

impl<T: Serialize> Serialize for Fields<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.of.serialize(Fields { kind: self.kind, of: serializer })
    }
}

impl<S: Serializer> Fields<S> {
    /// The subject names the kind. So the variant's name may be left out only where the kind is the
    /// variant.
    fn of_variant(self, name: &str, index: u32, variant: &str) -> Result<S, S::Error> {
        if self.kind == index as usize {
            return Ok(self.of);
        }
        Err(serde::ser::Error::custom(format_args!(
            "`{name}::{variant}` is the variant {index} and of the kind {}, which have to be the same",
            self.kind
        )))
    }
}

macro_rules! pass_on {
    ($($method:ident($($name:ident: $type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<$ok, S::Error> {
            self.of.$method($($name),*)
        })*
    };
}

impl<S: Serializer> Serializer for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = Each<S::SerializeTuple>;
    type SerializeMap = S::SerializeMap;
    type SerializeStruct = S::SerializeStruct;
    type SerializeStructVariant = Each<S::SerializeStruct>;

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.of_variant(name, index, variant)?.serialize_unit()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(self.of_variant(name, index, variant)?)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.of_variant(name, index, variant)?.serialize_tuple(len).map(Each)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.of_variant(name, index, variant)?.serialize_struct(name, len).map(Each)
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
        serialize_f32(value: f32) -> S::Ok;
        serialize_f64(value: f64) -> S::Ok;
        serialize_char(value: char) -> S::Ok;
        serialize_str(value: &str) -> S::Ok;
        serialize_bytes(value: &[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(name: &'static str) -> S::Ok;
        serialize_seq(len: Option<usize>) -> S::SerializeSeq;
        serialize_tuple(len: usize) -> S::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> S::SerializeTupleStruct;
        serialize_map(len: Option<usize>) -> S::SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> S::SerializeStruct;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.of.serialize_some(value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.of.serialize_newtype_struct(name, value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.of.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.of.is_human_readable()
    }
}

/// The fields of a variant, one by one.
struct Each<T>(T);

impl<T: SerializeTuple> SerializeTupleVariant for Each<T> {
    type Ok = T::Ok;
    type Error = T::Error;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), T::Error> {
        self.0.serialize_element(value)
    }

    fn end(self) -> Result<T::Ok, T::Error> {
        self.0.end()
    }
}

impl<T: SerializeStruct> SerializeStructVariant for Each<T> {
    type Ok = T::Ok;
    type Error = T::Error;

    fn serialize_field<V: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &V,
    ) -> Result<(), T::Error> {
        self.0.serialize_field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), T::Error> {
        self.0.skip_field(key)
    }

    fn end(self) -> Result<T::Ok, T::Error> {
        self.0.end()
    }
}

/// Reads a variant from its fields; its number says which. Reads everything else as it is.
struct FieldsOf<'de> {
    kind: u32,
    /// One JSON value.
    payload: &'de str,
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

impl<'de> FieldsOf<'de> {
    fn json(&self) -> Json<'de> {
        Json::from_str(self.payload)
    }
}

macro_rules! as_json {
    ($($method:ident($($name:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(
            self,
            $($name: $type,)*
            visitor: V,
        ) -> Result<V::Value, serde_json::Error> {
            self.json().$method($($name,)* visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for FieldsOf<'de> {
    type Error = serde_json::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_enum(self)
    }

    as_json! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }
}

impl<'de> EnumAccess<'de> for FieldsOf<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self), serde_json::Error> {
        let kind: U32Deserializer<serde_json::Error> = self.kind.into_deserializer();
        Ok((seed.deserialize(kind)?, self))
    }
}

impl<'de> VariantAccess<'de> for FieldsOf<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), serde_json::Error> {
        Deserialize::deserialize(&mut self.json())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, serde_json::Error> {
        seed.deserialize(&mut self.json())
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        self.json().deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        self.json().deserialize_struct("", fields, visitor)
    }
}
