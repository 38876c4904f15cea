//! The trait.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::hosted::{BoxError, EngineFuture};

/// Keeps which member of a group reads which shard, and how far the group is.
///
/// Kinesis keeps neither. [`MemoryLeases`](super::MemoryLeases) is one for the members of one process, and
/// `postgres::PostgresLeases` (features `kinesis` and `postgres`) one for those of many. An `Arc` of one is
/// one too.
///
/// # To implement it
///
/// A row has a group, a shard, a member, an epoch, the end of its lease, a position, and whether another
/// member wants it. Positions and the text `about` are texts to keep as they are.
///
/// - Each call is one atomic step, and what it has changed is there when the future is ready.
/// - The end of a lease is by the clock of the store. A lease that has ended is as good as none.
/// - [`claim`](Self::claim) makes the epoch larger by one each time. [`renew`](Self::renew),
///   [`checkpoint`](Self::checkpoint) and [`release`](Self::release) change nothing for another epoch:
///   that is what keeps a member that was away from moving the position of its successor.
/// - An error means that it is not known whether something has changed. The member asks again.
pub trait LeaseStore: Send + Sync + 'static {
    /// Finds the group, or makes it with these shards, each at a position.
    ///
    /// Of several that open a new group, one makes it, with all its shards in one step.
    fn open<'a>(
        &'a self,
        group: &'a str,
        about: &'a str,
        shards: &'a [(Box<str>, Box<str>)],
    ) -> EngineFuture<'a, Result<Opened, BoxError>>;

    /// Returns all shards that the group has.
    fn shards<'a>(&'a self, group: &'a str) -> EngineFuture<'a, Result<Vec<ShardLease>, BoxError>>;

    /// Gives a member the lease of a shard, unless another one has it. A shard that the group does not have
    /// yet begins at `begin`. A claim ends what [`want`](Self::want) has said.
    fn claim<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        member: &'a str,
        lease: Duration,
        begin: &'a str,
    ) -> EngineFuture<'a, Result<Option<Claimed>, BoxError>>;

    /// Keeps leases for this time from now on. Returns what became of each, in their order. A lease that
    /// has ended can be renewed if no other member has claimed the shard.
    fn renew<'a>(
        &'a self,
        group: &'a str,
        held: &'a [(Arc<str>, u64)],
        lease: Duration,
    ) -> EngineFuture<'a, Result<Vec<Renewal>, BoxError>>;

    /// Moves the position of a shard. Returns whether the epoch is that of the last claim.
    fn checkpoint<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
        position: &'a str,
    ) -> EngineFuture<'a, Result<bool, BoxError>>;

    /// Gives a lease back. Returns whether the epoch is that of the last claim.
    fn release<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
    ) -> EngineFuture<'a, Result<bool, BoxError>>;

    /// Asks the member that has a shard to give it back: the next renewal tells it so.
    fn want<'a>(&'a self, group: &'a str, shard: &'a str)
    -> EngineFuture<'a, Result<(), BoxError>>;

    /// Returns whether the positions are still there when this process has ended: `true` by default.
    fn outlives_process(&self) -> bool {
        true
    }
}

/// What [`LeaseStore::open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Whether the group is new.
    pub created: bool,
    /// What was said of the group when it was made.
    pub about: Box<str>,
}

impl Opened {
    /// Returns what a store says of a group.
    #[must_use]
    pub fn new(created: bool, about: impl Into<Box<str>>) -> Self {
        Self { created, about: about.into() }
    }
}

/// A shard of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardLease {
    /// The shard.
    pub shard: Box<str>,
    /// The member that has a lease which has not ended.
    pub member: Option<Box<str>>,
    /// How far the group is.
    pub position: Box<str>,
    /// Whether another member wants it.
    pub wanted: bool,
}

impl ShardLease {
    /// Returns a shard that no member has.
    #[must_use]
    pub fn new(shard: impl Into<Box<str>>, position: impl Into<Box<str>>) -> Self {
        Self { shard: shard.into(), member: None, position: position.into(), wanted: false }
    }

    /// Sets the member that has it.
    #[must_use]
    pub fn held_by(mut self, member: impl Into<Box<str>>, wanted: bool) -> Self {
        (self.member, self.wanted) = (Some(member.into()), wanted);
        self
    }
}

/// A lease that a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// Larger than that of each lease of the shard before.
    pub epoch: u64,
    /// How far the group is.
    pub position: Box<str>,
}

impl Claimed {
    /// Returns a lease.
    #[must_use]
    pub fn new(epoch: u64, position: impl Into<Box<str>>) -> Self {
        Self { epoch, position: position.into() }
    }
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewal {
    /// The member has it.
    Kept,
    /// The member has it, and another one wants it.
    Wanted,
    /// Another member has it.
    Lost,
}

impl<S: LeaseStore + ?Sized> LeaseStore for Arc<S> {
    fn open<'a>(
        &'a self,
        group: &'a str,
        about: &'a str,
        shards: &'a [(Box<str>, Box<str>)],
    ) -> EngineFuture<'a, Result<Opened, BoxError>> {
        (**self).open(group, about, shards)
    }

    fn shards<'a>(&'a self, group: &'a str) -> EngineFuture<'a, Result<Vec<ShardLease>, BoxError>> {
        (**self).shards(group)
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        member: &'a str,
        lease: Duration,
        begin: &'a str,
    ) -> EngineFuture<'a, Result<Option<Claimed>, BoxError>> {
        (**self).claim(group, shard, member, lease, begin)
    }

    fn renew<'a>(
        &'a self,
        group: &'a str,
        held: &'a [(Arc<str>, u64)],
        lease: Duration,
    ) -> EngineFuture<'a, Result<Vec<Renewal>, BoxError>> {
        (**self).renew(group, held, lease)
    }

    fn checkpoint<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
        position: &'a str,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        (**self).checkpoint(group, shard, epoch, position)
    }

    fn release<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        (**self).release(group, shard, epoch)
    }

    fn want<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
    ) -> EngineFuture<'a, Result<(), BoxError>> {
        (**self).want(group, shard)
    }

    fn outlives_process(&self) -> bool {
        (**self).outlives_process()
    }
}
