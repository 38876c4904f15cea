//! Handlers of subscriptions, on a clock that stands still until a test waits.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;
use std::sync::mpsc as blocking;

use tickbus::hosted::{
    BoxError, Context, Engine, HandlerStats, HandlerTimedOut, Health, MemoryEngine, OnFailure,
    RetryPolicy, Router, Subscribe, TestClock, Workers,
};
use tickbus::{Envelope, Overrun};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use refusing::{Panics, Refusing};

const SECOND: Duration = Duration::from_secs(1);

type Done = Result<(), BoxError>;

/// Runs a test. A test that waits for nothing that can come fails when the clock runs ahead.
fn paused<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        timeout(10_000_000 * SECOND, test).await.expect("the test waits for what never comes")
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
            let bomb = (it.envelope().id() == "1").then(|| Bomb);
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

#[test]
fn an_event_is_acknowledged_only_when_its_dead_letter_is_accepted() {
    paused(async {
        let engine = memory();
        // The dead letter is refused: an engine that takes no payload of this size.
        let dead = Arc::new(Refusing::new(engine.clone(), 3, Panics::Never));
        let log = Log::default();
        let subscribe = dead.subscribe("a.*").unwrap().group("g").workers(1).lease(SECOND);
        let subscribe = subscribe.dead_letter("dead.g").retry(RetryPolicy::none());
        let workers = failing(subscribe, 9, &log, false).await;
        publish(&engine, "1").await;
        sleep(SECOND / 2).await;
        let stats = adds_up(&workers);
        assert_eq!((stats.failed, stats.in_flight), (0, 1), "it is not lost, and not done with");
        sleep(60 * SECOND).await;
        assert_eq!(dead.tried(), 4, "refused three times");
        assert_eq!(log.take(), "1@1:0", "the handler is not called again for it");
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.failed, stats.dead_lettered), (1, 1, 1));
        assert_eq!(workers.lag(), Some(0));
    });
}

/// The memory engine, which refuses the first dead letters, and panics where it is told.
mod refusing {
    use alloc::sync::Arc;
    use core::task::{Context, Poll};
    use core::time::Duration;
    use std::sync::Mutex;

    use tickbus::Envelope;
    use tickbus::hosted::{
        Capabilities, Clock, Delivery, DurableOptions, Engine, EngineError, EngineFuture, Gap,
        Lease, LiveOptions, MemoryEngine, OpenError, Reason, Receipt, Receive, Settle, SettleError,
        ShutdownError, Verdict,
    };

    #[derive(Clone, Copy, PartialEq)]
    pub(crate) enum Panics {
        Never,
        Publish,
        Lag,
        Settle,
    }

    pub(crate) struct Refusing {
        engine: Arc<MemoryEngine>,
        times: usize,
        tried: Mutex<usize>,
        panics: Panics,
    }

    impl Refusing {
        pub(crate) fn new(engine: Arc<MemoryEngine>, times: usize, panics: Panics) -> Self {
            Self { engine, times, tried: Mutex::new(0), panics }
        }

        pub(crate) fn tried(&self) -> usize {
            *self.tried.lock().unwrap()
        }
    }

    impl Engine for Refusing {
        fn name(&self) -> &Arc<str> {
            self.engine.name()
        }

        fn capabilities(&self) -> Capabilities {
            self.engine.capabilities()
        }

        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            let mut tried = self.tried.lock().unwrap();
            *tried += 1;
            if *tried <= self.times {
                if self.panics == Panics::Publish {
                    return EngineFuture::new(async { panic!("while it is awaited") });
                }
                let error = EngineError::not_sent(self.name(), it, Reason::Full);
                return EngineFuture::ready(Err(error));
            }
            Engine::publish(&self.engine, it)
        }

        fn open_live(
            &self,
            options: LiveOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            EngineFuture::new(async {
                let receive = self.engine.open_live(options).await?;
                Ok(Box::new(Receiver(receive, self.panics)) as Box<dyn Receive>)
            })
        }

        fn open_durable(
            &self,
            options: DurableOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            EngineFuture::new(async {
                let receive = self.engine.open_durable(options).await?;
                Ok(Box::new(Receiver(receive, self.panics)) as Box<dyn Receive>)
            })
        }

        fn clock(&self) -> Arc<dyn Clock> {
            self.engine.clock()
        }

        fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            self.engine.shutdown(deadline)
        }
    }

    struct Receiver(Box<dyn Receive>, Panics);

    impl Receive for Receiver {
        fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
            let next = self.0.poll_next(task);
            if self.1 != Panics::Settle {
                return next;
            }
            next.map_ok(|it| Delivery::new(it.envelope().clone(), Settler))
        }

        fn close(&mut self) {
            self.0.close();
        }

        fn lag(&self) -> Option<u64> {
            assert!(self.1 != Panics::Lag, "when it is asked");
            self.0.lag()
        }
    }

    struct Settler;

    impl Settle for Settler {
        fn settle(&self, _: Lease, _: Verdict) -> Result<(), SettleError> {
            panic!("when it is told");
        }
    }
}

#[test]
fn a_worker_outlives_an_error_that_panics_when_it_is_dropped() {
    #[derive(Debug)]
    struct Bomb;
    impl core::fmt::Display for Bomb {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("bomb")
        }
    }
    impl core::error::Error for Bomb {}
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("when it is dropped");
        }
    }
    paused(async {
        for group in [false, true] {
            let engine = memory();
            let subscribe = if group { any(&engine).group("g") } else { any(&engine) };
            let workers = subscribe.retry(RetryPolicy::none()).handle(async |_| Err::<(), _>(Bomb));
            let workers = workers.await.unwrap();
            publish(&engine, "1 2 3").await;
            settle().await;
            let stats = adds_up(&workers);
            assert_eq!((stats.failed, stats.calls, stats.panicked), (3, 3, 0));
        }
    });
}

#[test]
fn a_dead_letter_whose_publish_panics_is_published_again() {
    paused(async {
        let engine = memory();
        let dead = Arc::new(Refusing::new(engine.clone(), 2, Panics::Publish));
        let subscribe = dead.subscribe("a.*").unwrap().group("g").retry(RetryPolicy::none());
        let workers = subscribe.dead_letter("dead.g").handle(async |_| Done::Err("no".into()));
        let workers = workers.await.unwrap();
        publish(&engine, "1 2").await;
        sleep(100 * SECOND).await;
        assert_eq!(dead.tried(), 4, "two that panicked, and two dead letters");
        let stats = adds_up(&workers);
        assert_eq!((stats.calls, stats.failed, stats.dead_lettered), (2, 2, 2));
        assert_eq!(stats.in_flight, 0);
    });
}

#[test]
fn an_engine_that_panics_when_it_is_asked_for_its_lag_ends_nothing() {
    paused(async {
        for group in [false, true] {
            let engine = memory();
            let faulty = Arc::new(Refusing::new(engine.clone(), 0, Panics::Lag));
            let subscribe = faulty.subscribe("a.*").unwrap();
            let subscribe = if group { subscribe.group("g") } else { subscribe };
            let workers = subscribe.handle(async |_| Done::Ok(())).await.unwrap();
            publish(&engine, "1").await;
            settle().await;
            assert_eq!((workers.lag(), workers.stats().handled), (None, 1));
            let report = timeout(SECOND, workers.shutdown(10 * SECOND)).await.unwrap().unwrap();
            assert_eq!((report.running, report.left), (0, 0));
            timeout(SECOND, workers.unsubscribe()).await.unwrap();
            adds_up(&workers);
        }
    });
}

