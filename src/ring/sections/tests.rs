//! The ring in sections: cells, places and claims in any order.

extern crate alloc;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Cell, Claim, Core, Eviction, Ring};
use crate::ring::Capacity;
use crate::sync::{Relaxed, Word};

struct Rejecting;

impl Eviction for Rejecting {
    const EVICTS: bool = false;
    type Spare<E> = [Cell<E>; 0];
}

struct Displacing;

impl Eviction for Displacing {
    const EVICTS: bool = true;
    type Spare<E> = [Cell<E>; 1];
}

/// A drain that publishers lap by any number of events hands out only events that are pending.
#[test]
fn a_drain_that_is_lapped_by_half_the_range_ends() {
    fn check<const WORDS: usize>() {
        let half = Word::MAX / 2 + 1;
        for events in [4, 8, half - 4, half, half + 4, half + 8, Word::MAX - 7, Word::MAX - 3] {
            let token = Rc::new(());
            let ring = Ring::<(Rc<()>, [usize; WORDS]), 4, Displacing>::new();
            let publish = || ring.publish((Rc::clone(&token), [0; WORDS])).map_err(drop).unwrap();
            (0..4).for_each(|_| drop(publish()));
            let mut side = ring.reader().unwrap();
            let mut span = side.freeze();
            ring.pass(events);
            side.shorten(&mut span, 1000);
            let taken = side.take_most(&mut span, 5, drop);
            assert!(taken <= 4, "{taken} of 4 after {events}");
            assert_eq!(Rc::strong_count(&token), 5 - taken, "after {events}");
            assert_eq!(side.counts().pending, 4 - taken);
            // The next one finds what is there.
            let mut span = side.freeze();
            assert_eq!(side.take_most(&mut span, 5, drop), 4 - taken);
            #[cfg(feature = "alloc")]
            {
                (0..4).for_each(|_| drop(publish()));
                let mut span = side.freeze();
                ring.pass(events);
                let mut into = Vec::new();
                let taken = side.append(&mut span, &mut into);
                assert_eq!((taken, Rc::strong_count(&token)), (into.len(), 5));
            }
        }
    }
    check::<0>();
    check::<20>();
}

/// A tick tells all losses since the one before, however many there were.
#[test]
fn losses_of_half_the_range_are_told() {
    let ring = Ring::<u32, 4, Rejecting>::new();
    let mut side = ring.reader().unwrap();
    let span = side.freeze();
    for many in [Word::MAX / 2, Word::MAX / 2 + 1, Word::MAX] {
        ring.core().state().turned_away.fetch_add(many, Relaxed);
        assert_eq!(side.account(&span), (0, many as usize));
        assert_eq!(side.account(&span), (0, 0));
    }
}

/// The names of the cells of the largest ring, with the spare one, need all bits of a place.
#[test]
#[cfg_attr(miri, ignore = "an interpreter takes hours for so many events")]
fn the_largest_ring_names_every_cell() {
    const SLOTS: usize = 32768;
    static RING: Ring<[usize; 4], SLOTS, Displacing> = Ring::new();
    let mut side = RING.reader().unwrap();
    let mut waiting = VecDeque::new();
    for event in 0..5 * SLOTS {
        let oldest = if waiting.len() == SLOTS { waiting.pop_front() } else { None };
        waiting.push_back(event);
        assert_eq!(RING.publish([event; 4]), Ok(oldest.map(|oldest| [oldest; 4])));
        if event % 3 == 0 {
            let mut span = side.freeze();
            assert_eq!(side.take(&mut span), waiting.pop_front().map(|oldest| [oldest; 4]));
        }
    }
    assert_eq!(waiting.len(), SLOTS - 1);
    check_cells(&RING, core::iter::empty());
}

// ---- Publishers that are interrupted between their two sections --------------------------------

/// An event that shows whether it is alive: one word and so many more.
type Counted<const WORDS: usize> = (Rc<usize>, [usize; WORDS]);

#[derive(Clone, Debug)]
enum Step {
    Publish,
    /// The first section of a publish.
    Claim,
    /// The second section of any publish that is in progress.
    Commit(prop::sample::Index),
    Freeze,
    Shorten(usize),
    Take(usize),
    #[cfg(feature = "alloc")]
    Append,
    /// A publish or a take by `&mut`. All publishes in progress are over by then.
    Alone(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        4 => Just(Step::Claim),
        4 => any::<prop::sample::Index>().prop_map(Step::Commit),
        2 => Just(Step::Freeze),
        1 => (0..4_usize).prop_map(Step::Shorten),
        4 => (1..4_usize).prop_map(Step::Take),
        1 => append(),
        1 => any::<bool>().prop_map(Step::Alone),
    ]
}

