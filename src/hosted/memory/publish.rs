//! How an envelope is published: into the log, and to the live subscriptions, with or without waiting.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use super::MemoryEngine;
use super::followed::Following;
use super::log::EXPIRES;
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::engine::{EngineError, Level, Reason, Receipt};
use crate::hosted::future::EngineFuture;
use crate::hosted::wire::stamped;
use crate::subject_bus::{Patient, PublishError, Published};
use crate::sync::Relaxed;
use crate::wait::Cancel;

impl MemoryEngine {
    /// Publishes `envelope`: see [`Engine::publish`](crate::hosted::Engine::publish).
    ///
    /// When this returns, the envelope is in the log, and in the buffers of live subscriptions that
    /// have room. The future waits for those that say [`Overrun::Block`](crate::Overrun::Block). If
    /// you drop it, those that still have no room do not receive the envelope, and count it as
    /// dropped.
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

    /// Puts the envelope into the log, if there is one.
    pub(super) fn accept(&self, envelope: &Arc<Envelope>) -> Result<Accepted, Reason> {
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
    pub(super) fn refused(
        &self,
        envelope: Arc<Envelope>,
        reason: Reason,
    ) -> Result<Receipt, EngineError> {
        Err(EngineError::not_sent(&self.name, envelope, reason))
    }

    pub(super) fn receipt(&self, Accepted { sequence, duplicate }: Accepted) -> Receipt {
        let receipt = Receipt::new(&self.name, Level::Accepted).duplicate(duplicate);
        match sequence {
            Some(sequence) => receipt.at(sequence),
            None => receipt,
        }
    }

    /// Offers what was accepted to the live subscriptions, without waiting for room.
    pub(super) fn offer(
        &self,
        envelope: Arc<Envelope>,
        accepted: Accepted,
    ) -> Result<Receipt, EngineError> {
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
pub(super) struct Accepted {
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
