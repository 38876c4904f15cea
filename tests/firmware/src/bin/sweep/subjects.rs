//! What is swept: the bus with each policy and the lane, a queue that must pass for the checker's sake,
//! and two broken ones that must not.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
use heapless::Deque;
use instruments::points::TORN;
use instruments::renewable::Renewable;
use tickbus::{Budget, Bus, Dispatch, DropNewest, DropOldest, Lane, Reject};

use crate::model::Policy;

/// An object of the sweep. There is one of each, and every context reaches it.
pub trait Subject {
    const NAME: &str;
    const CAPACITY: usize;
    const OVERRUN: Policy = Policy::Reject;
    /// A drain takes what was pending when it began, and no more.
    const ENDS_ARE_FROZEN: bool = true;
    /// Only one context publishes, and never while another does.
    const SINGLE_PRODUCER: bool = false;
    /// A publish claims the publishing end, and refuses the event of another one that interrupts it.
    const CLAIMS: bool = false;
    const HAS_BATCH: bool = true;
    const HAS_TICK: bool = true;
    /// Whether it publishes all events or none.
    const HAS_GROUP: bool = false;

    /// Makes it new. No other context uses it meanwhile.
    fn rebuild();
    /// True if it took the event.
    fn publish(event: u32) -> bool;
    /// How many of the events it took.
    fn publish_batch(events: &[u32; 2]) -> usize {
        events.iter().take_while(|event| Self::publish(**event)).count()
    }
    /// True if it took all of the events, and not if it took none.
    fn publish_all(_events: [u32; 2]) -> bool {
        unreachable!("{} has no groups", Self::NAME)
    }
    /// Takes events, at most so many; true if it found the end.
    fn drain(most: usize, took: impl FnMut(u32)) -> bool;
    fn tick(_took: fn(u32)) {}
    fn tally() -> Option<Tally> {
        None
    }
}

/// The statistics of a subject that has them.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    pub published: usize,
    pub handled: usize,
    pub dropped: usize,
    pub refused: usize,
    pub pending: usize,
}

tickbus::events! {
    /// Says its number twice, so that half an event is found out.
    #[derive(Clone, Copy, Debug)]
    pub enum Event {
        #[subject = "event.numbered"]
        Numbered { number: u32, inverted: u32 },
    }
}

impl Event {
    const fn new(number: u32) -> Self {
        Self::Numbered { number, inverted: !number }
    }

    fn number(&self) -> u32 {
        let Self::Numbered { number, inverted } = *self;
        if number == !inverted { number } else { TORN }
    }
}

macro_rules! bus_subject {
    ($subject:ident, $name:literal, $capacity:literal, $policy:ident $(, $($more:tt)*)?) => {
        pub struct $subject;

        const _: () = {
            static BUS: Renewable<Bus<Event, $capacity, $policy>> = Renewable::new(Bus::new());

            impl Subject for $subject {
                const NAME: &str = $name;
                const CAPACITY: usize = $capacity;
                const OVERRUN: Policy = Policy::$policy;

                $($($more)*)?

                fn rebuild() {
                    // SAFETY: the sweep rebuilds between two points, with its clock stopped.
                    unsafe { BUS.renew(Bus::new()) };
                }

                fn publish(event: u32) -> bool {
                    BUS.get().publish(Event::new(event)).is_ok()
                }

                fn publish_batch(events: &[u32; 2]) -> usize {
                    match BUS.get().publish_batch(&events.map(Event::new)) {
                        Ok(()) => events.len(),
                        Err(full) => events.len() - full.0.len(),
                    }
                }

                fn drain(most: usize, took: impl FnMut(u32)) -> bool {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    take_some(consumer.drain(), most, took)
                }

                fn tick(mut took: fn(u32)) {
                    let mut consumer = BUS.get().consumer().expect("one context consumes");
                    let report = TABLE.tick(&mut took, &mut consumer, Budget::unlimited());
                    assert_eq!(report.failed + report.unhandled, 0);
                }

                fn tally() -> Option<Tally> {
                    Some(Tally::of(BUS.get().stats()))
                }
            }
        };
    };
}

bus_subject! {
    Reject2, "Bus<_, 2>", 2, Reject,
    const HAS_GROUP: bool = true;

    fn publish_all(events: [u32; 2]) -> bool {
        BUS.get().publish_all(events.map(Event::new)).is_ok()
    }
}

