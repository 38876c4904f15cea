//! Can it race? Holds under the model checker, each model with the exact set of outcomes it
//! must have. Run with `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --test loom_hold`.
//!
//! As in `loom.rs`, each model runs with its threads spawned in both orders, the main thread only
//! joins, and a model that explores too little fails.
#![cfg(tickbus_loom)]

mod models;

use std::sync::Arc;

use models::{Task, outcomes, run};
use tickbus::hold::Delivery;
use tickbus::hold::Delivery::{Held, Live};
use tickbus::{Full, Hold};

type Small = Hold<u64, 2>;
type Told = Result<Delivery, Full<u64>>;

fn held() -> Arc<Small> {
    Arc::new(Hold::new())
}

fn started() -> Arc<Small> {
    let hold = held();
    hold.start();
    hold
}

/// What one drain takes.
fn drain(hold: &Small) -> Vec<u64> {
    hold.consumer().expect("one thread consumes").drain().collect()
}

/// The same by way of the consumer of the bus.
fn drain_live(hold: &Small) -> Vec<u64> {
    let mut events = hold.consumer().expect("one thread consumes");
    events.live().map_or(vec![], |events| events.drain().collect())
}

/// Starts it, takes what is left, and looks whether all adds up.
#[track_caller]
fn rest(hold: &Small) -> Vec<u64> {
    hold.start();
    let rest = drain(hold);
    let stats = hold.stats();
    assert_eq!(stats.published, stats.handled + stats.dropped(), "{stats:?}");
    assert_eq!((stats.pending, stats.dropped_oldest, stats.refused), (0, 0, 0), "{stats:?}");
    assert!(hold.dropped_held() <= stats.dropped_newest, "{stats:?}");
    assert_eq!(hold.publish(99), Ok(Live));
    assert_eq!(drain(hold), [99]);
    rest
}

fn task<T>(hold: &Arc<Small>, task: impl FnOnce(&Small) -> T + Send + 'static) -> Task<T> {
    let hold = Arc::clone(hold);
    Box::new(move || task(&hold))
}

/// What a thread has to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Told(Vec<u8>),
    Took(Vec<u64>),
}

/// Held, live or full.
fn letter(told: &Told) -> u8 {
    match told {
        Ok(Held) => b'H',
        Ok(Live) => b'L',
        Err(_) => b'F',
    }
}

fn told(said: &Said) -> String {
    let Said::Told(letters) = said else { panic!("{said:?}") };
    String::from_utf8(letters.clone()).expect("letters")
}

fn took(said: &Said) -> Vec<u64> {
    let Said::Took(events) = said else { panic!("{said:?}") };
    events.clone()
}

/// What is published after a pause comes out after the next start, whatever the drain that begins meanwhile
/// finds.
#[test]
fn nothing_that_is_published_after_a_pause_comes_out() {
    for reverse in [false, true] {
        let all = [vec![], vec![1]];
        outcomes(3, 40, all, move || {
            let hold = started();
            hold.publish(1).unwrap();
            let said = run(
                vec![
                    task(&hold, |hold| {
                        hold.pause();
                        assert_eq!(hold.publish(2), Ok(Held));
                        Said::Nothing
                    }),
                    task(&hold, |hold| Said::Took(drain(hold))),
                ],
                reverse,
            );
            let during = took(&said[1]);
            let mut all = during.clone();
            all.extend(rest(&hold));
            assert_eq!(all, [1, 2], "in order");
            during
        });
    }
}

/// A reader that knows of the start finds everything that was held.
#[test]
fn a_reader_that_finds_it_started_finds_what_was_held() {
    type Drain = fn(&Small) -> Vec<u64>;
    let asks: Drain = |hold| if hold.is_started() { drain(hold) } else { vec![] };
    for (reverse, take) in
        [(false, asks), (true, asks), (false, drain_live as Drain), (true, drain_live)]
    {
        outcomes(3, 10, [vec![], vec![1, 2]], move || {
            let hold = held();
            let said = run(
                vec![
                    task(&hold, |hold| {
                        assert_eq!([hold.publish(1), hold.publish(2)], [Ok(Held); 2]);
                        hold.start();
                        Said::Nothing
                    }),
                    task(&hold, move |hold| Said::Took(take(hold))),
                ],
                reverse,
            );
            let during = took(&said[1]);
            let mut all = during.clone();
            all.extend(rest(&hold));
            assert_eq!(all, [1, 2]);
            during
        });
    }
}

