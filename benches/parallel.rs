//! Handlers side by side: what two cores gain over one, and what the pool costs an event.
//!
//! `cargo bench -p tickbus-benches --bench parallel`. Each round runs every contender once, in rotating order, so that
//! what disturbs the machine disturbs all alike. It tells the median and the 10th and the 1st percentile of the rounds:
//! another program that wants a core can only make a round slower, and two cores are rarely free together.

use core::hint::black_box;
use std::env;
use std::time::Instant;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tickbus::parallel::ParallelDispatch;
use tickbus::{Budget, Bus, Dispatch};

const EVENTS: usize = 1000;

tickbus::events! {
    #[derive(Clone, Copy)]
    enum Job {
        #[subject = "job"] Do(u64),
    }
}

type Work = u32;

/// So many steps that depend on each other, of about a nanosecond each.
#[inline(never)]
fn work(steps: &Work, job: &Job) {
    let Job::Do(mut number) = *job;
    for _ in 0..*steps {
        number = black_box(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(5);
    }
    black_box(number);
}

static IN_TURN: Dispatch<Job, Work, { Job::KINDS }> =
    Dispatch::new().on("job", |steps, job| work(steps, job));
static SIDE_BY_SIDE: ParallelDispatch<Job, Work, { Job::KINDS }> =
    ParallelDispatch::new().on("job", work);
static KEYED: ParallelDispatch<Job, Work, { Job::KINDS }> =
    ParallelDispatch::new().on("job", work).keyed(|Job::Do(number)| number % 100);

/// Nanoseconds of one tick of a full bus.
fn time(bus: &mut Bus<Job, 1024>, tick: impl FnOnce(&mut Bus<Job, 1024>) -> usize) -> f64 {
    (0..EVENTS as u64).for_each(|number| assert!(bus.publish_mut(Job::Do(number)).is_ok()));
    let begin = Instant::now();
    let handled = tick(bus);
    let nanoseconds = begin.elapsed().as_nanos() as f64;
    assert_eq!(handled, EVENTS);
    nanoseconds
}

fn side_by_side(
    pool: &ThreadPool,
    table: &ParallelDispatch<Job, Work, { Job::KINDS }>,
    steps: Work,
    bus: &mut Bus<Job, 1024>,
) -> f64 {
    time(bus, |bus| pool.install(|| table.tick(&steps, bus, Budget::unlimited())).handled)
}

fn main() {
    let is_bench = env::args().any(|argument| argument == "--bench");
    let rounds = if is_bench { 1001 } else { 2 };
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let (one, two) = (pool(1), pool(2));
    let mut bus = Box::new(Bus::<Job, 1024>::new());
    // So many steps are a microsecond, as one core has it to itself.
    let microsecond = (0..200)
        .map(|_| {
            let begin = Instant::now();
            work(&10_000, &Job::Do(1));
            begin.elapsed().as_nanos()
        })
        .min()
        .map_or(1000, |fastest| (10_000_000 / fastest.max(1)) as Work);

    type Contender<'a> = (&'a str, Box<dyn Fn(&mut Bus<Job, 1024>) -> f64 + 'a>);
    let contenders: [Contender<'_>; 8] = [
        (
            "1 µs, in turn",
            Box::new(|bus| {
                time(bus, |bus| {
                    IN_TURN.tick(&mut microsecond.clone(), bus, Budget::unlimited()).handled
                })
            }),
        ),
        ("1 µs, one core", Box::new(|bus| side_by_side(&one, &SIDE_BY_SIDE, microsecond, bus))),
        ("1 µs, two cores", Box::new(|bus| side_by_side(&two, &SIDE_BY_SIDE, microsecond, bus))),
        ("1 µs, two cores, 100 keys", Box::new(|bus| side_by_side(&two, &KEYED, microsecond, bus))),
        (
            "nothing, in turn",
            Box::new(|bus| time(bus, |bus| IN_TURN.tick(&mut 0, bus, Budget::unlimited()).handled)),
        ),
        ("nothing, one core", Box::new(|bus| side_by_side(&one, &SIDE_BY_SIDE, 0, bus))),
        ("nothing, two cores", Box::new(|bus| side_by_side(&two, &SIDE_BY_SIDE, 0, bus))),
        ("nothing, two cores, 100 keys", Box::new(|bus| side_by_side(&two, &KEYED, 0, bus))),
    ];
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            times[at].push(contenders[at].1(&mut bus));
        }
    }
    println!("| 1000 events | ns per event, median | 10th percentile | 1st percentile |");
    println!("|---|--:|--:|--:|");
    for ((name, _), times) in contenders.iter().zip(&mut times) {
        times.sort_unstable_by(f64::total_cmp);
        let of = |percent: usize| times[(times.len() - 1) * percent / 100] / EVENTS as f64;
        println!("| {name} | {:.1} | {:.1} | {:.1} |", of(50), of(10), of(1));
    }
}
