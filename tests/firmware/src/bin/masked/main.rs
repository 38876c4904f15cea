//! Finds the longest stretch of instructions for which an operation keeps interrupts waiting.
//!
//! An interrupt is made to land after every instruction of the operation in turn. Those that come while
//! interrupts are masked all land on the same instruction: as many as do that is the length. On the bus,
//! in fan-out and in waiting it has a bound, and does not depend on the size of an event that is larger than two
//! words. A queue in a critical section stands beside them.
#![no_std]
#![no_main]

use core::cell::{RefCell, UnsafeCell};
use core::future::Future;
use core::hint::black_box;
use core::mem;
use core::panic::PanicInfo;
use core::pin::Pin;
use core::task::{Context, Waker};

use critical_section::Mutex;
use heapless::Deque;
use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use instruments::{clock, host};
use semihosting::println;
use tickbus::topic::Publisher;
use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropOldest, Event, Feed, GatedTopic, Lagged, Lane, Latest,
    Reject, Subscriber, Topic, Waiters, Watcher,
};

/// The most that the bus may take: nothing where its steps are not critical sections.
const BOUND: u32 =
    if cfg!(all(target_has_atomic = "ptr", not(tickbus_short_sections))) { 0 } else { 20 };

const SLOTS: usize = 2;

/// An event of so many words.
#[derive(Clone, Copy)]
struct Payload<const WORDS: usize>([u32; WORDS]);

impl<const WORDS: usize> Event for Payload<WORDS> {
    const SUBJECTS: &'static [&'static str] = &["payload"];

    fn kind(&self) -> usize {
        0
    }
}

/// A reader between two operations. No critical section guards it: that would be found.
struct Held<T>(UnsafeCell<Option<T>>);

// SAFETY: only `main` reaches it.
unsafe impl<T: Send> Sync for Held<T> {}

impl<T> Held<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    fn set(&self, value: T) {
        // SAFETY: only `main` comes here, and not while it is in `with`.
        unsafe { *self.0.get() = Some(value) };
    }

    fn forget(&self) {
        // SAFETY: as in `set`.
        unsafe { *self.0.get() = None };
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: only `main` comes here, and `work` does not use this object.
        let held = unsafe { &mut *self.0.get() };
        work(held.as_mut().expect("set before"))
    }
}

/// Polls once, and finds that it has to wait.
fn begin_to_wait<F: Future + Unpin>(future: &mut F) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(future).poll(&mut context).is_pending(), "it need not wait");
}

/// An operation, and what makes everything ready for it: the same way each time, or instructions that
/// belong together would not be counted together.
struct Operation {
    name: &'static str,
    /// It is an operation of the bus, and bound.
    is_bound: bool,
    prepare: fn(),
    run: fn(),
}

const OPERATIONS: usize = 27;

