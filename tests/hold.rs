//! Hold: nothing comes out before the start, and everything in order after it.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::hold::Delivery;
use tickbus::{Bus, DropNewest, DropOldest, Full, Hold};

fn held<const N: usize>(events: u32) -> Hold<u32, N> {
    let hold = Hold::new();
    for event in 0..events {
        assert_eq!(hold.publish(event), Ok(Delivery::Held));
    }
    hold
}

#[track_caller]
fn conserved<E, const N: usize>(hold: &Hold<E, N>) {
    let stats = hold.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
    assert!(hold.dropped_held() <= stats.dropped_newest, "{stats:?}");
    assert_eq!((stats.dropped_oldest, stats.refused), (0, 0), "{stats:?}");
}

// ---- The contract ------------------------------------------------------------------------------

#[test]
fn what_is_published_before_the_start_is_kept_in_order_and_called_held() {
    let hold = held::<8>(5);
    let mut events = hold.consumer().unwrap();
    assert_eq!(events.drain().next(), None);
    assert!(events.live().is_none());
    assert_eq!((hold.pending(), events.pending(), hold.is_started()), (5, 5, false));
    hold.start();
    assert!(events.drain().eq(0..5));
    conserved(&hold);
}

#[test]
fn what_is_published_while_paused_is_kept_in_order_and_called_held() {
    let hold = held::<8>(0);
    let mut events = hold.consumer().unwrap();
    hold.start();
    assert_eq!(hold.publish(1), Ok(Delivery::Live));
    hold.pause();
    assert_eq!(hold.publish(2), Ok(Delivery::Held));
    assert_eq!(events.drain().count(), 0, "what was live and not drained stays as well");
    hold.start();
    assert!(events.drain().eq([1, 2]));
    assert_eq!(hold.publish(3), Ok(Delivery::Live));
    conserved(&hold);
}

#[test]
fn a_full_buffer_drops_the_newest_counts_it_under_its_own_reason_and_tells_the_caller() {
    let hold = held::<4>(4);
    for lost in 1..=3 {
        assert_eq!(hold.publish(100 + lost), Err(Full(100 + lost)));
        assert_eq!(hold.dropped_held(), lost as usize);
    }
    let mut events = hold.consumer().unwrap();
    hold.start();
    assert!(events.drain().eq(0..4), "the oldest are kept");

    // Who is too slow while it is live has another reason.
    (0..4).for_each(|event| assert_eq!(hold.publish(event), Ok(Delivery::Live)));
    assert_eq!(hold.publish(4), Err(Full(4)));
    assert_eq!((hold.dropped_held(), hold.stats().dropped_newest), (3, 4));
    conserved(&hold);
}

#[test]
fn start_replays_everything_to_the_receivers_of_this_moment_then_live() {
    let hold = held::<8>(3);
    let mut events = hold.consumer().unwrap();
    let (early, late) = (Bus::<u32, 8>::new(), Bus::<u32, 8>::new());
    hold.start();
    events.drain().for_each(|event| early.publish(event).unwrap());
    hold.publish(3).unwrap();
    for event in events.drain() {
        early.publish(event).unwrap();
        late.publish(event).unwrap();
    }
    assert!(early.consumer().unwrap().drain().eq(0..4));
    assert!(late.consumer().unwrap().drain().eq([3]));
}

#[test]
fn nothing_overtakes_the_replay() {
    let hold = held::<16>(4);
    let mut events = hold.consumer().unwrap();
    hold.start();
    let mut seen = vec![];
    for event in events.drain() {
        seen.push(event);
        hold.publish(event + 10).unwrap(); // as a handler, or an interrupt in between
    }
    assert_eq!(seen, [0, 1, 2, 3]);
    assert!(events.drain().eq(10..14));
}

#[test]
fn start_and_pause_again_have_no_effect_and_keep_the_buffer() {
    let hold = held::<8>(3);
    let mut events = hold.consumer().unwrap();
    hold.pause();
    assert_eq!((hold.pending(), events.drain().count()), (3, 0));
    hold.start();
    hold.start();
    assert!(events.drain().eq(0..3));
    assert_eq!(events.drain().count(), 0, "replayed once");
    hold.publish(9).unwrap();
    hold.pause();
    hold.pause();
    assert_eq!((hold.pending(), events.drain().count()), (1, 0));
    hold.start();
    assert!(events.drain().eq([9]));
}

#[test]
fn a_full_receiver_meets_the_replay_with_its_own_policy() {
    let hold = held::<8>(5);
    let mut events = hold.consumer().unwrap();
    let reject = Bus::<u32, 2>::new();
    let oldest = Bus::<u32, 2, DropOldest>::new();
    let newest = Bus::<u32, 2, DropNewest>::new();
    hold.start();
    for event in events.drain() {
        let _ = (reject.publish(event), oldest.publish(event), newest.publish(event));
    }
    assert!(reject.consumer().unwrap().drain().eq([0, 1]));
    assert!(oldest.consumer().unwrap().drain().eq([3, 4]));
    assert!(newest.consumer().unwrap().drain().eq([0, 1]));
    assert_eq!(
        (reject.stats().refused, oldest.stats().dropped_oldest, newest.stats().dropped_newest),
        (3, 3, 3)
    );
    assert_eq!((hold.stats().handled, hold.stats().dropped()), (5, 0));
}

// ---- Edges -------------------------------------------------------------------------------------

