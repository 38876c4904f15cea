//! Fixed steps: events wait in the state for the step that covers their time.

use core::any::type_name;
use core::time::Duration;

use bevy_ecs::world::World;

use super::clock::{self, Clock};
#[cfg(feature = "bevy_time")]
use super::config::{EventBusConfig, PausePolicy};
use super::delivery::Delivery;
use super::frame::EventBusState;
use super::intake::Intakes;
#[cfg(feature = "bevy_time")]
use super::share::MAX_BUSES;
#[cfg(feature = "bevy_time")]
use super::stats::EventBusStats;
use super::turn::Turn;

/// How the plugin finds the fixed step of an event.
pub(super) struct Steps<E> {
    /// The clock of the stamps.
    pub(super) now: Clock,
    /// The stamp of an event.
    pub(super) at: fn(&E) -> Duration,
}

// By hand: a derive would demand `E: Clone`.
impl<E> Clone for Steps<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Steps<E> {}

impl<E: Send + Sync + 'static> Steps<E> {
    /// Takes up to `budget` events off the buses, to be released in the fixed steps that cover them.
    /// Returns whether events had to stay on a bus.
    pub(super) fn hold(
        &self,
        world: &mut World,
        intakes: &mut Intakes<E>,
        delivery: &mut Delivery<E>,
        turn: &Turn,
        budget: usize,
    ) -> bool {
        let time = clock::fixed(world, type_name::<E>());
        let now = (self.now)();
        let allowed = intakes.allot(world, turn, budget);
        let batch = &mut delivery.batch.events;
        let mut left = budget == 0;
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        for (at, (bus, kept)) in intakes.buses.iter_mut().zip(&mut state.buses).enumerate() {
            let room = bus.capacity.saturating_sub(kept.held.len()).min(allowed[at]);
            left |= turn.open[at] && bus.take(room, batch) >= room;
            let new = kept.held.len();
            // At first as if due at once: where a stamp panics, no event is lost.
            kept.held.extend(batch.drain(..).map(|event| (Duration::ZERO, event)));
            for (at, event) in &mut kept.held[new..] {
                *at = time.of(now.saturating_sub((self.at)(event)));
                bus.count_late(usize::from(*at < time.begin));
            }
        }
        left
    }
}

/// Delivers the held events that the fixed step covers that ends at `end`.
#[cfg(feature = "bevy_time")]
pub(super) fn release<E: Send + Sync + 'static>(
    world: &mut World,
    index: usize,
    intakes: &mut Intakes<E>,
    delivery: &mut Delivery<E>,
    end: Duration,
) {
    let config = world.get_resource_or_init::<EventBusConfig>();
    let mut stopped = [false; MAX_BUSES];
    if let Some(settings) = config.buses.get(index).filter(|_| config.paused) {
        for (stopped, policy) in stopped.iter_mut().zip(&settings.pause) {
            *stopped = *policy != PausePolicy::PassThrough;
        }
    }
    let mut state = world.get_resource_or_init::<EventBusState<E>>();
    state.begin_frame(&mut delivery.batch.events);
    let mut released = [0; MAX_BUSES];
    let buses = intakes.buses.iter_mut().zip(&mut state.buses);
    for (at, (bus, kept)) in buses.enumerate().filter(|(at, _)| !stopped[*at]) {
        released[at] = delivery.add(at, |batch| {
            let before = batch.len();
            let due = kept.held.extract_if(.., |(at, _)| *at < end);
            batch.extend(due.map(|(_, event)| event));
            batch.len() - before
        });
        bus.count_taken(released[at]);
    }
    if delivery.is_empty() {
        return;
    }
    delivery.observe(world);
    delivery.deliver(world);

    let mut stats = world.get_resource_or_init::<EventBusStats>();
    let told = stats.buses.iter_mut().skip(intakes.first);
    let unhandled = &mut delivery.unhandled;
    for (((told, bus), released), unhandled) in
        told.zip(&mut intakes.buses).zip(released).zip(unhandled)
    {
        if released > 0 {
            told.count(bus.take_counts(unhandled));
            told.left = told.left.saturating_sub(released);
        }
    }
}
