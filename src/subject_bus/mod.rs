//! Envelopes by subject, to whoever subscribed to a pattern that matches.

#[cfg(not(feature = "std"))]
#[path = "no_waits.rs"]
mod cancel;
mod drain;
#[cfg(feature = "std")]
mod envelope_bus;
mod handlers;
mod info;
mod observer;
mod publish;
mod queue;
mod room;
mod routes;
mod shared;
mod stats;
mod stream;
mod subscribe;
mod subscription;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::envelope::Envelope;
use crate::subject::{Pattern, Subject};
use crate::wait::panics;
#[cfg(feature = "std")]
use crate::wait::thread as cancel;
use cancel::Wait;
use shared::Shared;

#[cfg(feature = "std")]
pub use envelope_bus::{EnvelopeBus, NoopBus, PublishFuture};
pub use handlers::{HandlerStats, SubjectHandlers};
pub use info::{SubjectBusInfo, SubscriptionInfo};
pub use observer::{DropReason, Observer, Overrun, Recipient};
pub use stats::{SubjectBusStats, SubscriptionStats};
pub use stream::SubscriptionStream;
pub use subscribe::{Subscribe, SubscribeError, SubscriptionOptions};
#[cfg(feature = "std")]
pub use subscription::SubscriptionIter;
pub use subscription::{RecvError, Subscription};

/// How many answers the cache of routes keeps where nobody says otherwise.
const ROUTE_CACHE: usize = 1024;

/// Delivers envelopes to the subscriptions whose pattern matches their subject.
///
/// Under the feature `std`, it is for threads; with `alloc` alone, for the one main loop of a program
/// without an operating system: nobody waits there, and the bus can neither be sent to interrupt handlers
/// nor be shared with them.
///
/// Any number of threads publish and receive. Each subscription has a buffer of its own and says what
/// happens when it is full ([`Overrun`]), so one that does not read costs the others nothing, unless
/// it said [`Block`](Overrun::Block). Envelopes are shared and never change; nothing is copied per
/// subscription.
///
/// # Guarantees
///
/// - When a publish returns, every subscription that matches has the envelope in its buffer, or the
///   loss was counted, and the observers know which, but for an awaited one on a bus that was closed.
/// - For each publisher and subscription, the order is that of publishing.
/// - At every quiet moment, the numbers of [`stats`](Self::stats) add up:
///   `delivered == received + dropped_oldest + abandoned + pending`. Each envelope that a subscription
///   matched is in one of `delivered`, `dropped_newest`, `waiting` and the bus's `closed`.
/// - A receiver sees the end of its subscription only when nothing is left to receive, and sees it from then
///   on.
/// - No lock is held while a filter, an observer, a waker, or a destructor of theirs runs; they may use the
///   bus.
/// - A panic in one of them costs no other subscription, observer or task anything (under the feature `std`).
///   The publish, the close or the drop does all its work, and then the panic goes on to its caller. Such a
///   publish waits for room no more: where there is none, it drops the envelope. A receive has taken its
///   envelope and returns it: a panic of a waker ends there.
///
/// A publisher that receives on the same thread must not wait for itself: where a subscription says
/// `Block`, it takes [`try_publish`](Self::try_publish), `publish_wait` with a timeout, or
/// [`publish_async`](Self::publish_async), as every task should.
///
/// # Cost
///
/// A bus has one lock. A publish takes it once, finds the subscriptions by one hash if its subject was
/// published before, else by a search through the segments, and puts the envelope into their buffers. It
/// takes it again for every further 8 that match, for each that has a filter, and where there are
/// observers. A receive takes it once, and so does each step of a [`drain`](Subscription::drain).
///
/// A publish on a known subject allocates nothing, unless its publisher has to wait. Opening and ending a
/// subscription forgets what is known of subjects: see [`SubjectBusBuilder::route_cache`].
///
/// A subscription takes at most 512 bytes beyond the 16 of each slot of its buffer, its filter, and the
/// text of its pattern, as long as its pattern has at most two segments that no other has; some 100 for
/// each further one.
///
/// Dropping the bus closes it.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use tickbus::{Envelope, SubjectBus, Overrun};
///
/// let bus = SubjectBus::new();
/// let hits = bus.subscribe("player.*.hit")?.capacity(256).overrun(Overrun::DropOldest).open();
/// let all = bus.subscribe("player.>")?.filter(|envelope| envelope.source() != "bot").open();
///
/// bus.publish(Envelope::new("player.7.hit")?)?;
/// bus.publish(Envelope::new("player.7.hit")?.with_source("bot"))?;
/// bus.publish(Envelope::new("player")?)?; // `>` is one segment or more: nobody matches, which is fine
///
/// assert_eq!((hits.drain().count(), all.drain().count()), (2, 1));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct SubjectBus {
    shared: Arc<Shared>,
    observers: Box<[Arc<dyn Observer>]>,
}