#[test]
fn a_worker_outlives_an_engine_that_panics_when_an_expired_event_is_settled() {
    paused(async {
        let engine = memory();
        let faulty = Arc::new(Refusing::new(engine.clone(), 0, Panics::Settle));
        // One more than runs is taken in, before it expires.
        let subscribe = faulty.subscribe("a.*").unwrap().group("g").workers(1);
        let workers = subscribe.handle(async |_| {
            sleep(10 * SECOND).await;
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        for at in ["00:01:00", "00:00:05", "00:01:00"] {
            let event = Envelope::new("a.b").unwrap();
            let event = event.header("expires", format!("2026-11-30T{at}Z"));
            engine.publish(event.into()).await.unwrap();
        }
        sleep(20 * SECOND + SECOND / 2).await;
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.dropped.expired, stats.in_flight), (2, 1, 0));
    });
}

#[test]
fn a_payload_that_does_not_decode_is_a_dead_letter_at_once() {
    paused(async {
        let engine = memory();
        let mut dead = engine.subscribe("dead.>").unwrap().open().await.unwrap();
        let log = Log::default();
        let to = log.clone();
        let subscribe = any(&engine).group("g").dead_letter("dead.g");
        let workers = subscribe.handle_json(move |number: u32, it: Context| {
            to.add(format!("{}:{number}", id(&it)));
            async { Done::Ok(()) }
        });
        let workers = workers.await.unwrap();
        for (id, json) in [("1", "7"), ("2", "\"x\""), ("3", "8")] {
            let event = Envelope::new("a.b").unwrap().with_id(id).with_raw_payload(json).unwrap();
            engine.publish(event.into()).await.unwrap();
        }
        publish(&engine, "4").await; // without a payload
        settle().await;
        assert_eq!(log.take(), "1:7 3:8");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.failed, stats.dead_lettered), (2, 2, 2));
        assert_eq!((stats.calls, stats.retried), (2, 0));
        for expected in ["2", "4"] {
            let letter = dead.next().await.unwrap().unwrap();
            let header = |key| letter.envelope().headers().get(key);
            assert_eq!((header("dead-id"), header("dead-reason")), (expected, "unreadable"));
        }

        // What may be nothing is called without a payload.
        let optional = any(&engine).group("h").handle_json(async |it: Option<u32>, _: Context| {
            if it.is_none() { Ok(()) } else { Err("something") }
        });
        let optional = optional.await.unwrap();
        publish(&engine, "5").await;
        settle().await;
        assert_eq!(optional.stats().handled, 1);
    });
}

#[test]
fn a_classified_error_is_rejected_or_dropped_at_once() {
    paused(async {
        let engine = memory();
        let subscribe = any(&engine).group("g").classify(|error| match &*error.to_string() {
            "reject" => OnFailure::Reject,
            "drop" => OnFailure::Drop,
            _ => OnFailure::Retry,
        });
        let log = Log::default();
        let to = log.clone();
        let subscribe = subscribe.on_failed(move |failed| {
            to.add(failed.to_string().replace(' ', "_"));
        });
        let workers = subscribe.handle(async |it: Context| Err::<(), _>(id(&it)));
        let workers = workers.await.unwrap();
        publish(&engine, "reject drop").await;
        settle().await;
        let stats = adds_up(&workers);
        assert_eq!((stats.failed, stats.dropped.discarded, stats.calls), (1, 1, 2));
        let dead = engine.dead_letters();
        assert_eq!((dead.len(), &*dead[0].reason), (1, "rejected after 1 attempt: reject"));
        assert_eq!(
            log.take(),
            "`a.b`_failed_after_1_attempt:_reject `a.b`_failed_after_1_attempt:_drop"
        );
        publish(&engine, "else").await;
        settle().await;
        assert_eq!(log.take(), "`a.b`_failed,_attempt_1,_next_in_1s:_else");
    });
}

#[test]
fn an_expired_event_is_dropped_before_its_call() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let to = log.clone();
        let workers = any(&engine).group("g").handle(move |it: Context| {
            to.add(id(&it));
            async {
                sleep(10 * SECOND).await;
                Done::Ok(())
            }
        });
        let workers = workers.await.unwrap();
        for (id, until) in [("1", "00:00:05"), ("2", "00:00:05"), ("3", "00:01:00")] {
            let event = Envelope::new("a.b").unwrap().with_id(id);
            let event = event.header("expires", format!("2026-11-30T{until}Z"));
            engine.publish(event.into()).await.unwrap();
        }
        sleep(30 * SECOND).await;
        assert_eq!(log.take(), "1 3");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.dropped.expired, stats.calls), (2, 1, 2));
    });
}

#[test]
fn a_dead_letter_does_not_expire_with_its_event() {
    paused(async {
        let engine = memory();
        let mut dead = engine.subscribe("dead.g").unwrap().group("d").open().await.unwrap();
        let subscribe = any(&engine).group("g").timeout(10 * SECOND).retry(RetryPolicy::none());
        let workers = subscribe.dead_letter("dead.g").handle(async |_| {
            sleep(60 * SECOND).await;
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        let event = Envelope::new("a.b").unwrap().with_id("1").header("other", "it");
        engine.publish(event.header("expires", "2026-11-30T00:00:05Z").into()).await.unwrap();
        sleep(60 * SECOND).await;
        assert_eq!(adds_up(&workers).dead_lettered, 1);
        let letter = timeout(SECOND, dead.next()).await.expect("it is kept").unwrap().unwrap();
        let headers = letter.envelope().headers();
        assert_eq!((headers.get("dead-id"), headers.get("other")), ("1", "it"));
        assert_eq!(headers.get("expires"), "");
        letter.ack();
    });
}

// ---- Live ----------------------------------------------------------------------------------------------

/// Handlers that wait until they are let go.
async fn gated(subscribe: Subscribe<'_>, log: &Log) -> (Workers, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let (to, pass) = (log.clone(), gate.clone());
    let workers = subscribe.handle(move |it: Context| {
        let (to, pass) = (to.clone(), pass.clone());
        async move {
            to.add(id(&it));
            pass.acquire().await.unwrap().forget();
            Done::Ok(())
        }
    });
    (workers.await.unwrap(), gate)
}

fn numbers(range: core::ops::RangeInclusive<u32>) -> String {
    range.map(|it| it.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_publisher_waits_for_the_queue_of_a_handler_for_as_long_as_it_says() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let wait = any(&engine).capacity(1).queue(1).block_timeout(10 * SECOND);
        let (workers, gate) = gated(wait, &log).await;
        publish(&engine, "1").await;
        settle().await;
        let begin = Instant::now();
        publish(&engine, "2 3").await; // the queue and the buffer have room
        settle().await;
        let pass = gate.clone();
        tokio::spawn(async move {
            sleep(SECOND).await;
            pass.add_permits(1);
        });
        publish(&engine, "4").await; // when the first is done
        assert_eq!(begin.elapsed(), SECOND);
        settle().await;
        publish(&engine, "5").await; // in vain
        assert_eq!(begin.elapsed(), 11 * SECOND);
        gate.add_permits(10);
        settle().await;
        publish(&engine, "6").await; // it is told what came before
        settle().await;
        assert_eq!(log.take(), "1 2 3 4 6");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.dropped.buffer_full, stats.dropped.queue_full), (5, 1, 0));
    });
}

#[test]
fn without_workers_a_live_event_is_handled_one_at_a_time_in_order() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, gate) = gated(any(&engine).capacity(3), &log).await;
        publish(&engine, "1").await;
        settle().await;
        publish(&engine, "2 3 4 5 6").await; // the buffer has room for three
        settle().await;
        assert_eq!(log.take(), "1");
        gate.add_permits(10);
        settle().await;
        assert_eq!(log.take(), "2 3 4");
        publish(&engine, "7").await;
        settle().await;
        assert_eq!(log.take(), "7");
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.handled, stats.dropped.buffer_full), (7, 5, 2));
    });
}

