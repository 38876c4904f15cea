//! The bus: how it is made, subscribed to, closed and looked at.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::hold::Hold;
use super::info::{SubjectBusInfo, SubscriptionInfo};
use super::observer::Observer;
#[cfg(feature = "hosted")]
use super::shared::OnLoss;
use super::shared::Shared;
use super::stats::SubjectBusStats;
use super::subscribe::{Subscribe, SubscribeError};
use crate::event::Event;
use crate::subject::{Pattern, Subject};

/// How many subjects the cache of routes keeps by default.
const ROUTE_CACHE: usize = 1024;

/// Puts envelopes into the buffers of the subscriptions whose pattern matches their subject.
///
/// Any number of threads publish and receive. Each subscription has a buffer of its own, and an
/// [`Overrun`] that says what happens when it is full. A subscription that does not read costs the
/// others nothing. Exception: publishers wait for one with [`Overrun::Block`]. Envelopes are shared
/// and never change, so the bus copies nothing per subscription.
///
/// # Without `std`
///
/// With the feature `alloc` alone, the bus is for the one main loop of a program without an
/// operating system: it is neither `Send` nor `Sync`. [`try_publish`](Self::try_publish) never
/// waits, and tasks await room with [`publish_async`](Self::publish_async). The methods that block
/// a thread, `publish` and `publish_wait`, need `std`. Methods that exist in both cases mean the
/// same in both.
///
/// # Guarantees
///
/// - When a publish returns, each subscription that matches has the envelope in its buffer, or the
///   loss was counted and reported to the observers. Exception: a `publish_async` that is pending
///   at `close` is only counted.
/// - Each subscription receives the envelopes of one publisher in the order of publishing.
/// - At every quiet moment, the numbers of [`stats`](Self::stats) add up: `enqueued == received +
///   dropped_oldest + abandoned + pending`. For each subscription that an envelope matches, one of
///   `enqueued`, `dropped_newest`, `sampled`, `waiting` and the bus's `closed` counts it. Each
///   published envelope went to the subscriptions, or one of `held`, `held_dropped` and
///   `held_abandoned` counts it.
/// - A receiver sees the end of its subscription after every envelope, and from then on at each
///   call.
/// - The bus holds no lock while a filter, an observer, a waker or one of their destructors runs.
///   They may use the bus.
///
/// # Panics in your code
///
/// Under the feature `std`, a panic of a filter, an observer or a waker does not affect other
/// subscriptions, observers or tasks. The publish, the close or the drop does all its work, and
/// then the panic continues in its caller. Such a publish does not wait for room: a subscription
/// without room drops the envelope. Exception: a receive returns its envelope, and the panic of a
/// waker ends there.
///
/// # Deadlocks
///
/// A thread that receives from a subscription with [`Overrun::Block`] waits for itself if it calls
/// `publish` while that subscription is full. Publish there with
/// [`try_publish`](Self::try_publish), or with `publish_wait` and a timeout. In a task, use
/// [`publish_async`](Self::publish_async).
///
/// # Cost
///
/// A bus has one lock. A publish takes it once. It finds the subscriptions by one hash if the
/// subject was published before, otherwise by a search through the segments. It takes the lock
/// again for every further 8 subscriptions that match. It also does so for observers, and for each
/// subscription that has a filter or takes every nth envelope. A receive takes the lock once, and
/// so does each step of a [`drain`](super::Subscription::drain).
///
/// A publish on a known subject allocates nothing unless it waits. Opening and ending a
/// subscription empties the cache of subjects: see [`SubjectBusBuilder::route_cache`].
///
/// A subscription takes at most 512 bytes. In addition, it takes its filter, the text of its
/// pattern, and 16 bytes for each slot of its buffer. A pattern with more than two segments of its
/// own takes some 100 bytes for each further one.
///
/// # Start, pause and close
///
/// A bus whose builder has a [`hold`](SubjectBusBuilder::hold) keeps published envelopes until you
/// [`start`](Self::start) it. A [paused](Self::pause) bus keeps them too. [`close`](Self::close)
/// ends the bus, and dropping the bus closes it.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use tickbus::{Envelope, Overrun, SubjectBus};
///
/// let bus = SubjectBus::new();
/// let hits = bus.subscribe("player.*.hit")?.capacity(256).overrun(Overrun::DropOldest).open();
/// let all = bus.subscribe("player.>")?.filter(|envelope| envelope.source() != "bot").open();
///
/// bus.publish(Envelope::new("player.7.hit")?)?;
/// bus.publish(Envelope::new("player.7.hit")?.with_source("bot"))?;
/// bus.publish(Envelope::new("player")?)?; // matches neither, which is fine
///
/// assert_eq!((hits.drain().count(), all.drain().count()), (2, 1));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// [`Overrun`]: super::Overrun
/// [`Overrun::Block`]: super::Overrun::Block
#[doc(alias("event bus", "message bus", "pubsub", "publish subscribe", "broker", "dispatcher"))]
pub struct SubjectBus {
    pub(super) shared: Arc<Shared>,
    pub(super) observers: Box<[Arc<dyn Observer>]>,
}

