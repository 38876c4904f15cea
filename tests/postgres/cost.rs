//! What the store costs beside an insert of many rows by hand, in one run. Build it with optimization:
//!
//! ```sh
//! cargo test --release --features postgres --test postgres cost -- --ignored --nocapture --test-threads 1
//! ```

use alloc::sync::Arc;
use core::time::Duration;
use std::time::Instant;

use tickbus::envelope::Timestamp;
use tickbus::hosted::engines::postgres::PostgresStore;
use tickbus::hosted::store::{EventFilter, EventRecord, EventSource, EventStatus, Store};
use tokio_postgres::Client;

use crate::server::Postgres;
use crate::{client, database, run};

const PAIRS: usize = 15;
const RECORDS: usize = 8 * 512;

fn records(round: usize) -> Vec<EventRecord> {
    let make = |n| {
        let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
        record.id = format!("{round}-{n}");
        (record.instance_id, record.user_id) = ("shop-1".into(), n as i64 % 1000);
        record.set_payload(&("a payload of about a hundred bytes", "x".repeat(60), n)).unwrap();
        record
    };
    (0..RECORDS).map(make).collect()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / RECORDS as f64
}

/// As it is written by hand: arrays of a statement, 512 rows each.
async fn by_hand(client: &Client, insert: &tokio_postgres::Statement, records: &[EventRecord]) {
    for chunk in records.chunks(512) {
        let texts = |of: fn(&EventRecord) -> &str| -> Vec<&str> { chunk.iter().map(of).collect() };
        let times: Vec<_> = chunk.iter().map(|_| std::time::SystemTime::now()).collect();
        let users: Vec<i64> = chunk.iter().map(|it| it.user_id).collect();
        let zeros = vec![0_i64; chunk.len()];
        let nanos = vec![0_i16; chunk.len()];
        let metadata = vec!["{}"; chunk.len()];
        client
            .execute(
                insert,
                &[
                    &texts(|it| &it.id),
                    &texts(|it| it.source.unwrap().name()),
                    &texts(EventRecord::event_type),
                    &texts(|it| it.status.name()),
                    &zeros,
                    &texts(|it| it.raw_payload().unwrap()),
                    &users,
                    &texts(|it| &it.session_id),
                    &texts(|it| &it.instance_id),
                    &texts(|it| it.parts().0),
                    &texts(|it| it.parts().1),
                    &texts(|it| it.parts().2),
                    &times,
                    &nanos,
                    &metadata,
                    &texts(|it| &it.error),
                ],
            )
            .await
            .unwrap();
    }
}

async fn by_store(store: &Arc<PostgresStore>, records: Vec<EventRecord>) {
    let mut tasks = tokio::task::JoinSet::new();
    for record in records {
        let store = store.clone();
        tasks.spawn(async move { store.put(record).await.unwrap() });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

#[test]
#[ignore = "it measures"]
fn beside_an_insert_by_hand() {
    for fsync in ["fsync=on", "fsync=off"] {
        let Some(server) = Postgres::start(&[fsync]) else { return };
        run(async {
            let store = PostgresStore::connect(&database(server.url()), "events").await.unwrap();
            let store = Arc::new(store);
            drop(PostgresStore::connect(&database(server.url()), "by_hand").await.unwrap());
            let client = client(server.url()).await;
            let insert = "INSERT INTO by_hand (id, source, type, status, retry_count, payload, user_id, \
                 session_id, instance_id, schema, entity, operation, created_at, created_nanos, metadata, \
                 error) SELECT id, source, type, status, retry_count, payload::json, user_id, session_id, \
                 instance_id, schema, entity, operation, created_at, created_nanos, metadata::json, error \
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[], \
                 $7::int8[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], \
                 $13::timestamptz[], $14::int2[], $15::text[], $16::text[]) AS new (id, source, type, \
                 status, retry_count, payload, user_id, session_id, instance_id, schema, entity, \
                 operation, created_at, created_nanos, metadata, error)";
            let insert = client.prepare(insert).await.unwrap();
            let (mut hand, mut ours) = (Vec::new(), Vec::new());
            for round in 0..=PAIRS {
                let own = records(round);
                let began = Instant::now();
                by_hand(&client, &insert, &own).await;
                hand.push(began.elapsed());
                let began = Instant::now();
                by_store(&store, own).await;
                ours.push(began.elapsed());
                if round == 0 {
                    (hand, ours) = (Vec::new(), Vec::new()); // to warm up
                }
            }
            let (hand, ours) = (median(hand), median(ours));
            println!(
                "store, {fsync}: by hand {hand:.0} ns a record, by the store {ours:.0} ns, {:.2} of its \
                 throughput",
                hand / ours
            );
        });
    }
}

/// A page of 100 out of a million records, by any filter.
#[test]
#[ignore = "it measures"]
fn a_page_of_a_million_records() {
    const COUNT: usize = 1_000_000;
    let Some(server) = Postgres::start(&["shared_buffers=256MB"]) else { return };
    run(async {
        let database = database(server.url()).timeout(Duration::from_secs(60));
        let store = PostgresStore::connect(&database, "events").await.unwrap();
        let client = client(server.url()).await;
        let fill = format!(
            "INSERT INTO events (id, source, type, status, retry_count, user_id, session_id, instance_id, \
             schema, entity, operation, created_at, created_nanos, error) SELECT n::text, 'database', 't', \
             (ARRAY['completed', 'completed', 'completed', 'failed'])[n % 4 + 1], 0, n % 100000, '', \
             'i' || n % 7, (ARRAY['public', 'audit'])[n % 2 + 1], 'e' || n % 100, 'create', \
             to_timestamp(n / 10), 0, '' FROM generate_series(0, {COUNT} - 1) AS n"
        );
        client.batch_execute(&fill).await.unwrap();
        client.batch_execute("VACUUM ANALYZE events").await.unwrap();
        let at = |seconds: i128| Timestamp::from_unix_nanos(seconds * 1_000_000_000).unwrap();
        let all = EventFilter::new().limit(100);
        for (name, filter) in [
            ("all", all.clone()),
            ("status", all.clone().status(EventStatus::Failed)),
            ("status that none has", all.clone().status(EventStatus::Pending)),
            ("user", all.clone().user_id(77_777)),
            (
                "entity, instance, status",
                all.clone().entity("e3").instance_id("i3").status(EventStatus::Failed),
            ),
            ("the middle half by time", all.clone().from(at(25_000)).to(at(75_000))),
            ("the last page by time", all.clone().from(at(99_999))),
            ("offset of 400,000 of 500,000", all.schema("public").offset(400_000)),
        ] {
            store.list(filter.clone()).await.unwrap();
            let began = Instant::now();
            let page = store.list(filter).await.unwrap();
            println!("{name}: {:?}, {} of {}", began.elapsed(), page.records.len(), page.total);
        }
    });
}
