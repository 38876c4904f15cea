//! Tables and ticks: do they call whom they should, as often as they may, and say what they did?
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::Cell;
use core::convert::Infallible;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::bus::{Flow, Policy};
use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropNewest, DropOldest, Event, Full, Lane, Pattern, Report,
    Stats, Subject,
};

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Input {
        #[subject = "input.button.pressed"] Pressed(u32),
        #[subject = "input.button.released"] Released(u32),
        #[subject = "input.tilt"] Tilt(u32),
        #[subject = "tick"] Tick,
    }
}
use Input::{Pressed, Released, Tick, Tilt};

const KINDS: usize = Input::KINDS;

/// What the handlers were called with: their name and the event.
type Calls = Vec<(&'static str, Input)>;

/// A table whose handlers write down that they were called.
type Table<R = (), const H: usize = 2> = Dispatch<Input, Calls, KINDS, R, H>;

fn names(calls: &Calls) -> Vec<&'static str> {
    calls.iter().map(|(name, _)| *name).collect()
}

/// Ticks an exclusive bus that has these events.
fn tick<R: tickbus::bus::Verdict, const H: usize>(
    table: &Table<R, H>,
    events: &[Input],
) -> (Calls, Report, Stats) {
    let mut bus: Bus<Input, 64> = Bus::new();
    bus.publish_batch_mut(events).unwrap();
    let mut calls = Vec::new();
    let report = table.tick(&mut calls, &mut bus, Budget::unlimited());
    (calls, report, bus.stats())
}

#[track_caller]
fn conserved(stats: Stats) {
    assert_eq!(stats.published, stats.handled + stats.dropped() + stats.pending, "{stats:?}");
}

// ---- Routes ------------------------------------------------------------------------------------

#[test]
fn a_handler_sees_the_kinds_of_its_subject_and_no_others() {
    static TABLE: Table = Table::new()
        .on("input.tilt", |calls, &event| calls.push(("tilt", event)))
        .on("tick", |calls, &event| calls.push(("tick", event)));
    let (calls, report, _) = tick(&TABLE, &[Tilt(1), Tick, Pressed(2), Tilt(3)]);
    assert_eq!(calls, [("tilt", Tilt(1)), ("tick", Tick), ("tilt", Tilt(3))]);
    assert_eq!((report.handled, report.unhandled), (4, 1));
}

#[test]
fn a_wildcard_is_one_segment_and_a_rest_is_all_that_follow() {
    static TABLE: Table<(), 5> = Table::new()
        .on(">", |calls, &event| calls.push((">", event)))
        .on("*", |calls, &event| calls.push(("*", event)))
        .on("input.*", |calls, &event| calls.push(("input.*", event)))
        .on("input.>", |calls, &event| calls.push(("input.>", event)))
        .on("*.button.*", |calls, &event| calls.push(("*.button.*", event)));
    assert_eq!(names(&tick(&TABLE, &[Pressed(1)]).0), [">", "input.>", "*.button.*"]);
    assert_eq!(names(&tick(&TABLE, &[Released(1)]).0), [">", "input.>", "*.button.*"]);
    assert_eq!(names(&tick(&TABLE, &[Tilt(1)]).0), [">", "input.*", "input.>"]);
    assert_eq!(names(&tick(&TABLE, &[Tick]).0), [">", "*"]);
}

#[test]
fn several_handlers_are_called_in_the_order_of_their_registration() {
    static TABLE: Table<(), 3> = Table::new()
        .on("tick", |calls, &event| calls.push(("first", event)))
        .on(">", |calls, &event| calls.push(("second", event)))
        .on("tick", |calls, &event| calls.push(("third", event)));
    let (calls, report, _) = tick(&TABLE, &[Tick, Tilt(1)]);
    assert_eq!(names(&calls), ["first", "second", "third", "second"]);
    assert_eq!(report.handled, 2, "events, not calls");
}

#[test]
fn otherwise_gets_what_has_no_other_handler() {
    static TABLE: Table = Table::new()
        .otherwise(|calls, &event| calls.push(("otherwise", event)))
        .on("tick", |calls, &event| calls.push(("tick", event)));
    let (calls, report, stats) = tick(&TABLE, &[Tick, Tilt(1), Pressed(2)]);
    assert_eq!(calls, [("tick", Tick), ("otherwise", Tilt(1)), ("otherwise", Pressed(2))]);
    assert_eq!((report.unhandled, stats.unhandled), (0, 0));
}

#[test]
fn without_otherwise_it_is_consumed_and_counted_as_unhandled() {
    static TABLE: Table = Table::new().on("tick", |calls, &event| calls.push(("tick", event)));
    let (calls, report, stats) = tick(&TABLE, &[Tilt(1), Tick, Tilt(2)]);
    assert_eq!(calls, [("tick", Tick)]);
    assert_eq!((report.handled, report.unhandled, report.left), (3, 2, 0));
    assert_eq!((stats.handled, stats.unhandled, stats.pending), (3, 2, 0));
}

#[test]
fn a_table_without_handlers_consumes_everything() {
    let (calls, report, stats) = tick(&Table::<()>::new(), &[Tilt(1), Tick]);
    assert_eq!((calls.len(), report.handled, report.unhandled), (0, 2, 2));
    conserved(stats);
}

