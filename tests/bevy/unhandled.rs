//! Deliveries that are missing: told when the app starts, or counted and logged once.

use std::sync::{Mutex, Once};

use bevy_app::{App, Startup, Update};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use bevy_ecs::system::RunSystemOnce;
use tickbus::bevy::{
    BusDrained, BusFrame, BusPublisher, EventBusAppExt, EventBusPlugin, EventBusState,
};
use tickbus::{Bus, Reject};

use super::{Number, Seen, leak, numbers, publish, stats};

tickbus::events! {
    #[derive(Clone, Copy, Debug)]
    enum Game {
        #[subject = "game.won"] Won(u32),
        #[subject = "game.lost"] Lost(u32),
        #[subject = "game.left"] Left,
    }
}

#[derive(Message, Event, Clone, Copy, Debug, PartialEq)]
struct Points(u32);

fn points(event: &Game) -> Option<Points> {
    match event {
        Game::Won(points) | Game::Lost(points) => Some(Points(*points)),
        Game::Left => None,
    }
}

/// What was logged, over all tests.
struct Log(Mutex<Vec<String>>);

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

static LOG: Log = Log(Mutex::new(Vec::new()));

/// The lines that name a type.
fn logged(name: &str) -> Vec<String> {
    LOG.0.lock().unwrap().iter().filter(|line| line.contains(name)).cloned().collect()
}

fn log() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&LOG).expect("no other test sets one");
        log::set_max_level(log::LevelFilter::Warn);
    });
}

#[test]
#[should_panic(
    expected = "the bus of `bevy::Number` has no delivery, so that all its events would be lost: call \
                `add_bus_message::<bevy::Number>()`"
)]
fn a_bus_without_any_delivery_is_told_in_the_first_frame() {
    // Also while nothing is published, and whatever other buses deliver.
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(leak::<u8, 2, Reject>())).add_bus_frame::<u8>();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 2, Reject>()));
    app.update();
}

#[test]
fn an_observer_of_batches_is_a_delivery_from_startup_on() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).init_resource::<Seen>().add_systems(
        Startup,
        |mut commands: Commands| {
            commands.add_observer(|batch: On<BusDrained<Number>>, mut seen: ResMut<Seen>| {
                seen.0.extend(batch.iter().map(|number| number.0));
            });
        },
    );
    publish(bus, [1, 2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2]);
    assert_eq!((stats(&app).total().delivered, stats(&app).total().unhandled), (2, 0));
}

#[test]
fn kinds_without_a_delivery_are_counted_and_logged_once_each() {
    log();
    let (high, low) = (leak::<Game, 8, Reject>(), leak::<Game, 8, Reject>());
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(high).with_lower_priority(low))
        .add_bus_message_for("game.won", points);
    for _ in 0..3 {
        for event in [Game::Won(1), Game::Lost(2), Game::Won(3)] {
            high.publish(event).unwrap();
        }
        for event in [Game::Left, Game::Lost(4)] {
            low.publish(event).unwrap();
        }
        app.update();
        let counts = |at| (numbers(&app, at).frame.delivered, numbers(&app, at).frame.unhandled);
        assert_eq!((counts(0), counts(1)), ((2, 1), (0, 2)));
    }
    let total = stats(&app).total();
    assert_eq!((total.delivered, total.unhandled, stats(&app).left()), (6, 9, 0));
    let logged = logged("unhandled::Game`");
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(
        logged[0].contains("of the kind game.lost reached no message, no observer and no frame")
    );
    assert!(logged[1].contains("of the kind game.left reached"));
}

/// Without kinds there is one line for all of them.
#[test]
fn events_that_no_closure_picks_are_counted_and_logged_once() {
    #[derive(Clone, Copy)]
    struct Plain(u32);
    log();
    let bus = leak::<Plain, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_with(|plain: &Plain| (plain.0 > 5).then_some(Points(plain.0)))
        .add_bus_message_with(|plain: &Plain| (plain.0 == 3).then_some(Points(0)));
    for _ in 0..2 {
        (0..8).for_each(|number| bus.publish(Plain(number)).ok().unwrap());
        app.update();
        assert_eq!((numbers(&app, 0).frame.delivered, numbers(&app, 0).frame.unhandled), (3, 5));
    }
    let logged = logged("Plain`");
    assert_eq!(logged.len(), 1);
    assert!(logged[0].contains("Add a delivery"), "{logged:?}");
}

#[test]
fn a_delivery_of_all_events_leaves_none_unhandled() {
    let add: [fn(&mut App) -> &mut App; 3] = [
        |app| app.add_bus_frame::<Number>(),
        |app| app.add_bus_message::<Number>(),
        |app| app.add_foreign_bus_message::<Number>(),
    ];
    for add in add {
        let bus = leak::<Number, 4, Reject>();
        let mut app = App::new();
        app.add_plugins(EventBusPlugin::new(bus)).add_bus_message_with(|_: &Number| None::<Points>);
        add(&mut app);
        publish(bus, [1, 2]);
        app.update();
        assert_eq!((numbers(&app, 0).total.delivered, numbers(&app, 0).total.unhandled), (2, 0));
    }
}

