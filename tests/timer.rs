//! Timers: in order, at their time, none lost, wherever the counter stands.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::timer::{Fired, MissedTickBehavior, ScheduleError, TimerId};
use tickbus::{Bus, DropOldest, Full, Timers};

// ---- Helpers -----------------------------------------------------------------------------------

/// The farthest that a deadline may lie ahead.
const FARTHEST: u32 = i32::MAX as u32;

/// Counters of interest: at the start, before the sign turns, before the wrap, after it.
const STARTS: [u32; 7] = [0, 1, 31, FARTHEST - 40, FARTHEST, u32::MAX - 1050, u32::MAX];

/// What fires at the tick.
fn fired<E, const N: usize>(timers: &mut Timers<E, N>, now: u32) -> Vec<E> {
    let mut events = vec![];
    let report = timers.tick(now, |event| {
        events.push(event);
        Ok(())
    });
    assert_eq!((report.fired, report.left), (events.len(), 0));
    events
}

/// The same with room for so many events.
fn fired_within<E, const N: usize>(
    timers: &mut Timers<E, N>,
    now: u32,
    room: usize,
) -> (Vec<E>, Fired) {
    let mut events = vec![];
    let report = timers.tick(now, |event| {
        if events.len() == room {
            return Err(Full(event));
        }
        events.push(event);
        Ok(())
    });
    (events, report)
}

fn panics<R>(action: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(action)).is_err()
}

// ---- Order and time ----------------------------------------------------------------------------

