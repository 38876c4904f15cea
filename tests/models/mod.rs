//! Runs models under the model checker.

use core::fmt::Debug;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread;

/// Runs the model and demands exactly these outcomes, over at least so many executions.
pub(crate) fn outcomes<T: Ord + Debug + Send + 'static>(
    preemptions: usize,
    least: usize,
    expected: impl IntoIterator<Item = T>,
    model: impl Fn() -> T + Send + Sync + 'static,
) {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    let runs = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    builder.check({
        let (found, runs) = (Arc::clone(&found), Arc::clone(&runs));
        move || {
            let outcome = model();
            runs.fetch_add(1, Ordering::Relaxed);
            found.lock().unwrap().insert(outcome);
        }
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{runs} executions");
    assert_eq!(*found.lock().unwrap(), expected.into_iter().collect());
    // A section is one step, and in short ones a publish is no more than that.
    let least =
        if cfg!(any(tickbus_sections, tickbus_short_sections)) { least / 30 } else { least };
    assert!(runs >= least, "only {runs} executions, the model explores too little");
}

pub(crate) type Task<T = ()> = Box<dyn FnOnce() -> T + Send>;

/// Spawns the tasks in this order or, if `reverse`, the other way round. What they return, in this order.
pub(crate) fn run<T: 'static>(mut tasks: Vec<Task<T>>, reverse: bool) -> Vec<T> {
    if reverse {
        tasks.reverse();
    }
    let threads: Vec<_> = tasks.into_iter().map(thread::spawn).collect();
    let mut results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    if reverse {
        results.reverse();
    }
    results
}
