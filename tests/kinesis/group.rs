//! Groups: what members share, keep and give back.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::sync::Mutex;
use std::thread;

use alloc::sync::Arc;
use tickbus::hosted::engines::kinesis::{
    Claimed, LeaseStore, MemoryLeases, Opened, Renewal, ShardLease,
};
use tickbus::hosted::{
    BoxError, Capability, Engine, EngineFuture, Gap, GapReason, Health, OpenError, StartAt,
};
use tokio::time::{Instant, sleep};

use crate::server::Server;
use crate::servers::jepsen::{Sums, until_acknowledged};
use crate::servers::process::{Process, say};
use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    until, up, value,
};

#[test]
fn without_a_lease_store_there_are_no_groups() {
    on(async |server| {
        let kinesis = up(settings(server.url())).await;
        let error = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap_err();
        assert!(
            matches!(&error, OpenError::Missing { capability: Capability::Durable, .. }),
            "{error}"
        );
        let live = kinesis.subscribe("game.>").unwrap().open().await.unwrap();
        drop(live);
        // It is of one process: what is not begun is not left to another one.
        assert!(kinesis.outlives_process());
        assert!(!settings(server.url()).lease_store(MemoryLeases::new()).outlives_process());
    });
}

#[test]
fn a_group_continues_where_it_stopped_over_engines() {
    on(async |server| {
        let leases = MemoryLeases::new();
        let engine = || settings(server.url()).shards(2).lease_store(leases.clone());
        let one = up(engine()).await;
        let mut member = one.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for number in 0..10 {
            publish(&one, &format!("game.{number}")).await;
        }
        let mut come = Vec::new();
        for _ in 0..5 {
            let it = delivery(&mut member).await;
            come.push(subject(&it).to_owned());
            it.ack();
        }
        one.shutdown(SOON).await.unwrap();
        assert!(member.next().await.is_none());
        let two = up(engine()).await;
        let mut member = two.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for _ in 0..5 {
            let it = delivery(&mut member).await;
            assert_eq!(it.attempt(), 1);
            come.push(subject(&it).to_owned());
            it.ack();
        }
        nothing(&mut member).await;
        come.sort_unstable();
        assert_eq!(come, (0..10).map(|it| format!("game.{it}")).collect::<Vec<_>>());
        until("everything was read", || member.lag() == Some(0)).await;
        assert_eq!(two.lag(), Some(0));
    });
}

#[test]
fn a_position_stays_before_what_is_not_settled() {
    on(async |server| {
        let leases = MemoryLeases::new();
        server.client().create(1).await;
        let engine = || settings(server.url()).lease_store(leases.clone());
        let one = up(engine()).await;
        let mut member = one.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for it in 0..4 {
            one.publish(number("game.shot", it).into()).await.unwrap();
        }
        let first = delivery(&mut member).await;
        for it in 1..4 {
            let next = delivery(&mut member).await;
            assert_eq!(value(&next), it);
            next.ack_async().await.unwrap();
        }
        sleep(Duration::from_millis(200)).await; // longer than between two checkpoints
        // Without a shutdown, as when it is killed: the shard comes when its lease ends.
        core::mem::forget(one);
        core::mem::forget(member);
        let _held = first;
        let shards = leases.shards("game/all").await.unwrap();
        assert!(shards[0].position.starts_with("at:"), "{shards:?}");
    });
}

#[test]
fn other_patterns_are_refused_and_another_stream_of_the_name_too() {
    on(async |server| {
        let leases = MemoryLeases::new();
        let engine = || settings(server.url()).lease_store(leases.clone());
        let one = up(engine()).await;
        let open = |pattern: &'static str| {
            one.subscribe(pattern).unwrap().group("all").start_at(StartAt::Earliest).open()
        };
        drop(open("game.>").await.unwrap());
        let error = open("other.>").await.unwrap_err().to_string();
        assert!(error.contains("exists for other patterns (game.>)"), "{error}");
        let start = one.subscribe("game.>").unwrap().group("new").start_at(StartAt::Sequence(1));
        let error = start.open().await.unwrap_err();
        assert!(
            matches!(&error, OpenError::Missing { capability: Capability::StartSequence, .. }),
            "{error}"
        );
        // The time of creation is that of the server in seconds.
        sleep(Duration::from_millis(1100)).await;
        server.client().delete().await;
        let two = up(engine()).await;
        let error = two.subscribe("game.>").unwrap().group("all").open().await.unwrap_err();
        assert!(error.to_string().contains("of another stream that had this name"), "{error}");
    });
}