#[test]
fn call_needs_no_bus_and_says_whether_anybody_was_there() {
    static TABLE: Table = Table::new().on("tick", |calls, &event| calls.push(("tick", event)));
    let mut calls = Vec::new();
    assert!(TABLE.call(&mut calls, &Tick));
    assert!(!TABLE.call(&mut calls, &Tilt(1)));
    assert_eq!(calls, [("tick", Tick)]);
}

/// An event whose kind is what it says, in the table or not.
struct Level(usize);

impl Event for Level {
    const SUBJECTS: &'static [&'static str] = &["level.low", "level.high"];

    fn kind(&self) -> usize {
        self.0
    }
}

#[test]
fn a_kind_outside_the_table_goes_to_otherwise() {
    type Levels = Dispatch<Level, Vec<(u8, usize)>, 2>;
    static TABLE: Levels = Levels::new()
        .on("level.*", |calls, level| calls.push((0, level.0)))
        .otherwise(|calls, level| calls.push((1, level.0)));
    let mut bus: Bus<Level, 4> = Bus::new();
    for kind in [0, 1, 2, usize::MAX] {
        assert!(bus.publish(Level(kind)).is_ok());
    }
    let mut calls = Vec::new();
    let report = TABLE.tick(&mut calls, &mut bus, Budget::unlimited());
    assert_eq!(calls, [(0, 0), (0, 1), (1, 2), (1, usize::MAX)]);
    assert_eq!(report.unhandled, 0);
}

#[test]
fn a_kind_outside_the_table_is_unhandled_without_otherwise() {
    static TABLE: Dispatch<Level, u32, 2> = Dispatch::new().on("level.*", |calls, _| *calls += 1);
    let mut bus: Bus<Level, 4> = Bus::new();
    for kind in [2, usize::MAX] {
        assert!(bus.publish(Level(kind)).is_ok());
    }
    let mut calls = 0;
    let report = TABLE.tick(&mut calls, &mut bus, Budget::unlimited());
    assert_eq!((report.handled, report.unhandled, calls), (2, 2, 0));
    assert!(!TABLE.call(&mut calls, &Level(7)));
}

#[test]
fn an_event_without_kinds_has_a_table() {
    tickbus::events! { enum Never {} }
    static TABLE: Dispatch<Never, (), 0> = Dispatch::new().otherwise(|(), _| {});
    let mut bus: Bus<Never, 2> = Bus::new();
    assert_eq!(TABLE.tick(&mut (), &mut bus, Budget::unlimited()), Report::default());
}

/// Subjects of all lengths, that begin and end alike, with up to ten segments.
struct Place(usize);

impl Event for Place {
    const SUBJECTS: &'static [&'static str] = &[
        "a",
        "b",
        "ab",
        "abc",
        "abcd",
        "abcdefg",
        "abcdefgh",
        "abcdefghi",
        "abcdefgh.abcdefgh",
        "abcdefgh.abcdefgi",
        "bbcdefgh.abcdefgh",
        "a.a",
        "a.b",
        "b.a",
        "b.b",
        "a.a.a",
        "a.a.b",
        "a.b.a",
        "b.a.a",
        "a.b.b",
        "b.b.b.b",
        "a.b.a.b",
        "ü.ß.é",
        "a.b.c.d.e.f.g.h",
        "a.b.c.d.e.f.g.i",
        "a.b.c.d.e.f.g.h.i",
        "a.b.c.d.e.f.g.h.j",
        "b.b.c.d.e.f.g.h.j",
        "a.b.c.d.e.f.g.h.i.j",
        "a.a.a.a.a.a.a.a.a.a",
        "fifteen_letters.a",
        "sixteen__letters.a",
        "\u{1}fifteen_letters.a",
        "b_longer_than_a_word_by_far.a",
        "c_longer_than_a_word_by_far.a",
        "a.b_longer_than_a_word_by_far.a",
        "a.c_longer_than_a_word_by_far.a",
        // A segment of 17 bytes, of which the last 16 look like the end of a short one.
        "x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{1}a.a",
        "x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{1}.a",
    ];

    fn kind(&self) -> usize {
        self.0
    }
}

/// Which kinds a table of this one pattern calls: none if it cannot be made.
fn called(pattern: &str) -> Option<Vec<usize>> {
    let made = || Dispatch::<Place, (), { Place::KINDS }>::new().on(pattern, |(), _| {});
    let table = catch_unwind(AssertUnwindSafe(made)).ok()?;
    Some((0..Place::KINDS).filter(|kind| table.call(&mut (), &Place(*kind))).collect())
}

/// The same, with a look at each.
fn matching(pattern: &str) -> Option<Vec<usize>> {
    let pattern = Pattern::new(pattern).ok()?;
    let matches = |kind: &usize| pattern.matches(Subject::from_static(Place::SUBJECTS[*kind]));
    Some((0..Place::KINDS).filter(matches).collect()).filter(|kinds: &Vec<_>| !kinds.is_empty())
}

