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
use tickbus::hold::Held;
use tickbus::{Bus, Hold};

const CAPACITY: usize = 4;

static BUS: Bus<u32, 16> = Bus::new();
static HOLD: Renewable<Hold<&Bus<u32, 16>, CAPACITY>> = Renewable::new(Hold::before(&BUS));

/// What the publisher was told, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    Held,
    Live,
    Full,
}

static TOLD: Mutex<RefCell<Told>> = Mutex::new(RefCell::new(Told::Nothing));

/// What was seen at a point: what the publisher was told, what is on the bus when both are over, and how many
/// events the hold has dropped.
struct Outcome {
    told: Told,
    came: Vec<u32, 8>,
    lost: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "told {:?}, {:?} came, {} lost", self.told, self.came, self.lost)
    }
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
    let told = match HOLD.get().publish(NEW) {
        Ok(Held::Yes) => Told::Held,
        Ok(Held::No) => Told::Live,
        Err(_) => Told::Full,
    };
    critical_section::with(|cs| *TOLD.borrow_ref_mut(cs) = told);
}

fn start_and_publish() {
    start();
    publish();
}

fn start_and_pause() {
    start();
    pause();
}

/// What is on the bus.
fn drain() -> Vec<u32, 8> {
    BUS.consumer().expect("the operations are over").drain().collect()
}

struct Case {
    name: &'static str,
    is_started: bool,
    /// Events that are held before.
    fill: u32,
    main: fn(),
    systick: fn(),
    outcomes: &'static [(Told, &'static [u32], usize)],
}

const NOTHING: &[u32] = &[];
const FILL: &[u32] = &[1, 2];
const ALL: &[u32] = &[1, 2, NEW];

const CASES: [Case; 10] = [
    // Nothing stays behind, whichever of them replays.
    Case {
        name: "publish / start",
        is_started: false,
        fill: 2,
        main: publish,
        systick: start,
        outcomes: &[(Told::Live, ALL, 0), (Told::Held, ALL, 0)],
    },
    Case {
        name: "start / publish",
        is_started: false,
        fill: 2,
        main: start,
        systick: publish,
        outcomes: &[(Told::Live, ALL, 0), (Told::Held, ALL, 0)],
    },
    Case {
        name: "start / start",
        is_started: false,
        fill: 2,
        main: start,
        systick: start,
        outcomes: &[(Told::Nothing, FILL, 0)],
    },
    // The publisher is told what was true when it began.
    Case {
        name: "publish / pause",
        is_started: true,
        fill: 0,
        main: publish,
        systick: pause,
        outcomes: &[(Told::Live, &[NEW], 0), (Told::Held, NOTHING, 0)],
    },
    Case {
        name: "pause / publish",
        is_started: true,
        fill: 0,
        main: pause,
        systick: publish,
        outcomes: &[(Told::Live, &[NEW], 0), (Told::Held, NOTHING, 0)],
    },
    // A pause ends a replay behind the event that it is at.
    Case {
        name: "start / pause",
        is_started: false,
        fill: 2,
        main: start,
        systick: pause,
        outcomes: &[
            (Told::Nothing, NOTHING, 0),
            (Told::Nothing, &[1], 0),
            (Told::Nothing, FILL, 0),
        ],
    },
    Case {
        name: "start and publish / pause",
        is_started: false,
        fill: 2,
        main: start_and_publish,
        systick: pause,
        outcomes: &[
            (Told::Live, ALL, 0),
            (Told::Held, NOTHING, 0),
            (Told::Held, &[1], 0),
            (Told::Held, FILL, 0),
        ],
    },
    Case {
        name: "publish / start and pause",
        is_started: false,
        fill: 2,
        main: publish,
        systick: start_and_pause,
        outcomes: &[(Told::Held, FILL, 0), (Told::Held, ALL, 0)],
    },
    Case {
        name: "publish when full / start",
        is_started: false,
        fill: CAPACITY as u32,
        main: publish,
        systick: start,
        outcomes: &[
            (Told::Live, &[1, 2, 3, 4, NEW], 0),
            (Told::Held, &[1, 2, 3, 4, NEW], 0),
            (Told::Full, &[1, 2, 3, 4], 1),
        ],
    },
    Case {
        name: "start / publish when full",
        is_started: false,
        fill: CAPACITY as u32,
        main: start,
        systick: publish,
        outcomes: &[
            (Told::Live, &[1, 2, 3, 4, NEW], 0),
            (Told::Held, &[1, 2, 3, 4, NEW], 0),
            (Told::Full, &[1, 2, 3, 4], 1),
        ],
    },
];

/// What is wrong with the hold when both are over.
fn fault(case: &Case, seen: &Outcome) -> Option<&'static str> {
    let hold = HOLD.get();
    let mut all = seen.came.clone();
    hold.start();
    all.extend(drain());
    let is_published = matches!(seen.told, Told::Held | Told::Live);
    if !all.iter().copied().eq((1..=case.fill).chain(is_published.then_some(NEW))) {
        return Some("events are lost, doubled or out of order");
    }
    let stats = hold.stats();
    let dropped = usize::from(seen.told == Told::Full);
    let is_conserved = stats.published == stats.handled + stats.dropped()
        && (stats.pending, stats.refused, stats.dropped_newest) == (0, 0, dropped);
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
            unsafe { HOLD.renew(Hold::before(&BUS)) };
            if case.is_started {
                HOLD.get().start();
            }
            (1..=case.fill).for_each(|event| assert!(HOLD.get().publish(event).is_ok()));
            critical_section::with(|cs| TOLD.replace(cs, Told::Nothing));
            let levels = Levels { main: case.main, pendsv: None, systick: case.systick };
            let (landing, _) = interrupt::run(levels, k, 1);
            if landing == Landing::After {
                let _ = drain();
                break;
            }
            points += 1;
            let told = critical_section::with(|cs| *TOLD.borrow_ref(cs));
            let lost = HOLD.get().stats().dropped();
            let seen = Outcome { told, came: drain(), lost };
            let of = |(told, came, lost): &(Told, &[u32], usize)| {
                (*told, *came, *lost) == (seen.told, &*seen.came, seen.lost)
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
