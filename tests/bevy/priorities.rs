//! Several buses of one event: the highest priority comes first, and the lowest comes too.

use core::time::Duration;

use bevy_app::Update;
use bevy_ecs::message::{MessageCursor, Messages};
use tickbus::bevy::{
    BusOverrun, BusPublisher, EventBusAppExt, EventBusConfig, EventBusPlugin, FrameBudget,
    PausePolicy,
};
use tickbus::{Bus, Reject};

use super::{Number, Seen, app, leak, numbers, publish};

type NumberBus = &'static Bus<Number, 1024>;

fn two(budget: FrameBudget) -> (NumberBus, NumberBus, bevy_app::App) {
    let (high, low) = (leak::<Number, 1024, Reject>(), leak::<Number, 1024, Reject>());
    let app = app(EventBusPlugin::new(high).with_lower_priority(low).with_budget(budget), Update);
    (high, low, app)
}

#[test]
fn a_frame_delivers_the_highest_priority_first() {
    let (high, low, mut app) = two(FrameBudget::unlimited());
    publish(low, [10, 11]);
    publish(high, [1, 2]);
    app.update();
    assert_eq!(Seen::take(&mut app), [1, 2, 10, 11]);
}

#[test]
fn a_low_bus_has_an_eighth_of_the_budget() {
    let (high, low, mut app) = two(FrameBudget::events(80));
    publish(high, 0..1000);
    publish(low, 1000..2000);
    app.update();
    let seen = Seen::take(&mut app);
    assert_eq!(seen.len(), 80);
    assert_eq!(seen.iter().filter(|number| **number >= 1000).count(), 10);
    assert_eq!((numbers(&app, 0).left, numbers(&app, 1).left), (930, 990));
}

#[test]
fn a_low_bus_takes_what_the_high_one_leaves() {
    let (high, low, mut app) = two(FrameBudget::events(80));
    publish(high, 0..20);
    publish(low, 1000..2000);
    app.update();
    assert_eq!((numbers(&app, 0).frame.delivered, numbers(&app, 1).frame.delivered), (20, 60));
}

/// An eighth of one event is an event in every eighth frame.
#[test]
fn a_budget_of_one_reaches_the_lowest_bus() {
    let (high, low, mut app) = two(FrameBudget::events(1));
    publish(high, 0..1000);
    publish(low, 1000..1010);
    let mut low_at = Vec::new();
    for frame in 1..=40 {
        app.update();
        let seen = Seen::take(&mut app);
        assert_eq!(seen.len(), 1);
        if seen[0] >= 1000 {
            low_at.push(frame);
        }
    }
    assert_eq!(low_at, [8, 16, 24, 32, 40]);
}

/// A bus that had nothing to deliver has saved nothing.
#[test]
fn an_idle_bus_saves_no_credit() {
    let (high, low, mut app) = two(FrameBudget::events(1));
    publish(high, 0..1000);
    for _ in 0..100 {
        app.update();
    }
    Seen::take(&mut app);
    publish(low, 1000..1100);
    for _ in 0..7 {
        app.update();
    }
    assert!(Seen::take(&mut app).iter().all(|number| *number < 1000));
}

/// A bus that needs less than its share has not saved the rest.
#[test]
fn an_unused_share_is_not_saved() {
    let (high, low, mut app) = two(FrameBudget::events(80));
    for _ in 0..50 {
        publish(high, (0..1000 - high.pending() as u32).take(100));
        publish(low, [1000]);
        app.update();
        assert_eq!(numbers(&app, 1).frame.delivered, 1);
    }
    publish(low, 1000..2000);
    app.update();
    assert_eq!((numbers(&app, 0).frame.delivered, numbers(&app, 1).frame.delivered), (70, 10));
}