#[test]
fn a_line_finds_what_the_matcher_finds() {
    for subject in Place::SUBJECTS {
        let segments: Vec<_> = subject.split('.').collect();
        for stars in (0..1_u32 << segments.len()).step_by(if cfg!(miri) { 61 } else { 1 }) {
            let mut pattern: Vec<_> = segments.clone();
            for (at, segment) in pattern.iter_mut().enumerate() {
                if stars >> at & 1 == 1 {
                    *segment = "*";
                }
            }
            let whole = pattern.join(".");
            assert_eq!(called(&whole), matching(&whole), "{whole}");
            pattern.pop();
            pattern.push(">");
            let open = pattern.join(".");
            assert_eq!(called(&open), matching(&open), "{open}");
        }
    }
    for none in
        ["", ".", "c", "abcdefgh.abcdefgj", "a.>.b", "a..b", "*a", "a.b.c.d.e.f.g.h.i.k", "*.*.c"]
    {
        assert_eq!(called(none), matching(none), "{none}");
    }
    for malformed in
        [".*", "*.", "*..a", "*..*", "**", ">.a", "*.>.*", "*a.*", "b_longer_than_a_word_by_far..>"]
    {
        assert_eq!(called(malformed), None, "{malformed}");
    }
    assert_eq!(called(&format!("*.{}", "x".repeat(1023))), None);
}

#[test]
fn a_line_tells_subjects_apart_by_each_byte() {
    /// One kind, so that nothing but the text tells a pattern from its subject.
    struct Only;

    impl Event for Only {
        const SUBJECTS: &'static [&'static str] = &["abcdefgh.ijklmnop.qrst"];

        fn kind(&self) -> usize {
            0
        }
    }

    let called = |pattern: &str| {
        let made = || Dispatch::<Only, (), 1>::new().on(pattern, |(), _| {});
        catch_unwind(AssertUnwindSafe(made)).is_ok()
    };
    let subject = Only::SUBJECTS[0];
    assert!(called(subject) && !called(&subject[1..]) && !called(&format!("{subject}u")));
    for at in (0..subject.len()).step_by(if cfg!(miri) { 7 } else { 1 }) {
        let other = format!("{}#{}", &subject[..at], &subject[at + 1..]);
        assert!(!called(&other), "{other}");
    }
}

#[test]
#[should_panic = "`input.button.presed` matches no subject of the event, which has \
                  `input.button.pressed`, `input.button.released`, `input.tilt`, `tick`"]
fn a_line_for_nothing_names_the_subjects_there_are() {
    let _ = Table::<()>::new().on("input.button.presed", |_, _| {});
}

#[test]
#[should_panic = "`tik` matches no subject of the event, which has \
                  `tick`, `input.button.pressed`, `input.button.released`, `input.tilt`"]
fn a_line_for_nothing_names_the_likeliest_subject_first() {
    let _ = Table::<()>::new().on("tik", |_, _| {});
}

/// So many subjects that a message has no room for them.
struct Crowd;

impl Event for Crowd {
    const SUBJECTS: &'static [&'static str] = {
        const LONG: &str = match core::str::from_utf8(&[b'x'; 1024]) {
            Ok(text) => text,
            Err(_) => panic!("ASCII"),
        };
        &[LONG, LONG.split_at(1023).0, LONG.split_at(1022).0, "y"]
    };

    fn kind(&self) -> usize {
        0
    }
}

#[test]
fn a_message_says_how_much_it_leaves_out() {
    let said = |pattern: &str| {
        let made = || Dispatch::<Crowd, (), 4, (), 1>::new().on(pattern, |(), _| {});
        *catch_unwind(AssertUnwindSafe(made)).err().unwrap().downcast::<String>().unwrap()
    };
    let few = said("yy");
    assert!(few.starts_with("`yy` matches no subject of the event, which has `y`, `xxx"), "{few}");
    assert!(few.ends_with("x` and 2 more"), "{few}");
    let none = said(&format!("{}y", "x".repeat(1023)));
    assert!(none.ends_with("y` matches no subject of the event, which has 4 others"), "{none}");
}

#[test]
#[should_panic = "`*.tilt` is handler 12 of `input.tilt`, but the table has room for 11 a kind: raise its \
                  last parameter, as in `Dispatch<E, C, { E::KINDS }, (), 12>`"]
fn one_handler_too_many_names_the_pattern_the_kind_and_the_number() {
    let mut table = Table::<(), 11>::new();
    for _ in 0..12 {
        table = table.on("*.tilt", |_, _| {});
    }
}

// ---- Answers of handlers -----------------------------------------------------------------------

#[test]
fn stop_keeps_the_handlers_after_it_from_running() {
    static TABLE: Table<Flow, 3> = Table::new()
        .on(">", |calls, &event| {
            calls.push(("first", event));
            Flow::Continue
        })
        .on(">", |calls, &event| {
            calls.push(("second", event));
            if event == Tick { Flow::Stop } else { Flow::Continue }
        })
        .on(">", |calls, &event| {
            calls.push(("third", event));
            Flow::Stop
        });
    let (calls, report, _) = tick(&TABLE, &[Tick, Tilt(1)]);
    assert_eq!(names(&calls), ["first", "second", "first", "second", "third"]);
    assert_eq!((report.handled, report.unhandled, report.failed), (2, 0, 0));
}

