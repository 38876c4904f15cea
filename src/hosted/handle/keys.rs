//! Which key is held, and by what: [`Keys`].

use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// The keys of which something is held: for each, what came last. Two keys with one hash count as
/// one.
#[derive(Default)]
pub(super) struct Keys(HashMap<u64, usize, FixedState>);

impl Keys {
    /// Returns the hash of a key. An empty key is none.
    pub(super) fn hash(key: &str) -> Option<u64> {
        (!key.is_empty()).then(|| FixedState::default().hash_one(key))
    }

    /// Adds `id` behind what is held of the key. Returns what came last before, if it is held.
    pub(super) fn push(&mut self, key: u64, id: usize) -> Option<usize> {
        self.0.insert(key, id)
    }

    /// Removes the first of the key: `id`, behind which nothing comes.
    pub(super) fn end(&mut self, key: u64, id: usize) {
        let last = self.0.remove(&key);
        debug_assert_eq!(last, Some(id), "nothing comes behind it");
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
