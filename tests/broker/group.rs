//! Brokers of a group over an engine: who handles a record, and what becomes of it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Mutex;

use tickbus::Envelope;
use tickbus::hosted::broker::{Broker, BrokerBuilder, BrokerError, ProcessingMode};
use tickbus::hosted::store::{EventRecord, EventStatus, MemoryStore, Store, StoreError};
use tickbus::hosted::{Capability, Engine, MemoryEngine, RetryPolicy, StartAt, TestClock};
use tokio::sync::Semaphore;

use crate::faulty::Faulty;
use crate::wrap::{Wrap, set};
use crate::{LONG, get, record, run, total};

const LEASE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn clock() -> TestClock {
    TestClock::new(tickbus::envelope::Timestamp::from_unix_nanos(0).unwrap())
}

fn memory() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::builder().clock(clock()).build())
}

/// A member of the group `orders` that is not started.
fn member(name: &str, store: Arc<dyn Store>, engine: impl Engine) -> BrokerBuilder {
    Broker::builder()
        .store(store)
        .instance_id(name)
        .retry(RetryPolicy::none())
        .clock(clock())
        .engine(engine)
        .group("orders")
}

async fn started(builder: BrokerBuilder) -> Broker {
    started_with(builder, |_| ()).await.0
}

/// Starts a broker that has handlers before the first event comes.
async fn started_with<T>(builder: BrokerBuilder, add: impl FnOnce(&Broker) -> T) -> (Broker, T) {
    let broker = builder.build().unwrap();
    let added = add(&broker);
    broker.start().unwrap();
    broker.ready().await.unwrap();
    (broker, added)
}

/// Counts the calls of a handler by record, and lets it return `Ok`.
fn counts(broker: &Broker) -> Arc<Mutex<BTreeMap<String, usize>>> {
    let calls = Arc::new(Mutex::new(BTreeMap::new()));
    let counted = calls.clone();
    broker
        .subscribe("*", move |record: Arc<EventRecord>| {
            *counted.lock().unwrap().entry(record.id.clone()).or_default() += 1;
            async { Ok::<(), String>(()) }
        })
        .unwrap();
    calls
}

/// A handler that waits until the gate has a permit.
fn waits(broker: &Broker, calls: &Arc<AtomicUsize>) -> Arc<Semaphore> {
    let (gate, calls) = (Arc::new(Semaphore::new(0)), calls.clone());
    let go = gate.clone();
    broker
        .subscribe("*", move |_: Arc<EventRecord>| {
            let gate = gate.clone();
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                gate.acquire().await?.forget();
                Ok::<(), tokio::sync::AcquireError>(())
            }
        })
        .unwrap();
    go
}

async fn later(wait: Duration) {
    tokio::time::sleep(wait).await;
}

#[test]
fn each_record_is_handled_by_one_broker_of_the_group_and_all_its_handlers_run() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let mut brokers = Vec::new();
        for name in ["shop-1", "shop-2", "shop-3"] {
            let broker = started(member(name, store.clone(), engine.clone()).workers(2)).await;
            brokers.push((counts(&broker), counts(&broker), broker));
        }
        for number in 0..60 {
            brokers[number % 3].2.publish(record(&number.to_string())).await.unwrap();
        }
        for (_, _, broker) in &brokers {
            broker.stop(LONG).await.unwrap();
        }
        let mut all = BTreeMap::new();
        for (first, second, broker) in &brokers {
            let (first, second) = (first.lock().unwrap(), second.lock().unwrap());
            assert_eq!(*first, *second, "both handlers ran for each record");
            let stats = broker.stats();
            assert!(stats.total_processed > 0, "no broker has all the work");
            assert_eq!(stats.total_processed, first.len() as u64);
            assert_eq!((stats.total_published, stats.total_received), (20, stats.total_processed));
            for (id, count) in &*first {
                *all.entry(id.clone()).or_insert(0) += count;
            }
        }
        assert_eq!(all.len(), 60);
        assert!(all.values().all(|count| *count == 1), "{all:?}");
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.total_events, stats.completed_events), (60, 60));
        let first = get(&store, "0").await;
        assert_eq!(first.instance_id, "shop-1", "who published it");
        assert!(first.processed_at.is_some() && first.completed_at.is_some());
    });
}

