//! Buses with waiters and tables of waiters: each wait ends when its page says so, each waker is woken exactly when
//! it must be, and a wait that is given up takes nothing along.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::mem;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
#[cfg(feature = "std")]
use std::sync::LazyLock;
use std::sync::{Mutex, mpsc};
use std::thread::{self, Thread};

use tickbus::bus::Policy;
use tickbus::error::TooManyWaiters;
use tickbus::topic::{Changed, Many, Publishers};
use tickbus::wait::{PublishAsync, WaitError};
use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropNewest, DropOldest, Feed, Full, GatedTopic, Lagged, Lane,
    Latest, Publisher, Reject, Single, Subscriber, Topic, Waiters,
};

// ---- Helpers -----------------------------------------------------------------------------------

/// Runs a future on this thread, which sleeps while it waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// A waker that counts, and the count.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that is polled by hand.
struct Task {
    counter: Arc<Counter>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let counter = Arc::new(Counter::default());
        Self { waker: Waker::from(Arc::clone(&counter)), counter }
    }

    fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    fn woken(&self) -> usize {
        self.counter.0.load(Ordering::Relaxed)
    }

    /// How many wakers of it others hold.
    fn held(&self) -> usize {
        Arc::strong_count(&self.counter) - 2
    }
}

/// A waker that does something.
struct Act<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Act<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn act(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Act(f)))
}

fn poll_with<F: Future + Unpin>(waker: &Waker, future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

type Pair<const W: usize> = Bus<u32, 2, Reject, Waiters<W>>;

fn full<const W: usize>() -> Pair<W> {
    let bus = Pair::new();
    bus.publish_batch(&[1, 2]).unwrap();
    bus
}

fn drain<E, const N: usize, P: Policy, const W: usize>(bus: &Bus<E, N, P, Waiters<W>>) -> Vec<E> {
    bus.consumer().unwrap().drain().collect()
}

// ---- Waiting for events ------------------------------------------------------------------------

#[test]
fn next_is_there_at_once_if_an_event_waits() {
    let bus = full::<1>();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    assert_eq!(task.poll(&mut events.next_async()), Poll::Ready(1));
    assert_eq!(task.held(), 0, "it did not have to wait");
    assert_eq!(events.pending(), 1);
}

#[test]
fn a_publish_wakes_the_consumer_once() {
    let bus = Pair::<1>::new();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    let mut next = events.next_async();
    assert!(task.poll(&mut next).is_pending());
    assert_eq!(task.held(), 1);
    bus.publish(1).unwrap();
    bus.publish(2).unwrap();
    assert_eq!((task.woken(), task.held()), (1, 0));
    assert_eq!(task.poll(&mut next), Poll::Ready(1));
}

#[test]
fn every_way_to_publish_wakes_the_consumer() {
    let ways: [fn(&Pair<2>); 4] = [
        |bus| bus.publish(1).unwrap(),
        |bus| bus.publish_batch(&[1, 2]).unwrap(),
        |bus| assert_eq!(bus.publish_batch(&[1, 2, 3]), Err(Full(&[3][..]))),
        |bus| assert_eq!(Task::new().poll(&mut bus.publish_async(1)), Poll::Ready(Ok(()))),
    ];
    for way in ways {
        let bus = Pair::<2>::new();
        let mut events = bus.consumer().unwrap();
        let task = Task::new();
        let mut ready = events.ready_async();
        assert!(task.poll(&mut ready).is_pending());
        way(&bus);
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(&mut ready), Poll::Ready(()));
        drop(ready);
        assert_eq!(events.drain().next(), Some(1));
    }
}

#[test]
fn a_publish_that_fails_wakes_no_task() {
    let bus = full::<2>();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(bus.publish(4), Err(Full(4)));
    assert_eq!((task.woken(), task.held()), (0, 1));
    assert_eq!(bus.stats().refused, 1);
}

#[test]
fn ready_takes_nothing() {
    let bus = full::<1>();
    let mut events = bus.consumer().unwrap();
    block_on(events.ready_async());
    block_on(events.ready_async());
    assert_eq!(events.pending(), 2);
}

#[test]
fn a_displacing_publish_wakes_the_consumer() {
    let bus: Bus<u32, 2, DropOldest, Waiters<1>> = Bus::default();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    assert!(task.poll(&mut events.ready_async()).is_pending());
    let mut ready = events.ready_async();
    assert!(task.poll(&mut ready).is_pending());
    for event in 1..=3 {
        bus.publish(event).unwrap();
    }
    assert_eq!(task.woken(), 1);
    drop(ready);
    assert!(events.drain().eq([2, 3]));
}

// ---- Waiting for room: the contract lines "publish_async" ----------------------------------------

#[test]
fn publish_wait_with_room_is_done_at_once() {
    let bus = Pair::<1>::new();
    assert_eq!(Task::new().poll(&mut bus.publish_async(1)), Poll::Ready(Ok(())));
    assert_eq!(drain(&bus), [1]);
}

#[test]
fn publish_wait_on_a_full_bus_waits_for_room() {
    let bus = full::<1>();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    assert!(task.poll(&mut waits).is_pending(), "polled without having been woken");
    assert_eq!((task.woken(), task.held()), (0, 1));

    let mut events = bus.consumer().unwrap();
    assert_eq!(events.drain().next(), Some(1));
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())));
    assert!(events.drain().eq([2, 3]), "order is kept");
    assert_eq!(bus.stats().refused, 0, "waiting is not being refused");
}

#[test]
fn every_way_to_take_wakes_the_publisher() {
    tickbus::events! {
        #[derive(Clone, Copy, Debug)]
        enum Number { #[subject = "number"] Number(u32) }
    }
    static TABLE: Dispatch<Number, u32, { Number::KINDS }> =
        Dispatch::new().on("number", |sum, Number::Number(number)| *sum += number);

    type Numbers = Bus<Number, 2, Reject, Waiters<2>>;
    let ways: &[fn(&Numbers)] = &[
        #[cfg(feature = "alloc")]
        |bus| {
            let mut events = Vec::new();
            assert_eq!(bus.consumer().unwrap().drain().append_to(&mut events), 2);
        },
        #[cfg(feature = "alloc")]
        |bus| {
            let mut events = Vec::new();
            assert_eq!(bus.consumer().unwrap().drain().at_most(1).append_to(&mut events), 1);
        },
        |bus| assert!(bus.consumer().unwrap().drain().next().is_some()),
        |bus| bus.consumer().unwrap().drain().for_each(drop),
        |bus| {
            assert!(bus.consumer().unwrap().drain().until(|| false).next().is_some());
        },
        |bus| assert!(Task::new().poll(&mut bus.consumer().unwrap().next_async()).is_ready()),
        |bus| {
            let mut sum = 0;
            let report = TABLE.tick(&mut sum, &mut bus.consumer().unwrap(), Budget::events(1));
            assert_eq!((sum, report.handled, report.left), (1, 1, 1));
        },
    ];
    for (number, way) in ways.iter().enumerate() {
        let bus = Numbers::default();
        bus.publish_batch(&[Number::Number(1), Number::Number(2)]).unwrap();
        let task = Task::new();
        let mut waits = bus.publish_async(Number::Number(3));
        assert!(task.poll(&mut waits).is_pending());
        way(&bus);
        assert_eq!(task.woken(), 1, "way {number}");
        assert!(matches!(task.poll(&mut waits), Poll::Ready(Ok(()))), "way {number}");
    }
}

/// A handler that waits for what a publisher does must not wait for ever.
#[test]
fn the_publisher_is_woken_before_the_handler_runs() {
    let bus = full::<1>();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    let mut events = bus.consumer().unwrap();
    let mut woken = Vec::new();
    events.drain().for_each(|_| woken.push(task.woken()));
    assert_eq!(woken, [1, 1]);
}

#[test]
fn a_drain_that_goes_on_has_woken_the_publisher() {
    let bus = full::<1>();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    let mut events = bus.consumer().unwrap();
    let mut drain = events.drain();
    assert_eq!(drain.next(), Some(1));
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())));
    assert_eq!(drain.next(), Some(2));
    assert_eq!(drain.next(), None, "3 came after the drain began");
}

#[test]
fn a_publisher_that_gave_up_has_left_no_trace() {
    let alive = Rc::new(());
    let bus: Bus<Rc<()>, 2, Reject, Waiters<1>> = Bus::new();
    bus.publish(Rc::clone(&alive)).unwrap();
    bus.publish(Rc::clone(&alive)).unwrap();
    let before = bus.stats();
    let task = Task::new();
    for polls in 0..3 {
        let mut waits = bus.publish_async(Rc::clone(&alive));
        for _ in 0..polls {
            assert!(task.poll(&mut waits).is_pending());
        }
        assert_eq!(Rc::strong_count(&alive), 4);
        drop(waits);
        assert_eq!((Rc::strong_count(&alive), task.held()), (3, 0), "{polls} polls");
    }
    assert_eq!(bus.stats(), before);
    assert_eq!(drain(&bus).len(), 2);
}

#[test]
fn the_event_of_a_publisher_that_gives_up_comes_back() {
    let bus = full::<1>();
    let task = Task::new();
    assert_eq!(bus.publish_async(3).into_event(), Some(3), "never polled");
    let mut waits = bus.publish_async(4);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(waits.into_event(), Some(4));
    assert_eq!(task.held(), 0);
    drain(&bus);
    let mut done = bus.publish_async(5);
    assert_eq!(task.poll(&mut done), Poll::Ready(Ok(())));
    assert_eq!(done.into_event(), None, "published");
    assert_eq!(drain(&bus), [5]);
}

/// A publisher that is woken, and cancelled before it is polled, does not keep the room to itself.
#[test]
fn cancelled_after_the_wake_the_room_goes_to_the_next() {
    let bus = full::<2>();
    let (first, second) = (Task::new(), Task::new());
    let (mut gives_up, mut stays) = (bus.publish_async(3), bus.publish_async(4));
    assert!(first.poll(&mut gives_up).is_pending());
    assert!(second.poll(&mut stays).is_pending());
    assert_eq!(bus.consumer().unwrap().drain().next(), Some(1));
    drop(gives_up);
    assert_eq!((first.woken(), second.woken()), (1, 1));
    assert_eq!(second.poll(&mut stays), Poll::Ready(Ok(())));
    assert_eq!(drain(&bus), [2, 4]);
}

#[test]
fn room_wins_over_a_cancellation_that_came_first() {
    let bus = Pair::<1>::new();
    let cancelled = AtomicBool::new(true);
    let mut publish = bus.publish_async(1);
    let result = block_on(poll_fn(|context| match Pin::new(&mut publish).poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if cancelled.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    }));
    assert_eq!(result, Some(Ok(())));
    assert_eq!(bus.pending(), 1);
}

