//! The law of the subject bus: what matched is received, dropped by a reason, sampled away, abandoned, pending, or
//! waits for room; what was published matched, or is held, or was lost in the hold; for each subscription and at
//! every quiet moment, whatever publishers, groups, receivers, drains, starts, pauses, ends and panics come
//! together.
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod watch;

use alloc::sync::Arc;
use alloc::task::Wake;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;

use futures_core::Stream;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::subject_bus::{PublishError, Published, RecvError};
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};
use watch::{Watched, watchdog, watched};

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

fn numbered(n: usize) -> Envelope {
    Envelope::unstamped("n").unwrap().with_source(n.to_string())
}

fn number(envelope: &Envelope) -> usize {
    envelope.source().parse().unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Filter {
    None,
    Odd,
    /// Panics at every third.
    Bomb,
}

impl Filter {
    fn wants(self, n: usize) -> bool {
        match self {
            Self::None => true,
            Self::Odd => n % 2 == 1,
            Self::Bomb => !n.is_multiple_of(3),
        }
    }
}

/// What the test knows of a subscription.
struct Notes {
    filter: Filter,
    matched: u64,
    /// What came out.
    got: Vec<usize>,
}

fn open(bus: &SubjectBus, opened: Opened) -> (Subscription, Notes) {
    let (overrun, capacity, filter, every, patterns) = opened;
    let it = bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).every_nth(every);
    let it = patterns.iter().fold(it, |it, pattern| it.or(pattern).unwrap());
    let it = match filter {
        Filter::None => it,
        Filter::Odd => it.filter(|envelope| number(envelope) % 2 == 1),
        Filter::Bomb => it.filter(|envelope| {
            assert!(!number(envelope).is_multiple_of(3), "a filter");
            true
        }),
    };
    (it.open(), Notes { filter, matched: 0, got: Vec::new() })
}

type Opened = (Overrun, usize, Filter, u32, &'static [&'static str]);

/// Further patterns of a subscription.
const PATTERNS: &[&[&str]] = &[&[], &[], &["*", ">", "other"]];

/// How many envelopes the bus holds.
const HOLD: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Publish,
    Await,
    /// Drops a publish that waits.
    Abort(usize),
    /// Receives in one of several ways.
    Receive(usize, usize),
    /// Has a stream wait, by a waker that panics or not.
    Sleep(usize, bool),
    Drain(usize),
    /// Takes so many from one of the drains.
    Take(usize, usize),
    Finish(usize),
    Leak(usize),
    Close(usize),
    CloseBus,
    /// Publishes so many as a group.
    Group(usize),
    Pause,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        12 => Just(Step::Publish),
        6 => Just(Step::Await),
        2 => which().prop_map(Step::Abort),
        6 => (which(), 0..4_usize).prop_map(|(which, how)| Step::Receive(which, how)),
        4 => (which(), any::<bool>()).prop_map(|(which, bomb)| Step::Sleep(which, bomb)),
        4 => which().prop_map(Step::Drain),
        8 => (which(), 0..5_usize).prop_map(|(which, take)| Step::Take(which, take)),
        2 => which().prop_map(Step::Finish),
        2 => which().prop_map(Step::Leak),
        1 => which().prop_map(Step::Close),
        1 => Just(Step::CloseBus),
        6 => (1..4_usize).prop_map(Step::Group),
        3 => Just(Step::Pause),
        4 => Just(Step::Start),
    ]
}

fn opened() -> impl Strategy<Value = Opened> {
    (
        select(&[Overrun::DropNewest, Overrun::DropOldest, Overrun::Block][..]),
        1..5_usize,
        select(&[Filter::None, Filter::None, Filter::Odd, Filter::Bomb][..]),
        select(&[1, 1, 2, 3][..]),
        select(PATTERNS),
    )
}

type Publish<'a> = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

