//! What a broker refuses: [`BrokerError`], [`InvalidBroker`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use super::handlers::SubscriptionId;
use crate::error::{InvalidPattern, InvalidSubject};
use crate::hosted::engine::EngineError;
use crate::hosted::store::{InvalidRecord, PayloadError, StoreError};
use crate::hosted::subscribe::OpenError;

/// A broker did not do what you asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrokerError {
    /// The broker is not started, or stopped.
    NotRunning,
    /// The broker is started.
    AlreadyRunning,
    /// All workers are busy, and the queue has no room. Or the engine has none.
    QueueFull,
    /// The workers were stopped while you published.
    WorkerPoolStopped,
    /// A synchronous broker has no workers: publish synchronously.
    NoWorkers,
    /// The record is not valid.
    Invalid(InvalidRecord),
    /// The payload is not possible as JSON.
    Payload(PayloadError),
    /// The store failed.
    Store(StoreError),
    /// The type is not possible in a subject, and so cannot travel over an engine.
    Type(InvalidSubject),
    /// The engine did not take the record, or may have taken it.
    Engine(Box<EngineError>),
    /// The engine has not opened the subscription of the group.
    Open(Arc<OpenError>),
    /// A handler failed: the last error, with the number of attempts.
    Failed(String),
    /// The pattern is empty, or not a pattern.
    Pattern(InvalidPattern),
    /// The broker has no handler of this id. You may have removed it before.
    NotSubscribed(SubscriptionId),
    /// Handlers still ran at the deadline.
    #[non_exhaustive]
    StopTimedOut {
        /// How many events were queued or being handled.
        left: u64,
    },
    /// There is a default broker already.
    AlreadyInitialized,
    /// The program has no default broker.
    NotInitialized,
}

impl BrokerError {
    /// Returns the name of the error for programs, such as `queue_full`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::AlreadyRunning => "already_running",
            Self::QueueFull => "queue_full",
            Self::WorkerPoolStopped => "worker_pool_stopped",
            Self::NoWorkers => "no_workers",
            Self::Invalid(_) => "invalid_event",
            Self::Payload(_) => "invalid_payload",
            Self::Store(_) => "store_failed",
            Self::Type(_) => "invalid_type",
            Self::Engine(error) if error.is_unknown() => "outcome_unknown",
            Self::Engine(_) => "not_sent",
            Self::Open(_) => "not_open",
            Self::Failed(_) => "handler_failed",
            Self::Pattern(_) => "invalid_pattern",
            Self::NotSubscribed(_) => "subscription_not_found",
            Self::StopTimedOut { .. } => "stop_timed_out",
            Self::AlreadyInitialized => "already_initialized",
            Self::NotInitialized => "not_initialized",
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.pad("the broker is not running"),
            Self::AlreadyRunning => f.pad("the broker is already running"),
            Self::QueueFull => f.pad("event queue is full"),
            Self::WorkerPoolStopped => f.pad("worker pool is stopped"),
            Self::NoWorkers => f.pad("the broker is synchronous and has no workers"),
            Self::Invalid(invalid) => fmt::Display::fmt(invalid, f),
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::Store(error) => fmt::Display::fmt(error, f),
            Self::Type(invalid) => fmt::Display::fmt(invalid, f),
            Self::Engine(error) => fmt::Display::fmt(error, f),
            Self::Open(error) => fmt::Display::fmt(error, f),
            Self::Failed(error) => f.pad(error),
            Self::Pattern(invalid) => fmt::Display::fmt(invalid, f),
            Self::NotSubscribed(id) => write!(f, "subscription not found: {id}"),
            Self::StopTimedOut { left } => {
                write!(f, "the broker did not stop in time: {left} events are not handled")
            }
            Self::AlreadyInitialized => f.pad("there is a default broker already"),
            Self::NotInitialized => f.pad("the program has no default broker: initialize one"),
        }
    }
}

impl Error for BrokerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Engine(error) => error.source(),
            Self::Open(error) => error.source(),
            _ => None,
        }
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(invalid) => Self::Invalid(invalid),
            other => Self::Store(other),
        }
    }
}

impl From<PayloadError> for BrokerError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

/// The settings do not make a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBroker {
    /// No store is set.
    NoStore,
    /// The instance id is empty.
    NoInstanceId,
    /// The configuration names a provider that this build does not have.
    #[non_exhaustive]
    Provider {
        /// The provider.
        provider: &'static str,
    },
    /// An engine is set, and its group is missing or empty.
    NoGroup,
    /// An engine is set, and the mode is synchronous.
    Synchronous,
    /// An engine is set, and no subject can begin so.
    #[non_exhaustive]
    Prefix {
        /// The prefix.
        prefix: Box<str>,
    },
    /// A setting of a group is there, and no engine is.
    NoEngine {
        /// The setting.
        setting: &'static str,
    },
    /// A number is 0 that must not be.
    #[non_exhaustive]
    Zero {
        /// The setting.
        setting: &'static str,
    },
    /// A number is too large.
    #[non_exhaustive]
    TooMany {
        /// The setting.
        setting: &'static str,
        /// The largest number.
        most: usize,
    },
}

impl fmt::Display for InvalidBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore => f.pad("a broker needs a store: set `store`"),
            Self::NoInstanceId => f.pad("instance ID is required: set `instance_id`"),
            Self::Provider { provider } => write!(
                f,
                "a broker with the provider `{provider}` needs what the configuration cannot make \
                 in this build: build it by `Registry::broker`, or set `store` and `engine`"
            ),
            Self::NoGroup => {
                f.pad("a broker with an engine needs the name of its group: set `group`")
            }
            Self::Synchronous => {
                f.pad("a broker with an engine needs workers: its mode is asynchronous")
            }
            Self::Prefix { prefix } => {
                write!(
                    f,
                    "no subject begins with `{}`: set another `prefix`",
                    prefix.escape_debug()
                )
            }
            Self::NoEngine { setting } => {
                write!(f, "`{setting}` is for a broker with an engine: set `engine`")
            }
            Self::Zero { setting } => write!(f, "`{setting}` of a broker is 0"),
            Self::TooMany { setting, most } => {
                write!(f, "`{setting}` of a broker is more than {most}")
            }
        }
    }
}

impl Error for InvalidBroker {}
