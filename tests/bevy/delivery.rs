//! The ways into the world, one by one and together.

use bevy_app::{App, PostUpdate, Update};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use core::net::IpAddr;
use tickbus::bevy::{
    BusDrained, BusFrame, BusMessage, BusPublisher, EventBusAppExt, EventBusPlugin, EventBusState,
};
use tickbus::{Full, Reject};

use super::{Number, Seen, leak, publish};

#[derive(Message, Clone, Copy, Debug, PartialEq)]
struct Hit(u32);

#[derive(Message, Event, Clone, Copy, Debug, PartialEq)]
struct Moved {
    by: u32,
}

tickbus::events! {
    #[derive(Clone, Copy, Debug)]
    enum Game {
        #[subject = "combat.hit"] Hit(Hit),
        #[subject = "combat.miss"] Miss(Hit),
        #[subject = "player.moved"] Moved(Moved),
    }
}

fn amounts(event: &Game) -> Option<Hit> {
    match event {
        Game::Hit(hit) | Game::Miss(hit) => Some(*hit),
        Game::Moved(_) => None,
    }
}

fn all<M: Message + Copy>(app: &App) -> Vec<M> {
    app.world().resource::<Messages<M>>().iter_current_update_messages().copied().collect()
}

#[test]
fn kinds_become_messages_of_their_own_by_subject_and_by_pattern() {
    let bus = leak::<Game, 16, Reject>();
    let mut app = App::new();
    #[derive(Message, Clone, Copy, Debug, PartialEq)]
    struct Combat(u32);
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_for("combat.hit", amounts)
        .add_bus_message_for("combat.*", |event| amounts(event).map(|hit| Combat(hit.0)))
        .add_bus_message_for("player.>", |event| match event {
            Game::Moved(moved) => Some(*moved),
            _ => None,
        });
    for event in
        [Game::Hit(Hit(1)), Game::Moved(Moved { by: 5 }), Game::Miss(Hit(2)), Game::Hit(Hit(3))]
    {
        bus.publish(event).unwrap();
    }
    app.update();
    assert_eq!(all::<Hit>(&app), [Hit(1), Hit(3)]);
    assert_eq!(all::<Combat>(&app), [Combat(1), Combat(2), Combat(3)]);
    assert_eq!(all::<Moved>(&app), [Moved { by: 5 }]);
}

/// Two routes to one message type: its messages live for two frames all the same.
#[test]
fn kinds_may_share_a_message_type() {
    let bus = leak::<Game, 16, Reject>();
    let mut app = App::empty(); // where the plugin alone drops old messages
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_for("combat.hit", amounts)
        .add_bus_message_for("combat.miss", amounts);
    let mut lengths = |event: Option<Game>| {
        event.into_iter().for_each(|event| bus.publish(event).unwrap());
        app.world_mut().run_schedule(bevy_app::PreUpdate);
        app.world().resource::<Messages<Hit>>().len()
    };
    for event in [Game::Hit(Hit(1)), Game::Miss(Hit(2))] {
        assert_eq!([Some(event), None, None].map(&mut lengths), [1, 1, 0]);
    }
    let both = [Some(Game::Hit(Hit(1))), Some(Game::Miss(Hit(2))), None, None];
    assert_eq!(both.map(&mut lengths), [1, 2, 1, 0]);
}

/// What is not of the kind does not touch the messages either.
#[test]
fn a_kind_that_does_not_come_leaves_its_messages_unchanged() {
    let bus = leak::<Game, 16, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_for("combat.hit", amounts)
        .init_resource::<Seen>()
        .add_systems(PostUpdate, |hits: Res<Messages<Hit>>, mut seen: ResMut<Seen>| {
            seen.0.push(u32::from(hits.is_changed()));
        });
    app.update();
    bus.publish(Game::Miss(Hit(1))).unwrap();
    app.update();
    bus.publish(Game::Hit(Hit(1))).unwrap();
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 0, 1]);
}

#[test]
#[should_panic(expected = "`combat.hti` matches no subject of `bevy::delivery::Game`")]
fn a_pattern_without_a_kind_is_told() {
    App::new().add_bus_message_for("combat.hti", amounts);
}

#[test]
#[should_panic(expected = "`combat.h*`: the pattern has a wildcard")]
fn a_malformed_pattern_is_told() {
    App::new().add_bus_message_for("combat.h*", amounts);
}

#[test]
#[should_panic(
    expected = "no bus carries them: add an `EventBusPlugin` with a bus of `bevy::delivery::Hit`"
)]
fn a_delivery_without_a_bus_is_told() {
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 2, Reject>())).add_bus_message::<Hit>();
    app.update();
}

