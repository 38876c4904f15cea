//! Postgres: records of events.
//!
//! ```text
//!  Broker ──▶ PostgresStore ── many records, one statement ──▶ a table
//! ```
//!
//! | job | type |
//! |---|---|
//! | say where the database is | [`Database`], [`Provision`] |
//! | keep records of events | [`PostgresStore`] |

mod connection;
mod database;
mod error;
mod store;
mod table;
mod time;
mod tls;

pub use self::database::{Database, Provision};
pub use self::error::PostgresError;
pub use self::store::PostgresStore;
