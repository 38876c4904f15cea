//! Interrupts every operation after every one of its instructions, with every other operation.
//!
//! After each point the results, the events left and the statistics must be those of some sequential
//! order: no false "full", no false "empty", no loss, no duplicate, order kept, conservation. Two
//! broken queues must be convicted by the same check.
#![no_std]
#![no_main]

mod model;
mod subjects;

use core::cell::RefCell;
use core::fmt;
use core::panic::PanicInfo;

use cortex_m_rt::ExceptionFrame;
use critical_section::Mutex;
use heapless::Vec;
use instruments::interrupt::{self, Landing, Levels};
use instruments::points::{Depth, LEVELS, MAIN, PENDSV, SYSTICK, Tries, event, every_point};
use instruments::{clock, host};
use model::{Counts, Log, Rules, Step, is_explained};
use semihosting::println;
use subjects::Subject;

/// What the contexts saw. Only the one on top writes.
static LOGS: Mutex<RefCell<[Log; LEVELS]>> = Mutex::new(RefCell::new([Log::EMPTY; LEVELS]));

fn log<const LEVEL: usize>(step: Step) {
    critical_section::with(|cs| LOGS.borrow_ref_mut(cs)[LEVEL].push(step));
}

/// An operation on a subject, as a level runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Publish,
    PublishTwice,
    PublishBatch,
    /// Two events or none.
    PublishAll,
    Take,
    Drain,
    Tick,
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::Publish,
        Self::PublishTwice,
        Self::PublishBatch,
        Self::PublishAll,
        Self::Take,
        Self::Drain,
        Self::Tick,
    ];

    fn publishes(self) -> bool {
        matches!(self, Self::Publish | Self::PublishTwice | Self::PublishBatch | Self::PublishAll)
    }

    fn is_of<S: Subject>(self) -> bool {
        match self {
            Self::PublishBatch => S::HAS_BATCH,
            Self::PublishAll => S::HAS_GROUP,
            Self::Tick => S::HAS_TICK,
            _ => true,
        }
    }

    fn of<S: Subject, const LEVEL: usize>(self) -> fn() {
        match self {
            Self::Publish => publish::<S, LEVEL>,
            Self::PublishTwice => publish_twice::<S, LEVEL>,
            Self::PublishBatch => publish_batch::<S, LEVEL>,
            Self::PublishAll => publish_all::<S, LEVEL>,
            Self::Take => take::<S, LEVEL>,
            Self::Drain => drain::<S, LEVEL>,
            Self::Tick => tick::<S, LEVEL>,
        }
    }
}

fn log_published<const LEVEL: usize>(event: u32, is_published: bool) {
    log::<LEVEL>(if is_published { Step::Published(event) } else { Step::Refused(event) });
}

fn publish<S: Subject, const LEVEL: usize>() {
    let event = event(LEVEL, 1);
    let is_published = S::publish(event);
    log_published::<LEVEL>(event, is_published);
}

fn publish_twice<S: Subject, const LEVEL: usize>() {
    publish::<S, LEVEL>();
    let event = event(LEVEL, 2);
    let is_published = S::publish(event);
    log_published::<LEVEL>(event, is_published);
}

fn publish_batch<S: Subject, const LEVEL: usize>() {
    let events = [event(LEVEL, 1), event(LEVEL, 2)];
    let taken = S::publish_batch(&events);
    for (index, event) in events.into_iter().enumerate() {
        log_published::<LEVEL>(event, index < taken);
    }
}

fn publish_all<S: Subject, const LEVEL: usize>() {
    let events = [event(LEVEL, 1), event(LEVEL, 2)];
    if S::publish_all(events) {
        log::<LEVEL>(Step::Claimed);
        events.into_iter().for_each(|event| log::<LEVEL>(Step::Committed(event)));
    } else {
        log::<LEVEL>(Step::RefusedBoth);
    }
}

fn take<S: Subject, const LEVEL: usize>() {
    log::<LEVEL>(Step::Opened);
    if S::drain(1, |event| log::<LEVEL>(Step::Took(event))) {
        log::<LEVEL>(Step::Ended);
    }
}

