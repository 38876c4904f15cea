//! The engine without a server: [`MemoryEngine`].

mod followed;
mod history;
mod log;
mod member;
mod query;
mod seen;
mod shared;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

pub use history::HistoryLimits;
pub use log::DeadLetter;
pub use query::HistoryQuery;

use self::followed::{Followed, Following};
use self::history::History;
use self::log::{EXPIRES, Log};
use self::member::{Live, Member, Opened, boxed};
use self::seen::Seen;
use self::shared::{NotOpened, Shared};
use super::capabilities::{Capabilities, Capability, Mode};
use super::clock::{Clock, SystemClock};
use super::delivery::Receive;
use super::engine::{Engine, EngineError, Health, Level, Reason, Receipt, ShutdownError};
use super::future::EngineFuture;
use super::stats::Dropped;
use super::subscribe::{DurableOptions, LiveOptions, OpenError};
use super::wire::stamped;
use crate::envelope::{Envelope, Timestamp};
use crate::error::InvalidPattern;
use crate::subject_bus::{
    EnvelopeBus, Overrun, Patient, PublishError, Published, SubjectBus, SubscriptionOptions,
};
use crate::sync::Relaxed;
use crate::wait::Cancel;

/// Carries envelopes inside the process. It does everything that an engine can do, with one
/// exception: nothing survives the process, so a receipt is [`Level::Accepted`] at most.
///
/// | | live | durable |
/// |---|---|---|
/// | kept in | a buffer for each subscription, on the routes of a [`SubjectBus`] | one bounded log |
/// | wildcards | those of [`Pattern`](crate::Pattern) | the same |
/// | order | of each publisher | of each key over the group; without a key, of the log where nothing is redelivered |
/// | settled | when dropped | by verdict; a late one is refused |
/// | a lease | | each member's own |
/// | comes again | never | after `retry_after`, and when a lease ends |
/// | a gap | the buffer was full | the log was full before the group had read it |
/// | the same id twice | once, within the window | once, within the window |
///
/// Publishing needs no runtime, nor does [`try_next`](super::Deliveries::try_next). What waits for a
/// time does so by the [`Clock`].
///
/// # Full buffers of live subscriptions
///
/// | | a publish that finds the buffer full |
/// |---|---|
/// | [`Overrun::DropNewest`] | drops its event there |
/// | [`Overrun::DropOldest`] | drops the oldest event there |
/// | [`Overrun::Block`] | waits for room |
/// | [`block_timeout`](super::Subscribe::block_timeout) | waits for room so long, then drops its event there |
///
/// A subscription is told of each dropped event by a [`Gap`](super::Gap). A publisher that waits is
/// woken by room, by its timeout, and by the end of the subscription or the engine. It also is by
/// the [`Cancel`] of [`publish_until`](Self::publish_until), which then returns an error.
///
/// # Old events
///
/// An event is too old when its header `expires`, a time as in RFC 3339, has passed, or when the
/// engine accepted it longer ago than [`ttl`](MemoryEngineBuilder::ttl). Subscriptions do not
/// receive it. Each is told by a gap with [`GapReason::Expired`](super::GapReason::Expired).
///
/// # Bounds
///
/// The log keeps 4096 events, and the window knows 4096 ids for two minutes. The engine keeps the
/// newest 1024 dead letters. A group keeps aside up to 1024 events whose key another member holds.
/// Set the first three with the [builder](Self::builder).
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::time::Duration;
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, MemoryEngine, StartAt};
///
/// let engine = MemoryEngine::new();
/// engine.publish(Envelope::json("match.7.score", &3)?).await?;
///
/// let scores = engine.subscribe("match.*.score")?.group("ladder").start_at(StartAt::Earliest);
/// let mut scores = scores.open().await?;
/// let first = scores.next().await.expect("the engine is open")?;
/// first.retry_after(Duration::ZERO); // not now
///
/// let again = scores.next().await.expect("the engine is open")?;
/// assert_eq!((again.envelope().payload(), again.attempt()), (Some("3"), 2));
/// again.ack_async().await?;
/// assert_eq!(scores.lag(), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryEngine {
    name: Arc<str>,
    shared: Arc<Shared>,
    max_payload: Option<usize>,
    durable: bool,
    deduplicates: bool,
    defaults: Defaults,
}

