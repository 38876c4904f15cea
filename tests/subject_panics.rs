//! Filters, observers, handlers and wakers that panic: does every other subscription get its envelopes, and is each
//! envelope accounted for? With as many subscriptions as make one, a part, or several of the runs in which a
//! publish enqueues.
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod watch;

use alloc::sync::Arc;
use alloc::task::Wake;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use core::time::Duration;
use std::panic::{catch_unwind, panic_any};
use std::sync::{Mutex, OnceLock};

use futures_core::Stream;
use tickbus::bridge::BridgeIn;
use tickbus::subject_bus::{
    DropReason, Observer, PublishError, Published, Recipient, RecvError, SubjectHandlers,
    SubscriptionStream,
};
use tickbus::wait::Cancel;
use tickbus::{Budget, Envelope, Overrun, SubjectBus, Subscription};
use watch::{watchdog, watched};

// ---- Helpers -----------------------------------------------------------------------------------

const SIZES: [usize; 6] = [1, 7, 8, 9, 33, 100];

/// The first, one in the middle, the last, every other, and all.
fn some_of(size: usize) -> Vec<Vec<usize>> {
    let mut sets = vec![vec![0], vec![size / 2], vec![size - 1]];
    sets.extend([(0..size).step_by(2).collect(), (0..size).collect()]);
    sets.dedup();
    sets
}

fn numbered(n: usize) -> Envelope {
    Envelope::unstamped("n").unwrap().with_source(n.to_string())
}

fn number(envelope: &Envelope) -> usize {
    envelope.source().parse().unwrap()
}

fn drained(subscription: &Subscription) -> Vec<usize> {
    subscription.drain().map(|envelope| number(&envelope)).collect()
}

fn open(bus: &SubjectBus, capacity: usize, overrun: Overrun) -> Subscription {
    bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).open()
}

/// What `f` panics with.
#[track_caller]
fn panics<T: core::fmt::Debug>(f: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it does not panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// What matched is enqueued, dropped or came too late; what was enqueued went somewhere.
#[track_caller]
fn accounted(bus: &SubjectBus, matched: usize) {
    let stats = bus.stats();
    let it = stats.totals;
    assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.abandoned + it.pending, "{it:?}");
    assert_eq!(it.enqueued + it.dropped_newest + stats.closed, matched as u64, "{stats:?}");
    assert_eq!(it.waiting, 0);
}

/// A waker that counts, and panics if it is told to: when it is woken, or when its last clone goes.
struct Bell {
    rung: AtomicUsize,
    panics: bool,
    panics_when_dropped: bool,
}

impl Bell {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Self { rung: AtomicUsize::new(0), panics, panics_when_dropped: false })
    }
    fn rung(&self) -> usize {
        self.rung.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        assert!(!self.panics, "a waker");
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        assert!(!self.panics_when_dropped, "the drop of a waker");
    }
}

fn dropped_bell() -> Waker {
    Arc::new(Bell { rung: AtomicUsize::new(0), panics: false, panics_when_dropped: true }).into()
}

fn poll(stream: &mut SubscriptionStream<'_>, by: &Waker) -> Poll<Option<usize>> {
    let polled = Pin::new(stream).poll_next(&mut Context::from_waker(by));
    polled.map(|envelope| envelope.map(|envelope| number(&envelope)))
}

type Publish<'a> = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

fn poll_publish(publish: &mut Publish<'_>, by: &Waker) -> Poll<Result<Published, PublishError>> {
    publish.as_mut().poll(&mut Context::from_waker(by))
}

/// A panic's value whose destructor panics with another one, so many times.
struct Nested(usize);

impl Drop for Nested {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Self(self.0 - 1));
        }
    }
}

// ---- Wakers ------------------------------------------------------------------------------------

#[test]
fn a_receiver_s_waker_that_panics_in_a_publish_costs_no_subscription_the_envelope() {
    let _watch = watchdog();
    for size in SIZES {
        for bombs in some_of(size) {
            for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
                let bus = SubjectBus::new();
                let all: Vec<_> = (0..size).map(|_| open(&bus, 1, overrun)).collect();
                let bells: Vec<_> = (0..size).map(|n| Bell::new(bombs.contains(&n))).collect();
                let mut streams: Vec<_> = all.iter().map(Subscription::stream).collect();
                for (stream, bell) in streams.iter_mut().zip(&bells) {
                    assert!(poll(stream, &bell.clone().into()).is_pending());
                }
                assert_eq!(panics(|| bus.publish(numbered(1))), "a waker");
                assert!(bells.iter().all(|bell| bell.rung() == 1), "{size} {bombs:?}");
                assert!(all.iter().all(|one| drained(one) == [1]), "{size} {bombs:?}");
                accounted(&bus, size);
            }
        }
    }
}

