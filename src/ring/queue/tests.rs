//! Random histories in which publishers are interrupted between claim and commit while others proceed. The ring keeps
//! its promises in each of them.

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;

use super::publish::Claim;
use super::{Capacity, Cell, Eviction, Raw, Ring};
use crate::ring::Side;

pub(super) struct Rejecting;

impl Eviction for Rejecting {
    const EVICTS: bool = false;
    type Spare<E> = [Cell<E>; 0];
}

pub(super) struct Displacing;

impl Eviction for Displacing {
    const EVICTS: bool = true;
    type Spare<E> = [Cell<E>; 1];
}

/// A small generator of numbers: xorshift.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// An event that shows whether it is alive.
type Counted = (usize, Rc<()>);

/// The events seen so far, by number.
#[derive(Default)]
struct History {
    published: Vec<usize>,
    /// How many were published when the publishing of each began.
    begun: BTreeMap<usize, usize>,
    taken: Vec<usize>,
    displaced: usize,
    refused: usize,
}

impl History {
    fn begin(&mut self) -> usize {
        let event = self.begun.len();
        self.begun.insert(event, self.published.len());
        event
    }

    fn end(&mut self, event: usize, displaced: Option<Counted>) {
        self.published.push(event);
        self.displaced += usize::from(displaced.is_some());
    }

    /// Nothing is taken twice, and nothing before what had been published when its publishing began.
    fn check_order(&self) {
        let distinct: BTreeSet<_> = self.taken.iter().collect();
        assert_eq!(distinct.len(), self.taken.len(), "taken twice");
        let rank: BTreeMap<_, _> =
            self.published.iter().enumerate().map(|(at, e)| (*e, at)).collect();
        for (at, first) in self.taken.iter().enumerate() {
            for second in &self.taken[at + 1..] {
                assert!(rank[second] >= self.begun[first], "{first} before {second}");
            }
        }
    }
}

/// The second half of a publish.
fn finish<P: Eviction, const N: usize>(
    ring: &Ring<Counted, N, P>,
    claim: Claim,
    event: Counted,
) -> Option<Counted> {
    // SAFETY: each claim is finished once.
    let displaced = unsafe { ring.fill(claim, event) };
    ring.commit(claim);
    displaced
}

/// The reading side, which some drains keep and others give back.
type Consumer<'a, P> = Option<Side<'a, Raw<Counted, P>>>;

/// What the next drain takes from.
fn claim<'a, P: Eviction, const N: usize>(
    ring: &'a Ring<Counted, N, P>,
    consumer: Consumer<'a, P>,
) -> Side<'a, Raw<Counted, P>> {
    consumer.unwrap_or_else(|| ring.reader().expect("given back"))
}

fn drain<P: Eviction>(side: &mut Side<'_, Raw<Counted, P>>, most: usize, history: &mut History) {
    let mut span = side.freeze();
    for _ in 0..most {
        let Some((event, _)) = side.take(&mut span) else { break };
        history.taken.push(event);
    }
}

/// `drain` by the chunk.
#[cfg(feature = "alloc")]
fn append<P: Eviction>(side: &mut Side<'_, Raw<Counted, P>>, most: usize, history: &mut History) {
    let mut span = side.freeze();
    side.shorten(&mut span, most);
    let mut events = Vec::new();
    let count = side.append(&mut span, &mut events);
    assert_eq!(count, events.len());
    history.taken.extend(events.into_iter().map(|(event, _)| event));
}

fn check_counts<P: Eviction, const N: usize>(
    ring: &Ring<Counted, N, P>,
    alive: usize,
    seen: &History,
) {
    let counts = ring.core().counts::<P>();
    assert_eq!(counts.pending, alive);
    assert_eq!(counts.handled, seen.taken.len());
    assert_eq!(counts.displaced, seen.displaced);
    assert_eq!(counts.turned_away, seen.refused);
    assert_eq!(seen.published.len(), counts.handled + counts.displaced + counts.pending);
}

