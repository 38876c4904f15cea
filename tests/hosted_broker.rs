//! The broker on a store in memory: what it accepts, what its handlers do, what its records say. Alone,
//! and in a group over an engine.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Mutex;

use tickbus::envelope::Timestamp;
use tickbus::hosted::broker::{self, Broker, BrokerBuilder, BrokerError, ProcessingMode};
use tickbus::hosted::store::{
    EventRecord, EventSource, EventStatus, MemoryStore, Store, StoreError,
};
use tickbus::hosted::{RetryPolicy, TestClock};
use tokio::sync::Semaphore;

#[path = "broker/faulty.rs"]
mod faulty;
#[path = "broker/group.rs"]
mod group;
#[path = "broker/metrics.rs"]
mod metrics;
#[path = "broker/model.rs"]
mod model;
#[path = "broker/wrap.rs"]
mod wrap;

use faulty::Faulty;

const LONG: Duration = Duration::from_secs(3600);

/// Runs on time that stands still until everything waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(1000 * LONG, test).await.expect("the test waits for ever")
    })
}

fn record(id: &str) -> EventRecord {
    let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
    record.id = id.into();
    record
}

/// A store, and a broker that has it and does not retry.
fn broker(set: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> (Arc<MemoryStore>, Broker) {
    let store = Arc::new(MemoryStore::default());
    let begin = Timestamp::from_unix_nanos(0).unwrap();
    let builder = Broker::builder()
        .store(store.clone())
        .instance_id("shop-1")
        .retry(RetryPolicy::none())
        .clock(TestClock::new(begin));
    (store, set(builder).build().unwrap())
}

async fn get(store: &MemoryStore, id: &str) -> Arc<EventRecord> {
    store.get(id).await.unwrap()
}

async fn total(store: &MemoryStore) -> u64 {
    store.stats().await.unwrap().total_events
}

#[test]
fn a_broker_needs_a_store_an_instance_id_and_no_zeros() {
    let error = Broker::builder().build().unwrap_err();
    assert_eq!(error.to_string(), "a broker needs a store: set `store`");
    let with_store = || Broker::builder().store(Arc::new(MemoryStore::default()));
    let error = with_store().instance_id("").build().unwrap_err();
    assert_eq!(error.to_string(), "instance ID is required: set `instance_id`");
    let error = with_store().workers(0).build().unwrap_err();
    assert_eq!(error.to_string(), "`workers` of a broker is 0");
    let error = with_store().buffer(0).build().unwrap_err();
    assert_eq!(error.to_string(), "`buffer` of a broker is 0");
    let error = with_store().workers(100_000).build().unwrap_err();
    assert_eq!(error.to_string(), "`workers` of a broker is more than 65536");
    let error = with_store().buffer(usize::MAX).build().unwrap_err();
    assert!(error.to_string().starts_with("`buffer` of a broker is more than "), "{error}");
    let stats = with_store().build().unwrap().stats();
    assert!(!stats.instance_id.is_empty() && stats.workers == 10);
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        assert_eq!(&*stats.instance_id, host.trim_end());
    }
}

#[test]
fn it_publishes_only_while_it_runs() {
    run(async {
        for mode in [ProcessingMode::Asynchronous, ProcessingMode::Synchronous] {
            let (store, broker) = broker(|it| it.mode(mode));
            let refused = |error: BrokerError| assert_eq!(error.code(), "not_running");
            refused(broker.publish(record("1")).await.unwrap_err());
            refused(broker.publish_sync(record("1")).await.unwrap_err());
            refused(broker.publish_async(record("1")).await.unwrap_err());
            broker.stop(LONG).await.unwrap(); // not started: nothing to stop

            broker.start().unwrap();
            assert_eq!(broker.start().unwrap_err().code(), "already_running");
            broker.publish(record("1")).await.unwrap();
            broker.stop(LONG).await.unwrap();
            broker.stop(LONG).await.unwrap();
            refused(broker.publish(record("2")).await.unwrap_err());

            broker.start().unwrap();
            broker.publish(record("3")).await.unwrap();
            broker.stop(LONG).await.unwrap();
            assert_eq!(total(&store).await, 2);
            assert_eq!(broker.stats().total_processed, 2);
        }
    });
}