#[test]
fn timers_fire_in_order_of_deadline_then_of_scheduling() {
    for start in STARTS {
        let mut timers: Timers<u32, 8> = Timers::starting_at(start);
        timers.after(2, 0).unwrap();
        timers.after(40, 1).unwrap();
        timers.after(1, 2).unwrap();
        timers.at(start.wrapping_add(40), 3).unwrap();
        timers.every(20, 4).unwrap();
        timers.at(start.wrapping_add(2), 5).unwrap();

        let at = |ticks: u32| start.wrapping_add(ticks);
        assert_eq!(fired(&mut timers, at(2)), [2, 0, 5], "start {start}");
        // Scheduled closer by, and all the same after those for the same tick that came from afar.
        timers.after(38, 6).unwrap();
        assert_eq!(fired(&mut timers, at(39)), [4]);
        assert_eq!(fired(&mut timers, at(40)), [1, 3, 6, 4], "the copy was scheduled at tick 20");
        assert_eq!(timers.len(), 1);
    }
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before() {
    for start in STARTS {
        for delay in [1, 2, 31, 32, 33, 1023, 1024, 1025, 1 << 20, FARTHEST - 1, FARTHEST] {
            let mut timers: Timers<u32, 2> = Timers::starting_at(start);
            timers.after(delay, delay).unwrap();
            let before = start.wrapping_add(delay - 1);
            assert_eq!(fired(&mut timers, before), [0; 0], "{start} + {delay}");
            assert_eq!(fired(&mut timers, before.wrapping_add(1)), [delay], "{start} + {delay}");
        }
    }
}

#[test]
fn past_deadlines_fire_in_the_next_tick() {
    for start in STARTS {
        let mut timers: Timers<u32, 8> = Timers::starting_at(start);
        timers.at(start, 0).unwrap();
        timers.at(start.wrapping_sub(5), 1).unwrap();
        timers.after(0, 2).unwrap();
        timers.at(start.wrapping_add(FARTHEST).wrapping_add(1), 3).unwrap();
        timers.at(start.wrapping_sub(1), 4).unwrap();
        // The counter need not have moved.
        assert_eq!(fired(&mut timers, start), [0, 1, 2, 3, 4], "start {start}");
        // Nor does it matter that the tick has been.
        timers.at(start, 5).unwrap();
        timers.after(1, 6).unwrap();
        assert_eq!(fired(&mut timers, start.wrapping_add(1)), [5, 6]);
    }
}

#[test]
fn the_order_survives_the_wrap_of_the_counter() {
    let mut timers: Timers<u32, 64> = Timers::starting_at(u32::MAX - 31);
    for delay in (0..64).rev() {
        timers.after(delay, delay).unwrap();
    }
    let mut seen = vec![];
    for tick in 0..64 {
        let now = (u32::MAX - 31).wrapping_add(tick);
        assert_eq!(fired(&mut timers, now), [tick], "the counter shows {now}");
        seen.push(now);
    }
    assert_eq!((seen[0], seen[63]), (u32::MAX - 31, 31));
}

#[test]
fn a_timer_outlives_many_laps_of_the_counter() {
    let mut timers: Timers<u8, 2> = Timers::starting_at(7);
    timers.every(FARTHEST, 1).unwrap();
    let mut now = 7_u32;
    for _ in 0..9 {
        assert_eq!(fired(&mut timers, now.wrapping_add(FARTHEST - 1)), [0; 0]);
        now = now.wrapping_add(FARTHEST);
        assert_eq!(fired(&mut timers, now), [1]);
    }
}

#[test]
fn an_earlier_time_counts_as_no_time_passed() {
    for start in STARTS {
        let at = |ticks: u32| start.wrapping_add(ticks);
        for back in [1, 50, FARTHEST, FARTHEST + 1] {
            let mut timers: Timers<u8, 4> = Timers::starting_at(at(100));
            timers.after(10, 1).unwrap();
            timers.every(FARTHEST, 2).unwrap();
            assert_eq!(fired(&mut timers, at(100).wrapping_sub(back)), [0; 0]);
            assert_eq!(fired(&mut timers, at(109)), [0; 0]);
            assert_eq!(fired(&mut timers, at(109).wrapping_sub(back)), [0; 0]);
            // From the latest time that was told.
            timers.after(1, 3).unwrap();
            timers.at(at(105), 4).unwrap();
            assert_eq!(fired(&mut timers, at(109).wrapping_sub(back)), [4], "it has passed");
            assert_eq!(fired(&mut timers, at(110)), [1, 3], "start {start}, back {back}");
        }
    }
}

#[test]
fn an_earlier_time_counts_as_no_time_passed_while_paused() {
    let mut timers: Timers<u8, 2> = Timers::starting_at(100);
    timers.after(10, 1).unwrap();
    timers.pause();
    assert_eq!(fired(&mut timers, 500), [0; 0]);
    assert_eq!(fired(&mut timers, 400), [0; 0]);
    timers.at(505, 2).unwrap();
    // Unless `resume` says that the counter is another.
    timers.resume(30);
    assert_eq!(fired(&mut timers, 34), [0; 0]);
    assert_eq!(fired(&mut timers, 35), [2]);
    assert_eq!(fired(&mut timers, 40), [1]);
}

// ---- Every -------------------------------------------------------------------------------------

#[test]
fn a_period_does_not_drift_and_a_late_tick_misses_none() {
    let mut timers: Timers<char, 4> = Timers::new();
    timers.every(10, 'a').unwrap();
    timers.every(4, 'b').unwrap();
    assert_eq!(fired(&mut timers, 3), [' '; 0]);
    // b at 4 and 8, a at 10, b at 12, ...: each at its place.
    assert!(fired(&mut timers, 21).into_iter().eq("bbabbab".chars()));
    assert_eq!(fired(&mut timers, 23), [' '; 0]);
    assert_eq!(fired(&mut timers, 24), ['b']);
}

#[test]
fn a_period_of_zero_counts_as_one() {
    let mut timers: Timers<u8, 2> = Timers::new();
    timers.every(0, 1).unwrap();
    assert_eq!(fired(&mut timers, 0), [0; 0]);
    assert_eq!(fired(&mut timers, 3), [1, 1, 1]);
}

/// When a timer fires that has a period of 10, in tokio's words: at `late`, then at every tick.
fn fires_at(start: u32, behavior: MissedTickBehavior, late: u32) -> (Vec<u32>, usize) {
    let mut timers: Timers<(), 2> = Timers::starting_at(start);
    let id = timers.every(10, ()).unwrap();
    assert_eq!(timers.missed_tick_behavior(id), Some(MissedTickBehavior::Burst), "the default");
    assert!(timers.set_missed_tick_behavior(id, behavior));
    assert_eq!(timers.missed_tick_behavior(id), Some(behavior));
    let (mut times, mut skipped) = (vec![], 0);
    for now in late..=60 {
        let report = timers.tick(start.wrapping_add(now), |()| {
            times.push(now);
            Ok(())
        });
        skipped += report.skipped;
    }
    (times, skipped)
}

/// The table is that of `tokio::time::interval_at(start + 10, 10)`, whose first tick is asked for at `late`.
#[test]
fn a_missed_tick_bursts_or_delays_or_is_skipped_as_at_tokio() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    for start in STARTS {
        for behavior in [Burst, Delay, Skip] {
            let expected = (vec![10, 20, 30, 40, 50, 60], 0);
            assert_eq!(fires_at(start, behavior, 10), expected, "{behavior:?}: none is missed");
        }
        assert_eq!(fires_at(start, Burst, 35), (vec![35, 35, 35, 40, 50, 60], 0));
        assert_eq!(fires_at(start, Delay, 35), (vec![35, 45, 55], 2));
        assert_eq!(fires_at(start, Skip, 35), (vec![35, 40, 50, 60], 2));
        // Late by less than a period.
        assert_eq!(fires_at(start, Burst, 11), (vec![11, 20, 30, 40, 50, 60], 0));
        assert_eq!(fires_at(start, Delay, 11), (vec![11, 21, 31, 41, 51], 0));
        assert_eq!(fires_at(start, Skip, 11), (vec![11, 20, 30, 40, 50, 60], 0));
        // Late by so many periods exactly: the one of this moment is passed over.
        assert_eq!(fires_at(start, Burst, 30), (vec![30, 30, 30, 40, 50, 60], 0));
        assert_eq!(fires_at(start, Delay, 30), (vec![30, 40, 50, 60], 2));
        assert_eq!(fires_at(start, Skip, 30), (vec![30, 40, 50, 60], 2));
    }
}

