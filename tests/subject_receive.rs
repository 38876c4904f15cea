//! The receiving ends of the subject bus beside a plain receive: drains that stop early, streams for
//! tasks, handlers in a tick. Every step that may wait has a watchdog.
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod watch;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::mpsc;
use std::thread;

use futures_core::Stream;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::subject_bus::{HandlerStats, Observer, RecvError, SubjectHandlers};
use tickbus::wait::Wait;
use tickbus::{Budget, Envelope, Overrun, SubjectBus, Subscription};
use watch::{LONG, watchdog};

fn numbered(n: usize) -> Envelope {
    Envelope::unstamped("n").unwrap().with_source(n.to_string())
}

fn number(envelope: &Envelope) -> usize {
    envelope.source().parse().unwrap()
}

fn open(bus: &SubjectBus, capacity: usize, overrun: Overrun) -> Subscription {
    bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).open()
}

fn publish(bus: &SubjectBus, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        bus.publish_wait(numbered(n), Wait::never()).unwrap();
    }
}

fn publish_waiting(bus: &SubjectBus, n: usize) {
    bus.publish(numbered(n)).unwrap();
}

fn drained(subscription: &Subscription) -> Vec<usize> {
    subscription.drain().map(|envelope| number(&envelope)).collect()
}

#[track_caller]
fn conserved(bus: &SubjectBus) {
    let it = bus.stats().totals;
    assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.abandoned + it.pending, "{it:?}");
}

// ---- Drains ------------------------------------------------------------------------------------

#[test]
fn a_drain_that_stops_early_leaves_the_rest_in_order_and_counted() {
    let _watch = watchdog();
    for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
        let bus = SubjectBus::new();
        let subscription = open(&bus, 100, overrun);
        publish(&bus, 0..100);
        for turn in 0..10 {
            let got: Vec<_> = subscription.drain().take(7).map(|it| number(&it)).collect();
            assert_eq!(got, (turn * 7..turn * 7 + 7).collect::<Vec<_>>());
            let stats = subscription.stats();
            assert_eq!(
                (stats.received, stats.pending),
                (turn as u64 * 7 + 7, 93 - turn as u64 * 7)
            );
            conserved(&bus);
        }
        publish(&bus, 100..110);
        assert_eq!(drained(&subscription), (70..110).collect::<Vec<_>>());
        conserved(&bus);
    }
}

fn step(drain: &mut impl Iterator<Item = Arc<Envelope>>) -> Option<usize> {
    drain.next().as_deref().map(number)
}

#[test]
fn unfinished_drains_leave_the_order_as_it_was() {
    let _watch = watchdog();
    for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
        for others in [1, 2, 5] {
            let bus = SubjectBus::new();
            let subscription = open(&bus, 70, overrun);
            publish(&bus, 0..70);
            let mut drains: Vec<_> = (0..=others).map(|_| subscription.drain()).collect();
            for (n, drain) in drains.iter_mut().enumerate() {
                assert_eq!(step(drain), Some(n));
            }
            drop(drains);
            assert_eq!(drained(&subscription), (others + 1..70).collect::<Vec<_>>());
            conserved(&bus);
        }
    }
}

#[test]
fn a_drain_keeps_nothing_from_other_receivers() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 64, Overrun::DropNewest);
    publish(&bus, 0..6);
    let (mut one, mut two) = (subscription.drain(), subscription.drain());
    assert_eq!((step(&mut one), step(&mut two)), (Some(0), Some(1)));
    assert_eq!(subscription.try_recv().as_deref().map(number), Ok(2));
    assert_eq!((subscription.stats().received, subscription.stats().pending), (3, 3));
    assert_eq!((step(&mut two), step(&mut one)), (Some(3), Some(4)));
    let mut stream = subscription.stream();
    assert_eq!(poll(&mut stream, Waker::noop()), Poll::Ready(Some(5)));
    assert_eq!((step(&mut one), step(&mut two)), (None, None));
}

#[test]
fn a_drain_that_stops_early_never_holds_more_than_the_capacity() {
    let _watch = watchdog();
    for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
        let bus = SubjectBus::new();
        let subscription = open(&bus, 2, overrun);
        for n in 0..40 {
            publish(&bus, [3 * n, 3 * n + 1, 3 * n + 2]);
            let mut drain = subscription.drain();
            assert!(drain.next().is_some());
            publish(&bus, [1000 + n, 2000 + n]);
            drop(drain);
            let stats = subscription.stats();
            assert_eq!((stats.pending, stats.high_water), (2, 2), "{overrun}");
            conserved(&bus);
        }
    }
}

