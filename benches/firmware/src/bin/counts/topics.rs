//! Fan-out, beside what firmware uses today. Events of 8 bytes, rings of 16.
//!
//! | column | what is counted |
//! |---|---|
//! | publish to 8 | one event, with eight subscribers |
//! | publish and read | one event, which each of so many subscribers reads |
//!
//! | changed | one value of 16 bytes, which one reader finds changed |
//! | kept | what a feed beside a bus adds to a publish: it keeps the last events |
//! | 4 recalled | the last four of these events |
//! | 2 or none | a group of two events, with room for it |
//! | called | one event, for which the publisher calls so many handlers |
//!
//! Before each count, every subscriber has read every event.

use core::array;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pubsub::{ImmediatePublisher, PubSubChannel, Subscriber as PubSubSubscriber};
use embassy_sync::watch::{Receiver, Sender, Watch};
use heapless::spsc;
use instruments::clock;
use semihosting::println;
use tickbus::bus;
use tickbus::topic::Publisher;
use tickbus::{Bus, Dispatch, Feed, GatedTopic, Lane, Latest, Single, Subscriber, Topic, Watcher};

use crate::event::{Context, Event, add};
use crate::queue::SLOTS;

/// One publisher and many readers.
trait FanOut {
    fn publish(&mut self, event: Event);

    /// Reads one event with each of the first `readers`.
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS];
}

struct Bench<F> {
    fan_out: F,
    event: Event,
    sum: u32,
}

fn nothing<F>(_: &mut Bench<F>, (): ()) {}

fn publish<F: FanOut>(bench: &mut Bench<F>, (): ()) {
    bench.fan_out.publish(bench.event);
}

fn publish_and_read<F: FanOut, const READERS: usize>(bench: &mut Bench<F>, (): ()) {
    bench.fan_out.publish(bench.event);
    let mut sum = 0;
    for event in bench.fan_out.read::<READERS>() {
        sum += event.map_or(0, |event| event.value());
    }
    bench.sum = sum;
}

fn measure<F: FanOut, const READERS: usize>(fan_out: F) -> (u32, u32) {
    let mut bench = Bench { fan_out, event: Event::First(7), sum: 0 };
    let bench = &mut bench;
    let (overhead, ()) = clock::count(nothing, bench, ());
    // Round the ring, so that every slot has been used.
    for _ in 0..SLOTS + 3 {
        bench.fan_out.publish(bench.event);
        assert_eq!(bench.fan_out.read::<READERS>(), [Some(Event::First(7)); READERS]);
    }
    let published = clock::count(publish, bench, ()).0 - overhead;
    assert_eq!(bench.fan_out.read::<READERS>(), [Some(Event::First(7)); READERS]);
    let all = clock::count(publish_and_read::<F, READERS>, bench, ()).0 - overhead;
    assert_eq!(bench.sum, 7 * READERS as u32);
    assert_eq!(bench.fan_out.read::<READERS>(), [None; READERS]);
    (published, all)
}

fn row<A: FanOut, B: FanOut, C: FanOut>(name: &str, one: A, four: B, eight: C) {
    let (_, one) = measure::<A, 1>(one);
    let (_, four) = measure::<B, 4>(four);
    let (published, eight) = measure::<C, 8>(eight);
    println!("{name:<48} | {published:>12} | {one:>12} | {four:>6} | {eight:>6}");
}

// ---- tickbus -----------------------------------------------------------------------------------

static TOPICS: [Topic<Event, SLOTS>; 3] = [const { Topic::new() }; 3];

struct Lagging<const S: usize>(&'static Topic<Event, SLOTS>, [Subscriber<'static, Event>; S]);

impl<const S: usize> Lagging<S> {
    fn open(topic: &'static Topic<Event, SLOTS>) -> Self {
        Self(topic, array::from_fn(|_| topic.subscribe()))
    }
}

impl<const S: usize> FanOut for Lagging<S> {
    #[inline(always)]
    fn publish(&mut self, event: Event) {
        self.0.publish(event);
    }

    #[inline(always)]
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS] {
        array::from_fn(|index| self.1[index].read().next().and_then(Result::ok))
    }
}

static FEEDS: [Feed<Event, SLOTS>; 3] = [const { Feed::new() }; 3];

