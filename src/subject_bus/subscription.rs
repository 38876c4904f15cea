//! The receiving end.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::iter::FusedIterator;
use core::task::{Poll, Waker};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

#[cfg(feature = "std")]
use super::cancel::{Cancel, Registration};
use super::drain::Drain;
use super::observer::Overrun;
use super::panics::Panics;
use super::queue::{About, End, Pending, ReceiverId};
use super::routes::Target;
use super::shared::Shared;
use super::stats::SubscriptionStats;
use super::stream::SubscriptionStream;
use crate::envelope::Envelope;
use crate::subject::Pattern;
#[cfg(feature = "std")]
use crate::sync::host::{park, park_timeout, this_thread};
use crate::sync::{PlainNumber, Relaxed};

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
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::RecvError;
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
    pub(super) bus: Arc<Shared>,
    about: Arc<About>,
    pub(super) target: Target,
    /// How many were dropped right before the one that was received last.
    missed: PlainNumber,
    #[cfg(feature = "std")]
    cancelled: Option<Registration>,
}

impl Subscription {
    pub(super) const fn new(bus: Arc<Shared>, about: Arc<About>, target: Target) -> Self {
        Self {
            bus,
            about,
            target,
            missed: PlainNumber::new(0),
            #[cfg(feature = "std")]
            cancelled: None,
        }
    }

    /// Closes it when `cancel` is cancelled.
    #[cfg(feature = "std")]
    pub(super) fn close_on(&mut self, cancel: &Cancel) {
        let (bus, about) = (Arc::downgrade(&self.bus), Arc::downgrade(&self.about));
        let target = self.target;
        self.cancelled = Some(cancel.on_cancel(move || {
            if let (Some(bus), Some(about)) = (bus.upgrade(), about.upgrade()) {
                bus.close_one(&about, target);
            }
        }));
    }

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
    pub fn when_full(&self) -> Overrun {
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
        self.take_before(u64::MAX)
    }

    /// The oldest envelope, if its number is below `end`.
    #[inline]
    pub(super) fn take_before(&self, end: u64) -> Result<Arc<Envelope>, RecvError> {
        match self.bus.take_before(self.target, end) {
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
            if let Some(taken) = queue.take_before(u64::MAX) {
                let waker = queue.awake(waits.take());
                drop(state);
                // After the lock. The envelope is this receiver's, whatever becomes of a waker.
                Panics::default().dispose(waker);
                Panics::default().dispose(ready);
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
        let mut panics = Panics::default();
        match forgotten {
            Some((receiver, true)) => panics.wake([receiver]),
            own => panics.dispose(own),
        }
        panics.resume();
    }

    /// The number of the next envelope that comes in: up to it goes a drain that begins now.
    pub(super) fn next_number(&self) -> u64 {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map_or(0, |queue| queue.next_number())
    }

    /// How many are pending whose number is below `end`.
    pub(super) fn pending_before(&self, end: u64) -> u64 {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map_or(0, |queue| queue.pending_before(end))
    }

    /// Drains the envelopes that are pending at this moment, and no later ones. Never waits. For use in a
    /// tick.
    ///
    /// Each call of `next` takes one envelope, under one lock; it makes room when it is handed out. What is
    /// not taken stays pending, in order, also when the drain is leaked. Several drains and receivers of one
    /// subscription share what is pending: each envelope goes to one of them. Under
    /// [`Overrun::DropOldest`], what gave way to newer envelopes before it was taken is lost; the newer ones
    /// wait for the next drain.
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
    pub fn drain(&self) -> impl FusedIterator<Item = Arc<Envelope>> + fmt::Debug {
        self.drain_before(self.next_number())
    }

    /// Drains those whose number is below `end`.
    pub(super) const fn drain_before(&self, end: u64) -> Drain<'_> {
        Drain::new(self, end)
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
    /// use tickbus::{Envelope, SubjectBus, Overrun};
    ///
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.capacity(2).overrun(Overrun::DropOldest).open();
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
        self.bus.close_one(&self.about, self.target);
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
