//! Which subscriptions match a subject.
//!
//! A **tree** with a node per segment knows all patterns; a **cache** in front of it knows the
//! answers for the subjects asked for so far. Every change of the tree empties the cache. All of
//! this lies under the lock of the bus.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasher, Hasher};
use core::ops::Deref;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use crate::subject::{Pattern, Subject};

/// A subscription, as routes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// Unique on the bus, and rising in the order of opening.
    pub(super) id: u64,
    /// Where its queue is, as long as it has this id.
    pub(super) key: u32,
    /// Whether it has a filter, or samples.
    pub(super) filtered: bool,
    /// Whether its pattern ends with `>`.
    pub(super) rest: bool,
}

/// The subscriptions that match a subject, in the order in which they were opened.
pub(super) struct Route<'a> {
    pub(super) targets: &'a [Target],
    pub(super) cached: Option<&'a Arc<[Target]>>,
}

impl Route<'_> {
    /// Keeps the targets. Allocates where the cache does not know the answer.
    pub(super) fn keep(&self) -> Arc<[Target]> {
        self.cached.map_or_else(|| self.targets.into(), Arc::clone)
    }
}

/// The targets of a publish that releases the lock.
pub(super) enum Kept {
    Cached(Arc<[Target]>),
    /// In another order than that of opening.
    Turned(SmallVec<[Target; 8]>),
}

impl Deref for Kept {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        match self {
            Self::Cached(targets) => targets,
            Self::Turned(targets) => targets,
        }
    }
}

pub(super) struct Routes {
    tree: Tree,
    cache: Cache,
    hasher: RandomState,
    /// How many answers the cache keeps.
    size: usize,
    /// How many answers found no place in it since it was full.
    misses: usize,
    /// How many searches there were since it had an answer.
    losing: u32,
    /// The answer for a subject that is not in the cache.
    found: Vec<Target>,
}

/// Answers that were given.
pub(super) type Cache = HashTable<Answer>;

pub(super) struct Answer {
    subject: Box<str>,
    targets: Arc<[Target]>,
}

/// How often the answers of a full cache are missed, for each of them, before they make room for
/// others: often enough that subjects which never repeat pay little for the cache.
const PATIENCE: usize = 8;

/// How many misses in a row make the cache not worth a look, and how many searches go by without
/// one then.
const LOSING: u32 = 64;
const UNSEEN: u32 = 16;

impl Routes {
    /// Makes routes with a cache for `size` answers.
    pub(super) fn new(size: usize) -> Self {
        Self {
            tree: Tree::default(),
            cache: Cache::new(),
            hasher: RandomState::default(),
            size,
            misses: 0,
            losing: 0,
            found: Vec::new(),
        }
    }

    /// Adds a subscription by each of its patterns. None may be there twice.
    pub(super) fn insert<'a>(
        &mut self,
        patterns: impl Iterator<Item = Pattern<'a>>,
        target: Target,
    ) -> Cache {
        patterns.for_each(|pattern| self.tree.insert(pattern.as_str().as_bytes(), target));
        self.forget()
    }

    /// Does nothing where the subscription is not in the tree.
    pub(super) fn remove<'a>(
        &mut self,
        patterns: impl Iterator<Item = Pattern<'a>>,
        target: Target,
    ) -> Cache {
        let remove =
            |pattern: Pattern<'_>| self.tree.remove(pattern.as_str().as_bytes(), target.id);
        let removed = patterns.map(remove).fold(false, |any, was_there| any | was_there);
        if removed { self.forget() } else { Cache::new() }
    }

    /// Forgets the answers. Returns them, to be dropped after the lock.
    #[must_use]
    fn forget(&mut self) -> Cache {
        (self.misses, self.losing) = (0, 0);
        core::mem::take(&mut self.cache)
    }

    #[inline]
    pub(super) fn find(&mut self, subject: Subject<'_>) -> Route<'_> {
        let text = subject.as_str();
        if self.size == 0 || self.losing >= LOSING && !self.losing.is_multiple_of(UNSEEN) {
            self.losing = self.losing.wrapping_add(1);
            return Self::search(&self.tree, &mut self.found, text);
        }
        let hash = hash(&self.hasher, text);
        match self.cache.find_entry(hash, |answer| *answer.subject == *text) {
            Ok(found) => {
                self.losing = 0;
                found.into_mut().route()
            }
            Err(absent) => {
                self.losing = self.losing.wrapping_add(1);
                let route = Self::search(&self.tree, &mut self.found, text);
                let cache = absent.into_table();
                if cache.len() < self.size {
                    return Self::remember(cache, &self.hasher, hash, text, route.targets);
                }
                self.misses += 1;
                if self.misses / PATIENCE >= self.size {
                    self.misses = 0;
                    cache.clear();
                }
                route
            }
        }
    }

    #[cold]
    fn remember<'a>(
        cache: &'a mut Cache,
        hasher: &RandomState,
        hash_: u64,
        text: &str,
        targets: &[Target],
    ) -> Route<'a> {
        let answer = Answer { subject: text.into(), targets: targets.into() };
        let rehash = |answer: &Answer| hash(hasher, &answer.subject);
        cache.insert_unique(hash_, answer, rehash).into_mut().route()
    }

    fn search<'a>(tree: &Tree, found: &'a mut Vec<Target>, text: &str) -> Route<'a> {
        found.clear();
        tree.find(ROOT, text.as_bytes(), found);
        if found.len() > 1 {
            found.sort_unstable(); // by id
            found.dedup_by_key(|target| target.id); // it may have several patterns
        }
        Route { targets: found, cached: None }
    }
}