#[test]
fn drop_oldest_keeps_the_newest_while_a_drain_is_unfinished() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 4, Overrun::DropOldest);
    publish(&bus, 0..4);
    let mut drain = subscription.drain();
    assert_eq!(step(&mut drain), Some(0));
    publish(&bus, 4..7);
    drop(drain);
    assert_eq!(drained(&subscription), [3, 4, 5, 6]);
    assert_eq!(subscription.stats().dropped_oldest, 2);
    conserved(&bus);
}

#[test]
fn a_leaked_drain_loses_and_counts_nothing() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 64, Overrun::DropNewest);
    publish(&bus, 0..40);
    let mut drain = subscription.drain();
    assert_eq!(step(&mut drain), Some(0));
    core::mem::forget(drain);
    assert_eq!((subscription.stats().received, subscription.stats().pending), (1, 39));
    assert_eq!(drained(&subscription), (1..40).collect::<Vec<_>>());
    conserved(&bus);
}

#[test]
fn a_worker_with_a_slow_job_keeps_no_other_job_from_the_next_worker() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 64, Overrun::DropNewest);
    publish(&bus, 0..10);
    let mut slow = subscription.drain();
    assert_eq!(step(&mut slow), Some(0)); // a job that takes its time
    assert!(subscription.drain().map(|it| number(&it)).eq(1..10));
    assert_eq!(step(&mut slow), None);
}

/// What gave way to newer envelopes is not made up for by them.
#[test]
fn a_drain_takes_none_that_came_after_its_beginning_in_place_of_one_that_gave_way() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 2, Overrun::DropOldest);
    publish(&bus, 0..2);
    let drain = subscription.drain();
    publish(&bus, 2..3);
    assert_eq!(drain.map(|it| number(&it)).collect::<Vec<_>>(), [1]);
    assert_eq!((drained(&subscription), subscription.missed()), (vec![2], 0));

    let subscription = open(&bus, 40, Overrun::DropOldest);
    publish(&bus, 0..40);
    let mut got = Vec::new();
    for envelope in subscription.drain() {
        got.push(number(&envelope));
        publish(&bus, [100 + number(&envelope)]);
    }
    assert_eq!(got, (0..40).collect::<Vec<_>>(), "each makes room for one");
    let mut got = Vec::new();
    for envelope in subscription.drain() {
        got.push(number(&envelope));
        publish(&bus, [200, 201]);
    }
    assert_eq!(got, (100..140).step_by(2).collect::<Vec<_>>(), "each second one gave way");
    assert_eq!(subscription.stats().pending, 40);
    conserved(&bus);
}

/// Envelopes that others took, or that came later, do not bring a drain back to life.
#[test]
fn a_drain_that_is_over_stays_over() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 8, Overrun::DropNewest);
    publish(&bus, 0..2);
    let (mut one, mut two) = (subscription.drain(), subscription.drain());
    assert_eq!(format!("{one:?}"), "Drain { pending: 2 }");
    assert_eq!(one.by_ref().count(), 2);
    for n in 2..6 {
        assert_eq!((step(&mut one), step(&mut two)), (None, None));
        publish(&bus, [n]);
        assert_eq!(format!("{two:?}"), "Drain { pending: 0 }");
    }
    assert_eq!(drained(&subscription), [2, 3, 4, 5]);
}

#[test]
fn the_end_comes_after_everything_and_stays() {
    let _watch = watchdog();
    for close_bus in [false, true] {
        let bus = SubjectBus::new();
        let subscription = open(&bus, 16, Overrun::DropNewest);
        publish(&bus, 0..10);
        let mut drain = subscription.drain();
        assert_eq!(step(&mut drain), Some(0));
        if close_bus {
            bus.close();
        } else {
            subscription.close();
        }
        let (mut stream, mut iter) = (subscription.stream(), subscription.iter());
        assert_eq!(subscription.try_recv().as_deref().map(number), Ok(1));
        assert_eq!(subscription.recv().as_deref().map(number), Some(2));
        assert_eq!(poll(&mut stream, Waker::noop()), Poll::Ready(Some(3)));
        assert_eq!(iter.next().as_deref().map(number), Some(4));
        assert_eq!(step(&mut drain), Some(5));
        drop(drain);
        assert_eq!(subscription.recv_timeout(LONG).as_deref().map(number), Ok(6));
        assert!(iter.by_ref().map(|it| number(&it)).eq(7..10));
        for _ in 0..3 {
            assert_eq!(subscription.try_recv(), Err(RecvError::Closed));
            assert_eq!(subscription.recv_timeout(LONG), Err(RecvError::Closed));
            assert_eq!((subscription.recv(), iter.next()), (None, None));
            assert_eq!(poll(&mut stream, Waker::noop()), Poll::Ready(None));
            assert!(drained(&subscription).is_empty());
        }
        conserved(&bus);
    }
}

