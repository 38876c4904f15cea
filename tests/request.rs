//! Requests: which responders answered, which did not, and nothing left behind.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::request::{AnswerError, Answers, InvalidRequest, RequestError, RequestId, Requests};
use tickbus::{Bus, Full};

// ---- Helpers -----------------------------------------------------------------------------------

type Names = Requests<&'static str, u32, 4, 4>;
type Result<const M: usize> =
    core::result::Result<Answers<&'static str, u32, M>, RequestError<&'static str, u32, M>>;

/// What ends at this tick.
fn ended<const R: usize, const M: usize>(
    requests: &mut Requests<&'static str, u32, R, M>,
    now: u32,
) -> Vec<(RequestId, Result<M>)> {
    let mut all = vec![];
    let count = requests.tick(now, |id, answers| all.push((id, answers)));
    assert_eq!(count, all.len());
    all
}

/// The one that ends at this tick.
#[track_caller]
fn the_end<const R: usize, const M: usize>(
    requests: &mut Requests<&'static str, u32, R, M>,
    now: u32,
) -> Result<M> {
    let mut all = ended(requests, now);
    assert_eq!(all.len(), 1);
    all.pop().unwrap().1
}

const ALL: [&str; 3] = ["a", "b", "c"];

// ---- The contract ------------------------------------------------------------------------------

#[test]
fn all_have_answered_in_arrival_order_and_none_is_missing() {
    let mut requests = Names::new();
    let id = requests.open(&ALL, 3, 100).unwrap();
    for (responder, answer) in [("c", 1), ("a", 2), ("b", 3)] {
        assert!(ended(&mut requests, 1).is_empty());
        requests.answer(id, responder, answer).unwrap();
    }
    let answers = the_end(&mut requests, 1).unwrap();
    assert_eq!(answers.arrived(), [("c", 1), ("a", 2), ("b", 3)]);
    assert_eq!(answers.missing(), [""; 0]);
    assert!(answers.into_arrived().eq([("c", 1), ("a", 2), ("b", 3)]));
}

#[test]
fn the_minimum_ends_it_well_and_lists_the_missing_in_expected_order() {
    let mut requests: Requests<&str, u32, 1, 5> = Requests::new();
    let id = requests.open(&["e", "d", "c", "b", "a"], 2, 100).unwrap();
    requests.answer(id, "c", 1).unwrap();
    assert!(ended(&mut requests, 99).is_empty());
    requests.answer(id, "a", 2).unwrap();
    let answers = the_end(&mut requests, 99).unwrap();
    assert_eq!(
        (answers.arrived(), answers.missing()),
        (&[("c", 1), ("a", 2)][..], &["e", "d", "b"][..])
    );
}

#[test]
fn answers_beyond_the_minimum_are_taken_until_the_tick() {
    let mut requests = Names::new();
    let id = requests.open(&ALL, 1, 100).unwrap();
    for responder in ALL {
        requests.answer(id, responder, 0).unwrap();
    }
    assert_eq!(the_end(&mut requests, 1).unwrap().missing(), [""; 0]);
}

#[test]
fn a_timeout_is_an_error_with_the_partial_result() {
    for deadline in [0, 10, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
        let mut requests = Names::new();
        let id = requests.open(&ALL, 3, deadline).unwrap();
        requests.answer(id, "b", 7).unwrap();
        assert!(ended(&mut requests, deadline.wrapping_sub(1)).is_empty(), "{deadline}");
        let error = the_end(&mut requests, deadline).unwrap_err();
        assert!(matches!(error, RequestError::TimedOut(_)));
        assert_eq!(error.answers().arrived(), [("b", 7)]);
        assert_eq!(error.into_answers().missing(), ["a", "c"]);
    }
}

#[test]
fn a_deadline_is_followed_by_half_the_range_and_preceded_by_the_other() {
    const HALF: u32 = i32::MAX as u32;
    for deadline in [0_u32, 7, HALF, u32::MAX] {
        let open_at = |now: u32| {
            let mut requests: Requests<u8, u8, 1, 1> = Requests::new();
            requests.open(&[1], 1, deadline).unwrap();
            requests.tick(deadline.wrapping_add(now), |_, _| {}) == 0
        };
        assert_eq!([0, 1, HALF].map(open_at), [false; 3], "{deadline}");
        assert_eq!([HALF + 1, HALF + 2, u32::MAX].map(open_at), [true; 3], "{deadline}");
    }
}