#[test]
fn another_group_has_each_record_too() {
    run(async {
        let engine = memory();
        let group = |name: &'static str| {
            let store = Arc::new(MemoryStore::default());
            (store.clone(), member(name, store, engine.clone()).group(name))
        };
        let ((here, orders), (there, bills)) = (group("orders"), group("bills"));
        let (orders, bills) = (started(orders).await, started(bills).await);
        let calls = [counts(&orders), counts(&bills)];
        orders.publish(record("1")).await.unwrap();
        orders.stop(LONG).await.unwrap();
        bills.stop(LONG).await.unwrap();
        for (calls, store) in calls.iter().zip([here, there]) {
            assert_eq!(calls.lock().unwrap()["1"], 1);
            assert_eq!(get(&store, "1").await.status, EventStatus::Completed);
        }
    });
}

#[test]
fn one_handler_of_several_fails_and_the_record_has_failed() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let broker = started(member("1", store.clone(), engine).retry(RetryPolicy::new(1))).await;
        let before = counts(&broker);
        broker.subscribe("*", |_: Arc<EventRecord>| async { Err::<(), _>("no") }).unwrap();
        let after = counts(&broker);
        broker.publish(record("1")).await.unwrap();
        broker.stop(LONG).await.unwrap();
        assert_eq!((before.lock().unwrap()["1"], after.lock().unwrap()["1"]), (1, 1));
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, &*kept.error), (EventStatus::Failed, "no (after 2 attempts)"));
        assert_eq!(kept.retry_count, 1);
        assert_eq!((broker.stats().total_failed, broker.stats().total_processed), (1, 0));
    });
}

#[test]
fn an_event_is_acknowledged_after_its_status_is_stored() {
    run(async {
        let (engine, store) = (memory(), Faulty::waiting());
        let wrap = Wrap { outlives: true, ..Wrap::new(&engine) };
        let twice = RetryPolicy::new(1); // 2 calls
        let first = member("first", store.clone(), wrap.clone()).retry(twice);
        let first = started(first).await;
        let calls = counts(&first);
        first.publish(record("1")).await.unwrap();
        later(3 * LEASE).await;
        assert_eq!(calls.lock().unwrap()["1"], 1, "it is handled, and its lease is kept");
        assert_eq!(get(&store.store, "1").await.status, EventStatus::Processing);
        // It ends before the status is stored: the engine has the event still.
        first.stop(Duration::ZERO).await.unwrap_err();
        let second = member("second", store.store.clone(), wrap).retry(twice);
        let (second, calls) = started_with(second, counts).await;
        later(2 * LEASE).await;
        assert_eq!(calls.lock().unwrap()["1"], 1);
        let kept = get(&store.store, "1").await;
        assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 1));
        second.stop(LONG).await.unwrap();
    });
}

#[test]
fn a_record_that_has_ended_is_not_handled_again() {
    run(async {
        for status in [EventStatus::Completed, EventStatus::Failed] {
            let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
            let broker = started(member("1", store.clone(), engine.clone())).await;
            let calls = counts(&broker);
            let mut ended = record("1");
            ended.instance_id = "other".into();
            let json = serde_json::to_string(&ended).unwrap();
            ended.status = status;
            store.put(ended).await.unwrap();
            // The engine brings it once more, as after an acknowledgement that was lost.
            let again = Envelope::new("events.public.users.create").unwrap();
            engine.publish(again.with_raw_payload(json).unwrap().into()).await.unwrap();
            later(SECOND).await;
            assert!(calls.lock().unwrap().is_empty());
            assert_eq!(get(&store, "1").await.status, status);
            let stats = broker.stats();
            assert_eq!((stats.duplicates, stats.total_received, stats.queue_size), (1, 0, 0));
            later(3 * LEASE).await;
            assert_eq!(broker.stats().duplicates, 1, "it is acknowledged");
        }
    });
}

