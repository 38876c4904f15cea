//! An engine for a tick: nothing waits, nothing is lost without a number.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use tickbus::bridge::{BridgeIn, BridgeOut};
use tickbus::hosted::{
    Capabilities, Capability, Delivery, Engine, EngineError, EngineFuture, Gap, GapReason, Health,
    Inbox, Lease, Link, LinkOptions, LinkState, MemoryEngine, OpenError, Reason, Receipt, Receive,
    Settle, SettleError, ShutdownError, StartAt, StartError, Verdict,
};
use tickbus::subject_bus::{EnvelopeBus, SubscriptionOptions};
use tickbus::{Budget, Bus, Envelope, Topic};

/// Longer than anything takes that happens at all.
const SOON: Duration = Duration::from_secs(30);

fn until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "it does not happen");
        thread::sleep(Duration::from_millis(1));
    }
}

fn number(subject: &str, number: u32) -> Arc<Envelope> {
    Envelope::json(subject, &number).unwrap().into()
}

fn value(envelope: &Envelope) -> u32 {
    envelope.decode().unwrap().expect("a number")
}

fn spawn(engine: impl Engine) -> Link {
    Link::spawn(engine, LinkOptions::default()).unwrap()
}

fn receive(inbox: &mut Inbox, count: usize) -> Vec<u32> {
    let mut came = Vec::new();
    until(|| {
        for delivery in inbox.drain(count - came.len()) {
            came.push(value(delivery.envelope()));
            delivery.ack();
        }
        came.len() == count
    });
    came
}

#[test]
fn it_is_a_resource() {
    fn send_and_sync<T: Send + Sync + 'static>() {}
    send_and_sync::<Link>();
    send_and_sync::<Inbox>();
    send_and_sync::<BridgeOut<Arc<dyn EnvelopeBus + Send + Sync>>>();
}

#[test]
fn events_go_out_and_come_in() {
    let engine = Arc::new(MemoryEngine::new());
    let link = spawn(engine.clone());
    let mut all = link.inbox("game.*").unwrap().or("chat").unwrap().group("all");
    let mut live = link.inbox("game.*").unwrap().live();
    until(|| all.is_open() && live.is_open());
    assert_eq!(link.state(), LinkState::Up);

    let bus = link.bus();
    for at in 0..3000 {
        // A frame that publishes more than the queue holds waits for the next.
        until(|| link.stats().pending < 1024);
        let published = bus.try_publish(number("game.shot", at)).unwrap();
        assert_eq!((published.enqueued, published.dropped), (1, 0));
    }
    bus.try_publish(number("other", 0)).unwrap();
    bus.try_publish(number("chat", 3000)).unwrap();
    assert!(receive(&mut all, 3001).into_iter().eq(0..3001), "in their order");
    until(|| all.stats().handled == 3001);
    assert!(all.stats().add_up());
    until(|| link.stats().stored + link.stats().accepted == 3002);
    assert!(link.stats().add_up());
    // It holds as much as it was told to, and says what is missing.
    let (mut came, mut missed) = (live.drain(usize::MAX).count() as u64, 0);
    bus.try_publish(number("game.shot", 3000)).unwrap();
    until(|| {
        came += live.drain(usize::MAX).count() as u64;
        while let Some(gap) = live.take_gap() {
            assert_eq!(gap.reason, GapReason::Overflow);
            missed += gap.missed.unwrap();
        }
        came + missed == 3001
    });
    assert!(missed > 0);
}

#[test]
fn what_a_tick_does_not_settle_comes_again() {
    let engine = Arc::new(MemoryEngine::new());
    let link = spawn(engine.clone());
    let lease = Duration::from_secs(5);
    let mut inbox = link.inbox(">").unwrap().lease(lease).start_at(StartAt::Earliest).group("all");
    for at in 0..3 {
        link.bus().try_publish(number("job", at)).unwrap();
    }
    let mut attempts = [0; 3];
    until(|| {
        for delivery in inbox.drain(2) {
            let at = value(delivery.envelope()) as usize;
            attempts[at] += 1;
            assert_eq!(delivery.attempt(), attempts[at]);
            match (at, attempts[at]) {
                (0, 1) => drop(delivery),
                (1, 1) => delivery.retry_after(Duration::ZERO),
                (2, _) => delivery.reject("never"),
                _ => delivery.ack(),
            }
        }
        attempts == [2, 2, 1]
    });
    until(|| inbox.stats().handled == 2);
    let stats = inbox.stats();
    assert_eq!((stats.retried, stats.rejected, stats.abandoned), (1, 1, 1));
    assert!(stats.add_up() && stats.pending == 0);
}