/// The queue has the size that is set, whatever the number of workers.
#[test]
fn twenty_events_and_one_worker_with_a_queue_of_a_thousand_drop_nothing() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, gate) = gated(any(&engine).workers(1).queue(1000), &log).await;
        publish(&engine, &numbers(1..=20)).await;
        settle().await;
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.in_flight, stats.dropped.total()), (20, 20, 0));
        gate.add_permits(20);
        settle().await;
        assert_eq!(log.take(), numbers(1..=20));
        assert_eq!((workers.stats().handled, workers.stats().dropped.total()), (20, 0));
    });
}

#[test]
fn a_full_queue_drops_as_the_overrun_says_and_counts_it() {
    paused(async {
        let rows = [
            (Overrun::DropNewest, "1 2 3", 3),
            (Overrun::DropOldest, "1 5 6", 3),
            (Overrun::Block, "1 2 3 4 5 6", 0),
        ];
        for (overrun, expected, dropped) in rows {
            let engine = memory();
            let log = Log::default();
            let subscribe = any(&engine).workers(1).queue(2).overrun(overrun);
            let (workers, gate) = gated(subscribe, &log).await;
            publish(&engine, "1").await;
            settle().await;
            publish(&engine, "2 3 4 5 6").await;
            settle().await;
            let stats = adds_up(&workers);
            assert_eq!((stats.dropped.queue_full, stats.in_flight), (dropped, 3), "{overrun}");
            gate.add_permits(10);
            settle().await;
            assert_eq!(log.take(), expected, "{overrun}");
            let stats = adds_up(&workers);
            assert_eq!(stats.handled + stats.dropped.queue_full, 6, "{overrun}");
        }
    });
}

#[test]
fn a_full_queue_drops_the_oldest_also_behind_a_key() {
    paused(async {
        // What is published while "1" runs, as id and key; what is handled then.
        let rows = [
            ("2x 3x 4x 5x", "1x 4x 5x"),
            ("2y 3x 4x 5y", "1x 5y 4x"),
            ("2x 3y 4y 5y", "1x 4y 5y"),
            ("2y 3y 4y 5x", "1x 4y 5x"),
            ("2x 3y 4x", "1x 3y 4x"),
            ("2- 3x 4-", "1x 4- 3x"),
            ("2x 3- 4x 5-", "1x 5- 4x"),
        ];
        for (published, expected) in rows {
            let engine = memory();
            let log = Log::default();
            let (to, gate) = (log.clone(), Arc::new(Semaphore::new(0)));
            let pass = gate.clone();
            let subscribe = any(&engine).workers(1).by_key().queue(2);
            let workers = subscribe.overrun(Overrun::DropOldest).handle(move |it: Context| {
                let (to, pass) = (to.clone(), pass.clone());
                async move {
                    to.add(id(&it));
                    pass.acquire().await.unwrap().forget();
                    Done::Ok(())
                }
            });
            let workers = workers.await.unwrap();
            for id in ["1x"].into_iter().chain(published.split(' ')) {
                publish_key(&engine, id, id[1..].trim_matches('-')).await;
                settle().await;
            }
            gate.add_permits(10);
            settle().await;
            assert_eq!(log.take(), expected, "{published}");
            // All keys are free again, and so is the queue.
            publish_key(&engine, "6x", "x").await;
            publish_key(&engine, "7y", "y").await;
            settle().await;
            assert_eq!(log.take(), "6x 7y", "{published}");
            let stats = adds_up(&workers);
            assert_eq!((stats.in_flight, stats.handled), (0, 5), "{published}");
        }
    });
}

#[test]
fn a_full_queue_does_not_drop_what_waits_for_its_retry() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let to = log.clone();
        let subscribe = any(&engine).workers(1).queue(2).retry(RetryPolicy::new(1));
        let workers = subscribe.overrun(Overrun::DropOldest).handle(move |it: Context| {
            let to = to.clone();
            async move {
                to.add(format!("{}@{}", id(&it), it.attempt()));
                if id(&it) == "1" && it.attempt() == 1 {
                    return Err("no");
                }
                sleep(5 * SECOND).await;
                Ok(())
            }
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        settle().await;
        publish(&engine, "2").await;
        sleep(2 * SECOND).await; // "1" is due, and "2" runs
        publish(&engine, "3 4").await;
        sleep(100 * SECOND).await;
        assert_eq!(log.take(), "1@1 2@1 1@2 4@1");
        assert_eq!(adds_up(&workers).dropped.queue_full, 1);
    });
}

#[test]
fn a_live_event_is_not_tried_again_unless_you_say_so() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let workers = failing(any(&engine), 2, &log, false).await;
        publish(&engine, "1").await;
        sleep(20 * SECOND).await;
        assert_eq!(log.take(), "1@1:0");
        assert_eq!((adds_up(&workers).failed, workers.stats().dead_lettered), (1, 0));

        let log = Log::default();
        let workers = failing(any(&engine).workers(2).retry(RetryPolicy::new(2)), 2, &log, false);
        let workers = workers.await;
        publish(&engine, "2").await;
        sleep(20 * SECOND).await;
        assert_eq!(log.take(), "2@1:0 2@2:1 2@3:3");
        assert_eq!((adds_up(&workers).received, workers.stats().handled), (1, 1));
    });
}

// ---- Unsubscribe, shutdown -------------------------------------------------------------------------------

#[test]
fn no_handler_runs_after_unsubscribe() {
    paused(async {
        for group in [false, true] {
            for pool in [false, true] {
                let engine = memory();
                let log = Log::default();
                let subscribe = if group { any(&engine).group("g") } else { any(&engine) };
                let subscribe = if pool { subscribe.workers(1) } else { subscribe };
                let (workers, gate) = gated(subscribe, &log).await;
                publish(&engine, "1 2 3 4").await;
                settle().await;
                {
                    let mut unsubscribe = core::pin::pin!(workers.unsubscribe());
                    let ended = timeout(SECOND, unsubscribe.as_mut()).await;
                    assert!(ended.is_err(), "it waits for the handler that runs");
                    publish(&engine, "5").await;
                    gate.add_permits(10);
                    unsubscribe.await;
                }
                publish(&engine, "6").await;
                workers.unsubscribe().await; // again
                settle().await;
                assert_eq!(log.take(), "1");
                let stats = adds_up(&workers);
                assert_eq!((stats.handled, stats.in_flight), (1, 0));
                if group {
                    // The others go to the next member.
                    let mut next = any(&engine).group("g").open().await.unwrap();
                    for id in ["2", "3", "4", "5", "6"] {
                        let it = timeout(SECOND, next.next()).await.unwrap().unwrap().unwrap();
                        assert_eq!(it.envelope().id(), id);
                        it.ack();
                    }
                } else {
                    assert_eq!((stats.received, stats.dropped.unsubscribed), (4, 3), "{pool}");
                }
            }
        }
    });
}

#[test]
fn dropping_the_workers_unsubscribes_and_detaching_does_not() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, gate) = gated(any(&engine).workers(2), &log).await;
        publish(&engine, "1 2 3").await;
        settle().await;
        drop(workers);
        gate.add_permits(10);
        publish(&engine, "4").await;
        settle().await;
        assert_eq!(log.take(), "1 2");

        let (workers, gate) = gated(any(&engine).workers(2), &log).await;
        workers.detach();
        gate.add_permits(10);
        publish(&engine, "5").await;
        settle().await;
        assert_eq!(log.take(), "5");
    });
}

