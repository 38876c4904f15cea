//! Handlers by kind, found while compiling from the patterns that they were added with.

use crate::event::{Event, Index, Indexed, Segments, Text};
use crate::subject::{check_pattern, matches};

/// Up to `H` handlers for each of `K` kinds. The first places of a row are taken.
pub(crate) struct Rows<F, const K: usize, const H: usize>([[Option<F>; H]; K]);

impl<F: Copy, const K: usize, const H: usize> Rows<F, K, H> {
    /// Returns rows without handlers, for the table `name`.
    #[track_caller]
    pub(crate) const fn new<E: Event>(name: &str) -> Self {
        if K != E::KINDS || K != E::SUBJECTS.len() {
            Text::new()
                .with("the third parameter of a `")
                .with(name)
                .with("` must be `{ E::KINDS }` of its event `E`: ")
                .with_number(E::SUBJECTS.len())
                .with(", not ")
                .with_number(K)
                .refuse();
        }
        assert!(H > 0, "a table of handlers needs room for at least one handler a kind");
        Self::checked::<E>()
    }

    /// Apart from `new`, as constants of a function are worked out before its first line.
    #[track_caller]
    const fn checked<E: Event>() -> Self {
        let _ = Self::index::<E>();
        Self([[None; H]; K])
    }

    /// The kinds by subject. To make it is to check the subjects.
    #[track_caller]
    const fn index<E: Event>() -> &'static Index<K> {
        const { Indexed::<E, K>::get() }
    }

    /// Adds a handler for every kind whose subject `pattern` matches.
    #[track_caller]
    pub(crate) const fn add<E: Event>(&mut self, pattern: &str, handler: F) {
        if let Some(kind) = Self::index::<E>().find(E::SUBJECTS, pattern) {
            self.add_to::<E>(kind, pattern, handler);
        } else {
            self.add_matching::<E>(pattern, handler);
        }
    }

    /// Adds a handler for each kind that a pattern with wildcards matches.
    #[track_caller]
    const fn add_matching<E: Event>(&mut self, pattern: &str, handler: F) {
        let mut kinds = const { &Segments::<K>::new(E::SUBJECTS) }.candidates(pattern);
        if !kinds.is_exact {
            refuse_malformed(pattern);
        }
        let mut matched = false;
        while let Some((kind, is_match)) = kinds.next() {
            if is_match || matches(pattern.as_bytes(), E::SUBJECTS[kind].as_bytes()) {
                matched = true;
                self.add_to::<E>(kind, pattern, handler);
            }
        }
        if !matched {
            refuse_malformed(pattern);
            refuse_unmatched(pattern, E::SUBJECTS);
        }
    }

    /// Adds a handler after those that the kind has.
    #[track_caller]
    const fn add_to<E: Event>(&mut self, kind: usize, pattern: &str, handler: F) {
        let row = &mut self.0[kind];
        let (mut place, mut end) = (0, H);
        while place < end {
            let middle = place + (end - place) / 2;
            if row[middle].is_some() {
                place = middle + 1;
            } else {
                end = middle;
            }
        }
        if place == H {
            refuse_another(pattern, E::SUBJECTS[kind], H);
        }
        row[place] = Some(handler);
    }

    /// Returns the places of a kind: the handlers, and behind them those that are free.
    #[inline(always)]
    pub(crate) fn of(&self, kind: usize) -> impl Iterator<Item = &Option<F>> {
        self.0.get(kind).into_iter().flatten()
    }

    /// Returns how many places are taken.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().flatten().flatten().count()
    }
}

/// Says what is wrong with a pattern, if anything.
#[track_caller]
const fn refuse_malformed(pattern: &str) {
    if let Err(error) = check_pattern(pattern) {
        Text::new().with("`").with(pattern).with("`: ").with(error.message()).refuse();
    }
}

/// Says which handler is one too many for a kind.
#[track_caller]
const fn refuse_another(pattern: &str, subject: &str, places: usize) -> ! {
    Text::new()
        .with("`")
        .with(pattern)
        .with("` is handler ")
        .with_number(places + 1)
        .with(" of `")
        .with(subject)
        .with("`, but the table has room for ")
        .with_number(places)
        .with(" a kind: raise its last parameter, as in `Dispatch<E, C, { E::KINDS }, (), ")
        .with_number(places + 1)
        .with(">`")
        .refuse()
}

/// Says which subjects there are instead, from the one that begins most like the pattern.
#[track_caller]
const fn refuse_unmatched(pattern: &str, subjects: &[&str]) -> ! {
    let mut nearest = 0;
    let mut longest = 0;
    let mut kind = 0;
    while kind < subjects.len() {
        let (pattern, subject) = (pattern.as_bytes(), subjects[kind].as_bytes());
        let mut same = 0;
        while same < pattern.len() && same < subject.len() && pattern[same] == subject[same] {
            same += 1;
        }
        if same > longest {
            longest = same;
            nearest = kind;
        }
        kind += 1;
    }
    let mut text = Text::new().with("`").with(pattern).with("` matches no subject of the event");
    let mut told = 0;
    while told < subjects.len() {
        let subject = subjects[(nearest + told) % subjects.len()];
        if text.room() < subject.len() + 64 {
            break;
        }
        text = text.with(if told == 0 { ", which has `" } else { ", `" }).with(subject).with("`");
        told += 1;
    }
    let (before, after) = if told == 0 { (", which has ", " others") } else { (" and ", " more") };
    if told < subjects.len() {
        text = text.with(before).with_number(subjects.len() - told).with(after);
    }
    text.refuse()
}
