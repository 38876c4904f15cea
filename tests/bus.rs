//! One consumer, bus and lane: do they do what their pages say, to the event and to the count?
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt::{Debug, Display};
use core::mem::{self, ManuallyDrop};
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use tickbus::bus::{Capacity, Policy};
use tickbus::{
    Budget, Bus, Dispatch, DropNewest, DropOldest, Event, Full, Lane, Reject, Stats, Waiters,
};

// ---- Helpers -----------------------------------------------------------------------------------

type Publish<E, const N: usize, P> = fn(&mut Bus<E, N, P>, E) -> Result<(), Full<E>>;
type Drain<E, const N: usize, P> = fn(&mut Bus<E, N, P>) -> Vec<E>;

/// Both ways to publish and all ways to drain: whatever holds for one must hold for each pair.
fn ways<E, const N: usize, P: Policy>() -> Vec<(Publish<E, N, P>, Drain<E, N, P>)> {
    let publish: [Publish<E, N, P>; 2] =
        [|bus, event| bus.publish(event), |bus, event| bus.publish_mut(event)];
    let drain: &[Drain<E, N, P>] = &[
        |bus| bus.consumer().unwrap().drain().collect(),
        |bus| bus.drain().collect(),
        #[cfg(feature = "alloc")]
        |bus| {
            let mut events = Vec::new();
            assert_eq!(bus.consumer().unwrap().drain().append_to(&mut events), events.len());
            events
        },
        #[cfg(feature = "alloc")]
        |bus| {
            let mut events = Vec::new();
            assert_eq!(bus.drain().append_to(&mut events), events.len());
            events
        },
    ];
    let pairs = publish.iter().flat_map(|publish| drain.iter().map(|drain| (*publish, *drain)));
    pairs.collect()
}

#[track_caller]
fn conserved(stats: Stats) {
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
    assert!(stats.pending <= stats.high_water, "{stats:?}");
}

/// Who was dropped, in this order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u32>>>);

impl Log {
    fn event(&self, number: u32) -> Counted {
        Counted { number, panics: false, log: self.clone() }
    }

    fn bomb(&self, number: u32) -> Counted {
        Counted { number, panics: true, log: self.clone() }
    }

    /// The drops since this was last asked.
    fn take(&self) -> Vec<u32> {
        mem::take(&mut *self.0.borrow_mut())
    }

    /// The same where the order does not matter.
    fn take_sorted(&self) -> Vec<u32> {
        let mut dropped = self.take();
        dropped.sort_unstable();
        dropped
    }
}

/// An event that writes down its drop, and may panic in it.
struct Counted {
    number: u32,
    panics: bool,
    log: Log,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.log.0.borrow_mut().push(self.number);
        assert!(!self.panics, "a bomb");
    }
}

/// A ring of many slots. An interpreter takes minutes for 1024.
const LARGE: usize = if cfg!(miri) { 16 } else { 1024 };

/// Of `slots` places in a ring, which of them a test begins at: each, or two in an interpreter.
const fn stride(slots: usize) -> usize {
    if cfg!(miri) { slots / 2 } else { 1 }
}

fn panics<R>(action: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(action)).is_err()
}

fn filled<const N: usize, P: Policy>(log: &Log, events: u32) -> Bus<Counted, N, P>
where
    (): Capacity<N>,
{
    let bus = Bus::new();
    for number in 0..events {
        assert!(bus.publish(log.event(number)).is_ok());
    }
    bus
}

// ---- Room --------------------------------------------------------------------------------------

fn exactly_n_fit<const N: usize, P: Policy>()
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<u32, N, P>() {
        let mut bus = Bus::new();
        assert_eq!((bus.capacity(), bus.pending(), bus.is_empty()), (N, 0, true));
        for lap in 0..3 {
            for number in 0..N {
                assert_eq!(publish(&mut bus, number as u32), Ok(()), "lap {lap}");
                assert_eq!((bus.pending(), bus.is_empty()), (number + 1, false));
            }
            assert!(drain(&mut bus).into_iter().eq(0..N as u32), "lap {lap}");
            assert_eq!(bus.stats().dropped() + bus.stats().refused, 0);
            conserved(bus.stats());
        }
    }
}

#[test]
fn exactly_n_events_fit_whatever_the_policy() {
    exactly_n_fit::<2, Reject>();
    exactly_n_fit::<4, Reject>();
    exactly_n_fit::<LARGE, Reject>();
    exactly_n_fit::<2, DropOldest>();
    exactly_n_fit::<4, DropOldest>();
    exactly_n_fit::<LARGE, DropOldest>();
    exactly_n_fit::<2, DropNewest>();
    exactly_n_fit::<4, DropNewest>();
    exactly_n_fit::<LARGE, DropNewest>();
}

fn a_full_one_rejects<const N: usize>()
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<u32, N, Reject>() {
        let mut bus = Bus::new();
        for number in 0..N as u32 {
            publish(&mut bus, number).unwrap();
        }
        let before = bus.stats();
        for refused in 1..=3 {
            assert_eq!(publish(&mut bus, 777), Err(Full(777)));
            assert_eq!(bus.stats(), with(before, |stats| stats.refused = refused));
        }
        assert!(drain(&mut bus).into_iter().eq(0..N as u32));
        assert_eq!(publish(&mut bus, 1), Ok(()));
        conserved(bus.stats());
    }
}

/// The stats with a change.
fn with(mut stats: Stats, change: impl FnOnce(&mut Stats)) -> Stats {
    change(&mut stats);
    stats
}

#[test]
fn a_full_bus_rejects_without_a_side_effect() {
    a_full_one_rejects::<2>();
    a_full_one_rejects::<4>();
    a_full_one_rejects::<LARGE>();
}

fn the_newest_survive<const N: usize>()
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<u32, N, DropOldest>() {
        for surplus in [1, 2, N - 1, N, 2 * N + 1] {
            let mut bus = Bus::new();
            for number in 0..(N + surplus) as u32 {
                assert_eq!(publish(&mut bus, number), Ok(()));
            }
            let stats = bus.stats();
            assert_eq!(
                (stats.published, stats.pending, stats.dropped_oldest, stats.dropped_newest),
                (N + surplus, N, surplus, 0)
            );
            assert!(drain(&mut bus).into_iter().eq(surplus as u32..(N + surplus) as u32));
            assert_eq!((bus.stats().handled, bus.stats().refused), (N, 0));
            conserved(bus.stats());
        }
    }
}