#[test]
fn an_earlier_time_counts_as_no_time_passed() {
    const HALF: u32 = i32::MAX as u32;
    for start in [0_u32, 50, HALF, u32::MAX] {
        for back in [1, 100, HALF, HALF + 1] {
            let at = |time: u32| start.wrapping_add(time);
            let mut requests: Requests<&str, u32, 4, 4> = Requests::new();
            let far = requests.open(&ALL, 1, at(1000).wrapping_add(HALF)).unwrap();
            let near = requests.open(&ALL, 1, at(1010)).unwrap();
            for now in
                [at(1000), at(1000).wrapping_sub(back), at(1009), at(1009).wrapping_sub(back)]
            {
                assert!(ended(&mut requests, now).is_empty(), "start {start}, back {back}");
            }
            // It counts from the latest time that was told.
            let passed = requests.open(&ALL, 1, at(1005)).unwrap();
            let over =
                |all: Vec<(RequestId, _)>| all.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
            assert_eq!(over(ended(&mut requests, at(1009).wrapping_sub(back))), [passed]);
            assert_eq!(over(ended(&mut requests, at(1010))), [near]);
            assert!(ended(&mut requests, at(999).wrapping_add(HALF)).is_empty());
            assert_eq!(over(ended(&mut requests, at(1000).wrapping_add(HALF))), [far]);
        }
    }
}

/// Without open requests the time need not be told: the counter may stand anywhere afterwards.
#[test]
fn a_request_after_a_long_silence_ends_at_its_deadline() {
    for silence in [1_u32 << 30, 1 << 31, 3 << 30] {
        let mut requests = Names::new();
        requests.open(&ALL, 1, 10).unwrap();
        assert!(the_end(&mut requests, 20).is_err());
        let now = 20 + silence;
        requests.open(&ALL, 1, now + 10).unwrap();
        assert!(ended(&mut requests, now + 9).is_empty(), "{silence}");
        assert!(the_end(&mut requests, now + 10).is_err(), "{silence}");
    }
}

/// Comparing responders is code of the user.
#[test]
fn a_comparison_that_panics_at_the_end_loses_no_answer() {
    thread_local! {
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }
    #[derive(Clone, Copy, Debug)]
    struct Name(u8);
    impl PartialEq for Name {
        fn eq(&self, other: &Self) -> bool {
            assert!(!PANICS.get(), "not now");
            self.0 == other.0
        }
    }
    for cancelled in [false, true] {
        let mut requests: Requests<Name, u32, 2, 2> = Requests::new();
        let id = requests.open(&[Name(1), Name(2)], 2, 10).unwrap();
        requests.answer(id, Name(2), 7).unwrap();
        PANICS.set(true);
        let end = AssertUnwindSafe(|| match cancelled {
            true => drop(requests.cancel(id)),
            false => drop(requests.tick(10, |_, _| ())),
        });
        assert!(catch_unwind(end).is_err());
        PANICS.set(false);
        let answers = requests.cancel(id).expect("it is open").unwrap_err().into_answers();
        assert_eq!(answers.arrived(), [(Name(2), 7)]);
    }
}

#[test]
fn a_late_tick_times_out_across_the_wrap() {
    let mut requests = Names::new();
    requests.open(&ALL, 1, u32::MAX - 1).unwrap();
    assert!(ended(&mut requests, u32::MAX - 2).is_empty());
    assert!(the_end(&mut requests, 5).is_err());
}

#[test]
fn the_minimum_wins_over_a_deadline_and_a_cancellation_of_the_same_moment() {
    let mut requests = Names::new();
    let first = requests.open(&ALL, 1, 10).unwrap();
    let second = requests.open(&ALL, 1, 10).unwrap();
    requests.answer(first, "a", 1).unwrap();
    requests.answer(second, "a", 1).unwrap();
    assert_eq!(requests.cancel(first).unwrap().unwrap().missing(), ["b", "c"]);
    assert!(the_end(&mut requests, 10).is_ok());
}

