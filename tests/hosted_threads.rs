//! Handlers on a runtime of several threads, with publishers on several more. The laws hold at the end.
#![cfg(all(feature = "hosted", not(any(miri, tickbus_loom))))]

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use core::time::Duration;
use std::sync::Mutex;
use std::thread;

use tickbus::hosted::{
    BoxError, Context, Counted, Engine, HandlerStats, MemoryEngine, RetryPolicy, Router, Workers,
};
use tickbus::{Envelope, Overrun};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::timeout;

const PUBLISHERS: u64 = 4;
const EVENTS: u64 = 700;
const TOTAL: u64 = PUBLISHERS * EVENTS;
const KEYS: u64 = 5;

/// Longer than anything here takes that ends at all.
const SOON: Duration = Duration::from_secs(60);

fn threaded<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async { timeout(SOON, test).await.expect("it hangs") })
}

/// The key and the number of an event, as its id says them.
fn parts(id: &str) -> (usize, u64) {
    let (key, number) = id.split_once('-').expect("the test names it so");
    (key.parse().unwrap(), number.parse().unwrap())
}

/// Publishes on threads of their own. Each has keys that no other has.
async fn publish<E: Engine + Clone>(engine: &E) {
    let runtime = Handle::current();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (engine, runtime) = (engine.clone(), runtime.clone());
            thread::spawn(move || {
                for number in 0..EVENTS {
                    let key = publisher * KEYS + number % KEYS;
                    let subject = if number % 2 == 0 { "even.n" } else { "odd.n" };
                    let event = Envelope::new(subject).unwrap().with_key(format!("key-{key}"));
                    let event = event.with_id(format!("{key}-{number}"));
                    runtime.block_on(engine.publish(event.into())).unwrap();
                }
            })
        })
        .collect();
    // They wait for handlers, which need the threads of the runtime.
    tokio::task::spawn_blocking(|| publishers.into_iter().for_each(|it| it.join().unwrap()))
        .await
        .unwrap();
}

/// What handlers have seen, by key.
struct Seen(Vec<Lane>);

#[derive(Default)]
struct Lane {
    busy: AtomicBool,
    handled: Mutex<Vec<u64>>,
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::new(Self((0..PUBLISHERS * KEYS).map(|_| Lane::default()).collect()))
    }

    /// Every seventh fails at first, so that it is tried again in place.
    async fn handle(&self, context: &Context, alone: bool) -> Result<(), BoxError> {
        let (key, number) = parts(context.envelope().id());
        let lane = &self.0[key];
        let before = lane.busy.swap(true, SeqCst);
        assert!(!(alone && before), "two of key {key} at once");
        if number % 3 == 0 {
            yield_now().await;
        }
        let result = if number % 7 == 0 && context.attempt() == 1 { Err("busy") } else { Ok(()) };
        if result.is_ok() {
            lane.handled.lock().unwrap().push(number);
        }
        lane.busy.store(false, SeqCst);
        Ok(result?)
    }

    /// What was handled of a key, in its order.
    fn of(&self, key: u64) -> Vec<u64> {
        self.0[usize::try_from(key).unwrap()].handled.lock().unwrap().clone()
    }

    fn total(&self) -> usize {
        (0..PUBLISHERS * KEYS).map(|key| self.of(key).len()).sum()
    }
}

#[track_caller]
fn adds_up(stats: HandlerStats) -> HandlerStats {
    assert!(stats.add_up() && stats.in_flight == 0, "{stats}");
    stats
}

async fn ended(workers: &Workers) -> HandlerStats {
    let report = workers.shutdown(SOON / 2).await.unwrap();
    assert_eq!((report.abandoned, report.running, report.left), (0, 0, 0), "{report}");
    adds_up(workers.stats())
}

#[test]
fn by_key_each_key_is_in_order_and_nothing_is_lost() {
    for group in [None, Some("g")] {
        threaded(async {
            let engine = Arc::new(MemoryEngine::builder().log(16_384).build());
            let seen = Seen::new();
            let subscribe = engine.subscribe("*.n").unwrap().workers(4).by_key();
            let subscribe = match group {
                // A full queue makes the publishers wait.
                None => subscribe.capacity(16).queue(16).overrun(Overrun::Block),
                Some(group) => subscribe.group(group).in_flight(64),
            };
            let subscribe = subscribe.retry(RetryPolicy::new(2).initial(Duration::from_micros(50)));
            let to = seen.clone();
            let workers = subscribe.handle(move |context: Context| {
                let to = to.clone();
                async move { to.handle(&context, true).await }
            });
            let workers = workers.await.unwrap();
            publish(&engine).await;
            let stats = ended(&workers).await;
            assert_eq!(
                (stats.received, stats.handled, stats.panicked),
                (TOTAL, TOTAL, 0),
                "{stats}"
            );
            assert_eq!(stats.calls, TOTAL + PUBLISHERS * EVENTS.div_ceil(7), "{stats}");
            for key in 0..PUBLISHERS * KEYS {
                let expected: Vec<_> = (key % KEYS..EVENTS).step_by(KEYS as usize).collect();
                assert_eq!(seen.of(key), expected, "key {key}, group {group:?}");
            }
        });
    }
}

