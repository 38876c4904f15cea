//! The numbers of all handlers of an owner, by engine: [`Ledger`].

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::workers::{ShutdownReport, ShutdownTimeout};
use crate::hosted::future::EngineFuture;
use crate::hosted::stats::HandlerStats;
use crate::sync::Lock;

/// The numbers of one subscription with a handler, by the engine that the deliveries came from.
pub(in crate::hosted) trait Numbers: Send + Sync {
    /// Calls `each` with the numbers of each engine.
    fn read(&self, each: &mut dyn FnMut(&Arc<str>, &HandlerStats));

    /// Ends the subscription, as [`Workers::shutdown`](super::workers::Workers::shutdown) does.
    fn shutdown(self: Arc<Self>, deadline: Duration) -> Ending;
}

/// A subscription that ends.
pub(in crate::hosted) type Ending = EngineFuture<'static, Result<ShutdownReport, ShutdownTimeout>>;

/// Keeps the numbers of the subscriptions that run, and adds up those that have ended.
#[derive(Default)]
pub(in crate::hosted) struct Ledger(Lock<State>);

#[derive(Default)]
struct State {
    running: Vec<Arc<dyn Numbers>>,
    ended: Vec<(Arc<str>, HandlerStats)>,
}

impl Ledger {
    /// Returns a ledger in which nothing is entered.
    pub(in crate::hosted) fn new() -> Self {
        Self::default()
    }

    /// Enters a subscription. It is read until the entry is dropped, and counts from then on with
    /// its last numbers.
    pub(in crate::hosted) fn enter(self: &Arc<Self>, numbers: Arc<dyn Numbers>) -> Entry {
        let entry = Entry { ledger: Arc::downgrade(self), numbers: numbers.clone() };
        self.0.lock().running.push(numbers);
        entry
    }

    /// Ends all that run, side by side.
    pub(in crate::hosted) fn shutdown(&self, deadline: Duration) -> Vec<Ending> {
        let running = self.0.lock().running.clone();
        running.into_iter().map(|it| it.shutdown(deadline)).collect()
    }

    /// Returns the numbers of each engine, over all subscriptions, ended ones included.
    pub(in crate::hosted) fn stats(&self) -> Vec<(Arc<str>, HandlerStats)> {
        let state = self.0.lock();
        let mut sums = state.ended.clone();
        for numbers in &state.running {
            numbers.read(&mut |engine, stats| add(&mut sums, engine, stats));
        }
        sums
    }
}

fn add(sums: &mut Vec<(Arc<str>, HandlerStats)>, engine: &Arc<str>, stats: &HandlerStats) {
    match sums.iter_mut().find(|(name, _)| name == engine) {
        Some((_, sum)) => *sum += *stats,
        None => sums.push((engine.clone(), *stats)),
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.stats()).finish()
    }
}

/// One subscription in a [`Ledger`].
pub(in crate::hosted) struct Entry {
    ledger: Weak<Ledger>,
    numbers: Arc<dyn Numbers>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(ledger) = self.ledger.upgrade() else { return };
        let mut state = ledger.0.lock();
        let State { running, ended } = &mut *state;
        if let Some(at) = running.iter().position(|it| Arc::ptr_eq(it, &self.numbers)) {
            running.swap_remove(at);
            self.numbers.read(&mut |engine, stats| add(ended, engine, stats));
        }
    }
}

#[cfg(test)]
mod tests;
