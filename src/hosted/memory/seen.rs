//! Which ids were published a short while ago.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::hash::BuildHasher;
use core::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::envelope::Envelope;

/// Ids within a window of time, at most so many.
pub(super) struct Seen {
    window: Duration,
    most: usize,
    table: HashTable<Known>,
    /// The same, the oldest first, and when they came.
    order: VecDeque<(Duration, Arc<Envelope>)>,
    hasher: RandomState,
}

struct Known {
    envelope: Arc<Envelope>,
    sequence: u64,
}

impl Seen {
    /// Knows ids for `window`, and at most `most` of them.
    pub(super) fn new(window: Duration, most: usize) -> Self {
        let (table, order) = (HashTable::new(), VecDeque::new());
        Self { window, most, table, order, hasher: RandomState::default() }
    }

    /// Adds the id of the envelope. If it is there, returns its sequence.
    pub(super) fn insert(
        &mut self,
        envelope: &Arc<Envelope>,
        sequence: u64,
        now: Duration,
    ) -> Option<u64> {
        while let Some((at, _)) = self.order.front()
            && now.saturating_sub(*at) >= self.window
        {
            self.forget_oldest();
        }
        if self.most == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(envelope.id());
        if let Some(known) = self.table.find(hash, |it| it.envelope.id() == envelope.id()) {
            return Some(known.sequence);
        }
        if self.order.len() == self.most {
            self.forget_oldest();
        }
        let known = Known { envelope: envelope.clone(), sequence };
        let hasher = &self.hasher;
        let rehash = |it: &Known| hasher.hash_one(it.envelope.id());
        if self.order.len() == self.order.capacity() {
            self.order.reserve(1);
            // Both grow here and nowhere else. A table that is at most half full clears the marks of removed ids in
            // place; a fuller one would grow at a moment that depends on the hashes.
            let room = 2 * self.order.capacity().min(self.most);
            self.table.reserve(room - self.table.len(), rehash);
        }
        self.table.insert_unique(hash, known, rehash);
        self.order.push_back((now, envelope.clone()));
        None
    }

    fn forget_oldest(&mut self) {
        let Some((_, envelope)) = self.order.pop_front() else { return };
        let hash = self.hasher.hash_one(envelope.id());
        if let Ok(known) = self.table.find_entry(hash, |it| it.envelope.id() == envelope.id()) {
            known.remove();
        }
    }
}