/// Engines that differ in how a member loses an event while it lives: see each test.
async fn loses(lacks_extend: bool, own_store: bool) {
    let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
    let slow = Wrap { without: lacks_extend.then_some(Capability::Extend), ..Wrap::new(&engine) };
    set(&slow.switches.swallows_extensions, true);
    let late = member("late", store.clone(), slow.clone()).retry(RetryPolicy::new(3));
    let late = started(late.workers(1)).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let go = waits(&late, &calls);
    late.publish(record("1")).await.unwrap();
    later(SECOND).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let other_store = if own_store { Arc::new(MemoryStore::default()) } else { store.clone() };
    let other = member("other", other_store.clone(), engine.clone()).retry(RetryPolicy::new(3));
    let other = started(other).await;
    let taken = counts(&other);
    later(2 * LEASE).await;
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.get("1"), Some(&1), "{taken:?}");
    let by_other = get(&other_store, "1").await;
    assert_eq!(by_other.status, EventStatus::Completed);
    if !own_store {
        assert_eq!(by_other.retry_count, 1, "the attempt of the late one counts");
    }

    set(&slow.switches.swallows_extensions, false);
    go.add_permits(100);
    later(SECOND).await;
    let stats = late.stats();
    assert!(stats.fenced >= 1, "{stats:?}");
    assert_eq!((stats.total_processed, stats.in_progress), (0, 0), "{stats:?}");
    assert_eq!(stats.total_received, stats.abandoned);
    if own_store {
        // The engine alone has told it: its own record still says what it knows.
        assert_eq!(get(&store, "1").await.status, EventStatus::Processing);
    } else {
        assert_eq!(get(&store, "1").await, by_other, "it wrote nothing");
    }
    other.stop(LONG).await.unwrap();
    late.stop(LONG).await.unwrap();
}

#[test]
fn a_late_broker_is_fenced_by_the_engine() {
    run(loses(false, true));
}

#[test]
fn a_late_broker_is_fenced_by_the_store_where_the_engine_cannot() {
    run(loses(true, false));
}

#[test]
fn a_late_broker_whose_handler_fails_writes_nothing() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let slow = Wrap { without: Some(Capability::Extend), ..Wrap::new(&engine) };
        let late = member("late", store.clone(), slow).retry(RetryPolicy::new(3)).workers(1);
        let late = started(late).await;
        let gate = Arc::new(Semaphore::new(0));
        let go = gate.clone();
        late.subscribe("*", move |_: Arc<EventRecord>| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Err::<(), _>("late")
            }
        })
        .unwrap();
        late.publish(record("1")).await.unwrap();
        later(SECOND).await;
        let other =
            started(member("other", store.clone(), engine).retry(RetryPolicy::new(3))).await;
        later(2 * LEASE).await;
        let by_other = get(&store, "1").await;
        assert_eq!(by_other.status, EventStatus::Completed);
        go.add_permits(100);
        later(LEASE).await;
        assert_eq!(get(&store, "1").await, by_other);
        let stats = late.stats();
        assert_eq!((stats.total_failed, stats.abandoned, stats.fenced), (0, 1, 1), "{stats:?}");
        other.stop(LONG).await.unwrap();
        late.stop(LONG).await.unwrap();
    });
}

#[test]
fn a_record_that_has_ended_elsewhere_is_handled_when_it_is_published() {
    run(async {
        for status in EventStatus::ALL {
            let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
            let broker = started(member("1", store.clone(), engine)).await;
            let calls = counts(&broker);
            let mut before = record("1"); // of another store, or one that was cleaned up
            before.status = status;
            broker.publish(before).await.unwrap();
            broker.stop(LONG).await.unwrap();
            assert_eq!(calls.lock().unwrap().get("1"), Some(&1), "{status}");
            let kept = get(&store, "1").await;
            assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 0), "{status}");
        }
    });
}