#[test]
fn any_policy_may_wait() {
    let bus: Bus<u32, 2, DropNewest, Waiters<1>> = Bus::default();
    bus.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(bus.consumer().unwrap().drain().next(), Some(1));
    assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())));
    assert_eq!(bus.stats().dropped(), 0);

    let bus: Bus<u32, 2, DropOldest, Waiters<1>> = Bus::default();
    bus.publish_batch(&[1, 2]).unwrap();
    assert_eq!(task.poll(&mut bus.publish_async(3)), Poll::Ready(Ok(())));
    assert_eq!(drain(&bus), [2, 3]);
}

#[test]
#[should_panic(expected = "not polled when it is done")]
fn a_publish_that_is_done_is_not_polled_again() {
    let bus = Pair::<1>::new();
    let mut publish = bus.publish_async(1);
    let task = Task::new();
    assert!(task.poll(&mut publish).is_ready());
    let _ = task.poll(&mut publish);
}

// ---- Cancelling, forgetting, dropping -----------------------------------------------------------

/// At every await point: not polled, waiting, woken and not polled, done.
#[test]
fn a_consumer_that_is_cancelled_at_any_point_loses_nothing() {
    let task = Task::new();
    for point in 0..3 {
        let bus = Pair::<1>::new();
        let mut events = bus.consumer().unwrap();
        let mut next = events.next_async();
        if point > 0 {
            assert!(task.poll(&mut next).is_pending());
        }
        if point > 1 {
            bus.publish(1).unwrap();
        }
        drop(next);
        assert_eq!(task.held(), 0, "point {point}");
        if point < 2 {
            bus.publish(1).unwrap();
        }
        assert_eq!(task.poll(&mut events.next_async()), Poll::Ready(1), "point {point}");
    }
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_wait_that_is_forgotten_is_ended_by_the_next_wake() {
    let waiters = Waiters::<1>::new();
    let task = Task::new();
    let mut wait = waiters.wait_until(|| None::<()>);
    assert!(task.poll(&mut wait).is_pending());
    mem::forget(wait);
    assert_eq!(task.poll(&mut waiters.wait_until(|| None::<()>)), Poll::Ready(Err(TooManyWaiters)));
    waiters.wake();
    assert_eq!((task.woken(), task.held()), (1, 0));
    assert!(task.poll(&mut waiters.wait_until(|| None::<()>)).is_pending());
}

#[test]
fn a_consumers_future_that_is_forgotten_takes_no_place() {
    let bus = Pair::<1>::new();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    for _ in 0..3 {
        let mut next = events.next_async();
        assert!(task.poll(&mut next).is_pending());
        mem::forget(next);
        assert_eq!(task.held(), 1);
    }
    drop(events);
    assert_eq!(task.held(), 0);
}

#[test]
fn a_consumer_that_is_dropped_is_given_back_with_its_place() {
    let bus = Pair::<1>::new();
    let events = bus.consumer().unwrap();
    assert!(bus.consumer().is_err());
    drop(events);
    let mut events = bus.consumer().unwrap();
    assert!(Task::new().poll(&mut events.next_async()).is_pending());
}

#[test]
fn a_table_that_is_dropped_drops_the_wakers_in_it() {
    let task = Task::new();
    {
        let waiters = Waiters::<2>::new();
        let mut wait = waiters.wait_until(|| None::<()>);
        assert!(task.poll(&mut wait).is_pending());
        mem::forget(wait);
        assert_eq!(task.held(), 1);
    }
    assert_eq!((task.held(), task.woken()), (0, 0));
}

#[test]
fn a_task_that_moves_to_another_executor_is_woken_there() {
    let bus = Pair::<1>::new();
    let mut events = bus.consumer().unwrap();
    let (here, there) = (Task::new(), Task::new());
    let mut next = events.next_async();
    assert!(here.poll(&mut next).is_pending());
    assert!(there.poll(&mut next).is_pending());
    assert_eq!((here.held(), there.held()), (0, 1));
    bus.publish(1).unwrap();
    assert_eq!((here.woken(), there.woken()), (0, 1));
}

// ---- The table ----------------------------------------------------------------------------------

#[test]
fn a_full_table_says_so_and_displaces_no_task() {
    let waiters = Waiters::<2>::new();
    let task = Task::new();
    let mut waits = [(); 3].map(|()| waiters.wait_until(|| None::<()>));
    let [first, second, third] = &mut waits;
    assert!(task.poll(first).is_pending());
    assert!(task.poll(second).is_pending());
    assert_eq!(task.poll(third), Poll::Ready(Err(TooManyWaiters)));
    assert_eq!((task.held(), task.woken()), (2, 0));
    assert!(task.poll(first).is_pending(), "who has a place keeps it");
    waiters.wake();
    assert_eq!(task.woken(), 2);
    assert!(task.poll(third).is_pending(), "and now there is one");
}

#[test]
fn a_full_table_gives_the_event_back() {
    let bus = full::<1>();
    let task = Task::new();
    let mut waits = bus.publish_async(3);
    assert!(task.poll(&mut waits).is_pending());
    let mut other = bus.publish_async(4);
    assert_eq!(task.poll(&mut other), Poll::Ready(Err(Full(4))));
    assert_eq!(bus.stats().refused, 0);
}

/// Room or an event needs no place.
#[test]
fn a_full_table_keeps_no_task_from_what_is_there() {
    let waiters = Waiters::<1>::new();
    let task = Task::new();
    let mut never = waiters.wait_until(|| None::<()>);
    assert!(task.poll(&mut never).is_pending());
    assert_eq!(task.poll(&mut waiters.wait_until(|| Some(1))), Poll::Ready(Ok(1)));
}

#[test]
fn a_wake_wakes_all_and_an_empty_table_none() {
    let waiters = Waiters::<8>::new();
    waiters.wake();
    let tasks = [(); 8].map(|()| Task::new());
    let mut waits = [(); 8].map(|()| waiters.wait_until(|| None::<()>));
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert!(task.poll(wait).is_pending());
    }
    waiters.wake();
    waiters.wake();
    assert!(tasks.iter().all(|task| task.woken() == 1 && task.held() == 0));
}

#[test]
fn places_serve_again_and_again() {
    let waiters = Waiters::<3>::new();
    let task = Task::new();
    for round in 0..1000 {
        let mut waits = [(); 3].map(|()| waiters.wait_until(|| None::<()>));
        for wait in &mut waits {
            assert!(task.poll(wait).is_pending(), "round {round}");
        }
        if round % 2 == 0 {
            waiters.wake();
        }
        drop(waits);
        assert_eq!(task.held(), 0, "round {round}");
    }
    assert_eq!(task.woken(), 1500);
}

/// The wait that was ended by a wake is dropped late, when another has its place.
#[test]
fn dropping_a_woken_wait_does_not_end_that_of_another() {
    let waiters = Waiters::<1>::new();
    let (early, late) = (Task::new(), Task::new());
    let mut first = waiters.wait_until(|| None::<()>);
    assert!(early.poll(&mut first).is_pending());
    waiters.wake();
    let mut second = waiters.wait_until(|| None::<()>);
    assert!(late.poll(&mut second).is_pending());
    drop(first);
    assert_eq!(late.held(), 1);
    waiters.wake();
    assert_eq!(late.woken(), 1);
}

#[test]
fn a_condition_that_panics_leaves_no_place_taken() {
    let waiters = Waiters::<1>::new();
    let task = Task::new();
    let asked = Cell::new(0);
    let mut wait = waiters.wait_until(|| {
        asked.set(asked.get() + 1);
        assert!(asked.get() < 2, "asked again");
        None::<()>
    });
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll(&mut wait))).is_err());
    drop(wait);
    assert_eq!(task.held(), 0);
    assert!(task.poll(&mut waiters.wait_until(|| None::<()>)).is_pending());
}

/// `ready` may use the table itself.
#[test]
fn a_condition_that_wakes_and_waits_is_served() {
    let waiters = Waiters::<2>::new();
    let task = Task::new();
    let mut wait = waiters.wait_until(|| {
        waiters.wake();
        assert!(task.poll(&mut waiters.wait_until(|| None::<()>)).is_pending());
        None::<()>
    });
    assert!(task.poll(&mut wait).is_pending());
    assert_eq!(task.woken(), 1, "by itself: it was armed when it asked for the second time");
}

// ---- Wakers that do not behave ------------------------------------------------------------------

/// embassy-sync panics here: its wakers run under the lock of the channel.
#[test]
fn a_waker_that_re_enters_the_bus() {
    static BUS: Bus<u32, 4, Reject, Waiters<4>> = Bus::new();
    static SEEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    let mut events = BUS.consumer().unwrap();
    let waker = act(|| {
        if BUS.pending() < 4 {
            BUS.publish(7).unwrap();
        }
        let mut waits = BUS.publish_async(8);
        if poll_with(Waker::noop(), &mut waits).is_ready() {
            SEEN.lock().unwrap().push(8);
        }
    });
    let mut next = events.next_async();
    assert!(poll_with(&waker, &mut next).is_pending());
    BUS.publish(1).unwrap();
    drop(next);
    assert!(events.drain().eq([1, 7, 8]));
    assert_eq!(*SEEN.lock().unwrap(), [8]);
}

/// A waker that polls its task on the spot, as an executor at a higher priority does: it finds the event,
/// and a place to wait in once more, although there is only one.
#[test]
fn a_waker_that_polls_at_once_finds_a_place() {
    static WAITERS: Waiters<1> = Waiters::new();
    static POLLS: AtomicUsize = AtomicUsize::new(0);

    fn poll() {
        let mut wait = WAITERS.wait_until(|| None::<()>);
        let poll = poll_with(&act(poll), &mut wait);
        assert_eq!(poll, Poll::Pending);
        POLLS.fetch_add(1, Ordering::Relaxed);
        mem::forget(wait);
    }

    poll();
    for wakes in 1..4 {
        WAITERS.wake();
        assert_eq!(POLLS.load(Ordering::Relaxed), 1 + wakes, "one poll for each wake");
    }
}

#[test]
fn a_waker_that_panics_does_so_when_all_is_done() {
    let bus = Bus::<u32, 4, Reject, Waiters<3>>::new();
    let mut events = bus.consumer().unwrap();
    let (before, after) = (Task::new(), Task::new());
    let bomb = act(|| panic!("a waker"));
    bus.publish_batch(&[1, 2, 3, 4]).unwrap();
    let mut waits = [5, 6, 7].map(|event| bus.publish_async(event));
    let [first, second, third] = &mut waits;
    assert!(before.poll(first).is_pending());
    assert!(poll_with(&bomb, second).is_pending());
    assert!(after.poll(third).is_pending());

    let taken = catch_unwind(AssertUnwindSafe(|| events.drain().next()));
    assert!(taken.is_err());
    assert_eq!((before.woken(), after.woken()), (1, 1), "the others are woken");
    assert_eq!(bus.pending(), 3, "and there is room");
    assert_eq!(events.pending(), 4, "but the event is not lost");

    // All places are free, and the bus goes on.
    for wait in &mut waits[1..] {
        drop(mem::replace(wait, bus.publish_async(0)));
    }
    assert!(before.poll(&mut waits[0]).is_ready());
    assert!(waits[1..].iter_mut().all(|wait| before.poll(wait).is_pending()));
    assert!(events.drain().eq([1, 2, 3, 4, 5]));
}

