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
    /// The oldest first.
    known: VecDeque<Known>,
    /// The number of the oldest one. They are numbered from 0, as they came.
    oldest: u64,
    /// Their numbers, by their ids.
    table: HashTable<u64>,
    hasher: RandomState,
}

struct Known {
    envelope: Arc<Envelope>,
    /// Of its id.
    hash: u64,
    sequence: u64,
    at: Duration,
}

impl Seen {
    /// Knows ids for `window`, and at most `most` of them.
    pub(super) fn new(window: Duration, most: usize) -> Self {
        let (known, table) = (VecDeque::new(), HashTable::new());
        Self { window, most, known, oldest: 0, table, hasher: RandomState::default() }
    }

    /// Adds the id of the envelope. If it is there, returns its sequence.
    pub(super) fn insert(
        &mut self,
        envelope: &Arc<Envelope>,
        sequence: u64,
        now: Duration,
    ) -> Option<u64> {
        while let Some(oldest) = self.known.front()
            && now.saturating_sub(oldest.at) >= self.window
        {
            self.forget_oldest();
        }
        if self.most == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(envelope.id());
        let of = |number: &u64| &self.known[(number - self.oldest) as usize];
        let is_same = |number: &u64| {
            let known = of(number);
            known.hash == hash && known.envelope.id() == envelope.id()
        };
        if let Some(number) = self.table.find(hash, is_same) {
            return Some(of(number).sequence);
        }
        if self.known.len() == self.most {
            self.forget_oldest();
        }
        let Self { known, oldest, table, .. } = self;
        let is_full = known.len() == known.capacity();
        known.push_back(Known { envelope: envelope.clone(), hash, sequence, at: now });
        let rehash = |number: &u64| known[(number - *oldest) as usize].hash;
        if is_full {
            // Both grow here and nowhere else. A table that is at most half full clears the marks of removed ids in
            // place; a fuller one would grow at a moment that depends on the hashes.
            table.reserve(2 * known.capacity().min(self.most) - table.len(), rehash);
        }
        table.insert_unique(hash, *oldest + (known.len() - 1) as u64, rehash);
        None
    }

    fn forget_oldest(&mut self) {
        let Some(known) = self.known.pop_front() else { return };
        let oldest = self.oldest;
        if let Ok(entry) = self.table.find_entry(known.hash, |number| *number == oldest) {
            entry.remove();
        }
        self.oldest += 1;
    }
}
