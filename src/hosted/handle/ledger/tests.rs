use alloc::sync::Arc;
use alloc::vec::Vec;

use core::time::Duration;

use super::{Ending, Ledger, Numbers};
use crate::hosted::stats::HandlerStats;
use crate::sync::Lock;

struct Fixed(Lock<Vec<(Arc<str>, u64)>>);

impl Numbers for Fixed {
    fn read(&self, each: &mut dyn FnMut(&Arc<str>, &HandlerStats)) {
        for (engine, handled) in &*self.0.lock() {
            let (received, handled) = (*handled, *handled);
            each(engine, &HandlerStats { received, handled, ..HandlerStats::default() });
        }
    }

    fn shutdown(self: Arc<Self>, _: Duration) -> Ending {
        unreachable!("nothing of this is about the end")
    }
}

fn numbers(of: &[(&str, u64)]) -> Arc<Fixed> {
    Arc::new(Fixed(Lock::new(
        of.iter().map(|(engine, handled)| ((*engine).into(), *handled)).collect(),
    )))
}

fn handled(ledger: &Ledger) -> Vec<(Arc<str>, u64)> {
    ledger.stats().into_iter().map(|(engine, stats)| (engine, stats.handled)).collect()
}

fn expected(of: &[(&str, u64)]) -> Vec<(Arc<str>, u64)> {
    of.iter().map(|(engine, handled)| ((*engine).into(), *handled)).collect()
}

#[test]
fn numbers_of_one_engine_add_up_over_its_subscriptions() {
    let ledger = Arc::new(Ledger::new());
    let _one = ledger.enter(numbers(&[("a", 1), ("b", 2)]));
    let _two = ledger.enter(numbers(&[("b", 10)]));
    assert_eq!(handled(&ledger), expected(&[("a", 1), ("b", 12)]));
}

#[test]
fn what_has_ended_still_counts_with_its_last_numbers() {
    let ledger = Arc::new(Ledger::new());
    let of = numbers(&[("a", 1)]);
    let entry = ledger.enter(of.clone());
    of.0.lock()[0].1 = 5;
    assert_eq!(handled(&ledger), expected(&[("a", 5)]));
    drop(entry);
    of.0.lock()[0].1 = 7; // no longer read
    assert_eq!(handled(&ledger), expected(&[("a", 5)]));
    let _again = ledger.enter(of);
    assert_eq!(handled(&ledger), expected(&[("a", 12)]));
}

#[test]
fn an_entry_outlives_its_ledger() {
    let ledger = Arc::new(Ledger::new());
    let entry = ledger.enter(numbers(&[("a", 1)]));
    drop(ledger);
    drop(entry);
}
