//! Topics, gated topics and latest values.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{hint, thread};

use tickbus::bus::Capacity;
use tickbus::topic::Publishers;
use tickbus::{Feed, GatedTopic, Lagged, Latest, Single, Subscriber, Topic, Watcher};

use crate::event::{Follower, Notes, Pair};
use crate::threads::together;

/// Reads what there is, one event and then all of them.
fn read<P: Publishers>(seen: &mut Follower<'_>, subscriber: &mut Subscriber<'_, Pair, P>) {
    let before = seen.known();
    let mut see = |found| match found {
        Ok(event) => seen.see(event),
        Err(Lagged(missed)) => seen.missed += missed as usize,
    };
    subscriber.read().next().into_iter().for_each(&mut see);
    subscriber.read().for_each(see);
    if seen.known() == before {
        thread::yield_now();
    }
}

/// Two publishers, two readers, and one that comes and goes.
fn a_topic<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let topic: Topic<Pair, N> = Topic::new();
    let notes = Notes::new(2, events);
    let publishing = AtomicUsize::new(2);

    let publish = |publisher: usize| {
        for number in 0..events {
            topic.publish(notes.write(publisher, number));
            if number % 64 == 0 {
                thread::yield_now();
            }
        }
        publishing.fetch_sub(1, Relaxed);
    };
    let follow = |mut subscriber: Subscriber<'_, Pair>| {
        let mut seen = Follower::new(&notes);
        while seen.known() < 2 * events {
            read(&mut seen, &mut subscriber);
        }
        let stats = subscriber.stats();
        assert_eq!((stats.received, stats.missed), (seen.read, seen.missed), "{stats:?}");
        assert_eq!((stats.published, stats.pending), (2 * events, 0), "{stats:?}");
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut here, mut there) = (Some(topic.subscribe()), Some(topic.subscribe()));
    let mut reads = || follow(here.take().expect("once"));
    let mut reads_too = || follow(there.take().expect("once"));
    let mut comes = || {
        while publishing.load(Relaxed) > 0 {
            read(&mut Follower::new(&notes), &mut topic.subscribe());
        }
    };
    together(&mut [&mut first, &mut second, &mut reads, &mut reads_too, &mut comes]);
    let stats = topic.stats();
    assert_eq!((stats.published, stats.lost), (2 * events, 0), "{stats:?}");
}

/// One publisher at a time, which is one of two threads; two readers.
fn a_feed<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let feed: Feed<Pair, N> = Feed::new();
    // One set of notes for both: the claim of the publisher is what guards it, and `number`.
    let notes = Notes::new(1, 2 * events);
    let number = AtomicUsize::new(0);

    let publish = || {
        loop {
            let Ok(mut publisher) = feed.publisher() else {
                thread::yield_now();
                continue;
            };
            for _ in 0..64 {
                let next = number.load(Relaxed);
                if next == 2 * events {
                    return;
                }
                number.store(next + 1, Relaxed);
                publisher.publish(notes.write(0, next));
            }
        }
    };
    let follow = |subscriber: &mut Subscriber<'_, Pair, Single>| {
        let mut seen = Follower::new(&notes);
        while seen.known() < 2 * events {
            read(&mut seen, subscriber);
        }
        seen.is_at_the_end([2 * events, 0]);
    };
    let (mut first, mut second) = (publish, publish);
    let (mut here, mut there) = (feed.subscribe(), feed.subscribe());
    let (mut reads, mut reads_too) = (|| follow(&mut here), || follow(&mut there));
    together(&mut [&mut first, &mut second, &mut reads, &mut reads_too]);
    assert_eq!(feed.stats().published, 2 * events);
}