#[test]
fn a_refused_copy_is_late_when_the_sink_takes_it() {
    use MissedTickBehavior::{Delay, Skip};
    for (behavior, next) in [(Delay, 45), (Skip, 40)] {
        let mut timers: Timers<u8, 2> = Timers::new();
        let id = timers.every(10, 1).unwrap();
        timers.set_missed_tick_behavior(id, behavior);
        for now in [10, 20, 30] {
            let (_, report) = fired_within(&mut timers, now, 0);
            assert_eq!((report.fired, report.left, report.skipped), (0, 1, 0));
        }
        let (events, report) = fired_within(&mut timers, 35, 9);
        assert_eq!(
            (events.len(), report.left, report.skipped),
            (1, 0, 2),
            "once, and counted once"
        );
        assert_eq!(fired(&mut timers, next - 1), [0; 0], "{behavior:?}");
        assert_eq!(fired(&mut timers, next), [1], "{behavior:?}");
    }
}

#[test]
fn a_pause_misses_nothing() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    for behavior in [Burst, Delay, Skip] {
        let mut timers: Timers<u8, 2> = Timers::new();
        let id = timers.every(10, 1).unwrap();
        timers.set_missed_tick_behavior(id, behavior);
        assert_eq!(fired(&mut timers, 4), [0; 0]);
        timers.pause();
        assert_eq!(fired(&mut timers, 500), [0; 0]);
        timers.resume(900);
        for due in [906, 916, 926] {
            assert_eq!(fired(&mut timers, due - 1), [0; 0], "{behavior:?}");
            assert_eq!(fired(&mut timers, due), [1], "{behavior:?}");
        }
    }
}

#[test]
fn a_stall_of_any_length_fires_once_where_missed_ticks_are_delayed_or_skipped() {
    use MissedTickBehavior::{Delay, Skip};
    for start in STARTS {
        for stall in [1 << 20, (1 << 30) - 1, 1 << 30, FARTHEST - 1, FARTHEST] {
            let skip = stall - stall % 10 + 10;
            for (behavior, next) in [(Delay, stall + 10), (Skip, skip)] {
                let mut timers: Timers<u8, 64> = Timers::starting_at(start);
                let id = timers.every(10, 1).unwrap();
                timers.set_missed_tick_behavior(id, behavior);
                let at = |ticks: u32| start.wrapping_add(ticks);
                let (events, report) = fired_within(&mut timers, at(stall), 9);
                let skipped = (stall - 10) / 10;
                assert_eq!((events.len(), report.skipped), (1, skipped as usize), "{behavior:?}");
                assert_eq!(fired(&mut timers, at(next - 1)), [0; 0], "{behavior:?}, {stall}");
                assert_eq!(fired(&mut timers, at(next)), [1], "{behavior:?}, {stall}");
            }
        }
    }
}

/// A period and a delay of more than 2^30 ticks each: together they are more than a deadline can be ahead.
#[test]
fn the_next_copy_is_at_most_three_quarters_of_a_lap_after_the_one_that_was_late() {
    use MissedTickBehavior::{Delay, Skip};
    for start in STARTS {
        for behavior in [Delay, Skip] {
            let mut timers: Timers<u8, 64> = Timers::starting_at(start);
            let id = timers.every(FARTHEST, 1).unwrap();
            timers.set_missed_tick_behavior(id, behavior);
            let at = |ticks: u32| start.wrapping_add(ticks);
            assert_eq!(fired(&mut timers, at(FARTHEST - 1)), [0; 0]);
            assert_eq!(fired(&mut timers, at(2 * FARTHEST - 1)), [1], "{behavior:?}, late");
            let next = match behavior {
                Skip => 2 * FARTHEST,
                _ => FARTHEST.wrapping_add(3 * (1 << 30) - 1),
            };
            assert_eq!(fired(&mut timers, at(next).wrapping_sub(1)), [0; 0], "{behavior:?}");
            assert_eq!(fired(&mut timers, at(next)), [1], "{behavior:?}");
        }
    }
}

