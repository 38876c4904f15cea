//! Which records a list has: [`EventFilter`].

use alloc::string::String;

use super::record::{EventRecord, EventSource, EventStatus};
use crate::envelope::Timestamp;

/// Selects records. A record must meet every criterion that is set. An empty text is no criterion.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::store::{EventFilter, EventStatus};
///
/// let failed = EventFilter::new().status(EventStatus::Failed).schema("public").limit(20);
/// let next_page = failed.clone().offset(20);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct EventFilter {
    pub(in crate::hosted) source: Option<EventSource>,
    pub(in crate::hosted) status: Option<EventStatus>,
    pub(in crate::hosted) user_id: Option<i64>,
    pub(in crate::hosted) schema: String,
    pub(in crate::hosted) entity: String,
    pub(in crate::hosted) operation: String,
    pub(in crate::hosted) instance_id: String,
    pub(in crate::hosted) from: Option<Timestamp>,
    pub(in crate::hosted) to: Option<Timestamp>,
    pub(in crate::hosted) after: Option<Cursor>,
    pub(in crate::hosted) offset: usize,
    pub(in crate::hosted) limit: usize,
}

/// A place in a list, from which the next page begins: [`Page::next`](super::Page::next).
///
/// New and removed records do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub(in crate::hosted) u64);

impl Cursor {
    /// Returns the cursor of a place. A store of your own makes it: places grow in the order in which
    /// records were stored first.
    #[must_use]
    pub const fn new(place: u64) -> Self {
        Self(place)
    }

    /// Returns the place.
    #[must_use]
    pub const fn place(self) -> u64 {
        self.0
    }
}

impl EventFilter {
    /// Returns a filter that selects every record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects records of this source.
    pub const fn source(mut self, source: EventSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Selects records of this status.
    pub const fn status(mut self, status: EventStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Selects records of this user. 0 is a user too.
    pub const fn user_id(mut self, user: i64) -> Self {
        self.user_id = Some(user);
        self
    }

    /// Selects records of this schema.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Selects records of this entity.
    pub fn entity(mut self, entity: impl Into<String>) -> Self {
        self.entity = entity.into();
        self
    }

    /// Selects records of this operation.
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// Selects records that this program published.
    pub fn instance_id(mut self, instance: impl Into<String>) -> Self {
        self.instance_id = instance.into();
        self
    }

    /// Selects records made at this time or later.
    pub const fn from(mut self, time: Timestamp) -> Self {
        self.from = Some(time);
        self
    }

    /// Selects records made at this time or earlier.
    pub const fn to(mut self, time: Timestamp) -> Self {
        self.to = Some(time);
        self
    }

    /// Leaves out everything up to this place. The page after it begins there.
    pub const fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Leaves out the first `records` that are selected.
    pub const fn offset(mut self, records: usize) -> Self {
        self.offset = records;
        self
    }

    /// Sets how many records a page has at most. 0 is all, as by default.
    pub const fn limit(mut self, records: usize) -> Self {
        self.limit = records;
        self
    }

    /// Returns what [`after`](Self::after) has set: a store of your own reads it.
    #[must_use]
    pub const fn page_after(&self) -> Option<Cursor> {
        self.after
    }

    /// Returns what [`offset`](Self::offset) has set: a store of your own reads it.
    #[must_use]
    pub const fn page_offset(&self) -> usize {
        self.offset
    }

    /// Returns what [`limit`](Self::limit) has set: a store of your own reads it. `None` is all.
    #[must_use]
    pub const fn page_limit(&self) -> Option<usize> {
        match self.limit {
            0 => None,
            limit => Some(limit),
        }
    }

    /// Returns whether the record meets all criteria, whatever its place in a list.
    #[must_use]
    pub fn matches(&self, record: &EventRecord) -> bool {
        let (schema, entity, operation) = record.parts();
        let is = |criterion: &str, text: &str| criterion.is_empty() || criterion == text;
        self.source.is_none_or(|source| record.source == Some(source))
            && self.status.is_none_or(|status| record.status == status)
            && self.user_id.is_none_or(|user| record.user_id == user)
            && is(&self.schema, schema)
            && is(&self.entity, entity)
            && is(&self.operation, operation)
            && is(&self.instance_id, &record.instance_id)
            && self.is_in_time(record.created_at)
    }

    pub(super) fn is_in_time(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time <= to)
    }
}