#[test]
fn a_waker_that_panics_does_not_unpublish() {
    let bus = Pair::<1>::new();
    let mut events = bus.consumer().unwrap();
    let mut ready = events.ready_async();
    assert!(poll_with(&act(|| panic!("a waker")), &mut ready).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| bus.publish(1))).is_err());
    drop(ready);
    assert!(events.drain().eq([1]));
    let stats = bus.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending);
}

/// Cloning a waker is user code: it runs before a place is taken.
#[test]
fn a_waker_whose_clone_panics_costs_no_place() {
    use core::task::{RawWaker, RawWakerVTable};
    static TABLE: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("a clone"), |_| {}, |_| {}, |_| {});
    // Made by the only safe way there is: from a waker that is never cloned but here.
    fn raw() -> RawWaker {
        RawWaker::new(core::ptr::null(), &TABLE)
    }
    let waiters = Waiters::<1>::new();
    // SAFETY: the functions of the table ignore their data, so they are safe to call with it.
    let bomb = unsafe { Waker::from_raw(raw()) };
    let mut wait = waiters.wait_until(|| None::<()>);
    assert!(catch_unwind(AssertUnwindSafe(|| poll_with(&bomb, &mut wait))).is_err());
    let task = Task::new();
    assert!(task.poll(&mut waiters.wait_until(|| None::<()>)).is_pending());
}

// ---- Lanes --------------------------------------------------------------------------------------

type Path<const W: usize> = Lane<u32, 2, Waiters<W>>;

#[test]
fn every_way_to_publish_wakes_the_consumer_of_a_lane_once() {
    let ways: [fn(&mut Publisher<'_, u32, Waiters<2>>); 3] = [
        |publisher| publisher.publish(1).unwrap(),
        |publisher| publisher.publish_batch(&[1]).unwrap(),
        |publisher| block_on(publisher.publish_async(1)).unwrap(),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let lane = Path::<2>::default();
        let (mut publisher, mut events) = (lane.publisher().unwrap(), lane.consumer().unwrap());
        let task = Task::new();
        let mut next = events.next_async();
        assert_eq!(task.poll(&mut next), Poll::Pending, "way {number}");
        way(&mut publisher);
        way(&mut publisher);
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut next), Poll::Ready(1), "way {number}");
    }
}

#[test]
fn every_way_to_take_wakes_the_producer_of_a_lane() {
    type Way = fn(Consumer<'_, u32, Single, Waiters<2>>);
    let ways: [Way; 4] = [
        |mut events| assert_eq!(block_on(events.next_async()), 1),
        |mut events| assert_eq!(events.drain().next(), Some(1)),
        |mut events| events.drain().for_each(drop),
        |mut events| {
            block_on(events.ready_async());
            assert_eq!(events.drain().at_most(1).count(), 1);
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let lane = Path::<2>::default();
        let mut publisher = lane.publisher().unwrap();
        publisher.publish_batch(&[1, 2]).unwrap();
        let task = Task::new();
        let mut third = publisher.publish_async(3);
        assert_eq!(task.poll(&mut third), Poll::Pending, "way {number}");
        way(lane.consumer().unwrap());
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut third), Poll::Ready(Ok(())), "way {number}");
        assert_eq!(task.held(), 0, "way {number}");
    }
}

#[test]
fn a_producer_that_gave_up_has_left_no_trace() {
    let lane = Path::<1>::default();
    let mut publisher = lane.publisher().unwrap();
    publisher.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut third = publisher.publish_async(3);
    assert_eq!(task.poll(&mut third), Poll::Pending);
    assert_eq!(third.into_event(), Some(3));
    assert_eq!(task.held(), 0);
    let stats = lane.stats();
    assert_eq!((stats.published, stats.refused, lane.pending()), (2, 0, 2));
    assert_eq!(publisher.publish(4), Err(Full(4)), "this one counts");
    assert_eq!(lane.stats().refused, 1);
    assert!(lane.consumer().unwrap().drain().eq([1, 2]));
    assert!(lane.is_empty());
}

#[test]
fn a_producer_that_finds_no_place_gets_its_event_back() {
    let lane = Path::<1>::default();
    let mut publisher = lane.publisher().unwrap();
    publisher.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut forgotten = publisher.publish_async(3);
    assert_eq!(task.poll(&mut forgotten), Poll::Pending);
    mem::forget(forgotten);
    assert_eq!(task.poll(&mut publisher.publish_async(4)), Poll::Ready(Err(Full(4))));
    assert_eq!(lane.stats().refused, 0);
    assert!(lane.consumer().unwrap().drain().eq([1, 2]));
    assert_eq!(task.poll(&mut publisher.publish_async(4)), Poll::Ready(Ok(())));
}

// ---- Topics and latest values -------------------------------------------------------------------

#[test]
fn a_publish_wakes_every_subscriber_that_waits() {
    let topic: Topic<u32, 4, Waiters<3>> = Topic::default();
    let mut subscribers = [(); 3].map(|()| topic.subscribe());
    let tasks = [(); 3].map(|()| Task::new());
    let mut waits = subscribers.each_mut().map(|subscriber| Box::pin(subscriber.next_async()));
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert!(task.poll(wait).is_pending());
    }
    topic.publish(7);
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(wait), Poll::Ready(Ok(7)));
    }
}

#[test]
fn the_publisher_of_a_feed_wakes_every_subscriber_that_waits() {
    let feed: Feed<u32, 2, Waiters<2>> = Feed::default();
    let mut publisher = feed.publisher().unwrap();
    assert!(feed.publisher().is_err(), "it is claimed");
    let mut subscribers = [(); 2].map(|()| feed.subscribe());
    let tasks = [(); 2].map(|()| Task::new());
    {
        let mut waits = subscribers.each_mut().map(|subscriber| Box::pin(subscriber.next_async()));
        for (task, wait) in tasks.iter().zip(&mut waits) {
            assert!(task.poll(wait).is_pending());
        }
        publisher.publish(7);
        for (task, wait) in tasks.iter().zip(&mut waits) {
            assert_eq!(task.woken(), 1);
            assert_eq!(task.poll(wait), Poll::Ready(Ok(7)));
        }
    }
    (8..=10).for_each(|event| publisher.publish(event));
    for subscriber in &mut subscribers {
        assert_eq!(block_on(subscriber.next_async()), Err(WaitError::Lagged(Lagged(1))));
        assert!(subscriber.read().eq([Ok(9), Ok(10)]));
    }
}

#[test]
fn a_subscriber_that_was_overtaken_is_told_when_it_wakes() {
    let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
    let mut subscriber = topic.subscribe();
    let task = Task::new();
    assert!(task.poll(&mut Box::pin(subscriber.next_async())).is_pending());
    assert_eq!(task.held(), 0, "cancelled");
    for event in 1..=3 {
        topic.publish(event);
    }
    assert_eq!(block_on(subscriber.next_async()), Err(WaitError::Lagged(Lagged(1))));
    assert!(subscriber.read().eq([Ok(2), Ok(3)]));
}

#[test]
fn a_subscriber_that_finds_no_place_is_told() {
    let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
    let (mut first, mut second) = (topic.subscribe(), topic.subscribe());
    let task = Task::new();
    let mut waits = Box::pin(first.next_async());
    assert!(task.poll(&mut waits).is_pending());
    let told = task.poll(&mut Box::pin(second.next_async()));
    assert_eq!(told, Poll::Ready(Err(WaitError::TooManyWaiters)));
}

/// By every way to make room: reading, awaiting, and dropping the gate.
#[test]
fn a_publisher_waits_for_the_slowest_gate() {
    type Gated = GatedTopic<u32, 2, 1, Waiters<2>>;
    type Way = fn(Subscriber<'_, u32, Many, Waiters<2>>);
    let ways: [Way; 3] = [
        |mut gate| assert_eq!(gate.read().next(), Some(Ok(1))),
        |mut gate| assert_eq!(block_on(gate.next_async()), Ok(1)),
        |gate| drop(gate),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let topic = Gated::default();
        let gate = topic.subscribe().unwrap();
        topic.publish(1).unwrap();
        topic.publish(2).unwrap();
        let task = Task::new();
        let mut waits = Box::pin(topic.publish_async(3));
        assert!(task.poll(&mut waits).is_pending());
        way(gate);
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())), "way {number}");
    }
}

#[test]
fn a_reader_of_a_gated_topic_is_woken_by_both_ways_to_publish() {
    let topic: GatedTopic<u32, 2, 1, Waiters<2>> = GatedTopic::default();
    let mut gate = topic.subscribe().unwrap();
    for event in [1, 2] {
        let task = Task::new();
        let mut wait = Box::pin(gate.next_async());
        assert!(task.poll(&mut wait).is_pending());
        match event {
            1 => topic.publish(event).unwrap(),
            _ => block_on(topic.publish_async(event)).unwrap(),
        }
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(event)));
    }
}

#[test]
fn a_publisher_that_waits_can_tell_for_whom() {
    let topic: GatedTopic<u32, 2, 2, Waiters<2>> = GatedTopic::default();
    let mut reads = topic.subscribe().unwrap();
    let sleeps = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    assert!(reads.read().eq([Ok(1), Ok(2)]));

    let task = Task::new();
    let mut third = Box::pin(topic.publish_async(3));
    assert!(task.poll(&mut third).is_pending());
    let gate = topic.gate().unwrap();
    assert_eq!((Some(gate.subscriber), gate.pending), (sleeps.place(), topic.capacity()));
    assert_eq!((reads.stats().received, sleeps.stats().pending), (2, 2));

    drop(sleeps);
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut third), Poll::Ready(Ok(())));
    assert_eq!(topic.gate().map(|gate| gate.subscriber), reads.place());
}

#[test]
fn a_publish_with_a_margin_wakes_subscribers_and_leaves_its_room() {
    let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
    let mut gate = topic.subscribe().unwrap();
    let task = Task::new();
    let mut wait = Box::pin(gate.next_async());
    assert!(task.poll(&mut wait).is_pending());
    topic.publish_with_margin(1, 1).unwrap();
    assert_eq!(task.woken(), 1);
    assert_eq!(topic.publish_with_margin(2, 1), Err(Full(2)));
    assert_eq!(topic.publish(3), Ok(()));
    assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(1)));
}

#[test]
fn what_is_awaited_has_the_numbers_of_what_is_inside() {
    let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
    let mut subscriber = topic.subscribe();
    (0..3).for_each(|event| topic.publish(event));
    assert_eq!((topic.stats().published, topic.capacity()), (3, 2));
    assert_eq!(subscriber.read().count(), 3);
    assert_eq!((subscriber.stats().missed, subscriber.stats().received), (1, 2));

    let feed: Feed<u32, 2, Waiters<1>> = Feed::default();
    feed.publisher().unwrap().publish(1);
    assert_eq!((feed.stats().published, feed.capacity()), (1, 2));

    let latest: Latest<u32, Waiters<1>> = Latest::default();
    let mut watcher = latest.watch();
    assert!(!watcher.is_changed());
    latest.publish(1);
    assert!(watcher.is_changed());
    assert!(watcher.changed().is_some());
    assert_eq!((watcher.is_changed(), latest.lost()), (false, 0));
}

