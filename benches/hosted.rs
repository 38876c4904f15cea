//! Ratios of the memory engine over channels of tokio, from interleaved rounds in one run.
//!
//! `cargo bench -p tickbus-benches --bench hosted` runs all. Each contender publishes envelopes that were made before, in
//! turns of 32, and waits until all handlers have handled them: in tasks of a current-thread runtime or, where a row says
//! "in place", in the task that publishes, as a tick does. The row of a link is the tick's part alone: what the thread beside
//! it does is not timed. A word after `--` runs the rows that have it in their name.
//!
//! `-- count TURNS ROW` runs the first contender of one row for so many turns, and prints nothing: for `benches/instructions`. The
//! instructions of an event are the difference of two such runs by 32 times the difference of their turns.

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::Cell;
use core::hash::BuildHasher;
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Poll;
use core::time::Duration;
use std::collections::HashMap;
use std::env;
use std::sync::{Mutex, mpsc as threads};
use std::thread;
use std::time::Instant;

use tickbus::envelope::Timestamp;
use tickbus::hosted::broker::Broker;
use tickbus::hosted::store::{EventRecord, EventSource, MemoryStore};
use tickbus::hosted::{
    BoxError, Context, Engine, Link, LinkOptions, MemoryEngine, Router, Subscribe, Workers,
};
use tickbus::{Envelope, Subject};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{LocalSet, yield_now};

/// How many are published before the handlers run.
const TURN: usize = 32;
/// More than ids are known by default: each is new again when its turn comes.
const ENVELOPES: usize = 8192;
/// How long one contender runs in one round.
const SLICE: Duration = Duration::from_millis(2);

/// Runs turns, and says how long they took.
type Work = Box<dyn FnMut(usize) -> Duration>;

struct Row {
    name: &'static str,
    /// How many nanoseconds an event of tickbus may take, if that is bounded.
    at_most: Option<f64>,
    /// Tickbus first, then its peer and what must be reached against it, if anything.
    contenders: Vec<(&'static str, Option<f64>, Work)>,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let measured =
        arguments.iter().any(|it| it == "--bench") && !arguments.iter().any(|it| it == "--test");
    let rounds = if measured { 61 } else { 1 };
    let words: Vec<&String> = arguments.iter().filter(|it| !it.starts_with("--")).collect();
    if let [count, turns, row @ ..] = &*words
        && *count == "count"
    {
        let name = row.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" ");
        let (name, make) = rows().into_iter().find(|row| row.0 == name).expect("the name of a row");
        make(name).contenders[0].2(turns.parse().expect("a number of turns"));
        return;
    }
    println!("| row | contender | ns an event | tickbus / contender | target | |");
    println!("|---|---|--:|--:|--:|---|");
    for (name, make) in rows() {
        if words.iter().all(|it| name.contains(&**it)) {
            measure(make(name), rounds);
        }
    }
}

/// By its name, so that a count makes no other.
type Make = (&'static str, fn(&'static str) -> Row);

fn rows() -> Vec<Make> {
    vec![
        ("1 live subscription, in place", |name| in_place(name, 1)),
        ("8 live subscriptions, in place", |name| in_place(name, 8)),
        ("1 live subscription, without a log", |name| tasks(name, 1, memory(1, 0, None))),
        ("1 live subscription", |name| tasks(name, 1, memory(1, 4096, None))),
        ("8 live subscriptions, without a log", |name| tasks(name, 8, memory(8, 0, None))),
        ("8 live subscriptions", |name| tasks(name, 8, memory(8, 4096, None))),
        ("1 group, acknowledged", |name| tasks(name, 1, memory(1, 4096, Some("g")))),
        ("a link, the tick's part", link),
        ("4 workers", |name| workers(name, false, false)),
        ("4 workers, by key", |name| workers(name, true, false)),
        ("4 workers of a group", |name| workers(name, false, true)),
        ("4 workers of a group, by key", |name| workers(name, true, true)),
        ("broker, published", |name| recorded(name, false)),
        ("broker, published and handled", |name| recorded(name, true)),
        ("bytes, live, handled in order", |name| made_before(name, false)),
        ("JSON, decoded, live, handled in order", |name| made_before(name, true)),
        ("from bytes, live, handled in order", |name| from_bytes(name, false, None, false)),
        ("from JSON, decoded, live, handled in order", |name| from_bytes(name, true, None, false)),
        ("from bytes, a group, handled in order", |name| from_bytes(name, false, None, true)),
        ("from JSON, decoded, a group, handled in order", |name| {
            from_bytes(name, true, None, true)
        }),
        ("from JSON, decoded, 4 workers of a group", |name| from_bytes(name, true, Some(4), true)),
        ("routing decision, 10 rules", |name| routing(name, 10)),
        ("routing decision, 100 rules", |name| routing(name, 100)),
        ("routing decision, 1000 rules", |name| routing(name, 1000)),
    ]
}

