//! Does fan-out do what its documentation says? Each contract, and what users of other systems complain
//! about, is a test.
#![cfg(not(tickbus_loom))]

use std::thread;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tickbus::error::TooManySubscribers;
use tickbus::topic::{Publishers, SubscriberStats};
use tickbus::{Feed, Full, GatedTopic, Lagged, Latest, Subscriber, Topic};

fn all<E: Copy, P: Publishers>(subscriber: &mut Subscriber<'_, E, P>) -> Vec<Result<E, Lagged>> {
    subscriber.read().collect()
}

/// The law, at a quiet moment.
#[track_caller]
fn conserved(stats: SubscriberStats) {
    assert_eq!(stats.published, stats.received + stats.missed + stats.skipped + stats.pending);
}

// ---- Topic -------------------------------------------------------------------------------------

#[test]
fn every_subscriber_reads_every_event_in_one_order() {
    let topic: Topic<u8, 8> = Topic::new();
    let mut subscribers = [topic.subscribe(), topic.subscribe(), topic.subscribe()];
    (1..=5).for_each(|event| topic.publish(event));
    for subscriber in &mut subscribers {
        assert_eq!(all(subscriber), [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
        assert_eq!(all(subscriber), []);
        conserved(subscriber.stats());
    }
}

#[test]
fn publishing_without_subscribers_is_fine() {
    let topic: Topic<u8, 2> = Topic::new();
    (0..100).for_each(|event| topic.publish(event));
    assert_eq!((topic.stats().published, topic.stats().lost), (100, 0));
    assert_eq!(all(&mut topic.subscribe()), []);
}

#[test]
fn a_reader_that_is_exactly_n_behind_misses_nothing() {
    let topic: Topic<u8, 4> = Topic::new();
    let mut subscriber = topic.subscribe();
    (1..=4).for_each(|event| topic.publish(event));
    assert_eq!(subscriber.pending(), 4);
    assert_eq!(all(&mut subscriber), [Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(subscriber.stats().missed, 0);
}

#[test]
fn a_reader_that_fell_behind_is_told_once_and_goes_on_with_the_oldest_kept() {
    let topic: Topic<u32, 4> = Topic::new();
    let mut subscriber = topic.subscribe();
    (1..=1000).for_each(|event| topic.publish(event));
    assert_eq!((subscriber.pending(), subscriber.stats().pending), (4, 1000));
    let expected = [Err(Lagged(996)), Ok(997), Ok(998), Ok(999), Ok(1000)];
    assert_eq!(all(&mut subscriber), expected);
    assert_eq!(all(&mut subscriber), []);
    let stats = subscriber.stats();
    assert_eq!((stats.published, stats.received, stats.missed, stats.pending), (1000, 4, 996, 0));
}

#[test]
fn a_reader_that_never_reads_costs_the_others_nothing() {
    let topic: Topic<u32, 4> = Topic::new();
    let dead = topic.subscribe();
    let mut alive = topic.subscribe();
    for event in 0..1000 {
        topic.publish(event);
        assert_eq!(all(&mut alive), [Ok(event)]);
    }
    assert_eq!(dead.stats().pending, 1000);
    core::mem::forget(dead);
    topic.publish(1000);
    assert_eq!(all(&mut alive), [Ok(1000)]);
}

#[test]
fn a_subscriber_sees_what_is_published_from_then_on() {
    let topic: Topic<u8, 4> = Topic::new();
    topic.publish(1);
    let mut subscriber = topic.subscribe();
    topic.publish(2);
    assert_eq!(all(&mut subscriber), [Ok(2)]);
    assert_eq!(subscriber.stats().published, 1);
}

#[test]
fn reading_may_stop_anywhere() {
    let topic: Topic<u8, 4> = Topic::new();
    let mut subscriber = topic.subscribe();
    (1..=6).for_each(|event| topic.publish(event));
    assert_eq!(subscriber.read().next(), Some(Err(Lagged(2))));
    assert!(subscriber.read().take(2).eq([Ok(3), Ok(4)]));
    conserved(subscriber.stats());
    let mut sum = 0;
    subscriber.read().for_each(|event| sum += event.unwrap());
    assert_eq!(sum, 11);
}

#[test]
fn a_publish_inside_a_handler_waits_for_the_next_read() {
    let topic: Topic<u32, 8> = Topic::new();
    let mut subscriber = topic.subscribe();
    topic.publish(1);
    for event in subscriber.read().flatten() {
        topic.publish(event + 1);
    }
    assert_eq!(all(&mut subscriber), [Ok(2)]);
    topic.publish(3);
    subscriber.read().for_each(|event| topic.publish(event.unwrap() + 1));
    assert_eq!(all(&mut subscriber), [Ok(4)]);
}

#[test]
fn a_handler_that_publishes_more_than_fits_laps_its_own_reader() {
    let topic: Topic<u32, 2> = Topic::new();
    let mut subscriber = topic.subscribe();
    topic.publish(1);
    topic.publish(2);
    let mut found = Vec::new();
    for event in subscriber.read() {
        found.push(event);
        (0..3).for_each(|event| topic.publish(event));
    }
    // The second event was overwritten; the read ends where it was to end.
    assert_eq!(found, [Ok(1), Err(Lagged(2))]);
    assert_eq!(all(&mut subscriber), [Err(Lagged(3)), Ok(1), Ok(2)]);
    conserved(subscriber.stats());
}

#[test]
fn a_handler_that_panics_has_consumed_its_event() {
    let topic: Topic<u8, 4> = Topic::new();
    let mut subscriber = topic.subscribe();
    topic.publish(1);
    topic.publish(2);
    let reading = core::panic::AssertUnwindSafe(|| {
        subscriber.read().for_each(|event| assert_eq!(event, Ok(2), "a handler"));
    });
    assert!(std::panic::catch_unwind(reading).is_err());
    assert_eq!(all(&mut subscriber), [Ok(2)]);
}

#[test]
fn subscribers_go_to_other_threads() {
    static TOPIC: Topic<u64, 16> = Topic::new();
    let mut subscriber = TOPIC.subscribe();
    let reader = thread::spawn(move || {
        let mut sum = 0;
        while sum < 55 {
            sum += subscriber.read().map(Result::unwrap).sum::<u64>();
            thread::yield_now();
        }
        sum
    });
    (1..=10).for_each(|event| TOPIC.publish(event));
    assert_eq!(reader.join().unwrap(), 55);
}

/// Whatever an event is made of, every byte that means something arrives.
#[test]
fn events_of_all_shapes() {
    fn arrives<E: Copy + PartialEq + core::fmt::Debug>(events: [E; 3]) {
        let topic: Topic<E, 4> = Topic::new();
        let gated: GatedTopic<E, 4, 1> = GatedTopic::new();
        let latest: Latest<E> = Latest::new();
        let mut subscriber = topic.subscribe();
        let mut gating = gated.subscribe().unwrap();
        let mut watcher = latest.watch();
        for _ in 0..4 {
            for event in events {
                topic.publish(event);
                gated.publish(event).unwrap();
                latest.publish(event);
                assert_eq!(watcher.changed().map(|changed| changed.value), Some(event));
            }
            assert_eq!(all(&mut subscriber), events.map(Ok));
            assert_eq!(all(&mut gating), events.map(Ok));
        }
    }
    #[repr(align(32))]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Aligned(u8);

    arrives([(), (), ()]);
    arrives([1_u8, 2, 3]);
    arrives([[1_u8; 5], [2; 5], [3; 5]]);
    arrives([[1_u64; 33], [2; 33], [3; 33]]);
    arrives([Aligned(1), Aligned(2), Aligned(3)]);
    // Padding, bytes that only some variants have, and pointers.
    arrives([Some(1_u32), None, Some(3)]);
    arrives([(1_u8, 2_u32), (3, 4), (5, 6)]);
    arrives(["one", "two", "three"]);
    arrives([Some(&1_u8), None, Some(&3)]);
    arrives([Ok::<u8, &str>(1), Err("two"), Ok(3)]);
}

// ---- GatedTopic --------------------------------------------------------------------------------

#[test]
fn a_gated_topic_is_full_when_the_slowest_has_n_unread() {
    let topic: GatedTopic<u8, 4, 2> = GatedTopic::new();
    let mut slow = topic.subscribe().unwrap();
    let mut fast = topic.subscribe().unwrap();
    for event in 1..=4 {
        assert_eq!(topic.publish(event), Ok(()));
        assert_eq!(all(&mut fast), [Ok(event)]);
    }
    assert_eq!(topic.publish(5), Err(Full(5)));
    assert_eq!(slow.read().next(), Some(Ok(1)));
    assert_eq!(topic.publish(5), Ok(()));
    assert_eq!(topic.publish(6), Err(Full(6)));
    assert_eq!(all(&mut slow), [Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(all(&mut fast), [Ok(5)]);
}

#[test]
fn a_topic_without_subscribers_has_no_gate() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    for event in 0..100 {
        assert_eq!(topic.publish(event), Ok(()));
    }
    assert_eq!(topic.gate(), None);
}

#[test]
fn a_reader_that_never_reads_is_named_and_dropping_it_frees_the_gate() {
    let topic: GatedTopic<u32, 4, 3> = GatedTopic::new();
    let mut first = topic.subscribe().unwrap();
    let dead = topic.subscribe().unwrap();
    let mut third = topic.subscribe().unwrap();
    for event in 0..4 {
        topic.publish(event).unwrap();
    }
    assert_eq!((all(&mut first).len(), all(&mut third).len()), (4, 4));
    assert_eq!(topic.publish(4), Err(Full(4)));

    let gate = topic.gate().unwrap();
    assert_eq!((Some(gate.subscriber), gate.pending), (dead.place(), 4));
    drop(dead);
    for event in 4..8 {
        assert_eq!(topic.publish(event), Ok(()));
    }
    assert_eq!((all(&mut first).len(), all(&mut third).len()), (4, 4));
}

#[test]
fn a_forgotten_subscriber_keeps_its_gate() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    core::mem::forget(topic.subscribe());
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    assert_eq!(topic.publish(3), Err(Full(3)));
    assert_eq!(topic.gate().map(|gate| gate.pending), Some(2));
    assert_eq!(topic.subscribe().err(), Some(TooManySubscribers));
    assert!(
        TooManySubscribers.to_string().ends_with("by `subscribe_lagging`"),
        "it says what to do"
    );
}

#[test]
fn places_run_out_and_come_back() {
    let topic: GatedTopic<u8, 2, 16> = GatedTopic::new();
    for _ in 0..3 {
        let all: Vec<_> = (0..16).map(|_| topic.subscribe().unwrap()).collect();
        let places: Vec<_> = all.iter().map(|subscriber| subscriber.place().unwrap()).collect();
        assert_eq!(places, (0..16).collect::<Vec<_>>());
        assert_eq!(topic.subscribe().err(), Some(TooManySubscribers));
        // Who does not gate needs no place.
        assert_eq!(topic.subscribe_lagging().place(), None);
    }
    assert_eq!(topic.gate(), None);
}

#[test]
fn each_subscriber_of_a_gated_topic_chooses() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    let mut ledger = topic.subscribe().unwrap();
    let mut display = topic.subscribe_lagging();
    let mut read = Vec::new();
    for event in 1..=5 {
        topic.publish(event).unwrap();
        read.extend(ledger.read());
    }
    assert_eq!(read, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(all(&mut display), [Err(Lagged(3)), Ok(4), Ok(5)]);
}

#[test]
fn reading_an_event_makes_room_before_its_handler_runs() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    let mut subscriber = topic.subscribe().unwrap();
    topic.publish(1).unwrap();
    topic.publish(2).unwrap();
    for event in subscriber.read().flatten() {
        topic.publish(event + 10).expect("the event has been taken");
    }
    assert_eq!(all(&mut subscriber), [Ok(11), Ok(12)]);
}

#[test]
fn telemetry_cannot_starve_alarms() {
    let topic: GatedTopic<u8, 8, 1> = GatedTopic::new();
    let mut subscriber = topic.subscribe().unwrap();
    let taken = (0..100).filter(|event| topic.publish_with_margin(*event, 3).is_ok()).count();
    assert_eq!(taken, 5);
    for alarm in 200..203 {
        assert_eq!(topic.publish(alarm), Ok(()));
    }
    assert_eq!(topic.publish(203), Err(Full(203)));
    assert_eq!(subscriber.read().count(), 8);
    assert_eq!(topic.publish_with_margin(1, 7), Ok(()));
    assert_eq!(topic.publish_with_margin(1, 7), Err(Full(1)));
    assert_eq!(subscriber.read().count(), 1);
    for margin in [8, 9, usize::MAX] {
        assert_eq!(topic.publish_with_margin(1, margin), Err(Full(1)));
    }
}

// ---- Selective ---------------------------------------------------------------------------------

#[test]
fn what_is_skipped_on_purpose_is_not_lost() {
    let topic: Topic<u32, 8> = Topic::new();
    let mut even = topic.subscribe().filter(|event| event % 2 == 0);
    (1..=12).for_each(|event| topic.publish(event));
    let found: Vec<_> = even.read().collect();
    assert_eq!(found, [Err(Lagged(4)), Ok(6), Ok(8), Ok(10), Ok(12)]);
    let stats = even.stats();
    assert_eq!((stats.received, stats.skipped, stats.missed, stats.published), (4, 4, 4, 12));
}

#[test]
fn every_nth_counts_what_passes_the_filter() {
    let topic: Topic<u32, 32> = Topic::new();
    let mut third = topic.subscribe().filter(|event| *event > 5).every_nth(3);
    let mut first = topic.subscribe().selective().every_nth(0);
    (0..15).for_each(|event| topic.publish(event));
    assert!(third.read().flatten().eq([6, 9, 12]));
    (15..20).for_each(|event| topic.publish(event));
    assert!(third.read().flatten().eq([15, 18]));
    assert_eq!(third.stats().skipped, 15);
    assert_eq!(first.read().count(), 20);
}

#[test]
fn a_minimum_interval_holds_across_the_wrap_of_time() {
    let topic: Topic<u32, 4> = Topic::new();
    let mut subscriber = topic.subscribe().selective().min_interval(10);
    let mut read = Vec::new();
    for step in 0..30 {
        let now = u32::MAX.wrapping_add(step).wrapping_sub(14);
        topic.publish(step);
        topic.publish(step);
        read.extend(subscriber.read_at(now).flatten());
    }
    assert_eq!(read, [0, 10, 20]);
    assert_eq!((subscriber.stats().received, subscriber.stats().skipped), (3, 57));
    // Without a time there is no interval.
    topic.publish(7);
    topic.publish(8);
    assert!(subscriber.read().flatten().eq([7, 8]));
}

#[test]
fn an_earlier_time_counts_as_no_time_passed_of_a_minimum_interval() {
    let topic: Topic<u32, 4> = Topic::new();
    for start in [0_u32, 100, i32::MAX as u32, u32::MAX] {
        for back in [1, 50, i32::MAX as u32, 1 << 31] {
            let at = |time: u32| start.wrapping_add(time);
            let mut subscriber = topic.subscribe().selective().min_interval(10);
            let mut reads_at = |now| {
                topic.publish(1);
                subscriber.read_at(now).flatten().count() == 1
            };
            assert!(reads_at(at(20)), "the first one");
            assert!(!reads_at(at(20).wrapping_sub(back)), "start {start}, back {back}");
            assert!(!reads_at(at(29)) && !reads_at(at(29).wrapping_sub(back)));
            assert!(reads_at(at(30)), "start {start}, back {back}");
        }
    }
}

#[test]
fn a_minimum_interval_is_over_after_any_silence() {
    let topic: Topic<u32, 4> = Topic::new();
    let mut subscriber = topic.subscribe().selective().min_interval(u32::MAX);
    topic.publish(1);
    assert_eq!(subscriber.read_at(5).flatten().count(), 1);
    // The time is told, and nothing is there to read: three laps of half the counter.
    for lap in 1..=3_u32 {
        assert_eq!(subscriber.read_at(5_u32.wrapping_add(lap << 30)).count(), 0);
        topic.publish(lap);
        assert_eq!(subscriber.read_at(5_u32.wrapping_add(lap << 30)).flatten().count(), 0);
    }
    assert_eq!(subscriber.read_at(3).count(), 0, "a tick before");
    topic.publish(2);
    assert_eq!(subscriber.read_at(4).flatten().count(), 1, "2^32 - 1 ticks are over");
    let mut subscriber = topic.subscribe().selective().min_interval(10);
    topic.publish(1);
    assert_eq!(subscriber.read_at(5).flatten().count(), 1);
    for lap in 1..=4_u64 {
        assert_eq!(subscriber.read_at(5_u32.wrapping_add((lap << 30) as u32)).count(), 0);
    }
    topic.publish(2);
    assert_eq!(subscriber.read_at(5).flatten().count(), 1, "2^32 ticks are not none");
}

#[test]
fn an_event_whose_filter_panics_is_skipped() {
    let topic: Topic<u8, 8> = Topic::new();
    let mut subscriber = topic.subscribe().filter(|event| {
        assert_ne!(*event, 2, "a filter");
        true
    });
    (1..=3).for_each(|event| topic.publish(event));
    assert_eq!(subscriber.read().next(), Some(Ok(1)));
    let reading = core::panic::AssertUnwindSafe(|| subscriber.read().count());
    assert!(std::panic::catch_unwind(reading).is_err());
    let stats = subscriber.stats();
    assert_eq!((stats.received, stats.skipped, stats.pending), (1, 1, 1));
    conserved(stats);
    assert!(subscriber.read().flatten().eq([3]));
}

#[test]
fn a_masked_subscriber_neither_reads_nor_gates() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    let mut subscriber = topic.subscribe().unwrap().selective();
    topic.publish(0).unwrap();
    subscriber.set_masked(true);
    subscriber.set_masked(true);
    for event in 1..=50 {
        topic.publish(event).expect("no subscriber gates");
    }
    assert_eq!((topic.gate(), subscriber.read().count()), (None, 0));
    // Its place is still its own.
    assert_eq!(topic.subscribe().err(), Some(TooManySubscribers));
    topic.publish(51).unwrap();
    subscriber.set_masked(false);
    assert!(!subscriber.is_masked());
    topic.publish(52).unwrap();
    topic.publish(53).unwrap();
    assert_eq!(topic.publish(54), Err(Full(54)));
    assert!(subscriber.read().flatten().eq([52, 53]));
    let stats = subscriber.stats();
    assert_eq!((stats.published, stats.received, stats.skipped, stats.missed), (54, 2, 52, 0));

    subscriber.set_masked(true);
    drop(subscriber);
    assert!(topic.subscribe().is_ok());
}

#[test]
fn a_filter_may_publish() {
    let topic: Topic<u8, 8> = Topic::new();
    let mut subscriber = topic.subscribe().filter(|event| {
        if *event < 10 {
            topic.publish(event + 10);
        }
        true
    });
    topic.publish(1);
    assert!(subscriber.read().flatten().eq([1]));
    assert!(subscriber.read().flatten().eq([11]));
}

// ---- Feed --------------------------------------------------------------------------------------

#[test]
fn a_feed_has_one_publisher_at_a_time() {
    let feed: Feed<u8, 4> = Feed::new();
    let mut subscriber = feed.subscribe();
    let mut first = feed.publisher().unwrap();
    assert!(feed.publisher().is_err());
    first.publish(1);
    drop(first);

    let mut second = feed.publisher().expect("it has been given back");
    second.publish(2);
    assert_eq!(all(&mut subscriber), [Ok(1), Ok(2)]);
    assert_eq!((feed.stats().published, feed.stats().lost, feed.stats().refused), (2, 0, 0));
    conserved(subscriber.stats());
}

#[test]
fn a_reader_of_a_feed_is_told_what_it_missed() {
    let feed: Feed<u32, 8> = Feed::new();
    let mut publisher = feed.publisher().unwrap();
    let (mut slow, mut exact) = (feed.subscribe(), feed.subscribe());
    (0..8).for_each(|event| publisher.publish(event));
    assert!(exact.read().flatten().eq(0..8));
    publisher.publish(8);
    assert_eq!(slow.pending(), 8);
    assert_eq!(slow.read().next(), Some(Err(Lagged(1))));
    assert!(slow.read().flatten().eq(1..9));
    assert_eq!(all(&mut exact), [Ok(8)]);
    assert_eq!((slow.stats().received, slow.stats().missed, slow.stats().pending), (8, 1, 0));
    conserved(slow.stats());
    conserved(exact.stats());
}

/// In runs a reader copies some events before it hands out the first: a handler that panics has consumed
/// its own, and none of those behind it.
#[test]
fn a_handler_of_a_feed_that_panics_has_consumed_its_event() {
    let feed: Feed<u32, 16> = Feed::new();
    let mut publisher = feed.publisher().unwrap();
    let mut subscriber = feed.subscribe();
    (0..10).for_each(|event| publisher.publish(event));
    let read = core::panic::AssertUnwindSafe(|| {
        subscriber.read().flatten().for_each(|event| assert!(event < 5, "enough"));
    });
    assert!(std::panic::catch_unwind(read).is_err());
    assert!(subscriber.read().flatten().eq(6..10));
    conserved(subscriber.stats());
}

/// Overwritten while it reads: what has been copied is handed out, what has not is told.
#[test]
fn a_handler_that_publishes_to_its_feed_laps_its_own_reader() {
    let feed: Feed<u32, 8> = Feed::new();
    let mut publisher = feed.publisher().unwrap();
    let mut subscriber = feed.subscribe();
    (0..8).for_each(|event| publisher.publish(event));
    let mut seen = vec![];
    let mut missed = 0;
    subscriber.read().for_each(|found| match found {
        Ok(event) => {
            if event == 0 {
                (8..16).for_each(|event| publisher.publish(event));
            }
            seen.push(event);
        }
        Err(Lagged(more)) => missed += more,
    });
    assert!(seen.is_sorted() && seen[0] == 0);
    assert_eq!(seen.len() as u64 + missed, 8, "what came meanwhile waits: {seen:?}");
    assert!(subscriber.read().flatten().eq(8..16));
    conserved(subscriber.stats());
}

#[test]
fn a_subscriber_of_a_feed_may_be_selective() {
    let feed: Feed<u32, 8> = Feed::new();
    let mut publisher = feed.publisher().unwrap();
    let mut odd = feed.subscribe().filter(|event| event % 2 == 1);
    (0..6).for_each(|event| publisher.publish(event));
    assert!(odd.read().flatten().eq([1, 3, 5]));
    odd.set_masked(true);
    publisher.publish(7);
    odd.set_masked(false);
    publisher.publish(9);
    assert!(odd.read().flatten().eq([9]));
    assert_eq!((odd.stats().received, odd.stats().skipped), (4, 4));
}

/// Large events are copied one by one.
#[test]
fn events_of_all_sizes_arrive_by_a_feed() {
    fn arrive<const WORDS: usize>() {
        let feed: Feed<[usize; WORDS], 4> = Feed::new();
        let mut publisher = feed.publisher().unwrap();
        let mut subscriber = feed.subscribe();
        for number in 0..9 {
            publisher.publish([number; WORDS]);
            assert!(subscriber.read().flatten().eq([[number; WORDS]]));
        }
        (0..4).for_each(|number| publisher.publish([number; WORDS]));
        let mut seen = vec![];
        subscriber.read().for_each(|event| seen.push(event.unwrap()));
        assert!(seen.iter().copied().eq((0..4).map(|number| [number; WORDS])));
    }
    arrive::<0>();
    arrive::<1>();
    arrive::<7>();
    arrive::<15>();
    arrive::<16>();
    arrive::<100>();
}

#[test]
fn a_gated_topic_counts_what_it_gives_back() {
    let topic: GatedTopic<u8, 2, 1> = GatedTopic::new();
    let mut subscriber = topic.subscribe().unwrap();
    for event in 1..=5 {
        assert_eq!(topic.publish(event).is_ok(), event <= 2);
    }
    assert!(topic.publish_with_margin(6, 1).is_err());
    let stats = topic.stats();
    assert_eq!((stats.published, stats.refused, stats.lost), (2, 4, 0));
    assert_eq!(all(&mut subscriber), [Ok(1), Ok(2)]);
    assert!(topic.publish(7).is_ok());
    assert_eq!((topic.stats().published, topic.stats().refused), (3, 4));
}

// ---- Latest ------------------------------------------------------------------------------------

#[test]
fn latest_has_the_newest_value_and_says_how_many_were_skipped() {
    let latest: Latest<[u64; 3]> = Latest::new();
    let mut watcher = latest.watch();
    assert_eq!((latest.get(), watcher.changed(), watcher.is_changed()), (None, None, false));
    for value in 0..20 {
        latest.publish([value; 3]);
    }
    assert!(watcher.is_changed());
    let changed = watcher.changed().unwrap();
    assert_eq!((changed.value, changed.skipped), ([19; 3], 19));
    assert_eq!((watcher.changed(), latest.get()), (None, Some([19; 3])));
    latest.publish([20; 3]);
    assert_eq!(watcher.changed().map(|changed| changed.skipped), Some(0));
    assert_eq!(latest.lost(), 0);
}

#[test]
fn watchers_do_not_see_what_was_before_them_and_not_each_other() {
    let latest: Latest<u8> = Latest::new();
    latest.publish(1);
    let mut first = latest.watch();
    assert_eq!(first.changed(), None);
    latest.publish(1); // the same value is news all the same
    let mut second = latest.watch();
    assert_eq!(first.changed().map(|changed| changed.value), Some(1));
    assert_eq!(second.changed(), None);
}

#[test]
fn feed_counts_an_event_that_meets_a_claimed_publisher() {
    let feed: Feed<u8, 2> = Feed::new();
    let mut subscriber = feed.subscribe();
    let mut publisher = feed.publisher().unwrap();
    let error = feed.publisher().unwrap_err();
    assert!(error.to_string().starts_with("the publisher is claimed already"), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "what `unwrap` shows");
    assert_eq!([1, 2].map(|event| feed.publish(event)), [Err(Full(1)), Err(Full(2))]);
    publisher.publish(3);
    drop(publisher);
    assert_eq!(feed.publish(4), Ok(()));
    drop(feed.publisher().expect("a refusal leaves the claim as it is"));

    assert!(subscriber.read().flatten().eq([3, 4]));
    assert_eq!((feed.stats().published, feed.stats().refused), (2, 2));
}

// ---- Selective subscribers against a model -----------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(usize),
    /// So many items at most, after so much time; without, at no time.
    Read(usize, Option<u32>),
    Mask(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..7_usize).prop_map(Step::Publish),
        3 => (0..7_usize, option::of(0..9_u32)).prop_map(|(most, later)| Step::Read(most, later)),
        1 => any::<bool>().prop_map(Step::Mask),
    ]
}