#[test]
fn an_inbox_holds_no_more_than_it_was_told() {
    let engine = Arc::new(MemoryEngine::new());
    let link = spawn(engine.clone());
    let mut inbox = link.inbox(">").unwrap().capacity(4).start_at(StartAt::Earliest).group("all");
    for at in 0..10 {
        link.bus().try_publish(number("job", at)).unwrap();
    }
    until(|| inbox.pending() == 4);
    let held: Vec<_> = inbox.drain(2).collect();
    thread::sleep(Duration::from_millis(30));
    assert_eq!((inbox.pending(), held.len()), (2, 2));
    for delivery in held {
        delivery.ack();
    }
    until(|| inbox.pending() == 4);
    assert_eq!(receive(&mut inbox, 8), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_dropped_inbox_gives_back_what_it_had() {
    let engine = Arc::new(MemoryEngine::new());
    let link = spawn(engine.clone());
    let lease = Duration::from_millis(50);
    let open = || link.inbox(">").unwrap().lease(lease).start_at(StartAt::Earliest).group("all");
    let first = open();
    link.bus().try_publish(number("job", 7)).unwrap();
    until(|| first.pending() == 1);
    drop(first);
    assert_eq!(receive(&mut open(), 1), [7]);
}

#[test]
fn what_the_engine_does_not_have_is_said_and_ends_the_inbox() {
    let link = spawn(MemoryEngine::new());
    let inbox = link.inbox(">").unwrap().lease(Duration::from_secs(1)).live();
    until(|| inbox.has_ended());
    assert!(matches!(*inbox.error().unwrap(), OpenError::WrongMode { setting: "lease", .. }));
    assert!(link.inbox("a.>.b").is_err());
}

#[test]
fn bridges_work_both_ways() {
    tickbus::events! {
        #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        enum Game { #[subject = "game.scored"] Scored { by: u32 } }
    }
    static HERE: Topic<Game, 64> = Topic::new();
    static THERE: Bus<Game, 64> = Bus::new();

    let engine = Arc::new(MemoryEngine::new());
    let (arena, service) = (spawn(engine.clone()), spawn(engine.clone()));
    let mut outward = BridgeOut::new(arena.bus(), "arena-1");
    let options = SubscriptionOptions::new();
    let inward = service.bus().subscribe("game.*".try_into().unwrap(), options).unwrap();
    let mut inward: BridgeIn<Game> = BridgeIn::new(inward);
    let mut here = HERE.subscribe();
    let mut came = 0;
    until(|| {
        // The subscription is live: it sees what is published after it was opened.
        HERE.publish(Game::Scored { by: 3 });
        let sent = outward.pump(&mut here, Budget::unlimited(), Envelope::event);
        assert_eq!((sent.forwarded, sent.left), (1, 0));
        let decode = |found: &Envelope| found.decode_event();
        let report = inward.pump(Budget::unlimited(), decode, |event| THERE.publish(event));
        assert_eq!(report.failed, 0);
        came += report.forwarded;
        came > 0
    });
    assert_eq!(THERE.consumer().unwrap().drain().next(), Some(Game::Scored { by: 3 }));
    drop(inward);
}

/// How an engine of a test behaves, to be changed at any time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    /// It does what it should.
    Well,
    /// It refuses to start, and knows that nothing leaves.
    Unreachable,
    /// It may have sent it, and does not know.
    Silent,
    /// Its futures are never ready.
    Dead,
    /// It blocks the thread that asks.
    Blocking,
}

struct Moody {
    inner: MemoryEngine,
    mood: Mutex<Mood>,
    changed: Condvar,
}

impl Moody {
    fn new(mood: Mood) -> Arc<Self> {
        let inner = MemoryEngine::new();
        Arc::new(Self { inner, mood: Mutex::new(mood), changed: Condvar::new() })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    fn mood(&self) -> Mood {
        let mut mood = self.mood.lock().unwrap();
        while *mood == Mood::Blocking {
            mood = self.changed.wait(mood).unwrap();
        }
        *mood
    }
}

impl Engine for Moody {
    fn name(&self) -> &Arc<str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        match self.mood() {
            Mood::Unreachable => {
                let reason = Reason::Disconnected("no server answers".into());
                EngineFuture::ready(Err(StartError::new(self.name(), reason)))
            }
            Mood::Dead => EngineFuture::new(core::future::pending()),
            _ => self.inner.start(),
        }
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let fails = |reason, error: fn(&Arc<str>, Arc<Envelope>, Reason) -> EngineError| {
            EngineFuture::ready(Err(error(self.name(), envelope.clone(), reason)))
        };
        match self.mood() {
            Mood::Unreachable => {
                fails(Reason::Disconnected("no server answers".into()), EngineError::not_sent)
            }
            Mood::Silent => {
                let publish = self.inner.publish(envelope.clone());
                EngineFuture::new(async move {
                    let _ = publish.await;
                    Err(EngineError::unknown(self.name(), envelope, Reason::TimedOut))
                })
            }
            Mood::Dead => EngineFuture::new(core::future::pending()),
            _ => self.inner.publish(envelope),
        }
    }

    fn open_durable(
        &self,
        options: tickbus::hosted::DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        match self.mood() {
            Mood::Unreachable => {
                let reason = Reason::Disconnected("no server answers".into());
                EngineFuture::ready(Err(OpenError::failed(self.name(), reason)))
            }
            Mood::Dead => EngineFuture::new(core::future::pending()),
            _ => self.inner.open_durable(options),
        }
    }

    fn health(&self) -> Health {
        match self.mood() {
            Mood::Well => Health::Up,
            mood => Health::Down(format!("{mood:?}").into()),
        }
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        match self.mood() {
            Mood::Dead => EngineFuture::new(core::future::pending()),
            _ => self.inner.shutdown(deadline),
        }
    }
}

/// What a tick does takes no longer than this on a slow machine, whatever the engine does: one that waits
/// for the engine waits for ever.
const TICK: Duration = Duration::from_secs(2);

fn tick(link: &Link, inbox: &mut Inbox, at: u32) {
    let began = Instant::now();
    let _ = link.bus().try_publish(number("game.shot", at)).unwrap();
    for delivery in inbox.drain(16) {
        delivery.ack();
    }
    let _ = (link.state(), link.stats(), inbox.stats(), inbox.error());
    assert!(began.elapsed() < TICK, "a frame waited for {:?}", began.elapsed());
}

#[test]
fn a_queue_bridges_the_time_without_a_connection() {
    let engine = Moody::new(Mood::Unreachable);
    let options = LinkOptions::default().outgoing(8).retry(Duration::from_millis(20));
    let link = Link::spawn(engine.clone(), options).unwrap();
    let mut inbox = link.inbox(">").unwrap().start_at(StartAt::Earliest).group("all");
    for at in 0..10 {
        tick(&link, &mut inbox, at);
    }
    assert_eq!((link.stats().pending, link.stats().full), (8, 2));
    until(|| link.state() == LinkState::Down);
    assert!(link.health().to_string().contains("no server answers"), "{}", link.health());
    engine.set(Mood::Well);
    until(|| link.state() == LinkState::Up);
    assert_eq!(receive(&mut inbox, 8), [0, 1, 2, 3, 4, 5, 6, 7], "the newest were dropped");

    engine.set(Mood::Unreachable);
    link.bus().try_publish(number("game.shot", 10)).unwrap();
    until(|| link.stats().retried > 0 && link.state() == LinkState::Down);
    engine.set(Mood::Well);
    assert_eq!(receive(&mut inbox, 1), [10]);
    assert!(link.stats().add_up());
}

#[test]
fn what_may_have_arrived_is_sent_again_and_has_one_effect() {
    let engine = Moody::new(Mood::Silent);
    let has_ids =
        engine.capabilities().has(tickbus::hosted::Mode::Durable, Capability::Deduplication);
    assert!(has_ids, "otherwise this tests something else");
    let link = spawn(engine.clone());
    let mut inbox = link.inbox(">").unwrap().start_at(StartAt::Earliest).group("all");
    link.bus().try_publish(number("game.shot", 1)).unwrap();
    until(|| link.stats().retried >= 2);
    engine.set(Mood::Well);
    link.bus().try_publish(number("game.shot", 2)).unwrap();
    assert_eq!(receive(&mut inbox, 2), [1, 2]);
    until(|| link.stats().pending == 0);
    assert_eq!(link.stats().duplicate, 1, "{:?}", link.stats());
}

#[test]
fn what_the_engine_refuses_is_counted_and_holds_nothing_up() {
    let engine = MemoryEngine::builder().max_payload(16).build();
    let link = spawn(engine);
    let mut inbox = link.inbox(">").unwrap().start_at(StartAt::Earliest).group("all");
    let large = Envelope::new("game.large").unwrap().with_bytes(vec![0; 17]);
    link.bus().try_publish(large.into()).unwrap();
    link.bus().try_publish(number("game.shot", 1)).unwrap();
    assert_eq!(receive(&mut inbox, 1), [1]);
    until(|| link.stats().pending == 0);
    assert_eq!(link.stats().refused, 1);
}

#[test]
fn a_dead_engine_holds_up_neither_a_frame_nor_the_end() {
    thread::scope(|scope| {
        for mood in [Mood::Dead, Mood::Blocking, Mood::Unreachable, Mood::Silent] {
            for late in [false, true] {
                scope.spawn(move || dies(mood, late));
            }
        }
    });
}

fn dies(mood: Mood, late: bool) {
    let engine = Moody::new(if late { Mood::Well } else { mood });
    let link = Link::spawn(engine.clone(), LinkOptions::default().outgoing(64)).unwrap();
    let mut inbox = link.inbox(">").unwrap().group("all");
    if late {
        until(|| inbox.is_open());
        engine.set(mood);
    }
    for at in 0..100 {
        tick(&link, &mut inbox, at);
    }
    assert!(link.stats().add_up() && link.stats().full >= 36, "{:?}", link.stats());
    let began = Instant::now();
    drop(link);
    assert!(began.elapsed() < Duration::from_secs(3), "{mood:?}: {:?}", began.elapsed());
    tick_after(&mut inbox);
    engine.set(Mood::Well);
}

fn tick_after(inbox: &mut Inbox) {
    let began = Instant::now();
    for delivery in inbox.drain(16) {
        delivery.ack();
    }
    assert!(began.elapsed() < TICK);
}

#[test]
fn the_end_sends_what_is_in_the_queue_and_settles_what_was_applied() {
    let engine = Arc::new(MemoryEngine::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runs = thread::spawn(move || runtime.block_on(stopped));
    let link = Link::on(&handle, engine.clone(), &LinkOptions::default());
    let mut inbox = link.inbox("job").unwrap().start_at(StartAt::Earliest).group("all");
    link.bus().try_publish(number("job", 1)).unwrap();
    until(|| inbox.pending() == 1);
    let bus = link.bus();
    for at in 2..500 {
        bus.try_publish(number("other", at)).unwrap();
    }
    inbox.drain(1).for_each(|delivery| delivery.ack());
    let stats = link.shutdown(SOON);
    assert_eq!((stats.offered, stats.abandoned, stats.pending), (499, 0, 0), "{stats:?}");
    assert_eq!(stats.stored + stats.accepted, 499);
    assert!(inbox.stats().handled == 1 && stats.add_up());
    assert!(bus.try_publish(number("job", 2)).is_err());
    assert!(bus.is_closed() && inbox.has_ended());

    // The engine belongs to others, too.
    let again = Link::on(&handle, engine.clone(), &LinkOptions::default());
    let mut inbox = again.inbox("job").unwrap().group("all");
    again.bus().try_publish(number("job", 2)).unwrap();
    assert_eq!(receive(&mut inbox, 1), [2], "the first is done");
    drop(again);
    stop.send(()).unwrap();
    runs.join().unwrap().unwrap();
}

#[test]
fn a_link_that_was_spawned_shuts_its_engine_down() {
    let engine = Arc::new(MemoryEngine::new());
    let link = spawn(engine.clone());
    until(|| link.state() == LinkState::Up);
    drop(link);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(engine.publish(number("a", 1))).unwrap_err();
    assert!(matches!(error.reason(), Reason::Closed));
}

#[test]
fn a_shutdown_without_a_limit_waits_as_long_as_it_takes() {
    let engine = Moody::new(Mood::Unreachable);
    let link = spawn(engine.clone());
    link.bus().try_publish(number("job", 1)).unwrap();
    let ends = thread::spawn(move || link.shutdown(Duration::MAX));
    thread::sleep(Duration::from_millis(1200)); // longer than dropping a link may take
    engine.set(Mood::Well);
    let stats = ends.join().unwrap();
    assert_eq!((stats.accepted, stats.abandoned), (1, 0), "{stats:?}");
}

/// Its live subscriptions receive an event each millisecond, and hold what is here.
struct Steady(MemoryEngine, Arc<()>);

struct Beat {
    every: tokio::time::Interval,
    _open: Arc<()>,
}

impl Engine for Steady {
    fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.0.publish(envelope)
    }

    fn open_live(
        &self,
        _: tickbus::hosted::LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let every = tokio::time::interval(Duration::from_millis(1));
        let beat = Beat { every, _open: self.1.clone() };
        EngineFuture::ready(Ok(Box::new(beat)))
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        self.0.shutdown(deadline)
    }
}

impl Receive for Beat {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.every.poll_tick(context).map(|_| Some(Ok(Delivery::live(number("game.shot", 1)))))
    }
}

