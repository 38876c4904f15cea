//! Nothing allocates: a global allocator that counts sees none of it.
#![cfg(not(tickbus_loom))]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::future::Future;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::alloc::System;

use tickbus::bus::{Flow, Policy};
use tickbus::defer::Deferred;
use tickbus::envelope::compact::{CompactEnvelope, Id, mqtt};
use tickbus::error::PatternFault;
use tickbus::request::{RequestError, Requests};
use tickbus::{
    Budget, Bus, Dispatch, DropNewest, DropOldest, Event, Feed, Full, GatedTopic, Hold, Lane,
    Latest, Pattern, Reject, Subject, Timers, Topic, Waiters,
};

// ---- The counter -------------------------------------------------------------------------------

thread_local! {
    /// Calls of this thread alone: the harness allocates on others.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// What it has taken, less what it has given back.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    fn count(taken: usize, given: usize) {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get().wrapping_add(taken).wrapping_sub(given));
    }
}

// SAFETY: hands every call on to the allocator of the system, unchanged. Counting allocates nothing:
// the counter is a constant without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(0, layout.size());
        // SAFETY: as above; `pointer` is from `System`, as all are.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size(), 0);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size, layout.size());
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `action` calls the allocator.
fn calls<R>(action: impl FnOnce() -> R) -> usize {
    let before = CALLS.get();
    black_box(action());
    CALLS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls(|| {}), 0);
    assert_eq!(calls(|| Box::new(black_box(1_u8))), 2, "made and dropped");
    assert_eq!(calls(|| vec![0_u8; black_box(9)]), 2, "zeroed and dropped");
    assert!(calls(|| Vec::from([1_u8]).resize(black_box(99), 0)) >= 3, "grown");

    // What the bus carries may allocate; that the bus drops it is seen.
    let bus: Bus<Box<u8>, 2, DropOldest> = Bus::new();
    assert_eq!(calls(|| (0..3).for_each(|event| bus.publish(Box::new(event)).unwrap())), 4);
}

// ---- Bus and lane ------------------------------------------------------------------------------

/// Twice the room, so that every policy does all it can.
const EVENTS: [u32; 16] = [7; 16];

fn a_bus<P: Policy>() {
    let made = calls(|| {
        let mut bus: Bus<u32, 8, P> = Bus::new();
        for event in EVENTS {
            let _ = bus.publish(event);
        }
        black_box((
            bus.pending(),
            bus.is_empty(),
            bus.capacity(),
            bus.stats(),
            bus.stats().dropped(),
        ));

        let mut consumer = bus.consumer().unwrap();
        assert!(bus.consumer().is_err());
        assert_eq!(consumer.drain().next(), Some(7));
        assert_eq!(consumer.drain().until(|| false).count(), 7);
        let _ = bus.publish_batch(&EVENTS);
        black_box((consumer.pending(), consumer.stats()));
        assert_eq!(consumer.drain().sum::<u32>(), 7 * 8);
        drop(consumer);

        for event in EVENTS {
            let _ = bus.publish_mut(event);
        }
        assert_eq!(bus.drain().next(), Some(7));
        assert_eq!(bus.drain().until(|| false).count(), 7);
        let _ = bus.publish_batch_mut(&EVENTS);
        assert_eq!(bus.drain().sum::<u32>(), 7 * 8);
        let _ = bus.publish(1); // dropped with the bus
    });
    assert_eq!(made, 0);
}

#[test]
fn a_bus_does_not_allocate() {
    a_bus::<Reject>();
    a_bus::<DropOldest>();
    a_bus::<DropNewest>();
}

#[test]
fn what_a_full_bus_gives_back_does_not_allocate() {
    let bus: Bus<u32, 2> = Bus::new();
    bus.publish_batch(&[1, 2]).unwrap();
    let made = calls(|| {
        assert_eq!(bus.publish(3), Err(Full(3)));
        assert_eq!(bus.publish_batch(&[3, 4]), Err(Full(&[3, 4][..])));
    });
    assert_eq!(made, 0);
}