#[test]
fn the_high_water_mark_stays_and_sees_what_comes_within_a_drain() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 8, Overrun::DropNewest);
    let high_water = || (subscription.stats().high_water, bus.stats().totals.high_water);
    publish(&bus, 0..3);
    let mut drain = subscription.drain();
    assert_eq!((step(&mut drain), high_water()), (Some(0), (3, 3)));
    publish(&bus, 3..5);
    assert_eq!((step(&mut drain), high_water()), (Some(1), (4, 4)));
    publish(&bus, 5..6);
    drop(drain);
    assert_eq!((drained(&subscription), high_water()), (vec![2, 3, 4, 5], (4, 4)));
    publish(&bus, 6..7);
    assert_eq!(high_water(), (4, 4));
}

#[test]
fn a_drain_tells_of_each_hole() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 2, Overrun::DropOldest);
    publish(&bus, 0..5);
    let missed: Vec<_> =
        subscription.drain().map(|it| (number(&it), subscription.missed())).collect();
    assert_eq!(missed, [(3, 3), (4, 0)]);
}

#[test]
fn a_drain_wakes_the_publishers_that_it_makes_room_for() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let subscription = open(&bus, 1, Overrun::Block);
    publish(&bus, 0..1);
    let (done, all) = mpsc::channel();
    for n in 1..4 {
        let (bus, done) = (bus.clone(), done.clone());
        thread::spawn(move || done.send(bus.publish(numbered(n)).unwrap().enqueued));
    }
    let mut got = 0;
    while got < 4 {
        got += subscription.drain().count();
        thread::yield_now();
    }
    for _ in 1..4 {
        assert_eq!(all.recv_timeout(LONG), Ok(1));
    }
    conserved(&bus);
}

/// The queue of a subscription, said once more: a number for each envelope, in the order in which they came
/// in, and how many are missing before it.
#[derive(Default)]
struct Model {
    queue: VecDeque<(usize, u64)>,
    gap: u64,
    last: usize,
    dropped_newest: u64,
    dropped_oldest: u64,
    received: u64,
}

impl Model {
    fn publish(&mut self, capacity: usize, overrun: Overrun) {
        self.last += 1;
        if self.queue.len() >= capacity {
            if overrun != Overrun::DropOldest {
                self.dropped_newest += 1;
                self.gap += 1;
                return;
            }
            self.dropped_oldest += 1;
            let (_, missed) = self.queue.pop_front().unwrap();
            let next = self.queue.front_mut().map_or(&mut self.gap, |(_, missed)| missed);
            *next += missed + 1;
        }
        self.queue.push_back((self.last, core::mem::take(&mut self.gap)));
    }