#[test]
fn cancelled_is_an_error_with_the_partial_result() {
    let mut requests = Names::new();
    let id = requests.open(&ALL, 2, 100).unwrap();
    requests.answer(id, "c", 9).unwrap();
    let Some(Err(RequestError::Cancelled(partial))) = requests.cancel(id) else {
        panic!("one of two");
    };
    assert_eq!((partial.arrived(), partial.missing()), (&[("c", 9)][..], &["a", "b"][..]));
    assert!(requests.cancel(id).is_none());
    assert!(ended(&mut requests, 100).is_empty());
}

#[test]
fn the_first_answer_counts_and_duplicate_late_foreign_and_unexpected_ones_are_ignored() {
    let mut requests = Names::new();
    let mut others = Names::new();
    let id = requests.open(&ALL, 2, 100).unwrap();
    let _ = others.open(&ALL, 1, 100).unwrap();
    let foreign = others.open(&ALL, 1, 100).unwrap();

    requests.answer(id, "a", 1).unwrap();
    assert_eq!(requests.answer(id, "a", 2), Err(AnswerError::Duplicate(2)));
    assert_eq!(requests.answer(id, "x", 3), Err(AnswerError::Unexpected(3)));
    assert_eq!(requests.answer(foreign, "b", 4), Err(AnswerError::Unknown(4)));
    assert!(ended(&mut requests, 1).is_empty(), "one of two");
    requests.answer(id, "c", 5).unwrap();
    assert_eq!(the_end(&mut requests, 1).unwrap().arrived(), [("a", 1), ("c", 5)]);

    assert_eq!(requests.answer(id, "b", 6), Err(AnswerError::Unknown(6)));
    assert_eq!(requests.answer(id, "b", 7).unwrap_err().into_answer(), 7);
    let again = requests.open(&["b"], 1, 100).unwrap();
    assert_eq!(requests.answer(id, "b", 8), Err(AnswerError::Unknown(8)), "of the request before");
    assert!(requests.is_open(again));
}

#[test]
fn an_id_travels_as_a_number_and_a_wrong_number_names_nothing() {
    let mut requests = Names::new();
    let id = requests.open(&ALL, 1, 10).unwrap();
    let number = u32::from(id);
    assert_eq!(RequestId::from(number), id);
    let wrong = RequestId::from(!number);
    assert!(matches!(requests.answer(wrong, "a", 1), Err(AnswerError::Unknown(1))));
    assert!(requests.cancel(wrong).is_none());
    assert!(requests.answer(RequestId::from(number), "a", 1).is_ok());
}

#[test]
fn wrong_arguments_are_errors_at_once_and_leave_no_trace() {
    let mut requests = Names::new();
    for (expected, minimum, error) in [
        (&[][..], 1, InvalidRequest::NoResponders),
        (&[][..], 0, InvalidRequest::NoResponders),
        (&["a"][..], 0, InvalidRequest::NoMinimum),
        (&["a"][..], 2, InvalidRequest::MinimumTooHigh),
        (&["a", "a"][..], 2, InvalidRequest::MinimumTooHigh),
        (&["a", "b", "c", "d", "e"][..], 1, InvalidRequest::TooManyResponders),
    ] {
        assert_eq!(requests.open(expected, minimum, 100), Err(error), "{expected:?}");
        assert!(requests.is_empty());
    }
}

#[test]
fn who_is_expected_twice_counts_once() {
    let mut requests: Requests<&str, u32, 1, 2> = Requests::new();
    let id = requests.open(&["a", "b", "a", "b", "a"], 2, 100).unwrap();
    requests.answer(id, "a", 1).unwrap();
    assert_eq!(requests.cancel(id).unwrap().unwrap_err().answers().missing(), ["b"]);
}

#[test]
fn requests_under_way_together_do_not_mix() {
    let mut requests = Names::new();
    let ids = [0; 4].map(|_| requests.open(&["a", "b"], 2, 100).unwrap());
    assert_eq!(requests.open(&["a"], 1, 100), Err(InvalidRequest::TooManyRequests));
    assert_eq!((requests.len(), requests.capacity()), (4, 4));
    for (number, id) in ids.into_iter().enumerate().rev() {
        requests.answer(id, "b", number as u32 * 10).unwrap();
    }
    requests.answer(ids[2], "a", 21).unwrap();
    requests.answer(ids[0], "a", 1).unwrap();
    let done = ended(&mut requests, 1);
    assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    for ((_, answers), arrived) in
        done.into_iter().zip([[("b", 0), ("a", 1)], [("b", 20), ("a", 21)]])
    {
        assert_eq!(answers.unwrap().arrived(), arrived);
    }
    assert_eq!(ended(&mut requests, 100).len(), 2);
}