#[test]
fn drop_oldest_keeps_exactly_the_newest_n() {
    the_newest_survive::<2>();
    the_newest_survive::<4>();
    the_newest_survive::<LARGE>();
}

fn the_first_survive<const N: usize>()
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<u32, N, DropNewest>() {
        let mut bus = Bus::new();
        let seen = (0..2 * N as u32).filter(|&number| publish(&mut bus, number).is_err());
        assert!(seen.eq(N as u32..2 * N as u32), "the caller sees each loss");
        let stats = bus.stats();
        assert_eq!(
            (stats.published, stats.pending, stats.dropped_newest, stats.dropped_oldest),
            (2 * N, N, N, 0)
        );
        assert!(drain(&mut bus).into_iter().eq(0..N as u32));
        assert_eq!(bus.stats().refused, 0);
        conserved(bus.stats());
    }
}

#[test]
fn drop_newest_keeps_exactly_the_first_n() {
    the_first_survive::<2>();
    the_first_survive::<4>();
    the_first_survive::<LARGE>();
}

fn a_full_lane<const N: usize>()
where
    (): Capacity<N>,
{
    let lane: Lane<u32, N> = Lane::default();
    assert_eq!((lane.capacity(), lane.pending(), lane.is_empty()), (N, 0, true));
    let mut publisher = lane.publisher().unwrap();
    let mut consumer = lane.consumer().unwrap();
    for _ in 0..3 {
        for number in 0..N as u32 {
            assert_eq!(publisher.publish(number), Ok(()));
        }
        let before = lane.stats();
        assert_eq!(publisher.publish(777), Err(Full(777)));
        assert_eq!(lane.stats(), with(before, |stats| stats.refused += 1));
        assert_eq!((lane.pending(), lane.is_empty(), consumer.pending()), (N, false, N));
        assert!(consumer.drain().eq(0..N as u32));
    }
    assert_eq!(lane.stats().refused, 3);
    conserved(lane.stats());
}

#[test]
fn a_lane_holds_exactly_n_and_rejects() {
    a_full_lane::<2>();
    a_full_lane::<4>();
    a_full_lane::<LARGE>();
}

// ---- Batches -----------------------------------------------------------------------------------

type Batch<B> = for<'e> fn(&mut B, &'e [u32]) -> Result<(), Full<&'e [u32]>>;

fn batches<const N: usize, P: Policy>(publish: Batch<Bus<u32, N, P>>, drop_oldest: bool)
where
    (): Capacity<N>,
{
    let numbers: Vec<_> = (0..3 * N as u32).collect();
    // Every start within the ring, so that batches wrap around.
    for start in (0..N).step_by(stride(N)) {
        for waiting in (0..=N).step_by(stride(N)) {
            for length in [0, 1, 2, N - 1, N, N + 1, 2 * N + 1] {
                let mut bus = Bus::new();
                for _ in 0..start {
                    bus.publish_mut(0).unwrap();
                    bus.drain().for_each(drop);
                }
                for _ in 0..waiting {
                    bus.publish_mut(999).unwrap();
                }
                let batch = &numbers[..length];
                let (room, result) = (N - waiting, publish(&mut bus, batch));
                let all: Vec<_> =
                    core::iter::repeat_n(999, waiting).chain(batch.iter().copied()).collect();
                let kept = if drop_oldest {
                    assert_eq!(result, Ok(()));
                    &all[all.len().saturating_sub(N)..]
                } else {
                    let rest = &batch[room.min(length)..];
                    assert_eq!(result, if rest.is_empty() { Ok(()) } else { Err(Full(rest)) });
                    &all[..all.len().min(N)]
                };
                let stats = bus.stats();
                let lost = all.len() - kept.len();
                assert_eq!(stats.dropped() + stats.refused, lost, "{start} {waiting} {length}");
                conserved(stats);
                assert!(bus.drain().eq(kept.iter().copied()), "{start} {waiting} {length}");
            }
        }
    }
}

#[test]
fn a_batch_is_published_as_far_as_there_is_room() {
    batches::<2, Reject>(|bus, batch| bus.publish_batch(batch), false);
    batches::<8, Reject>(|bus, batch| bus.publish_batch(batch), false);
    batches::<2, DropNewest>(|bus, batch| bus.publish_batch(batch), false);
    batches::<8, DropNewest>(|bus, batch| bus.publish_batch(batch), false);
    batches::<2, DropOldest>(|bus, batch| bus.publish_batch(batch), true);
    batches::<8, DropOldest>(|bus, batch| bus.publish_batch(batch), true);
}

#[test]
fn so_is_a_batch_on_an_exclusive_bus() {
    batches::<2, Reject>(|bus, batch| bus.publish_batch_mut(batch), false);
    batches::<8, Reject>(|bus, batch| bus.publish_batch_mut(batch), false);
    batches::<2, DropNewest>(|bus, batch| bus.publish_batch_mut(batch), false);
    batches::<8, DropNewest>(|bus, batch| bus.publish_batch_mut(batch), false);
    batches::<2, DropOldest>(|bus, batch| bus.publish_batch_mut(batch), true);
    batches::<8, DropOldest>(|bus, batch| bus.publish_batch_mut(batch), true);
}

#[test]
fn so_is_a_batch_on_a_lane() {
    let numbers: Vec<_> = (0..20).collect();
    for start in (0..8).step_by(stride(8)) {
        for waiting in (0..=8).step_by(stride(8)) {
            for length in [0, 1, 7, 8, 9, 20] {
                let lane: Lane<u32, 8> = Lane::new();
                let (mut publisher, mut consumer) =
                    (lane.publisher().unwrap(), lane.consumer().unwrap());
                for _ in 0..start {
                    publisher.publish(0).unwrap();
                    consumer.drain().for_each(drop);
                }
                for _ in 0..waiting {
                    publisher.publish(999).unwrap();
                }
                let batch = &numbers[..length];
                let fit = length.min(8 - waiting);
                let expected = if fit == length { Ok(()) } else { Err(Full(&batch[fit..])) };
                assert_eq!(publisher.publish_batch(batch), expected);
                assert!(consumer.drain().skip(waiting).eq(batch[..fit].iter().copied()));
                assert_eq!(lane.stats().refused, length - fit);
                conserved(lane.stats());
            }
        }
    }
}

