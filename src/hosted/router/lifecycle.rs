//! What happens to a router: [`LifecycleEvent`], [`Lifecycle`].

use alloc::sync::{Arc, Weak};
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::envelope::Envelope;
use crate::error::Lagged;
use crate::hosted::capabilities::Mode;
use crate::hosted::clock::Clock;
use crate::hosted::engine::{EngineError, Level};
use crate::hosted::future::EngineFuture;
use crate::sync::{Lock, PlainNumber, Relaxed};

/// Something that happened to a router. [`Router::lifecycle`](super::Router::lifecycle) has them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LifecycleEvent {
    /// The router that starts was made from a configuration.
    #[non_exhaustive]
    ConfigLoaded {
        /// Where it came from, such as the name of a file.
        source: Arc<str>,
    },
    /// The router has started.
    BusStarted,
    /// The router was shut down.
    BusStopped,
    /// An engine can be reached.
    #[non_exhaustive]
    EngineUp {
        /// Its name.
        engine: Arc<str>,
    },
    /// An engine cannot be reached, or one of its subscriptions cannot receive.
    #[non_exhaustive]
    EngineDown {
        /// Its name.
        engine: Arc<str>,
        /// The reason, as far as the engine knows it.
        why: Arc<str>,
    },
    /// A pattern has its first subscription.
    #[non_exhaustive]
    TopicCreated {
        /// The pattern.
        topic: Arc<str>,
    },
    /// The last subscription of a pattern is gone.
    #[non_exhaustive]
    TopicDeleted {
        /// The pattern.
        topic: Arc<str>,
    },
    /// A subscription was opened.
    #[non_exhaustive]
    SubscriptionCreated {
        /// Its id.
        id: Arc<str>,
        /// Whether it is live or durable.
        mode: Mode,
    },
    /// A subscription has ended.
    #[non_exhaustive]
    SubscriptionRemoved {
        /// Its id.
        id: Arc<str>,
    },
    /// An engine has taken an envelope.
    #[non_exhaustive]
    MessagePublished {
        /// The name of the engine.
        engine: Arc<str>,
        /// The envelope.
        envelope: Arc<Envelope>,
        /// The level of the receipt.
        level: Level,
    },
    /// A subscription has received an envelope.
    #[non_exhaustive]
    MessageReceived {
        /// The name of the engine.
        engine: Arc<str>,
        /// The id of the subscription.
        subscription: Arc<str>,
        /// The envelope.
        envelope: Arc<Envelope>,
    },
    /// A handler has handled an envelope, and returned a message. Handlers that return none do not emit
    /// it.
    #[non_exhaustive]
    MessageHandled {
        /// The name of the engine.
        engine: Arc<str>,
        /// The envelope.
        envelope: Arc<Envelope>,
        /// What the handler said.
        message: Arc<str>,
    },
    /// An envelope was not published, or may not have been; or a call of a handler has failed.
    #[non_exhaustive]
    MessageFailed {
        /// The name of the engine.
        engine: Arc<str>,
        /// The envelope.
        envelope: Arc<Envelope>,
        /// The reason.
        why: Arc<str>,
    },
}

impl LifecycleEvent {
    /// Returns the name, such as `engine.up`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConfigLoaded { .. } => "config.loaded",
            Self::BusStarted => "bus.started",
            Self::BusStopped => "bus.stopped",
            Self::EngineUp { .. } => "engine.up",
            Self::EngineDown { .. } => "engine.down",
            Self::TopicCreated { .. } => "topic.created",
            Self::TopicDeleted { .. } => "topic.deleted",
            Self::SubscriptionCreated { .. } => "subscription.created",
            Self::SubscriptionRemoved { .. } => "subscription.removed",
            Self::MessagePublished { .. } => "message.published",
            Self::MessageReceived { .. } => "message.received",
            Self::MessageHandled { .. } => "message.handled",
            Self::MessageFailed { .. } => "message.failed",
        }
    }

    pub(super) fn failed(error: &EngineError) -> Self {
        let (EngineError::NotSent { engine, envelope, reason }
        | EngineError::Unknown { engine, envelope, reason }) = error;
        let why = alloc::format!("{reason}").into();
        Self::MessageFailed { engine: engine.clone(), envelope: envelope.clone(), why }
    }
}

