//! Joins an engine to a program that ticks, without an async main: [`Link`].
//!
//! A link runs an engine on a thread of its own, or on a runtime of yours. The side of the tick
//! never waits. It puts outgoing envelopes into one bounded queue, and takes incoming deliveries
//! out of another. Both sides share a lock for a moment of constant length.

mod inbox;
#[cfg(tickbus_loom)]
#[doc(hidden)]
pub mod models;
mod outgoing;
mod task;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

pub use self::inbox::{Drain, Inbox, InboxOptions, Taken};
pub use self::outgoing::LinkStats;
use self::outgoing::Outgoing;
use self::task::{Command, Ended, Task};
use super::engine::{Engine, Health};
use crate::error::InvalidPattern;
use crate::subject_bus::EnvelopeBus;
use crate::sync::Lock;

/// How long dropping a link may take, at most.
const DROP: Duration = Duration::from_millis(900);
/// Longer than a program runs: a century.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The settings of a [`Link`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LinkOptions {
    outgoing: usize,
    batch: usize,
    retry: Duration,
    name: String,
}

impl LinkOptions {
    /// Sets how many envelopes may wait to be sent, or for an answer: 1024 by default. The link
    /// drops and counts the envelopes that do not fit.
    ///
    /// # Panics
    ///
    /// Panics if `envelopes` is 0.
    pub const fn outgoing(mut self, envelopes: usize) -> Self {
        assert!(envelopes > 0, "a link needs room for an envelope");
        self.outgoing = envelopes;
        self
    }

    /// Sets how many envelopes the link publishes together at most: 256 by default.
    ///
    /// # Panics
    ///
    /// Panics if `envelopes` is 0.
    pub const fn batch(mut self, envelopes: usize) -> Self {
        assert!(envelopes > 0, "a batch has at least one envelope");
        self.batch = envelopes;
        self
    }

    /// Sets the longest pause between two attempts to connect, or to send: 1 s by default.
    pub const fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// Sets the name of the thread: `tickbus-link` by default.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            outgoing: 1024,
            batch: 256,
            retry: Duration::from_secs(1),
            name: "tickbus-link".into(),
        }
    }
}

/// Whether the engine of a link works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// The engine has not started yet.
    Connecting,
    /// The engine works.
    Up,
    /// The engine has no connection, or a subscription cannot receive. The link tries again;
    /// [`Link::health`] says what is wrong.
    Down,
}

/// Runs an engine for a program that ticks.
///
/// - [`bus`](Self::bus) takes outgoing envelopes: a [`BridgeOut`](crate::bridge::BridgeOut)
///   publishes to it. A queue keeps them while there is no connection.
/// - [`inbox`](Self::inbox) gives incoming deliveries, which you acknowledge when the tick has
///   applied them.
/// - [`state`](Self::state) returns in each frame whether the engine works.
///
/// No method waits, and none needs a runtime. A slow or silent engine never delays the tick. A link
/// is `Send` and `Sync`, so a Bevy resource can hold it.
///
/// Dropping the link sends the queued envelopes, for less than a second, and ends the thread.
///
/// # Engines that panic or block
///
/// If the engine panics while it starts, publishes or says how it is, the link ends: it is
/// [`Down`](LinkState::Down), [`health`](Self::health) has the text of the panic, its bus is
/// closed, and what was pending counts as abandoned. If it panics at a subscription, that one ends,
/// and [`Inbox::error`] has the text. If it blocks, the link's thread blocks and no other.
/// [`LinkStats::unfinished`] says so at the end.
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::{MemoryEngine, Link, LinkOptions};
///
/// let link = Link::spawn(MemoryEngine::new(), LinkOptions::default())?;
/// let bus = link.bus();
/// let mut inbox = link.inbox("match.*.start")?.group("server-3");
///
/// let mut started = 0;
/// while started == 0 {
///     // One tick:
///     for delivery in inbox.drain(16) {
///         started += 1; // the world changes
///         delivery.ack();
///     }
///     if inbox.is_open() {
///         bus.try_publish(Envelope::new("match.7.start")?.into())?;
///     }
///     std::thread::sleep(std::time::Duration::from_millis(1));
/// }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[doc(alias("gateway", "connector", "client"))]
pub struct Link {
    name: Arc<str>,
    outgoing: Arc<Outgoing>,
    health: Arc<Lock<Health>>,
    commands: mpsc::UnboundedSender<Command>,
    /// Tells the task to end, until this moment.
    end: watch::Sender<Option<std::time::Instant>>,
    ended: Lock<Option<Receiver<Ended>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Link {
    /// Starts a thread with a runtime for `engine`, which it starts and shuts down.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system if it cannot create the thread or the runtime.
    pub fn spawn(engine: impl Engine, options: LinkOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut link, task) = Self::new(engine, &options, true);
        let thread = thread::Builder::new().name(options.name).spawn(move || {
            runtime.block_on(task.run());
            // What still runs there may block.
            runtime.shutdown_background();
        })?;
        link.thread = Some(thread);
        Ok(link)
    }