// ---- Draining ----------------------------------------------------------------------------------

fn what_comes_meanwhile_waits<P: Policy>() {
    let bus: Bus<u32, 8, P> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2, 3]).unwrap();
    let mut taken = Vec::new();
    for event in consumer.drain() {
        bus.publish(event + 10).unwrap();
        taken.push(event);
    }
    assert_eq!(taken, [1, 2, 3]);
    assert_eq!(consumer.pending(), 3);
    assert!(consumer.drain().eq([11, 12, 13]));
    assert_eq!(consumer.drain().next(), None);
    conserved(bus.stats());
}

#[test]
fn a_drain_takes_exactly_the_events_of_its_moment() {
    what_comes_meanwhile_waits::<Reject>();
    what_comes_meanwhile_waits::<DropOldest>();
    what_comes_meanwhile_waits::<DropNewest>();
}

#[test]
fn the_moment_of_a_drain_is_that_of_the_call() {
    let bus: Bus<u32, 8> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish(1).unwrap();
    let drain = consumer.drain();
    bus.publish(2).unwrap();
    assert!(drain.eq([1]));
    assert!(consumer.drain().eq([2]));
}

#[test]
fn a_displaced_event_is_not_drained_and_its_successor_waits() {
    let bus: Bus<u32, 4, DropOldest> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2, 3, 4]).unwrap();
    let mut drain = consumer.drain();
    assert_eq!(drain.next(), Some(1));
    bus.publish_batch(&[5, 6, 7]).unwrap(); // 5 fits, 6 and 7 displace 2 and 3
    assert!(drain.eq([4]));
    assert!(consumer.drain().eq([5, 6, 7]));
    assert_eq!(bus.stats().dropped_oldest, 2);
    conserved(bus.stats());
}

#[test]
fn a_drain_that_was_overtaken_is_empty() {
    let bus: Bus<u32, 2, DropOldest> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2]).unwrap();
    let mut drain = consumer.drain();
    bus.publish_batch(&[3, 4, 5]).unwrap();
    assert_eq!(drain.next(), None);
    assert_eq!(drain.next(), None);
    assert!(consumer.drain().eq([4, 5]));
    assert_eq!((bus.stats().handled, bus.stats().dropped_oldest), (2, 3));
    conserved(bus.stats());
}

fn a_drain_dropped_early<P: Policy>() {
    let mut bus: Bus<u32, 8, P> = Bus::new();
    bus.publish_batch(&[1, 2, 3, 4, 5, 6]).unwrap();
    let mut consumer = bus.consumer().unwrap();
    assert!(consumer.drain().take(2).eq([1, 2]));
    drop(consumer.drain());
    assert_eq!(consumer.drain().next(), Some(3));
    let mut rest = Vec::new();
    consumer.drain().for_each(|event| rest.push(event));
    assert_eq!(rest, [4, 5, 6]);

    drop(consumer);
    bus.publish_batch(&[7, 8, 9]).unwrap();
    assert!(bus.drain().take(1).eq([7]));
    drop(bus.drain());
    assert!(bus.consumer().unwrap().drain().eq([8, 9]));
    conserved(bus.stats());
}

#[test]
fn a_drain_that_is_dropped_early_leaves_the_rest_in_order() {
    a_drain_dropped_early::<Reject>();
    a_drain_dropped_early::<DropOldest>();
    a_drain_dropped_early::<DropNewest>();
}

#[test]
fn until_asks_before_it_takes() {
    let mut bus: Bus<u32, 8> = Bus::new();
    bus.publish_batch(&[1, 2, 3, 4]).unwrap();
    let asked = Cell::new(0);
    let late = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let mut consumer = bus.consumer().unwrap();
    let mut until = consumer.drain().until(late);
    assert_eq!([until.next(), until.next(), until.next()], [Some(1), Some(2), None]);
    assert_eq!((until.next(), asked.get()), (None, 3), "it stays ended and asks no more");
    assert_eq!(consumer.pending(), 2);
    assert!(consumer.drain().until(|| true).eq([0; 0]));
    drop(consumer);
    assert!(bus.drain().until(|| true).eq([0; 0]));
    assert!(bus.drain().until(|| false).eq([3, 4]));
}

#[test]
fn a_drain_of_an_empty_bus_is_empty() {
    let mut bus: Bus<u32, 2> = Bus::new();
    assert_eq!(bus.consumer().unwrap().drain().next(), None);
    assert_eq!(bus.drain().next(), None);
    assert_eq!(bus.stats(), Stats::default());
}

// ---- Claims ------------------------------------------------------------------------------------

#[test]
fn one_consumer_at_a_time() {
    let bus: Bus<u32, 4, DropOldest> = Bus::new();
    for number in 0..3 {
        bus.publish(number).unwrap();
        let mut consumer = bus.consumer().unwrap();
        assert!(bus.consumer().is_err());
        assert!(consumer.drain().eq([number]));
        assert!(bus.consumer().is_err());
    }
    assert!(bus.consumer().is_ok(), "given back");
}

#[test]
fn one_consumer_and_one_producer_of_a_lane_at_a_time() {
    let lane: Lane<u32, 4> = Lane::new();
    for number in 0..6 {
        let (mut publisher, mut consumer) = (lane.publisher().unwrap(), lane.consumer().unwrap());
        assert!(lane.publisher().is_err() && lane.consumer().is_err());
        publisher.publish(number).unwrap();
        drop(publisher);
        lane.publisher().unwrap().publish(number + 100).unwrap();
        assert!(consumer.drain().eq([number, number + 100]));
    }
    conserved(lane.stats());
}