fn drain<S: Subject, const LEVEL: usize>() {
    log::<LEVEL>(Step::Opened);
    if S::drain(usize::MAX, |event| log::<LEVEL>(Step::Took(event))) {
        log::<LEVEL>(Step::Ended);
    }
}

fn tick<S: Subject, const LEVEL: usize>() {
    log::<LEVEL>(Step::Opened);
    S::tick(|event| log::<LEVEL>(Step::Took(event)));
    log::<LEVEL>(Step::Ended);
}

/// What was seen at one point.
struct Seen {
    before: Vec<u32, 8>,
    logs: [Log; LEVELS],
    rest: Vec<u32, 16>,
    /// Events that the first drain afterwards missed and a second one found.
    missed: Vec<u32, 16>,
    counts: Counts,
    /// Statistics, if they contradict themselves or the events left.
    contradiction: Option<subjects::Tally>,
}

impl Seen {
    fn is_right<S: Subject>(&self) -> bool {
        let rules = Rules {
            capacity: S::CAPACITY,
            overrun: S::OVERRUN,
            ends_are_frozen: S::ENDS_ARE_FROZEN,
            claims: S::CLAIMS,
        };
        self.contradiction.is_none()
            && self.missed.is_empty()
            && is_explained(rules, &self.before, &self.logs, &self.rest, self.counts)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  before:  {:?}", self.before)?;
        for (log, name) in self.logs.iter().zip(["main", "PendSV", "SysTick"]) {
            if !log.steps().is_empty() {
                writeln!(f, "  {name}: {:?}", log.steps())?;
            }
        }
        write!(f, "  after:   {:?}, {:?}", self.rest, self.counts)?;
        if !self.missed.is_empty() {
            write!(f, "\n  missed by the drain afterwards: {:?}", self.missed)?;
        }
        if let Some(tally) = self.contradiction {
            write!(f, "\n  statistics contradict themselves or what was left: {tally:?}")?;
        }
        Ok(())
    }
}

/// Runs one point on a new object with `fill` events, at positions moved on by `moved`.
fn point<S: Subject>(
    levels: Levels,
    fill: usize,
    moved: usize,
    first: u32,
    second: u32,
) -> (Landing, Landing, Seen) {
    S::rebuild();
    for _ in 0..moved {
        assert!(S::publish(0), "{}: cannot publish into an empty object", S::NAME);
        S::drain(usize::MAX, |_| ());
    }
    let before: Vec<u32, 8> = (1..=fill as u32).collect();
    for event in &before {
        assert!(S::publish(*event), "{}: cannot fill {fill} slots", S::NAME);
    }
    critical_section::with(|cs| LOGS.replace(cs, [Log::EMPTY; LEVELS]));

    let landings = interrupt::run(levels, first, second);

    let logs = critical_section::with(|cs| *LOGS.borrow_ref(cs));
    let tally = S::tally();
    let mut rest: Vec<u32, 16> = Vec::new();
    S::drain(usize::MAX, |event| rest.push(event).expect("no subject holds so many"));
    let mut missed: Vec<u32, 16> = Vec::new();
    S::drain(usize::MAX, |event| missed.push(event).expect("no subject holds so many"));
    let contradiction = tally.filter(|tally| {
        tally.published != tally.handled + tally.dropped + tally.pending
            || tally.pending != rest.len() + missed.len()
    });
    let counts = match tally {
        Some(tally) => Counts { dropped: tally.dropped, refused: tally.refused },
        None => {
            let is_refused = |step: &&Step| matches!(step, Step::Refused(_));
            let refused = logs.iter().flat_map(Log::steps).filter(is_refused).count();
            Counts { dropped: 0, refused }
        }
    };
    let seen = Seen { before, logs, rest, missed, counts, contradiction };
    (landings.0, landings.1, seen)
}

#[derive(Clone, Copy, Debug)]
struct Case {
    main: Operation,
    pendsv: Option<Operation>,
    systick: Operation,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.main)?;
        if let Some(pendsv) = self.pendsv {
            write!(f, " < {pendsv:?}")?;
        }
        write!(f, " < {:?}", self.systick)
    }
}

