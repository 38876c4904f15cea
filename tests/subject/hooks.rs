//! Contexts, messages, hooks and wrappers of handlers. Rows 000.12, 000.13 and 000.18.

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use tickbus::bus::Message;
use tickbus::context::Context;
use tickbus::envelope::TraceParent;
use tickbus::subject_bus::{Observer, Outcome, Recipient, SubjectHandlers};
use tickbus::wait::{Cancel, Wait};
use tickbus::{Budget, Envelope, SubjectBus};

use crate::watch::watchdog;
use crate::{MATCHES, event, number, numbered, publish};

type Log = Vec<String>;

/// A table with a handler that fails at 1, panics at 2, and otherwise returns a message.
fn table(bus: &SubjectBus) -> SubjectHandlers<Log> {
    let mut handlers = SubjectHandlers::new();
    handlers.on_with_context(
        bus.subscribe("n").unwrap().name("all").open(),
        |log: &mut Log, it, _| {
            log.push(format!("handler {}", number(it)));
            match number(it) {
                1 => Err("wrong"),
                2 => panic!("a handler"),
                n => Ok(Message(n * 10)),
            }
        },
    );
    handlers
}

/// Handled, failed, and panicked.
fn counted(handlers: &SubjectHandlers<Log>) -> Vec<(u64, u64, u64)> {
    handlers.iter().map(|(_, it)| (it.handled, it.failed, it.panicked)).collect()
}

fn tick(handlers: &mut SubjectHandlers<Log>) -> (Log, usize, usize) {
    let mut log = Log::new();
    let report = handlers.tick(&mut log, Budget::unlimited());
    (log, report.handled, report.failed)
}

// ---- Contexts ----------------------------------------------------------------------------------

#[test]
fn deadline_cancellation_and_trace_reach_the_handler() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    type Seen = Vec<(Option<Instant>, bool, Option<u128>)>;
    handlers.on_with_context(bus.subscribe("n").unwrap().open(), |seen: &mut Seen, _, context| {
        let trace = context.trace().map(|trace| trace.trace_id());
        seen.push((context.deadline(), context.is_cancelled(), trace));
    });
    let traced = |trace| numbered(0).with_trace_parent(TraceParent::new(trace, 1).unwrap());
    let (cancel, deadline) = (Cancel::new(), Instant::now() + Duration::from_secs(100));
    let wait = Wait::forever().deadline(deadline).until(&cancel);
    let of_tick = Context::new().within(wait).with_trace(TraceParent::new(9, 9));
    let mut seen = Seen::new();

    bus.publish(traced(7)).unwrap();
    bus.publish(numbered(1)).unwrap();
    let _ = handlers.tick_within(&mut seen, Budget::unlimited(), &of_tick);
    cancel.cancel();
    bus.publish(traced(8)).unwrap();
    let report = handlers.tick_within(&mut seen, Budget::unlimited(), &of_tick);
    assert_eq!(report.handled, 1); // it only tells
    bus.publish(traced(6)).unwrap();
    bus.publish(numbered(1)).unwrap();
    let _ = handlers.tick(&mut seen, Budget::unlimited());
    let at = Some(deadline);
    let expected = [
        (at, false, Some(7)),
        (at, false, Some(9)),
        (at, true, Some(8)),
        (None, false, Some(6)),
        (None, false, None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn hooks_and_wrappers_get_the_context_with_the_trace() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = table(&bus);
    handlers.before(|log, call| log.push(format!("{:?}", call.context.trace().unwrap())));
    handlers.wrap(|log, call, next| {
        log.push(format!("{:?}", call.context.trace().unwrap()));
        next(log)
    });
    let parent = TraceParent::new(5, 6).unwrap();
    bus.publish(numbered(0).with_trace_parent(parent)).unwrap();
    let (log, ..) = tick(&mut handlers);
    assert_eq!(log, [format!("{parent:?}"), format!("{parent:?}"), "handler 0".into()]);
}

// ---- Hooks -------------------------------------------------------------------------------------

#[test]
fn hooks_run_before_after_and_on_error_and_see_the_message() {
    let _watch = watchdog();
    for count in MATCHES {
        let bus = SubjectBus::new();
        let mut handlers = table(&bus);
        for _ in 1..count {
            handlers.on(bus.subscribe("n").unwrap().name("other").open(), |_, _| {
                Err::<(), _>("untold")
            });
        }
        handlers.before(|log, call| log.push(format!("before {}", call.subscription.name())));
        handlers.before(|log, _| log.push("second".into()));
        handlers.after(|log, _, outcome| log.push(format!("after {outcome}")));
        handlers.on_error(|log, _, outcome| log.push(format!("error {outcome}")));
        publish(&bus, 0..3);
        let (log, handled, failed) = tick(&mut handlers);
        let first = [
            "before all",
            "second",
            "handler 0",
            "after handled: 0",
            "before all",
            "second",
            "handler 1",
            "after failed: wrong",
            "error failed: wrong",
            "before all",
            "second",
            "handler 2",
            "after panicked",
            "error panicked",
        ];
        let other = ["before other", "second", "after failed", "error failed"];
        let others = core::iter::repeat_n(other, (count - 1) * 3).flatten();
        assert!(log.iter().eq(first.into_iter().chain(others)), "{log:?}");
        assert_eq!((handled, failed), (count * 3, count * 3 - 1));
        assert_eq!(counted(&handlers)[0], (3, 2, 1));
    }
}

#[test]
fn answers_of_all_kinds_are_told() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    let open = || bus.subscribe("n").unwrap().open();
    handlers.on_with_context(open(), |_: &mut Log, _, _| ());
    handlers.on_with_context(open(), |_, _, _| Message("said"));
    handlers.on_with_context(open(), |_, _, _| "x".parse::<u8>().map(Message));
    handlers.on_with_context(open(), |_, _, _| Ok::<_, String>(()));
    handlers.on_with_context(open(), |_, _, _| {
        Err::<Message<u8>, _>(Box::<dyn core::error::Error>::from("boxed"))
    });
    handlers.on(open(), |_, _| Ok::<(), ()>(()));
    handlers.after(|log, _, outcome| log.push(outcome.to_string()));
    publish(&bus, 0..1);
    let told = [
        "handled",
        "handled: said",
        "failed: invalid digit found in string",
        "handled",
        "failed: boxed",
        "handled",
    ];
    assert_eq!(tick(&mut handlers), (told.map(String::from).to_vec(), 6, 2));
}