#[test]
fn a_failure_goes_to_the_hook_and_the_handlers_after_it_run() {
    static TABLE: Table<Result<(), &'static str>, 3> = Table::new()
        .on("tick", |calls, &event| {
            calls.push(("first", event));
            Err("first failed")
        })
        .on("tick", |calls, &event| {
            calls.push(("second", event));
            Ok(())
        })
        .on("tick", |calls, &event| {
            calls.push(("third", event));
            Err("third failed")
        })
        .otherwise(|calls, &event| {
            calls.push(("otherwise", event));
            Err("otherwise failed")
        })
        .on_error(|calls, &event, why| calls.push((why, event)));
    let (calls, report, stats) = tick(&TABLE, &[Tick, Tilt(1)]);
    assert_eq!(
        calls,
        [
            ("first", Tick),
            ("first failed", Tick),
            ("second", Tick),
            ("third", Tick),
            ("third failed", Tick),
            ("otherwise", Tilt(1)),
            ("otherwise failed", Tilt(1)),
        ]
    );
    assert_eq!((report.handled, report.failed), (2, 2), "events, not failures");
    assert_eq!((stats.handled, stats.failed, stats.unhandled), (2, 2, 0));
}

#[test]
fn a_failure_is_counted_without_a_hook_too_and_the_batch_goes_on() {
    static TABLE: Table<Result<Flow, u8>> = Table::new().on(">", |calls, &event| {
        calls.push(("called", event));
        match event {
            Tick => Err(1),
            _ => Ok(Flow::Stop),
        }
    });
    let (calls, report, stats) = tick(&TABLE, &[Tick, Tilt(1), Tick]);
    assert_eq!((calls.len(), report.handled, report.failed), (3, 3, 2));
    assert_eq!((stats.handled, stats.failed), (3, 2));
    conserved(stats);
}

#[test]
fn stop_and_failure_of_one_type() {
    static TABLE: Table<Result<Flow, Infallible>, 3> = Table::new()
        .on("tick", |calls, &event| {
            calls.push(("first", event));
            Ok(Flow::Stop)
        })
        .on("tick", |calls, &event| {
            calls.push(("second", event));
            Ok(Flow::Continue)
        });
    let (calls, report, _) = tick(&TABLE, &[Tick]);
    assert_eq!((names(&calls), report.failed), (vec!["first"], 0));
}

// ---- Budgets -----------------------------------------------------------------------------------

static COUNT: Dispatch<Input, usize, KINDS> = Dispatch::new().on(">", |count, _| *count += 1);

fn bus_of(events: usize) -> Bus<Input, 1024> {
    let mut bus = Bus::new();
    for number in 0..events {
        bus.publish_mut(Tilt(number as u32)).unwrap();
    }
    bus
}

#[test]
fn a_budget_of_events_leaves_the_rest_in_order() {
    for (budget, handled) in [(0, 1), (1, 1), (2, 2), (9, 9), (10, 10), (11, 10), (usize::MAX, 10)]
    {
        let mut bus = bus_of(10);
        let mut count = 0;
        let report = COUNT.tick(&mut count, &mut bus, Budget::events(budget));
        assert_eq!((report.handled, report.left, count), (handled, 10 - handled, handled));
        assert!(bus.drain().eq((handled as u32..10).map(Tilt)), "budget {budget}");
    }
}

#[test]
fn the_clock_is_asked_after_every_32nd_event() {
    for (events, asked) in [(0, 0), (31, 0), (32, 1), (63, 1), (64, 2), (200, 6)] {
        let mut bus = bus_of(events);
        let times = Cell::new(0);
        let clock = || {
            times.set(times.get() + 1);
            false
        };
        let report = COUNT.tick(&mut 0, &mut bus, Budget::unlimited().until(clock));
        assert_eq!((report.handled, times.get()), (events, asked));
    }
}

#[test]
fn the_tick_ends_when_the_clock_says_so() {
    for (end, handled) in [(1, 32), (2, 64), (6, 192), (7, 200)] {
        let mut bus = bus_of(200);
        let mut times = 0;
        let clock = || {
            times += 1;
            times >= end
        };
        let report = COUNT.tick(&mut 0, &mut bus, Budget::unlimited().until(clock));
        assert_eq!((report.handled, report.left), (handled, 200 - handled), "end {end}");
    }
}

#[test]
fn check_every_says_how_often_the_clock_is_asked() {
    for (every, handled) in [(0, 1), (1, 1), (2, 2), (10, 10), (20, 20), (usize::MAX, 20)] {
        let mut bus = bus_of(20);
        let budget = Budget::unlimited().until(|| true).check_every(every);
        assert_eq!(COUNT.tick(&mut 0, &mut bus, budget).handled, handled, "every {every}");
    }
}

#[test]
fn whichever_is_spent_first_ends_the_tick() {
    let both = |events| Budget::events(events).until(|| true).check_every(4);
    assert_eq!(COUNT.tick(&mut 0, &mut bus_of(20), both(3)).handled, 3);
    assert_eq!(COUNT.tick(&mut 0, &mut bus_of(20), both(4)).handled, 4);
    assert_eq!(COUNT.tick(&mut 0, &mut bus_of(20), both(5)).handled, 4);
}