#[test]
fn a_synchronous_publish_returns_when_all_handlers_have_run_in_order() {
    run(async {
        let (store, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in ["first", "second", "third"] {
            let order = order.clone();
            broker
                .subscribe("public.*.create", move |record: Arc<EventRecord>| {
                    let order = order.clone();
                    async move {
                        assert_eq!(record.status, EventStatus::Processing);
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        order.lock().unwrap().push(name);
                        if name == "third" { Ok(()) } else { Err(name) }
                    }
                })
                .unwrap();
        }
        broker.start().unwrap();
        let error = broker.publish(record("1")).await.unwrap_err();
        assert_eq!(error.to_string(), "second (after 1 attempt)"); // the last error
        assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, &*kept.error), (EventStatus::Failed, "second (after 1 attempt)"));
        assert_eq!(kept.processed_at.unwrap().to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(kept.completed_at.unwrap().to_string(), "1970-01-01T00:00:03Z");
        assert_eq!(kept.instance_id, "shop-1");
    });
}

#[test]
fn an_event_without_a_handler_is_completed_and_counted() {
    run(async {
        let (store, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        assert_eq!(get(&store, "1").await.status, EventStatus::Completed);
        let stats = broker.stats();
        assert_eq!((stats.total_processed, stats.unhandled, stats.total_failed), (1, 1, 0));
    });
}

#[test]
fn with_all_workers_busy_exactly_the_buffer_more_is_accepted() {
    run(async {
        for workers in [1, 3] {
            let (store, broker) = broker(|it| it.workers(workers).buffer(2));
            let gate = Arc::new(Semaphore::new(0));
            let go = gate.clone();
            broker
                .subscribe("*", move |_: Arc<EventRecord>| {
                    let gate = gate.clone();
                    async move {
                        gate.acquire().await?.forget();
                        Ok::<(), tokio::sync::AcquireError>(())
                    }
                })
                .unwrap();
            broker.start().unwrap();
            for busy in 0..workers {
                broker.publish(record(&format!("busy {busy}"))).await.unwrap();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            broker.publish(record("a")).await.unwrap();
            broker.publish(record("b")).await.unwrap();
            let error = broker.publish(record("c")).await.unwrap_err();
            assert_eq!((error.code(), &*error.to_string()), ("queue_full", "event queue is full"));
            assert!(matches!(store.get("c").await, Err(StoreError::NotFound(_))));
            let stats = broker.stats();
            assert_eq!(stats.total_published, workers as u64 + 2);
            assert_eq!((stats.queue_size, stats.in_progress), (2, workers as u64 + 2));

            go.add_permits(100);
            broker.stop(LONG).await.unwrap();
            let stats = broker.stats();
            let ended = (stats.total_processed, stats.abandoned, stats.in_progress);
            assert_eq!(ended, (workers as u64 + 2, 0, 0));
        }
    });
}

#[test]
fn a_dropped_publish_async_gives_its_place_back_and_counts_nothing() {
    run(async {
        let store = Faulty::slow_to_store();
        let broker = Broker::builder().store(store.clone()).instance_id("1").workers(1).buffer(1);
        let broker = broker.build().unwrap();
        broker.start().unwrap();
        let waits = tokio::time::timeout(Duration::from_secs(1), broker.publish_async(record("1")));
        assert!(waits.await.is_err());
        let stats = broker.stats();
        assert_eq!((stats.total_published, stats.queue_size, stats.in_progress), (0, 0, 0));
        assert!(matches!(store.get("1").await, Err(StoreError::NotFound(_))));

        store.puts.as_ref().unwrap().add_permits(1);
        broker.publish_async(record("2")).await.unwrap(); // into the one place there is
        broker.stop(LONG).await.unwrap();
        let stats = broker.stats();
        assert_eq!((stats.total_published, stats.total_processed, stats.abandoned), (1, 1, 0));
    });
}

#[test]
fn the_worker_pool_is_stopped_when_the_runtime_of_the_workers_has_ended() {
    let (store, broker) = broker(|it| it);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { broker.start().unwrap() });
    drop(runtime);
    run(async {
        let error = broker.publish_async(record("1")).await.unwrap_err();
        let told = (error.code(), &*error.to_string());
        assert_eq!(told, ("worker_pool_stopped", "worker pool is stopped"));
        let stats = broker.stats();
        assert_eq!((total(&store).await, stats.total_published, stats.in_progress), (0, 0, 0));
        broker.stop(LONG).await.unwrap();
        let error = broker.publish_async(record("1")).await.unwrap_err();
        assert_eq!(error.code(), "not_running");
    });
}

#[test]
fn one_worker_keeps_the_order_of_publishing() {
    run(async {
        let (_, broker) = broker(|it| it.workers(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let seen = order.clone();
        broker
            .subscribe("*", move |record: Arc<EventRecord>| {
                seen.lock().unwrap().push(record.id.clone());
                async { Ok::<(), String>(()) }
            })
            .unwrap();
        broker.start().unwrap();
        let ids: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        for id in &ids {
            broker.publish(record(id)).await.unwrap();
        }
        broker.stop(LONG).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ids);
    });
}

#[test]
fn a_retry_waits_as_the_policy_says_and_the_record_counts_it() {
    run(async {
        let (store, broker) = broker(|it| it.retry(RetryPolicy::new(3)));
        let times = Arc::new(Mutex::new(Vec::new()));
        let begin = tokio::time::Instant::now();
        let seen = times.clone();
        broker
            .subscribe("*", move |record: Arc<EventRecord>| {
                let mut times = seen.lock().unwrap();
                times.push((begin.elapsed().as_secs(), record.retry_count));
                let outcome = if times.len() < 4 { Err("not yet") } else { Ok(()) };
                async move { outcome }
            })
            .unwrap();
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        broker.stop(LONG).await.unwrap();
        assert_eq!(*times.lock().unwrap(), [(0, 0), (1, 1), (3, 2), (7, 3)]);
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 3));
    });
}

