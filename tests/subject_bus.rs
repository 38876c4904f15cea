//! The subject bus: does it enqueue, drop, wait, end and count as its pages say? Every step that may
//! wait has a watchdog.
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod watch;

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use core::task::Context;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Barrier, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use futures_core::Stream;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::error::PatternFault;
use tickbus::subject_bus::{
    DropReason, EnvelopeBus, NoopBus, Observer, PublishError, Published, Recipient, RecvError,
    SubscribeError, SubscriptionOptions,
};
use tickbus::wait::{Cancel, Wait};
use tickbus::{Envelope, Overrun, Pattern, Subject, SubjectBus, Subscription};
use watch::{LONG, Watched, eventually, watchdog, watched};

// ---- Helpers -----------------------------------------------------------------------------------

fn event(subject: &str) -> Envelope {
    Envelope::unstamped(subject).unwrap()
}

fn numbered(n: usize) -> Envelope {
    event("n").with_source(n.to_string())
}

fn number(envelope: &Envelope) -> usize {
    envelope.source().parse().unwrap()
}

fn drained(subscription: &Subscription) -> Vec<usize> {
    subscription.drain().map(|envelope| number(&envelope)).collect()
}

fn open(bus: &SubjectBus, capacity: usize, overrun: Overrun) -> Subscription {
    bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).open()
}

fn publish(bus: &SubjectBus, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        bus.publish(numbered(n)).unwrap();
    }
}

/// Publishes number 2 to a subscription that is full of 1, and returns once it is parked.
fn park(bus: &Arc<SubjectBus>, wait: Wait<'static>) -> Watched<Result<Published, PublishError>> {
    let waiting = |bus: &SubjectBus| bus.stats().totals.waiting;
    let before = waiting(bus);
    let publisher = watched({
        let bus = bus.clone();
        move || bus.publish_wait(numbered(2), wait)
    });
    eventually(|| waiting(bus) > before);
    publisher
}

/// A bus, and a subscription that blocks and is full of number 1.
fn blocked() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::new());
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    (bus, subscription)
}

#[track_caller]
fn conserved(bus: &SubjectBus) {
    let it = bus.stats().totals;
    assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.abandoned + it.pending, "{it:?}");
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Log {
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        assert!(!envelope.id().is_empty() && envelope.time().is_some());
        self.write(format!("publish {}", envelope.source()));
    }
    fn on_deliver(&self, envelope: &Arc<Envelope>, to: Recipient<'_>) {
        self.write(format!("deliver {} to {} {}", envelope.source(), to.id, to.pattern));
    }
    fn on_drop(&self, envelope: &Arc<Envelope>, to: Recipient<'_>, reason: DropReason) {
        let (source, id, policy) = (envelope.source(), to.id, to.overrun);
        self.write(format!("drop {source} of {id} {policy} {reason}"));
    }
}

fn observed() -> (Arc<SubjectBus>, Arc<Log>) {
    let log = Arc::new(Log::default());
    (Arc::new(SubjectBus::builder().observer(log.clone()).build()), log)
}

// ---- Subscribe ---------------------------------------------------------------------------------

#[test]
fn the_defaults_are_64_and_drop_newest() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    assert_eq!((subscription.capacity(), subscription.overrun()), (64, Overrun::DropNewest));
    for n in 0..65 {
        let room = usize::from(n < 64);
        let published = bus.publish(numbered(n)).unwrap();
        assert_eq!((published.enqueued, published.dropped), (room, 1 - room));
    }
    assert_eq!(drained(&subscription), Vec::from_iter(0..64));
}

#[test]
fn capacity_0_is_the_default() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    assert_eq!(bus.subscribe("n").unwrap().capacity(0).open().capacity(), 64);
    assert_eq!(bus.subscribe("n").unwrap().capacity(7).capacity(0).open().capacity(), 64);
}

#[test]
fn a_capacity_beyond_all_memory_is_not_reserved() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = open(&bus, usize::MAX, Overrun::DropNewest);
    publish(&bus, 0..5000);
    assert_eq!(drained(&all), Vec::from_iter(0..5000));
}

#[test]
fn an_invalid_pattern_is_refused() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    for (pattern, fault) in [
        ("", PatternFault::Empty),
        ("a*", PatternFault::PartialWildcard),
        ("a.>.b", PatternFault::RestNotLast),
    ] {
        let error = bus.subscribe(pattern).unwrap_err();
        let SubscribeError::InvalidPattern(invalid) = error else { panic!("{error}") };
        assert_eq!(invalid.fault(), fault);
        assert_eq!(error.to_string(), invalid.to_string());
        assert!(error.to_string().contains(pattern), "{error}");
    }
}

#[test]
fn ids_are_unique_on_a_bus() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut ids: Vec<_> = (0..100).map(|_| bus.subscribe("a").unwrap().open().id()).collect();
    let alive: Vec<_> = (0..100).map(|_| bus.subscribe("a").unwrap().open()).collect();
    ids.extend(alive.iter().map(Subscription::id));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn dropping_the_handle_ends_the_subscription() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let subscription = bus.subscribe(">").unwrap().open();
    drop(subscription);
    assert_eq!(bus.publish(numbered(1)).unwrap(), Published::default());
    assert_eq!(log.take(), ["publish 1"]);
    assert_eq!(bus.subscriptions(), []);
}

#[test]
fn a_subscription_that_was_not_opened_gets_nothing() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let _ = bus.subscribe(">").unwrap();
    assert_eq!(bus.publish(numbered(1)).unwrap().enqueued, 0);
}

#[test]
fn the_filter_runs_after_the_pattern_on_every_publish() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let odd = {
        let asked = asked.clone();
        let filter = move |envelope: &Envelope| {
            asked.fetch_add(1, SeqCst);
            number(envelope) % 2 == 1
        };
        bus.subscribe("n").unwrap().filter(filter).open()
    };
    for n in 0..10 {
        bus.publish(numbered(n)).unwrap();
        bus.publish(event("other")).unwrap(); // its source is no number
    }
    assert_eq!(asked.load(SeqCst), 10);
    assert_eq!(drained(&odd), [1, 3, 5, 7, 9]);
    assert_eq!(odd.dropped(), 0);
}

#[test]
fn a_subscription_with_a_cancel_closes_itself() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let cancel = Cancel::new();
    let bound = bus.subscribe("n").unwrap().until(&cancel).open();
    let free = bus.subscribe("n").unwrap().open();
    bus.publish(numbered(1)).unwrap();
    cancel.cancel();
    cancel.cancel();
    assert_eq!(bus.publish(numbered(2)).unwrap().enqueued, 1);
    assert_eq!((drained(&bound), drained(&free)), (vec![1], vec![1, 2]));
    assert_eq!(bound.try_recv(), Err(RecvError::Closed));
    assert_eq!(bus.matching(Subject::from_static("n")), 1, "its route is gone");

    let late = bus.subscribe("n").unwrap().until(&cancel).open();
    assert!(late.is_closed());
    assert_eq!(bus.matching(Subject::from_static("n")), 1);
}

#[test]
fn a_cancel_keeps_nothing_of_a_subscription_that_is_gone() {
    let _watch = watchdog();
    let cancel = Cancel::new();
    let alive = Arc::new(());
    let bus = SubjectBus::new();
    let held = alive.clone();
    let filter = move |_: &Envelope| Arc::strong_count(&held) > 0;
    drop(bus.subscribe("n").unwrap().filter(filter).until(&cancel).open());
    assert_eq!(Arc::strong_count(&alive), 1);
    cancel.cancel();
}

// ---- Publish -----------------------------------------------------------------------------------

#[test]
fn a_publish_that_matches_nothing_is_fine() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let _other = bus.subscribe("a.b").unwrap().open();
    assert_eq!(bus.publish(event("a")), Ok(Published::default()));
    assert_eq!(bus.stats().published, 1);
}