#[test]
fn a_request_leaves_nothing_behind_however_it_ends() {
    let token = Rc::new(());
    let mut requests: Requests<u8, Rc<()>, 2, 2> = Requests::new();
    for round in 0..100 {
        let done = requests.open(&[1, 2], 1, round + 1).unwrap();
        requests.answer(done, 1, Rc::clone(&token)).unwrap();
        assert!(requests.answer(done, 1, Rc::clone(&token)).is_err());
        let other = requests.open(&[1, 2], 2, round + 1).unwrap();
        requests.answer(other, 2, Rc::clone(&token)).unwrap();
        if round % 2 == 0 {
            assert!(requests.cancel(other).is_some());
        }
        let ended = requests.tick(round + 1, |_, _| {});
        assert_eq!(ended, 2 - usize::from(round % 2 == 0));
        assert!(requests.is_empty());
        assert_eq!(Rc::strong_count(&token), 1);
    }
    let id = requests.open(&[1], 1, 0).unwrap();
    requests.answer(id, 1, Rc::clone(&token)).unwrap();
    drop(requests);
    assert_eq!(Rc::strong_count(&token), 1);
}

/// In one system an answer travelled through a buffer of 100 that it shared with all other traffic.
#[test]
fn a_flood_of_answers_that_do_not_count_displaces_none_that_does() {
    let mut requests = Names::new();
    let over = requests.open(&ALL, 1, 100).unwrap();
    assert!(requests.cancel(over).is_some());
    let id = requests.open(&ALL, 3, 100).unwrap();
    for responder in ALL {
        requests.answer(id, responder, 1).unwrap();
        for noise in 0..if cfg!(miri) { 100 } else { 100_000 } {
            assert_eq!(requests.answer(id, "noise", noise), Err(AnswerError::Unexpected(noise)));
            assert_eq!(requests.answer(id, responder, noise), Err(AnswerError::Duplicate(noise)));
            assert_eq!(requests.answer(over, responder, noise), Err(AnswerError::Unknown(noise)));
        }
    }
    assert_eq!(the_end(&mut requests, 1).unwrap().arrived(), [("a", 1), ("b", 1), ("c", 1)]);
}

/// As interrupts would: the bus is small and rejects, so a responder that finds it full gets its answer back and tries again.
#[test]
fn answers_from_threads_come_through_a_bus_that_rejects() {
    const ROUNDS: u32 = if cfg!(miri) { 5 } else { 200 };
    static ANSWERS: Bus<(RequestId, u8, u32), 2> = Bus::new();
    let mut inbox = ANSWERS.consumer().unwrap();
    let mut requests: Requests<u8, u32, 1, 4> = Requests::new();
    for round in 0..ROUNDS {
        let id = requests.open(&[0, 1, 2, 3], 4, u32::MAX / 2).unwrap();
        let sums = thread::scope(|scope| {
            for responder in 0..4 {
                scope.spawn(move || {
                    let mut answer = (id, responder, round + u32::from(responder));
                    while let Err(Full(back)) = ANSWERS.publish(answer) {
                        answer = back;
                        thread::yield_now();
                    }
                });
            }
            let mut sum = None;
            while sum.is_none() {
                for (id, responder, answer) in inbox.drain() {
                    requests.answer(id, responder, answer).unwrap();
                }
                requests.tick(0, |_, answers| {
                    sum = Some(answers.unwrap().into_arrived().map(|(_, answer)| answer).sum());
                });
                thread::yield_now();
            }
            sum
        });
        assert_eq!(sums, Some(4 * round + 6));
    }
}

#[test]
fn a_panic_while_results_are_handed_out_ends_that_request_only() {
    let mut requests = Names::new();
    for _ in 0..3 {
        requests.open(&["a"], 1, 10).unwrap();
    }
    let tick = AssertUnwindSafe(|| requests.tick(10, |_, _| panic!("the first")));
    assert!(catch_unwind(tick).is_err());
    assert_eq!(ended(&mut requests, 10).len(), 2);
}