#[test]
fn a_forgotten_consumer_keeps_its_claim_and_nothing_else() {
    let log = Log::default();
    let mut bus: Bus<Counted, 4> = filled(&log, 3);
    mem::forget(bus.consumer());
    assert!(bus.consumer().is_err());
    assert_eq!(bus.drain().next().map(|event| event.number), Some(0));
    assert!(bus.publish(log.event(3)).is_ok());
    assert_eq!(log.take(), [0]);
    drop(bus);
    assert_eq!(log.take_sorted(), [1, 2, 3]);
}

#[test]
fn lane_counts_an_event_that_meets_a_claimed_publisher() {
    let lane: Lane<u8, 2> = Lane::new();
    let mut publisher = lane.publisher().unwrap();
    let error = lane.publisher().unwrap_err();
    assert!(error.to_string().starts_with("the publisher is claimed already"), "{error}");
    assert_eq!(lane.publish(1), Err(Full(1)));
    publisher.publish(2).unwrap();
    drop(publisher);
    assert_eq!([3, 4].map(|event| lane.publish(event)), [Ok(()), Err(Full(4))]);

    let stats = lane.stats();
    assert_eq!((stats.published, stats.refused, stats.pending), (2, 2, 2));
    assert!(lane.consumer().unwrap().drain().eq([2, 3]));
}

#[test]
fn a_forgotten_producer_keeps_its_claim_and_nothing_else() {
    let log = Log::default();
    let lane: Lane<Counted, 4> = Lane::new();
    let mut publisher = lane.publisher().unwrap();
    assert!(publisher.publish(log.event(0)).is_ok());
    mem::forget(publisher);
    assert!(lane.publisher().is_err());
    assert_eq!(lane.consumer().unwrap().drain().count(), 1);
    assert_eq!(log.take(), [0]);
}

// ---- Drops -------------------------------------------------------------------------------------

fn each_is_dropped_once<const N: usize, P: Policy>()
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<Counted, N, P>() {
        let log = Log::default();
        let mut bus: Bus<Counted, N, P> = Bus::new();
        let mut back = Vec::new();
        let mut last = 0;
        for round in 0..4 * N as u32 {
            let Err(Full(event)) = publish(&mut bus, log.event(round)) else { continue };
            back.push(event);
            last = round;
        }
        let displaced = log.take();
        assert!(displaced.iter().copied().eq(0..displaced.len() as u32), "oldest first, at once");
        assert_eq!(displaced.len(), bus.stats().dropped_oldest);
        assert_eq!(back.len(), bus.stats().refused + bus.stats().dropped_newest);
        assert!(back.last().is_none_or(|event| event.number == last));

        let taken = drain(&mut bus);
        assert_eq!((taken.len(), log.take()), (N, vec![]), "moved out, not dropped");
        drop((taken, back));
        let dropped = log.take_sorted();
        assert!(dropped.into_iter().eq(displaced.len() as u32..4 * N as u32));
        drop(bus);
        assert_eq!(log.take(), [0; 0]);
    }
}

#[test]
fn each_event_is_dropped_exactly_once() {
    each_is_dropped_once::<2, Reject>();
    each_is_dropped_once::<4, Reject>();
    each_is_dropped_once::<LARGE, Reject>();
    each_is_dropped_once::<2, DropOldest>();
    each_is_dropped_once::<4, DropOldest>();
    each_is_dropped_once::<LARGE, DropOldest>();
    each_is_dropped_once::<2, DropNewest>();
    each_is_dropped_once::<4, DropNewest>();
    each_is_dropped_once::<LARGE, DropNewest>();
}

#[test]
fn what_is_left_goes_down_with_the_bus() {
    let log = Log::default();
    for taken in 0..=4 {
        let mut bus: Bus<Counted, 4> = filled(&log, 4);
        bus.drain().take(taken).for_each(drop);
        for number in 0..taken as u32 {
            assert!(bus.publish(log.event(10 + number)).is_ok());
        }
        log.take();
        drop(bus);
        let expected = (taken as u32..4).chain(10..10 + taken as u32);
        assert!(log.take_sorted().into_iter().eq(expected), "{taken}");
    }
}

#[test]
fn what_is_left_goes_down_with_the_lane() {
    let log = Log::default();
    let lane: Lane<Counted, 4> = Lane::new();
    let mut publisher = lane.publisher().unwrap();
    for number in 0..4 {
        assert!(publisher.publish(log.event(number)).is_ok());
    }
    drop(publisher.publish(log.event(4)));
    assert_eq!(log.take(), [4]);
    drop(publisher);
    lane.consumer().unwrap().drain().take(1).for_each(drop);
    assert_eq!(log.take(), [0]);
    drop(lane);
    assert_eq!(log.take_sorted(), [1, 2, 3]);
}

fn forgotten_drains<P: Policy>() {
    let log = Log::default();
    let mut bus: Bus<Counted, 4, P> = filled(&log, 4);
    let mut consumer = bus.consumer().unwrap();
    let mut drain = consumer.drain();
    drop(drain.next());
    let _ = ManuallyDrop::new(drain);
    assert_eq!((log.take(), consumer.pending()), (vec![0], 3));
    drop(consumer);

    let mut drain = bus.drain();
    drop(drain.next());
    let _ = ManuallyDrop::new(drain);
    assert_eq!((log.take(), bus.pending()), (vec![1], 2));
    assert_eq!(bus.consumer().unwrap().drain().next().map(|event| event.number), Some(2));
    assert_eq!(log.take(), [2]);
    conserved(bus.stats());
    drop(bus);
    assert_eq!(log.take(), [3]);
}

#[test]
fn a_forgotten_drain_leaves_the_rest_on_the_bus() {
    forgotten_drains::<Reject>();
    forgotten_drains::<DropOldest>();
    forgotten_drains::<DropNewest>();
}

// ---- Panics ------------------------------------------------------------------------------------

