//! What is queued at one moment: see `Subscription::drain`.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use super::observer::WhenFull;
use super::queue::{Pending, Taken, wake_all};
use super::subscription::Subscription;
use crate::envelope::Envelope;

/// How many envelopes a drain takes under one lock.
const BATCH: usize = 32;

/// See [`Subscription::drain`].
pub(super) struct Drain<'a> {
    subscription: &'a Subscription,
    /// Taken, and not handed out yet.
    batch: heapless::Deque<Pending, BATCH>,
    /// Which to take after these, as `Queue::queued` counts them.
    left: Range<u64>,
}

impl<'a> Drain<'a> {
    pub(super) const fn new(subscription: &'a Subscription, queued: Range<u64>) -> Self {
        Self { subscription, batch: heapless::Deque::new(), left: queued }
    }

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
        wake_all(wake.into_iter().flatten());
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &(self.batch.len() + self.len())).finish()
    }
}