/// Where the publisher lets go of the lock for each: it is observed, or there is a filter.
#[test]
fn the_same_where_each_is_served_by_itself() {
    struct Nothing;
    impl Observer for Nothing {}
    let _watch = watchdog();
    for size in SIZES {
        for bombs in some_of(size) {
            for observed in [false, true] {
                let builder = SubjectBus::builder();
                let bus = match observed {
                    true => builder.observer(Arc::new(Nothing)).build(),
                    false => builder.build(),
                };
                let filtered = |_| bus.subscribe("n").unwrap().filter(|_| true).open();
                let all: Vec<_> = (0..size).map(filtered).collect();
                let plain = open(&bus, 1, Overrun::DropNewest);
                let bells: Vec<_> = (0..size).map(|n| Bell::new(bombs.contains(&n))).collect();
                let mut streams: Vec<_> = all.iter().map(Subscription::stream).collect();
                for (stream, bell) in streams.iter_mut().zip(&bells) {
                    assert!(poll(stream, &bell.clone().into()).is_pending());
                }
                assert_eq!(panics(|| bus.publish(numbered(1))), "a waker");
                assert!(bells.iter().all(|bell| bell.rung() == 1), "{size} {bombs:?}");
                assert!(all.iter().chain([&plain]).all(|one| drained(one) == [1]));
                accounted(&bus, size + 1);
            }
        }
    }
}

/// A receive makes room, and the publisher that is woken for it panics: the receive has its envelope.
#[test]
fn a_publisher_s_waker_that_panics_costs_no_receiver_its_envelope() {
    type Way = fn(Subscription) -> Vec<usize>;
    fn all<T>(next: impl FnMut() -> Option<T>) -> impl Iterator<Item = T> {
        core::iter::from_fn(next)
    }
    let ways: [(&str, Way); 8] = [
        ("try_recv", |it| all(|| it.try_recv().ok()).map(|it| number(&it)).collect()),
        ("recv", |it| {
            let more = || it.stats().pending > 0;
            all(|| more().then(|| it.recv())).map(|it| number(&it.unwrap())).collect()
        }),
        ("recv_timeout", |it| {
            all(|| it.recv_timeout(Duration::ZERO).ok()).map(|it| number(&it)).collect()
        }),
        ("iter", |it| {
            let all = it.stats().pending + it.stats().waiting;
            it.iter().take(all as usize).map(|it| number(&it)).collect()
        }),
        ("drain", |it| all(|| Some(drained(&it)).filter(|it| !it.is_empty())).flatten().collect()),
        ("stream", |it| {
            let mut stream = it.stream();
            let next = || match poll(&mut stream, Waker::noop()) {
                Poll::Ready(it) => it,
                Poll::Pending => None,
            };
            all(next).collect()
        }),
        ("tick", |it| {
            let mut handlers = SubjectHandlers::new();
            handlers.on(it, |seen: &mut Vec<usize>, envelope| seen.push(number(envelope)));
            let mut seen = Vec::new();
            while handlers.tick(&mut seen, Budget::unlimited()).handled > 0 {}
            seen
        }),
        ("bridge", |it| {
            let mut seen = Vec::new();
            let mut bridge = BridgeIn::new(it);
            let decode = |it: &Envelope| Ok::<_, ()>(number(it));
            let mut keep = |n| {
                seen.push(n);
                Ok(())
            };
            while bridge.pump(Budget::unlimited(), decode, &mut keep).forwarded > 0 {}
            seen
        }),
    ];
    let _watch = watchdog();
    for size in SIZES {
        for (way, receive) in ways {
            let bus = SubjectBus::new();
            let subscription = open(&bus, 1, Overrun::Block);
            bus.publish(numbered(0)).unwrap();
            let bells: Vec<_> = (0..size).map(|n| Bell::new(n % 2 == 0)).collect();
            let mut waiting: Vec<Publish<'_>> =
                (0..size).map(|n| Box::pin(bus.publish_async(numbered(n + 1))) as _).collect();
            for (publish, bell) in waiting.iter_mut().zip(&bells) {
                assert!(poll_publish(publish, &bell.clone().into()).is_pending());
            }
            let seen = receive(subscription);
            assert_eq!(seen, Vec::from_iter(0..=size), "{way}");
            assert!(bells.iter().all(|bell| bell.rung() == 1));
            accounted(&bus, size + 1);
            assert_eq!(bus.stats().totals.received, size as u64 + 1, "{way}");
        }
    }
}