#[test]
fn a_lane_does_not_allocate() {
    let made = calls(|| {
        let lane: Lane<u32, 8> = Lane::new();
        let mut publisher = lane.publisher().unwrap();
        let mut consumer = lane.consumer().unwrap();
        for event in EVENTS {
            let _ = publisher.publish(event);
        }
        assert_eq!(consumer.drain().count(), 8);
        assert_eq!(publisher.publish_batch(&EVENTS), Err(Full(&EVENTS[8..])));
        black_box((lane.pending(), lane.stats(), consumer.pending(), consumer.stats()));
        assert_eq!(consumer.drain().until(|| false).next(), Some(7));
    });
    assert_eq!(made, 0);
}

// ---- Handlers ----------------------------------------------------------------------------------

tickbus::events! {
    #[derive(Clone, Copy)]
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
        #[subject = "clock.tick"]
        Tick,
    }
}

#[derive(Default)]
struct Seen {
    buttons: usize,
    inputs: usize,
    others: usize,
    errors: usize,
}

fn input(seen: &mut Seen, _: &Input) -> Result<Flow, ()> {
    seen.inputs += 1;
    if seen.inputs.is_multiple_of(2) { Err(()) } else { Ok(Flow::Continue) }
}

fn button(seen: &mut Seen, _: &Input) -> Result<Flow, ()> {
    seen.buttons += 1;
    Ok(Flow::Stop)
}

fn other(seen: &mut Seen, _: &Input) -> Result<Flow, ()> {
    seen.others += 1;
    Ok(Flow::Continue)
}

type Handlers = Dispatch<Input, Seen, { Input::KINDS }, Result<Flow, ()>>;

const fn handlers() -> Handlers {
    Dispatch::new()
        .on("input.*", input)
        .on("input.button", button)
        .otherwise(other)
        .on_error(|seen, _, ()| seen.errors += 1)
}

static HANDLERS: Handlers = handlers();

fn a_tick<P: Policy>() {
    let made = calls(|| {
        let mut seen = Seen::default();
        let mut bus: Bus<Input, 4, P> = Bus::new();
        let events = [Input::Button, Input::Tilt, Input::Tick, Input::Button];

        bus.publish_batch(&events).unwrap();
        let mut consumer = bus.consumer().unwrap();
        let report = HANDLERS.tick(&mut seen, &mut consumer, Budget::events(3).until(|| false));
        assert_eq!((report.handled, report.left), (3, 1));
        let report = HANDLERS.tick(&mut seen, &mut consumer, Budget::unlimited().generations(2));
        assert_eq!((report.handled, report.left), (1, 0));
        drop(consumer);

        bus.publish_batch_mut(&events).unwrap();
        let report = HANDLERS.tick(&mut seen, &mut bus, Budget::unlimited());
        assert_eq!((report.handled, report.left), (4, 0));
        assert!(HANDLERS.call(&mut seen, &Input::Tick));
        assert_eq!((seen.buttons, seen.inputs, seen.others, seen.errors), (4, 6, 3, 3));
    });
    assert_eq!(made, 0);
}

#[test]
fn a_tick_does_not_allocate() {
    a_tick::<Reject>();
    a_tick::<DropOldest>();
    a_tick::<DropNewest>();
}

#[test]
fn building_a_table_does_not_allocate() {
    assert_eq!(calls(handlers), 0);
}

// ---- Time, holding, asking ----------------------------------------------------------------------

#[test]
fn timers_do_not_allocate() {
    let made = calls(|| {
        let bus: Bus<u32, 2> = Bus::new();
        let mut timers: Timers<u32, 8> = Timers::starting_at(u32::MAX - 9);
        for event in 0..6 {
            timers.after(event * 40, event).unwrap();
        }
        let periodic = timers.every(50, 6).unwrap();
        timers.at(5, 7).unwrap();
        assert!(timers.at(5, 8).is_err() && timers.after(u32::MAX, 8).is_err());
        let mut consumer = bus.consumer().unwrap();
        for now in 0..300 {
            black_box(timers.tick(now, |event| bus.publish(event)).left);
            timers.pause();
            timers.resume(now);
            black_box((timers.len(), timers.is_pending(periodic)));
            if now % 7 == 0 {
                black_box(consumer.drain().count());
            }
        }
        assert_eq!(timers.cancel(periodic), Some(6));
    });
    assert_eq!(made, 0);
}

