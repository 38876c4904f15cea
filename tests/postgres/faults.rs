//! What goes wrong at a server, and what is said of it.

use alloc::sync::Arc;
use core::time::Duration;
use std::thread;

use tickbus::hosted::RetryPolicy;
use tickbus::hosted::broker::{Broker, BrokerError};
use tickbus::hosted::engines::postgres::{
    Database, Outbox, PostgresError, PostgresStore, Provision,
};
use tickbus::hosted::store::{EventFilter, EventRecord, EventStatus, Store, StoreError};
use tokio::time::{sleep, timeout};

use crate::server::{Postgres, shared};
use crate::servers::{Proxy, free_port};
use crate::stores::record;
use crate::{SOON, client, database, run, store, table, until};

async fn refused(database: &Database) -> String {
    let error = PostgresStore::connect(database, "events").await.unwrap_err();
    let text = format!("{error} / {error:?} / {database:?}");
    assert!(!text.contains("hunter2"), "{text}");
    error.to_string()
}

#[test]
fn wrong_settings_are_refused_and_no_password_is_shown() {
    let Some(server) = shared() else { return };
    run(async {
        let client = client(server.url()).await;
        client.batch_execute("CREATE ROLE locked LOGIN PASSWORD 'right'").await.unwrap();
        let port = server.port();
        let url = |login: &str, rest: &str| format!("postgres://{login}@127.0.0.1:{port}/{rest}");
        // One that waits for its timeout hangs the test.
        let patient = |url: String| Database::new(url).timeout(Duration::from_secs(3600));
        for (url, expected) in [
            (url("locked:hunter2", "postgres"), "password authentication failed"),
            (url("postgres:hunter2", "no_such"), "database \"no_such\" does not exist"),
            (url("nobody:hunter2", "postgres"), "role \"nobody\" does not exist"),
            (url("postgres:hunter2", "postgres?sslmode=require"), "the server does not speak TLS"),
            (
                url("postgres:hunter2", "postgres?sslmode=maybe"),
                "invalid value for option `sslmode`",
            ),
            (
                "postgres://postgres:hunter2@127.0.0.1:x/postgres".into(),
                "is not the URL of a Postgres database: invalid value for option `port`",
            ),
            ("host=127.0.0.1 pasword=hunter2".into(), "is not the URL of a Postgres"),
            ("user=postgres password=hunter2".into(), "names no host"),
        ] {
            let error = refused(&patient(url)).await;
            assert!(error.contains(expected), "{error}");
        }
        let wrong = Database::new(url("locked", "postgres")).password("locked", "hunter2");
        assert!(refused(&wrong).await.contains("password authentication failed"));
        let missing = Database::new(server.url()).ca_file("/no/such.pem");
        assert!(refused(&missing).await.contains("/no/such.pem"));

        let away = format!("postgres://postgres:hunter2@127.0.0.1:{}/postgres", free_port());
        let away = Database::new(away).timeout(Duration::from_millis(300));
        let error = refused(&away).await;
        assert!(error.starts_with("there is no connection to `127.0.0.1:"), "{error}");
        assert!(error.contains("refused"), "{error}");

        let right = Database::new(url("locked", "postgres")).password("locked", "right");
        let right = right.provision(Provision::Never);
        PostgresStore::connect(&right, "events").await.unwrap();
    });
}