// ---- Generations, and publishing from a handler ------------------------------------------------

type Loop<'a, const N: usize, P> = (&'a Bus<Input, N, P>, Vec<u32>);

/// Publishes the next number for each it sees.
fn echo<const N: usize, P: Policy>((bus, seen): &mut Loop<'_, N, P>, event: &Input) {
    if let Tilt(number) = *event {
        seen.push(number);
        let _ = bus.publish(Tilt(number + 1));
    }
}

#[test]
fn what_a_handler_publishes_waits_for_the_next_tick() {
    static BUS: Bus<Input, 8> = Bus::new();
    static TABLE: Dispatch<Input, Loop<'static, 8, tickbus::Reject>, KINDS> =
        Dispatch::new().on(">", echo);
    let mut consumer = BUS.consumer().unwrap();
    BUS.publish(Tilt(0)).unwrap();
    let mut context = (&BUS, Vec::new());
    for round in 0..5 {
        let report = TABLE.tick(&mut context, &mut consumer, Budget::unlimited());
        assert_eq!((report.handled, report.left, report.generations), (1, 1, 1));
        assert_eq!(context.1.last(), Some(&round));
    }
}

#[test]
fn generations_bound_a_handler_that_publishes_forever() {
    static TABLE: Dispatch<Input, Loop<'static, 8, tickbus::Reject>, KINDS> =
        Dispatch::new().on(">", echo);
    static BUSES: [Bus<Input, 8>; 5] = [const { Bus::new() }; 5];
    let cases = [(0, 2), (1, 2), (2, 4), (3, 6), (100, 200)];
    for (bus, (generations, handled)) in BUSES.iter().zip(cases) {
        bus.publish_batch(&[Tilt(0), Tilt(10)]).unwrap();
        let mut consumer = bus.consumer().unwrap();
        let budget = Budget::unlimited().generations(generations);
        let report = TABLE.tick(&mut (bus, Vec::new()), &mut consumer, budget);
        assert_eq!((report.handled, report.left), (handled, 2));
        assert_eq!(report.generations, handled / 2);
        conserved(bus.stats());
    }
}

#[test]
fn the_generations_end_when_nothing_is_left() {
    let mut bus = bus_of(3);
    let report = COUNT.tick(&mut 0, &mut bus, Budget::unlimited().generations(5));
    assert_eq!((report.handled, report.generations), (3, 1));
}

/// Each generation is a drain of its own, which marks what it finds. Nothing else reads the counts here.
#[test]
fn every_generation_raises_the_high_water_mark() {
    fn check<P: Policy>() {
        fn three<P: Policy>(bus: &mut &Bus<Input, 8, P>, event: &Input) {
            if let Tilt(number @ 0..10) = *event {
                assert!((10..13).all(|more| bus.publish(Tilt(number + more)).is_ok()));
            }
        }
        let table: Dispatch<Input, &Bus<Input, 8, P>, KINDS> = Dispatch::new().on(">", three::<P>);
        let bus: Bus<Input, 8, P> = Bus::new();
        bus.publish(Tilt(0)).unwrap();
        let mut consumer = bus.consumer().unwrap();
        let report = table.tick(&mut &bus, &mut consumer, Budget::unlimited().generations(2));
        assert_eq!((report.handled, report.left), (4, 0));
        assert_eq!(bus.stats().high_water, 3);
    }
    check::<tickbus::Reject>();
    check::<DropOldest>();
    check::<DropNewest>();
}

#[test]
fn a_budget_spans_the_generations() {
    static TABLE: Dispatch<Input, Loop<'static, 8, tickbus::Reject>, KINDS> =
        Dispatch::new().on(">", echo);
    static BUS: Bus<Input, 8> = Bus::new();
    let bus = &BUS;
    bus.publish_batch(&[Tilt(0), Tilt(10), Tilt(20)]).unwrap();
    let mut consumer = bus.consumer().unwrap();
    let mut context = (bus, Vec::new());
    let report = TABLE.tick(&mut context, &mut consumer, Budget::events(5).generations(9));
    assert_eq!((report.handled, report.left, report.generations), (5, 3, 2));
    assert_eq!(context.1, [0, 10, 20, 1, 11]);

    // And so does the clock: asked after the 4th, of which the last is of the second generation.
    let budget = Budget::unlimited().generations(9).until(|| true).check_every(4);
    let report = TABLE.tick(&mut context, &mut consumer, budget);
    assert_eq!((report.handled, report.generations), (4, 2));
    assert_eq!(context.1[5..], [21, 2, 12, 22]);
}

/// A handler that publishes two events for one, into a bus that is full.
fn flood<P: Policy>(expected: &[u32], refused: usize, dropped: usize) {
    let bus: Bus<Input, 2, P> = Bus::new();
    let mut consumer: Consumer<'_, Input, P> = bus.consumer().unwrap();
    bus.publish_batch(&[Tilt(1), Tilt(2)]).unwrap();
    let table = Dispatch::<Input, Loop<'_, 2, P>, KINDS>::new().on(">", |(bus, seen), &event| {
        let Tilt(number) = event else { return };
        seen.push(number);
        let _ = bus.publish(Tilt(10 * number));
        let _ = bus.publish(Tilt(10 * number + 1));
    });
    let mut context = (&bus, Vec::new());
    let report = table.tick(&mut context, &mut consumer, Budget::unlimited());
    let handled = context.1.len();
    assert_eq!(report.handled, handled);
    assert_eq!((report.left, report.refused, report.dropped), (2, refused, dropped));
    conserved(bus.stats());
    let rest = consumer.drain().map(|event| match event {
        Tilt(number) => number,
        other => unreachable!("{other:?}"),
    });
    assert!(context.1.into_iter().chain(rest).eq(expected.iter().copied()));
}

