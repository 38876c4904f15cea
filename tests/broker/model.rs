//! Statuses and numbers against a model, and what must never happen to a record again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;
use tickbus::envelope::Timestamp;
use tickbus::hosted::RetryPolicy;
use tickbus::hosted::broker::{BrokerStats, ProcessingMode};
use tickbus::hosted::store::{EventRecord, EventStatus, Store};

use crate::faulty::Faulty;
use crate::{LONG, broker, get, record, run, total};

/// What one call of a handler does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Ok,
    Fails,
    Panics,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![3 => Just(Call::Ok), 2 => Just(Call::Fails), 1 => Just(Call::Panics)];
    prop::collection::vec(call, 0..5)
}

/// What becomes of an event, by what the calls of its handlers do. After the last one, calls are well.
fn model(handlers: &[Vec<Call>], retries: u32) -> (EventStatus, u32, Option<String>, u64) {
    let (mut again, mut error, mut panicked) = (0, None, 0);
    for calls in handlers {
        let mut calls = calls.iter().copied().chain(core::iter::repeat(Call::Ok));
        for attempt in 1..=retries + 1 {
            let call = calls.next().unwrap();
            panicked += u64::from(call == Call::Panics);
            if call == Call::Ok {
                break;
            }
            if attempt == retries + 1 {
                let what = if call == Call::Fails { "no" } else { "the handler panicked" };
                let s = if attempt == 1 { "" } else { "s" };
                error = Some(format!("{what} (after {attempt} attempt{s})"));
                break;
            }
            again += 1;
        }
    }
    let status = if error.is_some() { EventStatus::Failed } else { EventStatus::Completed };
    (status, again, error, panicked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_says_what_its_handlers_did(
        handlers in prop::collection::vec(calls(), 0..4),
        retries in 0..4_u32,
        synchronous in any::<bool>(),
    ) {
        std::panic::set_hook(Box::new(|_| ())); // the handlers panic often
        run(async {
            let mode = if synchronous { ProcessingMode::Synchronous } else { ProcessingMode::Asynchronous };
            let (store, broker) = broker(|it| it.mode(mode).retry(RetryPolicy::new(retries)));
            for calls in &handlers {
                let left = Arc::new(Mutex::new(calls.clone().into_iter()));
                broker.subscribe("*", move |_: Arc<EventRecord>| {
                    let call = left.lock().unwrap().next().unwrap_or(Call::Ok);
                    async move {
                        match call {
                            Call::Ok => Ok(()),
                            Call::Fails => Err("no"),
                            Call::Panics => panic!("it panics"),
                        }
                    }
                }).unwrap();
            }
            broker.start().unwrap();
            let published = broker.publish(record("1")).await;
            broker.stop(LONG).await.unwrap();
            let (status, again, error, panicked) = model(&handlers, retries);
            let kept = get(&store, "1").await;
            assert_eq!((kept.status, kept.retry_count), (status, again));
            assert_eq!(kept.error, error.clone().unwrap_or_default());
            assert!(kept.processed_at.is_some() && kept.completed_at >= kept.processed_at);
            let failed = u64::from(error.is_some());
            match error {
                Some(error) if synchronous => assert_eq!(published.unwrap_err().to_string(), error),
                _ => published.unwrap(),
            }
            let stats = broker.stats();
            assert_eq!((stats.total_published, stats.total_received), (1, 1));
            assert_eq!((stats.total_processed, stats.total_failed), (1 - failed, failed));
            assert_eq!((stats.panicked, stats.abandoned, stats.in_progress), (panicked, 0, 0));
            assert_eq!(stats.unhandled, u64::from(handlers.is_empty()));
            let metrics = broker.metrics().series.remove(0);
            assert_eq!((metrics.published, metrics.completed, metrics.failed), (1, 1 - failed, failed));
            assert_eq!(metrics.duration.count(), 1);
            let numbers = store.stats().await.unwrap();
            assert_eq!((numbers.completed_events, numbers.failed_events), (1 - failed, failed));
        });
        let _ = std::panic::take_hook();
    }
}

#[test]
fn each_status_is_stored_at_its_time() {
    run(async {
        let (store, broker) = broker(|it| it.workers(1).retry(RetryPolicy::new(1)));
        broker
            .subscribe("*", |record: Arc<EventRecord>| async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                if record.retry_count == 0 { Err("no") } else { Ok(()) }
            })
            .unwrap();
        broker.start().unwrap();
        let begin = tokio::time::Instant::now();
        broker.publish(record("1")).await.unwrap();
        broker.publish(record("2")).await.unwrap();
        let at = |seconds: i128| Timestamp::from_unix_nanos(seconds * 1_000_000_000).ok();
        let mut seen = Vec::new();
        for seconds in [5, 15, 25] {
            tokio::time::sleep_until(begin + Duration::from_secs(seconds)).await;
            let kept = get(&store, "1").await;
            seen.push((kept.status, kept.retry_count, kept.processed_at, kept.completed_at));
            let waits = get(&store, "2").await;
            let expected = match seconds {
                25 => (EventStatus::Processing, at(21)),
                _ => (EventStatus::Pending, None),
            };
            assert_eq!((waits.status, waits.processed_at), expected);
        }
        assert_eq!(
            seen,
            [
                (EventStatus::Processing, 0, at(0), None),
                (EventStatus::Processing, 1, at(0), None),
                (EventStatus::Completed, 1, at(0), at(21)),
            ]
        );
    });
}