struct Fed<const S: usize>(Publisher<'static, Event>, [Subscriber<'static, Event, Single>; S]);

impl<const S: usize> Fed<S> {
    fn open(feed: &'static Feed<Event, SLOTS>) -> Self {
        let publisher = feed.publisher().expect("opened once");
        Self(publisher, array::from_fn(|_| feed.subscribe()))
    }
}

impl<const S: usize> FanOut for Fed<S> {
    #[inline(always)]
    fn publish(&mut self, event: Event) {
        self.0.publish(event);
    }

    #[inline(always)]
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS] {
        array::from_fn(|index| self.1[index].read().next().and_then(Result::ok))
    }
}

static GATED: (
    GatedTopic<Event, SLOTS, 1>,
    GatedTopic<Event, SLOTS, 4>,
    GatedTopic<Event, SLOTS, 8>,
) = (GatedTopic::new(), GatedTopic::new(), GatedTopic::new());

struct Gated<const S: usize>(&'static GatedTopic<Event, SLOTS, S>, [Subscriber<'static, Event>; S]);

impl<const S: usize> Gated<S> {
    fn open(topic: &'static GatedTopic<Event, SLOTS, S>) -> Self {
        Self(topic, array::from_fn(|_| topic.subscribe().expect("there are so many places")))
    }
}

impl<const S: usize> FanOut for Gated<S> {
    #[inline(always)]
    fn publish(&mut self, event: Event) {
        let _ = self.0.publish(event);
    }

    #[inline(always)]
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS] {
        array::from_fn(|index| self.1[index].read().next().and_then(Result::ok))
    }
}

// ---- Peers -------------------------------------------------------------------------------------

type Channel<const S: usize> = PubSubChannel<CriticalSectionRawMutex, Event, SLOTS, S, 1>;

static CHANNELS: (Channel<1>, Channel<4>, Channel<8>) =
    (PubSubChannel::new(), PubSubChannel::new(), PubSubChannel::new());

struct PubSub<const S: usize>(
    ImmediatePublisher<'static, CriticalSectionRawMutex, Event, SLOTS, S, 1>,
    [PubSubSubscriber<'static, CriticalSectionRawMutex, Event, SLOTS, S, 1>; S],
);

impl<const S: usize> PubSub<S> {
    fn open(channel: &'static Channel<S>) -> Self {
        let subscriber = |_| channel.subscriber().expect("there are so many places");
        Self(channel.immediate_publisher(), array::from_fn(subscriber))
    }
}

impl<const S: usize> FanOut for PubSub<S> {
    #[inline(always)]
    fn publish(&mut self, event: Event) {
        self.0.publish_immediate(event);
    }

    #[inline(always)]
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS] {
        array::from_fn(|index| self.1[index].try_next_message_pure())
    }
}

struct Queues<const S: usize>(
    [(spsc::Producer<'static, Event>, spsc::Consumer<'static, Event>); S],
);

macro_rules! queues {
    ($count:literal) => {{
        let queues = cortex_m::singleton!(
            : [spsc::Queue<Event, SLOTS>; $count] = [const { spsc::Queue::new() }; $count]
        );
        let mut queues = queues.expect("opened once").iter_mut();
        Queues::<$count>(array::from_fn(|_| queues.next().expect("so many").split()))
    }};
}

impl<const S: usize> FanOut for Queues<S> {
    #[inline(always)]
    fn publish(&mut self, event: Event) {
        for (publisher, _) in &mut self.0 {
            let _ = publisher.enqueue(event);
        }
    }

    #[inline(always)]
    fn read<const READERS: usize>(&mut self) -> [Option<Event>; READERS] {
        array::from_fn(|index| self.0[index].1.dequeue())
    }
}

// ---- Latest values -----------------------------------------------------------------------------

type Value = [u32; 4];

trait Newest {
    fn publish(&mut self, value: Value);
    fn changed(&mut self) -> Option<Value>;
}

static LATEST: Latest<Value> = Latest::new();

impl Newest for Watcher<'static, Value> {
    #[inline(always)]
    fn publish(&mut self, value: Value) {
        LATEST.publish(value);
    }

    #[inline(always)]
    fn changed(&mut self) -> Option<Value> {
        Watcher::changed(self).map(|changed| changed.value)
    }
}

static WATCH: Watch<CriticalSectionRawMutex, Value, 1> = Watch::new();

