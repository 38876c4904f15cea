//! Does it hold between threads? Publishers without pause against one consumer, on rings so small that
//! they are full most of the time: no loss without a count, no duplicate, order, nothing leaked.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tickbus::bus::{Capacity, Policy, Queue};
use tickbus::error::Claimed;
use tickbus::{Budget, Bus, Consumer, Dispatch, DropNewest, DropOldest, Full, Lane, Reject, Stats};

/// How many events a run has. An interpreter runs 1000 times fewer.
const fn few(events: usize) -> usize {
    if cfg!(miri) { events / 1000 } else { events }
}

/// An event that knows where it comes from, that shows it when it is torn, and of which a leak or a
/// second drop is seen in the count of its token.
struct Message<const WORDS: usize> {
    publisher: usize,
    number: usize,
    copies: [usize; WORDS],
    _token: Arc<()>,
}

impl<const WORDS: usize> Message<WORDS> {
    fn new(publisher: usize, number: usize, token: &Arc<()>) -> Self {
        Self { publisher, number, copies: [number; WORDS], _token: Arc::clone(token) }
    }
}

/// What the consumer has seen: for each publisher, how many events and the next number to expect.
struct Seen {
    count: usize,
    next: Vec<usize>,
    gaps: bool,
}

impl Seen {
    fn new(publishers: usize, gaps: bool) -> Self {
        Self { count: 0, next: vec![0; publishers], gaps }
    }

    fn check<const WORDS: usize>(&mut self, message: &Message<WORDS>) {
        let Message { publisher, number, copies, .. } = message;
        let next = &mut self.next[*publisher];
        let in_order = if self.gaps { *number >= *next } else { *number == *next };
        assert!(in_order, "{number} of {publisher} comes where {next} should");
        assert!(copies.iter().all(|copy| copy == number), "{number} of {publisher} is torn");
        *next = number + 1;
        self.count += 1;
    }
}

fn conserved(stats: Stats) {
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
}

/// Tells publishers, also by a panic, that no thread consumes any more.
#[derive(Default)]
struct Open(AtomicBool);

impl Open {
    fn until_dropped(&self) -> impl Drop {
        struct Close<'a>(&'a AtomicBool);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Close(&self.0)
    }

    fn check(&self) {
        assert!(!self.0.load(Ordering::Relaxed), "no thread consumes any more");
    }
}

/// Publishes until there is room. Returns how often there was none.
fn insist<E>(
    mut event: E,
    open: &Open,
    mut publish: impl FnMut(E) -> Result<(), Full<E>>,
) -> usize {
    let mut refusals = 0;
    while let Err(Full(back)) = publish(event) {
        open.check();
        event = back;
        refusals += 1;
        thread::yield_now();
    }
    refusals
}