#[test]
fn what_is_missed_is_set_for_periodic_timers_that_are_pending() {
    use MissedTickBehavior::{Burst, Skip};
    assert_eq!(MissedTickBehavior::default(), Burst);
    let mut timers: Timers<u8, 2> = Timers::new();
    let once = timers.after(5, 1).unwrap();
    let every = timers.every(5, 2).unwrap();
    assert!(!timers.set_missed_tick_behavior(once, Skip));
    assert_eq!(timers.missed_tick_behavior(once), None);
    assert!(timers.set_missed_tick_behavior(every, Skip));
    assert_eq!(timers.cancel(every), Some(2));
    assert!(!timers.set_missed_tick_behavior(every, Burst));
    assert_eq!(timers.missed_tick_behavior(every), None);
    // The place is used again, and knows nothing of the one before.
    let again = timers.every(5, 3).unwrap();
    assert_eq!(timers.missed_tick_behavior(again), Some(Burst));
    assert!(!timers.set_missed_tick_behavior(every, Skip), "the id names none");
    assert_eq!(timers.missed_tick_behavior(again), Some(Burst));
}

#[test]
fn every_needs_clone_and_the_rest_does_not() {
    struct Unique(u8);
    let mut timers: Timers<Unique, 2> = Timers::new();
    timers.after(1, Unique(7)).unwrap();
    assert_eq!(fired(&mut timers, 1)[0].0, 7);
}

// ---- Cancel ------------------------------------------------------------------------------------

#[test]
fn a_cancelled_timer_gives_its_event_back_and_never_fires() {
    for place in 0..5 {
        let mut timers: Timers<usize, 5> = Timers::new();
        let ids: Vec<TimerId> = (0..5).map(|event| timers.after(40, event).unwrap()).collect();
        assert!(timers.is_pending(ids[place]));
        assert_eq!(timers.cancel(ids[place]), Some(place));
        assert_eq!(timers.cancel(ids[place]), None);
        assert!(!timers.is_pending(ids[place]));
        assert_eq!(timers.len(), 4);
        let rest: Vec<usize> = (0..5).filter(|event| *event != place).collect();
        assert_eq!(fired(&mut timers, 40), rest);
    }
}

#[test]
fn a_periodic_timer_ends_when_it_is_cancelled() {
    let mut timers: Timers<u8, 2> = Timers::new();
    let id = timers.every(1, 7).unwrap();
    assert_eq!(fired(&mut timers, 2), [7, 7]);
    assert!(timers.is_pending(id));
    assert_eq!(timers.cancel(id), Some(7));
    assert_eq!(fired(&mut timers, 9), [0; 0]);
}

#[test]
fn an_id_names_nothing_once_its_timer_has_fired() {
    let mut timers: Timers<u8, 1> = Timers::new();
    let old = timers.after(1, 1).unwrap();
    assert_eq!(fired(&mut timers, 1), [1]);
    let new = timers.after(1, 2).unwrap();
    assert_ne!(old, new);
    assert_eq!((timers.is_pending(old), timers.cancel(old)), (false, None));
    assert_eq!(timers.cancel(new), Some(2));
}

#[test]
fn the_id_of_a_larger_store_names_nothing() {
    let mut large: Timers<u8, 9> = Timers::new();
    let ids: Vec<TimerId> = (0..9).map(|event| large.after(1, event).unwrap()).collect();
    let mut small: Timers<u8, 2> = Timers::new();
    assert_eq!(small.cancel(ids[8]), None);
    assert!(!small.is_pending(ids[0]), "nothing is scheduled");
}

// ---- Room --------------------------------------------------------------------------------------

fn exactly_n_fit<const N: usize>() {
    let mut timers: Timers<usize, N> = Timers::new();
    assert_eq!((timers.capacity(), timers.len(), timers.is_empty()), (N, 0, true));
    for lap in 0..3 {
        for event in 0..N {
            timers.after(1, event).unwrap();
        }
        assert_eq!(timers.after(1, 777), Err(ScheduleError::Full(777)));
        assert_eq!(timers.at(1, 777), Err(ScheduleError::Full(777)));
        assert_eq!(timers.every(1, 777), Err(ScheduleError::Full(777)));
        assert_eq!(timers.len(), N);
        assert!(fired(&mut timers, lap + 1).into_iter().eq(0..N));
        assert!(timers.is_empty());
    }
}

#[test]
fn exactly_n_timers_fit() {
    exactly_n_fit::<1>();
    exactly_n_fit::<3>();
    exactly_n_fit::<1000>();
}

#[test]
fn a_timer_takes_20_bytes_beside_its_event_and_tag_and_a_store_about_500() {
    const EVENT_AND_TAG: usize = 8;
    let of = size_of::<Timers<u32, 512>>() - size_of::<Timers<u32, 256>>();
    assert_eq!(of, 256 * (20 + EVENT_AND_TAG));
    let itself = size_of::<Timers<u32, 256>>() - of;
    assert!((400..600).contains(&itself), "{itself}");
}