/// Events for observers, while there is none; and for an observer that ends with the first.
#[test]
fn what_nothing_observes_is_unhandled() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_event::<Number>();
    let counts = |app: &mut App| {
        publish(bus, [1, 2, 3]);
        app.update();
        (numbers(app, 0).frame.delivered, numbers(app, 0).frame.unhandled)
    };
    assert_eq!(counts(&mut app), (0, 3));
    app.add_observer(|number: On<Number>, mut commands: Commands| {
        commands.entity(number.observer()).despawn();
    });
    assert_eq!(counts(&mut app), (1, 2));
    assert_eq!(counts(&mut app), (0, 3));
}

/// By kind as well: one route has an observer, the other has not.
#[test]
fn what_nothing_observes_of_a_kind_is_unhandled() {
    #[derive(Event)]
    struct Defeat;
    let bus = leak::<Game, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event_for("game.won", points)
        .add_bus_event_for("game.lost", |_: &Game| Some(Defeat))
        .add_observer(|_: On<Points>| {});
    for event in [Game::Won(1), Game::Lost(1), Game::Left, Game::Won(2)] {
        bus.publish(event).unwrap();
    }
    app.update();
    assert_eq!((numbers(&app, 0).total.delivered, numbers(&app, 0).total.unhandled), (2, 2));
}

// ---- System parameters --------------------------------------------------------------------------

#[test]
#[should_panic(
    expected = "the app keeps no frames of `bevy::Number`: call `add_bus_frame::<bevy::Number>()` on it"
)]
fn a_reader_of_frames_that_are_not_kept_is_told() {
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 2, Reject>()))
        .add_bus_message::<Number>()
        .add_systems(Update, |_: BusFrame<Number>| {});
    app.update();
}

#[test]
fn an_optional_reader_of_frames_that_are_not_kept_is_none() {
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 2, Reject>()))
        .add_bus_message::<Number>()
        .add_systems(Update, |frame: Option<BusFrame<Number>>| assert!(frame.is_none()));
    app.update();
}

#[test]
#[should_panic(expected = "the app has no bus of `bevy::Number`: add an `EventBusPlugin` with one")]
fn a_publisher_without_a_bus_is_told() {
    App::new().add_systems(Update, |_: BusPublisher<Number>| {}).update();
}

#[test]
#[should_panic(
    expected = "the bus of `bevy::Number` delivers messages `bevy::unhandled::Points`, but the app has no such \
                messages any more"
)]
fn messages_that_were_removed_are_told() {
    let bus = leak::<Number, 2, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_with(|number: &Number| Some(Points(number.0)));
    app.update();
    app.world_mut().remove_resource::<Messages<Points>>();
    publish(bus, [1]);
    app.update();
}

// ---- Cursors ------------------------------------------------------------------------------------

fn cursors(app: &App) -> String {
    format!("{:?}", app.world().resource::<EventBusState<Number>>())
}

fn framed(bus: &'static Bus<Number, 8>) -> App {
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).keep_pending())
        .add_bus_frame::<Number>()
        .init_resource::<Seen>()
        .add_systems(Update, |mut frame: BusFrame<Number>, mut seen: ResMut<Seen>| {
            assert_eq!(frame.missed(), 0);
            seen.0.extend(frame.read().iter().map(|number| number.0));
        });
    app
}

/// A system that runs once takes no memory for ever, and disturbs no other.
#[test]
fn a_reader_that_is_dropped_gives_its_cursor_back() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = framed(bus);
    for number in 0..100 {
        publish(bus, [number]);
        app.update();
        for _ in 0..10 {
            let look = |mut frame: BusFrame<Number>| {
                assert_eq!(frame.missed(), 0);
                frame.read().to_vec()
            };
            assert_eq!(app.world_mut().run_system_once(look).unwrap(), [Number(number)]);
        }
    }
    assert!(Seen::take(&mut app).into_iter().eq(0..100));
    assert!(cursors(&app).contains("readers: 2,"), "{}", cursors(&app));
}

/// Nor does it take over the cursor of the one before, though a rollback brings that back.
#[test]
fn a_reader_misses_nothing_of_the_time_before_it() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = framed(bus);
    app.update();
    let look = |mut frame: BusFrame<Number>| (frame.missed(), frame.read().len());
    publish(bus, [1]);
    app.update();
    app.world_mut().run_system_once(look).unwrap();
    let saved = app.world().resource::<EventBusState<Number>>().clone();
    for number in 2..5 {
        publish(bus, [number]);
        app.update();
    }
    let mut system = IntoSystem::into_system(look);
    system.initialize(app.world_mut());
    assert_eq!(system.run((), app.world_mut()).unwrap(), (0, 1));

    app.insert_resource(saved);
    assert_eq!(system.run((), app.world_mut()).unwrap(), (0, 1));
    publish(bus, [9]);
    app.update();
    assert_eq!(system.run((), app.world_mut()).unwrap(), (0, 1));
    assert_eq!(system.run((), app.world_mut()).unwrap(), (0, 0));
    assert_eq!(Seen::take(&mut app), [1, 2, 3, 4, 9]);
}
