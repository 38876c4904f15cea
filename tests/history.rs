//! The last events of a topic, read without taking them (row 004.23).
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use tickbus::{Bus, Feed, GatedTopic, Topic};

/// The last events of every number, against a `VecDeque`.
#[test]
fn a_history_has_the_last_events_oldest_first() {
    let (topic, feed) = (Topic::<u64, 4>::new(), Feed::<u64, 4>::new());
    let gated = GatedTopic::<u64, 4, 1>::new();
    let mut expected = VecDeque::new();
    for number in 0..40 {
        for most in 0..6 {
            let last = expected.iter().skip(expected.len().saturating_sub(most)).copied();
            assert!(topic.history().last(most).eq(last.clone()));
            assert!(gated.history().last(most).eq(last.clone()));
            assert!(feed.history().last(most).eq(last));
        }
        assert!(topic.history().all().eq(expected.iter().copied()));
        assert_eq!(feed.history().len(), expected.len());
        assert_eq!(feed.history().is_empty(), number == 0);
        topic.publish(number);
        gated.publish(number).unwrap();
        feed.publish(number).unwrap();
        expected.push_back(number);
        if expected.len() > 4 {
            expected.pop_front();
        }
    }
}

#[test]
fn a_history_takes_nothing_and_counts_nothing() {
    let topic = GatedTopic::<u8, 2, 1>::new();
    let mut subscriber = topic.subscribe().unwrap();
    topic.publish_all([1, 2]).unwrap();
    assert!(topic.history().all().eq([1, 2]) && topic.history().all().eq([1, 2]));
    assert!(topic.publish(3).is_err(), "it makes no room");
    assert!(subscriber.read().flatten().eq([1, 2]));
    assert_eq!(subscriber.stats().received, 2);
    assert!(topic.history().all().eq([1, 2]), "read by the subscriber, kept all the same");
}

#[test]
fn a_cleared_history_begins_anew_and_others_do_not() {
    let topic = Topic::<u8, 4>::new();
    let (mut cleared, other) = (topic.history(), topic.history());
    (1..=3).for_each(|event| topic.publish(event));
    cleared.clear();
    assert!(cleared.is_empty() && cleared.last(9).next().is_none());
    topic.publish(4);
    let copy = cleared;
    assert!(cleared.all().eq([4]) && copy.all().eq([4]) && other.all().eq([1, 2, 3, 4]));
    (5..=10).for_each(|event| topic.publish(event));
    assert!(cleared.all().eq([7, 8, 9, 10]));
}

/// What is overwritten after the look is left out, also in the middle.
#[test]
fn a_history_that_is_overtaken_goes_on_with_what_is_kept() {
    let topic = Topic::<u8, 4>::new();
    (1..=4).for_each(|event| topic.publish(event));
    let mut all = topic.history().all();
    assert_eq!((all.next(), all.size_hint()), (Some(1), (0, Some(3))));
    (5..=6).for_each(|event| topic.publish(event)); // 1 and 2 are gone
    assert_eq!(all.clone().collect::<Vec<_>>(), [3, 4]);
    (7..=9).for_each(|event| topic.publish(event));
    assert_eq!((all.next(), all.size_hint(), all.next()), (None, (0, Some(0)), None));
}

/// Beside a bus: the tick keeps what it has taken, and any thread looks at it, whole and in order.
#[test]
fn any_thread_reads_what_the_tick_has_taken() {
    const EVENTS: u64 = if cfg!(miri) { 100 } else { 20_000 };
    let bus: Bus<[u64; 3], 8> = Bus::new();
    let log: Feed<[u64; 3], 8> = Feed::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let mut before = None;
                for [first, second, third] in log.history().last(5) {
                    assert_eq!((first + 1, first + 2), (second, third), "a mixture");
                    assert!(before.is_none_or(|before| before < first));
                    before = Some(first);
                }
            }
        });
        let mut events = bus.consumer().unwrap();
        let mut log = log.publisher().unwrap();
        for number in 0..EVENTS {
            bus.publish([number, number + 1, number + 2]).unwrap();
            events.drain().for_each(|event| log.publish(event));
        }
        is_over.store(true, Relaxed);
        reader.join().unwrap();
    });
    assert!(log.history().all().map(|[first, ..]| first).eq(EVENTS - 8..EVENTS));
}

/// As an observer: by pattern, of every publish, whatever becomes of it; from several threads.
#[cfg(feature = "std")]
#[test]
fn a_subject_history_keeps_the_last_envelopes_of_a_pattern() {
    use alloc::sync::Arc;
    use tickbus::subject_bus::SubjectHistory;
    use tickbus::{Envelope, SubjectBus};

    assert!(SubjectHistory::new("a.>.b", 4).is_err());
    let history = Arc::new(SubjectHistory::new("a.*", 4).unwrap());
    let none = Arc::new(SubjectHistory::new(">", 0).unwrap());
    let bus = SubjectBus::builder().observer(history.clone()).observer(none.clone()).build();
    let small = bus.subscribe("a.>").unwrap().capacity(1).open();
    for number in 0..10 {
        for subject in [format!("a.{number}"), format!("a.{number}.deep"), format!("b.{number}")] {
            bus.try_publish(Envelope::unstamped(&subject).unwrap()).unwrap();
        }
    }
    let subjects = |last: Vec<Arc<Envelope>>| -> Vec<String> {
        last.iter().map(|envelope| envelope.subject().as_str().to_owned()).collect()
    };
    assert_eq!(subjects(history.all()), ["a.6", "a.7", "a.8", "a.9"]);
    assert_eq!(subjects(history.last(2)), ["a.8", "a.9"]);
    assert_eq!((history.last(0).len(), history.len(), history.capacity()), (0, 4, 4));
    assert_eq!(
        (none.len(), small.stats().pending),
        (0, 1),
        "kept although the subscription had no room"
    );
    history.clear();
    assert!(history.is_empty());

    thread::scope(|scope| {
        for thread in 0..2 {
            let bus = &bus;
            scope.spawn(move || {
                for number in 0..100 {
                    let subject = format!("a.{thread}-{number}");
                    bus.try_publish(Envelope::unstamped(&subject).unwrap()).unwrap();
                }
            });
        }
    });
    assert_eq!(history.len(), 4);
    bus.close();
    assert_eq!(history.len(), 4, "a bus that is closed keeps its history");
}
