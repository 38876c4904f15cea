//! The numbers, the run conditions and the overruns.

use bevy_app::{App, Update};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use tickbus::bevy::{
    BusOverrun, EventBusAppExt, EventBusPlugin, FrameBudget, bus_has_pending, on_bus_overrun,
};
use tickbus::bus::Policy;
use tickbus::{DropNewest, DropOldest, Reject};

use super::{Number, Seen, app, leak, numbers, publish, stats};

/// Published and refused, delivered and dropped: nothing is unaccounted for.
fn conserved<P: Policy + 'static>() -> (usize, usize) {
    let bus = leak::<Number, 8, P>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_budget(FrameBudget::events(5)))
        .add_bus_frame::<Number>();
    for round in 0..100 {
        for number in 0..round % 13 {
            let _ = bus.publish(Number(number));
        }
        app.update();
        let (told, total) = (numbers(&app, 0), stats(&app).total());
        let now = bus.stats();
        assert_eq!(now.published, total.delivered + total.dropped + told.left);
        assert_eq!((total.dropped, total.refused), (now.dropped(), now.refused));
        assert_eq!((told.left, told.high_water), (now.pending, now.high_water));
    }
    (stats(&app).total().dropped, stats(&app).total().refused)
}

#[test]
fn every_event_is_accounted_for() {
    assert!(matches!(conserved::<Reject>(), (0, 1..)));
    assert!(matches!(conserved::<DropOldest>(), (1.., 0)));
    assert!(matches!(conserved::<DropNewest>(), (1.., 0)));
}

#[test]
fn an_idle_frame_counts_from_zero() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    publish(bus, 0..3);
    app.update();
    assert_eq!(stats(&app).frame().delivered, 3);
    app.update();
    assert_eq!(stats(&app).frame().delivered, 0);
    assert_eq!(stats(&app).total().delivered, 3);
    assert_eq!(stats(&app).generations, 0);
}

#[test]
fn losses_before_the_app_are_not_its_own() {
    let bus = leak::<Number, 2, Reject>();
    for number in 0..5 {
        let _ = bus.publish(Number(number));
    }
    let mut app = app(EventBusPlugin::new(bus), Update);
    app.update();
    assert_eq!(stats(&app).total().refused, 0);
}

#[test]
fn overruns_are_told_once_a_bus_and_frame_and_forgotten() {
    let bus = leak::<Number, 4, DropOldest>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    publish(bus, 0..100);
    app.update();
    let overruns = app.world().resource::<Messages<BusOverrun>>();
    let told: Vec<_> =
        overruns.iter_current_update_messages().map(|o| (o.left, o.dropped, o.refused)).collect();
    assert_eq!(told, [(0, 96, 0)]);
    for _ in 0..3 {
        app.update();
    }
    assert!(app.world().resource::<Messages<BusOverrun>>().is_empty());
}

/// By reason: what was given back is in other hands, what was dropped is gone.
#[test]
fn overruns_tell_dropped_and_refused_events_apart() {
    fn told<P: Policy + 'static>() -> Vec<(usize, usize)> {
        let bus = leak::<Number, 4, P>();
        let mut app = app(EventBusPlugin::new(bus), Update);
        for number in 0..10 {
            let _ = bus.publish(Number(number));
        }
        app.update();
        let overruns = app.world().resource::<Messages<BusOverrun>>();
        overruns.iter_current_update_messages().map(|told| (told.dropped, told.refused)).collect()
    }
    assert_eq!(told::<Reject>(), [(0, 6)]);
    assert_eq!(told::<DropOldest>(), [(6, 0)]);
    assert_eq!(told::<DropNewest>(), [(6, 0)]);
}

/// Removed and not replaced: the drain makes them again.
#[test]
fn numbers_settings_and_state_may_be_removed() {
    use tickbus::bevy::{EventBus, EventBusConfig, EventBusState, EventBusStats};
    let bus = leak::<Number, 8, DropOldest>();
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(2)), Update);
    app.add_bus_frame::<Number>().add_bus_event::<Number>();
    fn remove(world: &mut World) {
        world.remove_resource::<EventBusConfig>();
        world.remove_resource::<EventBusStats>();
        world.remove_resource::<EventBusState<Number>>();
        world.remove_resource::<Messages<BusOverrun>>();
        world.remove_resource::<EventBus<Number>>();
    }
    remove(app.world_mut());
    publish(bus, 0..9); // one is dropped, and the overrun told
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2]);
    assert_eq!((stats(&app).total().delivered, stats(&app).total().dropped), (2, 1));
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame().len(), 2);
    app.update();

    // In the middle of a drain too.
    app.add_observer(|_: On<Number>, mut commands: Commands| commands.queue(remove));
    app.update();
    assert_eq!(Seen::take(&mut app), [3, 4, 5, 6]);
    assert_eq!(stats(&app).total().delivered, 2);
    assert_eq!(bus.pending(), 2);
}