fn measure(mut row: Row, rounds: usize) {
    let turns: Vec<usize> = row
        .contenders
        .iter_mut()
        .map(|(.., work)| {
            let warm = if rounds == 1 { 1 } else { 2 * ENVELOPES / TURN };
            let elapsed = work(warm);
            if rounds == 1 {
                1
            } else {
                (warm as f64 * SLICE.div_duration_f64(elapsed)).ceil() as usize
            }
        })
        .collect();
    let mut figures = vec![Vec::new(); turns.len()];
    for round in 0..rounds {
        for at in 0..turns.len() {
            let which = (round + at) % turns.len();
            let elapsed = row.contenders[which].2(turns[which]);
            figures[which].push(elapsed.as_secs_f64() * 1e9 / (turns[which] * TURN) as f64);
        }
    }
    let medians: Vec<f64> = figures
        .into_iter()
        .map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        })
        .collect();
    for ((name, target, _), median) in row.contenders.iter().zip(&medians) {
        let ratio = medians[0] / median;
        let told = |met: bool| if met { "met" } else { "MISSED" };
        let at_most = row.at_most.filter(|_| *name == row.contenders[0].0);
        let verdict = match (target, at_most) {
            (Some(target), _) => format!("{target} | {}", told(ratio <= *target)),
            (None, Some(most)) => format!("{most} ns | {}", told(*median <= most)),
            (None, None) => "|".to_owned(),
        };
        println!("| {} | {name} | {median:.1} | {ratio:.2} | {verdict} |", row.name);
    }
}

fn envelopes() -> Vec<Arc<Envelope>> {
    let made = |_| Arc::new(Envelope::json("match.7.score", &3).expect("valid"));
    (0..ENVELOPES).map(made).collect()
}

/// A runtime with handlers in it, and how many events they have handled.
struct Tasks {
    runtime: Runtime,
    local: LocalSet,
    handled: Rc<Cell<usize>>,
    handlers: usize,
}

impl Tasks {
    fn new(handlers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        Self { runtime, local: LocalSet::new(), handled: Rc::default(), handlers }
    }

    /// Publishes by turns, each of which ends when everything is handled.
    fn work<F: AsyncFn(Arc<Envelope>) + 'static>(self, publish: F) -> Work {
        let envelopes = envelopes();
        let (mut at, mut sent) = (0, 0);
        Box::new(move |turns| {
            let begin = Instant::now();
            self.local.block_on(&self.runtime, async {
                for _ in 0..turns {
                    for _ in 0..TURN {
                        publish(black_box(envelopes[at].clone())).await;
                        at = (at + 1) % ENVELOPES;
                    }
                    sent += TURN * self.handlers;
                    while self.handled.get() < sent {
                        yield_now().await;
                    }
                }
            });
            begin.elapsed()
        })
    }
}

