//! The receiving end: how it is opened, and the handle.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
#[cfg(feature = "std")]
use core::iter::FusedIterator;
use core::ops::Range;
use core::task::{Poll, Waker};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

#[cfg(feature = "std")]
use super::cancel::{Cancel, Registration};
use super::observer::WhenFull;
use super::queue::{About, End, Pending, Predicate, Queue, ReceiverId, Taken};
use super::routes::Target;
use super::shared::Shared;
use super::stream::SubscriptionStream;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::Pattern;
#[cfg(feature = "std")]
use crate::sync::host::{park, park_timeout, this_thread};
use crate::sync::{PlainNumber, Relaxed};

/// How many envelopes wait for a subscription that does not say otherwise.
const CAPACITY: usize = 64;

/// What a subscription is like: what [`Subscribe`] sets one by one, as a value.
#[derive(Default)]
#[must_use]
pub struct SubscriptionOptions {
    capacity: usize,
    when_full: WhenFull,
    predicate: Option<Predicate>,
    #[cfg(feature = "std")]
    cancel: Option<Cancel>,
}

impl SubscriptionOptions {
    /// 64 envelopes, [`WhenFull::DropNewest`], no filter.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many envelopes may wait; 0 for the default, which is 64.
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// What happens to an envelope for which there is no room.
    pub fn overrun(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// Takes only envelopes for which `filter` is true: see [`Subscribe::filter`].
    pub fn filter(self, filter: impl Fn(&Envelope) -> bool + Send + Sync + 'static) -> Self {
        Self { predicate: Some(Box::new(filter)), ..self }
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
        let about = |id| About::new(id, pattern, capacity, when_full, predicate);
        let (about, target) = bus.insert(about, ended);
        #[cfg(feature = "std")]
        let cancelled = cancel.map(|cancel| {
            let (bus, about) = (Arc::downgrade(bus), Arc::downgrade(&about));
            cancel.on_cancel(move || {
                if let (Some(bus), Some(about)) = (bus.upgrade(), about.upgrade()) {
                    bus.end(&about, target);
                }
            })
        });
        let missed = PlainNumber::new(0);
        Subscription {
            bus: bus.clone(),
            about,
            target,
            missed,
            #[cfg(feature = "std")]
            _cancelled: cancelled,
        }
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

    /// What happens to an envelope for which there is no room. [`WhenFull::DropNewest`] by default.
    pub fn overrun(self, when_full: WhenFull) -> Self {
        Self { options: self.options.overrun(when_full), ..self }
    }

    /// Takes only envelopes for which `filter` is true.
    ///
    /// It is asked after the pattern, for every publish, on the publisher's thread and outside of all
    /// locks, so it may use the bus. What it turns away is not lost: no observer hears of it. A panic in
    /// it goes on to the publisher; whoever was to get the envelope after that does not, and the bus
    /// stays usable.
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

/// What a subscriber gets: the envelopes that match its pattern, in the order in which each publisher
/// published them.
///
/// It is a queue: each envelope is received once. Several threads may receive from one subscription,
/// and each envelope goes to one of them.
///
/// It ends by [`close`](Self::close), by the `Cancel` it was opened with, or with its bus. What is
/// queued then can still be received; after that comes the end. Dropping the handle ends it at once,
/// and what is queued is counted as abandoned. Every way of ending sends the publishers that wait for
/// room away.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use tickbus::{Envelope, RecvError, SubjectBus};
///
/// let bus = SubjectBus::new();
/// let hits = bus.subscribe("player.*.hit")?.capacity(2).open();
/// for player in 1..=4 {
///     bus.publish(Envelope::new(&format!("player.{player}.hit"))?)?;
/// }
/// hits.close();
///
/// assert_eq!(hits.dropped(), 2); // two slots, four envelopes
/// assert_eq!(hits.recv().unwrap().subject().as_str(), "player.1.hit");
/// assert_eq!(hits.try_recv().unwrap().subject().as_str(), "player.2.hit");
/// assert_eq!(hits.try_recv(), Err(RecvError::Closed));
/// assert_eq!(hits.recv(), None); // the end, as often as it is asked for
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    bus: Arc<Shared>,
    about: Arc<About>,
    target: Target,
    /// How many were dropped right before the one that was received last.
    missed: PlainNumber,
    #[cfg(feature = "std")]
    _cancelled: Option<Registration>,
}

impl Subscription {
    /// Its number, unique on its bus.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.about.id
    }

    /// What it subscribed to.
    #[must_use]
    pub fn pattern(&self) -> Pattern<'_> {
        self.about.pattern()
    }

