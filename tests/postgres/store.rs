//! What all stores do, and what only this one does.

use alloc::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tickbus::hosted::engines::postgres::PostgresStore;
use tickbus::hosted::store::Store;
use tickbus::subject::GlobPattern;

use crate::server::{Postgres, shared};
use crate::stores::{Plain, steps, store_tests};
use crate::{database, run, store, table};

/// Runs a case of all stores.
fn on_postgres(case: impl AsyncFn(Arc<dyn Store>)) {
    let Some(server) = shared() else { return };
    run(async { case(Arc::new(store(server.url()).await)).await });
}

store_tests!(on_postgres);

#[test]
fn it_does_what_a_vector_does() {
    let Some(server) = shared() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(store(server.url()));
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let cases = prop::collection::vec(steps(), 1..60);
    runner
        .run(&cases, |steps| {
            runtime.block_on(async {
                for record in store.list(Default::default()).await.unwrap().records {
                    store.delete(&record.id).await.unwrap();
                }
                let mut plain = Plain::new(usize::MAX);
                for step in steps {
                    plain.step(&store, step).await?;
                }
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn a_record_that_others_have_is_not_cloned() {
    let Some(server) = shared() else { return };
    run(async {
        let store = store(server.url()).await;
        let mut news = store.stream(GlobPattern::new("*").unwrap()).unwrap();
        let record = Arc::new(crate::stores::record("1"));
        store.put_shared(record.clone()).await.unwrap();
        assert!(Arc::ptr_eq(&news.next().await.unwrap().unwrap(), &record));
        store.update_shared(record.clone()).await.unwrap();
        assert_eq!(store.get("1").await.unwrap(), record);
    });
}

#[test]
fn two_stores_of_one_table_have_the_same_records() {
    let Some(server) = shared() else { return };
    let connect = async |server: &Postgres, table: &str| {
        PostgresStore::connect(&database(server.url()), table).await.unwrap()
    };
    run(async {
        let table = table();
        let one = connect(server, &table).await;
        one.put(crate::stores::record("1")).await.unwrap();
        let other = connect(server, &table).await;
        assert_eq!(other.get("1").await.unwrap(), one.get("1").await.unwrap());
        other.delete("1").await.unwrap();
        assert!(one.get("1").await.is_err());
    });
}
