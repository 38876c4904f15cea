//! The drain: from the buses of one event into the world, once a frame.

use alloc::vec::Vec;
use core::any::type_name;
#[cfg(feature = "bevy_time")]
use core::time::Duration;

use bevy_ecs::world::World;

use super::account;
use super::buses::{Buses, Drained};
use super::clock::Clock;
use super::delivery::Delivery;
use super::frame;
use super::generation;
use super::intake::Intakes;
use super::route::{BusDrained, Routes, is_observed};
use super::steps::Steps;
#[cfg(feature = "bevy_time")]
use super::steps::release;
use super::turn::Turn;

/// How many drains come after the last that found something: messages of a pause live two frames.
const LINGER: u8 = 2;

/// The buses of one event and their ways into the world.
pub(super) struct Work<E: Send + Sync + 'static> {
    /// The place of the event in the configuration.
    pub(super) index: usize,
    pub(super) intakes: Intakes<E>,
    pub(super) delivery: Delivery<E>,
    pub(super) clock: Option<Clock>,
    pub(super) steps: Option<Steps<E>>,
    /// Whether the app has started, and the bus was found to have a delivery.
    pub(super) started: bool,
    /// The places of the message types of the routes among those of the app.
    pub(super) messages: Vec<usize>,
    /// For how many frames a drain has to come, whether there are events or not: to end the last frame,
    /// and to count from zero.
    pub(super) linger: u8,
}

impl<E: Send + Sync + 'static> Drained for Work<E> {
    fn is_idle(&self) -> bool {
        // Pending events in the state may have come back by a rollback.
        self.linger == 0
            && !self.intakes.keeps_pending
            && self.delivery.is_empty()
            && self.intakes.is_empty()
    }

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        self.steps.is_some()
    }

    fn begin(&mut self, world: &mut World) {
        if self.started && self.is_idle() {
            return;
        }
        if let Some(routes) = world.remove_resource::<Routes<E>>() {
            self.adopt(world, routes);
        }
        if !self.started {
            let name = type_name::<E>();
            assert!(
                !self.delivery.routes.is_empty() || is_observed::<BusDrained<E>>(world),
                "the bus of `{name}` has no delivery, so that all its events would be lost: call \
                 `add_bus_message::<{name}>()`, or another line of `EventBusAppExt`, on the app, or add an \
                 observer of `BusDrained<{name}>` before the first frame"
            );
            self.started = true;
        }
        if !self.is_idle() {
            let by_hand = world.resource::<Buses>().by_hand.is_some();
            let count = self.intakes.buses.len();
            if by_hand || Turn::begin(world, self.index, count, None).ages {
                let mut buses = world.resource_mut::<Buses>();
                self.messages.iter().for_each(|at| buses.messages[*at].due = true);
            }
        }
    }

    fn drain(&mut self, world: &mut World) {
        let Self { index, intakes, delivery, .. } = self;
        let turn = Turn::begin(world, *index, intakes.buses.len(), self.clock);
        let ended = self.steps.is_none().then_some(&mut delivery.batch.events);
        frame::open(world, intakes.buses.len(), ended);
        intakes.open(world, &turn);
        // What the panic of an observer has interrupted.
        let resumed = usize::from(!delivery.is_empty());
        delivery.observe(world);
        delivery.deliver(world);

        let budget = turn.events.min(delivery.room(world, turn.message_limit));
        let (generations, spent) = match &self.steps {
            Some(steps) => (0, steps.hold(world, intakes, delivery, &turn, budget)),
            None => generation::deliver_all(world, intakes, delivery, &turn, budget),
        };
        let busy = account::close(world, intakes, delivery, &turn, resumed + generations, spent);
        self.linger = if busy { LINGER } else { self.linger.saturating_sub(1) };
    }

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration) {
        self.delivery.observe(world);
        self.delivery.deliver(world);
        release(world, self.index, &mut self.intakes, &mut self.delivery, end);
    }
}

impl<E: Send + Sync + 'static> Work<E> {
    /// Adds what an app says that the bus delivers to.
    fn adopt(&mut self, world: &mut World, routes: Routes<E>) {
        self.delivery.routes.append(routes);
        let mut buses = world.resource_mut::<Buses>();
        self.messages.clear();
        for route in &self.delivery.routes.slices {
            let message = route.message();
            let known = buses.messages.iter().position(|other| other.of == message.of);
            let at = known.unwrap_or(buses.messages.len());
            if known.is_none() {
                buses.messages.push(message);
            }
            if !self.messages.contains(&at) {
                self.messages.push(at);
            }
        }
    }
}
