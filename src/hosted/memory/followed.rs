//! Envelopes whose way through the live subscriptions the engine follows: those with an age, and
//! those whose publisher waits until they are handled. The others are not in here.

use alloc::sync::Arc;
use core::task::{Poll, Waker};
use core::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::envelope::Envelope;
use crate::sync::{Lock, PlainNumber, Relaxed};
use crate::wait::panics::Panics;

/// Envelopes by their address.
#[derive(Default)]
pub(super) struct Followed {
    /// How many there are. It is set before an envelope is in a buffer, under the lock of the bus,
    /// and read after one has left it.
    count: PlainNumber,
    entries: Lock<HashMap<usize, Entry, FixedState>>,
}

struct Entry {
    /// Keeps the address.
    _envelope: Arc<Envelope>,
    accepted: Duration,
    /// Whether the publisher is not done yet. Until then `left` may be anything.
    publishing: bool,
    /// In how many buffers it is, and in how many deliveries.
    left: i64,
    /// Whether deliveries count.
    awaited: bool,
    waker: Option<Waker>,
}

fn address(envelope: &Arc<Envelope>) -> usize {
    Arc::as_ptr(envelope).addr()
}

impl Followed {
    /// Returns whether an envelope that was in a buffer may be in here.
    pub(super) fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Follows an envelope, which is about to be published. Copies one that is followed already.
    pub(super) fn follow(
        self: &Arc<Self>,
        mut envelope: Arc<Envelope>,
        accepted: Duration,
        awaited: bool,
    ) -> Following {
        let mut entries = self.entries.lock();
        if entries.contains_key(&address(&envelope)) {
            envelope = Arc::new((*envelope).clone());
        }
        let entry = Entry {
            _envelope: envelope.clone(),
            accepted,
            publishing: true,
            left: 0,
            awaited,
            waker: None,
        };
        entries.insert(address(&envelope), entry);
        self.count.store(entries.len(), Relaxed);
        drop(entries);
        Following { followed: self.clone(), envelope, is_published: false }
    }

    /// Says that a live subscription has received it: when it was accepted, and what its delivery
    /// holds.
    pub(super) fn received(
        self: &Arc<Self>,
        envelope: &Arc<Envelope>,
    ) -> Option<(Duration, Option<Held>)> {
        let mut entries = self.entries.lock();
        let entry = entries.get(&address(envelope))?;
        let (accepted, awaited) = (entry.accepted, entry.awaited);
        if awaited {
            drop(entries);
            let address = address(envelope);
            return Some((accepted, Some(Held { followed: self.clone(), address })));
        }
        let waker = self.change(&mut entries, address(envelope), |entry| entry.left -= 1);
        drop(entries);
        Panics::default().wake(waker);
        Some((accepted, None))
    }

    /// Says that a buffer or a delivery has it no longer.
    pub(super) fn left(&self, envelope: &Arc<Envelope>) {
        if self.any() {
            self.update(address(envelope), |entry| entry.left -= 1);
        }
    }

    fn update(&self, address: usize, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock();
        let waker = self.change(&mut entries, address, change);
        drop(entries);
        Panics::default().wake(waker);
    }

    /// Changes an entry, and removes it at its end. Returns the waker to wake then.
    fn change(
        &self,
        entries: &mut HashMap<usize, Entry, FixedState>,
        address: usize,
        change: impl FnOnce(&mut Entry),
    ) -> Option<Waker> {
        let entry = entries.get_mut(&address)?;
        change(entry);
        if entry.publishing || entry.left > 0 {
            return None;
        }
        let entry = entries.remove(&address)?;
        self.count.store(entries.len(), Relaxed);
        entry.waker
    }
}

/// Follows an envelope as long as its publisher is not done.
pub(super) struct Following {
    followed: Arc<Followed>,
    envelope: Arc<Envelope>,
    is_published: bool,
}

impl Following {
    pub(super) const fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// Says into how many buffers it came.
    pub(super) fn published(&mut self, buffers: usize) {
        if core::mem::replace(&mut self.is_published, true) {
            return;
        }
        self.followed.update(address(&self.envelope), |entry| {
            entry.publishing = false;
            entry.left += i64::try_from(buffers).unwrap_or(i64::MAX);
        });
    }

    /// Ready when no buffer and no delivery has it any more. Otherwise the waker is woken then.
    pub(super) fn poll_done(&self, waker: &Waker) -> Poll<()> {
        let waker = waker.clone();
        let mut entries = self.followed.entries.lock();
        let Some(entry) = entries.get_mut(&address(&self.envelope)) else {
            drop(entries);
            return Poll::Ready(());
        };
        let old = entry.waker.replace(waker);
        drop(entries);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.published(0);
    }
}

/// Counts a delivery whose publisher waits for it.
pub(super) struct Held {
    followed: Arc<Followed>,
    address: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.followed.update(self.address, |entry| entry.left -= 1);
    }
}
