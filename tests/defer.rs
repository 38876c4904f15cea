//! Deferred: put off in order, merged only when asked to.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::defer::Deferred;
use tickbus::{Bus, Full};

type Keyed = (char, u32);

fn key(event: &Keyed) -> char {
    event.0
}

fn latest(waiting: &mut Keyed, event: Keyed) {
    *waiting = event;
}

fn all<E, const N: usize>(deferred: &mut Deferred<E, N>) -> Vec<E> {
    core::iter::from_fn(|| deferred.recall()).collect()
}

#[test]
fn what_is_deferred_is_recalled_in_order() {
    let mut deferred: Deferred<u32, 3> = Deferred::new();
    for lap in 0..4 {
        for event in 0..3 {
            deferred.defer(lap + event).unwrap();
        }
        assert_eq!(deferred.defer(99), Err(Full(99)));
        assert_eq!((deferred.len(), deferred.capacity()), (3, 3));
        assert_eq!(all(&mut deferred), [lap, lap + 1, lap + 2]);
        assert!(deferred.is_empty());
    }
}

#[test]
fn what_is_recalled_comes_before_what_is_new() {
    let bus: Bus<u32, 4> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut deferred: Deferred<u32, 4> = Deferred::new();
    let mut seen = vec![];
    bus.publish_batch(&[1, 2]).unwrap();
    events.drain().for_each(|event| deferred.defer(event).unwrap());
    bus.publish_batch(&[3, 4]).unwrap();
    while let Some(event) = deferred.recall() {
        seen.push(event);
    }
    seen.extend(events.drain());
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[test]
fn nothing_is_merged_that_was_not_asked_for() {
    let mut deferred: Deferred<Keyed, 4> = Deferred::new();
    deferred.defer(('a', 1)).unwrap();
    deferred.defer(('a', 2)).unwrap();
    assert_eq!(deferred.len(), 2);
    // Into the newest of them.
    assert_eq!(deferred.coalesce(('a', 3), key, latest), Ok(true));
    assert_eq!(all(&mut deferred), [('a', 1), ('a', 3)]);
}

#[test]
fn three_thousand_levels_of_three_keys_need_three_places() {
    let mut deferred: Deferred<Keyed, 4> = Deferred::new();
    for number in 0..3000 {
        let event = (['a', 'b', 'c'][number as usize % 3], number);
        assert_eq!(deferred.coalesce(event, key, latest), Ok(number >= 3));
    }
    assert_eq!(all(&mut deferred), [('a', 2997), ('b', 2998), ('c', 2999)]);
}

#[test]
fn a_merge_function_decides_what_becomes_of_both() {
    let mut deferred: Deferred<Keyed, 2> = Deferred::new();
    for number in 1..=4 {
        deferred.coalesce(('a', number), key, |waiting, event| waiting.1 += event.1).unwrap();
    }
    assert_eq!(all(&mut deferred), [('a', 10)]);
}

#[test]
fn a_full_one_still_merges() {
    let mut deferred: Deferred<Keyed, 2> = Deferred::new();
    deferred.coalesce(('a', 1), key, latest).unwrap();
    deferred.coalesce(('b', 1), key, latest).unwrap();
    assert_eq!(deferred.coalesce(('c', 1), key, latest), Err(Full(('c', 1))));
    assert_eq!(deferred.coalesce(('a', 2), key, latest), Ok(true));
    assert_eq!(all(&mut deferred), [('a', 2), ('b', 1)]);
}

#[test]
fn nothing_is_merged_across_a_fixed_step() {
    let mut deferred: Deferred<Keyed, 8> = Deferred::new();
    for step in 0..3 {
        deferred.next_step();
        for number in 0..5 {
            deferred.coalesce(('a', step * 10 + number), key, latest).unwrap();
        }
    }
    assert_eq!(all(&mut deferred), [('a', 4), ('a', 14), ('a', 24)]);

    // Recalling moves the border along.
    deferred.coalesce(('a', 1), key, latest).unwrap();
    deferred.coalesce(('b', 1), key, latest).unwrap();
    deferred.next_step();
    assert_eq!(deferred.recall(), Some(('a', 1)));
    assert_eq!(deferred.coalesce(('b', 2), key, latest), Ok(false));
    assert_eq!(deferred.coalesce(('b', 3), key, latest), Ok(true));
    assert_eq!(all(&mut deferred), [('b', 1), ('b', 3)]);
}

#[test]
fn a_merge_that_panics_leaves_the_others_as_they_were() {
    let mut deferred: Deferred<Keyed, 2> = Deferred::new();
    deferred.defer(('a', 1)).unwrap();
    let merge = |_: &mut Keyed, _| panic!("no");
    assert!(catch_unwind(AssertUnwindSafe(|| deferred.coalesce(('a', 2), key, merge))).is_err());
    assert_eq!(all(&mut deferred), [('a', 1)]);
    assert_eq!(format!("{deferred:?}"), "Deferred { capacity: 2, len: 0, .. }");
}

/// The key is code of the user: asked of the new event, then from the newest one that waits to the oldest.
#[test]
fn a_key_that_panics_leaves_what_waits_as_it_was() {
    for bad in 1..=3 {
        let mut deferred: Deferred<Keyed, 4> = Deferred::new();
        deferred.defer(('a', 1)).unwrap();
        deferred.next_step();
        deferred.defer(('b', 2)).unwrap();
        let key = |event: &Keyed| {
            assert_ne!(event.1, bad, "no");
            event.0
        };
        let panics = catch_unwind(AssertUnwindSafe(|| deferred.coalesce(('c', 3), key, latest)));
        assert_eq!(panics.is_err(), bad != 1, "that of an earlier step is not asked");
        assert_eq!(deferred.coalesce(('b', 4), |event| event.0, latest), Ok(true));
        assert_eq!(deferred.recall(), Some(('a', 1)));
        assert_eq!(deferred.recall(), Some(('b', 4)));
        assert_eq!(deferred.recall(), (bad == 1).then_some(('c', 3)));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Defer(u8),
    Coalesce(u8),
    Seal,
    Recall(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Step::Defer),
        5 => (0..4_u8).prop_map(Step::Coalesce),
        1 => Just(Step::Seal),
        2 => (0..4_usize).prop_map(Step::Recall),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deferred_is_a_queue_that_knows_its_steps(steps in vec(step(), 1..80)) {
        let token = Rc::new(());
        let mut deferred: Deferred<(u8, usize, Rc<()>), 5> = Deferred::new();
        // Key, number and step.
        let mut queue: VecDeque<(u8, usize, usize)> = VecDeque::new();
        let mut current = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Defer(key) => {
                    let fits = queue.len() < 5;
                    assert_eq!(deferred.defer((key, number, Rc::clone(&token))).is_ok(), fits);
                    if fits {
                        queue.push_back((key, number, current));
                    }
                }
                Step::Coalesce(key) => {
                    let event = (key, number, Rc::clone(&token));
                    let told = deferred.coalesce(event, |event| event.0, |waiting, event| *waiting = event);
                    let same = |waiting: &&mut (u8, usize, usize)| (waiting.0, waiting.2) == (key, current);
                    if let Some(waiting) = queue.iter_mut().rev().find(same) {
                        waiting.1 = number;
                        assert_eq!(told.ok(), Some(true));
                    } else if queue.len() < 5 {
                        queue.push_back((key, number, current));
                        assert_eq!(told.ok(), Some(false));
                    } else {
                        assert_eq!(told.map_err(|Full(event)| event.1), Err(number));
                    }
                }
                Step::Seal => {
                    deferred.next_step();
                    current += 1;
                }
                Step::Recall(count) => {
                    for _ in 0..count {
                        let expected = queue.pop_front().map(|(key, number, _)| (key, number));
                        assert_eq!(deferred.recall().map(|event| (event.0, event.1)), expected);
                    }
                }
            }
            assert_eq!(deferred.len(), queue.len());
            assert_eq!(Rc::strong_count(&token) - 1, queue.len());
        }
    }
}
