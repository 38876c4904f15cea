//! Awaited buses and tables of waiters: do they do what their pages say, to the event, to whoever waits,
//! and to whoever stops waiting?
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
use std::sync::{Mutex, mpsc};
use std::thread::{self, Thread};

use tickbus::{
    Awaited, AwaitedConsumer, AwaitedProducer, AwaitedSubscriber, Budget, Bus, Changed, Dispatch,
    DropNewest, DropOldest, Event, Feed, Full, GatedTopic, Lagged, Lane, Latest, Overrun, Single,
    TooManyWaiters, Topic, Waiters,
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

type Pair<const W: usize> = Awaited<Bus<u32, 2>, W>;

fn full<const W: usize>() -> Pair<W> {
    let bus = Pair::new(Bus::new());
    bus.publish_batch(&[1, 2]).unwrap();
    bus
}

fn drain<E, const N: usize, P: Overrun, const W: usize>(bus: &Awaited<Bus<E, N, P>, W>) -> Vec<E> {
    bus.consumer().unwrap().drain().collect()
}

// ---- Waiting for events ------------------------------------------------------------------------

#[test]
fn next_is_there_at_once_if_an_event_waits() {
    let bus = full::<1>();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    assert_eq!(task.poll(&mut events.next_event()), Poll::Ready(1));
    assert_eq!(task.held(), 0, "nobody had to wait");
    assert_eq!(events.backlog(), 1);
}

#[test]
fn a_publish_wakes_the_consumer_once() {
    let bus = Pair::<1>::new(Bus::new());
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    let mut next = events.next_event();
    assert!(task.poll(&mut next).is_pending());
    assert_eq!(task.held(), 1);
    bus.publish(1).unwrap();
    bus.publish(2).unwrap();
    assert_eq!((task.woken(), task.held()), (1, 0));
    assert_eq!(task.poll(&mut next), Poll::Ready(1));
}

#[test]
fn every_way_to_publish_wakes_the_consumer() {
    let ways: [fn(&Awaited<Bus<u32, 2>, 2>); 4] = [
        |bus| bus.publish(1).unwrap(),
        |bus| bus.publish_batch(&[1, 2]).unwrap(),
        |bus| assert_eq!(bus.publish_batch(&[1, 2, 3]), Err(Full(&[3][..]))),
        |bus| assert_eq!(Task::new().poll(&mut bus.publish_wait(1)), Poll::Ready(Ok(()))),
    ];
    for way in ways {
        let bus = Pair::<2>::new(Bus::new());
        let mut events = bus.consumer().unwrap();
        let task = Task::new();
        let mut ready = events.ready();
        assert!(task.poll(&mut ready).is_pending());
        way(&bus);
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(&mut ready), Poll::Ready(()));
        drop(ready);
        assert_eq!(events.drain().next(), Some(1));
    }
}

#[test]
fn a_publish_that_fails_wakes_nobody() {
    let bus = full::<2>();
    let task = Task::new();
    let mut waits = bus.publish_wait(3);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(bus.publish(4), Err(Full(4)));
    assert_eq!((task.woken(), task.held()), (0, 1));
    assert_eq!(bus.stats().refused, 1);
}

#[test]
fn ready_takes_nothing() {
    let bus = full::<1>();
    let mut events = bus.consumer().unwrap();
    block_on(events.ready());
    block_on(events.ready());
    assert_eq!(events.backlog(), 2);
}

#[test]
fn a_displacing_publish_wakes_the_consumer() {
    let bus: Awaited<Bus<u32, 2, DropOldest>, 1> = Awaited::default();
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    assert!(task.poll(&mut events.ready()).is_pending());
    let mut ready = events.ready();
    assert!(task.poll(&mut ready).is_pending());
    for event in 1..=3 {
        bus.publish(event).unwrap();
    }
    assert_eq!(task.woken(), 1);
    drop(ready);
    assert!(events.drain().eq([2, 3]));
}

// ---- Waiting for room: the contract lines "publish_wait" ----------------------------------------

#[test]
fn publish_wait_with_room_is_done_at_once() {
    let bus = Pair::<1>::new(Bus::new());
    assert_eq!(Task::new().poll(&mut bus.publish_wait(1)), Poll::Ready(Ok(())));
    assert_eq!(drain(&bus), [1]);
}