#[test]
fn publish_fills_in_id_and_time_where_they_are_missing() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = bus.subscribe(">").unwrap().open();
    let time = tickbus::envelope::Timestamp::from_unix_nanos(5).unwrap();
    bus.publish(event("a")).unwrap();
    bus.publish(event("a").with_id("7")).unwrap();
    bus.publish(event("a").with_time(time)).unwrap();
    bus.publish(event("a").with_id("7").with_time(time)).unwrap();
    let got: Vec<_> = all.drain().collect();
    assert_eq!(got[0].id().len(), 36);
    assert!(got[0].time().unwrap() > time);
    assert_eq!((got[1].id(), got[1].time() > Some(time)), ("7", true));
    assert_eq!((got[2].id().len(), got[2].time()), (36, Some(time)));
    assert_eq!((got[3].id(), got[3].time()), ("7", Some(time)));
}

#[test]
fn e1_receivers_share_one_envelope_that_never_changes() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = [(); 3].map(|()| bus.subscribe(">").unwrap().open());
    let sent = Arc::new(Envelope::new("a").unwrap().header("k", "1"));
    bus.publish(sent.clone()).unwrap();
    let mut got: Vec<_> = all.iter().map(|one| one.recv().unwrap()).collect();
    assert!(got.iter().all(|got| Arc::ptr_eq(got, &sent)), "no copy");
    Arc::make_mut(&mut got[0]).headers_mut().insert("k", "2");
    assert_eq!([&sent, &got[1], &got[2]].map(|it| it.headers().get("k")), ["1"; 3]);
}

/// The publisher's own handle stays without, so no envelope changes.
#[test]
fn e4_filling_in_does_not_change_what_the_publisher_kept() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = bus.subscribe(">").unwrap().open();
    let kept = Arc::new(event("a"));
    bus.publish(kept.clone()).unwrap();
    assert_eq!(kept.id(), "");
    assert_ne!(all.recv().unwrap().id(), "");
}

#[test]
fn e10_a_subject_that_is_none_never_reaches_a_bus() {
    let _watch = watchdog();
    for subject in ["", "a.", "*", ">"] {
        assert!(Envelope::new(subject).is_err() && Envelope::unstamped(subject).is_err());
    }
}

#[test]
fn when_publish_returns_every_match_has_it_or_lost_it() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let room = open(&bus, 2, Overrun::DropNewest);
    let full = open(&bus, 1, Overrun::DropNewest);
    bus.publish(numbered(1)).unwrap();
    let published = bus.publish(numbered(2)).unwrap();
    assert_eq!((published.enqueued, published.dropped, published.closed), (1, 1, 0));
    let high_water = [room.stats(), full.stats(), bus.stats().totals].map(|it| it.high_water);
    assert_eq!(high_water, [2, 1, 2], "the highest, not the sum");
    assert_eq!((drained(&room), drained(&full)), (vec![1, 2], vec![1]));
}

// ---- Policies ----------------------------------------------------------------------------------

fn one_slot(overrun: Overrun) -> (Vec<usize>, Vec<String>, u64) {
    let (bus, log) = observed();
    let one = open(&bus, 1, overrun);
    for n in 1..=3 {
        bus.try_publish(numbered(n)).unwrap();
    }
    conserved(&bus);
    let drops = log.take().into_iter().filter(|line| line.starts_with("drop")).collect();
    (drained(&one), drops, one.dropped())
}

#[test]
fn drop_newest_keeps_the_first_and_reports_the_others() {
    let _watch = watchdog();
    let drops = ["drop 2 of 1 drop_newest buffer_full", "drop 3 of 1 drop_newest buffer_full"];
    assert_eq!(one_slot(Overrun::DropNewest), (vec![1], drops.map(String::from).into(), 2));
}

#[test]
fn c3_drop_oldest_keeps_the_last_and_reports_the_evicted_ones() {
    let _watch = watchdog();
    let drops = ["drop 1 of 1 drop_oldest buffer_full", "drop 2 of 1 drop_oldest buffer_full"];
    assert_eq!(one_slot(Overrun::DropOldest), (vec![3], drops.map(String::from).into(), 2));
}

#[test]
fn b9_try_publish_never_waits() {
    let _watch = watchdog();
    let drops = ["drop 2 of 1 block buffer_full", "drop 3 of 1 block buffer_full"];
    assert_eq!(one_slot(Overrun::Block), (vec![1], drops.map(String::from).into(), 2));
}

#[test]
fn drop_oldest_keeps_the_last_in_order() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let last = open(&bus, 3, Overrun::DropOldest);
    publish(&bus, 1..=10);
    assert_eq!(drained(&last), [8, 9, 10]);
    assert_eq!((last.stats().dropped_oldest, last.stats().high_water), (7, 3));
}

#[test]
fn a16_a_receiver_is_told_where_how_many_are_missing() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let first = open(&bus, 2, Overrun::DropNewest);
    let last = open(&bus, 2, Overrun::DropOldest);
    publish(&bus, 1..=5);
    let take = |subscription: &Subscription| {
        let n = number(&subscription.try_recv().unwrap());
        (n, subscription.missed())
    };
    assert_eq!([take(&first), take(&last)], [(1, 0), (4, 3)]);
    publish(&bus, 6..=7);
    assert_eq!([take(&first), take(&first)], [(2, 0), (6, 3)]); // 3, 4, 5
    assert_eq!([take(&last), take(&last)], [(6, 1), (7, 0)]); // 5
    bus.publish(numbered(8)).unwrap();
    assert_eq!([take(&first), take(&last)], [(8, 1), (8, 0)]); // 7
}

#[test]
fn a17_a_refused_publish_has_no_effect_on_what_waits() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let four = open(&bus, 4, Overrun::DropNewest);
    for round in 0..50 {
        publish(&bus, (0..6).map(|n| 10 * round + n));
        assert_eq!(drained(&four), Vec::from_iter(10 * round..10 * round + 4));
    }
}

// ---- Block -------------------------------------------------------------------------------------

#[test]
fn block_waits_until_a_receive_makes_room() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let publisher = park(&bus, Wait::forever());
    assert_eq!(number(&subscription.try_recv().unwrap()), 1);
    assert_eq!(publisher.join().unwrap().enqueued, 1);
    assert_eq!(drained(&subscription), [2]);
    assert_eq!(subscription.dropped(), 0);
}

#[test]
fn block_one_receive_frees_exactly_one_in_the_order_of_waiting() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let parked: Vec<_> = (2..6)
        .map(|n| {
            let publisher = watched({
                let bus = bus.clone();
                move || bus.publish(numbered(n)).unwrap()
            });
            eventually(|| subscription.stats().waiting == n as u64 - 1);
            publisher
        })
        .collect();
    for n in 1..6 {
        assert_eq!(subscription.stats().waiting, 5 - n.max(1) as u64);
        // Room that a receive makes belongs to the publisher that waits, not to a new one.
        assert_eq!(bus.try_publish(numbered(99)).unwrap().enqueued, 0);
        assert_eq!(number(&subscription.recv().unwrap()), n);
    }
    parked.into_iter().for_each(|publisher| assert_eq!(publisher.join().enqueued, 1));
    assert!(drained(&subscription).is_empty());
    conserved(&bus);
}

#[test]
fn block_serves_the_others_before_it_waits() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let other = bus.subscribe("n").unwrap().open(); // opened later, so it is asked later
    let publisher = park(&bus, Wait::forever());
    assert_eq!(drained(&other), [2]);
    drop(subscription);
    assert_eq!(publisher.join().unwrap().enqueued, 1);
}

