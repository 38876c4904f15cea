//! Finds the subjects that a pattern may match, while compiling, without a look at each of them.
//!
//! A table of a thousand lines is one evaluation of the compiler, which warns after two million steps
//! and takes some microseconds for each. So a line cannot compare its pattern with a thousand subjects.
//! The loops take texts apart by slice patterns: an index is checked, and costs three times as much.

use core::marker::PhantomData;

use super::Event;
use super::text::Text;
use crate::subject::check_subject;

/// Ends a chain.
const NONE: usize = usize::MAX;

/// The kinds of an event by their subjects.
#[derive(Debug)]
pub struct Index<const K: usize>(Chains<K>);

/// The index of an event: one constant, for the declaration and for every table.
#[expect(missing_debug_implementations, reason = "it has no values")]
pub struct Indexed<E, const K: usize>(PhantomData<E>);

impl<E: Event, const K: usize> Indexed<E, K> {
    const INDEX: &'static Result<Index<K>, Text> = &Index::new(E::SUBJECTS);

    /// Returns the index.
    ///
    /// # Panics
    ///
    /// Panics if `E` does not have `K` subjects, or if one is not a subject or is there twice.
    #[must_use]
    #[track_caller]
    pub const fn get() -> &'static Index<K> {
        match Self::INDEX {
            Ok(index) => index,
            Err(text) => text.refuse(),
        }
    }
}

/// Chains of kinds: one of those whose hashes are the same modulo `K`.
#[derive(Clone, Copy, Debug)]
struct Chains<const K: usize> {
    first: [usize; K],
    next: [usize; K],
    len: [usize; K],
}

impl<const K: usize> Chains<K> {
    const NONE: Self = Self { first: [NONE; K], next: [NONE; K], len: [0; K] };

    /// Returns the chain of a hash.
    const fn of(hash: u64) -> usize {
        (hash % K as u64) as usize
    }

    const fn push(&mut self, kind: usize, hash: u64) {
        let chain = Self::of(hash);
        self.next[kind] = self.first[chain];
        self.first[chain] = kind;
        self.len[chain] += 1;
    }
}

impl<const K: usize> Index<K> {
    /// Checks `subjects` and sorts them into chains. Returns what is wrong with them, if anything.
    #[expect(clippy::result_large_err, reason = "while compiling only")]
    const fn new(subjects: &[&str]) -> Result<Self, Text> {
        if K != subjects.len() {
            return Err(Text::new().with("`KINDS` is not the number of `SUBJECTS`"));
        }
        let mut chains = Chains::NONE;
        let mut kind = 0;
        while kind < K {
            let subject = subjects[kind];
            if let Err(invalid) = check_subject(subject) {
                return Err(Text::new()
                    .with("`")
                    .with(subject)
                    .with("`: ")
                    .with(invalid.message()));
            }
            let hash = hash(subject.as_bytes());
            if find(subjects, subject, chains.first[Chains::<K>::of(hash)], &chains.next).is_some()
            {
                return Err(Text::new()
                    .with("`")
                    .with(subject)
                    .with("`: two variants have this subject: give each one of its own"));
            }
            chains.push(kind, hash);
            kind += 1;
        }
        Ok(Self(chains))
    }

    /// Returns the kind whose subject is `text`.
    pub(crate) const fn find(&self, subjects: &[&str], text: &str) -> Option<usize> {
        if K == 0 {
            return None;
        }
        find(subjects, text, self.0.first[Chains::<K>::of(hash(text.as_bytes()))], &self.0.next)
    }
}

/// Returns the kind of a chain whose subject is `text`.
const fn find(subjects: &[&str], text: &str, first: usize, next: &[usize]) -> Option<usize> {
    let mut kind = first;
    while kind != NONE {
        if equal(text.as_bytes(), subjects[kind].as_bytes()) {
            return Some(kind);
        }
        kind = next[kind];
    }
    None
}

const fn equal(mut left: &[u8], mut right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    while let [a, b, c, d, e, f, g, h, rest_of_left @ ..] = left
        && let [i, j, k, l, m, n, o, p, rest_of_right @ ..] = right
    {
        if *a != *i || *b != *j || *c != *k || *d != *l {
            return false;
        }
        if *e != *m || *f != *n || *g != *o || *h != *p {
            return false;
        }
        (left, right) = (rest_of_left, rest_of_right);
    }
    while let [a, rest_of_left @ ..] = left
        && let [b, rest_of_right @ ..] = right
    {
        if *a != *b {
            return false;
        }
        (left, right) = (rest_of_left, rest_of_right);
    }
    true
}

