//! Finds the subjects that a pattern may match, while compiling, without a look at each of them.
//!
//! A table of a thousand lines is one evaluation of the compiler, which warns after two million steps
//! and takes some microseconds for each. So a line cannot compare its pattern with a thousand subjects.
//! The loops take texts apart by slice patterns: an index is checked, and costs three times as much.

use super::text::Text;
use crate::subject::check_subject;

/// Ends a chain.
const NONE: usize = usize::MAX;

/// The kinds of an event by their subjects.
#[derive(Debug)]
pub struct Index<const K: usize>(Chains<K>);

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
    /// Checks `subjects` and sorts them into chains.
    ///
    /// # Panics
    ///
    /// If there are not `K` of them, or if one is not a subject or is there twice.
    #[must_use]
    #[track_caller]
    pub const fn new(subjects: &[&str]) -> Self {
        assert!(K == subjects.len(), "`KINDS` is not the number of `SUBJECTS`");
        let mut chains = Chains::NONE;
        let mut kind = 0;
        while kind < K {
            let subject = subjects[kind];
            if let Err(invalid) = check_subject(subject) {
                Text::new().with("`").with(subject).with("`: ").with(invalid.message()).refuse();
            }
            let hash = hash(subject.as_bytes());
            if find(subjects, subject, chains.first[Chains::<K>::of(hash)], &chains.next).is_some()
            {
                Text::new()
                    .with("`")
                    .with(subject)
                    .with("`: two variants have this subject: give each one of its own")
                    .refuse();
            }
            chains.push(kind, hash);
            kind += 1;
        }
        Self(chains)
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

/// For each segment: it alone, all up to it, and all from it on. And one for all kinds.
const COLUMNS: usize = 3 * SEGMENTS + 1;

/// The kinds of an event by the segments of their subjects, for patterns with wildcards.
pub(crate) struct Segments<const K: usize>([Chains<K>; COLUMNS]);

impl<const K: usize> Segments<K> {
    pub(crate) const fn new(subjects: &[&str]) -> Self {
        let mut columns = [Chains::NONE; COLUMNS];
        let mut kind = 0;
        while kind < K {
            let hashes = hashes(subjects[kind].as_bytes());
            let mut at = 0;
            while at < COLUMNS {
                if hashes[at] != WILD {
                    columns[at].push(kind, hashes[at]);
                }
                at += 1;
            }
            kind += 1;
        }
        Self(columns)
    }

    /// Returns kinds among which are all that `pattern` matches: the shortest chain there is.
    pub(crate) const fn candidates(&self, pattern: &str) -> Candidates<'_> {
        let hashes = hashes(pattern.as_bytes());
        let mut least = NONE;
        let mut found = Candidates { next: &[], kind: NONE };
        let mut at = 0;
        while at < COLUMNS && K > 0 {
            if hashes[at] != WILD {
                let (column, chain) = (&self.0[at], Chains::<K>::of(hashes[at]));
                if column.len[chain] < least {
                    least = column.len[chain];
                    found = Candidates { next: &column.next, kind: column.first[chain] };
                }
            }
            at += 1;
        }
        found
    }
}

/// What is left of a chain.
pub(crate) struct Candidates<'a> {
    next: &'a [usize],
    kind: usize,
}

impl Candidates<'_> {
    /// Takes the next kind.
    pub(crate) const fn next(&mut self) -> Option<usize> {
        if self.kind == NONE {
            return None;
        }
        let kind = self.kind;
        self.kind = self.next[kind];
        Some(kind)
    }
}

/// The hash of a wildcard, and of a segment that is not there. Those of texts have 32 bits.
const WILD: u64 = u64::MAX;

/// A hash for each column.
const fn hashes(mut text: &[u8]) -> [u64; COLUMNS] {
    let mut hashes = [WILD; COLUMNS];
    hashes[3 * SEGMENTS] = 0;
    // Each segment alone: FNV-1a, by a product that does not overflow.
    let mut count = 0;
    let mut alone = FNV;
    while let [byte, rest @ ..] = text {
        match *byte {
            b'.' => {
                if count < SEGMENTS {
                    hashes[count] = alone;
                }
                count += 1;
                alone = FNV;
            }
            b'*' | b'>' => alone = WILD,
            byte => alone = ((alone ^ byte as u64) * 0x0100_0193) & 0xffff_ffff,
        }
        text = rest;
    }
    if count < SEGMENTS {
        hashes[count] = alone;
    }
    count += 1;

    let mut segment = 0;
    let mut up_to = SEED;
    while segment < SEGMENTS && hashes[segment] != WILD {
        up_to = step(up_to, hashes[segment]);
        hashes[SEGMENTS + segment] = up_to >> 32;
        segment += 1;
    }
    // From a segment on: to the end, or in longer texts to the last that has columns.
    let mut segment = if count < SEGMENTS { count } else { SEGMENTS };
    let mut from = SEED;
    while segment > 0 && hashes[segment - 1] != WILD {
        segment -= 1;
        from = step(from, hashes[segment]);
        hashes[2 * SEGMENTS + segment] = from >> 32;
    }
    hashes
}

/// The hash of an empty segment.
const FNV: u64 = 0x811c_9dc5;