#[test]
fn a_dropped_subscription_of_the_bus_ends_also_where_events_never_pause() {
    let open = Arc::new(());
    let link = spawn(Steady(MemoryEngine::new(), open.clone()));
    let pattern = tickbus::Pattern::new("game.*").unwrap();
    let fed = link.bus().subscribe(pattern, SubscriptionOptions::new()).unwrap();
    until(|| fed.try_recv().is_ok());
    assert_eq!(Arc::strong_count(&open), 3, "here, the engine, and the subscription");
    drop(fed);
    until(|| Arc::strong_count(&open) == 2);
}

/// Where an engine of a test panics, or blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Start,
    Publish,
    Health,
    Open,
    Receive,
    Settle,
    Shutdown,
    DropPanics,
    DropBlocks,
}

struct Faulty {
    inner: MemoryEngine,
    fault: Fault,
    /// Ends the block, when its sender is dropped.
    block: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Faulty {
    fn spawn(fault: Fault) -> (Link, mpsc::Sender<()>) {
        let (unblock, block) = mpsc::channel();
        let engine = Self { inner: MemoryEngine::new(), fault, block: Mutex::new(Some(block)) };
        (spawn(engine), unblock)
    }

    fn at(&self, place: Fault) {
        assert!(self.fault != place, "in {place:?}");
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.at(Fault::DropPanics);
        if self.fault == Fault::DropBlocks {
            let block = self.block.lock().unwrap().take().unwrap();
            let _ = block.recv();
        }
    }
}

impl Engine for Faulty {
    fn name(&self) -> &Arc<str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        self.at(Fault::Start);
        self.inner.start()
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.at(Fault::Publish);
        self.inner.publish(envelope)
    }