    /// How many envelopes may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.about.capacity
    }

    /// What happens to an envelope for which there is no room.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.about.when_full
    }

    /// The next envelope. Waits for one; `None` is the end.
    #[must_use]
    #[cfg(feature = "std")]
    pub fn recv(&self) -> Option<Arc<Envelope>> {
        self.wait(None).ok()
    }

    /// The next envelope. Waits for one, but not longer than `timeout`; a timeout beyond what the clock
    /// can tell is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if none came in time, [`RecvError::Closed`] at the end.
    #[cfg(feature = "std")]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<Envelope>, RecvError> {
        self.wait(Instant::now().checked_add(timeout))
    }

    /// The next envelope, if there is one now. Never waits.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is none now, [`RecvError::Closed`] at the end.
    pub fn try_recv(&self) -> Result<Arc<Envelope>, RecvError> {
        match self.bus.take(self.target) {
            Ok(taken) => Ok(self.received(taken)),
            Err(true) => Err(RecvError::Closed),
            Err(false) => Err(RecvError::Empty),
        }
    }

    fn received(&self, taken: Pending) -> Arc<Envelope> {
        self.missed.store(usize::try_from(taken.missed).unwrap_or(usize::MAX), Relaxed);
        taken.envelope
    }

    #[cfg(feature = "std")]
    fn wait(&self, deadline: Option<Instant>) -> Result<Arc<Envelope>, RecvError> {
        let mut waits = None;
        loop {
            if let Poll::Ready(received) = self.poll(&mut waits, this_thread) {
                return received.ok_or(RecvError::Closed);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                None => park(),
                Some(left) if left.is_zero() => {
                    self.forget(waits);
                    return Err(RecvError::Empty);
                }
                Some(left) => park_timeout(left),
            }
        }
    }

    /// Takes the oldest envelope. Where there is none, `waker` is told of the next one; `waits` is who
    /// waits, for the next call and for [`forget`](Self::forget).
    pub(super) fn poll(
        &self,
        waits: &mut Option<ReceiverId>,
        waker: impl Fn() -> Waker,
    ) -> Poll<Option<Arc<Envelope>>> {
        let mut ready = None; // made before the lock, for it may be a user's
        loop {
            let mut state = self.bus.state.lock();
            let Some(queue) = self.target.queue(&mut state.queues) else {
                return Poll::Ready(None);
            };
            if let Some(taken) = queue.take() {
                let waker = queue.awake(waits.take());
                drop(state);
                drop(waker); // after the lock
                return Poll::Ready(Some(self.received(taken.wake())));
            }
            if queue.end == End::Closed {
                return Poll::Ready(None);
            }
            if let Some(waker) = ready.take() {
                let old = queue.sleep(waits, waker);
                drop(state);
                drop(old); // after the lock
                return Poll::Pending;
            }
            drop(state);
            ready = Some(waker());
        }
    }

    /// A receiver that waits goes away.
    pub(super) fn forget(&self, waits: Option<ReceiverId>) {
        if waits.is_none() {
            return;
        }
        let mut state = self.bus.state.lock();
        let queue = self.target.queue(&mut state.queues);
        let forgotten = queue.and_then(|queue| queue.forget(waits));
        drop(state);
        if let Some((receiver, true)) = forgotten {
            receiver.wake();
        }
    }

    /// Which are queued now: what [`drain_of`](Self::drain_of) takes.
    pub(super) fn queued(&self) -> Range<u64> {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map_or(0..0, |queue| queue.queued())
    }

    /// The envelopes that are queued at this moment, and no later ones. Never waits; what is not taken
    /// stays queued, in order. For use in a tick.
    ///
    /// It takes up to 32 under one lock, one under [`WhenFull::Block`]. They make room at once, and others
    /// who receive meanwhile get what comes after them. What is dropped unused goes back to the front,
    /// for the moment in spite of the capacity. Under [`WhenFull::DropOldest`], what gave way to newer
    /// ones before it was taken is lost; the newer ones wait for the next drain.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let ticks = bus.subscribe("tick.*")?.open();
    /// bus.publish(Envelope::new("tick.1")?)?;
    ///
    /// let mut handled = 0;
    /// for _ in ticks.drain() {
    ///     handled += 1;
    ///     bus.publish(Envelope::new("tick.2")?)?; // waits for the next drain
    /// }
    /// assert_eq!(handled, 1);
    /// assert_eq!(ticks.drain().count(), 1);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn drain(&self) -> impl Iterator<Item = Arc<Envelope>> + fmt::Debug {
        self.drain_of(self.queued())
    }

    /// The same for those that were queued some time ago.
    pub(super) const fn drain_of(&self, queued: Range<u64>) -> Drain<'_> {
        Drain { subscription: self, batch: heapless::Deque::new(), left: queued }
    }

    /// The envelopes as they come, to the end, for a task that awaits them. Tasks and threads may
    /// receive from one subscription at the same time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     use std::task::{Context, Poll, Waker};
    /// #     let mut future = std::pin::pin!(future);
    /// #     match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #         Poll::Ready(output) => output,
    /// #         Poll::Pending => unreachable!("all is there"),
    /// #     }
    /// # }
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.open();
    /// bus.publish(Envelope::new("lap.1")?)?;
    /// bus.close();
    ///
    /// block_on(async {
    ///     let mut stream = laps.stream();
    ///     assert_eq!(stream.recv().await.unwrap().subject().as_str(), "lap.1");
    ///     assert_eq!(stream.recv().await, None); // the end
    /// });
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub const fn stream(&self) -> SubscriptionStream<'_> {
        SubscriptionStream::new(self)
    }

    /// The envelopes as they come, to the end. Waits for each.
    #[cfg(feature = "std")]
    pub fn iter(&self) -> SubscriptionIter<'_> {
        SubscriptionIter(self)
    }

    /// How many envelopes were dropped right before the one that was received last: the size of the
    /// hole in front of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use tickbus::{Envelope, SubjectBus, WhenFull};
    ///
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.capacity(2).overrun(WhenFull::DropOldest).open();
    /// for lap in 1..=5 {
    ///     bus.publish(Envelope::new(&format!("lap.{lap}"))?)?;
    /// }
    ///
    /// assert_eq!(laps.recv().unwrap().subject().as_str(), "lap.4");
    /// assert_eq!(laps.missed(), 3); // 1, 2 and 3
    /// assert_eq!(laps.recv().unwrap().subject().as_str(), "lap.5");
    /// assert_eq!(laps.missed(), 0);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed) as u64
    }

    /// How many envelopes this subscription lost for want of room, since it was opened.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.stats().dropped()
    }

    /// Its numbers.
    #[must_use]
    pub fn stats(&self) -> SubscriptionStats {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map(|queue| queue.stats()).unwrap_or_default()
    }

    /// Ends it: nothing new comes in, what is queued can still be received. Again, it does nothing.
    pub fn close(&self) {
        self.bus.end(&self.about, self.target);
    }

    /// Whether it has ended. There may be envelopes left to receive.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).is_none_or(|queue| queue.end == End::Closed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus.remove(&self.about, self.target);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id())
            .field("pattern", &self.pattern().as_str())
            .field("capacity", &self.capacity())
            .field("when_full", &self.when_full())
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish()
    }
}

