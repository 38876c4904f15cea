//! Holds, each operation interrupted by another after every instruction.
//!
//! Each case has the exact set of outcomes that it must have: no point may show another one, and each must
//! be shown by some point.

use core::cell::RefCell;
use core::fmt;

use critical_section::Mutex;
use heapless::Vec;
use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use semihosting::println;
use tickbus::Hold;
use tickbus::hold::Delivery;

const CAPACITY: usize = 4;

static HOLD: Renewable<Hold<u32, CAPACITY>> = Renewable::new(Hold::new());

/// What the publisher was told, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    Held,
    Live,
    Full,
}

/// What was seen at a point: what the publisher was told, what the drain took, and how many events are
/// counted as lost to holding.
#[derive(PartialEq)]
struct Outcome {
    told: Told,
    took: Vec<u32, 8>,
    lost: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "told {:?}, took {:?}, {} lost while held", self.told, self.took, self.lost)
    }
}

static SEEN: Mutex<RefCell<Outcome>> =
    Mutex::new(RefCell::new(Outcome { told: Told::Nothing, took: Vec::new(), lost: 0 }));

fn tell(told: Told) {
    critical_section::with(|cs| SEEN.borrow_ref_mut(cs).told = told);
}

fn took(event: u32) {
    critical_section::with(|cs| {
        SEEN.borrow_ref_mut(cs).took.push(event).expect("no case has so many");
    });
}

/// The event of the case; those before it are 1, 2 and so on.
const NEW: u32 = 9;

fn start() {
    HOLD.get().start();
}

fn pause() {
    HOLD.get().pause();
}

fn publish() {
    tell(match HOLD.get().publish(NEW) {
        Ok(Delivery::Held) => Told::Held,
        Ok(Delivery::Live) => Told::Live,
        Err(_) => Told::Full,
    });
}

fn drain() {
    let mut events = HOLD.get().consumer().expect("one context consumes");
    events.drain().for_each(took);
}

/// As a table of handlers does.
fn drain_live() {
    let mut events = HOLD.get().consumer().expect("one context consumes");
    if let Some(events) = events.live() {
        events.drain().for_each(took);
    }
}

fn pause_and_publish() {
    pause();
    publish();
}

fn start_and_publish() {
    start();
    publish();
}

fn start_and_drain() {
    start();
    drain();
}

struct Case {
    name: &'static str,
    is_started: bool,
    /// Events that are pending before.
    fill: u32,
    main: fn(),
    systick: fn(),
    outcomes: &'static [(Told, &'static [u32], usize)],
}

const NOTHING: &[u32] = &[];
const FILL: &[u32] = &[1, 2];
const ALL: &[u32] = &[1, 2, NEW];
const FULL: &[u32] = &[1, 2, 3, 4];

/// A drain takes all or nothing, and nothing that was published after a pause.
const CASES: [Case; 16] = [
    Case {
        name: "drain / start",
        is_started: false,
        fill: 2,
        main: drain,
        systick: start,
        outcomes: &[(Told::Nothing, NOTHING, 0), (Told::Nothing, FILL, 0)],
    },
    Case {
        name: "drain / pause",
        is_started: true,
        fill: 2,
        main: drain,
        systick: pause,
        outcomes: &[(Told::Nothing, NOTHING, 0), (Told::Nothing, FILL, 0)],
    },
    Case {
        name: "drain / pause and publish",
        is_started: true,
        fill: 2,
        main: drain,
        systick: pause_and_publish,
        outcomes: &[(Told::Held, NOTHING, 0), (Told::Held, FILL, 0)],
    },
    Case {
        name: "drain / start and publish",
        is_started: false,
        fill: 2,
        main: drain,
        systick: start_and_publish,
        outcomes: &[(Told::Live, NOTHING, 0), (Told::Live, FILL, 0), (Told::Live, ALL, 0)],
    },
    // A pause counts from the next call of `live` on.
    Case {
        name: "drain, live / pause and publish",
        is_started: true,
        fill: 2,
        main: drain_live,
        systick: pause_and_publish,
        outcomes: &[(Told::Held, NOTHING, 0), (Told::Held, FILL, 0), (Told::Held, ALL, 0)],
    },
    Case {
        name: "drain, live / start",
        is_started: false,
        fill: 2,
        main: drain_live,
        systick: start,
        outcomes: &[(Told::Nothing, NOTHING, 0), (Told::Nothing, FILL, 0)],
    },
    Case {
        name: "start / drain",
        is_started: false,
        fill: 2,
        main: start,
        systick: drain,
        outcomes: &[(Told::Nothing, NOTHING, 0), (Told::Nothing, FILL, 0)],
    },
    Case {
        name: "pause and publish / drain",
        is_started: true,
        fill: 2,
        main: pause_and_publish,
        systick: drain,
        outcomes: &[(Told::Held, NOTHING, 0), (Told::Held, FILL, 0)],
    },
    Case {
        name: "pause and publish / drain, live",
        is_started: true,
        fill: 2,
        main: pause_and_publish,
        systick: drain_live,
        outcomes: &[(Told::Held, NOTHING, 0), (Told::Held, FILL, 0)],
    },
    Case {
        name: "start and publish / drain",
        is_started: false,
        fill: 2,
        main: start_and_publish,
        systick: drain,
        outcomes: &[(Told::Live, NOTHING, 0), (Told::Live, FILL, 0), (Told::Live, ALL, 0)],
    },
    // The publisher is told what was true when it began.
    Case {
        name: "publish / start",
        is_started: false,
        fill: 2,
        main: publish,
        systick: start,
        outcomes: &[(Told::Live, NOTHING, 0), (Told::Held, NOTHING, 0)],
    },
    Case {
        name: "publish / pause",
        is_started: true,
        fill: 2,
        main: publish,
        systick: pause,
        outcomes: &[(Told::Live, NOTHING, 0), (Told::Held, NOTHING, 0)],
    },
    Case {
        name: "start / publish",
        is_started: false,
        fill: 2,
        main: start,
        systick: publish,
        outcomes: &[(Told::Live, NOTHING, 0), (Told::Held, NOTHING, 0)],
    },
    Case {
        name: "publish / start and drain",
        is_started: false,
        fill: 2,
        main: publish,
        systick: start_and_drain,
        outcomes: &[(Told::Live, FILL, 0), (Told::Held, FILL, 0), (Told::Held, ALL, 0)],
    },
    Case {
        name: "publish when full / start",
        is_started: false,
        fill: CAPACITY as u32,
        main: publish,
        systick: start,
        outcomes: &[(Told::Full, NOTHING, 0), (Told::Full, NOTHING, 1)],
    },
    Case {
        name: "publish when full / start and drain",
        is_started: false,
        fill: CAPACITY as u32,
        main: publish,
        systick: start_and_drain,
        outcomes: &[(Told::Live, FULL, 0), (Told::Held, FULL, 0), (Told::Full, FULL, 1)],
    },
];