#[test]
fn no_bus_of_eight_starves() {
    let buses: Vec<NumberBus> = (0..8).map(|_| leak::<Number, 1024, Reject>()).collect();
    let plugin = buses[1..]
        .iter()
        .fold(EventBusPlugin::new(buses[0]), |plugin, bus| plugin.with_lower_priority(*bus));
    let mut app = app(plugin.with_budget(FrameBudget::events(1)), Update);
    for (at, bus) in buses.iter().enumerate() {
        publish(bus, (0..1000).map(|number| number * 8 + at as u32));
    }
    for _ in 0..800 {
        app.update();
    }
    let mut counts = [0; 8];
    Seen::take(&mut app).iter().for_each(|number| counts[(number % 8) as usize] += 1);
    assert_eq!(counts.iter().sum::<usize>(), 800);
    // An eighth each, but for what is still owed.
    assert!(counts.iter().all(|count| (90..=110).contains(count)), "{counts:?}");
}

#[test]
fn a_low_bus_gets_a_batch_however_late_it_is() {
    let budget = FrameBudget::unlimited().and_time(Duration::ZERO);
    let (high, low, mut app) = two(budget);
    publish(high, 0..1000);
    publish(low, 1000..2000);
    app.update();
    assert_eq!((numbers(&app, 0).frame.delivered, numbers(&app, 1).frame.delivered), (64, 64));
}

#[test]
fn a_publisher_chooses_its_priority() {
    let (high, low, mut app) = two(FrameBudget::unlimited());
    app.add_systems(Update, |bus: BusPublisher<Number>| {
        bus.publish(Number(1)).unwrap();
        bus.publish_to(1, Number(2)).unwrap();
    });
    app.update();
    assert_eq!((high.pending(), low.pending()), (1, 1));
}

// ---- What was left -------------------------------------------------------------------------------

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Kind {
        #[subject = "kind.a"] A,
        #[subject = "kind.b"] B,
        #[subject = "kind.c"] C,
    }
}

#[test]
fn what_is_left_is_told_by_bus_and_kind_once_a_frame() {
    let (high, low) = (leak::<Kind, 16, Reject>(), leak::<Kind, 4, Reject>());
    let mut app = bevy_app::App::new();
    app.add_plugins(
        EventBusPlugin::new(high)
            .with_lower_priority(low)
            .with_budget(FrameBudget::events(2))
            .by_kind(),
    )
    .add_bus_frame::<Kind>();
    let mut cursor = MessageCursor::<BusOverrun>::default();
    let mut told = |app: &bevy_app::App| {
        let overruns = app.world().resource::<Messages<BusOverrun>>();
        cursor.read(overruns).copied().collect::<Vec<_>>()
    };

    for kind in [Kind::A, Kind::A, Kind::B, Kind::C, Kind::B] {
        high.publish(kind).unwrap();
    }
    for _ in 0..6 {
        let _ = low.publish(Kind::C); // four fit
    }
    app.update();
    let event = core::any::type_name::<Kind>();
    let overrun = |priority, subject, left, refused| BusOverrun {
        event,
        priority,
        subject,
        left,
        dropped: 0,
        refused,
    };
    assert_eq!(
        told(&app),
        [
            overrun(0, Some("kind.b"), 2, 0),
            overrun(0, Some("kind.c"), 1, 0),
            overrun(1, Some("kind.c"), 4, 0),
            overrun(1, None, 0, 2),
        ]
    );
    assert_eq!(numbers(&app, 0).left_by_kind, [0, 2, 1]);
    assert_eq!(numbers(&app, 1).left_by_kind, [0, 0, 4]);

    // What was pending comes first, in order, and the bus has room again.
    assert!(high.is_empty() && low.is_empty());
    high.publish(Kind::A).unwrap();
    app.update();
    let frame = app.world().resource::<tickbus::bevy::EventBusState<Kind>>().frame().to_vec();
    assert_eq!(frame, [Kind::B, Kind::C]);
    for _ in 0..4 {
        app.update();
    }
    assert_eq!(numbers(&app, 0).left_by_kind, [0, 0, 0]);
    assert_eq!(super::stats(&app).left(), 0);
    told(&app);
    app.update();
    assert_eq!(told(&app), []);
}