/// Moves the position of the only shard of a group, as if it was kept at another time.
async fn move_to(leases: &MemoryLeases, change: impl Fn(&str) -> String) {
    let shards = leases.shards("game/all").await.unwrap();
    let shard = &*shards[0].shard;
    let claimed = leases.claim("game/all", shard, "test", SOON, "").await.unwrap().unwrap();
    let position = change(&claimed.position);
    assert!(leases.checkpoint("game/all", shard, claimed.epoch, &position).await.unwrap());
    assert!(leases.release("game/all", shard, claimed.epoch).await.unwrap());
}

/// The number of the shard is in the sequence, four bits from its end.
fn of_another_shard(position: &str) -> String {
    let (sequence, _) = position.split_once(';').expect("it says when");
    let (head, tail) = sequence.split_at(sequence.len() - 15);
    format!("{head}{:015}", tail.parse::<u64>().unwrap() + 16)
}

#[test]
fn a_position_that_is_older_than_the_retention_is_a_gap() {
    on(async |server| {
        let leases = MemoryLeases::new();
        server.client().create(1).await;
        let kinesis = up(settings(server.url()).lease_store(leases.clone())).await;
        let open = || kinesis.subscribe("game.>").unwrap().group("all").open();
        let mut member = open().await.unwrap();
        publish(&kinesis, "game.1").await;
        delivery(&mut member).await.ack_async().await.unwrap();
        drop(member);
        let is_free = async || leases.shards("game/all").await.unwrap()[0].member.is_none();
        while !is_free().await {
            sleep(Duration::from_millis(10)).await;
        }
        let two_days = 2 * 24 * 3_600_000;
        let older = |position: &str| {
            let (position, seen) = position.split_once(';').expect("it says when");
            assert!(position.starts_with("after:49"), "{position}");
            format!("{position};{}", seen.parse::<i64>().unwrap() - two_days)
        };
        move_to(&leases, older).await;
        publish(&kinesis, "game.2").await;
        let mut member = open().await.unwrap();
        let gap = Gap::new(None, GapReason::Trimmed);
        assert_eq!(next(&mut member).await.unwrap_err(), gap);
        let two = delivery(&mut member).await;
        assert_eq!(subject(&two), "game.2");
        two.ack_async().await.unwrap();
        drop(member);
        while !is_free().await {
            sleep(Duration::from_millis(10)).await;
        }

        // It is told once. A sequence that is none of the shard is a gap too, and everything comes.
        move_to(&leases, of_another_shard).await;
        let mut member = open().await.unwrap();
        assert_eq!(next(&mut member).await.unwrap_err(), gap);
        for expected in ["game.1", "game.2"] {
            let come = delivery(&mut member).await;
            assert_eq!(subject(&come), expected);
            come.ack();
        }
        // A shard that the server does not have any more.
        leases.claim("game/all", "shardId-99", "test", Duration::ZERO, "after:1").await.unwrap();
        assert_eq!(next(&mut member).await.unwrap_err(), gap);
        nothing(&mut member).await;
        let shards = leases.shards("game/all").await.unwrap();
        assert_eq!(&*shards[1].position, "end");
    });
}

/// What another member has claimed is lost to the first one, whatever it believes.
#[test]
fn a_member_that_has_lost_its_shard_settles_nothing() {
    on(async |server| {
        let leases = MemoryLeases::new();
        server.client().create(1).await;
        let kinesis = up(settings(server.url()).lease_store(leases.clone())).await;
        let mut member = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&kinesis, "game.1").await;
        let held = delivery(&mut member).await;
        let shard = leases.shards("game/all").await.unwrap().remove(0);
        let me = shard.member.expect("it has it");
        // As if it had been away, and another one had come and gone.
        let stolen = leases.claim("game/all", &shard.shard, &me, SOON, "").await.unwrap().unwrap();
        until("it is noticed", || held.keeper_is_late()).await;
        assert!(held.ack_async().await.is_err());
        assert!(leases.release("game/all", &shard.shard, stolen.epoch).await.unwrap());
        let again = delivery(&mut member).await;
        assert_eq!(subject(&again), "game.1");
        again.ack_async().await.unwrap();
    });
}

trait Late {
    fn keeper_is_late(&self) -> bool;
}

impl Late for tickbus::hosted::Delivery {
    /// An extension of nothing at all would end it, so it asks for a long one.
    fn keeper_is_late(&self) -> bool {
        let extend = core::pin::pin!(self.extend_async(SOON));
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        matches!(extend.poll(&mut context), core::task::Poll::Ready(Err(_)))
    }
}

