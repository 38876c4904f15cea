//! Fan-out: every subscriber reads every event, at its own cursor.
//!
//! | | publish | a subscriber that is N behind | what a subscriber costs a publisher |
//! |---|---|---|---|
//! | [`Topic`] | never fails | is told how much it missed | nothing |
//! | [`GatedTopic`] | [`Full`](crate::Full) | gates, or is told: its choice | nothing, until the topic seems full |
//! | [`Latest`] | never fails | reads the newest value | nothing |
//! | [`Listeners`] | calls them | – | their handlers |

mod gated;
mod latest;
mod listeners;
mod selective;
mod subscriber;

use core::fmt;

pub use self::gated::{GatedTopic, Gating};
pub use self::latest::{Changed, Latest, Watcher};
pub use self::listeners::Listeners;
pub use self::selective::{Selected, Selective};
pub use self::subscriber::{Subscriber, SubscriberStats, Unread};
use crate::ring::broadcast::Broadcast;

/// A topic: many publishers, any number of subscribers, the last `N` events.
pub struct Topic<E, const N: usize> {
    ring: Broadcast<E, N>,
}

impl<E: Copy, const N: usize> Topic<E, N> {
    /// A topic without events.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: Broadcast::new() }
    }

    /// A topic without events.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { ring: Broadcast::new() }
    }

    /// Publishes
    #[inline]
    pub fn publish(&self, event: E) {
        let ring = self.ring.view();
        if !ring.publish(event, |_| true) {
            ring.lose();
        }
    }

    /// Subs
    pub fn subscribe(&self) -> Subscriber<'_, E> {
        Subscriber::lagging(self.ring.view())
    }
}

impl<E: Copy, const N: usize> Default for Topic<E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy, const N: usize> fmt::Debug for Topic<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("capacity", &N).finish_non_exhaustive()
    }
}
