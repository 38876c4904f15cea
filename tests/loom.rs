//! Can it race? Every pair of ring operations under the model checker, each model with the exact set
//! of outcomes it must have. Run with `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --test loom`;
//! with `--cfg tickbus_sections` as well it tries the ring of targets without compare-and-swap.
//!
//! loom 0.7 forgets other threads' earlier loads when a thread loads an atomic before it stores it,
//! as every ring does. So each model runs with the consumer spawned last and with the consumer
//! spawned first, the main thread only joins, and a model that explores too little fails.
#![cfg(tickbus_loom)]

mod models;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use loom::thread;
use models::{Task, outcomes, run};
use tickbus::bus::Policy;
use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropNewest, DropOldest, Full, Lane, Reject, Report, Single,
};

/// A consumer that drains `times` times.
fn drain<const N: usize, P: Policy>(bus: &Bus<u32, N, P>, times: usize) -> Vec<u32> {
    let mut consumer = bus.consumer().unwrap();
    let mut taken = Vec::new();
    for _ in 0..times {
        consumer.drain().for_each(|event| taken.push(event));
    }
    taken
}

/// As `drain`, once and by the chunk.
fn append<const N: usize, P: Policy>(bus: &Bus<u32, N, P>) -> Vec<u32> {
    let mut taken = Vec::new();
    let count = bus.consumer().unwrap().drain().append_to(&mut taken);
    assert_eq!(count, taken.len());
    taken
}

/// The law, at a quiet moment.
fn conserved<const N: usize, P: Policy>(bus: &Bus<u32, N, P>) {
    let stats = bus.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
}

type Slot = Arc<Mutex<Vec<u32>>>;

fn slot() -> (Slot, Slot) {
    let slot = Slot::default();
    (Arc::clone(&slot), slot)
}

fn put(slot: &Slot, taken: Vec<u32>) {
    *slot.lock().unwrap() = taken;
}

fn get(slot: &Slot) -> Vec<u32> {
    std::mem::take(&mut slot.lock().unwrap())
}

#[test]
fn one_publisher_one_consumer() {
    for reverse in [false, true] {
        // What the consumer gets while the publisher is at it, and what is left.
        let expected = (0..=2).map(|n| ((1..=n).collect(), (n + 1..=2).collect()));
        outcomes(3, 10, expected, move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        b.publish(1).unwrap();
                        b.publish(2).unwrap();
                    }),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            let taken = get(&taken);
            let rest = drain(&bus, 1);
            conserved(&bus);
            (taken, rest)
        });
    }
}

#[test]
fn the_slot_of_a_taken_event_is_used_again() {
    for reverse in [false, true] {
        let expected = [(vec![1, 2], true, vec![]), (vec![1, 2], false, vec![3])];
        outcomes(3, 10, expected, move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let full = Arc::new(Mutex::new(false));
            let (b, c, f) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&full));
            run(
                vec![
                    Box::new(move || *f.lock().unwrap() = b.publish(3) == Err(Full(3))),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            let taken = get(&taken);
            let rest = drain(&bus, 1);
            conserved(&bus);
            for _ in 0..3 {
                bus.publish(4).unwrap();
                bus.publish(5).unwrap();
                assert_eq!(bus.publish(6), Err(Full(6)));
                assert_eq!(drain(&bus, 1), [4, 5]);
            }
            (taken, *full.lock().unwrap(), rest)
        });
    }
}

/// A publisher that learns from another one, not from the consumer, that there is room: from a publish, or from a
/// batch, which looks up the head by itself.
#[test]
fn the_room_that_another_found() {
    let by_one: fn(&Bus<u32, 2>) = |bus| _ = bus.publish(4);
    let by_batch: fn(&Bus<u32, 2>) = |bus| _ = bus.publish_batch(&[4]);
    let by_group: fn(&Bus<u32, 2>) = |bus| _ = bus.publish_all([4]);
    let models = [
        (false, 3, by_one),
        (true, 3, by_one),
        (false, 3, by_batch),
        (true, 3, by_batch),
        (false, 2, by_group),
    ];
    for (reverse, preemptions, other) in models {
        outcomes(preemptions, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let _ = a.publish(3);
                    }),
                    Box::new(move || other(&b)),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            assert!(get(&taken).starts_with(&[1, 2]));
            drain(&bus, 1);
            conserved(&bus);
            assert_eq!(bus.stats().published + bus.stats().refused, 4);
        });
    }
}

/// Two publishers of two events each on a ring of two slots, and a consumer that drains while they
/// are at it. Whatever is said to be published arrives once, in its publisher's order; no publisher is told
/// "full" while a slot is free.
#[test]
fn two_publishers_and_a_consumer() {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(2, 500, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let bus = Arc::new(Bus::<u32, 2>::new());
                let (out, taken) = slot();
                let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
                run(
                    vec![
                        Box::new(move || a.publish(1).unwrap()),
                        Box::new(move || b.publish(2).unwrap()),
                        Box::new(move || put(&out, drain(&c, 2))),
                    ],
                    reverse,
                );
                let taken = get(&taken);
                conserved(&bus);
                let rest = drain(&bus, 1);
                let mut all: Vec<_> = taken.iter().chain(&rest).copied().collect();
                all.sort_unstable();
                assert_eq!(all, [1, 2]);
                seen.lock().unwrap().insert(taken);
            }
        });
        let expected = [vec![], vec![1], vec![1, 2], vec![2], vec![2, 1]];
        assert_eq!(*seen.lock().unwrap(), expected.into_iter().collect());
    }
}

/// What was published before a drain began, by whatever says so, is in it: also where the consumer has looked
/// before, and what it has seen lies before a batch, one event, or several.
#[test]
fn a_drain_finds_what_was_published_before_it_began() {
    for (reverse, first) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        let kept = Arc::new(Mutex::new(BTreeSet::new()));
        let least = if reverse { 300 } else { 1000 };
        outcomes(if reverse { 2 } else { 3 }, least, [()], {
            let kept = Arc::clone(&kept);
            move || {
                let bus = Arc::new(Bus::<u32, 4>::new());
                let said = Arc::new(AtomicUsize::new(0));
                (0..first).for_each(|_| bus.publish(0).unwrap());
                let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
                let (says, hears) = (Arc::clone(&said), said);
                let kept = Arc::clone(&kept);
                run(
                    vec![
                        Box::new(move || {
                            b.publish_batch(&[1, 2]).unwrap();
                            says.store(2, Release);
                            b.publish(3).unwrap();
                            says.store(3, Release);
                        }),
                        Box::new(move || {
                            let mut consumer = c.consumer().unwrap();
                            let mut taken: Vec<_> = consumer.drain().at_most(1).collect();
                            let mut most = 0;
                            for _ in 0..2 {
                                let said = hears.load(Acquire);
                                taken.extend(consumer.drain());
                                let events = taken.len() - first as usize;
                                assert!(events >= said, "{said} were published before {taken:?}");
                                most = most.max(said);
                            }
                            kept.lock().unwrap().insert((most, taken.len()));
                        }),
                    ],
                    reverse,
                );
                conserved(&bus);
            }
        });
        let seen = kept.lock().unwrap();
        for said in [0, 2, 3] {
            assert!(seen.iter().any(|(most, _)| *most == said), "{said} were never said: {seen:?}");
        }
    }
}

