//! The statistics, read in an interrupt after every instruction of every operation: each reading is
//! conserved and lies between those before and after.

use core::cell::Cell;

use critical_section::Mutex;
use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use semihosting::println;
use tickbus::{Budget, Bus, Dispatch, DropNewest, DropOldest, Lane, Reject, Stats};

use crate::Event;

const N: usize = 4;

static TABLE: Dispatch<Event, (), { Event::KINDS }> =
    Dispatch::new().on("event.numbered", |_, _| {});

/// What the interrupt read.
static READING: Mutex<Cell<Option<Stats>>> = Mutex::new(Cell::new(None));

/// A bus or a lane, and what is done with it.
struct Subject {
    name: &'static str,
    rebuild: fn(),
    /// Publishes one event.
    publish: fn(),
    /// What is interrupted.
    operations: [(&'static str, fn()); 5],
    stats: fn() -> Stats,
    /// Reads the statistics in an interrupt.
    read: fn(),
}

macro_rules! subject {
    ($type:ty, $new:expr, $publisher:ident => $publisher_of:expr) => {{
        static BUS: Renewable<$type> = Renewable::new($new);

        Subject {
            name: stringify!($type),
            rebuild: || {
                // SAFETY: the sweep rebuilds between two points, with its clock stopped.
                unsafe { BUS.renew($new) };
            },
            publish: || {
                let $publisher = BUS.get();
                let _ = $publisher_of.publish(Event::Numbered(1));
            },
            operations: [
                ("publish", || {
                    let $publisher = BUS.get();
                    let _ = $publisher_of.publish(Event::Numbered(2));
                }),
                ("publish_batch", || {
                    let $publisher = BUS.get();
                    let _ = $publisher_of.publish_batch(&[2, 3].map(Event::Numbered));
                }),
                ("take", || {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    let _ = consumer.drain().next();
                }),
                ("drain", || {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    consumer.drain().for_each(drop);
                }),
                ("tick", || {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    let _ = TABLE.tick(&mut (), &mut consumer, Budget::unlimited());
                }),
            ],
            stats: || BUS.get().stats(),
            read: || {
                let stats = BUS.get().stats();
                critical_section::with(|cs| READING.borrow(cs).set(Some(stats)));
            },
        }
    }};
}

/// What is wrong with a reading between two others.
fn fault(before: Stats, during: Stats, after: Stats, evicts: bool) -> Option<&'static str> {
    let lies_between = |of: fn(&Stats) -> usize| (of(&before)..=of(&after)).contains(&of(&during));
    // A take may show one drop that it takes back.
    let shown = during.dropped_oldest.wrapping_sub(before.dropped_oldest);
    let dropped = after.dropped_oldest - before.dropped_oldest;
    [
        (
            during.published == during.handled + during.dropped() + during.pending,
            "the law does not hold",
        ),
        (lies_between(|stats| stats.published), "published is not in between"),
        (lies_between(|stats| stats.handled), "handled is not in between"),
        (lies_between(|stats| stats.refused), "refused is not in between"),
        (lies_between(|stats| stats.dropped_newest), "dropped_newest is not in between"),
        (lies_between(|stats| stats.failed + stats.unhandled), "failures are not in between"),
        (shown <= dropped + usize::from(evicts), "dropped_oldest is not in between"),
        (during.pending <= N, "more is pending than fits"),
        (
            (during.pending..=N).contains(&during.high_water)
                && lies_between(|stats| stats.high_water),
            "the high-water mark is wrong",
        ),
    ]
    .iter()
    .find_map(|(is_right, fault)| (!is_right).then_some(*fault))
}

/// How many points fail.
pub fn sweep() -> u32 {
    let subjects = [
        (subject!(Bus<Event, N, Reject>, Bus::new(), bus => bus), false),
        (subject!(Bus<Event, N, DropNewest>, Bus::new(), bus => bus), false),
        (subject!(Bus<Event, N, DropOldest>, Bus::new(), bus => bus), true),
        (
            subject!(Lane<Event, N>, Lane::new(), lane => lane.publisher().expect("it is free")),
            false,
        ),
    ];
    let mut failures = 0;
    for (subject, evicts) in &subjects {
        let mut points = 0;
        for (name, operation) in subject.operations {
            // Six do not fit.
            for fill in [0, 1, 3, 4, 6] {
                for k in 1.. {
                    (subject.rebuild)();
                    (0..fill).for_each(|_| (subject.publish)());
                    let before = (subject.stats)();
                    let levels = Levels { main: operation, pendsv: None, systick: subject.read };
                    let (landing, _) = interrupt::run(levels, k, 1);
                    if landing == Landing::After {
                        break;
                    }
                    points += 1;
                    let after = (subject.stats)();
                    let during = critical_section::with(|cs| READING.borrow(cs).take());
                    let during = during.expect("the interrupt has read");
                    if let Some(fault) = fault(before, during, after, *evicts) {
                        println!(
                            "{}: {fault} in an interrupt of {name} with {fill} events, at \
                             instruction {k}, {landing:?}:\n  before {before:?}\n  during \
                             {during:?}\n  after  {after:?}",
                            subject.name
                        );
                        failures += 1;
                    }
                }
            }
        }
        println!("{:<28} {:<40} {points:>7} points", subject.name, "any < stats");
    }
    failures
}
