//! Which handler a call is made in, and which handlers wait for the end of others: [`Inside`].

use alloc::sync::Arc;

use super::shared::Shared;

tokio::task_local! {
    static INSIDE: Inside;
}

/// A worker, as the code that runs in it sees it.
#[derive(Clone)]
pub(super) struct Inside {
    shared: Arc<Shared>,
    worker: usize,
}

impl Inside {
    pub(super) const fn new(shared: Arc<Shared>, worker: usize) -> Self {
        Self { shared, worker }
    }

    /// Runs the task of the worker.
    pub(super) fn scope<F: Future>(self, task: F) -> impl Future<Output = F::Output> {
        INSIDE.scope(self, task)
    }

    /// Runs what the worker does on another thread.
    pub(super) fn call<R>(self, f: impl FnOnce() -> R) -> R {
        INSIDE.sync_scope(self, f)
    }

    /// Returns the worker that this is called in, if it is one.
    pub(super) fn current() -> Option<Self> {
        INSIDE.try_with(Self::clone).ok()
    }
}

/// The handler of a worker waits until others end. They do not wait for it, or none would end.
pub(super) struct Asks {
    inside: Inside,
    of_own: bool,
}

impl Asks {
    /// Begins to wait for the handlers of a pool. `None` outside of handlers.
    pub(super) fn begin(of: &Shared) -> Option<Self> {
        let inside = Inside::current()?;
        let of_own = core::ptr::eq(&*inside.shared, of);
        inside.shared.asks(inside.worker, of_own, true);
        Some(Self { inside, of_own })
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.inside.shared.asks(self.inside.worker, self.of_own, false);
    }
}
