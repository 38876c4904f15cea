//! How many subscriptions match, for the subjects that this thread asks for.
//!
//! What a thread remembers is right as long as the stamp of the bus is the same. A bus takes a new stamp
//! at each change of its routes, and no two take the same, so one memo serves a thread for all buses. It
//! has numbers and texts only, and keeps nothing alive.

use alloc::boxed::Box;
use core::cell::RefCell;

use foldhash::fast::FixedState;

use super::routes::hash;
use crate::subject::Subject;
use crate::sync::{PlainNumber, Relaxed};

/// How many subjects a thread remembers.
const SIZE: usize = 64;

struct Known {
    stamp: usize,
    subject: Box<str>,
    matching: usize,
}

std::thread_local! {
    static MEMO: RefCell<[Option<Known>; SIZE]> = const { RefCell::new([const { None }; SIZE]) };
}

fn slot(subject: Subject<'_>) -> usize {
    // An attacker who makes them collide makes them slow, not wrong.
    hash(&FixedState::with_seed(0), subject.as_str()) as usize % SIZE
}

/// A stamp that no bus had before.
pub(super) fn new_stamp() -> usize {
    static LAST: PlainNumber = PlainNumber::new(0);
    LAST.fetch_add(1, Relaxed) + 1
}

#[inline]
pub(super) fn recall(stamp: usize, subject: Subject<'_>) -> Option<usize> {
    let recall = |memo: &RefCell<[Option<Known>; SIZE]>| {
        let memo = memo.borrow();
        let known = memo[slot(subject)].as_ref()?;
        (known.stamp == stamp && *known.subject == *subject.as_str()).then_some(known.matching)
    };
    MEMO.try_with(recall).ok()?
}

#[cold]
pub(super) fn remember(stamp: usize, subject: Subject<'_>, matching: usize) {
    let known = Known { stamp, subject: subject.as_str().into(), matching };
    // A thread that is ending remembers nothing any more.
    let _ = MEMO.try_with(|memo| memo.borrow_mut()[slot(subject)] = Some(known));
}
