//! Counts the instructions of every operation of the bus and of its peers, in one binary.
//!
//! Events have 8 bytes, and rings 16 slots. A figure is the count of an operation out of line, less that of an empty
//! one. It includes the 4 to 6 instructions that fetch the event and store the result. The figures are instructions,
//! not cycles. The program checks the result of every operation.
//!
//! | column | what is counted |
//! |---|---|
//! | publish | one event into a queue with room |
//! | take | one event out of a queue with one |
//! | of 8 | one event of a drain of eight, in the mean |
//! | empty | a drain that finds nothing |
//! | displace | one event into a full queue, which drops its oldest event |
//! | tick | publish one event, take it, and call one of eight handlers through a table |
//!
//! The script `run` reads the tables: bars divide the cells, an empty line precedes a table, and its first line names
//! the columns.
#![no_std]
#![no_main]

mod event;
mod floors;
mod peers;
mod queue;
mod tickbus_queues;
mod topics;

use core::fmt;
use core::panic::PanicInfo;

use event::{Context, Event};
use instruments::{clock, host};
use queue::{Queue, SLOTS};
use semihosting::println;

/// The state of the operations under test. One pointer reaches it, as it would a `static`.
struct Bench<Q: Queue> {
    queue: Q,
    event: Event,
    is_published: bool,
    taken: Option<Event>,
    context: Context,
}

fn nothing<Q: Queue>(_: &mut Bench<Q>, (): ()) {}

fn publish<Q: Queue>(bench: &mut Bench<Q>, (): ()) {
    bench.is_published = bench.queue.publish(bench.event);
}

fn take<Q: Queue>(bench: &mut Bench<Q>, (): ()) {
    bench.taken = bench.queue.take();
}

fn drain<Q: Queue>(bench: &mut Bench<Q>, (): ()) {
    let mut sum = 0;
    bench.queue.drain(|event| sum += event.value());
    bench.context.sum = sum;
}

fn displace<Q: Queue>(bench: &mut Bench<Q>, (): ()) {
    bench.is_published = bench.queue.displace(bench.event);
}

fn publish_and_tick<Q: Queue>(bench: &mut Bench<Q>, (): ()) {
    bench.is_published = bench.queue.publish(bench.event);
    bench.queue.tick(&mut bench.context);
}

/// Instructions of an operation. `None` where a queue does not have it.
#[derive(Clone, Copy)]
struct Figure(Option<u32>);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => fmt::Display::fmt(&count, f),
            None => f.pad("-"),
        }
    }
}

fn measure<Q: Queue>(queue: Q) {
    let mut bench = Bench {
        queue,
        event: Event::First(0),
        is_published: false,
        taken: None,
        context: Context { sum: 0 },
    };
    let bench = &mut bench;
    let (overhead, ()) = clock::count(nothing, bench, ());
    let count = |bench: &mut Bench<Q>, operation| clock::count(operation, bench, ()).0 - overhead;

    // Away from the first slot.
    for value in 0..3 {
        assert!(bench.queue.publish(Event::First(value)), "{}: no room at first", Q::NAME);
        assert_eq!(bench.queue.take(), Some(Event::First(value)), "{}", Q::NAME);
    }

    bench.event = Event::First(7);
    let published = count(bench, publish);
    assert!(bench.is_published, "{}: no room for one", Q::NAME);
    let taken = count(bench, take);
    assert_eq!(bench.taken, Some(Event::First(7)), "{}", Q::NAME);
    let empty = count(bench, take);
    assert_eq!(bench.taken, None, "{}", Q::NAME);

    for value in 1..=8 {
        assert!(bench.queue.publish(Event::First(value)), "{}: no room for eight", Q::NAME);
    }
    let drained = count(bench, drain);
    assert_eq!(bench.context.sum, 36, "{}", Q::NAME);

    bench.context.sum = 0;
    bench.event = Event::First(5);
    let ticked = Q::TICKS.then(|| count(bench, publish_and_tick));
    if Q::TICKS {
        assert!(bench.is_published && bench.context.sum == 5, "{}: wrong tick", Q::NAME);
    }

    let displaced = Q::DISPLACES.then(|| {
        for value in 1..=SLOTS as u32 {
            assert!(bench.queue.displace(Event::First(value)), "{}: no room for all", Q::NAME);
        }
        bench.event = Event::First(100);
        let displaced = count(bench, displace);
        assert!(bench.is_published, "{}: nothing displaced", Q::NAME);
        let mut sum = 0;
        bench.queue.drain(|event| sum += event.value());
        assert_eq!(sum, (2..=SLOTS as u32).sum::<u32>() + 100, "{}", Q::NAME);
        displaced
    });

    println!(
        "{:<48} | {published:>7} | {taken:>4} | {:>3}.{} | {empty:>5} | {:>8} | {:>4}",
        Q::NAME,
        drained / 8,
        drained % 8 * 10 / 8,
        Figure(displaced),
        Figure(ticked),
    );
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    println!("a thousand instructions take {} ticks of the clock\n", clock::ticks_per_thousand());
    println!(
        "{:<48} | {:>7} | {:>4} | {:>5} | {:>5} | {:>8} | {:>4}",
        "queue", "publish", "take", "of 8", "empty", "displace", "tick"
    );
    measure(tickbus_queues::Rejecting::open());
    measure(tickbus_queues::Unawaited::open());
    measure(tickbus_queues::Displacing::open());
    measure(tickbus_queues::SinglePublisher::open());
    measure(tickbus_queues::Exclusive::open());
    measure(floors::SinglePublisher::open());
    measure(floors::Guarded::open());
    measure(peers::Spsc::open());
    measure(peers::DequeGuarded::open());
    measure(peers::Mpmc::open());
    measure(peers::Embassy::open());
    measure(peers::RticSync::open());
    #[cfg(target_has_atomic = "ptr")]
    measure(peers::Thingbuf::open());
    topics::print();
    host::done()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
