//! How an engine on a server starts, and what it is until then.

use alloc::format;
use alloc::sync::Arc;
use core::pin::pin;
use core::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::failed::cause;
use crate::hosted::{Health, OnStart, Reason};
use crate::sync::{Guard, Lock};

/// How long a start waits before it tries again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Keeps a connection `C`, from before its start to after its end.
pub(in crate::hosted::engines) struct Starting<C> {
    state: Arc<Lock<State<C>>>,
    /// Held while it starts: a second start waits, and finds it started.
    one: tokio::sync::Mutex<()>,
    /// Ends a start that waits.
    closed: Notify,
}

enum State<C> {
    New,
    /// The last start failed.
    Failed(Arc<str>),
    /// A task connects in the background. Why it has not yet, and whether a server refused.
    Starting {
        task: AbortHandle,
        why: Arc<str>,
        refused: bool,
    },
    Up(Arc<C>),
    Closed,
}

impl<C: Send + Sync + 'static> Starting<C> {
    pub(in crate::hosted::engines) fn new() -> Self {
        let one = tokio::sync::Mutex::new(());
        Self { state: Arc::new(Lock::new(State::New)), one, closed: Notify::new() }
    }

    fn state(&self) -> Guard<'_, State<C>> {
        self.state.lock()
    }

    /// Returns the connection.
    pub(in crate::hosted::engines) fn get(&self) -> Result<Arc<C>, Reason> {
        match &*self.state() {
            State::Up(connection) => Ok(connection.clone()),
            State::Starting { why, .. } => {
                Err(Reason::Disconnected(format!("not yet: {why}").into()))
            }
            State::New | State::Failed(_) => Err(Reason::NotStarted),
            State::Closed => Err(Reason::Closed),
        }
    }

    /// Returns whether a start has nothing to do.
    pub(in crate::hosted::engines) fn is_started(&self) -> Result<bool, Reason> {
        match &*self.state() {
            State::Up(_) => Ok(true),
            // Its runtime may have ended.
            State::Starting { task, .. } => Ok(!task.is_finished()),
            State::New | State::Failed(_) => Ok(false),
            State::Closed => Err(Reason::Closed),
        }
    }

    /// Connects by `open`, as `on_start` says, or until it is closed.
    pub(in crate::hosted::engines) async fn start<F>(
        &self,
        on_start: OnStart,
        open: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<(), Reason>
    where
        F: Future<Output = Result<Arc<C>, Reason>> + Send,
    {
        let mut closed = pin!(self.closed.notified());
        closed.as_mut().enable(); // before it looks
        tokio::select! {
            started = self.attempt(on_start, open) => started,
            () = closed => Err(Reason::Closed),
        }
    }

    async fn attempt<F>(
        &self,
        on_start: OnStart,
        open: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<(), Reason>
    where
        F: Future<Output = Result<Arc<C>, Reason>> + Send,
    {
        let _one = self.one.lock().await;
        if self.is_started()? {
            return Ok(());
        }
        if on_start == OnStart::Background {
            return self.start_in_background(open);
        }
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match open().await {
                Ok(connection) => return self.state().connected(connection),
                Err(error) => error,
            };
            self.state().failed(&error);
            match on_start {
                OnStart::Wait(wait) if !is_refused(&error) && began.elapsed() + pause < wait => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                _ => return Err(error),
            }
        }
    }

    fn start_in_background<F>(
        &self,
        open: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<(), Reason>
    where
        F: Future<Output = Result<Arc<C>, Reason>> + Send,
    {
        // Weak: it ends with the engine.
        let state = Arc::downgrade(&self.state);
        let mut own = self.state();
        if let State::Closed = *own {
            return Err(Reason::Closed);
        }
        let task = tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let opened = open().await;
                let Some(state) = state.upgrade() else { return };
                match opened {
                    Ok(connection) => {
                        let _ = state.lock().connected(connection);
                        return;
                    }
                    Err(error) => state.lock().failed(&error),
                }
                drop(state);
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
        let (task, why) = (task.abort_handle(), "the first attempt is in progress".into());
        *own = State::Starting { task, why, refused: false };
        Ok(())
    }

    /// Returns the health, by `up` if there is a connection.
    pub(in crate::hosted::engines) fn health(&self, up: impl FnOnce(&C) -> Health) -> Health {
        let connection = match &*self.state() {
            State::New => return Health::NotStarted,
            State::Starting { refused: false, .. } => return Health::Connecting,
            State::Failed(why) | State::Starting { why, .. } => return Health::Down(why.clone()),
            State::Closed => return Health::Closed,
            State::Up(connection) => connection.clone(),
        };
        up(&connection)
    }

    /// Ends it. Returns the connection if there was one.
    pub(in crate::hosted::engines) fn close(&self) -> Option<Arc<C>> {
        let before = core::mem::replace(&mut *self.state(), State::Closed);
        self.closed.notify_waiters();
        match before {
            State::Up(connection) => Some(connection),
            State::Starting { task, .. } => {
                task.abort();
                None
            }
            State::New | State::Failed(_) | State::Closed => None,
        }
    }
}

impl<C> Drop for Starting<C> {
    fn drop(&mut self) {
        if let State::Starting { task, .. } = &*self.state.lock() {
            task.abort();
        }
    }
}

/// A wrong password is as wrong in a second.
const fn is_refused(error: &Reason) -> bool {
    !matches!(error, Reason::Disconnected(_) | Reason::TimedOut)
}

impl<C> State<C> {
    fn connected(&mut self, connection: Arc<C>) -> Result<(), Reason> {
        match self {
            Self::Closed => return Err(Reason::Closed),
            Self::Up(_) => {}
            Self::New | Self::Failed(_) | Self::Starting { .. } => *self = Self::Up(connection),
        }
        Ok(())
    }

    fn failed(&mut self, error: &Reason) {
        match self {
            Self::New | Self::Failed(_) => *self = Self::Failed(format!("{error}").into()),
            Self::Starting { why, refused, .. } => {
                (*why, *refused) = (cause(error).into(), is_refused(error));
            }
            Self::Up(_) | Self::Closed => {}
        }
    }
}
