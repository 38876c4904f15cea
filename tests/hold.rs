//! Hold: nothing comes out before the start, and everything in order after it.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::catch_unwind;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::bus::Capacity;
use tickbus::hold::Held;
use tickbus::{Bus, DropNewest, DropOldest, Feed, Full, GatedTopic, Hold, Lane, Publish, Topic};

type Before<'a, const N: usize> = Hold<&'a Bus<u32, 64>, N>;

fn held<const N: usize>(bus: &Bus<u32, 64>, events: u32) -> Before<'_, N>
where
    (): Capacity<N>,
{
    let hold = Hold::before(bus);
    for event in 0..events {
        assert_eq!(hold.publish(event), Ok(Held::Yes));
    }
    hold
}

fn taken(bus: &Bus<u32, 64>) -> Vec<u32> {
    bus.consumer().unwrap().drain().collect()
}

#[track_caller]
fn conserved<T: Publish + Copy, const N: usize>(hold: &Hold<T, N>) {
    let stats = hold.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
    assert_eq!((stats.dropped_oldest, stats.refused), (0, 0), "{stats:?}");
}

// ---- The contract ------------------------------------------------------------------------------

#[test]
fn hold_keeps_what_is_published_before_the_start() {
    let bus = Bus::new();
    let hold = held::<8>(&bus, 5);
    assert_eq!((hold.pending(), hold.is_started(), bus.pending()), (5, false, 0));
    hold.start();
    assert_eq!((hold.pending(), hold.is_started(), taken(&bus)), (0, true, vec![0, 1, 2, 3, 4]));
    conserved(&hold);
}

#[test]
fn hold_keeps_what_is_published_while_paused() {
    let bus = Bus::new();
    let hold = held::<8>(&bus, 0);
    hold.start();
    assert_eq!(hold.publish(1), Ok(Held::No));
    hold.pause();
    assert_eq!(hold.publish(2), Ok(Held::Yes));
    assert_eq!(taken(&bus), [1]);
    hold.start();
    assert_eq!(hold.publish(3), Ok(Held::No));
    assert_eq!(taken(&bus), [2, 3]);
    conserved(&hold);
}

#[test]
fn hold_that_is_full_drops_the_newest_counts_it_and_returns_it() {
    let bus = Bus::new();
    let hold = held::<4>(&bus, 4);
    for lost in 1..=3 {
        assert_eq!(hold.publish(100 + lost), Err(Full(100 + lost)));
        assert_eq!(hold.stats().dropped_newest, lost as usize);
    }
    hold.start();
    assert_eq!(taken(&bus), [0, 1, 2, 3], "the oldest are kept");
    conserved(&hold);
}