/// Makes a [`SubjectBus`] with other settings than the defaults: see [`SubjectBus::builder`].
#[must_use]
pub struct SubjectBusBuilder {
    route_cache: usize,
    hold: Option<usize>,
    rotate: bool,
    observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "hosted")]
    on_loss: Option<OnLoss>,
}

impl SubjectBusBuilder {
    /// Sets how many subjects the bus remembers, each with the subscriptions that match. The
    /// default is 1024, and 0 remembers none.
    ///
    /// A remembered subject takes its text, and 16 bytes for each subscription that matches. The
    /// cache changes what a publish costs, never where an envelope goes. The bus empties it when a
    /// subscription is opened or ends, and when too many new subjects find no place in it.
    pub const fn route_cache(mut self, subjects: usize) -> Self {
        self.route_cache = subjects;
        self
    }

    /// Sets that the bus begins without a start: it keeps up to `capacity` envelopes until you
    /// [`start`](SubjectBus::start) it. A capacity of 0 means 1024.
    ///
    /// While the hold is full, a publish drops its envelope and returns
    /// [`PublishError::HoldFull`](super::PublishError::HoldFull).
    #[doc(alias("startup", "buffer", "paused"))]
    pub const fn hold(mut self, capacity: usize) -> Self {
        self.hold = Some(capacity);
        self
    }

    /// Sets whether the subscriptions take turns at being the first: `false` by default.
    ///
    /// A publish serves the subscriptions that match in the order in which they were opened. With
    /// `true`, and if several match, the bus counts the publish and begins with the one at the
    /// count modulo their number. The count begins with 0. So no subscription is always woken
    /// first, nor always waited for last. A publish then takes the lock twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::builder().rotate(true).build();
    /// let order = Arc::new(Mutex::new(Vec::new()));
    /// let _three = [1, 2, 3].map(|number| {
    ///     let order = order.clone();
    ///     let seen = move |_: &Envelope| {
    ///         order.lock().unwrap().push(number);
    ///         true
    ///     };
    ///     bus.subscribe("lap.*").unwrap().filter(seen).open()
    /// });
    /// bus.try_publish(Envelope::unstamped("lap.1")?)?;
    /// bus.try_publish(Envelope::unstamped("lap.2")?)?;
    /// assert_eq!(*order.lock().unwrap(), [1, 2, 3, 2, 3, 1]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[doc(alias("fairness", "round robin"))]
    pub const fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
        self
    }

    /// Calls `f` for each envelope that leaves a buffer although it was not received: a newer one
    /// displaced it, or the handle was dropped. `f` must not panic.
    #[cfg(feature = "hosted")]
    pub(crate) fn on_loss(mut self, f: OnLoss) -> Self {
        self.on_loss = Some(f);
        self
    }

    /// Adds an observer. The bus calls several in the order in which you added them.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Makes the bus.
    #[must_use]
    #[cfg_attr(
        not(feature = "std"),
        expect(clippy::arc_with_non_send_sync, reason = "it is both where there are threads")
    )]
    pub fn build(self) -> SubjectBus {
        let shared = Shared::new(self.route_cache, Hold::new(self.hold), self.rotate);
        #[cfg(feature = "hosted")]
        let shared = Shared { on_loss: self.on_loss, ..shared };
        SubjectBus { shared: Arc::new(shared), observers: self.observers.into() }
    }
}

impl fmt::Debug for SubjectBusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectBusBuilder")
            .field("route_cache", &self.route_cache)
            .field("hold", &self.hold)
            .field("rotate", &self.rotate)
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

impl SubjectBus {
    /// Returns a bus without subscriptions and observers.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which sets observers, a hold and the size of the cache.
    pub const fn builder() -> SubjectBusBuilder {
        SubjectBusBuilder {
            route_cache: ROUTE_CACHE,
            hold: None,
            rotate: false,
            observers: Vec::new(),
            #[cfg(feature = "hosted")]
            on_loss: None,
        }
    }

    /// Starts a subscription to `pattern`. [`open`](Subscribe::open) opens it.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError`] if `pattern` is not a [`Pattern`], or if the bus is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::SubjectBus;
    /// use tickbus::subject_bus::SubscribeError;
    ///
    /// let bus = SubjectBus::new();
    /// let error = bus.subscribe("player.7*").unwrap_err();
    /// assert!(error.to_string().starts_with("`player.7*`: the pattern has a wildcard"));
    ///
    /// let hits = bus.subscribe("player.*.hit")?.open();
    /// assert_eq!(hits.capacity(), 64); // the default
    ///
    /// bus.close();
    /// assert_eq!(bus.subscribe(">").unwrap_err(), SubscribeError::Closed);
    /// # Ok::<(), SubscribeError>(())
    /// ```
    pub fn subscribe<'a>(&'a self, pattern: &'a str) -> Result<Subscribe<'a>, SubscribeError> {
        let pattern = Pattern::new(pattern)?;
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        Ok(Subscribe::new(self, pattern))
    }