#[test]
fn c11_block_cancelled_is_an_error_and_that_subscription_gets_nothing() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let other = bus.subscribe("n").unwrap().open();
    let cancel: &'static Cancel = Box::leak(Box::default());
    let publisher = park(&bus, Wait::forever().until(cancel));
    cancel.cancel();
    let error = publisher.join().unwrap_err();
    assert!(matches!(&error, PublishError::Cancelled(envelope) if number(envelope) == 2));
    assert_eq!((drained(&subscription), drained(&other)), (vec![1], vec![2]));
    assert_eq!((subscription.dropped(), subscription.stats().waiting), (1, 0));
    bus.publish(numbered(3)).unwrap();
    assert_eq!((drained(&subscription), subscription.missed()), (vec![3], 1));
    conserved(&bus);
}

#[test]
fn b3_block_with_a_deadline_gives_up_then_and_leaves_no_trace() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    for _ in 0..3 {
        let begin = Instant::now();
        let bus = bus.clone();
        let wait = Wait::forever().timeout(Duration::from_millis(20));
        let error = watched(move || bus.publish_wait(numbered(2), wait)).join().unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert!(matches!(&error, PublishError::TimedOut(_)));
        assert_eq!(number(&error.into_envelope()), 2);
    }
    assert_eq!((drained(&subscription), subscription.stats().waiting), (vec![1], 0));
    assert_eq!(subscription.dropped(), 3);
}

#[test]
fn b7_room_wins_over_cancellation_and_over_the_deadline_always() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 1, Overrun::Block);
    let cancel = Cancel::new();
    cancel.cancel();
    for _ in 0..200 {
        bus.publish_wait(numbered(1), Wait::forever().until(&cancel)).unwrap();
        let _ = subscription.recv();
        bus.publish_wait(numbered(1), Wait::forever().deadline(Instant::now())).unwrap();
        let _ = subscription.recv();
    }
}

#[test]
fn b2_block_wakes_when_the_subscription_is_closed() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    let publisher = park(&bus, Wait::forever());
    log.take();
    subscription.close();
    let published = publisher.join().unwrap();
    assert_eq!((published.enqueued, published.dropped, published.closed), (0, 0, 1));
    assert_eq!(log.take(), ["drop 2 of 1 block closed"]);
    assert_eq!((subscription.dropped(), bus.dropped(), bus.stats().closed), (0, 0, 1));
    assert_eq!(drained(&subscription), [1], "what was queued stays readable");
}

#[test]
fn b10_block_wakes_when_the_handle_is_dropped() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let publisher = park(&bus, Wait::forever());
    drop(subscription);
    assert_eq!(publisher.join().unwrap().closed, 1);
    assert_eq!(bus.dropped(), 0);
}

#[test]
fn block_wakes_when_the_subscription_is_cancelled() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let cancel = Cancel::new();
    let pattern = bus.subscribe("n").unwrap().capacity(1).overrun(Overrun::Block);
    let _subscription = pattern.until(&cancel).open();
    bus.publish(numbered(1)).unwrap();
    let publisher = park(&bus, Wait::forever());
    cancel.cancel();
    assert_eq!(publisher.join().unwrap().closed, 1);
}

#[test]
fn b14_block_returns_closed_when_the_bus_closes() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let parked: Vec<_> = (0..4).map(|_| park(&bus, Wait::forever())).collect();
    watched(move || bus.close()).join();
    for publisher in parked {
        let error = publisher.join().unwrap_err();
        assert!(matches!(error, PublishError::Closed(_)));
    }
    assert_eq!((drained(&subscription), subscription.dropped()), (vec![1], 0));
    assert_eq!(subscription.recv(), None);
}

#[test]
fn block_keeps_the_order_and_loses_nothing_under_load() {
    let _watch = watchdog();
    const PUBLISHERS: usize = 4;
    const EACH: usize = 2000;
    let bus = Arc::new(SubjectBus::new());
    let slow = open(&bus, 2, Overrun::Block);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let bus = bus.clone();
            watched(move || {
                publish(&bus, (0..EACH).map(|n| publisher * EACH + n));
            })
        })
        .collect();
    let received = watched(move || {
        let taken = slow.iter().take(PUBLISHERS * EACH);
        let taken: Vec<_> = taken.map(|envelope| number(&envelope)).collect();
        assert_eq!(slow.dropped(), 0);
        taken
    })
    .join();
    publishers.into_iter().for_each(|publisher| publisher.join());
    for publisher in 0..PUBLISHERS {
        let of_one: Vec<_> = received.iter().copied().filter(|n| n / EACH == publisher).collect();
        assert_eq!(of_one, Vec::from_iter(publisher * EACH..(publisher + 1) * EACH));
    }
}

// ---- Order and numbers -------------------------------------------------------------------------