#[test]
fn a_watcher_waits_for_a_change_and_sees_the_newest() {
    let latest: Latest<u32, Waiters<1>> = Latest::default();
    latest.publish(1);
    let mut watcher = latest.watch();
    let task = Task::new();
    let mut wait = Box::pin(watcher.changed_async());
    assert!(task.poll(&mut wait).is_pending(), "what came before is no change");
    latest.publish(2);
    latest.publish(3);
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(Changed { value: 3, skipped: 1 })));
    drop(wait);
    assert_eq!(watcher.changed(), None);
}

// ---- Wakers that panic: no event is lost, and nothing is miscounted -------------------------------

type Wide = Bus<u32, 4, Reject, Waiters<3>>;

/// A full bus on which a waker that panics waits for room, between two that do not.
struct Mined<'a> {
    waits: Vec<PublishAsync<'a, u32, &'a Wide>>,
    tasks: [Task; 2],
}

impl<'a> Mined<'a> {
    fn new(bus: &'a Wide) -> Self {
        bus.publish_batch(&[1, 2, 3, 4]).unwrap();
        let mut waits: Vec<_> = [5, 6, 7].map(|event| bus.publish_async(event)).into();
        let tasks = [Task::new(), Task::new()];
        assert!(tasks[0].poll(&mut waits[0]).is_pending());
        assert!(poll_with(&act(|| panic!("a waker")), &mut waits[1]).is_pending());
        assert!(tasks[1].poll(&mut waits[2]).is_pending());
        Self { waits, tasks }
    }

    /// Runs `f`, in which the waker panics. All others are woken once, and the law holds.
    fn goes_off(self, bus: &Wide, f: impl FnOnce()) {
        assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "the waker panics");
        assert_eq!(self.tasks.each_ref().map(Task::woken), [1, 1], "the others are woken");
        let stats = bus.stats();
        assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending);
        assert_eq!((stats.published, stats.refused), (4, 0));
        drop(self.waits);
    }
}

