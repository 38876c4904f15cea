//! What carries envelopes to other processes: the trait [`Engine`], and what its operations return.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use super::capabilities::{Capabilities, Capability, Mode};
use super::clock::{Clock, SystemClock};
use super::delivery::Receive;
use super::forward::forward;
use super::future::EngineFuture;
use super::subscribe::{
    DurableOptions, LiveOptions, OpenError, Owner, Subscribe, SubscriptionDefaults,
};
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject::PatternBuf;

/// Carries envelopes, in memory or to and from a server.
///
/// The trait is usable as an object: share an `Arc<dyn Engine>`, which is an engine too.
///
/// # To implement it
///
/// Write the four methods without a default, and [`open_live`](Self::open_live),
/// [`open_durable`](Self::open_durable) or both. State in [`capabilities`](Self::capabilities) what
/// the subscriptions can do: [`Subscribe::open`] refuses the others before it calls the engine.
/// Check each subject against [`LiveOptions::matches`] if the server's filter is wider than the
/// patterns. Before an envelope leaves, fill in a missing id or time with
/// [`stamped`](super::stamped). Return the stamped one in an error. The conformance kit then checks
/// all of this.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an engine",
    label = "the trait `Engine` is not implemented for this",
    note = "pass an engine, such as a `MemoryEngine`, or an `Arc` of one: a reference to an engine is not an engine"
)]
pub trait Engine: Send + Sync + 'static {
    /// Returns the name that errors and receipts contain.
    fn name(&self) -> &Arc<str>;

    /// Returns what the engine can do.
    ///
    /// The result may depend on the server. It is right as soon as [`start`](Self::start) has
    /// returned.
    fn capabilities(&self) -> Capabilities;

    /// Connects. The default implementation does nothing, for engines that need no connection.
    ///
    /// # Errors
    ///
    /// Returns [`StartError`] from the future if there is no connection, and none is coming.
    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        EngineFuture::ready(Ok(()))
    }

    /// Publishes `envelope`.
    ///
    /// If you drop the future before it is ready, the envelope may still be published.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::NotSent`] from the future if the envelope did not leave, and
    /// [`EngineError::Unknown`] if it may have arrived. Publish it again in the latter case: it
    /// keeps its id.
    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>>;

    /// Publishes `envelope` and never waits.
    ///
    /// The default implementation refuses, because not every engine can do this.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::NotSent`] if the engine would have to wait.
    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        Err(EngineError::not_sent(self.name(), envelope, Reason::WouldWait))
    }

    /// Publishes several envelopes in their order. Returns one result for each.
    ///
    /// The default implementation publishes one after the other.
    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        EngineFuture::new(async move {
            let mut results = Vec::with_capacity(envelopes.len());
            for envelope in envelopes {
                results.push(self.publish(envelope).await);
            }
            results
        })
    }

    /// Publishes `envelope`, and waits until every subscription that receives it has handled it.
    ///
    /// The default implementation refuses, because an engine with a server does not learn of that.
    /// [`MemoryEngine`](super::MemoryEngine::publish_and_wait) can.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::NotSent`] with [`Reason::Unsupported`] from the future if the engine
    /// cannot do this, and the errors of [`publish`](Self::publish).
    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let reason = Reason::Unsupported("publish_and_wait");
        EngineFuture::ready(Err(EngineError::not_sent(self.name(), envelope, reason)))
    }

    /// Opens a live subscription. [`Subscribe::open`] calls it.
    ///
    /// When the future is ready, the subscription receives what is published from then on.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] from the future if the engine cannot, as in the default
    /// implementation.
    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        drop(options);
        let error = OpenError::missing(self.name(), Mode::Live, Capability::Live);
        EngineFuture::ready(Err(error))
    }

    /// Opens a durable subscription: a member of a group. [`Subscribe::open`] calls it.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] from the future if the engine cannot, as in the default
    /// implementation.
    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        drop(options);
        let error = OpenError::missing(self.name(), Mode::Durable, Capability::Durable);
        EngineFuture::ready(Err(error))
    }

    /// Returns whether the engine can be reached. The default is [`Health::Up`].
    fn health(&self) -> Health {
        Health::Up
    }

    /// Returns what carries events that match `patterns`, and what each part of it can do.
    ///
    /// The default is this engine alone. An engine that is made of engines returns those, and
    /// itself if they can do less together. [`Subscribe::open`] refuses what one of them lacks, and
    /// names it. Receipts and errors have one of these names.
    fn carriers(&self, patterns: &[PatternBuf]) -> Vec<Carrier> {
        let _ = patterns;
        let carrier = Carrier::new(self.name(), self.capabilities());
        alloc::vec![carrier.outlives_process(self.outlives_process())]
    }

    /// Returns how many events its subscriptions have still to receive. The default is `None`: it
    /// is not known.
    fn lag(&self) -> Option<u64> {
        None
    }

    /// Returns what the handlers of its subscriptions need of it. Only engines of this crate have it.
    #[doc(hidden)]
    fn owner(&self) -> Option<Owner> {
        None
    }

    /// Returns the clock by which handlers wait and time out. The default is a new
    /// [`SystemClock`]: keep the returned one to compare its times.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    /// Returns whether what a group has not handled is still there when this process has ended:
    /// `true` by default. A handler that shuts down then gives back what it has not begun. If not,
    /// it handles what it can until its deadline.
    fn outlives_process(&self) -> bool {
        true
    }

    /// Ends the engine: sends buffered envelopes, for at most `deadline`, and then closes.
    ///
    /// Publishing and subscribing fail as soon as you call it. Subscriptions end. A second call
    /// returns `Ok`.
    ///
    /// # Errors
    ///
    /// Returns [`ShutdownError`] from the future if something was still buffered at the deadline.
    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>>;

    /// Starts a subscription to `pattern`. [`open`](Subscribe::open) opens it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    fn subscribe(&self, pattern: &str) -> Result<Subscribe<'_>, InvalidPattern>
    where
        Self: Sized,
    {
        Subscribe::new(self, pattern)
    }
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    forward!(|self| (**self) =>
        name, capabilities, start, open_live, open_durable, health, carriers, lag, owner, clock,
        outlives_process, shutdown);

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        (**self).publish(envelope)
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        (**self).try_publish(envelope)
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        (**self).publish_batch(envelopes)
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        (**self).publish_and_wait(envelope)
    }

    /// Starts a subscription whose handler can publish dead letters.
    fn subscribe(&self, pattern: &str) -> Result<Subscribe<'_>, InvalidPattern> {
        Ok(Subscribe::new(self, pattern)?.with_publisher(|| Arc::new(self.clone())))
    }
}

