//! Where the records are: the one place that knows which store it is.

use alloc::sync::Arc;

use tickbus::hosted::BoxError;
use tickbus::hosted::store::{MemoryStore, Store};

/// How many records fit into memory. The oldest go first.
const RECORDS: usize = 1_000_000;

/// Opens the store in the database at `url`, or one in memory.
pub(crate) async fn open(url: Option<&str>) -> Result<Arc<dyn Store>, BoxError> {
    match url {
        Some(url) => postgres(url).await,
        None => Ok(Arc::new(MemoryStore::new(RECORDS))),
    }
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn Store>, BoxError> {
    use tickbus::hosted::engines::postgres::{Database, PostgresStore, Provision};

    let database = Database::new(url).provision(Provision::Create);
    Ok(Arc::new(PostgresStore::connect(&database, "orders").await?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Result<Arc<dyn Store>, BoxError> {
    Err("this build has no Postgres".into())
}
