//! Any sequence of operations against a `VecDeque`: every result, every count, every drop, also where
//! positions cross the middle and the end of their range.

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::mem::{self, ManuallyDrop};

use proptest::collection::vec;
use proptest::prelude::*;

use super::overrun::Taken;
use super::{
    Bus, Consumer, DropNewest, DropOldest, Lane, Policy, Publisher, Reject, Single, Stats,
};
use crate::error::Full;
use crate::ring::Capacity;
use crate::ring::{Side, queue, spsc};
use crate::sync::Word;

// ---- The model ---------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Refuses,
    Oldest,
    Newest,
}

struct Model {
    loss: Loss,
    capacity: usize,
    waiting: VecDeque<u32>,
    stats: Stats,
    /// The most that a drain has found; `stats.high_water` is the most that ever waited.
    found: usize,
    /// The next event to publish.
    next: u32,
}

impl Model {
    fn new(loss: Loss, capacity: usize) -> Self {
        let stats = Stats::default();
        Self { loss, capacity, waiting: VecDeque::new(), stats, found: 0, next: 0 }
    }

    /// New events to publish.
    fn events(&mut self, count: usize) -> Vec<u32> {
        let first = self.next;
        self.next += count as u32;
        (first..self.next).collect()
    }

    /// Whether the bus takes `event`.
    fn publish(&mut self, event: u32) -> bool {
        let full = self.waiting.len() == self.capacity;
        match (full, self.loss) {
            (false, _) => {}
            (true, Loss::Oldest) => {
                self.waiting.pop_front();
                self.stats.dropped_oldest += 1;
            }
            (true, Loss::Newest) => {
                self.stats.published = self.stats.published.wrapping_add(1);
                self.stats.dropped_newest += 1;
                return false;
            }
            (true, Loss::Refuses) => {
                self.stats.refused += 1;
                return false;
            }
        }
        self.stats.published = self.stats.published.wrapping_add(1);
        self.waiting.push_back(event);
        self.stats.high_water = self.stats.high_water.max(self.waiting.len());
        true
    }

    /// How many of `events` the bus takes.
    fn publish_all(&mut self, events: &[u32]) -> usize {
        events.iter().filter(|event| self.publish(**event)).count()
    }

    /// The last event of those that wait now, as numbers: what comes later is not of this drain.
    fn freeze(&mut self) -> Option<u32> {
        self.found = self.found.max(self.waiting.len());
        self.waiting.back().copied()
    }

    /// The last event of a drain that ends after `most` of those that are left.
    fn shorten(&self, last: Option<u32>, most: usize) -> Option<u32> {
        let left = self.waiting.iter().take_while(|event| Some(**event) <= last);
        left.take(most).last().copied()
    }

    fn take(&mut self, last: Option<u32>) -> Option<u32> {
        self.waiting.front().filter(|front| Some(**front) <= last)?;
        self.stats.handled = self.stats.handled.wrapping_add(1);
        self.waiting.pop_front()
    }

    fn check(&mut self, stats: Stats, token: &Rc<()>) {
        self.stats.pending = self.waiting.len();
        let most = if stats.dropped() + stats.refused > 0 { self.capacity } else { self.found };
        assert!(most.max(stats.pending) <= stats.high_water, "{stats:?}");
        assert!(stats.high_water <= self.stats.high_water, "{stats:?}");
        // Counts are as wide as a word of the ring.
        let counted = |stats: &Stats| Stats {
            published: stats.published as Word as usize,
            handled: stats.handled as Word as usize,
            high_water: 0,
            ..*stats
        };
        assert_eq!(counted(&stats), counted(&self.stats));
        let sum = stats.handled.wrapping_add(stats.dropped()).wrapping_add(stats.pending);
        assert_eq!(stats.published as Word, sum as Word);
        let alive = Rc::strong_count(token) - 1;
        assert!(alive == 0 || alive == self.waiting.len(), "{alive} of {}", self.waiting.len());
    }
}

// ---- What is published -------------------------------------------------------------------------

/// An event with a number.
trait Sample: Sized {
    fn new(number: u32, token: &Rc<()>) -> Self;
    fn number(&self) -> u32;

    /// Publishes all and says how many were taken.
    fn batch<const N: usize, P: Policy>(
        bus: &Bus<Self, N, P>,
        events: &[u32],
        token: &Rc<()>,
    ) -> usize {
        let published = |event: &&u32| bus.publish(Self::new(**event, token)).is_ok();
        events.iter().filter(published).count()
    }