fn append() -> Just<Step> {
    #[cfg(feature = "alloc")]
    return Just(Step::Append);
    #[cfg(not(feature = "alloc"))]
    Just(Step::Take(4))
}

/// What a ring is: a queue, and the publishers in progress.
struct Model {
    slots: usize,
    evicts: bool,
    /// The events and their places in the order of commits.
    queue: VecDeque<(usize, usize)>,
    in_progress: Vec<InProgress>,
    begun: usize,
    committed: usize,
    displaced: usize,
    /// As the ring counts, which does not begin at zero.
    taken: Word,
}

impl Model {
    /// A new event, with the next number. Returns what it displaces, or `None` if there is no room.
    fn claim(&mut self) -> Option<Option<usize>> {
        let mut displaced = None;
        if self.queue.len() + self.in_progress.len() == self.slots {
            if !self.evicts {
                return None;
            }
            displaced = Some(self.queue.pop_front()?.0);
            self.displaced += 1;
        }
        self.begun += 1;
        Some(displaced)
    }

    fn commit(&mut self, event: usize) {
        self.queue.push_back((event, self.committed));
        self.committed += 1;
    }

    fn take(&mut self, end: usize) -> Option<usize> {
        let (event, _) = self.queue.pop_front_if(|(_, place)| *place < end)?;
        self.taken = self.taken.wrapping_add(1);
        Some(event)
    }
}

fn check_counts<P: Eviction, const N: usize, const WORDS: usize>(
    ring: &Ring<Counted<WORDS>, N, P>,
    model: &Model,
) {
    let counts = ring.core().counts::<P>();
    let pending = model.queue.len() + model.in_progress.len();
    assert_eq!((counts.pending, counts.displaced), (pending, model.displaced));
    assert_eq!(counts.handled as Word, model.taken);
    let sum = model.taken.wrapping_add((pending + model.displaced) as Word);
    assert_eq!(counts.accepted as Word, sum);
    assert_eq!(ring.core().pending::<P>(), pending);
}

/// Each cell is named once: pending, in progress, free or spare.
fn check_cells<E, P: Eviction, const N: usize>(
    ring: &Ring<E, N, P>,
    claims: impl Iterator<Item = Claim>,
) {
    if Core::<E>::is_small::<P>() {
        return;
    }
    let core = ring.core();
    let state = core.state();
    let [head, tail, alloc] =
        [&state.head, &state.tail, &state.alloc].map(|word| word.load(Relaxed));
    let between = |first: Word, end: Word| {
        // SAFETY: the ring is borrowed.
        (0..end.wrapping_sub(first))
            .map(move |at| unsafe { core.places.named(first.wrapping_add(at)) })
    };
    let mut all: Vec<_> = between(head, tail).collect();
    all.extend(claims.map(Claim::cell));
    all.extend(between(alloc, head.wrapping_add(N as Word)));
    all.extend(P::EVICTS.then(|| core.spare()));
    let distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(
        (distinct.len(), all.len()),
        (N + usize::from(P::EVICTS), distinct.len()),
        "{all:?}"
    );
    assert_eq!(distinct.last(), Some(&(all.len() - 1)));
}

/// A publish that has its cell, and what it is to displace.
struct InProgress {
    claim: Claim,
    event: usize,
    displaces: Option<usize>,
}