/// As above, with two publishers in the way of each other.
#[test]
fn a_drain_finds_what_two_publishers_had_published() {
    for reverse in [false, true] {
        outcomes(2, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 4>::new());
            let said = Arc::new(AtomicUsize::new(0));
            let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
            let (first, second, hears) = (Arc::clone(&said), Arc::clone(&said), said);
            run(
                vec![
                    Box::new(move || {
                        a.publish(1).unwrap();
                        first.fetch_add(1, AcqRel);
                    }),
                    Box::new(move || {
                        b.publish(2).unwrap();
                        second.fetch_add(1, AcqRel);
                    }),
                    Box::new(move || {
                        let mut consumer = c.consumer().unwrap();
                        let mut taken: Vec<_> = consumer.drain().collect();
                        let said = hears.load(Acquire);
                        taken.extend(consumer.drain());
                        assert!(taken.len() >= said, "{said} were published before {taken:?}");
                    }),
                ],
                reverse,
            );
            conserved(&bus);
        });
    }
}

/// An interrupted publisher delays no other: what others publish is there at once, its own
/// event comes later, and its slot serves again.
#[test]
fn a_late_event_is_delivered_and_its_slot_serves_again() {
    for reverse in [false, true] {
        outcomes(3, 500, [vec![1, 2], vec![2, 1]], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish(1).unwrap()),
                    // Publishes and drains on one thread: what it has published must be there.
                    Box::new(move || {
                        b.publish(2).unwrap();
                        let mut taken = drain(&b, 1);
                        assert!(taken.contains(&2), "a false empty");
                        // One slot at most is in the hands of the other.
                        b.publish(3).expect("a false full");
                        let more = drain(&b, 1);
                        assert!(more.contains(&3), "a false empty");
                        taken.extend(more);
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            let of_one: Vec<_> = all.iter().copied().filter(|event| *event != 3).collect();
            assert!(all.contains(&3));
            assert_eq!(all.len(), 3, "{all:?} {bus:?}");
            // Both slots serve again, on every lap.
            for _ in 0..3 {
                bus.publish(4).unwrap();
                bus.publish(5).unwrap();
                assert_eq!(bus.publish(6), Err(Full(6)));
                assert_eq!(drain(&bus, 1), [4, 5]);
            }
            conserved(&bus);
            of_one
        });
    }
}

/// As above over more than one lap.
#[test]
fn late_over_several_laps() {
    for reverse in [false, true] {
        outcomes(if reverse { 1 } else { 2 }, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        a.publish(1).unwrap();
                    }),
                    Box::new(move || {
                        let mut consumer = b.consumer().unwrap();
                        let mut taken = Vec::new();
                        for event in 10..14 {
                            b.publish(event).expect("a false full");
                            let before = taken.len();
                            taken.extend(consumer.drain());
                            assert!(taken[before..].contains(&event), "a false empty");
                        }
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            let rest: Vec<_> = all.iter().copied().filter(|event| *event != 1).collect();
            assert_eq!((rest, all.len()), (vec![10, 11, 12, 13], 5));
            for _ in 0..3 {
                bus.publish(4).unwrap();
                bus.publish(5).unwrap();
                assert_eq!(bus.publish(6), Err(Full(6)));
                assert_eq!(drain(&bus, 1), [4, 5]);
            }
        });
    }
}

/// A publisher stays away for laps while others fill the ring without a drain in between.
#[test]
fn full_means_full_beside_a_stopped_publisher() {
    for reverse in [false, true] {
        outcomes(3, 200, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let _ = a.publish(1);
                    }),
                    Box::new(move || {
                        let mut taken = Vec::new();
                        b.publish(10).expect("the other has one slot of two");
                        // The other may have the second slot, or it may be free.
                        if let Err(Full(event)) = b.publish(11) {
                            taken.extend(drain(&b, 1));
                            assert!(taken.contains(&10), "a false empty");
                            b.publish(event).expect("a false full");
                        }
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            let own: Vec<_> = all.iter().copied().filter(|event| *event != 1).collect();
            assert_eq!(own, [10, 11]);
        });
    }
}

/// A drain of a displacing bus ends where it began, also when publishers have gone past that.
#[test]
fn a_drain_that_is_lapped() {
    for reverse in [false, true] {
        outcomes(2, 300, [Vec::new()], move || {
            let bus = Arc::new(Bus::<u32, 2, DropOldest>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let mut consumer = c.consumer().unwrap();
                        let events = consumer.drain();
                        for event in 3..=5 {
                            c.publish(event).unwrap();
                        }
                        put(&out, events.collect::<Vec<_>>());
                    }),
                    Box::new(move || assert!(b.pending() <= 2)),
                ],
                reverse,
            );
            conserved(&bus);
            assert_eq!(drain(&bus, 1), [4, 5]);
            get(&taken)
        });
    }
}

/// More publishers at once than a displacing bus has slots.
#[test]
fn displacing_with_every_slot_in_work() {
    // In short sections a publish of a small event is one step: no slot is ever in work.
    let expected = if cfg!(tickbus_short_sections) { vec![0] } else { vec![0, 1] };
    outcomes(2, 500, expected, move || {
        let bus = Arc::new(Bus::<u32, 2, DropOldest>::new());
        let publishers = (1..=3).map(|event| -> Task {
            let b = Arc::clone(&bus);
            Box::new(move || _ = b.publish(event))
        });
        run(publishers.collect(), false);
        conserved(&bus);
        let rest: BTreeSet<_> = drain(&bus, 1).into_iter().collect();
        assert_eq!(rest.len(), 2, "of three");
        bus.stats().dropped_newest
    });
}

