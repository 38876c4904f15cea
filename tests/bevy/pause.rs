//! A pause, by hand and by Bevy's clock: memory stays, losses are counted.

use bevy_app::{App, Update};
use bevy_ecs::message::Messages;
#[cfg(feature = "bevy_time")]
use bevy_ecs::prelude::*;
use tickbus::bevy::{EventBusConfig, EventBusPlugin, EventBusState, FrameBudget, PausePolicy};
use tickbus::bus::Policy;
use tickbus::{Bus, DropOldest, Reject};

use super::{Number, Seen, app, leak, numbers, publish, stats};

const FRAMES: u32 = 1000;
const EVENTS: u32 = 100;

/// Everything that could grow.
fn memory(app: &App) -> usize {
    let messages = app.world().resource::<Messages<Number>>().len();
    let overruns = app.world().resource::<Messages<tickbus::bevy::BusOverrun>>().len();
    messages + overruns + app.world().resource::<EventBusState<Number>>().pending()
}

/// 1000 paused frames of 100 events: how many were accepted, and the most memory it took.
fn paused<P: Policy>(app: &mut App, bus: &Bus<Number, 256, P>) -> (usize, usize) {
    let mut accepted = 0;
    let mut most = 0;
    for frame in 0..FRAMES {
        for event in 0..EVENTS {
            accepted += usize::from(bus.publish(Number(frame * EVENTS + event)).is_ok());
        }
        app.update();
        most = most.max(memory(app));
    }
    (accepted, most)
}

fn by_hand(app: &mut App, paused: bool) {
    app.world_mut().resource_mut::<EventBusConfig>().paused = paused;
}

#[test]
fn held_events_wait_on_the_bus_which_refuses_more() {
    let bus = leak::<Number, 256, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    by_hand(&mut app, true);
    let (accepted, most) = paused(&mut app, bus);
    assert_eq!(accepted, 256);
    assert!(most <= 2, "{most}"); // the overruns of two frames
    assert_eq!(stats(&app).total().refused, (FRAMES * EVENTS) as usize - 256);
    assert_eq!(stats(&app).total().delivered, 0);

    by_hand(&mut app, false);
    app.update();
    assert_eq!(Seen::take(&mut app), (0..256).collect::<Vec<_>>());
}

#[test]
fn held_events_give_way_where_the_bus_says_so() {
    let bus = leak::<Number, 256, DropOldest>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    by_hand(&mut app, true);
    let (accepted, most) = paused(&mut app, bus);
    assert_eq!(accepted, (FRAMES * EVENTS) as usize);
    assert!(most <= 2, "{most}");
    assert_eq!(stats(&app).total().dropped, accepted - 256);

    by_hand(&mut app, false);
    app.update();
    let all = FRAMES * EVENTS;
    assert_eq!(Seen::take(&mut app), (all - 256..all).collect::<Vec<_>>());
}

#[test]
fn dropped_events_are_counted_and_do_not_come_later() {
    let bus = leak::<Number, 256, Reject>();
    let mut app = app(EventBusPlugin::new(bus).with_pause(PausePolicy::Drop), Update);
    by_hand(&mut app, true);
    let (accepted, most) = paused(&mut app, bus);
    assert_eq!((accepted, most), ((FRAMES * EVENTS) as usize, 0));
    assert_eq!(stats(&app).total().discarded, accepted);

    by_hand(&mut app, false);
    publish(bus, [7]);
    app.update();
    assert_eq!(Seen::take(&mut app), [7]);
}

#[test]
fn buses_pause_each_in_its_way() {
    let buses: [_; 3] = [(); 3].map(|()| leak::<Number, 8, Reject>());
    let plugin = EventBusPlugin::new(buses[0])
        .with_pause(PausePolicy::PassThrough)
        .with_lower_priority(buses[1])
        .with_lower_priority(buses[2])
        .with_pause(PausePolicy::Drop);
    let mut app = app(plugin, Update);
    by_hand(&mut app, true);
    for (at, bus) in buses.iter().enumerate() {
        publish(bus, [at as u32]);
    }
    app.update();
    assert_eq!(Seen::take(&mut app), [0]);
    let left: Vec<_> = (0..3).map(|at| numbers(&app, at).left).collect();
    assert_eq!(left, [0, 1, 0]);
    by_hand(&mut app, false);
    app.update();
    assert_eq!(Seen::take(&mut app), [1]);
}

/// What waits in a pause is not the budget's fault.
#[test]
fn a_pause_is_no_overrun() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus).with_budget(FrameBudget::events(1)), Update);
    by_hand(&mut app, true);
    publish(bus, 0..8);
    app.update();
    assert_eq!(memory(&app), 0);
    assert_eq!(numbers(&app, 0).left, 8);
}

