//! How a subscription is opened.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use super::bus::SubjectBus;
use super::observer::{Observer, Overrun};
use super::queue::{About, Patterns, Predicate};
use super::shared::Shared;
use super::subscription::Subscription;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::Pattern;
use crate::wait::panics::Panics;
#[cfg(feature = "std")]
use crate::wait::thread::Cancel;

/// How many envelopes fit into the buffer of a subscription by default.
const CAPACITY: usize = 64;

/// Holds the settings of a subscription, as a value: those that [`Subscribe`] sets one by one.
#[derive(Default)]
#[must_use]
pub struct SubscriptionOptions {
    name: Box<str>,
    /// Patterns beside the first.
    more: Patterns,
    capacity: usize,
    /// 0 and 1 for each.
    every_nth: u32,
    late: bool,
    overrun: Overrun,
    #[cfg(feature = "hosted")]
    patience: Option<core::time::Duration>,
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

    /// Sets how long a publisher waits for room at most, if it publishes by
    /// [`SubjectBus::publish_patient`].
    #[cfg(feature = "hosted")]
    pub(crate) fn patience(self, patience: Option<core::time::Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Names the subscription, for statistics and observers.
    pub fn name(self, name: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Subscribes to `pattern` as well: see [`Subscribe::or`].
    pub fn or(mut self, pattern: Pattern<'_>) -> Self {
        self.more.push(pattern.as_str().into());
        self
    }

    /// Declares that the subscription may miss a replay: see [`Subscribe::late`].
    pub fn late(self) -> Self {
        Self { late: true, ..self }
    }

    /// Takes the first envelope, the one `n` after it, and so on: see [`Subscribe::every_nth`].
    pub fn every_nth(self, n: u32) -> Self {
        Self { every_nth: n, ..self }
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
    pub(super) fn open(
        self,
        pattern: Pattern<'_>,
        bus: &Arc<Shared>,
        observers: &[Arc<dyn Observer>],
    ) -> Subscription {
        let Self { name, more, capacity, every_nth, late, overrun, predicate, .. } = self;
        let mut patterns = Patterns::from_iter([pattern.as_str().into()]);
        for one in more {
            if !patterns.contains(&one) {
                patterns.push(one);
            }
        }
        let capacity = if capacity == 0 { CAPACITY } else { capacity };
        #[cfg(feature = "std")]
        let cancel = self.cancel;
        #[cfg(feature = "std")]
        let ended = cancel.as_ref().is_some_and(Cancel::is_cancelled);
        #[cfg(not(feature = "std"))]
        let ended = false;
        let every_nth = every_nth.max(1);
        let (id, missed_replay) = (0, 0); // `insert` sets them
        let about = About {
            id,
            capacity,
            overrun,
            name,
            late,
            missed_replay,
            every_nth,
            #[cfg(feature = "hosted")]
            patience: self.patience,
            patterns,
        };
        let (about, target) = bus.insert(about, predicate, ended);
        #[cfg_attr(not(feature = "std"), expect(unused_mut, reason = "nothing cancels there"))]
        let mut subscription = Subscription::new(bus.clone(), about, target);
        #[cfg(feature = "std")]
        if let Some(cancel) = &cancel {
            subscription.close_on(cancel);
        }
        let missed = subscription.missed_replay();
        // `close` waits for these calls, and none begins after it.
        if missed > 0
            && !subscription.is_closed()
            && let Some(_under_way) = bus.enter()
        {
            let mut panics = Panics::default();
            let recipient = subscription.recipient();
            for observer in observers {
                panics.run(|| observer.on_late(recipient, missed));
            }
            panics.resume();
        }
        subscription
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionOptions")
            .field("name", &self.name)
            .field("more", &self.more)
            .field("every_nth", &self.every_nth)
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
    bus: &'a SubjectBus,
    pattern: Pattern<'a>,
    options: SubscriptionOptions,
}

impl<'a> Subscribe<'a> {
    pub(super) fn new(bus: &'a SubjectBus, pattern: Pattern<'a>) -> Self {
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

    /// Names the subscription. Its statistics and each call of an observer carry the name.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let hits = bus.subscribe("player.*.hit")?.name("scoreboard").capacity(2).open();
    /// let _all = bus.subscribe(">")?.open();
    /// for player in ["player.1.hit", "player.2.hit", "player.3.hit"] {
    ///     bus.try_publish(Envelope::unstamped(player)?)?;
    /// }
    ///
    /// assert_eq!(hits.name(), "scoreboard");
    /// assert_eq!(bus.info().to_string(), "\
    /// 3 published, 2 subscriptions, 5 enqueued, 1 dropped
    /// id  name        pattern       overrun      received  dropped  pending  most
    ///  1  scoreboard  player.*.hit  drop_newest         0        1      2/2     2
    ///  2              >             drop_newest         0        0     3/64     3
    /// ");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn name(self, name: impl Into<Box<str>>) -> Self {
        Self { options: self.options.name(name), ..self }
    }

    /// Subscribes to `pattern` as well. An envelope that matches several patterns of one
    /// subscription arrives once.
    ///
    /// The bus finds the subscription by each of its patterns. A publish that matches none of them
    /// is not slower for it.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError::InvalidPattern`] if `pattern` is not a [`Pattern`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let money = bus.subscribe("order.*")?.or("order.paid")?.or("refund.>")?.open();
    /// for subject in ["order.paid", "refund.7.sent", "chat.said"] {
    ///     bus.try_publish(Envelope::unstamped(subject)?)?;
    /// }
    /// assert_eq!(money.drain().count(), 2); // `order.paid` matches twice, and came once
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn or(self, pattern: &str) -> Result<Self, SubscribeError> {
        Ok(Self { options: self.options.or(Pattern::new(pattern)?), ..self })
    }

    /// Declares that this subscription is late on purpose, for example because its part of the
    /// program begins when it becomes the leader. A replay that it missed is then not reported,
    /// neither by [`missed_replay`](Subscription::missed_replay) nor by [`Observer::on_late`].
    #[doc(alias("leader only"))]
    pub fn late(self) -> Self {
        Self { options: self.options.late(), ..self }
    }

    /// Takes the first envelope, the one `n` after it, and so on. 0 and 1 mean every envelope.
    ///
    /// Only envelopes that match and pass the filter count for `n`. The subscription counts the
    /// skipped ones as [`sampled`](super::SubscriptionStats::sampled), and the observers see them
    /// with [`DropReason::Sampled`](super::DropReason::Sampled). They are skipped on purpose, so
    /// neither [`dropped`](Subscription::dropped) nor [`missed`](Subscription::missed) includes
    /// them. If a taken envelope finds no room, it is dropped as any other. The next one taken is
    /// `n` after it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let some = bus.subscribe("tick.*")?.every_nth(3).capacity(2).open();
    /// for tick in 0..7 {
    ///     bus.try_publish(Envelope::unstamped(&format!("tick.{tick}"))?)?;
    /// }
    ///
    /// assert_eq!((some.stats().sampled, some.dropped()), (4, 1)); // no room for 6
    /// assert!(some.drain().map(|it| it.subject().to_string()).eq(["tick.0", "tick.3"]));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[doc(alias("sample", "sampling", "throttle"))]
    pub fn every_nth(self, n: u32) -> Self {
        Self { options: self.options.every_nth(n), ..self }
    }

    /// Takes only envelopes for which `filter` returns `true`.
    ///
    /// Each publish whose subject matches the pattern calls the filter, on the publisher's thread
    /// and outside of all locks. The filter may use the bus. An envelope that it rejects is not
    /// lost: the bus does not count it, and does not call observers.
    ///
    /// A filter that panics rejects the envelope. Under the feature `std`, the panic continues in
    /// the publisher. Before that, every other subscription that matches has the envelope or has
    /// counted it as lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let people = bus.subscribe("chat.said")?.filter(|it| it.source() != "bot").open();
    /// for source in ["ann", "bot", "bob"] {
    ///     bus.try_publish(Envelope::unstamped("chat.said")?.with_source(source))?;
    /// }
    /// assert_eq!((people.drain().count(), people.dropped()), (2, 0));
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

    /// Opens the subscription. It receives what you publish from now on.
    ///
    /// If the bus was closed after you called [`subscribe`](super::SubjectBus::subscribe), the
    /// subscription has already ended.
    #[must_use = "dropping a subscription ends it"]
    pub fn open(self) -> Subscription {
        self.options.open(self.pattern, &self.bus.shared, &self.bus.observers)
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
