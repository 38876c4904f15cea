//! Handlers of subscriptions, on a clock that stands still until a test waits.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;
use std::sync::mpsc as blocking;

use tickbus::hosted::{
    BoxError, Context, Engine, HandlerStats, HandlerTimedOut, MemoryEngine, OnFailure, RetryPolicy,
    Subscribe, TestClock, Workers,
};
use tickbus::{Envelope, Overrun};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

type Done = Result<(), BoxError>;

/// Runs a test. A test that waits for nothing that can come fails when the clock runs ahead.
fn paused<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        timeout(100_000 * SECOND, test).await.expect("the test waits for what never comes")
    })
}

fn memory() -> Arc<MemoryEngine> {
    let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
    Arc::new(MemoryEngine::builder().clock(clock).build())
}

fn any(engine: &Arc<MemoryEngine>) -> Subscribe<'_> {
    engine.subscribe("a.*").unwrap()
}

async fn publish(engine: &MemoryEngine, ids: &str) {
    publish_key(engine, ids, "").await;
}

async fn publish_key(engine: &MemoryEngine, ids: &str, key: &str) {
    for id in ids.split(' ') {
        let event = Envelope::new("a.b").unwrap().with_id(id).with_key(key);
        engine.publish(event).await.unwrap();
    }
}

/// Lets every task run until it waits. The clock does not move.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// What has happened since the last look.
    fn take(&self) -> String {
        self.0.lock().unwrap().drain(..).collect::<Vec<_>>().join(" ")
    }
}

fn id(context: &Context) -> String {
    context.envelope().id().to_owned()
}

#[track_caller]
fn adds_up(workers: &Workers) -> HandlerStats {
    let stats = workers.stats();
    assert!(stats.add_up(), "{stats:?}");
    stats
}

// ---- Results and what is acknowledged ----------------------------------------------------------------

#[test]
fn ok_acknowledges() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let to = log.clone();
        let workers = any(&engine).group("g").handle(move |it: Context| {
            to.add(format!("{}@{}", it.envelope().id(), it.attempt()));
            async { Done::Ok(()) }
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1 2 3").await;
        settle().await;
        assert_eq!(log.take(), "1@1 2@1 3@1");
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.handled, stats.calls, stats.in_flight), (3, 3, 3, 0));
        assert_eq!(workers.lag(), Some(0));
        // The engine holds none of them: no lease ends.
        sleep(100 * SECOND).await;
        assert_eq!((log.take(), workers.stats().received), (String::new(), 3));
    });
}

/// Fails as often as it is told, and says when it was called.
async fn failing(subscribe: Subscribe<'_>, times: u32, log: &Log, panics: bool) -> Workers {
    let (to, begin) = (log.clone(), Instant::now());
    let workers = subscribe.handle(move |it: Context| {
        let (to, begin) = (to.clone(), begin);
        async move {
            let at = begin.elapsed().as_secs();
            to.add(format!("{}@{}:{at}", id(&it), it.attempt()));
            if it.attempt() > times {
                return Done::Ok(());
            }
            assert!(!panics, "as told");
            Err(format!("failed {}", it.attempt()).into())
        }
    });
    workers.await.unwrap()
}

#[test]
fn a_failed_event_comes_again_after_the_delays_of_the_policy() {
    paused(async {
        for pool in [false, true] {
            let engine = memory();
            let log = Log::default();
            let subscribe = any(&engine).group("g");
            let subscribe = if pool { subscribe.workers(2) } else { subscribe };
            let workers = failing(subscribe, 3, &log, false).await;
            publish(&engine, "1").await;
            sleep(20 * SECOND).await;
            assert_eq!(log.take(), "1@1:0 1@2:1 1@3:3 1@4:7", "pool: {pool}");
            let stats = adds_up(&workers);
            assert_eq!((stats.handled, stats.failed, stats.calls), (1, 0, 4));
            // On a pool the engine has it between two tries, and its deliveries are counted.
            assert_eq!((stats.received, stats.retried), if pool { (4, 3) } else { (1, 0) });
        }
    });
}