#[test]
fn a_record_that_no_broker_survives_fails_when_its_calls_are_spent() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let dies = Wrap { without: Some(Capability::Extend), ..Wrap::new(&engine) };
        let builder = member("1", store.clone(), dies).retry(RetryPolicy::new(2)).workers(8);
        let broker = started(builder).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let _go = waits(&broker, &calls);
        broker.publish(record("1")).await.unwrap();
        for attempt in 1..=3 {
            later(SECOND).await;
            assert_eq!(calls.load(Ordering::Relaxed), attempt);
            assert_eq!(get(&store, "1").await.retry_count, attempt as u32 - 1);
            later(LEASE).await;
        }
        later(10 * LEASE).await;
        assert_eq!(calls.load(Ordering::Relaxed), 3, "2 retries are 3 calls");
        let kept = get(&store, "1").await;
        assert_eq!(kept.status, EventStatus::Failed);
        assert_eq!(kept.error, "no broker lived through its handlers (after 3 attempts)");
        broker.stop(Duration::ZERO).await.unwrap_err();
    });
}

#[test]
fn a_handler_that_takes_longer_than_the_lease_keeps_its_event() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let broker = started(member("1", store.clone(), engine)).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let go = waits(&broker, &calls);
        broker.publish(record("1")).await.unwrap();
        later(100 * LEASE).await;
        go.add_permits(1);
        broker.stop(LONG).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 0));
    });
}

#[test]
fn a_record_that_the_engine_refuses_is_neither_stored_nor_counted() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let wrap = Wrap::new(&engine);
        let broker = started(member("1", store.clone(), wrap.clone())).await;
        broker.subscribe("*", |_: Arc<EventRecord>| async { Err::<(), _>("no") }).unwrap();
        set(&wrap.switches.refuses, true);
        let error = broker.publish(record("1")).await.unwrap_err();
        assert_eq!(error.code(), "not_sent");
        assert!(error.to_string().contains("engine `memory`"), "{error}");
        set(&wrap.switches.is_full, true);
        assert_eq!(broker.publish(record("1")).await.unwrap_err().code(), "queue_full");
        assert_eq!((total(&store).await, broker.stats().total_published), (0, 0));

        // A failed record that is published again is as failed as before.
        set(&wrap.switches.refuses, false);
        broker.publish(record("1")).await.unwrap();
        later(SECOND).await;
        let failed = get(&store, "1").await;
        assert_eq!(failed.status, EventStatus::Failed);
        set(&wrap.switches.refuses, true);
        broker.publish(record("1")).await.unwrap_err();
        assert_eq!(get(&store, "1").await, failed);
        assert_eq!(broker.stats().total_published, 1);
    });
}

#[test]
fn a_publish_of_unknown_outcome_stays_stored_and_is_published_again() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let wrap = Wrap::new(&engine);
        let broker = started(member("1", store.clone(), wrap.clone())).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let go = waits(&broker, &calls);
        set(&wrap.switches.is_unsure, true);
        let error = broker.publish(record("1")).await.unwrap_err();
        assert_eq!(error.code(), "outcome_unknown");
        assert_eq!(total(&store).await, 1);
        set(&wrap.switches.is_unsure, false);
        broker.publish(record("1")).await.unwrap();
        go.add_permits(10);
        broker.stop(LONG).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1, "the engine took the same id once");
        assert_eq!(get(&store, "1").await.status, EventStatus::Completed);
    });
}

