//! What goes out: a bounded queue, and the numbers of what became of it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use tokio::sync::{Notify, mpsc};

use super::task::Command;
use crate::envelope::Envelope;
use crate::hosted::engine::{EngineError, Level, Receipt};
use crate::subject::Pattern;
use crate::subject_bus::{
    EnvelopeBus, PublishError, Published, SubjectBus, SubscribeError, Subscription,
    SubscriptionOptions,
};
use crate::sync::Lock;

/// Counts what became of the envelopes that were published to a link.
///
/// At every moment, `offered` is the sum of all other numbers except `retried` and `gaps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LinkStats {
    /// Envelopes published to the link.
    pub offered: u64,
    /// Envelopes for which the engine returned [`Level::Buffered`].
    pub buffered: u64,
    /// Envelopes for which the engine returned [`Level::Accepted`].
    pub accepted: u64,
    /// Envelopes for which the engine returned [`Level::Stored`].
    pub stored: u64,
    /// Envelopes whose id the engine had already.
    pub duplicate: u64,
    /// Envelopes that the engine refused, for a lasting reason.
    pub refused: u64,
    /// Envelopes that may have arrived, and that the engine would not recognise as repeated.
    pub unknown: u64,
    /// Envelopes dropped because the queue was full.
    pub full: u64,
    /// Envelopes still pending when the link ended. They may have arrived.
    pub abandoned: u64,
    /// Envelopes in the queue, or being sent.
    pub pending: u64,
    /// How often the link sent an envelope again.
    pub retried: u64,
    /// How many gaps the subscriptions of the bus had: events were missing there.
    pub gaps: u64,
    /// Whether the engine did not return in time when the link ended: it blocks. The link has left
    /// its thread behind then.
    pub unfinished: bool,
}

impl LinkStats {
    /// Returns whether the numbers add up, as they do at every moment.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        let Self { offered, buffered, accepted, stored, duplicate, refused, unknown, .. } = *self;
        let lost = refused + unknown + self.full + self.abandoned;
        offered == buffered + accepted + stored + duplicate + lost + self.pending
    }
}

pub(super) struct Outgoing {
    capacity: usize,
    inner: Lock<Inner>,
    /// Told when the queue is no longer empty.
    filled: Notify,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Arc<Envelope>>,
    closed: bool,
    /// Nothing counts any more.
    ended: bool,
    stats: LinkStats,
}

impl Outgoing {
    pub(super) fn new(capacity: usize, commands: mpsc::UnboundedSender<Command>) -> Self {
        let queue = VecDeque::with_capacity(capacity);
        let inner = Lock::new(Inner { queue, ..Inner::default() });
        Self { capacity, inner, filled: Notify::new(), commands }
    }

    pub(super) fn stats(&self) -> LinkStats {
        self.inner.lock().stats
    }

    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits until there is something to send.
    pub(super) async fn filled(&self) {
        while self.inner.lock().queue.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes at most `count` envelopes out. They count as pending until [`sent`](Self::sent).
    pub(super) fn take(&self, count: usize) -> Vec<Arc<Envelope>> {
        let mut inner = self.inner.lock();
        let count = count.min(inner.queue.len());
        inner.queue.drain(..count).collect()
    }

    /// Says what became of those that were taken. Returns those that are worth another attempt.
    ///
    /// The tick waits for one lock of constant length, however many there are.
    pub(super) fn sent(
        &self,
        results: Vec<Result<Receipt, EngineError>>,
        again: impl Fn(&EngineError) -> bool,
    ) -> Vec<Arc<Envelope>> {
        let (mut of, mut done) = (LinkStats::default(), 0);
        let mut envelopes = Vec::new();
        for result in results {
            let number = match result {
                Ok(Receipt { duplicate: true, .. }) => &mut of.duplicate,
                Ok(Receipt { level: Level::Buffered, .. }) => &mut of.buffered,
                Ok(Receipt { level: Level::Accepted, .. }) => &mut of.accepted,
                Ok(Receipt { level: Level::Stored, .. }) => &mut of.stored,
                Err(error) if again(&error) => {
                    of.retried += 1;
                    envelopes.push(error.into_envelope());
                    continue;
                }
                Err(error) if error.is_unknown() => &mut of.unknown,
                Err(_) => &mut of.refused,
            };
            *number += 1;
            done += 1;
        }
        let inner = &mut *self.inner.lock();
        if inner.ended {
            return Vec::new();
        }
        let stats = &mut inner.stats;
        stats.duplicate += of.duplicate;
        stats.buffered += of.buffered;
        stats.accepted += of.accepted;
        stats.stored += of.stored;
        stats.unknown += of.unknown;
        stats.refused += of.refused;
        stats.retried += of.retried;
        stats.pending -= done;
        envelopes
    }

    pub(super) fn gap(&self) {
        self.inner.lock().stats.gaps += 1;
    }

    /// Leaves an engine behind that does not return.
    pub(super) fn leave(&self) {
        self.abandon();
        self.inner.lock().stats.unfinished = true;
    }

    /// Gives everything up that is not sent.
    pub(super) fn abandon(&self) {
        let inner = &mut *self.inner.lock();
        (inner.closed, inner.ended) = (true, true);
        inner.queue.clear();
        inner.stats.abandoned += inner.stats.pending;
        inner.stats.pending = 0;
    }
}

impl EnvelopeBus for Outgoing {
    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
        let mut published = Published::default();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        if inner.closed {
            return Err(PublishError::Closed(envelope));
        }
        inner.stats.offered += 1;
        // Those that are being sent may come back.
        if inner.stats.pending == self.capacity as u64 {
            inner.stats.full += 1;
            published.dropped = 1;
            return Ok(published);
        }
        inner.queue.push_back(envelope);
        inner.stats.pending += 1;
        let first = inner.queue.len() == 1;
        drop(guard);
        if first {
            self.filled.notify_one();
        }
        published.enqueued = 1;
        Ok(published)
    }

    fn subscribe(
        &self,
        pattern: Pattern<'_>,
        options: SubscriptionOptions,
    ) -> Result<Subscription, SubscribeError> {
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        // A bus of its own, so that what two subscriptions match comes to each once.
        let bus = SubjectBus::new();
        let subscription = EnvelopeBus::subscribe(&bus, pattern, options)?;
        let command = Command::Feed { bus, pattern: pattern.into() };
        self.commands.send(command).map_err(|_| SubscribeError::Closed)?;
        Ok(subscription)
    }

    fn close(&self) {
        Self::close(self);
    }

    fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outgoing").field(&self.stats()).finish()
    }
}
