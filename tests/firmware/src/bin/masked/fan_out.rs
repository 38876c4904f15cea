//! The longest stretch with interrupts masked: topics, feeds, gated topics and latest values.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use instruments::host;
use instruments::masked::{Column, Kept, Operation, Payload, tell};
use instruments::renewable::Renewable;
use tickbus::topic::{Publisher, Selective};
use tickbus::{Feed, GatedTopic, Lagged, Latest, Single, Subscriber, Topic, Watcher};

macro_rules! operations {
    ($bytes:literal, $slots:literal) => {{
        type Event = Payload<{ $bytes / 4 }>;
        const EVENT: Event = Payload([7; $bytes / 4]);
        const SLOTS: usize = $slots;
        const ALL: u32 = 7 * SLOTS as u32;
        static TOPIC: Renewable<Topic<Event, SLOTS>> = Renewable::new(Topic::new());
        static GATED: Renewable<GatedTopic<Event, SLOTS, 1>> = Renewable::new(GatedTopic::new());
        static FEED: Renewable<Feed<Event, SLOTS>> = Renewable::new(Feed::new());
        static LATEST: Renewable<Latest<Event>> = Renewable::new(Latest::new());
        static PUBLISHER: Kept<Publisher<'static, Event>> = Kept::new();
        static LAGGING: Kept<Subscriber<'static, Event>> = Kept::new();
        static SELECTIVE: Kept<Selective<'static, Event>> = Kept::new();
        static GATING: Kept<Subscriber<'static, Event>> = Kept::new();
        static FED: Kept<Subscriber<'static, Event, Single>> = Kept::new();
        static WATCHER: Kept<Watcher<'static, Event>> = Kept::new();

        fn empty() {
            LAGGING.forget();
            SELECTIVE.forget();
            GATING.forget();
            FED.forget();
            WATCHER.forget();
            PUBLISHER.forget();
            // SAFETY: the clock stands, and there are no handles.
            unsafe {
                TOPIC.renew(Topic::new());
                GATED.renew(GatedTopic::new());
                FEED.renew(Feed::new());
                LATEST.renew(Latest::new());
            }
        }

        fn subscribe() {
            empty();
            LAGGING.set(TOPIC.get().subscribe());
            SELECTIVE.set(TOPIC.get().subscribe().selective().every_nth(2).min_interval(1));
            GATING.set(GATED.get().subscribe().expect("there is a place"));
            FED.set(FEED.get().subscribe());
            WATCHER.set(LATEST.get().watch());
        }

        fn open() {
            subscribe();
            PUBLISHER.set(FEED.get().publisher().expect("there is no other"));
        }

        fn publish_to_readers() {
            subscribe();
            for _ in 0..SLOTS {
                TOPIC.get().publish(EVENT);
                assert!(GATED.get().publish(EVENT).is_ok(), "no room in an empty topic");
                assert!(FEED.get().publish(EVENT).is_ok(), "the feed is claimed");
                LATEST.get().publish(EVENT);
            }
        }

        fn publish_too_much() {
            publish_to_readers();
            TOPIC.get().publish(EVENT);
        }

        fn read_all() {
            publish_to_readers();
            assert_eq!(GATING.with(sum), ALL);
        }

        fn sum(reader: &mut Subscriber<'static, Event>) -> u32 {
            reader.read().flatten().map(|event| black_box(event).0[0]).sum()
        }

        const OPERATIONS: &[Operation] = &[
            Operation::new("Topic: publish", subscribe, || TOPIC.get().publish(EVENT)),
            Operation::new("Topic: read", publish_to_readers, || {
                assert_eq!(LAGGING.with(sum), ALL)
            }),
            Operation::new("Topic: read, and be told", publish_too_much, || {
                LAGGING.with(|reader| {
                    let mut unread = reader.read();
                    assert!(matches!(unread.next(), Some(Err(Lagged(1)))));
                    assert!(matches!(black_box(unread.next()), Some(Ok(_))));
                });
            }),
            Operation::new("Topic: subscribe, drop", subscribe, || {
                drop(black_box(TOPIC.get().subscribe()));
            }),
            Operation::new("Topic: statistics", publish_too_much, || {
                assert_eq!(TOPIC.get().stats().published, SLOTS + 1);
                LAGGING.with(|reader| {
                    assert_eq!((reader.pending(), reader.stats().received), (SLOTS, 0));
                });
            }),
            Operation::new("Selective: read", publish_to_readers, || {
                SELECTIVE.with(|reader| {
                    assert!(black_box(reader.read_at(9)).flatten().count() <= SLOTS);
                    assert!(reader.stats().skipped > 0);
                });
            }),
            Operation::new("Selective: mask, read, unmask", publish_to_readers, || {
                SELECTIVE.with(|reader| {
                    reader.set_masked(true);
                    assert_eq!(black_box(reader.read_at(9)).count(), 0);
                    reader.set_masked(false);
                });
            }),
            Operation::new("Selective, gating: mask, unmask", publish_to_readers, || {
                GATING.with(|_| ());
                GATING.forget();
                let mut reader = GATED.get().subscribe().expect("there is a place").selective();
                reader.set_masked(true);
                reader.set_masked(false);
                drop(black_box(reader));
            }),
            Operation::new("GatedTopic: publish", subscribe, || {
                assert!(GATED.get().publish(EVENT).is_ok());
            }),
            Operation::new("GatedTopic: publish behind the gate", read_all, || {
                assert!(GATED.get().publish(EVENT).is_ok());
            }),
            Operation::new("GatedTopic: publish to a full topic", publish_to_readers, || {
                assert!(GATED.get().publish(EVENT).is_err());
            }),
            Operation::new("GatedTopic: publish with a margin", subscribe, || {
                assert!(GATED.get().publish_with_margin(EVENT, 1).is_ok());
            }),
            Operation::new("GatedTopic: publish, no margin left", subscribe, || {
                assert!(GATED.get().publish_with_margin(EVENT, SLOTS).is_err());
            }),
            Operation::new("GatedTopic: read", publish_to_readers, || {
                assert_eq!(GATING.with(sum), ALL);
            }),
            Operation::new("GatedTopic: drop, subscribe", subscribe, || {
                GATING.forget();
                GATING.set(GATED.get().subscribe().expect("there is a place"));
            }),
            Operation::new("GatedTopic: subscribe, no place; lagging", subscribe, || {
                assert!(GATED.get().subscribe().is_err());
                drop(black_box(GATED.get().subscribe_lagging()));
            }),
            Operation::new("GatedTopic: gate, statistics", publish_to_readers, || {
                assert!(black_box(GATED.get().gate()).is_some());
                assert_eq!(GATED.get().stats().published, SLOTS);
                GATING.with(|reader| {
                    assert_eq!((reader.place(), reader.pending()), (Some(0), SLOTS))
                });
            }),
            Operation::new("Feed: publish", open, || {
                PUBLISHER.with(|publisher| publisher.publish(EVENT));
            }),
            Operation::new("Feed: publish without a handle", subscribe, || {
                assert!(FEED.get().publish(EVENT).is_ok());
            }),
            Operation::new("Feed: publish to a claimed one", open, || {
                assert!(FEED.get().publish(EVENT).is_err());
            }),
            Operation::new("Feed: claim, give back", subscribe, || {
                drop(black_box(FEED.get().publisher().expect("there is no other")));
            }),
            Operation::new("Feed: subscribe, read, statistics", publish_to_readers, || {
                drop(black_box(FEED.get().subscribe()));
                FED.with(|reader| {
                    assert_eq!(reader.read().flatten().map(|event| event.0[0]).sum::<u32>(), ALL);
                });
                assert_eq!(FEED.get().stats().published, SLOTS);
            }),
            Operation::new("Latest: publish", subscribe, || LATEST.get().publish(EVENT)),
            Operation::new("Latest: changed, get, lost", publish_to_readers, || {
                assert!(WATCHER.with(|watcher| black_box(watcher.is_changed())));
                let changed = WATCHER.with(Watcher::changed);
                assert_eq!(black_box(changed).map(|changed| changed.skipped), Some(SLOTS - 1));
                assert!(black_box(LATEST.get().get()).is_some());
                assert_eq!(LATEST.get().lost(), 0);
            }),
        ];
        Column { bytes: $bytes, slots: SLOTS, operations: OPERATIONS }
    }};
}

#[cortex_m_rt::entry]
fn main() -> ! {
    tell([
        operations!(8, 2),
        operations!(16, 2),
        operations!(64, 2),
        operations!(256, 2),
        operations!(8, 4),
        operations!(64, 4),
        operations!(8, 16),
        operations!(64, 16),
    ])
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