#[test]
fn a_failed_record_is_handled_again_when_it_is_published_again() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let broker = started(member("1", store.clone(), engine)).await;
        let works = Arc::new(AtomicBool::new(false));
        let fixed = works.clone();
        broker
            .subscribe("*", move |_: Arc<EventRecord>| {
                let works = fixed.load(Ordering::Relaxed);
                async move { if works { Ok(()) } else { Err("no") } }
            })
            .unwrap();
        for retries in 0..3 {
            broker.publish(record("1")).await.unwrap();
            later(SECOND).await;
            let kept = get(&store, "1").await;
            assert_eq!((kept.status, kept.retry_count), (EventStatus::Failed, retries));
        }
        works.store(true, Ordering::Relaxed);
        broker.publish((*get(&store, "1").await).clone()).await.unwrap();
        later(SECOND).await;
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, kept.retry_count, &*kept.error), (EventStatus::Completed, 3, ""));
        broker.publish(record("1")).await.unwrap(); // it has ended well
        later(SECOND).await;
        assert_eq!(get(&store, "1").await, kept);
        assert_eq!((broker.stats().duplicates, broker.stats().total_published), (1, 4));
    });
}

#[test]
fn a_group_continues_where_it_stopped() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let wrap = Wrap { outlives: true, ..Wrap::new(&engine) };
        let broker = started(member("1", store.clone(), wrap.clone())).await;
        let calls = counts(&broker);
        broker.publish(record("1")).await.unwrap();
        later(SECOND).await;
        broker.stop(LONG).await.unwrap();
        broker.stop(LONG).await.unwrap();
        assert_eq!(broker.publish(record("2")).await.unwrap_err().code(), "not_running");
        assert_eq!(broker.ready().await.unwrap_err().code(), "not_running");
        let mut elsewhere = record("2");
        elsewhere.instance_id = "other".into();
        let envelope = Envelope::json("events.public.users.create", &elsewhere).unwrap();
        engine.publish(envelope.into()).await.unwrap();
        later(SECOND).await;
        assert_eq!(calls.lock().unwrap().len(), 1);
        broker.start().unwrap();
        assert_eq!(broker.start().unwrap_err().code(), "already_running");
        later(SECOND).await;
        assert_eq!(calls.lock().unwrap().get("2"), Some(&1));
        broker.stop(LONG).await.unwrap();
        assert_eq!(get(&store, "2").await.status, EventStatus::Completed);
    });
}

#[test]
fn a_stop_handles_what_ends_with_the_process_and_gives_back_the_rest() {
    run(async {
        for outlives in [false, true] {
            let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
            let wrap = Wrap { outlives, ..Wrap::new(&engine) };
            let broker = started(member("1", store.clone(), wrap).workers(1)).await;
            let calls = Arc::new(AtomicUsize::new(0));
            let go = waits(&broker, &calls);
            for id in ["1", "2", "3"] {
                broker.publish(record(id)).await.unwrap();
            }
            later(SECOND).await;
            assert_eq!(broker.stats().queue_size, 2);
            go.add_permits(3);
            broker.stop(LONG).await.unwrap();
            let completed = store.stats().await.unwrap().completed_events;
            assert_eq!((completed, outlives), (if outlives { 1 } else { 3 }, outlives));
            assert_eq!(broker.stats().in_progress, 0);
            let (next, calls) = started_with(member("2", store.clone(), engine), counts).await;
            next.stop(LONG).await.unwrap();
            assert_eq!(store.stats().await.unwrap().completed_events, 3, "none is lost");
            assert_eq!(calls.lock().unwrap().len() as u64, 3 - completed);
        }
    });
}

#[test]
fn a_stop_that_takes_too_long_gives_the_event_back() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let first = member("1", store.clone(), engine.clone()).retry(RetryPolicy::new(1));
        let first = started(first).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let _go = waits(&first, &calls);
        first.publish(record("1")).await.unwrap();
        later(SECOND).await;
        let error = first.stop(SECOND).await.unwrap_err();
        assert!(matches!(error, BrokerError::StopTimedOut { left: 1, .. }), "{error}");
        later(SECOND).await;
        assert_eq!((first.stats().abandoned, first.stats().in_progress), (1, 0));
        let second = member("2", store.clone(), engine).retry(RetryPolicy::new(1));
        let (_second, calls) = started_with(second, counts).await;
        later(2 * LEASE).await;
        assert_eq!(calls.lock().unwrap().get("1"), Some(&1));
        let kept = get(&store, "1").await;
        assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 1));
    });
}