#[test]
fn what_is_too_far_comes_back() {
    let mut timers: Timers<u8, 2> = Timers::new();
    assert_eq!(timers.after(FARTHEST + 1, 1), Err(ScheduleError::TooFar(1)));
    assert_eq!(timers.every(u32::MAX, 1), Err(ScheduleError::TooFar(1)));
    assert_eq!(timers.after(u32::MAX, 5).unwrap_err().into_event(), 5);
    assert!(timers.is_empty());
    assert!(timers.after(FARTHEST, 1).is_ok() && timers.every(FARTHEST, 1).is_ok());
}

#[test]
fn what_went_wrong_is_said_for_every_event() {
    struct Mute;
    let mut timers: Timers<Mute, 1> = Timers::new();
    let far = timers.after(u32::MAX, Mute).unwrap_err();
    assert_eq!(format!("{far:?}"), "TooFar(..)");
    assert_eq!(
        far.to_string(),
        "the timer is more than `i32::MAX` ticks away: schedule it in steps, or count coarser ticks"
    );
    timers.after(1, Mute).unwrap();
    let full: Box<dyn core::error::Error> = timers.after(1, Mute).unwrap_err().into();
    assert_eq!(
        (format!("{full:?}").as_str(), full.to_string().as_str()),
        ("Full(..)", "all timers are pending: cancel one, or make `N` larger")
    );
    assert_eq!(format!("{timers:?}"), "Timers { capacity: 1, len: 1, paused: false, .. }");
}

// ---- A sink without room -----------------------------------------------------------------------