#[inline]
pub(super) fn hash(hasher: &impl BuildHasher, subject: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(subject.as_bytes());
    hasher.finish()
}

impl Answer {
    fn route(&self) -> Route<'_> {
        Route { targets: &self.targets, cached: Some(&self.targets) }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("size", &self.size).finish_non_exhaustive()
    }
}

/// The patterns: a node per row of segments that one of them begins with.
struct Tree {
    nodes: Slab<Node>,
    /// Which nodes there are, by the node before and the text of the segment between.
    edges: HashTable<u32>,
    hasher: RandomState,
}

/// The key of the node that stands for no segment.
const ROOT: u32 = 0;

#[derive(Default)]
struct Node {
    /// The node before.
    from: u32,
    /// The node behind `*`; [`ROOT`], which is behind nothing, for none.
    any: u32,
    /// How many nodes come after, the one behind `*` aside.
    named: u32,
    // The segment between the node before and this one.
    len: u16,
    word: u64,
    more: Box<[u8]>,
    /// Patterns that end here, `>` aside. Most are subscribed to once.
    ends: SmallVec<[Target; 1]>,
}

impl Node {
    fn new(from: u32, segment: Segment<'_>) -> Self {
        let Segment { word, len, more } = segment;
        // A pattern has 1024 bytes at most.
        Self { from, word, len: len as u16, more: more.into(), ..Self::default() }
    }

    const fn segment(&self) -> Segment<'_> {
        Segment { word: self.word, len: self.len as usize, more: &self.more }
    }

    fn is_empty(&self) -> bool {
        self.named == 0 && self.any == ROOT && self.ends.is_empty()
    }
}

impl Default for Tree {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { nodes, edges: HashTable::new(), hasher: RandomState::default() }
    }
}

impl Tree {
    #[inline]
    fn hash(hasher: &RandomState, from: u32, segment: Segment<'_>) -> u64 {
        let mut hasher = hasher.build_hasher();
        hasher.write_u64(segment.word);
        hasher.write_u32(from);
        if !segment.more.is_empty() {
            hasher.write(segment.more);
        }
        hasher.finish()
    }

    /// Returns the node behind a segment.
    #[inline(always)]
    fn next(&self, from: u32, segment: Segment<'_>) -> Option<u32> {
        let is = |to: &u32| {
            let node = &self.nodes[*to as usize];
            node.from == from && node.segment() == segment
        };
        self.edges.find(Self::hash(&self.hasher, from, segment), is).copied()
    }

    /// Returns the node behind a segment. Makes it where there is none.
    fn extend(&mut self, from: u32, segment: Segment<'_>) -> u32 {
        if let Some(to) = self.next(from, segment) {
            return to;
        }
        let to = self.add(Node::new(from, segment));
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let rehash = |to: &u32| {
            let node = &nodes[*to as usize];
            Self::hash(hasher, node.from, node.segment())
        };
        self.edges.insert_unique(Self::hash(hasher, from, segment), to, rehash);
        self.nodes[from as usize].named += 1;
        to
    }

    fn add(&mut self, node: Node) -> u32 {
        grow(&mut self.nodes);
        key(self.nodes.insert(node))
    }

    fn push(&mut self, node: u32, target: Target) {
        self.nodes[node as usize].ends.push(target);
    }

