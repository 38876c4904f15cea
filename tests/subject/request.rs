//! A request that publishes, waits, and returns the answers or the partial result. Rows 004.14 to 004.18 and 004.20.

use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::time::Instant;

use tickbus::request::{AnswerError, InvalidRequest};
use tickbus::subject_bus::{GatherError, Gathered, Observer, PublishError};
use tickbus::wait::Cancel;
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

use crate::event;
use crate::watch::{Watched, eventually, watchdog, watched};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn question() -> Envelope {
    event("ask").with_id("q")
}

fn bus() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::new());
    let asked = bus.subscribe("ask").unwrap().open();
    (bus, asked)
}

/// Asks on a thread of its own.
fn ask(
    bus: &Arc<SubjectBus>,
    minimum: usize,
    timeout: Duration,
) -> Watched<Result<Gathered, GatherError>> {
    let bus = bus.clone();
    watched(move || bus.request(question(), NAMES).at_least(minimum).timeout(timeout).wait())
}

fn names(gathered: &Gathered) -> (Vec<&str>, Vec<&str>) {
    let arrived = gathered.arrived.iter().map(|(name, _)| &**name);
    (arrived.collect(), gathered.missing.iter().map(|name| &**name).collect())
}

/// That no request is open: an answer does not count.
#[track_caller]
fn nothing_is_left(bus: &SubjectBus) {
    let answered = bus.answer(&question(), "a", event("x"));
    assert!(matches!(answered, Err(AnswerError::Unknown(_))));
}

#[test]
fn all_have_answered_in_arrival_order_and_nothing_is_missing() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let asking = bus.clone();
    let request = watched(move || asking.request(question(), NAMES).wait());
    let question = asked.recv().unwrap();
    for name in ["c", "a", "b"] {
        bus.answer(&question, name, event("x").with_source(name)).unwrap();
    }
    let gathered = request.join().unwrap();
    assert_eq!(names(&gathered), (vec!["c", "a", "b"], vec![]));
    for (name, answer) in &gathered.arrived {
        assert_eq!(**name, *answer.source());
        assert!(!answer.id().is_empty() && answer.time().is_some());
    }
    nothing_is_left(&bus);
}

#[test]
fn the_minimum_is_enough_and_the_missing_are_in_expected_order() {
    let _watch = watchdog();
    for minimum in 1..=2 {
        let (bus, asked) = bus();
        let request = ask(&bus, minimum, Duration::MAX);
        let question = asked.recv().unwrap();
        for name in ["b", "a"].into_iter().take(minimum) {
            bus.answer(&question, name, event("x")).unwrap();
        }
        let missing = if minimum == 1 { vec!["a", "c"] } else { vec!["c"] };
        assert_eq!(names(&request.join().unwrap()).1, missing);
        nothing_is_left(&bus);
    }
}

#[test]
fn a_timeout_is_an_error_with_the_partial_result() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let begin = Instant::now();
    let request = ask(&bus, 3, Duration::from_millis(40));
    bus.answer(&asked.recv().unwrap(), "b", event("x")).unwrap();
    let error = request.join().unwrap_err();
    assert!(begin.elapsed() >= Duration::from_millis(40));
    assert!(matches!(error, GatherError::TimedOut(_)));
    assert_eq!(error.to_string(), "the request has timed out, without an answer of a, c");
    assert_eq!(names(&error.into_gathered()), (vec!["b"], vec!["a", "c"]));
    nothing_is_left(&bus);
}

#[test]
fn a_request_waits_for_10_seconds_unless_it_says_another_time() {
    let _watch = watchdog();
    let (bus, _asked) = bus();
    let text = format!("{:?}", bus.request(question(), NAMES));
    assert!(text.contains("timeout: 10s"), "{text}");
}

#[test]
fn a_cancel_ends_the_wait_with_the_partial_result() {
    let _watch = watchdog();
    for before in [false, true] {
        let (bus, asked) = bus();
        let cancel = Cancel::new();
        if before {
            cancel.cancel();
        }
        let (asking, its_cancel) = (bus.clone(), cancel.clone());
        let request = watched(move || asking.request(question(), NAMES).until(&its_cancel).wait());
        if !before {
            bus.answer(&asked.recv().unwrap(), "c", event("x")).unwrap();
            cancel.cancel();
        }
        let error = request.join().unwrap_err();
        assert!(matches!(error, GatherError::Cancelled(_)), "{error}");
        assert_eq!(error.into_gathered().arrived.len(), usize::from(!before));
        nothing_is_left(&bus);
    }
}

