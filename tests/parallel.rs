//! Handlers of one tick side by side (rows 000.11, 000.12, 000.13, 000.18).
#![cfg(all(feature = "parallel", not(any(miri, tickbus_loom))))]

extern crate alloc;

use alloc::sync::Arc;
use alloc::task::Wake;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use core::task::{Context as TaskContext, Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};

use proptest::prelude::*;
use tickbus::bus::{Flow, Message};
use tickbus::context::Context;
use tickbus::envelope::TraceParent;
use tickbus::parallel::ParallelDispatch;
use tickbus::{Budget, Bus, Dispatch, Event, Reject, Report, Waiters};

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Job {
        #[subject = "job.work"] Work(u32),
        #[subject = "job.fail"] Fail(u32),
        #[subject = "job.panic"] Panic,
        #[subject = "job.more"] More,
        #[subject = "note"] Note,
    }
}

/// What the jobs work on: the bus they publish to, and how often each handler ran.
struct World<'a> {
    bus: &'a Bus<Job, 16>,
    calls: [AtomicUsize; 3],
}

/// Both handlers fail at this one.
const BOTH: u32 = 8;

impl<'a> World<'a> {
    fn new(bus: &'a Bus<Job, 16>) -> Self {
        Self { bus, calls: [const { AtomicUsize::new(0) }; 3] }
    }

    fn work(&self, job: &Job) -> Result<Flow, u32> {
        self.calls[0].fetch_add(1, Relaxed);
        match *job {
            Job::Fail(code) => Err(code),
            Job::More => {
                let _ = self.bus.publish(Job::Work(1));
                Ok(Flow::Continue)
            }
            Job::Work(0) => Ok(Flow::Stop),
            _ => Ok(Flow::Continue),
        }
    }

    fn second(&self, job: &Job) -> Result<Flow, u32> {
        self.calls[1].fetch_add(1, Relaxed);
        match *job {
            Job::Fail(BOTH) => Err(BOTH),
            _ => Ok(Flow::Continue),
        }
    }

    fn failed(&self, _: &Job, _: u32) {
        self.calls[2].fetch_add(1, Relaxed);
    }

    fn calls(&self) -> [usize; 3] {
        self.calls.each_ref().map(|calls| calls.load(Relaxed))
    }
}

type Table<'a> = ParallelDispatch<Job, World<'a>, { Job::KINDS }, Result<Flow, u32>>;

fn table<'a>() -> Table<'a> {
    Table::new().on("job.*", World::work).on("job.*", World::second).on_error(World::failed)
}

type InTurn<'a> = Dispatch<Job, &'a World<'a>, { Job::KINDS }, Result<Flow, u32>>;

/// The same as a table that handles one after the other.
fn dispatch<'a>() -> InTurn<'a> {
    InTurn::new()
        .on("job.*", |world, job| world.work(job))
        .on("job.*", |world, job| world.second(job))
        .on_error(|world, job, error| world.failed(job, error))
}

fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let job = prop_oneof![
        4 => (0..3_u32).prop_map(Job::Work),
        2 => prop_oneof![Just(Job::Fail(7)), Just(Job::Fail(BOTH))],
        2 => Just(Job::More),
        1 => Just(Job::Note),
    ];
    proptest::collection::vec(job, 0..24)
}

