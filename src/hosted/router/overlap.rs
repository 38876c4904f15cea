//! What sets of subjects have in common, exactly: [`reaches`].

use alloc::vec::Vec;

/// One part of a set of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// This segment.
    Text(&'a str),
    /// Any one segment.
    One,
    /// One or more segments; the last part.
    Rest,
    /// A segment that begins so, and whatever follows; the last part.
    Begins(&'a str),
}

/// A set of subjects. Never empty.
pub(super) type Shape<'a> = Vec<Segment<'a>>;

/// What a set still asks for behind some segments.
#[derive(Clone, Copy)]
enum Left<'s> {
    /// These parts. If there are none, the end.
    Parts(&'s [Segment<'s>]),
    /// Nothing: anything may follow.
    Open,
}

/// The next segment of the subject that is looked for.
#[derive(Clone, Copy)]
enum Next<'s> {
    Text(&'s str),
    /// Begins so, and differs from every text in the sets.
    Other(&'s str),
}

impl<'s> Left<'s> {
    /// Returns what is left behind the segment, if the set has it.
    fn step(self, next: Next<'_>) -> Option<Self> {
        let Self::Parts(parts) = self else { return Some(Self::Open) };
        let (first, rest) = parts.split_first()?;
        match (*first, next) {
            (Segment::One, _) => Some(Self::Parts(rest)),
            (Segment::Rest, _) => Some(Self::Open),
            (Segment::Text(text), Next::Text(it)) if text == it => Some(Self::Parts(rest)),
            (Segment::Text(_), _) => None,
            (Segment::Begins(with), Next::Text(it) | Next::Other(it)) => {
                it.starts_with(with).then_some(Self::Open)
            }
        }
    }

    const fn may_end(&self) -> bool {
        matches!(self, Self::Open | Self::Parts([]))
    }
}

/// Returns whether a subject is in all sets of `within` and in none of `without`.
///
/// The answer ignores that a subject has at most 1024 bytes.
pub(super) fn reaches<'s>(within: &[&'s Shape<'s>], without: &[&'s Shape<'s>]) -> bool {
    let left = |shape: &&'s Shape<'s>| Left::Parts(shape);
    let mut within: Vec<_> = within.iter().map(left).collect();
    let mut without: Vec<_> = without.iter().map(left).collect();
    loop {
        if without.iter().any(|set| matches!(set, Left::Open)) {
            return false;
        }
        if within.iter().all(Left::may_end) && !without.iter().any(Left::may_end) {
            return true;
        }
        let next = next(&within);
        let inside: Option<Vec<_>> = within.iter().map(|set| set.step(next)).collect();
        let Some(inside) = inside else { return false };
        within = inside;
        without = without.iter().filter_map(|set| set.step(next)).collect();
    }
}

/// Returns the segment to go on with. A set that has a text there leaves no choice. Otherwise a text
/// that no set names is in as few of the others as any.
fn next<'s>(within: &[Left<'s>]) -> Next<'s> {
    let mut begins = "";
    for set in within {
        match set {
            Left::Parts([Segment::Text(text), ..]) => return Next::Text(text),
            Left::Parts([Segment::Begins(with), ..]) if with.len() > begins.len() => begins = with,
            _ => {}
        }
    }
    Next::Other(begins)
}

#[cfg(test)]
mod tests;