/// The capacity of the bus bounds the state, and nothing is lost between the two.
#[test]
fn the_state_holds_as_many_events_as_the_bus() {
    let bus = leak::<Kind, 8, Reject>();
    let mut app = bevy_app::App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_budget(FrameBudget::events(1)).by_kind())
        .add_bus_frame::<Kind>();
    let mut accepted = 0;
    for _ in 0..100 {
        for _ in 0..3 {
            accepted += usize::from(bus.publish(Kind::A).is_ok());
        }
        app.update();
        let left = numbers(&app, 0).left;
        assert!(left <= 16, "{left}");
        assert_eq!(accepted, super::stats(&app).total().delivered + left);
    }
    assert_eq!(super::stats(&app).total().delivered, 100);
    assert!(super::stats(&app).total().refused > 0);
}

#[test]
fn an_overrun_without_kinds_is_one_message() {
    let (high, _low, mut app) = two(FrameBudget::events(2));
    publish(high, 0..5);
    app.update();
    let overruns: Vec<_> = app
        .world()
        .resource::<Messages<BusOverrun>>()
        .iter_current_update_messages()
        .map(|overrun| (overrun.priority, overrun.subject, overrun.left, overrun.refused))
        .collect();
    assert_eq!(overruns, [(0, None, 3, 0)]);
}

/// One bus goes on in a pause and spends the budget. The events that the other one holds are no overrun.
#[test]
fn a_bus_that_a_pause_holds_is_no_overrun_of_another() {
    let (high, low) = (leak::<Number, 8, Reject>(), leak::<Number, 8, Reject>());
    let plugin =
        EventBusPlugin::new(high).with_pause(PausePolicy::PassThrough).with_lower_priority(low);
    let mut app = app(plugin.with_budget(FrameBudget::events(1)), Update);
    app.world_mut().resource_mut::<EventBusConfig>().paused = true;
    publish(high, 0..3);
    publish(low, 0..3);
    app.update();
    let overruns = app.world().resource::<Messages<BusOverrun>>();
    let told: Vec<_> =
        overruns.iter_current_update_messages().map(|told| (told.priority, told.left)).collect();
    assert_eq!(told, [(0, 2)]);
}

/// A pending that a pause holds back is not the budget's, also where the bus refuses more.
#[test]
fn losses_of_a_pause_tell_of_no_kind_that_was_left() {
    let bus = leak::<Kind, 4, Reject>();
    let mut app = bevy_app::App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_budget(FrameBudget::events(1)).by_kind())
        .add_bus_frame::<Kind>();
    (0..4).for_each(|_| bus.publish(Kind::A).unwrap());
    app.update();
    app.world_mut().resource_mut::<EventBusConfig>().paused = true;
    for _ in 0..6 {
        let _ = bus.publish(Kind::B); // four fit
    }
    app.update();
    assert_eq!(numbers(&app, 0).left_by_kind, [3, 0, 0]);
    let overruns = app.world().resource::<Messages<BusOverrun>>();
    let told: Vec<_> = overruns
        .iter_current_update_messages()
        .map(|overrun| (overrun.subject, overrun.left, overrun.refused))
        .collect();
    assert_eq!(told, [(None, 0, 2)]);
}

#[test]
fn what_a_pause_discards_is_told_by_kind() {
    let bus = leak::<Kind, 16, Reject>();
    let mut app = bevy_app::App::new();
    let plugin = EventBusPlugin::new(bus).with_pause(PausePolicy::Drop).by_kind();
    app.add_plugins(plugin.with_budget(FrameBudget::events(1))).add_bus_frame::<Kind>();
    for kind in [Kind::C, Kind::A, Kind::C] {
        bus.publish(kind).unwrap();
    }
    app.update();
    app.world_mut().resource_mut::<EventBusConfig>().paused = true;
    bus.publish(Kind::C).unwrap();
    app.update();
    // Two of the pending, and the one on the bus.
    assert_eq!(numbers(&app, 0).discarded_by_kind, [1, 0, 2]);
    assert_eq!(numbers(&app, 0).frame.discarded, 3);
    app.update();
    assert_eq!(numbers(&app, 0).discarded_by_kind, [0, 0, 0]);
    assert_eq!(numbers(&app, 0).total.discarded, 3);
}