#[test]
fn a18_each_publisher_s_order_is_kept_for_each_subscription() {
    let _watch = watchdog();
    const EACH: usize = 3000;
    let bus = Arc::new(SubjectBus::new());
    let policies = [Overrun::DropNewest, Overrun::DropOldest, Overrun::DropNewest];
    let all: Vec<_> = policies.iter().zip([100, 100, 3 * EACH]).collect();
    let all: Vec<_> = all.into_iter().map(|(policy, n)| open(&bus, n, *policy)).collect();
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            let bus = bus.clone();
            watched(move || {
                publish(&bus, (0..EACH).map(|n| publisher * EACH + n));
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join());
    assert_eq!(all.iter().map(|one| one.stats().pending).collect::<Vec<_>>(), [100, 100, 9000]);
    for subscription in &all {
        let mut last = [None; 3];
        for n in drained(subscription) {
            assert!(last[n / EACH] < Some(n), "{n} after {:?}", last[n / EACH]);
            last[n / EACH] = Some(n);
        }
    }
    conserved(&bus);
}

#[test]
fn c2_c5_enqueued_and_dropped_and_abandoned_add_up_under_load() {
    let _watch = watchdog();
    const EACH: usize = 3000;
    let bus = Arc::new(SubjectBus::new());
    let total = Arc::new(Mutex::new(Published::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let subscriber = |policy: Overrun, seed: usize| {
        let (bus, stop) = (bus.clone(), stop.clone());
        watched(move || {
            let mut turn = seed;
            while !stop.load(SeqCst) {
                let subscription = open(&bus, 3, policy);
                for _ in 0..turn % 7 {
                    let _ = subscription.recv_timeout(Duration::from_micros(50));
                }
                if turn.is_multiple_of(3) {
                    subscription.close();
                }
                turn += 1; // dropped with what is in it
            }
        })
    };
    let subscribers = [
        subscriber(Overrun::DropNewest, 1),
        subscriber(Overrun::DropOldest, 2),
        subscriber(Overrun::Block, 3),
    ];
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (bus, total) = (bus.clone(), total.clone());
            watched(move || {
                for n in 0..EACH {
                    let it = bus.publish(numbered(n)).unwrap();
                    let mut total = total.lock().unwrap();
                    total.enqueued += it.enqueued;
                    total.dropped += it.dropped;
                    total.closed += it.closed;
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join());
    stop.store(true, SeqCst);
    subscribers.into_iter().for_each(|subscriber| subscriber.join());
    let (stats, total) = (bus.stats(), *total.lock().unwrap());
    conserved(&bus);
    assert_eq!(stats.published, 2 * EACH as u64);
    assert_eq!(stats.totals.enqueued, total.enqueued as u64);
    assert_eq!(stats.totals.dropped_newest, total.dropped as u64);
    assert_eq!(stats.closed, total.closed as u64);
    assert_eq!((stats.totals.pending, stats.subscriptions), (0, 0));
    assert!(total.enqueued > 0);
}

#[test]
fn c5_what_an_unsubscribe_abandons_is_counted() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 4, Overrun::DropNewest);
    publish(&bus, 0..5);
    let _ = subscription.recv();
    drop(subscription);
    let it = bus.stats().totals;
    assert_eq!((it.enqueued, it.received, it.abandoned, it.pending), (4, 1, 3, 0));
    assert_eq!(
        (it.dropped(), bus.dropped()),
        (1, 1),
        "losses of subscriptions that are gone still count"
    );
}

#[test]
fn e13_what_was_received_evicted_or_abandoned_is_let_go() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let one = open(&bus, 1, Overrun::DropOldest);
    let send = |n| {
        let envelope =
            Arc::new(numbered(n).with_id("i").with_time(tickbus::envelope::Timestamp::now()));
        let weak = Arc::downgrade(&envelope);
        bus.publish(envelope).unwrap();
        weak
    };
    let gone = |it: &Weak<Envelope>| it.strong_count() == 0;
    let (evicted, received) = (send(1), send(2));
    assert!(gone(&evicted) && !gone(&received));
    drop(one.recv());
    let abandoned = send(3);
    assert!(gone(&received) && !gone(&abandoned));
    drop(one);
    assert!(gone(&abandoned));
}

// ---- Observers ---------------------------------------------------------------------------------

#[test]
fn observers_hear_of_the_publish_first_and_then_of_each_match_once() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let _a = open(&bus, 1, Overrun::DropNewest);
    let _b = bus.subscribe("*").unwrap().open();
    let _c = bus.subscribe(">").unwrap().filter(|_| false).open();
    let _d = bus.subscribe("other").unwrap().open();
    bus.publish(numbered(1)).unwrap();
    bus.publish(numbered(2)).unwrap();
    assert_eq!(
        log.take(),
        [
            "publish 1",
            "deliver 1 to 1 n",
            "deliver 1 to 2 *",
            "publish 2",
            "drop 2 of 1 drop_newest buffer_full",
            "deliver 2 to 2 *",
        ]
    );
}

/// Closed before its turn, a match is reported as closed. Without its handle it is not reported.
#[test]
fn observers_hear_of_a_match_that_ends_before_its_turn_as_long_as_its_handle_is_there() {
    let _watch = watchdog();
    #[derive(Default)]
    struct Ender(Log, Mutex<Vec<Subscription>>);
    impl Observer for Ender {
        fn on_publish(&self, envelope: &Arc<Envelope>) {
            self.0.on_publish(envelope);
        }
        fn on_deliver(&self, envelope: &Arc<Envelope>, to: Recipient<'_>) {
            self.0.on_deliver(envelope, to);
            let mut others = self.1.lock().unwrap();
            others.truncate(1);
            others.iter().for_each(Subscription::close);
        }
        fn on_drop(&self, envelope: &Arc<Envelope>, of: Recipient<'_>, reason: DropReason) {
            self.0.on_drop(envelope, of, reason);
        }
    }
    let ender = Arc::new(Ender::default());
    let bus = SubjectBus::builder().observer(ender.clone()).build();
    let _first = bus.subscribe("n").unwrap().open();
    *ender.1.lock().unwrap() = [(); 2].map(|()| bus.subscribe("n").unwrap().open()).into();
    let published = bus.publish(numbered(1)).unwrap();
    assert_eq!((published.enqueued, published.dropped, published.closed), (1, 0, 1));
    assert_eq!(ender.0.take(), ["publish 1", "deliver 1 to 1 n", "drop 1 of 2 drop_newest closed"]);
    assert_eq!(bus.stats().closed, 1);
}

#[test]
fn c4_observers_hear_of_a_publish_that_waits() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    log.take();
    let publisher = park(&bus, Wait::forever());
    assert_eq!(log.take(), ["publish 2"]);
    let _ = subscription.recv();
    publisher.join().unwrap();
    assert_eq!(log.take(), ["deliver 2 to 1 n"]);
}

#[test]
fn observers_hear_of_what_gave_up_as_dropped() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let _full = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    log.take();
    let wait = Wait::forever().timeout(Duration::from_millis(1));
    let error = bus.publish_wait(numbered(2), wait).unwrap_err();
    assert!(matches!(error, PublishError::TimedOut(_)));
    assert_eq!(log.take(), ["publish 2", "drop 2 of 1 block buffer_full"]);
}

/// Two that are full: the deadline passes at the first, and the observer that sees it cancels.
#[test]
fn the_first_reason_to_give_up_is_the_one_that_is_told() {
    let _watch = watchdog();
    struct Canceller(Cancel);
    impl Observer for Canceller {
        fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, _: DropReason) {
            self.0.cancel();
        }
    }
    watched(|| {
        let cancel = Cancel::new();
        let observer = Arc::new(Canceller(cancel.clone()));
        let bus = SubjectBus::builder().observer(observer).build();
        let full = [(); 2].map(|()| open(&bus, 1, Overrun::Block));
        bus.publish(numbered(1)).unwrap();
        let wait = Wait::forever().timeout(Duration::ZERO).until(&cancel);
        assert!(matches!(bus.publish_wait(numbered(2), wait), Err(PublishError::TimedOut(_))));
        assert!(matches!(bus.publish_wait(numbered(3), wait), Err(PublishError::Cancelled(_))));
        assert_eq!(full.map(|one| (drained(&one), one.dropped())), [(); 2].map(|()| (vec![1], 2)));
    })
    .join();
}

#[test]
fn labels_are_those_of_the_contract() {
    let _watch = watchdog();
    let policies = [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block];
    assert_eq!(policies.map(Overrun::label), ["drop_newest", "drop_oldest", "block"]);
    let reasons = [DropReason::BufferFull, DropReason::Closed];
    assert_eq!(reasons.map(DropReason::label), ["buffer_full", "closed"]);
}

/// Uses its bus in every way from within every call.
#[derive(Default)]
struct Meddler {
    bus: OnceLock<Weak<SubjectBus>>,
    kept: Mutex<Vec<Subscription>>,
    calls: AtomicUsize,
}

impl Meddler {
    fn meddle(&self) {
        thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
        let Some(bus) = self.bus.get().and_then(Weak::upgrade) else { return };
        if INSIDE.replace(true) {
            return;
        }
        self.calls.fetch_add(1, SeqCst);
        let subscription = bus.subscribe(">").unwrap().open();
        bus.publish(event("meddled")).unwrap();
        assert_eq!(subscription.drain().count(), 1);
        drop((bus.stats(), bus.subscriptions(), format!("{bus:?}")));
        let dropped = core::mem::replace(&mut *self.kept.lock().unwrap(), vec![subscription]);
        drop(dropped);
        INSIDE.set(false);
    }
}

impl Observer for Meddler {
    fn on_publish(&self, _: &Arc<Envelope>) {
        self.meddle();
    }
    fn on_deliver(&self, _: &Arc<Envelope>, _: Recipient<'_>) {
        self.meddle();
    }
    fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, _: DropReason) {
        self.meddle();
    }
}

#[test]
fn b8_observers_and_filters_run_outside_all_locks() {
    watched(|| {
        let meddler = Arc::new(Meddler::default());
        let bus = Arc::new(SubjectBus::builder().observer(meddler.clone()).build());
        meddler.bus.set(Arc::downgrade(&bus)).unwrap();
        let filter = {
            let meddler = meddler.clone();
            move |_: &Envelope| {
                meddler.meddle();
                true
            }
        };
        let one = bus.subscribe("n").unwrap().capacity(1).filter(filter);
        let _one = one.overrun(Overrun::DropOldest).open();
        bus.publish(numbered(1)).unwrap();
        bus.publish(numbered(2)).unwrap();
        // Twice: published, filtered, enqueued at both; and once dropped.
        assert!(meddler.calls.load(SeqCst) >= 7, "{:?}", meddler.calls);
        meddler.kept.lock().unwrap().clear();
    })
    .join();
}

