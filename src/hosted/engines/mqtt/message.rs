//! Envelopes as messages: headers are user properties, and `content-type` is the property of that
//! name.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Publish, PublishProperties};

use super::settings::Qos;
use super::topic::Topics;
use crate::envelope::Envelope;
use crate::envelope::compact::mqtt::{CONTENT_TYPE, is_sound};
use crate::hosted::Reason;
use crate::hosted::wire::{self, InvalidMessage, NativeForm};

impl Qos {
    pub(super) const fn of_wire(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce => QoS::AtLeastOnce,
        }
    }
}

/// Returns the message of an envelope.
pub(super) fn write(topics: &Topics, envelope: &Envelope, qos: Qos) -> Result<Publish, Reason> {
    let topic = topics.of(envelope.subject())?;
    let native = wire::to_native(envelope, NativeForm::TEXTS)?;
    let mut properties = PublishProperties {
        user_properties: Vec::with_capacity(native.headers.len()),
        ..Default::default()
    };
    for (key, value) in native.headers {
        if !is_sound(&key) || !is_sound(&value) {
            return Err(Reason::Header((*key).into()));
        }
        match &*key {
            CONTENT_TYPE => properties.content_type = Some(value.into_owned()),
            _ => properties.user_properties.push((key.into_owned(), value.into_owned())),
        }
    }
    let payload = match native.payload {
        Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let topic = Bytes::from(topic.into_bytes());
    let properties = Some(properties);
    Ok(Publish { qos: qos.of_wire(), topic, payload, properties, ..Default::default() })
}

/// Reads an envelope from a message. `None` if its topic is not that of a subject.
pub(super) fn read(
    topics: &Topics,
    message: &Publish,
) -> Option<Result<Arc<Envelope>, InvalidMessage>> {
    let subject = topics.subject(core::str::from_utf8(&message.topic).ok()?)?;
    let properties = message.properties.as_ref();
    let own = properties.into_iter().flat_map(|it| &it.user_properties);
    let own = own.map(|(key, value)| (&**key, value.as_bytes()));
    let content_type = properties.and_then(|it| it.content_type.as_deref());
    let headers = own.chain(content_type.map(|value| (CONTENT_TYPE, value.as_bytes())));
    // Another program's message has no position.
    let position = || -> String { alloc::format!("{}", uuid::Uuid::now_v7()) };
    Some(wire::from_native(&subject, headers, &message.payload, position).map(Arc::new))
}
