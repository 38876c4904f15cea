//! Publishers and readers on raw POSIX threads, for the sanitizers to watch.
//!
//! A sanitizer believes whatever orders memory, so nothing here does but what is under test, and starting
//! and joining threads: every flag is relaxed, and what threads share beside is plain memory that is guarded
//! by nothing else. The program ends with a failure when an event is torn, lost without a count,
//! doubled or out of order, when what was done before it was published is not there, and when a thread
//! who waits is not woken.
//!
//! ThreadSanitizer knows nothing of fences: what only a fence orders is the business of `loom`.

mod event;
mod hold;
mod queues;
mod threads;
mod topics;
mod waits;

use std::env;

/// The argument is how many events each publisher has.
fn main() {
    let events = env::args().nth(1).map_or(100_000, |events| events.parse().expect("a number"));
    // What waits is slow: most of it goes to sleep.
    let cases = queues::run(events)
        + topics::run(events)
        + hold::run(events)
        + waits::run(events.div_ceil(10));
    println!("{cases} cases of {} events each: nothing found", 2 * events);
}
