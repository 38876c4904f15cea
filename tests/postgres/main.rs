//! What is on Postgres, on a real server. Without one each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod cost;
mod engine;
mod faults;
mod kill;
mod log;
mod orders;
mod outbox;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod store;
#[path = "../stores/mod.rs"]
mod stores;

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use tickbus::hosted::engines::postgres::{Database, PostgresStore, Provision};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(200);

/// Runs a test in real time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(stores::in_time(test))
}

/// A table of its own for each call.
fn table() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("events_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn database(url: impl Into<String>) -> Database {
    Database::new(url).provision(Provision::Create)
}

async fn store(url: impl Into<String>) -> PostgresStore {
    PostgresStore::connect(&database(url), &table()).await.expect("it connects")
}

/// A client as a program of a user has it.
async fn client(url: impl Into<String>) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(&url.into(), tokio_postgres::NoTls).await.expect("it connects");
    tokio::spawn(connection);
    client
}

/// Waits until it is so, but not for ever.
async fn until(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(6 * SOON, wait).await.expect("it does not happen");
}