/// Also where there is no plugin at all.
#[test]
#[should_panic(
    expected = "no bus carries them: add an `EventBusPlugin` with a bus of `bevy::Number`"
)]
fn a_delivery_without_any_bus_is_told() {
    App::new().add_bus_message::<Number>().update();
}

#[test]
#[should_panic(expected = "the app has no bus of `bevy::Number`: add an `EventBusPlugin` with one")]
fn a_reader_of_frames_without_a_bus_is_told() {
    App::new().add_systems(Update, |_: BusFrame<Number>| {}).update();
}

#[test]
fn a_frame_may_be_optional() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.init_resource::<Seen>().add_systems(
        Update,
        |frame: Option<BusFrame<Number>>, mut seen: ResMut<Seen>| match frame {
            Some(mut frame) => seen.0.extend(frame.read().iter().map(|number| number.0)),
            None => seen.0.push(1000),
        },
    );
    app.update();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Number>();
    publish(bus, [1]);
    app.update();
    app.update();
    assert_eq!(Seen::take(&mut app), [1000, 1]);
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.add_observer(|batch: On<BusDrained<Number>>, mut seen: ResMut<Seen>| {
        seen.0.extend(batch.iter().map(|number| 100 + number.0));
    })
    .add_systems(Update, |mut frame: BusFrame<Number>, mut seen: ResMut<Seen>| {
        seen.0.extend(frame.read().iter().map(|number| 200 + number.0));
    })
    .init_resource::<Seen>()
    .add_bus_message::<Number>()
    .add_bus_frame::<Number>()
    .add_plugins(EventBusPlugin::new(bus));
    publish(bus, [1]);
    app.update();
    assert_eq!(Seen::take(&mut app), [101, 201]);
    assert_eq!(all::<Number>(&app), [Number(1)]);
}

/// Two plugins of a game may each say that they want a message, as with Bevy's own.
#[test]
fn a_route_that_is_added_twice_delivers_once() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message::<Number>()
        .add_bus_message::<Number>()
        .add_bus_event::<Number>()
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(|number: On<Number>, mut seen: ResMut<Seen>| seen.0.push(number.0));
    publish(bus, [1]);
    app.update();
    assert_eq!((Seen::take(&mut app), all::<Number>(&app)), (vec![1], vec![Number(1)]));
    app.add_bus_message::<Number>().add_bus_event::<Number>();
    publish(bus, [2]);
    app.update();
    assert_eq!((Seen::take(&mut app), all::<Number>(&app)), (vec![2], vec![Number(2)]));
}

#[test]
fn foreign_types_come_in_a_wrapper() {
    let bus = leak::<IpAddr, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_foreign_bus_message::<IpAddr>();
    let peer: IpAddr = "10.0.0.7".parse().unwrap();
    bus.publish(peer).unwrap();
    app.update();
    assert_eq!(all::<BusMessage<IpAddr>>(&app), [BusMessage(peer)]);
}

/// A foreign message and a message of one's own are two routes, and each is there once.
#[test]
fn a_foreign_route_that_is_added_twice_delivers_once() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_foreign_bus_message::<Number>()
        .add_bus_message::<Number>()
        .add_foreign_bus_message::<Number>();
    publish(bus, [1]);
    app.update();
    assert_eq!(all::<BusMessage<Number>>(&app), [BusMessage(Number(1))]);
    assert_eq!(all::<Number>(&app), [Number(1)]);
}

/// Counts its clones.
#[derive(Message, Debug, PartialEq)]
struct Precious(u32);

impl Clone for Precious {
    fn clone(&self) -> Self {
        Self(self.0 + 1000)
    }
}

#[test]
fn events_move_into_the_only_route_and_are_cloned_for_others() {
    let moved = leak::<Precious, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(moved)).add_bus_message::<Precious>();
    moved.publish(Precious(1)).unwrap();
    app.update();
    let messages = app.world().resource::<Messages<Precious>>();
    assert_eq!(messages.iter_current_update_messages().next(), Some(&Precious(1)));

    let shared = leak::<Precious, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(shared))
        .add_bus_message::<Precious>()
        .add_bus_frame::<Precious>();
    shared.publish(Precious(1)).unwrap();
    app.update();
    let messages = app.world().resource::<Messages<Precious>>();
    assert_eq!(messages.iter_current_update_messages().next(), Some(&Precious(1001)));
    assert_eq!(app.world().resource::<EventBusState<Precious>>().frame(), [Precious(1)]);
}

