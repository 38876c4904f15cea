//! One log that is up: its publisher, its listener, its subscriptions.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::super::error::PostgresError;
use super::base::{Base, reason};
use super::listen::listen;
use super::publish::{Outcome, Outgoing, Row, publish_all};
use super::settings::Settings;
use super::upkeep::look_after;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::{Failed, no_answer};
use crate::hosted::engines::server::{Connected, Publish};
use crate::hosted::{EngineError, Health, Reason, Receipt, stamped};

/// How far the end of an engine is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// It takes nothing in any more.
    pub(super) closed: bool,
    /// It is shut down.
    ended: bool,
}

/// Waits until the engine takes nothing in any more.
pub(super) async fn closed(signals: &mut watch::Receiver<Signal>) {
    let _ = signals.wait_for(|signal| signal.closed).await;
}

/// Waits until the engine is shut down.
pub(super) async fn ended(signals: &mut watch::Receiver<Signal>) {
    let _ = signals.wait_for(|signal| signal.ended).await;
}

pub(super) struct Log {
    pub(super) base: Arc<Base>,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// How many subscriptions have not ended.
    members: watch::Sender<usize>,
    lags: crate::sync::Lock<Vec<alloc::sync::Weak<crate::sync::PlainNumber>>>,
}

/// A subscription that has not ended.
pub(super) struct Membership(watch::Sender<usize>);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.send_modify(|members| *members -= 1);
    }
}

impl Connected for Log {
    type Settings = Settings;

    async fn open(name: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let base = Base::open(name, settings).await.map_err(|error| match error {
            PostgresError::TimedOut => no_answer(&settings.database.url, false),
            error => reason(error),
        });
        let base = Arc::new(base?);
        let signals = watch::Sender::new(Signal::default());
        let (outgoing, incoming) = mpsc::unbounded_channel();
        tokio::spawn(publish_all(base.clone(), incoming));
        let (ready, listens) = oneshot::channel();
        tokio::spawn(listen(base.clone(), signals.subscribe(), ready));
        tokio::spawn(look_after(base.clone(), signals.subscribe()));
        // A subscription that is opened now is woken by others.
        let _ = timeout(base.connection.timeout(), listens).await;
        Ok(Arc::new(Self {
            base,
            runtime: Handle::current(),
            signals,
            outgoing,
            members: watch::Sender::new(0),
            lags: crate::sync::Lock::default(),
        }))
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let finish = async {
            let _ = self.members.subscribe().wait_for(|members| *members == 0).await;
            let (done, flushed) = oneshot::channel();
            let _ = self.outgoing.send(Outgoing::Flush(done));
            let _ = flushed.await;
        };
        let result = timeout(deadline, finish).await.map_err(|_| Reason::TimedOut);
        self.signals.send_modify(|signal| signal.ended = true);
        *self.base.health.lock() = Health::Closed;
        self.base.connection.close();
        result
    }
}

impl Log {
    /// Returns an error if the engine does not take anything in, or cannot.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        self.base.check()
    }

    /// Takes a subscription in.
    pub(super) fn join(&self) -> Result<Membership, Reason> {
        self.check()?;
        self.members.send_modify(|members| *members += 1);
        Ok(Membership(self.members.clone()))
    }

    /// Keeps an eye on how much a subscription has still to receive.
    pub(super) fn watch(&self, lag: &Arc<crate::sync::PlainNumber>) {
        let mut lags = self.lags.lock();
        lags.retain(|lag| lag.strong_count() > 0);
        lags.push(Arc::downgrade(lag));
    }

    /// Returns how much all subscriptions have still to receive, if all know.
    pub(super) fn lag(&self) -> Option<u64> {
        let mut sum = 0_u64;
        for lag in self.lags.lock().iter().filter_map(alloc::sync::Weak::upgrade) {
            sum += super::queue::known(&lag)?;
        }
        Some(sum)
    }

    async fn send(&self, rows: Vec<Row>) -> Vec<Outcome> {
        let count = rows.len();
        let (reply, outcomes) = oneshot::channel();
        let none = |failed: fn() -> Failed| (0..count).map(|_| Err(failed())).collect();
        if self.outgoing.send(Outgoing::Rows(rows, reply)).is_err() {
            return none(|| Failed::NotSent(Reason::Closed));
        }
        match outcomes.await {
            Ok(outcomes) => outcomes,
            // Its runtime has ended.
            Err(_) => none(|| Failed::Unknown(Reason::Closed)),
        }
    }
}

impl Publish for Log {
    async fn publish(
        &self,
        name: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let row = self.check().and_then(|()| Row::new(&envelope));
        let outcome = match row {
            Ok(row) => self.send(alloc::vec![row]).await.pop(),
            Err(reason) => Some(Err(Failed::NotSent(reason))),
        };
        let outcome = outcome.unwrap_or(Err(Failed::Unknown(Reason::TimedOut)));
        outcome.map_err(|failed| failed.of(name, envelope))
    }

    async fn publish_batch(
        &self,
        name: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let (mut all, mut rows) = (Vec::with_capacity(envelopes.len()), Vec::new());
        for envelope in envelopes.into_iter().map(stamped) {
            match self.check().and_then(|()| Row::new(&envelope)) {
                Ok(row) => {
                    rows.push(row);
                    all.push((envelope, None));
                }
                Err(reason) => all.push((envelope, Some(reason))),
            }
        }
        let outcomes = if rows.is_empty() { Vec::new() } else { self.send(rows).await };
        let mut outcomes = outcomes.into_iter();
        let result = |(envelope, refused): (_, Option<Reason>)| {
            let outcome = match refused {
                Some(reason) => Err(Failed::NotSent(reason)),
                None => outcomes.next().unwrap_or(Err(Failed::Unknown(Reason::TimedOut))),
            };
            outcome.map_err(|failed| failed.of(name, envelope))
        };
        all.into_iter().map(result).collect()
    }
}
