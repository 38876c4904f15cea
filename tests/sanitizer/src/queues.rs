//! Buses and lanes.
//!
//! What the consumers share is guarded by nothing but the claim of the consumer.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tickbus::bus::{Capacity, Policy, Queue};
use tickbus::{Bus, Consumer, DropNewest, DropOldest, Full, Lane, Publisher, Reject, Stats};

use crate::event::Pair;
use crate::threads::{Job, together};

// ---- Events ------------------------------------------------------------------------------------

/// An event that knows its publisher and its number.
trait Sample: Send + Sized {
    /// The most that are published at once.
    const RUN: usize = 1;

    fn new(publisher: usize, number: usize) -> Self;

    fn read(&self) -> (usize, usize);

    /// Publishes up to `RUN` events. Returns how many found room.
    fn publish<const N: usize, P: Policy>(
        bus: &Bus<Self, N, P>,
        publisher: usize,
        number: usize,
        count: usize,
    ) -> usize {
        assert_eq!(count, 1);
        usize::from(bus.publish(Self::new(publisher, number)).is_ok())
    }

    /// The same on a lane.
    fn publish_alone(publisher: &mut Publisher<'_, Self>, number: usize, count: usize) -> usize {
        assert_eq!(count, 1);
        usize::from(publisher.publish(Self::new(0, number)).is_ok())
    }
}

fn run_of_three(publisher: usize, number: usize) -> [Pair; 3] {
    [0, 1, 2].map(|next| Pair::new(publisher, number + next))
}

fn taken<E>(count: usize, result: Result<(), Full<&[E]>>) -> usize {
    count - result.map_or_else(|Full(rest)| rest.len(), |()| 0)
}

impl Sample for Pair {
    const RUN: usize = 3;

    fn new(publisher: usize, number: usize) -> Self {
        Self::new(publisher, number)
    }

    fn read(&self) -> (usize, usize) {
        Self::read(self)
    }

    fn publish<const N: usize, P: Policy>(
        bus: &Bus<Self, N, P>,
        publisher: usize,
        number: usize,
        count: usize,
    ) -> usize {
        match count {
            1 => usize::from(bus.publish(Self::new(publisher, number)).is_ok()),
            _ => taken(count, bus.publish_batch(&run_of_three(publisher, number)[..count])),
        }
    }

    fn publish_alone(publisher: &mut Publisher<'_, Self>, number: usize, count: usize) -> usize {
        match count {
            1 => usize::from(publisher.publish(Self::new(0, number)).is_ok()),
            _ => taken(count, publisher.publish_batch(&run_of_three(0, number)[..count])),
        }
    }
}

/// Memory that is lost, or freed twice, or read after that, is seen.
impl Sample for Box<Pair> {
    fn new(publisher: usize, number: usize) -> Self {
        Self::new(Pair::new(publisher, number))
    }

    fn read(&self) -> (usize, usize) {
        self.as_ref().read()
    }
}

// ---- What is seen ------------------------------------------------------------------------------

/// What the consumers have seen, and the next number of each publisher.
struct Seen {
    count: usize,
    next: [usize; 2],
    gaps: bool,
    turn: usize,
}

impl Seen {
    fn check(&mut self, event: &impl Sample) {
        let (publisher, number) = event.read();
        let next = &mut self.next[publisher];
        let in_order = if self.gaps { number >= *next } else { number == *next };
        assert!(in_order, "{number} of {publisher} comes where {next} should");
        *next = number + 1;
        self.count += 1;
    }

    /// Takes some, in one of the ways there are.
    fn take<E: Sample, P: Queue>(&mut self, consumer: &mut Consumer<'_, E, P>) {
        self.turn += 1;
        match self.turn % 5 {
            0 => consumer.drain().take(1).for_each(|event| self.check(&event)),
            1 => consumer.drain().for_each(|event| self.check(&event)),
            2 => {
                for event in consumer.drain() {
                    self.check(&event);
                }
            }
            3 => {
                let mut events = Vec::new();
                let count = consumer.drain().at_most(70).append_to(&mut events);
                assert_eq!(count, events.len());
                events.iter().for_each(|event| self.check(event));
            }
            _ => {
                let mut left = 2;
                let stop = || {
                    left -= 1;
                    left == 0
                };
                consumer.drain().until(stop).for_each(|event| self.check(&event));
            }
        }
    }
}

