//! Schedule, fire and tick while 10,000 timers are pending.

extern crate alloc;

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::cmp::Reverse;
use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use tickbus::Timers;

use super::{Contender, FRAME, Row, Sample};

/// Timers that are pending before each frame, on average.
const PENDING: u32 = 10_000;

/// Delays are at most so many ticks: timers are near, or as sparse as the ticks.
const NEAR: u32 = 1000;
const FAR: u32 = 10_000;

/// Frames that go by before the clock runs: each timer is pending in one of them.
const WARM_UP: u64 = 2 * (PENDING / FRAME as u32) as u64;

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("10,000 timers up to 1000 ticks ahead: schedule", NEAR, Part::Schedule),
        row("10,000 timers up to 1000 ticks ahead: fire", NEAR, Part::Fire),
        row("10,000 timers up to 10,000 ticks ahead: schedule", FAR, Part::Schedule),
        row("10,000 timers up to 10,000 ticks ahead: fire", FAR, Part::Fire),
        idle(),
    ]
}

/// What of a frame is timed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Schedule,
    Fire,
}

/// A store of timers that fires in the order of deadline, then of scheduling.
trait Store {
    fn new(horizon: u32) -> Self;
    fn schedule(&mut self, deadline: u32, event: Sample);
    /// Folds what is due into the sum. Called for every tick.
    fn tick(&mut self, now: u32, sum: u64) -> u64;
}

impl Store for Box<Timers<Sample, 12_000>> {
    fn new(_: u32) -> Self {
        Self::new(Timers::new())
    }

    fn schedule(&mut self, deadline: u32, event: Sample) {
        self.at(deadline, event).expect("room for 10,000 and a frame");
    }

    fn tick(&mut self, now: u32, mut sum: u64) -> u64 {
        let report = Timers::tick(self, now, |event| {
            sum = event.fold(sum);
            Ok(())
        });
        assert_eq!(report.left, 0);
        sum
    }
}

/// The least that does it: a slot for each tick that a timer may be ahead. It cannot cancel, allocates, and goes
/// no further than one lap.
struct Wheel {
    slots: Vec<Vec<Sample>>,
    mask: usize,
}

impl Store for Wheel {
    fn new(horizon: u32) -> Self {
        let slots = (horizon as usize + 1).next_power_of_two();
        Self { slots: vec![Vec::new(); slots], mask: slots - 1 }
    }

    fn schedule(&mut self, deadline: u32, event: Sample) {
        self.slots[deadline as usize & self.mask].push(event);
    }

    fn tick(&mut self, now: u32, sum: u64) -> u64 {
        self.slots[now as usize & self.mask].drain(..).fold(sum, |sum, event| event.fold(sum))
    }
}

/// Ordered by deadline and sequence.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u32, u32, u64, u64);

#[derive(Default)]
struct Heap {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u32,
}

impl Store for Heap {
    fn new(_: u32) -> Self {
        Self::default()
    }

    fn schedule(&mut self, deadline: u32, event: Sample) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry(deadline, self.sequence, event.key, event.value)));
    }

    fn tick(&mut self, now: u32, mut sum: u64) -> u64 {
        while self.heap.peek().is_some_and(|Reverse(Entry(deadline, ..))| *deadline <= now) {
            if let Some(Reverse(Entry(_, _, key, value))) = self.heap.pop() {
                sum = Sample { key, value }.fold(sum);
            }
        }
        sum
    }
}

/// The reference: sorted by deadline, each with its events in order.
#[derive(Default)]
struct Sorted(BTreeMap<u32, Vec<Sample>>);

impl Store for Sorted {
    fn new(_: u32) -> Self {
        Self::default()
    }

    fn schedule(&mut self, deadline: u32, event: Sample) {
        self.0.entry(deadline).or_default().push(event);
    }

    fn tick(&mut self, now: u32, sum: u64) -> u64 {
        let due = self.0.remove(&now).unwrap_or_default();
        due.into_iter().fold(sum, |sum, event| event.fold(sum))
    }
}

/// Frame after frame: schedule 1000 timers, then tick for as long as 1000 take to fire, on average.
struct Load<S> {
    store: S,
    horizon: u32,
    now: u32,
    random: u64,
    key: u64,
    delays: Vec<u32>,
}

