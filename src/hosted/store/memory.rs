//! Records in memory: [`MemoryStore`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::collections::HashMap;

use roaring::RoaringTreemap;
use tokio::sync::broadcast::Sender;

use super::api::{Store, StoreError};
use super::filter::{Cursor, EventFilter};
use super::page::{Page, StoreStats};
use super::record::{EventRecord, EventSource, EventStatus};
use super::stream::Records;
use crate::envelope::Timestamp;
use crate::hosted::future::EngineFuture;
use crate::subject::GlobPattern;
use crate::sync::Lock;

/// Keeps records in memory, the last 10,000 by default.
///
/// It has an index for each criterion of a filter, so a page of 100 out of a million records takes
/// less than some milliseconds. What a list costs besides grows with the records that it skips by
/// [`offset`](EventFilter::offset): page by [`after`](EventFilter::after). A time costs a look at
/// each block of 1024 records, and at the records of those blocks that it cuts.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use tickbus::hosted::store::{EventFilter, EventRecord, EventSource, MemoryStore, Store};
///
/// let store = MemoryStore::new(2);
/// for operation in ["create", "update", "delete"] {
///     let mut record = EventRecord::new(EventSource::Database, "public", "users", operation);
///     record.instance_id = "shop-1".into();
///     store.put(record).await?;
/// }
///
/// let page = store.list(EventFilter::new().entity("users").limit(1)).await?;
/// assert_eq!((page.records[0].event_type(), page.total), ("public.users.update", 2));
/// let rest = EventFilter::new().entity("users").after(page.next.expect("there is more"));
/// assert_eq!(store.list(rest).await?.records[0].event_type(), "public.users.delete");
/// assert_eq!(store.stats().await?.evicted_events, 1); // there was room for two
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryStore {
    max_events: usize,
    state: Lock<State>,
}

/// How many records a block of times has.
const BLOCK: u64 = 1024;
/// How many records a stream may be behind before it misses some.
const BEHIND: usize = 1024;

struct State {
    /// By place: in the order in which they were stored first.
    records: BTreeMap<u64, Arc<EventRecord>>,
    places: HashMap<String, u64>,
    places_in_use: RoaringTreemap,
    next_place: u64,
    index: HashMap<Key, RoaringTreemap>,
    /// The earliest and the latest time of the records of a block.
    times: BTreeMap<u64, (Timestamp, Timestamp)>,
    evicted: u64,
    /// `None` if the store is closed.
    sender: Option<Sender<Arc<EventRecord>>>,
}

/// A value of a field that is indexed.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Source(Option<EventSource>),
    Status(EventStatus),
    User(i64),
    Schema(String),
    Entity(String),
    Operation(String),
    Instance(String),
}

fn keys(record: &EventRecord) -> [Key; 7] {
    let (schema, entity, operation) = record.parts();
    [
        Key::Source(record.source),
        Key::Status(record.status),
        Key::User(record.user_id),
        Key::Schema(schema.into()),
        Key::Entity(entity.into()),
        Key::Operation(operation.into()),
        Key::Instance(record.instance_id.clone()),
    ]
}

/// The values that a filter demands.
fn demands(filter: &EventFilter) -> impl Iterator<Item = Key> {
    let text =
        |text: &String, key: fn(String) -> Key| (!text.is_empty()).then(|| key(text.clone()));
    [
        filter.source.map(|source| Key::Source(Some(source))),
        filter.status.map(Key::Status),
        filter.user_id.map(Key::User),
        text(&filter.schema, Key::Schema),
        text(&filter.entity, Key::Entity),
        text(&filter.operation, Key::Operation),
        text(&filter.instance_id, Key::Instance),
    ]
    .into_iter()
    .flatten()
}