    fn open_live(
        &self,
        options: tickbus::hosted::LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.at(Fault::Open);
        let open = self.inner.open_live(options);
        let fault = self.fault;
        EngineFuture::new(async move { Ok(Box::new(Half(open.await?, fault)) as _) })
    }

    fn open_durable(
        &self,
        options: tickbus::hosted::DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.at(Fault::Open);
        let open = self.inner.open_durable(options);
        let fault = self.fault;
        EngineFuture::new(async move { Ok(Box::new(Half(open.await?, fault)) as _) })
    }

    fn health(&self) -> Health {
        self.at(Fault::Health);
        self.inner.health()
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        self.at(Fault::Shutdown);
        self.inner.shutdown(deadline)
    }
}

/// Receives, and panics when something comes, or when it is settled.
struct Half(Box<dyn Receive>, Fault);

impl Receive for Half {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        let next = self.0.poll_next(context);
        assert!(self.1 != Fault::Receive || next.is_pending(), "in Receive");
        if self.1 != Fault::Settle {
            return next;
        }
        next.map(|it| it.map(|it| it.map(|it| Delivery::new(it.envelope().clone(), Unsettled))))
    }
}

struct Unsettled;

impl Settle for Unsettled {
    fn settle(&self, _: Lease, _: Verdict) -> Result<(), SettleError> {
        panic!("in Settle")
    }
}