    fn batch_mut<const N: usize, P: Policy>(
        bus: &mut Bus<Self, N, P>,
        events: &[u32],
        token: &Rc<()>,
    ) -> usize {
        let published = |event: &&u32| bus.publish_mut(Self::new(**event, token)).is_ok();
        events.iter().filter(published).count()
    }

    fn batch_alone(publisher: &mut Publisher<'_, Self>, events: &[u32], token: &Rc<()>) -> usize {
        let published = |event: &&u32| publisher.publish(Self::new(**event, token)).is_ok();
        events.iter().filter(published).count()
    }
}

/// A plain number, published in true batches.
impl Sample for u32 {
    fn new(number: u32, _: &Rc<()>) -> Self {
        number
    }

    fn number(&self) -> u32 {
        *self
    }

    fn batch<const N: usize, P: Policy>(
        bus: &Bus<Self, N, P>,
        events: &[u32],
        _: &Rc<()>,
    ) -> usize {
        taken(events, bus.publish_batch(events))
    }

    fn batch_mut<const N: usize, P: Policy>(
        bus: &mut Bus<Self, N, P>,
        events: &[u32],
        _: &Rc<()>,
    ) -> usize {
        taken(events, bus.publish_batch_mut(events))
    }

    fn batch_alone(publisher: &mut Publisher<'_, Self>, events: &[u32], _: &Rc<()>) -> usize {
        taken(events, publisher.publish_batch(events))
    }
}

/// How many a batch has published; what comes back are the last ones.
fn taken(events: &[u32], result: Result<(), Full<&[u32]>>) -> usize {
    let rest = result.err().map_or(&[][..], |Full(rest)| rest);
    let taken = events.len() - rest.len();
    assert_eq!(rest, &events[taken..]);
    taken
}

/// A number whose drops are counted.
struct Counted(u32, #[expect(dead_code, reason = "counts as long as it is here")] Rc<()>);

impl Sample for Counted {
    fn new(number: u32, token: &Rc<()>) -> Self {
        Self(number, Rc::clone(token))
    }

    fn number(&self) -> u32 {
        self.0
    }
}

// ---- Operations --------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Shared {
    Publish,
    Batch(usize),
    /// Takes so many at most; before each one, so many are published.
    Drain(usize, usize),
    /// Takes so many, then at most so many of the others; before each one, so many are published.
    Shorten(usize, usize, usize),
    /// Takes all, by internal iteration; while each is looked at, so many are published.
    DrainAll(usize),
    /// Takes at most so many at once, behind one that is there.
    #[cfg(feature = "alloc")]
    Append(usize),
    ForgetDrain,
    Reclaim,
    /// Takes none.
    Nothing,
}

#[derive(Clone, Debug)]
enum Exclusive {
    Publish,
    Batch(usize),
    Drain(usize),
    /// Takes so many, then at most so many of the others.
    Shorten(usize, usize),
    DrainAll,
    #[cfg(feature = "alloc")]
    Append,
    ForgetDrain,
}

#[derive(Clone, Debug)]
enum Phase {
    Shared(Vec<Shared>),
    Exclusive(Vec<Exclusive>),
}

fn shared() -> impl Strategy<Value = Shared> {
    prop_oneof![
        8 => Just(Shared::Publish),
        3 => (0..12_usize).prop_map(Shared::Batch),
        4 => (0..6_usize, 0..3_usize).prop_map(|(take, publish)| Shared::Drain(take, publish)),
        3 => (0..6_usize, 0..6_usize, 0..4_usize)
            .prop_map(|(take, most, publish)| Shared::Shorten(take, most, publish)),
        3 => (0..3_usize).prop_map(Shared::DrainAll),
        3 => append(),
        1 => Just(Shared::ForgetDrain),
        1 => Just(Shared::Reclaim),
        1 => Just(Shared::Nothing),
    ]
}

fn append() -> impl Strategy<Value = Shared> {
    #[cfg(feature = "alloc")]
    return (0..12_usize).prop_map(Shared::Append);
    #[cfg(not(feature = "alloc"))]
    Just(Shared::DrainAll(0))
}

fn exclusive() -> impl Strategy<Value = Exclusive> {
    prop_oneof![
        8 => Just(Exclusive::Publish),
        3 => (0..12_usize).prop_map(Exclusive::Batch),
        4 => (0..6_usize).prop_map(Exclusive::Drain),
        2 => (0..6_usize, 0..6_usize).prop_map(|(take, most)| Exclusive::Shorten(take, most)),
        2 => Just(Exclusive::DrainAll),
        2 => append_mut(),
        1 => Just(Exclusive::ForgetDrain),
    ]
}