    /// Takes the oldest, if it is not later than `until`.
    fn take(&mut self, until: usize) -> Option<(usize, u64)> {
        let first = self.queue.pop_front_if(|(n, _)| *n <= until)?;
        self.received += 1;
        Some(first)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Receive,
    Poll,
    /// Begins a drain.
    Drain,
    /// Takes so many from one of the drains.
    Take(usize, usize),
    Drop(usize),
    Leak(usize),
    Close,
}

proptest! {
    /// Whatever was published, received, drained by several drains at once, dropped, leaked or closed: each
    /// envelope comes out once, in order, with the size of the hole before it, and counted; and the end comes
    /// last.
    #[test]
    fn a_subscription_is_the_model_of_one(
        overrun in select(&[Overrun::DropNewest, Overrun::DropOldest, Overrun::Block][..]),
        capacity in select(&[1_usize, 2, 5, 40, 70][..]),
        steps in vec(prop_oneof![
            8 => (0..50_usize).prop_map(Step::Publish),
            4 => Just(Step::Receive),
            2 => Just(Step::Poll),
            6 => Just(Step::Drain),
            16 => (any::<usize>(), 0..40_usize).prop_map(|(which, take)| Step::Take(which, take)),
            3 => any::<usize>().prop_map(Step::Drop),
            3 => any::<usize>().prop_map(Step::Leak),
            1 => Just(Step::Close),
        ], 0..60),
    ) {
        let _watch = watchdog();
        let bus = SubjectBus::new();
        let subscription = open(&bus, capacity, overrun);
        let mut model = Model::default();
        let mut drains = Vec::new();
        let mut stream = subscription.stream();
        let mut closed = false;
        for step in steps {
            match step {
                Step::Publish(_) if closed => publish(&bus, [0]), // matches no more
                Step::Publish(count) => for _ in 0..count {
                    model.publish(capacity, overrun);
                    publish(&bus, [model.last]);
                }
                Step::Receive => {
                    let got = subscription.try_recv().map(|it| (number(&it), subscription.missed()));
                    let none = if closed { RecvError::Closed } else { RecvError::Empty };
                    prop_assert_eq!(got, model.take(usize::MAX).ok_or(none));
                }
                Step::Poll => {
                    let expected = match model.take(usize::MAX) {
                        None if !closed => Poll::Pending,
                        it => Poll::Ready(it.map(|(n, _)| n)),
                    };
                    prop_assert_eq!(poll(&mut stream, Waker::noop()), expected);
                }
                Step::Drain => drains.push((subscription.drain(), model.last)),
                Step::Take(which, count) if !drains.is_empty() => {
                    let which = which % drains.len();
                    let (drain, until) = &mut drains[which];
                    for _ in 0..count {
                        let got = drain.next().map(|it| (number(&it), subscription.missed()));
                        prop_assert_eq!(got, model.take(*until));
                    }
                }
                Step::Drop(which) if !drains.is_empty() => {
                    drop(drains.swap_remove(which % drains.len()));
                }
                Step::Leak(which) if !drains.is_empty() => {
                    core::mem::forget(drains.swap_remove(which % drains.len()));
                }
                Step::Take(..) | Step::Drop(_) | Step::Leak(_) => {}
                Step::Close => {
                    subscription.close();
                    closed = true;
                }
            }
            let is = subscription.stats();
            let pending = model.queue.len() as u64;
            prop_assert_eq!(
                (is.received, is.dropped_newest, is.dropped_oldest, is.pending),
                (model.received, model.dropped_newest, model.dropped_oldest, pending)
            );
            prop_assert_eq!(model.last as u64, is.received + is.dropped() + is.pending);
            prop_assert!(is.pending <= is.high_water && is.high_water <= capacity as u64);
            conserved(&bus);
        }
        drop((drains, stream));
        drop(subscription);
        let it = bus.stats().totals;
        prop_assert_eq!((it.abandoned, it.pending), (model.queue.len() as u64, 0));
        prop_assert_eq!(model.last as u64, it.received + it.dropped() + it.abandoned);
    }
}

// ---- Streams -----------------------------------------------------------------------------------

/// Counts its wake-ups, and uses the bus in them.
struct Bell {
    bus: Arc<SubjectBus>,
    rung: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        let _ = self.bus.stats(); // not under the lock of the bus
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let _ = self.bus.stats(); // nor is this
    }
}

fn bell(bus: &Arc<SubjectBus>) -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell { bus: bus.clone(), rung: AtomicUsize::new(0) });
    (bell.clone(), bell.into())
}

fn poll(
    stream: &mut (impl Stream<Item = Arc<Envelope>> + Unpin),
    by: &Waker,
) -> Poll<Option<usize>> {
    let polled = Pin::new(stream).poll_next(&mut Context::from_waker(by));
    polled.map(|envelope| envelope.map(|envelope| number(&envelope)))
}

fn subject_bus() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::new());
    let subscription = open(&bus, 8, Overrun::DropNewest);
    (bus, subscription)
}