#[test]
fn wakers_that_panic_keep_no_other_from_its_end() {
    type End = fn(&SubjectBus, &Cancel, &[Subscription]);
    let ends: [End; 3] = [
        |bus, _, _| assert_eq!(panics(|| bus.close()), "a waker"),
        |_, cancel, _| assert_eq!(panics(|| cancel.cancel()), "a waker"),
        |_, _, all| all.iter().for_each(|one| assert_eq!(panics(|| one.close()), "a waker")),
    ];
    let _watch = watchdog();
    for size in SIZES {
        for bombs in some_of(size) {
            for end in ends {
                let (bus, cancel) = (SubjectBus::new(), Cancel::new());
                let full: Vec<_> = (0..size)
                    .map(|_| bus.subscribe("n").unwrap().capacity(1).overrun(Overrun::Block))
                    .map(|full| full.until(&cancel).open())
                    .collect();
                bus.publish(numbered(1)).unwrap();
                // Each of two waits at all of them.
                let mut waiting: Vec<Publish<'_>> =
                    (0..2).map(|_| Box::pin(bus.publish_async(numbered(2))) as _).collect();
                let publisher = Bell::new(true);
                for publish in &mut waiting {
                    assert!(poll_publish(publish, &publisher.clone().into()).is_pending());
                }
                let empty: Vec<_> =
                    (0..size).map(|_| bus.subscribe("m").unwrap().until(&cancel).open()).collect();
                let bells: Vec<_> = (0..size).map(|n| Bell::new(bombs.contains(&n))).collect();
                let mut streams: Vec<_> = empty.iter().map(Subscription::stream).collect();
                for (stream, bell) in streams.iter_mut().zip(&bells) {
                    assert!(poll(stream, &bell.clone().into()).is_pending());
                }
                end(&bus, &cancel, &full);
                assert_eq!(publisher.rung(), 2 * size, "{bombs:?}");
                if bus.is_closed() || cancel.is_cancelled() {
                    assert!(bells.iter().all(|bell| bell.rung() == 1));
                    for stream in &mut streams {
                        assert_eq!(poll(stream, Waker::noop()), Poll::Ready(None));
                    }
                }
                for one in &full {
                    assert_eq!(drained(one), [1]);
                    assert_eq!(one.try_recv(), Err(RecvError::Closed));
                }
                drop(waiting);
                accounted(&bus, 3 * size);
            }
        }
    }
}

/// What a handle takes with it goes, whatever its wakers and its filter do.
#[test]
fn dropping_a_subscription_is_complete_though_its_wakers_and_its_filter_panic() {
    struct Drops;
    impl Drop for Drops {
        fn drop(&mut self) {
            panic!("the drop of a filter");
        }
    }
    let _watch = watchdog();
    for unwinds in [false, true] {
        let bus = SubjectBus::new();
        let kept = Drops;
        let filter = move |_: &Envelope| {
            let _ = &kept;
            true
        };
        let one = bus.subscribe("n").unwrap().filter(filter).capacity(1).overrun(Overrun::Block);
        let one = one.open();
        bus.publish(numbered(1)).unwrap();
        let mut second: Publish<'_> = Box::pin(bus.publish_async(numbered(2)));
        let bell = Bell::new(true);
        assert!(poll_publish(&mut second, &bell.clone().into()).is_pending());
        let first = panics(|| {
            let _one = one;
            assert!(!unwinds, "the first");
        });
        assert_eq!(first, if unwinds { "the first" } else { "a waker" });
        assert_eq!((bell.rung(), bus.subscriptions()), (1, vec![]));
        let Poll::Ready(Ok(published)) = poll_publish(&mut second, Waker::noop()) else {
            panic!("it is over")
        };
        assert_eq!((published.enqueued, published.closed), (0, 1));
        accounted(&bus, 2);
        assert_eq!(bus.stats().totals.abandoned, 1);
    }
}

