//! The buses of one event: what comes off them, how much, and in which order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use bevy_ecs::world::World;

use super::bus::Read;
use super::frame::{EventBusState, Kept};
use super::kinds::Kinds;
use super::share::{MAX_BUSES, allot};
use super::stats::BusCounts;
use super::turn::Turn;
use crate::bus::Stats;

/// The buses of one event, the one with the highest priority first.
pub(super) struct Intakes<E> {
    pub(super) buses: Vec<Intake<E>>,
    /// The place of the first bus in the statistics.
    pub(super) first: usize,
    /// Whether pending events move into the state at the end of a frame.
    pub(super) keeps_pending: bool,
    /// The kinds by which pending and discarded events are counted.
    pub(super) kinds: Option<Kinds<E>>,
}

/// One bus.
pub(super) struct Intake<E> {
    pub(super) reader: Box<dyn Read<E>>,
    pub(super) capacity: usize,
    /// The numbers of the bus at the end of the last drain.
    pub(super) seen: Stats,
    /// Taken off the bus and not delivered. Between two drains these events are in the state.
    pub(super) pending: VecDeque<E>,
    /// What happened in this frame. `delivered` counts unhandled events too.
    counts: BusCounts,
    /// How many events of each kind were discarded in this frame, where kinds are known.
    pub(super) discarded: Vec<usize>,
}

impl<E: Send + Sync + 'static> Intakes<E> {
    /// Returns whether all buses are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.buses.iter().all(|bus| bus.reader.pending() == 0)
    }

    /// Brings the pending events back from the state, and discards what a pause says.
    pub(super) fn open(&mut self, world: &mut World, turn: &Turn) {
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        for (at, (bus, kept)) in self.buses.iter_mut().zip(&mut state.buses).enumerate() {
            if !kept.pending.is_empty() {
                mem::swap(&mut bus.pending, &mut kept.pending);
            }
            if turn.discards[at] {
                bus.discard(kept, self.kinds);
            }
        }
    }

    /// Returns how many events each bus may deliver of `budget`.
    pub(super) fn allot(
        &self,
        world: &mut World,
        turn: &Turn,
        budget: usize,
    ) -> [usize; MAX_BUSES] {
        let mut waiting = [0; MAX_BUSES];
        let mut most = 0_usize;
        for (at, bus) in self.buses.iter().enumerate().filter(|(at, _)| turn.open[*at]) {
            waiting[at] = bus.waiting();
            most = most.saturating_add(bus.most());
        }
        if most <= budget && !turn.is_timed() {
            // Whatever is published meanwhile: a drain without a limit is the fast one.
            for (waiting, bus) in waiting.iter_mut().zip(&self.buses).filter(|(w, _)| **w > 0) {
                *waiting = bus.most();
            }
        }
        if self.buses.len() == 1 {
            waiting[0] = waiting[0].min(budget);
            return waiting;
        }
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        let mut credits = [0; MAX_BUSES];
        for (credit, kept) in credits.iter_mut().zip(&state.buses) {
            *credit = kept.credit;
        }
        let allowed = allot(budget, &waiting, &mut credits);
        for (credit, kept) in credits.iter().zip(&mut state.buses) {
            kept.credit = *credit;
        }
        allowed
    }
}

impl<E> Intake<E> {
    pub(super) fn new(reader: Box<dyn Read<E>>, capacity: usize, kinds: usize) -> Self {
        let seen = reader.stats();
        let (pending, counts) = (VecDeque::new(), BusCounts::default());
        Self { reader, capacity, seen, pending, counts, discarded: vec![0; kinds] }
    }

    /// Drops all pending events.
    fn discard(&mut self, kept: &mut Kept<E>, kinds: Option<Kinds<E>>) {
        let Self { counts, discarded, .. } = self;
        let mut each = |event: &E| {
            counts.discarded += 1;
            let kind = kinds.map(|kinds| (kinds.kind)(event));
            if let Some(of_kind) = kind.and_then(|kind| discarded.get_mut(kind)) {
                *of_kind += 1;
            }
        };
        // One by one: where `each` panics, the others stay.
        while let Some(event) = self.pending.pop_front() {
            each(&event);
        }
        while let Some((_, event)) = kept.held.pop() {
            each(&event);
        }
        self.reader.discard(&mut each);
    }

    fn waiting(&self) -> usize {
        self.pending.len() + self.reader.pending()
    }

    /// Returns the most that can ever be taken at once.
    fn most(&self) -> usize {
        self.pending.len() + self.capacity
    }

    /// Takes at most `limit` events, oldest first.
    pub(super) fn take(&mut self, limit: usize, into: &mut Vec<E>) -> usize {
        let before = into.len();
        let old = limit.min(self.pending.len());
        into.extend(self.pending.drain(..old));
        if limit > old {
            self.reader.read(limit - old, into);
        }
        into.len() - before
    }

    /// Counts events that were taken to be delivered.
    pub(super) fn count_taken(&mut self, count: usize) {
        self.counts.delivered += count;
    }

    /// Counts events whose fixed step is over.
    pub(super) fn count_late(&mut self, count: usize) {
        self.counts.late += count;
    }

    /// Takes the counts of this frame, of which `unhandled` reached no delivery.
    pub(super) fn take_counts(&mut self, unhandled: &mut usize) -> BusCounts {
        let mut counts = mem::take(&mut self.counts);
        counts.unhandled = mem::take(unhandled);
        counts.delivered = counts.delivered.wrapping_sub(counts.unhandled);
        counts
    }
}