impl MemoryStore {
    /// Returns a store that keeps at most `max_events` records. At that number, the one that was
    /// stored first goes when another one comes.
    ///
    /// # Panics
    ///
    /// Panics if `max_events` is 0.
    #[must_use]
    pub fn new(max_events: usize) -> Self {
        assert!(max_events > 0, "a store for 0 records keeps nothing: give it room for 1 or more");
        let state = Lock::new(State {
            records: BTreeMap::new(),
            places: HashMap::new(),
            places_in_use: RoaringTreemap::new(),
            next_place: 0,
            index: HashMap::new(),
            times: BTreeMap::new(),
            evicted: 0,
            sender: Some(Sender::new(BEHIND)),
        });
        Self { max_events, state }
    }

    /// Does `work` on an open store.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> EngineFuture<'_, Result<T, StoreError>> {
        let mut state = self.state.lock();
        EngineFuture::ready(match state.sender {
            Some(_) => work(&mut state),
            None => Err(StoreError::Closed),
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(10_000)
    }
}

impl State {
    fn place(&self, id: &str) -> Result<u64, StoreError> {
        self.places.get(id).copied().ok_or_else(|| StoreError::NotFound(id.into()))
    }

    fn insert(&mut self, place: u64, record: Arc<EventRecord>) {
        for key in keys(&record) {
            self.index.entry(key).or_default().insert(place);
        }
        let time = record.created_at;
        self.times
            .entry(place / BLOCK)
            .and_modify(|(first, last)| (*first, *last) = ((*first).min(time), (*last).max(time)))
            .or_insert((time, time));
        self.places_in_use.insert(place);
        self.records.insert(place, record);
    }

    /// Takes the record out. Its id keeps its place.
    fn take(&mut self, place: u64) -> Option<Arc<EventRecord>> {
        let record = self.records.remove(&place)?;
        self.places_in_use.remove(place);
        for key in keys(&record) {
            if let Some(places) = self.index.get_mut(&key) {
                places.remove(place);
                if places.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
        Some(record)
    }

    fn remove(&mut self, place: u64) {
        if let Some(record) = self.take(place) {
            self.places.remove(&record.id);
            let block = place / BLOCK;
            if self.records.range(block * BLOCK..(block + 1) * BLOCK).next().is_none() {
                self.times.remove(&block);
            }
        }
    }

    fn replace(&mut self, place: u64, record: Arc<EventRecord>) {
        self.take(place);
        self.insert(place, record);
    }

    fn count(&self, status: EventStatus) -> u64 {
        self.index.get(&Key::Status(status)).map_or(0, RoaringTreemap::len)
    }

    /// The places of the records that a filter selects, whatever its page. `None` is all.
    fn selected(&self, filter: &EventFilter) -> Option<RoaringTreemap> {
        let mut selected: Option<RoaringTreemap> = None;
        let mut narrow = |places: &RoaringTreemap| match &mut selected {
            Some(selected) => *selected &= places,
            None => selected = Some(places.clone()),
        };
        for key in demands(filter) {
            match self.index.get(&key) {
                Some(places) => narrow(places),
                None => return Some(RoaringTreemap::new()),
            }
        }
        if filter.from.is_some() || filter.to.is_some() {
            narrow(&self.made(filter));
        }
        selected
    }

    /// The places of the records that were made in the time of a filter.
    fn made(&self, filter: &EventFilter) -> RoaringTreemap {
        let is_in = |time: Timestamp| {
            filter.from.is_none_or(|from| time >= from) && filter.to.is_none_or(|to| time <= to)
        };
        let mut places = RoaringTreemap::new();
        for (block, (first, last)) in &self.times {
            let range = block * BLOCK..(block + 1) * BLOCK;
            if is_in(*first) && is_in(*last) {
                places.insert_range(range);
            } else if filter.from.is_none_or(|from| *last >= from)
                && filter.to.is_none_or(|to| *first <= to)
            {
                let records = self.records.range(range);
                let made = records.filter(|(_, record)| is_in(record.created_at));
                places.extend(made.map(|(place, _)| *place));
            }
        }
        places & &self.places_in_use
    }

    fn list(&self, filter: &EventFilter) -> Page {
        let selected = self.selected(filter);
        let total = match &selected {
            Some(places) => places.len(),
            None => self.records.len() as u64,
        };
        let begin = filter.after.map_or(0, |Cursor(place)| place.saturating_add(1));
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let mut records: Vec<Arc<EventRecord>> = Vec::new();
        let mut last = None;
        let mut add = |place: u64, record: &Arc<EventRecord>| {
            if records.len() == limit {
                return false; // there is more
            }
            records.push(record.clone());
            last = Some(Cursor(place));
            true
        };
        let is_all = match selected {
            None => self
                .records
                .range(begin..)
                .skip(filter.offset)
                .all(|(place, record)| add(*place, record)),
            Some(mut places) => {
                if begin > 0 {
                    places.remove_range(..begin);
                }
                places
                    .into_iter()
                    .skip(filter.offset)
                    .all(|place| self.records.get(&place).is_none_or(|record| add(place, record)))
            }
        };
        Page::new(records, if is_all { None } else { last }, total)
    }
}

impl Store for MemoryStore {
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        if let Err(invalid) = record.validate() {
            return EngineFuture::ready(Err(invalid.into()));
        }
        let record = Arc::new(record);
        self.with(|state| {
            if let Some(place) = state.places.get(&record.id).copied() {
                state.replace(place, record);
                return Ok(());
            }
            if state.records.len() == self.max_events
                && let Some(first) = state.records.first_key_value().map(|(place, _)| *place)
            {
                state.remove(first);
                state.evicted += 1;
            }
            let place = state.next_place;
            state.next_place += 1;
            state.places.insert(record.id.clone(), place);
            state.insert(place, record.clone());
            if let Some(sender) = &state.sender {
                let _ = sender.send(record); // without a reader it goes nowhere
            }
            Ok(())
        })
    }

    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>> {
        self.with(|state| {
            let place = state.place(id)?;
            state.records.get(&place).cloned().ok_or_else(|| StoreError::NotFound(id.into()))
        })
    }

    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        if let Err(invalid) = record.validate() {
            return EngineFuture::ready(Err(invalid.into()));
        }
        self.with(|state| {
            let place = state.place(&record.id)?;
            state.replace(place, Arc::new(record));
            Ok(())
        })
    }

    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>> {
        self.with(|state| {
            let place = state.place(id)?;
            state.remove(place);
            Ok(())
        })
    }