fn run<P: Eviction, const N: usize, const WORDS: usize>(back: usize, steps: &[Step])
where
    (): Capacity<N>,
{
    let is_small = Core::<Counted<WORDS>>::is_small::<P>();
    let mut ring = Ring::<Counted<WORDS>, N, P>::starting_before_wrap(back);
    let mut model = Model {
        slots: N,
        evicts: P::EVICTS,
        queue: VecDeque::new(),
        in_progress: Vec::new(),
        begun: 0,
        committed: 0,
        displaced: 0,
        taken: (back as Word).wrapping_neg(),
    };
    let mut alive: Vec<Weak<usize>> = Vec::new();
    let mut event = |number| {
        let event = Rc::new(number);
        alive.push(Rc::downgrade(&event));
        (event, [number; WORDS])
    };
    let number = |(event, copies): Counted<WORDS>| {
        assert_eq!(copies, [*event; WORDS]);
        *event
    };
    let mut steps = steps.iter().peekable();
    while steps.peek().is_some() {
        let core = ring.core();
        let mut side = ring.reader().unwrap();
        // The end of the latest drain, which the model counts in commits.
        let (mut span, mut end) = (side.freeze(), model.committed);
        while let Some(step) = steps.next_if(|step| !matches!(step, Step::Alone(_))) {
            match step {
                Step::Publish => {
                    let expected = model.claim();
                    let published = ring.publish(event(model.begun));
                    assert_eq!(published.map(|old| old.map(number)).ok(), expected);
                    if expected.is_some() {
                        model.commit(model.begun);
                    }
                }
                Step::Claim if !is_small => {
                    let claim = if P::EVICTS {
                        core.state().claim_or_displace(core.places)
                    } else {
                        core.state().claim(core.places)
                    };
                    let expected = model.claim();
                    assert_eq!(claim.is_nothing(), expected.is_none());
                    if let Some(displaces) = expected {
                        assert_eq!(claim.displaces(), displaces.is_some());
                        model.in_progress.push(InProgress { claim, event: model.begun, displaces });
                    }
                }
                Step::Commit(which) if !model.in_progress.is_empty() => {
                    let which = which.index(model.in_progress.len());
                    finish(core, &mut model, which, &mut event, number);
                }
                Step::Claim | Step::Commit(_) => {}
                Step::Freeze => (span, end) = (side.freeze(), model.committed),
                Step::Shorten(most) => {
                    side.shorten(&mut span, *most);
                    end = model.queue.get(*most).map_or(end, |(_, place)| end.min(*place));
                }
                Step::Take(most) => {
                    let expected: Vec<_> = (0..*most).map_while(|_| model.take(end)).collect();
                    let mut taken = Vec::new();
                    match most {
                        1 => taken.extend(side.take(&mut span).map(number)),
                        _ => drop(side.take_most(&mut span, *most, |e| taken.push(number(e)))),
                    }
                    assert_eq!(taken, expected);
                }
                #[cfg(feature = "alloc")]
                Step::Append => {
                    let expected: Vec<_> = core::iter::from_fn(|| model.take(end)).collect();
                    let mut taken = Vec::new();
                    assert_eq!(side.append(&mut span, &mut taken), expected.len());
                    assert!(taken.into_iter().map(number).eq(expected));
                }
                Step::Alone(_) => unreachable!("see above"),
            }
            check_counts(&ring, &model);
            check_cells(&ring, model.in_progress.iter().map(|publish| publish.claim));
        }
        while !model.in_progress.is_empty() {
            finish(core, &mut model, 0, &mut event, number);
        }
        drop(side);
        while let Some(Step::Alone(publishes)) =
            steps.next_if(|step| matches!(step, Step::Alone(_)))
        {
            if *publishes {
                let expected = model.claim();
                let published = ring.publish_mut(event(model.begun));
                assert_eq!(published.map(|old| old.map(number)).ok(), expected);
                if expected.is_some() {
                    model.commit(model.begun);
                }
            } else {
                let mut span = ring.freeze_mut();
                let taken = ring.take_mut(&mut span).map(number);
                assert_eq!(taken, model.take(model.committed));
            }
            check_counts(&ring, &model);
            check_cells(&ring, core::iter::empty());
        }
    }
    let left = alive.iter().filter(|event| event.strong_count() > 0).count();
    assert_eq!(left, model.queue.len());
    drop(ring);
    assert!(alive.iter().all(|event| event.strong_count() == 0), "leaked");
}

/// The second section of a publish that is in progress, and what is before it.
fn finish<const WORDS: usize>(
    core: Core<'_, Counted<WORDS>>,
    model: &mut Model,
    which: usize,
    event: &mut impl FnMut(usize) -> Counted<WORDS>,
    number: impl Fn(Counted<WORDS>) -> usize,
) {
    let InProgress { claim, event: begun, displaces } = model.in_progress.remove(which);
    // SAFETY: each claim is finished once.
    let displaced = unsafe { core.fill(claim, event(begun)) };
    assert_eq!(displaced.map(number), displaces);
    core.state().commit(core.places, claim.cell());
    model.commit(begun);
}

fn back() -> impl Strategy<Value = usize> {
    0..20_usize
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn publishers_that_are_interrupted_on_a_rejecting_ring(back in back(), steps in vec(step(), 1..80)) {
        run::<Rejecting, 2, 0>(back, &steps);
        run::<Rejecting, 4, 1>(back, &steps);
        run::<Rejecting, 4, 2>(back, &steps);
    }

    #[test]
    fn publishers_that_are_interrupted_on_a_displacing_ring(back in back(), steps in vec(step(), 1..80)) {
        run::<Displacing, 2, 0>(back, &steps);
        run::<Displacing, 2, 2>(back, &steps);
        run::<Displacing, 4, 1>(back, &steps);
        run::<Displacing, 4, 2>(back, &steps);
    }
}