#[test]
fn a_store_that_fails_in_the_middle_of_a_record_delays_it_and_no_handler_runs_twice() {
    run(async {
        // Publishing asks for the record and puts it. Handling asks, puts, asks and updates.
        for (at, panics) in (0..7).flat_map(|at| [(at, false), (at, true)]) {
            if at < 2 && panics {
                continue; // it would be a panic of the publisher
            }
            let (engine, store) = (memory(), Faulty::new(at, panics));
            let builder = member("1", store.clone(), engine.clone());
            let broker = started(builder.clean_up(Duration::ZERO, LONG)).await;
            let calls = counts(&broker);
            let published = broker.publish(record("1")).await;
            later(LONG).await;
            let stats = broker.stats();
            if at < 2 {
                let error = published.unwrap_err();
                assert_eq!(error.to_string(), "the store failed: the disk is full");
                assert_eq!((total(&store.store).await, stats.total_published), (0, 0));
                broker.publish(record("1")).await.unwrap();
            } else {
                published.unwrap();
                assert_eq!(stats.store_errors, u64::from(at < 6), "{at}");
            }
            broker.stop(LONG).await.unwrap();
            assert_eq!(calls.lock().unwrap()["1"], 1, "{at}");
            let kept = get(&store.store, "1").await;
            assert_eq!((kept.status, kept.retry_count), (EventStatus::Completed, 0), "{at}");
            assert_eq!(Engine::lag(&engine), Some(0), "{at}: acknowledged");
        }
    });
}

#[test]
fn what_is_not_a_record_is_rejected_and_counted() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let broker = started(member("1", store.clone(), engine.clone())).await;
        let mut unnamed = record("1");
        unnamed.instance_id = "other".into();
        let of_another_subject = Envelope::json("events.public.orders.create", &unnamed).unwrap();
        unnamed.id = String::new();
        for envelope in [
            Envelope::new("events.none").unwrap(),
            Envelope::json("events.number", &7).unwrap(),
            Envelope::json("events.public.users.create", &unnamed).unwrap(),
            of_another_subject,
        ] {
            engine.publish(envelope.into()).await.unwrap();
        }
        engine.publish(Envelope::json("elsewhere", &7).unwrap().into()).await.unwrap();
        later(LONG).await;
        let stats = broker.stats();
        assert_eq!((stats.unreadable, stats.total_received, total(&store).await), (4, 0, 0));
        assert_eq!(engine.dead_letters().len(), 4);
    });
}

#[test]
fn one_worker_keeps_the_order_of_publishing_over_an_engine() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let builder = member("1", store, engine).workers(1).retry(RetryPolicy::new(1));
        let broker = started(builder).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let seen = order.clone();
        broker
            .subscribe("*", move |record: Arc<EventRecord>| {
                seen.lock().unwrap().push(record.id.clone());
                let fails = record.id == "3" && record.retry_count == 0;
                async move { if fails { Err("once") } else { Ok(()) } }
            })
            .unwrap();
        for number in 0..6 {
            broker.publish(record(&number.to_string())).await.unwrap();
        }
        broker.stop(LONG).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["0", "1", "2", "3", "3", "4", "5"]);
    });
}