#[test]
fn what_finds_the_bus_full_stays_due_in_order_and_is_reported() {
    let bus: Bus<u32, 2> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut timers: Timers<u32, 8> = Timers::new();
    for event in 0..5 {
        timers.after(1 + event / 2, event).unwrap();
    }
    let report = timers.tick(9, |event| bus.publish(event));
    assert_eq!((report.fired, report.left, timers.len()), (2, 3, 3));

    // Past deadlines and new ones come after what was due before.
    timers.at(3, 5).unwrap();
    let report = timers.tick(9, |event| bus.publish(event));
    assert_eq!((report.fired, report.left), (0, 4));

    let mut seen = vec![];
    for _ in 0..3 {
        seen.extend(events.drain());
        let _ = timers.tick(9, |event| bus.publish(event));
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    assert!(timers.is_empty());
    let stats = bus.stats();
    assert_eq!((stats.published, stats.refused, stats.dropped()), (6, 2 + 1, 0));
}

#[test]
fn a_bus_that_drops_its_oldest_takes_every_timer() {
    let bus: Bus<u32, 2, DropOldest> = Bus::new();
    let mut timers: Timers<u32, 8> = Timers::new();
    for event in 0..5 {
        timers.after(1, event).unwrap();
    }
    let report = timers.tick(1, |event| bus.publish(event));
    assert_eq!((report.fired, report.left), (5, 0));
    assert!(bus.consumer().unwrap().drain().eq([3, 4]));
}

#[test]
fn a_refused_copy_comes_again_and_its_period_goes_on() {
    let mut timers: Timers<char, 4> = Timers::new();
    let id = timers.every(2, 'p').unwrap();
    timers.after(2, 'x').unwrap();
    let (events, report) = fired_within(&mut timers, 2, 0);
    assert_eq!((events.len(), report.fired, report.left), (0, 0, 2));
    assert!(timers.is_pending(id));
    let (events, report) = fired_within(&mut timers, 4, 1);
    assert_eq!((events, report.fired, report.left), (vec!['p'], 1, 2));
    assert_eq!(fired(&mut timers, 5), ['x', 'p']);
    assert_eq!(fired(&mut timers, 6), ['p']);
}

#[test]
fn what_is_refused_can_be_cancelled() {
    let mut timers: Timers<u8, 4> = Timers::new();
    let ids = [1, 2, 3].map(|event| timers.after(event.into(), event).unwrap());
    assert_eq!(fired_within(&mut timers, 3, 0).1.left, 3);
    assert_eq!(timers.cancel(ids[0]), Some(1));
    assert_eq!(timers.cancel(ids[2]), Some(3));
    assert_eq!(fired(&mut timers, 3), [2]);
}

/// The time of the caller may go on for ever; the timers' stops where order would be lost.
fn a_sink_that_never_takes<const N: usize>() {
    for start in STARTS {
        let mut timers: Timers<u32, N> = Timers::starting_at(start);
        timers.after(1, 1).unwrap();
        timers.after(FARTHEST, 2).unwrap();
        let mut now = start;
        for round in 0..6 {
            now = now.wrapping_add(FARTHEST);
            let left = fired_within(&mut timers, now, 0).1.left;
            assert_eq!(left, 1, "round {round}");
        }
        timers.after(5, 3).unwrap();
        timers.after(FARTHEST, 4).unwrap();
        // The time has stood still since the first had been refused for 2^30 - 1 ticks.
        let at = |ticks: u32| now.wrapping_add(ticks);
        assert_eq!(fired(&mut timers, at(0)), [1], "{N}, start {start}");
        assert_eq!(fired(&mut timers, at(4)), [0; 0]);
        assert_eq!(fired(&mut timers, at(5)), [3]);
        let rest = FARTHEST - (1 << 30);
        assert_eq!(fired(&mut timers, at(rest - 1)), [0; 0]);
        assert_eq!(fired(&mut timers, at(rest)), [2]);
        assert_eq!(fired(&mut timers, at(FARTHEST - 1)), [0; 0]);
        assert_eq!(fired(&mut timers, at(FARTHEST)), [4]);
    }
}

#[test]
fn a_sink_that_never_takes_loses_nothing_either() {
    a_sink_that_never_takes::<4>();
    a_sink_that_never_takes::<64>();
    a_sink_that_never_takes::<100>();
    a_sink_that_never_takes::<300>();
    a_sink_that_never_takes::<2048>();
}

// ---- Pause -------------------------------------------------------------------------------------

#[test]
fn pause_freezes_what_is_left_of_every_timer() {
    for start in STARTS {
        let at = |ticks: u32| start.wrapping_add(ticks);
        let mut timers: Timers<u8, 4> = Timers::starting_at(start);
        timers.after(10, 1).unwrap();
        timers.every(4, 2).unwrap();
        assert_eq!(fired(&mut timers, at(5)), [2]);
        timers.pause();
        assert!(timers.is_paused());
        assert_eq!(fired(&mut timers, at(1000)), [0; 0]);
        // As of the tick before: 5 ticks from there, though the counter is told only.
        timers.at(at(1005), 3).unwrap();
        timers.resume(at(3_000_000_000));
        assert_eq!(fired(&mut timers, at(3_000_000_002)), [0; 0]);
        assert_eq!(fired(&mut timers, at(3_000_000_003)), [2]);
        assert_eq!(fired(&mut timers, at(3_000_000_005)), [1, 3]);
    }
}

#[test]
fn pause_and_resume_again_have_no_effect() {
    let mut timers: Timers<u8, 4> = Timers::new();
    timers.after(10, 1).unwrap();
    timers.resume(500);
    assert_eq!(fired(&mut timers, 9), [0; 0]);
    timers.pause();
    assert_eq!(fired(&mut timers, 20), [0; 0]);
    timers.pause();
    timers.resume(20);
    timers.resume(0);
    assert_eq!(fired(&mut timers, 21), [1]);
}

#[test]
fn what_is_due_does_not_fire_while_paused() {
    let mut timers: Timers<u8, 4> = Timers::new();
    timers.after(1, 1).unwrap();
    assert_eq!(fired_within(&mut timers, 1, 0).1.left, 1);
    timers.pause();
    timers.after(0, 2).unwrap();
    assert_eq!(fired(&mut timers, 1), [0; 0]);
    timers.resume(1);
    assert_eq!(fired(&mut timers, 1), [1, 2]);
}

// ---- Code of the user that panics, and drops ---------------------------------------------------

#[test]
fn a_sink_that_panics_has_had_its_event_and_the_rest_stays_due() {
    for place in 0..3 {
        let mut timers: Timers<u8, 4> = Timers::new();
        for event in 0..3 {
            timers.after(1, event).unwrap();
        }
        let mut seen = vec![];
        assert!(panics(|| timers.tick(1, |event| {
            assert_ne!(event, place);
            seen.push(event);
            Ok(())
        })));
        seen.extend(fired(&mut timers, 1));
        assert!(seen.into_iter().eq((0..3).filter(|event| *event != place)));
        exactly_n_fit_now(&mut timers);
    }
}

fn exactly_n_fit_now<const N: usize>(timers: &mut Timers<u8, N>) {
    assert!(timers.is_empty());
    for _ in 0..N {
        timers.after(1, 0).unwrap();
    }
    assert_eq!(timers.after(1, 0), Err(ScheduleError::Full(0)));
}

#[test]
fn a_periodic_timer_goes_on_after_a_panic_of_the_sink() {
    let mut timers: Timers<u8, 2> = Timers::new();
    timers.every(3, 1).unwrap();
    assert!(panics(|| timers.tick(3, |_| panic!("once"))));
    assert_eq!(fired(&mut timers, 5), [0; 0], "that copy is gone");
    assert_eq!(fired(&mut timers, 6), [1]);
}

/// A copy that comes back and panics when it is dropped: its timer is as if it had been refused.
#[test]
fn a_refused_copy_that_panics_when_dropped_leaves_its_timer_due() {
    struct Fuse<'a>(&'a Cell<bool>);
    impl Clone for Fuse<'_> {
        fn clone(&self) -> Self {
            Self(self.0)
        }
    }
    impl Drop for Fuse<'_> {
        fn drop(&mut self) {
            assert!(!self.0.replace(false), "armed");
        }
    }
    let armed = Cell::new(false);
    let mut timers: Timers<Fuse<'_>, 3> = Timers::new();
    let id = timers.every(2, Fuse(&armed)).unwrap();
    timers.after(2, Fuse(&armed)).unwrap();
    armed.set(true);
    assert!(panics(|| timers.tick(2, |event| Err(Full(event)))));
    assert_eq!((timers.len(), timers.is_pending(id)), (2, true));
    let mut count = 0;
    let report = timers.tick(3, |_| {
        count += 1;
        Ok(())
    });
    assert_eq!((count, report.left, timers.len()), (2, 0, 1));
    assert_eq!(fired(&mut timers, 4).len(), 1);
    assert!(timers.cancel(id).is_some());
}