#[test]
fn an_asynchronous_broker_counts_what_its_workers_did() {
    run(async {
        let (store, broker) = broker(|it| it.workers(3));
        broker
            .subscribe("*", |record: Arc<EventRecord>| async move {
                if record.user_id % 2 == 0 { Ok(()) } else { Err("odd") }
            })
            .unwrap();
        broker.start().unwrap();
        for number in 0..5 {
            let mut record = record(&number.to_string());
            record.user_id = number;
            broker.publish(record).await.unwrap();
        }
        broker.stop(LONG).await.unwrap();
        let BrokerStats { total_published, total_processed, total_failed, .. } = broker.stats();
        assert_eq!((total_published, total_processed, total_failed), (5, 3, 2));
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.completed_events, stats.failed_events, stats.pending_events), (3, 2, 0));
    });
}

#[test]
fn an_event_that_finds_the_queue_full_is_not_pending_for_ever() {
    run(async {
        let (store, broker) = broker(|it| it.workers(1).buffer(1));
        broker
            .subscribe("*", |_: Arc<EventRecord>| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        let mut accepted = 0;
        for number in 0..20 {
            match broker.publish(record(&number.to_string())).await {
                Ok(()) => accepted += 1,
                Err(error) => assert_eq!(error.code(), "queue_full"),
            }
            tokio::task::yield_now().await;
        }
        broker.stop(LONG).await.unwrap();
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.total_events, stats.completed_events), (accepted, accepted));
        assert_eq!((stats.pending_events, broker.stats().total_published), (0, accepted));
        assert!(accepted < 20);
    });
}

#[test]
fn handlers_share_a_record_that_no_longer_changes() {
    run(async {
        let (store, broker) = broker(|it| it.retry(RetryPolicy::new(1)));
        let kept = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..2 {
            let kept = kept.clone();
            broker
                .subscribe("*", move |record: Arc<EventRecord>| {
                    let fails = record.retry_count == 0;
                    kept.lock().unwrap().push(record);
                    async move { if fails { Err("no") } else { Ok(()) } }
                })
                .unwrap();
        }
        broker.start().unwrap();
        let mut published = record("1");
        published.set_payload(&[1, 2]).unwrap();
        broker.publish(published.clone()).await.unwrap();
        broker.stop(LONG).await.unwrap();
        published.set_payload(&"another").unwrap(); // it is the publisher's own
        let kept = core::mem::take(&mut *kept.lock().unwrap());
        let seen: Vec<_> = kept.iter().map(|it| (it.status, it.retry_count)).collect();
        let processing = EventStatus::Processing;
        // The second handler begins with what the first one has counted.
        assert_eq!(seen, [(processing, 0), (processing, 1), (processing, 1)]);
        assert!(kept.iter().all(|it| it.payload::<[u32; 2]>().unwrap() == [1, 2]));
        assert!(kept.iter().all(|it| it.completed_at.is_none()));
        assert_eq!(get(&store, "1").await.status, EventStatus::Completed);
    });
}

#[test]
fn an_id_that_is_published_twice_is_one_record() {
    run(async {
        let (store, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker.start().unwrap();
        for _ in 0..5 {
            broker.publish(record("1")).await.unwrap();
        }
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.total_events, stats.completed_events, stats.pending_events), (1, 1, 0));
        assert_eq!(broker.stats().total_published, 5);
    });
}

#[test]
fn a_clean_up_that_fails_is_counted_and_comes_again() {
    run(async {
        for panics in [false, true] {
            // The put, the two updates, and then the first clean-up fails.
            let store = Faulty::new(3, panics);
            let (_, broker) = broker(|it| it.store(store.clone()).clean_up(LONG, LONG));
            broker.start().unwrap();
            let mut old = record("old");
            old.created_at = Timestamp::from_unix_nanos(0).unwrap();
            broker.publish(old).await.unwrap();
            tokio::time::sleep(LONG + Duration::from_secs(1)).await;
            assert_eq!((total(&store.store).await, broker.stats().store_errors), (1, 1));
            tokio::time::sleep(LONG).await;
            assert_eq!((total(&store.store).await, broker.stats().store_errors), (0, 1));
            broker.stop(LONG).await.unwrap();
        }
    });
}

#[test]
fn the_numbers_have_the_documented_names_in_json_in_both_modes() {
    run(async {
        for (mode, name, workers) in
            [(ProcessingMode::Asynchronous, "async", 4), (ProcessingMode::Synchronous, "sync", 0)]
        {
            let (_, broker) = broker(|it| it.mode(mode).workers(4));
            broker.subscribe("*", |_: Arc<EventRecord>| async { Ok::<(), String>(()) }).unwrap();
            broker.start().unwrap();
            broker.publish(record("1")).await.unwrap();
            broker.stop(LONG).await.unwrap();
            let json = serde_json::to_value(broker.stats()).unwrap();
            let expected = serde_json::json!({
                "instance_id": "shop-1", "mode": name, "is_running": false,
                "total_published": 1, "total_processed": 1, "total_failed": 0,
                "active_subscribers": 1, "queue_size": 0, "active_workers": workers,
                "total_received": 1, "abandoned": 0, "fenced": 0, "duplicates": 0, "unreadable": 0,
                "unhandled": 0, "in_progress": 0, "panicked": 0, "store_errors": 0,
            });
            assert_eq!(json, expected);
            let json = serde_json::to_value(broker.store().stats().await.unwrap()).unwrap();
            let names: BTreeMap<String, u64> = serde_json::from_value(json).unwrap();
            let expected = [
                ("active_streams", 0),
                ("completed_events", 1),
                ("evicted_events", 0),
                ("failed_events", 0),
                ("pending_events", 0),
                ("processing_events", 0),
                ("total_events", 1),
            ];
            assert!(names.iter().map(|(name, count)| (&**name, *count)).eq(expected), "{names:?}");
        }
    });
}