#[test]
fn a_waker_that_panics_in_a_tick_keeps_no_event_from_its_handler() {
    tickbus::events! {
        #[derive(Clone, Copy, Debug)]
        enum Number { #[subject = "odd"] Odd(u32), #[subject = "even"] Even }
    }
    static TABLE: Dispatch<Number, Vec<u32>, { Number::KINDS }, Result<(), ()>> = Dispatch::new()
        .on("odd", |seen, number| {
            let Number::Odd(number) = number else { unreachable!() };
            seen.push(*number);
            Err(())
        });
    let bus: Bus<Number, 4, Reject, Waiters<2>> = Bus::default();
    bus.publish_batch(&[Number::Odd(1), Number::Even, Number::Odd(3)]).unwrap();
    bus.publish(Number::Even).unwrap();
    let mut events = bus.consumer().unwrap();
    let (bomb, task) = (act(|| panic!("a waker")), Task::new());
    let mut seen = Vec::new();
    for (at, expected) in [(1, vec![1]), (2, vec![1])] {
        let mut mined = bus.publish_async(Number::Odd(4 + at));
        let mut waits = bus.publish_async(Number::Odd(0));
        assert!(poll_with(&bomb, &mut mined).is_pending());
        assert!(task.poll(&mut waits).is_pending());
        let tick = || TABLE.tick(&mut seen, &mut events, Budget::unlimited());
        assert!(catch_unwind(AssertUnwindSafe(tick)).is_err());
        let stats = bus.stats();
        assert_eq!(seen, expected, "event {at}");
        assert_eq!(
            (stats.handled, stats.failed, stats.unhandled),
            (at as usize, 1, at as usize - 1)
        );
        assert_eq!((task.woken(), stats.pending), (at as usize, 3), "event {at}");
        assert!(poll_with(&bomb, &mut mined).is_ready());
    }
    let report = TABLE.tick(&mut seen, &mut events, Budget::unlimited());
    assert_eq!((report.handled, report.failed, report.unhandled), (4, 3, 1));
    assert_eq!(seen, [1, 3, 5, 6]);
}

#[test]
fn a_waker_that_panics_costs_a_drain_no_event() {
    // Taken one by one, with the drain given up, or going on.
    for goes_on in [false, true] {
        let bus = Wide::default();
        let mut events = bus.consumer().unwrap();
        let mut seen = Vec::new();
        let mined = Mined::new(&bus);
        if goes_on {
            let mut drain = events.drain().at_most(3);
            mined.goes_off(&bus, || seen.extend(drain.next()));
            seen.extend(drain);
            assert_eq!(seen, [1, 2, 3]);
        } else {
            mined.goes_off(&bus, || {
                for event in events.drain() {
                    seen.push(event);
                }
            });
            assert_eq!((&seen[..], events.pending(), bus.pending()), (&[][..], 4, 3));
            assert_eq!(events.drain().at_most(0).next(), None);
            block_on(events.ready_async());
            seen.extend(events.drain().at_most(2));
            assert_eq!((&seen[..], events.pending()), (&[1, 2][..], 2));
        }
        seen.extend(events.drain());
        assert_eq!(seen, [1, 2, 3, 4]);
        assert_eq!(bus.stats().handled, 4);
    }
    // Handed to a closure, which gets the event while the panic unwinds.
    let bus = Wide::default();
    let mut events = bus.consumer().unwrap();
    let mut seen = Vec::new();
    Mined::new(&bus).goes_off(&bus, || events.drain().for_each(|event| seen.push(event)));
    assert_eq!((&seen[..], events.pending()), (&[1][..], 3));
    events.drain().for_each(|event| seen.push(event));
    assert_eq!(seen, [1, 2, 3, 4]);
}

/// What was kept comes first, whatever takes it.
#[test]
fn an_event_that_a_panic_kept_is_the_next() {
    tickbus::events! {
        #[derive(Clone, Copy, Debug)]
        enum Number { #[subject = "number"] Number(u32) }
    }
    static TABLE: Dispatch<Number, Vec<u32>, { Number::KINDS }> =
        Dispatch::new().on("number", |seen, Number::Number(number)| seen.push(*number));
    type Numbers = Bus<Number, 2, Reject, Waiters<1>>;
    type Way = fn(Consumer<'_, Number, Reject, Waiters<1>>) -> Vec<u32>;
    let ways: &[Way] = &[
        |mut events| events.drain().map(|Number::Number(number)| number).collect(),
        |mut events| {
            let mut seen = Vec::new();
            events.drain().for_each(|Number::Number(number)| seen.push(number));
            seen
        },
        #[cfg(feature = "alloc")]
        |mut events| {
            let mut seen = vec![Number::Number(0)];
            assert_eq!(events.drain().append_to(&mut seen), 2);
            seen[1..].iter().map(|Number::Number(number)| *number).collect()
        },
        |mut events| {
            let mut next = || {
                let Number::Number(number) = block_on(events.next_async());
                number
            };
            vec![next(), next()]
        },
        |mut events| {
            let mut seen = Vec::new();
            let report = TABLE.tick(&mut seen, &mut events, Budget::events(1));
            assert_eq!((report.handled, report.left), (1, 1));
            let report = TABLE.tick(&mut seen, &mut events, Budget::unlimited());
            assert_eq!((report.handled, report.left), (1, 0));
            seen
        },
    ];
    for (number, way) in ways.iter().enumerate() {
        let bus = Numbers::default();
        bus.publish_batch(&[Number::Number(1), Number::Number(2)]).unwrap();
        let mut events = bus.consumer().unwrap();
        let mut waits = bus.publish_async(Number::Number(3));
        assert!(poll_with(&act(|| panic!("a waker")), &mut waits).is_pending());
        let taken = catch_unwind(AssertUnwindSafe(|| events.drain().next()));
        assert!(taken.is_err());
        assert_eq!(way(events), [1, 2], "way {number}");
    }
}

#[cfg(feature = "alloc")]
#[test]
fn a_waker_that_panics_when_all_have_moved_costs_none() {
    let bus = Wide::default();
    let mut events = bus.consumer().unwrap();
    let mut seen = Vec::new();
    let mined = Mined::new(&bus);
    mined.goes_off(&bus, || _ = events.drain().append_to(&mut seen));
    assert_eq!((&seen[..], events.pending()), (&[1, 2, 3, 4][..], 0));
}

#[test]
fn a_waker_that_panics_costs_a_wait_no_event() {
    let bus = Wide::default();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    let mined = Mined::new(&bus);
    mined.goes_off(&bus, || _ = task.poll(&mut events.next_async()));
    let mut seen = Vec::new();
    while events.pending() > 0 {
        seen.push(block_on(events.next_async()));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!(bus.stats().handled, 4);
}

#[test]
fn a_waker_that_panics_costs_a_lane_no_event() {
    type Way = fn(&mut Consumer<'_, u32, Single, Waiters<1>>, &mut Vec<u32>);
    let ways: [Way; 3] = [
        |events, seen| events.drain().for_each(|event| seen.push(event)),
        |events, seen| seen.extend(events.drain().next()),
        |events, seen| seen.push(block_on(events.next_async())),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let lane = Path::<1>::default();
        let mut publisher = lane.publisher().unwrap();
        publisher.publish_batch(&[1, 2]).unwrap();
        let mut waits = publisher.publish_async(3);
        assert!(poll_with(&act(|| panic!("a waker")), &mut waits).is_pending());
        let (mut events, mut seen) = (lane.consumer().unwrap(), Vec::new());
        let taken = catch_unwind(AssertUnwindSafe(|| way(&mut events, &mut seen)));
        assert!(taken.is_err(), "way {number}");
        seen.extend(events.drain());
        assert_eq!(seen, [1, 2], "way {number}");
        assert_eq!(lane.stats().handled, 2, "way {number}");
    }
}

#[test]
fn a_waker_that_panics_costs_a_gating_subscriber_no_event() {
    type Way = fn(&mut Subscriber<'_, u32, Many, Waiters<2>>, &mut Vec<u32>);
    let ways: [Way; 3] = [
        |gate, seen| gate.read().for_each(|event| seen.push(event.unwrap())),
        |gate, seen| seen.extend(gate.read().next().map(Result::unwrap)),
        |gate, seen| seen.push(block_on(gate.next_async()).unwrap()),
    ];
    let then: [Way; 3] = [
        ways[0],
        |gate, seen| seen.extend(gate.read().flatten()),
        |gate, seen| {
            while gate.pending() > 0 {
                seen.push(block_on(gate.next_async()).unwrap());
            }
        },
    ];
    for (way, then) in ways.into_iter().flat_map(|way| then.map(|then| (way, then))) {
        let topic: GatedTopic<u32, 2, 1, Waiters<2>> = GatedTopic::default();
        let mut gate = topic.subscribe().unwrap();
        topic.publish(1).unwrap();
        topic.publish(2).unwrap();
        let task = Task::new();
        let mut waits = [3, 4].map(|event| Box::pin(topic.publish_async(event)));
        assert!(poll_with(&act(|| panic!("a waker")), &mut waits[0]).is_pending());
        assert!(task.poll(&mut waits[1]).is_pending());
        let mut seen = Vec::new();
        assert!(catch_unwind(AssertUnwindSafe(|| way(&mut gate, &mut seen))).is_err());
        assert_eq!(task.woken(), 1);
        then(&mut gate, &mut seen);
        assert_eq!(seen, [1, 2]);
        let stats = gate.stats();
        assert_eq!((stats.published, stats.received, stats.pending), (2, 2, 0));
    }
}

#[test]
fn a_waker_that_panics_opens_the_gate_of_a_subscriber_that_leaves() {
    let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
    let gate = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    let mut waits = Box::pin(topic.publish_async(3));
    assert!(poll_with(&act(|| panic!("a waker")), &mut waits).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(gate))).is_err());
    assert_eq!(Task::new().poll(&mut waits), Poll::Ready(Ok(())));
    assert!(topic.subscribe().is_ok(), "its place is free");
}

/// Whatever publishes has published when a waker panics, and nothing twice.
#[test]
fn a_waker_that_panics_unpublishes_nothing_anywhere() {
    let bomb = || act(|| panic!("a waker"));
    let goes_off = |publish: &mut dyn FnMut()| {
        assert!(catch_unwind(AssertUnwindSafe(publish)).is_err());
    };

    let topic: Topic<u32, 4, Waiters<1>> = Topic::default();
    let (mut waits, mut reads) = (topic.subscribe(), topic.subscribe());
    assert!(poll_with(&bomb(), &mut Box::pin(waits.next_async())).is_pending());
    let mut wait = Box::pin(waits.next_async());
    assert!(poll_with(&bomb(), &mut wait).is_pending());
    goes_off(&mut || topic.publish(1));
    assert_eq!(Task::new().poll(&mut wait), Poll::Ready(Ok(1)));
    assert!(reads.read().eq([Ok(1)]));

    let feed: Feed<u32, 4, Waiters<1>> = Feed::default();
    let (mut publisher, mut waits) = (feed.publisher().unwrap(), feed.subscribe());
    let mut wait = Box::pin(waits.next_async());
    assert!(poll_with(&bomb(), &mut wait).is_pending());
    goes_off(&mut || publisher.publish(1));
    assert_eq!(Task::new().poll(&mut wait), Poll::Ready(Ok(1)));

    let latest: Latest<u32, Waiters<1>> = Latest::default();
    let mut watcher = latest.watch();
    let mut wait = Box::pin(watcher.changed_async());
    assert!(poll_with(&bomb(), &mut wait).is_pending());
    goes_off(&mut || latest.publish(1));
    let changed = Changed { value: 1, skipped: 0 };
    assert_eq!(Task::new().poll(&mut wait), Poll::Ready(Ok(changed)));
    assert_eq!((latest.get(), latest.lost()), (Some(1), 0));

    let gated: GatedTopic<u32, 4, 1, Waiters<1>> = GatedTopic::default();
    let mut gate = gated.subscribe().unwrap();
    let ways: [fn(&GatedTopic<u32, 4, 1, Waiters<1>>); 2] =
        [|gated| gated.publish(1).unwrap(), |gated| block_on(gated.publish_async(1)).unwrap()];
    for way in ways {
        let mut wait = Box::pin(gate.next_async());
        assert!(poll_with(&bomb(), &mut wait).is_pending());
        goes_off(&mut || way(&gated));
        assert_eq!(Task::new().poll(&mut wait), Poll::Ready(Ok(1)));
    }
    assert_eq!((gated.stats().published, gated.stats().refused), (2, 0));

    let ways: [fn(&Pair<2>); 3] = [
        |bus| bus.publish(1).unwrap(),
        |bus| bus.publish_batch(&[1]).unwrap(),
        |bus| block_on(bus.publish_async(1)).unwrap(),
    ];
    for way in ways {
        let bus = Pair::<2>::default();
        let mut events = bus.consumer().unwrap();
        let mut next = events.next_async();
        assert!(poll_with(&bomb(), &mut next).is_pending());
        goes_off(&mut || way(&bus));
        assert_eq!(Task::new().poll(&mut next), Poll::Ready(1));
        assert_eq!((bus.stats().published, bus.stats().handled), (1, 1));
    }

    let ways: [fn(&mut Publisher<'_, u32, Waiters<2>>); 3] = [
        |publisher| publisher.publish(1).unwrap(),
        |publisher| publisher.publish_batch(&[1]).unwrap(),
        |publisher| block_on(publisher.publish_async(1)).unwrap(),
    ];
    for way in ways {
        let lane = Path::<2>::default();
        let (mut publisher, mut events) = (lane.publisher().unwrap(), lane.consumer().unwrap());
        let mut next = events.next_async();
        assert!(poll_with(&bomb(), &mut next).is_pending());
        goes_off(&mut || way(&mut publisher));
        assert_eq!(Task::new().poll(&mut next), Poll::Ready(1));
        assert_eq!((lane.stats().published, lane.stats().handled), (1, 1));
    }
}

// ---- Bystanders: what is refused or cancelled leaves all others asleep and in place ---------------

/// That the task sleeps where it did.
#[track_caller]
fn assert_sleeps(task: &Task) {
    assert_eq!((task.woken(), task.held()), (0, 1));
}

#[test]
fn a_table_that_refuses_or_is_left_wakes_no_bystander() {
    let (sleeper, task) = (Task::new(), Task::new());
    let narrow = Waiters::<1>::new();
    let mut sleeps = narrow.wait_until(|| None::<()>);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    for _ in 0..3 {
        let mut newcomer = narrow.wait_until(|| None::<()>);
        assert_eq!(task.poll(&mut newcomer), Poll::Ready(Err(TooManyWaiters)));
    }
    assert_sleeps(&sleeper);

    let sleeper = Task::new();
    let wide = Waiters::<2>::new();
    let mut sleeps = wide.wait_until(|| None::<()>);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    drop(wide.wait_until(|| None::<()>));
    let mut cancelled = wide.wait_until(|| None::<()>);
    assert!(task.poll(&mut cancelled).is_pending());
    assert!(task.poll(&mut cancelled).is_pending());
    drop(cancelled);
    assert_eq!(task.poll(&mut wide.wait_until(|| Some(1))), Poll::Ready(Ok(1)));
    assert_sleeps(&sleeper);
}

#[test]
fn a_bus_that_refuses_or_is_left_wakes_no_bystander() {
    let (sleeper, task) = (Task::new(), Task::new());
    let bus = full::<1>();
    let mut sleeps = bus.publish_async(3);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    assert_eq!(task.poll(&mut bus.publish_async(4)), Poll::Ready(Err(Full(4))));
    assert_eq!(bus.publish(4), Err(Full(4)));
    assert_eq!(bus.publish_batch(&[4, 5]), Err(Full(&[4, 5][..])));
    assert_eq!(bus.publish_batch(&[]), Ok(()));
    assert_sleeps(&sleeper);
    let mut events = bus.consumer().unwrap();
    drop(events.ready_async());
    drop(events.next_async());
    drop(events.drain());
    assert_eq!(events.drain().at_most(0).next(), None);
    assert_eq!(events.drain().until(|| true).next(), None);
    events.drain().at_most(0).for_each(drop);
    #[cfg(feature = "alloc")]
    assert_eq!(events.drain().at_most(0).append_to(&mut Vec::new()), 0);
    assert_eq!(task.poll(&mut events.ready_async()), Poll::Ready(()));
    drop(events);
    assert_sleeps(&sleeper);
    assert_eq!(bus.consumer().unwrap().drain().next(), Some(1));
    assert_eq!(sleeper.woken(), 1, "it has its place");

    let sleeper = Task::new();
    let bus = full::<2>();
    let mut sleeps = bus.publish_async(3);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    for is_dropped in [true, false] {
        let mut cancelled = bus.publish_async(4);
        assert!(task.poll(&mut cancelled).is_pending());
        if is_dropped {
            drop(cancelled);
        } else {
            assert_eq!(cancelled.into_event(), Some(4));
        }
    }
    assert_sleeps(&sleeper);

    // The other side sleeps.
    let sleeper = Task::new();
    let bus = Pair::<2>::default();
    let mut events = bus.consumer().unwrap();
    let mut sleeps = events.next_async();
    assert!(sleeper.poll(&mut sleeps).is_pending());
    drop(bus.publish_async(1));
    assert_eq!(bus.publish_batch(&[]), Ok(()));
    assert_sleeps(&sleeper);
}

#[test]
fn a_bus_that_drops_the_newest_wakes_no_bystander() {
    let (sleeper, task) = (Task::new(), Task::new());
    let bus: Bus<u32, 2, DropNewest, Waiters<1>> = Bus::default();
    bus.publish_batch(&[1, 2]).unwrap();
    let mut sleeps = bus.publish_async(3);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    let _ = bus.publish(4);
    let _ = bus.publish_batch(&[4, 5]);
    assert_eq!(task.poll(&mut bus.publish_async(4)), Poll::Ready(Err(Full(4))));
    assert_sleeps(&sleeper);
    assert_eq!((bus.pending(), bus.stats().dropped()), (2, 3));
}

#[test]
fn a_lane_that_refuses_or_is_left_wakes_no_bystander() {
    let (sleeper, task) = (Task::new(), Task::new());
    let lane = Path::<1>::default();
    let mut publisher = lane.publisher().unwrap();
    publisher.publish_batch(&[1, 2]).unwrap();
    let mut sleeps = publisher.publish_async(3);
    assert!(sleeper.poll(&mut sleeps).is_pending());
    mem::forget(sleeps);
    assert_eq!(task.poll(&mut publisher.publish_async(4)), Poll::Ready(Err(Full(4))));
    assert_eq!(publisher.publish(4), Err(Full(4)));
    assert_eq!(publisher.publish_batch(&[4]), Err(Full(&[4][..])));
    assert_sleeps(&sleeper);
    let mut events = lane.consumer().unwrap();
    drop(events.next_async());
    assert_eq!(events.drain().at_most(0).next(), None);
    drop(events);
    assert_sleeps(&sleeper);
    lane.consumer().unwrap().drain().for_each(drop);

    let (sleeper, lane) = (Task::new(), Path::<2>::default());
    let (mut publisher, mut events) = (lane.publisher().unwrap(), lane.consumer().unwrap());
    let mut sleeps = events.next_async();
    assert!(sleeper.poll(&mut sleeps).is_pending());
    drop(publisher.publish_async(1));
    assert_eq!(publisher.publish_batch(&[]), Ok(()));
    drop(publisher);
    assert_sleeps(&sleeper);
}

/// Subscribers of any kind: the first sleeps, the second is refused, or gives up.
fn second_leaves_the_first_asleep<P: Publishers, const K: usize>(
    [mut first, mut second]: [Subscriber<'_, u32, P, Waiters<K>>; 2],
    has_place: bool,
) {
    let (sleeper, task) = (Task::new(), Task::new());
    let mut sleeps = Box::pin(first.next_async());
    assert!(sleeper.poll(&mut sleeps).is_pending());
    for _ in 0..2 {
        let mut wait = Box::pin(second.next_async());
        let expected =
            if has_place { Poll::Pending } else { Poll::Ready(Err(WaitError::TooManyWaiters)) };
        assert_eq!(task.poll(&mut wait), expected);
    }
    drop(second.next_async());
    assert_eq!(second.read().next(), None);
    second.read().for_each(drop);
    drop(second);
    assert_sleeps(&sleeper);
}

#[test]
fn a_topic_that_refuses_or_is_left_wakes_no_bystander() {
    let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
    second_leaves_the_first_asleep([(); 2].map(|()| topic.subscribe()), false);
    let topic: Topic<u32, 2, Waiters<2>> = Topic::default();
    second_leaves_the_first_asleep([(); 2].map(|()| topic.subscribe()), true);

    let feed: Feed<u32, 2, Waiters<1>> = Feed::default();
    second_leaves_the_first_asleep([(); 2].map(|()| feed.subscribe()), false);
    let feed: Feed<u32, 2, Waiters<2>> = Feed::default();
    second_leaves_the_first_asleep([(); 2].map(|()| feed.subscribe()), true);

    // It reads for the task that slept all the same.
    let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
    let (mut first, mut second) = (topic.subscribe(), topic.subscribe());
    let (sleeper, task) = (Task::new(), Task::new());
    let mut sleeps = Box::pin(first.next_async());
    assert!(sleeper.poll(&mut sleeps).is_pending());
    let refused = task.poll(&mut Box::pin(second.next_async()));
    assert_eq!(refused, Poll::Ready(Err(WaitError::TooManyWaiters)));
    topic.publish(7);
    assert_eq!((sleeper.woken(), task.woken()), (1, 0));
    assert_eq!(sleeper.poll(&mut sleeps), Poll::Ready(Ok(7)));
}

#[test]
fn a_gated_topic_that_refuses_or_is_left_wakes_no_bystander() {
    // Subscribers.
    let topic: GatedTopic<u32, 2, 2, Waiters<1>> = GatedTopic::default();
    second_leaves_the_first_asleep([(); 2].map(|()| topic.subscribe().unwrap()), false);
    let topic: GatedTopic<u32, 2, 2, Waiters<2>> = GatedTopic::default();
    second_leaves_the_first_asleep([(); 2].map(|()| topic.subscribe().unwrap()), true);
    second_leaves_the_first_asleep([topic.subscribe().unwrap(), topic.subscribe_lagging()], true);

    // Publishers.
    let (sleeper, task) = (Task::new(), Task::new());
    let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
    let mut lagging = topic.subscribe_lagging();
    let gate = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    let mut sleeps = Box::pin(topic.publish_async(3));
    assert!(sleeper.poll(&mut sleeps).is_pending());
    let refused = task.poll(&mut Box::pin(topic.publish_async(4)));
    assert_eq!(refused, Poll::Ready(Err(Full(4))));
    assert_eq!(topic.publish(4), Err(Full(4)));
    assert_eq!(topic.publish_with_margin(4, 1), Err(Full(4)));
    assert!(topic.subscribe().is_err());
    // A subscriber that does not gate makes no room.
    assert_eq!(block_on(lagging.next_async()), Ok(1));
    assert!(lagging.read().eq([Ok(2)]));
    drop(lagging);
    assert_sleeps(&sleeper);
    drop(gate);
    assert_eq!(sleeper.woken(), 1, "it has its place");

    let sleeper = Task::new();
    let topic: GatedTopic<u32, 2, 1, Waiters<2>> = GatedTopic::default();
    let _gate = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    let mut sleeps = Box::pin(topic.publish_async(3));
    assert!(sleeper.poll(&mut sleeps).is_pending());
    assert!(task.poll(&mut Box::pin(topic.publish_async(4))).is_pending());
    assert_sleeps(&sleeper);
}

#[test]
fn a_latest_value_that_refuses_or_is_left_wakes_no_bystander() {
    fn second_watcher<const W: usize>(expected: Poll<Result<Changed<u32>, WaitError>>) {
        let latest: Latest<u32, Waiters<W>> = Latest::default();
        latest.publish(1);
        let (mut first, mut second) = (latest.watch(), latest.watch());
        let (sleeper, task) = (Task::new(), Task::new());
        let mut sleeps = Box::pin(first.changed_async());
        assert!(sleeper.poll(&mut sleeps).is_pending());
        assert_eq!(task.poll(&mut Box::pin(second.changed_async())), expected);
        assert_eq!((second.changed(), latest.get()), (None, Some(1)));
        drop(second);
        assert_sleeps(&sleeper);
    }
    second_watcher::<1>(Poll::Ready(Err(WaitError::TooManyWaiters)));
    second_watcher::<2>(Poll::Pending);
}

#[test]
fn a_wait_for_events_that_is_dropped_gives_its_place_back() {
    let bus = Pair::<1>::default();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    let mut ready = events.ready_async();
    assert!(task.poll(&mut ready).is_pending());
    assert_eq!(task.held(), 1);
    drop(ready);
    assert_eq!(task.held(), 0);
    bus.publish(1).unwrap();
    assert_eq!(task.woken(), 0, "it had given up");
}

// ---- Reads wake only publishers, and only for room ------------------------------------------------

/// A task that reads for ever, and counts.
async fn reads_all<P: Publishers, const K: usize>(
    mut subscriber: Subscriber<'_, u32, P, Waiters<K>>,
    seen: &Cell<usize>,
) {
    loop {
        subscriber.next_async().await.expect("a place for each, and never late");
        seen.set(seen.get() + 1);
        // And what there is beside.
        seen.set(seen.get() + subscriber.read().count());
    }
}

/// Each publish wakes each task once, and no task wakes another.
fn a_herd_is_woken_once_for_each_event<P: Publishers, const K: usize>(
    subscribers: Vec<Subscriber<'_, u32, P, Waiters<K>>>,
    mut publish: impl FnMut(u32),
) {
    let count = subscribers.len();
    let tasks: Vec<_> = (0..count).map(|_| Task::new()).collect();
    let seen: Vec<_> = (0..count).map(|_| Cell::new(0)).collect();
    let mut reads: Vec<_> = subscribers
        .into_iter()
        .zip(&seen)
        .map(|(subscriber, seen)| Box::pin(reads_all(subscriber, seen)))
        .collect();
    for round in 0..3 {
        for (task, read) in tasks.iter().zip(&mut reads) {
            assert!(task.poll(read).is_pending());
        }
        assert!(tasks.iter().all(|task| task.woken() == round), "of {count} in round {round}");
        assert!(seen.iter().all(|seen| seen.get() == round), "of {count} in round {round}");
        publish(7);
    }
}

#[test]
fn a_read_that_makes_no_room_wakes_no_task() {
    for count in [1, 8, 32] {
        let topic: Topic<u32, 4, Waiters<32>> = Topic::default();
        let subscribers = (0..count).map(|_| topic.subscribe()).collect();
        a_herd_is_woken_once_for_each_event(subscribers, |event| topic.publish(event));

        let feed: Feed<u32, 4, Waiters<32>> = Feed::default();
        let mut publisher = feed.publisher().unwrap();
        let subscribers = (0..count).map(|_| feed.subscribe()).collect();
        a_herd_is_woken_once_for_each_event(subscribers, |event| publisher.publish(event));

        let topic: GatedTopic<u32, 4, 1, Waiters<32>> = GatedTopic::default();
        let subscribers = (0..count).map(|_| topic.subscribe_lagging()).collect();
        a_herd_is_woken_once_for_each_event(subscribers, |event| topic.publish(event).unwrap());
    }
    // No topic has more places at its gate.
    for count in [1, 8, 16] {
        let topic: GatedTopic<u32, 4, 16, Waiters<32>> = GatedTopic::default();
        let subscribers = (0..count).map(|_| topic.subscribe().unwrap()).collect();
        a_herd_is_woken_once_for_each_event(subscribers, |event| topic.publish(event).unwrap());
    }
}

#[test]
fn a_read_wakes_a_publisher_if_no_gate_is_left_behind() {
    type Way = fn(&mut Subscriber<'_, u32, Many, Waiters<2>>);
    let ways: [Way; 3] = [
        |gate| assert_eq!(gate.read().next(), Some(Ok(1))),
        |gate| assert_eq!(block_on(gate.next_async()), Ok(1)),
        |gate| gate.read().for_each(drop),
    ];
    for (first, second) in ways.into_iter().flat_map(|first| ways.map(|second| (first, second))) {
        let topic: GatedTopic<u32, 2, 2, Waiters<2>> = GatedTopic::default();
        let mut gates = [(); 2].map(|()| topic.subscribe().unwrap());
        topic.publish(1).unwrap();
        topic.publish(2).unwrap();
        let (publishes, sleeper) = (Task::new(), Task::new());
        let mut waits = Box::pin(topic.publish_async(3));
        assert!(publishes.poll(&mut waits).is_pending());
        let mut lagging = topic.subscribe_lagging();
        let mut sleeps = Box::pin(lagging.next_async());
        assert!(sleeper.poll(&mut sleeps).is_pending());

        first(&mut gates[1]);
        assert_sleeps(&publishes);
        second(&mut gates[0]);
        assert_eq!(publishes.woken(), 1);
        assert_sleeps(&sleeper);
        assert_eq!(publishes.poll(&mut waits), Poll::Ready(Ok(())));
        assert_eq!(sleeper.woken(), 1);
    }
}

// ---- Threads and runtimes -----------------------------------------------------------------------

#[test]
fn block_on_carries_everything_across_threads_in_order() {
    const EVENTS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static BUS: Bus<(u32, u32), 4, Reject, Waiters<8>> = Bus::new();
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            thread::spawn(move || {
                block_on(async {
                    for number in 0..EVENTS {
                        BUS.publish_async((publisher, number)).await.expect("8 places, 4 tasks");
                    }
                });
            })
        })
        .collect();
    let mut events = BUS.consumer().unwrap();
    let mut next = [0; 3];
    block_on(async {
        while next.iter().sum::<u32>() < 3 * EVENTS {
            events.ready_async().await;
            for (publisher, number) in events.drain() {
                assert_eq!(number, next[publisher as usize]);
                next[publisher as usize] += 1;
            }
        }
    });
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert_eq!(next, [EVENTS; 3]);
    let stats = BUS.stats();
    assert_eq!((stats.published, stats.refused), (3 * EVENTS as usize, 0));
}

/// Each answer is published just when the other side goes to sleep, or just before.
#[test]
fn no_task_sleeps_through_a_publish() {
    const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    type Ball = Bus<u32, 4, Reject, Waiters<1>>;
    static PING: [Ball; 2] = [const { Bus::new() }; 2];
    static PONG: Ball = Bus::new();
    let (done, over) = mpsc::channel();
    for side in &PING {
        let done = done.clone();
        thread::spawn(move || {
            let mut balls = side.consumer().unwrap();
            for round in 0..ROUNDS {
                assert_eq!(block_on(balls.next_async()), round);
                PONG.publish(round).expect("one of each side");
            }
            done.send(()).unwrap();
        });
    }
    thread::spawn(move || {
        let mut balls = PONG.consumer().unwrap();
        for round in 0..ROUNDS {
            PING.iter().for_each(|side| side.publish(round).expect("it is empty"));
            for _ in &PING {
                assert_eq!(block_on(balls.next_async()), round);
            }
        }
        done.send(()).unwrap();
    });
    for _ in 0..3 {
        over.recv_timeout(Duration::from_secs(60)).expect("a side sleeps, or has panicked");
    }
}

#[test]
fn a_lane_carries_everything_across_threads_in_order() {
    const EVENTS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static LANE: Lane<u32, 4, Waiters<2>> = Lane::new();
    let publisher = thread::spawn(|| {
        let mut publisher = LANE.publisher().unwrap();
        block_on(async {
            for number in 0..EVENTS {
                publisher.publish_async(number).await.expect("2 places, 2 tasks");
            }
        });
    });
    let mut events = LANE.consumer().unwrap();
    block_on(async {
        for number in 0..EVENTS {
            assert_eq!(events.next_async().await, number);
        }
    });
    publisher.join().unwrap();
    let stats = LANE.stats();
    assert_eq!((stats.published, stats.refused), (EVENTS as usize, 0));
}

/// Publishers that give up at random, beside one that does not.
#[test]
fn cancelled_publishers_lose_nothing_for_the_others() {
    const EVENTS: u32 = if cfg!(miri) { 50 } else { 5_000 };
    static BUS: Bus<u32, 2, Reject, Waiters<8>> = Bus::new();
    let fickle = thread::spawn(|| {
        let task = Task::new();
        for round in 0..EVENTS {
            let mut publish = BUS.publish_async(u32::MAX);
            for _ in 0..round % 3 {
                if task.poll(&mut publish).is_ready() {
                    break;
                }
            }
        }
    });
    let steady = thread::spawn(|| {
        block_on(async {
            for number in 0..EVENTS {
                BUS.publish_async(number).await.unwrap();
            }
        });
    });
    let mut events = BUS.consumer().unwrap();
    block_on(async {
        for number in 0..EVENTS {
            while events.next_async().await != number {}
        }
    });
    fickle.join().unwrap();
    steady.join().unwrap();
}

/// Nothing here needs threads: what is not `Send` may travel between the tasks of one.
#[test]
fn tasks_of_one_thread_share_what_is_not_send() {
    let bus: Bus<Rc<u32>, 2, Reject, Waiters<2>> = Bus::default();
    let log = RefCell::new(Vec::new());
    let mut publishes = pin!(async {
        for number in 0..5 {
            bus.publish_async(Rc::new(number)).await.unwrap();
        }
    });
    let mut reads = pin!(async {
        let mut events = bus.consumer().unwrap();
        for _ in 0..5 {
            let event = events.next_async().await;
            log.borrow_mut().push(*event);
        }
    });
    let mut is_published = false;
    block_on(poll_fn(|context| {
        is_published = is_published || publishes.as_mut().poll(context).is_ready();
        reads.as_mut().poll(context)
    }));
    assert!(is_published);
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
}

// ---- Threads -------------------------------------------------------------------------------------

#[cfg(feature = "std")]
mod threads {
    use tickbus::wait::{Cancel, NotPublished, Wait};

    use super::*;

    const BRIEF: Duration = Duration::from_millis(5);

    fn over() -> [(Wait<'static>, WaitError); 3] {
        static CANCELLED: LazyLock<Cancel> = LazyLock::new(|| {
            let cancel = Cancel::new();
            cancel.cancel();
            cancel
        });
        [
            (Wait::never(), WaitError::TimedOut),
            (Wait::forever().timeout(Duration::ZERO), WaitError::TimedOut),
            (Wait::forever().until(&CANCELLED), WaitError::Cancelled),
        ]
    }

    #[test]
    fn room_wins_over_a_wait_that_is_over() {
        for (wait, reason) in over() {
            let bus = Pair::<1>::default();
            let lane = Path::<1>::default();
            let mut publisher = lane.publisher().unwrap();
            let gated: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
            let mut gate = gated.subscribe().unwrap();
            for event in [1, 2] {
                bus.publish_wait(event, wait).unwrap();
                publisher.publish_wait(event, wait).unwrap();
                gated.publish_wait(event, wait).unwrap();
            }
            let full = Err(NotPublished { event: 3, reason });
            for _ in 0..2 {
                assert_eq!(bus.publish_wait(3, wait), full);
                assert_eq!(publisher.publish_wait(3, wait), full);
                assert_eq!(gated.publish_wait(3, wait), full);
            }
            // They left no trace.
            for stats in [bus.stats(), lane.stats()] {
                assert_eq!((stats.published, stats.refused, stats.dropped()), (2, 0, 0));
            }
            assert_eq!((gated.stats().published, gated.stats().refused), (2, 0));
            assert_eq!(drain(&bus), [1, 2]);
            assert!(lane.consumer().unwrap().drain().eq([1, 2]));
            assert!(gate.read().flatten().eq([1, 2]));
            publisher.publish_wait(3, wait).unwrap();
        }
    }

    #[test]
    fn an_event_wins_over_a_wait_that_is_over() {
        for (wait, reason) in over() {
            let bus = Pair::<1>::default();
            let mut events = bus.consumer().unwrap();
            assert_eq!(events.next_wait(wait), Err(reason));
            bus.publish(1).unwrap();
            assert_eq!(events.next_wait(wait), Ok(1));

            let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
            let mut subscriber = topic.subscribe();
            assert_eq!(subscriber.next_wait(wait), Err(reason));
            (1..=3).for_each(|event| topic.publish(event));
            assert_eq!(subscriber.next_wait(wait), Err(WaitError::Lagged(Lagged(1))));
            assert_eq!(subscriber.next_wait(wait), Ok(2));

            let latest: Latest<u32, Waiters<1>> = Latest::default();
            let mut watcher = latest.watch();
            assert_eq!(watcher.changed_wait(wait), Err(reason));
            latest.publish(1);
            assert_eq!(watcher.changed_wait(wait), Ok(Changed { value: 1, skipped: 0 }));
        }
    }

    /// By every place that a wait had.
    #[test]
    fn a_wait_that_gave_up_gives_its_place_back() {
        let bus = full::<1>();
        let brief = || Wait::forever().timeout(BRIEF);
        let reason = WaitError::TimedOut;
        for _ in 0..3 {
            assert_eq!(bus.publish_wait(3, brief()), Err(NotPublished { event: 3, reason }));
        }
        assert_eq!(drain(&bus), [1, 2]);
        let mut events = bus.consumer().unwrap();
        for _ in 0..3 {
            assert_eq!(events.next_wait(brief()), Err(reason));
        }
        let task = Task::new();
        assert!(task.poll(&mut events.next_async()).is_pending());
    }

    #[test]
    fn where_every_place_is_taken_a_thread_gets_its_event_back() {
        let bus = full::<1>();
        let task = Task::new();
        let mut waits = bus.publish_async(3);
        assert!(task.poll(&mut waits).is_pending());
        let error = bus.publish_wait(4, Wait::forever()).unwrap_err();
        assert_eq!((error.event, error.reason), (4, WaitError::TooManyWaiters));
    }

    #[test]
    fn cancelling_ends_every_wait() {
        let bus: Bus<u32, 2, Reject, Waiters<2>> = Bus::default();
        let crowd = full::<1>();
        let topic: Topic<u32, 2, Waiters<1>> = Topic::default();
        let latest: Latest<u32, Waiters<1>> = Latest::default();
        let cancel = Cancel::new();
        let wait = Wait::forever().until(&cancel);
        thread::scope(|scope| {
            let waits = [
                scope.spawn(|| bus.consumer().unwrap().next_wait(wait).unwrap_err()),
                scope.spawn(|| crowd.publish_wait(3, wait).unwrap_err().reason),
                scope.spawn(|| topic.subscribe().next_wait(wait).unwrap_err()),
                scope.spawn(|| latest.watch().changed_wait(wait).unwrap_err()),
            ];
            thread::sleep(BRIEF);
            cancel.cancel();
            for wait in waits {
                assert_eq!(wait.join().unwrap(), WaitError::Cancelled);
            }
        });
        assert_eq!(drain(&crowd), [1, 2]);
    }

    /// More events than there is room for, so both sides wait for each other.
    #[test]
    fn threads_wait_for_each_other() {
        const EVENTS: u32 = if cfg!(miri) { 20 } else { 2_000 };
        let wait = Wait::forever();
        let bus: Bus<u32, 2, Reject, Waiters<3>> = Bus::default();
        let lane = Path::<2>::default();
        let gated: GatedTopic<u32, 2, 1, Waiters<2>> = GatedTopic::default();
        let mut gate = gated.subscribe().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope
                    .spawn(|| (0..EVENTS).for_each(|event| bus.publish_wait(event, wait).unwrap()));
            }
            scope.spawn(|| {
                let mut publisher = lane.publisher().unwrap();
                (0..EVENTS).for_each(|event| publisher.publish_wait(event, wait).unwrap());
            });
            scope.spawn(|| (0..EVENTS).for_each(|event| gated.publish_wait(event, wait).unwrap()));
            scope.spawn(|| {
                let mut events = lane.consumer().unwrap();
                (0..EVENTS).for_each(|event| assert_eq!(events.next_wait(wait), Ok(event)));
            });
            scope.spawn(move || {
                (0..EVENTS).for_each(|event| assert_eq!(gate.next_wait(wait), Ok(event)));
            });
            let mut events = bus.consumer().unwrap();
            let sum: u32 = (0..2 * EVENTS).map(|_| events.next_wait(wait).unwrap()).sum();
            assert_eq!(sum, EVENTS * (EVENTS - 1));
        });
        assert_eq!((bus.stats().refused, lane.stats().refused, gated.stats().refused), (0, 0, 0));
    }
}

// ---- Without waiters -----------------------------------------------------------------------------

/// A parameter that is not used costs no byte. Of buses and lanes, the crate's own tests tell.
#[cfg(all(
    target_pointer_width = "64",
    target_has_atomic = "64",
    not(any(tickbus_narrow, tickbus_sections, tickbus_short_sections))
))]
#[test]
fn topics_without_waiters_have_no_room_for_them() {
    assert_eq!(size_of::<Topic<u64, 4>>(), 256);
    assert_eq!(size_of::<Feed<u64, 4>>(), 256);
    assert_eq!(size_of::<GatedTopic<u64, 4, 2>>(), 640);
    assert_eq!(size_of::<Latest<u64>>(), 88);
    assert_eq!(size_of::<tickbus::topic::Publisher<'_, u64>>(), 16);
    assert_eq!(size_of::<Subscriber<'_, u64>>(), 72);
    assert_eq!(size_of::<tickbus::Watcher<'_, u64>>(), 24);
}

/// A handle for `'static` serves where one for a shorter time is asked for.
#[test]
fn handles_are_covariant_whether_they_wait_or_not() {
    fn shorter<'a, W: tickbus::wait::Waits>(
        (events, publisher): (Consumer<'static, u32, Reject, W>, Publisher<'static, u32, W>),
        subscriber: Subscriber<'static, u32, Many, W>,
        watcher: tickbus::Watcher<'static, u32, W>,
        _: &'a u8,
    ) -> usize {
        let events: Consumer<'a, u32, Reject, W> = events;
        let publisher: Publisher<'a, u32, W> = publisher;
        let subscriber: Subscriber<'a, u32, Many, W> = subscriber;
        let watcher: tickbus::Watcher<'a, u32, W> = watcher;
        drop((publisher, watcher));
        events.pending() + subscriber.pending()
    }
    macro_rules! try_with {
        ($W:ty) => {{
            static BUS: Bus<u32, 2, Reject, $W> = Bus::new();
            static LANE: Lane<u32, 2, $W> = Lane::new();
            static TOPIC: Topic<u32, 2, $W> = Topic::new();
            static LATEST: Latest<u32, $W> = Latest::new();
            let ends = (BUS.consumer().unwrap(), LANE.publisher().unwrap());
            assert_eq!(shorter(ends, TOPIC.subscribe(), LATEST.watch(), &0), 0);
        }};
    }
    try_with!(tickbus::wait::NoWaiters);
    try_with!(Waiters<1>);
}

/// A reader that reads by choice wakes publishers too: by reading, and by being masked.
#[test]
fn a_selective_reader_wakes_publishers() {
    type Selective<'a> = tickbus::topic::Selective<'a, u32, fn(&u32) -> bool, Many, Waiters<1>>;
    let ways: [fn(&mut Selective<'_>); 4] = [
        |gate| {
            let next =
                Box::pin(gate.next_async()).as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(next, Poll::Ready(Ok(2)));
        },
        |gate| assert_eq!(gate.read().next(), Some(Ok(2))),
        |gate| gate.read().for_each(drop),
        |gate| gate.set_masked(true),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
        let even: fn(&u32) -> bool = |event| event % 2 == 0;
        let mut gate = topic.subscribe().unwrap().filter(even);
        topic.publish(1).unwrap();
        topic.publish(2).unwrap();
        let task = Task::new();
        let mut waits = topic.publish_async(3);
        assert!(task.poll(&mut waits).is_pending());
        way(&mut gate);
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())), "way {number}");
    }
}