#[test]
fn a_hold_does_not_allocate() {
    let made = calls(|| {
        let bus: Bus<u32, 8> = Bus::new();
        let hold: Hold<_, 4> = Hold::before(&bus);
        for event in EVENTS {
            let _ = hold.publish(event);
        }
        assert_eq!(bus.pending(), 0);
        hold.start();
        assert_eq!(bus.pending(), 4);
        let _ = hold.publish(1);
        hold.pause();
        let _ = hold.publish(1);
        black_box((hold.stats(), hold.pending(), bus.pending()));
    });
    assert_eq!(made, 0);
}

#[test]
fn requests_do_not_allocate() {
    let made = calls(|| {
        let mut requests: Requests<&str, u32, 2, 3> = Requests::new();
        let first = requests.open(&["a", "b", "c", "a"], 2, 10).unwrap();
        let second = requests.open(&["a"], 1, 10).unwrap();
        assert!(requests.open(&["a"], 1, 10).is_err());
        requests.answer(first, "b", 1).unwrap();
        assert!(requests.answer(first, "b", 2).is_err());
        requests.answer(first, "a", 3).unwrap();
        requests.tick(1, |_, answers| assert_eq!(answers.unwrap().missing(), ["c"]));
        assert!(matches!(requests.cancel(second), Some(Err(RequestError::Cancelled(_)))));
    });
    assert_eq!(made, 0);
}

#[test]
fn what_is_deferred_does_not_allocate() {
    let made = calls(|| {
        let mut deferred: Deferred<(u8, u32), 4> = Deferred::new();
        for number in 0..20 {
            let _ = deferred.defer((0, number));
            deferred.next_step();
            let merge = |waiting: &mut (u8, u32), event| *waiting = event;
            let _ = deferred.coalesce((1, number), |event| event.0, merge);
            black_box(deferred.recall());
        }
    });
    assert_eq!(made, 0);
}

// ---- Words -------------------------------------------------------------------------------------

#[test]
fn words_do_not_allocate() {
    let made = calls(|| {
        let subject = Subject::new(black_box("player.7.hit")).unwrap();
        for (pattern, matches) in [("player.*.hit", true), (">", true), ("player.*", false)] {
            let pattern = Pattern::new(black_box(pattern)).unwrap();
            assert_eq!(pattern.matches(subject), matches);
        }
        let error = Pattern::new(black_box("a.>.b")).unwrap_err();
        assert_eq!(error.fault(), PatternFault::RestNotLast);
        assert!(Subject::new(black_box("a..b")).is_err());
        assert_eq!(black_box(Input::Tilt).subject(), "input.tilt");
    });
    assert_eq!(made, 0);
}

// ---- Topics ------------------------------------------------------------------------------------

#[test]
fn groups_do_not_allocate() {
    let all = || {
        let mut bus: Bus<[u32; 5], 4> = Bus::new();
        let lane: Lane<u32, 4> = Lane::new();
        assert_eq!(bus.publish_all([[1; 5]; 3]), Ok(()));
        assert_eq!(bus.publish_all_mut([[1; 5]; 2]), Err(Full([[1; 5]; 2])));
        assert_eq!(lane.publisher().unwrap().publish_all([1, 2, 3]), Ok(()));
        bus.drain().count() + lane.consumer().unwrap().drain().count()
    };
    assert_eq!(calls(all), 0);
}

