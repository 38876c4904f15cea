//! What becomes of a delivery, told to the server in time or not at all.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, Outgoing, disconnected};
use super::settings::FOR_EVER;
use crate::hosted::{EngineFuture, Lease, Reason, Settle, SettleError, Verdict};
use crate::sync::Lock;

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
            Verdict::Extend(_) => b"+WPI".to_vec(),
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

    fn said(&self, verdict: &Verdict) {
        self.stop_keeping();
        if let Verdict::Extend(time) = verdict {
            self.extended();
            if *time > self.lease - margin(self.lease) {
                self.keep(*time);
            }
        }
    }

    fn extended(&self) {
        let mut deadline = self.deadline.lock();
        *deadline = Instant::now() + self.lease - margin(self.lease);
    }

    /// The server extends by one lease at a time.
    fn keep(&self, time: Duration) {
        let (settle, reply) = (self.connection.settle.clone(), self.reply.clone());
        let (deadline, lease) = (self.deadline.clone(), self.lease);
        let until = Instant::now() + time.min(FOR_EVER);
        let keeper = self.connection.runtime.spawn(async move {
            while Instant::now() < until {
                sleep(lease / 2).await;
                let payload = b"+WPI".to_vec().into();
                let mut before = deadline.lock();
                let outgoing = Outgoing::Settle { to: reply.clone(), payload, before: *before };
                if Instant::now() >= *before || settle.send(outgoing).is_err() {
                    return;
                }
                *before = Instant::now() + lease - margin(lease);
            }
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