/// What every store of leases does.
async fn a_store_keeps_leases(store: &impl LeaseStore) {
    let lease = Duration::from_secs(60);
    let rows = [("a".into(), "earliest".into()), ("b".into(), "at:7".into())];
    let opened = store.open("g", "about", &rows).await.unwrap();
    assert!(opened.created && &*opened.about == "about");
    let opened = store.open("g", "other", &[("c".into(), "end".into())]).await.unwrap();
    assert!(!opened.created && &*opened.about == "about");
    assert!(store.open("h", "about", &[]).await.unwrap().created);
    assert!(store.shards("h").await.unwrap().is_empty());

    let claim = |shard: &'static str, member: &'static str, lease| {
        store.claim("g", shard, member, lease, "begin")
    };
    let one = claim("a", "one", lease).await.unwrap().unwrap();
    assert_eq!((one.epoch, &*one.position), (1, "earliest"));
    assert_eq!(claim("a", "two", lease).await.unwrap(), None);
    let new = claim("c", "two", lease).await.unwrap().unwrap();
    assert_eq!((new.epoch, &*new.position), (1, "begin"));
    store.want("g", "a").await.unwrap();
    let mut shown = store.shards("g").await.unwrap();
    shown.sort_unstable_by(|one, other| one.shard.cmp(&other.shard));
    let shown: Vec<_> = shown
        .iter()
        .map(|it| (&*it.shard, it.member.as_deref(), &*it.position, it.wanted))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", Some("one"), "earliest", true),
            ("b", None, "at:7", false),
            ("c", Some("two"), "begin", false)
        ]
    );
    let held = [("a".into(), 1), ("c".into(), 2), ("d".into(), 1)];
    let renewed = store.renew("g", &held, lease).await.unwrap();
    assert_eq!(renewed, [Renewal::Wanted, Renewal::Lost, Renewal::Lost]);
    assert!(store.checkpoint("g", "a", 1, "after:1").await.unwrap());
    assert!(!store.checkpoint("g", "a", 2, "after:9").await.unwrap());
    assert!(!store.release("g", "a", 2).await.unwrap());
    assert!(store.release("g", "a", 1).await.unwrap());
    assert!(!store.checkpoint("g", "a", 1, "after:9").await.unwrap(), "it was given back");

    // A lease that ends is another one's.
    let brief = claim("a", "two", Duration::from_millis(50)).await.unwrap().unwrap();
    assert_eq!((brief.epoch, &*brief.position), (2, "after:1"));
    let held = [("a".into(), 2)];
    assert_eq!(store.renew("g", &held, Duration::from_millis(50)).await.unwrap(), [Renewal::Kept]);
    sleep(Duration::from_millis(100)).await;
    assert!(store.shards("g").await.unwrap().iter().all(|it| it.member.as_deref() != Some("one")));
    let three = claim("a", "three", lease).await.unwrap().unwrap();
    assert_eq!(three.epoch, 3);
    assert_eq!(store.renew("g", &held, lease).await.unwrap(), [Renewal::Lost]);
    assert!(!store.checkpoint("g", "a", 2, "after:9").await.unwrap(), "it is fenced");
    assert_eq!(claim("a", "three", lease).await.unwrap().unwrap().epoch, 4);
}

#[test]
fn leases_in_memory_are_fenced() {
    run(async { a_store_keeps_leases(&MemoryLeases::new()).await });
}

#[cfg(feature = "postgres")]
#[test]
fn leases_in_postgres_are_fenced_and_show_no_password() {
    use tickbus::hosted::engines::postgres::{Database, PostgresLeases, Provision};

    let Some(postgres) = crate::postgres::Postgres::start(&[]) else { return };
    run(async {
        let database = Database::new(postgres.url());
        let missing = PostgresLeases::new(&database, "leases").unwrap();
        let error = missing.open("g", "about", &[]).await.unwrap_err().to_string();
        assert!(error.contains("the table `leases` is missing"), "{error}");
        let database = database.provision(Provision::Create);
        let store = PostgresLeases::new(&database, "leases").unwrap();
        a_store_keeps_leases(&store).await;
        // Of several that open a new group, one makes it.
        let others = [0; 8].map(|_| PostgresLeases::new(&database, "leases").unwrap());
        let rows = [("a".into(), "earliest".into())];
        let opened = others.iter().map(|store| store.open("race", "about", &rows));
        let opened = opened.map(|it| async { it.await.unwrap().created });
        let mut made = 0;
        for created in opened.collect::<Vec<_>>() {
            made += usize::from(created.await);
        }
        assert_eq!(made, 1);
        let secret = Database::new("postgres://game:wordofmine@127.0.0.1:1/game");
        let shown = format!("{:?}", PostgresLeases::new(&secret, "leases").unwrap());
        assert!(!shown.contains("wordofmine"), "{shown}");
    });
}

