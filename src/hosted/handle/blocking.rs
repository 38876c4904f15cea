//! A blocking call that nothing can end: [`Stage`].

use alloc::sync::Arc;

use super::ledger::Entry;
use super::shared::Shared;
use crate::sync::Lock;

/// How far one blocking call is.
pub(super) struct Stage {
    shared: Arc<Shared>,
    engine: usize,
    at: Lock<At>,
    /// It is counted until it has returned.
    _entry: Option<Arc<Entry>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// No thread has it yet.
    Queued,
    Running,
    /// Its result no longer counts.
    Overrunning,
    Ended,
}

impl Stage {
    pub(super) fn new(shared: &Arc<Shared>, engine: usize, entry: Option<Arc<Entry>>) -> Arc<Self> {
        let (shared, at) = (shared.clone(), Lock::new(At::Queued));
        Arc::new(Self { shared, engine, at, _entry: entry })
    }

    /// A thread has it. `Err` if its time is over already.
    pub(super) fn begin(self: Arc<Self>) -> Result<Ends, ()> {
        let mut at = self.at.lock();
        if *at != At::Queued {
            return Err(());
        }
        *at = At::Running;
        drop(at);
        Ok(Ends(self))
    }

    /// Its time is over. Returns whether it still runs.
    pub(super) fn is_late(&self) -> bool {
        let mut at = self.at.lock();
        match *at {
            At::Queued => *at = At::Ended, // and it never begins
            At::Running => {
                *at = At::Overrunning;
                drop(at);
                self.shared.overruns(self.engine, true);
                return true;
            }
            At::Overrunning => return true,
            At::Ended => {}
        }
        false
    }
}

/// Ends the stage of a call when it returns, or panics.
pub(super) struct Ends(Arc<Stage>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut at = self.0.at.lock();
        let overran = *at == At::Overrunning;
        *at = At::Ended;
        drop(at);
        if overran {
            self.0.shared.overruns(self.0.engine, false);
        }
    }
}