#[test]
fn a_stream_gives_what_is_queued_then_waits_then_ends() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let (bell, waker) = bell(&bus);
    let mut stream = subscription.stream();
    publish(&bus, 1..3);
    assert_eq!(stream.size_hint(), (2, None));
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(1)));
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(2)));
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    assert_eq!(bell.rung.load(SeqCst), 0);

    publish(&bus, 3..5);
    assert_eq!(bell.rung.load(SeqCst), 1, "once for one that waits, however many come");
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(3)));
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(4)));
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);

    publish(&bus, 5..6);
    bus.close();
    assert_eq!(bell.rung.load(SeqCst), 2);
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(5)), "queued events stay readable");
    for _ in 0..3 {
        assert_eq!(poll(&mut stream, &waker), Poll::Ready(None));
    }
    conserved(&bus);
}

#[test]
fn closing_wakes_every_stream() {
    let _watch = watchdog();
    for close_bus in [false, true] {
        let (bus, subscription) = subject_bus();
        let bells = [(); 3].map(|()| bell(&bus));
        let mut streams = [(); 3].map(|()| subscription.stream());
        for (stream, (_, waker)) in streams.iter_mut().zip(&bells) {
            assert_eq!(poll(stream, waker), Poll::Pending);
        }
        if close_bus {
            bus.close();
        } else {
            subscription.close();
        }
        for (stream, (bell, waker)) in streams.iter_mut().zip(&bells) {
            assert_eq!(bell.rung.load(SeqCst), 1);
            assert_eq!(poll(stream, waker), Poll::Ready(None));
        }
    }
}

#[test]
fn the_waker_that_was_given_last_is_woken() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let ((old, old_waker), (new, new_waker)) = (bell(&bus), bell(&bus));
    let mut stream = subscription.stream();
    assert_eq!(poll(&mut stream, &old_waker), Poll::Pending);
    assert_eq!(poll(&mut stream, &new_waker), Poll::Pending);
    drop(old_waker);
    assert_eq!(Arc::strong_count(&old), 1, "the bus has let go of it");
    publish(&bus, 1..2);
    assert_eq!((old.rung.load(SeqCst), new.rung.load(SeqCst)), (0, 1));
}

#[test]
fn each_envelope_wakes_one_who_waits() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let bells = [(); 3].map(|()| bell(&bus));
    let mut streams = [(); 3].map(|()| subscription.stream());
    for (stream, (_, waker)) in streams.iter_mut().zip(&bells) {
        assert_eq!(poll(stream, waker), Poll::Pending);
    }
    let rung = || bells.each_ref().map(|(bell, _)| bell.rung.load(SeqCst));
    publish(&bus, 1..2);
    assert_eq!(rung(), [1, 0, 0]);
    publish(&bus, 2..3);
    assert_eq!(rung(), [1, 1, 0]);
}

/// Where the publisher lets go of the lock in between: for a filter, and for an observer.
#[test]
fn a_publish_that_goes_the_long_way_wakes_as_well() {
    let _watch = watchdog();
    struct Nothing;
    impl Observer for Nothing {}
    let observed = SubjectBus::builder().observer(Arc::new(Nothing)).build();
    for bus in [Arc::new(SubjectBus::new()), Arc::new(observed)] {
        let filtered = bus.subscribe("n").unwrap().filter(|_| true).open();
        let plain = open(&bus, 1, Overrun::DropOldest);
        let bells = [(); 2].map(|()| bell(&bus));
        let mut streams = [&filtered, &plain].map(Subscription::stream);
        for (stream, (_, waker)) in streams.iter_mut().zip(&bells) {
            assert_eq!(poll(stream, waker), Poll::Pending);
        }
        publish(&bus, 1..2);
        for (stream, (bell, waker)) in streams.iter_mut().zip(&bells) {
            assert_eq!(bell.rung.load(SeqCst), 1);
            assert_eq!(poll(stream, waker), Poll::Ready(Some(1)));
        }
    }
}

/// More than a publish serves under one lock.
#[test]
fn one_publish_wakes_those_who_wait_at_many_subscriptions() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let all: Vec<_> = (0..30).map(|_| open(&bus, 1, Overrun::DropNewest)).collect();
    let bells: Vec<_> = all.iter().map(|_| bell(&bus)).collect();
    let mut streams: Vec<_> = all.iter().map(Subscription::stream).collect();
    for (stream, (_, waker)) in streams.iter_mut().zip(&bells) {
        assert_eq!(poll(stream, waker), Poll::Pending);
    }
    publish(&bus, 1..2);
    for (stream, (bell, waker)) in streams.iter_mut().zip(&bells) {
        assert_eq!(bell.rung.load(SeqCst), 1);
        assert_eq!(poll(stream, waker), Poll::Ready(Some(1)));
    }
}

