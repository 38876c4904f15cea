//! Records in memory: [`MemoryStore`].

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use roaring::RoaringTreemap;
use slab::Slab;
use tokio::sync::broadcast::Sender;

use super::api::{Store, StoreError};
use super::filter::{Cursor, EventFilter};
use super::index::{Index, Placed};
use super::page::{Page, StoreStats};
use super::record::{EventRecord, EventStatus};
use super::stream::Records;
use crate::envelope::Timestamp;
use crate::hosted::future::EngineFuture;
use crate::subject::GlobPattern;
use crate::sync::Lock;

/// Keeps records in memory, the last 10,000 by default.
///
/// It has an index for each criterion of a filter, so a page of 100 out of a million records takes
/// less than some milliseconds. New records come into the index by the thousand, or with the next list.
/// What a list costs besides grows with the records that it skips by
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

/// How many records a stream may be behind before it misses some.
const BEHIND: usize = 1024;
/// How many changes wait for the index. A list does them first.
const BATCH: usize = 1024;
/// The key of a place without a record.
const NONE: usize = usize::MAX;

struct State {
    records: Slab<Kept>,
    /// The keys of records, by the hash of their ids.
    ids: HashTable<usize>,
    hasher: RandomState,
    /// Places with the keys of their records: in the order in which they were stored first.
    order: VecDeque<(u64, usize)>,
    next_place: u64,
    /// How many records there are of each status.
    counts: [u64; EventStatus::ALL.len()],
    index: Index,
    /// The place from which on records are not in the index.
    indexed: u64,
    /// Records that are gone, and still in the index.
    gone: Vec<(u64, Arc<EventRecord>)>,
    evicted: u64,
    /// `None` if the store is closed.
    sender: Option<Sender<Arc<EventRecord>>>,
}

struct Kept {
    place: u64,
    record: Arc<EventRecord>,
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
            records: Slab::new(),
            ids: HashTable::new(),
            hasher: RandomState::default(),
            order: VecDeque::new(),
            next_place: 0,
            counts: [0; EventStatus::ALL.len()],
            index: Index::default(),
            indexed: 0,
            gone: Vec::new(),
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
    fn key(&self, id: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        self.ids.find(hash, |key| self.records[*key].record.id == id).copied()
    }

    fn known(&self, id: &str) -> Result<usize, StoreError> {
        self.key(id).ok_or_else(|| StoreError::NotFound(id.into()))
    }

    fn insert(&mut self, record: Arc<EventRecord>) {
        let place = self.next_place;
        self.next_place += 1;
        self.counts[record.status as usize] += 1;
        let hash = self.hasher.hash_one(&*record.id);
        let key = self.records.insert(Kept { place, record });
        let (records, hasher) = (&self.records, &self.hasher);
        self.ids.insert_unique(hash, key, |key| hasher.hash_one(&*records[*key].record.id));
        self.order.push_back((place, key));
        if self.next_place - self.indexed >= BATCH as u64 {
            self.index();
        }
    }

    fn replace(&mut self, key: usize, record: Arc<EventRecord>) {
        let kept = &mut self.records[key];
        self.counts[kept.record.status as usize] -= 1;
        self.counts[record.status as usize] += 1;
        if kept.place < self.indexed {
            self.index.replace(kept.place, &kept.record, &record);
        }
        kept.record = record;
    }

    fn remove(&mut self, key: usize) {
        let place = self.records[key].place;
        if let Ok(at) = self.order.binary_search_by_key(&place, |(place, _)| *place) {
            self.order[at].1 = NONE;
        }
        self.skip_gone();
        self.forget(key);
        if self.order.len() > 2 * self.records.len() + BATCH {
            self.order.retain(|(_, key)| *key != NONE);
        }
    }

    /// Removes the record that was stored first.
    fn evict(&mut self) {
        let Some((_, key)) = self.order.pop_front() else { return };
        self.skip_gone();
        self.forget(key);
        self.evicted += 1;
    }

    /// A record stands at the front.
    fn skip_gone(&mut self) {
        while self.order.front().is_some_and(|(_, key)| *key == NONE) {
            self.order.pop_front();
        }
    }

    fn forget(&mut self, key: usize) {
        let Kept { place, record } = self.records.remove(key);
        self.counts[record.status as usize] -= 1;
        let hash = self.hasher.hash_one(&*record.id);
        if let Ok(entry) = self.ids.find_entry(hash, |it| *it == key) {
            entry.remove();
        }
        if place < self.indexed {
            self.gone.push((place, record));
            if self.gone.len() >= BATCH {
                self.index();
            }
        }
    }