/// What is wrong with the hold when both are over.
fn fault(case: &Case, seen: &Outcome) -> Option<&'static str> {
    let hold = HOLD.get();
    let mut all = seen.took.clone();
    hold.start();
    let mut events = hold.consumer().expect("the operations are over");
    events.drain().for_each(|event| all.push(event).expect("no case has so many"));
    let is_published = matches!(seen.told, Told::Held | Told::Live);
    if !all.iter().copied().eq((1..=case.fill).chain(is_published.then_some(NEW))) {
        return Some("events are lost, doubled or out of order");
    }
    let stats = hold.stats();
    let dropped = usize::from(seen.told == Told::Full);
    let is_conserved = stats.published == stats.handled + stats.dropped()
        && (stats.pending, stats.refused, stats.dropped_newest) == (0, 0, dropped)
        && hold.dropped_held() <= dropped;
    (!is_conserved).then_some("the statistics contradict what was seen")
}

/// How many points fail.
#[must_use]
pub fn must_pass() -> u32 {
    let mut failures = 0;
    for case in &CASES {
        let (mut points, mut reached) = (0, 0_u32);
        for k in 1.. {
            // SAFETY: the clock stands, and both operations are over.
            unsafe { HOLD.renew(Hold::new()) };
            (1..=case.fill).for_each(|event| assert!(HOLD.get().publish(event).is_ok()));
            if case.is_started {
                HOLD.get().start();
            }
            let none = Outcome { told: Told::Nothing, took: Vec::new(), lost: 0 };
            critical_section::with(|cs| SEEN.replace(cs, none));
            let levels = Levels { main: case.main, pendsv: None, systick: case.systick };
            let (landing, _) = interrupt::run(levels, k, 1);
            if landing == Landing::After {
                break;
            }
            points += 1;
            let none = Outcome { told: Told::Nothing, took: Vec::new(), lost: 0 };
            let mut seen = critical_section::with(|cs| SEEN.replace(cs, none));
            seen.lost = HOLD.get().dropped_held();
            let of = |(told, took, lost): &(Told, &[u32], usize)| {
                (*told, *took, *lost) == (seen.told, &*seen.took, seen.lost)
            };
            match case.outcomes.iter().position(of) {
                Some(outcome) => reached |= 1 << outcome,
                None => {
                    println!("{}: {seen}, at instruction {k}, {landing:?}", case.name);
                    failures += 1;
                }
            }
            if let Some(fault) = fault(case, &seen) {
                println!("{}: {fault}: {seen}, at instruction {k}, {landing:?}", case.name);
                failures += 1;
            }
        }
        if reached != (1 << case.outcomes.len()) - 1 {
            println!("{}: only the outcomes {reached:#b} were seen", case.name);
            failures += 1;
        }
        println!("{:<28} {:<40} {points:>7} points", "Hold<_, 4>", case.name);
    }
    failures
}