#[test]
fn a_displaced_event_that_panics_is_gone_and_the_new_one_is_there() {
    for (publish, drain) in ways::<Counted, 2, DropOldest>() {
        let log = Log::default();
        let mut bus = Bus::new();
        assert!(publish(&mut bus, log.bomb(0)).is_ok());
        assert!(publish(&mut bus, log.event(1)).is_ok());
        assert!(panics(|| publish(&mut bus, log.event(2))));
        assert_eq!(log.take(), [0]);
        assert_eq!((bus.pending(), bus.stats().dropped_oldest), (2, 1));
        conserved(bus.stats());
        assert!(publish(&mut bus, log.event(3)).is_ok());
        assert!(drain(&mut bus).iter().map(|event| event.number).eq([2, 3]));
        assert_eq!(log.take(), [1, 2, 3]);
        conserved(bus.stats());
    }
}

#[test]
fn when_one_event_panics_as_the_bus_is_dropped_the_others_are_dropped_all_the_same() {
    for bomb in 0..4 {
        let log = Log::default();
        let bus: Bus<Counted, 4> = Bus::new();
        for number in 0..4 {
            let event = if number == bomb { log.bomb(number) } else { log.event(number) };
            assert!(bus.publish(event).is_ok());
        }
        assert!(panics(|| drop(bus)), "the panic is passed on");
        assert_eq!(log.take_sorted(), [0, 1, 2, 3], "bomb {bomb}");
    }
}

#[test]
fn when_one_event_panics_as_the_lane_is_dropped_the_others_are_dropped_all_the_same() {
    for bomb in 0..4 {
        let log = Log::default();
        let lane: Lane<Counted, 4> = Lane::new();
        for number in 0..4 {
            let event = if number == bomb { log.bomb(number) } else { log.event(number) };
            assert!(lane.publish(event).is_ok());
        }
        assert!(panics(|| drop(lane)), "the panic is passed on");
        assert_eq!(log.take_sorted(), [0, 1, 2, 3], "bomb {bomb}");
    }
}

#[test]
fn a_drained_event_of_a_lane_that_panics_is_gone_and_the_rest_stays() {
    let log = Log::default();
    let lane: Lane<Counted, 4> = Lane::new();
    assert!(lane.publish(log.bomb(0)).is_ok());
    assert!(lane.publish(log.event(1)).is_ok());
    assert!(lane.publish(log.event(2)).is_ok());
    let mut consumer = lane.consumer().unwrap();
    assert!(panics(|| consumer.drain().for_each(drop)));
    assert_eq!((log.take(), consumer.pending()), (vec![0], 2));
    assert!(panics(|| consumer.drain().for_each(|event| assert!(event.number == 9, "a handler"))));
    assert_eq!((log.take(), consumer.pending()), (vec![1], 1));
    conserved(lane.stats());
    assert_eq!(consumer.drain().next().map(|event| event.number), Some(2));
}

fn a_drained_event_panics<P: Policy>() {
    for exclusive in [false, true] {
        for internal in [false, true] {
            let log = Log::default();
            let mut bus: Bus<Counted, 4, P> = filled(&log, 1);
            assert!(bus.publish(log.bomb(1)).is_ok());
            assert!(bus.publish(log.event(2)).is_ok());
            assert!(panics(|| match (exclusive, internal) {
                (false, false) => {
                    let mut consumer = bus.consumer().unwrap();
                    for event in consumer.drain() {
                        drop(event);
                    }
                }
                (false, true) => bus.consumer().unwrap().drain().for_each(drop),
                (true, false) => {
                    for event in bus.drain() {
                        drop(event);
                    }
                }
                (true, true) => bus.drain().for_each(drop),
            }));
            assert_eq!(log.take(), [0, 1]);
            assert_eq!((bus.stats().handled, bus.pending()), (2, 1));
            conserved(bus.stats());

            assert!(bus.publish(log.event(3)).is_ok());
            let rest: Vec<_> = bus.consumer().expect("given back").drain().collect();
            assert!(rest.iter().map(|event| event.number).eq([2, 3]));
            conserved(bus.stats());
        }
    }
}

#[test]
fn a_panic_between_two_events_consumes_the_one_and_leaves_the_rest() {
    a_drained_event_panics::<Reject>();
    a_drained_event_panics::<DropOldest>();
    a_drained_event_panics::<DropNewest>();
}

#[test]
fn a_panic_in_until_takes_nothing() {
    let mut bus: Bus<u32, 4> = Bus::new();
    bus.publish_batch(&[1, 2]).unwrap();
    assert!(panics(|| bus.consumer().unwrap().drain().until(|| panic!("no clock")).next()));
    assert!(panics(|| bus.drain().until(|| panic!("no clock")).next()));
    assert!(bus.consumer().unwrap().drain().eq([1, 2]));
}

// ---- Stats -------------------------------------------------------------------------------------

/// What stands in `Stats`, in the order of its fields, less what only a tick counts.
fn numbers(stats: Stats) -> [usize; 7] {
    conserved(stats);
    assert_eq!((stats.failed, stats.unhandled), (0, 0));
    [
        stats.published,
        stats.handled,
        stats.pending,
        stats.refused,
        stats.dropped_oldest,
        stats.dropped_newest,
        stats.high_water,
    ]
}

#[test]
fn stats_of_rejecting_at_each_step() {
    for (publish, drain) in ways::<u32, 2, Reject>() {
        let mut bus = Bus::new();
        assert_eq!(numbers(bus.stats()), [0; 7]);
        publish(&mut bus, 1).unwrap();
        assert_eq!(numbers(bus.stats()), [1, 0, 1, 0, 0, 0, 1]);
        drain(&mut bus);
        assert_eq!(numbers(bus.stats()), [1, 1, 0, 0, 0, 0, 1]);
        publish(&mut bus, 2).unwrap();
        publish(&mut bus, 3).unwrap();
        assert_eq!(numbers(bus.stats()), [3, 1, 2, 0, 0, 0, 2]);
        publish(&mut bus, 4).unwrap_err();
        assert_eq!(numbers(bus.stats()), [3, 1, 2, 1, 0, 0, 2]);
        drain(&mut bus);
        assert_eq!(numbers(bus.stats()), [3, 3, 0, 1, 0, 0, 2]);
    }
}

