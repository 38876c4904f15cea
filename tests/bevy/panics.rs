//! An observer that panics: its event is gone, everything else comes.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use bevy_app::App;
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use tickbus::Reject;
use tickbus::bevy::{BusDrained, EventBusAppExt, EventBusDrain, EventBusPlugin};

use super::{Number, Seen, leak, publish};

/// Runs the drain. Bevy itself loses a schedule that panics, so this one is kept outside.
pub(super) fn update(app: &mut App) -> bool {
    let mut schedules = app.world_mut().resource_mut::<Schedules>();
    let mut drain = schedules.remove(EventBusDrain).unwrap();
    let quiet = catch_unwind(AssertUnwindSafe(|| drain.run(app.world_mut()))).is_ok();
    if !quiet {
        // Its executor takes what was running for done, until a run has ended well.
        drain.run(app.world_mut());
    }
    app.add_schedule(drain);
    quiet
}

#[test]
fn a_panic_consumes_its_event_and_no_other() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_observer(|number: On<Number>, mut seen: ResMut<Seen>| {
            assert!(number.0 != 2, "a bomb");
            seen.0.push(number.0);
        });
    (0..4).for_each(|_| assert!(update(&mut app))); // nothing is left to do
    publish(bus, 0..5);
    assert!(!update(&mut app));
    assert_eq!(Seen::take(&mut app), [0, 1]);
    assert_eq!(app.world().resource::<Messages<Number>>().len(), 0);

    // Nothing new has to come for it.
    assert!(update(&mut app));
    assert_eq!(Seen::take(&mut app), [3, 4]);
    // The messages are of another route: it gets every event once.
    let messages = app.world().resource::<Messages<Number>>();
    assert!(messages.iter_current_update_messages().map(|number| number.0).eq(0..5));
    assert!(update(&mut app));
    assert_eq!(bus.pending(), 0);
}

#[test]
fn a_panic_of_a_batch_observer_consumes_the_batch() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message::<Number>()
        .init_resource::<Seen>()
        .add_observer(|batch: On<BusDrained<Number>>, mut seen: ResMut<Seen>| {
            assert!(batch[0].0 != 0, "a bomb");
            seen.0.extend(batch.iter().map(|number| number.0));
        });
    publish(bus, 0..3);
    assert!(!update(&mut app));
    publish(bus, 3..5);
    assert!(update(&mut app));
    assert_eq!(Seen::take(&mut app), [3, 4]);
    let messages = app.world().resource::<Messages<Number>>();
    assert!(messages.iter_current_update_messages().map(|number| number.0).eq(0..5));
}

/// A closure that panics on an event does not get it again, and the other deliveries get it once.
#[test]
fn a_panic_of_a_pick_consumes_the_batch() {
    #[derive(Message)]
    struct Even;
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_message::<Number>().add_bus_message_with(
        |number: &Number| {
            assert!(number.0 != 1, "a bomb");
            number.0.is_multiple_of(2).then_some(Even)
        },
    );
    publish(bus, 0..3);
    assert!(!update(&mut app));
    publish(bus, [4]);
    assert!(update(&mut app));
    let messages = app.world().resource::<Messages<Number>>();
    assert!(messages.iter_current_update_messages().map(|number| number.0).eq([0, 1, 2, 4]));
    assert_eq!(super::numbers(&app, 0).total.delivered, 4);
}

/// An event whose observer panics has been observed: it is no unhandled one, and neither are the others.
#[test]
fn a_panic_leaves_no_event_uncounted() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .add_bus_message_with(|number: &Number| (number.0 == 0).then_some(Number(0)))
        .add_observer(|number: On<Number>, mut commands: Commands| {
            assert!(number.0 != 2, "a bomb");
            if number.0 == 3 {
                let observer = number.observer();
                commands.entity(observer).despawn();
            }
        });
    publish(bus, 0..6);
    assert!(!update(&mut app));
    assert!(update(&mut app));
    let total = super::numbers(&app, 0).total;
    // Nothing observes 4 and 5 any more.
    assert_eq!((total.delivered, total.unhandled, super::numbers(&app, 0).left), (4, 2, 0));
}

/// A batch whose observer panics has been observed.
#[test]
fn a_panic_of_a_batch_observer_leaves_no_event_unhandled() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_message_with(|_: &Number| None::<Number>)
        .add_observer(|batch: On<BusDrained<Number>>| assert!(batch[0].0 != 0, "a bomb"));
    publish(bus, 0..3);
    assert!(!update(&mut app));
    assert!(update(&mut app));
    let total = super::numbers(&app, 0).total;
    assert_eq!((total.delivered, total.unhandled), (3, 0));
}

/// Which kind an event is of is up to its type, which may panic.
#[test]
fn a_kind_that_panics_loses_no_event() {
    struct Bomb(u32);
    impl tickbus::Event for Bomb {
        const SUBJECTS: &'static [&'static str] = &["bomb"];

        fn kind(&self) -> usize {
            assert!(self.0 != 1, "a bomb");
            0
        }
    }
    let bus = leak::<Bomb, 8, Reject>();
    let mut app = App::new();
    let budget = tickbus::bevy::FrameBudget::events(1);
    let plugin = EventBusPlugin::new(bus).with_pause(tickbus::bevy::PausePolicy::Drop);
    app.add_plugins(plugin.with_budget(budget).by_kind()).add_bus_frame::<Bomb>();
    (0..4).for_each(|number| assert!(bus.publish(Bomb(number)).is_ok()));
    assert!(!update(&mut app)); // one delivered, three in the pending
    (4..6).for_each(|number| assert!(bus.publish(Bomb(number)).is_ok()));
    app.world_mut().resource_mut::<tickbus::bevy::EventBusConfig>().paused = true;
    assert!(!update(&mut app));
    assert!(update(&mut app));
    let numbers = super::numbers(&app, 0);
    assert_eq!((numbers.total.delivered, numbers.total.discarded, numbers.left), (1, 5, 0));
}

/// An observer cannot drain again: Bevy does not run a schedule within itself.
#[test]
fn there_is_no_drain_within_a_drain() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus))
        .add_bus_event::<Number>()
        .init_resource::<Seen>()
        .add_observer(|number: On<Number>, mut seen: ResMut<Seen>, mut commands: Commands| {
            seen.0.push(number.0);
            commands.queue(|world: &mut World| {
                assert!(world.try_run_schedule(EventBusDrain).is_err());
            });
        });
    publish(bus, 0..3);
    assert!(update(&mut app));
    assert_eq!(Seen::take(&mut app), [0, 1, 2]);
}