fn memory(handlers: usize, log: usize, group: Option<&'static str>) -> Work {
    let tasks = Tasks::new(handlers);
    let engine = Arc::new(MemoryEngine::builder().log(log).build());
    for _ in 0..handlers {
        let (engine, handled) = (engine.clone(), tasks.handled.clone());
        let subscribe = async move {
            let subscribe = engine.subscribe("match.*.score").expect("valid");
            let subscribe = match group {
                Some(group) => subscribe.group(group),
                None => subscribe.capacity(64),
            };
            subscribe.open().await.expect("open")
        };
        let mut deliveries = tasks.runtime.block_on(subscribe);
        tasks.local.spawn_local(async move {
            while let Some(next) = deliveries.next().await {
                let delivery = next.expect("no gap");
                black_box(delivery.envelope().subject());
                delivery.ack();
                handled.set(handled.get() + 1);
            }
        });
    }
    tasks.work(async move |envelope| {
        engine.publish(envelope).await.expect("open");
    })
}

fn of_mpsc(handlers: usize) -> Work {
    let tasks = Tasks::new(handlers);
    let mut senders = Vec::new();
    for _ in 0..handlers {
        let (sender, mut receiver) = mpsc::channel::<Arc<Envelope>>(64);
        let handled = tasks.handled.clone();
        tasks.local.spawn_local(async move {
            while let Some(envelope) = receiver.recv().await {
                black_box(envelope.subject());
                handled.set(handled.get() + 1);
            }
        });
        senders.push(sender);
    }
    tasks.work(async move |envelope| {
        for sender in &senders {
            sender.send(envelope.clone()).await.expect("open");
        }
    })
}

fn of_broadcast(handlers: usize) -> Work {
    let tasks = Tasks::new(handlers);
    let (sender, _) = broadcast::channel::<Arc<Envelope>>(64);
    for _ in 0..handlers {
        let (mut receiver, handled) = (sender.subscribe(), tasks.handled.clone());
        tasks.local.spawn_local(async move {
            while let Ok(envelope) = receiver.recv().await {
                black_box(envelope.subject());
                handled.set(handled.get() + 1);
            }
        });
    }
    tasks.work(async move |envelope| {
        sender.send(envelope).expect("open");
    })
}

fn memory_in_place(handlers: usize) -> Work {
    let tasks = Tasks::new(0);
    let engine = MemoryEngine::builder().log(0).build();
    let subscribe = || engine.subscribe("match.*.score").expect("valid").open();
    let open = |_| tasks.runtime.block_on(subscribe()).expect("open");
    let mut all: Vec<_> = (0..handlers).map(open).collect();
    let envelopes = envelopes();
    let mut at = 0;
    Box::new(move |turns| {
        let begin = Instant::now();
        tasks.local.block_on(&tasks.runtime, async {
            for _ in 0..turns {
                for _ in 0..TURN {
                    let envelope = black_box(envelopes[at].clone());
                    engine.publish(envelope).await.expect("open");
                    at = (at + 1) % ENVELOPES;
                }
                let mut handled = 0;
                for deliveries in &mut all {
                    while let Poll::Ready(Some(next)) = deliveries.try_next() {
                        let delivery = next.expect("no gap");
                        black_box(delivery.envelope().subject());
                        delivery.ack();
                        handled += 1;
                    }
                }
                assert_eq!(handled, TURN * handlers);
            }
        });
        begin.elapsed()
    })
}

/// Against `mpsc` with one handler, and `broadcast` with several.
fn in_place(name: &'static str, handlers: usize) -> Row {
    let (of_one, of_several) = if handlers == 1 { (Some(1.3), None) } else { (None, Some(1.0)) };
    Row {
        name,
        at_most: None,
        contenders: vec![
            ("tickbus", None, memory_in_place(handlers)),
            ("tokio mpsc, a task each", of_one, of_mpsc(handlers)),
            ("tokio broadcast, a task each", of_several, of_broadcast(handlers)),
        ],
    }
}

/// With a log, tickbus does what channels do not: it keeps the event, and knows its id.
fn tasks(name: &'static str, handlers: usize, tickbus: Work) -> Row {
    Row {
        name,
        at_most: None,
        contenders: vec![
            ("tickbus, a task each", None, tickbus),
            ("tokio mpsc, a task each", None, of_mpsc(handlers)),
            ("tokio broadcast, a task each", None, of_broadcast(handlers)),
        ],
    }
}

