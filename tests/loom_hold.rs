//! Can it race? Holds under the model checker, each model with the exact set of outcomes it
//! must have. Run with `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --test loom_hold`.
//!
//! As in `loom.rs`, each model runs with its threads spawned in both orders, the main thread only
//! joins, and a model that explores too little fails.
#![cfg(tickbus_loom)]

mod models;

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use models::{Task, outcomes, run};
use tickbus::hold::Held;
use tickbus::{Bus, Full, Hold, Topic};

type Target = Bus<u64, 4>;
type Small = Hold<&'static Target, 2>;

/// A bus, and a hold before it. A model leaks its bus, which the hold borrows.
fn both() -> (Arc<Small>, &'static Target) {
    let bus: &Target = Box::leak(Box::new(Bus::new()));
    (Arc::new(Hold::before(bus)), bus)
}

fn drain(bus: &Target) -> Vec<u64> {
    bus.consumer().expect("one thread consumes").drain().collect()
}

/// What is on the bus when every operation has returned and the hold is started: all, without another step.
#[track_caller]
fn all(hold: &Small, bus: &Target) -> Vec<u64> {
    assert!(hold.is_started() && hold.pending() == 0, "{hold:?}");
    let stats = hold.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped(), "{stats:?}");
    let all = drain(bus);
    assert_eq!((hold.publish(99), drain(bus)), (Ok(Held::No), vec![99]), "it is live");
    all
}

fn task<T>(hold: &Arc<Small>, task: impl FnOnce(&Small) -> T + Send + 'static) -> Task<T> {
    let hold = Arc::clone(hold);
    Box::new(move || task(&hold))
}

/// Held, live or full.
fn letter(told: Result<Held, Full<u64>>) -> char {
    match told {
        Ok(Held::Yes) => 'H',
        Ok(Held::No) => 'L',
        Err(_) => 'F',
    }
}

fn publish(hold: &Small, events: &[u64]) -> String {
    events.iter().map(|event| letter(hold.publish(*event))).collect()
}

/// What is held comes before what is live, and nothing stays behind.
#[test]
fn a_start_beside_a_publisher() {
    for reverse in [false, true] {
        let expected = ["HH", "HL", "LL"].map(String::from);
        outcomes(3, 100, expected, move || {
            let (hold, bus) = both();
            assert_eq!(publish(&hold, &[1]), "H");
            let said = run(
                vec![
                    task(&hold, |hold| publish(hold, &[10, 11])),
                    task(&hold, |hold| {
                        hold.start();
                        String::new()
                    }),
                ],
                reverse,
            );
            // The buffer of two has room for the second only when the replay has begun.
            let told = said[0].clone();
            let all = all(&hold, bus);
            if let Some(lost) = told.find('F') {
                assert_eq!((lost, all), (1, vec![1, 10]));
                return "HL".to_owned();
            }
            assert_eq!(all, [1, 10, 11]);
            told
        });
    }
}

/// Two publishers while it starts: in order per publisher, whichever context replays.
#[test]
fn a_start_beside_two_publishers() {
    for reverse in [false, true] {
        // What is held comes before what is live. One preemption reaches these, by which thread comes first.
        let expected = if reverse {
            [("HL", [10, 20]), ("LH", [20, 10]), ("LL", [10, 20]), ("LL", [20, 10])]
        } else {
            [("HH", [10, 20]), ("HH", [20, 10]), ("HL", [10, 20]), ("LL", [10, 20])]
        };
        let expected = expected.map(|(told, order)| (told.to_owned(), order.to_vec()));
        outcomes(1, 300, expected, move || {
            let (hold, bus) = both();
            let said = run(
                vec![
                    task(&hold, |hold| publish(hold, &[10])),
                    task(&hold, |hold| publish(hold, &[20])),
                    task(&hold, |hold| {
                        hold.start();
                        String::new()
                    }),
                ],
                reverse,
            );
            (said.concat(), all(&hold, bus))
        });
    }
}

