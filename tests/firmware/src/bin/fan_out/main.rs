//! The sweep of topics, gated topics and latest values.
//!
//! Each context that reads has a reader of its own, and a witness reads everything afterwards. What they
//! saw, and what they find in the end, must be what some sequential order shows them: nothing torn, the
//! same order for everybody, and nothing missed that they are not told of.
#![no_std]
#![no_main]

mod model;
mod subjects;

use core::cell::RefCell;
use core::fmt;
use core::panic::PanicInfo;

use cortex_m_rt::ExceptionFrame;
use critical_section::Mutex;
use heapless::Vec;
use instruments::interrupt::{self, Landing, Levels};
use instruments::points::{Depth, LEVELS, MAIN, PENDSV, SYSTICK, Tries, event, every_point};
use instruments::{clock, host};
use semihosting::println;

use model::{Log, Model, Promise, READERS, Reader, Rules, Step, WITNESS};
use subjects::Subject;

/// What the contexts saw. Only the one on top writes.
static LOGS: Mutex<RefCell<[Log; LEVELS]>> = Mutex::new(RefCell::new([Log::EMPTY; LEVELS]));

fn begin<const LEVEL: usize>() {
    critical_section::with(|cs| {
        let mut logs = LOGS.borrow_ref_mut(cs);
        let (below, own) = logs.split_at_mut(LEVEL);
        own[0].begin(below);
    });
}

fn log<const LEVEL: usize>(step: Step) {
    critical_section::with(|cs| LOGS.borrow_ref_mut(cs)[LEVEL].push(step));
}

/// An operation on a subject, as a level runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Publish,
    PublishTwice,
    /// Publishes until every cell of a latest value has been used.
    PublishRound,
    /// Reads with a reader that was there before, which gates where there is a gate.
    Read,
    /// The same by the other way of reading.
    ReadOtherwise,
    /// Reads with a reader that does not gate, although there is a gate.
    ReadLagging,
    /// Subscribes, reads and drops the reader.
    Subscribe,
    /// Publishes if a margin stays free.
    PublishWithMargin,
    /// Masks a reader that was there before, reads nothing, and unmasks it.
    Mask,
    /// Looks at the last events without a reader.
    Recall,
    /// Publishes two events or none.
    PublishAll,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::Publish,
        Self::PublishTwice,
        Self::PublishRound,
        Self::Read,
        Self::ReadOtherwise,
        Self::ReadLagging,
        Self::Subscribe,
        Self::PublishWithMargin,
        Self::Mask,
        Self::Recall,
        Self::PublishAll,
    ];

    fn publishes(self) -> bool {
        matches!(
            self,
            Self::Publish
                | Self::PublishTwice
                | Self::PublishRound
                | Self::PublishWithMargin
                | Self::PublishAll
        )
    }

    fn has_reader(self) -> bool {
        matches!(self, Self::Read | Self::ReadOtherwise | Self::ReadLagging | Self::Mask)
    }

    fn is_of<S: Subject>(self) -> bool {
        match self {
            Self::ReadLagging => is_gated::<S>(),
            Self::PublishRound => S::RULES.promise == Promise::Latest,
            Self::PublishWithMargin => is_gated::<S>(),
            Self::Mask => S::CAN_MASK,
            Self::Recall => S::HAS_HISTORY,
            Self::PublishAll => S::HAS_GROUP,
            _ => true,
        }
    }

    fn of<S: Subject, const LEVEL: usize>(self) -> fn() {
        match self {
            Self::Publish => publish::<S, LEVEL>,
            Self::PublishTwice => publish_twice::<S, LEVEL>,
            Self::PublishRound => publish_round::<S, LEVEL>,
            Self::Read => || with_reader::<S, LEVEL>(|reader| S::read(reader, log::<LEVEL>)),
            Self::ReadOtherwise | Self::ReadLagging => {
                || with_reader::<S, LEVEL>(|reader| S::read_otherwise(reader, log::<LEVEL>))
            }
            Self::Subscribe => subscribe::<S, LEVEL>,
            Self::PublishWithMargin => publish_with_margin::<S, LEVEL>,
            Self::Mask => || with_reader::<S, LEVEL>(|reader| S::mask(reader, log::<LEVEL>)),
            Self::Recall => recall::<S, LEVEL>,
            Self::PublishAll => publish_all::<S, LEVEL>,
        }
    }
}

fn is_gated<S: Subject>() -> bool {
    matches!(S::RULES.promise, Promise::Gated(_))
}

