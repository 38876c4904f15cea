//! Counts the most instructions that an operation takes, without contention and after an interrupted publisher.
//!
//! | row | what is counted |
//! |---|---|
//! | at most | the operation at every position of three laps, with every number of pending events |
//! | after a late one | the operation after a publisher that was interrupted after each of its instructions in turn, and proceeded when others had published up to eleven rings |
//!
//! The late publisher leaves an old hint of where the bus ends, so the next operation searches for the end.
//!
//! | column | what is counted |
//! |---|---|
//! | publish | one event into a bus with room |
//! | when full | one event into a full bus: it comes back, or displaces the oldest |
//! | take | one event |
//! | tick | a tick of one event |
//!
//! The events and the rings are those of `counts`. This is a program of its own: the compiler inlines a function that is
//! called from one place only, and both programs measure it inlined.
#![no_std]
#![no_main]

#[path = "../counts/event.rs"]
#[expect(dead_code, reason = "it has no table by hand")]
mod event;

use core::hint::black_box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use instruments::{clock, host};
use semihosting::println;
use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropNewest, DropOldest, Lane, Publisher, Reject, Single,
};

use cortex_m_rt::ExceptionFrame;
use event::{Context, Event, add, subtract};

/// Slots of every ring.
const SLOTS: usize = 16;

static TABLE: Dispatch<Event, Context, { Event::KINDS }> =
    Dispatch::new().on("count.first", add).otherwise(subtract);

/// A bus or a lane, through the handles that its contexts keep.
trait Subject: Sized {
    const NAME: &str;
    /// Publishes one event without a handle. Only where several contexts may publish.
    const PUBLISH: Option<fn()> = None;

    /// Whether a full one drops its oldest event.
    const DISPLACES: bool = false;

    /// Replaces it by a new one. No handle may be alive.
    fn renew();
    fn open() -> Self;
    fn publish(&mut self, event: Event) -> bool;
    fn take(&mut self) -> Option<Event>;
    fn tick(&mut self, context: &mut Context);
    /// Takes every pending event. It does not call `take`, which would then be called from two places.
    fn drain(&mut self);
}

macro_rules! subject {
    ($subject:ident, $name:literal, $policy:ident, $displaces:literal) => {
        struct $subject(&'static Bus<Event, SLOTS, $policy>, Consumer<'static, Event, $policy>);

        impl Subject for $subject {
            const NAME: &str = $name;
            const DISPLACES: bool = $displaces;
            const PUBLISH: Option<fn()> = Some(|| {
                let _ = black_box(Self::bus().get().publish(Event::First(2)));
            });

            subject!(operations $policy, Bus::new(), bus => bus);
        }
    };

    (operations $policy:ident, $new:expr, $bus:ident => $publisher:expr) => {
        fn renew() {
            // SAFETY: no interrupt is on its way, and there are no handles.
            unsafe { Self::bus().renew($new) };
        }

        fn open() -> Self {
            let $bus = Self::bus().get();
            Self($publisher, $bus.consumer().expect("one context consumes"))
        }

        #[inline(always)]
        fn publish(&mut self, event: Event) -> bool {
            self.0.publish(event).is_ok()
        }

        #[inline(always)]
        fn take(&mut self) -> Option<Event> {
            self.1.drain().next()
        }

        fn drain(&mut self) {
            self.1.drain().for_each(drop);
        }

        #[inline(always)]
        fn tick(&mut self, context: &mut Context) {
            let _ = TABLE.tick(context, &mut self.1, Budget::events(1));
        }
    };

    (static $subject:ident: $type:ty = $new:expr) => {
        impl $subject {
            fn bus() -> &'static Renewable<$type> {
                static BUS: Renewable<$type> = Renewable::new($new);
                &BUS
            }
        }
    };
}

subject!(Rejecting, "tickbus Bus", Reject, false);
subject!(static Rejecting: Bus<Event, SLOTS> = Bus::new());
subject!(DroppingNewest, "tickbus Bus, DropNewest", DropNewest, false);
subject!(static DroppingNewest: Bus<Event, SLOTS, DropNewest> = Bus::new());
subject!(DroppingOldest, "tickbus Bus, DropOldest", DropOldest, true);
subject!(static DroppingOldest: Bus<Event, SLOTS, DropOldest> = Bus::new());

struct OfLane(Publisher<'static, Event>, Consumer<'static, Event, Single>);
subject!(static OfLane: Lane<Event, SLOTS> = Lane::new());

impl Subject for OfLane {
    const NAME: &str = "tickbus Lane";

    subject!(operations Single, Lane::new(), lane => lane.publisher().expect("one context publishes"));
}

/// The state of the operations. One pointer reaches it.
struct Bench<S> {
    subject: S,
    event: Event,
    is_published: bool,
    taken: Option<Event>,
    context: Context,
}

impl<S: Subject> Bench<S> {
    fn open() -> Self {
        let subject = S::open();
        let context = Context { sum: 0 };
        Self { subject, event: Event::First(7), is_published: false, taken: None, context }
    }
}