/// Neither one whose time is over nor one that found an envelope by itself is woken in place of another.
#[test]
fn who_waits_no_more_takes_no_wake_up_away() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let ((first, first_waker), (second, second_waker)) = (bell(&bus), bell(&bus));
    let (mut one, mut two) = (subscription.stream(), subscription.stream());
    let timeout = Duration::from_millis(1);
    assert_eq!(subscription.recv_timeout(timeout), Err(RecvError::Empty));
    assert_eq!(poll(&mut one, &first_waker), Poll::Pending);
    assert_eq!(poll(&mut two, &second_waker), Poll::Pending);
    publish(&bus, 1..2);
    assert_eq!((first.rung.load(SeqCst), second.rung.load(SeqCst)), (1, 0));
    assert_eq!(poll(&mut two, &second_waker), Poll::Ready(Some(1)), "not waiting for its turn");
    assert_eq!(poll(&mut one, &first_waker), Poll::Pending);
    publish(&bus, 2..3);
    assert_eq!((first.rung.load(SeqCst), second.rung.load(SeqCst)), (2, 0));
}

#[test]
fn a_stream_that_goes_away_leaves_nothing_and_passes_its_wake_up_on() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let ((first, first_waker), (second, second_waker)) = (bell(&bus), bell(&bus));
    let mut leaving = subscription.stream();
    let mut staying = subscription.stream();
    assert_eq!(poll(&mut leaving, &first_waker), Poll::Pending);
    drop(leaving);
    drop(first_waker);
    assert_eq!(Arc::strong_count(&first), 1, "nothing is left of it");

    let (first, first_waker) = bell(&bus);
    let mut leaving = subscription.stream();
    assert_eq!(poll(&mut leaving, &first_waker), Poll::Pending);
    assert_eq!(poll(&mut staying, &second_waker), Poll::Pending);
    publish(&bus, 1..2);
    assert_eq!((first.rung.load(SeqCst), second.rung.load(SeqCst)), (1, 0));
    drop(leaving); // it was woken, and never looks
    assert_eq!(second.rung.load(SeqCst), 1);
    assert_eq!(poll(&mut staying, &second_waker), Poll::Ready(Some(1)));
}

/// It was woken for an envelope that another receiver has taken meanwhile.
#[test]
fn a_stream_that_goes_away_wakes_no_other_for_nothing() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let ((first, first_waker), (second, second_waker)) = (bell(&bus), bell(&bus));
    let (mut leaving, mut staying) = (subscription.stream(), subscription.stream());
    assert_eq!(poll(&mut leaving, &first_waker), Poll::Pending);
    assert_eq!(poll(&mut staying, &second_waker), Poll::Pending);
    publish(&bus, 1..2);
    assert_eq!(drained(&subscription), [1]);
    drop(leaving);
    assert_eq!((first.rung.load(SeqCst), second.rung.load(SeqCst)), (1, 0));
    publish(&bus, 2..3);
    assert_eq!(second.rung.load(SeqCst), 1, "it is still in its place");
    assert_eq!(poll(&mut staying, &second_waker), Poll::Ready(Some(2)));
}

