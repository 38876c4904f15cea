//! The time of an engine: [`Clock`].

use core::fmt;
use core::time::Duration;

use tokio::time::{Instant, sleep_until};

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
/// Telling the time needs no runtime. Waiting needs one with its time enabled.
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
        // Made when it is polled: it needs a runtime.
        Some(at) => EngineFuture::new(async move { sleep_until(at).await }),
        None => EngineFuture::new(core::future::pending()), // beyond the range of the clock
    }
}