/// Its filter drops the last reference to something that uses the bus when it is dropped.
#[test]
fn b8_a_filter_is_dropped_outside_all_locks() {
    let _watch = watchdog();
    struct Last(Weak<SubjectBus>, Arc<AtomicUsize>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(bus) = self.0.upgrade() {
                drop(bus.subscribe(">").unwrap().open());
                bus.publish(event("last.words")).unwrap();
                drop((bus.stats(), bus.subscriptions()));
                self.1.fetch_add(1, SeqCst);
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = dropped.clone();
    watched(move || {
        let bus = Arc::new(SubjectBus::new());
        for pattern in ["n", "*", ">", "a.*.b", "a.>"] {
            let last = Last(Arc::downgrade(&bus), seen.clone());
            let filter = move |_: &Envelope| last.1.load(SeqCst) < 100;
            let subscription = bus.subscribe(pattern).unwrap().filter(filter).open();
            bus.publish(numbered(1)).unwrap(); // the cache holds it too
            drop(subscription);
        }
    })
    .join();
    assert_eq!(dropped.load(SeqCst), 5);
}

#[test]
fn b1_a_panic_in_a_filter_leaves_the_bus_usable() {
    watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let before = bus.subscribe("n").unwrap().open();
        let filter = |envelope: &Envelope| number(envelope) != 2 || panic!("filtered");
        let bomb = bus.subscribe("n").unwrap().filter(filter).open();
        for n in 1..=3 {
            let publish = catch_unwind(AssertUnwindSafe(|| bus.publish(numbered(n))));
            assert_eq!(publish.is_err(), n == 2);
        }
        assert_eq!((drained(&before), drained(&bomb)), (vec![1, 2, 3], vec![1, 3]));
        drop(bus.subscribe("n").unwrap().open());
        bus.close(); // waits for publishers under way: none is left
        assert_eq!(before.recv(), None);
    })
    .join();
}

struct Bomb(&'static str);

impl Bomb {
    fn go(&self, what: &str) {
        assert!(what != self.0, "a bomb in {what}");
    }
}

impl Observer for Bomb {
    fn on_publish(&self, _: &Arc<Envelope>) {
        self.go("publish");
    }
    fn on_deliver(&self, _: &Arc<Envelope>, _: Recipient<'_>) {
        self.go("deliver");
    }
    fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, _: DropReason) {
        self.go("drop");
    }
}

#[test]
fn a_panic_in_an_observer_leaves_the_bus_usable() {
    let _watch = watchdog();
    for what in ["publish", "deliver", "drop"] {
        watched(move || {
            let bus = SubjectBus::builder().observer(Arc::new(Bomb(what))).build();
            let blocked = open(&bus, 1, Overrun::Block);
            let small = open(&bus, 1, Overrun::DropNewest);
            for n in 1..=3 {
                // With a place in `blocked` when the other one panics: it is given up.
                let publish =
                    || bus.publish_wait(numbered(n), Wait::forever().timeout(Duration::ZERO));
                let _ = catch_unwind(AssertUnwindSafe(publish));
                assert_eq!(blocked.stats().waiting, 0, "{what}");
            }
            conserved(&bus);
            drop((blocked, small));
            bus.close();
        })
        .join();
    }
}

// ---- Close -------------------------------------------------------------------------------------

#[test]
fn a19_queued_events_stay_readable_after_close_then_comes_the_end() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    publish(&bus, 1..=3);
    bus.close();
    assert!(subscription.is_closed());
    assert_eq!(number(&subscription.recv().unwrap()), 1);
    assert_eq!(number(&subscription.try_recv().unwrap()), 2);
    assert_eq!(number(&subscription.recv_timeout(Duration::ZERO).unwrap()), 3);
    for _ in 0..3 {
        assert_eq!(subscription.recv(), None);
        assert_eq!(subscription.try_recv(), Err(RecvError::Closed));
        assert_eq!(subscription.recv_timeout(LONG), Err(RecvError::Closed));
        assert_eq!(subscription.iter().next(), None);
    }
}

#[test]
fn b12_after_close_publish_and_subscribe_are_closed_again_and_again() {
    watched(|| {
        let (bus, log) = observed();
        let subscription = bus.subscribe(">").unwrap();
        let opened_before = bus.subscribe("n").unwrap().open();
        bus.close();
        let late = subscription.open();
        for n in 0..3 {
            let error = bus.publish(numbered(n)).unwrap_err();
            assert!(matches!(&error, PublishError::Closed(it) if number(it) == n));
            assert!(matches!(bus.try_publish(numbered(n)), Err(PublishError::Closed(_))));
            assert_eq!(bus.subscribe(">").unwrap_err(), SubscribeError::Closed);
            let options = SubscriptionOptions::new();
            let refused = EnvelopeBus::subscribe(&*bus, Pattern::from_static("n"), options);
            assert_eq!(refused.unwrap_err(), SubscribeError::Closed);
        }
        let sent = Arc::new(numbered(7));
        let back = bus.publish(sent.clone()).unwrap_err().into_envelope();
        assert!(Arc::ptr_eq(&back, &sent) && back.id().is_empty(), "as it was");
        assert_eq!(late.recv(), None, "started before, opened after: it has ended");
        assert_eq!(opened_before.recv(), None);
        assert_eq!(log.take(), [""; 0], "no observer call");
        assert_eq!(bus.stats().published, 0);
    })
    .join();
}

#[test]
fn b13_close_is_idempotent_even_at_the_same_time() {
    let _watch = watchdog();
    for _ in 0..50 {
        let (bus, _subscription) = blocked();
        let publisher = park(&bus, Wait::forever());
        let barrier = Arc::new(Barrier::new(4));
        let closers: Vec<_> = (0..4)
            .map(|_| {
                let (bus, barrier) = (bus.clone(), barrier.clone());
                watched(move || {
                    barrier.wait();
                    bus.close();
                    assert!(bus.is_closed());
                    bus.close();
                })
            })
            .collect();
        closers.into_iter().for_each(|closer| closer.join());
        assert!(matches!(publisher.join(), Err(PublishError::Closed(_))));
    }
}

#[test]
fn close_waits_for_publishers_under_way() {
    let _watch = watchdog();
    struct Slow(Barrier, AtomicBool);
    impl Observer for Slow {
        fn on_publish(&self, envelope: &Arc<Envelope>) {
            if number(envelope) == 1 {
                self.0.wait();
                thread::sleep(Duration::from_millis(50));
            }
        }
        fn on_deliver(&self, envelope: &Arc<Envelope>, _: Recipient<'_>) {
            self.1.fetch_or(number(envelope) == 1, SeqCst);
        }
    }
    let slow = Arc::new(Slow(Barrier::new(2), AtomicBool::new(false)));
    let bus = Arc::new(SubjectBus::builder().observer(slow.clone()).build());
    let subscription = bus.subscribe("n").unwrap().open();
    let publisher = watched({
        let bus = bus.clone();
        move || bus.publish(numbered(1))
    });
    slow.0.wait();
    let closer = move || {
        bus.publish(numbered(0)).unwrap(); // one that is over is none to close from
        bus.close();
    };
    watched(closer).join();
    assert!(slow.1.load(SeqCst), "the publisher was done when close returned");
    assert_eq!(publisher.join().unwrap().enqueued, 1);
    assert_eq!(drained(&subscription), [0, 1]);
}

/// A publisher that was under way when the bus closed finds a full subscription only after that, when
/// nothing will come to wake it.
#[test]
fn b14_a_publisher_under_way_does_not_begin_to_wait_on_a_bus_that_is_closing() {
    let _watch = watchdog();
    struct Late(OnceLock<Weak<SubjectBus>>);
    impl Observer for Late {
        fn on_publish(&self, envelope: &Arc<Envelope>) {
            let bus = self.0.get().and_then(Weak::upgrade).unwrap();
            if number(envelope) == 2 {
                eventually(|| bus.is_closed());
                thread::sleep(Duration::from_millis(50)); // the waiting ones are sent away meanwhile
            }
        }
    }
    let late = Arc::new(Late(OnceLock::new()));
    let bus = Arc::new(SubjectBus::builder().observer(late.clone()).build());
    late.0.set(Arc::downgrade(&bus)).unwrap();
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    let publisher = watched({
        let bus = bus.clone();
        move || bus.publish(numbered(2))
    });
    eventually(|| bus.stats().published == 2);
    watched(move || bus.close()).join();
    assert!(matches!(publisher.join(), Err(PublishError::Closed(_))));
    assert_eq!(drained(&subscription), [1]);
}