/// How many turns a frame of the game has: about a thousand events.
const FRAME: usize = 31;
/// How often the untimed part looks.
const PAUSE: Duration = Duration::from_micros(100);

/// Publishes frames through a link and takes them back, acknowledged. Times the tick alone.
fn through_a_link() -> Work {
    let link = Link::spawn(MemoryEngine::new(), LinkOptions::default()).expect("a thread");
    let bus = link.bus();
    let mut inbox = link.inbox("match.*.score").expect("valid").group("g");
    while !inbox.is_open() {
        thread::sleep(PAUSE);
    }
    frames(move |envelopes| {
        let count = envelopes.len();
        let begin = Instant::now();
        for envelope in envelopes {
            let _ = bus.try_publish(black_box(envelope.clone())).expect("open");
        }
        let out = begin.elapsed();
        while inbox.pending() < count || link.stats().pending > 0 {
            thread::sleep(PAUSE);
        }
        let begin = Instant::now();
        for delivery in inbox.drain(count) {
            black_box(delivery.envelope().subject());
            delivery.ack();
        }
        let back = begin.elapsed();
        while inbox.stats().pending > 0 {
            thread::sleep(PAUSE);
        }
        out + back
    })
}

/// The same by hand: a channel to a thread, one back, and one for what is done. Nothing is counted, and nothing comes again.
fn through_channels() -> Work {
    let (out, outgoing) = threads::sync_channel::<Arc<Envelope>>(1024);
    let (incoming, back) = threads::sync_channel::<Arc<Envelope>>(1024);
    let (done, acknowledged) = threads::channel::<Arc<Envelope>>();
    thread::spawn(move || {
        while let Ok(envelope) = outgoing.recv() {
            incoming.send(envelope).expect("open");
        }
    });
    thread::spawn(move || while acknowledged.recv().is_ok() {});
    frames(move |envelopes| {
        let begin = Instant::now();
        for envelope in envelopes {
            out.try_send(black_box(envelope.clone())).expect("room");
        }
        let sent = begin.elapsed();
        // What has come cannot be asked without taking it.
        thread::sleep(10 * PAUSE);
        let begin = Instant::now();
        for _ in envelopes {
            let envelope = back.recv().expect("open");
            black_box(envelope.subject());
            done.send(envelope).expect("open");
        }
        sent + begin.elapsed()
    })
}

fn frames(mut frame: impl FnMut(&[Arc<Envelope>]) -> Duration + 'static) -> Work {
    let envelopes = envelopes();
    let mut at = 0;
    Box::new(move |mut turns| {
        let mut elapsed = Duration::ZERO;
        while turns > 0 {
            let some = turns.min(FRAME);
            if at + some * TURN > ENVELOPES {
                at = 0;
            }
            elapsed += frame(&envelopes[at..at + some * TURN]);
            (at, turns) = (at + some * TURN, turns - some);
        }
        elapsed
    })
}

fn link(name: &'static str) -> Row {
    Row {
        name,
        at_most: Some(60.0),
        contenders: vec![
            ("tickbus, out and in", None, through_a_link()),
            ("std channels, out and in", None, through_channels()),
        ],
    }
}

/// How many keys there are.
const KEYS: usize = 64;

fn keyed() -> Vec<Arc<Envelope>> {
    let made = |at: usize| {
        let envelope = Envelope::json("match.7.score", &3).expect("valid");
        Arc::new(envelope.with_key(format!("match-{}", at % KEYS)))
    };
    (0..ENVELOPES).map(made).collect()
}

/// A runtime with tasks that may go to other threads, and how many events their handlers have handled.
struct Pool {
    runtime: Runtime,
    handled: Arc<AtomicUsize>,
}

