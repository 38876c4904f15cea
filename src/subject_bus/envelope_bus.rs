//! What a bus of envelopes is, whoever carries them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::pin::Pin;

use super::cancel::Wait;
use super::shared::Shared;
use super::subscribe::{SubscribeError, SubscriptionOptions};
use super::subscription::Subscription;
use super::{PublishError, Published, SubjectBus};
use crate::envelope::Envelope;
use crate::subject::Pattern;

/// A publish by an [`EnvelopeBus`] that is awaited.
pub type PublishFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

/// A bus of envelopes behind a reference: [`SubjectBus`], [`NoopBus`], or what carries envelopes to
/// other processes.
///
/// # Examples
///
/// ```
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::{EnvelopeBus, NoopBus, SubscriptionOptions};
///
/// fn start(bus: &dyn EnvelopeBus) -> Result<(), Box<dyn core::error::Error>> {
///     bus.publish(Envelope::new("game.started")?.into())?;
///     Ok(())
/// }
///
/// let bus = SubjectBus::new();
/// let pattern = "game.>".try_into()?;
/// let seen = EnvelopeBus::subscribe(&bus, pattern, SubscriptionOptions::new())?;
/// start(&bus)?;
/// start(&NoopBus)?;
/// assert_eq!(seen.drain().count(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait EnvelopeBus: Send + Sync {
    /// Delivers `envelope` to all subscriptions that match, and waits as long as `wait` says for those
    /// that want it.
    ///
    /// # Errors
    ///
    /// If the bus is closed, or the wait is over.
    fn publish_wait(
        &self,
        envelope: Arc<Envelope>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError>;

    /// The same for a task, as [`SubjectBus::publish_async`] describes it.
    ///
    /// A bus that does not say how is tried by the first poll, and does not wait.
    ///
    /// # Errors
    ///
    /// If the bus is closed, or is while this waits.
    fn publish_async(&self, envelope: Arc<Envelope>) -> PublishFuture<'_> {
        Box::pin(async move { self.try_publish(envelope) })
    }

    /// The same, and does not wait.
    ///
    /// # Errors
    ///
    /// If the bus is closed.
    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
        self.publish_wait(envelope, Wait::never())
    }

    /// The same, and waits for ever.
    ///
    /// # Errors
    ///
    /// If the bus is closed, or is while this waits.
    fn publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
        self.publish_wait(envelope, Wait::forever())
    }

    /// Opens a subscription.
    ///
    /// # Errors
    ///
    /// If the bus is closed.
    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError>;

    /// Ends the bus and its subscriptions. Again, it does nothing.
    fn close(&self);

    /// Whether the bus is closed.
    fn is_closed(&self) -> bool;
}

impl EnvelopeBus for SubjectBus {
    fn publish_wait(
        &self,
        envelope: Arc<Envelope>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError> {
        Self::publish_wait(self, envelope, wait)
    }

    fn publish_async(&self, envelope: Arc<Envelope>) -> PublishFuture<'_> {
        Box::pin(Self::publish_async(self, envelope))
    }

    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError> {
        let subscription = options.open(pattern, &self.shared);
        if self.is_closed() { Err(SubscribeError::Closed) } else { Ok(subscription) }
    }

    fn close(&self) {
        Self::close(self);
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// A bus that accepts everything and delivers nothing. Its subscriptions have already ended; it cannot
/// be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoopBus;

impl EnvelopeBus for NoopBus {
    fn publish_wait(&self, _: Arc<Envelope>, _: Wait<'_>) -> Result<Published, PublishError> {
        Ok(Published::default())
    }

    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError> {
        let nobody = Arc::new(Shared::new(0));
        nobody.close();
        Ok(options.open(pattern, &nobody))
    }

    fn close(&self) {}

    fn is_closed(&self) -> bool {
        false
    }
}
