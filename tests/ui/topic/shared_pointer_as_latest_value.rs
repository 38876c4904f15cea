//! A latest value that may not leave its thread is not shared between threads.
//~ E0277
//~ `*const u8` cannot be sent between threads safely

use std::thread;

use tickbus::Latest;

fn main() {
    let latest: Latest<*const u8> = Latest::new();
    thread::scope(|scope| {
        scope.spawn(|| latest.publish(&1));
    });
}