fn append_mut() -> impl Strategy<Value = Exclusive> {
    #[cfg(feature = "alloc")]
    return Just(Exclusive::Append);
    #[cfg(not(feature = "alloc"))]
    Just(Exclusive::DrainAll)
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let phase = prop_oneof![
        vec(shared(), 1..16).prop_map(Phase::Shared),
        vec(exclusive(), 1..16).prop_map(Phase::Exclusive),
    ];
    vec(phase, 1..6)
}

/// Where the positions begin.
#[derive(Clone, Copy, Debug)]
enum Start {
    Zero,
    BeforeTheEnd(usize),
    BeforeTheMiddle(usize),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Zero),
        (0..24_usize).prop_map(Start::BeforeTheEnd),
        (0..24_usize).prop_map(Start::BeforeTheMiddle),
    ]
}

fn bus_at<E, const N: usize, P: Policy>(start: Start) -> Bus<E, N, P>
where
    (): Capacity<N>,
{
    // An entry has room for all but three bits of a position.
    let half = 1_usize << (Word::BITS - 1 - 3);
    match start {
        Start::Zero => Bus::new(),
        Start::BeforeTheEnd(back) => Bus::starting_before_wrap(back),
        Start::BeforeTheMiddle(back) => Bus::starting_before_wrap(half + back),
    }
}

// ---- Runs --------------------------------------------------------------------------------------

fn run_shared<E: Sample, const N: usize, P: Policy>(
    bus: &Bus<E, N, P>,
    model: &mut Model,
    operations: Vec<Shared>,
    token: &Rc<()>,
) {
    let mut consumer = bus.consumer().unwrap();
    for operation in operations {
        match operation {
            Shared::Publish => publish(bus, model, token),
            Shared::Batch(count) => {
                let events = model.events(count);
                assert_eq!(E::batch(bus, &events, token), model.publish_all(&events));
            }
            Shared::Drain(take, between) => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                for _ in 0..take {
                    (0..between).for_each(|_| publish(bus, model, token));
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
            }
            Shared::Shorten(take, most, between) => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                for _ in 0..take {
                    (0..between).for_each(|_| publish(bus, model, token));
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
                (0..between).for_each(|_| publish(bus, model, token));
                let last = model.shorten(last, most);
                let mut drain = drain.at_most(most);
                loop {
                    let event = drain.next().map(|event| event.number());
                    assert_eq!(event, model.take(last));
                    if event.is_none() {
                        break;
                    }
                    (0..between).for_each(|_| publish(bus, model, token));
                }
            }
            Shared::DrainAll(between) => {
                let last = model.freeze();
                consumer.drain().for_each(|event| {
                    assert_eq!(Some(event.number()), model.take(last));
                    (0..between).for_each(|_| publish(bus, model, token));
                });
                assert_eq!(model.take(last), None);
            }
            #[cfg(feature = "alloc")]
            Shared::Append(most) => {
                let last = model.freeze();
                let mut events = Vec::from([E::new(u32::MAX, token)]);
                let taken = consumer.drain().at_most(most).append_to(&mut events);
                check_appended(events, taken, most, model, last);
            }
            Shared::ForgetDrain => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                let _ = ManuallyDrop::new(drain);
            }
            Shared::Reclaim => {
                assert!(bus.consumer().is_err());
                drop(consumer);
                consumer = bus.consumer().unwrap();
            }
            Shared::Nothing => assert!(consumer.drain().take(0).next().is_none()),
        }
        model.check(consumer.stats(), token);
        model.check(bus.stats(), token);
        assert_eq!(
            (bus.pending(), bus.is_empty()),
            (model.waiting.len(), model.waiting.is_empty())
        );
    }
}

/// What was moved behind another event: at most so many, in order, and none that the model would not take.
#[cfg(feature = "alloc")]
fn check_appended<E: Sample>(
    events: Vec<E>,
    taken: usize,
    most: usize,
    model: &mut Model,
    last: Option<u32>,
) {
    let mut numbers = events.iter().map(Sample::number);
    assert_eq!((numbers.next(), numbers.len()), (Some(u32::MAX), taken));
    for number in numbers {
        assert_eq!(Some(number), model.take(last));
    }
    assert!(taken == most || (taken < most && model.take(last).is_none()));
}

