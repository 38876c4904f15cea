//! What comes in: deliveries in a bounded queue, and what became of them on the way back.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use tokio::sync::Notify;

use super::Link;
use super::task::Command;
use crate::error::InvalidPattern;
use crate::hosted::delivery::{Delivery, Gap, Verdict};
use crate::hosted::engine::{Health, Reason};
use crate::hosted::subscribe::StartAt;
use crate::hosted::{DeliveryStats, OpenError};
use crate::subject::PatternBuf;
use crate::sync::Lock;
use crate::wait::panics::Panics;

/// How many gaps are kept until they are taken.
const GAPS: usize = 64;

/// Sets up an [`Inbox`]. [`group`](Self::group) and [`live`](Self::live) open it.
#[must_use = "nothing is subscribed before `group` or `live`"]
pub struct InboxOptions<'l> {
    link: &'l Link,
    spec: Spec,
}

/// What the task has to subscribe to.
pub(super) struct Spec {
    pub(super) patterns: Vec<PatternBuf>,
    pub(super) group: Option<Box<str>>,
    pub(super) start_at: Option<StartAt>,
    pub(super) lease: Option<Duration>,
    pub(super) max_attempts: Option<u32>,
    pub(super) capacity: usize,
    #[cfg(feature = "compression")]
    pub(super) max_decoded: Option<usize>,
}

impl<'l> InboxOptions<'l> {
    pub(super) fn new(link: &'l Link, pattern: PatternBuf) -> Result<Self, InvalidPattern> {
        let spec = Spec {
            patterns: alloc::vec![pattern],
            group: None,
            start_at: None,
            lease: None,
            max_attempts: None,
            capacity: 1024,
            #[cfg(feature = "compression")]
            max_decoded: None,
        };
        Ok(Self { link, spec })
    }

    /// Adds another pattern. An event that matches several patterns comes once.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn or(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        self.spec.patterns.push(pattern.parse()?);
        Ok(self)
    }

    /// Sets how many deliveries may be in the inbox and unsettled: 1024 by default.
    ///
    /// # Panics
    ///
    /// Panics if `deliveries` is 0.
    pub const fn capacity(mut self, deliveries: usize) -> Self {
        assert!(deliveries > 0, "an inbox needs room for a delivery");
        self.spec.capacity = deliveries;
        self
    }

    /// Sets where the group begins if it is new. With a group only.
    pub const fn start_at(mut self, start_at: StartAt) -> Self {
        self.spec.start_at = Some(start_at);
        self
    }

    /// Sets how long a delivery may stay unsettled before it comes again. With a group only.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.spec.lease = Some(lease);
        self
    }

    /// Sets how often an event is delivered at most. With a group only.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.spec.max_attempts = Some(attempts);
        self
    }

    /// Sets how many bytes a payload may have when it is decompressed, as
    /// [`Subscribe::max_decoded`](crate::hosted::Subscribe::max_decoded) does: 64 MiB by default.
    #[cfg(feature = "compression")]
    pub const fn max_decoded(mut self, bytes: usize) -> Self {
        self.spec.max_decoded = Some(bytes);
        self
    }

    /// Opens the inbox as a member of a group: deliveries that it does not settle come again.
    ///
    /// The link subscribes in the background, and retries until the engine can.
    #[must_use]
    pub fn group(mut self, name: impl Into<Box<str>>) -> Inbox {
        self.spec.group = Some(name.into());
        self.open()
    }

    /// Opens the inbox live: it receives from now on, at most once, with nothing to settle.
    ///
    /// The link subscribes in the background, and retries until the engine can.
    #[must_use]
    pub fn live(self) -> Inbox {
        self.open()
    }

    fn open(self) -> Inbox {
        let shared = Arc::new(Shared::new(self.spec.capacity));
        let command = Command::Inbox { spec: self.spec, shared: shared.clone() };
        if self.link.commands.send(command).is_err() {
            // The link ended by itself: the engine has panicked, or the runtime has ended.
            let reason = match self.link.health() {
                Health::Down(why) => Reason::Refused((*why).into()),
                _ => Reason::Closed,
            };
            shared.failed(OpenError::failed(&self.link.name, reason));
            shared.end();
        }
        Inbox::new(shared)
    }
}