#[test]
fn a_clone_that_panics_leaves_its_timer_due() {
    struct Fuse<'a>(&'a Cell<bool>);
    impl Clone for Fuse<'_> {
        fn clone(&self) -> Self {
            assert!(self.0.get(), "not now");
            Self(self.0)
        }
    }
    let calm = Cell::new(false);
    let mut timers: Timers<Fuse<'_>, 2> = Timers::new();
    timers.every(2, Fuse(&calm)).unwrap();
    assert!(panics(|| timers.tick(2, |_| Ok(()))));
    calm.set(true);
    assert_eq!(fired(&mut timers, 3).len(), 1);
}

// ---- Any sequence, against a list that is searched ----------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    At(i32),
    After(u32),
    Every(u32, MissedTickBehavior),
    Cancel(usize),
    Tick { by: u32, room: usize },
    Pause,
    Resume(u32),
}

/// Distances of every size: within a slot, a level, the wheel.
fn distance() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..4_u32,
        4 => 0..70_u32,
        2 => 0..5000_u32,
        1 => 0..=FARTHEST,
        1 => (0..31_u32, 0..3_u32).prop_map(|(bit, off)| ((1 << bit) + off).saturating_sub(1).min(FARTHEST)),
    ]
}

fn missed() -> impl Strategy<Value = MissedTickBehavior> {
    use MissedTickBehavior::{Burst, Delay, Skip};
    prop_oneof![Just(Burst), Just(Delay), Just(Skip)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (distance(), any::<bool>())
            .prop_map(|(by, past)| Step::At(if past { -(by as i32) } else { by as i32 })),
        4 => distance().prop_map(Step::After),
        2 => (distance(), missed()).prop_map(|(by, missed)| Step::Every(by, missed)),
        3 => any::<usize>().prop_map(Step::Cancel),
        9 => (distance(), prop_oneof![3 => Just(64), 1 => 0..4_usize])
            .prop_map(|(by, room)| Step::Tick { by, room }),
        1 => Just(Step::Pause),
        1 => distance().prop_map(Step::Resume),
    ]
}

/// An event that is counted.
#[derive(Clone)]
struct Sample {
    number: u32,
    _alive: Rc<()>,
}

struct Pending {
    id: TimerId,
    number: u32,
    deadline: u64,
    sequence: u64,
    period: u64,
    missed: MissedTickBehavior,
}

struct Model {
    pending: Vec<Pending>,
    sequence: u64,
    clock: u64,
    /// The deadline that was refused, or the clock.
    reached: u64,
    told: u32,
    paused: bool,
}

impl Model {
    fn schedule(
        &mut self,
        id: TimerId,
        number: u32,
        ahead: u64,
        period: u64,
        missed: MissedTickBehavior,
    ) {
        let (deadline, sequence) = (self.clock + ahead, self.sequence);
        self.pending.push(Pending { id, number, deadline, sequence, period, missed });
        self.sequence += 1;
    }

    /// The events, and how many timers are left and how many copies are skipped.
    fn tick(&mut self, by: u32, room: usize) -> (Vec<u32>, usize, u64) {
        let (mut events, mut skipped) = (vec![], 0);
        self.told = self.told.wrapping_add(by);
        if self.paused {
            return (events, 0, 0);
        }
        let mut left = u64::from(by);
        let end = self.clock + left;
        loop {
            // In steps, of which none takes the clock further from what is refused than it may be.
            let step = left.min((1 << 30) - 1 - (self.clock - self.reached));
            left -= step;
            self.clock += step;
            if let Some(refused) = self.catch_up(end, room, &mut events, &mut skipped) {
                self.reached = refused;
                let due = self.pending.iter().filter(|timer| timer.deadline <= self.clock);
                return (events, due.count(), skipped);
            }
            self.reached = self.clock;
            if left == 0 {
                return (events, 0, skipped);
            }
        }
    }