#[test]
fn a_hook_that_panics_is_contained_as_a_handler_is() {
    let _watch = watchdog();
    for at in 0..3 {
        let bus = SubjectBus::new();
        let mut handlers = table(&bus);
        let bomb = move |of: usize| assert!(at != of, "a hook");
        handlers.before(move |_, _| bomb(0));
        handlers.before(|log, _| log.push("before".into()));
        handlers.after(move |_, _, _| bomb(1));
        handlers.after(|log, _, outcome| log.push(format!("after {outcome}")));
        handlers.on_error(move |_, _, _| bomb(2));
        handlers.on_error(|log, _, outcome| log.push(format!("error {outcome}")));
        publish(&bus, [0, 1, 3]);
        let (log, handled, failed) = tick(&mut handlers);
        let told = |n: usize, outcome: &str| {
            let lines = ["before".to_owned(), format!("handler {n}"), format!("after {outcome}")];
            let error = match (at, n) {
                (2, 1) => Some("error panicked"),
                (2, _) => None,
                _ => Some("error panicked"),
            };
            lines.into_iter().chain(error.map(String::from)).collect::<Vec<_>>()
        };
        let expected = [told(0, "handled: 0"), told(1, "failed: wrong"), told(3, "handled: 30")];
        assert_eq!(log, expected.concat(), "{at}");
        let failures = if at == 2 { 1 } else { 3 };
        assert_eq!((handled, failed), (3, failures), "{at}");
        assert_eq!(counted(&handlers), [(3, failures as u64, failures as u64)]);
        assert!(bus.publish(numbered(5)).is_ok());
    }
}

// ---- Wrappers ----------------------------------------------------------------------------------

#[test]
fn wrappers_nest_and_decide_whether_and_how_often_the_handler_runs() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = table(&bus);
    handlers.wrap(|log, call, next| {
        log.push("outer".into());
        if number(call.envelope) == 3 {
            return Outcome::Handled("skipped".into());
        }
        match next(log) {
            Outcome::Panicked => Outcome::Failed("contained".into()),
            other => other,
        }
    });
    handlers.wrap(|log, _, next| {
        log.push("inner".into());
        match next(log) {
            Outcome::Failed(_) => next(log), // once more
            other => other,
        }
    });
    handlers.after(|log, _, outcome| log.push(outcome.to_string()));
    publish(&bus, 0..4);
    let (log, handled, failed) = tick(&mut handlers);
    let expected = [
        &["outer", "inner", "handler 0", "handled: 0"][..],
        &["outer", "inner", "handler 1", "handler 1", "failed: wrong"],
        &["outer", "inner", "handler 2", "failed: contained"],
        &["outer", "handled: skipped"],
    ];
    assert_eq!(log, expected.concat());
    assert_eq!((handled, failed), (4, 2));
    assert_eq!(counted(&handlers), [(4, 2, 0)]);
}

#[test]
fn a_wrapper_that_panics_is_contained_by_the_one_around_it() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = table(&bus);
    handlers.wrap(|log, _, next| {
        let outcome = next(log);
        log.push(format!("outer {outcome}"));
        outcome
    });
    handlers.wrap(|_, _, _| panic!("a wrapper"));
    handlers.after(|log, _, outcome| log.push(format!("after {outcome}")));
    publish(&bus, 0..1);
    let (log, ..) = tick(&mut handlers);
    assert_eq!(log, ["outer panicked", "after panicked"]);
    assert_eq!(counted(&handlers), [(1, 1, 1)]);
}

// ---- Observers, and no hooks -------------------------------------------------------------------

#[derive(Default)]
struct Outcomes(Mutex<Log>);

impl Observer for Outcomes {
    fn on_handled(&self, envelope: &Arc<Envelope>, to: Recipient<'_>, outcome: &Outcome) {
        let line = format!("{} of {}: {outcome}", envelope.source(), to.name);
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn observers_of_a_table_see_the_message_and_the_name() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = table(&bus);
    let outcomes = Arc::new(Outcomes::default());
    handlers.observer(outcomes.clone());
    publish(&bus, [0, 1, 2, 3]);
    let _ = tick(&mut handlers);
    let seen = [
        "0 of all: handled: 0",
        "1 of all: failed: wrong",
        "2 of all: panicked",
        "3 of all: handled: 30",
    ];
    assert_eq!(*outcomes.0.lock().unwrap(), seen);
}

struct Expensive;

impl core::fmt::Display for Expensive {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        panic!("no hook wants the text");
    }
}

#[test]
fn without_hooks_no_text_is_made() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    handlers.on_with_context(bus.subscribe("a").unwrap().open(), |_: &mut Log, _, _| {
        Message(Expensive)
    });
    handlers.on_with_context(bus.subscribe("a").unwrap().open(), |_, _, _| Err::<(), _>(Expensive));
    bus.publish(event("a")).unwrap();
    assert_eq!(tick(&mut handlers), (vec![], 2, 1));
    assert_eq!(counted(&handlers), [(1, 0, 0), (1, 1, 0)]);
}
