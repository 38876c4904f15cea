//! Which subscriptions match a subject.
//!
//! An **index** behind a lock knows all subscriptions: those without wildcards in a map, those with in a
//! tree with a node per segment. A **cache** in front of it, read without a lock, knows the answers to
//! the subjects asked for last. Every change of the index is followed by a new, empty cache; an answer
//! is put into the cache that was there before the index was asked, so no cache holds an answer older
//! than itself.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::queue::Queue;
use crate::subject::{Pattern, Subject};
use crate::sync::{AtomicWord, Relaxed, Word};

type Map<V> = HashMap<Box<str>, V, RandomState>;

pub(super) struct Routes {
    index: Mutex<Index>,
    cache: ArcSwap<Cache>,
    hasher: RandomState,
    /// Slots of a cache: a power of two, or 0 for none.
    slots: usize,
}

impl Routes {
    /// `size` answers are kept, rounded up to a power of two; 0 for none.
    pub(super) fn new(size: usize) -> Self {
        let slots = if size == 0 { 0 } else { size.clamp(WAYS, 1 << 24).next_power_of_two() };
        Self {
            index: Mutex::default(),
            cache: ArcSwap::from_pointee(Cache::default()),
            hasher: RandomState::default(),
            slots,
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, queue: &Arc<Queue>) {
        self.index().insert(queue);
        self.forget();
    }

    pub(super) fn remove(&self, queue: &Queue) {
        let removed = self.index().remove(queue.pattern(), queue.id);
        if removed.is_some() {
            self.forget();
        }
        drop(removed); // after the lock: it may hold the last reference to a predicate
    }

    /// From here on, nobody finds an answer of before.
    fn forget(&self) {
        self.cache.store(Arc::default());
    }

    /// Calls `f` with the subscriptions that match, in the order in which they were opened. No lock is
    /// held meanwhile.
    pub(super) fn with<R>(&self, subject: Subject<'_>, f: impl FnOnce(&[Arc<Queue>]) -> R) -> R {
        if self.slots == 0 {
            return f(&self.ask(subject));
        }
        let cache = self.cache.load();
        let slots = cache.slots.get_or_init(|| (0..self.slots).map(|_| OnceLock::new()).collect());
        let hash = self.hasher.hash_one(subject.as_str().as_bytes());
        let mut free = None;
        for way in 0..WAYS {
            // The low bits choose; what the hash has more of is not needed.
            let slot = &slots[(hash as usize).wrapping_add(way) & (self.slots - 1)];
            match slot.get() {
                Some(entry) if *entry.subject == *subject.as_str() => return f(&entry.queues),
                Some(_) => {}
                None => {
                    free = Some(slot);
                    break;
                }
            }
        }
        let queues = self.ask(subject);
        let Some(slot) = free else {
            if cache.misses.fetch_add(1, Relaxed) == PATIENCE * self.slots as Word {
                self.forget(); // full of subjects that nobody asks for any more
            }
            return f(&queues);
        };
        let entry = Entry { subject: subject.as_str().into(), queues: queues.into() };
        match slot.set(entry) {
            Ok(()) => f(slot.get().map_or(&[], |entry| &entry.queues)),
            // Another publisher was faster. Its answer stays there; this one serves once.
            Err(entry) => f(&entry.queues),
        }
    }

    fn ask(&self, subject: Subject<'_>) -> Vec<Arc<Queue>> {
        self.index().find(subject)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// How many slots a subject may be in.
const WAYS: usize = 4;

/// How often the slots of a cache are missed before they are given to other subjects: often enough that
/// subjects which never repeat pay little for the cache.
const PATIENCE: Word = 8;

/// Answers that were given. A slot is written once; a full cache is replaced as a whole.
#[derive(Default)]
struct Cache {
    slots: OnceLock<Box<[OnceLock<Entry>]>>,
    /// How many answers found no place.
    misses: AtomicWord,
}

struct Entry {
    subject: Box<str>,
    queues: Box<[Arc<Queue>]>,
}

#[derive(Default)]
struct Index {
    exact: Map<Vec<Arc<Queue>>>,
    wild: Node,
}

/// The place in the tree that a row of segments leads to.
#[derive(Default)]
struct Node {
    named: Map<Self>,
    /// Behind `*`.
    any: Option<Box<Self>>,
    /// Patterns that end here.
    here: Vec<Arc<Queue>>,
    /// Patterns that end here with `>`.
    rest: Vec<Arc<Queue>>,
}

impl Index {
    fn insert(&mut self, queue: &Arc<Queue>) {
        let pattern = queue.pattern().as_str();
        if !is_wild(pattern) {
            self.exact.entry(pattern.into()).or_default().push(queue.clone());
            return;
        }
        let mut node = &mut self.wild;
        for segment in pattern.split('.') {
            node = match segment {
                ">" => return node.rest.push(queue.clone()),
                "*" => node.any.get_or_insert_default(),
                name => node.named.entry(name.into()).or_default(),
            };
        }
        node.here.push(queue.clone());
    }

    /// Takes the subscription out, and what of the tree only it needed.
    fn remove(&mut self, pattern: Pattern<'_>, id: u64) -> Option<Arc<Queue>> {
        let pattern = pattern.as_str();
        if is_wild(pattern) {
            return self.wild.remove(Some(pattern), id);
        }
        let queues = self.exact.get_mut(pattern)?;
        let removed = take(queues, id);
        if queues.is_empty() {
            self.exact.remove(pattern);
        }
        removed
    }

    fn find(&self, subject: Subject<'_>) -> Vec<Arc<Queue>> {
        let mut found = self.exact.get(subject.as_str()).cloned().unwrap_or_default();
        self.wild.find(Some(subject.as_str()), &mut found);
        found.sort_unstable_by_key(|queue| queue.id);
        found
    }
}

impl Node {
    /// At most one level per segment, of which a subject has 512.
    fn find(&self, segments: Option<&str>, found: &mut Vec<Arc<Queue>>) {
        let Some(segments) = segments else {
            found.extend_from_slice(&self.here);
            return;
        };
        found.extend_from_slice(&self.rest);
        let (first, more) = split(segments);
        if let Some(node) = self.named.get(first) {
            node.find(more, found);
        }
        if let Some(node) = &self.any {
            node.find(more, found);
        }
    }

    fn remove(&mut self, segments: Option<&str>, id: u64) -> Option<Arc<Queue>> {
        let Some(segments) = segments else { return take(&mut self.here, id) };
        let (first, more) = split(segments);
        match first {
            ">" => take(&mut self.rest, id),
            "*" => {
                let node = self.any.as_mut()?;
                let removed = node.remove(more, id);
                if node.is_empty() {
                    self.any = None;
                }
                removed
            }
            name => {
                let node = self.named.get_mut(name)?;
                let removed = node.remove(more, id);
                if node.is_empty() {
                    self.named.remove(name);
                }
                removed
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

fn is_wild(pattern: &str) -> bool {
    pattern.bytes().any(|byte| matches!(byte, b'*' | b'>'))
}

fn split(segments: &str) -> (&str, Option<&str>) {
    segments.split_once('.').map_or((segments, None), |(first, more)| (first, Some(more)))
}

fn take(queues: &mut Vec<Arc<Queue>>, id: u64) -> Option<Arc<Queue>> {
    let at = queues.iter().position(|queue| queue.id == id)?;
    Some(queues.remove(at))
}