impl fmt::Debug for InboxOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxOptions")
            .field("patterns", &self.spec.patterns)
            .field("capacity", &self.spec.capacity)
            .finish_non_exhaustive()
    }
}

/// Holds deliveries for a tick.
///
/// Take them with [`drain`](Self::drain), and acknowledge each when the tick has applied it. Both
/// hand over to the thread of the link, and do not wait.
///
/// Dropping the inbox ends the subscription. The position of a group stays, and unsettled
/// deliveries come again, to another member.
pub struct Inbox {
    shared: Arc<Shared>,
    /// Out of the queue, and not yet out of a drain.
    taken: VecDeque<Delivery>,
}

impl Inbox {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, taken: VecDeque::new() }
    }

    /// Takes the deliveries that are in the inbox at this moment, at most `limit`, in their order.
    ///
    /// Deliveries that you leave in the iterator stay for the next drain.
    pub fn drain(&mut self, limit: usize) -> Drain<'_> {
        let mut inner = self.shared.inner.lock();
        inner.draining = true;
        if self.taken.is_empty() {
            core::mem::swap(&mut self.taken, &mut inner.queue);
        } else if self.taken.len() < limit {
            self.taken.append(&mut inner.queue);
        }
        drop(inner);
        Drain { shared: &self.shared, left: limit.min(self.taken.len()), taken: &mut self.taken }
    }

    /// Returns how many deliveries are in the inbox.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.taken.len() + self.shared.inner.lock().queue.len()
    }

    /// Takes the oldest gap: events are missing. Returns `None` if there is no further gap.
    ///
    /// The inbox keeps gaps beside the deliveries, not between them. It keeps at most 64.
    pub fn take_gap(&mut self) -> Option<Gap> {
        self.shared.inner.lock().gaps.pop_front()
    }

    /// Returns whether the engine has opened the subscription, and it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let inner = self.shared.inner.lock();
        inner.open && !inner.ended
    }

    /// Returns whether no more deliveries will come: the link has ended, or the engine cannot.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.inner.lock().ended && self.pending() == 0
    }

    /// Returns why the subscription is not open: the last error of the engine, or its panic.
    #[must_use]
    pub fn error(&self) -> Option<Arc<OpenError>> {
        self.shared.inner.lock().error.clone()
    }

    /// Returns what became of the deliveries, as the link last counted it. Deliveries in the inbox
    /// and in your hands are `pending`.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.shared.inner.lock().stats
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.inner.lock().dropped = true;
        self.shared.settled.notify_one();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("pending", &self.pending())
            .field("open", &self.is_open())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Takes deliveries out of an [`Inbox`].
#[derive(Debug)]
pub struct Drain<'i> {
    shared: &'i Arc<Shared>,
    taken: &'i mut VecDeque<Delivery>,
    left: usize,
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.shared.end_drain();
    }
}