macro_rules! operations {
    ($function:ident, $words:literal) => {
        fn $function() -> [Operation; OPERATIONS] {
            const EVENT: Payload<$words> = Payload([7; $words]);
            static REJECTING: Renewable<Bus<Payload<$words>, SLOTS>> = Renewable::new(Bus::new());
            static DISPLACING: Renewable<Bus<Payload<$words>, SLOTS, DropOldest>> =
                Renewable::new(Bus::new());
            static LANE: Renewable<Lane<Payload<$words>, SLOTS>> = Renewable::new(Lane::new());
            static TABLE: Dispatch<Payload<$words>, u32, 1> =
                Dispatch::new().on("payload", |sum, event| *sum += event.0[0]);
            static TOPIC: Renewable<Topic<Payload<$words>, SLOTS>> = Renewable::new(Topic::new());
            static GATED: Renewable<GatedTopic<Payload<$words>, SLOTS, 1>> =
                Renewable::new(GatedTopic::new());
            static FEED: Renewable<Feed<Payload<$words>, SLOTS>> = Renewable::new(Feed::new());
            static PUBLISHER: Held<Publisher<'static, Payload<$words>>> = Held::new();
            static LATEST: Renewable<Latest<Payload<$words>>> = Renewable::new(Latest::new());
            static LAGGING: Held<Subscriber<'static, Payload<$words>>> = Held::new();
            static GATING: Held<Subscriber<'static, Payload<$words>>> = Held::new();
            static WATCHER: Held<Watcher<'static, Payload<$words>>> = Held::new();
            static AWAITED: Renewable<Bus<Payload<$words>, SLOTS, Reject, Waiters<2>>> =
                Renewable::new(Bus::new());
            static CONSUMER: Held<Consumer<'static, Payload<$words>, Reject, Waiters<2>>> =
                Held::new();
            static DEQUE: Mutex<RefCell<Deque<Payload<$words>, SLOTS>>> =
                Mutex::new(RefCell::new(Deque::new()));

            fn empty() {
                LAGGING.forget();
                GATING.forget();
                WATCHER.forget();
                CONSUMER.forget();
                PUBLISHER.forget();
                // SAFETY: the clock stands, and there are no handles.
                unsafe {
                    REJECTING.renew(Bus::new());
                    DISPLACING.renew(Bus::new());
                    LANE.renew(Lane::new());
                    TOPIC.renew(Topic::new());
                    GATED.renew(GatedTopic::new());
                    FEED.renew(Feed::new());
                    LATEST.renew(Latest::new());
                    AWAITED.renew(Bus::new());
                }
                critical_section::with(|cs| DEQUE.replace(cs, Deque::new()));
            }

            fn subscribe() {
                empty();
                LAGGING.set(TOPIC.get().subscribe());
                GATING.set(GATED.get().subscribe().expect("nobody else gates"));
                PUBLISHER.set(FEED.get().publisher().expect("nobody else publishes"));
                WATCHER.set(LATEST.get().watch());
            }

            fn publish_to_readers() {
                subscribe();
                for _ in 0..SLOTS {
                    TOPIC.get().publish(EVENT);
                    assert!(GATED.get().publish(EVENT).is_ok(), "no room in an empty topic");
                    LATEST.get().publish(EVENT);
                }
            }

            fn publish_too_much() {
                publish_to_readers();
                TOPIC.get().publish(EVENT);
            }

            fn read_all() {
                publish_to_readers();
                assert_eq!(GATING.with(sum), 14);
            }

            fn sum(reader: &mut Subscriber<'static, Payload<$words>>) -> u32 {
                reader.read().flatten().map(|event| black_box(event).0[0]).sum()
            }

            fn consume() {
                empty();
                CONSUMER.set(AWAITED.get().consumer().expect("nobody else consumes"));
            }

            fn consumer_waits() {
                consume();
                CONSUMER.with(|consumer| {
                    let mut ready = consumer.ready_async();
                    begin_to_wait(&mut ready);
                    mem::forget(ready);
                });
            }

            fn fill_awaited() {
                consume();
                assert!(AWAITED.get().publish_batch(&[EVENT; SLOTS]).is_ok(), "no room");
            }

            fn publisher_waits() {
                fill_awaited();
                let mut publish = AWAITED.get().publish_async(EVENT);
                begin_to_wait(&mut publish);
                mem::forget(publish);
            }

            fn fill() {
                empty();
                for _ in 0..SLOTS {
                    let mut publisher = LANE.get().publisher().expect("nobody else publishes");
                    assert!(REJECTING.get().publish(EVENT).is_ok(), "no room in an empty bus");
                    assert!(DISPLACING.get().publish(EVENT).is_ok(), "no room in an empty bus");
                    assert!(publisher.publish(EVENT).is_ok(), "no room in an empty lane");
                    critical_section::with(|cs| {
                        assert!(DEQUE.borrow_ref_mut(cs).push_back(EVENT).is_ok(), "no room");
                    });
                }
            }

            let bus = |name, prepare, run| Operation { name, is_bound: true, prepare, run };
            let peer = |name, prepare, run| Operation { name, is_bound: false, prepare, run };
            [
                bus("publish", empty, || assert!(REJECTING.get().publish(EVENT).is_ok())),
                bus("publish to a full bus", fill, || {
                    assert!(REJECTING.get().publish(EVENT).is_err())
                }),
                bus("drain", fill, || {
                    let mut consumer = REJECTING.get().consumer().expect("nobody else consumes");
                    assert_eq!(
                        consumer.drain().map(|event| black_box(event).0[0]).sum::<u32>(),
                        14
                    );
                }),
                bus("tick", fill, || {
                    let mut consumer = REJECTING.get().consumer().expect("nobody else consumes");
                    let mut sum = 0;
                    let _ = TABLE.tick(&mut sum, &mut consumer, Budget::unlimited());
                    assert_eq!(sum, 14);
                }),
                bus("DropOldest: publish", empty, || {
                    assert!(DISPLACING.get().publish(EVENT).is_ok())
                }),
                bus("DropOldest: displace", fill, || {
                    assert!(DISPLACING.get().publish(EVENT).is_ok())
                }),
                bus("DropOldest: drain", fill, || {
                    let mut consumer = DISPLACING.get().consumer().expect("nobody else consumes");
                    assert_eq!(
                        consumer.drain().map(|event| black_box(event).0[0]).sum::<u32>(),
                        14
                    );
                }),
                bus("Lane: publish, drain", empty, || {
                    let mut publisher = LANE.get().publisher().expect("nobody else publishes");
                    assert!(publisher.publish(EVENT).is_ok());
                    let mut consumer = LANE.get().consumer().expect("nobody else consumes");
                    assert_eq!(consumer.drain().count(), 1);
                }),
                bus("Topic: publish", subscribe, || TOPIC.get().publish(EVENT)),
                bus("Topic: read", publish_to_readers, || assert_eq!(LAGGING.with(sum), 14)),
                bus("Topic: read, and be told", publish_too_much, || {
                    LAGGING.with(|reader| {
                        let mut unread = reader.read();
                        assert!(matches!(unread.next(), Some(Err(Lagged(1)))));
                        assert!(matches!(black_box(unread.next()), Some(Ok(_))));
                    });
                }),
                bus("Topic: subscribe, drop", subscribe, || {
                    drop(black_box(TOPIC.get().subscribe()))
                }),
                bus("GatedTopic: publish", subscribe, || {
                    assert!(GATED.get().publish(EVENT).is_ok())
                }),
                bus("GatedTopic: publish behind the gate", read_all, || {
                    assert!(GATED.get().publish(EVENT).is_ok());
                }),
                bus("GatedTopic: publish to a full topic", publish_to_readers, || {
                    assert!(GATED.get().publish(EVENT).is_err());
                }),
                bus("GatedTopic: read", publish_to_readers, || assert_eq!(GATING.with(sum), 14)),
                bus("GatedTopic: drop, subscribe", subscribe, || {
                    GATING.forget();
                    GATING.set(GATED.get().subscribe().expect("nobody else gates"));
                }),
                bus("Feed: publish, subscribe, read", subscribe, || {
                    let mut reader = FEED.get().subscribe();
                    PUBLISHER.with(|publisher| publisher.publish(EVENT));
                    assert_eq!(reader.read().flatten().map(|event| event.0[0]).sum::<u32>(), 7);
                }),
                bus("Latest: publish", subscribe, || LATEST.get().publish(EVENT)),
                bus("Latest: changed, get", publish_to_readers, || {
                    let changed = WATCHER.with(Watcher::changed);
                    assert_eq!(black_box(changed).map(|changed| changed.skipped), Some(1));
                    assert!(black_box(LATEST.get().get()).is_some());
                }),
                bus("Bus with waiters: publish, nobody waits", consume, || {
                    assert!(AWAITED.get().publish(EVENT).is_ok());
                }),
                bus("Bus with waiters: publish, and wake", consumer_waits, || {
                    assert!(AWAITED.get().publish(EVENT).is_ok());
                }),
                bus("Bus with waiters: take, and wake", publisher_waits, || {
                    assert!(CONSUMER.with(|consumer| black_box(consumer.drain().next()).is_some()));
                }),
                bus("Bus with waiters: wait for an event, give up", consume, || {
                    CONSUMER.with(|consumer| begin_to_wait(&mut consumer.ready_async()));
                }),
                bus("Bus with waiters: wait for room, give up", fill_awaited, || {
                    begin_to_wait(&mut AWAITED.get().publish_async(EVENT));
                }),
                peer("Deque in a critical section: publish", empty, || {
                    critical_section::with(|cs| {
                        assert!(DEQUE.borrow_ref_mut(cs).push_back(EVENT).is_ok());
                    });
                }),
                peer("Deque in a critical section: take", fill, || {
                    let event = critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).pop_front());
                    assert_eq!(black_box(event).map(|event| event.0[0]), Some(7));
                }),
            ]
        }
    };
}