/// One line: the name, and what it is about.
impl fmt::Display for LifecycleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::BusStarted | Self::BusStopped => Ok(()),
            Self::ConfigLoaded { source } => write!(f, " {source}"),
            Self::EngineUp { engine } => write!(f, " {engine}"),
            Self::EngineDown { engine, why } => write!(f, " {engine}: {why}"),
            Self::TopicCreated { topic } | Self::TopicDeleted { topic } => write!(f, " {topic}"),
            Self::SubscriptionCreated { id, mode } => write!(f, " {id} ({mode})"),
            Self::SubscriptionRemoved { id } => write!(f, " {id}"),
            Self::MessagePublished { engine, envelope, level } => {
                write!(f, " {} on {engine} ({level})", envelope.subject())
            }
            Self::MessageReceived { engine, subscription, envelope } => {
                write!(f, " {} from {engine} by {subscription}", envelope.subject())
            }
            Self::MessageHandled { engine, envelope, message } => {
                write!(f, " {} from {engine}: {message}", envelope.subject())
            }
            Self::MessageFailed { engine, envelope, why } => {
                write!(f, " {} on {engine}: {why}", envelope.subject())
            }
        }
    }
}

/// How many events a listener may be behind.
pub(super) const KEPT: usize = 256;

/// Hands events to those that listen. Costs a load if there are none.
#[derive(Default)]
pub(super) struct Hub {
    listeners: PlainNumber,
    channel: Lock<Channel>,
}

#[derive(Default)]
enum Channel {
    /// Nothing has listened yet.
    #[default]
    Unused,
    Open(broadcast::Sender<LifecycleEvent>),
    Ended,
}

impl Hub {
    pub(super) fn is_heard(&self) -> bool {
        self.listeners.load(Relaxed) > 0
    }

    pub(super) fn emit(&self, event: impl FnOnce() -> LifecycleEvent) {
        if self.is_heard() {
            let sender = match &*self.channel.lock() {
                Channel::Open(sender) => sender.clone(),
                Channel::Unused | Channel::Ended => return,
            };
            let _ = sender.send(event());
        }
    }

    /// Tells all that listen that nothing more comes.
    pub(super) fn end(&self) {
        *self.channel.lock() = Channel::Ended;
    }

    fn listen(self: &Arc<Self>) -> broadcast::Receiver<LifecycleEvent> {
        self.listeners.fetch_add(1, Relaxed);
        let mut channel = self.channel.lock();
        match &*channel {
            Channel::Open(sender) => sender.subscribe(),
            Channel::Unused => {
                let (sender, receiver) = broadcast::channel(KEPT);
                *channel = Channel::Open(sender);
                receiver
            }
            Channel::Ended => broadcast::channel(1).1,
        }
    }
}

/// Asks the engines how they are.
pub(super) trait Watched: Send + Sync {
    /// Asks all, and emits what has changed.
    fn look(&self);
}

/// The events of a router, from when you listen.
///
/// It keeps the newest 256 that you have not taken. If you are further behind, the oldest are lost,
/// and [`Lagged`] says how many. While you wait, it asks each engine for its health once a second,
/// so [`EngineDown`](LifecycleEvent::EngineDown) comes also when nothing is published.
pub struct Lifecycle {
    events: broadcast::Receiver<LifecycleEvent>,
    hub: Arc<Hub>,
    watched: Weak<dyn Watched>,
    clock: Arc<dyn Clock>,
    every: Duration,
    /// When the engines are asked again.
    look: Option<EngineFuture<'static, ()>>,
}

impl Lifecycle {
    pub(super) fn new(
        hub: &Arc<Hub>,
        watched: Weak<dyn Watched>,
        clock: Arc<dyn Clock>,
        every: Duration,
    ) -> Self {
        Self { events: hub.listen(), hub: hub.clone(), watched, clock, every, look: None }
    }

    /// Waits for the next event. Returns `None` when the router is gone.
    ///
    /// # Errors
    ///
    /// Returns [`Lagged`] if events were lost at this place. The next call goes on behind them.
    pub async fn next(&mut self) -> Option<Result<LifecycleEvent, Lagged>> {
        let Self { events, watched, clock, every, look, .. } = self;
        let mut next = pin!(events.recv());
        let received = poll_fn(|context| {
            loop {
                if let Poll::Ready(received) = next.as_mut().poll(context) {
                    return Poll::Ready(received);
                }
                let sleep = look
                    .get_or_insert_with(|| clock.sleep_until(clock.now().saturating_add(*every)));
                if Pin::new(sleep).poll(context).is_pending() {
                    return Poll::Pending;
                }
                *look = None;
                if let Some(watched) = watched.upgrade() {
                    watched.look();
                }
            }
        });
        match received.await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        }
    }

    /// Takes the next event if there is one now. Never waits, and needs no runtime. Returns
    /// `Pending` if there is none, and `Ready(None)` at the end.
    pub fn try_next(&mut self) -> Poll<Option<Result<LifecycleEvent, Lagged>>> {
        match self.events.try_recv() {
            Ok(event) => Poll::Ready(Some(Ok(event))),
            Err(TryRecvError::Lagged(missed)) => Poll::Ready(Some(Err(Lagged(missed)))),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Closed) => Poll::Ready(None),
        }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.hub.listeners.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("pending", &self.events.len()).finish_non_exhaustive()
    }
}