impl Pool {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { runtime: runtime.expect("a runtime"), handled: Arc::default() }
    }

    /// Publishes by turns, each of which ends when everything is handled. `kept` lives as long.
    fn work<K: 'static>(self, kept: K, publish: impl AsyncFn(usize) + 'static) -> Work {
        let (mut at, mut sent) = (0, 0);
        Box::new(move |turns| {
            let _kept = &kept;
            let begin = Instant::now();
            self.runtime.block_on(async {
                for _ in 0..turns {
                    for _ in 0..TURN {
                        publish(black_box(at)).await;
                        at = (at + 1) % ENVELOPES;
                    }
                    sent += TURN;
                    while self.handled.load(Relaxed) < sent {
                        yield_now().await;
                    }
                }
            });
            begin.elapsed()
        })
    }
}

fn of_workers(by_key: bool, group: bool) -> Work {
    let pool = Pool::new();
    let engine = Arc::new(MemoryEngine::builder().log(if group { 4096 } else { 0 }).build());
    let subscribe = engine.subscribe("match.*.score").expect("valid").workers(4);
    let subscribe = if by_key { subscribe.by_key() } else { subscribe };
    let subscribe = if group { subscribe.group("g") } else { subscribe };
    let handled = pool.handled.clone();
    let workers = pool.runtime.block_on(subscribe.handle(move |context: Context| {
        let handled = handled.clone();
        async move {
            black_box(context.subject());
            handled.fetch_add(1, Relaxed);
            Ok::<_, BoxError>(())
        }
    }));
    let envelopes = keyed();
    pool.work(workers.expect("open"), async move |at| {
        engine.publish(envelopes[at].clone()).await.expect("open");
    })
}

/// A channel for each worker, by turns or by the hash of the key.
fn by_hand(by_key: bool) -> Work {
    let pool = Pool::new();
    let mut senders = Vec::new();
    for _ in 0..4 {
        let (sender, mut receiver) = mpsc::channel::<Arc<Envelope>>(64);
        let handled = pool.handled.clone();
        pool.runtime.spawn(async move {
            while let Some(envelope) = receiver.recv().await {
                black_box(envelope.subject());
                handled.fetch_add(1, Relaxed);
            }
        });
        senders.push(sender);
    }
    let (envelopes, hasher) = (keyed(), foldhash::fast::FixedState::default());
    pool.work((), async move |at| {
        let envelope = envelopes[at].clone();
        let to = if by_key { hasher.hash_one(envelope.key()) as usize } else { at };
        senders[to % 4].send(envelope).await.expect("open");
    })
}

fn workers(name: &'static str, by_key: bool, group: bool) -> Row {
    let target = (!group).then_some(1.5);
    Row {
        name,
        at_most: None,
        contenders: vec![
            ("tickbus", None, of_workers(by_key, group)),
            ("tokio mpsc, a task and a channel each", target, by_hand(by_key)),
        ],
    }
}

/// How many records each of the two keeps.
const KEPT: usize = 10_000;

fn records() -> Vec<EventRecord> {
    let made = |at: usize| {
        let entity = ["users", "orders"][at % 2];
        let mut record = EventRecord::new(EventSource::Database, "public", entity, "create");
        record.instance_id = "shop-1".into();
        record.set_payload(&[at]).expect("valid");
        record
    };
    (0..TURN).map(made).collect()
}

impl Pool {
    /// As `work`, of records that are made before. Times the publishes alone, or what their handlers do as well.
    fn of_records<K: 'static>(
        self,
        kept: K,
        handled: bool,
        publish: impl AsyncFn(EventRecord) + 'static,
    ) -> Work {
        let mut sent = 0;
        Box::new(move |turns| {
            let _kept = &kept;
            let mut elapsed = Duration::ZERO;
            self.runtime.block_on(async {
                for _ in 0..turns {
                    let records = records();
                    let begin = Instant::now();
                    for record in records {
                        publish(black_box(record)).await;
                    }
                    let published = begin.elapsed();
                    sent += TURN;
                    while self.handled.load(Relaxed) < sent {
                        yield_now().await;
                    }
                    elapsed += if handled { begin.elapsed() } else { published };
                }
            });
            elapsed
        })
    }
}