impl fmt::Debug for dyn Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(self.name()).finish()
    }
}

/// One part of what carries events: see [`Engine::carriers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carrier {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// See [`Engine::outlives_process`].
    pub outlives_process: bool,
    /// How subscriptions on it are set up that do not say it.
    pub defaults: SubscriptionDefaults,
}

impl Carrier {
    /// Names an engine that outlives the process, and what it can do.
    #[must_use]
    pub fn new(engine: &Arc<str>, capabilities: Capabilities) -> Self {
        let defaults = SubscriptionDefaults::new();
        Self { engine: engine.clone(), capabilities, outlives_process: true, defaults }
    }

    /// Sets whether what a group has not handled is still there when this process has ended.
    #[must_use]
    pub const fn outlives_process(mut self, outlives: bool) -> Self {
        self.outlives_process = outlives;
        self
    }

    /// Sets how subscriptions on it are set up that do not say it.
    #[must_use]
    pub const fn with_defaults(mut self, defaults: SubscriptionDefaults) -> Self {
        self.defaults = defaults;
        self
    }
}

/// What a successful publish means, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The envelope is in a buffer of this process, or on its way.
    Buffered,
    /// The engine has the envelope, in memory.
    Accepted,
    /// The engine has the envelope where it survives what the engine promises to survive.
    Stored,
}