/// The clone that a publisher would wait with.
#[test]
fn a_waker_whose_clone_panics_costs_the_other_subscriptions_nothing() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            assert!(CLONES.fetch_sub(1, SeqCst) != 0, "the clone of a waker");
            RawWaker::new(core::ptr::null(), &TABLE)
        },
        |_| {},
        |_| {},
        |_| {},
    );
    let _watch = watchdog();
    for size in SIZES {
        for clones in [0, size / 2, size - 1, size] {
            let bus = SubjectBus::new();
            let full: Vec<_> = (0..size).map(|_| open(&bus, 1, Overrun::Block)).collect();
            bus.publish(numbered(1)).unwrap();
            let others: Vec<_> = (0..size).map(|_| open(&bus, 1, Overrun::DropNewest)).collect();
            CLONES.store(clones, SeqCst);
            // SAFETY: no function of the table looks at the pointer.
            let waker = unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &TABLE)) };
            let mut publish: Publish<'_> = Box::pin(bus.publish_async(numbered(2)));
            let first = panics(|| poll_publish(&mut publish, &waker));
            assert_eq!(first, "the clone of a waker");
            drop(publish);
            assert!(full.iter().all(|one| (drained(one), one.dropped()) == (vec![1], 1)));
            assert!(others.iter().all(|one| drained(one) == [2]), "{size} {clones}");
            accounted(&bus, 3 * size);
        }
    }
}

#[test]
fn a_waker_whose_drop_panics_costs_no_envelope() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let one = open(&bus, 1, Overrun::Block);
    let (mut first, mut second) = (one.stream(), one.stream());
    assert!(poll(&mut first, Waker::noop()).is_pending());
    let _ = catch_unwind(AssertUnwindSafe(|| poll(&mut second, &dropped_bell())));
    bus.publish(numbered(1)).unwrap(); // wakes the first
    assert_eq!(poll(&mut second, Waker::noop()), Poll::Ready(Some(1)), "it was faster");
    drop((first, second));

    bus.publish(numbered(2)).unwrap();
    let mut third: Publish<'_> = Box::pin(bus.publish_async(numbered(3)));
    assert!(poll_publish(&mut third, &dropped_bell()).is_pending());
    // The clone that is replaced is the last one.
    assert_eq!(panics(|| poll_publish(&mut third, Waker::noop())), "the drop of a waker");
    drop(third);
    assert_eq!((drained(&one), one.dropped()), (vec![2], 1));
    accounted(&bus, 3);
}

/// A waker by a table of which the clones panic when they are dropped.
fn clones_that_panic(table: &'static RawWakerVTable) -> Waker {
    // SAFETY: no function of the tables looks at the pointer, but for whether it is null.
    unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), table)) }
}

fn drop_clone(clone: *const ()) {
    assert!(clone.is_null(), "the drop of a waker");
}

/// The clone that it would have waited with is dropped where there is room.
#[test]
fn a_publisher_s_waker_whose_drop_panics_costs_no_subscription_the_envelope() {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |_| RawWaker::new(core::ptr::dangling(), &TABLE),
        |_| {},
        |_| {},
        drop_clone,
    );
    let _watch = watchdog();
    for size in SIZES {
        let bus = SubjectBus::new();
        let open = |_| {
            let one = bus.subscribe("n").unwrap().filter(|_| true);
            one.overrun(Overrun::Block).open()
        };
        let all: Vec<_> = (0..size).map(open).collect();
        let waker = clones_that_panic(&TABLE);
        let mut publish: Publish<'_> = Box::pin(bus.publish_async(numbered(1)));
        assert_eq!(panics(|| poll_publish(&mut publish, &waker)), "the drop of a waker");
        drop(publish);
        assert!(all.iter().all(|one| drained(one) == [1]), "{size}");
        accounted(&bus, size);
    }
}

/// The envelope comes between the look that found none and the wait, so the clone is dropped unused.
#[test]
fn a_receiver_s_waker_whose_drop_panics_costs_it_no_envelope() {
    static BUS: OnceLock<SubjectBus> = OnceLock::new();
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            BUS.get().unwrap().publish(numbered(1)).unwrap();
            RawWaker::new(core::ptr::dangling(), &TABLE)
        },
        |_| {},
        |_| {},
        drop_clone,
    );
    let _watch = watchdog();
    let bus = BUS.get_or_init(SubjectBus::new);
    let one = open(bus, 1, Overrun::DropNewest);
    assert_eq!(poll(&mut one.stream(), &clones_that_panic(&TABLE)), Poll::Ready(Some(1)));
    accounted(bus, 1);
}