#[test]
fn a_panic_is_one_failed_delivery_and_the_worker_lives() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let workers = failing(any(&engine).group("g"), 1, &log, true).await;
        publish(&engine, "1 2").await;
        sleep(20 * SECOND).await;
        assert_eq!(log.take(), "1@1:0 1@2:1 2@1:1 2@2:2");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.panicked, stats.calls), (2, 2, 4));

        // Also where the future panics when it is dropped, or the function before there is one.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("when it is dropped");
            }
        }
        let engine = memory();
        let worker = any(&engine).group("g").retry(RetryPolicy::none()).handle(|it: Context| {
            assert_ne!(it.envelope().id(), "2", "before there is a future");
            let bomb = (it.envelope().id() == "1").then_some(Bomb);
            async move {
                let _bomb = bomb;
                Done::Ok(())
            }
        });
        let worker = worker.await.unwrap();
        publish(&engine, "1 2 3").await;
        settle().await;
        let stats = adds_up(&worker);
        assert_eq!((stats.handled, stats.failed, stats.panicked), (1, 2, 2));
    });
}

#[test]
fn a_timeout_drops_the_future_and_the_event_has_failed() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    paused(async {
        let engine = memory();
        let log = Log::default();
        let to = log.clone();
        let subscribe = any(&engine).group("g").timeout(5 * SECOND).retry(RetryPolicy::new(1));
        let subscribe = subscribe.classify({
            let to = log.clone();
            move |error| {
                assert!(error.is::<HandlerTimedOut>());
                to.add(error.to_string().replace(' ', "_"));
                OnFailure::Retry
            }
        });
        let workers = subscribe.handle(move |it: Context| {
            let to = to.clone();
            async move {
                let _dropped = Dropped(to.clone());
                assert_eq!(it.time_left(), Some(5 * SECOND));
                to.add("called");
                sleep(if it.attempt() == 1 { 6 * SECOND } else { 4 * SECOND }).await;
                to.add("done");
                Done::Ok(())
            }
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        sleep(5 * SECOND + SECOND / 2).await;
        assert_eq!(log.take(), "called dropped the_handler_took_longer_than_5s");
        sleep(10 * SECOND).await;
        assert_eq!(log.take(), "called done dropped");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.timed_out, stats.calls), (1, 1, 2));
    });
}

