//! Does it hold between threads? Publishers without pause against several readers, on topics so small
//! that every subscriber is lapped all the time: every event is read or told as missed, none twice, none torn,
//! each publisher's in order.
#![cfg(not(tickbus_loom))]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tickbus::bus::Capacity;
use tickbus::topic::Publishers;
use tickbus::{Feed, Full, GatedTopic, Lagged, Latest, Subscriber, Topic};

/// How many events a run has. An interpreter runs 1000 times fewer.
const fn few(events: usize) -> usize {
    if cfg!(miri) { events / 1000 } else { events }
}

/// An event that knows where it comes from, and shows it when it is torn.
#[derive(Clone, Copy)]
struct Message<const WORDS: usize> {
    publisher: usize,
    number: usize,
    copies: [usize; WORDS],
}

impl<const WORDS: usize> Message<WORDS> {
    fn new(publisher: usize, number: usize) -> Self {
        Self { publisher, number, copies: [number ^ publisher; WORDS] }
    }

    fn check(&self) {
        let Self { publisher, number, copies } = self;
        assert!(copies.iter().all(|copy| *copy == number ^ publisher), "{number} is torn");
    }
}

/// What one reader has seen.
struct Seen {
    read: usize,
    missed: usize,
    next: Vec<usize>,
}

impl Seen {
    fn new(publishers: usize) -> Self {
        Self { read: 0, missed: 0, next: vec![0; publishers] }
    }

    fn take<const WORDS: usize>(&mut self, found: Result<Message<WORDS>, Lagged>) {
        match found {
            Ok(message) => {
                message.check();
                let next = &mut self.next[message.publisher];
                assert!(message.number >= *next, "{} after {next}", message.number);
                *next = message.number + 1;
                self.read += 1;
            }
            Err(Lagged(missed)) => self.missed += missed as usize,
        }
    }

    /// Reads until every event of the run is accounted for.
    fn follow<const WORDS: usize, P: Publishers>(
        mut self,
        mut subscriber: Subscriber<'_, Message<WORDS>, P>,
        events: usize,
    ) -> Self {
        while self.read + self.missed < events {
            let found = subscriber.read().next();
            found.into_iter().for_each(|found| self.take(found));
            subscriber.read().for_each(|found| self.take(found));
            thread::yield_now();
        }
        let stats = subscriber.stats();
        assert_eq!((stats.published, stats.pending), (events, 0));
        assert_eq!((stats.received, stats.missed), (self.read, self.missed));
        self
    }
}

fn lagging<const N: usize, const WORDS: usize>(publishers: usize, readers: usize, each: usize)
where
    (): Capacity<N>,
{
    let topic: Topic<Message<WORDS>, N> = Topic::new();
    let events = publishers * each;
    thread::scope(|scope| {
        for _ in 0..readers {
            let subscriber = topic.subscribe();
            scope.spawn(move || Seen::new(publishers).follow(subscriber, events));
        }
        for publisher in 0..publishers {
            let topic = &topic;
            scope.spawn(move || {
                (0..each).for_each(|number| topic.publish(Message::new(publisher, number)));
            });
        }
    });
    assert_eq!(topic.stats().published, events);
    // Every slot serves.
    let mut subscriber = topic.subscribe();
    (0..N).for_each(|number| topic.publish(Message::new(0, number)));
    assert!(subscriber.read().map(|found| found.unwrap().number).eq(0..N));
}

#[test]
fn everything_is_read_or_told_as_missed() {
    lagging::<2, 2>(1, 2, few(60_000));
    lagging::<2, 1>(2, 1, few(60_000));
    lagging::<4, 3>(3, 3, few(30_000));
    lagging::<64, 2>(2, 4, few(60_000));
    lagging::<8, 40>(4, 2, few(20_000));
}

/// More publishers than slots: what finds all of them in use is told to every subscriber.
#[test]
fn more_publishers_than_slots() {
    lagging::<2, 60>(8, 2, few(5_000));
}

fn fed<const N: usize, const WORDS: usize>(readers: usize, events: usize)
where
    (): Capacity<N>,
{
    let feed: Feed<Message<WORDS>, N> = Feed::new();
    thread::scope(|scope| {
        for _ in 0..readers {
            let subscriber = feed.subscribe();
            scope.spawn(move || Seen::new(1).follow(subscriber, events));
        }
        let feed = &feed;
        scope.spawn(move || {
            let mut publisher = feed.publisher().expect("the only one");
            (0..events).for_each(|number| publisher.publish(Message::new(0, number)));
        });
    });
    assert_eq!(feed.stats().published, events);
}

#[test]
fn everything_of_a_feed_is_read_or_told_as_missed() {
    fed::<2, 2>(2, few(100_000));
    fed::<4, 1>(1, few(100_000));
    fed::<8, 40>(3, few(50_000));
    fed::<64, 2>(4, few(100_000));
    fed::<1024, 5>(2, few(200_000));
}

