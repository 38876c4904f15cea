//! What all subscriptions and publishes of an engine share: how it is made, kept up and ended.

use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use redis::{Cmd, Pipeline};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::id::Id;
use super::link::{Driver, Link, Target};
use super::reply::{error, text};
use super::settings::{Keys, Settings};
use super::settle::{Outgoing, settle_all};
use crate::hosted::Reason;
use crate::hosted::engines::failed::{cause, refused};
use crate::hosted::engines::limits::{FOR_EVER, SHORTEST_HEARTBEAT};
use crate::hosted::engines::server::Connected;
use crate::hosted::engines::troubles::Troubles;
use crate::hosted::provision::Provision;
use crate::sync::{Lock, PlainNumber, Relaxed};

/// A number of events that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;

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
    pub(super) link: Arc<Link>,
    /// `None` for pub/sub.
    pub(super) keys: Option<Keys>,
    pub(super) prefix: alloc::string::String,
    pub(super) max_len: u64,
    pub(super) window: Duration,
    pub(super) dead_letters: u64,
    pub(super) provision: Provision,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    pub(super) settle: mpsc::UnboundedSender<Outgoing>,
    pool: Arc<Semaphore>,
    pool_size: usize,
    /// How many subscriptions have not ended.
    members: watch::Sender<usize>,
    lags: Lock<Vec<Weak<PlainNumber>>>,
    keeper: Lock<Option<AbortHandle>>,
    newest: Lock<Id>,
    pub(super) troubles: Troubles,
}

/// A subscription that has not ended.
pub(super) struct Membership {
    members: watch::Sender<usize>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.members.send_modify(|members| *members -= 1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.abort();
        }
    }
}

impl Connected for Connection {
    type Settings = Settings;

    async fn open(_: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let timeout = settings.timeout.min(FOR_EVER);
        let target = Target::new(settings)?;
        let (up, driver) = target.shared().await?;
        let (settle, settlements) = mpsc::unbounded_channel();
        let pool_size = settings.pool_size.min(Semaphore::MAX_PERMITS);
        let connection = Arc::new(Self {
            link: Arc::new(Link::new(up, timeout, target.shown.clone())),
            target,
            keys: settings.stream.as_deref().map(Keys::new),
            prefix: settings.prefix.clone(),
            max_len: settings.max_len,
            window: settings.window.min(FOR_EVER),
            dead_letters: settings.dead_letters,
            provision: settings.provision,
            timeout,
            heartbeat: settings.heartbeat.clamp(SHORTEST_HEARTBEAT, FOR_EVER),
            runtime: Handle::current(),
            signals: watch::Sender::new(Signal::default()),
            settle,
            // One of them is shared.
            pool: Arc::new(Semaphore::new(pool_size - 1)),
            pool_size,
            members: watch::Sender::new(0),
            lags: Lock::default(),
            keeper: Lock::new(None),
            newest: Lock::default(),
            troubles: Troubles::default(),
        });
        connection.provide().await?;
        let keeper = keep(Arc::downgrade(&connection), connection.signals.subscribe(), driver);
        *connection.keeper.lock() = Some(tokio::spawn(keeper).abort_handle());
        tokio::spawn(settle_all(connection.link.clone(), settlements));
        Ok(connection)
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let finish = async {
            let _ = self.members.subscribe().wait_for(|members| *members == 0).await;
            let (done, flushed) = oneshot::channel();
            let _ = self.settle.send(Outgoing::Flush(done));
            let _ = flushed.await;
        };
        let result = timeout(deadline, finish).await.map_err(|_| Reason::TimedOut);
        self.signals.send_modify(|signal| signal.ended = true);
        self.link.end();
        result
    }
}

impl Connection {
    /// Sees to the stream, as the settings say.
    async fn provide(&self) -> Result<(), Reason> {
        let Some(keys) = &self.keys else { return Ok(()) };
        if self.provision == Provision::Never {
            return Ok(());
        }
        let mut ask = Cmd::new();
        ask.arg("TYPE").arg(&keys.stream);
        let kind = self.link.send(ask).await.map_err(|failed| failed.reason())?;
        if let Some((_, why)) = error(&kind) {
            return Err(refused(why));
        }
        match &*text(&kind) {
            "stream" => Ok(()),
            "none" if self.provision == Provision::Create => {
                let mut make = Pipeline::new();
                make.cmd("XGROUP").arg("CREATE").arg(&keys.stream).arg("tb:new").arg("$");
                make.arg("MKSTREAM");
                make.cmd("XGROUP").arg("DESTROY").arg(&keys.stream).arg("tb:new");
                let made = self.link.send_all(make).await.map_err(|failed| failed.reason())?;
                match made.iter().find_map(error) {
                    // Another engine was faster.
                    Some((code, why)) if code != "BUSYGROUP" => Err(refused(why)),
                    _ => Ok(()),
                }
            }
            "none" => Err(self.missing()),
            kind => Err(wrong_type(&keys.stream, kind)),
        }
    }