/// A pause in between keeps the order of a publisher, and a start at the end brings all out.
#[test]
fn start_and_pause_beside_a_publisher() {
    for reverse in [false, true] {
        let expected = ["HH", "HL", "LH", "LL"].map(String::from);
        outcomes(2, 300, expected, move || {
            let (hold, bus) = both();
            let said = run(
                vec![
                    task(&hold, |hold| publish(hold, &[10, 11])),
                    task(&hold, |hold| {
                        hold.start();
                        hold.pause();
                        String::new()
                    }),
                ],
                reverse,
            );
            assert!(!hold.is_started());
            assert_eq!(publish(&hold, &[12]).find('L'), None, "it is paused");
            hold.start();
            let all = all(&hold, bus);
            assert!(all.starts_with(&[10, 11]), "{all:?}");
            said[0].clone()
        });
    }
}

/// Two contexts start it, a third pauses it: the one that finds the buffer claimed leaves it to another that looks again.
#[test]
fn two_starts_and_a_pause() {
    for reverse in [false, true] {
        outcomes(3, 300, [()], move || {
            let (hold, bus) = both();
            assert_eq!(publish(&hold, &[1, 2]), "HH");
            run(
                vec![
                    task(&hold, |hold| hold.start()),
                    task(&hold, |hold| {
                        hold.pause();
                        hold.start();
                    }),
                ],
                reverse,
            );
            assert_eq!(all(&hold, bus), [1, 2]);
        });
    }
}

/// A pause beside a replay keeps the rest, in order.
#[test]
fn a_pause_beside_a_replay() {
    for reverse in [false, true] {
        outcomes(3, 50, [vec![], vec![1], vec![1, 2]], move || {
            let (hold, bus) = both();
            assert_eq!(publish(&hold, &[1, 2]), "HH");
            run(vec![task(&hold, |hold| hold.start()), task(&hold, |hold| hold.pause())], reverse);
            let before = drain(bus);
            hold.start();
            let mut all_of_it = before.clone();
            all_of_it.extend(all(&hold, bus));
            assert_eq!(all_of_it, [1, 2]);
            before
        });
    }
}

/// A limit is exact: of two publishers beside each other one finds room.
#[test]
fn a_limit_beside_publishers() {
    for reverse in [false, true] {
        outcomes(3, 20, ["FH".to_owned(), "HF".to_owned()], move || {
            let bus: &Target = Box::leak(Box::new(Bus::new()));
            let hold: Arc<Small> = Arc::new(Hold::before(bus).limit(1));
            let said = run(
                vec![
                    task(&hold, |hold| publish(hold, &[10])),
                    task(&hold, |hold| publish(hold, &[20])),
                ],
                reverse,
            );
            hold.start();
            assert_eq!(all(&hold, bus).len(), 1);
            said.concat()
        });
    }
}

/// A publisher whose event goes straight on sees what was done before the start.
#[test]
fn a_live_publisher_sees_what_came_before_the_start() {
    for reverse in [false, true] {
        outcomes(3, 5, ["H", "L"].map(String::from), move || {
            let (hold, bus) = both();
            let prepared = Arc::new(AtomicUsize::new(0));
            let prepares = Arc::clone(&prepared);
            let said = run(
                vec![
                    task(&hold, move |hold| {
                        let told = publish(hold, &[10]);
                        assert!(
                            told != "L" || prepared.load(Relaxed) == 1,
                            "live before the start"
                        );
                        told
                    }),
                    task(&hold, move |hold| {
                        prepares.store(1, Relaxed);
                        hold.start();
                        String::new()
                    }),
                ],
                reverse,
            );
            assert_eq!(all(&hold, bus), [10]);
            said.concat()
        });
    }
}

/// A publisher whose event goes straight on finds what was replayed with the target, before its own.
#[test]
fn a_live_publisher_finds_what_was_replayed() {
    for reverse in [false, true] {
        outcomes(3, 20, ["H", "L"].map(String::from), move || {
            let topic: &Topic<u64, 2> = Box::leak(Box::new(Topic::new()));
            let hold: Arc<Hold<&'static Topic<u64, 2>, 2>> = Arc::new(Hold::before(topic));
            hold.publish(1).unwrap();
            let (theirs, starts) = (Arc::clone(&hold), hold);
            let mut subscriber = topic.subscribe();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let told = letter(theirs.publish(2));
                    let read: Vec<_> = subscriber.read().flatten().collect();
                    assert!(told != 'L' || read == [1, 2], "{read:?}");
                    told.to_string()
                }),
                Box::new(move || {
                    starts.start();
                    String::new()
                }),
            ];
            run(tasks, reverse).concat()
        });
    }
}