fn gating<const N: usize, const WORDS: usize>(publishers: usize, each: usize)
where
    (): Capacity<N>,
{
    let topic: GatedTopic<Message<WORDS>, N, 3> = GatedTopic::new();
    let events = publishers * each;
    let running = &AtomicUsize::new(publishers);
    thread::scope(|scope| {
        for _ in 0..2 {
            let subscriber = topic.subscribe().unwrap();
            scope.spawn(move || {
                let seen = Seen::new(publishers).follow(subscriber, events);
                assert_eq!((seen.read, seen.missed), (events, 0));
            });
        }
        let subscriber = topic.subscribe_lagging();
        scope.spawn(move || Seen::new(publishers).follow(subscriber, events));
        for publisher in 0..publishers {
            let topic = &topic;
            scope.spawn(move || {
                for number in 0..each {
                    let mut message = Message::new(publisher, number);
                    while let Err(Full(back)) = topic.publish(message) {
                        message = back;
                        thread::yield_now();
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Others come and go all the time, and never miss anything between.
        let topic = &topic;
        scope.spawn(move || {
            while running.load(Ordering::Relaxed) > 0 {
                let mut subscriber = topic.subscribe().unwrap();
                let mut seen = Seen::new(publishers);
                for _ in 0..5 {
                    subscriber.read().for_each(|found| seen.take(found));
                    thread::yield_now();
                }
                assert_eq!(seen.missed, 0, "a gating subscriber was lapped");
            }
        });
    });
    assert_eq!(topic.gate(), None);
}

#[test]
fn nothing_is_lost_to_those_who_gate() {
    gating::<2, 2>(1, few(10_000));
    gating::<4, 3>(3, few(5_000));
    gating::<64, 1>(2, few(30_000));
}

#[test]
fn latest_is_never_torn_and_never_goes_back() {
    const EACH: usize = few(60_000);
    for publishers in [1, 2, 3] {
        let latest: Latest<Message<9>> = Latest::new();
        thread::scope(|scope| {
            for _ in 0..2 {
                let mut watcher = latest.watch();
                let latest = &latest;
                scope.spawn(move || {
                    let mut next = [0; 3];
                    let mut accounted = 0;
                    while accounted + latest.lost() < publishers * EACH {
                        let Some(changed) = watcher.changed() else {
                            thread::yield_now();
                            continue;
                        };
                        changed.value.check();
                        let Message { publisher, number, .. } = changed.value;
                        assert!(number >= next[publisher], "it went back");
                        next[publisher] = number + 1;
                        accounted += changed.skipped + 1;
                    }
                    assert_eq!(accounted + latest.lost(), publishers * EACH);
                });
            }
            for publisher in 0..publishers {
                let latest = &latest;
                scope.spawn(move || {
                    (0..EACH).for_each(|number| latest.publish(Message::new(publisher, number)));
                });
            }
        });
        assert!(latest.get().is_some());
    }
}

/// Reads some, is masked now and then, and accounts for all.
fn selecting(subscriber: Subscriber<'_, Message<2>>, events: usize) {
    let gates = subscriber.place().is_some();
    let mut reader = subscriber.filter(|message| message.number % 3 != 0).every_nth(2);
    let mut seen = Seen::new(2);
    for round in 0.. {
        reader.read().for_each(|found| seen.take(found));
        let stats = reader.stats();
        assert_eq!((stats.received, stats.missed), (seen.read, seen.missed));
        if (stats.published, stats.pending) == (events, 0) {
            break;
        }
        if round % 16 == 0 {
            reader.set_masked(!reader.is_masked());
        }
        thread::yield_now();
    }
    let stats = reader.stats();
    assert_eq!(stats.received + stats.missed + stats.skipped, events);
    assert!(
        stats.skipped >= stats.received,
        "every third is not wanted, nor every second of the others"
    );
    assert!(!gates || stats.missed == 0, "the gate did not hold");
}

#[test]
fn what_is_skipped_on_purpose_is_told_from_what_is_missed() {
    const EACH: usize = few(20_000);
    let topic: Topic<Message<2>, 8> = Topic::new();
    let gated: GatedTopic<Message<2>, 8, 1> = GatedTopic::new();
    thread::scope(|scope| {
        for subscriber in [topic.subscribe(), gated.subscribe().unwrap(), gated.subscribe_lagging()]
        {
            scope.spawn(|| selecting(subscriber, 2 * EACH));
        }
        for publisher in 0..2 {
            let (topic, gated) = (&topic, &gated);
            scope.spawn(move || {
                for number in 0..EACH {
                    let message = Message::new(publisher, number);
                    topic.publish(message);
                    while gated.publish(message).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
    });
}
