//! How a subscription is opened.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use super::observer::Overrun;
use super::queue::{About, Predicate};
use super::shared::Shared;
use super::subscription::Subscription;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::Pattern;
#[cfg(feature = "std")]
use crate::wait::thread::Cancel;

/// How many envelopes fit into the buffer of a subscription by default.
const CAPACITY: usize = 64;

/// Holds the settings of a subscription, as a value: those that [`Subscribe`] sets one by one.
#[derive(Default)]
#[must_use]
pub struct SubscriptionOptions {
    capacity: usize,
    overrun: Overrun,
    predicate: Option<Predicate>,
    #[cfg(feature = "std")]
    cancel: Option<Cancel>,
}

impl SubscriptionOptions {
    /// Returns the defaults: 64 envelopes, [`Overrun::DropNewest`], no filter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many envelopes fit into the buffer. 0 stands for the default, which is 64.
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// Sets what happens to an envelope for which there is no room.
    pub fn overrun(self, overrun: Overrun) -> Self {
        Self { overrun, ..self }
    }

    /// Takes only envelopes for which `filter` returns `true`: see [`Subscribe::filter`].
    pub fn filter(self, filter: impl Fn(&Envelope) -> bool + Send + Sync + 'static) -> Self {
        Self { predicate: Some(Arc::new(filter)), ..self }
    }

    /// Closes the subscription when `cancel` is cancelled.
    #[cfg(feature = "std")]
    pub fn until(self, cancel: &Cancel) -> Self {
        Self { cancel: Some(cancel.clone()), ..self }
    }

    /// Opens a subscription. On a closed bus, or if it is cancelled already, it has ended.
    pub(super) fn open(self, pattern: Pattern<'_>, bus: &Arc<Shared>) -> Subscription {
        let Self { capacity, overrun, predicate, .. } = self;
        let capacity = if capacity == 0 { CAPACITY } else { capacity };
        #[cfg(feature = "std")]
        let cancel = self.cancel;
        #[cfg(feature = "std")]
        let ended = cancel.as_ref().is_some_and(Cancel::is_cancelled);
        #[cfg(not(feature = "std"))]
        let ended = false;
        let about = |id| About::new(id, pattern, capacity, overrun);
        let (about, target) = bus.insert(about, predicate, ended);
        #[cfg_attr(not(feature = "std"), expect(unused_mut, reason = "nothing cancels there"))]
        let mut subscription = Subscription::new(bus.clone(), about, target);
        #[cfg(feature = "std")]
        if let Some(cancel) = &cancel {
            subscription.close_on(cancel);
        }
        subscription
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionOptions")
            .field("capacity", &self.capacity)
            .field("overrun", &self.overrun)
            .field("filter", &self.predicate.is_some())
            .finish_non_exhaustive()
    }
}

/// Sets up a subscription. [`open`](Self::open) opens it.
#[derive(Debug)]
#[must_use = "nothing is subscribed before `open`"]
pub struct Subscribe<'a> {
    bus: &'a Arc<Shared>,
    pattern: Pattern<'a>,
    options: SubscriptionOptions,
}

impl<'a> Subscribe<'a> {
    pub(super) fn new(bus: &'a Arc<Shared>, pattern: Pattern<'a>) -> Self {
        Self { bus, pattern, options: SubscriptionOptions::new() }
    }

    /// Sets how many envelopes fit into the buffer. 0 stands for the default, which is 64.
    pub fn capacity(self, capacity: usize) -> Self {
        Self { options: self.options.capacity(capacity), ..self }
    }

    /// Sets what happens to an envelope for which there is no room: [`Overrun::DropNewest`] by
    /// default.
    pub fn overrun(self, overrun: Overrun) -> Self {
        Self { options: self.options.overrun(overrun), ..self }
    }

    /// Takes only envelopes for which `filter` returns `true`.
    ///
    /// Each publish whose subject matches the pattern calls it, on the publisher's thread and
    /// outside of all locks. It may use the bus. An envelope that it rejects is not lost: it is not
    /// counted, and observers are not called.
    ///
    /// A filter that panics rejects the envelope. Under the feature `std`, the panic continues in
    /// the publisher after every other subscription that matches has the envelope or has counted it
    /// as lost.
    ///
    /// # Examples
    ///
    /// Several patterns, and the subjects of an enum of [`events!`](crate::events), in one
    /// subscription:
    ///
    /// ```
    /// use tickbus::{Envelope, Event, Pattern, SubjectBus};
    ///
    /// tickbus::events! {
    ///     enum Order {
    ///         #[subject = "order.paid"]     Paid,
    ///         #[subject = "stock.reserved"] Reserved,
    ///     }
    /// }
    ///
    /// let bus = SubjectBus::new();
    /// let wanted = ["order.*", "refund.>"].map(Pattern::from_static);
    /// let money = bus.subscribe(">")?.filter(move |it| wanted.iter().any(|one| one.matches(it.subject())));
    /// let orders = bus.subscribe(">")?.filter(|it| Order::SUBJECTS.contains(&it.subject().as_str()));
    /// let (money, orders) = (money.open(), orders.open());
    ///
    /// for subject in ["order.paid", "stock.reserved", "refund.7.sent", "chat.said"] {
    ///     bus.try_publish(Envelope::unstamped(subject)?)?;
    /// }
    /// assert_eq!((money.drain().count(), orders.drain().count()), (2, 2));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn filter(self, filter: impl Fn(&Envelope) -> bool + Send + Sync + 'static) -> Self {
        Self { options: self.options.filter(filter), ..self }
    }

    /// Closes the subscription when `cancel` is cancelled.
    #[cfg(feature = "std")]
    pub fn until(self, cancel: &Cancel) -> Self {
        Self { options: self.options.until(cancel), ..self }
    }

    /// Opens the subscription. It receives what is published from now on.
    ///
    /// If the bus was closed after you called [`subscribe`](super::SubjectBus::subscribe), the
    /// subscription has already ended.
    #[must_use = "dropping a subscription ends it"]
    pub fn open(self) -> Subscription {
        self.options.open(self.pattern, self.bus)
    }
}

/// A subscription was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is not a pattern.
    InvalidPattern(InvalidPattern),
    /// The bus is closed.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPattern(invalid) => fmt::Display::fmt(invalid, f),
            Self::Closed => f.pad("the bus is closed"),
        }
    }
}

impl Error for SubscribeError {}

impl From<InvalidPattern> for SubscribeError {
    fn from(invalid: InvalidPattern) -> Self {
        Self::InvalidPattern(invalid)
    }
}
