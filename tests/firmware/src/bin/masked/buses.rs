//! The longest stretch with interrupts masked: buses, lanes and holds. A queue in a critical section stands beside
//! them.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::hint::black_box;
use core::panic::PanicInfo;

use critical_section::Mutex;
use heapless::Deque;
use instruments::host;
use instruments::masked::{Column, Kept, Operation, Payload, tell};
use instruments::renewable::Renewable;
use tickbus::{Budget, Bus, Dispatch, DropNewest, DropOldest, Hold, Lane, Publisher};

macro_rules! operations {
    ($bytes:literal, $slots:literal) => {{
        type Event = Payload<{ $bytes / 4 }>;
        const EVENT: Event = Payload([7; $bytes / 4]);
        const SLOTS: usize = $slots;
        const ALL: u32 = 7 * SLOTS as u32;
        static REJECTING: Renewable<Bus<Event, SLOTS>> = Renewable::new(Bus::new());
        static NEWEST: Renewable<Bus<Event, SLOTS, DropNewest>> = Renewable::new(Bus::new());
        static OLDEST: Renewable<Bus<Event, SLOTS, DropOldest>> = Renewable::new(Bus::new());
        static LANE: Renewable<Lane<Event, SLOTS>> = Renewable::new(Lane::new());
        static PUBLISHER: Kept<Publisher<'static, Event>> = Kept::new();
        static BEHIND: Bus<Event, SLOTS> = Bus::new();
        static HOLD: Renewable<Hold<&'static Bus<Event, SLOTS>, SLOTS>> =
            Renewable::new(Hold::before(&BEHIND));
        static TABLE: Dispatch<Event, u32, 1> =
            Dispatch::new().on("payload", |sum, event| *sum += event.0[0]);
        static DEQUE: Mutex<RefCell<Deque<Event, SLOTS>>> = Mutex::new(RefCell::new(Deque::new()));

        fn empty() {
            PUBLISHER.forget();
            // SAFETY: the clock stands, and there are no handles.
            unsafe {
                REJECTING.renew(Bus::new());
                NEWEST.renew(Bus::new());
                OLDEST.renew(Bus::new());
                LANE.renew(Lane::new());
                HOLD.renew(Hold::before(&BEHIND));
            }
            BEHIND.consumer().expect("there is no other").drain().for_each(drop);
            critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).clear());
        }

        fn fill() {
            empty();
            for _ in 0..SLOTS {
                assert!(REJECTING.get().publish(EVENT).is_ok(), "no room in an empty bus");
                assert!(NEWEST.get().publish(EVENT).is_ok(), "no room in an empty bus");
                assert!(OLDEST.get().publish(EVENT).is_ok(), "no room in an empty bus");
                assert!(LANE.get().publish(EVENT).is_ok(), "no room in an empty lane");
                assert!(HOLD.get().publish(EVENT).is_ok(), "no room in an empty hold");
                critical_section::with(|cs| {
                    assert!(DEQUE.borrow_ref_mut(cs).push_back(EVENT).is_ok(), "no room");
                });
            }
        }

        fn open() {
            empty();
            PUBLISHER.set(LANE.get().publisher().expect("there is no other"));
        }

        fn start() {
            empty();
            HOLD.get().start();
        }

        fn sum(events: impl Iterator<Item = Event>) -> u32 {
            events.map(|event| black_box(event).0[0]).sum()
        }

        macro_rules! drain {
            ($bus:ident) => {
                || {
                    let mut consumer = $bus.get().consumer().expect("there is no other");
                    assert_eq!(sum(consumer.drain()), ALL);
                }
            };
        }

        macro_rules! take {
            ($bus:ident) => {
                || {
                    let mut consumer = $bus.get().consumer().expect("there is no other");
                    assert_eq!(sum(consumer.drain().at_most(1)), 7);
                    assert_eq!(sum(consumer.drain().until(|| true)), 0);
                    assert_eq!(black_box(consumer.drain().next()).is_some(), SLOTS > 1);
                    assert_eq!(consumer.pending(), SLOTS - 2);
                }
            };
        }

        macro_rules! tick {
            ($bus:ident) => {
                || {
                    let mut consumer = $bus.get().consumer().expect("there is no other");
                    let mut sum = 0;
                    let budget = Budget::events(2 * SLOTS).generations(2);
                    let _ = TABLE.tick(&mut sum, &mut consumer, budget);
                    assert_eq!(sum, ALL);
                }
            };
        }

        macro_rules! statistics {
            ($bus:ident) => {
                || {
                    let bus = $bus.get();
                    assert_eq!((black_box(bus.stats()).pending, bus.pending()), (SLOTS, SLOTS));
                    assert!(!bus.is_empty());
                    let consumer = bus.consumer().expect("there is no other");
                    assert!(bus.consumer().is_err());
                    drop(consumer);
                }
            };
        }

        macro_rules! batch {
            ($bus:expr, $is_ok:literal) => {
                || assert_eq!($bus.publish_batch(&[EVENT; SLOTS]).is_ok(), $is_ok)
            };
        }

        const OPERATIONS: &[Operation] = &[
            Operation::new("Bus: publish", empty, || {
                assert!(REJECTING.get().publish(EVENT).is_ok());
            }),
            Operation::new("Bus: publish to a full bus", fill, || {
                assert!(REJECTING.get().publish(EVENT).is_err());
            }),
            Operation::new("Bus: publish_batch", empty, batch!(REJECTING.get(), true)),
            Operation::new(
                "Bus: publish_batch to a full bus",
                fill,
                batch!(REJECTING.get(), false),
            ),
            Operation::new("Bus: drain", fill, drain!(REJECTING)),
            Operation::new("Bus: drain at most one, until, one", fill, take!(REJECTING)),
            Operation::new("Bus: tick", fill, tick!(REJECTING)),
            Operation::new("Bus: statistics, claim", fill, statistics!(REJECTING)),
            Operation::new("DropNewest: publish", empty, || {
                assert!(NEWEST.get().publish(EVENT).is_ok());
            }),
            Operation::new("DropNewest: publish to a full bus", fill, || {
                assert!(NEWEST.get().publish(EVENT).is_err());
            }),
            Operation::new("DropNewest: tick", fill, tick!(NEWEST)),
            Operation::new("DropNewest: statistics, claim", fill, statistics!(NEWEST)),
            Operation::new("DropOldest: publish", empty, || {
                assert!(OLDEST.get().publish(EVENT).is_ok());
            }),
            Operation::new("DropOldest: displace", fill, || {
                assert!(OLDEST.get().publish(EVENT).is_ok());
            }),
            Operation::new("DropOldest: publish_batch", empty, batch!(OLDEST.get(), true)),
            Operation::new(
                "DropOldest: displace by publish_batch",
                fill,
                batch!(OLDEST.get(), true),
            ),
            Operation::new("DropOldest: drain", fill, drain!(OLDEST)),
            Operation::new("DropOldest: drain at most one, until, one", fill, take!(OLDEST)),
            Operation::new("DropOldest: tick", fill, tick!(OLDEST)),
            Operation::new("DropOldest: statistics, claim", fill, statistics!(OLDEST)),
            Operation::new("Lane: claim, publish, give back", empty, || {
                let mut publisher = LANE.get().publisher().expect("there is no other");
                assert!(publisher.publish(EVENT).is_ok());
            }),
            Operation::new("Lane: publish", open, || {
                assert!(PUBLISHER.with(|publisher| publisher.publish(EVENT)).is_ok());
            }),
            Operation::new("Lane: publish_batch", open, || {
                PUBLISHER.with(|publisher| {
                    assert!(publisher.publish_batch(&[EVENT; SLOTS]).is_ok());
                    assert!(publisher.publish_batch(&[EVENT; SLOTS]).is_err());
                });
            }),
            Operation::new("Lane: publish without a handle", empty, || {
                assert!(LANE.get().publish(EVENT).is_ok());
            }),
            Operation::new("Lane: publish to a full one", fill, || {
                assert!(LANE.get().publish(EVENT).is_err());
            }),
            Operation::new("Lane: publish to a claimed one", open, || {
                assert!(LANE.get().publish(EVENT).is_err());
            }),
            Operation::new("Lane: drain", fill, drain!(LANE)),
            Operation::new("Lane: drain at most one, until, one", fill, take!(LANE)),
            Operation::new("Lane: tick", fill, tick!(LANE)),
            Operation::new("Lane: statistics, claim", fill, statistics!(LANE)),
            Operation::new("Hold: publish", empty, || {
                assert!(HOLD.get().publish(EVENT).is_ok());
            }),
            Operation::new("Hold: publish, full while held", fill, || {
                assert!(HOLD.get().publish(EVENT).is_err());
            }),
            Operation::new("Hold: start, and replay", fill, || HOLD.get().start()),
            Operation::new("Hold: publish when started", start, || {
                assert!(HOLD.get().publish(EVENT).is_ok());
            }),
            Operation::new("Hold: pause", start, || {
                HOLD.get().pause();
                assert!(!HOLD.get().is_started());
            }),
            Operation::new("Hold: statistics", fill, || {
                let hold = HOLD.get();
                assert_eq!((black_box(hold.stats()).pending, hold.pending()), (SLOTS, SLOTS));
                assert!(!hold.is_empty());
            }),
            Operation::of_a_peer("Deque in a critical section: publish", empty, || {
                critical_section::with(|cs| {
                    assert!(DEQUE.borrow_ref_mut(cs).push_back(EVENT).is_ok());
                });
            }),
            Operation::of_a_peer("Deque in a critical section: take", fill, || {
                let event = critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).pop_front());
                assert_eq!(black_box(event).map(|event| event.0[0]), Some(7));
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
    ])
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
