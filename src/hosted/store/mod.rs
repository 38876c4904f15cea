//! Keeps a record of each event, with what became of it: [`Store`].
//!
//! | job | type |
//! |---|---|
//! | a record, and how far it is | [`EventRecord`], [`EventStatus`], [`EventSource`] |
//! | keep records in memory | [`MemoryStore`] |
//! | keep them in Postgres | `engines::postgres::PostgresStore` (feature `postgres`) |
//! | keep them elsewhere | [`Store`] |
//! | list them | [`EventFilter`], [`Page`], [`Cursor`] |
//! | see them as they come | [`Records`] |

mod api;
mod filter;
mod index;
mod memory;
mod page;
mod record;
mod stream;

pub use self::api::{Store, StoreError};
pub use self::filter::{Cursor, EventFilter};
pub use self::memory::MemoryStore;
pub use self::page::{Page, StoreStats};
pub use self::record::{EventRecord, EventSource, EventStatus, InvalidRecord, PayloadError};
pub use self::stream::{Missed, Records};
