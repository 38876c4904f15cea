//! `kill -9` of the relay and of the server, between commit and publish: what was committed is published,
//! what was rolled back is not, and each key is in order.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use tickbus::Envelope;
use tickbus::hosted::engines::postgres::{Outbox, unstable};
use tickbus::hosted::{
    Capabilities, Engine, EngineError, EngineFuture, Level, Receipt, ShutdownError,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::outbox::{firsts, number};
use crate::server::Postgres;
use crate::servers::folder;
use crate::servers::jepsen::{Sums, between, rounds, until_acknowledged};
use crate::servers::process::Process;
use crate::{SOON, client, database, run, until};

/// Publishes into a file, which survives this process: one write for an event.
struct Lines {
    name: Arc<str>,
    file: Mutex<File>,
}

impl Lines {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { name: "lines".into(), file: Mutex::new(file) }
    }
}

impl Engine for Lines {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().level(Level::Stored)
    }

    fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        EngineFuture::new(async move {
            // Long enough for a kill to come between.
            sleep(Duration::from_micros(300)).await;
            let line = format!("{} {} {}\n", it.key(), it.payload().unwrap(), it.id());
            self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
            Ok(Receipt::new(&self.name, Level::Stored))
        })
    }

    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}

/// What the tests below run in another process. Alone it does nothing.
#[test]
fn in_another_process() {
    let Ok(url) = env::var("TICKBUS_URL") else { return };
    let path = PathBuf::from(env::var("TICKBUS_FILE").unwrap());
    run(async {
        let outbox = Outbox::connect(&database(url), "outbox").await.unwrap();
        let relay = outbox.relay(Arc::new(Lines::open(&path)));
        let _relay = relay.require(Level::Stored).poll(Duration::from_millis(50)).start().unwrap();
        core::future::pending::<()>().await;
    });
}

/// A relay in another process, which publishes into this file.
fn relay(url: &str, file: &Path) -> Process {
    let variables = [("TICKBUS_URL", url.as_ref()), ("TICKBUS_FILE", file.as_ref())];
    Process::start("kill::in_another_process", variables)
}

/// What the writers of the outbox have seen.
#[derive(Default)]
struct Seen {
    attempted: BTreeSet<u32>,
    /// By key, in the order of the commits.
    committed: BTreeMap<String, Vec<u32>>,
    rolled_back: BTreeSet<u32>,
    ids: BTreeMap<u32, String>,
}

