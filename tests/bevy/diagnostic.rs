//! The numbers as Bevy's diagnostics.

use bevy_app::Update;
use bevy_diagnostic::{DiagnosticPath, DiagnosticsPlugin, DiagnosticsStore};
use tickbus::Reject;
use tickbus::bevy::{
    EventBusAppExt, EventBusDiagnosticsPlugin as Numbers, EventBusPlugin, FrameBudget,
};

use super::{Number, app, leak};

#[test]
fn each_frame_is_one_measurement() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(3)), Update);
    app.add_plugins((DiagnosticsPlugin, Numbers));
    for number in 0..6 {
        let _ = bus.publish(Number(number));
    }
    app.update();
    let value = |app: &bevy_app::App, path: &DiagnosticPath| {
        app.world().resource::<DiagnosticsStore>().get(path).unwrap().value().unwrap()
    };
    assert_eq!(value(&app, &Numbers::DELIVERED), 3.0);
    assert_eq!(value(&app, &Numbers::LEFT), 1.0);
    assert_eq!(value(&app, &Numbers::REFUSED), 2.0);
    assert_eq!(value(&app, &Numbers::DROPPED), 0.0);
    assert_eq!(value(&app, &Numbers::LATE), 0.0);
    assert!(value(&app, &Numbers::SPENT) > 0.0);
    app.update();
    app.update();
    assert_eq!(value(&app, &Numbers::DELIVERED), 0.0);
    let store = app.world().resource::<DiagnosticsStore>();
    assert_eq!(store.get(&Numbers::DELIVERED).unwrap().history_len(), 3);
}

#[test]
fn the_order_of_the_plugins_does_not_matter() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = bevy_app::App::new();
    app.add_plugins((DiagnosticsPlugin, Numbers))
        .add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>();
    bus.publish(Number(1)).unwrap();
    app.update();
    let store = app.world().resource::<DiagnosticsStore>();
    assert_eq!(store.get(&Numbers::DELIVERED).unwrap().history_len(), 1);
    assert_eq!(store.get(&Numbers::UNHANDLED).unwrap().value(), Some(1.0));
}