#[cfg(feature = "std")]
impl<'a> IntoIterator for &'a Subscription {
    type Item = Arc<Envelope>;
    type IntoIter = SubscriptionIter<'a>;

    fn into_iter(self) -> SubscriptionIter<'a> {
        self.iter()
    }
}

/// The envelopes of a subscription as they come: see [`Subscription::iter`].
#[cfg(feature = "std")]
#[derive(Debug)]
#[must_use = "nothing is received before it is asked for"]
pub struct SubscriptionIter<'a>(&'a Subscription);

#[cfg(feature = "std")]
impl Iterator for SubscriptionIter<'_> {
    type Item = Arc<Envelope>;

    fn next(&mut self) -> Option<Arc<Envelope>> {
        self.0.recv()
    }
}

#[cfg(feature = "std")]
impl FusedIterator for SubscriptionIter<'_> {}

/// How many envelopes a drain takes under one lock.
const BATCH: usize = 32;

/// See [`Subscription::drain`].
pub(super) struct Drain<'a> {
    subscription: &'a Subscription,
    /// Taken, and not handed out yet.
    batch: heapless::Deque<Pending, BATCH>,
    /// Which to take after these, as [`Queue::queued`] counts them.
    left: Range<u64>,
}

impl Drain<'_> {
    fn refill(&mut self) {
        let mut state = self.subscription.bus.state.lock();
        let Some(queue) = self.subscription.target.queue(&mut state.queues) else { return };
        // Some were received by others, or gave way, since the last look.
        self.left.start = queue.queued().start;
        if self.left.is_empty() {
            return;
        }
        if queue.when_full == WhenFull::Block {
            // One by one where a publisher may wait, so that each makes room for one.
            let taken = queue.take();
            self.left.start += 1;
            drop(state);
            self.batch.extend(taken.map(Taken::wake));
            return;
        }
        for taken in core::iter::from_fn(|| queue.take()).take(BATCH.min(self.len())) {
            let _ = self.batch.push_back(taken.it); // has room for a batch, and nobody waits with it
        }
        self.left.start += self.batch.len() as u64;
    }

    fn len(&self) -> usize {
        usize::try_from(self.left.end.saturating_sub(self.left.start)).unwrap_or(usize::MAX)
    }
}