/// What belongs to the one who has claimed the consumer.
struct Claimed(UnsafeCell<Seen>);

// SAFETY: it is looked at only through `with`, one thread after the other, and a claim of the consumer
// happens after the one before has been given back. That this holds is what a sanitizer looks at.
unsafe impl Sync for Claimed {}

impl Claimed {
    fn new(gaps: bool) -> Self {
        Self(UnsafeCell::new(Seen { count: 0, next: [0; 2], gaps, turn: 0 }))
    }

    fn with<E, P: Queue>(
        &self,
        consumer: &mut Consumer<'_, E, P>,
        action: impl FnOnce(&mut Seen, &mut Consumer<'_, E, P>),
    ) {
        // SAFETY: there is one consumer, the caller has it, and `action` cannot come back here, for
        // it has the borrow of that consumer.
        let seen = unsafe { &mut *self.0.get() };
        action(seen, consumer);
    }
}

/// Claims, takes and gives back, until no thread publishes.
fn consume<'a, E: Sample + 'a, P: Queue>(
    seen: &Claimed,
    publishing: &AtomicUsize,
    hands_over: bool,
    claim: impl Fn() -> Result<Consumer<'a, E, P>, tickbus::error::Claimed>,
) {
    while publishing.load(Relaxed) > 0 {
        let Ok(mut consumer) = claim() else {
            thread::yield_now();
            continue;
        };
        loop {
            seen.with(&mut consumer, Seen::take);
            if consumer.pending() == 0 {
                thread::yield_now();
            }
            if hands_over || publishing.load(Relaxed) == 0 {
                break;
            }
        }
    }
}

/// Takes what is left when all threads are joined. Returns how many events there were in all.
/// `published` has how many each publisher had.
fn finish<E: Sample, P: Queue>(
    seen: &Claimed,
    consumer: Result<Consumer<'_, E, P>, tickbus::error::Claimed>,
    published: [usize; 2],
) -> usize {
    let mut consumer = consumer.expect("all consumers are given back");
    let mut count = 0;
    seen.with(&mut consumer, |seen, consumer| {
        consumer.drain().for_each(|event| seen.check(&event));
        assert!(seen.gaps || seen.next == published, "the last ones are missing: {:?}", seen.next);
        count = seen.count;
    });
    count
}

fn conserved(stats: Stats, handled: usize, published: usize) {
    assert_eq!(
        (stats.published, stats.handled, stats.pending),
        (published, handled, 0),
        "{stats:?}"
    );
    assert_eq!(published, handled + stats.dropped(), "{stats:?}");
}

// ---- Cases -------------------------------------------------------------------------------------

/// Publishes all numbers, one and then a run in turns. What finds no room comes again, or is lost. Returns how often there was none.
fn publish_all(
    events: usize,
    run: usize,
    again: bool,
    mut publish: impl FnMut(usize, usize) -> usize,
) -> usize {
    let mut number = 0;
    let mut left_out = 0;
    let mut single = true;
    while number < events {
        let count = if single { 1 } else { run.min(events - number) };
        single = !single;
        let taken = publish(number, count);
        if taken < count {
            thread::yield_now();
        }
        left_out += count - taken;
        number += if again { taken } else { count };
    }
    left_out
}

/// Two publishers; one consumer, or two threads that hand it to each other. `again`: what finds no room
/// is published again.
fn a_bus<E: Sample, const N: usize, P: Policy>(events: usize, again: bool, hands_over: bool)
where
    (): Capacity<N>,
{
    let bus: Bus<E, N, P> = Bus::new();
    let seen = Claimed::new(!again);
    let publishing = AtomicUsize::new(2);
    let mut left_out = [0; 2];
    let [of_first, of_second] = &mut left_out;

    let publish = |publisher: usize, run: usize| {
        let left_out = publish_all(events, run, again, |number, count| {
            E::publish(&bus, publisher, number, count)
        });
        publishing.fetch_sub(1, Relaxed);
        left_out
    };
    let mut first = || *of_first = publish(0, 1);
    let mut second = || *of_second = publish(1, E::RUN);
    let mut here = || consume(&seen, &publishing, hands_over, || bus.consumer());
    let mut there = here;
    let mut jobs: Vec<Job<'_>> = vec![&mut first, &mut second, &mut here];
    if hands_over {
        jobs.push(&mut there);
    }
    together(&mut jobs);

    let handled = finish(&seen, bus.consumer(), [events; 2]);
    let left_out = left_out[0] + left_out[1];
    let stats = bus.stats();
    conserved(stats, handled, 2 * events);
    let (refused, lost) = if again { (left_out, 0) } else { (0, left_out) };
    assert_eq!((stats.refused, stats.dropped_newest), (refused, lost), "{stats:?}");
    assert!(bus.publish(E::new(0, events)).is_ok(), "there is room; dropped with the bus");
}

/// One publisher; one consumer, or two threads that hand it to each other.
fn a_lane<E: Sample, const N: usize>(events: usize, hands_over: bool)
where
    (): Capacity<N>,
{
    let lane: Lane<E, N> = Lane::new();
    let seen = Claimed::new(false);
    let publishing = AtomicUsize::new(1);
    let mut left_out = 0;

    let mut publish = || {
        let mut publisher = lane.publisher().expect("the only one");
        left_out = publish_all(2 * events, E::RUN, true, |number, count| {
            E::publish_alone(&mut publisher, number, count)
        });
        publishing.fetch_sub(1, Relaxed);
    };
    let mut here = || consume(&seen, &publishing, hands_over, || lane.consumer());
    let mut there = here;
    let mut jobs: Vec<Job<'_>> = vec![&mut publish, &mut here];
    if hands_over {
        jobs.push(&mut there);
    }
    together(&mut jobs);

    let handled = finish(&seen, lane.consumer(), [2 * events, 0]);
    let stats = lane.stats();
    conserved(stats, handled, 2 * events);
    assert_eq!((stats.refused, stats.dropped()), (left_out, 0), "{stats:?}");
    let mut publisher = lane.publisher().expect("it has been given back");
    assert!(publisher.publish(E::new(0, 0)).is_ok(), "there is room; dropped with the lane");
}

/// Two threads that publish without a handle, or claim the publisher for a few events: who meets the other comes
/// again. One consumer, or two threads that hand it to each other.
fn a_lane_for_all<E: Sample, const N: usize>(events: usize, hands_over: bool)
where
    (): Capacity<N>,
{
    let lane: Lane<E, N> = Lane::new();
    let seen = Claimed::new(false);
    let publishing = AtomicUsize::new(2);
    let mut left_out = [0; 2];
    let [of_first, of_second] = &mut left_out;

    let publish = |publisher: usize| {
        let mut turn = publisher;
        let left_out = publish_all(events, 1, true, |number, _| {
            turn += 1;
            let event = E::new(publisher, number);
            if turn % 3 > 0 {
                return usize::from(lane.publish(event).is_ok());
            }
            loop {
                if let Ok(mut publisher) = lane.publisher() {
                    break usize::from(publisher.publish(event).is_ok());
                }
                thread::yield_now();
            }
        });
        publishing.fetch_sub(1, Relaxed);
        left_out
    };
    let mut first = || *of_first = publish(0);
    let mut second = || *of_second = publish(1);
    let mut here = || consume(&seen, &publishing, hands_over, || lane.consumer());
    let mut there = here;
    let mut jobs: Vec<Job<'_>> = vec![&mut first, &mut second, &mut here];
    if hands_over {
        jobs.push(&mut there);
    }
    together(&mut jobs);

    let handled = finish(&seen, lane.consumer(), [events; 2]);
    let stats = lane.stats();
    conserved(stats, handled, 2 * events);
    assert_eq!((stats.refused, stats.dropped()), (left_out[0] + left_out[1], 0), "{stats:?}");
    assert!(lane.publish(E::new(0, 0)).is_ok(), "there is room; dropped with the lane");
}

fn with_room<E: Sample, const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    for hands_over in [false, true] {
        a_bus::<E, N, Reject>(events, true, hands_over);
        a_bus::<E, N, DropOldest>(events, false, hands_over);
        a_bus::<E, N, DropNewest>(events, false, hands_over);
        a_lane::<E, N>(events, hands_over);
        a_lane_for_all::<E, N>(events, hands_over);
    }
}

fn with<E: Sample>(events: usize) {
    with_room::<E, 2>(events);
    with_room::<E, 4>(events);
    with_room::<E, 64>(events);
}

/// Returns how many cases there are.
pub(crate) fn run(events: usize) -> usize {
    with::<Pair>(events);
    with::<Box<Pair>>(events);
    60
}
