//! The kinds of an event, as functions: most of the plugin works for events without kinds too.

use alloc::vec::Vec;
use core::any::type_name;

use crate::event::Event;
use crate::subject::{Pattern, Subject};

/// The kinds of an event.
pub(super) struct Kinds<E> {
    pub(super) subjects: &'static [&'static str],
    pub(super) kind: fn(&E) -> usize,
}

impl<E: Event> Kinds<E> {
    pub(super) fn of() -> Self {
        Self { subjects: E::SUBJECTS, kind: E::kind }
    }
}

// By hand: a derive would demand `E: Clone`.
impl<E> Clone for Kinds<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Kinds<E> {}

/// Some kinds of an event.
pub(super) struct Covered(Vec<bool>);

impl Covered {
    /// Returns the kinds whose subject `pattern` matches.
    #[track_caller]
    pub(super) fn by<E: Event>(pattern: &str) -> Self {
        let parsed = Pattern::new(pattern).unwrap_or_else(|error| panic!("`{pattern}`: {error}"));
        let matches = |subject| Subject::new(subject).is_ok_and(|subject| parsed.matches(subject));
        let kinds: Vec<bool> = E::SUBJECTS.iter().map(|subject| matches(*subject)).collect();
        assert!(
            kinds.contains(&true),
            "`{pattern}` matches no subject of `{}`, which has {:?}",
            type_name::<E>(),
            E::SUBJECTS
        );
        Self(kinds)
    }

    pub(super) fn contains<E: Event>(&self, event: &E) -> bool {
        self.0.get(event.kind()).is_some_and(|covered| *covered)
    }
}
