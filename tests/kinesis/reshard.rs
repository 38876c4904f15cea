//! Shards that are split and merged while events come.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use tickbus::hosted::engines::Kinesis;
use tickbus::hosted::engines::kinesis::MemoryLeases;
use tickbus::hosted::{Deliveries, Engine, StartAt};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn};
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::servers::jepsen::Sums;
use crate::{SOON, number, on, settings, until, up, value};

const KEYS: u32 = 12;

/// What came, by key, in the order in which it came to the members.
#[derive(Default)]
struct Seen {
    sums: Sums,
    by_key: BTreeMap<String, Vec<u32>>,
    /// How many came to each member.
    counts: BTreeMap<usize, usize>,
}

/// Publishes numbers with keys until it is told to end. Returns how many there are.
fn publish(
    kinesis: Kinesis,
    seen: Arc<Mutex<Seen>>,
    end: watch::Receiver<bool>,
) -> JoinHandle<u32> {
    spawn(async move {
        let mut next = 0;
        while !*end.borrow() {
            seen.lock().unwrap().sums.attempted.insert(next);
            let event = number("game.shot", next).with_key(format!("key-{}", next % KEYS));
            kinesis.publish(event.into()).await.unwrap();
            seen.lock().unwrap().sums.acknowledged.insert(next);
            next += 1;
            sleep(Duration::from_millis(2)).await;
        }
        next
    })
}

/// Receives until it is told to end, and works a little on each.
fn receive(
    member: usize,
    mut from: Deliveries,
    seen: Arc<Mutex<Seen>>,
    mut end: watch::Receiver<bool>,
) -> JoinHandle<()> {
    spawn(async move {
        loop {
            let next = tokio::select! {
                next = from.next() => next,
                _ = end.changed() => return,
            };
            let next = next.unwrap().unwrap();
            let mut seen = seen.lock().unwrap();
            seen.sums.deliver(value(&next));
            let key = next.envelope().key().to_string();
            seen.by_key.entry(key).or_default().push(value(&next));
            *seen.counts.entry(member).or_default() += 1;
            drop(seen);
            next.ack();
        }
    })
}

async fn reshard(server: &Server) {
    let raw = server.client();
    sleep(Duration::from_millis(150)).await;
    let open = raw.open_shards().await;
    raw.split(&open[0]).await;
    sleep(Duration::from_millis(150)).await;
    let open = raw.open_shards().await;
    assert_eq!(open.len(), 3);
    raw.split(&open[2]).await;
    sleep(Duration::from_millis(50)).await;
    let open = raw.open_shards().await;
    raw.merge(&open[1], &open[2]).await;
    sleep(Duration::from_millis(150)).await;
    // A shard that has just begun ends.
    let open = raw.open_shards().await;
    raw.merge(&open[0], &open[1]).await;
    sleep(Duration::from_millis(150)).await;
    assert_eq!(raw.open_shards().await.len(), 2);
}

async fn check(what: &str, seen: &Mutex<Seen>, count: u32) {
    let all = async {
        while !seen.lock().unwrap().sums.has_all() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(SOON, all).await;
    // Something that came twice would come now.
    sleep(Duration::from_millis(100)).await;
    let seen = seen.lock().unwrap();
    seen.sums.check(what);
    let come: usize = seen.by_key.values().map(Vec::len).sum();
    assert_eq!(come, count as usize, "{what}: each came once");
    for (key, come) in &seen.by_key {
        assert!(come.is_sorted(), "{what}: `{key}` came in the order {come:?}");
    }
}

#[test]
fn nothing_is_lost_and_keys_stay_in_order_when_shards_are_split_and_merged() {
    on(async |server| {
        let leases = MemoryLeases::new();
        let engine = || settings(server.url()).shards(2).lease_store(leases.clone());
        let (one, two) = (up(engine()).await, up(engine()).await);
        let (seen, lived) = (Arc::<Mutex<Seen>>::default(), Arc::<Mutex<Seen>>::default());
        let (end_of_writing, writes) = watch::channel(false);
        let (end_of_reading, reads) = watch::channel(false);
        let mut members = Vec::new();
        for (number, engine) in [&one, &two].into_iter().enumerate() {
            let member = engine.subscribe("game.>").unwrap().group("all").in_flight(4);
            let member = member.open().await.unwrap();
            members.push(receive(number, member, seen.clone(), reads.clone()));
        }
        let live = one.subscribe("game.>").unwrap().capacity(10_000).open().await.unwrap();
        let live = receive(0, live, lived.clone(), reads.clone());
        let writer = up(settings(server.url())).await;
        let writer = publish(writer, seen.clone(), writes);
        reshard(&server).await;
        until("both have a part", || seen.lock().unwrap().counts.len() == 2).await;
        end_of_writing.send(true).unwrap();
        let count = writer.await.unwrap();
        {
            let (mut lived, seen) = (lived.lock().unwrap(), seen.lock().unwrap());
            lived.sums.attempted = seen.sums.attempted.clone();
            lived.sums.acknowledged = seen.sums.acknowledged.clone();
        }
        check("kinesis group, resharded", &seen, count).await;
        check("kinesis live, resharded", &lived, count).await;
        end_of_reading.send(true).unwrap();
        live.await.unwrap();
        for member in members {
            member.await.unwrap();
        }

        // A group that comes later finds the same order through all the shards that were.
        let later = Arc::<Mutex<Seen>>::default();
        let group = one.subscribe("game.>").unwrap().group("later").start_at(StartAt::Earliest);
        {
            let (mut later, seen) = (later.lock().unwrap(), seen.lock().unwrap());
            later.sums.attempted = seen.sums.attempted.clone();
            later.sums.acknowledged = seen.sums.acknowledged.clone();
        }
        let (_end, reads) = watch::channel(false);
        receive(0, group.open().await.unwrap(), later.clone(), reads);
        check("kinesis group from the earliest", &later, count).await;
    });
}

/// It has received something that it still works on: its children wait for that.
#[test]
fn a_child_begins_when_everything_of_its_parent_is_settled() {
    on(async |server| {
        server.client().create(1).await;
        let kinesis = up(settings(server.url()).lease_store(MemoryLeases::new())).await;
        let group = kinesis.subscribe("game.>").unwrap().group("all").lease(SOON);
        let mut group = group.open().await.unwrap();
        kinesis.publish(number("game.shot", 1).with_key("k").into()).await.unwrap();
        let held = crate::delivery(&mut group).await;
        let open = server.client().open_shards().await;
        server.client().split(&open[0]).await;
        kinesis.publish(number("game.shot", 2).with_key("k").into()).await.unwrap();
        let early = timeout(Duration::from_secs(2), group.next()).await;
        assert!(early.is_err(), "{early:?}");
        held.ack();
        let next = crate::delivery(&mut group).await;
        assert_eq!(value(&next), 2);
        next.ack();
    });
}
