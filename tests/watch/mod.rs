//! Watchdogs: a step that hangs fails, and says where.
#![allow(dead_code, reason = "each suite uses a part")]

use core::panic::Location;
use core::time::Duration;
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Longer than any step takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Ends the test program if it lives too long.
#[must_use = "it watches as long as it lives"]
pub(crate) struct Watchdog(#[expect(dead_code, reason = "its end is the signal")] mpsc::Sender<()>);

/// Watches the rest of the test: if that hangs, the program ends with the name of the test and the place of
/// this call.
#[track_caller]
pub(crate) fn watchdog() -> Watchdog {
    let (alive, ended) = mpsc::channel();
    let (test, place) =
        (thread::current().name().unwrap_or_default().to_owned(), Location::caller());
    thread::spawn(move || {
        if ended.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
            // In one piece, and not by `eprintln!`, which the test harness would keep to itself.
            let _ = std::io::stderr().write_all(format!("\n{test} hangs: {place}\n").as_bytes());
            std::process::exit(101);
        }
    });
    Watchdog(alive)
}

/// What runs on a thread of its own.
pub(crate) struct Watched<T> {
    result: mpsc::Receiver<T>,
    thread: JoinHandle<()>,
}

/// Runs `f` on a thread of its own.
pub(crate) fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Watched<T> {
    let (sender, result) = mpsc::channel();
    let thread = thread::spawn(move || drop(sender.send(f())));
    Watched { result, thread }
}

impl<T> Watched<T> {
    /// What it returned. Fails when it takes too long, and panics if it did.
    #[track_caller]
    pub(crate) fn join(self) -> T {
        match self.result.recv_timeout(LONG) {
            Ok(value) => value,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
            Err(RecvTimeoutError::Disconnected) => {
                std::panic::resume_unwind(self.thread.join().unwrap_err())
            }
        }
    }
}

/// Waits until `f` is true; fails when it takes too long.
#[track_caller]
pub(crate) fn eventually(f: impl Fn() -> bool) {
    let begin = Instant::now();
    while !f() {
        assert!(begin.elapsed() < LONG, "it never happens");
        thread::yield_now();
    }
}