operations!(operations_of_8_bytes, 2);
operations!(operations_of_16_bytes, 4);
operations!(operations_of_64_bytes, 16);
operations!(operations_of_256_bytes, 64);

/// The most instructions for which the operation held off an interrupt.
fn longest_masked(operation: &Operation) -> u32 {
    let levels = Levels { main: operation.run, pendsv: None, systick: || () };
    let mut longest = 0;
    let mut length = 0;
    let mut last = None;
    for k in 1.. {
        (operation.prepare)();
        let (landing, _) = interrupt::run(levels, k, 1);
        if landing == Landing::After {
            break;
        }
        if last == Some(landing) {
            length += 1;
            longest = longest.max(length);
        } else {
            length = 0;
            last = Some(landing);
        }
    }
    longest
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);

    let sizes = [
        operations_of_8_bytes(),
        operations_of_16_bytes(),
        operations_of_64_bytes(),
        operations_of_256_bytes(),
    ];
    println!("{:<40} {:>6} {:>6} {:>6} {:>6}", "longest masked, for bytes", 8, 16, 64, 256);
    let mut failures = 0;
    for index in 0..OPERATIONS {
        let Operation { name, is_bound, .. } = sizes[0][index];
        let masked = [0, 1, 2, 3].map(|size| longest_masked(&sizes[size][index]));
        let [a, b, c, d] = masked;
        // Small events move inside of a section, larger ones outside.
        let is_right = masked.iter().all(|length| *length <= BOUND) && c == d;
        let verdict = match (is_bound, is_right) {
            (true, true) => "",
            (true, false) => "  WRONG",
            (false, _) => "  (a peer)",
        };
        println!("{name:<40} {a:>6} {b:>6} {c:>6} {d:>6}{verdict}");
        failures += u32::from(is_bound && !is_right);
    }
    if failures > 0 {
        host::fail(format_args!(
            "{failures} operations mask more than {BOUND} instructions, or not the same for all larger events"
        ));
    }
    println!(
        "no operation of the bus, of fan-out or of waits masks more than {BOUND}, whatever the event"
    );
    host::done()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
