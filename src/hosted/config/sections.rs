//! What a file may say, as serde reads it: [`Sections`], [`Bus`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use serde::de::{Deserialize, Deserializer, IgnoredAny};

#[cfg(feature = "schema")]
use super::broker::BrokerConfig;
use super::span;
use super::types::DeliveryMode;
use crate::hosted::engine::Level;
use crate::hosted::start::OnStart;

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
    pub(super) engine: Option<String>,
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
    pub(super) engines: Option<Vec<Engine>>,
    /// The rules: the first one that matches a subject decides.
    pub(super) routing: Vec<Rule>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Engine {
    pub(super) name: Box<str>,
    #[serde(rename = "type")]
    pub(super) kind: Box<str>,
    #[serde(default, rename = "onStart")]
    pub(super) on_start: StartMode,
    #[serde(default)]
    #[expect(dead_code, reason = "checked by its type")]
    config: IgnoredAny,
}

/// `fail`, `background`, or how long to wait.
#[derive(Default)]
pub(super) struct StartMode(pub(super) OnStart);

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
pub(super) struct Rule {
    /// The subjects: exact ones, or with a `*` at the end for all that begin so. `*` is all.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub(super) topics: Vec<Box<str>>,
    /// The name of the engine that carries them.
    pub(super) engine: Box<str>,
    /// The least that a publish must have achieved.
    #[serde(default)]
    pub(super) require: Option<Required>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Required {
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