/// As a branch of a `select!` that lost: the stream lives on, and does not look.
#[test]
fn a_recv_that_goes_away_passes_its_wake_up_on_though_its_stream_stays() {
    let _watch = watchdog();
    let (bus, subscription) = subject_bus();
    let ((first, first_waker), (second, second_waker)) = (bell(&bus), bell(&bus));
    let mut leaving = subscription.stream();
    let mut staying = subscription.stream();
    for publish_first in [false, true] {
        let mut recv = Box::pin(leaving.recv());
        assert!(recv.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
        assert_eq!(poll(&mut staying, &second_waker), Poll::Pending);
        if publish_first {
            publish(&bus, 2..3);
            drop(recv);
        } else {
            drop(recv);
            publish(&bus, 1..2);
        }
        let rung = usize::from(publish_first);
        assert_eq!((first.rung.load(SeqCst), second.rung.load(SeqCst)), (rung, rung + 1));
        assert_eq!(poll(&mut staying, &second_waker), Poll::Ready(Some(rung + 1)));
    }
    publish(&bus, 3..4);
    assert_eq!(poll(&mut leaving, &first_waker), Poll::Ready(Some(3)), "it is as good as new");
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn tasks_and_threads_share_a_subscription_and_lose_nothing() {
    let _watch = watchdog();
    const EACH: usize = 2000;
    let bus = Arc::new(SubjectBus::new());
    let subscription = Arc::new(open(&bus, 3, Overrun::Block));
    let (done, all) = mpsc::channel();
    for receiver in 0..4 {
        let (subscription, done) = (subscription.clone(), done.clone());
        thread::spawn(move || {
            let mut got = Vec::new();
            if receiver % 2 == 0 {
                got.extend(subscription.iter().map(|it| number(&it)));
            } else {
                block_on(async {
                    let mut stream = subscription.stream();
                    while let Some(envelope) = stream.recv().await {
                        got.push(number(&envelope));
                    }
                });
            }
            done.send(got)
        });
    }
    let publishers: Vec<_> = (0..2)
        .map(|which| {
            let bus = bus.clone();
            thread::spawn(move || {
                (0..EACH).for_each(|n| publish_waiting(&bus, which * EACH + n));
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    bus.close();
    let mut got = Vec::new();
    for _ in 0..4 {
        got.extend(all.recv_timeout(LONG).expect("a receiver hangs"));
    }
    got.sort_unstable();
    assert_eq!(got, (0..2 * EACH).collect::<Vec<_>>());
    conserved(&bus);
}

// ---- Handlers ----------------------------------------------------------------------------------

type Log = Vec<(char, usize)>;

fn logging(handlers: &mut SubjectHandlers<Log>, subscription: Subscription, name: char) {
    handlers.on(subscription, move |log: &mut Log, it| log.push((name, number(it))));
}

fn totals(handlers: &SubjectHandlers<Log>) -> Vec<(u64, u64, u64)> {
    let each = |it: HandlerStats| (it.handled, it.failed, it.panicked);
    handlers.iter().map(|(_, stats)| each(stats)).collect()
}

#[test]
fn each_handler_gets_its_envelopes_in_order() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    logging(&mut handlers, bus.subscribe("n").unwrap().open(), 'a');
    logging(&mut handlers, bus.subscribe(">").unwrap().open(), 'b');
    logging(&mut handlers, bus.subscribe("m").unwrap().open(), 'c');
    publish(&bus, 0..3);
    let mut log = Log::new();
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.failed, report.left, report.generations), (6, 0, 0, 1));
    assert_eq!(log, [('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1), ('b', 2)]);
    assert_eq!(totals(&handlers), [(3, 0, 0), (3, 0, 0), (0, 0, 0)]);
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).handled, 0);
}

#[test]
fn a_tick_freezes_its_end_and_counts_generations() {
    let _watch = watchdog();
    for (generations, handled) in [(1, 1), (3, 3), (10, 5)] {
        let bus = Arc::new(SubjectBus::new());
        let mut handlers = SubjectHandlers::new();
        let echo = bus.clone();
        handlers.on(open(&bus, 8, Overrun::DropNewest), move |_: &mut (), it| {
            if number(it) < 4 {
                publish(&echo, [number(it) + 1]);
            }
        });
        publish(&bus, [0]);
        let report = handlers.tick(&mut (), Budget::unlimited().generations(generations));
        assert_eq!((report.handled, report.generations), (handled, handled));
        assert_eq!(report.left, usize::from(handled < 5));
    }
}

/// Also where it takes the place of what was there when the tick began.
#[test]
fn what_a_handler_publishes_to_a_full_one_waits_for_the_next_tick() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let mut handlers = SubjectHandlers::new();
    let (first, again) = (bus.subscribe("first").unwrap().open(), bus.clone());
    handlers.on(first, move |_: &mut Log, _| publish(&again, [2]));
    logging(&mut handlers, open(&bus, 1, Overrun::DropOldest), 'b');
    publish(&bus, [1]);
    bus.publish(Envelope::unstamped("first").unwrap()).unwrap();
    let mut log = Log::new();
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.dropped, report.left, log.len()), (1, 1, 1, 0));
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.left, &*log), (1, 0, &[('b', 2)][..]));
}