#[test]
fn an_engine_that_panics_takes_the_link_down_with_its_text() {
    for fault in [Fault::Start, Fault::Health, Fault::Publish] {
        let (link, _unblock) = Faulty::spawn(fault);
        let mut inbox = link.inbox(">").unwrap().group("all");
        let bus = link.bus();
        let mut offered = 0;
        until(|| {
            offered += u64::from(bus.try_publish(number("game.shot", 1)).is_ok());
            matches!(link.health(), Health::Down(_))
        });
        assert_eq!(link.health().to_string(), format!("down: the engine panicked: in {fault:?}"));
        assert_eq!(link.state(), LinkState::Down);
        until(|| bus.is_closed() && inbox.has_ended());
        let error = inbox.error().expect("it says why").to_string();
        assert!(error.ends_with(&format!("the engine panicked: in {fault:?}")), "{error}");
        let late = link.inbox(">").unwrap().live();
        until(|| late.has_ended());
        tick_after(&mut inbox);
        assert_eq!(link.state(), LinkState::Down, "it stays so");

        let stats = link.shutdown(SOON);
        assert!(stats.add_up() && stats.pending == 0 && !stats.unfinished, "{stats:?}");
        assert_eq!(stats.offered, offered);
        assert_eq!(stats.abandoned > 0, offered > stats.accepted, "{stats:?}");
    }
}