#[test]
fn a_handler_may_publish_into_its_own_full_bus() {
    // Each event leaves room for one of the two that it makes.
    flood::<tickbus::Reject>(&[1, 2, 10, 20], 2, 0);
    flood::<DropNewest>(&[1, 2, 10, 20], 0, 2);
    // The second one displaces 2, which is then never handled.
    flood::<DropOldest>(&[1, 10, 11], 0, 1);
}

// ---- Reports -----------------------------------------------------------------------------------

#[test]
fn a_report_has_what_was_refused_since_the_tick_before() {
    let bus: Bus<Input, 4> = Bus::new();
    let mut consumer = bus.consumer().unwrap();
    assert_eq!(bus.publish_batch(&[Tick; 7]), Err(Full(&[Tick; 3][..])));
    let mut tick = |budget| COUNT.tick(&mut 0, &mut consumer, Budget::events(budget));
    let report = tick(1);
    assert_eq!((report.handled, report.left), (1, 3));
    assert_eq!((report.refused, report.dropped, report.generations), (3, 0, 1));
    assert_eq!(tick(1).refused, 0);
    bus.publish_batch(&[Tick; 5]).unwrap_err();
    let report = tick(10);
    assert_eq!((report.handled, report.left, report.refused), (4, 0, 3));
    assert_eq!((bus.stats().refused, bus.stats().high_water), (6, 4));
}

#[test]
fn a_report_has_what_was_dropped_since_the_tick_before() {
    fn check<P: Policy>() {
        let mut bus: Bus<Input, 4, P> = Bus::new();
        for _ in 0..7 {
            let _ = bus.publish(Tick);
        }
        let report = COUNT.tick(&mut 0, &mut bus, Budget::events(1));
        assert_eq!((report.handled, report.left), (1, 3));
        assert_eq!((report.dropped, report.refused), (3, 0));
        let report = COUNT.tick(&mut 0, &mut bus.consumer().unwrap(), Budget::events(1));
        assert_eq!((report.dropped, report.left), (0, 2), "whichever table ticks");
        for _ in 0..4 {
            let _ = bus.publish_mut(Tick);
        }
        assert_eq!(COUNT.tick(&mut 0, &mut bus, Budget::unlimited()).dropped, 2);
        assert_eq!(bus.stats().dropped(), 5);
        conserved(bus.stats());
    }
    check::<DropOldest>();
    check::<DropNewest>();
}

// ---- Sources -----------------------------------------------------------------------------------

#[test]
fn a_tick_of_an_empty_source_does_nothing() {
    let mut bus: Bus<Input, 2> = Bus::new();
    let lane: Lane<Input, 2> = Lane::new();
    let fine = || Budget::events(3).until(|| unreachable!("nothing to ask for")).generations(3);
    assert_eq!(COUNT.tick(&mut 0, &mut bus, fine()), Report::default());
    assert_eq!(COUNT.tick(&mut 0, &mut bus.consumer().unwrap(), fine()), Report::default());
    assert_eq!(COUNT.tick(&mut 0, &mut lane.consumer().unwrap(), fine()), Report::default());
    assert_eq!(bus.stats(), Stats::default());
}

#[test]
fn an_exclusive_bus_and_a_lane_can_be_ticked() {
    let mut bus: Bus<Input, 4, DropOldest> = Bus::new();
    bus.publish_batch_mut(&[Tick; 6]).unwrap();
    let mut count = 0;
    let report = COUNT.tick(&mut count, &mut bus, Budget::events(3));
    assert_eq!((report.handled, report.left, report.dropped, count), (3, 1, 2, 3));

    let lane: Lane<Input, 4> = Lane::new();
    let _ = lane.publisher().unwrap().publish_batch(&[Tick; 6]);
    let mut consumer = lane.consumer().unwrap();
    let report = COUNT.tick(&mut count, &mut consumer, Budget::events(3));
    assert_eq!((report.handled, report.left, report.refused, count), (3, 1, 2, 6));
    let report = COUNT.tick(&mut count, &mut consumer, Budget::unlimited());
    assert_eq!((report.handled, report.left, report.refused, count), (1, 0, 0, 7));
    conserved(bus.stats());
    conserved(lane.stats());
}

// ---- Panics ------------------------------------------------------------------------------------

type Fragile = Dispatch<Input, Vec<u32>, KINDS, Result<(), ()>>;
static FRAGILE: Fragile = Fragile::new()
    .on("input.tilt", |seen, event| {
        let Tilt(number) = *event else { return Ok(()) };
        seen.push(number);
        assert_ne!(number, 2, "a handler panics");
        if number == 4 { Err(()) } else { Ok(()) }
    })
    .on_error(|_, _, ()| panic!("the hook panics"));