    fn insert(&mut self, mut pattern: &[u8], target: Target) {
        let mut node = ROOT;
        while !pattern.is_empty() {
            let (segment, more) = split(pattern);
            node = match (segment.is(b'>'), segment.is(b'*'), self.nodes[node as usize].any) {
                (true, ..) => return self.push(node, Target { rest: true, ..target }),
                (_, true, ROOT) => {
                    let any = self.add(Node { from: node, ..Node::default() });
                    self.nodes[node as usize].any = any;
                    any
                }
                (_, true, any) => any,
                _ => self.extend(node, segment),
            };
            pattern = more;
        }
        self.push(node, target);
    }

    /// Takes the target out, and the nodes that only it needed. Whether it was there.
    fn remove(&mut self, mut pattern: &[u8], id: u64) -> bool {
        let mut at = ROOT;
        while !pattern.is_empty() {
            let (segment, more) = split(pattern);
            at = match (segment.is(b'>'), segment.is(b'*')) {
                (true, _) => break,
                (_, true) => self.nodes[at as usize].any,
                _ => self.next(at, segment).unwrap_or(ROOT),
            };
            if at == ROOT {
                return false;
            }
            pattern = more;
        }
        let ends = &mut self.nodes[at as usize].ends;
        let Some(end) = ends.iter().position(|target| target.id == id) else { return false };
        ends.remove(end);
        while at != ROOT && self.nodes[at as usize].is_empty() {
            let node = self.nodes.remove(at as usize);
            let before = &mut self.nodes[node.from as usize];
            if before.any == at {
                before.any = ROOT;
            } else {
                before.named -= 1;
                let hash = Self::hash(&self.hasher, node.from, node.segment());
                if let Ok(edge) = self.edges.find_entry(hash, |to| *to == at) {
                    edge.remove();
                }
            }
            at = node.from;
        }
        true
    }

    /// Finds the targets. Recurses at most once per segment, of which a subject has 512.
    fn find(&self, mut node: u32, mut subject: &[u8], found: &mut Vec<Target>) {
        loop {
            let here = &self.nodes[node as usize];
            let over = subject.is_empty();
            found.extend(here.ends.iter().filter(|target| target.rest != over));
            if over || here.named == 0 && here.any == ROOT {
                return;
            }
            let (segment, more) = split(subject);
            let named = if here.named == 0 { None } else { self.next(node, segment) };
            node = match named {
                Some(named) => {
                    if here.any != ROOT {
                        self.find(here.any, more, found);
                    }
                    named
                }
                None if here.any != ROOT => here.any,
                None => return,
            };
            subject = more;
        }
    }
}

/// Makes a key of an index. There is no room for 2^32 of them: each stands for some 100 bytes.
pub(super) fn key(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 subscriptions and segments")
}

/// Makes room for one more, and by a quarter where there is none: a table twice as large as it need
/// be is most of what a subscription takes.
pub(super) fn grow<T>(slab: &mut Slab<T>) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact(slab.len() / 4 + 4);
    }
}

/// The text between two dots.
#[derive(Clone, Copy)]
struct Segment<'a> {
    /// The first eight bytes, with zeros behind a shorter text: with the length, all of most
    /// segments.
    word: u64,
    len: usize,
    /// What comes after the first eight bytes.
    more: &'a [u8],
}

/// Short ones by their words alone: a call that compares no bytes costs more than all the rest.
impl PartialEq for Segment<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
            && self.len == other.len
            && (self.len <= size_of::<u64>() || self.more == other.more)
    }
}

impl Segment<'_> {
    /// Returns whether it is this wildcard. No other segment of a pattern has the byte.
    #[inline]
    const fn is(&self, wildcard: u8) -> bool {
        self.word == wildcard as u64
    }
}

/// Returns the first segment, and what comes after its dot. `text` is not empty.
#[inline]
fn split(text: &[u8]) -> (Segment<'_>, &[u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const DOTS: u64 = ONES * b'.' as u64;
    let word = match text.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    // The lowest bit that is left marks the first dot; those above it may be wrong.
    let zeros = word ^ DOTS;
    let dots = zeros.wrapping_sub(ONES) & !zeros & (ONES << 7);
    if dots != 0 {
        let bits = dots.trailing_zeros() - 7;
        let len = bits as usize / 8;
        let segment = Segment { word: word & ((1 << bits) - 1), len, more: &[] };
        return (segment, text.get(len + 1..).unwrap_or_default());
    }
    let more = text.get(8..).unwrap_or_default();
    match more.iter().position(|byte| *byte == b'.') {
        Some(dot) => (Segment { word, len: 8 + dot, more: &more[..dot] }, &more[dot + 1..]),
        None => (Segment { word, len: text.len(), more }, &[]),
    }
}

#[cfg(test)]
mod tests;
