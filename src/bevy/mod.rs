//! A plugin for Bevy: events from any thread, task or interrupt handler, drained into the world once a
//! frame.
//!
//! A [`Bus`](crate::Bus) in a `static` takes events from everywhere; an [`EventBusPlugin`] drains it
//! between `First` and `PreUpdate`, within a [budget](FrameBudget), and delivers to what Bevy has:
//! messages, observers, and a slice for systems that want the events of a frame as they are. Memory is
//! bounded, in a [pause](PausePolicy) as well, and what is lost is [counted](EventBusStats) and
//! [told](BusOverrun).
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
//! | `crossbeam_channel::unbounded` in a resource, `try_iter` into `MessageWriter` | a `static` [`Bus`](crate::Bus), [`EventBusPlugin`], [`add_bus_message`](EventBusAppExt::add_bus_message) | the queue is bounded: `publish` may answer [`Full`](crate::Full), or the bus drops by its policy; no allocation; no drain system of yours |
//! | `crossbeam_channel::bounded`, `try_send` | the same | `Full` gives the event back as `TrySendError::Full` does; capacity is a power of two |
//! | `receiver.try_iter().take(n)` | [`FrameBudget::events`] | lower lanes get their share, and what is left is told |
//! | `bevy_crossbeam_event`: `add_crossbeam_event::<E>()`, `Res<CrossbeamEventSender<E>>` | [`add_bus_event`](EventBusAppExt::add_bus_event), [`BusPublisher<E>`](BusPublisher) or the `static` | observers run before `PreUpdate`, each with the commands of the one before applied; nothing is triggered while nobody observes |
//! | `async_channel::bounded`, `send(event).await` | a `Bus` with [`Waiters`](crate::Waiters) in the plugin, [`publish_async`](crate::Bus::publish_async) | who waits for room is woken by the frame that makes it |
//! | plain `MessageWriter<E>` | [`BusPublisher<E>`](BusPublisher) | systems publish in parallel; events come in the next frame, not in this one |
//! | plain `MessageReader<E>` | the same `MessageReader<E>` | nothing |
//! | `MessageReader<E>` of thousands of events | [`BusFrame<E>`](BusFrame) | a slice; [`missed`](BusFrame::missed) tells what Bevy does not |
//! | `MessageReader<E>` in `FixedUpdate` | [`in_fixed_step`](EventBusPlugin::in_fixed_step) (`bevy_time`) | each event in the step that covers its stamp, instead of all in the first |
//! | one message type per kind by hand | [`events!`](crate::events) and [`add_bus_message_for`](EventBusAppExt::add_bus_message_for) | one bus keeps the order of all kinds; systems still read one type |
//!
//! Stay with plain messages where only systems write, and order within a frame matters.
//!
//! # The frame
//!
//! | when | what |
//! |---|---|
//! | `First` | Bevy drops old messages and sets its clocks |
//! | [`EventBusDrain`] | events leave the buses: observers, [`BusDrained`], messages, frames |
//! | `PreUpdate` to `Last` | systems read; what they publish is for the next frame |
//! | [`EventBusFixedDrain`], in each fixed step after `FixedFirst` | events of buses [in fixed steps](EventBusPlugin::in_fixed_step) |
//!
//! Each drain takes the lanes from the first to the last, each in publish order. An idle bus is looked
//! at, and touches nothing of the world.
//!
//! # Loss
//!
//! For each lane, `published == delivered + unhandled + discarded + dropped + left` holds at every quiet
//! moment since the app has the bus: see [`LaneStats`]. A bus without any delivery panics in the first
//! frame. What no delivery takes is counted as unhandled, and logged once. What the budget leaves and what a pause discards is known
//! [by kind](EventBusPlugin::by_kind); what a bus drops or refuses has gone before the plugin sees it, and is
//! known by lane. A panic of an observer consumes its event, one of a closure that picks messages what
//! its drain has not delivered yet; Bevy itself does not run on after it.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `bevy` | this module, on `bevy_ecs` and `bevy_app` alone; needs `alloc`, and no operating system |
//! | `std` | a clock for [time budgets](FrameBudget::and_time), but in a browser, and `std` in Bevy's crates |
//! | `bevy_time` | fixed steps; lanes pause with the virtual clock |
//! | `bevy_diagnostic` | the numbers as Bevy diagnostics |
//! | `bevy_reflect` | `Reflect` for [`EventBusStats`] and [`EventBusConfig`], for remote inspectors |

mod app_ext;
mod bus;
mod buses;
mod clock;
mod config;
#[cfg(feature = "bevy_diagnostic")]
mod diagnostic;
mod drain;
mod frame;
mod plugin;
mod route;
mod share;
mod stats;

pub use self::app_ext::EventBusAppExt;
pub use self::bus::{AnyBus, BusPublisher, EnvelopeBus};
pub use self::config::{BusConfig, EventBusConfig, FrameBudget, PausePolicy};
#[cfg(feature = "bevy_diagnostic")]
pub use self::diagnostic::EventBusDiagnosticsPlugin;
pub use self::frame::{BusFrame, EventBusState};
pub use self::plugin::{EventBusDrain, EventBusFixedDrain, EventBusPlugin, EventBusSystems};
pub use self::route::{BusDrained, BusMessage};
pub use self::stats::{
    BusOverrun, EventBusStats, LaneCounts, LaneStats, bus_has_backlog, on_bus_overrun,
};
