//! Groups: all events are published, or none (row 000.20).
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use proptest::prelude::*;
use tickbus::bus::RejectsNew;
use tickbus::{Bus, DropNewest, Full, GatedTopic, Lane, Reject};

/// What is done to a bus: publishes a group of so many, or takes so many.
#[derive(Clone, Copy, Debug)]
enum Step {
    Group(usize),
    GroupMut(usize),
    Take(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..=4_usize).prop_map(Step::Group),
        1 => (0..=4_usize).prop_map(Step::GroupMut),
        3 => (0..=5_usize).prop_map(Step::Take),
    ];
    proptest::collection::vec(step, 1..60)
}

type Counted<T> = (u32, T, Rc<()>);

/// Publishes a group of the length `M` by `publish`. Whether it did.
fn group<const M: usize, T: Default>(
    next: &mut u32,
    token: &Rc<()>,
    publish: impl FnOnce([Counted<T>; M]) -> Result<(), Full<[Counted<T>; M]>>,
) -> bool {
    let first = *next;
    *next += M as u32;
    match publish(core::array::from_fn(|at| (first + at as u32, T::default(), Rc::clone(token)))) {
        Ok(()) => true,
        Err(Full(events)) => {
            let numbers: Vec<_> = events.iter().map(|event| event.0).collect();
            assert_eq!(numbers, (first..*next).collect::<Vec<_>>(), "as they were, in order");
            false
        }
    }
}

/// A bus with groups is a `VecDeque` that takes a group when it has room for all.
fn model<T: Default, P: RejectsNew>(steps: &[Step]) {
    let mut bus: Bus<Counted<T>, 4, P> = Bus::new();
    let (mut pending, mut next, token) = (VecDeque::new(), 0, Rc::new(()));
    let (mut rejected, mut handled, mut published) = (0, 0, 0);
    for &step in steps {
        let (of, first) = match step {
            Step::Group(of) | Step::GroupMut(of) => (of, next),
            Step::Take(most) => {
                let mut consumer = bus.consumer().unwrap();
                let taken: Vec<_> = consumer.drain().at_most(most).map(|event| event.0).collect();
                handled += taken.len();
                assert_eq!(taken, pending.drain(..most.min(pending.len())).collect::<Vec<_>>());
                continue;
            }
        };
        macro_rules! publish {
            ($publish:ident) => {
                match of {
                    0 => group::<0, T>(&mut next, &token, |events| bus.$publish(events)),
                    1 => group::<1, T>(&mut next, &token, |events| bus.$publish(events)),
                    2 => group::<2, T>(&mut next, &token, |events| bus.$publish(events)),
                    3 => group::<3, T>(&mut next, &token, |events| bus.$publish(events)),
                    _ => group::<4, T>(&mut next, &token, |events| bus.$publish(events)),
                }
            };
        }
        let is_published = match step {
            Step::Group(_) => publish!(publish_all),
            _ => publish!(publish_all_mut),
        };
        assert_eq!(is_published, pending.len() + of <= 4, "{of} beside {pending:?}");
        if is_published {
            published += of;
            pending.extend(first..next);
        } else {
            rejected += of;
        }
        let stats = bus.stats();
        assert_eq!(stats.refused + stats.dropped_newest, rejected);
        assert_eq!(stats.published - stats.dropped_newest, published);
        assert_eq!((stats.handled, stats.pending), (handled, pending.len()));
        assert_eq!(Rc::strong_count(&token) - 1, pending.len(), "none is dropped twice, or kept");
    }
    drop(bus);
    assert_eq!(Rc::strong_count(&token), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 200 }))]

    #[test]
    fn a_bus_takes_a_group_when_it_has_room_for_all(steps in steps()) {
        model::<(), Reject>(&steps);
        model::<[u64; 4], DropNewest>(&steps);
    }
}

/// Groups of several threads, of small and of large events: no part of a group is ever missing, and each keeps its order.
#[test]
fn groups_of_threads_come_whole() {
    fn run<E: Copy + Send + From<u32>>(number: fn(E) -> u32) {
        const ROUNDS: u32 = if cfg!(miri) { 40 } else { 1000 };
        let bus: Bus<E, 64> = Bus::new();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let publishers: Vec<_> = (0..2)
                .map(|thread| {
                    let bus = &bus;
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            let event = |part| E::from(thread << 24 | round << 2 | part);
                            while bus.publish_all([0, 1, 2].map(event)).is_err() {
                                thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            let consumer = scope.spawn(|| {
                let mut next = [0; 2];
                let mut consumer = bus.consumer().unwrap();
                loop {
                    let was_over = is_over.load(Relaxed);
                    for event in consumer.drain().map(number) {
                        let expected = &mut next[event as usize >> 24];
                        assert_eq!(event & 0xff_ffff, *expected, "of {}", event >> 24);
                        *expected += if *expected & 3 == 2 { 2 } else { 1 };
                    }
                    if was_over {
                        break;
                    }
                }
                assert_eq!(next, [ROUNDS << 2; 2]);
            });
            publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
            is_over.store(true, Relaxed);
            consumer.join().unwrap();
        });
        assert_eq!(bus.stats().handled, 6 * ROUNDS as usize);
    }

    #[derive(Clone, Copy)]
    struct Large(u32, #[expect(dead_code, reason = "makes it large")] [u64; 4]);
    impl From<u32> for Large {
        fn from(number: u32) -> Self {
            Self(number, [7; 4])
        }
    }

    run::<u32>(|number| number);
    run::<Large>(|event| event.0);
}

#[test]
fn a_lane_shows_a_group_at_once_or_gives_it_back() {
    let lane: Lane<String, 4> = Lane::new();
    let mut publisher = lane.publisher().unwrap();
    let mut consumer = lane.consumer().unwrap();
    let group = |names: [&str; 3]| names.map(String::from);
    for _ in 0..5 {
        assert_eq!(publisher.publish_all(group(["a", "b", "c"])), Ok(()));
        let given_back = publisher.publish_all(group(["d", "e", "f"]));
        assert_eq!(given_back, Err(Full(group(["d", "e", "f"]))));
        assert!(consumer.drain().eq(["a", "b", "c"]));
    }
    assert_eq!(publisher.publish_all([const { String::new() }; 5]).map_err(|_| ()), Err(()));
    assert_eq!((lane.stats().published, lane.stats().refused), (15, 20));
}

#[test]
fn a_gated_topic_takes_a_group_when_its_slowest_subscriber_has_room_for_all() {
    let topic: GatedTopic<u32, 4, 2> = GatedTopic::new();
    assert_eq!(topic.publish_all([1, 2, 3, 4]), Ok(()), "no subscriber is the gate");
    let (mut quick, mut slow) = (topic.subscribe().unwrap(), topic.subscribe().unwrap());
    assert_eq!(topic.publish_all([5, 6, 7]), Ok(()));
    assert!(quick.read().flatten().eq([5, 6, 7]));
    assert_eq!(topic.publish_all([8, 9]), Err(Full([8, 9])));
    assert_eq!(topic.publish_all([8]), Ok(()));
    assert!(slow.read().flatten().take(2).eq([5, 6]));
    assert_eq!(topic.publish_all([]), Ok(()));
    assert_eq!(topic.publish_all([9, 10]), Ok(()));
    assert!(slow.read().flatten().eq([7, 8, 9, 10]) && quick.read().flatten().eq([8, 9, 10]));
    assert_eq!((topic.stats().published, topic.stats().refused), (10, 2));
}