/// Two members, and what fails goes back to the engine.
#[test]
fn unordered_members_of_a_group_handle_each_event_once() {
    threaded(async {
        let engine = Arc::new(MemoryEngine::builder().log(16_384).build());
        let seen = Seen::new();
        let mut members = Vec::new();
        for _ in 0..2 {
            let subscribe = engine.subscribe("*.n").unwrap().group("g").workers(4);
            let subscribe = subscribe.retry(RetryPolicy::new(2).initial(Duration::from_micros(50)));
            let to = seen.clone();
            members.push(subscribe.handle(move |context: Context| {
                let to = to.clone();
                async move { to.handle(&context, false).await }
            }));
        }
        let (second, first) =
            (members.pop().unwrap().await.unwrap(), members.pop().unwrap().await.unwrap());
        publish(&engine).await;
        // What waits for its next try is with neither of them.
        while seen.total() < TOTAL as usize {
            yield_now().await;
        }
        let (mut sum, other) = (ended(&first).await, ended(&second).await);
        sum += other;
        assert_eq!((sum.handled, sum.failed, sum.dropped.total()), (TOTAL, 0, 0), "{sum}");
        assert_eq!(sum.retried, PUBLISHERS * EVENTS.div_ceil(7), "{sum}");
        for key in 0..PUBLISHERS * KEYS {
            let mut handled = seen.of(key);
            handled.sort_unstable();
            let expected: Vec<_> = (key % KEYS..EVENTS).step_by(KEYS as usize).collect();
            assert_eq!(handled, expected, "key {key}");
        }
    });
}

/// What is not handled is counted by its reason, whatever the overrun, and also if the subscription ends
/// while publishers publish.
#[test]
fn what_a_full_queue_drops_is_counted_and_no_handler_runs_after_an_unsubscribe() {
    for overrun in [Overrun::DropNewest, Overrun::DropOldest] {
        for (by_key, ends_early) in [(false, false), (true, false), (false, true), (true, true)] {
            threaded(async {
                // The same ids may be published again.
                let memory = MemoryEngine::builder().deduplicate(Duration::ZERO, 0).build();
                let engine = Arc::new(Counted::new(memory));
                let calls = Arc::new(AtomicU64::new(0));
                let subscribe = engine.subscribe("*.n").unwrap().capacity(8).queue(8);
                let subscribe = subscribe.workers(4).overrun(overrun);
                let subscribe = if by_key { subscribe.by_key() } else { subscribe };
                let count = calls.clone();
                let workers = subscribe.handle(move |_| {
                    let count = count.clone();
                    async move {
                        count.fetch_add(1, SeqCst);
                        yield_now().await;
                        Ok::<_, BoxError>(())
                    }
                });
                let workers = Arc::new(workers.await.unwrap());
                let ending = ends_early.then(|| {
                    let workers = workers.clone();
                    let calls = calls.clone();
                    tokio::spawn(async move {
                        while calls.load(SeqCst) < TOTAL / 8 {
                            yield_now().await;
                        }
                        workers.unsubscribe().await;
                        calls.load(SeqCst)
                    })
                });
                // The end must come, also if nearly all are dropped.
                publish(&engine).await;
                if let Some(ending) = ending {
                    while calls.load(SeqCst) < TOTAL / 8 {
                        publish(&engine).await;
                    }
                    assert_eq!(ending.await.unwrap(), calls.load(SeqCst), "one ran afterwards");
                    adds_up(workers.stats());
                    return;
                }
                let stats = ended(&workers).await;
                let is = (stats.handled + stats.dropped.total(), stats.handled);
                assert_eq!(is, (TOTAL, calls.load(SeqCst)), "{overrun:?}: {stats}");
                assert_eq!((stats.received, engine.stats().accepted), (TOTAL, TOTAL), "{stats}");
            });
        }
    }
}

/// Two engines behind a router, whose handlers run side by side.
#[test]
fn a_router_handles_what_its_engines_carry_and_its_numbers_add_up() {
    threaded(async {
        let router = Router::builder()
            .engine("even", MemoryEngine::builder().log(16_384).build())
            .engine("odd", MemoryEngine::builder().log(16_384).build())
            .route(["odd.*"], "odd")
            .build()
            .unwrap();
        router.start().await.unwrap();
        let seen = Seen::new();
        let to = seen.clone();
        let subscribe = router.subscribe("*.n").unwrap().group("g").workers(4).by_key();
        let subscribe = subscribe.retry(RetryPolicy::new(2).initial(Duration::from_micros(50)));
        let workers = subscribe.handle(move |context: Context| {
            let to = to.clone();
            async move { to.handle(&context, true).await }
        });
        workers.await.unwrap().detach();
        publish(&router).await;
        let report = router.shutdown(SOON / 2).await.unwrap();
        assert_eq!((report.abandoned, report.left), (0, 0), "{report}");
        let stats = router.stats();
        for engine in &stats.engines {
            assert!(engine.published.add_up() && engine.handlers.add_up(), "{stats}");
            assert_eq!((engine.published.offered, engine.handlers.handled), (TOTAL / 2, TOTAL / 2));
        }
        // One engine keeps the order of a key.
        for key in 0..PUBLISHERS * KEYS {
            for parity in 0..2 {
                let mut handled = seen.of(key);
                handled.retain(|number| number % 2 == parity);
                assert!(handled.is_sorted(), "key {key}: {handled:?}");
            }
        }
        assert_eq!(seen.total() as u64, TOTAL);
    });
}