    fn list(&self, filter: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>> {
        self.with(|state| Ok(state.list(&filter)))
    }

    fn clean_up(&self, before: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>> {
        self.with(|state| {
            let mut ended = RoaringTreemap::new();
            for status in [EventStatus::Completed, EventStatus::Failed] {
                if let Some(places) = state.index.get(&Key::Status(status)) {
                    ended |= places;
                }
            }
            let mut removed = 0;
            for place in ended {
                if state.records.get(&place).is_some_and(|record| record.created_at < before) {
                    state.remove(place);
                    removed += 1;
                }
            }
            Ok(removed)
        })
    }

    fn stream(&self, pattern: GlobPattern<'_>) -> Result<Records, StoreError> {
        let state = self.state.lock();
        state.sender.as_ref().map(|it| Records::new(pattern, it)).ok_or(StoreError::Closed)
    }

    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>> {
        self.with(|state| {
            Ok(StoreStats {
                total_events: state.records.len() as u64,
                pending_events: state.count(EventStatus::Pending),
                processing_events: state.count(EventStatus::Processing),
                completed_events: state.count(EventStatus::Completed),
                failed_events: state.count(EventStatus::Failed),
                evicted_events: state.evicted,
                active_streams: state.sender.as_ref().map_or(0, |it| it.receiver_count() as u64),
            })
        })
    }

    fn close(&self) {
        let sender = self.state.lock().sender.take();
        drop(sender); // it wakes the readers
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.state.lock().records.len();
        f.debug_struct("MemoryStore")
            .field("kept", &kept)
            .field("max_events", &self.max_events)
            .finish_non_exhaustive()
    }
}