#[test]
fn closing_the_bus_ends_the_wait() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let request = ask(&bus, 3, Duration::MAX);
    bus.answer(&asked.recv().unwrap(), "a", event("x")).unwrap();
    bus.close();
    let error = request.join().unwrap_err();
    assert_eq!(error.to_string(), "the bus was closed, without an answer of b, c");
    assert_eq!(names(&error.into_gathered()), (vec!["a"], vec!["b", "c"]));
    nothing_is_left(&bus);

    let error = bus.request(question(), NAMES).wait().unwrap_err();
    assert!(matches!(error, GatherError::NotPublished(PublishError::Closed(_))), "{error}");
    nothing_is_left(&bus);
}

#[test]
fn answers_that_are_late_foreign_unexpected_or_twice_do_not_count() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let request = ask(&bus, 2, Duration::MAX);
    let question = asked.recv().unwrap();
    let sourced = |source: &str| event("x").with_source(source);
    bus.answer(&question, "a", sourced("first")).unwrap();
    let twice = bus.answer(&question, "a", sourced("second"));
    assert!(matches!(twice, Err(AnswerError::Duplicate(it)) if it.source() == "second"));
    let unexpected = bus.answer(&question, "z", sourced("z"));
    assert!(matches!(unexpected, Err(AnswerError::Unexpected(_))));
    let foreign = bus.answer(&event("ask").with_id("other"), "b", sourced("b"));
    assert!(matches!(foreign, Err(AnswerError::Unknown(_))));
    bus.answer(&question, "b", sourced("b")).unwrap();
    let gathered = request.join().unwrap();
    assert_eq!(gathered.arrived[0].1.source(), "first");
    let late = bus.answer(&question, "c", sourced("c"));
    assert!(matches!(late, Err(AnswerError::Unknown(it)) if it.source() == "c"));
}

#[test]
fn a_request_that_cannot_succeed_publishes_nothing() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let none: [&str; 0] = [];
    let refused = |request: tickbus::subject_bus::Request<'_>, why| {
        assert_eq!(request.wait(), Err(GatherError::Invalid(why)));
        assert_eq!((bus.stats().published, asked.stats().enqueued), (0, 0));
        nothing_is_left(&bus);
    };
    refused(bus.request(question(), none), InvalidRequest::NoResponders);
    refused(bus.request(question(), NAMES).at_least(0), InvalidRequest::NoMinimum);
    refused(bus.request(question(), NAMES).at_least(4), InvalidRequest::MinimumTooHigh);
    refused(bus.request(question(), ["a", "a"]).at_least(2), InvalidRequest::MinimumTooHigh);
}

#[test]
fn a_question_that_is_asked_already_is_refused_and_the_first_goes_on() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let request = ask(&bus, 3, Duration::MAX);
    let first = asked.recv().unwrap();
    let again = bus.request(question(), ["x"]).wait();
    assert_eq!(again, Err(GatherError::Invalid(InvalidRequest::AlreadyOpen)));
    NAMES.iter().for_each(|name| bus.answer(&first, name, event("x")).unwrap());
    assert!(request.join().is_ok());
}

#[test]
fn requests_of_many_threads_get_their_own_answers() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let asked = bus.subscribe("ask").unwrap().overrun(Overrun::Block).capacity(2).open();
    let callers: Vec<_> = (0..8)
        .map(|caller: usize| {
            let bus = bus.clone();
            watched(move || {
                for n in 0..50 {
                    let mine = format!("{caller}/{n}");
                    // Names that are made at run time.
                    let names = (0..3).map(|name| format!("responder {name}"));
                    let question = event("ask").with_source(&*mine);
                    let gathered = bus.request(question, names).wait().unwrap();
                    assert_eq!(gathered.arrived.len(), 3);
                    assert!(gathered.arrived.iter().all(|(_, it)| *it.source() == mine));
                }
            })
        })
        .collect();
    let responder = {
        let bus = bus.clone();
        watched(move || {
            let mut waiting: Vec<Arc<Envelope>> = Vec::new();
            for question in &asked {
                waiting.push(question);
                if waiting.len() < 4 && asked.stats().pending > 0 {
                    continue; // answered in another order
                }
                for question in waiting.drain(..).rev() {
                    for name in 0..3 {
                        let answer = event("x").with_source(question.source());
                        bus.answer(&question, &format!("responder {name}"), answer).unwrap();
                    }
                }
            }
        })
    };
    callers.into_iter().for_each(Watched::join);
    bus.close();
    responder.join();
}

