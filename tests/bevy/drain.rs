//! When the drain comes, how much it takes, and what it leaves alone.

use core::time::Duration;

use bevy_app::{First, Last, MainScheduleOrder, PreUpdate, Update};
use bevy_ecs::message::{MessageUpdateSystems, Messages};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::ScheduleLabel;
use tickbus::bevy::{
    EventBus, EventBusAppExt, EventBusConfig, EventBusDrain, EventBusPlugin, EventBusSystems,
    FrameBudget,
};
use tickbus::{Bus, Reject};

use super::{Number, Seen, app, leak, numbers, publish, stats};

#[test]
fn events_are_there_in_pre_update_of_the_same_frame() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), PreUpdate);
    publish(bus, [1, 2, 3]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3]);
    app.update();
    assert_eq!(Seen::take(&mut app), [0; 0]);
}

#[test]
fn the_drain_has_its_own_place_after_first() {
    let app = app(EventBusPlugin::new(leak::<Number, 2, Reject>()), Update);
    let labels = &app.world().resource::<MainScheduleOrder>().labels;
    let at = |label| labels.iter().position(|found| *found == label).unwrap();
    assert_eq!(at(EventBusDrain.intern()), at(First.intern()) + 1);
    assert_eq!(at(PreUpdate.intern()), at(EventBusDrain.intern()) + 1);
}

/// Drained before the swap, a message would be an old one at once and gone one frame early.
#[test]
fn messages_live_for_two_frames() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    let len = |app: &bevy_app::App| app.world().resource::<Messages<Number>>().len();
    publish(bus, [1]);
    app.update();
    assert_eq!(len(&app), 1);
    app.update();
    assert_eq!(len(&app), 1);
    app.update();
    assert_eq!(len(&app), 0);
}

#[test]
fn a_system_of_first_publishes_for_this_frame_and_one_of_last_for_the_next() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), PreUpdate);
    app.add_systems(First, (|| publish(bus, [1])).after(MessageUpdateSystems))
        .add_systems(Last, || publish(bus, [2]));
    app.update();
    assert_eq!(Seen::take(&mut app), [1]);
    app.update();
    assert_eq!(Seen::take(&mut app), [2, 1]);
}

#[test]
fn the_sets_are_before_and_after_the_drain() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), EventBusDrain);
    app.configure_sets(EventBusDrain, EventBusSystems::Drain.before(EventBusSystems::Report))
        .add_systems(EventBusDrain, (|| publish(bus, [1])).before(EventBusSystems::Drain))
        .add_systems(
            EventBusDrain,
            (move |mut seen: ResMut<Seen>, messages: Res<Messages<Number>>| {
                seen.0.push(100 + messages.len() as u32);
            })
            .in_set(EventBusSystems::Report),
        );
    app.update();
    assert!(Seen::take(&mut app).contains(&101));
}

/// As with any schedule: the plugin adds to what is there.
#[test]
fn a_system_may_be_in_the_schedule_before_the_plugin_is() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = bevy_app::App::new();
    let publish_one = (|| publish(bus, [1])).before(EventBusSystems::Drain);
    app.add_systems(EventBusDrain, publish_one).add_plugins(EventBusPlugin::new(bus));
    app.add_bus_frame::<Number>().update();
    assert_eq!(numbers(&app, 0).frame.delivered, 1);
}

#[test]
fn an_idle_bus_touches_no_messages_and_no_numbers() {
    #[derive(Resource, Default)]
    struct Changes(usize, usize);
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    app.init_resource::<Changes>().add_systems(
        PreUpdate,
        |messages: Res<Messages<Number>>,
         stats: Res<tickbus::bevy::EventBusStats>,
         mut changes: ResMut<Changes>| {
            changes.0 += usize::from(messages.is_changed());
            changes.1 += usize::from(stats.is_changed());
        },
    );
    for _ in 0..10 {
        app.update();
    }
    // Adding a resource is a change; so is looking up, once, whether all that is wanted has a bus.
    let before = app.world().resource::<Changes>();
    assert_eq!(before.0, 1);
    let numbers = before.1;
    for _ in 0..10 {
        app.update();
    }
    assert_eq!(app.world().resource::<Changes>().1, numbers);

    publish(bus, [1]);
    app.update();
    assert_eq!(app.world().resource::<Changes>().0, 2);
    for _ in 0..10 {
        app.update();
    }
    assert_eq!(app.world().resource::<Changes>().0, 2);
}