/// A displacing bus against its consumer: what is displaced is not taken, and the other way round.
#[test]
fn displacing_against_taking() {
    for reverse in [false, true] {
        let expected = [
            // What was taken meanwhile, what was left, how many were dropped: always the oldest.
            (vec![], vec![3, 4], 2),
            (vec![1], vec![3, 4], 1),
            (vec![1, 2], vec![3, 4], 0),
            (vec![2], vec![3, 4], 1),
            (vec![2, 3], vec![4], 1),
            (vec![3], vec![4], 2),
            (vec![3, 4], vec![], 2),
        ];
        let expected: BTreeSet<_> = expected.into_iter().collect();
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(2, 500, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let bus = Arc::new(Bus::<u32, 2, DropOldest>::new());
                bus.publish(1).unwrap();
                bus.publish(2).unwrap();
                let (out, taken) = slot();
                let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
                run(
                    vec![
                        Box::new(move || {
                            b.publish(3).unwrap();
                            b.publish(4).unwrap();
                        }),
                        Box::new(move || put(&out, drain(&c, 1))),
                    ],
                    reverse,
                );
                let taken = get(&taken);
                conserved(&bus);
                let rest = drain(&bus, 1);
                let stats = bus.stats();
                assert_eq!(stats.handled, taken.len() + rest.len());
                assert!(rest.ends_with(&[4]) || taken.ends_with(&[4]), "the newest is last");
                for _ in 0..3 {
                    bus.publish(5).unwrap();
                    bus.publish(6).unwrap();
                    bus.publish(7).unwrap();
                    assert_eq!(drain(&bus, 1), [6, 7]);
                }
                seen.lock().unwrap().insert((taken, rest, stats.dropped()));
            }
        });
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

/// Two displacing publishers on a full ring and a consumer.
#[test]
fn two_displacing_publishers_and_a_consumer() {
    for reverse in [false, true] {
        outcomes(1, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 2, DropOldest>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let _ = a.publish(10);
                    }),
                    Box::new(move || {
                        let _ = b.publish(20);
                    }),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            conserved(&bus);
            let taken = get(&taken);
            let rest = drain(&bus, 1);
            conserved(&bus);
            let stats = bus.stats();
            assert_eq!((stats.published, stats.pending), (4, 0));
            assert_eq!(stats.handled, taken.len() + rest.len());
            let mut all: Vec<_> = taken.iter().chain(&rest).copied().collect();
            assert!(all.iter().filter(|event| **event < 10).is_sorted());
            let handled = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), handled, "a duplicate");
            bus.publish(4).unwrap();
            bus.publish(5).unwrap();
            bus.publish(6).unwrap();
            assert_eq!(drain(&bus, 1), [5, 6]);
        });
    }
}

/// A displacing publisher that was stopped for laps: its event comes late, and is taken or counted.
#[test]
fn a_late_event_on_a_displacing_bus() {
    for reverse in [false, true] {
        outcomes(if reverse { 1 } else { 2 }, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 2, DropOldest>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish(1).unwrap()),
                    Box::new(move || {
                        let mut taken = Vec::new();
                        for event in 10..13 {
                            b.publish(event).unwrap();
                        }
                        let mut consumer = b.consumer().unwrap();
                        taken.extend(consumer.drain());
                        b.publish(13).unwrap();
                        taken.extend(consumer.drain());
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            conserved(&bus);
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            assert_eq!(bus.stats().handled, all.len());
            assert_eq!((bus.stats().published, bus.stats().pending), (5, 0));
            assert!(all.iter().filter(|event| **event != 1).is_sorted());
            // Three on two slots lose one, the stopped one's slot another, and its event a third.
            assert!(bus.stats().dropped() <= 3, "{all:?} {bus:?}");
            for _ in 0..3 {
                bus.publish(4).unwrap();
                bus.publish(5).unwrap();
                bus.publish(6).unwrap();
                assert_eq!(drain(&bus, 1), [5, 6]);
            }
        });
    }
}

#[test]
fn a_lane() {
    for reverse in [false, true] {
        let expected = [
            (vec![], vec![1, 2, 3]),
            (vec![1], vec![2, 3]),
            (vec![1, 2], vec![3]),
            (vec![1, 2, 3], vec![]),
        ];
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 10, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let lane = Arc::new(Lane::<u32, 2>::new());
                let (out, taken) = slot();
                let (p, c) = (Arc::clone(&lane), Arc::clone(&lane));
                run(
                    vec![
                        Box::new(move || {
                            let mut publisher = p.publisher().unwrap();
                            publisher.publish(1).unwrap();
                            if publisher.publish_batch(&[2, 3]) == Err(Full(&[3])) {
                                let _ = publisher.publish(3);
                            }
                        }),
                        Box::new(move || {
                            let mut consumer = c.consumer().unwrap();
                            let mut taken: Vec<_> = consumer.drain().collect();
                            taken.extend(consumer.drain());
                            put(&out, taken);
                        }),
                    ],
                    reverse,
                );
                let taken = get(&taken);
                let mut consumer = lane.consumer().unwrap();
                let rest: Vec<_> = consumer.drain().collect();
                let all: Vec<_> = taken.iter().chain(&rest).copied().collect();
                assert!(all == [1, 2] || all == [1, 2, 3], "{all:?}");
                if all.len() == 3 {
                    seen.lock().unwrap().insert((taken, rest));
                }
            }
        });
        let expected: BTreeSet<_> = expected.into_iter().skip(1).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[test]
fn a_batch() {
    for reverse in [false, true] {
        outcomes(2, 50, [()], move || {
            let bus = Arc::new(Bus::<u32, 4>::new());
            let (out, taken) = slot();
            let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish_batch(&[1, 2]).unwrap()),
                    Box::new(move || b.publish(3).unwrap()),
                    Box::new(move || put(&out, drain(&c, 2))),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            assert!(all.iter().filter(|event| **event < 3).is_sorted(), "{all:?}");
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
        });
    }
}

