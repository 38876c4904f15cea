//! The default broker of the program, and functions that use it.

use alloc::sync::Arc;
use core::future::Future;
use core::time::Duration;
use std::sync::OnceLock;

use super::error::BrokerError;
use super::handlers::SubscriptionId;
use super::run::Broker;
use super::stats::BrokerStats;
use crate::hosted::engine::BoxError;
use crate::hosted::store::EventRecord;

static DEFAULT: OnceLock<Broker> = OnceLock::new();

/// Makes `broker` the default broker of the program.
///
/// # Errors
///
/// Returns [`BrokerError::AlreadyInitialized`] if there is one.
pub fn initialize(broker: Broker) -> Result<(), BrokerError> {
    DEFAULT.set(broker).map_err(|_| BrokerError::AlreadyInitialized)
}

/// Returns whether there is a default broker.
#[must_use]
pub fn is_initialized() -> bool {
    DEFAULT.get().is_some()
}

/// Returns the default broker.
///
/// # Errors
///
/// Returns [`BrokerError::NotInitialized`] if there is none.
pub fn default_broker() -> Result<&'static Broker, BrokerError> {
    DEFAULT.get().ok_or(BrokerError::NotInitialized)
}

/// Publishes to the default broker: see [`Broker::publish`].
///
/// # Errors
///
/// Returns the errors of [`Broker::publish`] from the future, and [`BrokerError::NotInitialized`].
pub async fn publish(record: EventRecord) -> Result<(), BrokerError> {
    default_broker()?.publish(record).await
}

/// Publishes to the default broker: see [`Broker::publish_sync`].
///
/// # Errors
///
/// Returns the errors of [`Broker::publish_sync`] from the future, and
/// [`BrokerError::NotInitialized`].
pub async fn publish_sync(record: EventRecord) -> Result<(), BrokerError> {
    default_broker()?.publish_sync(record).await
}

/// Publishes to the default broker: see [`Broker::publish_async`].
///
/// # Errors
///
/// Returns the errors of [`Broker::publish_async`] from the future, and
/// [`BrokerError::NotInitialized`].
pub async fn publish_async(record: EventRecord) -> Result<(), BrokerError> {
    default_broker()?.publish_async(record).await
}

/// Removes a handler of the default broker: see [`Broker::unsubscribe`].
///
/// # Errors
///
/// Returns the errors of [`Broker::unsubscribe`], and [`BrokerError::NotInitialized`].
pub fn unsubscribe(id: SubscriptionId) -> Result<(), BrokerError> {
    default_broker()?.unsubscribe(id)
}

/// Returns what became of the events of the default broker: see [`Broker::stats`].
///
/// # Errors
///
/// Returns [`BrokerError::NotInitialized`] if there is none.
pub fn stats() -> Result<BrokerStats, BrokerError> {
    default_broker().map(Broker::stats)
}

/// Subscribes to the default broker: see [`Broker::subscribe`].
///
/// # Errors
///
/// Returns the errors of [`Broker::subscribe`], and [`BrokerError::NotInitialized`].
pub fn subscribe<F, R, E>(pattern: &str, handler: F) -> Result<SubscriptionId, BrokerError>
where
    F: Fn(Arc<EventRecord>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    default_broker()?.subscribe(pattern, handler)
}

/// Passes to `register` a function that stops the default broker within `deadline`. Call what you
/// registered when the program ends.
///
/// # Errors
///
/// Returns [`BrokerError::NotInitialized`] if there is none.
pub fn register_shutdown<R>(
    deadline: Duration,
    register: impl FnOnce(alloc::boxed::Box<dyn FnOnce() -> Stop + Send>) -> R,
) -> Result<R, BrokerError> {
    let broker = default_broker()?;
    Ok(register(alloc::boxed::Box::new(move || alloc::boxed::Box::pin(broker.stop(deadline)))))
}

/// Stops the default broker when it is awaited.
type Stop = core::pin::Pin<alloc::boxed::Box<dyn Future<Output = Result<(), BrokerError>> + Send>>;