/// Commits and rolls back until it is told to end.
async fn write(
    outbox: Outbox,
    url: String,
    first: u32,
    seen: Arc<Mutex<Seen>>,
    end: watch::Receiver<bool>,
) {
    let mut number_of = first;
    while !*end.borrow() {
        let Ok((mut client, connection)) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await
        else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(connection);
        while !*end.borrow() {
            let n = number_of;
            number_of += 1;
            let key = format!("k{}", n % 3);
            let Ok(transaction) = client.transaction().await else { break };
            seen.lock().unwrap().attempted.insert(n);
            let written = unstable::write(&outbox, &transaction, number(&key, n)).await;
            let Ok(envelope) = written else { break };
            seen.lock().unwrap().ids.insert(n, envelope.id().into());
            if n.is_multiple_of(5) {
                seen.lock().unwrap().rolled_back.insert(n);
                let _ = transaction.rollback().await;
            } else {
                // The key is held: the order of these notes is that of the commits.
                seen.lock().unwrap().committed.entry(key.clone()).or_default().push(n);
                if transaction.commit().await.is_err() {
                    // It may be committed: then it is published as well.
                    seen.lock().unwrap().committed.entry(key).or_default().retain(|it| *it != n);
                    break;
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits until nothing is pending, and compares.
async fn check(outbox: &Outbox, seen: &Seen, file: &Path, what: &str) {
    until(async || outbox.pending().await.is_ok_and(|it| it == (0, 0))).await;
    let text = fs::read_to_string(file).unwrap();
    let mut numbers = Vec::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let n: u32 = parts[1].parse().unwrap();
        assert_eq!(seen.ids.get(&n).map(String::as_str), Some(parts[2]), "the id of {n}");
        numbers.push((parts[0].to_string(), n));
    }
    let published = firsts(&numbers);
    let acknowledged: BTreeSet<u32> = seen.committed.values().flatten().copied().collect();
    let mut sums = Sums::default();
    sums.attempted = seen.attempted.difference(&seen.rolled_back).copied().collect();
    sums.acknowledged.clone_from(&acknowledged);
    numbers.iter().for_each(|(_, n)| sums.deliver(*n));
    sums.check(what);
    for (key, committed) in &seen.committed {
        let known = |n: &&u32| acknowledged.contains(n);
        let order: Vec<u32> = published[key].iter().filter(known).copied().collect();
        assert_eq!(order, *committed, "the order of {key}");
    }
}

fn killed(what: &str, kills: impl Fn(u32, &mut Postgres, &mut Vec<Process>, &Path)) {
    let Some(mut server) = Postgres::start(&[]) else { return };
    let (url, folder) = (server.url(), folder());
    let file = folder.join("published");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (end, ended) = watch::channel(false);
    let (own, noted) = (url.clone(), seen.clone());
    let (ready, begins) = std::sync::mpsc::channel();
    let writers = thread::spawn(move || {
        run(async {
            let outbox = Outbox::connect(&database(own.clone()), "outbox").await.unwrap();
            ready.send(()).unwrap();
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let first = writer * 1_000_000;
                    let (outbox, url) = (outbox.clone(), own.clone());
                    tokio::spawn(write(outbox, url, first, noted.clone(), ended.clone()))
                })
                .collect();
            for writer in writers {
                writer.await.unwrap();
            }
        });
    });
    begins.recv().unwrap();
    let mut relays: Vec<Process> = (0..2).map(|_| relay(&url, &file)).collect();
    thread::sleep(Duration::from_millis(300));
    let committed = || seen.lock().unwrap().committed.values().map(Vec::len).sum::<usize>();
    for round in 0..rounds(5) {
        kills(round, &mut server, &mut relays, &file);
        until_acknowledged(20, committed);
    }
    end.send_replace(true);
    writers.join().unwrap();
    let seen = core::mem::take(&mut *seen.lock().unwrap());
    run(async {
        let outbox = Outbox::connect(&database(url.clone()), "outbox").await.unwrap();
        check(&outbox, &seen, &file, what).await;
        let client = client(url).await;
        let left: i64 = client.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0);
        assert_eq!(left, 0);
    });
    drop(relays);
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn what_is_committed_is_published_when_the_relay_is_killed() {
    killed("outbox, relay killed", |round, server, relays, file| {
        thread::sleep(between(100, 400));
        // One of the two publishes: each is killed in turn.
        relays[round as usize % 2] = relay(&server.url(), file);
    });
}

#[test]
fn what_is_committed_is_published_when_postgres_is_killed() {
    killed("outbox, Postgres killed", |_, server, _, _| {
        thread::sleep(between(100, 400));
        server.kill();
        thread::sleep(between(10, 200));
        server.run();
    });
}

/// Nothing publishes while the transactions commit: a relay that begins later finds all.
#[test]
fn what_is_committed_waits_for_a_relay() {
    let Some(mut server) = Postgres::start(&[]) else { return };
    let folder = folder();
    let file = folder.join("published");
    run(async {
        let outbox = Outbox::connect(&database(server.url()), "outbox").await.unwrap();
        let mut client = client(server.url()).await;
        for n in 0..300 {
            let transaction = client.transaction().await.unwrap();
            unstable::write(&outbox, &transaction, number("k", n)).await.unwrap();
            transaction.commit().await.unwrap();
        }
    });
    server.kill();
    server.run();
    run(async {
        let outbox = Outbox::connect(&database(server.url()), "outbox").await.unwrap();
        assert_eq!(outbox.pending().await.unwrap(), (300, 0));
        let relay = outbox.relay(Arc::new(Lines::open(&file))).start().unwrap();
        timeout(6 * SOON, async {
            while outbox.pending().await.unwrap().0 > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        relay.stop(SOON).await.unwrap();
    });
    let text = fs::read_to_string(&file).unwrap();
    let numbers: Vec<u32> =
        text.lines().map(|it| it.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    let _ = fs::remove_dir_all(folder);
}