/// Two publishers, a reader that gates, one that comes and goes, and one that does not gate.
fn a_gated_topic<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let topic: GatedTopic<Pair, N, 2> = GatedTopic::new();
    let notes = Notes::new(2, events);
    let publishing = AtomicUsize::new(2);

    let publish = |publisher: usize| {
        for number in 0..events {
            let event = notes.write(publisher, number);
            while topic.publish(event).is_err() {
                thread::yield_now();
            }
        }
        publishing.fetch_sub(1, Relaxed);
    };
    let follow = |mut subscriber: Subscriber<'_, Pair>, gates: bool| {
        let mut seen = Follower::new(&notes);
        while seen.known() < 2 * events {
            read(&mut seen, &mut subscriber);
        }
        if gates {
            assert_eq!(seen.missed, 0, "the gate did not hold");
            seen.is_at_the_end([events; 2]);
        }
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut gating, mut lagging) =
        (Some(topic.subscribe().expect("a place")), Some(topic.subscribe_lagging()));
    let mut gates = || follow(gating.take().expect("once"), true);
    let mut lags = || follow(lagging.take().expect("once"), false);
    let mut comes = || {
        while publishing.load(Relaxed) > 0 {
            let mut seen = Follower::new(&notes);
            read(&mut seen, &mut topic.subscribe().expect("no other subscriber comes and goes"));
            assert_eq!(seen.missed, 0, "the gate did not hold");
        }
    };
    together(&mut [&mut first, &mut second, &mut gates, &mut lags, &mut comes]);
    assert_eq!(topic.gate(), None, "all places are given back");
}

/// One publisher that uses its notes again as soon as the gate says that they have been read: what a
/// reader did before it moved on, or left, is ordered before what a publisher does behind the gate. One
/// reader comes and goes, and another one may stay.
fn a_gate_that_guards<const N: usize>(events: usize, stays: bool)
where
    (): Capacity<N>,
{
    let topic: GatedTopic<Pair, N, 2> = GatedTopic::new();
    // A reader is through with an event when it has moved on from the next one: so a publisher that has
    // published event n knows that all before n - N are through.
    let notes = Notes::new(1, 2 * N);
    let publishing = AtomicUsize::new(1);

    let mut publish = || {
        for number in 0..events {
            let event = notes.write(0, number);
            while topic.publish(event).is_err() {
                thread::yield_now();
            }
        }
        publishing.fetch_sub(1, Relaxed);
    };
    let mut gating = stays.then(|| topic.subscribe().expect("a place"));
    let mut gates = || {
        let Some(mut subscriber) = gating.take() else { return };
        let mut seen = Follower::new(&notes);
        while seen.known() < events {
            read(&mut seen, &mut subscriber);
        }
        seen.is_at_the_end([events, 0]);
    };
    let mut comes = || {
        while publishing.load(Relaxed) > 0 {
            let mut subscriber = topic.subscribe().expect("no other subscriber comes and goes");
            let mut seen = Follower::new(&notes);
            while seen.read == 0 && publishing.load(Relaxed) > 0 {
                read(&mut seen, &mut subscriber);
            }
            drop(subscriber);
            // The publisher gets on meanwhile.
            (0..500).for_each(|_| hint::spin_loop());
        }
    };
    together(&mut [&mut publish, &mut gates, &mut comes]);
}

/// Two publishers and two watchers.
fn a_latest_value(events: usize) {
    let latest: Latest<Pair> = Latest::new();
    let notes = Notes::new(2, events);

    let publish = |publisher: usize| {
        for number in 0..events {
            latest.publish(notes.write(publisher, number));
            if number % 16 == 0 {
                thread::yield_now();
            }
        }
    };
    let follow = |watcher: &mut Watcher<'_, Pair>| {
        let mut seen = Follower::new(&notes);
        while seen.known() < 2 * events {
            match watcher.changed() {
                Some(changed) => {
                    seen.see(changed.value);
                    seen.missed += changed.skipped;
                }
                None => thread::yield_now(),
            }
        }
        assert!(!watcher.is_changed());
    };
    let (mut first, mut second) = (|| publish(0), || publish(1));
    let (mut here, mut there) = (latest.watch(), latest.watch());
    let (mut watches, mut watches_too) = (|| follow(&mut here), || follow(&mut there));
    together(&mut [&mut first, &mut second, &mut watches, &mut watches_too]);
    assert_eq!(latest.lost(), 0);
}

/// Returns how many cases there are.
pub(crate) fn run(events: usize) -> usize {
    a_topic::<2>(events);
    a_topic::<4>(events);
    a_topic::<64>(events);
    a_feed::<2>(events);
    a_feed::<64>(events);
    a_gated_topic::<2>(events);
    a_gated_topic::<4>(events);
    a_gated_topic::<64>(events);
    for stays in [true, false] {
        a_gate_that_guards::<2>(2 * events, stays);
        a_gate_that_guards::<64>(2 * events, stays);
    }
    a_latest_value(events);
    13
}