#[test]
fn a_policy_changes_between_frames() {
    let bus = leak::<Number, 8, Reject>();
    let mut app = app(EventBusPlugin::new(bus), Update);
    by_hand(&mut app, true);
    publish(bus, [1]);
    app.update();
    let mut config = app.world_mut().resource_mut::<EventBusConfig>();
    config.of_mut::<Number>().unwrap().pause[0] = PausePolicy::PassThrough;
    app.update();
    assert_eq!(Seen::take(&mut app), [1]);
}

#[cfg(feature = "bevy_time")]
mod by_the_clock {
    use core::time::Duration;

    use bevy_app::FixedUpdate;
    use bevy_time::{Time, TimePlugin, TimeUpdateStrategy, Virtual};
    use tickbus::bevy::EventBusAppExt;

    use super::*;

    fn timed(plugin: EventBusPlugin<Number>) -> App {
        let mut app = app(plugin, Update);
        app.add_plugins(TimePlugin)
            .insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_millis(16)));
        app.update();
        app
    }

    fn pause(app: &mut App) {
        app.world_mut().resource_mut::<Time<Virtual>>().pause();
    }

    fn resume(app: &mut App) {
        app.world_mut().resource_mut::<Time<Virtual>>().unpause();
    }

    #[test]
    fn held_events_give_way_where_the_bus_says_so() {
        let bus = leak::<Number, 256, DropOldest>();
        let mut app = timed(EventBusPlugin::new(bus));
        pause(&mut app);
        app.update();
        let (accepted, most) = paused(&mut app, bus);
        assert!(most <= 2, "{most}");
        assert_eq!(stats(&app).total().dropped, accepted - 256);
        resume(&mut app);
        app.update();
        let all = FRAMES * EVENTS;
        assert_eq!(Seen::take(&mut app), (all - 256..all).collect::<Vec<_>>());
    }

    #[test]
    fn held_events_wait_on_the_bus() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus));
        pause(&mut app);
        app.update();
        let (accepted, most) = paused(&mut app, bus);
        assert_eq!(accepted, 256);
        assert!(most <= 2, "{most}");
        resume(&mut app);
        app.update();
        assert_eq!(Seen::take(&mut app).len(), 256);
    }

    /// Where Bevy alone keeps every message of the pause.
    #[test]
    fn passing_events_are_read_and_their_messages_dropped() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_pause(PausePolicy::PassThrough));
        pause(&mut app);
        app.update();
        let (accepted, most) = paused(&mut app, bus);
        assert_eq!(accepted, (FRAMES * EVENTS) as usize);
        assert_eq!(most, 2 * EVENTS as usize);
        assert_eq!(Seen::take(&mut app), (0..FRAMES * EVENTS).collect::<Vec<_>>());
    }

    #[test]
    fn the_limit_is_sixteen_times_the_bus_unless_set() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus));
        app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_nanos(1)));
        app.update();
        let (_, most) = paused(&mut app, bus);
        assert!((4096..=4098).contains(&most), "{most}");
    }

    /// Where an event becomes several messages, the most numerous count.
    #[test]
    fn the_limit_holds_for_each_message_type() {
        #[derive(Message)]
        struct Never;
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_message_limit(1000));
        app.add_bus_message_with(|_: &Number| None::<Never>)
            .insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_nanos(1)));
        app.update();
        let (_, most) = paused(&mut app, bus);
        assert!((1000..=1002).contains(&most), "{most}");
    }

    /// A limit of nothing is one of one: slow, but no end.
    #[test]
    fn a_limit_of_no_messages_delivers_all_the_same() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_message_limit(0));
        publish(bus, 0..5);
        (0..10).for_each(|_| app.update());
        assert_eq!(Seen::take(&mut app), [0, 1, 2, 3, 4]);
    }

    /// A pause by hand leaves the clock alone: Bevy keeps messages until a step has come, and so do we.
    #[test]
    fn passing_events_wait_for_the_steps_of_a_clock_that_goes_on() {
        let bus = leak::<Number, 256, Reject>();
        let mut app =
            app(EventBusPlugin::new(bus).with_pause(PausePolicy::PassThrough), FixedUpdate);
        app.add_plugins(TimePlugin)
            .insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_millis(4)));
        by_hand(&mut app, true);
        for number in 0..100 {
            publish(bus, [number]);
            app.update();
        }
        (0..10).for_each(|_| app.update());
        assert_eq!(Seen::take(&mut app), (0..100).collect::<Vec<_>>());
        assert_eq!(memory(&app), 0);
    }

    /// What was delivered before the pause is there after it, for systems that did not run between.
    #[test]
    fn a_pause_that_holds_keeps_messages_for_fixed_update() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus));
        #[derive(Resource, Default)]
        struct Fixed(Vec<u32>);
        app.init_resource::<Fixed>().add_systems(
            FixedUpdate,
            |mut numbers: MessageReader<Number>, mut fixed: ResMut<Fixed>| {
                fixed.0.extend(numbers.read().map(|number| number.0));
            },
        );
        app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_micros(1)));
        publish(bus, [1]);
        app.update(); // no step
        pause(&mut app);
        (0..10).for_each(|_| app.update());
        resume(&mut app);
        app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_millis(16)));
        (0..3).for_each(|_| app.update());
        assert_eq!(app.world().resource::<Fixed>().0, [1]);
    }

    /// The first frame of the pause, in which Bevy still drops the messages before the last.
    #[test]
    fn messages_live_for_two_frames_at_the_border_of_a_pause() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_pause(PausePolicy::PassThrough));
        app.update();
        publish(bus, [1]);
        app.update(); // with a fixed step
        pause(&mut app);
        let len = |app: &App| app.world().resource::<Messages<Number>>().len();
        assert_eq!(len(&app), 1);
        app.update();
        assert_eq!(len(&app), 1);
        app.update();
        assert_eq!(len(&app), 0);
    }

    /// Each bus delivers messages of that type, and neither makes them old twice.
    #[test]
    fn messages_of_two_buses_live_for_two_frames() {
        #[derive(Clone, Copy)]
        struct Other(u32);
        for published in [[true, false], [false, true], [true, true]] {
            let (bus, others) = (leak::<Number, 256, Reject>(), leak::<Other, 4, Reject>());
            let mut app = timed(EventBusPlugin::new(bus).with_pause(PausePolicy::PassThrough));
            app.add_plugins(EventBusPlugin::new(others).with_pause(PausePolicy::PassThrough))
                .add_bus_message_with(|other: &Other| Some(Number(other.0)));
            pause(&mut app);
            (0..2).for_each(|_| app.update());
            if published[0] {
                publish(bus, [1]);
            }
            if published[1] {
                others.publish(Other(2)).ok();
            }
            let all = published.iter().filter(|published| **published).count();
            let mut len = || {
                app.update();
                app.world().resource::<Messages<Number>>().len()
            };
            assert_eq!([len(), len(), len()], [all, all, 0], "{published:?}");

            // One bus in each frame: what the other delivered in the frame before is still there.
            for round in 0..10 {
                match round % 2 {
                    0 => publish(bus, [round]),
                    _ => others.publish(Other(round)).unwrap_or_default(),
                }
                app.update();
                let len = app.world().resource::<Messages<Number>>().len();
                assert_eq!(len, if round == 0 { 1 } else { 2 });
            }
        }
    }

    /// Also where a system has written some between Bevy's swap and the drain.
    #[test]
    fn messages_of_systems_do_not_hide_a_swap() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_pause(PausePolicy::PassThrough));
        app.update();
        publish(bus, [1]);
        app.update(); // with a fixed step: Bevy swaps in the next frame
        pause(&mut app);
        let mut numbers = app.world_mut().resource_mut::<Messages<Number>>();
        numbers.write(Number(2));
        let write = |mut numbers: MessageWriter<Number>, mut done: Local<bool>| {
            if !core::mem::replace(&mut done, true) {
                numbers.write_batch([Number(3), Number(4), Number(5)]);
            }
        };
        app.add_systems(bevy_app::First, write.after(bevy_ecs::message::MessageUpdateSystems));
        let mut len = || {
            app.update();
            app.world().resource::<Messages<Number>>().len()
        };
        assert_eq!([len(), len()], [5, 3]);
    }

    #[test]
    fn speed_zero_is_a_pause() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus));
        app.world_mut().resource_mut::<Time<Virtual>>().set_relative_speed(0.0);
        app.update();
        publish(bus, [1]);
        app.update();
        assert_eq!(bus.pending(), 1);
    }

    /// Steps that do not come, and no pause: the limit holds, and the bus decides.
    #[test]
    fn messages_that_nothing_drops_have_a_limit() {
        let bus = leak::<Number, 256, Reject>();
        let mut app = timed(EventBusPlugin::new(bus).with_message_limit(1000));
        app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_nanos(1)));
        app.update();
        let (_, most) = paused(&mut app, bus);
        assert!((1000..=1002).contains(&most), "{most}");
        assert_eq!(Seen::take(&mut app).len(), 1000);
        assert!(stats(&app).total().refused > 0);

        // A step comes, the messages go, and the bus is emptied.
        app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_millis(16)));
        (0..4).for_each(|_| app.update());
        assert_eq!(Seen::take(&mut app).len(), 256);
        assert!(bus.is_empty());
    }
}