#[test]
fn what_went_wrong_is_said_for_every_answer() {
    struct Mute;
    let mut requests: Requests<u8, Mute, 1, 2> = Requests::new();
    let id = requests.open(&[1, 2], 2, 10).unwrap();
    requests.answer(id, 1, Mute).unwrap();
    let ignored = requests.answer(id, 1, Mute).unwrap_err();
    assert_eq!(
        format!("{ignored:?}: {ignored}"),
        "Duplicate(..): the responder has answered already"
    );
    let error: Box<dyn core::error::Error> = requests.cancel(id).unwrap().unwrap_err().into();
    assert_eq!(
        format!("{error:?}: {error}"),
        "Cancelled(Answers { arrived: 1, missing: 1, .. }): the request was cancelled"
    );
    assert_eq!(format!("{requests:?}"), "Requests { capacity: 1, len: 0, .. }");
    let invalid: Box<dyn core::error::Error> = InvalidRequest::NoMinimum.into();
    assert_eq!(invalid.to_string(), "the request needs no answer: ask for at least one");
    for invalid in [
        InvalidRequest::NoResponders,
        InvalidRequest::MinimumTooHigh,
        InvalidRequest::TooManyResponders,
        InvalidRequest::TooManyRequests,
    ] {
        assert!(invalid.to_string().contains(": "), "{invalid}: it says what to do");
    }
}

// ---- Any sequence, against lists ----------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Open { expected: Vec<u8>, minimum: usize, ahead: u32 },
    Answer { which: usize, responder: u8 },
    Cancel(usize),
    Tick(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (vec(0..5_u8, 0..6), 0..4_usize, 0..30_u32)
            .prop_map(|(expected, minimum, ahead)| Step::Open { expected, minimum, ahead }),
        8 => (any::<usize>(), 0..6_u8)
            .prop_map(|(which, responder)| Step::Answer { which, responder }),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (0..12_u32).prop_map(Step::Tick),
    ]
}

type Ended<const M: usize> =
    core::result::Result<Answers<u8, (usize, Rc<()>), M>, RequestError<u8, (usize, Rc<()>), M>>;

struct Open {
    id: RequestId,
    expected: Vec<u8>,
    minimum: usize,
    deadline: u64,
    arrived: Vec<(u8, usize)>,
}

impl Open {
    fn missing(&self) -> Vec<u8> {
        let answered = |of: &u8| self.arrived.iter().any(|(from, _)| from == of);
        self.expected.iter().copied().filter(|of| !answered(of)).collect()
    }

    fn check<const M: usize>(&self, found: Ended<M>, cancelled: bool) {
        let done = self.arrived.len() >= self.minimum;
        let answers = match found {
            Ok(answers) => {
                assert!(done);
                answers
            }
            Err(error) => {
                assert!(!done);
                assert_eq!(matches!(error, RequestError::Cancelled(_)), cancelled);
                error.into_answers()
            }
        };
        assert_eq!(answers.missing(), self.missing());
        let arrived: Vec<_> =
            answers.into_arrived().map(|(from, (number, _))| (from, number)).collect();
        assert_eq!(arrived, self.arrived);
    }
}

