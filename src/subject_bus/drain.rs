//! What is pending at one moment: [`Subscription::drain`].

use alloc::sync::Arc;
use core::fmt;
use core::iter::FusedIterator;

use super::subscription::Subscription;
use crate::envelope::Envelope;

/// See [`Subscription::drain`]. It holds no envelope: each stays pending until it is handed out, so
/// a drain that stops early has nothing to put back.
pub(super) struct Drain<'a> {
    subscription: &'a Subscription,
    /// The first number, as `Queue::next_number` counts them, that is not of this drain.
    end: u64,
}

impl Subscription {
    /// Drains the envelopes that are pending at this moment, and no later ones. Never waits. Use it
    /// in a tick.
    ///
    /// Each call of `next` takes one envelope, under one lock, and makes room for another. What you
    /// do not take stays pending, in order, even if you leak the drain. Several drains and
    /// receivers of one subscription share the pending envelopes: each envelope goes to one of
    /// them.
    ///
    /// Under [`Overrun::DropOldest`](super::Overrun::DropOldest), newer envelopes may displace
    /// older ones while you drain. The displaced ones are lost, and the newer ones stay pending for
    /// the next drain.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let ticks = bus.subscribe("tick.*")?.open();
    /// bus.try_publish(Envelope::unstamped("tick.1")?)?;
    ///
    /// let mut handled = 0;
    /// for _ in ticks.drain() {
    ///     handled += 1;
    ///     bus.try_publish(Envelope::unstamped("tick.2")?)?; // waits for the next drain
    /// }
    /// assert_eq!(handled, 1);
    /// assert_eq!(ticks.drain().count(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn drain(&self) -> impl FusedIterator<Item = Arc<Envelope>> + fmt::Debug {
        self.drain_before(self.next_number())
    }

    /// Drains those whose number is below `end`.
    pub(super) const fn drain_before(&self, end: u64) -> Drain<'_> {
        Drain { subscription: self, end }
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
        let pending = self.subscription.pending_before(self.end);
        f.debug_struct("Drain").field("pending", &pending).finish()
    }
}