#[test]
fn a_missing_table_is_told_as_the_provision_says() {
    let Some(server) = shared() else { return };
    run(async {
        let (name, plain) = (table(), Database::new(server.url()));
        let error = PostgresStore::connect(&plain, &name).await.unwrap_err();
        let expected = format!("the table `{name}` is missing: `Provision::Create` creates it");
        assert_eq!(error.to_string(), expected);
        let error = Outbox::connect(&plain, &format!("no_schema.{name}")).await.unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        for wrong in ["", "a.b.c", "a.", &"x".repeat(64), "a\0"] {
            let error = PostgresStore::connect(&plain, wrong).await.unwrap_err();
            assert!(matches!(error, PostgresError::Settings(_)), "{error}");
        }

        let never = plain.clone().provision(Provision::Never);
        let store = PostgresStore::connect(&never, &name).await.unwrap();
        for error in [
            store.put(record("1")).await.unwrap_err(),
            store.update(record("1")).await.unwrap_err(),
            store.get("1").await.map(drop).unwrap_err(),
            store.list(EventFilter::new()).await.map(drop).unwrap_err(),
            store.stats().await.map(drop).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains(&format!("relation \"{name}\" does not exist")), "{error}");
        }
        // It is made while the store runs.
        let create = plain.clone().provision(Provision::Create);
        let creators: Vec<_> = (0..4)
            .map(|_| {
                let (create, name) = (create.clone(), name.clone());
                tokio::spawn(async move { PostgresStore::connect(&create, &name).await })
            })
            .collect();
        for creator in creators {
            creator.await.unwrap().unwrap();
        }
        store.put(record("1")).await.unwrap();
        PostgresStore::connect(&plain, &name).await.unwrap();

        // Another table of that name.
        let error = Outbox::connect(&create, &name).await.unwrap_err().to_string();
        assert!(error.contains("is another one: column \"key\" does not exist"), "{error}");
        let client = client(server.url()).await;
        let alter = format!("ALTER TABLE {name} ALTER retry_count TYPE int");
        client.batch_execute(&alter).await.unwrap();
        let error = PostgresStore::connect(&plain, &name).await.unwrap_err().to_string();
        assert!(error.ends_with("its column `retry_count` is int4 and not int8"), "{error}");

        // Any name is one of a table.
        let odd = PostgresStore::connect(&create, "Räcords \"of\" 'events'").await.unwrap();
        odd.put(record("1")).await.unwrap();
        assert_eq!(odd.stats().await.unwrap().total_events, 1);
        let odd = Outbox::connect(&create, "out \"of\" 'box'").await.unwrap();
        assert_eq!(odd.pending().await.unwrap(), (0, 0));
    });
}

#[test]
fn a_record_that_postgres_cannot_keep_is_refused_alone() {
    let Some(server) = shared() else { return };
    run(async {
        let store = Arc::new(store(server.url()).await);
        let mut nul = record("nul");
        nul.session_id = "a\0b".into();
        let error = store.put(nul).await.unwrap_err().to_string();
        assert!(
            error.ends_with("cannot keep the character NUL, which `session_id` has"),
            "{error}"
        );
        let mut nul = record("1");
        nul.mark_failed(nul.created_at, "\0");
        let error = store.update(nul).await.unwrap_err().to_string();
        assert!(error.ends_with("which `error` has"), "{error}");

        // Its index has no room for it, and it is in one statement with others.
        let mut random = 1_u32;
        let mut letter = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (random >> 24) as u8 % 26)
        };
        let wide: String = (0..9000).map(|_| letter()).collect();
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let (store, wide) = (store.clone(), wide.clone());
                tokio::spawn(async move {
                    let entity = if n % 40 == 7 { &*wide } else { "users" };
                    let source = tickbus::hosted::store::EventSource::System;
                    let mut record = EventRecord::new(source, "public", entity, "create");
                    (record.id, record.instance_id) = (n.to_string(), "i".into());
                    (n, store.put(record).await)
                })
            })
            .collect();
        for task in tasks {
            let (n, result) = task.await.unwrap();
            match result {
                Ok(()) => assert!(n % 40 != 7),
                Err(error) => {
                    assert!(n % 40 == 7 && error.to_string().contains("index row"), "{n}: {error}");
                }
            }
        }
        assert_eq!(store.stats().await.unwrap().total_events, 97);

        // A megabyte is none of these.
        let mut large = record("large");
        large.set_payload(&"x".repeat(1 << 20)).unwrap();
        store.put(large.clone()).await.unwrap();
        assert_eq!(*store.get("large").await.unwrap(), large);
    });
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let Some(server) = shared() else { return };
    run(async {
        let proxy = Proxy::to(server.port());
        let url = proxy.url().replace("nats://", "postgres://postgres@") + "/postgres";
        let (name, patient) = (table(), database(url).timeout(3 * SOON));
        let patience = PostgresStore::connect(&patient, &name).await.unwrap();
        let never = patient.provision(Provision::Never).timeout(Duration::from_millis(300));
        let store = PostgresStore::connect(&never, &name).await.unwrap();
        until(async || store.put(record("1")).await.is_ok()).await;
        proxy.hold(true);
        for _ in 0..2 {
            let error = store.put(record("2")).await.unwrap_err().to_string();
            assert_eq!(error, "the store failed: Postgres did not answer in time");
            let error = store.get("1").await.unwrap_err().to_string();
            assert_eq!(error, "the store failed: Postgres did not answer in time");
        }
        proxy.hold(false);
        until(async || store.put(record("3")).await.is_ok()).await;
        until(async || store.get("3").await.is_ok()).await;
        // What is cut is made again, without a word.
        let store = patience;
        for n in 0..5 {
            proxy.cut();
            store.put(record(&format!("cut {n}"))).await.unwrap();
            proxy.cut();
            store.get(&format!("cut {n}")).await.unwrap();
        }
        proxy.cut();
        store.delete("3").await.unwrap();
        // Those that are dropped give no connection back that is still busy.
        proxy.hold(true);
        for _ in 0..10 {
            assert!(timeout(Duration::from_millis(10), store.get("1")).await.is_err());
        }
        proxy.hold(false);
        assert_eq!(store.get("cut 1").await.unwrap().id, "cut 1");
    });
}