#[test]
fn publish_wait_on_a_full_bus_waits_for_room() {
    let bus = full::<1>();
    let task = Task::new();
    let mut waits = bus.publish_wait(3);
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

    type Numbers = Awaited<Bus<Number, 2>, 2>;
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
        |bus| assert!(Task::new().poll(&mut bus.consumer().unwrap().next_event()).is_ready()),
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
        let mut waits = bus.publish_wait(Number::Number(3));
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
    let mut waits = bus.publish_wait(3);
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
    let mut waits = bus.publish_wait(3);
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
    let bus: Awaited<Bus<Rc<()>, 2>, 1> = Awaited::new(Bus::new());
    bus.publish(Rc::clone(&alive)).unwrap();
    bus.publish(Rc::clone(&alive)).unwrap();
    let before = bus.stats();
    let task = Task::new();
    for polls in 0..3 {
        let mut waits = bus.publish_wait(Rc::clone(&alive));
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
    assert_eq!(bus.publish_wait(3).into_event(), Some(3), "never polled");
    let mut waits = bus.publish_wait(4);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(waits.into_event(), Some(4));
    assert_eq!(task.held(), 0);
    drain(&bus);
    let mut done = bus.publish_wait(5);
    assert_eq!(task.poll(&mut done), Poll::Ready(Ok(())));
    assert_eq!(done.into_event(), None, "published");
    assert_eq!(drain(&bus), [5]);
}

/// A publisher that is woken, and cancelled before it is polled, does not keep the room to itself.
#[test]
fn cancelled_after_the_wake_the_room_goes_to_the_next() {
    let bus = full::<2>();
    let (first, second) = (Task::new(), Task::new());
    let (mut gives_up, mut stays) = (bus.publish_wait(3), bus.publish_wait(4));
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
    let bus = Pair::<1>::new(Bus::new());
    let cancelled = AtomicBool::new(true);
    let mut publish = bus.publish_wait(1);
    let result = block_on(poll_fn(|context| match Pin::new(&mut publish).poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if cancelled.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    }));
    assert_eq!(result, Some(Ok(())));
    assert_eq!(bus.len(), 1);
}

#[test]
fn any_policy_may_wait() {
    let bus: Awaited<Bus<u32, 2, DropNewest>, 1> = Awaited::default();
    bus.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut waits = bus.publish_wait(3);
    assert!(task.poll(&mut waits).is_pending());
    assert_eq!(bus.consumer().unwrap().drain().next(), Some(1));
    assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())));
    assert_eq!(bus.stats().dropped(), 0);

    let bus: Awaited<Bus<u32, 2, DropOldest>, 1> = Awaited::default();
    bus.publish_batch(&[1, 2]).unwrap();
    assert_eq!(task.poll(&mut bus.publish_wait(3)), Poll::Ready(Ok(())));
    assert_eq!(drain(&bus), [2, 3]);
}

#[test]
#[should_panic(expected = "not polled when it is done")]
fn a_publish_that_is_done_is_not_polled_again() {
    let bus = Pair::<1>::new(Bus::new());
    let mut publish = bus.publish_wait(1);
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
        let bus = Pair::<1>::new(Bus::new());
        let mut events = bus.consumer().unwrap();
        let mut next = events.next_event();
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
        assert_eq!(task.poll(&mut events.next_event()), Poll::Ready(1), "point {point}");
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
    let bus = Pair::<1>::new(Bus::new());
    let mut events = bus.consumer().unwrap();
    let task = Task::new();
    for _ in 0..3 {
        let mut next = events.next_event();
        assert!(task.poll(&mut next).is_pending());
        mem::forget(next);
        assert_eq!(task.held(), 1);
    }
    drop(events);
    assert_eq!(task.held(), 0);
}

