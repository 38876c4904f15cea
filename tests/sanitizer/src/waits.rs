//! Tables of waiters, and what can be awaited.
//!
//! A task that is told to wait is polled again when its waker has been used, and not before. Each clone
//! of a waker owns memory that nothing guards but the place it lies in: a waker that is lost, used twice,
//! or touched by two threads at once is seen.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tickbus::bus::Capacity;
use tickbus::topic::Many;
use tickbus::wait::WaitError;
use tickbus::{Bus, GatedTopic, Lagged, Latest, Reject, Subscriber, Topic, Waiters, Watcher};

use crate::event::{Follower, Notes, Pair};
use crate::threads::together;

/// A task that is not woken for so long never will be.
const FOR_EVER: Duration = Duration::from_secs(120);

/// Whether the task of that number has been woken.
static WOKEN: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: `data` is of a waker that is borrowed, and not dropped meanwhile.
        let task = unsafe { &*data.cast::<Pair>() };
        raw(task.read().1)
    },
    |data| wake(*boxed(data)),
    |data| {
        // SAFETY: as above.
        wake(unsafe { *data.cast::<Pair>() });
    },
    |data| drop(boxed(data)),
);

fn raw(task: usize) -> RawWaker {
    RawWaker::new(Box::into_raw(Box::new(Pair::new(0, task))).cast(), &WAKER)
}

fn boxed(data: *const ()) -> Box<Pair> {
    // SAFETY: `raw` made it, and a waker is woken or dropped once, for it is given away with that.
    unsafe { Box::from_raw(data.cast_mut().cast()) }
}

fn wake(task: Pair) {
    WOKEN[task.read().1].store(true, Relaxed);
}

/// A thread that waits, by the number of its flag.
struct Task {
    number: usize,
    waits: usize,
}

impl Task {
    fn new(number: usize) -> Self {
        Self { number, waits: 0 }
    }

    /// Polls until it is done. Gives up every third wait.
    fn poll<F: Future>(&mut self, mut future: Pin<&mut F>) -> Option<F::Output> {
        let woken = &WOKEN[self.number];
        // SAFETY: the functions of the table do what their callers may expect: see there.
        let waker = unsafe { Waker::from_raw(raw(self.number)) };
        let mut context = Context::from_waker(&waker);
        loop {
            woken.store(false, Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            self.waits += 1;
            if self.waits.is_multiple_of(3) {
                return None;
            }
            let begin = Instant::now();
            while !woken.load(Relaxed) {
                thread::yield_now();
                assert!(begin.elapsed() < FOR_EVER, "not woken");
            }
        }
    }
}

/// What the future gives, which is made anew whenever one was given up.
macro_rules! waited {
    ($task:expr, $future:expr) => {
        loop {
            if let Some(output) = $task.poll(pin!($future)) {
                break output;
            }
        }
    };
}

/// Two tasks that take turns, and one that mostly waits in vain.
fn a_table(events: usize) {
    let table: Waiters<3> = Waiters::new();
    let turn = AtomicUsize::new(0);
    let play = |side: usize| {
        let mut task = Task::new(side);
        for round in 0..events {
            let is_mine = || (turn.load(Relaxed) == 2 * round + side).then_some(());
            waited!(task, table.wait_until(is_mine)).expect("a place for each");
            turn.fetch_add(1, Relaxed);
            table.wake();
        }
    };
    let (mut one, mut other) = (|| play(0), || play(1));
    let mut looks_on = || {
        let mut task = Task::new(2);
        let is_over = || (turn.load(Relaxed) == 2 * events).then_some(());
        waited!(task, table.wait_until(is_over)).expect("a place for each");
    };
    together(&mut [&mut one, &mut other, &mut looks_on]);
}

/// Two publishers that wait for room, and the consumer.
fn a_bus<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let bus: Bus<Pair, N, Reject, Waiters<3>> = Bus::new();
    let notes = Notes::new(2, events);
    let publish = |publisher: usize| {
        let mut task = Task::new(publisher);
        for number in 0..events {
            let event = notes.write(publisher, number);
            waited!(task, bus.publish_async(event)).expect("a place for each");
        }
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let mut consume = || {
        let mut task = Task::new(2);
        let mut events_of_bus = bus.consumer().expect("the only one");
        let mut seen = Follower::new(&notes);
        while seen.read < 2 * events {
            if seen.read.is_multiple_of(2) {
                seen.see(waited!(task, events_of_bus.next_async()));
            } else {
                waited!(task, events_of_bus.ready_async());
                events_of_bus.drain().for_each(|event| seen.see(event));
            }
        }
        seen.is_at_the_end([events; 2]);
    };
    together(&mut [&mut first, &mut second, &mut consume]);
    let stats = bus.stats();
    assert_eq!((stats.published, stats.handled, stats.pending), (2 * events, 2 * events, 0));
    assert_eq!((stats.refused, stats.dropped()), (0, 0), "{stats:?}");
}

/// Reads until it knows of so many.
fn follow<const K: usize>(
    task: usize,
    mut subscriber: Subscriber<'_, Pair, Many, Waiters<K>>,
    notes: &Notes,
    events: usize,
) -> usize {
    let mut task = Task::new(task);
    let mut seen = Follower::new(notes);
    let see = |seen: &mut Follower<'_>, read| match read {
        Ok(event) => seen.see(event),
        Err(Lagged(missed)) => seen.missed += missed as usize,
    };
    while seen.known() < events {
        match waited!(task, subscriber.next_async()) {
            Ok(event) => see(&mut seen, Ok(event)),
            Err(WaitError::Lagged(lagged)) => see(&mut seen, Err(lagged)),
            Err(error) => panic!("{error}"),
        }
        // And what is there beside, by both ways to read it.
        if let Some(read) = subscriber.read().next() {
            see(&mut seen, read);
        }
        subscriber.read().for_each(|read| see(&mut seen, read));
    }
    seen.missed
}

