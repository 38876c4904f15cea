//! The outbox: exactly what is committed is published, in order by key.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;
use tickbus::hosted::broker::Crud;
use tickbus::hosted::engines::postgres::unstable::{self, InTransaction};
use tickbus::hosted::engines::postgres::{Outbox, PostgresError, Relay};
use tickbus::hosted::{Engine, Health, Level, MemoryEngine};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::engine::{Answer, Memo};
use crate::server::{Postgres, shared};
use crate::{SOON, WHILE, client, database, run, table, until};

async fn outbox(server: &Postgres) -> Outbox {
    Outbox::connect(&database(server.url()), &table()).await.unwrap()
}

fn relay(outbox: &Outbox, engine: &Arc<Memo>) -> Relay {
    outbox.relay(engine.clone()).poll(Duration::from_millis(100)).start().unwrap()
}

pub(crate) fn number(key: &str, number: u32) -> Envelope {
    Envelope::json("stock.changed", &number).unwrap().with_key(key)
}

/// Writes one event in a transaction of its own.
async fn commit(outbox: &Outbox, client: &mut Client, envelope: Envelope) -> Arc<Envelope> {
    let transaction = client.transaction().await.unwrap();
    let envelope = unstable::write(outbox, &transaction, envelope).await.unwrap();
    transaction.commit().await.unwrap();
    envelope
}

async fn is_empty(outbox: &Outbox) {
    until(async || outbox.pending().await.unwrap().0 == 0).await;
}

#[test]
fn what_is_committed_is_published_as_it_was_written_and_what_is_not_is_not() {
    let Some(server) = shared() else { return };
    run(async {
        let (outbox, engine) = (outbox(server).await, Memo::new());
        let relay = relay(&outbox, &engine);
        let mut client = client(server.url()).await;
        let whole = Envelope::unstamped("a.b").unwrap().with_bytes([0, 255]);
        let whole = whole.with_key("k").header("x", "\0ü");
        let whole = commit(&outbox, &mut client, whole).await;
        assert!(!whole.id().is_empty() && whole.time().is_some());
        for _ in 0..3 {
            let transaction = client.transaction().await.unwrap();
            unstable::write(&outbox, &transaction, number("k", 1)).await.unwrap();
            transaction.rollback().await.unwrap();
        }
        let mut transaction = client.transaction().await.unwrap();
        let savepoint = transaction.transaction().await.unwrap();
        unstable::write(&outbox, &savepoint, number("k", 2)).await.unwrap();
        savepoint.rollback().await.unwrap();
        let kept = unstable::write(&outbox, &transaction, number("k", 3)).await.unwrap();
        sleep(WHILE).await;
        assert_eq!(
            *engine.taken(),
            *core::slice::from_ref(&whole),
            "the other is not committed yet"
        );
        transaction.commit().await.unwrap();
        until(async || engine.taken().len() >= 2).await;
        is_empty(&outbox).await;
        sleep(WHILE).await;
        assert_eq!(engine.taken(), [whole, kept]);
        let stats = relay.stats();
        assert_eq!((stats.published, stats.failed, stats.refused), (2, 0, 0));
        assert!(stats.publishes && relay.health() == Health::Up);
        relay.stop(SOON).await.unwrap();
    });
}

#[test]
fn a_key_is_held_until_its_transaction_ends_and_others_are_not() {
    let Some(server) = shared() else { return };
    run(async {
        let (outbox, engine) = (outbox(server).await, Memo::new());
        let _relay = relay(&outbox, &engine);
        let (mut one, mut two) = (client(server.url()).await, client(server.url()).await);
        let first = one.transaction().await.unwrap();
        unstable::write(&outbox, &first, number("k", 1)).await.unwrap();
        // It has a later place, and is committed before.
        commit(&outbox, &mut two, number("other", 2)).await;
        commit(&outbox, &mut two, number("", 3)).await;
        until(async || engine.taken().len() == 2).await;

        let second = two.transaction().await.unwrap();
        {
            let mut write = Box::pin(unstable::write(&outbox, &second, number("k", 4)));
            assert!(timeout(WHILE, &mut write).await.is_err(), "it waits for the first");
            first.commit().await.unwrap();
            write.await.unwrap();
        }
        second.commit().await.unwrap();
        until(async || engine.taken().len() == 4).await;
        let of_k: Vec<_> = engine.numbers().into_iter().filter(|it| it.0 == "k").collect();
        assert_eq!(of_k, [("k".into(), 1), ("k".into(), 4)]);
    });
}