fn publish_one<S: Subject, const LEVEL: usize>(event: u32) {
    let is_published = S::publish(event);
    log::<LEVEL>(if is_published { Step::Published(event) } else { Step::Refused(event) });
}

fn publish<S: Subject, const LEVEL: usize>() {
    begin::<LEVEL>();
    publish_one::<S, LEVEL>(event(LEVEL, 1));
}

fn publish_twice<S: Subject, const LEVEL: usize>() {
    publish::<S, LEVEL>();
    publish_one::<S, LEVEL>(event(LEVEL, 2));
}

fn publish_round<S: Subject, const LEVEL: usize>() {
    publish_twice::<S, LEVEL>();
    for number in 3..=5 {
        publish_one::<S, LEVEL>(event(LEVEL, number));
    }
}

fn publish_with_margin<S: Subject, const LEVEL: usize>() {
    begin::<LEVEL>();
    let event = event(LEVEL, 1);
    let is_published = S::publish_with_margin(event);
    log::<LEVEL>(match is_published {
        true => Step::PublishedWithMargin(event),
        false => Step::RefusedWithMargin(event),
    });
}

fn publish_all<S: Subject, const LEVEL: usize>() {
    begin::<LEVEL>();
    let [first, second] = [event(LEVEL, 1), event(LEVEL, 2)];
    let is_published = S::publish_all([first, second]);
    log::<LEVEL>(match is_published {
        true => Step::PublishedBoth(first, second),
        false => Step::RefusedBoth,
    });
}

fn recall<S: Subject, const LEVEL: usize>() {
    begin::<LEVEL>();
    S::recall(log::<LEVEL>);
}

fn with_reader<S: Subject, const LEVEL: usize>(read: fn(&mut S::Reader)) {
    begin::<LEVEL>();
    let reader = critical_section::with(|cs| S::readers().borrow_ref_mut(cs)[LEVEL].take());
    let mut reader = reader.expect("a context that reads has a reader");
    read(&mut reader);
    critical_section::with(|cs| S::readers().borrow_ref_mut(cs)[LEVEL] = Some(reader));
}

fn subscribe<S: Subject, const LEVEL: usize>() {
    begin::<LEVEL>();
    let Some(mut reader) = S::subscribe(true) else { return log::<LEVEL>(Step::NoPlace) };
    log::<LEVEL>(Step::Subscribed);
    S::read(&mut reader, log::<LEVEL>);
    drop(reader);
    log::<LEVEL>(Step::Dropped);
}

#[derive(Clone, Copy)]
struct Case {
    main: Operation,
    pendsv: Option<Operation>,
    systick: Operation,
}

impl Case {
    fn operations(self) -> [Option<Operation>; LEVELS] {
        [Some(self.main), self.pendsv, Some(self.systick)]
    }

    fn has(self, operation: Operation) -> bool {
        self.operations().contains(&Some(operation))
    }

    fn any(self, is_so: fn(Operation) -> bool) -> bool {
        self.operations().into_iter().flatten().any(is_so)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.main)?;
        if let Some(pendsv) = self.pendsv {
            write!(f, " < {pendsv:?}")?;
        }
        write!(f, " < {:?}", self.systick)
    }
}

/// What was seen at one point.
struct Seen {
    model: Model,
    logs: [Log; LEVELS],
    /// What the readers found when all was over.
    rests: [Option<Log>; READERS],
    lost: usize,
    /// The statistics agree with themselves and with what was published.
    is_conserved: bool,
}

impl Seen {
    fn is_right(&self) -> bool {
        self.is_conserved && self.model.explains(&self.logs, &self.rests, self.lost)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  before: {:?}", self.model.events())?;
        for (log, name) in self.logs.iter().zip(["main", "PendSV", "SysTick"]) {
            if !log.steps().is_empty() {
                writeln!(f, "  {name}: {:?}", log.steps())?;
            }
        }
        for (rest, name) in self.rests.iter().zip(["main", "PendSV", "SysTick", "the witness"]) {
            if let Some(rest) = rest {
                writeln!(f, "  afterwards {name} found {:?}", rest.steps())?;
            }
        }
        write!(f, "  lost {}, conserved: {}", self.lost, self.is_conserved)
    }
}

/// At how many points a publisher or a reader was told so: a sweep that never comes here proves little.
#[derive(Debug, Default)]
struct Edges {
    full: u32,
    full_with_margin: u32,
    without_place: u32,
    missed: u32,
    lost: u32,
    skipped: u32,
}

