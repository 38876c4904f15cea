//! Which member of a group reads which shard, and how far: [`LeaseStore`].

mod memory;
mod store;

pub use self::memory::MemoryLeases;
pub use self::store::{Claimed, LeaseStore, Opened, Renewal, ShardLease};