fn history<P: Eviction, const N: usize>(seed: u64)
where
    (): Capacity<N>,
{
    let mut random = Random::new(seed);
    let token = Rc::new(());
    let alive = || Rc::strong_count(&token) - 1;
    let mut ring = Ring::<Counted, N, P>::new();
    let mut seen = History::default();
    for _ in 0..4 {
        let mut consumer: Consumer<'_, P> = None;
        let mut stopped = Vec::new();
        for _ in 0..60 {
            match random.below(10) {
                0 | 1 if stopped.len() < 2 => {
                    if let Some(claim) = ring.claim() {
                        stopped.push((claim, seen.begin()));
                    }
                }
                2 | 3 if !stopped.is_empty() => {
                    let which = random.below(stopped.len() as u64) as usize;
                    let (claim, event) = stopped.remove(which);
                    let displaced = finish(&ring, claim, (event, Rc::clone(&token)));
                    seen.end(event, displaced);
                }
                4..=7 => {
                    let occupied = alive() + stopped.len();
                    let event = seen.begin();
                    if let Ok(displaced) = ring.publish((event, Rc::clone(&token))) {
                        seen.end(event, displaced);
                    } else {
                        ring.core().turn_away(1);
                        seen.refused += 1;
                        let most = if P::EVICTS { stopped.len() } else { occupied };
                        assert_eq!(most, N, "a false full");
                    }
                }
                step => {
                    let most = if step == 8 { usize::MAX } else { random.below(3) as usize };
                    let published = seen.published.len();
                    let mut side = claim(&ring, consumer.take());
                    match random.below(2) {
                        #[cfg(feature = "alloc")]
                        0 => append::<P>(&mut side, most, &mut seen),
                        _ => drain::<P>(&mut side, most, &mut seen),
                    }
                    if step == 8 && !P::EVICTS {
                        assert_eq!(seen.taken.len(), published, "a drain of all leaves some");
                    }
                    consumer = (random.below(8) != 0).then_some(side);
                }
            }
        }
        drop(consumer);
        for (claim, event) in stopped {
            let displaced = finish(&ring, claim, (event, Rc::clone(&token)));
            seen.end(event, displaced);
        }
        check_counts::<P, N>(&ring, alive(), &seen);
        for _ in 0..random.below(12) {
            if random.below(2) == 0 {
                let before = alive();
                let event = seen.begin();
                if let Ok(displaced) = ring.publish_mut((event, Rc::clone(&token))) {
                    seen.end(event, displaced);
                } else {
                    ring.turn_away_mut(1);
                    seen.refused += 1;
                    assert!(!P::EVICTS && before == N, "a false full: {before} of {N}");
                }
            } else {
                let mut span = ring.freeze_mut();
                for _ in 0..random.below(4) {
                    let Some((event, _)) = ring.take_mut(&mut span) else { break };
                    seen.taken.push(event);
                }
            }
            check_counts::<P, N>(&ring, alive(), &seen);
        }
    }
    drain::<P>(&mut claim(&ring, None), usize::MAX, &mut seen);
    assert_eq!(alive(), 0, "a drain leaves nothing");
    seen.check_order();
}

fn histories<P: Eviction, const N: usize>()
where
    (): Capacity<N>,
{
    (1..if cfg!(miri) { 12 } else { 1500 }).for_each(history::<P, N>);
}

#[test]
fn rejecting() {
    histories::<Rejecting, 2>();
    histories::<Rejecting, 4>();
    histories::<Rejecting, 8>();
}

#[test]
fn displacing() {
    histories::<Displacing, 2>();
    histories::<Displacing, 4>();
    histories::<Displacing, 8>();
}

/// A ring that displaces, long after its last drain: what is left are the newest events.
#[cfg(not(tickbus_sections))]
#[test]
fn not_drained_for_half_the_range() {
    use crate::sync::Word;

    let mut ring = Ring::<Counted, 4, Displacing>::new();
    let token = Rc::new(());
    *ring.state.taken.0.get_mut() = (1 << (Word::BITS - 1)) - 100;
    let numbers = |ring: &mut Ring<Counted, 4, Displacing>, shared: bool| {
        for number in 0..9 {
            assert!(ring.publish((number, Rc::clone(&token))).is_ok());
        }
        let mut seen = History::default();
        if shared {
            drain::<Displacing>(&mut claim(ring, None), usize::MAX, &mut seen);
        } else {
            let mut span = ring.freeze_mut();
            seen.taken.extend(core::iter::from_fn(|| ring.take_mut(&mut span)).map(|(n, _)| n));
        }
        assert_eq!(Rc::strong_count(&token), 1, "nothing is dropped twice or kept");
        seen.taken
    };
    assert_eq!(numbers(&mut ring, false), [5, 6, 7, 8]);
    assert_eq!(numbers(&mut ring, true), [5, 6, 7, 8]);
    *ring.state.taken.0.get_mut() -= (1 << (Word::BITS - 1)) - 100;
    assert_eq!(numbers(&mut ring, true), [5, 6, 7, 8]);
}

