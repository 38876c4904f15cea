//! Which records have a value, and which were made at a time: [`Index`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::Hash;
use core::ops::{Range, RangeInclusive};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use roaring::RoaringTreemap;
use smallvec::SmallVec;

use super::filter::EventFilter;
use super::record::{EventRecord, EventSource, EventStatus};
use crate::envelope::Timestamp;

/// How many values of a field a batch looks at, before it asks the index.
const KNOWN: usize = 8;
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

    /// Adds records, all behind those that are there.
    fn add<Q>(&mut self, records: &[Placed<'_>], value: fn(&EventRecord) -> &Q)
    where
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        let mut known: SmallVec<[(&Q, Vec<u64>); KNOWN]> = SmallVec::new();
        for (place, record) in records {
            let value = value(record);
            if let Some(at) = known.iter().position(|(known, _)| *known == value) {
                known[at].1.push(*place);
            } else if known.len() < KNOWN {
                known.push((value, alloc::vec![*place]));
            } else {
                self.of(value).insert(*place);
            }
        }
        for (value, places) in known {
            let (first, last) = (places[0], places[places.len() - 1]);
            let of_value = self.of(value);
            if last - first == places.len() as u64 - 1 {
                of_value.insert_range(first..=last);
            } else if of_value.max().is_none_or(|max| max < first) {
                let _ = of_value.append(places); // they are sorted
            } else {
                of_value.extend(places);
            }
        }
    }

    /// Removes records that are all that there is in `range`.
    fn remove_all<Q>(
        &mut self,
        records: &[Placed<'_>],
        range: &RangeInclusive<u64>,
        value: fn(&EventRecord) -> &Q,
    ) where
        Q: Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        let mut known: SmallVec<[&Q; KNOWN]> = SmallVec::new();
        for (_, record) in records {
            let value = value(record);
            if known.contains(&value) {
                continue;
            }
            self.remove(value, range.clone()); // a second time it finds nothing
            if known.len() < KNOWN {
                known.push(value);
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
pub(super) type Placed<'a> = (u64, &'a EventRecord);

/// The places of a run.
fn range(run: &[Placed<'_>]) -> RangeInclusive<u64> {
    run[0].0..=run[run.len() - 1].0
}

impl Index {
    /// Adds records, all behind those that are there.
    pub(super) fn add(&mut self, records: &[Placed<'_>]) {
        for run in records.chunk_by(|a, b| a.0 + 1 == b.0) {
            self.places.insert_range(range(run));
        }
        self.sources.add(records, |it| &it.source);
        self.statuses.add(records, |it| &it.status);
        self.users.add(records, |it| &it.user_id);
        self.schemas.add(records, |it| it.parts().0);
        self.entities.add(records, |it| it.parts().1);
        self.operations.add(records, |it| it.parts().2);
        self.instances.add(records, |it| &*it.instance_id);
        for block in records.chunk_by(|a, b| a.0 / BLOCK == b.0 / BLOCK) {
            let times = || block.iter().map(|(_, record)| record.created_at);
            for time in times().min().into_iter().chain(times().max()) {
                self.made_at(block[0].0, time);
            }
        }
    }

    /// Removes records.
    pub(super) fn remove(&mut self, records: &[Placed<'_>]) {
        for run in records.chunk_by(|a, b| a.0 + 1 == b.0) {
            let range = range(run);
            self.places.remove_range(range.clone());
            self.sources.remove_all(run, &range, |it| &it.source);
            self.statuses.remove_all(run, &range, |it| &it.status);
            self.users.remove_all(run, &range, |it| &it.user_id);
            self.schemas.remove_all(run, &range, |it| it.parts().0);
            self.entities.remove_all(run, &range, |it| it.parts().1);
            self.operations.remove_all(run, &range, |it| it.parts().2);
            self.instances.remove_all(run, &range, |it| &*it.instance_id);
        }
        let blocks = records.chunk_by(|a, b| a.0 / BLOCK == b.0 / BLOCK);
        for block in blocks.map(|run| run[0].0 / BLOCK) {
            if self.places.range_cardinality(block * BLOCK..(block + 1) * BLOCK) == 0 {
                self.times.remove(&block);
            }
        }
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