// ---- Filters and observers ---------------------------------------------------------------------

#[test]
fn a_filter_that_panics_costs_the_other_subscriptions_nothing() {
    let _watch = watchdog();
    for size in SIZES {
        for bombs in some_of(size) {
            for plain_between in [false, true] {
                let bus = SubjectBus::new();
                let mut plain = Vec::new();
                let filtered: Vec<_> = (0..size)
                    .map(|n| {
                        if plain_between {
                            plain.push(open(&bus, 1, Overrun::DropOldest));
                        }
                        let bomb = bombs.contains(&n);
                        let filter = move |_: &Envelope| !bomb || panic!("filter {n}");
                        bus.subscribe("n").unwrap().filter(filter).open()
                    })
                    .collect();
                let first = format!("filter {}", bombs[0]);
                assert_eq!(panics(|| bus.publish(numbered(1))), first);
                let mut publish: Publish<'_> = Box::pin(bus.publish_async(numbered(2)));
                assert_eq!(panics(|| poll_publish(&mut publish, Waker::noop())), first);
                drop(publish);
                for (n, one) in filtered.iter().enumerate() {
                    let expected = if bombs.contains(&n) { vec![] } else { vec![1, 2] };
                    assert_eq!(drained(one), expected, "{n} {bombs:?}");
                }
                assert!(plain.iter().all(|one| drained(one) == [2]));
                accounted(&bus, 2 * (plain.len() + size - bombs.len()));
                bus.close(); // no publisher is under way
            }
        }
    }
}

/// Its handle goes while the filter runs, so the publisher drops the filter.
#[test]
fn a_filter_whose_drop_panics_costs_the_other_subscriptions_nothing() {
    struct Drops;
    impl Drop for Drops {
        fn drop(&mut self) {
            panic!("the drop of a filter");
        }
    }
    let _watch = watchdog();
    for size in SIZES {
        let bus = SubjectBus::new();
        let handle = Arc::new(Mutex::new(None));
        let before: Vec<_> = (0..size).map(|_| open(&bus, 1, Overrun::DropNewest)).collect();
        let (own, kept) = (handle.clone(), Drops);
        let filter = move |_: &Envelope| {
            let _ = &kept;
            own.lock().unwrap().take().is_some()
        };
        *handle.lock().unwrap() = Some(bus.subscribe("n").unwrap().filter(filter).open());
        let after: Vec<_> = (0..size).map(|_| open(&bus, 1, Overrun::DropNewest)).collect();
        assert_eq!(panics(|| bus.publish(numbered(1))), "the drop of a filter");
        assert!(before.iter().chain(&after).all(|one| drained(one) == [1]), "{size}");
        accounted(&bus, 2 * size + 1);
        assert_eq!(bus.stats().closed, 1, "the one that wanted it, and went");
    }
}

/// Hears everything, and panics where it is told to.
#[derive(Default)]
struct Hears {
    panics_at: &'static str,
    heard: Mutex<Vec<&'static str>>,
}

impl Hears {
    fn hear(&self, what: &'static str) {
        self.heard.lock().unwrap().push(what);
        assert!(what != self.panics_at, "an observer");
    }
    fn count(&self, what: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| **heard == what).count()
    }
}

impl Observer for Hears {
    fn on_publish(&self, _: &Arc<Envelope>) {
        self.hear("publish");
    }
    fn on_deliver(&self, _: &Arc<Envelope>, _: Recipient<'_>) {
        self.hear("deliver");
    }
    fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, _: DropReason) {
        self.hear("drop");
    }
}