#[test]
fn a_consumer_that_is_dropped_is_given_back_with_its_place() {
    let bus = Pair::<1>::new(Bus::new());
    let events = bus.consumer().unwrap();
    assert!(bus.consumer().is_err());
    drop(events);
    let mut events = bus.consumer().unwrap();
    assert!(Task::new().poll(&mut events.next_event()).is_pending());
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
    let bus = Pair::<1>::new(Bus::new());
    let mut events = bus.consumer().unwrap();
    let (here, there) = (Task::new(), Task::new());
    let mut next = events.next_event();
    assert!(here.poll(&mut next).is_pending());
    assert!(there.poll(&mut next).is_pending());
    assert_eq!((here.held(), there.held()), (0, 1));
    bus.publish(1).unwrap();
    assert_eq!((here.woken(), there.woken()), (0, 1));
}

// ---- The table ----------------------------------------------------------------------------------

#[test]
fn a_full_table_says_so_and_displaces_nobody() {
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
    let mut waits = bus.publish_wait(3);
    assert!(task.poll(&mut waits).is_pending());
    let mut other = bus.publish_wait(4);
    assert_eq!(task.poll(&mut other), Poll::Ready(Err(Full(4))));
    assert_eq!(bus.stats().refused, 0);
}

/// Room or an event needs no place.
#[test]
fn a_full_table_keeps_nobody_from_what_is_there() {
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
    static BUS: Awaited<Bus<u32, 4>, 4> = Awaited::new(Bus::new());
    static SEEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    let mut events = BUS.consumer().unwrap();
    let waker = act(|| {
        if BUS.len() < 4 {
            BUS.publish(7).unwrap();
        }
        let mut waits = BUS.publish_wait(8);
        if poll_with(Waker::noop(), &mut waits).is_ready() {
            SEEN.lock().unwrap().push(8);
        }
    });
    let mut next = events.next_event();
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
    let bus = Awaited::<Bus<u32, 4>, 3>::new(Bus::new());
    let mut events = bus.consumer().unwrap();
    let (before, after) = (Task::new(), Task::new());
    let bomb = act(|| panic!("a waker"));
    bus.publish_batch(&[1, 2, 3, 4]).unwrap();
    let mut waits = [5, 6, 7].map(|event| bus.publish_wait(event));
    let [first, second, third] = &mut waits;
    assert!(before.poll(first).is_pending());
    assert!(poll_with(&bomb, second).is_pending());
    assert!(after.poll(third).is_pending());

    let taken = catch_unwind(AssertUnwindSafe(|| events.drain().next()));
    assert!(taken.is_err());
    assert_eq!((before.woken(), after.woken()), (1, 1), "the others are woken");
    assert_eq!(bus.len(), 3, "and the event is taken");

    // All places are free, and the bus goes on.
    for wait in &mut waits[1..] {
        drop(mem::replace(wait, bus.publish_wait(0)));
    }
    assert!(before.poll(&mut waits[0]).is_ready());
    assert!(waits[1..].iter_mut().all(|wait| before.poll(wait).is_pending()));
    assert!(events.drain().eq([2, 3, 4, 5]));
}

#[test]
fn a_waker_that_panics_does_not_unpublish() {
    let bus = Pair::<1>::new(Bus::new());
    let mut events = bus.consumer().unwrap();
    let mut ready = events.ready();
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

type Path<const W: usize> = Awaited<Lane<u32, 2>, W>;

#[test]
fn every_way_to_publish_wakes_the_consumer_of_a_lane_once() {
    let ways: [fn(&mut AwaitedProducer<'_, u32>); 3] = [
        |producer| producer.publish(1).unwrap(),
        |producer| producer.publish_batch(&[1]).unwrap(),
        |producer| block_on(producer.publish_wait(1)).unwrap(),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let lane = Path::<2>::default();
        let (mut producer, mut events) = (lane.producer().unwrap(), lane.consumer().unwrap());
        let task = Task::new();
        let mut next = events.next_event();
        assert_eq!(task.poll(&mut next), Poll::Pending, "way {number}");
        way(&mut producer);
        way(&mut producer);
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut next), Poll::Ready(1), "way {number}");
    }
}

