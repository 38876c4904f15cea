//! What an envelope says about itself, key by key.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
#[cfg(feature = "json")]
use alloc::collections::btree_map::Entry;
use core::fmt;

/// Keys with values, sorted by key, each key once.
///
/// Any text is a key and a value. Asking for a key that is not there gives the empty text. Five keys
/// have accessors, for they are the ones that services agree on.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::Headers;
///
/// let mut headers = Headers::new();
/// headers.insert(Headers::RUN_ID, "17");
/// headers.insert("colour", "red");
/// headers.insert("colour", "blue"); // replaces
///
/// assert_eq!((headers.run_id(), headers.get("colour")), ("17", "blue"));
/// assert_eq!((headers.tenant(), headers.get("shape")), ("", ""));
/// assert!(headers.iter().eq([("colour", "blue"), ("run_id", "17")])); // sorted
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(transparent))]
pub struct Headers(BTreeMap<Box<str>, Box<str>>);

impl Headers {
    /// The run of a workflow.
    pub const RUN_ID: &str = "run_id";
    /// The node of a graph, or the machine.
    pub const NODE_ID: &str = "node_id";
    /// Who acts.
    pub const ACTOR_ID: &str = "actor_id";
    /// The graph of a workflow.
    pub const GRAPH_ID: &str = "graph_id";
    /// Whose data this is.
    pub const TENANT: &str = "tenant";

    /// No headers. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value under `key`; empty where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", |value| value)
    }

    /// Puts `value` under `key`, in place of what was there.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        self.0.insert(key.into(), value.into());
    }

    /// Takes the value under `key` away. Says whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// The value under `key`, else under a key that differs from it in case alone.
    pub(super) fn get_in_any_case(&self, key: &str) -> &str {
        let in_other_case = || self.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
        match self.0.get(key) {
            Some(value) => value,
            None => in_other_case().map_or("", |(_, value)| value),
        }
    }

    /// Takes away what is under `key` and under keys that differ from it in case alone.
    pub(super) fn remove_in_any_case(&mut self, key: &str) {
        self.0.retain(|other, _| !other.eq_ignore_ascii_case(key));
    }

    /// Puts `value` under `key`, unless there is one, be it empty: then gives the key back.
    #[cfg(feature = "json")]
    pub(super) fn insert_new(&mut self, key: Box<str>, value: Box<str>) -> Result<(), Box<str>> {
        match self.0.entry(key) {
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.key().clone()),
        }
    }

    /// The value under `key`, taken away.
    #[cfg(feature = "json")]
    pub(super) fn take(&mut self, key: &str) -> Option<Box<str>> {
        self.0.remove(key)
    }

    /// Takes away what is empty.
    #[cfg(feature = "json")]
    pub(super) fn retain_non_empty(&mut self) {
        self.0.retain(|_, value| !value.is_empty());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, sorted by key.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + fmt::Debug {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of [`RUN_ID`](Self::RUN_ID); empty where there is none.
    #[must_use]
    pub fn run_id(&self) -> &str {
        self.get(Self::RUN_ID)
    }

    /// The value of [`NODE_ID`](Self::NODE_ID); empty where there is none.
    #[must_use]
    pub fn node_id(&self) -> &str {
        self.get(Self::NODE_ID)
    }

    /// The value of [`ACTOR_ID`](Self::ACTOR_ID); empty where there is none.
    #[must_use]
    pub fn actor_id(&self) -> &str {
        self.get(Self::ACTOR_ID)
    }

    /// The value of [`GRAPH_ID`](Self::GRAPH_ID); empty where there is none.
    #[must_use]
    pub fn graph_id(&self) -> &str {
        self.get(Self::GRAPH_ID)
    }

    /// The value of [`TENANT`](Self::TENANT); empty where there is none.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.get(Self::TENANT)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}
