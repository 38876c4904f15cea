//! The Bevy plugin does what its pages say, frame by frame.
#![cfg(all(feature = "bevy", feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod apps;
mod delivery;
#[cfg(feature = "bevy_diagnostic")]
mod diagnostic;
mod drain;
#[cfg(feature = "bevy_time")]
mod fixed;
#[cfg(feature = "bevy_time")]
mod law;
mod order;
mod panics;
mod pause;
mod priorities;
mod rollback;
mod stats;
mod threads;
mod unhandled;

use bevy_app::App;
use bevy_ecs::prelude::*;
use tickbus::Bus;
use tickbus::bevy::{BusStats, EventBusAppExt, EventBusPlugin, EventBusStats};
use tickbus::bus::{Capacity, Policy};

/// A bus that lives as long as a `static`, of which a test can have its own.
fn leak<E, const N: usize, P: Policy>() -> &'static Bus<E, N, P>
where
    (): Capacity<N>,
{
    Box::leak(Box::new(Bus::new()))
}

/// The event of most tests: a number.
#[derive(Message, Event, Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u32);

/// What a system has seen.
#[derive(Resource, Default, Debug, PartialEq, Eq)]
struct Seen(Vec<u32>);

impl Seen {
    fn take(app: &mut App) -> Vec<u32> {
        core::mem::take(&mut app.world_mut().resource_mut::<Self>().0)
    }
}

fn read_messages(mut numbers: MessageReader<Number>, mut seen: ResMut<Seen>) {
    seen.0.extend(numbers.read().map(|number| number.0));
}

/// An app with the plugin, whose messages are read by a system in `schedule`.
fn app(plugin: EventBusPlugin<Number>, schedule: impl bevy_ecs::schedule::ScheduleLabel) -> App {
    let mut app = App::new();
    app.add_plugins(plugin)
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_systems(schedule, read_messages);
    app
}

fn publish<const N: usize, P: Policy>(
    bus: &Bus<Number, N, P>,
    numbers: impl IntoIterator<Item = u32>,
) {
    numbers.into_iter().for_each(|number| bus.publish(Number(number)).unwrap());
}

fn stats(app: &App) -> &EventBusStats {
    app.world().resource::<EventBusStats>()
}

/// The numbers of one bus.
fn numbers(app: &App, bus: usize) -> &BusStats {
    &stats(app).buses[bus]
}
