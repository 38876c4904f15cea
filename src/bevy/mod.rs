//! A plugin for Bevy: drains events of any thread, task or interrupt handler into the world, once a frame.
//!
//! A [`Bus`](crate::bus::Bus) in a `static` takes events from everywhere. An [`EventBusPlugin`] drains it
//! between `First` and `PreUpdate`, within a [budget](FrameBudget). It delivers to Bevy's messages and
//! observers, and to a [slice](BusFrame) for systems that take the events of a frame as they are. Memory is
//! bounded, also in a [pause](PausePolicy). [`EventBusStats`] counts every loss, and [`BusOverrun`] reports
//! it.
//!
//! # Example: hits from a network thread
//!
//! ```
//! use bevy_app::{App, Update};
//! use bevy_ecs::prelude::*;
//! use tickbus::Bus;
//! use tickbus::bevy::{EventBusAppExt, EventBusPlugin, FrameBudget};
//!
//! #[derive(Message, Clone, Copy)]
//! struct Hit { damage: u32 }
//!
//! static HITS: Bus<Hit, 1024> = Bus::new();
//!
//! #[derive(Resource)]
//! struct Health(u32);
//!
//! fn hurt(mut hits: MessageReader<Hit>, mut health: ResMut<Health>) {
//!     for hit in hits.read() {
//!         health.0 -= hit.damage;
//!     }
//! }
//!
//! let mut app = App::new();
//! app.add_plugins(EventBusPlugin::new(&HITS).with_budget(FrameBudget::events(512)))
//!     .add_bus_message::<Hit>()
//!     .insert_resource(Health(100))
//!     .add_systems(Update, hurt);
//!
//! let network = std::thread::spawn(|| {
//!     for _ in 0..3 {
//!         let _ = HITS.publish(Hit { damage: 10 }); // full: the bus counts it
//!     }
//! });
//! network.join().unwrap();
//! app.update();
//! assert_eq!(app.world().resource::<Health>().0, 70);
//! ```
//!
//! # Coming from elsewhere
//!
//! | what you have | what you write | what changes |
//! |---|---|---|
//! | `crossbeam_channel::unbounded` in a resource, `try_iter` into `MessageWriter` | a `static` [`Bus`](crate::bus::Bus), [`EventBusPlugin`], [`add_bus_message`](EventBusAppExt::add_bus_message) | the queue is bounded: `publish` may return [`Full`](crate::error::Full), or the bus drops by its policy; no allocation; no drain system of yours |
//! | `crossbeam_channel::bounded`, `try_send` | the same | `Full` gives the event back as `TrySendError::Full` does; capacity is a power of two |
//! | `receiver.try_iter().take(n)` | [`FrameBudget::events`] | buses of a lower priority get their share; [`BusOverrun`] reports what is left |
//! | `bevy_crossbeam_event`: `add_crossbeam_event::<E>()`, `Res<CrossbeamEventSender<E>>` | [`add_bus_event`](EventBusAppExt::add_bus_event), [`BusPublisher<E>`](BusPublisher) or the `static` | observers run before `PreUpdate`, after the commands of the event before; without an observer the drain triggers nothing |
//! | `async_channel::bounded`, `send(event).await` | a `Bus` with [`Waiters`](crate::wait::Waiters) in the plugin, [`publish_async`](crate::bus::Bus::publish_async) | the frame that makes room wakes the tasks that wait for it |
//! | plain `MessageWriter<E>` | [`BusPublisher<E>`](BusPublisher) | systems publish in parallel; the next frame delivers, not this one |
//! | plain `MessageReader<E>` | the same `MessageReader<E>` | nothing |
//! | `MessageReader<E>` of thousands of events | [`BusFrame<E>`](BusFrame) | a slice; [`missed`](BusFrame::missed) counts what a system did not read |
//! | `MessageReader<E>` in `FixedUpdate` | [`in_fixed_step`](EventBusPlugin::in_fixed_step) (`bevy_time`) | each event in the step that covers its stamp, instead of all in the first |
//! | one message type per kind by hand | [`events!`](crate::events) and [`add_bus_message_for`](EventBusAppExt::add_bus_message_for) | one bus keeps the order of all kinds; systems still read one type |
//!
//! Keep plain messages where only systems write, and where order within a frame matters.
//!
//! # The frame
//!
//! | when | what |
//! |---|---|
//! | `First` | Bevy drops old messages and sets its clocks |
//! | [`EventBusDrain`] | the plugin drains the buses: into observers, [`BusDrained`], messages,
//! frames |
//! | `PreUpdate` to `Last` | systems read; the next frame delivers what they publish |
//! | [`EventBusFixedDrain`], in each fixed step after `FixedFirst` | events of buses [in fixed steps](EventBusPlugin::in_fixed_step) |
//!
//! # Priorities
//!
//! One event may have up to eight buses, each with a [priority](EventBusPlugin::with_lower_priority). A drain
//! takes them from the highest priority to the lowest, each in publish order. All of them share the budget,
//! and each gets a part of it. A drain checks idle buses, and touches nothing of the world for them.
//!
//! # Loss
//!
//! For each bus, `published == delivered + unhandled + discarded + dropped + left` holds at every quiet
//! moment since you added the plugin: see [`BusStats`].
//!
//! - The first frame panics if a bus has no delivery. If no delivery takes an event, it counts as
//!   unhandled, and the plugin logs one warning for its kind.
//! - [`by_kind`](EventBusPlugin::by_kind) counts by kind the events that a budget leaves and those
//!   that a pause discards. Events that a bus drops or rejects never reach the plugin, which counts
//!   them by bus.
//! - A panic of an observer consumes its event. A panic of a closure that picks messages consumes
//!   the events that its drain has not delivered yet. Bevy itself does not continue after such a
//!   panic.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `bevy` | this module, on `bevy_ecs` and `bevy_app` alone; needs `alloc`, and no operating system |
//! | `std` | a clock for [time budgets](FrameBudget::and_time), except in a browser; `std` in Bevy's crates |
//! | `bevy_time` | fixed steps; buses pause with the virtual clock |
//! | `bevy_diagnostic` | the numbers as Bevy diagnostics |
//! | `bevy_reflect` | `Reflect` for [`EventBusStats`] and [`EventBusConfig`], for remote inspectors |

mod account;
mod app_ext;
mod bus;
mod buses;
mod clock;
mod config;
mod delivery;
#[cfg(feature = "bevy_diagnostic")]
mod diagnostic;
mod drain;
mod frame;
mod generation;
mod intake;
mod kinds;
mod plugin;
mod route;
mod share;
mod stats;
mod steps;
mod turn;

pub use self::app_ext::EventBusAppExt;
pub use self::bus::{AnyBus, BusPublisher, EventBus};
pub use self::config::{BusConfig, EventBusConfig, FrameBudget, PausePolicy};
#[cfg(feature = "bevy_diagnostic")]
pub use self::diagnostic::EventBusDiagnosticsPlugin;
pub use self::frame::{BusFrame, EventBusState};
pub use self::plugin::{EventBusDrain, EventBusFixedDrain, EventBusPlugin, EventBusSystems};
pub use self::route::{BusDrained, BusMessage};
pub use self::stats::{
    BusCounts, BusOverrun, BusStats, EventBusStats, bus_has_pending, on_bus_overrun,
};