impl Level {
    /// Returns `buffered`, `accepted` or `stored`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Accepted => "accepted",
            Self::Stored => "stored",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Says what became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// How certain the publish is.
    pub level: Level,
    /// Whether the engine had this id already, and did nothing.
    pub duplicate: bool,
    /// The name of the engine.
    pub engine: Arc<str>,
    /// Where the envelope is in the engine's log, if it has one.
    pub sequence: Option<u64>,
}

impl Receipt {
    /// Returns a receipt that is not of a duplicate, without a sequence.
    #[must_use]
    pub fn new(engine: &Arc<str>, level: Level) -> Self {
        Self { level, duplicate: false, engine: engine.clone(), sequence: None }
    }

    /// Sets where the envelope is in the engine's log.
    #[must_use]
    pub fn at(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Sets whether the engine had this id already.
    #[must_use]
    pub fn duplicate(mut self, duplicate: bool) -> Self {
        self.duplicate = duplicate;
        self
    }
}

/// An envelope was not published, or may have been. Each variant gives the envelope back.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The envelope did not leave.
    #[non_exhaustive]
    NotSent {
        /// The name of the engine.
        engine: Arc<str>,
        /// What was not published, with its id and time.
        envelope: Arc<Envelope>,
        /// The reason.
        reason: Reason,
    },
    /// The envelope may have arrived. If you publish it again, it keeps its id, so an engine that
    /// deduplicates takes it once.
    #[non_exhaustive]
    Unknown {
        /// The name of the engine.
        engine: Arc<str>,
        /// What may have been published, with its id and time.
        envelope: Arc<Envelope>,
        /// The reason why the outcome is unknown.
        reason: Reason,
    },
}

impl EngineError {
    /// Returns an error for an envelope that did not leave.
    #[must_use]
    pub fn not_sent(engine: &Arc<str>, envelope: Arc<Envelope>, reason: Reason) -> Self {
        Self::NotSent { engine: engine.clone(), envelope, reason }
    }

    /// Returns an error for an envelope that may have arrived.
    #[must_use]
    pub fn unknown(engine: &Arc<str>, envelope: Arc<Envelope>, reason: Reason) -> Self {
        Self::Unknown { engine: engine.clone(), envelope, reason }
    }

    /// Returns whether the envelope may have arrived.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Returns the name of the engine.
    #[must_use]
    pub fn engine(&self) -> &str {
        self.parts().0
    }

    /// Returns the reason.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        match self {
            Self::NotSent { reason, .. } | Self::Unknown { reason, .. } => reason,
        }
    }

    /// Returns the envelope.
    #[must_use]
    pub fn into_envelope(self) -> Arc<Envelope> {
        match self {
            Self::NotSent { envelope, .. } | Self::Unknown { envelope, .. } => envelope,
        }
    }

    /// Sets the envelope: what you published, where something else was sent for it.
    #[cfg(feature = "compression")]
    pub(in crate::hosted) fn about(mut self, published: Arc<Envelope>) -> Self {
        match &mut self {
            Self::NotSent { envelope, .. } | Self::Unknown { envelope, .. } => {
                *envelope = published;
            }
        }
        self
    }

    fn parts(&self) -> (&str, &Envelope, &Reason) {
        match self {
            Self::NotSent { engine, envelope, reason }
            | Self::Unknown { engine, envelope, reason } => (engine, envelope, reason),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (engine, envelope, reason) = self.parts();
        let what = if self.is_unknown() { "may have been sent" } else { "was not sent" };
        write!(f, "engine `{engine}`: `{}` {what}: {reason}", envelope.subject())
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason().source()
    }
}