#[test]
fn a_handler_may_unsubscribe_itself() {
    paused(async {
        let engine = memory();
        let own = Arc::new(Mutex::new(None::<Arc<Workers>>));
        let (mine, ended) = (own.clone(), Arc::new(Notify::new()));
        let notify = ended.clone();
        let workers = any(&engine).group("g").handle(move |_: Context| {
            let (mine, notify) = (mine.clone(), notify.clone());
            async move {
                let workers = mine.lock().unwrap().clone().unwrap();
                workers.unsubscribe().await;
                notify.notify_one();
                Done::Ok(())
            }
        });
        let workers = Arc::new(workers.await.unwrap());
        *own.lock().unwrap() = Some(workers.clone());
        publish(&engine, "1 2").await;
        timeout(SECOND, ended.notified()).await.expect("it does not wait for itself");
        settle().await;
        assert_eq!((adds_up(&workers).handled, workers.stats().calls), (1, 1));
        own.lock().unwrap().take();
    });
}

/// Workers that a handler may use.
#[derive(Clone, Default)]
struct Own(Arc<std::sync::OnceLock<Arc<Workers>>>);

impl Own {
    fn set(&self, workers: Workers) -> Arc<Workers> {
        self.0.set(Arc::new(workers)).unwrap();
        self.get()
    }

    fn get(&self) -> Arc<Workers> {
        self.0.get().unwrap().clone()
    }
}

#[test]
fn handlers_of_one_pool_that_unsubscribe_do_not_wait_for_each_other() {
    paused(async {
        for group in [false, true] {
            let engine = memory();
            let (own, log) = (Own::default(), Log::default());
            let (mine, to) = (own.clone(), log.clone());
            let subscribe = if group { any(&engine).group("g") } else { any(&engine) };
            let workers = subscribe.workers(3).handle(move |it: Context| {
                let (mine, to) = (mine.clone(), to.clone());
                async move {
                    sleep(SECOND).await;
                    if id(&it) == "3" {
                        sleep(4 * SECOND).await;
                        to.add("3");
                        return Done::Ok(());
                    }
                    mine.get().unsubscribe().await;
                    to.add(format!("{}_is_alone", id(&it)));
                    sleep(5 * SECOND).await;
                    to.add(id(&it));
                    Ok(())
                }
            });
            let workers = own.set(workers.await.unwrap());
            publish(&engine, "1 2 3").await;
            sleep(2 * SECOND).await;
            let begin = Instant::now();
            timeout(100 * SECOND, workers.unsubscribe()).await.expect("each of them ends");
            assert_eq!(log.take(), "3 1_is_alone 2_is_alone 1 2", "outside, it waits for all");
            assert_eq!(begin.elapsed().as_secs(), 8);
            assert_eq!((adds_up(&workers).handled, workers.stats().in_flight), (3, 0));
        }
    });
}

#[test]
fn handlers_that_unsubscribe_each_others_workers_do_not_wait_for_each_other() {
    paused(async {
        let engine = memory();
        let (one, other, log) = (Own::default(), Own::default(), Log::default());
        let mut all = Vec::new();
        for (own, ends) in [(&one, &other), (&other, &one)] {
            let (ends, to) = (ends.clone(), log.clone());
            let workers = any(&engine).handle(move |_| {
                let (ends, to) = (ends.clone(), to.clone());
                async move {
                    sleep(SECOND).await;
                    ends.get().unsubscribe().await;
                    to.add("ended");
                    Done::Ok(())
                }
            });
            all.push(own.set(workers.await.unwrap()));
        }
        publish(&engine, "1").await;
        sleep(10 * SECOND).await;
        assert_eq!(log.take(), "ended ended");
        for workers in all {
            assert_eq!(adds_up(&workers).handled, 1);
        }
    });
}

#[test]
fn a_blocking_handler_may_end_its_own_workers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for shuts_down in [false, true] {
            let engine = Arc::new(MemoryEngine::new());
            let (own, log) = (Own::default(), Log::default());
            let (mine, to) = (own.clone(), log.clone());
            let workers = any(&engine).workers(2).handle_blocking(move |_: Context| {
                let runtime = tokio::runtime::Handle::current();
                let workers = mine.get();
                let ended = runtime.block_on(timeout(10 * SECOND, async {
                    if shuts_down {
                        workers.shutdown(10_000 * SECOND).await.unwrap();
                    } else {
                        workers.unsubscribe().await;
                    }
                }));
                to.add(if ended.is_ok() { "ended" } else { "waits" });
                Done::Ok(())
            });
            let workers = own.set(workers.await.unwrap());
            publish(&engine, "1 2").await;
            until(|| workers.stats().handled == 2).await;
            assert_eq!(log.take(), "ended ended");
            assert_eq!(adds_up(&workers).in_flight, 0);
        }
    });
}

#[test]
fn a_handler_may_shut_its_own_workers_down() {
    paused(async {
        for deadline in [Duration::ZERO, 10 * SECOND, Duration::MAX] {
            for group in [false, true] {
                let engine = memory();
                let (own, log) = (Own::default(), Log::default());
                let (mine, to) = (own.clone(), log.clone());
                let subscribe = if group { any(&engine).group("g") } else { any(&engine) };
                let workers = subscribe.handle(move |it: Context| {
                    let (mine, to) = (mine.clone(), to.clone());
                    async move {
                        let begin = Instant::now();
                        let report = mine.get().shutdown(deadline).await.unwrap();
                        let waited = begin.elapsed().as_secs();
                        to.add(format!("{waited}:{}:{}", report.handled, report.abandoned));
                        sleep(20 * SECOND).await;
                        assert!(!it.is_cancelled());
                        to.add("handled");
                        Done::Ok(())
                    }
                });
                let workers = own.set(workers.await.unwrap());
                publish(&engine, "1").await;
                sleep(100 * SECOND).await;
                assert_eq!(log.take(), "0:0:0 handled", "{deadline:?}");
                let stats = adds_up(&workers);
                assert_eq!((stats.handled, stats.calls, stats.in_flight), (1, 1, 0));
            }
        }
    });
}

#[test]
fn a_handler_that_shuts_its_workers_down_outlives_the_others() {
    paused(async {
        let engine = memory();
        let (own, log) = (Own::default(), Log::default());
        let (mine, to) = (own.clone(), log.clone());
        let workers = any(&engine).workers(3).handle(move |it: Context| {
            let (mine, to) = (mine.clone(), to.clone());
            async move {
                sleep(SECOND).await;
                match &*id(&it) {
                    "1" => {
                        let report = mine.get().shutdown(10 * SECOND).await.unwrap_err().0;
                        to.add(format!("{}:{}", report.running, report.abandoned));
                    }
                    "2" => mine.get().unsubscribe().await,
                    _ => sleep(1000 * SECOND).await,
                }
                sleep(20 * SECOND).await;
                to.add(id(&it));
                Done::Ok(())
            }
        });
        let workers = own.set(workers.await.unwrap());
        publish(&engine, "1 2 3").await;
        sleep(100 * SECOND).await;
        let done = log.take();
        assert!(["1:1 1 2", "1:1 2 1"].contains(&&*done), "{done}");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.dropped.abandoned, stats.in_flight), (2, 1, 0));
    });
}

#[test]
fn the_deadline_of_a_shutdown_outside_also_ends_a_handler_that_unsubscribes() {
    paused(async {
        let engine = memory();
        let own = Own::default();
        let mine = own.clone();
        let workers = any(&engine).workers(2).handle(move |it: Context| {
            let mine = mine.clone();
            async move {
                if id(&it) == "1" {
                    mine.get().unsubscribe().await;
                }
                sleep(1000 * SECOND).await;
                Done::Ok(())
            }
        });
        let workers = own.set(workers.await.unwrap());
        publish(&engine, "2 1").await;
        settle().await;
        let report = workers.shutdown(10 * SECOND).await.unwrap_err().0;
        assert_eq!((report.running, report.abandoned), (2, 2));
        timeout(SECOND, workers.unsubscribe()).await.expect("nothing runs any more");
        adds_up(&workers);
    });
}