/// What a writer of the test below does, until it has committed `count` transactions.
pub(crate) async fn writes(
    outbox: Outbox,
    url: String,
    seed: u32,
    count: u32,
    expected: Arc<std::sync::Mutex<BTreeMap<String, Vec<u32>>>>,
) {
    let mut client = client(url).await;
    let mut random = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = move |below: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % below
    };
    let mut committed = 0;
    for at in 0.. {
        if committed == count {
            return;
        }
        let key = format!("k{}", next(4));
        let transaction = client.transaction().await.unwrap();
        let numbers: Vec<u32> = (0..=next(2)).map(|nth| seed * 10_000 + at * 10 + nth).collect();
        for it in &numbers {
            unstable::write(&outbox, &transaction, number(&key, *it)).await.unwrap();
            sleep(Duration::from_millis(next(4).into())).await;
        }
        if next(4) == 0 {
            transaction.rollback().await.unwrap();
            continue;
        }
        // This transaction holds the key: what is noted now is in the order of the commits.
        expected.lock().unwrap().entry(key).or_default().extend(&numbers);
        transaction.commit().await.unwrap();
        committed += 1;
    }
}

/// The first time that each number comes, by key.
pub(crate) fn firsts(numbers: &[(String, u32)]) -> BTreeMap<String, Vec<u32>> {
    let mut firsts = BTreeMap::<String, Vec<u32>>::new();
    for (key, number) in numbers {
        let of_key = firsts.entry(key.clone()).or_default();
        if !of_key.contains(number) {
            of_key.push(*number);
        }
    }
    firsts
}

#[test]
fn each_key_is_in_order_however_transactions_overlap_and_engines_fail() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        // Each third attempt fails, in one of two ways.
        let engine = Memo::with(|envelope, attempt| {
            let number: u32 = envelope.decode().unwrap().unwrap();
            match (number / 10 + attempt) % 6 {
                0 => Answer::Unknown,
                3 => Answer::NotSent,
                _ => Answer::Take,
            }
        });
        let relay = relay(&outbox, &engine);
        let expected = Arc::default();
        let writers: Vec<_> = (1..=6)
            .map(|seed| {
                tokio::spawn(writes(outbox.clone(), server.url(), seed, 25, Arc::clone(&expected)))
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        is_empty(&outbox).await;
        assert_eq!(firsts(&engine.numbers()), *expected.lock().unwrap());
        let stats = relay.stats();
        assert!(stats.failed > 20, "{stats:?}");
        // Twice only where the engine did not know.
        for envelope in engine.taken() {
            let times = engine.taken().iter().filter(|it| it.id() == envelope.id()).count();
            assert!(times as u32 <= engine.tries(envelope.id()));
        }
        assert_eq!(stats.published, expected.lock().unwrap().values().flatten().count() as u64);
    });
}

#[test]
fn one_of_several_relays_publishes_and_another_takes_over() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        let engine = Memo::new();
        let expected = Arc::default();
        let mut relays: Vec<_> = (0..3).map(|_| relay(&outbox, &engine)).collect();
        let writers: Vec<_> = (1..=3)
            .map(|seed| {
                tokio::spawn(writes(outbox.clone(), server.url(), seed, 40, Arc::clone(&expected)))
            })
            .collect();
        while relays.len() > 1 {
            until(async || relays.iter().any(|it| it.stats().publishes)).await;
            let publishes = relays.iter().filter(|it| it.stats().publishes).count();
            assert_eq!(publishes, 1, "of {}", relays.len());
            sleep(Duration::from_millis(50)).await;
            // It ends at once, whatever it does.
            relays.retain(|it| !it.stats().publishes);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        is_empty(&outbox).await;
        assert_eq!(firsts(&engine.numbers()), *expected.lock().unwrap());
        assert!(relays[0].stats().published > 0, "{:?}", relays[0]);
    });
}

