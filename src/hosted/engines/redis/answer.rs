//! What becomes of one delivery: in time, or refused.

use alloc::sync::Arc;
use core::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use super::settle::{Group, Has, Outgoing, Said};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{EngineFuture, Lease, Reason, Settle, SettleError, Verdict};
use crate::sync::Lock;

/// How much earlier than the server a member gives a delivery up, so that an answer which never
/// waits is refused where it is given.
pub(super) fn margin(lease: Duration) -> Duration {
    (lease / 20).min(Duration::from_millis(250))
}

/// Returns until when the server certainly waits, of which it heard at this time.
pub(super) fn deadline(from: Instant, lease: Duration) -> Instant {
    let lease = lease.min(FOR_EVER);
    from + lease - margin(lease)
}

/// Settles one delivery.
pub(super) struct Answer {
    pub(super) group: Arc<Group>,
    pub(super) has: Has,
    pub(super) held: Lock<Held>,
    /// Its place among the unsettled deliveries of the member.
    _slot: OwnedSemaphorePermit,
}

/// How long a delivery is ours.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// The last moment for an answer.
    pub(super) deadline: Instant,
    extended: bool,
}

impl Answer {
    pub(super) fn new(
        group: Arc<Group>,
        has: Has,
        deadline: Instant,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let held = Lock::new(Held { deadline, extended: false });
        Self { group, has, held, _slot: slot }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.held.lock().deadline
    }

    /// The lease has begun anew, unless it was extended meanwhile.
    pub(super) fn renewed(&self, deadline: Instant) {
        let mut held = self.held.lock();
        if !held.extended {
            held.deadline = deadline;
        }
    }

    fn check(&self) -> Result<Held, SettleError> {
        let held = *self.held.lock();
        if Instant::now() >= held.deadline {
            return Err(SettleError::Late);
        }
        self.group.connection.link.check().map_err(SettleError::Failed)?;
        Ok(held)
    }

    fn say(
        &self,
        held: Held,
        verdict: Verdict,
        reply: Option<oneshot::Sender<Result<(), SettleError>>>,
    ) -> Result<(), SettleError> {
        let said = Outgoing::Settle(Said {
            group: self.group.clone(),
            has: self.has,
            extended: held.extended,
            verdict,
            attempts: self.has.count,
            before: held.deadline,
            reply,
        });
        let sent = self.group.connection.settle.send(said);
        sent.map_err(|_| SettleError::Failed(Reason::Closed))
    }

    fn extended(&self, time: Duration) {
        let deadline = deadline(Instant::now(), time);
        *self.held.lock() = Held { deadline, extended: true };
    }
}

impl Settle for Answer {
    fn settle(&self, _: Lease, verdict: Verdict) -> Result<(), SettleError> {
        let extension = match verdict {
            Verdict::Extend(time) => Some(time),
            _ => None,
        };
        self.say(self.check()?, verdict, None)?;
        if let Some(time) = extension {
            self.extended(time);
        }
        Ok(())
    }

    fn settle_async(
        &self,
        _: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        EngineFuture::new(async move {
            let held = self.check()?;
            let (reply, answer) = oneshot::channel();
            self.say(held, verdict.clone(), Some(reply))?;
            match timeout(self.group.connection.timeout, answer).await {
                Ok(Ok(Ok(()))) => {
                    if let Verdict::Extend(time) = verdict {
                        self.extended(time);
                    }
                    Ok(())
                }
                Ok(Ok(refused)) => refused,
                Ok(Err(_)) => Err(SettleError::Failed(Reason::Closed)),
                Err(_) => Err(SettleError::Failed(Reason::TimedOut)),
            }
        })
    }
}