#[test]
fn b11_close_from_an_observer_or_a_filter_does_not_wait_for_itself() {
    let _watch = watchdog();
    struct Closer(OnceLock<Weak<SubjectBus>>);
    impl Observer for Closer {
        fn on_publish(&self, _: &Arc<Envelope>) {
            self.0.get().unwrap().upgrade().unwrap().close();
        }
    }
    watched(|| {
        let closer = Arc::new(Closer(OnceLock::new()));
        let bus = Arc::new(SubjectBus::builder().observer(closer.clone()).build());
        closer.0.set(Arc::downgrade(&bus)).unwrap();
        let subscription = bus.subscribe("n").unwrap().open();
        assert!(matches!(bus.publish(numbered(1)), Err(PublishError::Closed(_))));
        assert_eq!(subscription.recv(), None);

        let bus = Arc::new(SubjectBus::new());
        let weak = Arc::downgrade(&bus);
        let filter = move |_: &Envelope| {
            weak.upgrade().unwrap().close();
            true
        };
        let subscription = bus.subscribe("n").unwrap().filter(filter).open();
        assert!(matches!(bus.publish(numbered(1)), Err(PublishError::Closed(_))));
        assert_eq!(subscription.recv(), None);
        bus.close(); // and from outside: the count of publishers is what it was
    })
    .join();
}

/// The last handle goes while its filter runs, so the publisher drops the filter.
#[test]
fn b11_close_from_the_destructor_of_a_filter_does_not_wait_for_itself() {
    let _watch = watchdog();
    struct Last(Weak<SubjectBus>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.upgrade().unwrap().close();
        }
    }
    watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let handle = Arc::new(Mutex::new(None));
        let (last, own) = (Last(Arc::downgrade(&bus)), handle.clone());
        let filter =
            move |_: &Envelope| last.0.strong_count() > 0 && own.lock().unwrap().take().is_none();
        *handle.lock().unwrap() = Some(bus.subscribe("n").unwrap().filter(filter).open());
        assert_eq!(bus.publish(numbered(1)), Ok(Published::default()));
        assert!(bus.is_closed());
        bus.close(); // and from outside: the count of publishers is what it was
    })
    .join();
}

#[test]
fn b11_close_from_a_waker_does_not_wait_for_its_publisher() {
    let _watch = watchdog();
    struct Closer(Weak<SubjectBus>);
    impl Wake for Closer {
        fn wake(self: Arc<Self>) {
            self.0.upgrade().unwrap().close();
        }
    }
    watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let first = bus.subscribe("n").unwrap().open();
        let _filtered = bus.subscribe("n").unwrap().filter(|_| true).open(); // so the publish goes on after
        let mut stream = first.stream();
        let waker = Arc::new(Closer(Arc::downgrade(&bus))).into();
        let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        assert!(matches!(bus.publish(numbered(1)), Err(PublishError::Closed(_))));
        assert_eq!(drained(&first), [1]);
        bus.close();
    })
    .join();
}

#[test]
fn a_subscription_that_has_ended_stays_so_while_the_bus_is_closing() {
    watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let (closer, other) = (Mutex::new(None), Arc::new(OnceLock::<Subscription>::new()));
        let (weak, ended) = (Arc::downgrade(&bus), other.clone());
        let filter = move |_: &Envelope| {
            ended.get().unwrap().close();
            let bus = weak.upgrade().unwrap();
            let closing = bus.clone();
            *closer.lock().unwrap() = Some(watched(move || closing.close()));
            eventually(|| bus.is_closed()); // it waits for this publisher
            assert!(ended.get().unwrap().is_closed());
            true
        };
        let first = bus.subscribe("n").unwrap().filter(filter).open();
        assert!(other.set(bus.subscribe("n").unwrap().open()).is_ok());
        assert!(matches!(bus.publish(numbered(1)), Err(PublishError::Closed(_))));
        assert_eq!((drained(&first), drained(other.get().unwrap())), (vec![1], vec![]));
    })
    .join();
}

#[test]
fn two_observers_that_close_each_other_s_bus_do_not_wait_for_each_other() {
    let _watch = watchdog();
    struct Closer(Barrier, OnceLock<[Weak<SubjectBus>; 2]>);
    impl Observer for Closer {
        fn on_publish(&self, envelope: &Arc<Envelope>) {
            self.0.wait();
            self.1.get().unwrap()[1 - number(envelope)].upgrade().unwrap().close();
        }
    }
    let closer = Arc::new(Closer(Barrier::new(2), OnceLock::new()));
    let bus = || Arc::new(SubjectBus::builder().observer(closer.clone()).build());
    let buses = [bus(), bus()];
    assert!(closer.1.set(buses.each_ref().map(Arc::downgrade)).is_ok());
    let publishers = [0, 1].map(|n| {
        let bus = buses[n].clone();
        watched(move || bus.publish(numbered(n)))
    });
    for publisher in publishers {
        assert_eq!(publisher.join(), Ok(Published::default()), "it was under way");
    }
    assert!(buses.iter().all(|bus| bus.is_closed()));
}

#[test]
fn dropping_the_bus_closes_it() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    bus.publish(numbered(1)).unwrap();
    let receiver = watched(move || subscription.iter().map(|it| number(&it)).collect::<Vec<_>>());
    drop(bus);
    assert_eq!(receiver.join(), [1]);
}

#[test]
fn close_ends_every_receiver_that_sleeps() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = Arc::new(bus.subscribe("n").unwrap().open());
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let subscription = subscription.clone();
            watched(move || subscription.recv())
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    bus.close();
    receivers.into_iter().for_each(|receiver| assert_eq!(receiver.join(), None));
}

#[test]
fn a_subscription_that_is_closed_under_publishers_never_hangs_them() {
    let _watch = watchdog();
    for turn in 0..200 {
        let bus = Arc::new(SubjectBus::new());
        let subscription = open(&bus, 1, Overrun::Block);
        let publishers: Vec<_> = (0..2)
            .map(|n| {
                let bus = bus.clone();
                watched(move || (0..3).for_each(|_| drop(bus.publish(numbered(n)))))
            })
            .collect();
        for _ in 0..turn % 4 {
            let _ = subscription.recv_timeout(Duration::from_micros(100));
        }
        match turn % 3 {
            0 => subscription.close(),
            1 => drop(subscription),
            _ => bus.close(),
        }
        publishers.into_iter().for_each(|publisher| publisher.join());
    }
}

// ---- Receive -----------------------------------------------------------------------------------

#[test]
fn recv_waits_for_an_envelope() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    let receiver = watched(move || number(&subscription.recv().unwrap()));
    thread::sleep(Duration::from_millis(20));
    bus.publish(numbered(7)).unwrap();
    assert_eq!(receiver.join(), 7);
}

#[test]
fn recv_timeout_comes_back_without_and_with() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    let begin = Instant::now();
    let none = subscription.recv_timeout(Duration::from_millis(20));
    assert_eq!(none, Err(RecvError::Empty));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!(subscription.recv_timeout(Duration::ZERO), Err(RecvError::Empty));
    assert_eq!(subscription.try_recv(), Err(RecvError::Empty));
    let receiver = watched(move || subscription.recv_timeout(Duration::MAX).unwrap());
    bus.publish(numbered(7)).unwrap();
    assert_eq!(number(&receiver.join()), 7);
}