/// Two groups for which there is room once: one is published, the other comes back, and none is split (row 000.20).
#[test]
fn all_of_a_group_or_none() {
    for reverse in [false, true] {
        let expected = [(true, false, vec![1, 2]), (false, true, vec![3, 4])];
        outcomes(3, 20, expected, move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let results = Arc::new(Mutex::new([false; 2]));
            let publisher = |at: usize, group: [u32; 2]| -> Task {
                let (bus, results) = (Arc::clone(&bus), Arc::clone(&results));
                Box::new(move || {
                    let published = bus.publish_all(group);
                    assert!(published.is_ok() || published == Err(Full(group)));
                    results.lock().unwrap()[at] = published.is_ok();
                })
            };
            run(vec![publisher(0, [1, 2]), publisher(1, [3, 4])], reverse);
            let [one, other] = *results.lock().unwrap();
            conserved(&bus);
            assert_eq!(bus.stats().refused, 2);
            (one, other, drain(&bus, 1))
        });
        // A slot is taken, until the consumer has been there.
        let expected = [(false, vec![0], vec![]), (true, vec![0], vec![1, 2])];
        outcomes(3, 10, expected, move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(0).unwrap();
            let (out, taken) = slot();
            let published = Arc::new(Mutex::new(false));
            let (a, b, p) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&published));
            run(
                vec![
                    Box::new(move || *p.lock().unwrap() = a.publish_all([1, 2]).is_ok()),
                    Box::new(move || put(&out, drain(&b, 1))),
                ],
                reverse,
            );
            conserved(&bus);
            (*published.lock().unwrap(), get(&taken), drain(&bus, 1))
        });
    }
}

/// A group whose publisher is alone appears at once, but for larger events where steps are critical sections.
#[test]
fn a_group_beside_a_consumer() {
    for reverse in [false, true] {
        let expected = [(vec![], vec![1, 2]), (vec![1, 2], vec![]), (vec![1], vec![2])];
        let expected = expected.into_iter().take(if cfg!(tickbus_sections) { 3 } else { 2 });
        outcomes(3, 10, expected, move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish_all([1, 2]).unwrap()),
                    Box::new(move || put(&out, drain(&b, 1))),
                ],
                reverse,
            );
            conserved(&bus);
            (get(&taken), drain(&bus, 1))
        });
    }
}

/// A group over the end of a block and of the lap, beside an event that finds its place before, within or behind it.
#[test]
fn a_group_over_two_blocks() {
    // Where all is one section, nothing comes in between.
    let at_once = cfg!(tickbus_short_sections);
    for reverse in [false, true] {
        let expected =
            [[9, 1, 2, 3], [1, 9, 2, 3], [1, 2, 9, 3], [1, 2, 3, 9]].into_iter().map(Vec::from);
        let expected: Vec<_> =
            expected.filter(|all| !at_once || all[0] == 9 || all[3] == 9).collect();
        outcomes(3, 100, expected, move || {
            let bus = Arc::new(Bus::<u32, 4>::new());
            bus.publish_batch(&[7, 7, 7]).unwrap();
            assert_eq!(drain(&bus, 1).len(), 3);
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish_all([1, 2, 3]).unwrap()),
                    Box::new(move || b.publish(9).unwrap()),
                ],
                reverse,
            );
            conserved(&bus);
            drain(&bus, 1)
        });
    }
}

/// A publish and a take between the two looks of a group at the ends of the ring hide no room from it.
#[test]
fn a_group_finds_the_room_that_comes_meanwhile() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![1, 2]], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish_all([1]).expect("a false full")),
                    Box::new(move || {
                        b.publish_all([2]).expect("a false full");
                        put(&out, drain(&b, 1));
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            assert!(all.contains(&2), "a false empty");
            all.extend(drain(&bus, 1));
            conserved(&bus);
            all.sort_unstable();
            all
        });
    }
}

/// A group of a lane appears at once, and only when there is room for all of it.
#[test]
fn a_group_on_a_lane() {
    for reverse in [false, true] {
        let expected =
            [(false, vec![0], vec![]), (true, vec![0], vec![1, 2]), (true, vec![0, 1, 2], vec![])];
        outcomes(3, 10, expected, move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            lane.publisher().unwrap().publish(0).unwrap();
            let (out, taken) = slot();
            let published = Arc::new(Mutex::new(false));
            let (a, b, p) = (Arc::clone(&lane), Arc::clone(&lane), Arc::clone(&published));
            run(
                vec![
                    Box::new(move || {
                        *p.lock().unwrap() = a.publisher().unwrap().publish_all([1, 2]).is_ok();
                    }),
                    Box::new(move || {
                        let mut consumer = b.consumer().unwrap();
                        let mut taken: Vec<_> = consumer.drain().collect();
                        taken.extend(consumer.drain());
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let stats = lane.stats();
            assert_eq!(stats.published, stats.handled + stats.pending, "{stats:?}");
            let rest = lane.consumer().unwrap().drain().collect();
            (*published.lock().unwrap(), get(&taken), rest)
        });
    }
}

/// The consumer is handed from one thread to another: what the first has taken stays taken.
#[test]
fn the_consumer_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (first, one) = slot();
            let (second, two) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            let take_one = |bus: &Bus<u32, 2>, out: &Slot| {
                if let Ok(mut consumer) = bus.consumer() {
                    put(out, consumer.drain().take(1).collect());
                }
            };
            run(
                vec![
                    Box::new(move || take_one(&a, &first)),
                    Box::new(move || take_one(&b, &second)),
                ],
                reverse,
            );
            let mut all = get(&one);
            all.extend(get(&two));
            all.sort_unstable();
            all.extend(drain(&bus, 1));
            assert_eq!(all, [1, 2]);
        });
    }
}

/// The consumer of a lane is handed from one thread to another: what the first has taken stays taken.
#[test]
fn the_consumer_of_a_lane_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            lane.publisher().unwrap().publish_batch(&[1, 2]).unwrap();
            let (first, one) = slot();
            let (second, two) = slot();
            let (a, b) = (Arc::clone(&lane), Arc::clone(&lane));
            let take_one = |lane: &Lane<u32, 2>, out: &Slot| {
                if let Ok(mut consumer) = lane.consumer() {
                    put(out, consumer.drain().take(1).collect());
                }
            };
            run(
                vec![
                    Box::new(move || take_one(&a, &first)),
                    Box::new(move || take_one(&b, &second)),
                ],
                reverse,
            );
            let mut all = get(&one);
            all.extend(get(&two));
            all.sort_unstable();
            all.extend(lane.consumer().unwrap().drain());
            assert_eq!(all, [1, 2]);
        });
    }
}