/// Every event arrives: publishers that are refused try again.
fn none_is_lost<const N: usize, const WORDS: usize>(publishers: usize, events: usize)
where
    (): Capacity<N>,
{
    let bus: Bus<Message<WORDS>, N> = Bus::new();
    let tokens: Vec<_> = (0..publishers).map(|_| Arc::new(())).collect();
    let open = Open::default();
    let refusals = thread::scope(|scope| {
        let (bus, open) = (&bus, &open);
        let _until_the_end = open.until_dropped();
        let threads: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(publisher, token)| {
                let publish = move |number| {
                    insist(Message::new(publisher, number, token), open, |event| bus.publish(event))
                };
                scope.spawn(move || (0..events).map(publish).sum::<usize>())
            })
            .collect();
        let mut seen = Seen::new(publishers, false);
        let mut consumer = bus.consumer().unwrap();
        while seen.count < publishers * events {
            consumer.drain().for_each(|event| seen.check(&event));
            thread::yield_now();
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let stats = bus.stats();
    conserved(stats);
    assert_eq!(
        (stats.published, stats.handled, stats.refused, stats.dropped(), stats.pending),
        (publishers * events, publishers * events, refusals, 0, 0)
    );
    assert!(tokens.iter().all(|token| Arc::strong_count(token) == 1), "leaked");
}

/// Publishers never look back; what the bus loses it counts.
fn each_loss_is_counted<P: Policy, const N: usize, const WORDS: usize>(
    publishers: usize,
    events: usize,
) where
    (): Capacity<N>,
{
    let bus: Bus<Message<WORDS>, N, P> = Bus::new();
    let tokens: Vec<_> = (0..publishers).map(|_| Arc::new(())).collect();
    let running = AtomicUsize::new(publishers);
    let (taken, failures) = thread::scope(|scope| {
        let (bus, running) = (&bus, &running);
        let threads: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(publisher, token)| {
                scope.spawn(move || {
                    let failed = |&number: &usize| {
                        bus.publish(Message::new(publisher, number, token)).is_err()
                    };
                    let failures = (0..events).filter(failed).count();
                    running.fetch_sub(1, Ordering::Release);
                    failures
                })
            })
            .collect();
        let mut seen = Seen::new(publishers, true);
        let mut consumer = bus.consumer().unwrap();
        while running.load(Ordering::Acquire) > 0 {
            consumer.drain().for_each(|event| seen.check(&event));
            thread::yield_now();
        }
        let failures: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        consumer.drain().for_each(|event| seen.check(&event));
        (seen.count, failures)
    });
    let stats = bus.stats();
    conserved(stats);
    assert_eq!(
        (stats.published, stats.handled, stats.dropped_newest, stats.pending),
        (publishers * events, taken, failures, 0)
    );
    assert!(tokens.iter().all(|token| Arc::strong_count(token) == 1), "leaked");
}

tickbus::events! {
    enum Number {
        #[subject = "number"]
        Number(#[expect(dead_code, reason = "only counted")] usize),
    }
}

/// What the reports of the ticks say is in sum what the bus says, however a tick falls between the steps
/// of a publisher.
fn reports_add_up<P: Policy, const N: usize>(publishers: usize, events: usize)
where
    (): Capacity<N>,
{
    static TABLE: Dispatch<Number, usize, { Number::KINDS }> =
        Dispatch::new().on("number", |count, _| *count += 1);
    let bus: Bus<Number, N, P> = Bus::new();
    let running = AtomicUsize::new(publishers);
    let (mut called, mut sum) = (0, [0; 3]);
    thread::scope(|scope| {
        for _ in 0..publishers {
            scope.spawn(|| {
                for number in 0..events {
                    let _ = bus.publish(Number::Number(number));
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut consumer = bus.consumer().unwrap();
        loop {
            let is_last = running.load(Ordering::Acquire) == 0;
            let report = TABLE.tick(&mut called, &mut consumer, Budget::unlimited());
            for (sum, news) in sum.iter_mut().zip([report.handled, report.dropped, report.refused])
            {
                assert!(news <= publishers * events, "{report:?}");
                *sum += news;
            }
            if is_last {
                break;
            }
        }
    });
    let stats = bus.stats();
    conserved(stats);
    assert_eq!(sum, [stats.handled, stats.dropped(), stats.refused]);
    assert_eq!((called, sum.iter().sum()), (stats.handled, publishers * events));
}

#[test]
fn reports_add_up_to_the_counts_of_the_bus() {
    reports_add_up::<Reject, 4>(2, few(50_000));
    reports_add_up::<DropNewest, 4>(2, few(50_000));
    for _ in 0..4 {
        reports_add_up::<DropOldest, 2>(3, few(20_000));
        reports_add_up::<DropOldest, 8>(2, few(20_000));
    }
}

#[test]
fn reject_loses_nothing_of_two_publishers() {
    none_is_lost::<2, 1>(2, few(20_000));
    none_is_lost::<4, 128>(2, few(20_000));
    none_is_lost::<64, 1>(2, few(20_000));
}

#[test]
fn reject_loses_nothing_of_four_publishers() {
    none_is_lost::<2, 128>(4, few(10_000));
    none_is_lost::<4, 1>(4, few(10_000));
    none_is_lost::<64, 128>(4, few(10_000));
}

#[test]
fn drop_oldest_counts_every_loss_of_two_publishers() {
    each_loss_is_counted::<DropOldest, 2, 1>(2, few(100_000));
    each_loss_is_counted::<DropOldest, 4, 128>(2, few(100_000));
    each_loss_is_counted::<DropOldest, 64, 1>(2, few(100_000));
}

#[test]
fn drop_oldest_counts_every_loss_of_four_publishers() {
    each_loss_is_counted::<DropOldest, 2, 128>(4, few(50_000));
    each_loss_is_counted::<DropOldest, 4, 1>(4, few(50_000));
    each_loss_is_counted::<DropOldest, 64, 128>(4, few(50_000));
}

#[test]
fn drop_newest_counts_every_loss_of_two_publishers() {
    each_loss_is_counted::<DropNewest, 2, 1>(2, few(100_000));
    each_loss_is_counted::<DropNewest, 4, 128>(2, few(100_000));
    each_loss_is_counted::<DropNewest, 64, 1>(2, few(100_000));
}

#[test]
fn drop_newest_counts_every_loss_of_four_publishers() {
    each_loss_is_counted::<DropNewest, 2, 128>(4, few(50_000));
    each_loss_is_counted::<DropNewest, 4, 1>(4, few(50_000));
    each_loss_is_counted::<DropNewest, 64, 128>(4, few(50_000));
}

fn a_lane_loses_nothing<const N: usize, const WORDS: usize>(events: usize)
where
    (): Capacity<N>,
{
    let lane: Lane<Message<WORDS>, N> = Lane::new();
    let token = Arc::new(());
    let open = Open::default();
    let refusals = thread::scope(|scope| {
        let _until_the_end = open.until_dropped();
        let publisher = scope.spawn(|| {
            let mut publisher = lane.publisher().unwrap();
            let mut publish = |number| {
                insist(Message::new(0, number, &token), &open, |event| publisher.publish(event))
            };
            (0..events).map(&mut publish).sum::<usize>()
        });
        let mut seen = Seen::new(1, false);
        let mut consumer = lane.consumer().unwrap();
        while seen.count < events {
            consumer.drain().for_each(|event| seen.check(&event));
            thread::yield_now();
        }
        publisher.join().unwrap()
    });
    let stats = lane.stats();
    conserved(stats);
    assert_eq!((stats.published, stats.handled, stats.refused), (events, events, refusals));
    assert_eq!(Arc::strong_count(&token), 1, "leaked");
}

#[test]
fn a_lane_loses_nothing_of_its_publisher() {
    a_lane_loses_nothing::<2, 128>(few(40_000));
    a_lane_loses_nothing::<4, 1>(few(40_000));
    a_lane_loses_nothing::<64, 1>(few(40_000));
}

/// Batches, of which other publishers may come in between, are in order all the same.
fn batches_stay_in_order<P: Policy, const N: usize>(publishers: usize, events: usize)
where
    (): Capacity<N>,
{
    let bus: Bus<(usize, usize), N, P> = Bus::new();
    let running = AtomicUsize::new(publishers);
    let open = Open::default();
    thread::scope(|scope| {
        let (bus, running, open) = (&bus, &running, &open);
        let _until_the_end = open.until_dropped();
        for publisher in 0..publishers {
            scope.spawn(move || {
                let all: Vec<_> = (0..events).map(|number| (publisher, number)).collect();
                for batch in all.chunks(5) {
                    let mut rest = batch;
                    while let Err(Full(back)) = bus.publish_batch(rest) {
                        open.check();
                        rest = back;
                        thread::yield_now();
                    }
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut next = vec![0; publishers];
        let mut consumer = bus.consumer().unwrap();
        let mut count = 0;
        let mut last = false;
        loop {
            for (publisher, number) in consumer.drain() {
                assert!(number >= next[publisher], "{number} of {publisher} comes late");
                next[publisher] = number + 1;
                count += 1;
            }
            if last {
                break;
            }
            last = running.load(Ordering::Acquire) == 0;
        }
        let lost = bus.stats().dropped_oldest;
        assert_eq!(count + lost, publishers * events);
    });
    conserved(bus.stats());
}

#[test]
fn batches_of_several_publishers_stay_in_order() {
    batches_stay_in_order::<Reject, 4>(2, few(30_000));
    batches_stay_in_order::<DropNewest, 16>(4, few(15_000));
    batches_stay_in_order::<DropOldest, 8>(2, few(30_000));
}

/// What one consumer took between its claim and its end, and the how-manieth consumer it was.
type Turn = (usize, Vec<(usize, usize)>);

/// Claims the consumer whenever it can, takes a little, gives it back.
fn come_and_go<P: Queue>(
    claim: impl Fn() -> Result<Consumer<'static, (usize, usize), P>, Claimed>,
    turns: &AtomicUsize,
    running: &AtomicUsize,
) -> Vec<Turn> {
    let mut mine = Vec::new();
    loop {
        let last = running.load(Ordering::Acquire) == 0;
        let mut done = false;
        if let Ok(mut consumer) = claim() {
            let turn = turns.fetch_add(1, Ordering::Relaxed);
            let taken: Vec<_> = consumer.drain().take(3).collect();
            done = last && taken.is_empty();
            mine.push((turn, taken));
        }
        if done {
            return mine;
        }
        thread::yield_now();
    }
}

fn the_consumer_moves_between_threads<P: Policy, const N: usize>(
    bus: &'static Bus<(usize, usize), N, P>,
    events: usize,
) {
    let running = AtomicUsize::new(2);
    let turns = AtomicUsize::new(0);
    let mut all = thread::scope(|scope| {
        for publisher in 0..2 {
            let running = &running;
            scope.spawn(move || {
                for number in 0..events {
                    if bus.publish((publisher, number)).is_err() {
                        thread::yield_now();
                    }
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let takers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| come_and_go(|| bus.consumer(), &turns, &running)))
            .collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_unstable_by_key(|(turn, _)| *turn);
    let mut next = [0; 2];
    let mut count = 0;
    for (publisher, number) in all.into_iter().flat_map(|(_, taken)| taken) {
        assert!(number >= next[publisher], "{number} of {publisher} comes late");
        next[publisher] = number + 1;
        count += 1;
    }
    let stats = bus.stats();
    conserved(stats);
    assert_eq!((stats.handled, stats.pending), (count, 0));
    assert_eq!(stats.published + stats.refused, 2 * events);
}

#[test]
fn the_consumer_of_each_policy_moves_between_threads() {
    static REJECT: Bus<(usize, usize), 4> = Bus::new();
    static OLDEST: Bus<(usize, usize), 4, DropOldest> = Bus::new();
    static NEWEST: Bus<(usize, usize), 2, DropNewest> = Bus::new();
    the_consumer_moves_between_threads(&REJECT, few(30_000));
    the_consumer_moves_between_threads(&OLDEST, few(30_000));
    the_consumer_moves_between_threads(&NEWEST, few(30_000));
}

#[test]
fn both_ends_of_a_lane_move_between_threads() {
    const EVENTS: usize = few(30_000);
    static LANE: Lane<(usize, usize), 4> = Lane::new();
    // The thread that has the publisher publishes the next number, which only the lane passes on.
    let next = AtomicUsize::new(0);
    let running = AtomicUsize::new(2);
    let turns = AtomicUsize::new(0);
    let mut all = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    if let Ok(mut publisher) = LANE.publisher() {
                        let number = next.load(Ordering::Relaxed);
                        if number == EVENTS {
                            break;
                        }
                        if publisher.publish((0, number)).is_ok() {
                            next.store(number + 1, Ordering::Relaxed);
                        }
                    }
                    thread::yield_now();
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let takers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| come_and_go(|| LANE.consumer(), &turns, &running)))
            .collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_unstable_by_key(|(turn, _)| *turn);
    let numbers = all.into_iter().flat_map(|(_, taken)| taken).map(|(_, number)| number);
    assert!(numbers.eq(0..EVENTS));
    conserved(LANE.stats());
}

#[test]
fn a_drain_that_has_ended_stays_ended() {
    // Events so large that a publisher is seen in the middle of one.
    const LARGE: usize = 1 << 20;
    const EVENTS: usize = if cfg!(miri) { 4 } else { 60 };
    const LOOKS: usize = if cfg!(miri) { 10 } else { 1000 };
    static BUS: Bus<[u8; LARGE], 2> = Bus::new();
    static OPEN: Open = Open(AtomicBool::new(false));
    let with_room = || thread::Builder::new().stack_size(40 * LARGE);
    let publisher = with_room().spawn(|| {
        for _ in 0..EVENTS {
            while BUS.publish([1; LARGE]).is_err() {
                OPEN.check();
                thread::yield_now();
            }
        }
    });
    let consumer = with_room().spawn(|| {
        let _until_the_end = OPEN.until_dropped();
        let mut consumer = BUS.consumer().unwrap();
        let mut taken = 0;
        while taken < EVENTS {
            let mut drain = consumer.drain();
            taken += drain.by_ref().count();
            let after_the_end = (0..LOOKS).filter(|_| drain.next().is_some()).count();
            assert_eq!(after_the_end, 0, "`Drain` says that it is a `FusedIterator`");
        }
    });
    let ends = [publisher.unwrap().join(), consumer.unwrap().join()];
    assert!(ends.iter().all(Result::is_ok));
}

/// Drains that are shortened at any place while others publish, and displace: each ends, hands out no more
/// than it may, in order, and everything is counted.
#[test]
fn drains_that_are_shortened_meanwhile() {
    const PUBLISHERS: usize = 2;
    const EVENTS: usize = few(20_000);

    fn check<P: Policy + Sync + 'static>() {
        let token = Arc::new(());
        let bus: Bus<Message<2>, 8, P> = Bus::new();
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let (bus, token, done) = (&bus, &token, &done);
                scope.spawn(move || {
                    for number in 0..EVENTS {
                        let _ = bus.publish(Message::new(publisher, number, token));
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            let mut consumer = bus.consumer().unwrap();
            let mut seen = Seen::new(PUBLISHERS, true);
            let mut round = 0;
            loop {
                let is_over = done.load(Ordering::Acquire) == PUBLISHERS;
                let (first, most) = (round % 5, round / 5 % 4);
                round += 1;
                let mut drain = consumer.drain();
                drain.by_ref().take(first).for_each(|message| seen.check(&message));
                let before = seen.count;
                drain.at_most(most).for_each(|message| seen.check(&message));
                assert!(seen.count - before <= most);
                if is_over && consumer.pending() == 0 {
                    break;
                }
            }
            assert_eq!(seen.count, bus.stats().handled);
        });
        let stats = bus.stats();
        assert_eq!(stats.published + stats.refused, PUBLISHERS * EVENTS);
        conserved(stats);
        drop(bus);
        assert_eq!(Arc::strong_count(&token), 1);
    }
    check::<Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}