/// One connection, and a row that another transaction holds.
#[test]
fn what_is_not_waited_for_any_more_keeps_no_connection() {
    let Some(server) = shared() else { return };
    run(async {
        let name = table();
        let one = database(server.url()).pool_size(1).timeout(Duration::from_secs(2));
        store(server.url()).await; // the server is up
        let store = PostgresStore::connect(&one, &name).await.unwrap();
        store.put(record("1")).await.unwrap();
        let mut client = client(server.url()).await;
        let transaction = client.transaction().await.unwrap();
        let hold = format!("UPDATE {name} SET error = '' WHERE id = '1'");
        transaction.execute(&hold, &[]).await.unwrap();
        let error = store.update(record("1")).await.unwrap_err().to_string();
        assert!(error.contains("did not answer in time"), "{error}");
        assert_eq!(store.get("1").await.unwrap().id, "1");
        assert!(timeout(Duration::from_millis(300), store.delete("1")).await.is_err());
        assert_eq!(store.get("1").await.unwrap().id, "1");
        transaction.rollback().await.unwrap();
    });
}

fn broker(store: &Arc<PostgresStore>) -> Broker {
    let broker = Broker::builder().store(store.clone()).workers(4).retry(RetryPolicy::none());
    let broker = broker.build().unwrap();
    broker.subscribe("*", |_| async { Ok::<_, BrokerError>(()) }).unwrap();
    broker
}

