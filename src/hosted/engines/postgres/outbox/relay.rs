//! Publishes what is written in an outbox: [`Relay`].

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::error::PostgresError;
use super::Outbox;
use super::session::Work;
use super::stats::{Counts, RelayStats};
use crate::hosted::{Engine, Health, Level};

/// How long it waits until it connects again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sets up a [`Relay`].
#[derive(Debug)]
#[must_use = "`start` starts the relay"]
pub struct RelayBuilder {
    outbox: Outbox,
    engine: Arc<dyn Engine>,
    required: Level,
    poll: Duration,
}

impl Outbox {
    /// Sets up a relay, which publishes on `engine`.
    pub fn relay(&self, engine: Arc<dyn Engine>) -> RelayBuilder {
        let poll = Duration::from_secs(1);
        RelayBuilder { outbox: self.clone(), engine, required: Level::Accepted, poll }
    }
}

impl RelayBuilder {
    /// Sets what a publish must reach before the event is removed: [`Level::Accepted`] by default.
    pub const fn require(mut self, level: Level) -> Self {
        self.required = level;
        self
    }

    /// Sets how often it looks for events without being told, and how soon it takes over from
    /// another relay: each second by default.
    pub const fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Starts it, on the runtime of tokio that calls it. It connects in the background, and again after
    /// each loss of the connection.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError::Settings`] if the engine cannot reach the [required](Self::require)
    /// level. If it says so only when it is connected, [`Relay::health`] has this text, and the
    /// relay publishes nothing.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime of tokio.
    pub fn start(self) -> Result<Relay, PostgresError> {
        let Self { outbox, engine, required, poll } = self;
        let poll = poll.max(Duration::from_millis(1)); // else it never rests
        let (health, publishes) =
            (watch::Sender::new(Health::Connecting), watch::Sender::new(false));
        let counts = Counts::default();
        let work = Work { outbox, engine, required, poll, counts, health, publishes };
        work.check()?;
        let (work, stop) = (Arc::new(work), watch::Sender::new(false));
        let task = tokio::spawn(run(work.clone(), stop.subscribe()));
        Ok(Relay { work, stop, task: Some(task) })
    }
}

/// Publishes the events of an [`Outbox`]. Dropping it ends it at once: what it has published without having
/// removed it is published again by the next one.
#[must_use = "dropping it ends it"]
pub struct Relay {
    work: Arc<Work>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Relay {
    /// Returns what it did.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.work.counts.stats(*self.work.publishes.borrow())
    }

    /// Returns whether it is connected to Postgres, and why not.
    #[must_use]
    pub fn health(&self) -> Health {
        self.work.health.borrow().clone()
    }

    /// Stops it after the events that it publishes now. The others stay in the table.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError::TimedOut`] from the future if that took longer than `deadline`. It
    /// has ended all the same.
    pub async fn stop(mut self, deadline: Duration) -> Result<(), PostgresError> {
        self.stop.send_replace(true);
        let Some(task) = &mut self.task else { return Ok(()) };
        // Dropping it ends what still runs.
        timeout(deadline, task).await.map(|_| ()).map_err(|_| PostgresError::TimedOut)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(work: Arc<Work>, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let connects = work.counts.stats(false).connects;
        let ended = tokio::select! {
            ended = work.session(stop.clone()) => ended,
            // A session looks at it by itself; one that connects does not.
            () = stopped_before(&work, connects, stop.clone()) => Ok(()),
        };
        let Err(error) = ended else { break };
        work.health.send_replace(Health::Down(error.to_string().into()));
        if work.counts.stats(false).connects > connects {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => break,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    work.health.send_replace(Health::Closed);
}

/// Returns when the relay is stopped while it has no session.
async fn stopped_before(work: &Work, connects: u64, mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
    if work.counts.stats(false).connects > connects {
        core::future::pending::<()>().await;
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("outbox", &self.work.outbox)
            .field("engine", &self.work.engine.name())
            .field("health", &self.health())
            .field("stats", &self.stats())
            .finish()
    }
}