    /// Returns the deadline that was refused.
    fn catch_up(
        &mut self,
        now: u64,
        room: usize,
        events: &mut Vec<u32>,
        skipped: &mut u64,
    ) -> Option<u64> {
        loop {
            let due = |timer: &&mut Pending| timer.deadline <= self.clock;
            let order = |timer: &&mut Pending| (timer.deadline, timer.sequence);
            let next = self.pending.iter_mut().filter(due).min_by_key(order)?;
            if events.len() == room {
                return Some(next.deadline);
            }
            events.push(next.number);
            if next.period > 0 {
                let late = now - next.deadline;
                let ahead = match next.missed {
                    MissedTickBehavior::Burst => next.period,
                    MissedTickBehavior::Delay => late + next.period,
                    MissedTickBehavior::Skip => late + next.period - late % next.period,
                };
                if next.missed != MissedTickBehavior::Burst {
                    *skipped += late / next.period;
                }
                next.deadline += ahead.min(3 * (1 << 30) - 1);
                next.sequence = self.sequence;
                self.sequence += 1;
            } else {
                let sequence = next.sequence;
                self.pending.retain(|timer| timer.sequence != sequence);
            }
        }
    }
}

fn run<const N: usize>(start: u32, steps: &[Step]) {
    let token = Rc::new(());
    let mut timers: Timers<Sample, N> = Timers::starting_at(start);
    let clock = u64::from(start);
    let mut model =
        Model { pending: vec![], sequence: 0, clock, reached: clock, told: start, paused: false };
    let mut ids = vec![];
    for (number, step) in steps.iter().enumerate() {
        let number = number as u32;
        let sample = || Sample { number, _alive: Rc::clone(&token) };
        match *step {
            Step::At(by) => {
                let deadline = model.told.wrapping_add_signed(by);
                match timers.at(deadline, sample()) {
                    Ok(id) => {
                        ids.push(id);
                        model.schedule(id, number, by.max(0) as u64, 0, MissedTickBehavior::Burst);
                    }
                    Err(_) => assert_eq!(model.pending.len(), N),
                }
            }
            Step::After(by) => match timers.after(by, sample()) {
                Ok(id) => {
                    ids.push(id);
                    model.schedule(id, number, by.into(), 0, MissedTickBehavior::Burst);
                }
                Err(_) => assert_eq!(model.pending.len(), N),
            },
            Step::Every(by, missed) => match timers.every(by, sample()) {
                Ok(id) => {
                    ids.push(id);
                    assert!(timers.set_missed_tick_behavior(id, missed));
                    model.schedule(id, number, by.max(1).into(), by.max(1).into(), missed);
                }
                Err(_) => assert_eq!(model.pending.len(), N),
            },
            Step::Cancel(which) => {
                if let Some(id) = ids.get(which % ids.len().max(1)) {
                    let found = model.pending.iter().position(|timer| timer.id == *id);
                    assert_eq!(timers.is_pending(*id), found.is_some());
                    let expected = found.map(|found| model.pending.remove(found).number);
                    assert_eq!(timers.cancel(*id).map(|sample| sample.number), expected);
                }
            }
            Step::Tick { by, room } => {
                let (expected, left, skipped) = model.tick(by, room);
                let (events, report) = fired_within(&mut timers, model.told, room);
                let events: Vec<u32> = events.into_iter().map(|sample| sample.number).collect();
                assert_eq!(events, expected);
                assert_eq!((report.fired, report.left), (expected.len(), left));
                assert_eq!(report.skipped as u64, skipped);
            }
            Step::Pause => {
                model.paused = true;
                timers.pause();
            }
            Step::Resume(by) => {
                let now = model.told.wrapping_add(by);
                if model.paused {
                    model.told = now;
                }
                model.paused = false;
                timers.resume(now);
            }
        }
        assert_eq!(timers.len(), model.pending.len());
        assert_eq!(Rc::strong_count(&token) - 1, model.pending.len(), "dropped once, none kept");
    }
    drop(timers);
    assert_eq!(Rc::strong_count(&token), 1);
}

fn start() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0..70_u32).prop_map(|back| u32::MAX - back),
        (0..5000_u32).prop_map(|back| u32::MAX - back),
        (0..70_u32).prop_map(|back| FARTHEST - back),
        Just(0),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 1 } else { cases };
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn timers_are_a_list_in_order(start in start(), steps in vec(step(), 1..80)) {
        run::<1>(start, &steps);
        run::<5>(start, &steps);
        run::<64>(start, &steps);
        run::<300>(start, &steps);
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn timers_with_room_for_many_are_a_list_in_order(start in start(), steps in vec(step(), 1..200)) {
        run::<9000>(start, &steps);
    }
}
