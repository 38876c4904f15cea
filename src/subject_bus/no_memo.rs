//! In place of `memo` where there are no threads to remember anything.

use crate::subject::Subject;

pub(super) const fn new_stamp() -> usize {
    0
}

pub(super) const fn recall(_: usize, _: Subject<'_>) -> Option<usize> {
    None
}

pub(super) const fn remember(_: usize, _: Subject<'_>, _: usize) {}
