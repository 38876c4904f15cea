//! Waits and wakes, each interrupted by the other after every instruction.
//!
//! A task that was told to wait is woken, whatever interrupts what. A poll that interrupts a wake finds a place,
//! and is not told to come again. In the end no place is taken.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use semihosting::println;
use tickbus::{Bus, Full, Reject, Waiters};

/// One place for the task that is polled, and one for the other: a task, or a wake that is interrupted.
static WAITERS: Waiters<2> = Waiters::new();
static CHANGED: AtomicU32 = AtomicU32::new(0);
static BUS: Bus<u32, 2, Reject, Waiters<2>> = Bus::new();

/// What the last poll said.
static SAID: AtomicU32 = AtomicU32::new(NOTHING);
const NOTHING: u32 = 0;
const WAIT: u32 = 1;
const READY: u32 = 2;
const TOO_MANY: u32 = 3;

/// How often the task was woken, how often the other was, and how often one was told to come again.
static WOKEN: AtomicU32 = AtomicU32::new(0);
static OTHER_WOKEN: AtomicU32 = AtomicU32::new(0);
static AGAIN: AtomicU32 = AtomicU32::new(0);

fn add(counter: &AtomicU32) {
    critical_section::with(|_| {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    });
}

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |counter| RawWaker::new(counter, &WAKER),
    |counter| {
        // SAFETY: `polled` puts in pointers to statics.
        add(unsafe { &*counter.cast::<AtomicU32>() });
    },
    |_| add(&AGAIN),
    |_| (),
);