/// Polls a future once that is dropped after this.
fn poll_once<F: Future>(task: &Task, future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(&task.waker))
}

#[test]
fn a_selective_subscriber_waits_for_an_event_that_is_wanted() {
    let topic: Topic<u32, 4, Waiters<1>> = Topic::new();
    let mut even = topic.subscribe().filter(|event| event % 2 == 0).every_nth(2);
    let task = Task::new();
    {
        let mut next = Box::pin(even.next_async());
        for unwanted in [1, 3, 5, 7, 9] {
            assert!(task.poll(&mut next).is_pending());
            topic.publish(unwanted);
        }
        assert_eq!((task.woken(), task.held()), (5, 0));
        assert!(task.poll(&mut next).is_pending());
        topic.publish(2);
        assert_eq!(task.poll(&mut next), Poll::Ready(Ok(2)));
    }
    topic.publish(4); // every second one: not this
    assert!(poll_once(&task, even.next_async()).is_pending());
    assert_eq!(task.held(), 0, "a wait that is dropped gives its place back");
    topic.publish(6);
    topic.publish(8);
    assert_eq!(poll_once(&task, even.next_async()), Poll::Ready(Ok(6)));
    let stats = even.stats();
    assert_eq!((stats.published, stats.received, stats.skipped, stats.pending), (9, 2, 6, 1));
}