/// What the next test runs in other processes. Alone it does nothing.
#[test]
fn a_member_in_another_process() {
    let Ok(url) = env::var("TICKBUS_MEMBER") else { return };
    run(async {
        let (url, leases) = url.split_once('|').unwrap();
        let kinesis = up(crate::kill::with_leases(settings(url), leases)).await;
        let member = kinesis.subscribe("game.>").unwrap().group("all").start_at(StartAt::Earliest);
        let mut member = member.open().await.unwrap();
        while let Some(next) = member.next().await {
            let next = next.expect("nothing is missing");
            say(&format!("delivered {}", value(&next)));
            next.ack();
        }
    });
}

/// Two members share four shards. One of them is killed, and the other one goes on with all.
#[cfg(feature = "postgres")]
#[test]
fn members_share_the_shards_and_lose_nothing_when_one_is_killed() {
    let (Some(server), Some(postgres)) = (Server::start(), crate::postgres::Postgres::start(&[]))
    else {
        return;
    };
    run(async { server.client().create(4).await });
    let url = format!("{}|{}", server.url(), postgres.url());
    let sums = Arc::new(Mutex::new(Sums::default()));
    let member = || {
        let variables = [("TICKBUS_MEMBER", url.as_ref())];
        let mut process = Process::start("group::a_member_in_another_process", variables);
        let (lines, sums) = (process.lines(), sums.clone());
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        thread::spawn(move || {
            for line in lines {
                let Some(number) = line.strip_prefix("delivered ") else { continue };
                let Ok(number) = number.parse() else { continue };
                sums.lock().unwrap().deliver(number);
                *counted.lock().unwrap() += 1;
            }
        });
        (process, count)
    };
    let (one, ones) = member();
    let (two, twos) = member();
    let (ours, stop) = (sums.clone(), Arc::new(Mutex::new(false)));
    let (to, ends) = (server.url(), stop.clone());
    let writer = thread::spawn(move || {
        run(async {
            let kinesis = up(settings(to)).await;
            for it in 0.. {
                if *ends.lock().unwrap() {
                    return;
                }
                ours.lock().unwrap().attempted.insert(it);
                let event = number("game.shot", it).with_key(format!("{}", it % 50));
                kinesis.publish(event.into()).await.unwrap();
                ours.lock().unwrap().acknowledged.insert(it);
                sleep(Duration::from_millis(2)).await;
            }
        });
    });
    let acknowledged = || sums.lock().unwrap().acknowledged.len();
    until_acknowledged(50, acknowledged);
    run(until("both have a part", || *ones.lock().unwrap() > 20 && *twos.lock().unwrap() > 20));
    drop(one); // as `kill -9` does
    let before = *twos.lock().unwrap();
    until_acknowledged(50, acknowledged);
    *stop.lock().unwrap() = true;
    writer.join().unwrap();
    let began = Instant::now();
    while !sums.lock().unwrap().has_all() && began.elapsed() < SOON {
        thread::sleep(Duration::from_millis(20));
    }
    sums.lock().unwrap().check("kinesis, one of two members killed");
    assert!(*twos.lock().unwrap() > before);
    drop(two);
}

#[test]
fn a_reject_ends_an_event_and_a_retry_holds_its_key_only() {
    on(async |server| {
        let kinesis = started(server.url()).await;
        let mut member = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for (it, key) in [(1, "a"), (2, "a"), (3, "a")] {
            kinesis.publish(number("game.shot", it).with_key(key).into()).await.unwrap();
        }
        kinesis.publish(envelope("game.free")).await.unwrap();
        let mut early = None;
        let mut retried = false;
        for _ in 0..2 {
            let come = delivery(&mut member).await;
            if subject(&come) == "game.free" {
                early = Some(come);
            } else if !retried {
                assert_eq!(value(&come), 1);
                come.retry_after(Duration::from_millis(400));
                retried = true;
            }
        }
        match early {
            Some(free) => free.ack(),
            None => delivery(&mut member).await.ack(),
        }
        let mut come = Vec::new();
        while come.len() < 3 {
            let next = delivery(&mut member).await;
            come.push((value(&next), next.attempt()));
            next.reject("the test says so");
        }
        assert_eq!(come, [(1, 2), (2, 1), (3, 1)]);
        nothing(&mut member).await;
    });
}