/// Polls once, with a waker that counts there.
fn polled<F: Future + Unpin>(future: &mut F, counter: &'static AtomicU32) -> Poll<F::Output> {
    let data = core::ptr::from_ref(counter).cast();
    // SAFETY: the functions of the table do nothing with their data but count there, from any context.
    let waker = unsafe { Waker::from_raw(RawWaker::new(data, &WAKER)) };
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn say<T, E>(poll: Poll<Result<T, E>>) {
    let said = match poll {
        Poll::Pending => WAIT,
        Poll::Ready(Ok(_)) => READY,
        Poll::Ready(Err(_)) => TOO_MANY,
    };
    SAID.store(said, Ordering::Relaxed);
}

fn is_changed() -> Option<u32> {
    Some(CHANGED.load(Ordering::Relaxed)).filter(|changed| *changed != 0)
}

fn wait() {
    let mut wait = WAITERS.wait_until(is_changed);
    say(polled(&mut wait, &WOKEN));
    // It goes on waiting.
    core::mem::forget(wait);
}

fn wait_and_give_up() {
    let mut wait = WAITERS.wait_until(|| None::<()>);
    let _ = polled(&mut wait, &AGAIN_IS_NO_FAULT);
}

/// Where wakes count that no task needs.
static AGAIN_IS_NO_FAULT: AtomicU32 = AtomicU32::new(0);

fn other_waits() {
    let mut wait = WAITERS.wait_until(is_changed);
    assert!(polled(&mut wait, &OTHER_WOKEN).is_pending());
    core::mem::forget(wait);
}

fn wake() {
    CHANGED.store(1, Ordering::Relaxed);
    WAITERS.wake();
}

fn next_async() {
    let mut events = BUS.consumer().expect("one context consumes");
    say(polled(&mut events.next_async(), &WOKEN).map(Ok::<_, ()>));
}

fn publish() {
    assert!(BUS.publish(7).is_ok());
}

fn publish_async() {
    let mut publish = BUS.publish_async(7);
    say(polled(&mut publish, &WOKEN));
    core::mem::forget(publish);
}

fn fill() {
    assert!(BUS.publish_batch(&[1, 2]).is_ok());
}

fn take() {
    let mut events = BUS.consumer().expect("one context consumes");
    assert!(events.drain().next().is_some());
}

fn take_all() {
    let mut events = BUS.consumer().expect("one context consumes");
    events.drain().for_each(|event| assert_ne!(event, 0));
}

struct Case {
    name: &'static str,
    prepare: fn(),
    main: fn(),
    systick: fn(),
    /// Whether the other waits, and is to be woken.
    has_other: bool,
}

const CASES: [Case; 9] = [
    Case { name: "wait / wake", prepare: || (), main: wait, systick: wake, has_other: false },
    Case { name: "wake / wait", prepare: || (), main: wake, systick: wait, has_other: false },
    Case {
        name: "wait, one waits / wake",
        prepare: other_waits,
        main: wait,
        systick: wake,
        has_other: true,
    },
    Case {
        name: "wake, one waits / wait",
        prepare: other_waits,
        main: wake,
        systick: wait,
        has_other: true,
    },
    Case {
        name: "give up, one waits / wake",
        prepare: other_waits,
        main: wait_and_give_up,
        systick: wake,
        has_other: true,
    },
    Case {
        name: "wake, one waits / give up",
        prepare: other_waits,
        main: wake,
        systick: wait_and_give_up,
        has_other: true,
    },
    Case {
        name: "publish_async / take",
        prepare: fill,
        main: publish_async,
        systick: take,
        has_other: false,
    },
    Case {
        name: "take / publish_async",
        prepare: fill,
        main: take,
        systick: publish_async,
        has_other: false,
    },
    Case {
        name: "take all / publish_async",
        prepare: fill,
        main: take_all,
        systick: publish_async,
        has_other: false,
    },
];

/// What is wrong when both are over.
fn fault(case: &Case) -> Option<&'static str> {
    let woken = WOKEN.load(Ordering::Relaxed);
    match SAID.load(Ordering::Relaxed) {
        WAIT if woken == 0 => return Some("told to wait, and not woken"),
        TOO_MANY => return Some("told that too many wait"),
        _ => {}
    }
    if case.has_other && OTHER_WOKEN.load(Ordering::Relaxed) != 1 {
        return Some("the other is not woken once");
    }
    if AGAIN.load(Ordering::Relaxed) != 0 {
        return Some("told to come again");
    }
    WAITERS.wake();
    let mut waits = [(); 2].map(|()| WAITERS.wait_until(|| None::<()>));
    let free = waits.iter_mut().all(|wait| polled(wait, &AGAIN_IS_NO_FAULT).is_pending());
    (!free || AGAIN.load(Ordering::Relaxed) != 0).then_some("a place is taken for ever")
}

/// How many points fail.
#[must_use]
pub fn must_pass() -> u32 {
    let mut failures = 0;
    for case in &CASES {
        let mut points = 0;
        for k in 1.. {
            WAITERS.wake();
            BUS.consumer().expect("the consumer is free").drain().for_each(drop);
            for counter in [&CHANGED, &SAID, &WOKEN, &OTHER_WOKEN, &AGAIN] {
                counter.store(0, Ordering::Relaxed);
            }
            (case.prepare)();
            let levels = Levels { main: case.main, pendsv: None, systick: case.systick };
            let (landing, _) = interrupt::run(levels, k, 1);
            if landing == Landing::After {
                break;
            }
            points += 1;
            if let Some(fault) = fault(case) {
                println!("{}: {fault} at instruction {k}, {landing:?}", case.name);
                failures += 1;
            }
        }
        println!("{:<28} {:<40} {points:>7} points", "waits", case.name);
    }
    failures
}

/// The consumer's futures may not be forgotten, so its cases end in a publish.
#[must_use]
pub fn consumer_must_pass() -> u32 {
    let mut failures = 0;
    let mut points = 0;
    for k in 1.. {
        BUS.consumer().expect("the consumer is free").drain().for_each(drop);
        SAID.store(NOTHING, Ordering::Relaxed);
        let levels = Levels { main: next_async, pendsv: None, systick: publish };
        let (landing, _) = interrupt::run(levels, k, 1);
        if landing == Landing::After {
            break;
        }
        points += 1;
        // What was published is taken, or is there for the next poll.
        let said = SAID.load(Ordering::Relaxed);
        if (said == READY) != BUS.is_empty() || said == TOO_MANY {
            println!("next_async / publish: the event is lost at instruction {k}");
            failures += 1;
        }
    }
    println!("{:<28} {:<40} {points:>7} points", "waits", "next_async / publish");
    failures
}