#[test]
fn an_observer_that_panics_costs_no_subscription_and_no_other_observer_anything() {
    let _watch = watchdog();
    for size in SIZES {
        for panics_at in ["publish", "deliver", "drop"] {
            let bomb = Arc::new(Hears { panics_at, ..Hears::default() });
            let other = Arc::new(Hears::default());
            let bus = SubjectBus::builder().observer(bomb.clone()).observer(other.clone()).build();
            let policies = [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block];
            let all: Vec<_> = (0..size).map(|n| open(&bus, 1, policies[n % 3])).collect();
            for n in 1..=3 {
                let _ = catch_unwind(AssertUnwindSafe(|| bus.try_publish(numbered(n))));
            }
            for (n, one) in all.iter().enumerate() {
                let kept = if policies[n % 3] == Overrun::DropOldest { 3 } else { 1 };
                assert_eq!((drained(one), one.dropped()), (vec![kept], 2));
            }
            let oldest = all.iter().filter(|one| one.overrun() == Overrun::DropOldest).count();
            for heard in [&bomb, &other] {
                assert_eq!(heard.count("publish"), 3);
                assert_eq!(heard.count("deliver"), size + 2 * oldest);
                assert_eq!(heard.count("drop"), 2 * size);
            }
            accounted(&bus, 3 * size);
            bus.close(); // no publisher is under way
        }
    }
}

/// It does not park with a panic in hand: where there is no room, it drops the envelope, and tells.
#[test]
fn a_publisher_in_which_something_panics_waits_no_more() {
    let _watch = watchdog();
    for size in SIZES {
        for awaited in [false, true] {
            let heard = Arc::new(Hears { panics_at: "publish", ..Hears::default() });
            let bus = Arc::new(SubjectBus::builder().observer(heard.clone()).build());
            let full: Vec<_> = (0..size).map(|_| open(&bus, 1, Overrun::Block)).collect();
            let _ = catch_unwind(AssertUnwindSafe(|| bus.try_publish(numbered(1))));
            let publishing = bus.clone();
            let first = watched(move || {
                panics(|| match awaited {
                    false => publishing.publish(numbered(2)),
                    true => {
                        let mut publish = pin!(publishing.publish_async(numbered(2)));
                        let mut context = Context::from_waker(Waker::noop());
                        match publish.as_mut().poll(&mut context) {
                            Poll::Ready(it) => it,
                            Poll::Pending => Ok(Published::default()),
                        }
                    }
                })
            });
            assert_eq!(first.join(), "an observer");
            assert!(full.iter().all(|one| (drained(one), one.dropped()) == (vec![1], 1)));
            assert_eq!((heard.count("deliver"), heard.count("drop")), (size, size));
            accounted(&bus, 2 * size);
            bus.close();
        }
    }
}

// ---- Handlers ----------------------------------------------------------------------------------

/// The value of a panic may have a destructor that panics, and so on.
#[test]
fn a_handler_that_panics_with_whatever_value_is_counted_and_the_tick_goes_on() {
    let _watch = watchdog();
    for size in SIZES {
        for depth in 0..4 {
            let bus = SubjectBus::new();
            let mut handlers = SubjectHandlers::new();
            handlers.on(open(&bus, size, Overrun::DropNewest), move |seen: &mut usize, it| {
                *seen += 1;
                if number(it).is_multiple_of(2) {
                    panic_any(Nested(depth));
                }
            });
            handlers.on(open(&bus, size, Overrun::DropNewest), |seen: &mut usize, _| *seen += 1);
            (0..size).for_each(|n| _ = bus.publish(numbered(n)).unwrap());
            let mut seen = 0;
            let report = handlers.tick(&mut seen, Budget::unlimited());
            let failed = size.div_ceil(2);
            assert_eq!((report.handled, report.failed, report.left), (2 * size, failed, 0));
            assert_eq!(seen, 2 * size);
            let stats: Vec<_> = handlers.iter().map(|(_, it)| (it.handled, it.panicked)).collect();
            assert_eq!(stats, [(size as u64, failed as u64), (size as u64, 0)]);
            accounted(&bus, 2 * size);
        }
    }
}

/// A second panic's value is dropped, and may panic in turn.
#[test]
fn the_first_of_several_panics_goes_on_whatever_the_values_are() {
    let _watch = watchdog();
    for size in SIZES {
        let bus = SubjectBus::new();
        let filtered: Vec<_> = (0..size)
            .map(|n| {
                let filter = move |_: &Envelope| {
                    if n == 0 {
                        panic!("the first");
                    }
                    panic_any(Nested(3))
                };
                bus.subscribe("n").unwrap().filter(filter).open()
            })
            .collect();
        assert_eq!(panics(|| bus.publish(numbered(1))), "the first");
        assert!(filtered.iter().all(|one| drained(one).is_empty()));
        accounted(&bus, 0);
    }
}