#[test]
fn every_way_to_take_wakes_the_producer_of_a_lane() {
    let ways: [fn(AwaitedConsumer<'_, u32, Single>); 4] = [
        |mut events| assert_eq!(block_on(events.next_event()), 1),
        |mut events| assert_eq!(events.drain().next(), Some(1)),
        |mut events| events.drain().for_each(drop),
        |mut events| {
            block_on(events.ready());
            assert_eq!(events.drain().at_most(1).count(), 1);
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let lane = Path::<2>::default();
        let mut producer = lane.producer().unwrap();
        producer.publish_batch(&[1, 2]).unwrap();
        let task = Task::new();
        let mut third = producer.publish_wait(3);
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
    let mut producer = lane.producer().unwrap();
    producer.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut third = producer.publish_wait(3);
    assert_eq!(task.poll(&mut third), Poll::Pending);
    assert_eq!(third.into_event(), Some(3));
    assert_eq!(task.held(), 0);
    let stats = lane.stats();
    assert_eq!((stats.published, stats.refused, lane.len()), (2, 0, 2));
    assert_eq!(producer.publish(4), Err(Full(4)), "this one counts");
    assert_eq!(lane.stats().refused, 1);
    assert!(lane.consumer().unwrap().drain().eq([1, 2]));
    assert!(lane.is_empty());
}

#[test]
fn a_producer_that_finds_no_place_gets_its_event_back() {
    let lane = Path::<1>::default();
    let mut producer = lane.producer().unwrap();
    producer.publish_batch(&[1, 2]).unwrap();
    let task = Task::new();
    let mut forgotten = producer.publish_wait(3);
    assert_eq!(task.poll(&mut forgotten), Poll::Pending);
    mem::forget(forgotten);
    assert_eq!(task.poll(&mut producer.publish_wait(4)), Poll::Ready(Err(Full(4))));
    assert_eq!(lane.stats().refused, 0);
    assert!(lane.consumer().unwrap().drain().eq([1, 2]));
    assert_eq!(task.poll(&mut producer.publish_wait(4)), Poll::Ready(Ok(())));
}

// ---- Topics and latest values -------------------------------------------------------------------

#[test]
fn a_publish_wakes_every_subscriber_that_waits() {
    let topic: Awaited<Topic<u32, 4>, 3> = Awaited::default();
    let mut subscribers = [(); 3].map(|()| topic.subscribe());
    let tasks = [(); 3].map(|()| Task::new());
    let mut waits = subscribers.each_mut().map(|subscriber| Box::pin(subscriber.next_event()));
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert!(task.poll(wait).is_pending());
    }
    topic.publish(7);
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(wait), Poll::Ready(Ok(Ok(7))));
    }
}

#[test]
fn the_publisher_of_a_feed_wakes_every_subscriber_that_waits() {
    let feed: Awaited<Feed<u32, 2>, 2> = Awaited::default();
    let mut publisher = feed.publisher().unwrap();
    assert!(feed.publisher().is_err(), "it is claimed");
    let mut subscribers = [(); 2].map(|()| feed.subscribe());
    let tasks = [(); 2].map(|()| Task::new());
    {
        let mut waits = subscribers.each_mut().map(|subscriber| Box::pin(subscriber.next_event()));
        for (task, wait) in tasks.iter().zip(&mut waits) {
            assert!(task.poll(wait).is_pending());
        }
        publisher.publish(7);
        for (task, wait) in tasks.iter().zip(&mut waits) {
            assert_eq!(task.woken(), 1);
            assert_eq!(task.poll(wait), Poll::Ready(Ok(Ok(7))));
        }
    }
    (8..=10).for_each(|event| publisher.publish(event));
    for subscriber in &mut subscribers {
        assert_eq!(block_on(subscriber.next_event()), Ok(Err(Lagged(1))));
        assert!(subscriber.read().eq([Ok(9), Ok(10)]));
    }
}

#[test]
fn a_subscriber_that_was_overtaken_is_told_when_it_wakes() {
    let topic: Awaited<Topic<u32, 2>, 1> = Awaited::default();
    let mut subscriber = topic.subscribe();
    let task = Task::new();
    assert!(task.poll(&mut Box::pin(subscriber.next_event())).is_pending());
    assert_eq!(task.held(), 0, "cancelled");
    for event in 1..=3 {
        topic.publish(event);
    }
    assert_eq!(block_on(subscriber.next_event()), Ok(Err(Lagged(1))));
    assert!(subscriber.read().eq([Ok(2), Ok(3)]));
}