    /// Brings the index up to date.
    fn index(&mut self) {
        let gone: Vec<Placed<'_>> = self.gone.iter().map(|(place, it)| (*place, &**it)).collect();
        self.index.remove(&gone);
        self.gone.clear();
        let from = self.order.partition_point(|(place, _)| *place < self.indexed);
        let new = self
            .order
            .range(from..)
            .filter_map(|(place, key)| self.records.get(*key).map(|kept| (*place, &*kept.record)));
        let new: Vec<Placed<'_>> = new.collect();
        self.index.add(&new);
        self.indexed = self.next_place;
    }

    fn at(&self, place: u64) -> Option<&Arc<EventRecord>> {
        let at = self.order.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.records.get(self.order[at].1).map(|kept| &kept.record)
    }

    /// The places of the records that a filter selects, whatever its page. `None` is all.
    fn selected(&self, filter: &EventFilter) -> Option<RoaringTreemap> {
        self.index.selected(filter, |range, places| {
            let from = self.order.partition_point(|(place, _)| *place < range.start);
            let block = self.order.range(from..).take_while(|(place, _)| *place < range.end);
            let kept = block.filter_map(|(place, key)| Some((*place, self.records.get(*key)?)));
            let made = kept.filter(|(_, kept)| filter.is_in_time(kept.record.created_at));
            places.extend(made.map(|(place, _)| place));
        })
    }

    fn list(&mut self, filter: &EventFilter) -> Page {
        self.index();
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
            None => {
                let from = self.order.partition_point(|(place, _)| *place < begin);
                let all = self.order.range(from..).filter(|(_, key)| *key != NONE);
                all.skip(filter.offset).all(|(place, key)| add(*place, &self.records[*key].record))
            }
            Some(mut places) => {
                if begin > 0 {
                    places.remove_range(..begin);
                }
                places
                    .into_iter()
                    .skip(filter.offset)
                    .all(|place| self.at(place).is_none_or(|record| add(place, record)))
            }
        };
        Page::new(records, if is_all { None } else { last }, total)
    }
}

impl Store for MemoryStore {
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        self.put_shared(Arc::new(record))
    }

    fn put_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        if let Err(invalid) = record.validate() {
            return EngineFuture::ready(Err(invalid.into()));
        }
        self.with(|state| {
            if let Some(key) = state.key(&record.id) {
                state.replace(key, record);
                return Ok(());
            }
            if state.records.len() == self.max_events {
                state.evict();
            }
            if let Some(sender) = &state.sender
                && sender.receiver_count() > 0
            {
                let _ = sender.send(record.clone()); // its reader may be gone
            }
            state.insert(record);
            Ok(())
        })
    }

    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>> {
        self.with(|state| Ok(state.records[state.known(id)?].record.clone()))
    }

    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        self.update_shared(Arc::new(record))
    }

    fn update_shared(&self, record: Arc<EventRecord>) -> EngineFuture<'_, Result<(), StoreError>> {
        if let Err(invalid) = record.validate() {
            return EngineFuture::ready(Err(invalid.into()));
        }
        self.with(|state| {
            let key = state.known(&record.id)?;
            state.replace(key, record);
            Ok(())
        })
    }

    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>> {
        self.with(|state| {
            let key = state.known(id)?;
            state.remove(key);
            Ok(())
        })
    }

    fn list(&self, filter: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>> {
        self.with(|state| Ok(state.list(&filter)))
    }

    fn clean_up(&self, before: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>> {
        self.with(|state| {
            let is_old = |kept: &Kept| {
                let status = kept.record.status;
                matches!(status, EventStatus::Completed | EventStatus::Failed)
                    && kept.record.created_at < before
            };
            let old = state
                .order
                .iter()
                .filter_map(|(_, key)| state.records.get(*key).is_some_and(is_old).then_some(*key));
            let old: Vec<usize> = old.collect();
            old.iter().for_each(|key| state.remove(*key));
            Ok(old.len() as u64)
        })
    }

    fn stream(&self, pattern: GlobPattern<'_>) -> Result<Records, StoreError> {
        let state = self.state.lock();
        state.sender.as_ref().map(|it| Records::new(pattern, it)).ok_or(StoreError::Closed)
    }

    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>> {
        self.with(|state| {
            let count = |status: EventStatus| state.counts[status as usize];
            Ok(StoreStats {
                total_events: state.records.len() as u64,
                pending_events: count(EventStatus::Pending),
                processing_events: count(EventStatus::Processing),
                completed_events: count(EventStatus::Completed),
                failed_events: count(EventStatus::Failed),
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
