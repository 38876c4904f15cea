//! The engine without a server: [`MemoryEngine`].

mod builder;
mod followed;
mod history;
mod log;
mod member;
mod publish;
mod query;
mod seen;
mod shared;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

pub use builder::MemoryEngineBuilder;
pub use history::HistoryLimits;
pub use log::DeadLetter;
pub use query::HistoryQuery;

use self::log::Log;
use self::member::{Live, Member, Opened, boxed};
use self::shared::{NotOpened, Shared};
use super::capabilities::{Capabilities, Capability, Mode};
use super::clock::Clock;
use super::delivery::Receive;
use super::engine::{Engine, EngineError, Health, Level, Reason, Receipt, ShutdownError};
use super::future::EngineFuture;
use super::stats::Dropped;
use super::subscribe::{DurableOptions, LiveOptions, OpenError};
use super::wire::stamped;
use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::subject_bus::{EnvelopeBus, Overrun, SubscriptionOptions};
use crate::sync::Relaxed;

/// Carries envelopes inside the process. It does everything that an engine can do, with one
/// exception: nothing survives the process, so a receipt is [`Level::Accepted`] at most.
///
/// | | live | durable |
/// |---|---|---|
/// | kept in | a buffer for each subscription, on the routes of a [`SubjectBus`](crate::SubjectBus) | one bounded log |
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
/// the [`Cancel`](crate::wait::Cancel) of [`publish_until`](Self::publish_until), which then returns an error.
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

impl MemoryEngine {
    /// Returns an engine with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
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
