//! Leases in memory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tokio::time::Instant;

use super::store::{Claimed, LeaseStore, Opened, Renewal, ShardLease};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{BoxError, EngineFuture};
use crate::sync::Lock;

/// Keeps leases and positions in memory, for the members of one process.
///
/// Clones are the same store: give one to each engine whose subscriptions are to share a group. When the
/// process ends, the positions are gone.
#[derive(Clone, Default)]
pub struct MemoryLeases {
    groups: Arc<Lock<BTreeMap<Box<str>, Group>>>,
}

#[derive(Default)]
struct Group {
    about: Box<str>,
    shards: BTreeMap<Box<str>, Row>,
}

struct Row {
    epoch: u64,
    member: Box<str>,
    until: Option<Instant>,
    position: Box<str>,
    wanted: bool,
}

impl Row {
    fn new(position: &str) -> Self {
        Self { epoch: 0, member: "".into(), until: None, position: position.into(), wanted: false }
    }

    fn is_held(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl MemoryLeases {
    /// Returns a store without groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<'a, T: Send>(
        &self,
        group: &str,
        step: impl FnOnce(&mut Group) -> T,
    ) -> EngineFuture<'a, Result<T, BoxError>> {
        let mut groups = self.groups.lock();
        EngineFuture::ready(match groups.get_mut(group) {
            Some(group) => Ok(step(group)),
            None => Err("the group is not open".into()),
        })
    }
}

impl LeaseStore for MemoryLeases {
    fn open<'a>(
        &'a self,
        group: &'a str,
        about: &'a str,
        shards: &'a [(Box<str>, Box<str>)],
    ) -> EngineFuture<'a, Result<Opened, BoxError>> {
        let mut groups = self.groups.lock();
        let created = !groups.contains_key(group);
        if created {
            let rows = shards.iter().map(|(shard, at)| (shard.clone(), Row::new(at)));
            let new = Group { about: about.into(), shards: rows.collect() };
            groups.insert(group.into(), new);
        }
        let about = groups.get(group).map(|group| group.about.clone()).unwrap_or_default();
        EngineFuture::ready(Ok(Opened::new(created, about)))
    }

    fn shards<'a>(&'a self, group: &'a str) -> EngineFuture<'a, Result<Vec<ShardLease>, BoxError>> {
        self.with(group, |group| {
            let shown = |(shard, row): (_, &Row)| {
                let lease = ShardLease::new(Box::<str>::clone(shard), row.position.clone());
                if row.is_held() { lease.held_by(row.member.clone(), row.wanted) } else { lease }
            };
            group.shards.iter().map(shown).collect()
        })
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        member: &'a str,
        lease: Duration,
        begin: &'a str,
    ) -> EngineFuture<'a, Result<Option<Claimed>, BoxError>> {
        self.with(group, |group| {
            let row = group.shards.entry(shard.into()).or_insert_with(|| Row::new(begin));
            if row.is_held() && *row.member != *member {
                return None;
            }
            (row.epoch, row.wanted) = (row.epoch + 1, false);
            row.member = member.into();
            row.until = Some(Instant::now() + lease.min(FOR_EVER));
            Some(Claimed::new(row.epoch, row.position.clone()))
        })
    }

    fn renew<'a>(
        &'a self,
        group: &'a str,
        held: &'a [(Arc<str>, u64)],
        lease: Duration,
    ) -> EngineFuture<'a, Result<Vec<Renewal>, BoxError>> {
        self.with(group, |group| {
            let renew = |(shard, epoch): &(Arc<str>, u64)| match group.shards.get_mut(&**shard) {
                Some(row) if row.epoch == *epoch && row.until.is_some() => {
                    row.until = Some(Instant::now() + lease.min(FOR_EVER));
                    if row.wanted { Renewal::Wanted } else { Renewal::Kept }
                }
                _ => Renewal::Lost,
            };
            held.iter().map(renew).collect()
        })
    }

    fn checkpoint<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
        position: &'a str,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        self.with(group, |group| match group.shards.get_mut(shard) {
            Some(row) if row.epoch == epoch && row.until.is_some() => {
                row.position = position.into();
                true
            }
            _ => false,
        })
    }

    fn release<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        self.with(group, |group| match group.shards.get_mut(shard) {
            Some(row) if row.epoch == epoch && row.until.is_some() => {
                row.until = None;
                true
            }
            _ => false,
        })
    }

    fn want<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
    ) -> EngineFuture<'a, Result<(), BoxError>> {
        self.with(group, |group| {
            if let Some(row) = group.shards.get_mut(shard) {
                row.wanted = true;
            }
        })
    }

    fn outlives_process(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLeases").field("groups", &self.groups.lock().len()).finish()
    }
}
