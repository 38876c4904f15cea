//! The Bevy plugin.

mod bus;
mod clock;
mod config;
#[cfg(feature = "bevy_diagnostic")]
mod diagnostic;
mod drain;
mod frame;
mod plugin;
mod route;
mod stats;

pub use self::bus::{BusPublisher, EventBus};
pub use self::config::{BusConfig, EventBusConfig, FrameBudget, PausePolicy};
#[cfg(feature = "bevy_diagnostic")]
pub use self::diagnostic::EventBusDiagnosticsPlugin;
pub use self::frame::{BusFrame, EventBusState};
pub use self::plugin::{EventBusDrain, EventBusFixedDrain, EventBusPlugin, EventBusSystems};
pub use self::route::{BusDrained, BusMessage, EventBusAppExt};
pub use self::stats::{
    BusOverrun, EventBusStats, LaneCounts, LaneStats, bus_has_backlog, on_bus_overrun,
};