    /// Starts a subscription to the events of `E`: to each of its subjects.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError`] if the bus is closed, or if a hand-written `E` has no subject or
    /// an invalid one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// tickbus::events! {
    ///     #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    ///     enum Order {
    ///         #[subject = "order.paid"]     Paid { cents: u32 },
    ///         #[subject = "stock.reserved"] Reserved,
    ///     }
    /// }
    ///
    /// let bus = SubjectBus::new();
    /// let orders = bus.subscribe_events::<Order>()?.open();
    /// bus.try_publish(Envelope::unstamped_event(&Order::Paid { cents: 990 })?)?;
    /// bus.try_publish(Envelope::unstamped("order.shipped")?)?; // not one of these
    /// bus.try_publish(Envelope::unstamped("order.paid")?)?; // without its payload
    ///
    /// let mut events = orders.drain_events::<Order>();
    /// assert_eq!(events.next().unwrap()?, Order::Paid { cents: 990 });
    /// assert!(events.next().unwrap().is_err());
    /// assert!(events.next().is_none());
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn subscribe_events<E: Event>(&self) -> Result<Subscribe<'_>, SubscribeError> {
        let mut subjects = E::SUBJECTS.iter();
        let first = self.subscribe(subjects.next().copied().unwrap_or_default())?;
        subjects.try_fold(first, |subscription, subject| subscription.or(subject))
    }

    /// Returns how many subscriptions match `subject`. It does not call their filters.
    ///
    /// Use it to build an envelope only if a subscription wants it. The search takes the lock of
    /// the bus.
    #[must_use]
    pub fn matching(&self, subject: Subject<'_>) -> usize {
        self.shared.matching(subject)
    }

    /// Closes the bus. Publishing and subscribing then fail, publishers that wait for room return
    /// `PublishError::Closed`, and pending envelopes can still be received.
    ///
    /// It waits for publishes in progress. When it returns, the bus no longer enqueues envelopes or
    /// calls observers. A second call has no effect beyond that wait.
    ///
    /// A filter, an observer, or a waker that the end of a bus or a subscription wakes may call it
    /// too. Such a call does not wait for publishes in progress, because it would wait for its own
    /// caller.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns whether the bus is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Returns how many envelopes all subscriptions lost for want of room, ended ones included.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.stats().totals.dropped()
    }

    /// Returns the numbers of the bus. It reads those of each subscription.
    #[must_use]
    pub fn stats(&self) -> SubjectBusStats {
        self.shared.stats()
    }

    /// Returns a snapshot of the bus and each subscription in numbers. You can print or serialise
    /// it.
    ///
    /// Publishers continue meanwhile, so the numbers of two subscriptions may be of different
    /// moments.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, Overrun, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.capacity(2).overrun(Overrun::DropOldest).open();
    /// let all = bus.subscribe(">")?.open();
    /// for lap in ["lap.1", "lap.2", "lap.3"] {
    ///     bus.try_publish(Envelope::unstamped(lap)?)?;
    /// }
    /// all.close();
    ///
    /// assert_eq!(bus.info().to_string(), "\
    /// 3 published, 2 subscriptions, 6 enqueued, 1 dropped
    /// id  pattern  overrun      received  dropped  pending  most
    ///  1  lap.*    drop_oldest         0        1      2/2     2
    ///  2  >        drop_newest         0        0     3/64     3  closed
    /// ");
    /// # drop(laps);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn info(&self) -> SubjectBusInfo {
        SubjectBusInfo {
            closed: self.is_closed(),
            started: self.is_started(),
            stats: self.stats(),
            subscriptions: self.subscriptions(),
        }
    }

    /// Returns the subscriptions whose handle is alive, in the order in which they were opened.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionInfo> {
        self.shared.subscriptions()
    }

    /// Returns the patterns of the open subscriptions, sorted, each with how many subscriptions
    /// have it.
    #[must_use]
    pub fn patterns(&self) -> BTreeMap<Box<str>, usize> {
        let mut patterns = BTreeMap::new();
        for open in self.subscriptions().into_iter().filter(|subscription| !subscription.closed) {
            open.patterns.into_iter().for_each(|one| *patterns.entry(one).or_default() += 1);
        }
        patterns
    }
}

impl Default for SubjectBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SubjectBus {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SubjectBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectBus")
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
