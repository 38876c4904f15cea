//! Why a subscription was not opened: [`OpenError`].

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use crate::error::InvalidPattern;
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::engine::Reason;

/// A subscription was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is not a pattern.
    Pattern(InvalidPattern),
    /// The engine lacks what the subscription demands.
    #[non_exhaustive]
    Missing {
        /// The engine.
        engine: Arc<str>,
        /// The kind of subscription.
        mode: Mode,
        /// The missing capability.
        capability: Capability,
        /// The setting that needs it. `None` if you demanded it.
        setting: Option<&'static str>,
    },
    /// A setting is for the other kind of subscription.
    #[non_exhaustive]
    WrongMode {
        /// The engine.
        engine: Arc<str>,
        /// The setting.
        setting: &'static str,
        /// The kind of subscription that does not have it.
        mode: Mode,
    },
    /// A setting is out of range.
    #[non_exhaustive]
    Invalid {
        /// The engine.
        engine: Arc<str>,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The engine did not open the subscription.
    #[non_exhaustive]
    Failed {
        /// The engine.
        engine: Arc<str>,
        /// The reason.
        reason: Reason,
    },
}

impl OpenError {
    /// Returns the error of an engine that lacks a capability.
    #[must_use]
    pub fn missing(engine: &Arc<str>, mode: Mode, capability: Capability) -> Self {
        Self::Missing { engine: engine.clone(), mode, capability, setting: None }
    }

    /// Returns the error of an engine that lacks what a setting needs.
    pub(super) fn needs(
        engine: &Arc<str>,
        mode: Mode,
        capability: Capability,
        setting: Option<&'static str>,
    ) -> Self {
        Self::Missing { engine: engine.clone(), mode, capability, setting }
    }

    /// Returns the error of an engine for which a setting is not valid.
    #[must_use]
    pub fn invalid(engine: &Arc<str>, setting: &'static str, why: &'static str) -> Self {
        Self::Invalid { engine: engine.clone(), setting, why }
    }

    /// Returns the error of an engine that did not open the subscription.
    #[must_use]
    pub fn failed(engine: &Arc<str>, reason: Reason) -> Self {
        Self::Failed { engine: engine.clone(), reason }
    }
}

impl OpenError {
    /// Returns the name of the engine. `None` if the text was not even a pattern.
    #[must_use]
    pub const fn engine(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pattern(_) => None,
            Self::Missing { engine, .. }
            | Self::WrongMode { engine, .. }
            | Self::Invalid { engine, .. }
            | Self::Failed { engine, .. } => Some(engine),
        }
    }

    /// Names another engine.
    pub(in crate::hosted) fn of(mut self, name: &Arc<str>) -> Self {
        match &mut self {
            Self::Pattern(_) => {}
            Self::Missing { engine, .. }
            | Self::WrongMode { engine, .. }
            | Self::Invalid { engine, .. }
            | Self::Failed { engine, .. } => *engine = name.clone(),
        }
        self
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(invalid) => fmt::Display::fmt(invalid, f),
            Self::Missing {
                engine, capability: Capability::Durable, mode: Mode::Durable, ..
            } => {
                write!(
                    f,
                    "engine `{engine}` has no groups as it is set up: give it what keeps its events \
                     (Redis, NATS: `stream`; Kinesis: `leases`; MQTT: `client_id`; memory: `log`), or \
                     use another engine"
                )
            }
            Self::Missing { engine, capability: Capability::Live, mode: Mode::Live, .. } => write!(
                f,
                "engine `{engine}` has no live subscriptions: name a `group`, or use another engine"
            ),
            Self::Missing { engine, mode, capability, setting } => {
                write!(
                    f,
                    "engine `{engine}` does not have `{capability}` for {mode} subscriptions: "
                )?;
                match setting {
                    Some(setting) => write!(f, "remove `{setting}`, or use another engine"),
                    None => f.write_str("do not demand it, or use another engine"),
                }
            }
            Self::WrongMode { engine, setting, mode: Mode::Live } => write!(
                f,
                "engine `{engine}`: `{setting}` is for durable subscriptions: name a `group`"
            ),
            Self::WrongMode { engine, setting, mode: Mode::Durable } => write!(
                f,
                "engine `{engine}`: `{setting}` is for live subscriptions: remove it, or `group`"
            ),
            Self::Invalid { engine, setting, why } => {
                write!(f, "engine `{engine}`: `{setting}` is not valid: {why}")
            }
            Self::Failed { engine, reason } => {
                write!(f, "engine `{engine}`: not subscribed: {reason}")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { reason, .. } => reason.source(),
            _ => None,
        }
    }
}

impl From<InvalidPattern> for OpenError {
    fn from(invalid: InvalidPattern) -> Self {
        Self::Pattern(invalid)
    }
}
