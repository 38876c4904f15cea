//! The engine without a server: [`MemoryEngine`].

mod log;
mod member;
mod seen;
mod shared;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

pub use log::DeadLetter;

use self::log::Log;
use self::member::{Live, Member, Opened, boxed};
use self::seen::Seen;
use self::shared::{NotOpened, Shared};
use super::capabilities::{Capabilities, Capability, Mode};
use super::clock::{Clock, SystemClock};
use super::delivery::Receive;
use super::engine::{Engine, EngineError, Health, Level, Reason, Receipt, ShutdownError};
use super::future::EngineFuture;
use super::subscribe::{DurableOptions, LiveOptions, OpenError};
use super::wire::stamped;
use crate::envelope::Envelope;
use crate::subject_bus::{EnvelopeBus, Overrun, SubjectBus, SubscriptionOptions};
use crate::sync::Relaxed;

/// Carries envelopes inside the process. It does everything that an engine can do, with one
/// exception: nothing survives the process, so a receipt is [`Level::Accepted`] at most.
///
/// | | live | durable |
/// |---|---|---|
/// | kept in | a buffer for each subscription, on the routes of a [`SubjectBus`] | one bounded log |
/// | wildcards | those of [`Pattern`](crate::Pattern) | the same |
/// | order | of each publisher | of each key over the group; without a key, of the log where nothing is redelivered |
/// | settled | when dropped | by verdict; a late one is refused |
/// | comes again | never | after `retry_after`, and when a lease ends |
/// | a gap | the buffer was full | the log was full before the group had read it |
/// | the same id twice | once, within the window | once, within the window |
///
/// Publishing needs no runtime, nor does [`try_next`](super::Deliveries::try_next). Awaiting a
/// durable subscription needs tokio's time, or a [`Clock`] of yours.
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

    /// Makes the engine.
    #[must_use]
    pub fn build(self) -> MemoryEngine {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let seen = Seen::new(self.window, self.ids);
        let log = (self.log > 0).then(|| Log::new(self.log, seen, self.dead_letters));
        let durable = log.is_some();
        MemoryEngine {
            name: self.name,
            shared: Arc::new(Shared::new(SubjectBus::new(), clock, log)),
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
        }
    }

    /// Publishes `envelope`: see [`Engine::publish`].
    ///
    /// When this returns, the envelope is in the log, and in the buffers of live subscriptions that
    /// have room. The future waits for those that say [`Overrun::Block`].
    ///
    /// Through an `Arc` or a `dyn Engine` you call the method of the trait, which takes an
    /// `Arc<Envelope>`: write `engine.publish(envelope.into())`.
    pub fn publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let (envelope, receipt) = match self.accept(envelope.into()) {
            Ok(accepted) => accepted,
            Err(error) => return EngineFuture::ready(Err(error)),
        };
        if self.shared.blocking.load(Relaxed) == 0 || receipt.duplicate {
            return EngineFuture::ready(self.offer(envelope, receipt));
        }
        EngineFuture::new(async move {
            match self.shared.bus.publish_async(envelope).await {
                // Those that had room have it.
                Err(error) if receipt.sequence.is_none() => {
                    Err(EngineError::unknown(&self.name, error.into_envelope(), Reason::Closed))
                }
                // The log has it, and live subscriptions have ended.
                _ => Ok(receipt),
            }
        })
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
    fn accept(&self, envelope: Arc<Envelope>) -> Result<(Arc<Envelope>, Receipt), EngineError> {
        let envelope = stamped(envelope);
        if let Some(limit) = self.max_payload {
            let bytes = envelope.payload().map(str::as_bytes).or(envelope.bytes());
            let bytes = bytes.map_or(0, <[u8]>::len);
            if bytes > limit {
                let reason = Reason::TooLarge { bytes, limit };
                return Err(EngineError::not_sent(&self.name, envelope, reason));
            }
        }
        let Ok(appended) = self.shared.append(&envelope) else {
            return Err(EngineError::not_sent(&self.name, envelope, Reason::Closed));
        };
        let mut receipt = Receipt::new(&self.name, Level::Accepted);
        if let Some((sequence, duplicate)) = appended {
            receipt = receipt.at(sequence).duplicate(duplicate);
        }
        Ok((envelope, receipt))
    }

    /// Offers what was accepted to the live subscriptions, without waiting for room.
    fn offer(&self, envelope: Arc<Envelope>, receipt: Receipt) -> Result<Receipt, EngineError> {
        let is_logged = receipt.sequence.is_some();
        if receipt.duplicate || is_logged && self.shared.live.load(Relaxed) == 0 {
            return Ok(receipt);
        }
        match self.shared.bus.try_publish(envelope) {
            Ok(_) => Ok(receipt),
            // The log has it, and live subscriptions have ended.
            Err(_) if is_logged => Ok(receipt),
            Err(error) => {
                Err(EngineError::not_sent(&self.name, error.into_envelope(), Reason::Closed))
            }
        }
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let deduplicates = self.deduplicates.then_some(Can::Deduplication);
        let live = [Can::Headers, Can::PublisherOrder, Can::Block, Can::Gaps];
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

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        let (envelope, receipt) = self.accept(envelope)?;
        self.offer(envelope, receipt)
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let LiveOptions { patterns, capacity, overrun } = options;
        let mut settings = SubscriptionOptions::new().capacity(capacity).overrun(overrun);
        let pattern = match &*patterns {
            [one] => one.clone(),
            _ => crate::subject::Pattern::from_static(">").into(),
        };
        if patterns.len() > 1 {
            settings = settings.filter(move |envelope| {
                patterns.iter().any(|pattern| pattern.matches(envelope.subject()))
            });
        }
        // Before it is open, so that no publisher after it overlooks it.
        let counted = Opened::new(&self.shared, overrun == Overrun::Block);
        let opened = EnvelopeBus::subscribe(&self.shared.bus, pattern.as_pattern(), settings);
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