/// What live subscriptions have that do not set it.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    capacity: Option<usize>,
    overrun: Option<Overrun>,
    block_timeout: Option<Duration>,
}

/// Makes a [`MemoryEngine`] with other settings than the defaults: see [`MemoryEngine::builder`].
#[derive(Debug)]
#[must_use]
pub struct MemoryEngineBuilder {
    name: Arc<str>,
    log: usize,
    window: Duration,
    ids: usize,
    dead_letters: usize,
    max_payload: Option<usize>,
    clock: Option<Arc<dyn Clock>>,
    defaults: Defaults,
    rotate: bool,
    ttl: Option<Duration>,
    history: Option<HistoryLimits>,
}

impl MemoryEngineBuilder {
    /// Sets the name in errors and receipts: `memory` by default.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many events the log keeps: 4096 by default. With 0, there are no durable
    /// subscriptions.
    pub const fn log(mut self, events: usize) -> Self {
        self.log = events;
        self
    }

    /// Sets how long the engine knows an id, and how many ids: two minutes and 4096 by default.
    /// With 0 ids, or without a log, it deduplicates nothing.
    pub const fn deduplicate(mut self, window: Duration, ids: usize) -> Self {
        self.window = window;
        self.ids = ids;
        self
    }

    /// Sets how many dead letters the engine keeps: 1024 by default.
    pub const fn dead_letters(mut self, letters: usize) -> Self {
        self.dead_letters = letters;
        self
    }

    /// Sets how many bytes a payload may have. There is no limit by default.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Sets the clock: [`SystemClock`] by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets how many envelopes fit into the buffer of a live subscription that does not say: 64 by
    /// default, and for 0.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.defaults.capacity = Some(capacity).filter(|capacity| *capacity > 0);
        self
    }

    /// Sets what a full buffer of a live subscription does that does not say:
    /// [`Overrun::DropNewest`] by default.
    pub const fn overrun(mut self, overrun: Overrun) -> Self {
        self.defaults.overrun = Some(overrun);
        self.defaults.block_timeout = None;
        self
    }

    /// Lets publishers wait for room in a live subscription that does not say, and at most so long.
    /// 0 is [`Overrun::DropNewest`]. Replaces [`overrun`](Self::overrun).
    pub fn block_timeout(mut self, timeout: Duration) -> Self {
        let waits = !timeout.is_zero();
        self.defaults.overrun = Some(if waits { Overrun::Block } else { Overrun::DropNewest });
        self.defaults.block_timeout = waits.then_some(timeout);
        self
    }

    /// Sets whether live subscriptions take turns at being served first: see
    /// [`SubjectBusBuilder::rotate`](crate::subject_bus::SubjectBusBuilder::rotate). The default
    /// is `false`: a publish serves them in the order in which they were opened.
    pub const fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
        self
    }

    /// Sets how old an event may be when its turn comes, from its acceptance by the engine. By
    /// default, and with 0, events do not grow too old.
    pub fn ttl(mut self, age: Duration) -> Self {
        self.ttl = Some(age).filter(|age| !age.is_zero());
        self
    }

    /// Keeps a history: see [`MemoryEngine::history`]. By default there is none.
    pub const fn history(mut self, limits: HistoryLimits) -> Self {
        self.history = Some(limits);
        self
    }

    /// Makes the engine.
    #[must_use]
    pub fn build(self) -> MemoryEngine {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let seen = Seen::new(self.window, self.ids);
        let log = (self.log > 0).then(|| Log::new(self.log, seen, self.dead_letters));
        let durable = log.is_some();
        let followed = Arc::new(Followed::default());
        let lost = followed.clone();
        let bus = SubjectBus::builder().rotate(self.rotate);
        let bus = bus.on_loss(Box::new(move |envelope| lost.left(envelope))).build();
        let history = self.history.map(History::new);
        MemoryEngine {
            name: self.name,
            shared: Arc::new(Shared::new(bus, followed, clock, log, self.ttl, history)),
            defaults: self.defaults,
            max_payload: self.max_payload,
            durable,
            deduplicates: durable && self.ids > 0 && !self.window.is_zero(),
        }
    }
}

impl MemoryEngine {
    /// Returns an engine with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the defaults.
    pub fn builder() -> MemoryEngineBuilder {
        MemoryEngineBuilder {
            name: "memory".into(),
            log: 4096,
            window: Duration::from_secs(120),
            ids: 4096,
            dead_letters: 1024,
            max_payload: None,
            clock: None,
            defaults: Defaults::default(),
            rotate: false,
            ttl: None,
            history: None,
        }
    }