fn run(start: u32, steps: Vec<Step>) {
    let token = Rc::new(());
    let mut requests: Requests<u8, (usize, Rc<()>), 3, 4> = Requests::new();
    let (mut open, mut ids, mut now) = (Vec::<Open>::new(), vec![], u64::from(start));
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Open { expected, minimum, ahead } => {
                let deadline = now + u64::from(ahead);
                let mut distinct = vec![];
                for responder in &expected {
                    if !distinct.contains(responder) {
                        distinct.push(*responder);
                    }
                }
                let valid = (1..=distinct.len()).contains(&minimum) && distinct.len() <= 4;
                match requests.open(&expected, minimum, deadline as u32) {
                    Ok(id) => {
                        assert!(valid && open.len() < 3 && !ids.contains(&id));
                        ids.push(id);
                        open.push(Open {
                            id,
                            expected: distinct,
                            minimum,
                            deadline,
                            arrived: vec![],
                        });
                    }
                    Err(InvalidRequest::TooManyRequests) => assert!(valid && open.len() == 3),
                    Err(_) => assert!(!valid),
                }
            }
            Step::Answer { which, responder } => {
                let Some(&id) = ids.get(which % ids.len().max(1)) else { continue };
                let found = requests.answer(id, responder, (number, Rc::clone(&token)));
                let request = open.iter_mut().find(|request| request.id == id);
                match (found, request) {
                    (Ok(()), Some(request)) => {
                        assert!(request.missing().contains(&responder));
                        request.arrived.push((responder, number));
                    }
                    (Err(AnswerError::Unknown(_)), None) => {}
                    (Err(AnswerError::Unexpected(_)), Some(request)) => {
                        assert!(!request.expected.contains(&responder));
                    }
                    (Err(AnswerError::Duplicate(_)), Some(request)) => {
                        assert!(request.arrived.iter().any(|(from, _)| *from == responder));
                    }
                    (found, request) => panic!("{found:?}, open: {}", request.is_some()),
                }
            }
            Step::Cancel(which) => {
                let Some(&id) = ids.get(which % ids.len().max(1)) else { continue };
                let found = requests.cancel(id);
                let place = open.iter().position(|request| request.id == id);
                assert_eq!(found.is_some(), place.is_some());
                if let (Some(found), Some(place)) = (found, place) {
                    open.remove(place).check(found, true);
                }
            }
            Step::Tick(by) => {
                now += u64::from(by);
                let over = |request: &Open| {
                    request.deadline <= now || request.arrived.len() >= request.minimum
                };
                let (mut over, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(over);
                open = rest;
                over.reverse();
                requests.tick(now as u32, |id, found| {
                    let expected = over.pop().unwrap();
                    assert_eq!(id, expected.id);
                    expected.check(found, false);
                });
                assert!(over.is_empty());
            }
        }
        assert_eq!(requests.len(), open.len());
        let kept: usize = open.iter().map(|request| request.arrived.len()).sum();
        assert_eq!(Rc::strong_count(&token) - 1, kept);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 1 } else { 1000 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn requests_are_lists(back in 0..200_u32, steps in vec(step(), 1..80)) {
        run(u32::MAX - back, steps.clone());
        run(i32::MAX as u32 - back, steps);
    }
}

// ---- All of them, and names that are made at run time -------------------------------------------

#[test]
fn all_of_them_are_those_that_are_named_each_once() {
    let mut requests = Names::new();
    let id = requests.open_all(&["b", "a", "b"], 10).unwrap();
    requests.answer(id, "a", 1).unwrap();
    assert!(ended(&mut requests, 9).is_empty());
    requests.answer(id, "b", 2).unwrap();
    assert_eq!(the_end(&mut requests, 9).unwrap().arrived(), [("a", 1), ("b", 2)]);

    requests.open_all(&ALL, 10).unwrap();
    let partial = the_end(&mut requests, 10).unwrap_err();
    assert_eq!(partial.answers().missing(), ALL);
}

#[test]
fn all_of_none_and_all_of_too_many_are_refused() {
    let mut requests: Requests<&str, u32, 1, 2> = Requests::new();
    assert_eq!(requests.open_all(&[], 10), Err(InvalidRequest::NoResponders));
    assert_eq!(requests.open_all(&ALL, 10), Err(InvalidRequest::TooManyResponders));
    requests.open_all(&["a", "b", "a"], 10).unwrap();
    assert_eq!(requests.open_all(&["a"], 10), Err(InvalidRequest::TooManyRequests));
}

#[test]
fn responders_may_have_names_that_are_made_at_run_time() {
    let names: Vec<String> = (0..4).map(|n| format!("responder {n}")).collect();
    let mut requests: Requests<String, u32, 2, 4> = Requests::new();
    let id = requests.open(&names, 2, 10).unwrap();
    requests.answer(id, format!("responder {}", 3), 3).unwrap();
    let unexpected = requests.answer(id, "responder 4".to_owned(), 4);
    assert_eq!(unexpected, Err(AnswerError::Unexpected(4)));
    requests.answer(id, format!("responder {}", 1), 1).unwrap();
    requests.tick(1, |_, answers| {
        let answers = answers.unwrap();
        assert_eq!(answers.arrived(), [(names[3].clone(), 3), (names[1].clone(), 1)]);
        assert_eq!(answers.missing(), [&*names[0], &*names[2]]);
    });
}