/// `None` if it panics.
fn contained<T>(f: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

/// Looks after each publish that waits; one that is over, or has panicked, goes.
fn look_after(waiting: &mut Vec<Publish<'_>>) {
    waiting.retain_mut(|publish| {
        let mut context = Context::from_waker(Waker::noop());
        contained(|| publish.as_mut().poll(&mut context).is_pending()) == Some(true)
    });
}

/// Whether the law holds. `matched` is how often a subscription matched, of all that there ever were.
fn holds(
    bus: &SubjectBus,
    matched: u64,
    all: &[Subscription],
    notes: &[Notes],
) -> Result<(), TestCaseError> {
    let stats = bus.stats();
    let it = stats.totals;
    let out = it.received + it.dropped_oldest + it.abandoned + it.pending;
    prop_assert_eq!(it.enqueued, out, "{:?}", it);
    let known = it.enqueued + it.dropped_newest + it.sampled + it.waiting + stats.closed;
    prop_assert_eq!(matched, known, "{:?}", stats);
    for (one, notes) in all.iter().zip(notes) {
        let it = one.stats();
        prop_assert_eq!(it.received, notes.got.len() as u64);
        prop_assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.pending);
        prop_assert!(notes.got.is_sorted_by(|a, b| a < b), "{:?}", notes.got);
        prop_assert!(it.pending <= it.high_water && it.high_water <= one.capacity() as u64);
        if !one.is_closed() {
            let known = it.enqueued + it.dropped_newest + it.sampled + it.waiting;
            prop_assert_eq!(notes.matched, known);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_matched_is_accounted_for(
        rounds in vec(
            (vec(opened(), 0..5), vec(step(), 0..40), vec(any::<usize>(), 0..3)),
            1..4,
        ),
    ) {
        let _watch = watchdog();
        let bus = SubjectBus::builder().hold(HOLD).build();
        bus.start();
        let (mut all, mut notes) = (Vec::new(), Vec::new());
        let mut waiting: Vec<Publish<'_>> = Vec::new();
        let (mut last, mut matched) = (0, 0);
        let mut held = Vec::new();
        // Published, dropped by the hold, and abandoned there.
        let mut account = (0, 0, 0);
        for (opening, steps, dropping) in rounds {
            if !bus.is_closed() {
                let opened = opening.into_iter().map(|one| open(&bus, one));
                opened.for_each(|(one, about)| {
                    all.push(one);
                    notes.push(about);
                });
            }
            let (mut drains, mut streams) = (Vec::new(), Vec::new());
            for step in steps {
                let mut matches = |n| {
                    for (one, notes) in all.iter().zip(&mut notes) {
                        if !one.is_closed() && notes.filter.wants(n) {
                            notes.matched += 1;
                            matched += 1;
                        }
                    }
                };
                let mut publishes = || {
                    last += 1;
                    account.0 += u64::from(!bus.is_closed());
                    match () {
                        () if bus.is_closed() => {}
                        () if bus.is_started() => matches(last),
                        () if held.len() < HOLD => held.push(last),
                        () => account.1 += 1,
                    }
                    last
                };
                let some = |which: usize| which % all.len().max(1);
                match step {
                    Step::Publish => {
                        let n = publishes();
                        contained(|| bus.try_publish(numbered(n)));
                    }
                    Step::Await => {
                        waiting.push(Box::pin(bus.publish_async(numbered(publishes()))));
                    }
                    Step::Abort(which) if !waiting.is_empty() => {
                        let gone = waiting.swap_remove(which % waiting.len());
                        contained(|| drop(gone));
                    }
                    Step::Group(count) => {
                        let numbers = last + 1..=last + count;
                        last += count;
                        let live = bus.is_started();
                        contained(|| bus.publish_all(numbers.clone().map(numbered)));
                        let fits = match live || bus.is_closed() {
                            true => bus.stats().published > account.0,
                            false => held.len() + count <= HOLD,
                        };
                        account.0 += if fits { count as u64 } else { 0 };
                        match live {
                            true if fits => numbers.for_each(matches),
                            false if fits => held.extend(numbers),
                            _ => {}
                        }
                    }
                    Step::Pause => bus.pause(),
                    Step::Start => {
                        held.drain(..).for_each(matches);
                        contained(|| bus.start());
                    }
                    Step::Close(which) if !all.is_empty() => {
                        contained(|| all[some(which)].close());
                    }
                    Step::CloseBus => {
                        account.2 += held.drain(..).len() as u64;
                        contained(|| bus.close());
                    }
                    Step::Receive(which, how) if !all.is_empty() => {
                        let (one, notes) = (&all[some(which)], &mut notes[some(which)]);
                        let got = match how {
                            0 => one.try_recv().ok(),
                            1 => one.recv_timeout(Duration::ZERO).ok(),
                            2 => one.drain().next(),
                            _ if one.stats().pending + one.stats().waiting > 0 => one.recv(),
                            _ => None,
                        };
                        notes.got.extend(got.as_deref().map(number));
                    }
                    Step::Sleep(which, bomb) if !all.is_empty() => {
                        let which = some(which);
                        let mut stream = all[which].stream();
                        let waker = if bomb { Arc::new(Bomb).into() } else { Waker::noop().clone() };
                        let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
                        match polled {
                            Poll::Ready(Some(got)) => notes[which].got.push(number(&got)),
                            Poll::Ready(None) => prop_assert_eq!(all[which].stats().pending, 0),
                            Poll::Pending => {}
                        }
                        streams.push(stream);
                    }
                    Step::Drain(which) if !all.is_empty() => {
                        let which = some(which);
                        drains.push((which, last, all[which].drain()));
                    }
                    Step::Take(which, count) if !drains.is_empty() => {
                        let which = which % drains.len();
                        let (of, end, drain) = &mut drains[which];
                        let got = drain.take(count).map(|it| number(&it));
                        let before = notes[*of].got.len();
                        notes[*of].got.extend(got);
                        prop_assert!(notes[*of].got[before..].iter().all(|n| n <= end));
                    }
                    Step::Finish(which) if !drains.is_empty() => {
                        drop(drains.swap_remove(which % drains.len()));
                    }
                    Step::Leak(which) if !drains.is_empty() => {
                        core::mem::forget(drains.swap_remove(which % drains.len()));
                    }
                    _ => {}
                }
                look_after(&mut waiting);
                holds(&bus, matched, &all, &notes)?;
                let it = bus.stats();
                prop_assert_eq!((it.published, it.held_dropped, it.held_abandoned), account);
                prop_assert_eq!(it.held, held.len() as u64);
            }
            drop(drains);
            for stream in streams {
                contained(|| drop(stream)); // it may wake another one
            }
            for which in dropping {
                if !all.is_empty() {
                    let which = which % all.len();
                    notes.swap_remove(which);
                    let gone = all.swap_remove(which);
                    contained(|| drop(gone));
                    look_after(&mut waiting);
                    holds(&bus, matched, &all, &notes)?;
                }
            }
        }
        for gone in waiting {
            contained(|| drop(gone));
        }
        holds(&bus, matched, &all, &notes)?;
        for gone in all.drain(..) {
            contained(|| drop(gone));
        }
        holds(&bus, matched, &all, &notes)?;
        let it = bus.stats().totals;
        prop_assert_eq!((it.pending, it.waiting), (0, 0));
    }
}

/// Workers that iterate, drain a part, leak drains, or look now and then: each envelope reaches one of them, in
/// order for each worker, and none is told the end while there is more.
#[test]
fn workers_of_one_subscription_share_all_of_it() {
    const EACH: usize = 1_000;
    const PUBLISHERS: usize = 2;
    let _watch = watchdog();
    for overrun in [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block] {
        let bus = Arc::new(SubjectBus::new());
        let one = bus.subscribe("n").unwrap().capacity(40).overrun(overrun).open();
        let one = Arc::new(one);
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let one = one.clone();
                watched(move || {
                    let mut got = Vec::new();
                    match worker {
                        0 => got.extend(one.iter().map(|it| number(&it))),
                        _ => loop {
                            let mut drain = one.drain();
                            got.extend(drain.by_ref().take(worker).map(|it| number(&it)));
                            if worker == 2 {
                                core::mem::forget(drain);
                            }
                            match one.recv_timeout(Duration::from_micros(50)) {
                                Ok(it) => got.push(number(&it)),
                                Err(RecvError::Empty) => {}
                                Err(_) => break,
                            }
                        },
                    }
                    let ended = one.stats();
                    assert_eq!((ended.pending, one.recv()), (0, None));
                    got
                })
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let bus = bus.clone();
                watched(move || {
                    for n in 0..EACH {
                        bus.publish(numbered(publisher * EACH + n)).unwrap();
                    }
                })
            })
            .collect();
        publishers.into_iter().for_each(Watched::join);
        bus.close();
        let mut all = Vec::new();
        for got in workers.into_iter().map(Watched::join) {
            for publisher in 0..PUBLISHERS {
                let of_one = got.iter().filter(|n| **n / EACH == publisher);
                assert!(of_one.is_sorted_by(|a, b| a < b), "{overrun}");
            }
            all.extend(got);
        }
        let it = one.stats();
        assert_eq!((it.received, it.pending), (all.len() as u64, 0));
        assert_eq!(it.received + it.dropped(), (PUBLISHERS * EACH) as u64, "{overrun}");
        all.sort_unstable();
        assert!(all.is_sorted_by(|a, b| a < b), "one came twice");
    }
}
