//! The numbers of the drains as Bevy's diagnostics.

use bevy_app::{App, Plugin};
use bevy_diagnostic::{Diagnostic, DiagnosticPath, Diagnostics, RegisterDiagnostic};
use bevy_ecs::schedule::IntoScheduleConfigs;
use bevy_ecs::system::Res;

use super::plugin::{EventBusDrain, EventBusSystems};
use super::stats::EventBusStats;

/// Passes the numbers of each frame's drains to Bevy's diagnostics.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use bevy_diagnostic::{DiagnosticsPlugin, DiagnosticsStore};
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBusAppExt, EventBusDiagnosticsPlugin, EventBusPlugin};
///
/// static HITS: Bus<u32, 4> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins((
///     DiagnosticsPlugin,
///     EventBusPlugin::new(&HITS),
///     EventBusDiagnosticsPlugin,
/// ))
/// .add_bus_frame::<u32>();
/// HITS.publish(7).unwrap();
/// app.update();
///
/// let store = app.world().resource::<DiagnosticsStore>();
/// let delivered = store.get(&EventBusDiagnosticsPlugin::DELIVERED).unwrap();
/// assert_eq!(delivered.value(), Some(1.0));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EventBusDiagnosticsPlugin;

impl EventBusDiagnosticsPlugin {
    /// How many events a frame delivered.
    pub const DELIVERED: DiagnosticPath = DiagnosticPath::const_new("event_bus/delivered");
    /// How many events of a frame no delivery took.
    pub const UNHANDLED: DiagnosticPath = DiagnosticPath::const_new("event_bus/unhandled");
    /// How many events are pending at the end of the drains.
    pub const LEFT: DiagnosticPath = DiagnosticPath::const_new("event_bus/left");
    /// How many events the buses dropped in a frame, by their policy.
    pub const DROPPED: DiagnosticPath = DiagnosticPath::const_new("event_bus/dropped");
    /// How many events full buses rejected in a frame.
    pub const REFUSED: DiagnosticPath = DiagnosticPath::const_new("event_bus/refused");
    /// How many events a frame delivered in a later fixed step than the one that covers them.
    pub const LATE: DiagnosticPath = DiagnosticPath::const_new("event_bus/late");
    /// How long the drains took, in microseconds.
    pub const SPENT: DiagnosticPath = DiagnosticPath::const_new("event_bus/spent");
}

impl Plugin for EventBusDiagnosticsPlugin {
    fn build(&self, app: &mut App) {
        app.register_diagnostic(Diagnostic::new(Self::DELIVERED))
            .register_diagnostic(Diagnostic::new(Self::UNHANDLED))
            .register_diagnostic(Diagnostic::new(Self::LEFT))
            .register_diagnostic(Diagnostic::new(Self::DROPPED))
            .register_diagnostic(Diagnostic::new(Self::REFUSED))
            .register_diagnostic(Diagnostic::new(Self::LATE))
            .register_diagnostic(Diagnostic::new(Self::SPENT).with_suffix(" us"))
            .add_systems(EventBusDrain, measure.in_set(EventBusSystems::Report));
    }
}

fn measure(stats: Option<Res<EventBusStats>>, mut diagnostics: Diagnostics) {
    let Some(stats) = stats else { return };
    let frame = stats.frame();
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::DELIVERED, || frame.delivered as f64);
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::UNHANDLED, || frame.unhandled as f64);
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::LEFT, || stats.left() as f64);
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::DROPPED, || frame.dropped as f64);
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::REFUSED, || frame.refused as f64);
    diagnostics.add_measurement(&EventBusDiagnosticsPlugin::LATE, || frame.late as f64);
    diagnostics
        .add_measurement(&EventBusDiagnosticsPlugin::SPENT, || stats.spent.as_secs_f64() * 1e6);
}