#[test]
fn a_selective_subscriber_is_told_why_its_wait_fails() {
    let topic: Topic<u32, 2, Waiters<1>> = Topic::new();
    let task = Task::new();
    let mut first = topic.subscribe();
    let mut second = topic.subscribe().selective();
    let mut waits = Box::pin(first.next_async());
    assert!(task.poll(&mut waits).is_pending());
    let too_many = Poll::Ready(Err(WaitError::TooManyWaiters));
    assert_eq!(poll_once(&task, second.next_async()), too_many);
    second.set_masked(true);
    assert_eq!(poll_once(&task, second.next_async()), too_many);
    second.set_masked(false);
    drop(waits);
    (1..=3).for_each(|event| topic.publish(event));
    let lagged = Poll::Ready(Err(WaitError::Lagged(Lagged(1))));
    assert_eq!(poll_once(&task, second.next_async()), lagged);
    assert_eq!(poll_once(&task, second.next_async()), Poll::Ready(Ok(2)));
}

#[test]
fn a_masked_subscriber_that_waits_skips_and_gates_no_publisher() {
    let topic: GatedTopic<u32, 2, 1, Waiters<1>> = GatedTopic::default();
    let mut gate = topic.subscribe().unwrap().selective();
    gate.set_masked(true);
    let task = Task::new();
    {
        let mut next = Box::pin(gate.next_async());
        for event in 0..5 {
            assert!(task.poll(&mut next).is_pending(), "event {event}");
            topic.publish(event).unwrap();
        }
        assert_eq!(task.woken(), 5);
        assert!(task.poll(&mut next).is_pending());
    }
    assert_eq!((gate.stats().skipped, gate.stats().pending), (5, 0));
    gate.set_masked(false);
    topic.publish(5).unwrap();
    assert_eq!(poll_once(&task, gate.next_async()), Poll::Ready(Ok(5)));
}