#[test]
fn what_waits_behind_a_handler_that_shuts_down_is_abandoned_at_the_deadline() {
    paused(async {
        for pool in [false, true] {
            let engine = memory();
            let (own, log) = (Own::default(), Log::default());
            let (mine, to) = (own.clone(), log.clone());
            let subscribe = if pool { any(&engine).workers(1) } else { any(&engine) };
            let workers = subscribe.handle(move |_| {
                let (mine, to) = (mine.clone(), to.clone());
                async move {
                    sleep(SECOND).await;
                    let begin = Instant::now();
                    let report = mine.get().shutdown(10 * SECOND).await.unwrap();
                    let waited = begin.elapsed().as_secs();
                    to.add(format!("{waited}:{}:{}", report.abandoned, report.left));
                    Done::Ok(())
                }
            });
            let workers = own.set(workers.await.unwrap());
            publish(&engine, "1 2 3").await;
            sleep(100 * SECOND).await;
            assert_eq!(log.take(), "10:2:0", "pool: {pool}");
            assert_eq!((adds_up(&workers).handled, workers.stats().dropped.abandoned), (1, 2));
        }
    });
}

#[test]
fn a_handler_may_shut_the_router_down() {
    paused(async {
        let router = Router::builder().engine("memory", memory()).build().unwrap();
        router.start().await.unwrap();
        let log = Log::default();
        let (it, to) = (router.clone(), log.clone());
        let workers = router.subscribe("a.*").unwrap().workers(2).handle(move |_| {
            let (it, to) = (it.clone(), to.clone());
            async move {
                sleep(SECOND).await;
                let report = it.shutdown(10 * SECOND).await.unwrap();
                sleep(100 * SECOND).await;
                to.add(format!("{}", report.running));
                Done::Ok(())
            }
        });
        let workers = workers.await.unwrap();
        for _ in 0..2 {
            router.publish(Envelope::new("a.b").unwrap()).await.unwrap();
        }
        sleep(1000 * SECOND).await;
        assert_eq!(log.take(), "0 0");
        assert_eq!((router.health(), adds_up(&workers).handled), (Health::Closed, 2));
    });
}

#[test]
fn unsubscribing_ends_the_wait_before_a_retry() {
    paused(async {
        for keyed in [false, true] {
            let engine = memory();
            let log = Log::default();
            let subscribe = any(&engine).group("g");
            let subscribe = if keyed { subscribe.workers(2).by_key() } else { subscribe };
            let workers = failing(subscribe, 9, &log, false).await;
            publish_key(&engine, "1", "x").await;
            sleep(SECOND / 2).await;
            let begin = Instant::now();
            workers.unsubscribe().await;
            assert_eq!(begin.elapsed(), Duration::ZERO);
            sleep(60 * SECOND).await;
            assert_eq!(log.take(), "1@1:0");
            assert_eq!((adds_up(&workers).returned, workers.stats().in_flight), (1, 0));
            let mut next = any(&engine).group("g").open().await.unwrap();
            assert_eq!(next.next().await.unwrap().unwrap().envelope().id(), "1");
        }
    });
}

#[test]
fn shutdown_handles_what_is_queued() {
    paused(async {
        for group in [false, true] {
            for pool in [false, true] {
                let engine = memory();
                let subscribe = if group { any(&engine).group("g") } else { any(&engine) };
                let subscribe = if pool { subscribe.workers(2) } else { subscribe };
                let workers = subscribe.handle(async |_: Context| {
                    sleep(SECOND).await;
                    Done::Ok(())
                });
                let workers = workers.await.unwrap();
                publish(&engine, "1 2 3 4 5").await;
                let report = workers.shutdown(60 * SECOND).await.unwrap();
                assert_eq!((report.handled, report.abandoned), (5, 0), "{group} {pool}");
                let again = workers.shutdown(60 * SECOND).await.unwrap();
                assert_eq!((again.handled, again.abandoned), (0, 0));
                publish(&engine, "6").await;
                settle().await;
                let stats = adds_up(&workers);
                assert_eq!((stats.handled, stats.received, stats.in_flight), (5, 5, 0));
            }
        }
    });
}

/// It fails in between: what the engine has back is handled too.
#[test]
fn shutdown_handles_what_waits_for_its_retry() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let workers = failing(any(&engine).group("g").workers(2), 2, &log, false).await;
        publish(&engine, "1").await;
        let report = workers.shutdown(60 * SECOND).await.unwrap();
        assert_eq!(log.take(), "1@1:0 1@2:1 1@3:3");
        assert_eq!((report.running, report.abandoned, workers.stats().handled), (0, 0, 1));
    });
}

#[test]
fn what_still_runs_at_the_deadline_is_dropped_and_reported() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, _gate) = gated(any(&engine).workers(2), &log).await;
        publish(&engine, "1 2 3 4").await;
        settle().await;
        let begin = Instant::now();
        let error = workers.shutdown(5 * SECOND).await.unwrap_err();
        assert_eq!(begin.elapsed(), 5 * SECOND);
        let report = error.0;
        assert_eq!((report.handled, report.running, report.abandoned), (0, 2, 4));
        assert_eq!(
            error.to_string(),
            "not everything ended before the deadline: 0 handled, 0 given back, 4 abandoned, 2 still running",
        );
        let stats = adds_up(&workers);
        assert_eq!((stats.received, stats.dropped.abandoned, stats.in_flight), (4, 4, 0));
        settle().await;
        assert_eq!(log.take(), "1 2");
        assert_eq!(adds_up(&workers), stats, "nothing is counted twice");
        assert!(workers.shutdown(SECOND).await.is_ok());
    });
}

/// What waits in the buffer of a live subscription ends with it, so none of it is left.
#[test]
fn what_a_live_subscription_has_at_the_deadline_is_abandoned_whatever_its_workers() {
    paused(async {
        for deadline in [Duration::ZERO, SECOND] {
            for pool in [false, true] {
                let engine = memory();
                let log = Log::default();
                let subscribe = any(&engine).capacity(16);
                let subscribe = if pool { subscribe.workers(1).queue(2) } else { subscribe };
                let (workers, _gate) = gated(subscribe.overrun(Overrun::Block), &log).await;
                publish(&engine, &numbers(1..=10)).await;
                settle().await;
                let report = workers.shutdown(deadline).await.unwrap_err().0;
                let is = (report.handled, report.running, report.abandoned, report.left);
                assert_eq!(is, (0, 1, 10, 0), "pool: {pool}, {deadline:?}");
                settle().await;
                let stats = adds_up(&workers);
                assert_eq!(
                    (stats.received, stats.dropped.abandoned, log.take()),
                    (10, 10, "1".into())
                );
            }
        }
    });
}