#[test]
fn a_synchronous_publish_is_handled_here_and_does_not_travel() {
    run(async {
        let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
        let mut all = engine.subscribe(">").unwrap().open().await.unwrap();
        let broker = started(member("1", store.clone(), engine)).await;
        let calls = counts(&broker);
        broker.publish_sync(record("1")).await.unwrap();
        assert_eq!(calls.lock().unwrap()["1"], 1);
        assert_eq!(get(&store, "1").await.status, EventStatus::Completed);
        broker.publish_async(record("2")).await.unwrap();
        let next = all.next().await.unwrap().unwrap();
        assert_eq!(next.envelope().subject().as_str(), "events.public.users.create");
        assert_eq!((next.envelope().id(), next.envelope().source()), ("2", "1"));
        let sent: EventRecord = next.envelope().decode().unwrap().unwrap();
        assert_eq!((sent.id, sent.status), ("2".into(), EventStatus::Pending));
    });
}

#[test]
fn a_new_group_begins_where_you_say() {
    run(async {
        for (start_at, handled) in [(StartAt::New, 0), (StartAt::Earliest, 1)] {
            let (engine, store) = (memory(), Arc::new(MemoryStore::default()));
            let mut before = record("1");
            before.instance_id = "other".into();
            let envelope = Envelope::json("shop.public.users.create", &before).unwrap();
            engine.publish(envelope.into()).await.unwrap();
            let builder = member("1", store.clone(), engine).start_at(start_at).prefix("shop");
            let broker = started(builder).await;
            later(SECOND).await;
            assert_eq!(total(&store).await, handled);
            broker.stop(LONG).await.unwrap();
        }
    });
}

#[test]
fn an_engine_that_lacks_what_a_group_needs_is_named() {
    run(async {
        let store = Arc::new(MemoryStore::default());
        for (lacks, said) in [
            (Capability::Redelivery, "`memory` does not have `redelivery`"),
            (Capability::Durable, "`memory` has no groups as it is set up"),
        ] {
            let wrap = Wrap { without: Some(lacks), ..Wrap::new(&memory()) };
            let broker = member("1", store.clone(), wrap).build().unwrap();
            broker.start().unwrap();
            for error in
                [broker.ready().await.unwrap_err(), broker.publish(record("1")).await.unwrap_err()]
            {
                assert_eq!(error.code(), "not_open");
                let text = error.to_string();
                assert!(text.contains(said), "{text}");
            }
            broker.stop(LONG).await.unwrap();
            assert_eq!(total(&store).await, 0);
        }
        let closed = memory();
        let broker = member("1", store.clone(), closed.clone()).build().unwrap();
        broker.start().unwrap();
        broker.ready().await.unwrap();
        Engine::shutdown(&*closed, SECOND).await.unwrap();
        assert_eq!(broker.publish(record("1")).await.unwrap_err().code(), "not_sent");
        assert!(matches!(store.get("1").await, Err(StoreError::NotFound(_))));
        let error = broker.publish(record_of_type("a.*.b")).await.unwrap_err();
        assert_eq!(error.code(), "invalid_type");
    });
}

#[test]
fn a_payload_that_is_null_and_one_that_is_not_set_arrive_as_they_were() {
    run(async {
        let engine = memory();
        let group = |name: &'static str| {
            member(name, Arc::new(MemoryStore::default()), engine.clone()).group(name)
        };
        let (here, there) = (started(group("here")).await, started(group("there")).await);
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let see = seen.clone();
        there
            .subscribe("*", move |record: Arc<EventRecord>| {
                let payload = record.payload::<Option<u32>>().map_err(|error| error.to_string());
                see.lock().unwrap().insert(record.id.clone(), payload);
                async { Ok::<(), String>(()) }
            })
            .unwrap();
        let mut null = record("null");
        null.set_payload(&()).unwrap();
        let mut seven = record("seven");
        seven.set_payload(&7).unwrap();
        for record in [record("none"), null, seven] {
            here.publish(record).await.unwrap();
        }
        for broker in [&here, &there] {
            broker.stop(LONG).await.unwrap();
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen["none"], Err("payload is empty".into()));
        assert_eq!((&seen["null"], &seen["seven"]), (&Ok(None), &Ok(Some(7))));
    });
}