/// What a selective subscriber of a topic that keeps four events does.
struct Reader {
    gates: bool,
    nth: u32,
    interval: u32,
    published: u32,
    cursor: u32,
    passed: u32,
    last: Option<u32>,
    masked: bool,
    read: usize,
    missed: usize,
    skipped: usize,
}

impl Reader {
    fn publish(&mut self) -> bool {
        let refused = self.gates && !self.masked && self.published - self.cursor == 4;
        self.published += u32::from(!refused);
        !refused
    }

    fn skip(&mut self) {
        self.skipped += (self.published - self.cursor) as usize;
        self.cursor = self.published;
    }

    fn next(&mut self, now: Option<u32>) -> Option<Result<u32, Lagged>> {
        loop {
            if self.cursor == self.published {
                return None;
            }
            let oldest = self.published.saturating_sub(4);
            if self.cursor < oldest {
                let missed = oldest - self.cursor;
                self.cursor = oldest;
                self.missed += missed as usize;
                return Some(Err(Lagged(missed.into())));
            }
            let event = self.cursor;
            self.cursor += 1;
            if !event.is_multiple_of(3) {
                self.passed += 1;
                let is_nth = (self.passed - 1).is_multiple_of(self.nth.max(1));
                let waits = now
                    .zip(self.last)
                    .is_some_and(|(now, last)| now.wrapping_sub(last) < self.interval);
                if is_nth && !waits {
                    self.last = now.or(self.last);
                    self.read += 1;
                    return Some(Ok(event));
                }
            }
            self.skipped += 1;
        }
    }
}

