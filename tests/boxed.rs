//! Types that are larger than a stack, on the heap.
#![cfg(all(feature = "alloc", not(tickbus_loom)))]

extern crate alloc;

use alloc::rc::Rc;
use core::fmt::Debug;
use std::thread;

use tickbus::bus::Policy;
use tickbus::{
    Bus, DropNewest, DropOldest, Feed, GatedTopic, Hold, Lane, Latest, Reject, Timers, Topic,
    Waiters,
};

type Event = [u8; 64];

/// As many events take 256 KiB. Miri is slow, and has no small stack.
const N: usize = if cfg!(miri) { 16 } else { 4096 };

const EVENT: Event = [7; 64];

/// Runs `test` on a stack that the type under test does not fit on.
fn on_a_small_stack(test: fn()) {
    thread::Builder::new().stack_size(64 * 1024).spawn(test).unwrap().join().unwrap();
}

/// A type says the same of itself, whether it was boxed or not.
#[track_caller]
fn same(boxed: &impl Debug, new: &impl Debug) {
    assert_eq!(format!("{boxed:?}"), format!("{new:?}"));
}

fn a_bus<P: Policy>() {
    let bus = Bus::<Event, N, P>::boxed();
    for _ in 0..N {
        bus.publish(EVENT).unwrap();
    }
    assert_eq!(bus.stats().pending, N);
    let mut events = bus.consumer().unwrap();
    assert_eq!(events.drain().filter(|event| *event == EVENT).count(), N);
    bus.publish([8; 64]).unwrap();
    assert_eq!(events.drain().next(), Some([8; 64]));
}

#[test]
fn a_boxed_bus_has_all_its_slots() {
    on_a_small_stack(a_bus::<Reject>);
    on_a_small_stack(a_bus::<DropOldest>);
    on_a_small_stack(a_bus::<DropNewest>);
}

#[test]
fn a_boxed_lane_has_all_its_slots() {
    on_a_small_stack(|| {
        let lane = Lane::<Event, N>::boxed();
        let mut publisher = lane.publisher().unwrap();
        for _ in 0..N {
            publisher.publish(EVENT).unwrap();
        }
        assert!(publisher.publish(EVENT).is_err());
        assert_eq!(lane.consumer().unwrap().drain().filter(|event| *event == EVENT).count(), N);
    });
}

#[test]
fn boxed_topics_keep_all_their_events() {
    on_a_small_stack(|| {
        let (topic, feed) = (Topic::<Event, N>::boxed(), Feed::<Event, N>::boxed());
        let gated = GatedTopic::<Event, N, 2>::boxed();
        let (mut of_topic, mut of_feed) = (topic.subscribe(), feed.subscribe());
        let mut of_gated = gated.subscribe().unwrap();
        for _ in 0..N {
            topic.publish(EVENT);
            feed.publish(EVENT).unwrap();
            gated.publish(EVENT).unwrap();
        }
        assert!(gated.publish(EVENT).is_err());
        assert_eq!(of_topic.read().filter(|event| *event == Ok(EVENT)).count(), N);
        assert_eq!(of_feed.read().filter(|event| *event == Ok(EVENT)).count(), N);
        assert_eq!(of_gated.read().filter(|event| *event == Ok(EVENT)).count(), N);
    });
}

#[test]
fn a_boxed_latest_has_no_value_yet() {
    on_a_small_stack(|| {
        let latest = Latest::<[u64; 1024]>::boxed();
        assert!(!latest.watch().is_changed());
    });
}

#[test]
fn a_boxed_hold_keeps_and_replays() {
    on_a_small_stack(|| {
        let bus = Bus::<Event, N>::boxed();
        let hold = Hold::<_, N>::boxed(&*bus);
        for _ in 0..N {
            hold.publish(EVENT).unwrap();
        }
        assert!(hold.publish(EVENT).is_err());
        assert_eq!((bus.pending(), hold.pending()), (0, N));
        hold.start();
        assert_eq!((bus.pending(), hold.pending()), (N, 0));
    });
}

#[test]
fn boxed_timers_start_when_they_are_told() {
    on_a_small_stack(|| {
        let mut timers = Timers::<Event, N>::boxed(1000);
        for number in 0..N as u32 {
            timers.at(1001 + number % 10, EVENT).unwrap();
        }
        assert!(timers.at(1001, EVENT).is_err());
        let mut fired = 0;
        for now in 1001..1011 {
            fired += timers
                .tick(now, |event| {
                    assert_eq!(event, EVENT);
                    Ok(())
                })
                .fired;
        }
        assert_eq!(fired, N);
    });
}

/// Small ones, so that there is room for both.
#[test]
fn what_is_boxed_is_new() {
    same(&Bus::<u64, 4>::boxed(), &Bus::<u64, 4>::new());
    same(&Bus::<u64, 4, DropOldest>::boxed(), &Bus::<u64, 4, DropOldest>::new());
    same(&Bus::<u64, 4, Reject, Waiters<2>>::boxed(), &Bus::<u64, 4, Reject, Waiters<2>>::new());
    same(&Lane::<u64, 4>::boxed(), &Lane::<u64, 4>::new());
    same(&Topic::<u64, 4>::boxed(), &Topic::<u64, 4>::new());
    same(&Feed::<u64, 4>::boxed(), &Feed::<u64, 4>::new());
    same(&GatedTopic::<u64, 4, 2>::boxed(), &GatedTopic::<u64, 4, 2>::new());
    same(&Latest::<u64>::boxed(), &Latest::<u64>::new());
    same(&Timers::<u64, 4>::boxed(7), &Timers::<u64, 4>::starting_at(7));
    let bus = Bus::<u64, 4>::new();
    same(&Hold::<_, 4>::boxed(&bus), &Hold::<_, 4>::before(&bus));
}

/// What is on a boxed bus is dropped with it, once.
#[test]
fn a_boxed_bus_drops_its_events() {
    let event = Rc::new(());
    let bus = Bus::<_, 4>::boxed();
    bus.publish(event.clone()).unwrap();
    assert_eq!(Rc::strong_count(&event), 2);
    drop(bus);
    assert_eq!(Rc::strong_count(&event), 1);
}