/// The numbers of a lane, read while it works: a tail that is older than the head would look like a full lane.
#[test]
fn counts_of_a_lane_beside_its_work() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let lane = Arc::new(Lane::<u32, 4>::new());
            let (p, c, r) = (Arc::clone(&lane), Arc::clone(&lane), Arc::clone(&lane));
            run(
                vec![
                    Box::new(move || lane_publishes(&p, 1)),
                    Box::new(move || {
                        lane_takes(&c);
                    }),
                    Box::new(move || {
                        let stats = r.stats();
                        assert!(stats.pending <= 1 && stats.high_water <= 1, "{stats:?}");
                        assert_eq!(stats.published, stats.handled + stats.pending);
                    }),
                ],
                reverse,
            );
        });
    }
}

fn lane_publishes(lane: &Lane<u32, 4>, event: u32) {
    lane.publisher().unwrap().publish(event).unwrap();
}

fn lane_takes(lane: &Lane<u32, 4>) {
    lane.consumer().unwrap().drain().for_each(drop);
}

/// The publisher of a lane is handed from one thread to another.
#[test]
fn the_producer_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            let (a, b) = (Arc::clone(&lane), Arc::clone(&lane));
            let publish = |lane: &Lane<u32, 2>, event| {
                if let Ok(mut publisher) = lane.publisher() {
                    publisher.publish(event).unwrap();
                }
            };
            run(vec![Box::new(move || publish(&a, 1)), Box::new(move || publish(&b, 2))], reverse);
            let mut consumer: Consumer<'_, _, Single> = lane.consumer().unwrap();
            let mut all: Vec<_> = consumer.drain().collect();
            assert_eq!(all.len(), lane.stats().handled);
            all.sort_unstable();
            assert!(matches!(all[..], [1] | [2] | [1, 2]));
        });
    }
}

/// Two publish to a lane without a handle: each event arrives or is counted as refused.
#[test]
fn publishing_to_a_lane_without_a_handle() {
    for reverse in [false, true] {
        outcomes(3, 10, [1, 2], move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            let (a, b) = (Arc::clone(&lane), Arc::clone(&lane));
            let publish = |lane: &Lane<u32, 2>, event| {
                let _ = lane.publish(event);
            };
            run(vec![Box::new(move || publish(&a, 1)), Box::new(move || publish(&b, 2))], reverse);
            let taken = lane.consumer().unwrap().drain().count();
            let stats = lane.stats();
            assert_eq!((stats.handled, stats.published, stats.refused), (taken, taken, 2 - taken));
            assert!(lane.publisher().is_ok(), "the end is given back");
            taken
        });
    }
}

/// What a full `DropNewest` bus loses is what its publishers were told.
#[test]
fn losing_the_newest() {
    for reverse in [false, true] {
        outcomes(3, 50, [0, 1], move || {
            let bus = Arc::new(Bus::<u32, 2, DropNewest>::new());
            let lost = Arc::new(Mutex::new(0));
            let (out, taken) = slot();
            let (a, c, l) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&lost));
            bus.publish(0).unwrap();
            run(
                vec![
                    Box::new(move || {
                        for event in [1, 2] {
                            *l.lock().unwrap() += usize::from(a.publish(event).is_err());
                        }
                    }),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            let taken = get(&taken).len() + drain(&bus, 1).len();
            let lost = *lost.lock().unwrap();
            let stats = bus.stats();
            assert_eq!((stats.published, stats.handled, stats.dropped()), (3, taken, lost));
            lost
        });
    }
}

/// A batch into slots that the consumer is just emptying.
#[test]
fn a_batch_in_used_slots() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish_batch(&[1, 2]).unwrap();
            let (out, taken) = slot();
            let accepted = Arc::new(Mutex::new(0));
            let (b, c, a) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&accepted));
            run(
                vec![
                    Box::new(move || {
                        *a.lock().unwrap() = match b.publish_batch(&[3, 4]) {
                            Ok(()) => 2,
                            Err(Full(rest)) => 2 - rest.len(),
                        };
                    }),
                    Box::new(move || put(&out, drain(&c, 1))),
                ],
                reverse,
            );
            let mut all = get(&taken);
            assert_eq!(all, [1, 2]);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            assert_eq!(all, [1, 2, 3, 4][..2 + *accepted.lock().unwrap()]);
        });
    }
}

/// Batches on a lane, into slots that the consumer is just emptying.
#[test]
fn a_lane_in_batches() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            lane.publisher().unwrap().publish_batch(&[1, 2]).unwrap();
            let (out, taken) = slot();
            let (p, c) = (Arc::clone(&lane), Arc::clone(&lane));
            run(
                vec![
                    Box::new(move || {
                        let _ = p.publisher().unwrap().publish_batch(&[3, 4]);
                    }),
                    Box::new(move || {
                        let mut consumer = c.consumer().unwrap();
                        let mut taken: Vec<_> = consumer.drain().collect();
                        taken.extend(consumer.drain());
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(lane.consumer().unwrap().drain());
            assert!((2..=4).contains(&all.len()));
            assert_eq!(all, [1, 2, 3, 4][..all.len()]);
        });
    }
}

/// What has been counted once is not taken back, and nothing is counted that never was.
#[test]
fn counts_beside_a_consumer() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let (before, after) = (a.stats(), a.stats());
                        assert_eq!((before.published, after.published), (2, 2));
                        assert!(before.handled <= after.handled, "{before:?} {after:?}");
                    }),
                    Box::new(move || drop(drain(&b, 1))),
                ],
                reverse,
            );
        });
    }
}

/// As above on a bus that displaces, and with more and more events of which never two wait.
#[test]
fn counts_beside_all_work() {
    fn check<P: Policy + 'static>() {
        for reverse in [false, true] {
            outcomes(3, 10, [()], move || {
                let bus = Arc::new(Bus::<u32, 2, P>::new());
                let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
                run(
                    vec![
                        Box::new(move || {
                            for event in 0..2 {
                                a.publish(event).unwrap();
                                assert_eq!(drain(&a, 1), [event]);
                            }
                        }),
                        Box::new(move || {
                            let stats = b.stats();
                            assert_eq!(stats.dropped(), 0, "{stats:?}");
                            assert!(stats.high_water <= 1 && b.pending() <= 2, "{stats:?}");
                        }),
                    ],
                    reverse,
                );
                assert!(bus.stats().high_water <= 1);
            });
        }
    }
    check::<Reject>();
    check::<DropOldest>();
}