/// How a [`SubjectBus`] is made when the defaults will not do.
#[must_use]
pub struct SubjectBusBuilder {
    route_cache: usize,
    observers: Vec<Arc<dyn Observer>>,
}

impl SubjectBusBuilder {
    /// For how many subjects the bus remembers which subscriptions match; 1024 by default, and 0 to
    /// remember nothing. Each takes its text, and 16 bytes for each subscription that matches.
    ///
    /// It changes what a publish costs, never where it goes. What is remembered is forgotten when a
    /// subscription is opened or ends, and when too many new subjects find no place.
    pub const fn route_cache(mut self, subjects: usize) -> Self {
        self.route_cache = subjects;
        self
    }

    /// Adds an observer. Several are called in the order in which they were added.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Makes the bus.
    #[must_use]
    #[cfg_attr(
        not(feature = "std"),
        expect(clippy::arc_with_non_send_sync, reason = "it is both where there are threads")
    )]
    pub fn build(self) -> SubjectBus {
        SubjectBus {
            shared: Arc::new(Shared::new(self.route_cache)),
            observers: self.observers.into(),
        }
    }
}

impl fmt::Debug for SubjectBusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectBusBuilder")
            .field("route_cache", &self.route_cache)
            .field("observers", &self.observers.len())
            .finish()
    }
}

impl SubjectBus {
    /// A bus without subscriptions and observers.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A bus with other settings.
    pub const fn builder() -> SubjectBusBuilder {
        SubjectBusBuilder { route_cache: ROUTE_CACHE, observers: Vec::new() }
    }

    /// Starts a subscription to `pattern`; [`open`](Subscribe::open) opens it.
    ///
    /// # Errors
    ///
    /// If `pattern` is no [`Pattern`], or the bus is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::SubjectBus;
    /// use tickbus::error::InvalidPattern;
    /// use tickbus::subject_bus::SubscribeError;
    ///
    /// let bus = SubjectBus::new();
    /// let error = bus.subscribe("player.7*").unwrap_err();
    /// assert_eq!(error, SubscribeError::InvalidPattern(InvalidPattern::PartialWildcard));
    ///
    /// let hits = bus.subscribe("player.*.hit")?.open();
    /// assert_eq!(hits.capacity(), 64); // the default
    ///
    /// bus.close();
    /// assert_eq!(bus.subscribe(">").unwrap_err(), SubscribeError::Closed);
    /// # Ok::<(), SubscribeError>(())
    /// ```
    pub fn subscribe<'a>(&'a self, pattern: &'a str) -> Result<Subscribe<'a>, SubscribeError> {
        let pattern = Pattern::new(pattern)?;
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        Ok(Subscribe::new(&self.shared, pattern))
    }