/// The value of a handler may be a message.
#[test]
fn a_handler_may_return_a_message() {
    paused(async {
        let router = Router::builder().engine("a", memory()).build().unwrap();
        router.start().await.unwrap();
        let mut lifecycle = router.lifecycle();
        let log = Log::default();
        fn subscribe<'a>(router: &'a Router, log: &Log) -> Subscribe<'a> {
            let to = log.clone();
            let subscribe = router.subscribe("a.*").unwrap();
            subscribe.on_handled(move |it| to.add(format!("{}@{}", it.message, it.attempt)))
        }
        let said = async || {
            router.publish(Envelope::new("a.b").unwrap()).await.unwrap();
            settle().await;
            log.take()
        };

        let it = subscribe(&router, &log).handle(async |_| Done::Ok(())).await.unwrap();
        assert_eq!(said().await, "");
        drop(it);
        let it = subscribe(&router, &log).handle(async |_| Ok::<_, BoxError>(7)).await.unwrap();
        assert_eq!(said().await, "");
        drop(it);
        let it =
            subscribe(&router, &log).handle(async |_| Ok::<_, BoxError>("text")).await.unwrap();
        assert_eq!(said().await, "text@1");
        drop(it);
        let some = async |_| Ok::<_, BoxError>(Some("some".to_owned()));
        let it = subscribe(&router, &log).handle(some).await.unwrap();
        assert_eq!(said().await, "some@1");
        drop(it);
        let none = async |_| Ok::<_, BoxError>(None::<String>);
        let it = subscribe(&router, &log).handle(none).await.unwrap();
        assert_eq!(said().await, "");
        drop(it);
        let retried = RetryPolicy::new(1).initial(Duration::from_nanos(1));
        let it = subscribe(&router, &log).retry(retried).handle(async |it: Context| {
            match it.attempt() {
                1 => Err(BoxError::from("no")),
                _ => Ok(format!("on {}", it.engine())),
            }
        });
        let it = it.await.unwrap();
        router.publish(Envelope::new("a.b").unwrap()).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(log.take(), "on a@2");
        drop(it);

        let mut lines = Vec::new();
        while let core::task::Poll::Ready(Some(event)) = lifecycle.try_next() {
            let event = event.unwrap();
            lines.extend((event.name() == "message.handled").then(|| event.to_string()));
        }
        assert_eq!(
            lines,
            ["text", "some", "on a"].map(|said| format!("message.handled a.b from a: {said}"))
        );
    });
}

/// Also where a panic of the function that logs it would keep the event from its end.
#[test]
fn a_blocking_handler_may_return_a_message_whose_listener_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = memory();
        let subscribe = any(&engine).group("g").on_handled(|_| panic!("the log is full"));
        let workers = subscribe.handle_blocking(|_| Ok::<_, BoxError>("done")).await.unwrap();
        publish(&engine, "1 2").await;
        let report = timeout(10 * SECOND, workers.shutdown(5 * SECOND)).await;
        assert_eq!(report.expect("it ends").unwrap().handled, 2);
        adds_up(&workers);
    });
}

#[test]
fn what_the_engine_still_has_at_the_deadline_is_reported_as_left() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, gate) = gated(any(&engine).group("g"), &log).await;
        publish(&engine, &numbers(1..=10)).await;
        gate.add_permits(3);
        settle().await;
        let report = workers.shutdown(SECOND).await.unwrap_err().0;
        assert_eq!(log.take(), numbers(1..=4));
        assert_eq!((report.running, report.abandoned, report.left), (1, 1, 6));
        assert!(report.to_string().ends_with("1 still running, 6 left in the engine"), "{report}");
    });
}

#[test]
fn shutdown_with_zero_begins_nothing_new() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (workers, _gate) = gated(any(&engine).workers(1).queue(10), &log).await;
        publish(&engine, "1 2 3").await;
        settle().await;
        let report = workers.shutdown(Duration::ZERO).await.unwrap_err().0;
        assert_eq!((report.running, report.abandoned), (1, 3));
        assert_eq!(log.take(), "1");

        // Nothing runs: it is no error.
        let (workers, _gate) = gated(any(&engine).group("g").workers(1), &log).await;
        assert_eq!(workers.shutdown(Duration::ZERO).await.unwrap().running, 0);
        publish(&engine, "4").await;
        settle().await;
        assert_eq!(log.take(), "");
    });
}

#[test]
fn an_engine_that_outlives_the_process_gets_back_what_has_not_begun() {
    paused(async {
        let engine = memory();
        // It says so of itself.
        let server = Arc::new(Refusing::new(engine.clone(), 0, Panics::Never));
        let log = Log::default();
        let subscribe = server.subscribe("a.*").unwrap().group("g").workers(1).by_key();
        let (workers, gate) = gated(subscribe, &log).await;
        publish(&engine, "1 2 3").await;
        settle().await;
        gate.add_permits(10);
        let report = workers.shutdown(60 * SECOND).await.unwrap();
        assert_eq!((report.handled, report.returned, report.abandoned), (1, 2, 0));
        let mut next = any(&engine).group("g").open().await.unwrap();
        for id in ["2", "3"] {
            let it = timeout(SECOND, next.next()).await.unwrap().unwrap().unwrap();
            assert_eq!((it.envelope().id(), it.attempt()), (id, 2));
            it.ack();
        }
    });
}

#[test]
fn the_end_of_the_engine_ends_the_workers() {
    paused(async {
        let engine = memory();
        let log = Log::default();
        let (live, gate) = gated(any(&engine).workers(2), &log).await;
        publish(&engine, "1 2 3").await;
        gate.add_permits(10);
        engine.shutdown(SECOND).await.unwrap();
        settle().await;
        let stats = adds_up(&live);
        assert_eq!((stats.handled, stats.in_flight), (3, 0), "what was in its buffer is handled");
        assert!(live.shutdown(SECOND).await.is_ok());
    });
}

#[test]
fn workers_that_lose_their_runtime_end() {
    let engine = memory();
    let begin = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap()
    };
    let runtime = begin();
    let workers = runtime.block_on(async {
        let log = Log::default();
        let (workers, _gate) = gated(any(&engine).group("g").workers(2), &log).await;
        publish(&engine, "1 2 3").await;
        settle().await;
        workers
    });
    drop(runtime);
    begin().block_on(async {
        timeout(SECOND, workers.unsubscribe()).await.expect("nothing runs any more");
    });
    let stats = adds_up(&workers);
    assert_eq!((stats.in_flight, stats.returned), (0, 3));
}

// ---- Blocking handlers, services ---------------------------------------------------------------------------

/// Waits in real time: threads know no other.
async fn until(what: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !what() {
        assert!(begin.elapsed() < 30 * SECOND, "it never comes");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

#[test]
fn a_blocking_handler_that_overruns_keeps_its_worker_and_its_result_is_stale() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let (go, gate) = blocking::channel::<()>();
        let gate = Mutex::new(gate);
        let log = Log::default();
        let to = log.clone();
        let subscribe = any(&engine).group("g").workers(1).retry(RetryPolicy::none());
        let subscribe = subscribe.timeout(Duration::from_millis(300));
        let workers = subscribe.handle_blocking(move |it: Context| {
            to.add(id(&it));
            if id(&it) == "1" {
                gate.lock().unwrap().recv().unwrap();
                assert!(it.is_cancelled());
            }
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        until(|| workers.stats().overrunning == 1).await;
        until(|| workers.stats().failed == 1).await;
        publish(&engine, "2").await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.take(), "1", "its worker is not free");
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.timed_out, stats.calls), (0, 1, 1));
        go.send(()).unwrap();
        until(|| workers.stats().handled == 1).await;
        assert_eq!(log.take(), "2");
        let stats = adds_up(&workers);
        assert_eq!((stats.overrunning, stats.failed, stats.handled), (0, 1, 1), "its Ok is stale");
        assert!(workers.shutdown(10 * SECOND).await.is_ok());
    });
}