#[test]
fn a_budget_is_exact_and_the_rest_stays_in_order() {
    let bus = leak::<Number, 8, Reject>();
    let plugin = EventBusPlugin::new(bus).with_budget(FrameBudget::events(3));
    let mut app = app(plugin, Update);
    publish(bus, 0..8);
    for (expected, left) in [(vec![0, 1, 2], 5), (vec![3, 4, 5], 2), (vec![6, 7], 0), (vec![], 0)] {
        app.update();
        assert_eq!(bus.pending(), left);
        assert_eq!(numbers(&app, 0).left, left);
        assert_eq!(numbers(&app, 0).frame.delivered, expected.len());
        assert_eq!(Seen::take(&mut app), expected);
    }
    assert_eq!(stats(&app).total().delivered, 8);
}

#[test]
fn a_budget_of_none_delivers_one() {
    let bus = leak::<Number, 8, Reject>();
    let plugin = EventBusPlugin::new(bus).with_budget(FrameBudget { events: 0, time: None });
    let mut app = app(plugin, Update);
    publish(bus, 0..2);
    app.update();
    assert_eq!(Seen::take(&mut app), [0]);
}

#[test]
fn a_budget_changes_between_frames() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(1)), Update);
    publish(bus, 0..8);
    app.update();
    assert_eq!(Seen::take(&mut app), [0]);
    let mut config = app.world_mut().resource_mut::<EventBusConfig>();
    config.of_mut::<Number>().unwrap().budget = FrameBudget::events(5);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 3, 4, 5]);
}

/// A clock that moves by a millisecond whenever it is read, one for each test that counts.
mod ticking {
    use core::cell::Cell;
    use core::time::Duration;

    thread_local! {
        static READ: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn now() -> Duration {
        READ.set(READ.get() + 1);
        Duration::from_millis(READ.get())
    }
}

/// Time is looked at after each 64 events: never after one, and never not at all.
#[test]
fn a_time_budget_ends_after_a_batch() {
    let bus = leak::<Number, 1024, Reject>();
    let budget = FrameBudget::unlimited().and_time(Duration::from_millis(3));
    let mut app =
        app(EventBusPlugin::new(bus).with_budget(budget).with_clock(ticking::now), Update);
    publish(bus, 0..1024);
    app.update();
    // Read at the beginning, 1; after the first batch, 2; after the second, 3; after the third, 4 = 1 + 3.
    assert_eq!(Seen::take(&mut app), (0..192).collect::<Vec<_>>());
    assert_eq!(numbers(&app, 0).left, 1024 - 192);
    app.update();
    assert_eq!(Seen::take(&mut app), (192..384).collect::<Vec<_>>());
}

#[test]
fn a_time_budget_of_nothing_still_delivers_a_batch() {
    let bus = leak::<Number, 1024, Reject>();
    let budget = FrameBudget::unlimited().and_time(Duration::ZERO);
    let mut app =
        app(EventBusPlugin::new(bus).with_budget(budget).with_clock(ticking::now), Update);
    publish(bus, 0..200);
    app.update();
    assert_eq!(Seen::take(&mut app).len(), 64);
}

#[test]
fn a_count_ends_within_a_batch_of_time() {
    let bus = leak::<Number, 1024, Reject>();
    let budget = FrameBudget::events(70).and_time(Duration::from_secs(3600));
    let mut app = app(EventBusPlugin::new(bus).with_budget(budget), Update);
    publish(bus, 0..200);
    app.update();
    assert_eq!(Seen::take(&mut app).len(), 70);
}

/// The bus is reached through a reference: a resource by value would overflow the stack of a debug
/// build at a mebibyte.
#[test]
fn a_large_bus_enters_the_world_as_a_handle() {
    static LARGE: Bus<[u64; 16], 16_384> = Bus::new();
    const { assert!(size_of_val(&LARGE) > 2 << 20) };
    const { assert!(size_of::<EventBus<[u64; 16]>>() <= 64) };
    let mut app = bevy_app::App::new();
    app.add_plugins(EventBusPlugin::new(&LARGE)).add_bus_frame::<[u64; 16]>();
    LARGE.publish([7; 16]).unwrap();
    app.update();
    assert_eq!(stats(&app).frame().delivered, 1);
}