    /// Delivers `envelope` to all subscriptions that match, after filling in its id and time where they
    /// are missing.
    ///
    /// Waits only for subscriptions that are full and say [`Block`](Overrun::Block), as long as it
    /// takes; the others have the envelope before the waiting begins. Without the feature `std` it does
    /// not wait: it is [`try_publish`](Self::try_publish).
    ///
    /// # Errors
    ///
    /// If the bus is closed, or is closed while this waits. The error has the envelope.
    pub fn publish(&self, envelope: impl Into<Arc<Envelope>>) -> Result<Published, PublishError> {
        #[cfg(feature = "std")]
        return self.publish_wait(envelope, Wait::forever());
        #[cfg(not(feature = "std"))]
        self.try_publish(envelope)
    }

    /// The same without waiting: a full subscription that says [`Block`](Overrun::Block) drops the
    /// envelope.
    ///
    /// # Errors
    ///
    /// If the bus is closed. The error has the envelope.
    pub fn try_publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> Result<Published, PublishError> {
        self.deliver(envelope.into(), &Wait::never())
    }

    /// The same, waiting as long as `wait` says.
    ///
    /// # Errors
    ///
    /// If the bus is closed, or is closed while this waits; if the wait is over before all
    /// subscriptions had room. Those that had, have the envelope; the others dropped it.
    #[cfg(feature = "std")]
    pub fn publish_wait(
        &self,
        envelope: impl Into<Arc<Envelope>>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError> {
        self.deliver(envelope.into(), &wait)
    }

    /// How many subscriptions match `subject`, filters aside. For building an envelope only when
    /// somebody listens. Takes the lock of the bus for a search.
    #[must_use]
    pub fn matching(&self, subject: Subject<'_>) -> usize {
        self.shared.matching(subject)
    }

    /// Ends the bus: nobody publishes or subscribes any more, publishers that wait for room are sent
    /// away, publishers under way finish, and the subscriptions end; what is queued can still be
    /// received.
    ///
    /// When it returns, nothing is delivered and no observer is called any more. Called by a filter, by an
    /// observer, or by a waker when a bus or a subscription ends, it does not wait for publishers under way.
    /// Again, it only waits for those.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the bus is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// How many envelopes all subscriptions there ever were have lost for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.stats().deliveries.dropped()
    }

    /// The numbers of the bus. Looks at each subscription.
    #[must_use]
    pub fn stats(&self) -> SubjectBusStats {
        self.shared.stats()
    }

    /// The subscriptions whose handle is alive, in the order in which they were opened.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionInfo> {
        self.shared.subscriptions()
    }

    /// The patterns that open subscriptions subscribed to, sorted, each with how many did.
    #[must_use]
    pub fn patterns(&self) -> BTreeMap<Box<str>, usize> {
        let mut patterns = BTreeMap::new();
        for open in self.subscriptions().into_iter().filter(|subscription| !subscription.closed) {
            *patterns.entry(open.pattern).or_default() += 1;
        }
        patterns
    }
}

impl Default for SubjectBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SubjectBus {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SubjectBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectBus")
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What became of a published envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Subscriptions that have it in their buffer.
    pub delivered: usize,
    /// Subscriptions that had no room for it.
    pub dropped: usize,
    /// Subscriptions that matched and ended before they had it.
    pub closed: usize,
}

/// Why an envelope was not published, or not to everybody. All have the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The bus was closed; or it was closed while this publish waited, and subscriptions that had room
    /// have the envelope.
    Closed(Arc<Envelope>),
    /// The deadline passed before every subscription had room.
    TimedOut(Arc<Envelope>),
    /// The wait was cancelled before every subscription had room.
    Cancelled(Arc<Envelope>),
}

impl PublishError {
    /// The envelope.
    #[must_use]
    pub fn into_envelope(self) -> Arc<Envelope> {
        match self {
            Self::Closed(envelope) | Self::TimedOut(envelope) | Self::Cancelled(envelope) => {
                envelope
            }
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (envelope, what) = match self {
            Self::Closed(envelope) => (envelope, "the bus is closed"),
            Self::TimedOut(envelope) => (envelope, "a subscription had no room in time"),
            Self::Cancelled(envelope) => (envelope, "cancelled before every subscription had room"),
        };
        write!(f, "`{}`: {what}", envelope.subject())
    }
}

impl Error for PublishError {}