#[test]
fn run_conditions_tell_pending_events_and_overrun() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(2)), Update);
    app.world_mut().resource_mut::<Seen>().0.clear();
    app.add_systems(
        bevy_app::PostUpdate,
        (
            (|mut seen: ResMut<Seen>| seen.0.push(1000)).run_if(bus_has_pending::<Number>),
            (|mut seen: ResMut<Seen>| seen.0.push(2000)).run_if(on_bus_overrun),
        )
            .chain(),
    );
    app.update();
    assert_eq!(Seen::take(&mut app), [0; 0]);
    publish(bus, 0..3);
    app.update();
    assert_eq!(Seen::take(&mut app), [0, 1, 1000, 2000]);
    app.update();
    assert_eq!(Seen::take(&mut app), [2]);
}

/// What was put in the place of the plugin's resources knows no bus: everything begins anew.
#[test]
fn numbers_settings_and_state_may_be_reset() {
    use tickbus::bevy::{EventBusConfig, EventBusState, EventBusStats};
    let (idle, bus) = (leak::<u8, 4, Reject>(), leak::<Number, 8, Reject>());
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(2)), Update);
    app.add_plugins(EventBusPlugin::new(idle)).add_bus_frame::<u8>();
    publish(bus, 0..3);
    app.update();
    app.insert_resource(EventBusStats::default());
    app.update();
    assert_eq!(stats(&app).buses.len(), 2);
    assert_eq!((stats(&app).total().delivered, numbers(&app, 0).left), (1, 0));

    app.insert_resource(EventBusConfig::default());
    app.insert_resource(EventBusState::<Number>::default());
    publish(bus, 3..6);
    app.update();
    assert_eq!(Seen::take(&mut app), [0, 1, 2, 3, 4]); // the budget is that of the plugin again
    let config = app.world().resource::<EventBusConfig>();
    assert!(config.of::<Number>().is_some() && config.of::<u8>().is_some());

    // In the middle of a drain too.
    app.add_bus_event::<Number>().add_observer(|_: On<Number>, mut commands: Commands| {
        commands.insert_resource(EventBusStats::default());
        commands.insert_resource(EventBusConfig::default());
        commands.insert_resource(EventBusState::<Number>::default());
    });
    app.update();
    assert_eq!(Seen::take(&mut app), [5]);
    assert_eq!(stats(&app).total().delivered, 1);
}

/// Neither needs a plugin to be there.
#[test]
fn run_conditions_are_false_without_a_bus() {
    let mut world = World::new();
    let pending = world.register_system(bus_has_pending::<Number>);
    assert!(!world.run_system(pending).unwrap());
    let overrun = world.register_system(on_bus_overrun);
    assert!(!world.run_system(overrun).unwrap());
}

#[cfg(feature = "bevy_reflect")]
#[test]
fn the_numbers_and_the_settings_reflect() {
    use bevy_reflect::{FromReflect, PartialReflect, Reflect};
    use tickbus::bevy::{EventBusConfig, EventBusStats};

    fn resource<T: Resource + Reflect + bevy_reflect::GetTypeRegistration>() {
        let registration = T::get_type_registration();
        assert!(registration.data::<ReflectResource>().is_some());
    }
    resource::<EventBusStats>();
    resource::<EventBusConfig>();

    let bus = leak::<Number, 4, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    publish(bus, 0..3);
    app.update();
    let dynamic = stats(&app).to_dynamic().unwrap();
    assert_eq!(EventBusStats::from_reflect(&*dynamic).as_ref(), Some(stats(&app)));

    // An inspector finds them without a line in the app.
    let types = app.world().resource::<AppTypeRegistry>().read();
    for path in ["tickbus::bevy::stats::EventBusStats", "tickbus::bevy::config::EventBusConfig"] {
        assert!(types.get_with_type_path(path).is_some(), "{path}");
    }
}