/// Ticks until nothing is left, through panics.
fn tick_on<S: tickbus::Source<Event = Input>>(source: &mut S, seen: &mut Vec<u32>) -> usize {
    let mut panics = 0;
    loop {
        let tick = || FRAGILE.tick(seen, source, Budget::unlimited());
        match catch_unwind(AssertUnwindSafe(tick)) {
            Ok(_) => return panics,
            Err(_) => panics += 1,
        }
    }
}

fn through_panics<P: Policy>() {
    let mut bus: Bus<Input, 8, P> = Bus::new();
    for exclusive in [false, true] {
        let before = bus.stats();
        for number in 0..6 {
            bus.publish(Tilt(number)).unwrap();
        }
        let mut seen = Vec::new();
        let panics = if exclusive {
            tick_on(&mut bus, &mut seen)
        } else {
            tick_on(&mut bus.consumer().unwrap(), &mut seen)
        };
        assert_eq!((panics, seen), (2, vec![0, 1, 2, 3, 4, 5]), "each exactly once");
        let stats = bus.stats();
        assert_eq!((stats.handled - before.handled, stats.pending), (6, 0));
        conserved(stats);
    }
}

#[test]
fn an_event_whose_handler_or_hook_panics_is_consumed_and_the_rest_stays() {
    through_panics::<tickbus::Reject>();
    through_panics::<DropOldest>();
    through_panics::<DropNewest>();
}

/// An event whose kind panics if it is the third. It counts how many of it are alive.
struct Sour(u32, #[expect(dead_code, reason = "counted")] Arc<()>);

impl Event for Sour {
    const KINDS: usize = 1;
    const SUBJECTS: &'static [&'static str] = &["sour"];

    fn kind(&self) -> usize {
        assert_ne!(self.0, 2, "the kind panics");
        0
    }
}

#[test]
fn an_event_whose_kind_panics_is_consumed_and_the_rest_stays() {
    fn check(mut source: impl tickbus::Source<Event = Sour>, publish: impl Fn(Sour)) {
        static TABLE: Dispatch<Sour, Vec<u32>, { Sour::KINDS }> =
            Dispatch::new().on("sour", |seen, event| seen.push(event.0));
        let (token, mut seen) = (Arc::new(()), Vec::new());
        (0..4).for_each(|number| publish(Sour(number, Arc::clone(&token))));
        let mut tick = || {
            let tick = || TABLE.tick(&mut seen, &mut source, Budget::unlimited()).handled;
            catch_unwind(AssertUnwindSafe(tick)).ok()
        };
        assert_eq!((tick(), tick(), tick()), (None, Some(1), Some(0)));
        assert_eq!((seen, Arc::strong_count(&token)), (vec![0, 1, 3], 1));
    }

    let bus: Bus<Sour, 4> = Bus::new();
    check(bus.consumer().unwrap(), |event| assert!(bus.publish(event).is_ok()));
    let bus: Bus<Sour, 4, DropOldest> = Bus::new();
    check(bus.consumer().unwrap(), |event| assert!(bus.publish(event).is_ok()));
    let lane: Lane<Sour, 4> = Lane::new();
    check(lane.consumer().unwrap(), |event| assert!(lane.publish(event).is_ok()));
}

/// An event that counts how many of it are alive.
#[derive(Debug)]
struct Alive(Arc<()>);

impl Event for Alive {
    const KINDS: usize = 1;
    const SUBJECTS: &'static [&'static str] = &["alive"];

    fn kind(&self) -> usize {
        0
    }
}

static NOTING: Dispatch<Alive, Vec<usize>, { Alive::KINDS }> =
    Dispatch::new().on("alive", |seen, Alive(token)| {
        seen.push(Arc::strong_count(token));
        assert_ne!(seen.len(), 2, "a handler panics");
    });

fn each_is_dropped_once<P: Policy>() {
    let mut bus: Bus<Alive, 4, P> = Bus::new();
    for exclusive in [false, true] {
        let token = Arc::new(());
        for _ in 0..4 {
            bus.publish(Alive(token.clone())).unwrap();
        }
        let mut seen = Vec::new();
        for panics in [true, false] {
            let tick = || {
                if exclusive {
                    NOTING.tick(&mut seen, &mut bus, Budget::unlimited())
                } else {
                    NOTING.tick(&mut seen, &mut bus.consumer().unwrap(), Budget::unlimited())
                }
            };
            assert_eq!(catch_unwind(AssertUnwindSafe(tick)).is_err(), panics);
        }
        assert_eq!(seen, [5, 4, 3, 2], "each is alive while it is handled, and no longer");
        assert_eq!(Arc::strong_count(&token), 1);
    }
}

#[test]
fn an_event_is_dropped_once_when_it_has_been_handled_or_its_handler_panics() {
    each_is_dropped_once::<tickbus::Reject>();
    each_is_dropped_once::<DropOldest>();
    each_is_dropped_once::<DropNewest>();
}