/// Sweeps one case over all fill levels. Stops at the first failure, and tells it if `is_told`.
fn sweep<S: Subject>(case: Case, is_told: bool) -> Tries {
    let levels = Levels {
        main: case.main.of::<S, MAIN>(),
        pendsv: case.pendsv.map(|operation| operation.of::<S, PENDSV>()),
        systick: case.systick.of::<S, SYSTICK>(),
    };
    let mut tries = Tries::default();
    let mut fills: Vec<usize, 4> = Vec::new();
    for fill in [0, 1, S::CAPACITY - 1, S::CAPACITY] {
        if !fills.contains(&fill) {
            fills.push(fill).expect("there are four");
        }
    }
    // Once from the beginning, once so that positions wrap around in the operation.
    let moves: &[usize] = if case.pendsv.is_none() { &[0, 3] } else { &[3] };
    for fill in fills {
        for &moved in moves {
            tries += every_point(case.pendsv.is_some(), |first, second| {
                let (one, two, seen) = point::<S>(levels, fill, moved, first, second);
                let is_right = seen.is_right::<S>();
                if !is_right && is_told {
                    println!(
                        "{}: {case}: no sequential order explains this; interrupted after \
                         {first} and {second} instructions, at {one:x?} and {two:x?}:\n{seen}",
                        S::NAME
                    );
                }
                (one, two, is_right)
            });
            if tries.failures > 0 {
                return tries;
            }
        }
    }
    tries
}

/// Sweeps all cases that the subject has.
fn sweep_all<S: Subject>(depth: Depth, is_told: bool) -> Tries {
    let mut total = Tries::default();
    let mut run = |case: Case| {
        let operations = [Some(case.main), case.pendsv, Some(case.systick)];
        let operations = operations.iter().flatten();
        let publishers = operations.clone().filter(|operation| operation.publishes()).count();
        let consumers = operations.clone().count() - publishers;
        let is_of = operations.clone().all(|operation| operation.is_of::<S>());
        if !is_of || consumers > 1 || (S::SINGLE_PRODUCER && publishers > 1) {
            return;
        }
        let tries = sweep::<S>(case, is_told);
        if is_told {
            println!(
                "{:<28} {:<40} {:>7} points {:>7} landings",
                S::NAME,
                format_args!("{case}"),
                tries.points,
                tries.landings
            );
        }
        total += tries;
    };
    for main in Operation::ALL {
        for systick in Operation::ALL {
            run(Case { main, pendsv: None, systick });
        }
    }
    if depth == Depth::Two {
        return total;
    }
    use Operation::{Drain, Publish, Take, Tick};
    for (main, pendsv, systick) in [
        (Publish, Publish, Publish),
        (Publish, Publish, Drain),
        (Publish, Drain, Publish),
        (Take, Publish, Publish),
        (Drain, Publish, Publish),
        (Tick, Publish, Publish),
    ] {
        run(Case { main, pendsv: Some(pendsv), systick });
    }
    total
}

#[must_use]
fn must_pass<S: Subject>(depth: Depth) -> u32 {
    sweep_all::<S>(depth, true).told(S::NAME)
}

fn must_fail<S: Subject>() {
    sweep_all::<S>(Depth::Two, false).convict(S::NAME);
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);
    must_fail::<subjects::Unprotected>();
    must_fail::<subjects::TwoProducers>();
    must_fail::<subjects::AlwaysClaimed>();
    let mut failures = must_pass::<subjects::Guarded>(Depth::Three);
    failures += must_pass::<subjects::Lane2>(Depth::Two);
    failures += must_pass::<subjects::Lane4>(Depth::Two);
    failures += must_pass::<subjects::LaneWithout2>(Depth::Three);
    failures += must_pass::<subjects::LaneWithout4>(Depth::Two);
    failures += must_pass::<subjects::Reject2>(Depth::Three);
    failures += must_pass::<subjects::Reject4>(Depth::Two);
    failures += must_pass::<subjects::DropNewest2>(Depth::Two);
    failures += must_pass::<subjects::DropNewest4>(Depth::Two);
    failures += must_pass::<subjects::DropOldest2>(Depth::Three);
    failures += must_pass::<subjects::DropOldest4>(Depth::Two);
    if failures > 0 {
        host::fail(format_args!(
            "{failures} cases have an outcome that no sequential order explains"
        ));
    }
    println!("sweep passed");
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
