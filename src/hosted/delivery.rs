//! What a subscription receives, and how it is settled: [`Delivery`], [`Settle`], [`Receive`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::error::Error;
use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

#[cfg(feature = "compression")]
use super::compression::{InvalidCompression, decompress};
use super::counts::Counts;
use super::engine::{BoxError, Reason};
use super::future::EngineFuture;
use crate::envelope::Envelope;

/// The receiving end of a subscription, as an engine implements it.
///
/// An engine implements it. You receive from [`Deliveries`](super::Deliveries), which counts.
/// Dropping it ends the subscription, and the position of a group stays.
pub trait Receive: Send {
    /// Takes the next delivery, or reports a gap. Returns `None` at the end, and from then on.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>>;

    /// Takes the next delivery if there is one now. Needs no runtime.
    ///
    /// The default implementation polls with a waker that wakes nothing.
    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    /// Accepts no further events. Pending ones can still be received, and then comes the end. The
    /// default implementation does nothing: then only dropping ends the subscription.
    fn close(&mut self) {}

    /// Returns the id of the subscription, if the engine gives it one.
    fn id(&self) -> Option<&str> {
        None
    }

    /// Returns how many events this subscription has still to receive, if the engine knows.
    fn lag(&self) -> Option<u64> {
        None
    }
}

/// Settles deliveries, as an engine implements it.
///
/// One value may settle many deliveries. The [`Lease`] names the delivery.
pub trait Settle: Send + Sync {
    /// Gives the engine the verdict on a delivery. Never waits: a tick or a destructor may call it.
    ///
    /// # Errors
    ///
    /// Returns [`SettleError`] if the engine refuses, and knows that without waiting.
    fn settle(&self, lease: Lease, verdict: Verdict) -> Result<(), SettleError>;

    /// Settles as [`settle`](Self::settle) does, and awaits the confirmation of the engine. The
    /// default implementation returns at once.
    ///
    /// # Errors
    ///
    /// Returns [`SettleError`] from the future if the engine refuses.
    fn settle_async(
        &self,
        lease: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        EngineFuture::ready(self.settle(lease, verdict))
    }
}

/// Names one delivery to its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Where the envelope is in the engine's log, if it has one.
    pub sequence: Option<u64>,
    /// How often the event was delivered, this time included. 0 if the engine does not count.
    pub attempt: u32,
    /// A number of the engine's own, such as the epoch that fences late answers.
    pub token: u64,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The event is done.
    Ack,
    /// The event comes again, after at least this time.
    RetryAfter(Duration),
    /// The event never comes again. The engine keeps it as a dead letter if it can, with this
    /// reason.
    Reject(Box<str>),
    /// You still work on the event. It comes again if it is not settled within this time from now.
    Extend(Duration),
}

/// A verdict without what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ack,
    Retry,
    Reject,
    Extend,
}

impl Verdict {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Ack => Kind::Ack,
            Self::RetryAfter(_) => Kind::Retry,
            Self::Reject(_) => Kind::Reject,
            Self::Extend(_) => Kind::Extend,
        }
    }
}

/// An engine refused a verdict.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleError {
    /// The lease had already ended. Another member may have the event by now.
    Late,
    /// The engine did not apply the verdict, and the event comes again.
    Failed(Reason),
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.pad("too late: the lease of the delivery has ended"),
            Self::Failed(reason) => write!(f, "not settled: {reason}"),
        }
    }
}

impl Error for SettleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Late => None,
            Self::Failed(reason) => reason.source(),
        }
    }
}