#[test]
fn a_failing_event_holds_its_key_and_no_other() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        let engine = Memo::with(|envelope, attempt| match (envelope.key(), attempt) {
            ("held", ..4) => Answer::NotSent,
            ("panics", 1) => Answer::Panic,
            ("buffered", 1) => Answer::Buffer,
            ("unknown", 1) => Answer::Unknown,
            ("wide", _) if envelope.decode::<u32>().unwrap() == Some(0) => Answer::TooLarge,
            _ => Answer::Take,
        });
        let mut client = client(server.url()).await;
        let mut ids = BTreeMap::new();
        for key in ["held", "panics", "buffered", "unknown", "wide", "", "fine"] {
            for n in 0..3 {
                let envelope = commit(&outbox, &mut client, number(key, n)).await;
                ids.insert((key, n), String::from(envelope.id()));
            }
        }
        let relay = relay(&outbox, &engine);
        is_empty(&outbox).await;
        let came = |key: &str| -> Vec<u32> {
            engine.numbers().into_iter().filter(|it| it.0 == key).map(|it| it.1).collect()
        };
        assert_eq!(came("held"), [0, 1, 2]);
        assert_eq!(engine.tries(&ids[&("held", 1)]), 4, "only the first waits");
        assert_eq!(came("buffered"), [0, 0, 1, 1, 2, 2], "the level was not reached at first");
        assert_eq!(came("unknown"), [0, 0, 1, 1, 2, 2], "the same envelope again");
        assert_eq!(came("wide"), [1, 2], "the first can never be sent");
        assert_eq!((came("fine"), came("panics")), (vec![0, 1, 2], vec![0, 1, 2]));
        let mut any = came("");
        any.sort();
        assert_eq!(any, [0, 1, 2]);
        assert_eq!((relay.stats().refused, outbox.pending().await.unwrap()), (1, (0, 1)));
    });
}

#[test]
fn a_failing_key_with_many_events_does_not_starve_others() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        let engine = Memo::with(|envelope, _| match envelope.key() {
            "fine" | "" => Answer::Take,
            _ => Answer::NotSent,
        });
        let mut client = client(server.url()).await;
        let transaction = client.transaction().await.unwrap();
        for n in 0..300 {
            unstable::write(&outbox, &transaction, number("fails", n)).await.unwrap();
        }
        transaction.commit().await.unwrap();
        commit(&outbox, &mut client, number("fine", 1)).await;
        commit(&outbox, &mut client, number("", 2)).await;
        let relay = relay(&outbox, &engine);
        until(async || engine.taken().len() == 2).await;
        sleep(WHILE).await;
        let failed = relay.stats().failed;
        assert!((1..20).contains(&failed), "it waits longer each time, and failed {failed} times");
        assert_eq!(outbox.pending().await.unwrap(), (300, 0));
    });
}

#[test]
fn a_commit_wakes_the_relay() {
    let Some(server) = shared() else { return };
    run(async {
        let mut client = client(server.url()).await;
        let long = Duration::from_secs(3600);
        let (woken, engine) = (outbox(server).await, Memo::new());
        let relay = woken.relay(engine.clone()).poll(long).start().unwrap();
        until(async || relay.stats().publishes).await;
        for n in 0..3 {
            commit(&woken, &mut client, number("", n)).await;
            until(async || engine.taken().len() as u32 == n + 1).await;
        }
        relay.stop(SOON).await.unwrap();

        let (polls, engine) = (outbox(server).await.without_notify(), Memo::new());
        let relay = polls.relay(engine.clone()).poll(long).start().unwrap();
        until(async || relay.stats().publishes).await;
        sleep(WHILE).await; // it has looked
        commit(&polls, &mut client, number("", 1)).await;
        sleep(WHILE).await;
        assert_eq!(engine.taken(), []);
        drop(relay);
        let _relay = polls.relay(engine.clone()).poll(Duration::from_millis(20)).start().unwrap();
        until(async || engine.taken().len() == 1).await;
        commit(&polls, &mut client, number("", 2)).await;
        until(async || engine.taken().len() == 2).await;
    });
}