/// A publisher, one who starts and pauses, and a reader: nothing overtakes, nothing is lost, and the
/// publisher is told what was true when it began.
#[test]
fn publish_start_pause_and_drain_race() {
    let all = [
        ("HH", vec![]),
        ("HH", vec![10]),
        ("HH", vec![10, 11]),
        ("HL", vec![]),
        ("HL", vec![10]),
        ("HL", vec![10, 11]),
        ("LH", vec![]),
        // Not both: a drain that finds the second one knows of the pause before it, as its publisher did.
        ("LH", vec![10]),
        ("LL", vec![]),
        ("LL", vec![10]),
        ("LL", vec![10, 11]),
    ];
    for reverse in [false, true] {
        let all = all.clone().map(|(told, took)| (told.to_owned(), took));
        outcomes(2, 500, all, move || {
            let hold = held();
            let said = run(
                vec![
                    task(&hold, |hold| {
                        Said::Told([10, 11].map(|event| letter(&hold.publish(event))).to_vec())
                    }),
                    task(&hold, |hold| {
                        hold.start();
                        hold.pause();
                        Said::Nothing
                    }),
                    task(&hold, |hold| Said::Took(drain(hold))),
                ],
                reverse,
            );
            let during = took(&said[2]);
            let mut all = during.clone();
            all.extend(rest(&hold));
            assert_eq!(all, [10, 11], "once each, in order");
            (told(&said[0]), during)
        });
    }
}

/// Two publishers while it starts: both are told, and the replay comes before what is live.
#[test]
fn two_publishers_and_a_start() {
    for reverse in [false, true] {
        let all = [
            (b"HH", [10, 20]),
            (b"HH", [20, 10]),
            (b"HL", [10, 20]),
            (b"HL", [20, 10]),
            (b"LH", [10, 20]),
            (b"LH", [20, 10]),
            (b"LL", [10, 20]),
            (b"LL", [20, 10]),
        ];
        let all = all.map(|(told, rest)| (told.to_vec(), rest.to_vec()));
        outcomes(3, 500, all, move || {
            let hold = held();
            let said = run(
                vec![
                    task(&hold, |hold| letter(&hold.publish(10))),
                    task(&hold, |hold| letter(&hold.publish(20))),
                    task(&hold, |hold| {
                        hold.start();
                        b'-'
                    }),
                ],
                reverse,
            );
            (said[..2].to_vec(), rest(&hold))
        });
    }
}

/// What finds no room is counted once, and under its own reason if it was to be held.
#[test]
fn what_is_lost_while_held_is_counted_apart() {
    for reverse in [false, true] {
        outcomes(3, 100, [2], move || {
            let hold = held();
            assert_eq!([hold.publish(1), hold.publish(2)], [Ok(Held); 2]);
            let said = run(
                vec![task(&hold, |hold| hold.publish(3)), task(&hold, |hold| hold.publish(4))],
                reverse,
            );
            assert_eq!(said, [Err(Full(3)), Err(Full(4))]);
            assert_eq!(hold.stats().dropped_newest, 2);
            let lost = hold.dropped_held();
            assert_eq!(rest(&hold), [1, 2]);
            lost
        });
        // With a start in between it is one or the other, and with a drain as well it may find room.
        let all = [("F", 0), ("F", 1), ("H", 0), ("L", 0)];
        outcomes(3, 100, all.map(|(told, lost)| (told.to_owned(), lost)), move || {
            let hold = held();
            assert_eq!([hold.publish(1), hold.publish(2)], [Ok(Held); 2]);
            let said = run(
                vec![
                    task(&hold, |hold| Said::Told(vec![letter(&hold.publish(3))])),
                    task(&hold, |hold| {
                        hold.start();
                        Said::Took(drain(hold))
                    }),
                ],
                reverse,
            );
            let (told, during, lost) = (told(&said[0]), took(&said[1]), hold.dropped_held());
            let mut all = during.clone();
            all.extend(rest(&hold));
            assert_eq!(during, [1, 2], "the start comes before");
            assert_eq!(all, if told == "F" { vec![1, 2] } else { vec![1, 2, 3] });
            (told, lost)
        });
    }
}
