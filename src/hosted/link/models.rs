//! The queues of a link without its thread, for the model checker.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use tokio::sync::mpsc;

use super::inbox::{Inbox, Shared};
use super::outgoing::{LinkStats, Outgoing};
use crate::envelope::Envelope;
use crate::hosted::delivery::Delivery;
use crate::hosted::engine::{Level, Receipt};
use crate::subject_bus::EnvelopeBus;

/// What the thread of a link does with the outgoing queue.
pub struct Sender(Arc<Outgoing>);

/// Returns an outgoing queue with room for `capacity` envelopes: the side of the tick, and that of the thread.
#[must_use]
pub fn outgoing(capacity: usize) -> (Arc<dyn EnvelopeBus + Send + Sync>, Sender) {
    let (commands, _) = mpsc::unbounded_channel();
    let outgoing = Arc::new(Outgoing::new(capacity, commands));
    (outgoing.clone(), Sender(outgoing))
}

impl Sender {
    /// Waits until there is something to send, and sends at most `count` envelopes.
    pub async fn send(&self, count: usize) -> Vec<Arc<Envelope>> {
        self.0.filled().await;
        let envelopes = self.0.take(count);
        let accepted = |_| Ok(Receipt::new(&"model".into(), Level::Accepted));
        self.0.sent(envelopes.iter().map(accepted).collect(), |_| false);
        envelopes
    }

    /// Gives everything up that is not sent.
    pub fn abandon(&self) {
        self.0.abandon();
    }

    /// Returns the numbers.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.0.stats()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0).finish()
    }
}

/// What the thread of a link does with an inbox.
#[derive(Debug)]
pub struct Feeder(Arc<Shared>);

/// Returns an inbox with room for `capacity` deliveries, and the side of the thread.
#[must_use]
pub fn inbox(capacity: usize) -> (Inbox, Feeder) {
    let shared = Arc::new(Shared::new(capacity));
    (Inbox::new(shared.clone()), Feeder(shared))
}

impl Feeder {
    /// Puts a delivery in if there is room.
    pub fn push(&self, delivery: Delivery) {
        if self.0.room() > 0 {
            self.0.push([Ok(delivery)]);
        }
    }

    /// Waits until the tick has given something back, and settles it.
    pub async fn settle(&self) {
        self.0.given_back().await;
        self.0.settle_all(&mut Vec::new());
    }

    /// Ends the inbox.
    pub fn end(&self) {
        self.0.end();
    }
}