struct Watched(
    Sender<'static, CriticalSectionRawMutex, Value, 1>,
    Receiver<'static, CriticalSectionRawMutex, Value, 1>,
);

impl Newest for Watched {
    #[inline(always)]
    fn publish(&mut self, value: Value) {
        self.0.send(value);
    }

    #[inline(always)]
    fn changed(&mut self) -> Option<Value> {
        self.1.try_changed()
    }
}

struct Observed<L> {
    newest: L,
    value: Value,
    sum: u32,
}

fn publish_and_see<L: Newest>(bench: &mut Observed<L>, (): ()) {
    bench.newest.publish(bench.value);
    if let Some([first, second, third, fourth]) = bench.newest.changed() {
        bench.sum = first ^ second ^ third ^ fourth;
    }
}

fn newest<L: Newest>(name: &str, newest: L) {
    let mut bench = Observed { newest, value: [1, 2, 4, 8], sum: 0 };
    let bench = &mut bench;
    let (overhead, ()) = clock::count(|_, ()| {}, bench, ());
    for _ in 0..5 {
        publish_and_see(bench, ());
    }
    bench.sum = 0;
    let count = clock::count(publish_and_see, bench, ()).0 - overhead;
    assert!(bench.sum == 15 && bench.newest.changed().is_none());
    println!("{name:<48} | {count:>7}");
}

// ---- Calls of a table ---------------------------------------------------------------------------------

type Table<const H: usize> = Dispatch<Event, Context, { Event::KINDS }, (), H>;

static TABLES: (Table<1>, Table<4>, Table<8>) = {
    const KIND: &str = "count.first";
    let one = Dispatch::new().on(KIND, add);
    let four = Dispatch::new().on(KIND, add).on(KIND, add).on(KIND, add).on(KIND, add);
    let eight = Dispatch::new().on(KIND, add).on(KIND, add).on(KIND, add).on(KIND, add);
    let eight = eight.on(KIND, add).on(KIND, add).on(KIND, add).on(KIND, add);
    (one, four, eight)
};

/// A list of functions, as written by hand.
static FUNCTIONS: [fn(&mut Context, &Event); 8] = [add; 8];

struct Calls {
    event: Event,
    context: Context,
}

fn calls() {
    let mut calls = Calls { event: Event::First(7), context: Context { sum: 0 } };
    let calls = &mut calls;
    let (overhead, ()) = clock::count(|_, ()| {}, calls, ());
    let mut count = |operation: fn(&mut Calls, ()), called: u32| {
        calls.context.sum = 0;
        let count = clock::count(operation, calls, ()).0 - overhead;
        assert_eq!(calls.context.sum, 7 * called);
        count
    };
    let one = count(|calls, ()| _ = TABLES.0.call(&mut calls.context, &calls.event), 1);
    let four = count(|calls, ()| _ = TABLES.1.call(&mut calls.context, &calls.event), 4);
    let eight = count(|calls, ()| _ = TABLES.2.call(&mut calls.context, &calls.event), 8);
    println!("{:<48} | {one:>8} | {four:>8} | {eight:>8}", "tickbus Dispatch::call");
    fn call<const COUNT: usize>(calls: &mut Calls, (): ()) {
        let functions = core::hint::black_box(&FUNCTIONS[..COUNT]);
        functions.iter().for_each(|function| function(&mut calls.context, &calls.event));
    }
    let (one, four, eight) = (count(call::<1>, 1), count(call::<4>, 4), count(call::<8>, 8));
    println!("{:<48} | {one:>8} | {four:>8} | {eight:>8}", "list of functions");
}

// ---- History and groups ------------------------------------------------------------------------

static KEPT: (Bus<Event, SLOTS>, Feed<Event, SLOTS>) = (Bus::new(), Feed::new());

struct Keeper {
    log: Publisher<'static, Event>,
    event: Event,
    sum: u32,
}