#[test]
fn an_event_after_which_the_clock_panics_is_consumed_and_the_rest_stays() {
    let mut bus = bus_of(3);
    let mut count = 0;
    let clock = || panic!("no clock");
    let tick = || COUNT.tick(&mut count, &mut bus, Budget::unlimited().until(clock).check_every(2));
    assert!(catch_unwind(AssertUnwindSafe(tick)).is_err());
    assert_eq!((count, bus.stats().handled, bus.pending()), (2, 2, 1));
}

// ---- Against a model ---------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(Input),
    Tick(Limits),
}

/// A budget. `late` is the question that is answered with yes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    events: usize,
    generations: usize,
    late: Option<(usize, usize)>,
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => (0..4_u32).prop_map(Tilt),
        1 => any::<u32>().prop_map(Pressed),
        1 => Just(Tick),
    ];
    let late = prop_oneof![Just(None), (0..5_usize, 0..4_usize).prop_map(Some)];
    let limits = (prop_oneof![0..9_usize, Just(usize::MAX)], 0..4_usize, late);
    prop_oneof![
        3 => event.prop_map(Step::Publish),
        1 => limits.prop_map(|(events, generations, late)| Step::Tick(Limits { events, generations, late })),
    ]
}

/// The bus of four that a table should make of a queue.
#[derive(Default)]
struct Model {
    queue: VecDeque<Input>,
    displaces: bool,
    lost: usize,
    displaced: usize,
    seen: Vec<Input>,
}

impl Model {
    fn publish(&mut self, event: Input) {
        let full = self.queue.len() == 4;
        self.lost += usize::from(full);
        if full && self.displaces {
            self.displaced += 1;
            self.queue.pop_front();
        }
        if !full || self.displaces {
            self.queue.push_back(event);
        }
    }

    /// Handled, failed, unhandled, generations.
    fn tick(&mut self, Limits { events, generations, late }: Limits) -> [usize; 4] {
        let (every, mut questions) = late.unwrap_or((1, usize::MAX));
        let [mut handled, mut failed, mut unhandled, mut generation] = [0; 4];
        let mut is_late = false;
        while !is_late && generation < generations.max(1) {
            let before = handled;
            let end = self.displaced + self.queue.len();
            let mut taken = 0;
            while !is_late && handled < events.max(1) && self.displaced + taken < end {
                let event = self.queue.pop_front().unwrap();
                // From here on the queue begins one later.
                taken += 1;
                handled += 1;
                self.seen.push(event);
                match event {
                    Tilt(children) => (0..children).for_each(|child| self.publish(Tilt(child))),
                    Pressed(_) => failed += 1,
                    _ => unhandled += 1,
                }
                if handled.is_multiple_of(every.max(1)) {
                    is_late = questions == 0;
                    questions = questions.saturating_sub(1);
                }
            }
            if handled == before {
                break;
            }
            generation += 1;
        }
        [handled, failed, unhandled, generation]
    }
}

fn check_against_model<P: Policy>(steps: &[Step], displaces: bool, refuses: bool) {
    type Context<'b, P> = (&'b Bus<Input, 4, P>, Vec<Input>);
    let bus: Bus<Input, 4, P> = Bus::new();
    let table = Dispatch::<Input, Context<'_, P>, KINDS, Result<(), ()>>::new()
        .on("input.tilt", |(bus, seen), &event| {
            seen.push(event);
            let Tilt(children) = event else { unreachable!("not its kind") };
            for child in 0..children {
                let _ = bus.publish(Tilt(child));
            }
            Ok(())
        })
        .on("input.button.pressed", |(_, seen), &event| {
            seen.push(event);
            Err(())
        });
    let mut context: Context<'_, P> = (&bus, Vec::new());
    let mut consumer = bus.consumer().unwrap();
    let mut model = Model { displaces, ..Model::default() };
    let mut told = 0;
    for step in steps {
        match *step {
            Step::Publish(event) => {
                let _ = bus.publish(event);
                model.publish(event);
            }
            Step::Tick(limits) => {
                let Limits { events, generations, late } = limits;
                let budget = Budget::events(events).generations(generations);
                let report = if let Some((every, mut questions)) = late {
                    let late = || {
                        let is_late = questions == 0;
                        questions = questions.saturating_sub(1);
                        is_late
                    };
                    table.tick(&mut context, &mut consumer, budget.until(late).check_every(every))
                } else {
                    table.tick(&mut context, &mut consumer, budget)
                };
                let expected = model.tick(limits);
                let Report { handled, failed, unhandled, generations, .. } = report;
                assert_eq!([handled, failed, unhandled, generations], expected);
                let news = model.lost - told;
                told = model.lost;
                let (dropped, refused) = if refuses { (0, news) } else { (news, 0) };
                assert_eq!((report.dropped, report.refused), (dropped, refused));
                assert_eq!(report.left, model.queue.len());
                model.seen.retain(|event| *event != Tick);
                assert_eq!(context.1, model.seen);
            }
        }
        assert_eq!(bus.pending(), model.queue.len());
        conserved(bus.stats());
    }
    assert!(consumer.drain().eq(model.queue));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tick_is_a_loop_over_a_queue(steps in vec(step(), 1..60)) {
        check_against_model::<tickbus::Reject>(&steps, false, true);
        check_against_model::<DropNewest>(&steps, false, false);
        check_against_model::<DropOldest>(&steps, true, false);
    }
}
