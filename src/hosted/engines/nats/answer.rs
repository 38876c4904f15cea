//! What becomes of a delivery, told to the server in time or not at all.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Connection, Outgoing};
use crate::hosted::engines::failed::disconnected;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{EngineFuture, Lease, Reason, Settle, SettleError, Verdict};
use crate::sync::Lock;

/// Keeps a delivery for another lease.
const PROGRESS: &[u8] = b"+WPI";

/// How much earlier than the server a member gives a delivery up.
fn margin(lease: Duration) -> Duration {
    (lease / 5).min(Duration::from_secs(1))
}

/// Settles one delivery.
pub(super) struct Answer {
    connection: Arc<Connection>,
    reply: async_nats::Subject,
    pub(super) lease: Duration,
    /// The last moment for an answer.
    pub(super) deadline: Arc<Lock<Instant>>,
    /// Keeps the delivery for longer than a lease.
    keeper: Lock<Option<AbortHandle>>,
    /// Gives its place back when it is dropped.
    _slot: OwnedSemaphorePermit,
}

impl Answer {
    /// Settles what arrived just now, and occupies `slot` until it is dropped.
    pub(super) fn new(
        connection: Arc<Connection>,
        reply: async_nats::Subject,
        lease: Duration,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let deadline = Arc::new(Lock::new(Instant::now() + lease - margin(lease)));
        Self { connection, reply, lease, deadline, keeper: Lock::new(None), _slot: slot }
    }

    fn check(&self) -> Result<Instant, SettleError> {
        let deadline = *self.deadline.lock();
        if Instant::now() >= deadline {
            return Err(SettleError::Late);
        }
        // The client would keep the answer, and send it when it is late.
        self.connection.check_connected().map_err(SettleError::Failed)?;
        Ok(deadline)
    }

    fn payload(&self, verdict: &Verdict) -> Vec<u8> {
        match verdict {
            Verdict::RetryAfter(delay) => {
                format!("-NAK {{\"delay\":{}}}", delay.min(&FOR_EVER).as_nanos()).into()
            }
            // A newer server keeps the reason, and an older one does not know the form.
            Verdict::Reject(reason) if self.connection.client.is_server_compatible(2, 10, 4) => {
                let line: String = reason.chars().filter(|it| !it.is_control()).collect();
                format!("+TERM {line}").into()
            }
            Verdict::Reject(_) => b"+TERM".to_vec(),
            Verdict::Extend(_) => PROGRESS.to_vec(),
            _ => b"+ACK".to_vec(),
        }
    }

    pub(super) fn say(&self, verdict: &Verdict) -> Result<(), SettleError> {
        let before = self.check()?;
        let (to, payload) = (self.reply.clone(), self.payload(verdict));
        self.connection.say(to, payload, before).map_err(SettleError::Failed)?;
        self.said(verdict);
        Ok(())
    }

    /// Keeps it for another lease.
    pub(super) fn renew(&self) -> Result<(), SettleError> {
        let before = self.check()?;
        let say = self.connection.say(self.reply.clone(), PROGRESS.to_vec(), before);
        say.map_err(SettleError::Failed)?;
        *self.deadline.lock() = self.lease_from(Instant::now());
        Ok(())
    }

    /// Returns until when the server certainly waits, of which it heard just now.
    fn lease_from(&self, now: Instant) -> Instant {
        now + self.lease - margin(self.lease)
    }

    fn said(&self, verdict: &Verdict) {
        self.stop_keeping();
        if let Verdict::Extend(time) = verdict {
            self.keep(*time);
        }
    }

    /// Keeps it for this time, and gives it back after it. The server knows whole leases only.
    fn keep(&self, time: Duration) {
        let (settle, to) = (self.connection.settle.clone(), self.reply.clone());
        let (deadline, lease) = (self.deadline.clone(), self.lease);
        let now = Instant::now();
        let until = now + time.min(FOR_EVER);
        let mut held = self.lease_from(now);
        *deadline.lock() = until.min(held);
        let keeper = self.connection.runtime.spawn(async move {
            loop {
                let now = Instant::now();
                sleep_until(until.min(now + lease / 2)).await;
                if Instant::now() >= until {
                    break;
                }
                let (to, payload) = (to.clone(), PROGRESS.into());
                let mut deadline = deadline.lock();
                let outgoing = Outgoing::Settle { to, payload, before: held };
                if Instant::now() >= *deadline || settle.send(outgoing).is_err() {
                    return;
                }
                held = Instant::now() + lease - margin(lease);
                *deadline = until.min(held);
            }
            // An answer of the last moment is still on its way to the client.
            sleep(margin(lease).min(Duration::from_millis(100))).await;
            let _ = settle.send(Outgoing::Settle { to, payload: "-NAK".into(), before: held });
        });
        *self.keeper.lock() = Some(keeper.abort_handle());
    }

    fn stop_keeping(&self) {
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop_keeping();
    }
}

impl Settle for Answer {
    fn settle(&self, _: Lease, verdict: Verdict) -> Result<(), SettleError> {
        self.say(&verdict)
    }

    fn settle_async(
        &self,
        _: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        EngineFuture::new(async move {
            self.check()?;
            let request = async_nats::Request::new()
                .payload(self.payload(&verdict).into())
                .timeout(Some(self.connection.timeout));
            // The server answers when it has taken the answer.
            match self.connection.client.send_request(self.reply.clone(), request).await {
                Ok(_) => {
                    self.said(&verdict);
                    Ok(())
                }
                Err(error) => Err(SettleError::Failed(match error.kind() {
                    async_nats::RequestErrorKind::TimedOut => Reason::TimedOut,
                    _ => disconnected(error),
                })),
            }
        })
    }
}
