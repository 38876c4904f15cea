//! The time of an engine: [`Clock`].

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, Sleep, sleep_until};

use super::future::EngineFuture;
use crate::envelope::Timestamp;

/// Tells the time, and waits for it.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Returns the time since a fixed moment. It never goes back.
    fn now(&self) -> Duration;

    /// Returns the time of day. The system may set it back.
    fn wall(&self) -> Timestamp;

    /// Waits until [`now`](Self::now) is at least `at`.
    fn sleep_until(&self, at: Duration) -> EngineFuture<'static, ()>;
}

/// Tells the time by the clock of tokio, and the time of day by the system. The default.
///
/// Neither telling the time nor waiting needs a runtime. Without one, or in one whose time is not
/// enabled, all clocks wait by one thread of their own, which starts at the first wait.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Returns a clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Duration) -> EngineFuture<'static, ()> {
        sleep(self.origin, at)
    }
}

/// Tells the time by the clock of tokio alone. Its time of day begins where you say. A test that
/// pauses tokio's clock pauses both.
#[derive(Clone, Copy, Debug)]
pub struct TestClock {
    origin: Instant,
    begin: Timestamp,
}

impl TestClock {
    /// Returns a clock that begins now, with `begin` as the time of day. Call it in the runtime
    /// whose clock is paused.
    #[must_use]
    pub fn new(begin: Timestamp) -> Self {
        Self { origin: Instant::now(), begin }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let nanos = i128::try_from(self.now().as_nanos()).unwrap_or(i128::MAX);
        let wall = self.begin.unix_nanos().saturating_add(nanos);
        Timestamp::from_unix_nanos(wall).unwrap_or(self.begin)
    }

    fn sleep_until(&self, at: Duration) -> EngineFuture<'static, ()> {
        sleep(self.origin, at)
    }
}

fn sleep(origin: Instant, at: Duration) -> EngineFuture<'static, ()> {
    match origin.checked_add(at) {
        // Made when it is polled: it is of the runtime that polls it.
        Some(at) => EngineFuture::new(async move { timer(at).await }),
        None => EngineFuture::new(core::future::pending()), // beyond the range of the clock
    }
}

std::thread_local! {
    /// Whether this thread has met a runtime without time.
    static TIMELESS: Cell<bool> = const { Cell::new(false) };
}

/// Returns a timer of the runtime of this thread, or of the thread for those that have none.
fn timer(at: Instant) -> Sleep {
    if Handle::try_current().is_ok() && !TIMELESS.get() {
        // A runtime without time panics, and there is no other way to ask it.
        match catch_unwind(|| sleep_until(at)) {
            Ok(sleep) => return sleep,
            Err(panic) => {
                drop(panic);
                TIMELESS.set(true);
            }
        }
    }
    let _entered = timers().enter();
    sleep_until(at)
}

/// Returns the runtime of the thread that only waits.
fn timers() -> &'static Handle {
    static TIMERS: OnceLock<Handle> = OnceLock::new();
    TIMERS.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        let handle = runtime.handle().clone();
        let wait = move || runtime.block_on(core::future::pending::<()>());
        let thread = thread::Builder::new().name("tickbus-timer".into()).spawn(wait);
        thread.expect("the system has a thread left");
        handle
    })
}