/// One event taken at a time, by `next`, from a bus with a stopped publisher.
#[test]
fn two_takers() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        let _ = b.publish(3);
                        let _ = b.publish(4);
                    }),
                    Box::new(move || {
                        let mut consumer = c.consumer().unwrap();
                        let mut taken = Vec::new();
                        for _ in 0..3 {
                            taken.extend(consumer.drain().next());
                        }
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            assert!(all.starts_with(&[1, 2]));
            all.extend(drain(&bus, 1));
            conserved(&bus);
            assert!(all[2..].is_sorted());
            for _ in 0..3 {
                bus.publish(5).unwrap();
                bus.publish(6).unwrap();
                assert_eq!(bus.publish(7), Err(Full(7)));
                assert_eq!(drain(&bus, 1), [5, 6]);
            }
        });
    }
}

/// As `a_late_event_is_delivered_and_its_slot_serves_again`, in batches.
#[test]
fn a_late_event_beside_batches() {
    for reverse in [false, true] {
        outcomes(3, 500, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish_batch(&[1]).unwrap()),
                    Box::new(move || {
                        b.publish_batch(&[2]).unwrap();
                        let mut taken = drain(&b, 1);
                        assert!(taken.contains(&2), "a false empty");
                        b.publish_batch(&[3]).expect("a false full");
                        let more = drain(&b, 1);
                        assert!(more.contains(&3), "a false empty");
                        taken.extend(more);
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
        });
    }
}

/// A publisher whose first event was overtaken goes on to a second: its own order is kept.
#[test]
fn the_order_of_a_late_publisher() {
    for reverse in [false, true] {
        outcomes(3, 100, [()], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            let (out, taken) = slot();
            let (a, b) = (Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || {
                        a.publish(1).unwrap();
                        let _ = a.publish(3);
                    }),
                    Box::new(move || {
                        let _ = b.publish(2);
                        put(&out, drain(&b, 2));
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(drain(&bus, 1));
            conserved(&bus);
            assert!(all.iter().filter(|event| **event != 2).is_sorted(), "{all:?}");
        });
    }
}

/// An event that was not there yet is there in the next drain of the same consumer.
#[test]
fn the_same_consumer_takes_the_late_event() {
    outcomes(3, 10, [vec![1, 2], vec![2, 1]], || {
        let bus: &'static Bus<u32, 2> = Box::leak(Box::new(Bus::new()));
        let publisher = thread::spawn(|| bus.publish(1).unwrap());
        let reader = thread::spawn(|| {
            bus.publish(2).unwrap();
            let mut consumer = bus.consumer().unwrap();
            let taken: Vec<_> = consumer.drain().collect();
            (consumer, taken)
        });
        publisher.join().unwrap();
        let (mut consumer, mut all) = reader.join().unwrap();
        all.extend(consumer.drain());
        all
    });
}

/// The slots of a chunk are free when its events are out, and not before.
#[test]
fn the_slots_of_a_chunk_are_used_again() {
    for reverse in [false, true] {
        outcomes(3, 10, [0, 1, 2], move || {
            let bus = Arc::new(Bus::<u32, 2>::new());
            bus.publish(1).unwrap();
            bus.publish(2).unwrap();
            let (out, taken) = slot();
            let (b, c) = (Arc::clone(&bus), Arc::clone(&bus));
            let accepted = Arc::new(Mutex::new(0));
            let a = Arc::clone(&accepted);
            run(
                vec![
                    Box::new(move || {
                        let accepted = [3, 4].map(|event| b.publish(event).is_ok());
                        *a.lock().unwrap() = accepted.into_iter().filter(|taken| *taken).count();
                    }),
                    Box::new(move || put(&out, append(&c))),
                ],
                reverse,
            );
            assert_eq!(get(&taken), [1, 2]);
            let accepted = *accepted.lock().unwrap();
            assert_eq!(append(&bus).len(), accepted);
            conserved(&bus);
            accepted
        });
    }
}

/// Publishers that overtake one another swap their cells for ever: a chunk finds the events all the same,
/// also where it begins in the middle of a lap.
#[test]
fn a_chunk_of_swapped_cells() {
    for reverse in [false, true] {
        outcomes(2, 500, [vec![1, 2], vec![2, 1]], move || {
            let bus = Arc::new(Bus::<u32, 4>::new());
            bus.publish(0).unwrap();
            assert_eq!(append(&bus), [0]);
            let (out, taken) = slot();
            let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
            run(
                vec![
                    Box::new(move || a.publish(1).unwrap()),
                    Box::new(move || b.publish(2).unwrap()),
                    Box::new(move || put(&out, append(&c))),
                ],
                reverse,
            );
            let mut all = get(&taken);
            all.extend(append(&bus));
            conserved(&bus);
            for lap in 0..3 {
                let events = [0, 1, 2, 3].map(|event| 10 * lap + event);
                match lap {
                    1 => bus.publish_batch(&events).unwrap(),
                    _ => events.iter().for_each(|event| bus.publish(*event).unwrap()),
                }
                assert_eq!(append(&bus), events);
            }
            all
        });
    }
}

/// A publisher that finds the ring full, then room for two and no more: the drain had moved its first chunk out,
/// which is two events in a model.
fn room_comes_by_the_chunk<T: Send + Sync + 'static>(
    new: fn() -> T,
    publish: fn(&T, u32) -> bool,
    append: fn(&T) -> Vec<u32>,
) {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 10, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let ring = Arc::new(new());
                assert!((1..=4).all(|event| publish(&ring, event)));
                let (out, taken) = slot();
                let (p, c, seen) = (Arc::clone(&ring), Arc::clone(&ring), Arc::clone(&seen));
                run(
                    vec![
                        Box::new(move || {
                            let accepted = [5, 6, 7].map(|event| publish(&p, event));
                            seen.lock().unwrap().insert(accepted);
                        }),
                        Box::new(move || put(&out, append(&c))),
                    ],
                    reverse,
                );
                assert_eq!(get(&taken), [1, 2, 3, 4]);
            }
        });
        assert!(seen.lock().unwrap().contains(&[true, true, false]));
    }
}

#[test]
fn room_of_a_bus_comes_by_the_chunk() {
    room_comes_by_the_chunk(
        Bus::<u32, 4>::new,
        |bus, event| bus.publish(event).is_ok(),
        |bus| append(bus),
    );
}

#[test]
fn room_of_a_lane_comes_by_the_chunk() {
    room_comes_by_the_chunk(
        Lane::<u32, 4>::new,
        |lane, event| lane.publish(event).is_ok(),
        |lane| {
            let mut taken = Vec::new();
            lane.consumer().unwrap().drain().append_to(&mut taken);
            taken
        },
    );
}