impl<S: Store> Load<S> {
    /// As many frames as bring it to 10,000 pending.
    fn new(horizon: u32) -> Self {
        let delays = Vec::with_capacity(FRAME as usize);
        let random = 0x9E37_79B9_7F4A_7C15;
        let store = S::new(horizon);
        let mut load = Self { store, horizon, now: 0, random, key: 0, delays };
        for _ in 0..2 * PENDING / FRAME as u32 {
            load.draw();
            load.schedule();
            load.fire();
        }
        load
    }

    /// The delays of the next frame.
    fn draw(&mut self) {
        self.delays.clear();
        for _ in 0..FRAME {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.delays.push(1 + (self.random >> 33) as u32 % self.horizon);
        }
    }

    fn schedule(&mut self) {
        for delay in &self.delays {
            self.store.schedule(self.now + delay, Sample::new(self.key, 0));
            self.key += 1;
        }
    }

    /// A timer is pending for half the horizon on average.
    fn fire(&mut self) -> u64 {
        let ticks = FRAME as u32 * self.horizon / (2 * PENDING);
        (0..ticks).fold(0, |sum, _| {
            self.now += 1;
            self.store.tick(self.now, sum)
        })
    }
}

/// The sums of the frames, as the reference has them.
struct Sums {
    load: Load<Sorted>,
    sums: Vec<u64>,
}

impl Sums {
    fn of(&mut self, frame: usize) -> u64 {
        while self.sums.len() <= frame {
            self.load.draw();
            self.load.schedule();
            self.sums.push(self.load.fire());
        }
        self.sums[frame]
    }
}

fn row(name: &'static str, horizon: u32, part: Part) -> Row {
    let sums = Rc::new(RefCell::new(Sums { load: Load::new(horizon), sums: vec![] }));
    let contenders = vec![
        load::<Box<Timers<Sample, 12_000>>>("tickbus Timers", horizon, part, &sums),
        load::<Wheel>("wheel of Vec, one lap", horizon, part, &sums),
        load::<Heap>("BinaryHeap", horizon, part, &sums),
    ];
    Row { name, elements: FRAME, contenders }
}

fn load<S: Store + 'static>(
    name: &'static str,
    horizon: u32,
    part: Part,
    sums: &Rc<RefCell<Sums>>,
) -> Contender {
    let mut load: Load<S> = Load::new(horizon);
    let mut frame = 0;
    let sums = Rc::clone(sums);
    let run = Box::new(move |iterations| {
        let mut elapsed = Duration::ZERO;
        // Before the clock runs: the contender before has turned the caches, and so does the reference.
        sums.borrow_mut().of(frame + (WARM_UP + iterations) as usize);
        for iteration in 0..WARM_UP + iterations {
            load.draw();
            let start = Instant::now();
            load.schedule();
            let scheduled = Instant::now();
            let sum = load.fire();
            let fired = Instant::now();
            if iteration >= WARM_UP {
                elapsed +=
                    if part == Part::Schedule { scheduled - start } else { fired - scheduled };
            }
            assert_eq!(sum, sums.borrow_mut().of(frame), "{name} fired in another order");
            frame += 1;
        }
        elapsed
    });
    Contender { name, run }
}

/// Ticks at which nothing is due.
fn idle() -> Row {
    const AHEAD: u32 = 1 << 14;

    fn contender<S: Store + 'static>(name: &'static str, pending: u32) -> Contender {
        let mut store = S::new(AHEAD);
        let mut now = AHEAD;
        let run = Box::new(move |iterations| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..iterations {
                if now == AHEAD {
                    store = S::new(AHEAD);
                    (0..pending).for_each(|number| {
                        store.schedule(AHEAD + number, Sample::default());
                    });
                    now = 0;
                }
                let start = Instant::now();
                let sum = (0..FRAME.min(u64::from(AHEAD - 1 - now))).fold(1, |sum, _| {
                    now += 1;
                    store.tick(black_box(now), sum)
                });
                elapsed += start.elapsed();
                assert_eq!(sum, 1, "{name} fired too early");
                if now == AHEAD - 1 {
                    now = AHEAD;
                }
            }
            elapsed
        });
        Contender { name, run }
    }

    let contenders = vec![
        contender::<Box<Timers<Sample, 12_000>>>("tickbus Timers", PENDING),
        contender::<Box<Timers<Sample, 12_000>>>("tickbus Timers, 100 pending", 100),
        contender::<Wheel>("wheel of Vec, one lap", PENDING),
        contender::<Heap>("BinaryHeap", PENDING),
    ];
    Row { name: "10,000 timers: tick with nothing due", elements: FRAME, contenders }
}