#[test]
fn stats_of_dropping_the_oldest_at_each_step() {
    for (publish, drain) in ways::<u32, 2, DropOldest>() {
        let mut bus = Bus::new();
        publish(&mut bus, 1).unwrap();
        publish(&mut bus, 2).unwrap();
        assert_eq!(numbers(bus.stats()), [2, 0, 2, 0, 0, 0, 2]);
        publish(&mut bus, 3).unwrap();
        assert_eq!(numbers(bus.stats()), [3, 0, 2, 0, 1, 0, 2]);
        drain(&mut bus);
        assert_eq!(numbers(bus.stats()), [3, 2, 0, 0, 1, 0, 2]);
        publish(&mut bus, 4).unwrap();
        assert_eq!(numbers(bus.stats()), [4, 2, 1, 0, 1, 0, 2]);
    }
}

#[test]
fn stats_of_dropping_the_newest_at_each_step() {
    for (publish, drain) in ways::<u32, 2, DropNewest>() {
        let mut bus = Bus::new();
        publish(&mut bus, 1).unwrap();
        publish(&mut bus, 2).unwrap();
        publish(&mut bus, 3).unwrap_err();
        assert_eq!(numbers(bus.stats()), [3, 0, 2, 0, 0, 1, 2]);
        drain(&mut bus);
        assert_eq!(numbers(bus.stats()), [3, 2, 0, 0, 0, 1, 2]);
    }
}

fn never_falls<P: Policy>() {
    let bus: Bus<u32, 4, P> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2]).unwrap();
    let mut drain = consumer.drain();
    drain.next();
    bus.publish_batch(&[3, 4, 5]).unwrap();
    assert_eq!(bus.stats().high_water, 4, "full now");
    drain.next();
    assert_eq!(bus.stats().high_water, 4, "was full once");
    drop(drain);
    consumer.drain().for_each(drop);
    assert_eq!(bus.stats().high_water, 4, "was full once");
}

fn found_by_a_drain<P: Policy>() {
    let mut bus: Bus<u32, 4, P> = Bus::new();
    bus.publish_batch(&[1, 2]).unwrap();
    bus.consumer().unwrap().drain().for_each(drop);
    assert_eq!(bus.stats().high_water, 2, "a reading finds none");
    bus.publish_batch_mut(&[1, 2, 3]).unwrap();
    bus.drain().for_each(drop);
    assert_eq!(bus.stats().high_water, 3, "nor here");
}

#[test]
fn a_drain_of_a_lane_marks_what_it_finds() {
    let lane: Lane<u32, 4> = Lane::new();
    let mut publisher = lane.publisher().unwrap();
    let mut consumer = lane.consumer().unwrap();
    publisher.publish_batch(&[1, 2]).unwrap();
    consumer.drain().for_each(drop);
    assert_eq!(lane.stats().high_water, 2, "a reading finds none");
    publisher.publish_batch(&[1, 2, 3]).unwrap();
    let mut drain = consumer.drain();
    drain.next();
    publisher.publish_batch(&[4, 5]).unwrap();
    assert_eq!(lane.stats().high_water, 4, "full now");
    drain.for_each(drop);
    assert_eq!(lane.stats().high_water, 4, "was full once");
}

#[test]
fn a_drain_marks_what_it_finds() {
    found_by_a_drain::<Reject>();
    found_by_a_drain::<DropOldest>();
    found_by_a_drain::<DropNewest>();
}

#[test]
fn the_high_water_mark_never_falls() {
    never_falls::<Reject>();
    never_falls::<DropOldest>();
    never_falls::<DropNewest>();
}

#[test]
fn stats_are_the_same_from_every_side() {
    let bus: Bus<u32, 4> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2, 3]).unwrap();
    consumer.drain().next();
    assert_eq!(consumer.stats(), bus.stats());
    assert_eq!((consumer.pending(), bus.pending()), (2, 2));
}

// ---- Kinds of events ---------------------------------------------------------------------------

fn any_event<E: Clone + PartialEq + Debug, const N: usize, P: Policy>(events: &[E])
where
    (): Capacity<N>,
{
    for (publish, drain) in ways::<E, N, P>() {
        let mut bus = Bus::new();
        for _ in 0..3 {
            for event in &events[..N] {
                assert_eq!(publish(&mut bus, event.clone()), Ok(()));
            }
            assert_eq!(bus.pending(), N);
            assert_eq!(drain(&mut bus), &events[..N]);
        }
        assert_eq!(bus.stats().handled, 3 * N);
        conserved(bus.stats());
    }
}

#[test]
fn events_without_a_size() {
    any_event::<(), 4, Reject>(&[(); 4]);
    any_event::<(), 4, DropOldest>(&[(); 4]);
    let bus: Bus<(), 2> = Bus::new();
    assert_eq!(bus.publish_batch(&[(); 3]), Err(Full(&[()][..])));
}

#[test]
fn drops_of_events_without_a_size_are_counted() {
    thread_local!(static DROPS: Cell<usize> = const { Cell::new(0) });
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.set(DROPS.get() + 1);
        }
    }
    let mut bus: Bus<Nothing, 4, DropOldest> = Bus::new();
    for _ in 0..7 {
        assert!(bus.publish(Nothing).is_ok());
    }
    assert_eq!(DROPS.get(), 3);
    drop(bus.drain().next());
    assert_eq!(DROPS.get(), 4);
    drop(bus);
    assert_eq!(DROPS.get(), 7);
}

#[test]
fn large_events() {
    let events: Vec<_> = (0..4).map(|number| [number; 1024]).collect();
    any_event::<[u8; 1024], 4, Reject>(&events);
    any_event::<[u8; 1024], 4, DropOldest>(&events);
    any_event::<[u8; 1024], 2, DropNewest>(&events);
}

#[test]
fn events_with_a_large_alignment() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Line(u8);
    let events: Vec<_> = (0..4).map(Line).collect();
    any_event::<Line, 4, Reject>(&events);
    any_event::<Line, 4, DropOldest>(&events);
    assert_eq!(align_of::<Bus<Line, 4>>() % 64, 0);
}