fn of_broker(handled: bool) -> Work {
    let pool = Pool::new();
    let store = Arc::new(MemoryStore::new(KEPT));
    let broker = Broker::builder().store(store).workers(1).buffer(2 * TURN);
    let broker = broker.instance_id("shop-1").build().expect("it can be built");
    let counted = pool.handled.clone();
    let handler = move |record: Arc<EventRecord>| {
        black_box(record.event_type());
        counted.fetch_add(1, Relaxed);
        core::future::ready(Ok::<(), BoxError>(()))
    };
    broker.subscribe("public.*.create", handler).expect("valid");
    pool.runtime.block_on(async { broker.start() }).expect("it is new");
    pool.of_records((), handled, async move |record| {
        broker.publish_async(record).await.expect("room");
    })
}

/// The same by hand: the records by their ids, the oldest of which goes, and a channel to a worker that writes their status.
/// Nothing is counted, measured, listed or tried again, and a panic ends it.
fn of_hash_map(handled: bool) -> Work {
    #[derive(Default)]
    struct Kept {
        records: HashMap<String, Arc<EventRecord>>,
        order: VecDeque<String>,
    }

    let pool = Pool::new();
    let kept = Arc::<Mutex<Kept>>::default();
    let (sender, mut receiver) = mpsc::channel::<String>(2 * TURN);
    let (counted, in_worker) = (pool.handled.clone(), kept.clone());
    pool.runtime.spawn(async move {
        let change = |id: &str, change: fn(&mut EventRecord)| {
            let mut kept = in_worker.lock().expect("no panic");
            kept.records.get_mut(id).map(|record| {
                change(Arc::make_mut(record));
                record.clone()
            })
        };
        while let Some(id) = receiver.recv().await {
            if let Some(record) = change(&id, |it| it.mark_processing(Timestamp::now())) {
                black_box(record.event_type());
            }
            change(&id, |it| it.mark_completed(Timestamp::now()));
            counted.fetch_add(1, Relaxed);
        }
    });
    pool.of_records((), handled, async move |record| {
        let id = record.id.clone();
        {
            let mut kept = kept.lock().expect("no panic");
            if kept.order.len() == KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.records.remove(&oldest);
            }
            kept.order.push_back(id.clone());
            kept.records.insert(id.clone(), Arc::new(record));
        }
        sender.send(id).await.expect("open");
    })
}

fn recorded(name: &'static str, handled: bool) -> Row {
    let contenders = vec![
        ("tickbus, a store in memory", None, of_broker(handled)),
        ("tokio mpsc and a `HashMap`", Some(1.5), of_hash_map(handled)),
    ];
    Row { name, at_most: None, contenders }
}

/// A pool with a handler: without a log, of a live subscription, else of a group.
fn with_handler(
    json: bool,
    workers: Option<usize>,
    group: bool,
) -> (Pool, Arc<MemoryEngine>, Workers) {
    let pool = Pool::new();
    let engine = Arc::new(MemoryEngine::builder().log(if group { 4096 } else { 0 }).build());
    let subscribe = engine.subscribe("match.*.score").expect("valid");
    let subscribe = if group { subscribe.group("g") } else { subscribe };
    let subscribe = match workers {
        Some(workers) => subscribe.workers(workers),
        None => subscribe,
    };
    let workers = pool.runtime.block_on(opened(subscribe, json, pool.handled.clone()));
    (pool, engine, workers)
}

fn event(json: bool, at: usize) -> Envelope {
    let envelope = Envelope::unstamped("match.7.score").expect("valid").with_id(at.to_string());
    let envelope = envelope.with_time("2026-11-30T00:00:00Z".parse().expect("a time"));
    if json {
        envelope.with_payload(&(3, "home", at)).expect("valid")
    } else {
        envelope.with_bytes(at.to_string().into_bytes())
    }
}

/// An envelope that was made before is published and handled by one live handler.
fn made_before(name: &'static str, json: bool) -> Row {
    let (pool, engine, workers) = with_handler(json, None, false);
    let envelopes: Vec<_> = (0..ENVELOPES).map(|at| Arc::new(event(json, at))).collect();
    let work = pool.work(workers, async move |at| {
        engine.publish(envelopes[at].clone()).await.expect("open");
    });
    Row { name, at_most: None, contenders: vec![("tickbus", None, work)] }
}