fn late(after: Option<usize>) -> impl FnMut() -> bool {
    let mut asked = 0;
    move || {
        asked += 1;
        after.is_some_and(|after| asked > after)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the budget, the report, the counts and the calls are those of a `Dispatch`.
    #[test]
    fn the_report_is_that_of_a_tick(
        jobs in jobs(),
        events in 0..20_usize,
        (generations, every) in (1..4_usize, 1..5_usize),
        after in proptest::option::of(0..6_usize),
        keyed in any::<bool>(),
    ) {
        let (bus, other) = (Bus::new(), Bus::new());
        let (world, alone) = (World::new(&bus), World::new(&other));
        let table = if keyed { table().keyed(|job| job.kind() as u64) } else { table() };
        let budget = || Budget::events(events).generations(generations).check_every(every);
        let (mut side_by_side, mut in_turn) = (bus.consumer().unwrap(), other.consumer().unwrap());
        for _ in 0..2 {
            for job in &jobs {
                prop_assert_eq!(bus.publish(*job).is_ok(), other.publish(*job).is_ok());
            }
            let (found, expected) = match after {
                None => (
                    table.tick(&world, &mut side_by_side, budget()),
                    dispatch().tick(&mut &alone, &mut in_turn, budget()),
                ),
                Some(_) => (
                    table.tick(&world, &mut side_by_side, budget().until(late(after))),
                    dispatch().tick(&mut &alone, &mut in_turn, budget().until(late(after))),
                ),
            };
            prop_assert_eq!(found, expected);
            prop_assert_eq!(world.calls(), alone.calls());
            prop_assert_eq!(bus.stats(), other.stats());
        }
    }
}

/// Waits until as many have come as are wanted. Whether they have.
#[derive(Default)]
struct Meeting(Mutex<usize>, Condvar);

impl Meeting {
    fn wait_for(&self, wanted: usize) -> bool {
        let mut come = self.0.lock().unwrap();
        *come += 1;
        self.1.notify_all();
        let minute = Duration::from_secs(60);
        !self.1.wait_timeout_while(come, minute, |come| *come < wanted).unwrap().1.timed_out()
    }
}

#[test]
fn handlers_of_one_tick_run_at_the_same_time_and_the_tick_waits_for_them() {
    static TABLE: ParallelDispatch<Job, Meeting, { Job::KINDS }, Result<(), ()>> =
        ParallelDispatch::new().on("job.work", |meeting, _| {
            let met = meeting.wait_for(4);
            thread::sleep(Duration::from_millis(5));
            met.then(|| *meeting.0.lock().unwrap() += 100).ok_or(())
        });
    let bus: Bus<Job, 4> = Bus::new();
    (0..4).for_each(|number| bus.publish(Job::Work(number)).unwrap());
    let meeting = Meeting::default();
    let report =
        pool(4).install(|| TABLE.tick(&meeting, &mut bus.consumer().unwrap(), Budget::unlimited()));
    assert_eq!((report.handled, report.failed), (4, 0), "each waited for the other three");
    assert_eq!(*meeting.0.lock().unwrap(), 404, "all have ended");
}

#[test]
fn events_of_one_key_come_one_after_the_other_in_order() {
    #[derive(Default)]
    struct Keys {
        busy: [AtomicBool; 5],
        seen: [Mutex<Vec<u32>>; 5],
    }
    static TABLE: ParallelDispatch<Job, Keys, { Job::KINDS }, Result<(), ()>> =
        ParallelDispatch::new()
            .keyed(|job| if let Job::Work(number) = job { u64::from(number % 5) } else { 9 })
            .on("job.work", |keys, job| {
                let Job::Work(number) = *job else { return Err(()) };
                let key = number as usize % 5;
                let was_busy = keys.busy[key].swap(true, SeqCst);
                thread::yield_now();
                keys.seen[key].lock().unwrap().push(number);
                keys.busy[key].store(false, SeqCst);
                if was_busy { Err(()) } else { Ok(()) }
            });
    let bus: Bus<Job, 512> = Bus::new();
    let keys = Keys::default();
    let mut consumer = bus.consumer().unwrap();
    let pool = pool(4);
    for round in 0..20 {
        for number in 0..500 {
            bus.publish(Job::Work(round * 500 + number)).unwrap();
        }
        let report = pool.install(|| TABLE.tick(&keys, &mut consumer, Budget::unlimited()));
        assert_eq!((report.handled, report.failed), (500, 0));
    }
    for (key, seen) in keys.seen.into_iter().enumerate() {
        let expected = (0..10_000).filter(|number| number % 5 == key as u32);
        assert!(seen.into_inner().unwrap().into_iter().eq(expected));
    }
}

/// With one event and with many, in a handler, in a hook and in the key.
#[test]
fn a_panic_is_one_failed_event() {
    type Calls = ParallelDispatch<Job, AtomicUsize, { Job::KINDS }>;
    static HANDLER: Calls = Calls::new()
        .on("job.panic", |_, _| panic!("in a handler"))
        .on("job.work", |calls, _| _ = calls.fetch_add(1, Relaxed))
        .otherwise(|_, _| {})
        .on("job.panic", |calls, _| _ = calls.fetch_add(100, Relaxed));
    static KEY: Calls = Calls::new()
        .keyed(|job| if let Job::Panic = job { panic!("in the key") } else { 1 })
        .on("job.*", |calls, _| _ = calls.fetch_add(1, Relaxed));
    static HOOK: Calls =
        Calls::new().on("job.*", |calls, _| _ = calls.fetch_add(1, Relaxed)).before(|_, job, _| {
            if let Job::Panic = job {
                panic!("in a hook")
            }
        });
    for table in [&HANDLER, &KEY, &HOOK] {
        for others in [0, 3, 9] {
            let bus: Bus<Job, 16> = Bus::new();
            bus.publish(Job::Panic).unwrap();
            (0..others).for_each(|_| bus.publish(Job::Work(1)).unwrap());
            let calls = AtomicUsize::new(0);
            let mut consumer = bus.consumer().unwrap();
            let report = table.tick(&calls, &mut consumer, Budget::unlimited());
            assert_eq!((report.handled, report.failed), (others + 1, 1));
            assert_eq!(calls.into_inner(), others);
            let stats = bus.stats();
            assert_eq!((stats.handled, stats.failed, stats.pending), (others + 1, 1, 0));
        }
    }
}

/// What a table calls for one event, in order, and with what.
#[test]
fn hooks_stand_around_each_handler_and_see_its_answer_and_the_context() {
    type Log = Mutex<Vec<String>>;
    type Answer = Result<Message<&'static str>, &'static str>;
    fn note(log: &Log, line: impl Into<String>) {
        log.lock().unwrap().push(line.into());
    }
    static TABLE: ParallelDispatch<Job, Log, { Job::KINDS }, Answer> = ParallelDispatch::new()
        .on_with("job.*", |log, job, context| {
            note(log, format!("handler {:?}", context.trace().map(TraceParent::trace_id)));
            if let Job::Fail(_) = job { Err("broken") } else { Ok(Message("done")) }
        })
        .on("job.work", |log, _| {
            note(log, "second");
            Ok(Message("done too"))
        })
        .before(|log, _, context| note(log, format!("before {}", context.is_over())))
        .after(|log, _, _, answer| note(log, format!("after {answer:?}")))
        .on_error(|log, _, error| note(log, format!("error {error}")))
        .wrap(|log, _, _, handler| {
            note(log, "in");
            let answer = handler();
            note(log, "out");
            answer
        });
    let context = Context::new().with_trace(TraceParent::new(7, 9));
    let mut bus: Bus<Job, 2> = Bus::new();
    let mut lines = |job| {
        let log = Log::default();
        assert!(bus.publish_mut(job).is_ok());
        let report = TABLE.tick_with(&log, &mut bus, Budget::unlimited(), &context);
        (report.failed, log.into_inner().unwrap().join(", "))
    };
    let first = "before false, in, handler Some(7), out, after Ok(Message(\"done\"))";
    let second = "before false, in, second, out, after Ok(Message(\"done too\"))";
    assert_eq!(lines(Job::Work(1)), (0, format!("{first}, {second}")));
    let failed = "before false, in, handler Some(7), out, after Err(\"broken\"), error broken";
    assert_eq!(lines(Job::Fail(1)), (1, failed.into()));
    assert_eq!(lines(Job::Note), (0, String::new()), "nothing is called where there is no handler");
}

/// A waker that panics while events are taken costs no event: those that were taken are handled before.
#[test]
fn a_waker_that_panics_costs_no_event() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    static TABLE: ParallelDispatch<Job, AtomicUsize, { Job::KINDS }> =
        ParallelDispatch::new().on(">", |calls, _| _ = calls.fetch_add(1, Relaxed));
    let bus: Bus<Job, 4, Reject, Waiters<1>> = Bus::new();
    (0..4).for_each(|number| bus.publish(Job::Work(number)).unwrap());
    let waker = Waker::from(Arc::new(Panics));
    let mut waiting = pin!(bus.publish_async(Job::Note));
    assert_eq!(waiting.as_mut().poll(&mut TaskContext::from_waker(&waker)), Poll::Pending);
    let calls = AtomicUsize::new(0);
    let mut consumer = bus.consumer().unwrap();
    let mut tick = || TABLE.tick(&calls, &mut consumer, Budget::unlimited());
    assert!(catch_unwind(AssertUnwindSafe(&mut tick)).is_err(), "the panic goes on after the tick");
    let _ = tick();
    assert_eq!((calls.into_inner(), bus.stats().handled), (4, 4));
}