    /// The error of a stream that does not exist.
    pub(super) fn missing(&self) -> Reason {
        let stream = self.keys.as_ref().map_or("", |keys| &keys.stream);
        refused(format!(
            "the stream `{stream}` does not exist: create it, or provision with `Create`"
        ))
    }

    pub(super) fn creates(&self) -> bool {
        self.provision == Provision::Create
    }

    /// Takes a subscription in.
    pub(super) fn join(&self) -> Result<Membership, Reason> {
        self.check()?;
        let place = self.pool.clone().try_acquire_owned().map_err(|_| {
            refused(format!(
                "each subscription needs a connection, and all {} of the pool are in use: set a \
                 larger pool size",
                self.pool_size
            ))
        })?;
        self.members.send_modify(|members| *members += 1);
        Ok(Membership { members: self.members.clone(), _place: place })
    }

    /// Returns an error if the engine does not take anything in, or cannot.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        self.link.check()
    }

    /// Keeps an eye on how much a subscription has still to receive.
    pub(super) fn watch(&self, lag: &Arc<PlainNumber>) {
        let mut lags = self.lags.lock();
        lags.retain(|lag| lag.strong_count() > 0);
        lags.push(Arc::downgrade(lag));
    }

    /// Remembers an entry that the server has acknowledged.
    pub(super) fn acknowledged(&self, entry: Id) {
        let mut newest = self.newest.lock();
        *newest = entry.max(*newest);
    }

    /// Returns the newest entry that the server has acknowledged.
    pub(super) fn newest(&self) -> Id {
        *self.newest.lock()
    }

    /// Returns how much all subscriptions have still to receive, if all know.
    pub(super) fn lag(&self) -> Option<u64> {
        let mut sum = 0_u64;
        for lag in self.lags.lock().iter().filter_map(Weak::upgrade) {
            sum += known(&lag)?;
        }
        Some(sum)
    }
}

/// Returns a number of events, unless it is not known.
pub(super) fn known(lag: &PlainNumber) -> Option<u64> {
    Some(lag.load(Relaxed)).filter(|lag| *lag != UNKNOWN).map(|lag| lag as u64)
}

pub(super) fn wrong_type(stream: &str, kind: &str) -> Reason {
    refused(format!("the key `{stream}` is of type `{kind}`, and not a stream"))
}

/// Makes the shared connection again whenever it is lost.
async fn keep(
    connection: Weak<Connection>,
    mut signals: watch::Receiver<Signal>,
    mut driver: Driver,
) {
    let Some((heartbeat, patience, link)) =
        connection.upgrade().map(|it| (it.heartbeat, it.timeout, it.link.clone()))
    else {
        return;
    };
    loop {
        let why = loop {
            tokio::select! {
                changed = signals.changed() => {
                    if changed.is_err() || signals.borrow_and_update().ended {
                        return;
                    }
                }
                () = driver.ended() => break "the server has ended it",
                () = link.demoted.notified() => break "the server takes no writes: it is a replica",
                () = sleep(heartbeat) => {
                    let Some(connection) = connection.upgrade() else { return };
                    let Ok(mut up) = connection.link.up() else { return };
                    drop(connection);
                    let mut ping = Cmd::new();
                    ping.arg("PING");
                    let answer = timeout(patience, up.connection.send_packed_command(&ping));
                    if !matches!(answer.await, Ok(Ok(_))) {
                        break "the server does not answer";
                    }
                }
            }
        };
        let Some(lost) = connection.upgrade() else { return };
        lost.link.is_down(why);
        drop(lost);
        let mut pause = Duration::from_millis(20);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            let Some(connection) = connection.upgrade() else { return };
            if signals.borrow_and_update().ended {
                return;
            }
            match connection.target.shared().await {
                Ok((up, made)) => {
                    driver = made;
                    connection.link.is_up(up);
                    break;
                }
                Err(error) => connection.link.is_down(&cause(&error)),
            }
        }
    }
}