#[test]
fn a_subscriber_that_finds_no_place_is_told() {
    let topic: Awaited<Topic<u32, 2>, 1> = Awaited::default();
    let (mut first, mut second) = (topic.subscribe(), topic.subscribe());
    let task = Task::new();
    let mut waits = Box::pin(first.next_event());
    assert!(task.poll(&mut waits).is_pending());
    let told = task.poll(&mut Box::pin(second.next_event()));
    assert_eq!(told, Poll::Ready(Err(TooManyWaiters)));
}

/// By every way to make room: reading, awaiting, and dropping the gate.
#[test]
fn a_publisher_waits_for_the_slowest_gate() {
    type Gated = Awaited<GatedTopic<u32, 2, 1>, 2>;
    let ways: [fn(AwaitedSubscriber<'_, u32>); 3] = [
        |mut gate| assert_eq!(gate.read().next(), Some(Ok(1))),
        |mut gate| assert_eq!(block_on(gate.next_event()), Ok(Ok(1))),
        |gate| drop(gate),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let topic = Gated::default();
        let gate = topic.subscribe().unwrap();
        topic.publish(1).unwrap();
        topic.publish(2).unwrap();
        let task = Task::new();
        let mut waits = Box::pin(topic.publish_wait(3));
        assert!(task.poll(&mut waits).is_pending());
        way(gate);
        assert_eq!(task.woken(), 1, "way {number}");
        assert_eq!(task.poll(&mut waits), Poll::Ready(Ok(())), "way {number}");
    }
}

#[test]
fn a_reader_of_a_gated_topic_is_woken_by_both_ways_to_publish() {
    let topic: Awaited<GatedTopic<u32, 2, 1>, 2> = Awaited::default();
    let mut gate = topic.subscribe().unwrap();
    for event in [1, 2] {
        let task = Task::new();
        let mut wait = Box::pin(gate.next_event());
        assert!(task.poll(&mut wait).is_pending());
        match event {
            1 => topic.publish(event).unwrap(),
            _ => block_on(topic.publish_wait(event)).unwrap(),
        }
        assert_eq!(task.woken(), 1);
        assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(Ok(event))));
    }
}

#[test]
fn a_publisher_that_waits_can_tell_for_whom() {
    let topic: Awaited<GatedTopic<u32, 2, 2>, 2> = Awaited::default();
    let mut reads = topic.subscribe().unwrap();
    let sleeps = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    assert!(reads.read().eq([Ok(1), Ok(2)]));

    let task = Task::new();
    let mut third = Box::pin(topic.publish_wait(3));
    assert!(task.poll(&mut third).is_pending());
    let gate = topic.gate().unwrap();
    assert_eq!((Some(gate.subscriber), gate.backlog), (sleeps.place(), topic.capacity()));
    assert_eq!((reads.stats().read, sleeps.stats().pending), (2, 2));

    drop(sleeps);
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut third), Poll::Ready(Ok(())));
    assert_eq!(topic.gate().map(|gate| gate.subscriber), reads.place());
}

#[test]
fn a_publish_with_a_margin_wakes_subscribers_and_leaves_its_room() {
    let topic: Awaited<GatedTopic<u32, 2, 1>, 1> = Awaited::default();
    let mut gate = topic.subscribe().unwrap();
    let task = Task::new();
    let mut wait = Box::pin(gate.next_event());
    assert!(task.poll(&mut wait).is_pending());
    topic.publish_with_margin(1, 1).unwrap();
    assert_eq!(task.woken(), 1);
    assert_eq!(topic.publish_with_margin(2, 1), Err(Full(2)));
    assert_eq!(topic.publish(3), Ok(()));
    assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(Ok(1))));
}

#[test]
fn what_is_awaited_has_the_numbers_of_what_is_inside() {
    let topic: Awaited<Topic<u32, 2>, 1> = Awaited::default();
    let mut subscriber = topic.subscribe();
    (0..3).for_each(|event| topic.publish(event));
    assert_eq!((topic.stats().published, topic.capacity()), (3, 2));
    assert_eq!(subscriber.read().count(), 3);
    assert_eq!((subscriber.stats().missed, subscriber.stats().read), (1, 2));

    let feed: Awaited<Feed<u32, 2>, 1> = Awaited::default();
    feed.publisher().unwrap().publish(1);
    assert_eq!((feed.stats().published, feed.capacity()), (1, 2));

    let latest: Awaited<Latest<u32>, 1> = Awaited::default();
    let mut watcher = latest.watch();
    assert!(!watcher.is_changed());
    latest.publish(1);
    assert!(watcher.is_changed());
    assert!(watcher.changed().is_some());
    assert_eq!((watcher.is_changed(), latest.lost()), (false, 0));
}