#[test]
fn a_blocking_handler_that_overruns_is_tried_as_often_as_the_policy_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let policy = RetryPolicy::new(1).initial(Duration::from_millis(1));
        for (at, subscribe) in [
            any(&engine),
            any(&engine).group("in-order"),
            any(&engine).group("by-key").workers(2).by_key(),
        ]
        .into_iter()
        .enumerate()
        {
            let (go, gate) = blocking::channel::<()>();
            let gate = Mutex::new(gate);
            let log = Log::default();
            let to = log.clone();
            let subscribe = subscribe.retry(policy).timeout(Duration::from_millis(300));
            let workers = subscribe.handle_blocking(move |it: Context| {
                to.add(format!("@{}", it.attempt()));
                let _ = gate.lock().unwrap().recv();
                Done::Ok(())
            });
            let workers = workers.await.unwrap();
            publish_key(&engine, &at.to_string(), "k").await;
            for _ in 0..2 {
                until(|| workers.stats().overrunning == 1).await;
                go.send(()).unwrap();
                until(|| workers.stats().overrunning == 0).await;
            }
            until(|| workers.stats().failed == 1 || workers.stats().overrunning == 1).await;
            assert_eq!(log.take(), "@1 @2", "row {at}");
            let stats = adds_up(&workers);
            assert_eq!((stats.failed, stats.calls, stats.timed_out), (1, 2, 2), "row {at}");
        }
        let reasons: Vec<_> = engine.dead_letters().iter().map(|it| it.reason.clone()).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons.iter().all(|it| it.starts_with("failed after 2 attempts: ")));
    });
}

#[test]
fn the_call_of_a_blocking_handler_that_overruns_is_counted_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let (go, gate) = blocking::channel::<()>();
        let gate = Mutex::new(gate);
        let subscribe = any(&engine).timeout(Duration::from_millis(300));
        let workers = subscribe.handle_blocking(move |_: Context| {
            gate.lock().unwrap().recv()?;
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        until(|| workers.stats().overrunning == 1).await;
        assert_eq!(workers.shutdown(Duration::ZERO).await.unwrap_err().0.running, 1);
        assert_eq!(adds_up(&workers).calls, 1);
        go.send(()).unwrap();
        until(|| workers.stats().overrunning == 0).await;
        assert_eq!(adds_up(&workers).calls, 1);
    });
}

#[test]
fn a_worker_of_a_pool_rests_when_the_blocking_handler_that_overran_returns() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for shuts_down in [false, true] {
            let engine = Arc::new(MemoryEngine::new());
            let (go, gate) = blocking::channel::<()>();
            let gate = Mutex::new(gate);
            let subscribe = any(&engine).workers(2).timeout(Duration::from_millis(300));
            let workers = subscribe.handle_blocking(move |_: Context| {
                gate.lock().unwrap().recv()?;
                Done::Ok(())
            });
            let workers = workers.await.unwrap();
            publish(&engine, "1").await;
            until(|| workers.stats().failed == 1).await;
            let unsubscribed = timeout(Duration::from_millis(20), workers.unsubscribe()).await;
            assert!(unsubscribed.is_err(), "it still runs");
            go.send(()).unwrap();
            if shuts_down {
                let report = workers.shutdown(10 * SECOND).await.expect("nothing runs any more");
                assert_eq!(report.running, 0);
            } else {
                let unsubscribed = timeout(10 * SECOND, workers.unsubscribe()).await;
                unsubscribed.expect("nothing runs any more");
            }
            assert_eq!(adds_up(&workers).calls, 1);
        }
    });
}

#[test]
fn a_blocking_handler_that_panics_is_one_failed_delivery() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let workers = any(&engine).group("g").retry(RetryPolicy::none());
        let workers = workers.handle_blocking(|it: Context| {
            assert_ne!(id(&it), "1", "as told");
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1 2").await;
        until(|| workers.stats().handled == 1).await;
        let stats = adds_up(&workers);
        assert_eq!((stats.panicked, stats.failed, stats.handled), (1, 1, 1));
        assert!(engine.dead_letters()[0].reason.contains("the handler panicked: "));
    });
}

#[test]
fn a_blocking_handler_at_the_deadline_of_a_shutdown_is_overrunning_until_it_returns() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let (go, gate) = blocking::channel::<()>();
        let gate = Mutex::new(gate);
        let (begun, has_begun) = blocking::channel::<()>();
        let workers = any(&engine).group("g").handle_blocking(move |_: Context| {
            begun.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            Done::Ok(())
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1").await;
        until(|| has_begun.try_recv().is_ok()).await;
        let report = workers.shutdown(Duration::from_millis(20)).await.unwrap_err().0;
        assert_eq!((report.running, report.abandoned), (1, 1));
        until(|| workers.stats().overrunning == 1).await;
        go.send(()).unwrap();
        until(|| workers.stats().overrunning == 0).await;
        let stats = adds_up(&workers);
        assert_eq!((stats.handled, stats.dropped.abandoned, stats.in_flight), (0, 1, 0));
    });
}

/// Middleware: it counts, and calls what it wraps.
#[derive(Clone)]
struct Counting(Arc<Mutex<usize>>);

impl tower_service::Service<Context> for Counting {
    type Response = &'static str;
    type Error = BoxError;
    type Future = core::future::Ready<Result<&'static str, BoxError>>;

    fn poll_ready(&mut self, _: &mut core::task::Context<'_>) -> core::task::Poll<Done> {
        core::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, it: Context) -> Self::Future {
        *self.0.lock().unwrap() += 1;
        core::future::ready(if it.key() == "bad" { Err("no".into()) } else { Ok("message") })
    }
}

#[test]
fn a_service_handles_events() {
    paused(async {
        let engine = memory();
        let calls = Arc::new(Mutex::new(0));
        let subscribe = any(&engine).group("g").workers(2).retry(RetryPolicy::none());
        let workers = subscribe.handle_service(Counting(calls.clone())).await.unwrap();
        publish(&engine, "1 2").await;
        publish_key(&engine, "3", "bad").await;
        settle().await;
        assert_eq!((*calls.lock().unwrap(), workers.stats().handled), (3, 2));
        assert_eq!(adds_up(&workers).failed, 1);
    });
}

// ---- What is refused -------------------------------------------------------------------------------------

#[test]
fn the_longest_wait_has_jitter_too() {
    let policy = RetryPolicy::new(3).initial(Duration::MAX).max(Duration::MAX);
    let policy = policy.jitter(0.5).unwrap();
    assert_eq!(policy.delay_with(1, 0), Duration::MAX);
    let half = policy.delay_with(1, u64::MAX).as_secs_f64() / Duration::MAX.as_secs_f64();
    assert!((half - 0.5).abs() < 1e-9, "{half}");
}

#[test]
fn settings_out_of_range_or_of_the_other_kind_are_refused() {
    paused(async {
        let engine = memory();
        let open = async |subscribe: Subscribe<'_>| {
            let opened = subscribe.handle(async |_: Context| Done::Ok(())).await;
            opened.map(drop).unwrap_err().to_string()
        };
        let text = |setting, why| format!("engine `memory`: `{setting}` is not valid: {why}");
        assert_eq!(open(any(&engine).workers(0)).await, text("workers", "it is 0"));
        let many = text("workers", "it is more than 65536");
        assert_eq!(open(any(&engine).workers(65_537)).await, many);
        assert_eq!(open(any(&engine).group("g").workers(usize::MAX)).await, many);
        let most = any(&engine).workers(65_536).handle(async |_: Context| Done::Ok(())).await;
        assert!(most.is_ok());
        assert_eq!(open(any(&engine).queue(0)).await, text("queue", "it is 0"));
        assert_eq!(open(any(&engine).timeout(Duration::ZERO)).await, text("timeout", "it is 0"));
        assert_eq!(
            open(any(&engine).dead_letter("d")).await,
            "engine `memory`: `dead_letter` is for durable subscriptions: name a `group`",
        );
        assert_eq!(
            open(any(&engine).group("g").queue(5)).await,
            "engine `memory`: `queue` is for live subscriptions: remove it, or `group`",
        );
        assert_eq!(
            open(any(&engine).group("g").dead_letter("a.*")).await,
            text("dead_letter", "it is not a subject"),
        );
        assert_eq!(
            open(any(&engine).group("g").dead_letter("a.dead")).await,
            text("dead_letter", "the subscription would receive its own dead letters"),
        );
        // The engine itself, which no dead letter could hold on to.
        let bare = MemoryEngine::new();
        assert_eq!(
            open(bare.subscribe("a.*").unwrap().group("g").dead_letter("d")).await,
            text(
                "dead_letter",
                "this engine is not shared: subscribe on a router or an `Arc` of it"
            ),
        );
        let error = any(&engine).workers(2).open().await.map(drop).unwrap_err().to_string();
        assert_eq!(error, text("workers", "it is for a handler: end with `handle`"));
    });
    let engine = memory();
    let mut open = core::pin::pin!(any(&engine).handle(async |_: Context| Done::Ok(())));
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    let core::task::Poll::Ready(Err(error)) = open.as_mut().poll(&mut context) else { panic!() };
    assert_eq!(
        error.to_string(),
        "engine `memory`: `handle` is not valid: there is no tokio runtime here",
    );
}