/// An envelope that a subscription received, to be settled.
///
/// [`ack`](Self::ack), [`retry_after`](Self::retry_after), [`reject`](Self::reject) and
/// [`extend`](Self::extend) never wait: use them in a tick or a destructor. The subscription counts
/// a refusal, and calls [`on_refused`](super::Subscribe::on_refused). With
/// [`ack_async`](Self::ack_async) you wait for the engine's answer.
///
/// The subscription counts a delivery that you drop unsettled as abandoned. That delivery comes
/// again when its lease ends. Deliveries of a live subscription have nothing to settle: each is
/// handled when you drop it.
#[must_use = "a delivery that is not settled comes again"]
pub struct Delivery {
    envelope: Arc<Envelope>,
    /// `None` if there is nothing to settle, or no more.
    settle: Option<Arc<dyn Settle>>,
    lease: Lease,
    /// Set when it comes out of a subscription.
    counts: Option<Arc<Counts>>,
    /// Dropped with the delivery.
    held: Option<Box<Held>>,
    /// The engine it came from, if it is not that of the subscription.
    engine: Option<Arc<str>>,
    #[cfg(feature = "compression")]
    compressed: Option<Box<Came>>,
}

/// What is kept of a payload that came compressed.
#[cfg(feature = "compression")]
enum Came {
    /// What the envelope was before.
    Decoded(Arc<Envelope>),
    /// Why the envelope is as it came.
    Undecoded(InvalidCompression),
}

