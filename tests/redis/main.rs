//! The engine for Redis on a real server. Without it each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod kit;
mod server;
#[expect(dead_code, reason = "some of it is for other servers")]
#[path = "../servers/mod.rs"]
mod servers;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}