/// Publishes to a full bus, which returns the event or drops its oldest one.
const fn is_refused<S: Subject>(bench: &Bench<S>) -> bool {
    bench.is_published == S::DISPLACES
}

/// An operation, and a check of its result.
type Operation<S> = (fn(&mut Bench<S>, ()), fn(&Bench<S>) -> bool);

const fn publish<S: Subject>() -> Operation<S> {
    (
        |bench, ()| bench.is_published = bench.subject.publish(bench.event),
        |bench| bench.is_published,
    )
}

const fn publish_when_full<S: Subject>() -> Operation<S> {
    (publish().0, is_refused)
}

const fn take<S: Subject>() -> Operation<S> {
    (|bench, ()| bench.taken = bench.subject.take(), |bench| bench.taken.is_some())
}

const fn tick<S: Subject>() -> Operation<S> {
    (|bench, ()| bench.subject.tick(&mut bench.context), |bench| bench.context.sum != 0)
}

/// The most instructions of each operation: publish, publish to a full bus, take, tick.
#[derive(Clone, Copy, Default)]
struct Most([u32; 4]);

impl Most {
    fn add<S: Subject>(&mut self, column: usize, bench: &mut Bench<S>, operation: Operation<S>) {
        let (operation, is_right) = operation;
        bench.context.sum = 0;
        let overhead = clock::count(|_, ()| {}, bench, ()).0;
        let count = clock::count(operation, bench, ()).0 - overhead;
        if !is_right(bench) {
            host::fail(format_args!("{}: wrong result of operation {column}", S::NAME));
        }
        self.0[column] = self.0[column].max(count);
    }

    fn print<S: Subject>(self, row: &str) {
        let [publish, full, take, tick] = self.0;
        println!("{:<26} {row:<21} | {publish:>7} | {full:>9} | {take:>4} | {tick:>4}", S::NAME);
    }
}

/// Measures three laps with each number of pending events, and a full bus.
fn at_most<S: Subject>() -> Most {
    let mut most = Most::default();
    for pending in 0..SLOTS {
        S::renew();
        let bench = &mut Bench::<S>::open();
        for _ in 0..pending {
            assert!(bench.subject.publish(bench.event), "{}: no room at first", S::NAME);
        }
        for step in 0..3 * SLOTS {
            most.add(0, bench, publish());
            if step % 2 == 0 {
                most.add(2, bench, take());
            } else {
                most.add(3, bench, tick());
            }
        }
        for _ in pending..SLOTS {
            assert!(bench.subject.publish(bench.event), "{}: no room for all", S::NAME);
        }
        most.add(1, bench, publish_when_full());
    }
    most
}

/// How many events others publish and take before the interrupted publisher proceeds, and how many then stay.
static OTHERS: AtomicU32 = AtomicU32::new(0);
static STAY: AtomicU32 = AtomicU32::new(0);

fn publish_others<S: Subject>() {
    let mut subject = S::open();
    for _ in 0..OTHERS.load(Ordering::Relaxed) {
        assert!(subject.publish(Event::First(1)), "{}: no room beside a late publisher", S::NAME);
        subject.drain();
    }
    // Those for which there is no room come back.
    for _ in 0..STAY.load(Ordering::Relaxed) {
        subject.publish(Event::First(1));
    }
}

/// Measures each operation once, after a publisher that was interrupted after each of its instructions in turn.
fn after_a_late_publisher<S: Subject>(publisher: fn()) -> Most {
    let levels = Levels { main: publisher, pendsv: None, systick: publish_others::<S> };
    let mut most = Most::default();
    let mut points = 0;
    for others in [0, SLOTS / 2, SLOTS, 10 * SLOTS] {
        for stay in [SLOTS / 2, SLOTS] {
            OTHERS.store(others as u32, Ordering::Relaxed);
            STAY.store(stay as u32, Ordering::Relaxed);
            for k in 1.. {
                S::renew();
                let (landing, _) = interrupt::run(levels, k, 1);
                if landing == Landing::After {
                    break;
                }
                points += 1;
                clock::resume();
                let bench = &mut Bench::<S>::open();
                // A publish mends the hint, so it comes last.
                if stay < SLOTS {
                    most.add(2, bench, take());
                    most.add(3, bench, tick());
                    most.add(0, bench, publish());
                } else {
                    most.add(1, bench, publish_when_full());
                }
                interrupt::stop();
            }
        }
    }
    clock::resume();
    assert_ne!(points, 0, "{}: no publisher was interrupted", S::NAME);
    most
}

fn rows<S: Subject>() {
    at_most::<S>().print::<S>("at most");
    if let Some(publisher) = S::PUBLISH {
        after_a_late_publisher::<S>(publisher).print::<S>("after a late one");
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);
    clock::resume();
    println!();
    println!(
        "{:<48} | {:>7} | {:>9} | {:>4} | {:>4}",
        "worst cases", "publish", "when full", "take", "tick"
    );
    rows::<Rejecting>();
    rows::<DroppingNewest>();
    rows::<DroppingOldest>();
    rows::<OfLane>();
    host::done()
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    host::fail(format_args!("a fault, perhaps for want of stack: {frame:x?}"))
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