bus_subject! {
    Reject4, "Bus<_, 4>", 4, Reject,
    const HAS_GROUP: bool = true;

    fn publish_all(events: [u32; 2]) -> bool {
        BUS.get().publish_all(events.map(Event::new)).is_ok()
    }
}

bus_subject!(DropNewest2, "Bus<_, 2, DropNewest>", 2, DropNewest);
bus_subject!(DropNewest4, "Bus<_, 4, DropNewest>", 4, DropNewest);
bus_subject!(DropOldest2, "Bus<_, 2, DropOldest>", 2, DropOldest);
bus_subject!(DropOldest4, "Bus<_, 4, DropOldest>", 4, DropOldest);

macro_rules! lane_subject {
    ($subject:ident, $name:literal, $capacity:literal, $($publish:tt)*) => {
        pub struct $subject;

        const _: () = {
            static LANE: Renewable<Lane<Event, $capacity>> = Renewable::new(Lane::new());

            impl Subject for $subject {
                const NAME: &str = $name;
                const CAPACITY: usize = $capacity;

                fn rebuild() {
                    // SAFETY: the sweep rebuilds between two points, with its clock stopped.
                    unsafe { LANE.renew(Lane::new()) };
                }

                $($publish)*

                fn drain(most: usize, took: impl FnMut(u32)) -> bool {
                    let mut consumer = LANE.get().consumer().expect("one context consumes");
                    take_some(consumer.drain(), most, took)
                }

                fn tick(mut took: fn(u32)) {
                    let mut consumer = LANE.get().consumer().expect("one context consumes");
                    let report = TABLE.tick(&mut took, &mut consumer, Budget::unlimited());
                    assert_eq!(report.failed + report.unhandled, 0);
                }

                fn tally() -> Option<Tally> {
                    Some(Tally::of(LANE.get().stats()))
                }
            }
        };
    };
}

macro_rules! with_a_handle {
    ($subject:ident, $name:literal, $capacity:literal) => {
        lane_subject! {
            $subject, $name, $capacity,
            const SINGLE_PRODUCER: bool = true;

            fn publish(event: u32) -> bool {
                let mut publisher = LANE.get().publisher().expect("one context publishes");
                publisher.publish(Event::new(event)).is_ok()
            }

            fn publish_batch(events: &[u32; 2]) -> usize {
                let mut publisher = LANE.get().publisher().expect("one context publishes");
                match publisher.publish_batch(&events.map(Event::new)) {
                    Ok(()) => events.len(),
                    Err(full) => events.len() - full.0.len(),
                }
            }

            const HAS_GROUP: bool = $capacity == 2;

            fn publish_all(events: [u32; 2]) -> bool {
                let mut publisher = LANE.get().publisher().expect("one context publishes");
                publisher.publish_all(events.map(Event::new)).is_ok()
            }
        }
    };
}

macro_rules! without_a_handle {
    ($subject:ident, $name:literal, $capacity:literal) => {
        lane_subject! {
            $subject, $name, $capacity,
            const CLAIMS: bool = true;
            const HAS_BATCH: bool = false;

            fn publish(event: u32) -> bool {
                LANE.get().publish(Event::new(event)).is_ok()
            }
        }
    };
}

with_a_handle!(Lane2, "Lane<_, 2>", 2);
with_a_handle!(Lane4, "Lane<_, 4>", 4);
without_a_handle!(LaneWithout2, "Lane<_, 2>, no handle", 2);
without_a_handle!(LaneWithout4, "Lane<_, 4>, no handle", 4);

static TABLE: Dispatch<Event, fn(u32), { Event::KINDS }> =
    Dispatch::new().on("event.numbered", |took, event| took(event.number()));

impl Tally {
    fn of(stats: tickbus::Stats) -> Self {
        Self {
            published: stats.published,
            handled: stats.handled,
            dropped: stats.dropped(),
            refused: stats.refused,
            pending: stats.pending,
        }
    }
}

fn take_some(
    mut events: impl Iterator<Item = Event>,
    most: usize,
    mut took: impl FnMut(u32),
) -> bool {
    for _ in 0..most {
        match events.next() {
            Some(event) => took(event.number()),
            None => return true,
        }
    }
    false
}

/// Must pass: a queue in a critical section cannot be interrupted at all.
pub struct Guarded;

static GUARDED: Mutex<RefCell<Deque<u32, 4>>> = Mutex::new(RefCell::new(Deque::new()));