impl Iterator for Drain<'_> {
    type Item = Arc<Envelope>;

    #[inline]
    fn next(&mut self) -> Option<Arc<Envelope>> {
        if self.batch.is_empty() && !self.left.is_empty() {
            self.refill();
        }
        self.batch.pop_front().map(|taken| self.subscription.received(taken))
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let mut wake = heapless::Vec::<_, BATCH>::new();
        let mut state = self.subscription.bus.state.lock();
        if let Some(queue) = self.subscription.target.queue(&mut state.queues) {
            while let Some(taken) = self.batch.pop_back() {
                let _ = wake.push(queue.put_back(taken)); // has room for a batch
            }
        }
        drop(state);
        wake.into_iter().flatten().for_each(Waker::wake);
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &(self.batch.len() + self.len())).finish()
    }
}

/// What happened at one subscription.
///
/// At every quiet moment `delivered == received + dropped_oldest + abandoned + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Envelopes that were put into the buffer.
    pub delivered: u64,
    /// Envelopes that were received.
    pub received: u64,
    /// Envelopes that were not put into the buffer because it was full.
    pub dropped_newest: u64,
    /// Envelopes that were taken from the buffer to make room for newer ones.
    pub dropped_oldest: u64,
    /// Envelopes that were in the buffer when the handle was dropped.
    pub abandoned: u64,
    /// Envelopes in the buffer now.
    pub pending: u64,
    /// Publishers that wait for room now. Their envelopes are counted nowhere yet.
    pub waiting: u64,
    /// The most that were ever in the buffer.
    pub high_water: u64,
}

impl SubscriptionStats {
    /// Losses for want of room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped_newest + self.dropped_oldest
    }

    /// Adds the numbers of another one.
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.received += other.received;
        self.dropped_newest += other.dropped_newest;
        self.dropped_oldest += other.dropped_oldest;
        self.abandoned += other.abandoned;
        self.pending += other.pending;
        self.waiting += other.waiting;
        self.high_water = self.high_water.max(other.high_water);
    }
}

/// One subscription of a bus, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// Its number, unique on its bus.
    pub id: u64,
    /// The text of its pattern.
    pub pattern: Box<str>,
    /// How many envelopes may wait.
    pub capacity: usize,
    /// What happens to an envelope for which there is no room.
    pub when_full: WhenFull,
    /// Whether it has ended.
    pub closed: bool,
    /// Its numbers.
    pub stats: SubscriptionStats,
}

impl SubscriptionInfo {
    pub(super) fn of(queue: &Queue) -> Self {
        Self {
            id: queue.about.id,
            pattern: queue.about.pattern().as_str().into(),
            capacity: queue.about.capacity,
            when_full: queue.about.when_full,
            closed: queue.end == End::Closed,
            stats: queue.stats(),
        }
    }
}

/// Why there is no envelope to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// There is none now, or none came in time. There may be later.
    Empty,
    /// The subscription has ended, and everything was received.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "no envelope is there",
            Self::Closed => "the subscription has ended",
        })
    }
}

impl Error for RecvError {}

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