/// The retry would begin after a second.
#[test]
fn a_stop_that_takes_too_long_ends_the_wait_for_a_retry() {
    run(async {
        let (store, broker) = broker(|it| it.retry(RetryPolicy::new(3)));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        broker
            .subscribe("*", move |_: Arc<EventRecord>| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { Err::<(), _>("not yet") }
            })
            .unwrap();
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        while calls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        let error = broker.stop(Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.code(), "stop_timed_out");
        assert_eq!(began.elapsed().as_millis(), 10);
        tokio::time::sleep(LONG).await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(get(&store, "1").await.status, EventStatus::Processing);
        // It has not ended, and may be published again.
        broker.start().unwrap();
        broker.stop(LONG).await.unwrap();
    });
}

#[test]
fn a_panic_is_one_failed_event_and_the_worker_lives() {
    run(async {
        let (store, broker) = broker(|it| it.workers(1));
        broker
            .subscribe("*", |record: Arc<EventRecord>| {
                assert!(record.id != "at once", "at once");
                async move {
                    assert!(record.id != "later", "later");
                    Ok::<(), String>(())
                }
            })
            .unwrap();
        broker.start().unwrap();
        for id in ["at once", "later", "well"] {
            broker.publish(record(id)).await.unwrap();
        }
        broker.stop(LONG).await.unwrap();
        for id in ["at once", "later"] {
            let kept = get(&store, id).await;
            assert_eq!(kept.status, EventStatus::Failed);
            assert_eq!(kept.error, "the handler panicked (after 1 attempt)");
        }
        let stats = broker.stats();
        assert_eq!((stats.panicked, stats.total_failed, stats.total_processed), (2, 2, 1));
    });
}

/// An error that panics when it is shown, or when it is dropped.
#[derive(Debug)]
struct Bad {
    in_text: bool,
}

impl core::fmt::Display for Bad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        assert!(!self.in_text, "in its text");
        f.write_str("bad")
    }
}

impl core::error::Error for Bad {}

impl Drop for Bad {
    fn drop(&mut self) {
        assert!(self.in_text || std::thread::panicking(), "in its drop");
    }
}

/// What a panic carries may panic too.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in the drop of a panic");
    }
}