#[test]
fn a_watcher_waits_for_a_change_and_sees_the_newest() {
    let latest: Awaited<Latest<u32>, 1> = Awaited::default();
    latest.publish(1);
    let mut watcher = latest.watch();
    let task = Task::new();
    let mut wait = Box::pin(watcher.next_change());
    assert!(task.poll(&mut wait).is_pending(), "what came before is no change");
    latest.publish(2);
    latest.publish(3);
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(Changed { value: 3, skipped: 1 })));
    drop(wait);
    assert_eq!(watcher.changed(), None);
}

// ---- Threads and runtimes -----------------------------------------------------------------------

#[test]
fn block_on_carries_everything_across_threads_in_order() {
    const EVENTS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static BUS: Awaited<Bus<(u32, u32), 4>, 8> = Awaited::new(Bus::new());
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            thread::spawn(move || {
                block_on(async {
                    for number in 0..EVENTS {
                        BUS.publish_wait((publisher, number)).await.expect("8 places, 4 tasks");
                    }
                });
            })
        })
        .collect();
    let mut events = BUS.consumer().unwrap();
    let mut next = [0; 3];
    block_on(async {
        while next.iter().sum::<u32>() < 3 * EVENTS {
            events.ready().await;
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
fn nobody_sleeps_through_a_publish() {
    const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    type Ball = Awaited<Bus<u32, 4>, 1>;
    static PING: [Ball; 2] = [const { Awaited::new(Bus::new()) }; 2];
    static PONG: Ball = Awaited::new(Bus::new());
    let (done, over) = mpsc::channel();
    for side in &PING {
        let done = done.clone();
        thread::spawn(move || {
            let mut balls = side.consumer().unwrap();
            for round in 0..ROUNDS {
                assert_eq!(block_on(balls.next_event()), round);
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
                assert_eq!(block_on(balls.next_event()), round);
            }
        }
        done.send(()).unwrap();
    });
    for _ in 0..3 {
        over.recv_timeout(Duration::from_secs(60)).expect("somebody sleeps, or has panicked");
    }
}

#[test]
fn a_lane_carries_everything_across_threads_in_order() {
    const EVENTS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static LANE: Awaited<Lane<u32, 4>, 2> = Awaited::new(Lane::new());
    let publisher = thread::spawn(|| {
        let mut producer = LANE.producer().unwrap();
        block_on(async {
            for number in 0..EVENTS {
                producer.publish_wait(number).await.expect("2 places, 2 tasks");
            }
        });
    });
    let mut events = LANE.consumer().unwrap();
    block_on(async {
        for number in 0..EVENTS {
            assert_eq!(events.next_event().await, number);
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
    static BUS: Awaited<Bus<u32, 2>, 8> = Awaited::new(Bus::new());
    let fickle = thread::spawn(|| {
        let task = Task::new();
        for round in 0..EVENTS {
            let mut publish = BUS.publish_wait(u32::MAX);
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
                BUS.publish_wait(number).await.unwrap();
            }
        });
    });
    let mut events = BUS.consumer().unwrap();
    block_on(async {
        for number in 0..EVENTS {
            while events.next_event().await != number {}
        }
    });
    fickle.join().unwrap();
    steady.join().unwrap();
}

/// Nothing here needs threads: what is not `Send` may travel between the tasks of one.
#[test]
fn tasks_of_one_thread_share_what_is_not_send() {
    let bus: Awaited<Bus<Rc<u32>, 2>, 2> = Awaited::default();
    let log = RefCell::new(Vec::new());
    let mut publishes = pin!(async {
        for number in 0..5 {
            bus.publish_wait(Rc::new(number)).await.unwrap();
        }
    });
    let mut reads = pin!(async {
        let mut events = bus.consumer().unwrap();
        for _ in 0..5 {
            let event = events.next_event().await;
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