#[test]
fn events_that_borrow_or_cannot_be_sent() {
    let text = String::from("borrowed");
    let bus: Bus<(&str, Rc<()>), 2> = Bus::new();
    bus.publish((&text, Rc::new(()))).unwrap();
    assert_eq!(bus.consumer().unwrap().drain().next().unwrap().0, "borrowed");
}

// ---- Together ----------------------------------------------------------------------------------

fn shared_and_exclusive_in_turn<const N: usize, P: Policy>()
where
    (): Capacity<N>,
{
    let ways = ways::<u32, N, P>();
    let mut bus = Bus::new();
    let (mut published, mut taken) = (0, Vec::new());
    for step in 0..if cfg!(miri) { 4 } else { 50 } * N {
        let (publish, drain) = ways[step * 7 % 4];
        publish(&mut bus, published).unwrap();
        published += 1;
        if step % N == N - 1 {
            taken.extend(drain(&mut bus));
            assert!(bus.is_empty());
        }
        conserved(bus.stats());
    }
    assert!(taken.into_iter().eq(0..published));
}

#[test]
fn a_bus_may_be_shared_and_exclusive_in_turn() {
    shared_and_exclusive_in_turn::<2, Reject>();
    shared_and_exclusive_in_turn::<8, Reject>();
    shared_and_exclusive_in_turn::<2, DropOldest>();
    shared_and_exclusive_in_turn::<8, DropOldest>();
    shared_and_exclusive_in_turn::<2, DropNewest>();
    shared_and_exclusive_in_turn::<8, DropNewest>();
}

#[test]
fn a_static_bus_and_a_static_lane_work() {
    static BUS: Bus<u32, 4, DropOldest> = Bus::new();
    static LANE: Lane<u32, 4> = Lane::new();
    let mut events = BUS.consumer().unwrap();
    BUS.publish_batch(&[1, 2, 3, 4, 5]).unwrap();
    assert!(events.drain().eq([2, 3, 4, 5]));
    LANE.publisher().unwrap().publish_batch(&[1, 2]).unwrap();
    assert!(LANE.consumer().unwrap().drain().eq([1, 2]));
}

#[test]
fn everything_can_be_printed_whatever_the_event() {
    struct Mute;
    impl Event for Mute {
        const SUBJECTS: &'static [&'static str] = &["mute"];
        fn kind(&self) -> usize {
            0
        }
    }
    #[track_caller]
    fn prints(what: &impl Debug, name: &str) {
        let text = format!("{what:?}");
        assert!(text.starts_with(name), "{text}");
    }
    let table: Dispatch<Mute, Mute, 1> = Dispatch::default().on("mute", |_, _| {});
    let mut bus: Bus<Mute, 2, DropNewest> = Bus::default();
    let lane: Lane<Mute, 2> = Lane::default();
    prints(&table, "Dispatch { kinds: 1, handlers: 1");
    prints(&bus, "Bus { capacity: 2, stats: Stats { published: 0");
    prints(&lane, "Lane { capacity: 2, stats: Stats");
    prints(&lane.publisher().unwrap(), "Publisher { capacity: 2");
    prints(&lane.consumer().unwrap(), "Consumer { stats: Stats");
    prints(&bus.consumer().unwrap().drain(), "Drain { stats: Stats");
    prints(&bus.consumer().unwrap().drain().until(|| true), "Until { drain: Some(Drain");
    prints(&bus.drain(), "Drain");
    prints(&bus.drain().until(|| true), "Until { drain: Some(Drain");
    prints(&Budget::events(3), "Budget");
    prints(&table.tick(&mut Mute, &mut bus, Budget::unlimited()), "Report { handled: 0");
    prints(&Full(Mute), "Full(..)");
    let says = |what: &dyn Display| what.to_string();
    assert_eq!(says(&Full(Mute)), "the bus is full");
}

#[test]
fn a_drain_of_at_most_so_many_leaves_the_rest() {
    fn check<P: Policy>() {
        let bus: Bus<u8, 4, P> = Bus::new();
        let mut events = bus.consumer().unwrap();
        for event in 0..3 {
            assert!(bus.publish(event).is_ok());
        }
        assert_eq!(events.drain().at_most(0).next(), None);
        assert!(events.drain().at_most(2).eq([0, 1]));
        assert!(events.drain().at_most(usize::MAX).eq([2]));

        let mut alone: Bus<u8, 4, P> = Bus::new();
        alone.publish_batch_mut(&[0, 1, 2]).unwrap();
        assert_eq!(alone.drain().at_most(0).next(), None);
        let mut seen = vec![];
        alone.drain().at_most(1).for_each(|event| seen.push(event));
        assert!(alone.drain().at_most(1).eq([1]));
        assert!(alone.drain().at_most(usize::MAX).eq([2]));
        assert_eq!(seen, [0]);
    }
    check::<Reject>();
    check::<DropOldest>();
}