#[test]
fn a_replay_that_stops_halfway_leaves_the_rest_in_order() {
    let hold = held::<8>(4);
    let mut events = hold.consumer().unwrap();
    hold.start();
    assert!(events.drain().take(2).eq([0, 1]));
    hold.pause();
    assert_eq!(events.drain().count(), 0);
    hold.publish(4).unwrap();
    hold.start();
    assert!(events.drain().eq([2, 3, 4]));
}

#[test]
fn a_pause_does_not_end_a_drain_that_has_begun() {
    let hold = held::<8>(3);
    let mut events = hold.consumer().unwrap();
    hold.start();
    let mut seen = vec![];
    for event in events.drain() {
        hold.pause();
        hold.publish(7).unwrap();
        seen.push(event);
    }
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!((events.drain().count(), hold.pending()), (0, 3));
}

#[test]
fn a_drain_of_a_hold_may_be_bounded_like_any_other() {
    let hold = held::<4>(4);
    let mut events = hold.consumer().unwrap();
    assert_eq!(events.drain().until(|| false).next(), None, "held");
    hold.start();
    assert!(events.drain().at_most(1).eq([0]));
    let mut asked = 0;
    let late = || {
        asked += 1;
        asked > 2
    };
    assert!(events.drain().until(late).eq([1, 2]));
    assert!(events.drain().eq([3]));
}

/// A claim that is turned away, a pause and a start leave the reader and what is held as they were.
#[test]
fn a_refused_claim_disturbs_nothing() {
    let hold = held::<4>(2);
    let mut events = hold.consumer().unwrap();
    for _ in 0..3 {
        assert!(hold.consumer().is_err());
        hold.start();
        hold.pause();
        assert_eq!((events.drain().count(), events.pending(), hold.pending()), (0, 2, 2));
    }
    hold.start();
    let mut drain = events.drain();
    assert_eq!(drain.next(), Some(0));
    assert!(hold.consumer().is_err());
    hold.pause();
    assert_eq!(drain.next(), Some(1));
    conserved(&hold);
}

/// The code that handles what is replayed is code of the user.
#[test]
fn a_panic_in_a_replay_consumes_that_event_and_leaves_the_rest_in_order() {
    let hold = held::<8>(4);
    let mut events = hold.consumer().unwrap();
    hold.start();
    let replay = AssertUnwindSafe(|| events.drain().for_each(|event| assert_ne!(event, 1)));
    assert!(catch_unwind(replay).is_err());
    assert_eq!((hold.pending(), hold.stats().handled), (2, 2));
    hold.publish(4).unwrap();
    assert!(events.drain().eq([2, 3, 4]));
    conserved(&hold);
}

#[test]
fn the_state_outlives_the_reader() {
    let hold = held::<4>(2);
    let events = hold.consumer().unwrap();
    assert!(hold.consumer().is_err());
    hold.start();
    drop(events);
    assert!(hold.consumer().unwrap().drain().eq([0, 1]));
    assert_eq!(
        format!("{hold:?}").split(", stats").next(),
        Some("Hold { capacity: 4, started: true")
    );
}

#[test]
fn publishers_on_threads_keep_their_order_across_start_and_pause() {
    const EACH: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static HOLD: Hold<(u32, u32), 64> = Hold::new();
    let mut events = HOLD.consumer().unwrap();
    let mut next = [0; 2];
    thread::scope(|scope| {
        for publisher in 0..2 {
            scope.spawn(move || {
                for number in 0..EACH {
                    while HOLD.publish((publisher, number)).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..100 {
                HOLD.start();
                thread::yield_now();
                HOLD.pause();
            }
            HOLD.start();
        });
        while next != [EACH; 2] {
            for (publisher, number) in events.drain() {
                assert_eq!(next[publisher as usize], number, "of publisher {publisher}");
                next[publisher as usize] += 1;
            }
            thread::yield_now();
        }
    });
    conserved(&HOLD);
    assert_eq!(HOLD.stats().handled, 2 * EACH as usize);
}

// ---- Any sequence, against a queue and a switch -------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Publish,
    Start,
    Pause,
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Publish),
        1 => Just(Step::Start),
        1 => Just(Step::Pause),
        3 => (0..6_usize).prop_map(Step::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hold_is_a_queue_with_a_switch(steps in vec(step(), 1..80)) {
        let token = Rc::new(());
        let hold: Hold<(usize, Rc<()>), 4> = Hold::new();
        let mut events = hold.consumer().unwrap();
        let (mut queue, mut started, mut lost) = (VecDeque::new(), false, (0, 0));
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish => {
                    let told = hold.publish((number, Rc::clone(&token))).map_err(|Full(event)| event.0);
                    if queue.len() == 4 {
                        assert_eq!(told, Err(number));
                        if started { lost.1 += 1 } else { lost.0 += 1 }
                    } else {
                        queue.push_back(number);
                        assert_eq!(told, Ok(if started { Delivery::Live } else { Delivery::Held }));
                    }
                }
                Step::Start => {
                    hold.start();
                    started = true;
                }
                Step::Pause => {
                    hold.pause();
                    started = false;
                }
                Step::Drain(most) => {
                    let taken: Vec<usize> = events.drain().take(most).map(|event| event.0).collect();
                    let most = if started { most.min(queue.len()) } else { 0 };
                    assert_eq!(taken, queue.drain(..most).collect::<Vec<_>>());
                }
            }
            assert_eq!((hold.is_started(), hold.pending(), hold.is_empty()), (started, queue.len(), queue.is_empty()));
            assert_eq!((hold.dropped_held(), hold.stats().dropped()), (lost.0, lost.0 + lost.1));
            assert_eq!(Rc::strong_count(&token) - 1, queue.len());
            conserved(&hold);
        }
    }
}