#[test]
fn hold_with_a_limit_keeps_so_many() {
    for limit in [1, 3, 5] {
        let bus = Bus::new();
        let hold: Before<'_, 8> = Hold::before(&bus).limit(limit);
        assert_eq!(hold.capacity(), limit);
        for round in 1..=3 {
            let kept = (0..8).filter(|event| hold.publish(*event).is_ok()).count();
            assert_eq!((kept, hold.stats().dropped()), (limit, round * (8 - limit)));
            hold.start();
            assert_eq!(taken(&bus).len(), limit);
            hold.pause();
        }
        conserved(&hold);
    }
    assert_eq!(Before::<'_, 8>::before(&Bus::new()).limit(9).capacity(), 8);
    let small: Bus<u8, 2> = Bus::new();
    let by_default: Hold<&Bus<u8, 2>> = Hold::before(&small);
    assert_eq!(by_default.capacity(), 1024);
}

#[test]
fn start_replays_to_the_subscribers_of_this_moment() {
    let topic: Topic<u32, 8> = Topic::new();
    let hold: Hold<_, 4> = Hold::before(&topic);
    hold.publish(1).unwrap();
    let mut early = topic.subscribe();
    hold.start();
    let mut late = topic.subscribe();
    assert_eq!(hold.publish(2), Ok(Held::No));
    assert!(early.read().flatten().eq([1, 2]));
    assert!(late.read().flatten().eq([2]));
}

#[test]
fn hold_stands_before_anything() {
    fn replayed<T: Publish<Event = u32> + Copy>(to: T) {
        let hold: Hold<T, 4> = Hold::before(to);
        assert_eq!(hold.publish(1), Ok(Held::Yes));
        hold.start();
        assert_eq!(hold.publish(2), Ok(Held::No));
    }
    let (bus, lane, feed) = (Bus::<u32, 4>::new(), Lane::<u32, 4>::new(), Feed::<u32, 4>::new());
    let gated: GatedTopic<u32, 4, 1> = GatedTopic::new();
    replayed(&bus);
    replayed(&lane);
    replayed(&feed);
    replayed(&gated);
    assert!(bus.consumer().unwrap().drain().eq([1, 2]));
    assert!(lane.consumer().unwrap().drain().eq([1, 2]));
    assert_eq!((feed.stats().published, gated.stats().published), (2, 2));
    // Before another hold, too.
    let outer: Hold<_, 2> = Hold::before(&bus);
    replayed(&outer);
    outer.start();
    assert!(bus.consumer().unwrap().drain().eq([1, 2]));
}

#[test]
fn start_and_pause_again_have_no_effect_and_keep_the_buffer() {
    let bus = Bus::new();
    let hold = held::<8>(&bus, 3);
    hold.pause();
    assert_eq!((hold.pending(), bus.pending()), (3, 0));
    hold.start();
    hold.start();
    assert_eq!(taken(&bus), [0, 1, 2]);
    assert_eq!(taken(&bus), [0; 0], "replayed once");
    hold.pause();
    hold.pause();
    hold.publish(9).unwrap();
    assert_eq!((hold.pending(), bus.pending()), (1, 0));
    hold.start();
    assert_eq!(taken(&bus), [9]);
}

#[test]
fn a_full_target_meets_the_replay_with_its_own_policy() {
    let reject = Bus::<u32, 2>::new();
    let oldest = Bus::<u32, 2, DropOldest>::new();
    let newest = Bus::<u32, 2, DropNewest>::new();
    fn replay<T: Publish<Event = u32> + Copy>(to: T) {
        let hold: Hold<T, 8> = Hold::before(to);
        (0..5).for_each(|event| assert_eq!(hold.publish(event), Ok(Held::Yes)));
        hold.start();
        assert_eq!((hold.stats().handled, hold.stats().dropped()), (5, 0));
    }
    replay(&reject);
    replay(&oldest);
    replay(&newest);
    assert!(reject.consumer().unwrap().drain().eq([0, 1]));
    assert!(oldest.consumer().unwrap().drain().eq([3, 4]));
    assert!(newest.consumer().unwrap().drain().eq([0, 1]));
    assert_eq!(
        (reject.stats().refused, oldest.stats().dropped_oldest, newest.stats().dropped_newest),
        (3, 3, 3)
    );
}

#[test]
fn a_full_target_returns_what_is_live() {
    let bus = Bus::<u32, 2>::new();
    let hold: Hold<_, 2> = Hold::before(&bus);
    hold.start();
    let told = [1, 2, 3].map(|event| hold.publish(event));
    assert_eq!(told, [Ok(Held::No), Ok(Held::No), Err(Full(3))]);
    assert_eq!((bus.stats().refused, hold.stats().published), (1, 0));
}

// ---- Edges -------------------------------------------------------------------------------------

/// A waker, or a destructor of what is displaced, may panic while the replay publishes.
#[test]
fn a_panic_in_a_replay_costs_no_other_event() {
    struct Bomb(u32, bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.1 || thread::panicking(), "a destructor that panics");
        }
    }
    let bus = Bus::<Bomb, 2, DropOldest>::new();
    let hold: Hold<_, 8> = Hold::before(&bus);
    for event in 0..5 {
        assert!(hold.publish(Bomb(event, event == 0)).is_ok());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| hold.start())).is_err());
    assert!(hold.is_started());
    // The replay goes on with the next publish.
    assert!(matches!(hold.publish(Bomb(5, false)), Ok(Held::Yes)));
    assert!(bus.consumer().unwrap().drain().map(|bomb| bomb.0).eq([4, 5]));
    assert!(matches!(hold.publish(Bomb(6, false)), Ok(Held::No)));
    assert_eq!((hold.pending(), bus.stats().dropped_oldest), (0, 4));
    conserved(&hold);
}