/// In a box, so that a delivery is a word larger and not two.
struct Held(#[expect(dead_code, reason = "to be dropped")] Box<dyn Any + Send + Sync>);

impl Delivery {
    /// Returns a delivery that `settle` settles.
    ///
    /// This allocates. [`shared`](Self::shared) does not.
    pub fn new(envelope: impl Into<Arc<Envelope>>, settle: impl Settle + 'static) -> Self {
        Self::shared(envelope, Arc::new(settle))
    }

    /// Returns a delivery that `settle` settles, which may settle others too. The lease names each.
    pub fn shared(envelope: impl Into<Arc<Envelope>>, settle: Arc<dyn Settle>) -> Self {
        let mut delivery = Self::live(envelope);
        delivery.settle = Some(settle);
        delivery
    }

    /// Returns a delivery with nothing to settle, as live subscriptions have.
    #[inline]
    pub fn live(envelope: impl Into<Arc<Envelope>>) -> Self {
        Self {
            envelope: envelope.into(),
            settle: None,
            lease: Lease::default(),
            counts: None,
            held: None,
            engine: None,
            #[cfg(feature = "compression")]
            compressed: None,
        }
    }

    /// Sets where the envelope is in the engine's log.
    pub const fn with_sequence(mut self, sequence: u64) -> Self {
        self.lease.sequence = Some(sequence);
        self
    }

    /// Sets how often it was delivered, this time included.
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.lease.attempt = attempt;
        self
    }

    /// Sets a number of the engine's own, which comes back in [`Lease::token`].
    pub const fn with_token(mut self, token: u64) -> Self {
        self.lease.token = token;
        self
    }

    /// Keeps `it` until the delivery is dropped.
    pub(in crate::hosted) fn holding(mut self, it: Box<dyn Any + Send + Sync>) -> Self {
        self.held = Some(Box::new(Held(it)));
        self
    }

    /// Sets the engine that it came from. An engine made of engines does so.
    pub(in crate::hosted) fn of_engine(mut self, name: &Arc<str>) -> Self {
        self.engine = Some(name.clone());
        self
    }

    /// Sets the envelope that you see. What is settled stays the same.
    pub(in crate::hosted) fn seen_as(mut self, envelope: Arc<Envelope>) -> Self {
        self.envelope = envelope;
        self
    }

    /// Decompresses the payload if it has at most `limit` bytes then, once. With 0 it stays as it
    /// came.
    #[cfg(feature = "compression")]
    #[inline]
    pub(in crate::hosted) fn decompress(&mut self, limit: usize) {
        // A compressed one has bytes, and a header that says so.
        if limit > 0 && self.envelope.bytes().is_some() && !self.envelope.headers().is_empty() {
            self.decompress_bytes(limit);
        }
    }

    #[cfg(feature = "compression")]
    fn decompress_bytes(&mut self, limit: usize) {
        if self.compressed.is_some() {
            return;
        }
        match decompress(&self.envelope, limit) {
            Ok(None) => {}
            Ok(Some(decoded)) => {
                let came = core::mem::replace(&mut self.envelope, Arc::new(decoded));
                self.compressed = Some(Box::new(Came::Decoded(came)));
            }
            Err(error) => self.compressed = Some(Box::new(Came::Undecoded(error))),
        }
    }

    /// Returns why the payload is still compressed, if the subscription could not decompress it. A
    /// handler does not receive such an event: it becomes a dead letter at once.
    #[cfg(feature = "compression")]
    #[must_use]
    pub fn undecoded(&self) -> Option<&InvalidCompression> {
        match self.compressed.as_deref() {
            Some(Came::Undecoded(error)) => Some(error),
            _ => None,
        }
    }

    /// Takes the error of a payload that no handler can read.
    pub(in crate::hosted) fn take_unreadable(&mut self) -> Option<BoxError> {
        #[cfg(feature = "compression")]
        if self.undecoded().is_some()
            && let Some(Came::Undecoded(error)) = self.compressed.take().map(|it| *it)
        {
            return Some(error.into());
        }
        None
    }

    /// Returns the envelope as it came, which the engine can carry once more.
    pub(in crate::hosted) fn as_it_came(&self) -> &Envelope {
        #[cfg(feature = "compression")]
        if let Some(Came::Decoded(came)) = self.compressed.as_deref() {
            return came;
        }
        &self.envelope
    }

    /// Returns the envelope.
    #[must_use]
    pub const fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// Returns where the envelope is in the engine's log, if it has one.
    #[must_use]
    pub const fn sequence(&self) -> Option<u64> {
        self.lease.sequence
    }

    /// Returns how often it was delivered, this time included. 0 if the engine does not count.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.lease.attempt
    }

    /// Returns the name of the engine. It is empty until the delivery comes out of a subscription.
    #[must_use]
    pub fn engine(&self) -> &str {
        self.engine_name().map_or("", |name| name)
    }

    /// Returns the name of the engine, if it is not that of the subscription.
    pub(in crate::hosted) const fn other_engine(&self) -> Option<&Arc<str>> {
        self.engine.as_ref()
    }

    pub(in crate::hosted) fn engine_name(&self) -> Option<&Arc<str>> {
        self.engine.as_ref().or(self.counts.as_ref().map(|counts| counts.engine()))
    }

    /// Returns whether there is something to settle. A live delivery has nothing to settle.
    #[must_use]
    #[inline]
    pub const fn is_durable(&self) -> bool {
        self.settle.is_some()
    }

    /// Acknowledges the event: it is done. Never waits.
    #[inline]
    pub fn ack(self) {
        if self.settle.is_some() {
            self.settle(Verdict::Ack);
        }
    }

    /// Gives the event back, to come again after at least `delay`. Never waits.
    pub fn retry_after(self, delay: Duration) {
        self.settle(Verdict::RetryAfter(delay));
    }

    /// Rejects the event: it never comes again. The dead letter has `reason`, if the engine keeps
    /// one. Never waits.
    pub fn reject(self, reason: impl Into<Box<str>>) {
        self.settle(Verdict::Reject(reason.into()));
    }

    /// Keeps the event for `lease` from now on. Never waits.
    pub fn extend(&self, lease: Duration) {
        let Some(settle) = &self.settle else { return };
        if let Err(error) = settle.settle(self.lease, Verdict::Extend(lease)) {
            self.report(&error);
        }
    }

    /// Acknowledges the event, and waits until the engine confirms.
    ///
    /// # Errors
    ///
    /// Returns [`SettleError`] if the engine refuses. The event then comes again, or another member
    /// has it already.
    pub async fn ack_async(self) -> Result<(), SettleError> {
        self.settle_async(Verdict::Ack).await
    }

    /// Settles the event, and waits until the engine confirms. [`Verdict::Extend`] leaves the event
    /// unsettled, and the delivery is gone: use [`extend_async`](Self::extend_async).
    ///
    /// # Errors
    ///
    /// Returns [`SettleError`] if the engine refuses.
    pub async fn settle_async(mut self, verdict: Verdict) -> Result<(), SettleError> {
        let kind = verdict.kind();
        let Some(settle) = &self.settle else { return Ok(()) };
        let result = settle.settle_async(self.lease, verdict).await;
        if kind != Kind::Extend || result.is_err() {
            self.settled(kind, &result);
        }
        result
    }

    /// Keeps the event for `lease` from now on, and waits until the engine confirms.
    ///
    /// # Errors
    ///
    /// Returns [`SettleError`] if the engine refuses. Stop the work then.
    pub async fn extend_async(&self, lease: Duration) -> Result<(), SettleError> {
        let Some(settle) = &self.settle else { return Ok(()) };
        let result = settle.settle_async(self.lease, Verdict::Extend(lease)).await;
        if let Err(error) = &result {
            self.report(error);
        }
        result
    }

    /// Counts it from here on. Called once, when it comes out of a subscription.
    #[inline]
    pub(super) fn count(&mut self, counts: &Arc<Counts>) {
        self.counts = Some(counts.clone());
    }

    /// Returns what extends the lease, apart from the delivery.
    pub(in crate::hosted) fn keeper(&self) -> Option<(Arc<dyn Settle>, Lease)> {
        self.settle.clone().map(|settle| (settle, self.lease))
    }

    fn settle(mut self, verdict: Verdict) {
        let Some(settle) = &self.settle else { return };
        let kind = verdict.kind();
        let result = settle.settle(self.lease, verdict);
        self.settled(kind, &result);
    }

    fn settled(&mut self, verdict: Kind, result: &Result<(), SettleError>) {
        self.settle = None;
        if let Some(counts) = &self.counts {
            counts.settled(verdict, result.is_ok());
        }
        if let Err(error) = result {
            self.report(error);
        }
    }

    fn report(&self, error: &SettleError) {
        if let Some(counts) = &self.counts {
            counts.refused(&self.envelope, error);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let (Some(counts), Some(_)) = (&self.counts, &self.settle) {
            counts.abandoned();
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("engine", &self.engine())
            .field("sequence", &self.lease.sequence)
            .field("attempt", &self.lease.attempt)
            .field("envelope", &self.envelope)
            .finish_non_exhaustive()
    }
}

/// Marks a place in a subscription where events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// How many events are missing, if the engine knows.
    pub missed: Option<u64>,
    /// The reason.
    pub reason: GapReason,
}