impl Iterator for Drain<'_> {
    type Item = Taken;

    fn next(&mut self) -> Option<Taken> {
        self.left = self.left.checked_sub(1)?;
        let delivery = self.taken.pop_front()?;
        Some(Taken { delivery: Some(delivery), to: self.shared.clone() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

/// A delivery that a tick has taken. The thread of the link settles it.
///
/// It dereferences to the [`Delivery`].
#[must_use = "a delivery that is not settled comes again"]
#[derive(Debug)]
pub struct Taken {
    /// `None` once it is settled.
    delivery: Option<Delivery>,
    to: Arc<Shared>,
}

impl Taken {
    /// Acknowledges the event: it is done. Never waits.
    pub fn ack(self) {
        self.settle(Verdict::Ack);
    }

    /// Gives the event back, to come again after at least `delay`. Never waits.
    pub fn retry_after(self, delay: Duration) {
        self.settle(Verdict::RetryAfter(delay));
    }

    /// Rejects the event: it never comes again. Never waits.
    pub fn reject(self, reason: impl Into<Box<str>>) {
        self.settle(Verdict::Reject(reason.into()));
    }

    fn settle(mut self, verdict: Verdict) {
        if let Some(delivery) = self.delivery.take() {
            self.to.give_back(delivery, Some(verdict));
        }
    }
}

impl Deref for Taken {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        self.delivery.as_ref().expect("it is there until it is settled")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            self.to.give_back(delivery, None);
        }
    }
}

/// Between the tick and the task.
pub(super) struct Shared {
    capacity: usize,
    inner: Lock<Inner>,
    /// Told when something was given back, or the inbox was dropped.
    settled: Notify,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Delivery>,
    /// A tick is taking deliveries, and tells when it is done.
    draining: bool,
    /// What the tick is done with.
    back: Vec<(Delivery, Option<Verdict>)>,
    /// How many are in the queue, with the tick, and on their way back.
    out: usize,
    gaps: VecDeque<Gap>,
    open: bool,
    ended: bool,
    dropped: bool,
    error: Option<Arc<OpenError>>,
    stats: DeliveryStats,
}

impl Shared {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Lock::new(Inner::default()), settled: Notify::new() }
    }

    fn give_back(&self, delivery: Delivery, verdict: Option<Verdict>) {
        let mut inner = self.inner.lock();
        if inner.ended {
            drop(inner);
            // On the tick's thread, where the engine has no business to panic.
            Panics::default().run(|| settle(delivery, verdict));
            return;
        }
        inner.back.push((delivery, verdict));
        // The task would look for what comes next while the tick is still at it.
        let tell = !inner.draining && inner.back.len() == 1;
        drop(inner);
        if tell {
            self.settled.notify_one();
        }
    }

    fn end_drain(&self) {
        let mut inner = self.inner.lock();
        inner.draining = false;
        let tell = !inner.back.is_empty();
        drop(inner);
        if tell {
            self.settled.notify_one();
        }
    }

    pub(super) fn opened(&self) {
        let mut inner = self.inner.lock();
        inner.open = true;
        inner.error = None;
    }

    pub(super) fn failed(&self, error: OpenError) {
        let mut inner = self.inner.lock();
        inner.open = false;
        inner.error = Some(Arc::new(error));
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.inner.lock().dropped
    }

    /// Returns how many further deliveries fit.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.inner.lock().out)
    }

    pub(super) fn push(&self, come: impl IntoIterator<Item = Result<Delivery, Gap>>) {
        let mut inner = self.inner.lock();
        for come in come {
            match come {
                Ok(delivery) => {
                    inner.out += 1;
                    inner.queue.push_back(delivery);
                }
                Err(gap) => {
                    if inner.gaps.len() == GAPS {
                        inner.gaps.pop_front();
                    }
                    inner.gaps.push_back(gap);
                }
            }
        }
    }

    /// Waits until the tick has given something back.
    pub(super) async fn given_back(&self) {
        self.settled.notified().await;
    }

    /// Settles what the tick has given back. The engine's part is done outside the lock.
    /// `spare` keeps the memory from one time to the next.
    pub(super) fn settle_all(&self, spare: &mut Vec<(Delivery, Option<Verdict>)>) {
        core::mem::swap(&mut self.inner.lock().back, spare);
        let count = spare.len();
        if count == 0 {
            return;
        }
        let mut panics = Panics::default();
        for (delivery, verdict) in spare.drain(..) {
            panics.run(|| settle(delivery, verdict));
        }
        self.inner.lock().out -= count;
        panics.resume();
    }

    pub(super) fn count(&self, stats: DeliveryStats) {
        self.inner.lock().stats = stats;
    }

    /// Nothing more comes. What the tick settles from here on it settles itself.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        let back = core::mem::take(&mut inner.back);
        drop(inner);
        for (delivery, verdict) in back {
            Panics::default().run(|| settle(delivery, verdict));
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

fn settle(delivery: Delivery, verdict: Option<Verdict>) {
    match verdict {
        Some(Verdict::Ack) => delivery.ack(),
        Some(Verdict::RetryAfter(delay)) => delivery.retry_after(delay),
        Some(Verdict::Reject(reason)) => delivery.reject(reason),
        Some(Verdict::Extend(_)) | None => drop(delivery),
    }
}