#[test]
fn a_question_waits_for_room_and_those_that_have_none_in_time_do_not_get_it() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let full = bus.subscribe("ask").unwrap().capacity(1).overrun(Overrun::Block).open();
    bus.publish(event("ask")).unwrap();
    let request = ask(&bus, 3, Duration::from_millis(60));
    eventually(|| full.stats().waiting == 1);
    let _ = asked.recv();
    let question = asked.recv().unwrap();
    NAMES.iter().take(2).for_each(|name| bus.answer(&question, name, event("x")).unwrap());
    let error = request.join().unwrap_err();
    assert!(matches!(error, GatherError::TimedOut(_)), "{error}");
    assert_eq!((error.into_gathered().arrived.len(), full.dropped()), (2, 1));

    let request = ask(&bus, 3, Duration::MAX);
    eventually(|| full.stats().waiting == 1);
    assert!(full.recv().is_some());
    let question = asked.recv().unwrap();
    NAMES.iter().for_each(|name| bus.answer(&question, name, event("x")).unwrap());
    assert_eq!((request.join().unwrap().missing.len(), full.stats().pending), (0, 1));
}

/// A subscription that makes no room keeps nothing from a request that has its answers.
#[test]
fn enough_answers_end_a_request_whose_question_waits_for_room() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let full = bus.subscribe("ask").unwrap().capacity(1).overrun(Overrun::Block).open();
    bus.publish(event("ask")).unwrap();
    let _ = asked.recv();
    let request = ask(&bus, 2, Duration::MAX);
    eventually(|| full.stats().waiting == 1);
    let question = asked.recv().unwrap();
    ["c", "a"].iter().for_each(|name| bus.answer(&question, name, event("x")).unwrap());
    assert_eq!(names(&request.join().unwrap()), (vec!["c", "a"], vec!["b"]));
    assert_eq!((full.stats().waiting, full.dropped()), (0, 1));
    nothing_is_left(&bus);
}

/// The answers that came are in the error, or enough: the question was published.
#[test]
fn closing_the_bus_while_the_question_waits_for_room_loses_no_answer() {
    let _watch = watchdog();
    let (bus, asked) = bus();
    let full = bus.subscribe("ask").unwrap().capacity(1).overrun(Overrun::Block).open();
    bus.publish(event("ask")).unwrap();
    let _ = asked.recv();
    let request = ask(&bus, 3, Duration::MAX);
    eventually(|| full.stats().waiting == 1);
    let question = asked.recv().unwrap();
    ["c", "a"].iter().for_each(|name| bus.answer(&question, name, event("x")).unwrap());
    bus.close();
    let error = request.join().unwrap_err();
    assert!(matches!(error, GatherError::Closed(_)), "{error}");
    assert_eq!(names(&error.into_gathered()), (vec!["c", "a"], vec!["b"]));
    nothing_is_left(&bus);
}

#[test]
fn a_held_question_is_asked_at_the_start() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::builder().hold(1).build());
    let asked = bus.subscribe("ask").unwrap().open();
    let request = ask(&bus, 1, Duration::MAX);
    eventually(|| bus.stats().held == 1);
    let refused = bus.request(event("ask"), NAMES).wait();
    assert!(matches!(refused, Err(GatherError::NotPublished(PublishError::HoldFull(_)))));
    bus.start();
    bus.answer(&asked.recv().unwrap(), "b", event("x")).unwrap();
    assert!(request.join().is_ok());
}

struct Bomb;

impl Observer for Bomb {
    fn on_publish(&self, _: &Arc<Envelope>) {
        panic!("an observer");
    }
}

#[test]
fn a_panic_in_the_publish_leaves_no_request_behind() {
    let _watch = watchdog();
    let bus = SubjectBus::builder().observer(Arc::new(Bomb)).build();
    let request = AssertUnwindSafe(|| bus.request(question(), NAMES).wait());
    assert!(catch_unwind(request).is_err());
    nothing_is_left(&bus);
}

#[test]
fn a_bus_that_is_closed_while_it_takes_the_question_loses_no_answer() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let answering = Arc::downgrade(&bus);
    let seen = bus.subscribe("ask").unwrap().filter(move |question| {
        let bus = answering.upgrade().unwrap();
        bus.answer(question, "b", event("x")).unwrap();
        bus.close();
        true
    });
    let _seen = seen.open();
    let error = bus.request(question(), NAMES).wait().unwrap_err();
    assert!(matches!(error, GatherError::Closed(_)), "{error}");
    assert_eq!(names(&error.into_gathered()), (vec!["b"], vec!["a", "c"]));
    nothing_is_left(&bus);
}

#[test]
fn enough_answers_win_over_the_time_and_the_cancel() {
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let cancel = Cancel::new();
    cancel.cancel();
    let (answering, bus) = (bus.clone(), bus);
    let seen = bus.subscribe("ask").unwrap().filter(move |question| {
        NAMES.iter().for_each(|name| answering.answer(question, name, event("x")).unwrap());
        true
    });
    let seen = seen.open();
    let request = bus.request(question(), NAMES).timeout(Duration::ZERO).until(&cancel);
    assert_eq!(request.wait().unwrap().arrived.len(), 3);
    drop(seen); // its filter keeps the bus
}