#[test]
fn a_row_that_sql_wrote_is_published_under_one_id() {
    let Some(server) = shared() else { return };
    run(async {
        let name = table();
        let outbox = Outbox::connect(&database(server.url()), &name).await.unwrap();
        let client = client(server.url()).await;
        let insert = format!(
            "INSERT INTO {name} (key, subject, envelope) VALUES ('k', 'row.added', '{{\"n\":1}}')"
        );
        client.batch_execute(&insert).await.unwrap();
        let wrong = format!("INSERT INTO {name} (subject, envelope) VALUES ('..', '1')");
        client.batch_execute(&wrong).await.unwrap();
        let engine =
            Memo::with(|_, attempt| if attempt == 1 { Answer::Unknown } else { Answer::Take });
        let _relay = relay(&outbox, &engine);
        is_empty(&outbox).await;
        let taken = engine.taken();
        assert_eq!(taken.len(), 2);
        for it in taken {
            assert_eq!((it.id(), it.subject().as_str()), (&*format!("{name}-1"), "row.added"));
            assert_eq!(it.key(), "k");
            assert_eq!(it.payload().unwrap(), r#"{"n":1}"#);
        }
        let refused = format!("SELECT refused FROM {name}");
        let refused: String = client.query_one(&refused, &[]).await.unwrap().get(0);
        assert!(refused.contains("subject"), "{refused}");
    });
}

#[test]
fn a_lost_session_is_made_again_and_listens_again() {
    let Some(server) = shared() else { return };
    run(async {
        let (outbox, engine) = (outbox(server).await, Memo::new());
        let relay = outbox.relay(engine.clone()).poll(Duration::from_secs(3600)).start().unwrap();
        let mut client = client(server.url()).await;
        for round in 0..3 {
            until(async || relay.stats().publishes).await;
            commit(&outbox, &mut client, number("k", round)).await;
            until(async || engine.taken().len() as u32 == round + 1).await;
            let end = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                       WHERE locktype = 'advisory' AND query LIKE '%FROM \"' || $1 || '\"%'";
            let table = format!("{outbox:?}");
            let table = table.split('"').nth(3).unwrap();
            let ended = client.query(end, &[&table]).await.unwrap();
            assert_eq!(ended.len(), 1);
            until(async || relay.stats().connects > u64::from(round) + 1).await;
        }
    });
}

#[test]
fn the_hooks_of_a_table_write_in_its_transaction() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        let memory = MemoryEngine::new();
        let mut all = memory.subscribe("public.>").unwrap().group("all").open().await.unwrap();
        let _relay = outbox.relay(Arc::new(memory)).require(Level::Accepted).start().unwrap();
        let mut client = client(server.url()).await;
        let users = table();
        client
            .batch_execute(&format!("CREATE TABLE {users} (id int PRIMARY KEY, name text)"))
            .await
            .unwrap();

        // A change that is taken back, and one that is not.
        for keep in [false, true] {
            let transaction = client.transaction().await.unwrap();
            let target = InTransaction::new(&outbox, &transaction).with_key("users/7");
            let crud = Crud::new(target, "public");
            let insert = format!("INSERT INTO {users} VALUES (7, 'Ada')");
            transaction.execute(&insert, &[]).await.unwrap();
            crud.created("users", &(7, "Ada")).await.unwrap();
            let select = format!("SELECT name FROM {users} WHERE id = 7");
            transaction.query_one(&select, &[]).await.unwrap();
            crud.read("users", &7).await.unwrap(); // off
            let update = format!("UPDATE {users} SET name = 'Grace' WHERE id = 7");
            transaction.execute(&update, &[]).await.unwrap();
            crud.updated("users", &(7, "Grace")).await.unwrap();
            transaction.execute(&format!("DELETE FROM {users}"), &[]).await.unwrap();
            crud.deleted("users", &7).await.unwrap();
            let error = Crud::new(InTransaction::new(&outbox, &transaction), "a..b");
            let error = error.created("users", &7).await.unwrap_err().to_string();
            assert!(error.contains("a..b"), "{error}");
            if keep {
                transaction.commit().await.unwrap();
            }
        }
        for (operation, row) in
            [("create", "[7,\"Ada\"]"), ("update", "[7,\"Grace\"]"), ("delete", "7")]
        {
            let next = timeout(SOON, all.next()).await.unwrap().unwrap().unwrap();
            let envelope = next.envelope();
            assert_eq!(envelope.subject().as_str(), format!("public.users.{operation}"));
            assert_eq!((envelope.payload(), envelope.key()), (Some(row), "users/7"));
            next.ack();
        }
        assert!(timeout(WHILE, all.next()).await.is_err(), "no more than these");
    });
}

