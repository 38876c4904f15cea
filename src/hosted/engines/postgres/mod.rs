//! Postgres: a log, records of events, and events that are published if a transaction commits.
//!
//! ```text
//!  Broker ──▶ PostgresStore ── many records, one statement ──▶ a table
//!
//!  your transaction ── write ──▶ Outbox, a table ── after the commit ──▶ Relay ──▶ any Engine
//! ```
//!
//! | job | type |
//! |---|---|
//! | publish and subscribe | [`Postgres`], a [log] |
//! | say where the database is | [`Database`], [`Provision`] |
//! | keep records of events | [`PostgresStore`] |
//! | publish exactly what is committed | [`Outbox`], [`Relay`], [`unstable::write`] |
//! | keep who reads which shard of Kinesis (feature `kinesis`) | `PostgresLeases` |
//! | events of the changes of a table | [`Crud`](crate::hosted::broker::Crud) with [`unstable::InTransaction`] |
//!
//! # Guarantees
//!
//! - What a store has answered is committed: it survives `kill -9` of your process at once after, and the end
//!   of the server as far as its `synchronous_commit` and `fsync` say.
//! - An outbox publishes each committed event at least once, events of one key in order, and no other. One
//!   that is published again has the same id: an engine that deduplicates takes it once.
//! - After a restart of the server everything connects again by itself.
//! - No error and no `Debug` text has a password.
//!
//! It is tested on Postgres 15.

mod connection;
mod database;
mod error;
#[cfg(feature = "kinesis")]
mod leases;
pub mod log;
mod outbox;
mod store;
mod table;
mod time;
pub mod unstable;

pub use self::database::Database;
pub use self::error::PostgresError;
#[cfg(feature = "kinesis")]
pub use self::leases::PostgresLeases;
pub use self::log::Postgres;
pub use self::outbox::{Outbox, Relay, RelayBuilder, RelayStats};
pub use self::store::PostgresStore;
pub use super::Provision;
