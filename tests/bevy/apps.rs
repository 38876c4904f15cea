//! Several buses, several apps, apps without a main schedule, and what is refused.

use bevy_app::{App, AppLabel, Main, PreUpdate, SubApp, Update};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::ScheduleLabel;
use tickbus::bevy::{
    EventBus, EventBusAppExt, EventBusDrain, EventBusFixedDrain, EventBusPlugin, EventBusState,
};
use tickbus::{DropOldest, Reject};

use super::{Number, Seen, app, leak, publish, read_messages, stats};

#[derive(Message, Clone, Copy, Debug, PartialEq)]
struct Other(u8);

#[test]
fn several_buses_live_in_one_app() {
    let (numbers, others) = (leak::<Number, 8, Reject>(), leak::<Other, 4, DropOldest>());
    let mut app = app(EventBusPlugin::new(numbers), Update);
    app.add_plugins(EventBusPlugin::new(others)).add_bus_message::<Other>();
    publish(numbers, [1, 2]);
    others.publish(Other(3)).unwrap();
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2]);
    assert_eq!(app.world().resource::<Messages<Other>>().len(), 1);
    let delivered: Vec<_> = stats(&app).buses.iter().map(|bus| bus.frame.delivered).collect();
    assert_eq!(delivered, [2, 1]);
    assert_eq!(stats(&app).of::<Other>().count(), 1);

    // One idle, the other not.
    others.publish(Other(4)).unwrap();
    app.update();
    assert_eq!(stats(&app).frame().delivered, 1);
}

#[test]
#[should_panic(
    expected = "the app has a bus of `bevy::Number` already: add the second one to the same plugin"
)]
fn a_second_bus_of_one_event_is_refused() {
    let mut app = app(EventBusPlugin::new(leak::<Number, 8, Reject>()), Update);
    app.add_plugins(EventBusPlugin::new(leak::<Number, 8, Reject>()));
}

#[test]
#[should_panic(
    expected = "a bus of `bevy::Number` has a consumer already, by `consumer()` or in another app: drop that consumer or that app before you add the plugin"
)]
fn a_bus_in_two_apps_is_refused() {
    let bus = leak::<Number, 8, Reject>();
    let _first = app(EventBusPlugin::new(bus), Update);
    let _ = app(EventBusPlugin::new(bus), Update);
}

/// The same bus twice, as two plugins of a game may add it.
#[test]
#[should_panic(expected = "this bus of `bevy::Number` was added to the app already")]
fn a_bus_that_is_added_twice_is_refused() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    app.add_plugins(EventBusPlugin::new(bus));
}

/// Nor does it help to remove the handle of the first.
#[test]
#[should_panic(expected = "the app has a bus of `bevy::Number` already")]
fn a_second_bus_is_refused_without_the_handle_of_the_first() {
    let mut app = app(EventBusPlugin::new(leak::<Number, 8, Reject>()), Update);
    app.world_mut().remove_resource::<EventBus<Number>>();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 8, Reject>()));
}

#[test]
#[should_panic(
    expected = "bus 1 of `bevy::Number` is in the plugin already: give each priority a bus of its own"
)]
fn a_bus_with_two_priorities_is_refused() {
    let bus = leak::<Number, 8, Reject>();
    let _ = app(EventBusPlugin::new(bus).with_lower_priority(bus), Update);
}

#[test]
#[should_panic(
    expected = "a bus of `bevy::Number` has a consumer already, by `consumer()` or in another app: drop that"
)]
fn a_bus_that_is_consumed_is_refused() {
    let bus = leak::<Number, 8, Reject>();
    let _consumer = bus.consumer().expect("it is the first");
    let _ = app(EventBusPlugin::new(bus), Update);
}

/// A plugin that was refused keeps nothing: with the first consumer gone, the next one works.
#[test]
fn a_plugin_that_is_refused_claims_no_bus() {
    let (free, taken) = (leak::<Number, 8, Reject>(), leak::<Number, 8, Reject>());
    let consumer = taken.consumer().expect("it is the first");
    let refused = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        let _ = app(EventBusPlugin::new(free).with_lower_priority(taken), Update);
    }));
    assert!(refused.is_err());
    drop(consumer);
    let mut app = app(EventBusPlugin::new(free).with_lower_priority(taken), Update);
    publish(free, [1]);
    publish(taken, [2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2]);
}

#[test]
#[should_panic(expected = "add `MainSchedulePlugin` before the first `EventBusPlugin`")]
fn a_main_schedule_after_the_plugin_is_refused() {
    let mut app = App::empty();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 8, Reject>()))
        .add_bus_message::<Number>()
        .add_plugins(bevy_app::MainSchedulePlugin);
    app.world_mut().run_schedule(Main);
}

#[test]
#[should_panic(
    expected = "set the update schedule of the app before you add the first `EventBusPlugin`"
)]
fn an_update_schedule_after_the_plugin_is_refused() {
    let mut app = App::empty();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 8, Reject>())).add_bus_message::<Number>();
    app.init_schedule(Update).main_mut().update_schedule = Some(Update.intern());
    app.finish();
}

#[test]
#[should_panic(expected = "at most 8 buses")]
fn a_ninth_bus_is_refused() {
    let bus = || leak::<Number, 2, Reject>();
    let _ = (0..8).fold(EventBusPlugin::new(bus()), |plugin, _| plugin.with_lower_priority(bus()));
}

