//! Which subscriptions match a subject.
//!
//! A **tree** with a node per segment knows all patterns; a **cache** in front of it knows the answers
//! for the subjects asked for so far. Every change of the tree empties the cache. All of this lies under
//! the lock of the bus.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use crate::subject::{Pattern, Subject};

/// A subscription, as routes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// Unique on the bus, and rising in the order of opening.
    pub(super) id: u64,
    /// Where its queue is, as long as it has this id.
    pub(super) key: u32,
    /// Whether it has a filter.
    pub(super) filtered: bool,
}

/// Who matches a subject, in the order in which they were opened.
pub(super) struct Route<'a> {
    pub(super) targets: &'a [Target],
    pub(super) cached: Option<&'a Arc<[Target]>>,
}

impl Route<'_> {
    /// The same, to be kept. Allocates where the cache does not know the answer.
    pub(super) fn keep(&self) -> Arc<[Target]> {
        self.cached.map_or_else(|| self.targets.into(), Arc::clone)
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

/// How often the answers of a full cache are missed, for each of them, before they make room for others:
/// often enough that subjects which never repeat pay little for the cache.
const PATIENCE: usize = 8;

/// How many misses in a row make the cache not worth a look, and how many searches go by without one
/// then.
const LOSING: u32 = 64;
const UNSEEN: u32 = 16;

impl Routes {
    /// `size` answers are kept.
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

    pub(super) fn insert(&mut self, pattern: Pattern<'_>, target: Target) -> Cache {
        self.tree.insert(pattern.as_str().as_bytes(), target);
        self.forget()
    }

    /// Does nothing where the subscription is not in the tree.
    pub(super) fn remove(&mut self, pattern: Pattern<'_>, target: Target) -> Cache {
        if self.tree.remove(ROOT, pattern.as_str().as_bytes(), target.id) {
            return self.forget();
        }
        Cache::new()
    }

    /// Forgets the answers. They are given back, to be dropped after the lock.
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
    /// From a node by the text of a segment to the next node, for all nodes in one table.
    edges: HashTable<Edge>,
    hasher: RandomState,
}

/// The key of the node that stands for no segment.
const ROOT: u32 = 0;

#[derive(Default)]
struct Node {
    /// How many edges lead on from here.
    named: u32,
    /// The node behind `*`; [`ROOT`], which is behind nothing, for none.
    any: u32,
    /// Patterns that end here.
    here: Vec<Target>,
    /// Patterns that end here with `>`.
    rest: Vec<Target>,
}

impl Node {
    const fn is_empty(&self) -> bool {
        self.named == 0 && self.any == ROOT && self.here.is_empty() && self.rest.is_empty()
    }
}

struct Edge {
    from: u32,
    to: u32,
    /// The word of the segment.
    word: u64,
    text: Box<[u8]>,
}

impl Edge {
    #[inline]
    fn is(&self, from: u32, segment: Segment<'_>) -> bool {
        (self.from, self.word, self.text.len()) == (from, segment.word, segment.text.len())
            && self.text.get(8..) == segment.text.get(8..)
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
        if let Some(more @ [_, ..]) = segment.text.get(8..) {
            hasher.write(more);
        }
        hasher.finish()
    }

    #[inline]
    fn edge(&self, from: u32, segment: Segment<'_>) -> Option<&Edge> {
        self.edges.find(Self::hash(&self.hasher, from, segment), |edge| edge.is(from, segment))
    }

    /// The node behind `segment`, made where there is none.
    fn extend(&mut self, from: u32, segment: Segment<'_>) -> u32 {
        if let Some(edge) = self.edge(from, segment) {
            return edge.to;
        }
        let to = key(self.nodes.insert(Node::default()));
        let edge = Edge { from, to, word: segment.word, text: segment.text.into() };
        let hasher = &self.hasher;
        let rehash = |edge: &Edge| {
            Self::hash(hasher, edge.from, Segment { word: edge.word, text: &edge.text })
        };
        self.edges.insert_unique(Self::hash(hasher, from, segment), edge, rehash);
        self.nodes[from as usize].named += 1;
        to
    }

    fn insert(&mut self, mut pattern: &[u8], target: Target) {
        let mut node = ROOT;
        while !pattern.is_empty() {
            let (segment, more) = split(pattern);
            node = match segment.text {
                b">" => return self.nodes[node as usize].rest.push(target),
                b"*" => match self.nodes[node as usize].any {
                    ROOT => {
                        let any = key(self.nodes.insert(Node::default()));
                        self.nodes[node as usize].any = any;
                        any
                    }
                    any => any,
                },
                _ => self.extend(node, segment),
            };
            pattern = more;
        }
        self.nodes[node as usize].here.push(target);
    }

    /// Takes the target out, and the nodes that only it needed. Whether it was there. At most one level
    /// per segment, of which a pattern has 512.
    fn remove(&mut self, from: u32, pattern: &[u8], id: u64) -> bool {
        let node = &mut self.nodes[from as usize];
        if pattern.is_empty() {
            return take(&mut node.here, id);
        }
        let (segment, more) = split(pattern);
        let to = match segment.text {
            b">" => return take(&mut node.rest, id),
            b"*" => node.any,
            _ => self.edge(from, segment).map_or(ROOT, |edge| edge.to),
        };
        let removed = to != ROOT && self.remove(to, more, id);
        if removed && self.nodes[to as usize].is_empty() {
            self.nodes.remove(to as usize);
            let node = &mut self.nodes[from as usize];
            if segment.text == b"*" {
                node.any = ROOT;
            } else {
                node.named -= 1;
                let hash = Self::hash(&self.hasher, from, segment);
                if let Ok(edge) = self.edges.find_entry(hash, |edge| edge.is(from, segment)) {
                    edge.remove();
                }
            }
        }
        removed
    }

    /// At most one level per segment, of which a subject has 512.
    fn find(&self, mut node: u32, mut subject: &[u8], found: &mut Vec<Target>) {
        loop {
            let here = &self.nodes[node as usize];
            if subject.is_empty() {
                return found.extend_from_slice(&here.here);
            }
            found.extend_from_slice(&here.rest);
            if here.named == 0 && here.any == ROOT {
                return;
            }
            let (segment, more) = split(subject);
            let named = if here.named == 0 { None } else { self.edge(node, segment) };
            node = match named.map(|edge| edge.to) {
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

/// As many keys as this are not handed out: each stands for some 100 bytes.
pub(super) fn key(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 subscriptions and segments")
}

fn take(targets: &mut Vec<Target>, id: u64) -> bool {
    let at = targets.iter().position(|target| target.id == id);
    at.map(|at| targets.remove(at)).is_some()
}

/// The text between two dots.
#[derive(Clone, Copy)]
struct Segment<'a> {
    /// The first eight bytes, with zeros behind a shorter text: with the length, all of most segments.
    word: u64,
    text: &'a [u8],
}

/// The first segment, and what comes after its dot. `text` is not empty.
#[inline]
fn split(text: &[u8]) -> (Segment<'_>, &[u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const DOTS: u64 = ONES * b'.' as u64;
    let word = match text.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    // The lowest bit that is left tells the first byte that is a dot; those above it may lie.
    let zeros = word ^ DOTS;
    let dots = zeros.wrapping_sub(ONES) & !zeros & (ONES << 7);
    let (len, word) = if dots != 0 {
        let bits = dots.trailing_zeros() - 7;
        (bits as usize / 8, word & ((1 << bits) - 1))
    } else {
        let more = text.get(8..).unwrap_or_default();
        let len = more.iter().position(|byte| *byte == b'.');
        (len.map_or(text.len(), |len| 8 + len), word)
    };
    (Segment { word, text: &text[..len] }, text.get(len + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::split;
    use alloc::format;
    use alloc::vec::Vec;

    #[test]
    fn a_text_is_split_at_its_dots_wherever_they_are() {
        for first in 1..20 {
            for second in 0..20 {
                let text = format!(
                    "{}.{}",
                    "ä-/0".repeat(5)[..]
                        .chars()
                        .cycle()
                        .take(first)
                        .collect::<alloc::string::String>(),
                    "x".repeat(second)
                );
                let text = text.trim_end_matches('.');
                let mut rest = text.as_bytes();
                let mut segments = Vec::new();
                while !rest.is_empty() {
                    let (segment, more) = split(rest);
                    let mut word = [0; 8];
                    let len = segment.text.len().min(8);
                    word[..len].copy_from_slice(&segment.text[..len]);
                    assert_eq!(segment.word, u64::from_le_bytes(word), "{text}");
                    segments.push(segment.text);
                    rest = more;
                }
                assert!(segments.into_iter().eq(text.split('.').map(str::as_bytes)), "{text}");
            }
        }
    }
}