/// The server is killed under a broker that works, and comes back: later than the broker waits.
#[test]
fn a_broker_whose_server_is_killed_says_so_and_goes_on() {
    let Some(mut server) = Postgres::start(&[]) else { return };
    run(async {
        let store = PostgresStore::connect(&database(server.url()), "events").await.unwrap();
        store.close();
        let short = Database::new(server.url()).timeout(Duration::from_secs(2));
        let store = Arc::new(PostgresStore::connect(&short, "events").await.unwrap());
        let broker = broker(&store);
        broker.start().unwrap();
        let mut accepted = Vec::new();
        let mut publish = async |id: String, broker: &Broker| {
            let result = broker.publish(record(&id)).await;
            if result.is_ok() {
                accepted.push(id);
            }
            result
        };
        for n in 0..50 {
            publish(format!("before {n}"), &broker).await.unwrap();
        }
        server.kill();
        let error = publish("meanwhile".into(), &broker).await.unwrap_err();
        assert_eq!(error.code(), "store_failed");
        let text = error.to_string();
        assert!(text.contains("there is no connection to `127.0.0.1:"), "{text}");
        let error = store.list(EventFilter::new()).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error}");
        server.run();
        for n in 0..50 {
            publish(format!("after {n}"), &broker).await.unwrap();
        }
        broker.stop(SOON).await.unwrap();
        let stats = broker.stats();
        assert_eq!(stats.total_published, accepted.len() as u64);
        assert_eq!(stats.total_published, stats.total_processed + stats.total_failed);
        // Each that was accepted is there, and each change that the store missed is counted.
        let mut unfinished = 0;
        for id in &accepted {
            let record = store.get(id).await.unwrap();
            unfinished += u64::from(record.status != EventStatus::Completed);
        }
        assert!(unfinished <= stats.store_errors, "{unfinished}, {stats:?}");
    });
}

/// A restart that is shorter than the timeout is not noticed.
#[test]
fn a_restart_loses_nothing_and_fails_nothing() {
    let Some(mut server) = Postgres::start(&[]) else { return };
    let url = server.url();
    let (ready, begins) = std::sync::mpsc::channel();
    let (told, end) = tokio::sync::watch::channel(false);
    let writes = thread::spawn(move || {
        run(async {
            let patient = database(url).timeout(6 * SOON);
            let store = Arc::new(PostgresStore::connect(&patient, "events").await.unwrap());
            let broker = broker(&store);
            broker.start().unwrap();
            ready.send(()).unwrap();
            let mut published = 0;
            while !*end.borrow() || published < 50 {
                let result = broker.publish(record(&published.to_string())).await;
                if let Err(error) = result {
                    assert_eq!(error.code(), "queue_full", "{error}");
                    sleep(Duration::from_millis(5)).await;
                    continue;
                }
                published += 1;
            }
            broker.stop(6 * SOON).await.unwrap();
            let stats = store.stats().await.unwrap();
            assert_eq!((stats.total_events, stats.completed_events), (published, published));
            assert_eq!(broker.stats().store_errors, 0);
        });
    });
    begins.recv().unwrap();
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(400));
        server.kill();
        thread::sleep(Duration::from_millis(100));
        server.run();
    }
    told.send_replace(true);
    writes.join().unwrap();
}

/// A small disk that is gone with this value.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0777", "tickbus"])
            .arg(&at)
            .output();
        let disk = mount.is_ok_and(|it| it.status.success()).then_some(Self(at))?;
        let _ = std::process::Command::new("chown").arg("postgres").arg(&disk.0).status();
        Some(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_what_is_kept_can_be_read_and_removed() {
    let Some(server) = Postgres::start(&[]) else { return };
    let Some(disk) = Disk::mount(server.folder().join("small")) else {
        return println!("SKIPPED: no right to mount a small disk");
    };
    run(async {
        let client = client(server.url()).await;
        let space = format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.display());
        client.batch_execute(&space).await.unwrap();
        let url = server.url() + "?options=-c%20default_tablespace%3Dsmall";
        let store = PostgresStore::connect(&database(url), "events").await.unwrap();
        let mut kept = 0;
        let error = loop {
            let mut record = record(&kept.to_string());
            record.set_payload(&"x".repeat(1500)).unwrap();
            record.status = EventStatus::Completed;
            match store.put(record).await {
                Ok(()) => kept += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("could not extend file") && error.contains("53100"), "{error}");
        assert!(kept > 50, "{kept}");
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.total_events, stats.completed_events), (kept, kept));
        store.get("0").await.unwrap();
        assert_eq!(store.clean_up(crate::stores::at(1)).await.unwrap(), kept);
    });
}