/// Two publishers and two subscribers that wait.
fn a_topic<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let topic: Topic<Pair, N, Waiters<2>> = Topic::new();
    let notes = Notes::new(2, events);
    let publish = |publisher: usize| {
        for number in 0..events {
            topic.publish(notes.write(publisher, number));
            thread::yield_now();
        }
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut here, mut there) = (Some(topic.subscribe()), Some(topic.subscribe()));
    let mut reads = || _ = follow(2, here.take().expect("once"), &notes, 2 * events);
    let mut reads_too = || _ = follow(3, there.take().expect("once"), &notes, 2 * events);
    together(&mut [&mut first, &mut second, &mut reads, &mut reads_too]);
}

/// The same, and all wait for each other.
fn a_gated_topic<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let topic: GatedTopic<Pair, N, 2, Waiters<4>> = GatedTopic::new();
    let notes = Notes::new(2, events);
    let publish = |publisher: usize| {
        let mut task = Task::new(publisher);
        for number in 0..events {
            let event = notes.write(publisher, number);
            waited!(task, topic.publish_async(event)).expect("a place for each");
        }
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut here, mut there) = (topic.subscribe().ok(), topic.subscribe().ok());
    let read = |task: usize, subscriber: &mut Option<Subscriber<'_, Pair, Many, Waiters<4>>>| {
        let subscriber = subscriber.take().expect("a place, once");
        assert_eq!(follow(task, subscriber, &notes, 2 * events), 0, "the gate did not hold");
    };
    let (mut reads, mut reads_too) = (|| read(2, &mut here), || read(3, &mut there));
    together(&mut [&mut first, &mut second, &mut reads, &mut reads_too]);
}

/// Two publishers and two watchers that wait.
fn a_latest_value(events: usize) {
    let latest: Latest<Pair, Waiters<2>> = Latest::new();
    let notes = Notes::new(2, events);
    let publish = |publisher: usize| {
        for number in 0..events {
            latest.publish(notes.write(publisher, number));
            thread::yield_now();
        }
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut here, mut there) = (latest.watch(), latest.watch());
    let watch = |task: usize, watcher: &mut Watcher<'_, Pair, Waiters<2>>| {
        let mut task = Task::new(task);
        let mut seen = Follower::new(&notes);
        while seen.known() < 2 * events {
            let changed = waited!(task, watcher.changed_async()).expect("a place for each");
            seen.see(changed.value);
            seen.missed += changed.skipped;
        }
    };
    let (mut watches, mut watches_too) = (|| watch(2, &mut here), || watch(3, &mut there));
    together(&mut [&mut first, &mut second, &mut watches, &mut watches_too]);
}

/// Returns how many cases there are.
pub(crate) fn run(events: usize) -> usize {
    a_table(events);
    a_bus::<2>(events);
    a_bus::<64>(events);
    a_topic::<2>(events);
    a_topic::<64>(events);
    a_gated_topic::<2>(events);
    a_gated_topic::<64>(events);
    a_latest_value(events);
    8
}