/// A store that can be away or lose an answer, and in which another member is faster.
#[derive(Clone)]
struct Disturbed {
    leases: MemoryLeases,
    is_away: Arc<AtomicBool>,
    /// The step whose next answer is lost, although the store has done it.
    loses: Arc<Mutex<Option<&'static str>>>,
    /// Closes this shard before the member claims it.
    beaten: Option<&'static str>,
}

impl Disturbed {
    fn new(beaten: Option<&'static str>) -> Self {
        Self { leases: MemoryLeases::new(), is_away: Arc::default(), loses: Arc::default(), beaten }
    }

    fn away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn lose(&self, name: &'static str) {
        *self.loses.lock().unwrap() = Some(name);
    }

    fn step<'a, T: Send + 'a>(
        &self,
        name: &str,
        step: impl FnOnce() -> EngineFuture<'a, Result<T, BoxError>>,
    ) -> EngineFuture<'a, Result<T, BoxError>> {
        if self.is_away.load(Ordering::Relaxed) {
            return EngineFuture::ready(Err("it is away".into()));
        }
        let done = step();
        match self.loses.lock().unwrap().take_if(|it| *it == name) {
            None => done,
            Some(_) => EngineFuture::new(async {
                done.await?;
                Err("the answer is lost".into())
            }),
        }
    }

    async fn positions(&self) -> Vec<Box<str>> {
        let shards = self.leases.shards("game/all").await.unwrap();
        shards.into_iter().map(|shard| shard.position).collect()
    }
}

impl LeaseStore for Disturbed {
    fn open<'a>(
        &'a self,
        group: &'a str,
        about: &'a str,
        shards: &'a [(Box<str>, Box<str>)],
    ) -> EngineFuture<'a, Result<Opened, BoxError>> {
        self.step("open", || self.leases.open(group, about, shards))
    }

    fn shards<'a>(&'a self, group: &'a str) -> EngineFuture<'a, Result<Vec<ShardLease>, BoxError>> {
        self.step("shards", || self.leases.shards(group))
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        member: &'a str,
        lease: Duration,
        begin: &'a str,
    ) -> EngineFuture<'a, Result<Option<Claimed>, BoxError>> {
        let claim = move || self.leases.claim(group, shard, member, lease, begin);
        if self.beaten != Some(shard) {
            return self.step("claim", claim);
        }
        EngineFuture::new(async move {
            if let Some(other) = self.leases.claim(group, shard, "other", lease, begin).await? {
                self.leases.checkpoint(group, shard, other.epoch, "end").await?;
                self.leases.release(group, shard, other.epoch).await?;
            }
            claim().await
        })
    }

    fn renew<'a>(
        &'a self,
        group: &'a str,
        held: &'a [(Arc<str>, u64)],
        lease: Duration,
    ) -> EngineFuture<'a, Result<Vec<Renewal>, BoxError>> {
        self.step("renew", || self.leases.renew(group, held, lease))
    }

    fn checkpoint<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
        position: &'a str,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        self.step("checkpoint", || self.leases.checkpoint(group, shard, epoch, position))
    }

    fn release<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        self.step("release", || self.leases.release(group, shard, epoch))
    }

    fn want<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
    ) -> EngineFuture<'a, Result<(), BoxError>> {
        self.step("want", || self.leases.want(group, shard))
    }
}

#[test]
fn a_store_that_is_away_is_said_and_the_positions_come_later() {
    on(async |server| {
        let store = Disturbed::new(None);
        let engine = settings(server.url()).shards(2).lease_store(store.clone());
        let kinesis = up(engine.shard_lease(SOON)).await;
        let open = || kinesis.subscribe("game.>").unwrap().group("all").open();
        let mut member = open().await.unwrap();
        // So many keys that each shard has some.
        let receive = async |member: &mut _| {
            for at in 0..16 {
                let event = number("game.shot", at).with_key(format!("k{at}"));
                kinesis.publish(event.into()).await.unwrap();
            }
            for _ in 0..16 {
                delivery(member).await.ack();
            }
        };
        store.away(true);
        receive(&mut member).await;
        until("it is said", || match kinesis.health() {
            Health::Down(why) => why.contains("the lease store: it is away"),
            _ => false,
        })
        .await;
        receive(&mut member).await;
        assert!(store.positions().await.iter().all(|it| it.starts_with("at:")));
        store.away(false);
        until("it is over", || kinesis.health() == Health::Up).await;
        let began = Instant::now();
        while !store.positions().await.iter().all(|it| it.starts_with("after:")) {
            assert!(began.elapsed() < SOON, "{:?}", store.positions().await);
            sleep(Duration::from_millis(10)).await;
        }
        drop(member);
        nothing(&mut open().await.unwrap()).await;
    });
}

