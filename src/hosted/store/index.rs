//! Which records have a value, and which were made at a time: [`Index`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::Hash;
use core::ops::{Range, RangeInclusive};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::filter::EventFilter;
use super::record::{EventRecord, EventSource, EventStatus};
use crate::envelope::Timestamp;

/// How many records a block of times has.
pub(super) const BLOCK: u64 = 1024;

/// The places of records, by each value that a filter may demand.
#[derive(Default)]
pub(super) struct Index {
    places: RoaringTreemap,
    sources: Field<Option<EventSource>>,
    statuses: Field<EventStatus>,
    users: Field<i64>,
    schemas: Field<String>,
    entities: Field<String>,
    operations: Field<String>,
    instances: Field<String>,
    /// The earliest and the latest time of the records of a block.
    times: BTreeMap<u64, (Timestamp, Timestamp)>,
}

/// The places of records, by the value of one field.
struct Field<K>(HashMap<K, RoaringTreemap, RandomState>);

impl<K> Default for Field<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Hash + Eq> Field<K> {
    fn get<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<&RoaringTreemap>
    where
        K: Borrow<Q>,
    {
        self.0.get(value)
    }

    fn of<Q: ToOwned<Owned = K> + Hash + Eq + ?Sized>(&mut self, value: &Q) -> &mut RoaringTreemap
    where
        K: Borrow<Q>,
    {
        if !self.0.contains_key(value) {
            self.0.insert(value.to_owned(), RoaringTreemap::new());
        }
        self.0.get_mut(value).expect("it was there, or was made")
    }

    fn remove<Q: Hash + Eq + ?Sized>(&mut self, value: &Q, range: RangeInclusive<u64>)
    where
        K: Borrow<Q>,
    {
        if let Some(places) = self.0.get_mut(value) {
            places.remove_range(range);
            if places.is_empty() {
                self.0.remove(value);
            }
        }
    }

    /// Adds or removes records. Neighbours with one value are one step.
    fn change<Q>(&mut self, records: &[Placed], adds: bool, value: fn(&EventRecord) -> &Q)
    where
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        for run in records.chunk_by(|a, b| a.0 + 1 == b.0 && value(&a.1) == value(&b.1)) {
            let (range, value) = (range(run), value(&run[0].1));
            if adds {
                self.of(value).insert_range(range);
            } else {
                self.remove(value, range);
            }
        }
    }

    fn replace<Q>(&mut self, place: u64, old: &Q, new: &Q)
    where
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        if old != new {
            self.remove(old, place..=place);
            self.of(new).insert(place);
        }
    }
}

/// A record, and its place.
pub(super) type Placed = (u64, Arc<EventRecord>);

/// The places of a run.
fn range(run: &[Placed]) -> RangeInclusive<u64> {
    run[0].0..=run[run.len() - 1].0
}

impl Index {
    /// Adds records.
    pub(super) fn add(&mut self, records: &[Placed]) {
        for run in records.chunk_by(|a, b| a.0 + 1 == b.0) {
            self.places.insert_range(range(run));
        }
        self.change(records, true);
        for (place, record) in records {
            self.made_at(*place, record.created_at);
        }
    }

    /// Removes records.
    pub(super) fn remove(&mut self, records: &[Placed]) {
        for run in records.chunk_by(|a, b| a.0 + 1 == b.0) {
            self.places.remove_range(range(run));
        }
        self.change(records, false);
        let blocks = records.chunk_by(|a, b| a.0 / BLOCK == b.0 / BLOCK);
        for block in blocks.map(|run| run[0].0 / BLOCK) {
            if self.places.range_cardinality(block * BLOCK..(block + 1) * BLOCK) == 0 {
                self.times.remove(&block);
            }
        }
    }

    fn change(&mut self, records: &[Placed], adds: bool) {
        self.sources.change(records, adds, |it| &it.source);
        self.statuses.change(records, adds, |it| &it.status);
        self.users.change(records, adds, |it| &it.user_id);
        self.schemas.change(records, adds, |it| it.parts().0);
        self.entities.change(records, adds, |it| it.parts().1);
        self.operations.change(records, adds, |it| it.parts().2);
        self.instances.change(records, adds, |it| &*it.instance_id);
    }

    fn made_at(&mut self, place: u64, time: Timestamp) {
        self.times
            .entry(place / BLOCK)
            .and_modify(|(first, last)| (*first, *last) = ((*first).min(time), (*last).max(time)))
            .or_insert((time, time));
    }

    /// Another record has the place now.
    pub(super) fn replace(&mut self, place: u64, old: &EventRecord, new: &EventRecord) {
        self.sources.replace(place, &old.source, &new.source);
        self.statuses.replace(place, &old.status, &new.status);
        self.users.replace(place, &old.user_id, &new.user_id);
        self.schemas.replace(place, old.parts().0, new.parts().0);
        self.entities.replace(place, old.parts().1, new.parts().1);
        self.operations.replace(place, old.parts().2, new.parts().2);
        self.instances.replace(place, &*old.instance_id, &*new.instance_id);
        self.made_at(place, new.created_at);
    }

    /// Returns the places of the records that a filter selects, whatever its page. `None` is all.
    ///
    /// `cut` says which records of a block were made in the time of the filter.
    pub(super) fn selected(
        &self,
        filter: &EventFilter,
        cut: impl FnMut(Range<u64>, &mut RoaringTreemap),
    ) -> Option<RoaringTreemap> {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let demands = [
            filter.source.map(|it| self.sources.get(&Some(it))),
            filter.status.map(|it| self.statuses.get(&it)),
            filter.user_id.map(|it| self.users.get(&it)),
            text(&filter.schema).map(|it| self.schemas.get(&*it)),
            text(&filter.entity).map(|it| self.entities.get(&*it)),
            text(&filter.operation).map(|it| self.operations.get(&*it)),
            text(&filter.instance_id).map(|it| self.instances.get(&*it)),
        ];
        let mut selected: Option<RoaringTreemap> = None;
        let mut narrow = |places: &RoaringTreemap| match &mut selected {
            Some(selected) => *selected &= places,
            None => selected = Some(places.clone()),
        };
        for places in demands.into_iter().flatten() {
            match places {
                Some(places) => narrow(places),
                None => return Some(RoaringTreemap::new()),
            }
        }
        if filter.from.is_some() || filter.to.is_some() {
            narrow(&self.made(filter, cut));
        }
        selected
    }

    /// The places of the records that were made in the time of a filter.
    fn made(
        &self,
        filter: &EventFilter,
        mut cut: impl FnMut(Range<u64>, &mut RoaringTreemap),
    ) -> RoaringTreemap {
        let mut places = RoaringTreemap::new();
        for (block, (first, last)) in &self.times {
            let range = block * BLOCK..(block + 1) * BLOCK;
            if filter.is_in_time(*first) && filter.is_in_time(*last) {
                places.insert_range(range);
            } else if filter.from.is_none_or(|from| *last >= from)
                && filter.to.is_none_or(|to| *first <= to)
            {
                cut(range, &mut places);
            }
        }
        places & &self.places
    }
}