/// One place, one publisher too many: it was stopped when it had the place, and has not found yet that
/// there is room.
static NARROW: Renewable<Bus<u32, 2, Reject, Waiters<1>>> = Renewable::new(Bus::new());

/// The waker of a publisher that is overtaken while it goes to wait: between its first look, which finds no
/// room, and its place, an interrupt takes everything.
static OVERTAKEN: RawWakerVTable = RawWakerVTable::new(
    |counter| {
        NARROW.get().consumer().expect("the consumer is free").drain().for_each(drop);
        RawWaker::new(counter, &OVERTAKEN)
    },
    |_| (),
    |_| (),
    |_| (),
);

fn publish_overtaken() {
    let mut publish = NARROW.get().publish_async(7);
    // SAFETY: the functions of the table do nothing with their data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &OVERTAKEN)) };
    match Pin::new(&mut publish).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(Ok(())) => CHANGED.store(1, Ordering::Relaxed),
        // The consumer had come before, waits at the one place, and is told nothing.
        Poll::Ready(Err(Full(7))) => {}
        other => panic!("a publisher that has room says {other:?}"),
    }
}

/// How often the consumer is polled at most.
const POLLS: u32 = 4;

/// The consumer comes in an interrupt, and is polled as long as it is told to come again.
fn come_again() {
    let Ok(mut events) = NARROW.get().consumer() else { return };
    for _ in 0..POLLS {
        let told = AGAIN.load(Ordering::Relaxed);
        let mut next = events.next_async();
        say(polled(&mut next, &WOKEN).map(Ok::<_, ()>));
        if SAID.load(Ordering::Relaxed) == READY {
            return;
        }
        // It goes on waiting.
        core::mem::forget(next);
        if AGAIN.load(Ordering::Relaxed) == told {
            core::mem::forget(events);
            return;
        }
    }
    SAID.store(NOTHING, Ordering::Relaxed);
}

/// A consumer that finds all places taken by publishers, and no event, takes the places away and comes
/// again: then it waits, and the publisher that it has interrupted goes on and wakes it.
#[must_use]
pub fn consumer_without_place_must_pass() -> u32 {
    let mut failures = 0;
    let (mut points, mut edges) = (0, 0);
    for k in 1.. {
        // SAFETY: the clock stands, and what had borrowed it is over or forgotten.
        unsafe { NARROW.renew(Bus::new()) };
        for counter in [&CHANGED, &SAID, &WOKEN, &AGAIN] {
            counter.store(0, Ordering::Relaxed);
        }
        assert!(NARROW.get().publish_batch(&[1, 2]).is_ok());
        let levels = Levels { main: publish_overtaken, pendsv: None, systick: come_again };
        let (landing, _) = interrupt::run(levels, k, 1);
        if landing == Landing::After {
            break;
        }
        points += 1;
        let waits = SAID.load(Ordering::Relaxed) == WAIT;
        if waits && is_changed().is_some() && WOKEN.load(Ordering::Relaxed) == 0 {
            println!("publish_async / next_async: not woken, at instruction {k}, {landing:?}");
            failures += 1;
        }
        edges += u32::from(waits && AGAIN.load(Ordering::Relaxed) == 1);
    }
    if edges == 0 {
        println!("publish_async / next_async: no task waited after it was told to come again");
        failures += 1;
    }
    println!(
        "{:<28} {:<40} {points:>7} points {edges:>7} times told to come again",
        "waits", "publish_async, no place / next_async"
    );
    failures
}