/// A lane that never has more than one event never says so, whenever its counts are read.
#[test]
fn counts_of_a_lane_never_show_more_events_than_there_were() {
    for reverse in [false, true] {
        outcomes(3, 10, [()], move || {
            let lane = Arc::new(Lane::<u32, 4>::new());
            let (both, reader) = (Arc::clone(&lane), Arc::clone(&lane));
            run(
                vec![
                    Box::new(move || {
                        for event in 1..=2 {
                            lane_publishes(&both, event);
                            lane_takes(&both);
                        }
                    }),
                    Box::new(move || assert!(reader.stats().high_water <= 1)),
                ],
                reverse,
            );
            assert_eq!(lane.stats().high_water, 1);
        });
    }
}

/// Each event that finds no room, or meets the publisher of a lane, is counted, also of two at once.
#[test]
fn events_that_are_refused_at_once_are_each_counted() {
    fn check<T: Send + Sync + 'static>(
        ring: fn() -> T,
        publish: fn(&T) -> bool,
        refused: fn(&T) -> usize,
    ) {
        outcomes(3, 2, [2], move || {
            let ring = Arc::new(ring());
            let (a, b) = (Arc::clone(&ring), Arc::clone(&ring));
            run(
                vec![
                    Box::new(move || assert!(!publish(&a))),
                    Box::new(move || assert!(!publish(&b))),
                ],
                false,
            );
            refused(&ring)
        });
    }
    fn full<P: Policy>() -> Bus<u32, 2, P> {
        let bus = Bus::new();
        assert!([1, 2].into_iter().all(|event| bus.publish(event).is_ok()));
        bus
    }
    check(full::<Reject>, |bus| bus.publish(3).is_ok(), |bus| bus.stats().refused);
    check(full::<DropNewest>, |bus| bus.publish(3).is_ok(), |bus| bus.stats().dropped_newest);
    let with_a_publisher = || {
        let lane = Lane::<u32, 2>::new();
        core::mem::forget(lane.publisher().unwrap());
        lane
    };
    check(with_a_publisher, |lane| lane.publish(3).is_ok(), |lane| lane.stats().refused);
}

/// A lane by the chunk, into whose slots its publisher publishes again: they are free all at once.
#[test]
fn a_lane_by_the_chunk() {
    for reverse in [false, true] {
        outcomes(3, 10, [2, 4], move || {
            let lane = Arc::new(Lane::<u32, 2>::new());
            lane.publisher().unwrap().publish_batch(&[1, 2]).unwrap();
            let (out, taken) = slot();
            let (p, c) = (Arc::clone(&lane), Arc::clone(&lane));
            run(
                vec![
                    Box::new(move || {
                        let mut publisher = p.publisher().unwrap();
                        if publisher.publish(3).is_ok() {
                            let _ = publisher.publish(4);
                        }
                    }),
                    Box::new(move || {
                        let mut taken = Vec::new();
                        c.consumer().unwrap().drain().append_to(&mut taken);
                        put(&out, taken);
                    }),
                ],
                reverse,
            );
            let mut all = get(&taken);
            lane.consumer().unwrap().drain().append_to(&mut all);
            assert_eq!(all, [1, 2, 3, 4][..all.len()]);
            all.len()
        });
    }
}

/// A publisher that is interrupted before it stores the hint stores it when others have published: an operation that
/// looks for the end from there finds it, and has seen every event before it.
#[test]
fn a_hint_that_is_behind() {
    fn check<P: Policy + 'static>(preemptions: usize) {
        for reverse in [false, true] {
            outcomes(preemptions, 500, [()], move || {
                let bus = Arc::new(Bus::<u32, 4, P>::new());
                let (out, taken) = slot();
                let (a, b, c) = (Arc::clone(&bus), Arc::clone(&bus), Arc::clone(&bus));
                run(
                    vec![
                        Box::new(move || a.publish(1).unwrap()),
                        Box::new(move || {
                            b.publish_batch(&[10, 11]).unwrap();
                            b.publish(12).unwrap();
                        }),
                        Box::new(move || put(&out, drain(&c, 1))),
                    ],
                    reverse,
                );
                let mut all = get(&taken);
                all.extend(drain(&bus, 1));
                // From the hint that is behind, too.
                bus.publish(13).unwrap();
                all.extend(drain(&bus, 1));
                conserved(&bus);
                let own: Vec<_> = all.iter().copied().filter(|event| *event != 1).collect();
                assert_eq!((own, all.len()), (vec![10, 11, 12, 13], 5));
            });
        }
    }
    check::<Reject>(1);
    check::<DropOldest>(1);
}

// ---- Ticks -------------------------------------------------------------------------------------

tickbus::events! {
    #[derive(Clone, Copy, Debug)]
    enum Numbered {
        #[subject = "numbered.once"]
        Once(u32),
        /// Its handler publishes another one.
        #[subject = "numbered.twice"]
        Twice(u32),
    }
}

/// What the handlers of a tick work on.
struct Ticked<P: Policy, const N: usize> {
    bus: Arc<Bus<Numbered, N, P>>,
    seen: Vec<u32>,
}

impl<P: Policy, const N: usize> Ticked<P, N> {
    const TABLE: Dispatch<Numbered, Self, { Numbered::KINDS }> =
        Dispatch::new().on("numbered.*", |ticked, event| {
            let (Numbered::Once(number) | Numbered::Twice(number)) = *event;
            ticked.seen.push(number);
            if let Numbered::Twice(number) = *event {
                let _ = ticked.bus.publish(Numbered::Once(10 * number));
            }
        });

    fn new(bus: &Arc<Bus<Numbered, N, P>>) -> Self {
        Self { bus: Arc::clone(bus), seen: Vec::new() }
    }

    /// Ticks so often with one consumer.
    fn tick(&mut self, times: usize, budget: Budget) -> Vec<Report> {
        let bus = Arc::clone(&self.bus);
        let mut consumer = bus.consumer().unwrap();
        (0..times).map(|_| Self::TABLE.tick(self, &mut consumer, budget)).collect()
    }
}