impl Gap {
    /// Returns a gap.
    #[must_use]
    pub const fn new(missed: Option<u64>, reason: GapReason) -> Self {
        Self { missed, reason }
    }
}

#[cfg(any(
    feature = "kafka",
    feature = "kinesis",
    feature = "mqtt",
    feature = "nats",
    feature = "postgres",
    feature = "redis"
))]
impl Gap {
    /// Adds a gap that comes directly behind this one. Returns whether they are one.
    pub(super) const fn join(&mut self, next: Self) -> bool {
        if self.reason as u8 != next.reason as u8 {
            return false;
        }
        self.missed = match (self.missed, next.missed) {
            (Some(missed), Some(more)) => Some(missed.saturating_add(more)),
            _ => None,
        };
        true
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missed {
            Some(missed) => write!(f, "missed {missed} events: {}", self.reason),
            None => write!(f, "missed an unknown number of events: {}", self.reason),
        }
    }
}

impl Error for Gap {}

/// The reason why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The buffer of the subscription was full.
    Overflow,
    /// The engine removed events that the group had not received.
    Trimmed,
    /// The connection was lost. Events published meanwhile may be lost.
    Reconnected,
    /// A message is not an envelope.
    Unreadable,
    /// An event reached its limit of attempts, and the engine keeps no dead letters.
    Exhausted,
    /// The events were too old when their turn came.
    Expired,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overflow => "the buffer was full",
            Self::Trimmed => "the engine had removed them",
            Self::Reconnected => "the connection was lost",
            Self::Unreadable => "what came is not an envelope",
            Self::Exhausted => "they were delivered as often as they may be",
            Self::Expired => "they were too old",
        })
    }
}

#[cfg(all(
    test,
    any(
        feature = "kafka",
        feature = "mqtt",
        feature = "nats",
        feature = "postgres",
        feature = "redis"
    ),
    not(tickbus_loom)
))]
mod tests;