/// 6 events of 8, and three are taken: whatever comes next counts from there.
#[test]
fn a_drain_is_shortened_from_where_it_is() {
    fn check<P: Policy>() {
        for most in 0..5 {
            let left = [4, 5, 6].into_iter().take(most).collect::<Vec<_>>();
            let bus: Bus<u8, 8, P> = Bus::new();
            let mut events = bus.consumer().unwrap();
            assert!((1..=6).all(|event| bus.publish(event).is_ok()));
            let mut drain = events.drain();
            assert!(drain.by_ref().take(3).eq([1, 2, 3]));
            // More than a lap, if it never ended.
            assert!(drain.at_most(most).take(20).eq(left.iter().copied()));
            assert_eq!(bus.stats().handled, 3 + left.len());
            conserved(bus.stats());

            let mut alone: Bus<u8, 8, P> = Bus::new();
            assert!((1..=6).all(|event| alone.publish_mut(event).is_ok()));
            let mut drain = alone.drain();
            assert!(drain.by_ref().take(3).eq([1, 2, 3]));
            assert!(drain.at_most(most).take(20).eq(left.iter().copied()));
            conserved(alone.stats());
        }
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

#[test]
fn an_awaited_drain_is_shortened_from_where_it_is() {
    fn check<P: Policy>() {
        let bus: Bus<u8, 8, P, Waiters<1>> = Bus::new();
        let mut events = bus.consumer().unwrap();
        assert!((1..=6).all(|event| bus.publish(event).is_ok()));
        let mut drain = events.drain();
        assert!(drain.by_ref().take(3).eq([1, 2, 3]));
        assert!(drain.at_most(1).take(20).eq([4]));
        assert_eq!(bus.stats().pending, 2);
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

/// What was displaced before the drain was shortened does not count, what is displaced later does.
#[test]
fn a_drain_is_shortened_to_events_that_are_there() {
    let bus: Bus<u8, 4, DropOldest> = Bus::new();
    let mut events = bus.consumer().unwrap();
    bus.publish_batch(&[1, 2, 3, 4]).unwrap();
    let drain = events.drain();
    bus.publish_batch(&[5, 6]).unwrap();
    assert!(drain.at_most(1).eq([3]));
    let drain = events.drain().at_most(1);
    bus.publish_batch(&[7, 8]).unwrap();
    assert!(drain.eq([0; 0]), "4 was displaced");
    let drain = events.drain();
    bus.publish_batch(&[9, 10, 11, 12, 13]).unwrap();
    assert!(drain.at_most(2).eq([0; 0]), "all were displaced");
    assert!(events.drain().eq([10, 11, 12, 13]));
    conserved(bus.stats());
}

/// A vector that cannot grow panics before an event is taken, and one that need not grow stays where it is.
#[cfg(feature = "alloc")]
#[test]
fn room_in_a_vector_is_made_before_the_first_event_is_taken() {
    fn check<P: Policy>() {
        let mut bus: Bus<(), 4, P> = Bus::new();
        let mut full = vec![(); usize::MAX];
        bus.publish(()).unwrap();
        let mut consumer = bus.consumer().unwrap();
        assert!(panics(|| consumer.drain().append_to(&mut full)));
        drop(consumer);
        assert_eq!((bus.stats().handled, bus.stats().pending), (0, 1));
        assert!(panics(|| bus.drain().append_to(&mut full)));
        assert_eq!((bus.stats().handled, bus.stats().pending), (0, 1));

        let bus: Bus<u8, 8, P> = Bus::new();
        assert!((1..=6).all(|event| bus.publish(event).is_ok()));
        let mut consumer = bus.consumer().unwrap();
        let mut drain = consumer.drain();
        assert!(drain.by_ref().take(3).eq([1, 2, 3]));
        let mut events = Vec::with_capacity(3);
        let place = events.as_ptr();
        assert_eq!(drain.append_to(&mut events), 3);
        assert_eq!((events.as_ptr(), &events[..]), (place, &[4, 5, 6][..]));
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

/// Moved by the chunk, at whatever place of a ring and whichever publisher they are from.
#[cfg(feature = "alloc")]
#[test]
fn events_move_into_a_vector_behind_those_that_are_there() {
    fn check<P: Policy>() {
        for first in (0..256_u32).step_by(if cfg!(miri) { 150 } else { 1 }) {
            let bus: Bus<u32, 256, P> = Bus::new();
            let mut consumer = bus.consumer().unwrap();
            for event in 0..first {
                assert!(bus.publish(event).is_ok());
            }
            assert_eq!(consumer.drain().count(), first as usize);
            assert_eq!(bus.publish_batch(&Vec::from_iter(0..200)), Ok(()));
            for event in 200..256 {
                assert!(bus.publish(event).is_ok());
            }
            let mut events = vec![1000];
            assert_eq!(
                consumer.drain().at_most(first as usize).append_to(&mut events),
                first as usize
            );
            assert_eq!(consumer.drain().append_to(&mut events), 256 - first as usize);
            assert!(events.into_iter().eq([1000].into_iter().chain(0..256)));
            assert_eq!(consumer.drain().append_to(&mut Vec::new()), 0);
            let stats = bus.stats();
            assert_eq!((stats.handled, stats.pending), (256 + first as usize, 0));
            conserved(stats);
        }
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

#[cfg(feature = "alloc")]
#[test]
fn events_in_a_vector_are_its_own() {
    let log = Log::default();
    let bus: Bus<Counted, 4> = filled(&log, 3);
    let mut events = Vec::new();
    assert_eq!(bus.consumer().unwrap().drain().at_most(2).append_to(&mut events), 2);
    assert_eq!(log.take(), [0; 0]);
    drop(events);
    assert_eq!(log.take(), [0, 1]);
    drop(bus);
    assert_eq!(log.take(), [2]);
}

/// Where steps are critical sections, the size of an event and the policy decide how it moves.
#[test]
fn bus_counts_events_of_every_size() {
    fn check<P: Policy, const BYTES: usize>(is_full: fn(usize) -> bool) {
        let bus: Bus<[u8; BYTES], 4, P> = Bus::new();
        for number in 0..6 {
            assert_eq!(bus.publish([number; BYTES]).is_err(), is_full(number.into()), "{BYTES}");
        }
        let (stats, mut events) = (bus.stats(), bus.consumer().unwrap());
        assert_eq!((stats.pending, stats.high_water), (4, 4), "{BYTES} bytes");
        assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending);
        assert_eq!(stats.dropped() + stats.refused, 2, "{BYTES} bytes");
        let first = if is_full(5) { 0 } else { 2 };
        assert!(events.drain().at_most(3).eq((first..first + 3).map(|number| [number; BYTES])));
        let stats = bus.stats();
        assert_eq!((stats.handled, stats.pending, bus.pending()), (3, 1, 1), "{BYTES} bytes");
        assert!(events.drain().eq([[first + 3; BYTES]]));
        assert!(bus.is_empty());
    }
    fn check_all<const BYTES: usize>() {
        check::<Reject, BYTES>(|number| number >= 4);
        check::<DropNewest, BYTES>(|number| number >= 4);
        check::<DropOldest, BYTES>(|_| false);
    }
    check_all::<1>();
    check_all::<8>();
    check_all::<9>();
    check_all::<16>();
    check_all::<17>();
    check_all::<64>();
}
