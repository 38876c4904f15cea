//! The receiving end.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
#[cfg(feature = "std")]
use core::iter::FusedIterator;
use core::task::{Poll, Waker};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

use super::observer::{Overrun, Recipient};
use super::queue::{About, End, Pending, ReceiverId};
use super::routes::Target;
use super::shared::Shared;
use super::stats::SubscriptionStats;
use crate::envelope::Envelope;
use crate::subject::Pattern;
#[cfg(feature = "std")]
use crate::sync::host::{park, park_timeout, this_thread};
use crate::sync::{PlainNumber, Relaxed};
use crate::wait::panics::Panics;
#[cfg(feature = "std")]
use crate::wait::thread::{Cancel, Registration};

/// Receives the envelopes that match a pattern, in the order in which each publisher published
/// them.
///
/// A subscription is a queue: each envelope is received once. Several threads may receive from one
/// subscription, and each envelope goes to one of them.
///
/// # The end
///
/// A subscription ends by [`close`](Self::close), by the `Cancel` that you opened it with, or with
/// its bus. You can still receive pending envelopes; the end comes after them. Dropping the handle
/// ends the subscription at once and counts what is pending as abandoned. In each case, publishers
/// that wait for room return.
///
/// # Examples
///
/// ```
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::RecvError;
///
/// let bus = SubjectBus::new();
/// let hits = bus.subscribe("player.*.hit")?.capacity(2).open();
/// for player in 1..=4 {
///     bus.try_publish(Envelope::unstamped(&format!("player.{player}.hit"))?)?;
/// }
/// hits.close();
///
/// assert_eq!(hits.dropped(), 2); // two slots, four envelopes
/// assert_eq!(hits.try_recv().unwrap().subject().as_str(), "player.1.hit");
/// assert_eq!(hits.try_recv().unwrap().subject().as_str(), "player.2.hit");
/// assert_eq!(hits.try_recv(), Err(RecvError::Closed)); // each time from now on
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[doc(alias("subscriber", "receiver", "listener"))]
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

    pub(super) fn recipient(&self) -> Recipient<'_> {
        self.about.recipient()
    }

    /// Returns the number of this subscription, unique on its bus.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.about.id
    }

    /// Returns the name that you gave it. It is empty if you gave none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.about.name
    }

    /// Returns the pattern that this subscribed to. Of several, it returns the first.
    #[must_use]
    pub fn pattern(&self) -> Pattern<'_> {
        self.about.pattern()
    }

    /// Returns the patterns that this subscribed to, in the order in which you named them.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = Pattern<'_>> {
        self.about.patterns()
    }

    /// Returns how many envelopes fit into the buffer.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.about.capacity
    }

    /// Returns what happens to an envelope for which there is no room.
    #[must_use]
    pub fn overrun(&self) -> Overrun {
        self.about.overrun
    }

    /// Waits for the next envelope. Returns `None` at the end.
    #[must_use]
    #[cfg(feature = "std")]
    pub fn recv(&self) -> Option<Arc<Envelope>> {
        self.wait(None).ok()
    }

    /// Waits for the next envelope, at most for `timeout`. A timeout beyond the range of the clock
    /// never ends.
    ///
    /// # Errors
    ///
    /// Returns [`RecvError::Empty`] if no envelope came in time, and [`RecvError::Closed`] at the
    /// end.
    #[cfg(feature = "std")]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<Envelope>, RecvError> {
        self.wait(Instant::now().checked_add(timeout))
    }

    /// Takes the next envelope, if one is pending. Never waits.
    ///
    /// # Errors
    ///
    /// Returns [`RecvError::Empty`] if no envelope is pending, and [`RecvError::Closed`] at the
    /// end.
    pub fn try_recv(&self) -> Result<Arc<Envelope>, RecvError> {
        self.take_before(u64::MAX)
    }

    /// Takes the oldest envelope, if its number is below `end`.
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

    /// Takes the oldest envelope. Where there is none, the next one wakes `waker`. `waits` names
    /// the receiver, for the next call and for [`forget`](Self::forget).
    pub(crate) fn poll(
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
                if waker.is_some() {
                    Panics::default().dispose(waker);
                }
                if ready.is_some() {
                    Panics::default().dispose(ready);
                }
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

    /// Removes a receiver that waits.
    pub(crate) fn forget(&self, waits: Option<ReceiverId>) {
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

    /// Returns the number of the next envelope that comes in. A drain that begins now ends before
    /// it.
    pub(super) fn next_number(&self) -> u64 {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map_or(0, |queue| queue.next_number())
    }

    /// Returns how many are pending whose number is below `end`.
    pub(super) fn pending_before(&self, end: u64) -> u64 {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map_or(0, |queue| queue.pending_before(end))
    }

    /// Returns an iterator that waits for each envelope and ends with the subscription.
    #[cfg(feature = "std")]
    pub fn iter(&self) -> SubscriptionIter<'_> {
        SubscriptionIter(self)
    }

    /// Returns how many envelopes were dropped right before the last received one.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, Overrun, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let laps = bus.subscribe("lap.*")?.capacity(2).overrun(Overrun::DropOldest).open();
    /// for lap in 1..=5 {
    ///     bus.try_publish(Envelope::unstamped(&format!("lap.{lap}"))?)?;
    /// }
    ///
    /// assert_eq!(laps.try_recv()?.subject().as_str(), "lap.4");
    /// assert_eq!(laps.missed(), 3); // 1, 2 and 3
    /// assert_eq!(laps.try_recv()?.subject().as_str(), "lap.5");
    /// assert_eq!(laps.missed(), 0);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed) as u64
    }

    /// Returns how many envelopes the bus had replayed, by [`start`](super::SubjectBus::start),
    /// before this subscription was opened. The subscription did not see them. The number is 0 if
    /// it was opened in time, or is [late](super::Subscribe::late) on purpose.
    #[must_use]
    pub fn missed_replay(&self) -> u64 {
        self.about.missed_replay
    }

    /// Returns how many envelopes this subscription lost for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.stats().dropped()
    }

    /// Returns the numbers of this subscription.
    #[must_use]
    pub fn stats(&self) -> SubscriptionStats {
        let mut state = self.bus.state.lock();
        self.target.queue(&mut state.queues).map(|queue| queue.stats()).unwrap_or_default()
    }

    /// Ends the subscription. It takes no new envelope, and pending ones can still be received. A
    /// second call has no effect.
    pub fn close(&self) {
        self.bus.close_one(&self.about, self.target);
    }

    /// Returns whether the subscription has ended. Envelopes may still be pending.
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
            .field("name", &self.name())
            .field("patterns", &self.about.patterns)
            .field("capacity", &self.capacity())
            .field("overrun", &self.overrun())
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

/// Waits for the envelopes of a subscription: see [`Subscription::iter`].
#[cfg(feature = "std")]
#[derive(Debug)]
#[must_use = "an iterator receives nothing before you ask it for one"]
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

/// No envelope was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// No envelope is pending, or none came in time. Later ones may come.
    Empty,
    /// The subscription has ended, and no envelope is pending.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "no envelope is pending",
            Self::Closed => "the subscription has ended",
        })
    }
}

impl Error for RecvError {}