#[test]
fn topics_do_not_allocate() {
    let all = || {
        let topic: Topic<[u64; 9], 4> = Topic::new();
        let mut subscriber = topic.subscribe();
        let mut third = topic.subscribe().filter(|event| event[0] > 0).every_nth(3);
        let gated: GatedTopic<u8, 4, 2> = GatedTopic::new();
        let mut gating = gated.subscribe().unwrap();
        let latest: Latest<[u64; 9]> = Latest::new();
        let mut watcher = latest.watch();
        for number in 0..20 {
            topic.publish([number; 9]);
            latest.publish([number; 9]);
            let _ = gated.publish(number as u8);
        }
        assert_eq!(gated.publish_all([1, 2]), Err(Full([1, 2])));
        let mut history = topic.history();
        let kept = history.all().count() + history.last(2).count() + gated.history().len();
        history.clear();
        assert_eq!((kept, history.len()), (10, 0));
        let read = subscriber.read().count() + third.read().count() + gating.read().count();
        (read, watcher.changed(), gated.gate())
    };
    assert_eq!(calls(all), 0);
}

#[test]
fn feeds_and_calls_of_a_table_do_not_allocate() {
    let all = || {
        let feed: Feed<u32, 4> = Feed::new();
        let mut publisher = feed.publisher().unwrap();
        let mut subscriber = feed.subscribe();
        let table: Dispatch<Input, usize, { Input::KINDS }> =
            Dispatch::new().on(">", |called, _| *called += 1);
        let mut called = 0;
        for number in 0..20 {
            publisher.publish(number);
            table.call(&mut called, &Input::Tilt);
        }
        assert_eq!((subscriber.read().count(), called), (5, 20));
    };
    assert_eq!(calls(all), 0);
}

// ---- Waits -------------------------------------------------------------------------------------

#[test]
fn waits_do_not_allocate() {
    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }
    let all = || {
        let bus: Bus<u32, 2, Reject, Waiters<2>> = Bus::default();
        let mut events = bus.consumer().unwrap();
        assert!(poll(events.next_async()).is_pending());
        assert!(poll(events.ready_async()).is_pending());
        for event in 0..2 {
            assert_eq!(poll(bus.publish_async(event)), Poll::Ready(Ok(())));
        }
        assert!(poll(bus.publish_async(2)).is_pending());
        assert_eq!(poll(events.next_async()), Poll::Ready(0));

        let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
        let mut gate = topic.subscribe().unwrap();
        assert!(poll(gate.next_async()).is_pending());
        assert_eq!([1, 2].map(|event| poll(topic.publish_async(event))), [Poll::Ready(Ok(())); 2]);
        assert!(poll(topic.publish_async(3)).is_pending());
        assert_eq!(poll(gate.next_async()), Poll::Ready(Ok(1)));
        let mut some = topic.subscribe_lagging().filter(|event| *event != 1);
        assert!(poll(some.ready_async()).is_pending());
        assert!(poll(some.next_async()).is_pending());

        let latest: Latest<u32, Waiters<1>> = Latest::default();
        let mut watcher = latest.watch();
        assert!(poll(watcher.changed_async()).is_pending());
        latest.publish(1);
        assert!(poll(watcher.changed_async()).is_ready());
    };
    assert_eq!(calls(all), 0);
}

// ---- The subject bus ---------------------------------------------------------------------------

/// Beyond the envelope, which is made before: what is published on a subject that was published
/// before, received, dropped or displaced allocates nothing.
#[cfg(feature = "std")]
#[test]
fn publishing_an_envelope_on_a_known_subject_does_not_allocate() {
    extern crate alloc;
    use alloc::sync::Arc;
    use tickbus::{Envelope, Overrun, SubjectBus};

    let bus = SubjectBus::new();
    let policies = [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block];
    let open = |policy| {
        let subscription = bus.subscribe("player.*.hit").unwrap().capacity(8);
        subscription.filter(|envelope| envelope.source().is_empty()).overrun(policy).open()
    };
    let subscriptions = policies.map(open);
    let envelope = Arc::new(Envelope::new("player.7.hit").unwrap());
    bus.publish(envelope.clone()).unwrap(); // now the route is known

    let made = calls(|| {
        for _ in 0..20 {
            bus.try_publish(envelope.clone()).unwrap();
        }
        for subscription in &subscriptions {
            assert_eq!(subscription.drain().count(), 8);
            assert!(subscription.try_recv().is_err());
        }
    });
    assert_eq!(made, 0);
    assert!(calls(|| bus.publish(Envelope::new("player.8.hit").unwrap())) > 0, "they are counted");
}

