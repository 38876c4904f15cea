//! What is on Postgres, on a real server. Without one each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod server;
#[path = "../servers/mod.rs"]
#[expect(dead_code, reason = "it also has the servers of other engines")]
mod servers;
mod store;
#[path = "../stores/mod.rs"]
mod stores;

use core::sync::atomic::{AtomicUsize, Ordering};

use tickbus::hosted::engines::postgres::{Database, PostgresStore, Provision};

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