#[test]
fn all_routes_of_one_event_get_all_events() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .add_bus_message::<Number>()
        .add_bus_message_with(|number: &Number| number.0.is_multiple_of(2).then_some(Hit(number.0)))
        .add_bus_frame::<Number>()
        .init_resource::<Seen>()
        .add_observer(|number: On<Number>, mut seen: ResMut<Seen>| seen.0.push(number.0))
        .add_observer(|batch: On<BusDrained<Number>>, mut seen: ResMut<Seen>| {
            seen.0.push(batch.len() as u32 * 100);
        });
    publish(bus, [1, 2, 3]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3, 300]);
    assert_eq!(all::<Number>(&app), [Number(1), Number(2), Number(3)]);
    assert_eq!(all::<Hit>(&app), [Hit(2)]);
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame().len(), 3);
}

// ---- Observers ----------------------------------------------------------------------------------

#[derive(Component)]
struct Effect;

/// Each observer sees what the one before it has spawned, as with `Commands::trigger`.
#[test]
fn commands_of_an_observer_are_applied_before_the_next_event() {
    fn observe(
        _: On<Number>,
        effects: Query<&Effect>,
        mut seen: ResMut<Seen>,
        mut commands: Commands,
    ) {
        seen.0.push(effects.iter().count() as u32);
        commands.spawn(Effect);
    }
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(observe);
    publish(bus, 0..3);
    app.update();
    assert_eq!(Seen::take(&mut app), [0, 1, 2]);

    let mut plain = App::new();
    plain.init_resource::<Seen>().add_observer(observe).add_systems(
        Update,
        |mut commands: Commands| {
            (0..3).for_each(|number| commands.trigger(Number(number)));
        },
    );
    plain.update();
    assert_eq!(Seen::take(&mut plain), [0, 1, 2]);
}

/// So are those of observers by kind.
#[test]
fn commands_of_an_observer_of_a_kind_are_applied_before_the_next_event() {
    let bus = leak::<Game, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event_for("player.*", |event: &Game| match event {
            Game::Moved(moved) => Some(*moved),
            _ => None,
        })
        .init_resource::<Seen>()
        .add_observer(
            |_: On<Moved>,
             effects: Query<&Effect>,
             mut seen: ResMut<Seen>,
             mut commands: Commands| {
                seen.0.push(effects.iter().count() as u32);
                commands.spawn(Effect);
            },
        );
    for by in 0..3 {
        bus.publish(Game::Moved(Moved { by })).unwrap();
    }
    app.update();
    assert_eq!(Seen::take(&mut app), [0, 1, 2]);
}

/// So are those of an observer of the batch, before the messages are there.
#[test]
fn commands_of_a_batch_observer_are_applied_before_the_messages() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_observer(|_: On<BusDrained<Number>>, mut commands: Commands| {
            commands.queue(|world: &mut World| {
                let messages = world.resource::<Messages<Number>>().len() as u32;
                world.resource_mut::<Seen>().0.push(messages);
            });
        });
    publish(bus, 0..3);
    app.update();
    assert_eq!(Seen::take(&mut app), [0]);
}

/// Several routes to observers go on event by event.
#[test]
fn observers_of_several_routes_keep_the_order_of_events() {
    let bus = leak::<Game, 8, Reject>();
    let mut app = App::new();
    #[derive(Event)]
    struct Fought(u32);
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event_for("player.*", |event| match event {
            Game::Moved(moved) => Some(*moved),
            _ => None,
        })
        .add_bus_event_for("combat.*", |event| amounts(event).map(|hit| Fought(hit.0)))
        .init_resource::<Seen>()
        .add_observer(|moved: On<Moved>, mut seen: ResMut<Seen>| seen.0.push(moved.by))
        .add_observer(|fought: On<Fought>, mut seen: ResMut<Seen>| seen.0.push(fought.0));
    for event in [Game::Hit(Hit(1)), Game::Moved(Moved { by: 2 }), Game::Miss(Hit(3))] {
        bus.publish(event).unwrap();
    }
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3]);
}

#[test]
fn kinds_are_triggered_for_observers_of_their_own() {
    let bus = leak::<Game, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event_for("player.*", |event: &Game| match event {
            Game::Moved(moved) => Some(*moved),
            _ => None,
        })
        .init_resource::<Seen>()
        .add_observer(|moved: On<Moved>, mut seen: ResMut<Seen>| seen.0.push(moved.by));
    bus.publish(Game::Hit(Hit(1))).unwrap();
    bus.publish(Game::Moved(Moved { by: 2 })).unwrap();
    app.update();
    assert_eq!(Seen::take(&mut app), [2]);
}

