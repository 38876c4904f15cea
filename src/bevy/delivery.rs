//! The delivery: from a batch of events into the world.

use alloc::vec::Vec;
use core::any::type_name;
use core::mem;

use bevy_ecs::world::World;

use super::frame::EventBusState;
use super::route::{BusDrained, Routes, is_observed};
use super::share::MAX_BUSES;

/// The batch of one event, and its ways into the world.
pub(super) struct Delivery<E: Send + Sync + 'static> {
    pub(super) routes: Routes<E>,
    pub(super) batch: BusDrained<E>,
    /// How many events of the batch are of each bus, in the order of the buses.
    of_bus: [usize; MAX_BUSES],
    /// How many events of each bus no delivery has taken since the account was last closed.
    pub(super) unhandled: [usize; MAX_BUSES],
    /// Which events of the batch a delivery has taken, where a delivery may not; shorter than the batch
    /// where none has.
    taken: Vec<bool>,
    /// The kinds that were logged because no delivery takes them. One place for all if kinds are unknown.
    logged: Vec<bool>,
    /// How many events of the batch the observers have been given.
    observed: usize,
    /// Whether observers have been given the batch as a whole.
    announced: bool,
}

impl<E: Send + Sync + 'static> Delivery<E> {
    pub(super) fn new(routes: Routes<E>, capacity: usize) -> Self {
        Self {
            routes,
            batch: BusDrained { events: Vec::with_capacity(capacity) },
            of_bus: [0; MAX_BUSES],
            unhandled: [0; MAX_BUSES],
            taken: Vec::new(),
            logged: Vec::new(),
            observed: 0,
            announced: false,
        }
    }

    /// Returns whether the batch is empty, as it is unless an observer has panicked.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.events.is_empty()
    }

    /// Returns how many messages there is room for.
    pub(super) fn room(&self, world: &World, limit: usize) -> usize {
        let waiting = self.routes.slices.iter().map(|route| route.waiting(world)).max();
        waiting.map_or(usize::MAX, |waiting| limit.saturating_sub(waiting))
    }

    /// Lets `fill` add events of the bus at `at` to the batch. Returns how many.
    pub(super) fn add(&mut self, at: usize, fill: impl FnOnce(&mut Vec<E>) -> usize) -> usize {
        let added = fill(&mut self.batch.events);
        self.of_bus[at] += added;
        added
    }

    /// Gives the observers what they have not seen of the batch.
    pub(super) fn observe(&mut self, world: &mut World) {
        let (events, seen) = (&mut self.batch.events, &mut self.observed);
        let observers = &self.routes.observers[..];
        if observers.iter().any(|observers| observers.is_observed(world)) {
            if !self.routes.take_all() {
                self.taken.resize(events.len(), false);
            }
            if let [only] = observers {
                only.observe_all(world, events, seen, &mut self.taken);
            }
            let mut unused = false;
            while let Some(event) = events.get_mut(*seen) {
                let taken = self.taken.get_mut(*seen).unwrap_or(&mut unused);
                *seen += 1;
                observers.iter().for_each(|observers| observers.observe(world, event, taken));
            }
        }
        *seen = events.len();
    }

    /// Gives the batch to everything that takes slices, and leaves it empty.
    pub(super) fn deliver(&mut self, world: &mut World) {
        if self.batch.events.is_empty() {
            return;
        }
        let mut all = self.routes.take_all();
        if mem::replace(&mut self.announced, true) {
            all = true; // an observer of the batch has panicked
        } else if is_observed::<BusDrained<E>>(world) {
            world.trigger_ref(&mut self.batch);
            world.flush();
            all = true;
        }
        // Out of the batch: if a route panics while picking or cloning, no route gets the same events again.
        let mut events = mem::take(&mut self.batch.events);
        let mut taken = mem::take(&mut self.taken);
        let of_bus = mem::take(&mut self.of_bus);
        self.observed = 0;
        self.announced = false;
        taken.resize(if all { 0 } else { events.len() }, false);
        let frame = self.routes.frame;
        if let Some((last, others)) = self.routes.slices.split_last_mut() {
            others.iter_mut().for_each(|route| route.deliver(world, &events, &mut taken));
            if frame || !all {
                last.deliver(world, &events, &mut taken);
            } else {
                last.deliver_last(world, &mut events, &mut taken);
            }
        }
        if frame {
            world.get_resource_or_init::<EventBusState<E>>().extend_frame(&mut events);
        }
        if taken.contains(&false) {
            self.count_unhandled(&events, &taken, of_bus);
        }
        events.clear();
        taken.clear();
        self.batch.events = events;
        self.taken = taken;
    }

    /// Counts the events that no delivery has taken, and logs each kind once.
    fn count_unhandled(&mut self, events: &[E], taken: &[bool], of_bus: [usize; MAX_BUSES]) {
        let mut rest = taken;
        for (unhandled, count) in self.unhandled.iter_mut().zip(of_bus) {
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            *unhandled += own.iter().filter(|taken| !**taken).count();
        }
        let kinds = self.routes.kinds;
        self.logged.resize(kinds.map_or(1, |kinds| kinds.subjects.len()), false);
        if !self.logged.contains(&false) {
            return;
        }
        for (event, _) in events.iter().zip(taken).filter(|(_, taken)| !**taken) {
            let kind = kinds.map_or(0, |kinds| (kinds.kind)(event));
            let Some(logged) = self.logged.get_mut(kind).filter(|logged| !**logged) else {
                continue;
            };
            *logged = true;
            let name = type_name::<E>();
            let subject = kinds.and_then(|kinds| kinds.subjects.get(kind));
            log::warn!(
                "an event of `{name}`{}{} reached no message, no observer and no frame. All such events count as \
                 `unhandled` in `EventBusStats`; this is logged once. Add a delivery, see `EventBusAppExt`",
                if subject.is_some() { " of the kind " } else { "" },
                subject.unwrap_or(&"")
            );
        }
    }
}