impl Edges {
    fn count(&mut self, seen: &Seen) {
        let any = |is_so: fn(&Step) -> bool| {
            let rests = seen.rests.iter().flatten();
            u32::from(seen.logs.iter().chain(rests).flat_map(Log::steps).any(is_so))
        };
        self.full += any(|step| matches!(step, Step::Refused(_)));
        self.full_with_margin += any(|step| matches!(step, Step::RefusedWithMargin(_)));
        self.without_place += any(|step| matches!(step, Step::NoPlace));
        self.missed += any(|step| matches!(step, Step::Missed(_)));
        self.lost += u32::from(seen.lost > 0);
        self.skipped += any(|step| matches!(step, Step::Changed(_, 1..)));
    }

    /// Whether it has been wherever the subject can bring it.
    fn is_enough(&self, rules: Rules, depth: Depth) -> bool {
        match rules.promise {
            Promise::Lagging => {
                let is_in_reach = depth == Depth::Three && rules.capacity == 2;
                self.missed > 0 && (self.lost > 0) == is_in_reach && (self.full > 0) == rules.claims
            }
            Promise::Gated(_) => {
                self.full > 0
                    && self.full_with_margin > 0
                    && self.without_place > 0
                    && self.missed > 0
            }
            Promise::Latest => self.skipped > 0 && self.lost == 0,
        }
    }
}

/// Runs one point on a new object with `fill` unread events, at positions moved on by `moved`.
fn point<S: Subject>(
    case: Case,
    levels: Levels,
    fill: usize,
    moved: usize,
    first: u32,
    second: u32,
) -> (Landing, Landing, Seen) {
    critical_section::with(|cs| S::readers().replace(cs, [const { None }; READERS]));
    S::rebuild();
    let mut before: Vec<u32, 8> = Vec::new();
    let mut publish = |event| {
        assert!(S::publish(event), "{}: cannot publish {event} before", S::NAME);
        before.push(event).expect("so many are published before");
        before.len()
    };
    let mut readers = [Reader::NONE; READERS];
    let mut subscribe = |index: usize, at: usize, gates: bool| {
        let reader = S::subscribe(gates).expect("there are places");
        critical_section::with(|cs| S::readers().borrow_ref_mut(cs)[index] = Some(reader));
        readers[index] = Reader::subscribed(at as u8, gates && is_gated::<S>());
    };

    for number in 0..moved {
        publish(50 + number as u32);
    }
    // At least one gates where that is possible, and half the time two, of which the witness is the
    // slower one. Before a lagging reader the witness gates, from later on. Who is masked gates or does not.
    let is_lagging = case.has(Operation::ReadLagging) || (case.has(Operation::Mask) && moved == 3);
    for (index, operation) in case.operations().into_iter().enumerate() {
        if operation.is_some_and(Operation::has_reader) {
            subscribe(index, moved, !is_lagging);
        }
    }
    if !is_lagging {
        subscribe(WITNESS, moved, moved == 3 || !case.any(Operation::has_reader));
    }
    for number in 1..=fill {
        publish(number as u32);
    }
    if is_lagging {
        subscribe(WITNESS, moved + fill, true);
    }
    let model = Model::new(S::RULES, &before, readers);
    critical_section::with(|cs| LOGS.replace(cs, [Log::EMPTY; LEVELS]));

    let landings = interrupt::run(levels, first, second);

    let logs = critical_section::with(|cs| *LOGS.borrow_ref(cs));
    let lost = S::lost();
    let is_published =
        |step: &&Step| matches!(step, Step::Published(_) | Step::PublishedWithMargin(_));
    let published = logs.iter().flat_map(Log::steps).filter(is_published).count();
    let mut is_conserved = S::counts(before.len() + published);
    let readers = critical_section::with(|cs| S::readers().replace(cs, [const { None }; READERS]));
    let rests = readers.map(|reader| {
        reader.map(|mut reader| {
            let mut rest = Log::EMPTY;
            S::read(&mut reader, |step| rest.push(step));
            is_conserved &= S::is_conserved(&reader);
            rest
        })
    });
    let seen = Seen { model, logs, rests, lost, is_conserved };
    (landings.0, landings.1, seen)
}