#[cfg(all(feature = "std", feature = "json"))]
#[test]
fn an_envelope_is_written_into_a_buffer_that_need_not_grow() {
    use tickbus::Envelope;
    use tickbus::envelope::TraceParent;

    let bare = Envelope::unstamped("a").unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let full = Envelope::unstamped("player.7.hit")
        .unwrap()
        .with_id("0192f0c1-0000-7000-8000-000000000000")
        .with_time("2026-08-01T12:30:00.123456789Z".parse().unwrap())
        .with_source("arena-1")
        .with_trace_parent(trace.parse::<TraceParent>().unwrap());
    let full = (0..40).fold(full, |it, n| it.header(&*format!("h{n}"), &*"v".repeat(n)));
    let full = full.with_raw_payload(format!("[{}0]", "1e400, ".repeat(200))).unwrap();
    for envelope in [bare, full] {
        assert_eq!(calls(|| envelope.to_json()), 2, "made and dropped: {envelope:?}");
    }
}

// ---- Subjects: what allocates, and when ----------------------------------------------------------

#[cfg(feature = "std")]
mod subjects {
    extern crate alloc;

    use alloc::sync::Arc;

    use tickbus::subject_bus::{DropReason, Observer, Recipient};
    use tickbus::wait::Wait;
    use tickbus::{Envelope, Overrun, Subject, SubjectBus, Subscription};

    use super::{BYTES, calls};

    fn envelope(subject: &str) -> Arc<Envelope> {
        Arc::new(Envelope::new(subject).unwrap())
    }

    /// Publishes and receives once, so that the subject is known; then no call of the allocator.
    #[track_caller]
    fn allocates_nothing(bus: &SubjectBus, all: &[Subscription]) {
        let sent = envelope("player.7.hit");
        let go = |times| {
            for _ in 0..times {
                bus.publish_wait(sent.clone(), Wait::never()).unwrap();
            }
            for one in all {
                for _ in one.drain().take(2) {}
                while one.try_recv().is_ok() {}
            }
            bus.matching(sent.subject())
        };
        go(100);
        assert_eq!(calls(|| go(100)), 0);
    }