const fn hash(mut text: &[u8]) -> u64 {
    let mut hash = SEED;
    while let [a, b, c, d, e, f, g, h, rest @ ..] = text {
        hash = step(hash, u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
        text = rest;
    }
    while let [a, b, rest @ ..] = text {
        hash = step(hash, u16::from_le_bytes([*a, *b]) as u64);
        text = rest;
    }
    if let [byte] = text {
        hash = step(hash, *byte as u64);
    }
    hash
}

/// The hash of an empty text.
const SEED: u64 = 0x2d35_8dcc_aa6c_78a5;

/// Appends a word to the text of a hash: a product of 128 bits, folded.
const fn step(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word) as u128 * 0x8bb8_4b93_962e_acc9;
    product as u64 ^ (product >> 64) as u64
}

/// How many segments of a subject, from the left, have columns.
const SEGMENTS: usize = 8;

/// The kinds of an event by the segments of their subjects, for patterns with wildcards.
pub(crate) struct Segments<const K: usize> {
    /// By the first `n` segments together; 0 of them are the same in all.
    up_to: [Column<K>; SEGMENTS + 1],
    /// By each segment alone.
    alone: [Column<K>; SEGMENTS],
    /// How many segments the subject has.
    count: [usize; K],
    /// Whether columns tell the subject from all others.
    is_exact: [bool; K],
}

impl<const K: usize> Segments<K> {
    pub(crate) const fn new(subjects: &[&str]) -> Self {
        let mut segments = Self {
            up_to: [Column::NONE; SEGMENTS + 1],
            alone: [Column::NONE; SEGMENTS],
            count: [0; K],
            is_exact: [false; K],
        };
        let mut kind = 0;
        while kind < K {
            let Words { words, count, is_exact } = Words::of(subjects[kind]);
            segments.count[kind] = count;
            segments.is_exact[kind] = is_exact;
            let mut class = segments.up_to[0].push(kind, 0, Words::NONE);
            let mut at = 0;
            while at < count && at < SEGMENTS {
                segments.alone[at].push(kind, 0, words[at]);
                class = segments.up_to[at + 1].push(kind, class, words[at]);
                at += 1;
            }
            kind += 1;
        }
        segments
    }

    /// Returns the kinds that `pattern` matches, or may match if it does not say that it is exact.
    pub(crate) const fn candidates(&self, pattern: &str) -> Candidates<'_> {
        let Words { words, count, is_exact } = Words::of(pattern);
        let has_rest = count <= SEGMENTS && words[count - 1] == Words::REST;
        let mut found = Candidates {
            is_exact,
            exact: &self.is_exact,
            is_open: has_rest || count > SEGMENTS,
            count,
            counts: &self.count,
            wanted: [(&[], NONE); SEGMENTS + 1],
            len: 0,
            next: &[],
            kind: NONE,
        };
        if K == 0 {
            return found;
        }
        let columns = if count < SEGMENTS { count } else { SEGMENTS };
        let fixed = columns - has_rest as usize;
        // The segments before the first wildcard, together.
        let mut at = 0;
        let mut class = 0;
        while at < fixed && words[at] != Words::ANY && class != NONE {
            class = self.up_to[at + 1].find(class, words[at]);
            at += 1;
        }
        if class == NONE {
            return found;
        }
        let mut shortest = &self.up_to[at];
        let mut start = class;
        found.wanted[0] = (&shortest.class, class);
        found.len = 1;
        // Those after it, each alone.
        while at < fixed {
            if words[at] != Words::ANY {
                let column = &self.alone[at];
                let class = column.find(0, words[at]);
                if class == NONE {
                    return found;
                }
                if column.len[class] < shortest.len[start] {
                    shortest = column;
                    start = class;
                }
                found.wanted[found.len] = (&column.class, class);
                found.len += 1;
            }
            at += 1;
        }
        found.next = &shortest.next;
        found.kind = start;
        found
    }
}

