//! What all subscriptions and publishes of an engine share: how it is made, kept up and ended.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::link::{Carrier, Link, Request, Sent, refusal};
use super::message;
use super::settings::{Qos, Settings};
use super::target::{Hello, Target};
use super::topic::Topics;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::{Failed, cause, disconnected, refused};
use crate::hosted::engines::server::{Connected, Publish};
use crate::hosted::engines::troubles::Troubles;
use crate::hosted::{EngineError, Level, Reason, Receipt, stamped};
use crate::sync::Lock;

/// How far the end of an engine is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// It takes nothing in any more.
    pub(super) closed: bool,
    /// It is shut down.
    ended: bool,
}

pub(super) struct Connection {
    pub(super) target: Target,
    pub(super) topics: Topics,
    pub(super) qos: Qos,
    /// The id of sessions, and for how many seconds a server keeps them.
    pub(super) session: Option<(String, u32)>,
    pub(super) link: Link,
    pub(super) troubles: Troubles,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    /// Its sender is dropped when nothing is carried any more.
    carried: watch::Receiver<()>,
    name: String,
    /// How many subscriptions have not ended.
    members: watch::Sender<usize>,
    /// The sessions of each group's members here.
    seats: Lock<BTreeMap<String, Vec<Arc<Seat>>>>,
}

/// A session for one member of a group. The next member takes the seat of one that has left.
#[derive(Default)]
pub(super) struct Seat {
    /// Held by the member until the server has let the session go.
    occupied: Arc<tokio::sync::Mutex<()>>,
    inner: Lock<Taking>,
}

#[derive(Default)]
struct Taking {
    is_taken: bool,
    /// The server has the session, as far as is known.
    is_known: bool,
}

impl Seat {
    /// Lets the next member take it.
    pub(super) fn leave(&self) {
        self.inner.lock().is_taken = false;
    }

    /// Sets that the server has the session. Returns whether that was known.
    pub(super) fn know(&self) -> bool {
        core::mem::replace(&mut self.inner.lock().is_known, true)
    }

    /// Sets that the server has no session.
    pub(super) fn forget(&self) {
        self.inner.lock().is_known = false;
    }

    pub(super) async fn sit(&self, patience: Duration) -> Result<OwnedMutexGuard<()>, Reason> {
        let sit = timeout(patience, self.occupied.clone().lock_owned());
        sit.await.map_err(|_| Reason::TimedOut)
    }
}

/// A subscription that has not ended.
pub(super) struct Membership {
    members: watch::Sender<usize>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.members.send_modify(|members| *members -= 1);
    }
}

/// A client id of its own.
fn own_id(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7().simple())
}

impl Connected for Connection {
    type Settings = Settings;

    async fn open(_: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let topics = Topics::new(&settings.prefix)?;
        let target = Target::new(settings)?;
        let session = settings.durable().map(|id| (id.to_string(), settings.session_seconds()));
        if settings.client_id.as_deref() == Some("") {
            return Err(refused("the client id is empty: give one, or none at all"));
        }
        let name = settings.client_id.clone().unwrap_or_else(|| "tickbus".into());
        let (up, carrier) = Carrier::new(target.connect(&Self::hello(&name)).await?);
        let (carries, carried) = watch::channel(());
        let connection = Arc::new(Self {
            target,
            topics,
            qos: settings.qos,
            session,
            link: Link::new(up),
            troubles: Troubles::default(),
            runtime: Handle::current(),
            signals: watch::Sender::new(Signal::default()),
            carried,
            name,
            members: watch::Sender::new(0),
            seats: Lock::default(),
        });
        let (weak, signals) = (Arc::downgrade(&connection), connection.signals.subscribe());
        tokio::spawn(keep(weak, signals, carrier, carries));
        Ok(connection)
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let began = Instant::now();
        let finish = async {
            let _ = self.members.subscribe().wait_for(|members| *members == 0).await;
            if let Ok(up) = self.link.up() {
                let _ = up.places.acquire_many(up.limits.in_flight.into()).await;
            }
        };
        let result = timeout(deadline, finish).await.map_err(|_| Reason::TimedOut);
        self.signals.send_modify(|signal| signal.ended = true);
        self.link.end();
        // The runtime may end when this returns.
        let left = deadline.saturating_sub(began.elapsed());
        let carried = timeout(left, self.carried.clone().changed()).await;
        result.and(carried.map(drop).map_err(|_| Reason::TimedOut))
    }
}

impl Publish for Connection {
    async fn publish(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let deadline = Instant::now() + self.target.timeout;
        let sent = match self.send(&envelope, deadline).await {
            Ok(answer) => self.answer(answer, deadline).await,
            Err(failed) => Err(failed),
        };
        self.receipt(engine, envelope, sent)
    }

    async fn publish_batch(
        &self,
        engine: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let mut sent = Vec::with_capacity(envelopes.len());
        let mut deadline = Instant::now() + self.target.timeout;
        for envelope in envelopes.into_iter().map(stamped) {
            let answer = self.send(&envelope, deadline).await;
            if answer.is_ok() {
                // The server goes on: a long batch takes longer than one timeout.
                deadline = Instant::now() + self.target.timeout;
            }
            sent.push((envelope, answer));
        }
        let deadline = Instant::now() + self.target.timeout;
        let mut results = Vec::with_capacity(sent.len());
        for (envelope, answer) in sent {
            let sent = match answer {
                Ok(answer) => self.answer(answer, deadline).await,
                Err(failed) => Err(failed),
            };
            results.push(self.receipt(engine, envelope, sent));
        }
        results
    }
}