/// The reason why an engine did not do what you asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The engine is not started.
    NotStarted,
    /// The engine is shut down.
    Closed,
    /// The payload has more bytes than the engine takes.
    TooLarge {
        /// How many bytes the payload has.
        bytes: usize,
        /// How many bytes it may have.
        limit: usize,
    },
    /// The engine cannot carry such a subject. The text says why.
    Subject(Box<str>),
    /// The engine cannot carry this header.
    Header(Box<str>),
    /// A buffer has no room.
    Full,
    /// The operation is not possible without waiting.
    WouldWait,
    /// There was no answer in time.
    TimedOut,
    /// The engine has the envelope, at a lower level than a rule of the router requires.
    Level {
        /// The level of the receipt.
        reached: Level,
        /// The level that the rule requires.
        required: Level,
    },
    /// The envelope names another tenant than the publisher has.
    Tenant(Box<str>),
    /// You cancelled the wait.
    Cancelled,
    /// The engine cannot do this. The text names the method.
    Unsupported(&'static str),
    /// There is no connection.
    Disconnected(BoxError),
    /// The server refused, or the engine before it asked. The text says why.
    Refused(BoxError),
    /// The engine panicked. The text is that of the panic.
    Panicked(Box<str>),
}

/// An error of a client or a server.
pub type BoxError = Box<dyn Error + Send + Sync>;

impl Error for Reason {
    /// What is behind the error that `Display` has shown.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected(error) | Self::Refused(error) => error.source(),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.pad("the engine is not started"),
            Self::Closed => f.pad("the engine is shut down"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the payload has {bytes} bytes, and may have {limit}")
            }
            Self::Subject(why) => write!(f, "the engine cannot carry this subject: {why}"),
            Self::Header(key) => {
                write!(f, "the engine cannot carry the header `{}`", key.escape_debug())
            }
            Self::Full => f.pad("a buffer has no room"),
            Self::WouldWait => f.pad("it is not possible without waiting"),
            Self::TimedOut => f.pad("there was no answer in time"),
            Self::Level { reached, required } => {
                write!(f, "it is `{reached}`, and the rule requires `{required}`")
            }
            Self::Tenant(why) => f.pad(why),
            Self::Cancelled => f.pad("the wait was cancelled"),
            Self::Unsupported(what) => write!(f, "the engine does not have `{what}`"),
            Self::Disconnected(error) => write!(f, "there is no connection: {error}"),
            Self::Refused(error) => write!(f, "{error}"),
            Self::Panicked(text) => write!(f, "the engine panicked: {text}"),
        }
    }
}

macro_rules! plain_error {
    ($(#[$docs:meta])* $name:ident, $text:literal) => {
        $(#[$docs])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name {
            /// The name of the engine.
            pub engine: Arc<str>,
            /// The reason.
            pub reason: Reason,
        }

        impl $name {
            /// Names the engine and the reason.
            #[must_use]
            pub fn new(engine: &Arc<str>, reason: Reason) -> Self {
                Self { engine: engine.clone(), reason }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("engine `{}` ", $text, ": {}"), self.engine, self.reason)
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.reason.source()
            }
        }
    };
}

plain_error!(
    /// An engine could not start.
    StartError,
    "did not start"
);
plain_error!(
    /// An engine was shut down before everything had left.
    ShutdownError,
    "did not finish"
);

/// Whether an engine works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The engine is not started.
    NotStarted,
    /// The engine works.
    Up,
    /// There is no connection yet, or no longer. The engine is making one.
    Connecting,
    /// The engine has no connection, or a subscription cannot receive. The text says why.
    Down(Arc<str>),
    /// The engine is shut down.
    Closed,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.pad("not started"),
            Self::Up => f.pad("up"),
            Self::Connecting => f.pad("connecting"),
            Self::Down(why) => write!(f, "down: {why}"),
            Self::Closed => f.pad("closed"),
        }
    }
}