#[test]
fn a_timeout_longer_than_the_lease_extends_the_lease() {
    paused(async {
        let engine = memory();
        let subscribe = any(&engine).group("g").lease(2 * SECOND).timeout(10 * SECOND);
        let workers = subscribe.handle(async |_: Context| {
            sleep(9 * SECOND).await;
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        sleep(60 * SECOND).await;
        assert_eq!((workers.stats().received, workers.stats().handled), (1, 1));
    });
}

#[test]
fn an_event_whose_handler_outlives_its_lease_comes_again_and_the_late_answer_is_refused() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let refused = log.clone();
        let to = log.clone();
        let subscribe = any(&engine).group("g").workers(2).lease(2 * SECOND);
        let subscribe = subscribe.on_refused(move |it, error| {
            refused.add(format!("{}:{error:?}", it.id()));
        });
        let workers = subscribe.handle(move |it: Context| {
            let to = to.clone();
            async move {
                to.add(format!("@{}", it.attempt()));
                if it.attempt() == 1 {
                    sleep(3 * SECOND).await;
                }
                Done::Ok(())
            }
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        sleep(10 * SECOND).await;
        assert_eq!(log.take(), "@1 @2 1:Late");
        assert!(adds_up(&workers).in_flight == 0);
    });
}

#[test]
fn a_handler_may_extend_its_lease() {
    paused(async {
        let engine = memory();
        let workers = any(&engine).group("g").lease(2 * SECOND).handle(async |it: Context| {
            for _ in 0..5 {
                sleep(SECOND).await;
                it.extend(2 * SECOND);
            }
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        sleep(20 * SECOND).await;
        assert_eq!((workers.stats().received, workers.stats().handled), (1, 1));
    });
}

// ---- By key ------------------------------------------------------------------------------------------

#[test]
fn a_failed_event_holds_its_key_and_others_go_on() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (to, begin) = (log.clone(), Instant::now());
        // A lease that is shorter than the waits: it is extended.
        let subscribe = any(&engine).group("g").workers(2).by_key().lease(SECOND);
        let workers = subscribe.handle(move |it: Context| {
            to.add(format!(
                "{}{}@{}:{}",
                it.key(),
                id(&it),
                it.attempt(),
                begin.elapsed().as_secs()
            ));
            async move { if id(&it) == "1" && it.attempt() < 4 { Err("no") } else { Ok(()) } }
        });
        let workers = workers.await.unwrap();
        publish_key(&engine, "1 2", "x").await;
        publish_key(&engine, "3 4", "y").await;
        sleep(20 * SECOND).await;
        assert_eq!(log.take(), "x1@1:0 y3@1:0 y4@1:0 x1@2:1 x1@3:3 x1@4:7 x2@1:7");
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.handled, stats.retried, stats.calls), (4, 4, 0, 7));
    });
}

#[test]
fn after_the_dead_letter_the_key_goes_on() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (to, begin) = (log.clone(), Instant::now());
        let workers = any(&engine).group("g").workers(4).by_key().handle(move |it: Context| {
            to.add(format!("{}:{}", id(&it), begin.elapsed().as_secs()));
            async move { if id(&it) == "1" { Err("no") } else { Ok(()) } }
        });
        let workers = workers.await.unwrap();
        publish_key(&engine, "1 2 3", "x").await;
        sleep(20 * SECOND).await;
        assert_eq!(log.take(), "1:0 1:1 1:3 1:7 2:7 3:7");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.failed, stats.dead_lettered), (2, 1, 1));
        let dead = engine.dead_letters();
        assert_eq!((dead.len(), &*dead[0].reason), (1, "failed after 4 attempts: no"));
    });
}

#[test]
fn one_key_is_handled_one_at_a_time_and_several_keys_at_once() {
    paused(async {
        for group in [false, true] {
            let engine = memory();
            let running = Arc::new(Mutex::new((Vec::<String>::new(), 0)));
            let log = Log::default();
            let (held, to) = (running.clone(), log.clone());
            let subscribe = any(&engine).workers(3).by_key();
            let subscribe = if group { subscribe.group("g") } else { subscribe };
            let workers = subscribe.handle(move |it: Context| {
                let (held, to) = (held.clone(), to.clone());
                async move {
                    {
                        let mut held = held.lock().unwrap();
                        assert!(it.key().is_empty() || !held.0.contains(&it.key().into()));
                        held.0.push(it.key().into());
                        held.1 = held.1.max(held.0.len());
                    }
                    sleep(SECOND).await;
                    let mut held = held.lock().unwrap();
                    let at = held.0.iter().position(|key| key == it.key()).unwrap();
                    held.0.remove(at);
                    to.add(format!("{}{}", it.key(), id(&it)));
                    Done::Ok(())
                }
            });
            let workers = workers.await.unwrap();
            for round in 0..4 {
                for key in ["x", "y", "z"] {
                    publish_key(&engine, &format!("{key}-{round}"), key).await;
                }
            }
            sleep(100 * SECOND).await;
            assert_eq!(running.lock().unwrap().1, 3, "three keys at once");
            let log = log.take();
            for key in ["x", "y", "z"] {
                let of_key: Vec<_> = log.split(' ').filter(|it| it.starts_with(key)).collect();
                let expected: Vec<_> = (0..4).map(|round| format!("{key}{key}-{round}")).collect();
                assert_eq!(of_key, expected);
            }
            assert_eq!(adds_up(&workers).handled, 12);
        }
    });
}