/// A filter that publishes as fast as it is asked.
#[test]
fn a_flood_of_unwanted_events_keeps_no_other_task_waiting() {
    let topic: Topic<u32, 4, Waiters<1>> = Topic::new();
    let asked = Cell::new(0);
    let mut none = topic.subscribe().filter(|event| {
        asked.set(asked.get() + 1);
        topic.publish(event + 1);
        false
    });
    topic.publish(0);
    let task = Task::new();
    assert!(poll_once(&task, none.next_async()).is_pending());
    assert_eq!((asked.get(), task.woken()), (4, 1), "a lap, and then it asks to be polled again");
    #[cfg(feature = "std")]
    {
        let brief = tickbus::wait::Wait::forever().timeout(Duration::from_millis(5));
        assert_eq!(none.next_wait(brief), Err(WaitError::TimedOut));
    }
}

#[test]
fn a_filter_that_panics_in_a_wait_has_skipped_its_event() {
    let topic: Topic<u32, 4, Waiters<1>> = Topic::new();
    let mut odd = topic.subscribe().filter(|event| {
        assert_ne!(*event, 2);
        true
    });
    (1..=3).for_each(|event| topic.publish(event));
    let task = Task::new();
    assert_eq!(poll_once(&task, odd.next_async()), Poll::Ready(Ok(1)));
    catch_unwind(AssertUnwindSafe(|| poll_once(&task, odd.next_async()))).unwrap_err();
    assert_eq!(poll_once(&task, odd.next_async()), Poll::Ready(Ok(3)));
    assert_eq!((odd.stats().received, odd.stats().skipped), (2, 1));
}

#[test]
fn a_subscriber_that_is_ready_has_read_nothing() {
    let topic: Topic<u32, 2, Waiters<2>> = Topic::new();
    let task = Task::new();
    let mut all = topic.subscribe();
    let mut sparse = topic.subscribe().filter(|event| *event > 1).min_interval(10);
    {
        let mut waits = [
            Box::pin(all.ready_async()) as Pin<Box<dyn Future<Output = _>>>,
            Box::pin(sparse.ready_async()),
        ];
        assert!(waits.iter_mut().all(|wait| task.poll(wait).is_pending()));
        topic.publish(1);
        assert_eq!(task.woken(), 2);
        assert!(waits.iter_mut().all(|wait| task.poll(wait) == Poll::Ready(Ok(()))));
    }
    assert_eq!((all.stats().pending, sparse.stats().pending), (1, 1));
    assert!(all.read().eq([Ok(1)]));
    assert!(sparse.read_at(0).next().is_none(), "it was not wanted");
    (2..=4).for_each(|event| topic.publish(event));
    assert_eq!(poll_once(&task, sparse.ready_async()), Poll::Ready(Ok(())));
    assert!(sparse.read_at(1).eq([Err(Lagged(1)), Ok(3)]), "4 comes too soon after 3");
    assert!(poll_once(&task, sparse.ready_async()).is_pending());
    assert_eq!(task.held(), 0);
}

/// Of a function that takes any source, and one that publishes to anything.
#[test]
fn sources_and_what_publishes_have_one_interface() {
    use tickbus::{Hold, Publish, Source, topic};

    fn all(events: &mut impl Source<Event = u32>) -> Vec<u32> {
        assert_eq!(events.pending(), events.stats().pending);
        let mut all: Vec<_> = events.drain().at_most(1).collect();
        all.extend(events.drain());
        all
    }
    fn two(mut to: impl Publish<Event = u32>) {
        assert_eq!(to.publish(1), Ok(()));
        assert_eq!(to.publish(2), Ok(()));
    }

    let (bus, waiting) = (Bus::<u32, 2>::default(), Pair::<1>::default());
    let (lane, feed) = (Lane::<u32, 2>::default(), Feed::<u32, 2>::default());
    let (topic, gated) = (Topic::<u32, 2>::default(), GatedTopic::<u32, 2, 1>::default());
    let behind = Topic::<u32, 2>::default();
    let hold: Hold<_, 2> = Hold::before(&behind);
    let mut gate = gated.subscribe().unwrap();
    two(&bus);
    two(&waiting);
    two(&lane);
    two(&topic);
    two(&gated);
    two(&feed);
    two(&hold);
    let publisher: topic::Publisher<'_, u32> = feed.publisher().unwrap();
    two(publisher);
    assert_eq!(Publish::publish(&mut &bus, 3), Err(Full(3)));
    assert_eq!(Publish::publish(&mut &gated, 3), Err(Full(3)));
    assert_eq!(all(&mut bus.consumer().unwrap()), [1, 2]);
    assert_eq!(all(&mut waiting.consumer().unwrap()), [1, 2]);
    assert_eq!(all(&mut lane.consumer().unwrap()), [1, 2]);
    two(lane.publisher().unwrap());
    assert_eq!((topic.stats().published, feed.stats().published), (2, 4));
    assert_eq!((gate.read().count(), hold.pending()), (2, 2));
    let mut owned = Pair::<1>::default();
    owned.publish_batch_mut(&[1, 2]).unwrap();
    assert_eq!(all(&mut owned), [1, 2]);
}