impl Subject for Guarded {
    const NAME: &str = "Deque in a critical section";
    const CAPACITY: usize = 4;
    const ENDS_ARE_FROZEN: bool = false;
    const HAS_BATCH: bool = false;
    const HAS_TICK: bool = false;

    fn rebuild() {
        critical_section::with(|cs| GUARDED.borrow_ref_mut(cs).clear());
    }

    fn publish(event: u32) -> bool {
        critical_section::with(|cs| GUARDED.borrow_ref_mut(cs).push_back(event).is_ok())
    }

    fn drain(most: usize, mut took: impl FnMut(u32)) -> bool {
        for _ in 0..most {
            let event = critical_section::with(|cs| GUARDED.borrow_ref_mut(cs).pop_front());
            match event {
                Some(event) => took(event),
                None => return true,
            }
        }
        false
    }
}

/// Must fail: the length is read, changed and written back without protection.
pub struct Unprotected;

static SLOTS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
static HEAD: AtomicU32 = AtomicU32::new(0);
static LENGTH: AtomicU32 = AtomicU32::new(0);

impl Subject for Unprotected {
    const NAME: &str = "broken: unprotected length";
    const CAPACITY: usize = 4;
    const ENDS_ARE_FROZEN: bool = false;
    const HAS_BATCH: bool = false;
    const HAS_TICK: bool = false;

    fn rebuild() {
        HEAD.store(0, Ordering::Relaxed);
        LENGTH.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        let length = LENGTH.load(Ordering::Relaxed);
        if length == 4 {
            return false;
        }
        let slot = (HEAD.load(Ordering::Relaxed) + length) % 4;
        SLOTS[slot as usize].store(event, Ordering::Relaxed);
        LENGTH.store(length + 1, Ordering::Release);
        true
    }

    fn drain(most: usize, mut took: impl FnMut(u32)) -> bool {
        for _ in 0..most {
            let length = LENGTH.load(Ordering::Acquire);
            if length == 0 {
                return true;
            }
            let head = HEAD.load(Ordering::Relaxed);
            took(SLOTS[(head % 4) as usize].load(Ordering::Relaxed));
            HEAD.store(head + 1, Ordering::Relaxed);
            LENGTH.store(length - 1, Ordering::Release);
        }
        false
    }
}

/// Must fail: a ring that is right for one publisher, used by two.
pub struct TwoProducers;

static READ: AtomicU32 = AtomicU32::new(0);
static WRITTEN: AtomicU32 = AtomicU32::new(0);

impl Subject for TwoProducers {
    const NAME: &str = "broken: two publishers on a ring for one";
    const CAPACITY: usize = 4;
    const ENDS_ARE_FROZEN: bool = false;
    const HAS_BATCH: bool = false;
    const HAS_TICK: bool = false;

    fn rebuild() {
        READ.store(0, Ordering::Relaxed);
        WRITTEN.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        let written = WRITTEN.load(Ordering::Relaxed);
        if written.wrapping_sub(READ.load(Ordering::Acquire)) == 4 {
            return false;
        }
        SLOTS[(written % 4) as usize].store(event, Ordering::Relaxed);
        WRITTEN.store(written.wrapping_add(1), Ordering::Release);
        true
    }

    fn drain(most: usize, mut took: impl FnMut(u32)) -> bool {
        for _ in 0..most {
            let read = READ.load(Ordering::Relaxed);
            if read == WRITTEN.load(Ordering::Acquire) {
                return true;
            }
            let event = SLOTS[(read % 4) as usize].load(Ordering::Relaxed);
            READ.store(read.wrapping_add(1), Ordering::Release);
            took(event);
        }
        false
    }
}

/// Must fail: refuses what finds room, and interrupts no publish.
pub struct AlwaysClaimed;

impl Subject for AlwaysClaimed {
    const NAME: &str = "broken: refuses after having been interrupted";
    const CAPACITY: usize = 4;
    const CLAIMS: bool = true;
    const ENDS_ARE_FROZEN: bool = false;
    const HAS_BATCH: bool = false;
    const HAS_TICK: bool = false;

    fn rebuild() {
        Guarded::rebuild();
        WRITTEN.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        let written = WRITTEN.load(Ordering::Relaxed);
        let is_published = critical_section::with(|_| {
            WRITTEN.load(Ordering::Relaxed) == written && Guarded::publish(event)
        });
        WRITTEN.store(written.wrapping_add(1), Ordering::Relaxed);
        is_published
    }

    fn drain(most: usize, took: impl FnMut(u32)) -> bool {
        Guarded::drain(most, took)
    }
}