#[test]
fn a_panic_of_an_error_is_one_failed_event_and_the_worker_lives() {
    run(async {
        let (store, broker) = broker(|it| it.workers(1));
        broker
            .subscribe("*", |record: Arc<EventRecord>| async move {
                match &*record.id {
                    "text" => Err(Bad { in_text: true }),
                    "drop" => Err(Bad { in_text: false }),
                    "payload" => std::panic::panic_any(Payload),
                    _ => Ok(()),
                }
            })
            .unwrap();
        broker.start().unwrap();
        for id in ["text", "drop", "payload", "well"] {
            broker.publish(record(id)).await.unwrap();
        }
        broker.stop(LONG).await.unwrap();
        for id in ["text", "drop", "payload"] {
            assert_eq!(
                get(&store, id).await.error,
                "the handler panicked (after 1 attempt)",
                "{id}"
            );
        }
        let stats = broker.stats();
        assert_eq!((stats.panicked, stats.total_failed, stats.total_processed), (3, 3, 1));
        assert_eq!((stats.abandoned, stats.in_progress), (0, 0));
    });
}

#[test]
fn a_stop_that_is_dropped_goes_on_with_the_next_one() {
    run(async {
        let (_, broker) = broker(|it| it.workers(1));
        let running = Arc::new(AtomicUsize::new(0));
        let seen = running.clone();
        broker
            .subscribe("*", move |_: Arc<EventRecord>| {
                let running = seen.clone();
                async move {
                    assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    Ok::<(), String>(())
                }
            })
            .unwrap();
        broker.start().unwrap();
        for id in ["1", "2", "3"] {
            broker.publish(record(id)).await.unwrap();
        }
        let dropped = tokio::time::timeout(Duration::from_secs(1), broker.stop(LONG));
        assert!(dropped.await.is_err());
        assert_eq!(broker.start().unwrap_err().code(), "already_running");
        assert_eq!(broker.publish(record("4")).await.unwrap_err().code(), "not_running");
        broker.stop(LONG).await.unwrap();
        let stats = broker.stats();
        assert_eq!((stats.total_processed, stats.panicked, stats.in_progress), (3, 0, 0));
        broker.start().unwrap();
        broker.stop(LONG).await.unwrap();
    });
}

#[test]
fn a_stop_that_is_dropped_waits_for_a_synchronous_publish_with_the_next_one() {
    run(async {
        let never = (Duration::ZERO, Duration::ZERO); // no task but the publish
        let (_, broker) =
            broker(|it| it.mode(ProcessingMode::Synchronous).clean_up(never.0, never.1));
        broker
            .subscribe("*", |_: Arc<EventRecord>| async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        let publish = tokio::spawn({
            let broker = broker.clone();
            async move { broker.publish(record("1")).await }
        });
        tokio::task::yield_now().await;
        let dropped = tokio::time::timeout(Duration::from_secs(1), broker.stop(LONG));
        assert!(dropped.await.is_err());
        assert_eq!(broker.start().unwrap_err().code(), "already_running");
        broker.stop(LONG).await.unwrap();
        assert_eq!(broker.stats().in_progress, 0);
        publish.await.unwrap().unwrap();
    });
}

#[test]
fn a_record_that_has_ended_is_pending_again_when_it_is_published() {
    run(async {
        for status in EventStatus::ALL {
            let (store, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
            let seen = Arc::new(Mutex::new(None));
            let see = seen.clone();
            broker
                .subscribe("*", move |record: Arc<EventRecord>| {
                    *see.lock().unwrap() = Some((record.error.clone(), record.completed_at));
                    async { Ok::<(), String>(()) }
                })
                .unwrap();
            broker.start().unwrap();
            let mut before = record("1");
            before.mark_failed(Timestamp::from_unix_nanos(2).unwrap(), "before the fix");
            before.status = status;
            broker.publish(before).await.unwrap();
            assert_eq!(seen.lock().unwrap().take(), Some((String::new(), None)));
            let kept = get(&store, "1").await;
            assert_eq!((kept.status, &*kept.error), (EventStatus::Completed, ""));
        }
    });
}

#[test]
fn a_stop_waits_for_a_synchronous_publish() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker
            .subscribe("*", |_: Arc<EventRecord>| async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        let publish = tokio::spawn({
            let broker = broker.clone();
            async move { broker.publish(record("1")).await }
        });
        tokio::task::yield_now().await;
        let error = broker.stop(Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, BrokerError::StopTimedOut { left: 1, .. }), "{error}");
        broker.start().unwrap();
        let begin = tokio::time::Instant::now();
        broker.stop(LONG).await.unwrap();
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
        publish.await.unwrap().unwrap();
    });
}