    #[test]
    fn a_publish_on_a_known_subject() {
        for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
            // Within one lock, and with more matches than one lock is held for.
            for subscriptions in [1, 8, 40] {
                let bus = SubjectBus::new();
                let open = |n: usize| {
                    let pattern = ["player.*.hit", "player.>", "player.7.hit"][n % 3];
                    bus.subscribe(pattern).unwrap().capacity(64).overrun(overrun).open()
                };
                let all: Vec<_> = (0..subscriptions).map(open).collect();
                allocates_nothing(&bus, &all);
            }
        }
    }

    #[test]
    fn a_publish_on_a_known_subject_through_filters_and_observers() {
        struct Watch;
        impl Observer for Watch {
            fn on_drop(&self, _: &Arc<Envelope>, to: Recipient<'_>, reason: DropReason) {
                assert_eq!((to.pattern.as_str(), reason), (">", DropReason::BufferFull));
            }
        }
        for observer in [None, Some(Arc::new(Watch))] {
            let mut builder = SubjectBus::builder();
            if let Some(observer) = observer {
                builder = builder.observer(observer);
            }
            let bus = builder.build();
            let filtered = bus.subscribe(">").unwrap().filter(|it| it.source().is_empty());
            let all = [filtered.open(), bus.subscribe(">").unwrap().open()];
            allocates_nothing(&bus, &all);
        }
    }

    #[test]
    fn looking_for_who_matches() {
        let bus = SubjectBus::builder().route_cache(0).build();
        let _all = bus.subscribe("player.*.hit").unwrap().open();
        let subject = Subject::from_static("player.7.hit");
        assert_eq!(bus.matching(subject), 1);
        assert_eq!(calls(|| bus.matching(subject)), 0);
    }

    /// At every moment, whatever was published before.
    #[test]
    fn subjects_that_never_repeat_take_no_more_than_the_route_cache_may() {
        const SUBJECTS: usize = 40_000;
        for (size, matching) in [(0, 1), (1, 1), (8, 3), (100, 20), (1024, 1), (1024, 9)] {
            let bus = SubjectBus::builder().route_cache(size).build();
            let open = |_| bus.subscribe("s.*").unwrap().capacity(1).open();
            let all: Vec<_> = (0..matching).map(open).collect();
            // The text, a place for each match, two counts, and the place in a table at most half full.
            let answer = 10 + 16 * matching + 16 + 80;
            let most = size * answer + 16 * matching.next_power_of_two() + 256;
            let before = BYTES.get();
            for n in 0..SUBJECTS {
                let subject = format!("s.{n:08}");
                assert_eq!(bus.matching(Subject::new(&subject).unwrap()), matching);
                drop(subject);
                let taken = BYTES.get().wrapping_sub(before) as isize;
                assert!(taken <= most as isize, "{size} {matching}: {taken} bytes after {n}");
            }
            for n in SUBJECTS..SUBJECTS + 10 {
                let published = bus.publish_wait(envelope(&format!("s.{n:08}")), Wait::never());
                assert_eq!(published.unwrap().enqueued, if n == SUBJECTS { matching } else { 0 });
            }
            drop(all);
        }
    }

    /// As `SubjectBus` says: everything but the slots and the text of the pattern.
    #[test]
    fn a_subscription_takes_at_most_512_bytes_beyond_its_buffer() {
        const SLOT: usize = 16;
        for (count, capacity) in [(1_000, 1), (1_000, 64), (1_500, 8), (5_000, 8)] {
            let bus = SubjectBus::new();
            let mut all = Vec::with_capacity(count);
            let patterns: Vec<_> = (0..count).map(|n| format!("player.{n}.hit")).collect();
            let before = BYTES.get();
            for pattern in &patterns {
                all.push(bus.subscribe(pattern).unwrap().capacity(capacity).open());
            }
            let taken = BYTES.get() - before;
            let buffers = count * capacity * SLOT;
            let texts: usize = patterns.iter().map(String::len).sum();
            let handles = count * size_of::<Subscription>();
            let each = (taken + handles - buffers - texts) / count;
            println!("{count} of {capacity}: {each} bytes each");
            assert!(each <= 512, "{each} bytes");
        }
    }
}

#[test]
fn an_envelope_in_fixed_memory_does_not_allocate() {
    let made = || {
        let id = Id::new(black_box([7; 16]));
        let headers = [("unit", "mC")];
        let reading = CompactEnvelope::new(Subject::from_static("device.7.reading"))
            .with_id(id.as_str())
            .with_headers(&headers)
            .with_raw_payload("21500");
        let (mut buffer, mut topic, mut subject) = ([0; 128], [0; 32], [0; 32]);
        let bytes = reading.encode(&mut buffer).unwrap();
        let received = CompactEnvelope::decode(bytes).unwrap();
        let topic = mqtt::topic("fleet", received.subject(), &mut topic).unwrap();
        let subject = mqtt::subject("fleet", topic, &mut subject).unwrap();
        let mut properties = [("", ""); 3];
        for (to, property) in properties.iter_mut().zip(received.properties().unwrap()) {
            *to = property;
        }
        let (content_type, payload) = (received.content_type(), received.payload_bytes());
        let read = CompactEnvelope::from_properties(subject, &properties, content_type, payload);
        assert_eq!(read.unwrap().header("unit"), "mC");
    };
    assert_eq!(calls(made), 0);
}