#[test]
fn events_without_a_key_have_no_order() {
    paused(async {
        let engine = memory();
        let most = Arc::new(Mutex::new((0, 0)));
        let count = most.clone();
        let workers = any(&engine).group("g").workers(3).by_key().handle(move |_: Context| {
            let count = count.clone();
            async move {
                {
                    let mut count = count.lock().unwrap();
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                sleep(SECOND).await;
                count.lock().unwrap().0 -= 1;
                Done::Ok(())
            }
        });
        let _workers = workers.await.unwrap();
        publish(&engine, "1 2 3 4 5 6").await;
        sleep(10 * SECOND).await;
        assert_eq!(most.lock().unwrap().1, 3);
    });
}

#[test]
fn what_waits_for_its_key_keeps_its_lease() {
    paused(async {
        let engine = memory();
        let subscribe = any(&engine).group("g").workers(2).by_key();
        let workers =
            subscribe.lease(2 * SECOND).timeout(10 * SECOND).handle(async |_: Context| {
                sleep(9 * SECOND).await;
                Done::Ok(())
            });
        let workers = workers.await.unwrap();
        publish_key(&engine, "1 2 3 4", "x").await;
        sleep(100 * SECOND).await;
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.handled, stats.returned), (4, 4, 0));
    });
}

// ---- Retries, classification, dead letters ---------------------------------------------------------------

#[test]
fn no_retries_is_one_call() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let none = RetryPolicy::new(0);
        let workers = failing(any(&engine).group("g").retry(none), 9, &log, false).await;
        publish(&engine, "1").await;
        sleep(100 * SECOND).await;
        assert_eq!(log.take(), "1@1:0");
        assert_eq!(&*engine.dead_letters()[0].reason, "failed after 1 attempt: failed 1");
        let stats = adds_up(&workers);
        assert_eq!((stats.failed, stats.dead_lettered, stats.calls), (1, 1, 1));
    });
}

#[test]
fn a_dead_letter_says_why_and_has_the_event() {
    paused(async {
        for keyed in [false, true] {
            let engine = memory();
            let mut dead = engine.subscribe("dead.>").unwrap().open().await.unwrap();
            let log = Log::default();
            let subscribe = any(&engine).group("g").workers(2).dead_letter("dead.g");
            let subscribe = if keyed { subscribe.by_key() } else { subscribe };
            let workers = failing(subscribe, 9, &log, false).await;
            let event = Envelope::json("a.b", &7).unwrap().with_id("1").with_key("k");
            engine.publish(event.header("mine", "kept").into()).await.unwrap();
            let dead = dead.next().await.unwrap().unwrap();
            let letter = dead.envelope();
            assert_eq!((letter.subject().as_str(), letter.payload()), ("dead.g", Some("7")));
            assert_eq!((letter.key(), letter.id()), ("k", "1.dead.g"));
            let header = |key| letter.headers().get(key);
            assert_eq!(header("mine"), "kept");
            assert_eq!((header("dead-reason"), header("dead-attempts")), ("failed", "4"));
            assert_eq!(header("dead-first-error"), "failed 1");
            assert_eq!(header("dead-last-error"), "failed 4");
            assert_eq!((header("dead-subject"), header("dead-id")), ("a.b", "1"));
            assert_eq!((header("dead-group"), header("dead-engine")), ("g", "memory"));
            assert_eq!(header("dead-sequence"), "1");
            settle().await;
            let stats = adds_up(&workers);
            assert_eq!((stats.failed, stats.dead_lettered, stats.handled), (1, 1, 0));
            assert!(engine.dead_letters().is_empty(), "it is where the subscription says");
            assert_eq!(workers.lag(), Some(0));
        }
    });
}