fn follow<P: Publishers>(
    subscriber: Subscriber<'_, u32, P>,
    mut publish: impl FnMut(u32) -> bool,
    (nth, interval): (u32, u32),
    steps: &[Step],
) {
    let mut model = Reader {
        gates: subscriber.place().is_some(),
        nth,
        interval,
        published: 0,
        cursor: 0,
        passed: 0,
        last: None,
        masked: false,
        read: 0,
        missed: 0,
        skipped: 0,
    };
    let mut reader =
        subscriber.filter(|event| event % 3 != 0).every_nth(nth).min_interval(interval);
    let mut now = u32::MAX - 20;
    for step in steps {
        match *step {
            Step::Publish(count) => {
                for _ in 0..count {
                    assert_eq!(publish(model.published), model.publish());
                }
            }
            Step::Read(most, later) => {
                now = now.wrapping_add(later.unwrap_or(0));
                let time = later.map(|_| now);
                if model.masked {
                    model.skip();
                }
                let mut selected =
                    if later.is_some() { reader.read_at(now) } else { reader.read() };
                for _ in 0..most {
                    assert_eq!(selected.next(), model.next(time));
                }
            }
            Step::Mask(masked) => {
                reader.set_masked(masked);
                if model.masked != masked {
                    model.skip();
                }
                model.masked = masked;
            }
        }
        let stats = reader.stats();
        assert_eq!(reader.is_masked(), model.masked);
        assert_eq!(
            (stats.published, stats.pending),
            (model.published as usize, (model.published - model.cursor) as usize)
        );
        assert_eq!(
            (stats.received, stats.missed, stats.skipped),
            (model.read, model.missed, model.skipped)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_selective_subscriber_is_a_list_with_conditions(
        conditions in (0..4_u32, 0..12_u32),
        steps in vec(step(), 1..60),
    ) {
        let topic: Topic<u32, 4> = Topic::new();
        let publish = |event| {
            topic.publish(event);
            true
        };
        follow(topic.subscribe(), publish, conditions, &steps);

        let topic: GatedTopic<u32, 4, 1> = GatedTopic::new();
        let gates = topic.subscribe().unwrap();
        follow(gates, |event| topic.publish(event).is_ok(), conditions, &steps);
        let topic: GatedTopic<u32, 4, 1> = GatedTopic::new();
        follow(topic.subscribe_lagging(), |event| topic.publish(event).is_ok(), conditions, &steps);

        let feed: Feed<u32, 4> = Feed::new();
        let mut publisher = feed.publisher().unwrap();
        let publish = |event| {
            publisher.publish(event);
            true
        };
        follow(feed.subscribe(), publish, conditions, &steps);
    }
}
