//! What is pending at one moment: see `Subscription::drain`.

use alloc::sync::Arc;
use core::fmt;
use core::iter::FusedIterator;

use super::subscription::Subscription;
use crate::envelope::Envelope;

/// See [`Subscription::drain`]. It holds no envelope: each stays pending until it is handed out, so a drain
/// that stops early has nothing to put back.
pub(super) struct Drain<'a> {
    subscription: &'a Subscription,
    /// The first number, as `Queue::next_number` counts them, that is not of this drain.
    end: u64,
}

impl<'a> Drain<'a> {
    pub(super) const fn new(subscription: &'a Subscription, end: u64) -> Self {
        Self { subscription, end }
    }
}

impl Iterator for Drain<'_> {
    type Item = Arc<Envelope>;

    #[inline]
    fn next(&mut self) -> Option<Arc<Envelope>> {
        self.subscription.take_before(self.end).ok()
    }
}

/// Numbers only rise: past its end, a drain stays there.
impl FusedIterator for Drain<'_> {}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.subscription.pending_before(self.end);
        f.debug_struct("Drain").field("left", &left).finish()
    }
}