/// Pending events wait for the next app, and publishers go on.
#[test]
fn a_dropped_app_gives_its_bus_back() {
    let bus = leak::<Number, 8, Reject>();
    let mut first = app(EventBusPlugin::new(bus), Update);
    publish(bus, [1]);
    first.update();
    publish(bus, [2]);
    let handle = first.world().resource::<EventBus<Number>>().clone();
    drop(first);
    handle.publish(Number(3)).unwrap();

    let mut second = app(EventBusPlugin::new(bus), Update);
    second.update();
    assert_eq!(Seen::take(&mut second), [2, 3]);
    drop(second);
    assert!(bus.consumer().is_ok());
}

#[test]
fn an_empty_app_drains_in_pre_update() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::empty();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_message::<Number>();
    // Only the plugin swaps messages in such an app.
    for round in 0..100 {
        publish(bus, [round]);
        app.world_mut().run_schedule(PreUpdate);
        let messages = app.world().resource::<Messages<Number>>();
        assert!(messages.iter_current_update_messages().eq(&[Number(round)]));
        assert!(messages.len() <= 2);
    }
}

#[test]
fn an_empty_app_with_an_update_schedule_drains_there() {
    #[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
    struct Frame;
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::empty();
    app.init_schedule(Frame).main_mut().update_schedule = Some(Frame.intern());
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Number>();
    publish(bus, [1]);
    app.update();
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame(), [Number(1)]);
}

#[test]
fn the_drain_may_be_run_by_hand() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::empty();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Number>();
    publish(bus, [1]);
    app.world_mut().run_schedule(EventBusDrain);
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame(), [Number(1)]);
    assert!(app.get_schedule(EventBusFixedDrain).is_some() == cfg!(feature = "bevy_time"));
}

/// In an app with a main schedule it is one more drain: a frame reader is told what it missed.
#[test]
fn a_drain_by_hand_between_frames_loses_no_count() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    app.add_bus_frame::<Number>().add_systems(
        Update,
        |mut frame: tickbus::bevy::BusFrame<Number>, mut seen: ResMut<Seen>| {
            seen.0.push(100 + frame.missed() as u32);
            seen.0.extend(frame.read().iter().map(|number| number.0));
        },
    );
    app.update();
    Seen::take(&mut app);
    publish(bus, [1]);
    app.world_mut().run_schedule(EventBusDrain);
    publish(bus, [2]);
    app.update();
    let mut seen = Seen::take(&mut app);
    seen.sort_unstable(); // two systems in any order: one message each, one frame and one missed
    assert_eq!(seen, [1, 2, 2, 101]);
    assert_eq!(stats(&app).total().delivered, 2);
}

#[derive(AppLabel, Clone, Debug, PartialEq, Eq, Hash)]
struct Server;

#[test]
fn a_sub_app_has_buses_of_its_own() {
    let (here, there) = (leak::<Number, 4, Reject>(), leak::<Number, 4, Reject>());
    let mut app = app(EventBusPlugin::new(here), Update);
    let mut server = SubApp::new();
    server.update_schedule = Some(Update.intern());
    server
        .init_schedule(Update)
        .add_plugins(EventBusPlugin::new(there))
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_systems(Update, read_messages.after(tickbus::bevy::EventBusSystems::Drain));
    app.insert_sub_app(Server, server);
    publish(here, [1]);
    publish(there, [2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1]);
    assert_eq!(app.sub_app(Server).world().resource::<Seen>().0, [2]);
}

#[test]
fn a_sub_app_with_a_main_schedule_drains_after_first() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    let mut server = SubApp::new();
    server.add_plugins(bevy_app::MainSchedulePlugin);
    server.update_schedule = Some(Main.intern());
    server
        .add_plugins(EventBusPlugin::new(bus))
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_systems(PreUpdate, read_messages);
    app.insert_sub_app(Server, server);
    publish(bus, [2]);
    app.update();
    assert_eq!(app.sub_app(Server).world().resource::<Seen>().0, [2]);
}

/// Old messages go there too.
#[test]
fn a_sub_app_with_a_main_schedule_keeps_no_old_messages() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    let mut server = SubApp::new();
    server.add_plugins(bevy_app::MainSchedulePlugin);
    server.update_schedule = Some(Main.intern());
    server
        .add_plugins(EventBusPlugin::new(bus))
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_systems(Update, read_messages);
    app.insert_sub_app(Server, server);
    for round in 0..100 {
        publish(bus, [round]);
        app.update();
        assert!(app.sub_app(Server).world().resource::<Messages<Number>>().len() <= 2);
    }
    assert!(app.sub_app(Server).world().resource::<Seen>().0.iter().copied().eq(0..100));
}

/// The umbrella crate needs a newer compiler than this crate, and would bring a renderer.
#[test]
fn only_the_sub_crates_of_bevy_are_used() {
    let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let umbrella = |line: &str| line.starts_with("bevy = {") || line.starts_with("bevy = \"");
    assert!(!manifest.lines().any(umbrella));
    assert!(manifest.contains("bevy_ecs = { version = \"0.20\", default-features = false, "));
}