/// Counts its drop, and panics in it.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
        panic!("in a drop");
    }
}

tickbus::events! {
    enum Armed {
        #[subject = "armed.failing"] Failing(#[expect(dead_code, reason = "it is dropped")] Bomb),
        #[subject = "armed.unhandled"] Unhandled(#[expect(dead_code, reason = "as above")] Bomb),
    }
}

/// The panic of a drop goes on after the tick: it costs no count, and no other event its drop.
#[test]
fn events_whose_drops_panic_are_all_counted_and_dropped() {
    static TABLE: ParallelDispatch<Armed, (), { Armed::KINDS }, Result<(), ()>> =
        ParallelDispatch::new().on("armed.failing", |(), _| Err(()));
    for others in 0..4 {
        let bus: Bus<Armed, 8> = Bus::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let bomb = || Bomb(drops.clone());
        for _ in 0..=others {
            assert!(bus.publish(Armed::Failing(bomb())).is_ok());
            assert!(bus.publish(Armed::Unhandled(bomb())).is_ok());
        }
        let mut consumer = bus.consumer().unwrap();
        let mut tick = || TABLE.tick(&(), &mut consumer, Budget::unlimited());
        assert!(catch_unwind(AssertUnwindSafe(&mut tick)).is_err(), "the panic goes on");
        assert_eq!(drops.load(Relaxed), 2 * (others + 1));
        let stats = bus.stats();
        let counts = (stats.handled, stats.failed, stats.unhandled, stats.pending);
        assert_eq!(counts, (2 * (others + 1), others + 1, others + 1, 0));
        assert_eq!(tick(), Report::default());
    }
}

#[test]
fn a_single_event_is_handled_on_the_thread_of_the_tick() {
    static TABLE: ParallelDispatch<Job, ThreadId, { Job::KINDS }, Result<(), ()>> =
        ParallelDispatch::new().on("job.work", |of_tick, _| {
            if *of_tick == thread::current().id() { Ok(()) } else { Err(()) }
        });
    let mut bus: Bus<Job, 2> = Bus::new();
    assert!(bus.publish_mut(Job::Work(1)).is_ok());
    let report = TABLE.tick(&thread::current().id(), &mut bus, Budget::unlimited());
    assert_eq!((report.handled, report.failed), (1, 0));
}

#[test]
fn nothing_pending_is_an_empty_report() {
    let bus = Bus::new();
    let world = World::new(&bus);
    let report = table().tick(&world, &mut bus.consumer().unwrap(), Budget::unlimited());
    assert_eq!(report, Report::default());
    assert_eq!(format!("{:?}", table()), "ParallelDispatch { kinds: 5, is_keyed: false, .. }");
}