/// An envelope is read from bytes, published, handled and, of a group, acknowledged.
fn from_bytes(name: &'static str, json: bool, workers: Option<usize>, group: bool) -> Row {
    let (pool, engine, workers) = with_handler(json, workers, group);
    let of = |at: usize| match json {
        true => event(true, at).to_json().into_bytes(),
        false => at.to_string().into_bytes(),
    };
    let bytes: Vec<Vec<u8>> = (0..ENVELOPES).map(of).collect();
    let time = "2026-11-30T00:00:00Z".parse().expect("a time");
    let work = pool.work(workers, async move |at| {
        let envelope = if json {
            Envelope::from_json(&bytes[at]).expect("valid")
        } else {
            let id = core::str::from_utf8(&bytes[at]).expect("digits");
            let envelope = Envelope::unstamped("match.7.score").expect("valid").with_id(id);
            envelope.with_time(time).with_bytes(&*bytes[at])
        };
        engine.publish(envelope.into()).await.expect("open");
    });
    Row { name, at_most: None, contenders: vec![("tickbus", None, work)] }
}

async fn opened(subscribe: Subscribe<'_>, json: bool, handled: Arc<AtomicUsize>) -> Workers {
    let opened = if json {
        let handle = move |score: (u32, String, usize), _: Context| {
            black_box(score);
            handled.fetch_add(1, Relaxed);
            core::future::ready(Ok::<_, BoxError>(()))
        };
        subscribe.handle_json(handle).await
    } else {
        let handle = move |context: Context| {
            black_box(context.envelope().bytes());
            handled.fetch_add(1, Relaxed);
            core::future::ready(Ok::<_, BoxError>(()))
        };
        subscribe.handle(handle).await
    };
    opened.expect("open")
}

/// The engine of a subject, by rules of three forms, beside a `match` on the first segment of it.
fn routing(name: &'static str, rules: usize) -> Row {
    let mut builder = Router::builder();
    for engine in ["a", "b", "c", "d"] {
        builder = builder.engine(engine, MemoryEngine::builder().log(0).build());
    }
    for rule in 0..rules {
        let pattern = match rule % 3 {
            0 => format!("match{rule}.*.score"),
            1 => format!("chat{rule}.>"),
            _ => format!("order{rule}.created"),
        };
        builder = builder.route([&*pattern], ["a", "b", "c", "d"][rule % 4]);
    }
    let router = builder.build().expect("it can be built");
    let subject = |number: usize| {
        let rule = number * 7 % (rules + 1); // one more than there are: the fallback
        match rule % 3 {
            0 => format!("match{rule}.7.score"),
            1 => format!("chat{rule}.room.said"),
            _ => format!("order{rule}.created"),
        }
    };
    let subjects: Vec<String> = (0..TURN).map(subject).collect();
    let by_router = {
        let subjects = subjects.clone();
        decisions(subjects, move |subject| router.engine_of(subject).len())
    };
    let by_match =
        decisions(subjects, |subject| match subject.segments().next().unwrap_or_default() {
            "match0" | "match3" | "match6" => 1,
            "chat1" | "chat4" | "chat7" => 2,
            "order2" | "order5" | "order8" => 3,
            _ => 4,
        });
    let contenders =
        vec![("tickbus", None, by_router), ("`match` on the first segment", None, by_match)];
    Row { name, at_most: Some(60.0), contenders }
}

fn decisions(subjects: Vec<String>, decide: impl Fn(Subject<'_>) -> usize + 'static) -> Work {
    Box::new(move |turns| {
        let subjects: Vec<Subject<'_>> =
            subjects.iter().map(|it| Subject::new(it).expect("valid")).collect();
        let begin = Instant::now();
        for _ in 0..turns {
            for subject in &subjects {
                black_box(decide(black_box(*subject)));
            }
        }
        begin.elapsed()
    })
}