/// A closure picks nothing where nothing listens.
#[test]
fn nothing_is_triggered_without_an_observer() {
    static PICKED: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
    let bus = leak::<Game, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_event_for("player.*", |_: &Game| {
        *PICKED.lock().unwrap() += 1;
        Some(Moved { by: 0 })
    });
    bus.publish(Game::Moved(Moved { by: 2 })).unwrap();
    app.update();
    assert_eq!(*PICKED.lock().unwrap(), 0);

    let observer = app.world_mut().add_observer(|_: On<Moved>| {}).id();
    bus.publish(Game::Moved(Moved { by: 2 })).unwrap();
    app.update();
    assert_eq!(*PICKED.lock().unwrap(), 1);

    // The last observer gone, it is as before.
    app.world_mut().despawn(observer);
    bus.publish(Game::Moved(Moved { by: 2 })).unwrap();
    app.update();
    assert_eq!(*PICKED.lock().unwrap(), 1);
}

/// An entity event reaches the observer of its entity.
#[test]
fn entity_events_reach_the_observers_of_their_entity() {
    #[derive(EntityEvent, Clone, Copy)]
    struct Touched {
        entity: Entity,
    }
    let bus = leak::<Touched, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_event::<Touched>().init_resource::<Seen>();
    let touch = |number: u32| move |_: On<Touched>, mut seen: ResMut<Seen>| seen.0.push(number);
    let first = app.world_mut().spawn_empty().observe(touch(1)).id();
    let second = app.world_mut().spawn_empty().observe(touch(2)).id();
    bus.publish(Touched { entity: second }).ok();
    bus.publish(Touched { entity: first }).ok();
    app.update();
    assert_eq!(Seen::take(&mut app), [2, 1]);
}

// ---- Generations --------------------------------------------------------------------------------

fn echo(bus: &'static tickbus::Bus<Number, 8>) -> impl Fn(On<Number>, ResMut<Seen>) {
    move |number: On<Number>, mut seen: ResMut<Seen>| {
        seen.0.push(number.0);
        bus.publish(Number(number.0 + 1)).unwrap();
    }
}

#[test]
fn what_an_observer_publishes_waits_for_the_next_frame() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(echo(bus));
    publish(bus, [1]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1]);
    assert_eq!((bus.pending(), super::numbers(&app, 0).left), (1, 1));
    // Which is no overrun: nothing kept it from being delivered but the end of the drain.
    assert!(app.world().resource::<Messages<tickbus::bevy::BusOverrun>>().is_empty());
    app.update();
    assert_eq!(Seen::take(&mut app), [2]);
}

/// Also where the clock is looked at between batches.
#[test]
fn a_time_budget_does_not_open_a_generation() {
    use tickbus::bevy::FrameBudget;
    let bus = leak::<Number, 8, Reject>();
    let budget = FrameBudget::unlimited().and_time(core::time::Duration::from_secs(3600));
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_budget(budget))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(echo(bus));
    publish(bus, [1]);
    app.update();
    assert_eq!((Seen::take(&mut app), bus.pending()), (vec![1], 1));
}

/// However low the priority of the bus is that it publishes to.
#[test]
fn what_an_observer_publishes_to_a_lower_bus_waits_too() {
    let (high, low) = (leak::<Number, 8, Reject>(), leak::<Number, 8, Reject>());
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(high).with_lower_priority(low))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(|number: On<Number>, bus: BusPublisher<Number>, mut seen: ResMut<Seen>| {
            seen.0.push(number.0);
            if number.0 == 1 {
                bus.publish_to(1, Number(3)).unwrap();
            }
        });
    publish(high, [1]);
    publish(low, [2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [3]);
}

#[test]
fn generations_are_bounded_and_the_rest_is_told() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_generations(4))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(echo(bus));
    publish(bus, [1]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3, 4]);
    assert_eq!((super::stats(&app).generations, super::numbers(&app, 0).left), (4, 1));
}

#[test]
fn generations_end_when_nothing_new_comes() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_generations(4)).add_bus_frame::<Number>();
    publish(bus, [1, 2]);
    app.update();
    assert_eq!(super::stats(&app).generations, 1);
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame().len(), 2);
}

#[test]
fn one_budget_is_for_all_generations() {
    use tickbus::bevy::FrameBudget;
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(
        EventBusPlugin::new(bus).with_generations(10).with_budget(FrameBudget::events(3)),
    )
    .add_bus_event::<Number>()
    .add_bus_frame::<Number>()
    .init_resource::<Seen>()
    .add_observer(echo(bus));
    publish(bus, [1]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3]);
    // The frame has all generations.
    assert_eq!(
        app.world().resource::<EventBusState<Number>>().frame(),
        [Number(1), Number(2), Number(3)]
    );
}