fn history() {
    let log = KEPT.1.publisher().expect("opened once");
    let mut keeper = Keeper { log, event: Event::First(7), sum: 0 };
    let keeper = &mut keeper;
    fn publish(keeper: &mut Keeper, (): ()) {
        let _ = KEPT.0.publish(keeper.event);
    }
    fn publish_and_keep(keeper: &mut Keeper, (): ()) {
        let _ = KEPT.0.publish(keeper.event);
        keeper.log.publish(keeper.event);
    }
    fn recall(keeper: &mut Keeper, (): ()) {
        keeper.sum = KEPT.1.history().last(4).map(|event| event.value()).sum();
    }
    let (overhead, ()) = clock::count(|_, ()| {}, keeper, ());
    let mut consumer = KEPT.0.consumer().expect("there is one");
    let mut count = |operation: fn(&mut Keeper, ())| {
        consumer.drain().for_each(drop);
        clock::count(operation, keeper, ()).0 - overhead
    };
    (0..SLOTS + 3).for_each(|_| _ = count(publish_and_keep));
    // The publish beside it takes the same each time, as the bus has just been drained.
    let (alone, kept) = (count(publish), count(publish_and_keep));
    let recalled = count(recall);
    assert_eq!(keeper.sum, 28);
    println!("{:<48} | {:>8} | {recalled:>10}", "tickbus Feed beside a Bus", kept - alone);
}

static GROUPED: (Bus<Event, SLOTS>, Lane<Event, SLOTS>, GatedTopic<Event, SLOTS, 1>) =
    (Bus::new(), Lane::new(), GatedTopic::new());

struct Groups {
    lane: bus::Publisher<'static, Event>,
    group: [Event; 2],
}

fn groups() {
    let lane = GROUPED.1.publisher().expect("opened once");
    let mut groups = Groups { lane, group: [Event::First(7); 2] };
    let groups = &mut groups;
    let (overhead, ()) = clock::count(|_, ()| {}, groups, ());
    let mut count = |name, operation: fn(&mut Groups, ())| {
        let mut taken = 0;
        let mut last = 0;
        for _ in 0..SLOTS + 3 {
            GROUPED.0.consumer().expect("there is one").drain().for_each(|_| taken += 1);
            GROUPED.1.consumer().expect("there is one").drain().for_each(|_| taken += 1);
            last = clock::count(operation, groups, ()).0 - overhead;
        }
        println!("{name:<48} | {last:>9}");
        taken
    };
    let all = 2 * (SLOTS + 2);
    assert_eq!(count("tickbus Bus", |groups, ()| _ = GROUPED.0.publish_all(groups.group)), all);
    // The last group of the bus before is among what was taken.
    assert_eq!(
        count("tickbus Lane", |groups, ()| _ = groups.lane.publish_all(groups.group)),
        all + 2
    );
    count("tickbus GatedTopic", |groups, ()| _ = GROUPED.2.publish_all(groups.group));
    assert_eq!(GROUPED.2.stats().published, 2 * (SLOTS + 3));
}

pub fn print() {
    println!();
    println!(
        "{:<48} | {:>12} | {:>12} | {:>6} | {:>6}",
        "fan-out", "publish to 8", "and 1 reads", "4 read", "8 read"
    );
    let [one, four, eight] = &TOPICS;
    row(
        "tickbus Topic",
        Lagging::<1>::open(one),
        Lagging::<4>::open(four),
        Lagging::<8>::open(eight),
    );
    let [one, four, eight] = &FEEDS;
    row("tickbus Feed", Fed::<1>::open(one), Fed::<4>::open(four), Fed::<8>::open(eight));
    let (one, four, eight) = &GATED;
    row("tickbus GatedTopic, all gate", Gated::open(one), Gated::open(four), Gated::open(eight));
    let (one, four, eight) = &CHANNELS;
    row(
        "embassy PubSub, publish_immediate",
        PubSub::open(one),
        PubSub::open(four),
        PubSub::open(eight),
    );
    row("heapless spsc each", queues!(1), queues!(4), queues!(8));
    println!();
    println!("{:<48} | {:>7}", "latest value of 16 bytes", "changed");
    newest("tickbus Latest", LATEST.watch());
    let receiver = WATCH.receiver().expect("there is one place");
    newest("embassy Watch", Watched(WATCH.sender(), receiver));
    println!();
    println!(
        "{:<48} | {:>8} | {:>8} | {:>8}",
        "handlers at publish", "1 called", "4 called", "8 called"
    );
    calls();
    println!();
    println!("{:<48} | {:>8} | {:>10}", "history", "kept", "4 recalled");
    history();
    println!();
    println!("{:<48} | {:>9}", "groups", "2 or none");
    groups();
}