/// Sweeps one case over all fill levels. Stops at the first failure, and tells it if `is_told`.
fn sweep<S: Subject>(case: Case, is_told: bool, edges: &mut Edges) -> Tries {
    let levels = Levels {
        main: case.main.of::<S, MAIN>(),
        pendsv: case.pendsv.map(|operation| operation.of::<S, PENDSV>()),
        systick: case.systick.of::<S, SYSTICK>(),
    };
    let is_nested = case.pendsv.is_some();
    let capacity = usize::from(S::RULES.capacity);
    let is_held_up = is_gated::<S>() && !case.has(Operation::ReadLagging);
    let most = if is_held_up { capacity } else { capacity + 1 };
    let mut tries = Tries::default();
    for fill in 0..=most {
        // In between it is as at the ends, and three levels take long.
        if (2..capacity - 1).contains(&fill) || (is_nested && fill != capacity) {
            continue;
        }
        // Once from the beginning, once so that positions wrap around in the operation.
        let moves: &[usize] = if is_nested { &[1] } else { &[0, 3] };
        for &moved in moves {
            tries += every_point(is_nested, |first, second| {
                let (one, two, seen) = point::<S>(case, levels, fill, moved, first, second);
                edges.count(&seen);
                let is_right = seen.is_right();
                if !is_right && is_told {
                    println!(
                        "{}: {case}: no sequential order explains this; interrupted after \
                         {first} and {second} instructions, at {one:x?} and {two:x?}:\n{seen}",
                        S::NAME
                    );
                }
                (one, two, is_right)
            });
            if tries.failures > 0 {
                return tries;
            }
        }
    }
    tries
}

/// Sweeps all cases that the subject has.
fn sweep_cases<S: Subject>(depth: Depth, is_told: bool) -> (Tries, Edges) {
    let mut total = Tries::default();
    let mut edges = Edges::default();
    let mut run = |case: Case| {
        let tries = sweep::<S>(case, is_told, &mut edges);
        if is_told {
            println!(
                "{:<28} {:<40} {:>7} points {:>7} landings",
                S::NAME,
                format_args!("{case}"),
                tries.points,
                tries.landings
            );
        }
        total += tries;
    };
    use Operation::{Publish, PublishTwice, Read, Subscribe};
    for main in Operation::ALL {
        for systick in Operation::ALL {
            // Readers do not touch each other, but for those who take places.
            let concerns = main.publishes()
                || systick.publishes()
                || (main == Subscribe && systick == Subscribe && is_gated::<S>());
            let is_allowed = !(S::HAS_ONE_PUBLISHER && main.publishes() && systick.publishes());
            if concerns && is_allowed && main.is_of::<S>() && systick.is_of::<S>() {
                run(Case { main, pendsv: None, systick });
            }
        }
    }
    if depth == Depth::Two {
        return (total, edges);
    }
    for (main, pendsv, systick) in [
        (Publish, Publish, Publish),
        (Publish, Publish, Read),
        (Publish, Read, PublishTwice),
        (Read, Publish, Publish),
        (Publish, Subscribe, PublishTwice),
        (Subscribe, Publish, Publish),
    ] {
        run(Case { main, pendsv: Some(pendsv), systick });
    }
    (total, edges)
}

// Never inlined, so that the stack has room for one subject and not for all of them.
#[inline(never)]
#[must_use]
fn must_pass<S: Subject>(depth: Depth) -> u32 {
    let (tries, edges) = sweep_cases::<S>(depth, true);
    println!("{:<28} {edges:?}", S::NAME);
    if tries.failures == 0 && !edges.is_enough(S::RULES, depth) {
        host::fail(format_args!("{}: the sweep did not reach every edge", S::NAME));
    }
    tries.told(S::NAME)
}

#[inline(never)]
fn must_fail<S: Subject>() {
    sweep_cases::<S>(Depth::Two, false).0.convict(S::NAME);
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);
    must_fail::<subjects::TwoPublishers>();
    must_fail::<subjects::Unchecked>();
    must_fail::<subjects::OneCell>();
    let mut failures = must_pass::<subjects::Guarded>(Depth::Two);
    failures += must_pass::<subjects::Topic2>(Depth::Three);
    failures += must_pass::<subjects::Topic4>(Depth::Two);
    failures += must_pass::<subjects::Feed2>(Depth::Two);
    failures += must_pass::<subjects::FeedWithout2>(Depth::Two);
    failures += must_pass::<subjects::Filtered2>(Depth::Two);
    failures += must_pass::<subjects::Gated2>(Depth::Three);
    failures += must_pass::<subjects::Gated4>(Depth::Two);
    failures += must_pass::<subjects::LatestValue>(Depth::Three);
    if failures > 0 {
        host::fail(format_args!(
            "{failures} cases have an outcome that no sequential order explains"
        ));
    }
    println!("fan_out passed");
    host::done()
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    host::fail(format_args!("a fault, perhaps for want of stack: {frame:x?}"))
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