#[test]
fn what_the_budget_leaves_stays_in_order_and_no_handler_starves() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    for name in ['a', 'b'] {
        logging(&mut handlers, open(&bus, 100, Overrun::DropNewest), name);
    }
    publish(&bus, 0..50);
    let mut log = Log::new();
    for turn in 1..=10 {
        let report = handlers.tick(&mut log, Budget::events(7));
        assert_eq!((report.handled, report.left), (7, 100 - turn * 7));
    }
    assert!(log.chunks(7).map(|tick| tick[0].0).eq("ababababab".chars()));
    for name in ['a', 'b'] {
        let own: Vec<_> = log.iter().filter(|it| it.0 == name).map(|it| it.1).collect();
        assert_eq!(own, (0..35).collect::<Vec<_>>());
    }
    let report = handlers.tick(&mut log, Budget::events(0));
    assert_eq!(report.handled, 1, "a bus moves on however small the budget");
    let mut asked = 0;
    let late = || {
        asked += 1;
        asked == 2
    };
    let report = handlers.tick(&mut log, Budget::unlimited().until(late).check_every(3));
    assert_eq!(report.handled, 6);
    conserved(&bus);
}

#[test]
fn b16_a_handler_that_fails_or_panics_is_counted_and_the_tick_goes_on() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    handlers.on(open(&bus, 8, Overrun::DropNewest), |log: &mut Log, it| match number(it) {
        1 => panic!("one"),
        2 => Err("two"),
        n => {
            log.push(('a', n));
            Ok(())
        }
    });
    logging(&mut handlers, open(&bus, 8, Overrun::DropNewest), 'b');
    publish(&bus, 0..4);
    let mut log = Log::new();
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.failed, report.left), (8, 2, 0));
    assert_eq!(log, [('a', 0), ('a', 3), ('b', 0), ('b', 1), ('b', 2), ('b', 3)]);
    assert_eq!(totals(&handlers), [(4, 2, 1), (4, 0, 0)]);
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).handled, 0, "never handled again");
    conserved(&bus);
}

#[test]
fn the_report_tells_what_was_lost_since_the_tick_before() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    let subscription = open(&bus, 2, Overrun::DropOldest);
    publish(&bus, 0..3); // lost before it was a handler's
    logging(&mut handlers, subscription, 'a');
    publish(&bus, 3..6);
    let mut log = Log::new();
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).dropped, 3);
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).dropped, 0);
    publish(&bus, 6..9);
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).dropped, 1);
    logging(&mut handlers, open(&bus, 1, Overrun::DropNewest), 'b');
    publish(&bus, 9..14);
    assert_eq!(handlers.tick(&mut log, Budget::unlimited()).dropped, 3 + 4);
}

#[test]
fn taking_a_handler_off_loses_no_turn_of_the_others() {
    let _watch = watchdog();
    for (off, next) in [(0, 'b'), (1, 'c'), (2, 'b')] {
        let bus = SubjectBus::new();
        let mut handlers = SubjectHandlers::new();
        for name in ['a', 'b', 'c'] {
            logging(&mut handlers, open(&bus, 8, Overrun::DropNewest), name);
        }
        publish(&bus, 0..2);
        let mut log = Log::new();
        let _ = handlers.tick(&mut log, Budget::events(1)); // it ends with the first
        let id = handlers.iter().nth(off).unwrap().0.id();
        drop(handlers.off(id));
        let _ = handlers.tick(&mut log, Budget::events(1));
        assert_eq!(log, [('a', 0), (next, 0)], "{off}");
    }
}

#[test]
fn a_handler_can_be_taken_off_and_outlives_its_bus() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    for name in ['a', 'b', 'c'] {
        logging(&mut handlers, open(&bus, 8, Overrun::DropNewest), name);
    }
    publish(&bus, 0..2);
    let mut log = Log::new();
    let _ = handlers.tick(&mut log, Budget::events(5)); // it ends with the last one
    let id = handlers.iter().nth(2).unwrap().0.id();
    let off = handlers.off(id).unwrap();
    assert_eq!(drained(&off), [1]);
    assert!(handlers.off(id).is_none());
    publish(&bus, 2..3);
    drop(bus);
    log.clear();
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.left), (2, 0));
    assert_eq!(log, [('a', 2), ('b', 2)], "what is queued is handled after the end");
    assert!(handlers.iter().all(|(subscription, _)| subscription.is_closed()));
}

#[test]
fn no_handlers_have_nothing_to_do() {
    let _watch = watchdog();
    let mut handlers = SubjectHandlers::default();
    assert_eq!(handlers.tick(&mut (), Budget::unlimited()), Default::default());
    assert_eq!(format!("{handlers:?}"), "{}");
}