// ---- Frames -------------------------------------------------------------------------------------

#[derive(Resource, Default)]
struct Missed(u64);

fn read_frame(mut frame: BusFrame<Number>, mut seen: ResMut<Seen>, mut missed: ResMut<Missed>) {
    missed.0 += frame.missed();
    seen.0.extend(frame.read().iter().map(|number| number.0));
    assert_eq!(frame.missed(), 0);
    assert_eq!(frame.read(), []);
}

fn frames(bus: &'static tickbus::Bus<Number, 8>) -> App {
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_frame::<Number>()
        .init_resource::<Seen>()
        .init_resource::<Missed>();
    app
}

#[test]
fn a_reader_that_skips_frames_is_told_how_many_it_missed() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = frames(bus);
    let mut runs = 0;
    let every_tenth = move || {
        runs += 1;
        runs % 10 == 1
    };
    app.add_systems(Update, read_frame.run_if(every_tenth));
    for number in 0..50 {
        publish(bus, [number]);
        app.update();
    }
    let seen = Seen::take(&mut app);
    assert_eq!(seen, [0, 10, 20, 30, 40]);
    // 41 to 49 are not read yet, so they are not told yet either.
    assert_eq!(app.world().resource::<Missed>().0, 36);
}

#[test]
fn each_system_has_a_cursor_of_its_own() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = frames(bus);
    app.add_systems(Update, (read_frame, read_frame).chain());
    publish(bus, [1, 2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 1, 2]);
}

#[test]
fn a_system_that_runs_twice_sees_each_event_once() {
    #[derive(bevy_ecs::schedule::ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
    struct Twice;
    let bus = leak::<Number, 8, Reject>();
    let mut app = frames(bus);
    app.init_schedule(Twice).add_systems(Twice, read_frame);
    publish(bus, [1, 2]);
    app.update();
    app.world_mut().run_schedule(Twice);
    app.world_mut().run_schedule(Twice);
    assert_eq!(Seen::take(&mut app), [1, 2]);
    assert_eq!(app.world().resource::<Missed>().0, 0);
}

#[test]
fn a_frame_is_gone_with_the_next_drain() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = frames(bus);
    publish(bus, [1]);
    app.update();
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame(), [Number(1)]);
    app.update();
    assert_eq!(app.world().resource::<EventBusState<Number>>().frame(), []);
}

#[test]
fn what_an_event_holds_is_dropped_once() {
    use alloc::sync::Arc;
    let value = Arc::new(());
    let bus = leak::<Arc<()>, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Arc<()>>();
    for _ in 0..5 {
        bus.publish(value.clone()).unwrap();
    }
    app.update();
    assert_eq!(Arc::strong_count(&value), 6);
    app.update();
    assert_eq!(Arc::strong_count(&value), 1);
}

// ---- Publishing from systems --------------------------------------------------------------------

#[test]
fn publishers_of_one_event_do_not_conflict() {
    fn publish_one(bus: BusPublisher<Number>) {
        bus.publish(Number(1)).unwrap();
    }
    let mut world = World::new();
    let mut one = IntoSystem::into_system(publish_one);
    let mut other = IntoSystem::into_system(publish_one);
    let (one, other) = (one.initialize(&mut world), other.initialize(&mut world));
    assert!(one.is_compatible(&other));

    fn write_one(mut messages: MessageWriter<Number>) {
        messages.write(Number(1));
    }
    let mut one = IntoSystem::into_system(write_one);
    let mut other = IntoSystem::into_system(write_one);
    let (one, other) = (one.initialize(&mut world), other.initialize(&mut world));
    assert!(!one.is_compatible(&other), "which is why there is a publisher");
}

#[test]
fn readers_of_one_frame_do_not_conflict() {
    fn read(mut frame: BusFrame<Number>) {
        frame.read();
    }
    let mut world = World::new();
    let mut one = IntoSystem::into_system(read);
    let mut other = IntoSystem::into_system(read);
    let (one, other) = (one.initialize(&mut world), other.initialize(&mut world));
    assert!(one.is_compatible(&other));
}

#[test]
fn a_publisher_tells_that_the_bus_is_full() {
    let bus = leak::<Number, 2, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Number>();
    app.init_resource::<Seen>().add_systems(
        Update,
        |bus: BusPublisher<Number>, mut seen: ResMut<Seen>| {
            for number in 0..3 {
                if let Err(Full(Number(number))) = bus.publish(Number(number)) {
                    seen.0.push(number);
                }
            }
        },
    );
    app.update();
    assert_eq!(Seen::take(&mut app), [2]);
    assert_eq!(bus.pending(), 2);
}
