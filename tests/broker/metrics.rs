//! What a broker measures, and how Prometheus reads it.

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::hosted::MemoryEngine;
use tickbus::hosted::broker::{BUCKETS, BrokerBuilder, BrokerMetrics, OTHER, ProcessingMode};
use tickbus::hosted::export::{BrokerPrometheus, ExportError};
use tickbus::hosted::store::{EventRecord, EventSource};

use crate::{LONG, broker, record, run};

fn of_type(source: EventSource, operation: &str) -> EventRecord {
    EventRecord::new(source, "public", "users", operation)
}

/// Takes 20 ms, fails twice for a delete, and always for a system event.
async fn handle(record: Arc<EventRecord>) -> Result<(), &'static str> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let fails = match record.parts().2 {
        "delete" => record.retry_count < 2,
        _ => record.source == Some(EventSource::System),
    };
    if fails { Err("no") } else { Ok(()) }
}

#[test]
fn the_page_for_prometheus_has_the_documented_names() {
    run(async {
        let retry = tickbus::hosted::RetryPolicy::new(2);
        let (_, broker) = broker(|it| it.workers(1).retry(retry));
        broker.subscribe("*", handle).unwrap();
        broker.start().unwrap();
        for (source, operation) in [
            (EventSource::Database, "create"),
            (EventSource::Database, "create"),
            (EventSource::Database, "delete"), // 3 × 20 ms, 1 s and 2 s between
            (EventSource::System, "create"),
        ] {
            broker.publish(of_type(source, operation)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        // One is being handled, and two wait.
        for _ in 0..3 {
            broker.publish(of_type(EventSource::Internal, "wait")).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let page = BrokerPrometheus::new().text(&broker.metrics());
        assert_eq!(page, include_str!("../golden/broker.prometheus"));
        broker.stop(LONG).await.unwrap();

        let page = BrokerPrometheus::with_prefix("shop").unwrap().text(&broker.metrics());
        assert!(page.lines().all(|line| line.split_whitespace().any(|it| it.starts_with("shop_"))));
        assert!(page.contains("\nshop_queue_size 0\n"));
        let error = BrokerPrometheus::with_prefix("a b").unwrap_err();
        assert!(matches!(error, ExportError::Prefix { .. }));
    });
}

#[test]
fn the_types_beyond_the_limit_are_one() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous).metric_types(2));
        broker.start().unwrap();
        for number in 0..100 {
            let source = [EventSource::Database, EventSource::System][number % 2];
            let operation = if number < 4 { number / 2 } else { number };
            broker.publish(of_type(source, &operation.to_string())).await.unwrap();
        }
        let metrics = broker.metrics();
        let series: Vec<_> = metrics
            .series
            .iter()
            .map(|it| (&*it.event_type, it.source, it.published, it.completed))
            .collect();
        assert_eq!(
            series,
            [
                (OTHER, EventSource::Database, 48, 48),
                (OTHER, EventSource::System, 48, 48),
                ("public.users.0", EventSource::Database, 1, 1),
                ("public.users.0", EventSource::System, 1, 1),
                ("public.users.1", EventSource::Database, 1, 1),
                ("public.users.1", EventSource::System, 1, 1),
            ]
        );
    });
}

#[test]
fn a_broker_that_measures_nothing_has_an_empty_page() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous).metric_types(0));
        broker.start().unwrap();
        broker.publish(record("1")).await.unwrap();
        assert_eq!(broker.metrics(), BrokerMetrics::default());
        let page = BrokerPrometheus::new().text(&broker.metrics());
        let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["eventbroker_queue_size 0"]);
    });
}

#[test]
fn buckets_include_their_bound() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker
            .subscribe("*", |record: Arc<EventRecord>| async move {
                tokio::time::sleep(Duration::from_millis(record.user_id as u64)).await;
                Ok::<(), String>(())
            })
            .unwrap();
        broker.start().unwrap();
        for bound in BUCKETS {
            for more in [0, 1] {
                let mut record = record("1");
                record.user_id = (bound * 1000.0) as i64 + more;
                broker.publish(record).await.unwrap();
            }
        }
        let duration = broker.metrics().series[0].duration;
        assert_eq!(duration.buckets, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
        assert_eq!((duration.count(), duration.sum_nanos), (22, 2 * 19_440_000_000 + 11_000_000));
    });
}

#[test]
fn the_type_of_an_event_makes_no_line_of_its_own() {
    run(async {
        let (_, broker) = broker(|it| it.mode(ProcessingMode::Synchronous));
        broker.start().unwrap();
        broker.publish(of_type(EventSource::Database, "a\"} 1\nb\\")).await.unwrap();
        let page = BrokerPrometheus::new().text(&broker.metrics());
        assert_eq!(page.lines().count(), 8 + 17 + 1);
        let label = r#"type="public.users.a\"} 1\nb\\"} 1"#;
        assert!(page.lines().any(|line| line.ends_with(label)), "{page}");
    });
}

#[test]
fn the_queue_of_a_group_is_what_the_engine_has_for_it() {
    run(async {
        let builder = |it: BrokerBuilder| it.workers(1).engine(MemoryEngine::new()).group("g");
        let (_, broker) = broker(builder);
        broker
            .subscribe("*", |_: Arc<EventRecord>| core::future::pending::<Result<(), String>>())
            .unwrap();
        broker.start().unwrap();
        for id in ["1", "2", "3"] {
            broker.publish(record(id)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(broker.metrics().queue_size, 2);
    });
}