#[test]
fn what_another_member_has_told_is_not_told_again() {
    on(async |server| {
        let store = Disturbed::new(Some("shardId-99"));
        let kinesis = up(settings(server.url()).shards(1).lease_store(store.clone())).await;
        let mut member = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        // The server does not have this shard any more.
        let leases = &store.leases;
        leases.claim("game/all", "shardId-99", "test", Duration::ZERO, "after:1").await.unwrap();
        let began = Instant::now();
        while store.positions().await.last().is_none_or(|last| &**last != "end") {
            assert!(began.elapsed() < SOON, "{:?}", store.positions().await);
            nothing(&mut member).await;
        }
        nothing(&mut member).await;
    });
}

/// The store has done what it was asked, and the member gets an error.
#[test]
fn a_gap_is_told_once_if_an_answer_of_the_store_is_lost() {
    on(async |server| {
        for lost in ["shards", "claim", "checkpoint", "release"] {
            let store = Disturbed::new(None);
            let engine = settings(server.url()).shards(1).lease_store(store.clone());
            let kinesis = up(engine.shard_lease(Duration::from_secs(1))).await;
            let mut member = kinesis.subscribe(">").unwrap().group("all").open().await.unwrap();
            store.lose(lost);
            // The server does not have this shard any more.
            let leases = &store.leases;
            let removed = leases.claim("game/all", "shardId-99", "test", Duration::ZERO, "after:1");
            removed.await.unwrap();
            let gap = next(&mut member).await.unwrap_err();
            assert_eq!(gap, Gap::new(None, GapReason::Trimmed), "{lost}");
            assert_eq!(*store.loses.lock().unwrap(), None, "the answer of `{lost}` was lost");
            // It does not come again when the lease of the shard has ended.
            sleep(Duration::from_millis(1500)).await;
            nothing(&mut member).await;
            assert_eq!(store.positions().await.last().map(|last| &**last), Some("end"), "{lost}");
        }
    });
}

#[test]
fn a_member_keeps_its_shard_if_an_answer_of_the_store_is_lost() {
    on(async |server| {
        for lost in ["shards", "renew", "checkpoint"] {
            let store = Disturbed::new(None);
            let kinesis = up(settings(server.url()).shards(1).lease_store(store.clone())).await;
            let open = || kinesis.subscribe(">").unwrap().group("all").open();
            let mut member = open().await.unwrap();
            publish(&kinesis, "game.1").await;
            publish(&kinesis, "game.2").await;
            let (first, second) = (delivery(&mut member).await, delivery(&mut member).await);
            store.lose(lost);
            first.ack();
            until("it is lost", || store.loses.lock().unwrap().is_none()).await;
            second.ack_async().await.unwrap_or_else(|error| panic!("{lost}: {error}"));
            // The next member begins behind both.
            drop(member);
            nothing(&mut open().await.unwrap()).await;
            let positions = store.positions().await;
            assert!(positions[0].starts_with("after:"), "{lost}: {positions:?}");
        }
    });
}

#[test]
fn an_event_whose_attempts_are_spent_is_behind_the_position() {
    on(async |server| {
        let leases = MemoryLeases::new();
        let kinesis = up(settings(server.url()).shards(1).lease_store(leases.clone())).await;
        let member = kinesis.subscribe("game.>").unwrap().group("all").max_attempts(1);
        let mut member = member.open().await.unwrap();
        publish(&kinesis, "game.1").await;
        publish(&kinesis, "game.2").await;
        let first = delivery(&mut member).await;
        let _held = delivery(&mut member).await;
        first.retry_after(Duration::ZERO);
        let spent = Gap::new(Some(1), GapReason::Exhausted);
        assert_eq!(next(&mut member).await.unwrap_err(), spent);
        let position = async || leases.shards("game/all").await.unwrap().remove(0).position;
        let began = Instant::now();
        while !position().await.starts_with("after:") {
            assert!(began.elapsed() < Duration::from_secs(5), "{}", position().await);
            sleep(Duration::from_millis(10)).await;
        }
    });
}