#[test]
fn workers_say_what_they_are() {
    paused(async {
        let engine = memory();
        let subscribe = || any(&engine).or("b.>").unwrap();
        let one = subscribe().handle(async |_: Context| Done::Ok(())).await.unwrap();
        let two = subscribe().group("g").handle(async |_: Context| Done::Ok(())).await.unwrap();
        assert!(!one.id().is_empty() && one.id() != two.id());
        let patterns: Vec<_> = one.patterns().iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["a.*", "b.>"]);
        assert_eq!((one.mode().name(), two.mode().name()), ("live", "durable"));
        assert_eq!((one.lag(), two.lag()), (Some(0), Some(0)));
        fn send_and_sync<T: Send + Sync>(_: &T) {}
        send_and_sync(&one);
    });
}

// ---- Soak ------------------------------------------------------------------------------------------------

/// Events with failures, panics, timeouts, cancellations and new subscriptions. At the end all numbers
/// add up, each event of the group was handled or is a dead letter, and each key kept its order.
async fn soak(events: u32) {
    let time = "2026-11-30T00:00:00Z".parse().unwrap();
    let clock = TestClock::new(time);
    let builder = MemoryEngine::builder().clock(clock).dead_letters(events as usize);
    let engine = Arc::new(builder.log(events.min(50_000) as usize).build());
    let unordered = Arc::new(Mutex::new(Vec::new()));
    let settled = Arc::new(Mutex::new(vec![0_u8; events as usize]));
    let newest = Arc::new(Mutex::new(vec![None::<u32>; 16]));
    let (mut durable, mut live) = (HandlerStats::default(), HandlerStats::default());
    let policy = RetryPolicy::new(2).initial(Duration::from_millis(10));
    let turn = (events / 40).clamp(100, 2000);
    let (mut at, mut turns) = (0, 0);
    while at < events {
        let subscribe = any(&engine).group("g").workers(4).by_key().retry(policy);
        let (done, order) = (settled.clone(), newest.clone());
        let wrong = unordered.clone();
        let workers = subscribe.timeout(SECOND).lease(SECOND / 2).handle(move |it: Context| {
            let (done, order, wrong) = (done.clone(), order.clone(), wrong.clone());
            async move {
                let number: u32 = it.envelope().id().parse().unwrap();
                if let Ok(key) = it.key().parse::<usize>() {
                    let before = order.lock().unwrap()[key].replace(number);
                    if before.is_some_and(|before| before > number) {
                        wrong.lock().unwrap().push((before, number));
                    }
                }
                match (number % 97, it.attempt() % 3) {
                    (1, 1) | (2, _) => return Err("as told".into()),
                    (3, 1) => panic!("as told"),
                    (4, 1) if number.is_multiple_of(5) => sleep(2 * SECOND).await,
                    (5, _) => tokio::task::yield_now().await,
                    _ => {}
                }
                done.lock().unwrap()[number as usize] += 1;
                Done::Ok(())
            }
        });
        let workers = workers.await.unwrap();
        let count = any(&engine).workers(2).queue(50).handle(async |_: Context| Done::Ok(()));
        let watch = count.await.unwrap();
        for _ in 0..turn.min(events - at) {
            let key = if at % 8 == 7 { String::new() } else { (at % 16).to_string() };
            let event = Envelope::unstamped("a.b").unwrap().with_id(at.to_string()).with_time(time);
            let event = event.with_key(key);
            engine.publish(event.into()).await.unwrap();
            at += 1;
            if at.is_multiple_of(25) {
                tokio::task::yield_now().await;
            }
        }
        turns += 1;
        match (turns % 4, at == events) {
            (0, _) | (_, true) => drop(workers.shutdown(10_000 * SECOND).await.unwrap()),
            (1, _) => drop(workers.shutdown(SECOND / 100).await),
            (2, _) => workers.unsubscribe().await,
            _ => {
                sleep(SECOND / 50).await;
                workers.unsubscribe().await;
            }
        }
        watch.unsubscribe().await;
        settle().await;
        durable += adds_up(&workers);
        live += adds_up(&watch);
    }
    assert!(durable.add_up() && durable.in_flight == 0, "{durable:?}");
    assert!(durable.panicked > 0 && durable.returned > 0 && durable.timed_out > 0, "{durable:?}");
    assert_eq!((live.received, live.in_flight), (u64::from(events), 0));
    assert_eq!(live.handled + live.dropped.total(), u64::from(events), "{live:?}");
    assert_eq!(*unordered.lock().unwrap(), []);
    let dead = engine.dead_letters();
    assert_eq!(durable.dead_lettered, dead.len() as u64);
    let mut settled = settled.lock().unwrap();
    for letter in dead {
        settled[letter.envelope.id().parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(settled.iter().position(|times| *times == 0), None, "it is lost");
}

/// It is told beside the stream, which must not end with it.
#[test]
fn what_is_told_of_gaps_and_refusals_may_panic() {
    paused(async {
        let engine = memory();
        let told = Log::default();
        let of_gaps = told.clone();
        let live = any(&engine).capacity(1).on_gap(move |gap| {
            of_gaps.add(gap.to_string());
            panic!("as told");
        });
        let handled = Log::default();
        let of_events = handled.clone();
        let workers = live.handle(move |event: Context| {
            of_events.add(id(&event));
            async { Done::Ok(()) }
        });
        let workers = workers.await.unwrap();
        publish(&engine, "1 2 3").await;
        settle().await;
        publish(&engine, "4").await;
        settle().await;
        assert_eq!(told.take(), "missed 2 events: the buffer was full");
        assert_eq!(handled.take(), "1 4");
        assert!(workers.stats().add_up() && workers.stats().handled == 2);

        let of_refusals = told.clone();
        let group = any(&engine).group("g").lease(SECOND).on_refused(move |event, error| {
            of_refusals.add(format!("{}: {error}", event.id()));
            panic!("as told");
        });
        let mut group = group.open().await.unwrap();
        publish(&engine, "5").await;
        let late = group.next().await.unwrap().unwrap();
        sleep(2 * SECOND).await;
        let again = group.next().await.unwrap().unwrap();
        late.ack();
        again.ack();
        assert_eq!(told.take(), "5: too late: the lease of the delivery has ended");
        assert!(group.stats().add_up());
        assert_eq!((group.stats().refused, group.stats().handled), (1, 1));
    });
}

/// Those of the soak are thousands.
fn quiet_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"as told") {
            before(panic);
        }
    }));
}

#[test]
fn the_numbers_add_up_after_failures_panics_cancellations_and_new_subscriptions() {
    quiet_panics();
    paused(soak(100_000));
}

/// By hand, with `--release --ignored`: minutes.
#[test]
#[ignore = "10 million events take minutes"]
fn soak_of_ten_million_events() {
    quiet_panics();
    paused(soak(10_000_000));
}
