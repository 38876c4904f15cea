//! What every bus of envelopes can do: [`EnvelopeBus`].

#[cfg(feature = "std")]
use alloc::boxed::Box;
use alloc::sync::Arc;
#[cfg(feature = "std")]
use core::pin::Pin;

use super::bus::SubjectBus;
use super::hold::Hold;
use super::published::{PublishError, Published};
use super::shared::Shared;
use super::subscribe::{SubscribeError, SubscriptionOptions};
use super::subscription::Subscription;
use crate::envelope::Envelope;
use crate::subject::Pattern;
#[cfg(feature = "std")]
use crate::wait::thread::Wait;

/// The future that [`EnvelopeBus::publish_async`] returns.
#[cfg(feature = "std")]
pub type PublishFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

/// Carries envelopes inside a process: [`SubjectBus`], [`NoopBus`], or a bus of your own.
///
/// The trait is usable as an object. Take `&dyn EnvelopeBus`, or `Arc<dyn EnvelopeBus + Send +
/// Sync>` where several threads share it.
///
/// To implement it, write the four methods without a default. The methods that wait need the
/// feature `std`.
///
/// # Examples
///
/// ```
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::{EnvelopeBus, NoopBus, SubscriptionOptions};
///
/// fn start(bus: &dyn EnvelopeBus) -> Result<(), Box<dyn core::error::Error>> {
///     bus.try_publish(Envelope::unstamped("game.started")?.into())?;
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
pub trait EnvelopeBus {
    /// Publishes `envelope` and never waits: see [`SubjectBus::try_publish`].
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] if the bus is closed, or if it is not started and cannot hold more.
    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError>;

    /// Publishes `envelope`, and waits for room without a limit: see [`SubjectBus::publish`].
    ///
    /// The default implementation calls [`publish_wait`](Self::publish_wait).
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] if the bus is closed before or during the wait, or if it is not started
    /// and cannot hold more.
    #[cfg(feature = "std")]
    fn publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
        self.publish_wait(envelope, Wait::forever())
    }

    /// Publishes `envelope`, and waits for room as long as `wait` says: see
    /// [`SubjectBus::publish_wait`].
    ///
    /// The default implementation calls [`try_publish`](Self::try_publish) and never waits.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] if the bus is closed before or during the wait, if the wait ends without
    /// room, or if the bus is not started and cannot hold more.
    #[cfg(feature = "std")]
    fn publish_wait(
        &self,
        envelope: Arc<Envelope>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError> {
        let _ = wait;
        self.try_publish(envelope)
    }

    /// Publishes `envelope`, and awaits room: see [`SubjectBus::publish_async`].
    ///
    /// The default implementation calls [`try_publish`](Self::try_publish) at the first poll and
    /// never waits.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] from the future if the bus is closed before or during the wait, or if it
    /// is not started and cannot hold more.
    #[cfg(feature = "std")]
    fn publish_async(&self, envelope: Arc<Envelope>) -> PublishFuture<'_>
    where
        Self: Sync,
    {
        Box::pin(async move { self.try_publish(envelope) })
    }

    /// Opens a subscription.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError::Closed`] if the bus is closed.
    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError>;

    /// Closes the bus and ends its subscriptions. A second call has no effect.
    fn close(&self);

    /// Returns whether the bus is closed.
    fn is_closed(&self) -> bool;
}

impl EnvelopeBus for SubjectBus {
    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
        Self::try_publish(self, envelope)
    }

    #[cfg(feature = "std")]
    fn publish_wait(
        &self,
        envelope: Arc<Envelope>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError> {
        Self::publish_wait(self, envelope, wait)
    }

    #[cfg(feature = "std")]
    fn publish_async(&self, envelope: Arc<Envelope>) -> PublishFuture<'_> {
        Box::pin(Self::publish_async(self, envelope))
    }

    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError> {
        let subscription = options.open(pattern, &self.shared, &self.observers);
        if self.is_closed() { Err(SubscribeError::Closed) } else { Ok(subscription) }
    }

    fn close(&self) {
        Self::close(self);
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// Accepts every envelope and passes none on.
///
/// Its subscriptions have already ended, and it cannot be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoopBus;

impl EnvelopeBus for NoopBus {
    fn try_publish(&self, _: Arc<Envelope>) -> Result<Published, PublishError> {
        Ok(Published::default())
    }

    #[cfg_attr(
        not(feature = "std"),
        expect(clippy::arc_with_non_send_sync, reason = "it is both where there are threads")
    )]
    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError> {
        let ended = Arc::new(Shared::new(0, Hold::new(None), false));
        ended.close();
        Ok(options.open(pattern, &ended, &[]))
    }

    fn close(&self) {}

    fn is_closed(&self) -> bool {
        false
    }
}