#[test]
fn an_engine_that_panics_at_its_start_is_tried_again() {
    run(async {
        let store = Arc::new(MemoryStore::default());
        for at_open in [false, true] {
            let wrap = Wrap::new(&memory());
            let switches = &wrap.switches;
            let panics = if at_open { &switches.open_panics } else { &switches.start_panics };
            set(panics, true);
            let broker = member("1", store.clone(), wrap.clone()).build().unwrap();
            let calls = counts(&broker);
            broker.start().unwrap();
            let says = if at_open { "at its opening" } else { "at its start" };
            for error in
                [broker.ready().await.unwrap_err(), broker.publish(record("1")).await.unwrap_err()]
            {
                assert_eq!(error.code(), "not_open");
                let text = error.to_string();
                assert!(text.contains("`memory`") && text.contains(says), "{text}");
            }
            set(panics, false);
            later(LONG).await;
            broker.ready().await.unwrap();
            broker.publish(record(says)).await.unwrap();
            broker.stop(LONG).await.unwrap();
            assert_eq!(calls.lock().unwrap()[says], 1);
        }
    });
}

#[test]
fn a_stop_waits_for_a_subscription_that_opens_just_then() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(MemoryEngine::new());
        let (open, opens) = std::sync::mpsc::channel();
        let opens = Some(Arc::new(Mutex::new(opens)));
        let wrap = Wrap { opens: opens.clone(), ..Wrap::new(&engine) };
        let store = Arc::new(MemoryStore::default());
        let builder = Broker::builder().store(store).engine(wrap).group("orders");
        let broker = builder.clean_up(Duration::ZERO, LONG).build().unwrap();
        let calls = counts(&broker);
        broker.start().unwrap();
        while opens.as_ref().unwrap().try_lock().is_ok() {
            tokio::task::yield_now().await; // it is not at the gate yet
        }
        let stop = {
            let broker = broker.clone();
            tokio::spawn(async move { broker.stop(LONG).await })
        };
        while broker.is_running() {
            tokio::task::yield_now().await;
        }
        later(Duration::from_millis(20)).await;
        open.send(()).unwrap();
        stop.await.unwrap().unwrap();
        let gone = Arc::downgrade(&calls);
        drop((calls, broker));
        // A member that consumed on would hold its broker, and with it the handlers.
        let ended = async {
            while gone.strong_count() > 0 {
                later(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(10 * SECOND, ended).await.expect("the member consumes on");
    });
}

fn record_of_type(event_type: &str) -> EventRecord {
    let mut json = serde_json::to_value(record("1")).unwrap();
    json["type"] = event_type.into();
    serde_json::from_value(json).unwrap()
}

#[test]
fn the_settings_of_a_group_fit_together() {
    let store = || Arc::new(MemoryStore::default());
    let error = |builder: BrokerBuilder| builder.build().unwrap_err().to_string();
    let base = || Broker::builder().store(store()).engine(MemoryEngine::new());
    assert_eq!(error(base()), "a broker with an engine needs the name of its group: set `group`");
    assert_eq!(error(base().group("")), error(base()));
    assert_eq!(
        error(base().group("g").mode(ProcessingMode::Synchronous)),
        "a broker with an engine needs workers: its mode is asynchronous"
    );
    assert_eq!(
        error(base().group("g").prefix("a.*")),
        "no subject begins with `a.*`: set another `prefix`"
    );
    assert_eq!(error(base().group("g").lease(Duration::ZERO)), "`lease` of a broker is 0");
    let without = || Broker::builder().store(store());
    let needs = |setting| format!("`{setting}` is for a broker with an engine: set `engine`");
    assert_eq!(error(without().group("g")), needs("group"));
    assert_eq!(error(without().prefix("g")), needs("prefix"));
    assert_eq!(error(without().start_at(StartAt::Earliest)), needs("start_at"));
    assert_eq!(error(without().lease(SECOND)), needs("lease"));
}