#[test]
fn each_envelope_goes_to_one_of_several_receivers() {
    let _watch = watchdog();
    const EVENTS: usize = 5000;
    let bus = SubjectBus::new();
    let subscription = Arc::new(open(&bus, EVENTS, Overrun::DropNewest));
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let subscription = subscription.clone();
            watched(move || subscription.iter().map(|it| number(&it)).collect::<Vec<_>>())
        })
        .collect();
    publish(&bus, 0..EVENTS);
    bus.close();
    let mut all: Vec<_> = receivers.into_iter().flat_map(Watched::join).collect();
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..EVENTS));
}

#[test]
fn a_drain_is_what_is_queued_at_its_beginning_and_leaves_what_is_not_taken() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = bus.subscribe("n").unwrap().open();
    publish(&bus, 1..=4);
    let mut drain = subscription.drain();
    assert_eq!(drain.next().map(|it| number(&it)), Some(1));
    bus.publish(numbered(5)).unwrap();
    assert_eq!(drain.map(|it| number(&it)).collect::<Vec<_>>(), [2, 3, 4]);
    publish(&bus, 6..=7);
    assert_eq!(subscription.drain().map(|it| number(&it)).take(2).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(drained(&subscription), [7]);
    assert!(drained(&subscription).is_empty());
}

// ---- Routes ------------------------------------------------------------------------------------

#[test]
fn a_change_of_subscriptions_is_seen_by_the_next_publish() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let count = |subject| {
        let published = bus.publish(event(subject)).unwrap().enqueued;
        assert_eq!(bus.matching(Subject::new(subject).unwrap()), published);
        published
    };
    assert_eq!(count("a.b"), 0); // now known to go nowhere
    let exact = bus.subscribe("a.b").unwrap().open();
    assert_eq!(count("a.b"), 1);
    let star = bus.subscribe("a.*").unwrap().open();
    let rest = bus.subscribe("a.>").unwrap().open();
    assert_eq!((count("a.b"), count("a.c"), count("a"), count("a.b.c")), (3, 2, 0, 1));
    drop(star);
    assert_eq!((count("a.b"), count("a.c")), (2, 1));
    exact.close();
    drop(rest);
    assert_eq!((count("a.b"), count("a.c")), (0, 0));
}

#[test]
fn a_literal_does_not_hide_a_wildcard_nor_the_other_way_round() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let patterns = ["a.b.c", "a.*.c", "a.b.*", "a.>", "*.b.c", "*.*.*", ">", "a.x.c", "a.b"];
    let all = patterns.map(|pattern| bus.subscribe(pattern).unwrap().open());
    assert_eq!(bus.publish(event("a.b.c")).unwrap().enqueued, 7);
    let got: Vec<_> = all.iter().map(|one| one.drain().count()).collect();
    assert_eq!(got, [1, 1, 1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn envelopes_are_enqueued_in_the_order_of_opening_whatever_the_patterns() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let patterns = [">", "n", "*", "n", ">", "*"];
    let mut all: Vec<_> = patterns.map(|it| bus.subscribe(it).unwrap().open()).into();
    drop(all.remove(1));
    bus.publish(numbered(1)).unwrap();
    let ids: Vec<_> = log.take()[1..].iter().map(|line| line[13..14].to_owned()).collect();
    assert_eq!(ids, ["1", "3", "4", "5", "6"]);
}

/// A handle goes while a publish is on its way to it, and another subscription takes its place.
#[test]
fn what_was_for_one_that_is_gone_does_not_reach_its_successor() {
    watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let (gone, successor) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let (old, new, weak) = (gone.clone(), successor.clone(), Arc::downgrade(&bus));
        let filter = move |_: &Envelope| {
            drop(old.lock().unwrap().take());
            let next = weak.upgrade().unwrap().subscribe("other").unwrap().open();
            *new.lock().unwrap() = Some(next);
            true
        };
        let first = bus.subscribe("n").unwrap().filter(filter).open();
        *gone.lock().unwrap() = Some(bus.subscribe("n").unwrap().open());
        assert_eq!(bus.publish(numbered(1)).unwrap().enqueued, 1);
        let successor = successor.lock().unwrap().take().unwrap();
        assert_eq!((drained(&first), drained(&successor)), (vec![1], vec![]));
        bus.publish(event("other").with_source("2")).unwrap();
        assert_eq!(drained(&successor), [2]);
    })
    .join();
}

#[test]
fn subjects_of_many_segments_are_routed() {
    let _watch = watchdog();
    for segments in [1, 31, 32, 33, 64, 511, 512] {
        let bus = SubjectBus::new();
        let subject = vec!["a"; segments].join(".");
        let stars = vec!["*"; segments].join(".");
        let all = [&*subject, &stars, ">"].map(|it| bus.subscribe(it).unwrap().open());
        assert_eq!(bus.publish(event(&subject)).unwrap().enqueued, 3, "{segments}");
        drop(all);
        assert_eq!(bus.publish(event(&subject)).unwrap().enqueued, 0, "{segments}");
    }
}

fn words(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(select(alphabet), 1..5).prop_map(|words| words.join("."))
}

#[derive(Clone, Debug)]
enum Step {
    Open(String),
    Close(usize),
    Publish(String),
}

fn step() -> impl Strategy<Value = Step> {
    let pattern = words(&["a", "b", "*", "*", "c"]);
    let rest = proptest::option::of(proptest::bool::ANY);
    prop_oneof![
        2 => (pattern, rest).prop_map(|(pattern, rest)| match rest {
            Some(true) => Step::Open(pattern + ".>"),
            Some(false) => Step::Open(pattern),
            None => Step::Open(">".to_owned()),
        }),
        1 => any::<usize>().prop_map(Step::Close),
        6 => words(&["a", "b", "c"]).prop_map(Step::Publish),
    ]
}

proptest! {
    /// Whatever was opened, closed and published before: a publish goes to those whose pattern matches,
    /// says a naive matcher, with every size of the cache.
    #[test]
    fn the_cache_and_the_index_never_change_a_result(
        size in select(&[0_usize, 1, 4, 5, 1024][..]),
        steps in vec(step(), 1..120),
    ) {
        let _watch = watchdog();
        let bus = SubjectBus::builder().route_cache(size).build();
        let mut open: Vec<(String, Subscription)> = Vec::new();
        for step in steps {
            match step {
                Step::Open(pattern) => {
                    let subscription = bus.subscribe(&pattern).unwrap().capacity(1).open();
                    open.push((pattern, subscription));
                }
                Step::Close(which) if !open.is_empty() => {
                    let (_, subscription) = open.swap_remove(which % open.len());
                    if which.is_multiple_of(2) { subscription.close() }
                }
                Step::Close(_) => {}
                Step::Publish(subject) => {
                    let published = bus.publish(event(&subject)).unwrap();
                    let mut expected = 0;
                    for (pattern, subscription) in &open {
                        let got = subscription.drain().map(|it| it.subject().as_str() == subject);
                        let got: Vec<_> = got.collect();
                        let matches = naive(pattern, &subject);
                        prop_assert_eq!(got, vec![true; usize::from(matches)], "{} {}", pattern, subject);
                        expected += usize::from(matches);
                    }
                    prop_assert_eq!(published.enqueued, expected);
                }
            }
        }
        drop(open);
        prop_assert_eq!(bus.matching(Subject::from_static("a")), 0);
    }

    /// The matcher against a naive one, up to 512 segments.
    #[test]
    fn the_matcher_is_the_naive_one(
        subject in vec(select(&["a", "b"][..]), 1..512),
        edits in vec((any::<usize>(), select(&["*", "a", "b", "cut", "more"][..])), 0..6),
        rest: bool,
    ) {
        let _watch = watchdog();
        let mut pattern = subject.clone();
        for (at, edit) in edits {
            let at = at % pattern.len();
            match edit {
                "cut" => pattern.truncate(at.max(1)),
                "more" if pattern.len() < 512 => pattern.push("a"),
                "more" => {}
                edit => pattern[at] = edit,
            }
        }
        if rest {
            *pattern.last_mut().unwrap() = ">";
        }
        let (pattern, subject) = (pattern.join("."), subject.join("."));
        let matches = Pattern::new(&pattern).unwrap().matches(Subject::new(&subject).unwrap());
        prop_assert_eq!(matches, naive(&pattern, &subject));
        let bus = SubjectBus::new();
        let _one = bus.subscribe(&pattern).unwrap().open();
        prop_assert_eq!(bus.publish(event(&subject)).unwrap().enqueued == 1, matches);
    }
}