/// The sum over all ticks is what the bus counts, and what each of them says is possible.
fn accounted<const N: usize, P: Policy>(bus: &Bus<Numbered, N, P>, reports: &[Report]) {
    let stats = bus.stats();
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    assert!(reports.iter().all(|report| report.left <= N), "{reports:?}");
    assert!(reports.iter().all(|report| report.dropped <= stats.dropped()), "{reports:?}");
    assert_eq!(sum(|report| report.handled), stats.handled, "{reports:?} {stats:?}");
    assert_eq!(sum(|report| report.dropped), stats.dropped(), "{reports:?} {stats:?}");
    assert_eq!(sum(|report| report.refused), stats.refused, "{reports:?} {stats:?}");
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
    assert_eq!(reports.last().map(|report| report.left), Some(stats.pending));
}

/// A tick beside two publishers handles what it finds, and says what it leaves.
#[test]
fn a_tick_beside_publishers() {
    for reverse in [false, true] {
        let expected = [vec![], vec![1], vec![1, 2], vec![2], vec![2, 1]];
        outcomes(2, 500, expected, move || {
            let bus = Arc::new(Bus::<Numbered, 2>::new());
            let [a, b] = [1, 2].map(|number| {
                let bus = Arc::clone(&bus);
                Box::new(move || {
                    bus.publish(Numbered::Once(number)).unwrap();
                    Vec::new()
                }) as Task<_>
            });
            let mut ticked = Ticked::new(&bus);
            let (out, taken) = slot();
            let c = Box::new(move || {
                let reports = ticked.tick(1, Budget::unlimited());
                assert_eq!(reports[0].handled, ticked.seen.len());
                put(&out, ticked.seen);
                reports
            });
            let mut reports = run(vec![a, b, c], reverse).concat();
            let taken = get(&taken);
            let mut rest = Ticked::new(&bus);
            reports.extend(rest.tick(1, Budget::unlimited()));
            accounted(&bus, &reports);
            let mut all = [&taken[..], &rest.seen].concat();
            all.sort_unstable();
            assert_eq!(all, [1, 2]);
            taken
        });
    }
}

/// What a handler publishes is of the next generation, also where others publish meanwhile.
#[test]
fn the_generations_of_a_tick_beside_a_publisher() {
    for reverse in [false, true] {
        // What the tick found, in its one or two generations.
        let expected = [
            (vec![], 0),
            (vec![1, 10], 2),
            (vec![1, 10, 2], 2),
            (vec![1, 2, 10], 2),
            (vec![1, 2, 10, 20], 2),
        ];
        // loom does not try every order of sections.
        let expected = expected.into_iter().filter(|it| {
            !cfg!(any(tickbus_sections, tickbus_short_sections)) || it.0 != [1, 10, 2]
        });
        outcomes(3, 100, expected, move || {
            let bus = Arc::new(Bus::<Numbered, 4>::new());
            let b = Arc::clone(&bus);
            let a = Box::new(move || {
                b.publish(Numbered::Twice(1)).unwrap();
                b.publish(Numbered::Twice(2)).unwrap();
                Vec::new()
            });
            let mut ticked = Ticked::new(&bus);
            let (out, taken) = slot();
            let c = Box::new(move || {
                let reports = ticked.tick(1, Budget::unlimited().generations(2));
                put(&out, ticked.seen);
                reports
            });
            let mut reports = run(vec![a, c], reverse).concat();
            let generations = reports[0].generations;
            let taken = get(&taken);
            let mut rest = Ticked::new(&bus);
            reports.extend(rest.tick(1, Budget::unlimited().generations(3)));
            accounted(&bus, &reports);
            let mut all = [&taken[..], &rest.seen].concat();
            all.sort_unstable();
            assert_eq!(all, [1, 2, 10, 20]);
            (taken, generations)
        });
    }
}

/// Ticks of one event each on a bus that displaces: every loss is told once, by the tick that comes next.
#[test]
fn ticks_tell_every_displaced_event_once() {
    for reverse in [false, true] {
        outcomes(1, 100, [1, 2, 3], move || {
            let bus = Arc::new(Bus::<Numbered, 2, DropOldest>::new());
            bus.publish(Numbered::Once(1)).unwrap();
            bus.publish(Numbered::Once(2)).unwrap();
            let b = Arc::clone(&bus);
            let a = Box::new(move || {
                for number in 3..=5 {
                    b.publish(Numbered::Once(number)).unwrap();
                }
                Vec::new()
            });
            let mut ticked = Ticked::new(&bus);
            let c = Box::new(move || {
                let reports = ticked.tick(2, Budget::events(1));
                assert!(ticked.seen.is_sorted());
                reports
            });
            let mut reports = run(vec![a, c], reverse).concat();
            reports.extend(Ticked::new(&bus).tick(1, Budget::unlimited()));
            accounted(&bus, &reports);
            bus.stats().dropped()
        });
    }
}

/// As above with two publishers, who may displace one another's events.
#[test]
fn ticks_beside_two_displacing_publishers() {
    for reverse in [false, true] {
        outcomes(1, 100, [1, 2], move || {
            let bus = Arc::new(Bus::<Numbered, 2, DropOldest>::new());
            bus.publish(Numbered::Once(1)).unwrap();
            bus.publish(Numbered::Once(2)).unwrap();
            let [a, b] = [3, 4].map(|number| {
                let bus = Arc::clone(&bus);
                Box::new(move || {
                    let _ = bus.publish(Numbered::Once(number));
                    Vec::new()
                }) as Task<_>
            });
            let mut ticked = Ticked::new(&bus);
            let c = Box::new(move || ticked.tick(1, Budget::events(1)));
            let mut reports = run(vec![a, b, c], reverse).concat();
            reports.extend(Ticked::new(&bus).tick(1, Budget::unlimited()));
            accounted(&bus, &reports);
            bus.stats().dropped()
        });
    }
}

/// What a full bus refuses is told by the next tick.
#[test]
fn ticks_tell_what_was_refused() {
    for reverse in [false, true] {
        outcomes(3, 100, [0, 1, 2], move || {
            let bus = Arc::new(Bus::<Numbered, 2>::new());
            bus.publish(Numbered::Once(1)).unwrap();
            let b = Arc::clone(&bus);
            let a = Box::new(move || {
                for number in 2..=4 {
                    let _ = b.publish(Numbered::Once(number));
                }
                Vec::new()
            });
            let mut ticked = Ticked::new(&bus);
            let c = Box::new(move || ticked.tick(2, Budget::events(1)));
            let mut reports = run(vec![a, c], reverse).concat();
            reports.extend(Ticked::new(&bus).tick(1, Budget::unlimited()));
            accounted(&bus, &reports);
            bus.stats().refused
        });
    }
}