fn publish<E: Sample, const N: usize, P: Policy>(
    bus: &Bus<E, N, P>,
    model: &mut Model,
    token: &Rc<()>,
) {
    for event in model.events(1) {
        match bus.publish(E::new(event, token)) {
            Ok(()) => assert!(model.publish(event)),
            Err(Full(back)) => {
                assert!(!model.publish(event));
                assert_eq!(back.number(), event);
            }
        }
    }
}

fn run_exclusive<E: Sample, const N: usize, P: Policy>(
    bus: &mut Bus<E, N, P>,
    model: &mut Model,
    operations: Vec<Exclusive>,
    token: &Rc<()>,
) {
    for operation in operations {
        match operation {
            Exclusive::Publish => {
                for event in model.events(1) {
                    let result = bus.publish_mut(E::new(event, token));
                    assert_eq!(result.is_ok(), model.publish(event));
                    assert!(result.err().is_none_or(|Full(back)| back.number() == event));
                }
            }
            Exclusive::Batch(count) => {
                let events = model.events(count);
                assert_eq!(E::batch_mut(bus, &events, token), model.publish_all(&events));
            }
            Exclusive::Drain(take) => {
                let last = model.freeze();
                let mut drain = bus.drain();
                for _ in 0..take {
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
            }
            Exclusive::Shorten(take, most) => {
                let last = model.freeze();
                let mut drain = bus.drain();
                for _ in 0..take {
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
                let last = model.shorten(last, most);
                let mut drain = drain.at_most(most);
                for _ in 0..=most {
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
            }
            Exclusive::DrainAll => {
                let last = model.freeze();
                bus.drain().for_each(|event| assert_eq!(Some(event.number()), model.take(last)));
                assert_eq!(model.take(last), None);
            }
            #[cfg(feature = "alloc")]
            Exclusive::Append => {
                let last = model.freeze();
                let mut events = Vec::from([E::new(u32::MAX, token)]);
                let taken = bus.drain().append_to(&mut events);
                check_appended(events, taken, usize::MAX, model, last);
            }
            Exclusive::ForgetDrain => {
                let last = model.freeze();
                let mut drain = bus.drain();
                assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                let _ = ManuallyDrop::new(drain);
            }
        }
        model.check(bus.stats(), token);
    }
}

fn run<E: Sample, const N: usize, P: Policy>(loss: Loss, start: Start, phases: Vec<Phase>)
where
    (): Capacity<N>,
{
    let token = Rc::new(());
    let mut model = Model::new(loss, N);
    let mut bus: Bus<E, N, P> = bus_at(start);
    // A bus that starts further on has handled what was before.
    (model.stats.handled, model.stats.published) = (bus.stats().handled, bus.stats().handled);
    model.check(bus.stats(), &token);
    for phase in phases {
        match phase {
            Phase::Shared(operations) => run_shared(&bus, &mut model, operations, &token),
            Phase::Exclusive(operations) => run_exclusive(&mut bus, &mut model, operations, &token),
        }
    }
    drop(bus);
    assert_eq!(Rc::strong_count(&token), 1);
}

fn run_lane<E: Sample, const N: usize>(start: usize, operations: Vec<Shared>)
where
    (): Capacity<N>,
{
    let token = Rc::new(());
    let mut model = Model::new(Loss::Refuses, N);
    let lane: Lane<E, N> = Lane::starting_before_wrap(start);
    // A lane that starts further on has handled what was before.
    (model.stats.handled, model.stats.published) = (lane.stats().handled, lane.stats().handled);
    let mut publisher = lane.publisher().unwrap();
    let mut consumer: Consumer<'_, E, Single> = lane.consumer().unwrap();
    let publish = |publisher: &mut Publisher<'_, E>, model: &mut Model| {
        for event in model.events(1) {
            let result = publisher.publish(E::new(event, &token));
            assert_eq!(result.is_ok(), model.publish(event));
            assert!(result.err().is_none_or(|Full(back)| back.number() == event));
        }
    };
    for operation in operations {
        match operation {
            Shared::Publish => publish(&mut publisher, &mut model),
            Shared::Batch(count) => {
                let events = model.events(count);
                let taken = E::batch_alone(&mut publisher, &events, &token);
                assert_eq!(taken, model.publish_all(&events));
            }
            Shared::Drain(take, between) => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                for _ in 0..take {
                    (0..between).for_each(|_| publish(&mut publisher, &mut model));
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
            }
            Shared::Shorten(take, most, between) => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                for _ in 0..take {
                    (0..between).for_each(|_| publish(&mut publisher, &mut model));
                    assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                }
                let last = model.shorten(last, most);
                let taken = drain.at_most(most).map(|event| event.number());
                taken.for_each(|event| assert_eq!(Some(event), model.take(last)));
                assert_eq!(model.take(last), None);
            }
            Shared::DrainAll(between) => {
                let last = model.freeze();
                consumer.drain().for_each(|event| {
                    assert_eq!(Some(event.number()), model.take(last));
                    (0..between).for_each(|_| publish(&mut publisher, &mut model));
                });
                assert_eq!(model.take(last), None);
            }
            #[cfg(feature = "alloc")]
            Shared::Append(most) => {
                let last = model.freeze();
                let mut events = Vec::from([E::new(u32::MAX, &token)]);
                let taken = consumer.drain().at_most(most).append_to(&mut events);
                check_appended(events, taken, most, &mut model, last);
            }
            Shared::ForgetDrain => {
                let last = model.freeze();
                let mut drain = consumer.drain();
                assert_eq!(drain.next().map(|event| event.number()), model.take(last));
                let _ = ManuallyDrop::new(drain);
            }
            Shared::Reclaim => {
                assert!(lane.consumer().is_err() && lane.publisher().is_err());
                drop((publisher, consumer));
                (publisher, consumer) = (lane.publisher().unwrap(), lane.consumer().unwrap());
            }
            Shared::Nothing => assert!(consumer.drain().take(0).next().is_none()),
        }
        model.check(consumer.stats(), &token);
        model.check(lane.stats(), &token);
    }
    drop((publisher, consumer));
    drop(lane);
    assert_eq!(Rc::strong_count(&token), 1);
}

/// No file of failures in the source tree: what fails becomes a test of its own.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn an_exclusive_drain_leaves_the_claim_as_it_was() {
    fn check<P: Policy>() {
        let mut bus: Bus<u32, 2, P> = Bus::starting_before_wrap(1);
        for event in 0..3 {
            let _ = bus.publish(event);
        }
        bus.drain().next();
        assert!(bus.consumer().is_ok(), "it is not claimed");
        mem::forget(bus.consumer());
        for event in 0..3 {
            let _ = bus.publish(event);
        }
        bus.drain().next();
        assert!(bus.consumer().is_err(), "claimed for good");
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_rejecting_bus_is_a_queue(start in start(), phases in phases()) {
        run::<u32, 2, Reject>(Loss::Refuses, start, phases.clone());
        run::<u32, 8, Reject>(Loss::Refuses, start, phases.clone());
        run::<Counted, 4, Reject>(Loss::Refuses, start, phases);
    }

    #[test]
    fn a_bus_that_drops_the_oldest_is_a_queue(start in start(), phases in phases()) {
        run::<u32, 2, DropOldest>(Loss::Oldest, start, phases.clone());
        run::<u32, 8, DropOldest>(Loss::Oldest, start, phases.clone());
        run::<Counted, 4, DropOldest>(Loss::Oldest, start, phases);
    }

    #[test]
    fn a_bus_that_drops_the_newest_is_a_queue(start in start(), phases in phases()) {
        run::<u32, 2, DropNewest>(Loss::Newest, start, phases.clone());
        run::<u32, 8, DropNewest>(Loss::Newest, start, phases.clone());
        run::<Counted, 4, DropNewest>(Loss::Newest, start, phases);
    }

    #[test]
    fn a_lane_is_a_queue(start in 0..20_usize, operations in vec(shared(), 1..64)) {
        run_lane::<u32, 2>(start, operations.clone());
        run_lane::<u32, 8>(start, operations.clone());
        run_lane::<Counted, 4>(start, operations);
    }
}

// ---- Sizes -------------------------------------------------------------------------------------

/// A parameter that is not used costs no byte.
#[test]
fn what_has_no_waiters_has_no_room_for_them() {
    assert_eq!(size_of::<Bus<u64, 4>>(), size_of::<queue::Ring<u64, 4, Reject>>());
    assert_eq!(size_of::<Bus<u64, 4, DropOldest>>(), size_of::<queue::Ring<u64, 4, DropOldest>>());
    assert_eq!(size_of::<Lane<u64, 4>>(), size_of::<spsc::Ring<u64, 4>>());
    assert_eq!(size_of::<Publisher<'_, u64>>(), size_of::<spsc::Writer<'_, u64>>());
    assert_eq!(
        size_of::<Consumer<'_, u64>>(),
        size_of::<Side<'_, <Reject as Taken>::Reader<u64>>>()
    );
    assert_eq!(
        size_of::<Consumer<'_, u64, Single>>(),
        size_of::<Side<'_, <Single as Taken>::Reader<u64>>>()
    );
}