    /// Publishes `envelope`: see [`Engine::publish`].
    ///
    /// When this returns, the envelope is in the log, and in the buffers of live subscriptions that
    /// have room. The future waits for those that say [`Overrun::Block`]. If you drop it, those
    /// that still have no room do not receive the envelope, and count it as dropped.
    ///
    /// Through an `Arc` or a `dyn Engine` you call the method of the trait, which takes an
    /// `Arc<Envelope>`: write `engine.publish(envelope.into())`.
    pub fn publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let envelope = stamped(envelope.into());
        let accepted = match self.accept(&envelope) {
            Ok(accepted) => accepted,
            Err(reason) => return EngineFuture::ready(self.refused(envelope, reason)),
        };
        if self.shared.blocking.load(Relaxed) == 0 || accepted.duplicate {
            return EngineFuture::ready(self.offer(envelope, accepted));
        }
        self.offer_patiently(envelope, self.receipt(accepted), None)
    }

    /// Publishes `envelope` as [`publish`](Self::publish) does, and waits for room until `cancel`
    /// is cancelled.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Unknown`] with [`Reason::Cancelled`] if a subscription had no room
    /// until then. The others have the envelope, and the log has. Returns the errors of `publish`.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use tickbus::hosted::{Engine, MemoryEngine, Reason};
    /// use tickbus::wait::Cancel;
    /// use tickbus::{Envelope, Overrun};
    ///
    /// let engine = MemoryEngine::new();
    /// let one = engine.subscribe("job.*")?.capacity(1).overrun(Overrun::Block).open().await?;
    /// let cancel = Cancel::new();
    /// engine.publish_until(Envelope::new("job.1")?, &cancel).await?;
    ///
    /// cancel.cancel();
    /// let error = engine.publish_until(Envelope::new("job.2")?, &cancel).await.unwrap_err();
    /// assert!(matches!(error.reason(), Reason::Cancelled));
    /// # drop(one);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_until<'a>(
        &'a self,
        envelope: impl Into<Arc<Envelope>>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let envelope = stamped(envelope.into());
        let receipt = match self.accept(&envelope) {
            Ok(accepted) => self.receipt(accepted),
            Err(reason) => return EngineFuture::ready(self.refused(envelope, reason)),
        };
        if receipt.duplicate {
            return EngineFuture::ready(Ok(receipt));
        }
        self.offer_patiently(envelope, receipt, Some(cancel))
    }

    /// Publishes `envelope`, and waits until every subscription that receives it has handled it.
    ///
    /// A live subscription has handled it when its delivery is dropped, or when the event is lost
    /// there. A group has handled it when it is acknowledged, or a dead letter, also after
    /// retries, or when it is lost there. The publish does not wait for a group without members. A
    /// subscription that ends is not waited for any longer.
    ///
    /// The wait has no limit, and dropping the future ends it. A handler that calls this for an
    /// event that it has to handle itself waits for ever.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Unknown`] with [`Reason::Closed`] if the engine ended before. Returns
    /// the errors of [`publish`](Self::publish).
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{Engine, MemoryEngine};
    ///
    /// let engine = MemoryEngine::new();
    /// let mut scores = engine.subscribe("match.*.score")?.open().await?;
    /// let sum = Arc::new(AtomicU32::new(0));
    /// let handler = sum.clone();
    /// tokio::spawn(async move {
    ///     while let Some(Ok(score)) = scores.next().await {
    ///         handler.fetch_add(score.envelope().decode().unwrap().unwrap_or(0), Relaxed);
    ///     }
    /// });
    ///
    /// engine.publish_and_wait(Envelope::json("match.7.score", &3)?).await?;
    /// assert_eq!(sum.load(Relaxed), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("synchronous", "emit"))]
    pub fn publish_and_wait(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        // Before it is accepted: from then on it may be handled.
        let following = self.follow(stamped(envelope.into()), true);
        let envelope = following.envelope().clone();
        let receipt = match self.accept(&envelope) {
            Ok(accepted) => self.receipt(accepted),
            Err(reason) => return EngineFuture::ready(self.refused(envelope, reason)),
        };
        if receipt.duplicate {
            return EngineFuture::ready(Ok(receipt));
        }
        let sequence = receipt.sequence.unwrap_or(0);
        let groups = self.shared.groups_of(sequence, &envelope);
        let mut offered = match self.enqueue(envelope.clone(), Some(following)) {
            Ok(offered) => offered,
            Err(error) => return EngineFuture::ready(self.enqueued(Err(error), receipt)),
        };
        EngineFuture::new(async move {
            let result = self.wait(&mut offered, None).await;
            let receipt = self.enqueued(result, receipt)?;
            offered.tell();
            let offered = &mut offered;
            let handled = poll_fn(|context| {
                let live = offered.poll_done(context.waker()).is_ready();
                self.shared.poll_settled(sequence, &groups, live, context.waker())
            });
            if handled.await {
                return Ok(receipt);
            }
            Err(EngineError::unknown(&self.name, envelope, Reason::Closed))
        })
    }

    /// Reads the history of what `pattern` matches. It is empty if you did not set
    /// [`history`](MemoryEngineBuilder::history).
    ///
    /// The history has each envelope that the engine accepted, whatever became of it. Reading
    /// removes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use tickbus::Envelope;
    /// use tickbus::hosted::{HistoryLimits, MemoryEngine};
    ///
    /// let engine = MemoryEngine::builder().history(HistoryLimits::new().per_subject(2)).build();
    /// for score in 1..=3 {
    ///     engine.publish(Envelope::json("match.7.score", &score)?).await?;
    /// }
    /// let kept = engine.history("match.*.score")?.all();
    /// assert!(kept.iter().map(|it| it.payload().unwrap()).eq(["2", "3"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(&self, pattern: &str) -> Result<HistoryQuery<'_>, InvalidPattern> {
        Ok(HistoryQuery::new(&self.shared, pattern.parse()?))
    }

    /// Returns how many events subscriptions did not receive, by reason, ended subscriptions
    /// included. An event counts once for each of these. The reasons are `buffer_full`, `expired`,
    /// and `unsubscribed` for what was in the buffer of a live subscription when it was dropped.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        let live = self.shared.bus.stats().totals;
        Dropped {
            buffer_full: live.dropped(),
            expired: self.shared.expired.load(Relaxed) as u64,
            unsubscribed: live.abandoned + self.shared.unsubscribed.load(Relaxed) as u64,
            ..Dropped::default()
        }
    }

    /// Returns the dead letters that the engine keeps, the oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.dead_letters()
    }

    /// Returns how many dead letters were lost, because newer ones needed the room.
    #[must_use]
    pub fn dead_letters_lost(&self) -> u64 {
        self.shared.with_log(Log::dead_lost).unwrap_or(0)
    }

    /// Returns the sequences that the log keeps: the first, and the one after the last. Sequences
    /// begin with 1.
    #[must_use]
    pub fn kept(&self) -> core::ops::Range<u64> {
        let (first, end) = self.shared.with_log(Log::kept).unwrap_or((1, 1));
        first..end
    }

    /// Puts the envelope into the log, if there is one.
    fn accept(&self, envelope: &Arc<Envelope>) -> Result<Accepted, Reason> {
        if let Some(limit) = self.max_payload {
            let bytes = envelope.payload().map(str::as_bytes).or(envelope.bytes());
            let bytes = bytes.map_or(0, <[u8]>::len);
            if bytes > limit {
                return Err(Reason::TooLarge { bytes, limit });
            }
        }
        let expires = envelope.headers().get(EXPIRES);
        if !expires.is_empty() {
            if expires.parse::<Timestamp>().is_err() {
                return Err(Reason::Header(EXPIRES.into()));
            }
            self.shared.dated.store(1, Relaxed);
        }
        let Ok(appended) = self.shared.append(envelope) else { return Err(Reason::Closed) };
        let accepted = match appended {
            Some((sequence, duplicate)) => Accepted { sequence: Some(sequence), duplicate },
            None => Accepted { sequence: None, duplicate: false },
        };
        if !accepted.duplicate {
            self.shared.remember(envelope);
        }
        Ok(accepted)
    }

    #[cold]
    fn refused(&self, envelope: Arc<Envelope>, reason: Reason) -> Result<Receipt, EngineError> {
        Err(EngineError::not_sent(&self.name, envelope, reason))
    }

    fn receipt(&self, Accepted { sequence, duplicate }: Accepted) -> Receipt {
        let receipt = Receipt::new(&self.name, Level::Accepted).duplicate(duplicate);
        match sequence {
            Some(sequence) => receipt.at(sequence),
            None => receipt,
        }
    }

    /// Offers what was accepted to the live subscriptions, without waiting for room.
    fn offer(&self, envelope: Arc<Envelope>, accepted: Accepted) -> Result<Receipt, EngineError> {
        let is_logged = accepted.sequence.is_some();
        if accepted.duplicate || is_logged && self.shared.live.load(Relaxed) == 0 {
            return Ok(self.receipt(accepted));
        }
        let published = if self.shared.ttl.is_none() {
            self.shared.bus.try_publish(envelope)
        } else {
            let mut following = self.follow(envelope, false);
            let published = self.shared.bus.try_publish(following.envelope().clone());
            if let Ok(published) = &published {
                following.published(published.enqueued);
            }
            published
        };
        match published {
            Ok(_) => Ok(self.receipt(accepted)),
            // The log has it, and live subscriptions have ended.
            Err(_) if is_logged => Ok(self.receipt(accepted)),
            Err(error) => self.refused(error.into_envelope(), Reason::Closed),
        }
    }
}