#[test]
fn hold_shows_its_state() {
    let bus = Bus::new();
    let hold = held::<4>(&bus, 2);
    hold.start();
    assert_eq!(
        format!("{hold:?}").split(", stats").next(),
        Some("Hold { capacity: 4, started: true")
    );
}

#[test]
fn publishers_on_threads_keep_their_order_across_start_and_pause() {
    const EACH: u32 = if cfg!(miri) { 50 } else { 20_000 };
    static BUS: Bus<(u32, u32), 64> = Bus::new();
    static HOLD: Hold<&Bus<(u32, u32), 64>, 64> = Hold::before(&BUS);
    static LOST: AtomicBool = AtomicBool::new(false);
    let mut events = BUS.consumer().unwrap();
    let mut next = [0; 2];
    thread::scope(|scope| {
        for publisher in 0..2 {
            scope.spawn(move || {
                for number in 0..EACH {
                    // The replay must find room: what it cannot publish is the target's loss.
                    while HOLD.pending() + BUS.pending() > 8 {
                        thread::yield_now();
                    }
                    if HOLD.publish((publisher, number)).is_err() {
                        LOST.store(true, Ordering::Relaxed);
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
        while next != [EACH; 2] && !LOST.load(Ordering::Relaxed) {
            for (publisher, number) in events.drain() {
                assert_eq!(next[publisher as usize], number, "of publisher {publisher}");
                next[publisher as usize] += 1;
            }
            thread::yield_now();
        }
    });
    conserved(&HOLD);
    assert_eq!((next, HOLD.pending(), BUS.stats().refused), ([EACH; 2], 0, 0));
}

// ---- Any sequence, against two queues and a switch -----------------------------------------------

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
    fn hold_is_a_queue_with_a_switch(steps in vec(step(), 1..80), limit in 1..5_usize) {
        let token = Rc::new(());
        let bus: Bus<(usize, Rc<()>), 8> = Bus::new();
        let hold: Hold<_, 4> = Hold::before(&bus).limit(limit);
        let (mut queue, mut behind, mut started) = (VecDeque::new(), VecDeque::new(), false);
        let (mut dropped, mut refused) = (0, 0);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish => {
                    let told = hold.publish((number, Rc::clone(&token))).map_err(|Full(event)| event.0);
                    let (room, queue) = match started {
                        true => (8, &mut behind),
                        false => (limit, &mut queue),
                    };
                    if queue.len() == room {
                        assert_eq!(told, Err(number));
                        if started { refused += 1 } else { dropped += 1 }
                    } else {
                        queue.push_back(number);
                        assert_eq!(told, Ok(if started { Held::No } else { Held::Yes }));
                    }
                }
                Step::Start => {
                    hold.start();
                    started = true;
                    for event in queue.drain(..) {
                        if behind.len() == 8 { refused += 1 } else { behind.push_back(event) }
                    }
                }
                Step::Pause => {
                    hold.pause();
                    started = false;
                }
                Step::Drain(most) => {
                    let mut events = bus.consumer().unwrap();
                    let taken: Vec<usize> = events.drain().take(most).map(|event| event.0).collect();
                    let most = most.min(behind.len());
                    assert_eq!(taken, behind.drain(..most).collect::<Vec<_>>());
                }
            }
            assert_eq!((hold.is_started(), hold.pending(), hold.is_empty()), (started, queue.len(), queue.is_empty()));
            assert_eq!((hold.stats().dropped(), bus.stats().refused), (dropped, refused));
            assert_eq!(Rc::strong_count(&token) - 1, queue.len() + behind.len());
            conserved(&hold);
        }
    }
}
