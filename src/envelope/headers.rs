//! The headers of an envelope: [`Headers`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
#[cfg(feature = "json")]
use alloc::collections::btree_map::Entry;
use core::fmt;

/// Maps keys to values, sorted by key.
///
/// Any text may be a key or a value. The value of a missing key is the empty text. Five keys have
/// accessors, because services agree on their meaning.
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
    /// Key of the run of a workflow.
    pub const RUN_ID: &str = "run_id";
    /// Key of the node of a graph, or of the machine.
    pub const NODE_ID: &str = "node_id";
    /// Key of the user or service that acts.
    pub const ACTOR_ID: &str = "actor_id";
    /// Key of the graph of a workflow.
    pub const GRAPH_ID: &str = "graph_id";
    /// Key of the tenant that the data belongs to.
    pub const TENANT: &str = "tenant";
    /// Key of the ordering key: see [`Envelope::with_key`](super::Envelope::with_key).
    pub const KEY: &str = "key";
    /// Key of the URI that names the version of the payload: see
    /// [`Envelope::with_data_schema`](super::Envelope::with_data_schema).
    pub const DATA_SCHEMA: &str = "dataschema";

    /// Returns an empty map. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the value of `key`. Empty if there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", |value| value)
    }

    /// Sets the value of `key`. It replaces the value that the key had.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        self.0.insert(key.into(), value.into());
    }

    /// Removes the value of `key`. Returns whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// Returns the value of `key`, else of a key that differs from it in case alone.
    pub(crate) fn get_in_any_case(&self, key: &str) -> &str {
        let in_other_case = || self.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
        match self.0.get(key) {
            Some(value) => value,
            None => in_other_case().map_or("", |(_, value)| value),
        }
    }

    /// Removes `key` and keys that differ from it in case alone.
    pub(crate) fn remove_in_any_case(&mut self, key: &str) {
        self.0.retain(|other, _| !other.eq_ignore_ascii_case(key));
    }

    /// Sets the value of `key`. If it has one, be it empty, returns the key instead.
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

    /// Removes and returns the value of `key`.
    #[cfg(feature = "json")]
    pub(super) fn take(&mut self, key: &str) -> Option<Box<str>> {
        self.0.remove(key)
    }

    /// Removes what is empty.
    #[cfg(feature = "json")]
    pub(super) fn retain_non_empty(&mut self) {
        self.0.retain(|_, value| !value.is_empty());
    }

    /// Returns how many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the envelope has no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns keys and values, sorted by key.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + fmt::Debug {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns the value of [`RUN_ID`](Self::RUN_ID). Empty if there is none.
    #[must_use]
    pub fn run_id(&self) -> &str {
        self.get(Self::RUN_ID)
    }

    /// Returns the value of [`NODE_ID`](Self::NODE_ID). Empty if there is none.
    #[must_use]
    pub fn node_id(&self) -> &str {
        self.get(Self::NODE_ID)
    }

    /// Returns the value of [`ACTOR_ID`](Self::ACTOR_ID). Empty if there is none.
    #[must_use]
    pub fn actor_id(&self) -> &str {
        self.get(Self::ACTOR_ID)
    }

    /// Returns the value of [`GRAPH_ID`](Self::GRAPH_ID). Empty if there is none.
    #[must_use]
    pub fn graph_id(&self) -> &str {
        self.get(Self::GRAPH_ID)
    }

    /// Returns the value of [`TENANT`](Self::TENANT). Empty if there is none.
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