#[test]
fn handlers_are_added_and_removed_once() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        let calls = Arc::new(AtomicUsize::new(0));
        let add = |pattern: &str| {
            let calls = calls.clone();
            broker.subscribe(pattern, move |_: Arc<EventRecord>| {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Ok::<(), String>(()) }
            })
        };
        assert_eq!(add("").unwrap_err().code(), "invalid_pattern");
        let (one, two) = (add("*").unwrap(), add("public.users.*").unwrap());
        assert_ne!(one, two);
        assert_eq!(broker.stats().active_subscribers, 2);
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        broker.unsubscribe(one).unwrap();
        let error = broker.unsubscribe(one).unwrap_err();
        assert_eq!(error.to_string(), format!("subscription not found: {one}"));
        broker.publish(record("2")).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        broker.unsubscribe(two).unwrap();
        assert_eq!(broker.stats().active_subscribers, 0);
    });
}

#[test]
fn a_stop_that_takes_too_long_cancels_and_counts() {
    run(async {
        let (store, broker) = broker(|it| it.workers(1));
        broker
            .subscribe("*", |_: Arc<EventRecord>| async {
                tokio::time::sleep(LONG).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        for id in ["1", "2", "3"] {
            broker.publish(record(id)).await.unwrap();
        }
        let error = broker.stop(Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, BrokerError::StopTimedOut { left: 3, .. }), "{error}");
        tokio::task::yield_now().await;
        let stats = broker.stats();
        assert_eq!((stats.total_published, stats.abandoned, stats.in_progress), (3, 3, 0));
        assert_eq!(get(&store, "1").await.status, EventStatus::Processing);
        assert_eq!(get(&store, "2").await.status, EventStatus::Pending);
    });
}

#[test]
fn old_records_that_have_ended_are_removed_every_five_minutes() {
    run(async {
        let (store, broker) = broker(|it| it);
        broker.start().unwrap();
        let mut old = record("old");
        old.created_at = Timestamp::from_unix_nanos(0).unwrap();
        broker.publish(old).await.unwrap();
        tokio::time::sleep(24 * LONG - Duration::from_secs(1)).await;
        assert_eq!(total(&store).await, 1);
        tokio::time::sleep(Duration::from_secs(302)).await;
        assert_eq!(total(&store).await, 0);
        broker.stop(LONG).await.unwrap();
    });
}

#[test]
fn after_a_clock_that_jumped_it_cleans_up_once() {
    run(async {
        let store = Faulty::new(usize::MAX, false);
        let (_, broker) =
            broker(|it| it.store(store.clone()).clean_up(Duration::from_secs(1), LONG));
        broker.start().unwrap();
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert_eq!(store.calls(), 3);
        tokio::time::advance(LONG).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let calls = store.calls();
        assert!((5..=7).contains(&calls), "{calls} clean-ups");
        broker.stop(LONG).await.unwrap();
    });
}

#[test]
fn a_stop_beside_a_stop_has_a_deadline_of_its_own() {
    run(async {
        let (_, broker) = broker(|it| it);
        let took = Duration::from_secs(1000);
        broker
            .subscribe("*", move |_: Arc<EventRecord>| async move {
                tokio::time::sleep(took).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        let begin = tokio::time::Instant::now();
        let first = tokio::spawn({
            let broker = broker.clone();
            async move { broker.stop(LONG).await }
        });
        tokio::task::yield_now().await;
        let five = Duration::from_secs(5);
        let error = broker.stop(five).await.unwrap_err();
        assert!(matches!(error, BrokerError::StopTimedOut { left: 1, .. }), "{error}");
        let slack = Duration::from_millis(10);
        assert!(begin.elapsed() < five + slack, "{:?}", begin.elapsed());
        let nothing = broker.stop(Duration::ZERO).await.unwrap_err();
        assert_eq!(nothing.code(), "stop_timed_out");
        assert!(begin.elapsed() < five + slack, "{:?}", begin.elapsed());
        first.await.unwrap().unwrap();
        assert!(begin.elapsed() >= took, "the first waited on");
        broker.stop(Duration::ZERO).await.unwrap(); // it is over
    });
}

#[test]
fn a_record_that_is_not_valid_is_neither_stored_nor_counted() {
    run(async {
        let (store, broker) = broker(|it| it);
        broker.start().unwrap();
        for publish in [true, false] {
            let invalid = record("");
            let result = match publish {
                true => broker.publish_async(invalid).await,
                false => broker.publish_sync(invalid).await,
            };
            assert_eq!(result.unwrap_err().to_string(), "event ID is required");
        }
        assert_eq!((total(&store).await, broker.stats().total_published), (0, 0));
    });
}

#[test]
fn a_store_that_fails_in_the_middle_is_seen_and_loses_no_place_in_the_queue() {
    run(async {
        // 0: the put; 1: processing; 2: the end.
        for (at, panics) in [(0, false), (1, false), (2, false), (3, false), (1, true), (2, true)] {
            let store = Faulty::new(at, panics);
            let broker = Broker::builder()
                .store(store.clone())
                .instance_id("1")
                .workers(1)
                .buffer(1)
                .clean_up(Duration::ZERO, LONG)
                .build()
                .unwrap();
            broker.start().unwrap();
            let result = broker.publish(record("1")).await;
            tokio::time::sleep(LONG).await;
            let stats = broker.stats();
            if at == 0 {
                assert_eq!(result.unwrap_err().to_string(), "the store failed: the disk is full");
                assert_eq!(stats.total_published, 0);
                broker.publish(record("2")).await.unwrap(); // its place is free again
            } else {
                result.unwrap();
                assert_eq!((stats.total_processed, stats.store_errors), (1, (at < 3).into()));
            }
            broker.stop(LONG).await.unwrap();
            assert_eq!(broker.stats().in_progress, 0);
        }
    });
}

#[test]
fn a_publish_that_races_a_stop_is_handled_or_refused() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..50 {
        let (store, broker) = broker(|it| it.workers(2).buffer(8));
        runtime().block_on(async {
            broker.start().unwrap();
            let (began, begins) = tokio::sync::oneshot::channel();
            let publisher = std::thread::spawn({
                let broker = broker.clone();
                move || {
                    runtime().block_on(async {
                        let mut accepted = 0;
                        let mut began = Some(began);
                        for n in 0.. {
                            match broker.publish(record(&n.to_string())).await {
                                Ok(()) => accepted += 1,
                                Err(BrokerError::QueueFull) => std::thread::yield_now(),
                                Err(BrokerError::NotRunning | BrokerError::WorkerPoolStopped) => {
                                    break;
                                }
                                Err(other) => panic!("{other}"),
                            }
                            began.take().map(|began| began.send(()));
                        }
                        accepted
                    })
                }
            });
            begins.await.unwrap();
            broker.stop(LONG).await.unwrap();
            let accepted: u64 = publisher.join().unwrap();
            let stats = broker.stats();
            assert_eq!((stats.total_published, stats.total_processed), (accepted, accepted));
            assert_eq!(total(&store).await, accepted);
        });
    }
}

#[test]
fn there_is_one_default_broker() {
    run(async {
        assert!(!broker::is_initialized());
        let codes = [
            broker::publish(record("1")).await.unwrap_err().code(),
            broker::publish_sync(record("1")).await.unwrap_err().code(),
            broker::publish_async(record("1")).await.unwrap_err().code(),
            broker::stats().unwrap_err().code(),
            broker::default_broker().unwrap_err().code(),
            broker::register_shutdown(LONG, |_| ()).unwrap_err().code(),
        ];
        assert_eq!(codes, ["not_initialized"; 6]);
        let (store, first) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker::initialize(first.clone()).unwrap();
        assert!(broker::is_initialized());
        assert_eq!(broker::initialize(first).unwrap_err().code(), "already_initialized");
        broker::default_broker().unwrap().start().unwrap();
        let ok = |_: Arc<EventRecord>| async { Ok::<(), String>(()) };
        let id = broker::subscribe("*", ok).unwrap();
        broker::publish(record("1")).await.unwrap();
        broker::publish_sync(record("2")).await.unwrap();
        let error = broker::publish_async(record("3")).await.unwrap_err();
        assert_eq!(error.code(), "no_workers");
        assert_eq!((total(&store).await, broker::stats().unwrap().total_processed), (2, 2));
        assert_eq!(broker::stats().unwrap().unhandled, 0);
        broker::unsubscribe(id).unwrap();
        assert_eq!(broker::unsubscribe(id).unwrap_err().code(), "subscription_not_found");
        let stop = broker::register_shutdown(LONG, |stop| stop).unwrap();
        stop().await.unwrap();
        assert!(!broker::default_broker().unwrap().is_running());
    });
}