/// The contract once more, over lists of segments.
fn naive(pattern: &str, subject: &str) -> bool {
    let pattern: Vec<_> = pattern.split('.').collect();
    let subject: Vec<_> = subject.split('.').collect();
    let (fixed, rest) = match pattern.split_last() {
        Some((&">", fixed)) => (fixed.to_vec(), true),
        _ => (pattern, false),
    };
    let length = if rest { subject.len() > fixed.len() } else { subject.len() == fixed.len() };
    length && fixed.iter().zip(&subject).all(|(wanted, is)| *wanted == "*" || wanted == is)
}

#[test]
fn subjects_that_never_repeat_do_not_fill_the_cache_for_good() {
    let _watch = watchdog();
    let bus = SubjectBus::builder().route_cache(8).build();
    let all = bus.subscribe("s.*").unwrap().capacity(1).open();
    for n in 0..10_000 {
        assert_eq!(bus.publish(event(&format!("s.{n}"))).unwrap().dropped, usize::from(n > 0));
    }
    drop(all);
    assert_eq!(bus.publish(event("s.1")).unwrap(), Published::default());
}

#[test]
fn subscribing_while_others_publish_misses_nothing_that_comes_after() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::builder().route_cache(4).build());
    let stop = Arc::new(AtomicBool::new(false));
    let noise = {
        let (bus, stop) = (bus.clone(), stop.clone());
        watched(move || {
            while !stop.load(SeqCst) {
                bus.publish(event("a.b")).unwrap();
                bus.publish(event("a.c")).unwrap();
            }
        })
    };
    for _ in 0..2000 {
        let one = bus.subscribe("a.*").unwrap().capacity(1 << 16);
        let one = one.filter(|envelope| envelope.source() == "mine").open();
        bus.publish(event("a.b").with_source("mine")).unwrap();
        assert_eq!(one.drain().count(), 1);
    }
    stop.store(true, SeqCst);
    noise.join();
    conserved(&bus);
}

// ---- Introspection, the trait, and the rest -----------------------------------------------------

#[test]
fn subscriptions_and_patterns_can_be_listed() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let gap = bus.subscribe("z").unwrap().open();
    let a = bus.subscribe("a.>").unwrap().capacity(3).overrun(Overrun::Block).open();
    let b = bus.subscribe("a.b").unwrap().open();
    let c = bus.subscribe("a.b").unwrap().open();
    drop(gap);
    bus.publish(event("a.b")).unwrap();
    let _ = b.recv();
    c.close();
    let list = bus.subscriptions();
    assert_eq!(list.iter().map(|it| it.id).collect::<Vec<_>>(), [a.id(), b.id(), c.id()]);
    assert_eq!(
        (&*list[0].patterns[0], list[0].capacity, list[0].overrun),
        ("a.>", 3, Overrun::Block)
    );
    assert_eq!(list.iter().map(|it| it.closed).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(list.iter().map(|it| it.stats.pending).collect::<Vec<_>>(), [1, 0, 1]);
    let d = bus.subscribe("d").unwrap().open(); // in the place of the first
    let ids: Vec<_> = bus.subscriptions().iter().map(|it| it.id).collect();
    assert_eq!(ids, [a.id(), b.id(), c.id(), d.id()]);
    drop(d);

    let patterns: Vec<_> = bus.patterns().into_iter().collect();
    assert_eq!(patterns, [("a.>".into(), 1), ("a.b".into(), 1)]);
    #[cfg(feature = "json")]
    assert_eq!(
        serde_json::to_string(&list[0]).unwrap(),
        r#"{"id":2,"name":"","patterns":["a.>"],"capacity":3,"overrun":"block","closed":false,"missed_replay":0,"stats":{"enqueued":1,"received":0,"dropped_newest":0,"dropped_oldest":0,"sampled":0,"abandoned":0,"pending":1,"waiting":0,"high_water":1}}"#
    );
}

#[test]
fn a_whole_bus_can_be_printed_and_serialised() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let empty = "0 published, 0 subscriptions, 0 enqueued, 0 dropped";
    assert_eq!(bus.info().to_string().lines().next(), Some(empty));
    let wide = bus.subscribe("grün.*.und.lang").unwrap().capacity(1).overrun(Overrun::Block).open();
    bus.try_publish(event("grün.a.und.lang")).unwrap();
    bus.try_publish(event("grün.b.und.lang")).unwrap();
    bus.close();
    let info = bus.info();
    assert_eq!(
        info.to_string(),
        "2 published, 1 subscriptions, 1 enqueued, 1 dropped, closed\n\
         id  pattern          overrun      received  dropped  pending  most\n \
         1  grün.*.und.lang  block               0        1      1/1     1  closed\n"
    );
    assert_eq!((info.stats, info.subscriptions), (bus.stats(), bus.subscriptions()));
    #[cfg(feature = "json")]
    {
        let json = serde_json::to_value(bus.info()).unwrap();
        assert_eq!((&json["closed"], &json["stats"]["published"]), (&true.into(), &2.into()));
        assert_eq!(json["subscriptions"][0]["stats"]["dropped_newest"], 1);
    }
    drop(wide);
    assert_eq!(bus.info().subscriptions, []);
}

#[test]
fn the_no_op_bus_accepts_everything_and_passes_nothing_on() {
    let _watch = watchdog();
    let bus: &dyn EnvelopeBus = &NoopBus;
    let options = SubscriptionOptions::new();
    let ended = bus.subscribe(Pattern::from_static(">"), options).unwrap();
    for _ in 0..2 {
        assert_eq!(bus.publish(event("a").into()), Ok(Published::default()));
        assert!(ended.is_closed());
        assert_eq!(ended.recv(), None);
        assert_eq!(ended.try_recv(), Err(RecvError::Closed));
        bus.close();
    }
    assert!(!bus.is_closed());
}

#[test]
fn a_bus_behind_the_trait_is_the_bus() {
    let _watch = watchdog();
    let bus: Arc<dyn EnvelopeBus + Send + Sync> = Arc::new(SubjectBus::new());
    let options = SubscriptionOptions::new().capacity(1).filter(|it| it.source() != "no");
    let one = bus.subscribe(Pattern::from_static("a.*"), options.overrun(Overrun::Block)).unwrap();
    assert_eq!(bus.publish(event("a.b").with_source("no").into()).unwrap().enqueued, 0);
    assert_eq!(bus.publish(event("a.b").into()).unwrap().enqueued, 1);
    let wait = Wait::forever().timeout(Duration::from_millis(1));
    let error = bus.publish_wait(event("a.b").into(), wait).unwrap_err();
    assert!(matches!(error, PublishError::TimedOut(_)));
    bus.close();
    assert!(bus.is_closed() && one.is_closed());
}

#[test]
fn everything_can_be_sent_shared_and_shown() {
    let _watch = watchdog();
    fn check<T: Send + Sync + core::fmt::Debug>() {}
    check::<SubjectBus>();
    check::<Subscription>();
    check::<SubscriptionOptions>();
    check::<Envelope>();
    check::<Cancel>();
    check::<PublishError>();
    let text = format!("{:?}", SubjectBus::new().subscribe("a").unwrap().open());
    assert!(text.contains("patterns: [\"a\"]"), "{text}");
}

#[test]
fn an_error_says_the_subject() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    bus.close();
    let error = bus.publish(event("a.b")).unwrap_err();
    assert_eq!(error.to_string(), "`a.b`: the bus is closed");
}
