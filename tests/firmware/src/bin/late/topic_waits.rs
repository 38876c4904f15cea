//! Waits for topics and latest values, each interrupted by what it waits for after every instruction.
//!
//! A task that is told to wait is woken, whatever interrupts what, or nothing has come.

use core::cell::RefCell;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use critical_section::Mutex;
use instruments::interrupt::{self, Landing, Levels};
use instruments::renewable::Renewable;
use semihosting::println;
use tickbus::topic::Many;
use tickbus::{GatedTopic, Latest, Subscriber, Topic, Waiters, Watcher};

static TOPIC: Renewable<Topic<u32, 2, Waiters<1>>> = Renewable::new(Topic::new());
static GATED: Renewable<GatedTopic<u32, 2, 1, Waiters<1>>> = Renewable::new(GatedTopic::new());
static LATEST: Renewable<Latest<u32, Waiters<1>>> = Renewable::new(Latest::new());

type Slot<T> = Mutex<RefCell<Option<T>>>;

static READER: Slot<Subscriber<'static, u32, Many, Waiters<1>>> = Mutex::new(RefCell::new(None));
static GATING: Slot<Subscriber<'static, u32, Many, Waiters<1>>> = Mutex::new(RefCell::new(None));
static WATCHER: Slot<Watcher<'static, u32, Waiters<1>>> = Mutex::new(RefCell::new(None));

/// How often the task was woken.
static WOKEN: AtomicU32 = AtomicU32::new(0);

/// What the poll said.
static SAID: AtomicU32 = AtomicU32::new(WAIT);
const WAIT: u32 = 1;
const READY: u32 = 2;
const TOO_MANY: u32 = 3;

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |_| RawWaker::new(core::ptr::null(), &WAKER),
    |_| {
        critical_section::with(|_| {
            WOKEN.store(WOKEN.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        });
    },
    |_| (),
    |_| (),
);

/// Polls once. A future that has to wait goes on waiting.
fn poll<T, E>(future: impl Future<Output = Result<T, E>>) {
    let mut future = ManuallyDrop::new(future);
    // SAFETY: nothing points into the future, so that it need not be dropped: its place has its waker.
    let pinned = unsafe { Pin::new_unchecked(&mut *future) };
    // SAFETY: the functions of the table do nothing with their data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &WAKER)) };
    let said = match pinned.poll(&mut Context::from_waker(&waker)) {
        Poll::Pending => WAIT,
        Poll::Ready(Ok(_)) => READY,
        Poll::Ready(Err(_)) => TOO_MANY,
    };
    SAID.store(said, Ordering::Relaxed);
}

/// Uses what is there, and puts it back. One context does at a time.
fn with<T>(slot: &'static Slot<T>, work: impl FnOnce(&mut T)) {
    let mut taken =
        critical_section::with(|cs| slot.borrow_ref_mut(cs).take()).expect("it is there");
    work(&mut taken);
    critical_section::with(|cs| slot.borrow_ref_mut(cs).replace(taken));
}

fn next_event() {
    with(&READER, |reader| poll(reader.next_async()));
}

fn publish() {
    TOPIC.get().publish(7);
}

fn next_gated() {
    with(&GATING, |reader| poll(reader.next_async()));
}

fn publish_gated() {
    assert!(GATED.get().publish_with_margin(7, 1).is_ok());
}

fn publish_gated_wait() {
    poll(GATED.get().publish_async(7));
}

fn read_gated() {
    with(&GATING, |reader| assert_eq!(reader.read().next(), Some(Ok(1))));
}

fn drop_gate() {
    drop(critical_section::with(|cs| GATING.borrow_ref_mut(cs).take()));
}

fn next_change() {
    with(&WATCHER, |watcher| poll(watcher.changed_async()));
}

fn publish_latest() {
    LATEST.get().publish(7);
}

struct Case {
    name: &'static str,
    /// Events that are unread behind the gate.
    fill: u32,
    wait: fn(),
    wake: fn(),
}

const CASES: [Case; 5] = [
    Case { name: "Topic::next_async, publish", fill: 0, wait: next_event, wake: publish },
    Case {
        name: "GatedTopic::next_async, publish",
        fill: 0,
        wait: next_gated,
        wake: publish_gated,
    },
    Case { name: "publish_async, read", fill: 2, wait: publish_gated_wait, wake: read_gated },
    Case {
        name: "publish_async, drop the gate",
        fill: 2,
        wait: publish_gated_wait,
        wake: drop_gate,
    },
    Case {
        name: "Latest::changed_async, publish",
        fill: 0,
        wait: next_change,
        wake: publish_latest,
    },
];

fn renew() {
    critical_section::with(|cs| {
        READER.replace(cs, None);
        GATING.replace(cs, None);
        WATCHER.replace(cs, None);
    });
    // SAFETY: the clock stands, and what had borrowed them is dropped or forgotten.
    unsafe { TOPIC.renew(Topic::new()) };
    // SAFETY: as above.
    unsafe { GATED.renew(GatedTopic::new()) };
    // SAFETY: as above.
    unsafe { LATEST.renew(Latest::new()) };
    critical_section::with(|cs| {
        READER.replace(cs, Some(TOPIC.get().subscribe()));
        GATING.replace(cs, GATED.get().subscribe().ok());
        WATCHER.replace(cs, Some(LATEST.get().watch()));
    });
}

/// How many points fail.
#[must_use]
pub fn must_pass() -> u32 {
    let mut failures = 0;
    for case in &CASES {
        for (order, main, systick) in
            [("interrupted", case.wait, case.wake), ("in an interrupt", case.wake, case.wait)]
        {
            let (mut points, mut waits, mut ready) = (0, 0, 0);
            for k in 1.. {
                renew();
                WOKEN.store(0, Ordering::Relaxed);
                (1..=case.fill).for_each(|event| assert!(GATED.get().publish(event).is_ok()));
                let (landing, _) = interrupt::run(Levels { main, pendsv: None, systick }, k, 1);
                if landing == Landing::After {
                    break;
                }
                points += 1;
                match SAID.load(Ordering::Relaxed) {
                    WAIT => waits += 1,
                    READY => ready += 1,
                    _ => {}
                }
                let is_woken = WOKEN.load(Ordering::Relaxed) > 0;
                if SAID.load(Ordering::Relaxed) == TOO_MANY
                    || (SAID.load(Ordering::Relaxed) == WAIT && !is_woken)
                {
                    println!("{}, {order}: not woken at instruction {k}, {landing:?}", case.name);
                    failures += 1;
                }
            }
            if waits == 0 || ready == 0 {
                println!("{}, {order}: {waits} waits, {ready} without", case.name);
                failures += 1;
            }
            println!("{:<28} {:<31}, {order:<15} {points:>5} points", "waits", case.name);
        }
    }
    failures
}