    /// Runs `engine` on a runtime of yours, which must have timers. The link starts the engine; you
    /// shut it down.
    pub fn on(runtime: &Handle, engine: impl Engine, options: &LinkOptions) -> Self {
        let (link, task) = Self::new(engine, options, false);
        runtime.spawn(task.run());
        link
    }

    fn new(engine: impl Engine, options: &LinkOptions, owns: bool) -> (Self, Task) {
        let (commands, orders) = mpsc::unbounded_channel();
        let (end, ending) = watch::channel(None);
        let (done, ended) = channel();
        let name = engine.name().clone();
        let health = Arc::new(Lock::new(Health::Connecting));
        let outgoing = Arc::new(Outgoing::new(options.outgoing, commands.clone()));
        let task = Task {
            name: name.clone(),
            engine: Arc::new(engine),
            outgoing: outgoing.clone(),
            health: health.clone(),
            orders,
            ending,
            done,
            batch: options.batch,
            retry: options.retry.max(Duration::from_millis(1)),
            owns,
        };
        let ended = Lock::new(Some(ended));
        (Self { name, outgoing, health, commands, end, ended, thread: None }, task)
    }

    /// Returns the bus whose envelopes the link sends.
    ///
    /// Publishing never waits: a full queue drops the envelope, counts it, and reports it in
    /// [`Published::dropped`](crate::subject_bus::Published::dropped). A subscription to this bus
    /// is a live subscription on the engine, for a [`BridgeIn`](crate::bridge::BridgeIn). It
    /// receives from the moment at which the engine has opened it.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn EnvelopeBus + Send + Sync> {
        self.outgoing.clone()
    }

    /// Sets up an inbox for deliveries whose subject `pattern` matches.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn inbox(&self, pattern: &str) -> Result<InboxOptions<'_>, InvalidPattern> {
        InboxOptions::new(self, pattern.parse()?)
    }

    /// Returns whether the engine works, as it said at most a tenth of a second ago.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match &*self.health.lock() {
            Health::Up => LinkState::Up,
            Health::NotStarted | Health::Connecting => LinkState::Connecting,
            Health::Down(_) | Health::Closed => LinkState::Down,
        }
    }

    /// Returns the health that the engine reported at most a tenth of a second ago.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Returns what became of the envelopes that were published.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.outgoing.stats()
    }

    /// Ends the link. Sends queued envelopes and the verdicts of the inboxes, for at most
    /// `deadline`. Waits for that, and returns what became of all envelopes.
    ///
    /// Publishing fails as soon as you call it.
    pub fn shutdown(mut self, deadline: Duration) -> LinkStats {
        self.finish(deadline);
        self.stats()
    }

    fn finish(&mut self, deadline: Duration) {
        self.outgoing.close();
        let now = std::time::Instant::now();
        // A deadline beyond the range of the clock is none.
        let until = now.checked_add(deadline).unwrap_or(now + FOR_EVER);
        let _ = self.end.send(Some(until));
        let Some(ended) = self.ended.lock().take() else { return };
        // A blocking engine may keep the task from looking: it is left alone then.
        match ended.recv_timeout(deadline.saturating_add(Duration::from_millis(50))) {
            Ok(Ended) | Err(RecvTimeoutError::Disconnected) => {
                let Some(thread) = self.thread.take() else { return };
                let began = std::time::Instant::now();
                while !thread.is_finished() {
                    if began.elapsed() > Duration::from_millis(50) {
                        return self.outgoing.leave();
                    }
                    thread::sleep(Duration::from_micros(200));
                }
                let _ = thread.join();
            }
            Err(RecvTimeoutError::Timeout) => self.outgoing.leave(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.finish(DROP);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("health", &self.health())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
