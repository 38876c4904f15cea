//! A publisher that is interrupted after every one of its instructions, and goes on when others have
//! published any number of events: what does the next operation of each kind cost then?
//!
//! The interrupted one stores an old hint of where the bus ends. The end is found from there in a bounded
//! number of steps, however many events have passed.
//!
//! What has no room in the flash beside `sweep` is here too: the statistics, read in an interrupt; holds and
//! waits.
#![no_std]
#![no_main]

mod hold;
mod readings;
mod topic_waits;
mod waits;

use core::hint::black_box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use instruments::{clock, host};
use semihosting::println;
use tickbus::{Budget, Bus, Dispatch, DropNewest, DropOldest, Reject};

tickbus::events! {
    /// An event with a number.
    #[derive(Clone, Copy, Debug)]
    pub enum Event {
        #[subject = "event.numbered"]
        Numbered(u32),
    }
}

const N: usize = 64;

/// How many entries one search reads at most: see `src/ring/search.rs`.
const READS: u32 = N.ilog2() + 7;

/// A step of a search takes no more instructions.
const A_READ: u32 = 18;

/// To begin and to end a search, and to publish beside others instead of alone.
const BESIDE_OTHERS: u32 = 60;

/// How many events others publish before the interrupted publisher goes on.
static OTHERS: AtomicU32 = AtomicU32::new(0);

/// The number of the next event of the others, and how many were taken that are not theirs.
static NEXT: AtomicU32 = AtomicU32::new(0);
static LATE: AtomicU32 = AtomicU32::new(0);

/// The interrupted publisher's events have this number and the one behind it.
const LATE_EVENT: u32 = 100_000;

/// Whether the order of each publisher is kept.
fn took(number: u32) {
    let next = if number >= LATE_EVENT { &LATE } else { &NEXT };
    let number = number % LATE_EVENT;
    if number < next.load(Ordering::Relaxed) {
        host::fail(format_args!("late: event {number} comes twice or too late"));
    }
    next.store(number + 1, Ordering::Relaxed);
}

static TABLE: Dispatch<Event, (), { Event::KINDS }> =
    Dispatch::new().on("event.numbered", |_, event| took(number_of(event)));

fn number_of(event: &Event) -> u32 {
    let Event::Numbered(number) = *event;
    number
}

/// A bus, and what is done with it.
struct Subject {
    name: &'static str,
    rebuild: fn(),
    /// What is interrupted.
    publishers: [fn(); 2],
    /// Publishes as many events as `OTHERS` says, and drains whenever there is no room.
    others: fn(),
    /// What is measured, in this order: the last one mends the hint.
    operations: [(&'static str, fn(&mut (), ())); 4],
    /// Drains all, and says whether nothing was lost uncounted.
    is_conserved: fn() -> bool,
}

macro_rules! subject {
    ($name:ident, $policy:ident) => {{
        static BUS: Renewable<Bus<Event, N, $policy>> = Renewable::new(Bus::new());

        fn drain(most: usize) {
            let mut consumer = BUS.get().consumer().expect("one context consumes");
            consumer.drain().take(most).for_each(|event| took(number_of(&event)));
        }

        Subject {
            name: concat!("Bus<_, 64, ", stringify!($policy), ">"),
            rebuild: || {
                // SAFETY: the sweep rebuilds between two points, with its clock stopped.
                unsafe { BUS.renew(Bus::new()) };
                NEXT.store(0, Ordering::Relaxed);
                LATE.store(0, Ordering::Relaxed);
            },
            publishers: [
                || {
                    let _ = BUS.get().publish(Event::Numbered(LATE_EVENT));
                },
                || {
                    let events = [LATE_EVENT, LATE_EVENT + 1].map(Event::Numbered);
                    let _ = BUS.get().publish_batch(&events);
                },
            ],
            others: || {
                for number in 0..OTHERS.load(Ordering::Relaxed) {
                    while BUS.get().publish(Event::Numbered(number)).is_err() {
                        drain(usize::MAX);
                    }
                }
            },
            operations: [
                ("stats", |_, ()| {
                    black_box(BUS.get().stats());
                }),
                ("drain", |_, ()| drain(1)),
                ("tick", |_, ()| {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    let _ = black_box(TABLE.tick(&mut (), &mut consumer, Budget::events(1)));
                }),
                ("publish", |_, ()| {
                    let number = OTHERS.load(Ordering::Relaxed);
                    let _ = black_box(BUS.get().publish(Event::Numbered(number)));
                }),
            ],
            is_conserved: || {
                drain(usize::MAX);
                let stats = BUS.get().stats();
                stats.published == stats.handled + stats.dropped() && stats.pending == 0
            },
        }
    }};
}

/// What each operation takes now, in instructions.
fn measure(subject: &Subject) -> [u32; 4] {
    clock::resume();
    let nothing = clock::count(|_, ()| (), &mut (), ()).0;
    subject.operations.map(|(_, operation)| clock::count(operation, &mut (), ()).0 - nothing)
}

/// How many points fail.
fn sweep() -> u32 {
    let subjects =
        [subject!(reject, Reject), subject!(oldest, DropOldest), subject!(newest, DropNewest)];
    let mut failures = 0;
    for subject in &subjects {
        let mut points = 0;
        // What they take if no publisher was interrupted.
        (subject.rebuild)();
        OTHERS.store(4, Ordering::Relaxed);
        (subject.others)();
        let plain = measure(subject);
        // A publish may search twice: for what it can claim, and for where it commits.
        let bounds = [1, 1, 2, 2].map(|searches| searches * READS * A_READ + BESIDE_OTHERS);
        let mut most = [0; 4];
        for publisher in subject.publishers {
            for others in [1, N as u32 / 2, N as u32, 10 * N as u32] {
                OTHERS.store(others, Ordering::Relaxed);
                for k in 1.. {
                    (subject.rebuild)();
                    let levels = Levels { main: publisher, pendsv: None, systick: subject.others };
                    let (landing, _) = interrupt::run(levels, k, 1);
                    if landing == Landing::After {
                        break;
                    }
                    points += 1;
                    let taken = measure(subject);
                    interrupt::stop();
                    for (index, (name, _)) in subject.operations.iter().enumerate() {
                        most[index] = most[index].max(taken[index]);
                        if taken[index] > plain[index] + bounds[index] {
                            println!(
                                "{}: {name} takes {} instructions, not {}, after {others} others \
                                 at instruction {k}, {landing:?}",
                                subject.name, taken[index], plain[index]
                            );
                            failures += 1;
                        }
                    }
                    if !(subject.is_conserved)() {
                        println!(
                            "{}: the counts are wrong after {others} others at instruction {k}",
                            subject.name
                        );
                        failures += 1;
                    }
                }
            }
        }
        println!("{:<28} {:<40} {points:>7} points", subject.name, "a late publisher");
        for (index, (name, _)) in subject.operations.iter().enumerate() {
            println!(
                "{:<28} {name:<8} {:>4} instructions at most, {:>3} beside no late publisher",
                "", most[index], plain[index]
            );
        }
    }
    failures
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);
    let mut failures = sweep() + readings::sweep() + hold::must_pass();
    failures += waits::must_pass() + waits::consumer_must_pass();
    failures += waits::consumer_without_place_must_pass();
    failures += topic_waits::must_pass();
    if failures > 0 {
        host::fail(format_args!(
            "{failures} cases take longer than their bound, count wrongly or have an outcome that no order explains"
        ));
    }
    println!("late passed");
    host::done()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