#[test]
fn a_nul_in_a_key_is_refused_and_the_transaction_goes_on() {
    let Some(server) = shared() else { return };
    run(async {
        let (outbox, engine) = (outbox(server).await, Memo::new());
        let mut client = client(server.url()).await;
        let transaction = client.transaction().await.unwrap();
        let nul = number("a\0b", 1);
        let error = unstable::write(&outbox, &transaction, nul).await.unwrap_err();
        assert_eq!(error, PostgresError::Nul("key"));
        unstable::write(&outbox, &transaction, number("k", 2)).await.unwrap();
        transaction.commit().await.unwrap();
        let _relay = relay(&outbox, &engine);
        until(async || engine.numbers() == [("k".into(), 2)]).await;
    });
}

#[test]
fn a_page_with_a_row_that_is_not_readable_is_followed_by_the_next_at_once() {
    let Some(server) = shared() else { return };
    run(async {
        let name = table();
        let outbox = Outbox::connect(&database(server.url()), &name).await.unwrap();
        let mut client = client(server.url()).await;
        let wrong = format!("INSERT INTO {name} (subject, envelope) VALUES ('..', '1')");
        client.batch_execute(&wrong).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        for n in 0..300 {
            unstable::write(&outbox, &transaction, number("", n)).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let engine = Memo::new();
        let relay = outbox.relay(engine.clone()).poll(Duration::from_secs(3600));
        let _relay = relay.start().unwrap();
        until(async || engine.taken().len() == 300).await;
        assert_eq!(outbox.pending().await.unwrap().1, 1);
    });
}

#[test]
fn a_page_has_some_megabytes_and_the_next_follows_at_once() {
    let Some(server) = shared() else { return };
    run(async {
        let outbox = outbox(server).await;
        let mut client = client(server.url()).await;
        let (large, most) = ("x".repeat(1 << 20), 5 << 20);
        let transaction = client.transaction().await.unwrap();
        for _ in 0..10 {
            let envelope = Envelope::json("stock.changed", &large).unwrap();
            unstable::write(&outbox, &transaction, envelope).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let engine = Memo::new();
        let relay = outbox.relay(engine.clone()).poll(Duration::from_secs(3600));
        let _relay = relay.start().unwrap();
        until(async || engine.taken().len() == 10).await;
        let batches = engine.batches();
        assert!(batches.len() >= 3 && batches.iter().all(|it| *it <= most), "{batches:?}");
    });
}

#[test]
fn a_relay_requires_no_more_than_its_engine_reaches() {
    let Some(server) = shared() else { return };
    run(async {
        let (outbox, engine) = (outbox(server).await, Memo::new());
        let mut client = client(server.url()).await;
        commit(&outbox, &mut client, number("k", 1)).await;
        let relay = outbox.relay(engine.clone()).require(Level::Stored);
        let error = relay.start().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the relay requires `stored`, and engine `memo` reaches `accepted` at most"
        );

        // One that learns it from its server.
        engine.reaches(Level::Stored);
        let relay = outbox.relay(engine.clone()).require(Level::Stored).start().unwrap();
        engine.reaches(Level::Accepted);
        until(async || relay.health() == Health::Down(error.to_string().into())).await;
        assert_eq!((engine.taken().len(), outbox.pending().await.unwrap()), (0, (1, 0)));
        engine.reaches(Level::Stored);
        until(async || engine.taken().len() == 1).await;
        is_empty(&outbox).await;
    });
}