#[test]
fn a_subscription_at_which_the_engine_panics_ends_and_the_others_go_on() {
    for fault in [Fault::Open, Fault::Receive, Fault::Settle] {
        let (link, _unblock) = Faulty::spawn(fault);
        let mut inbox = link.inbox("game.*").unwrap().group("all");
        let pattern = tickbus::Pattern::new("game.*").unwrap();
        let fed = link.bus().subscribe(pattern, SubscriptionOptions::new()).unwrap();
        until(|| inbox.is_open() || inbox.has_ended());
        until(|| link.state() == LinkState::Up);
        until(|| {
            let _ = link.bus().try_publish(number("game.shot", 1));
            let mut came = inbox.drain(2);
            // The first ack panics on the link's thread, the second finds that all is over.
            came.by_ref().for_each(|delivery| delivery.ack());
            drop(came);
            inbox.has_ended()
        });
        let error = inbox.error().expect("it says why").to_string();
        assert!(error.ends_with(&format!("the engine panicked: in {fault:?}")), "{error}");
        assert!(!inbox.is_open());
        if fault != Fault::Settle {
            until(|| fed.is_closed());
            assert!(link.stats().gaps > 0);
        }
        assert_eq!(link.state(), LinkState::Up);
        let before = link.stats().accepted;
        until(|| {
            let _ = link.bus().try_publish(number("other", 1));
            link.stats().accepted > before
        });
    }
}

#[test]
fn an_engine_that_panics_or_blocks_at_the_end_holds_nothing_up() {
    for fault in [Fault::Shutdown, Fault::DropPanics, Fault::DropBlocks] {
        let (link, unblock) = Faulty::spawn(fault);
        until(|| link.state() == LinkState::Up);
        link.bus().try_publish(number("game.shot", 1)).unwrap();
        until(|| link.stats().accepted == 1);
        let began = Instant::now();
        let deadline = if fault == Fault::DropBlocks { Duration::from_millis(300) } else { SOON };
        let stats = link.shutdown(deadline);
        assert!(began.elapsed() < SOON, "{fault:?}: {:?}", began.elapsed());
        assert_eq!(stats.unfinished, fault == Fault::DropBlocks, "{fault:?}");
        assert!(stats.add_up());
        drop(unblock);
    }
}

#[test]
fn an_engine_that_blocks_in_a_publish_is_left_behind() {
    let engine = Moody::new(Mood::Well);
    let link = spawn(engine.clone());
    until(|| link.state() == LinkState::Up);
    engine.set(Mood::Blocking);
    let bus = link.bus();
    for at in 0..3 {
        bus.try_publish(number("game.shot", at)).unwrap();
    }
    let stats = link.shutdown(Duration::from_millis(50));
    assert!(stats.unfinished && stats.abandoned == 3 && stats.add_up(), "{stats:?}");
    engine.set(Mood::Well); // its results come too late to count
    until(|| Arc::strong_count(&engine) == 1);
}