/// An exclusive drain, too, brings up to date what publishers know of the head.
#[test]
fn the_room_of_another_age() {
    let mut ring = Ring::<Counted, 4, Rejecting>::new();
    let token = Rc::new(());
    *ring.state.front.0.room.get_mut() = 2;
    let _ = ring.freeze_mut();
    for number in 0..4 {
        assert!(ring.publish_mut((number, Rc::clone(&token))).is_ok());
    }
    assert!(ring.publish((4, Rc::clone(&token))).is_err(), "four is all there is room for");
}

/// A tick reports all losses since the one before, however many there were, and none twice.
#[test]
fn losses_of_half_the_range_are_told() {
    use crate::sync::Word;

    fn check<P: Eviction>() {
        let mut ring = Ring::<Counted, 4, P>::new();
        let token = Rc::new(());
        let publish = |ring: &Ring<Counted, 4, P>, count: usize| {
            for number in 0..count {
                if ring.publish((number, Rc::clone(&token))).is_err() {
                    ring.core().turn_away(1);
                }
            }
        };
        let account = |ring: &Ring<Counted, 4, P>| {
            let mut side = claim(ring, None);
            let span = side.freeze();
            side.account(&span)
        };
        publish(&ring, 6);
        assert_eq!(account(&ring), (4, 2));
        for many in [Word::MAX / 2, Word::MAX / 2 + 1, Word::MAX] {
            let turned_away = ring.state.turned_away.get_mut();
            *turned_away = turned_away.wrapping_add(many);
            assert_eq!(account(&ring), (4, many as usize));
            assert_eq!(account(&ring), (4, 0));
        }
        publish(&ring, 3);
        assert_eq!(account(&ring), (4, 3));
    }
    check::<Rejecting>();
    check::<Displacing>();
}

/// A hint whose publisher was interrupted before it stored it, and stored it when others had proceeded.
#[cfg(not(tickbus_sections))]
#[test]
fn a_hint_that_is_behind() {
    for (behind, exclusive) in (0..12).flat_map(|behind| [(behind, true), (behind, false)]) {
        let mut ring = Ring::<Counted, 4, Displacing>::new();
        let token = Rc::new(());
        let event = |number| (number, Rc::clone(&token));
        for number in 0..12 {
            assert!(ring.publish(event(number)).is_ok());
        }
        *ring.state.front.0.tail.get_mut() -= behind;
        for number in 12..15 {
            let published = if exclusive {
                ring.publish_mut(event(number))
            } else {
                ring.publish(event(number))
            };
            assert_eq!(published.map(|oldest| oldest.map(|(n, _)| n)), Ok(Some(number - 4)));
        }
        let mut seen = History::default();
        drain::<Displacing>(&mut claim(&ring, None), usize::MAX, &mut seen);
        assert_eq!(seen.taken, [11, 12, 13, 14]);
    }
}

/// Publishers in the middle of a publish at once swap their cells. An exclusive drain takes what they have published
/// in the order of the commits, wherever on the ring that is.
#[test]
fn an_exclusive_drain_of_swapped_cells_is_in_order() {
    let mut ring = Ring::<Counted, 8, Rejecting>::new();
    let token = Rc::new(());
    for before in 0..16 {
        let mut numbers = 0..;
        let mut next = || (numbers.next().unwrap(), Rc::clone(&token));
        for _ in 0..before % 5 {
            assert!(ring.publish(next()).is_ok());
        }
        let (first, second) = (ring.claim().unwrap(), ring.claim().unwrap());
        finish(&ring, second, next());
        finish(&ring, first, next());
        assert!(ring.publish_mut(next()).is_ok());
        let count = numbers.next().unwrap();
        let mut seen = Vec::new();
        let mut span = ring.freeze_mut();
        if before % 2 == 0 {
            ring.take_all_mut(&mut span, |(number, _)| seen.push(number));
        } else {
            ring.show_most_mut(&mut span, 9, |event| event.0, |_, number, _| seen.push(number));
        }
        assert!(seen.into_iter().eq(0..count), "in the order of the commits");
        assert_eq!(Rc::strong_count(&token), 1, "nothing is dropped twice or kept");
    }
}