/// What the log says of an envelope, if there is one.
#[derive(Clone, Copy)]
struct Accepted {
    sequence: Option<u64>,
    duplicate: bool,
}

impl MemoryEngine {
    fn follow(&self, envelope: Arc<Envelope>, awaited: bool) -> Following {
        self.shared.followed.follow(envelope, self.shared.clock.now(), awaited)
    }

    /// Offers what was accepted to the live subscriptions. The future waits for room.
    fn offer_patiently<'a>(
        &'a self,
        envelope: Arc<Envelope>,
        receipt: Receipt,
        cancel: Option<&'a Cancel>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let ages = self.shared.ttl.is_some();
        let following = ages.then(|| self.follow(envelope.clone(), false));
        let mut offered = match self.enqueue(envelope, following) {
            Ok(offered) => offered,
            Err(error) => return EngineFuture::ready(self.enqueued(Err(error), receipt)),
        };
        if let Some(result) = offered.patient.now() {
            return EngineFuture::ready(self.enqueued(result, receipt));
        }
        EngineFuture::new(async move {
            let result = self.wait(&mut offered, cancel).await;
            self.enqueued(result, receipt)
        })
    }

    /// Enqueues where there is room.
    fn enqueue(
        &self,
        envelope: Arc<Envelope>,
        following: Option<Following>,
    ) -> Result<Offered<'_>, PublishError> {
        let began = self.shared.clock.now();
        let envelope = following.as_ref().map_or(envelope, |it| it.envelope().clone());
        let patient = self.shared.bus.publish_patient(envelope)?;
        Ok(Offered { patient, following, began })
    }

    /// Waits for room.
    async fn wait(
        &self,
        offered: &mut Offered<'_>,
        cancel: Option<&Cancel>,
    ) -> Result<Published, PublishError> {
        let began = offered.began;
        let sleep = |patience| self.shared.clock.sleep_until(began.saturating_add(patience));
        offered.patient.wait(cancel, sleep).await
    }

    fn enqueued(
        &self,
        result: Result<Published, PublishError>,
        receipt: Receipt,
    ) -> Result<Receipt, EngineError> {
        match result {
            Ok(_) => Ok(receipt),
            Err(PublishError::Cancelled(envelope)) => {
                Err(EngineError::unknown(&self.name, envelope, Reason::Cancelled))
            }
            // Those that had room have it.
            Err(error) if receipt.sequence.is_none() => {
                Err(EngineError::unknown(&self.name, error.into_envelope(), Reason::Closed))
            }
            // The log has it, and live subscriptions have ended.
            Err(_) => Ok(receipt),
        }
    }
}

