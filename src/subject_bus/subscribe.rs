//! How a subscription is opened.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

#[cfg(feature = "std")]
use super::cancel::Cancel;
use super::observer::Overrun;
use super::queue::{About, Predicate};
use super::shared::Shared;
use super::subscription::Subscription;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::Pattern;

/// How many envelopes wait for a subscription that does not say otherwise.
const CAPACITY: usize = 64;

/// What a subscription is like: what [`Subscribe`] sets one by one, as a value.
#[derive(Default)]
#[must_use]
pub struct SubscriptionOptions {
    capacity: usize,
    when_full: Overrun,
    predicate: Option<Predicate>,
    #[cfg(feature = "std")]
    cancel: Option<Cancel>,
}

impl SubscriptionOptions {
    /// 64 envelopes, [`Overrun::DropNewest`], no filter.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many envelopes may wait; 0 for the default, which is 64.
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// What happens to an envelope for which there is no room.
    pub fn overrun(self, when_full: Overrun) -> Self {
        Self { when_full, ..self }
    }

    /// Takes only envelopes for which `filter` is true: see [`Subscribe::filter`].
    pub fn filter(self, filter: impl Fn(&Envelope) -> bool + Send + Sync + 'static) -> Self {
        Self { predicate: Some(Arc::new(filter)), ..self }
    }

    /// Closes the subscription when `cancel` is cancelled.
    #[cfg(feature = "std")]
    pub fn until(self, cancel: &Cancel) -> Self {
        Self { cancel: Some(cancel.clone()), ..self }
    }

    /// Opens a subscription; on a closed bus, or if it is cancelled already, one that has ended.
    pub(super) fn open(self, pattern: Pattern<'_>, bus: &Arc<Shared>) -> Subscription {
        let Self { capacity, when_full, predicate, .. } = self;
        let capacity = if capacity == 0 { CAPACITY } else { capacity };
        #[cfg(feature = "std")]
        let cancel = self.cancel;
        #[cfg(feature = "std")]
        let ended = cancel.as_ref().is_some_and(Cancel::is_cancelled);
        #[cfg(not(feature = "std"))]
        let ended = false;
        let about = |id| About::new(id, pattern, capacity, when_full);
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
            .field("when_full", &self.when_full)
            .field("filter", &self.predicate.is_some())
            .finish_non_exhaustive()
    }
}

/// A subscription that is about to be opened.
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

    /// How many envelopes may wait; 0 for the default, which is 64.
    pub fn capacity(self, capacity: usize) -> Self {
        Self { options: self.options.capacity(capacity), ..self }
    }

    /// What happens to an envelope for which there is no room. [`Overrun::DropNewest`] by default.
    pub fn overrun(self, when_full: Overrun) -> Self {
        Self { options: self.options.overrun(when_full), ..self }
    }

    /// Takes only envelopes for which `filter` is true.
    ///
    /// It is asked after the pattern, for every publish, on the publisher's thread and outside of all
    /// locks, so it may use the bus. What it turns away is not lost: no observer hears of it.
    ///
    /// A filter that panics turns the envelope away. Under the feature `std`, the panic goes on to the
    /// publisher after every other subscription that matches has the envelope or has counted it as lost.
    ///
    /// # Examples
    ///
    /// Several patterns, and the subjects of an enum of [`events!`](crate::events), in one subscription:
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
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
    ///     bus.publish(Envelope::new(subject)?)?;
    /// }
    /// assert_eq!((money.drain().count(), orders.drain().count()), (2, 2));
    /// # }
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

    /// Opens it: it gets what is published from now on.
    ///
    /// If the bus was closed since [`subscribe`](super::SubjectBus::subscribe), the subscription has
    /// already ended.
    #[must_use = "dropping a subscription ends it"]
    pub fn open(self) -> Subscription {
        self.options.open(self.pattern, self.bus)
    }
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The text is no pattern.
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