impl Connection {
    fn hello(name: &str) -> Hello {
        Hello { client_id: own_id(name), session: 0, in_flight: u16::MAX }
    }

    /// Says hello for a subscription without a session.
    pub(super) fn guest(&self) -> Hello {
        Self::hello(&self.name)
    }

    /// Returns an error if the engine does not take anything in, or cannot.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        self.link.up().map(drop)
    }

    /// Takes a subscription in.
    pub(super) fn join(&self) -> Result<Membership, Reason> {
        self.check()?;
        self.members.send_modify(|members| *members += 1);
        Ok(Membership { members: self.members.clone() })
    }

    /// Returns the lowest free seat of a group, and its client id.
    pub(super) fn seat(&self, group: &str) -> (Arc<Seat>, String) {
        let mut seats = self.seats.lock();
        let seats = seats.entry(group.into()).or_default();
        let free = seats.iter().position(|seat| !seat.inner.lock().is_taken);
        let at = free.unwrap_or_else(|| {
            seats.push(Arc::default());
            seats.len() - 1
        });
        seats[at].inner.lock().is_taken = true;
        (seats[at].clone(), format!("{group}-{at}"))
    }

    /// Hands an envelope to the connection. Returns where the server's answer comes, if it gives one.
    async fn send(
        &self,
        envelope: &Envelope,
        deadline: Instant,
    ) -> Result<Option<oneshot::Receiver<Sent>>, Failed> {
        if self.signals.borrow().closed {
            return Err(Failed::NotSent(Reason::Closed));
        }
        let up = self.link.up().map_err(Failed::NotSent)?;
        let qos = if up.limits.confirms { self.qos } else { Qos::AtMostOnce };
        let mut message = message::write(&self.topics, envelope, qos).map_err(Failed::NotSent)?;
        message.pkid = 1; // counted in its size
        let (bytes, limit) = (message.size(), up.limits.packet);
        if bytes > limit {
            return Err(Failed::NotSent(Reason::TooLarge { bytes, limit }));
        }
        if qos == Qos::AtMostOnce {
            return match up.outbox.put(&message, deadline).await {
                Err(Failed::NotSent(Reason::Disconnected(_))) => Err(Failed::NotSent(self.gone())),
                put => put.map(|()| None),
            };
        }
        let place = match timeout_at(deadline, up.places.acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(Failed::NotSent(self.gone())),
            Err(_) => return Err(Failed::NotSent(Reason::TimedOut)),
        };
        let (reply, answer) = oneshot::channel();
        let sent = up.requests.send(Request { message, reply, place });
        sent.map_err(|_| Failed::NotSent(self.gone()))?;
        Ok(Some(answer))
    }

    fn gone(&self) -> Reason {
        let lost = || disconnected(format!("`{}`: it was lost", self.target.shown()));
        self.link.up().err().unwrap_or_else(lost)
    }

    async fn answer(&self, answer: Option<oneshot::Receiver<Sent>>, deadline: Instant) -> Sent {
        let Some(answer) = answer else { return Ok(0) };
        match timeout_at(deadline, answer).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(Failed::Unknown(Reason::Closed)),
            Err(_) => Err(Failed::Unknown(Reason::TimedOut)),
        }
    }

    fn receipt(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
        sent: Sent,
    ) -> Result<Receipt, EngineError> {
        match sent {
            Ok(code) => match refusal(code) {
                Some(reason) => Err(EngineError::not_sent(engine, envelope, reason)),
                None => Ok(Receipt::new(engine, self.level())),
            },
            Err(failed) => Err(failed.of(engine, envelope)),
        }
    }

    /// Returns what a publish is.
    pub(super) fn level(&self) -> Level {
        match self.qos {
            Qos::AtLeastOnce if self.link.up().is_ok_and(|it| !it.limits.confirms) => {
                Level::Buffered
            }
            Qos::AtLeastOnce => Level::Accepted,
            Qos::AtMostOnce => Level::Buffered,
        }
    }
}

/// Carries what leaves, and makes the connection again whenever it is lost.
async fn keep(
    connection: Weak<Connection>,
    mut signals: watch::Receiver<Signal>,
    mut carrier: Carrier,
    carries: watch::Sender<()>,
) {
    loop {
        let why = tokio::select! {
            why = carrier.run() => why,
            () = ended(&mut signals) => {
                carrier.bye(carries).await;
                return;
            }
        };
        // Nothing new comes before those that wait are told.
        if let Some(connection) = connection.upgrade() {
            let shown = connection.target.shown();
            connection.link.is_down(&format!("`{shown}`: {why}"));
        }
        carrier.end(&why);
        let mut pause = Duration::from_millis(20);
        carrier = loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = ended(&mut signals) => return,
            }
            pause = (pause * 2).min(Duration::from_secs(1));
            let Some(connection) = connection.upgrade() else { return };
            let guest = connection.guest();
            let connected = tokio::select! {
                connected = connection.target.connect(&guest) => connected,
                () = ended(&mut signals) => return,
            };
            match connected {
                Ok(taken) => {
                    let (up, carrier) = Carrier::new(taken);
                    connection.link.is_up(up);
                    break carrier;
                }
                Err(error) => connection.link.is_down(&cause(&error)),
            }
        };
    }
}

/// Waits until the engine is shut down, or gone.
async fn ended(signals: &mut watch::Receiver<Signal>) {
    let _ = signals.wait_for(|signal| signal.ended).await;
}

/// Returns whether it is shut down.
pub(super) fn is_ended(signals: &watch::Receiver<Signal>) -> bool {
    signals.borrow().ended
}