/// A publish that was offered to the live subscriptions, and waits where there is no room.
struct Offered<'a> {
    patient: Patient<'a>,
    following: Option<Following>,
    began: Duration,
}

impl Offered<'_> {
    /// Says into how many buffers it came. A second call has no effect.
    fn tell(&mut self) {
        if let Some(following) = &mut self.following {
            following.published(self.patient.published().enqueued);
        }
    }

    /// Ready when no buffer and no delivery has it any more. Otherwise the waker is woken then.
    fn poll_done(&mut self, waker: &Waker) -> Poll<()> {
        self.following.as_ref().map_or(Poll::Ready(()), |it| it.poll_done(waker))
    }
}

/// Also if the future is dropped before its end.
impl Drop for Offered<'_> {
    fn drop(&mut self) {
        self.patient.abandon();
        self.tell();
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let deduplicates = self.deduplicates.then_some(Can::Deduplication);
        let live = [Can::Headers, Can::PublisherOrder, Can::Block, Can::BlockTimeout, Can::Gaps];
        let durable = [
            Can::Headers,
            Can::PublisherOrder,
            Can::KeyOrderAcrossGroup,
            Can::Redelivery,
            Can::Delay,
            Can::Attempts,
            Can::Extend,
            Can::FencingServer,
            Can::Resume,
            Can::StartEarliest,
            Can::StartSequence,
            Can::StartTime,
            Can::Gaps,
            Can::DeadLetters,
        ];
        let mut all = Capabilities::new().level(Level::Accepted);
        if let Some(limit) = self.max_payload {
            all = all.max_payload(limit);
        }
        all = all.live(live.into_iter().chain(deduplicates));
        if self.durable { all.durable(durable.into_iter().chain(deduplicates)) } else { all }
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        Self::publish(self, envelope)
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        Self::publish_and_wait(self, envelope)
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        let envelope = stamped(envelope);
        match self.accept(&envelope) {
            Ok(accepted) => self.offer(envelope, accepted),
            Err(reason) => self.refused(envelope, reason),
        }
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let Defaults { capacity, overrun, block_timeout } = self.defaults;
        let own = capacity.filter(|_| !options.sets_capacity());
        let capacity = own.unwrap_or(options.capacity);
        let own = overrun.filter(|_| !options.sets_overrun());
        let (overrun, patience) = match own {
            Some(overrun) => (overrun, block_timeout),
            None => (options.overrun, options.block_timeout),
        };
        let settings = SubscriptionOptions::new().capacity(capacity).overrun(overrun);
        let (first, more) = options.patterns.split_first().expect("there is a pattern");
        let settings = more.iter().fold(settings.patience(patience), |settings, pattern| {
            settings.or(pattern.as_pattern())
        });
        // Before it is open, so that no publisher after it overlooks it.
        let counted = Opened::new(&self.shared, overrun == Overrun::Block);
        let opened = EnvelopeBus::subscribe(&self.shared.bus, first.as_pattern(), settings);
        EngineFuture::ready(match opened {
            Ok(subscription) => Ok(boxed(Live::new(subscription, counted))),
            Err(_) => Err(OpenError::failed(&self.name, Reason::Closed)),
        })
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        if !self.durable {
            let error = OpenError::missing(&self.name, Mode::Durable, Capability::Durable);
            return EngineFuture::ready(Err(error));
        }
        EngineFuture::ready(match self.shared.open(&options) {
            Ok((taker, place)) => Ok(boxed(Member::new(self.shared.clone(), taker, place))),
            Err(NotOpened::Closed) => Err(OpenError::failed(&self.name, Reason::Closed)),
            Err(NotOpened::OtherPatterns) => Err(OpenError::invalid(
                &self.name,
                "group",
                "a group of this name has other patterns",
            )),
        })
    }

    fn lag(&self) -> Option<u64> {
        Some(self.shared.lag_of_all())
    }

    fn health(&self) -> Health {
        if self.shared.is_open() { Health::Up } else { Health::Closed }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.shared.clock.clone()
    }

    fn outlives_process(&self) -> bool {
        false
    }

    /// Takes nothing in any more, waits until each group that has a member is done, and ends.
    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        self.shared.close();
        if deadline.is_zero() {
            return EngineFuture::ready(self.end());
        }
        let until = self.shared.clock.now().saturating_add(deadline);
        let mut sleep = self.shared.clock.sleep_until(until);
        EngineFuture::new(async move {
            poll_fn(|context| match self.shared.poll_done(context.waker()) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => core::pin::Pin::new(&mut sleep).poll(context),
            })
            .await;
            self.end()
        })
    }
}

impl MemoryEngine {
    fn end(&self) -> Result<(), ShutdownError> {
        if self.shared.end() {
            Ok(())
        } else {
            Err(ShutdownError::new(&self.name, Reason::TimedOut))
        }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("name", &self.name)
            .field("kept", &self.kept())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