/// Kinds in classes. A class has the number of its first kind.
#[derive(Clone, Copy)]
struct Column<const K: usize> {
    /// A class for each remainder of a hash, and the next one with the same remainder.
    first: [usize; K],
    other: [usize; K],
    /// What a class stands for: a word after those of another class.
    before: [usize; K],
    word: [u128; K],
    /// How many kinds a class has.
    len: [usize; K],
    /// The class of a kind, and the next kind of that class.
    class: [usize; K],
    next: [usize; K],
}

impl<const K: usize> Column<K> {
    const NONE: Self = Self {
        first: [NONE; K],
        other: [NONE; K],
        before: [NONE; K],
        word: [0; K],
        len: [0; K],
        class: [NONE; K],
        next: [NONE; K],
    };

    const fn remainder(before: usize, word: u128) -> usize {
        (step(step(before as u64, word as u64), (word >> 64) as u64) % K as u64) as usize
    }

    const fn find(&self, before: usize, word: u128) -> usize {
        self.find_from(self.first[Self::remainder(before, word)], before, word)
    }

    const fn find_from(&self, mut class: usize, before: usize, word: u128) -> usize {
        while class != NONE && (self.word[class] != word || self.before[class] != before) {
            class = self.other[class];
        }
        class
    }

    /// Adds a kind to its class. Returns the class.
    const fn push(&mut self, kind: usize, before: usize, word: u128) -> usize {
        let remainder = Self::remainder(before, word);
        let mut class = self.find_from(self.first[remainder], before, word);
        if class == NONE {
            class = kind;
            self.other[class] = self.first[remainder];
            self.first[remainder] = class;
            self.before[class] = before;
            self.word[class] = word;
        } else {
            self.next[kind] = self.next[class];
            self.next[class] = kind;
        }
        self.class[kind] = class;
        self.len[class] += 1;
        class
    }
}

/// The segments of a text as numbers.
struct Words {
    words: [u128; SEGMENTS],
    /// How many segments there are, also of those without a number.
    count: usize,
    /// Whether no other text has these numbers.
    is_exact: bool,
}

impl Words {
    /// A segment without bytes. Up to 15 bytes more, and the numbers of two are different.
    const NONE: u128 = 1;
    const LONGEST: usize = 15;

    /// The wildcards. No segment of a subject ends with one.
    const ANY: u128 = Self::NONE << 8 | b'*' as u128;
    const REST: u128 = Self::NONE << 8 | b'>' as u128;

    const fn of(text: &str) -> Self {
        let mut words = [Self::NONE; SEGMENTS];
        let mut count = 0;
        let mut is_exact = true;
        let mut left = text.as_bytes();
        loop {
            let length = left.len();
            let mut word = Self::NONE;
            while let [byte, rest @ ..] = left
                && *byte != b'.'
            {
                word = word << 8 | *byte as u128;
                left = rest;
            }
            if length - left.len() > Self::LONGEST || count >= SEGMENTS {
                is_exact = false;
            }
            if count < SEGMENTS {
                words[count] = word;
            }
            count += 1;
            let [_, rest @ ..] = left else { break };
            left = rest;
        }
        Self { words, count, is_exact }
    }
}

/// What is left of a chain of kinds.
pub(crate) struct Candidates<'a> {
    /// Whether the numbers of the pattern are it.
    pub(crate) is_exact: bool,
    exact: &'a [bool],
    /// Whether more segments may follow.
    is_open: bool,
    count: usize,
    counts: &'a [usize],
    /// The classes that a kind must be in, each in its column.
    wanted: [(&'a [usize], usize); SEGMENTS + 1],
    len: usize,
    next: &'a [usize],
    kind: usize,
}

impl Candidates<'_> {
    /// Takes the next kind. Says too whether that is a match for certain.
    pub(crate) const fn next(&mut self) -> Option<(usize, bool)> {
        while self.kind != NONE {
            let kind = self.kind;
            self.kind = self.next[kind];
            let mut at = 0;
            while at < self.len {
                let (classes, class) = self.wanted[at];
                if classes[kind] != class {
                    break;
                }
                at += 1;
            }
            let count = self.counts[kind];
            if at == self.len && (count == self.count || count > self.count && self.is_open) {
                return Some((kind, self.is_exact && self.exact[kind]));
            }
        }
        None
    }
}
