//! The systems of the plugin are ordered, and Bevy's search for ambiguities finds none.

use bevy_app::{App, PreUpdate, Update};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings, ScheduleLabel};
use tickbus::bevy::{
    BusDrained, BusFrame, BusMessage, BusOverrun, BusPublisher, EventBus, EventBusAppExt,
    EventBusConfig, EventBusDrain, EventBusFixedDrain, EventBusPlugin, EventBusStats,
    EventBusSystems, FrameBudget, bus_has_pending, on_bus_overrun,
};
use tickbus::{DropNewest, DropOldest, Reject};

use super::{Number, Seen, leak, publish};

/// Makes ambiguities errors in a schedule, and builds it.
fn is_unambiguous(app: &mut App, label: impl ScheduleLabel) -> bool {
    let mut schedules = app.world_mut().resource_mut::<Schedules>();
    let mut schedule = schedules.remove(label.intern()).expect("the app has the schedule");
    schedule.set_build_settings(ScheduleBuildSettings {
        ambiguity_detection: LogLevel::Error,
        ..ScheduleBuildSettings::default()
    });
    let built = schedule.initialize(app.world_mut()).is_ok();
    app.add_schedule(schedule);
    built
}

fn read(mut numbers: BusFrame<Number>) {
    numbers.read();
}

fn send(numbers: BusPublisher<Number>) {
    let _ = numbers.publish(Number(1));
}

fn watch(_: MessageReader<BusOverrun>, _: Res<EventBusStats>, _: Res<EventBusConfig>) {}

/// An event in fixed steps, with its stamp.
#[cfg(feature = "bevy_time")]
#[derive(Message, Clone, Copy)]
struct Stamped(core::time::Duration);

/// An app with every kind of bus and every delivery: one bus, several with priorities, and one in fixed steps.
fn everything() -> App {
    let mut app = App::new();
    let several = EventBusPlugin::new(leak::<Number, 64, Reject>())
        .with_lower_priority(leak::<Number, 8, DropOldest>())
        .with_lower_priority(leak::<Number, 8, DropNewest>())
        .with_budget(FrameBudget::events(16));
    app.add_plugins(several)
        .add_plugins(EventBusPlugin::new(leak::<u8, 64, Reject>()))
        .add_bus_frame::<Number>()
        .add_bus_message::<Number>()
        .add_bus_event::<Number>()
        .add_observer(|_: On<Number>| {})
        .add_observer(|_: On<BusDrained<Number>>| {})
        .add_foreign_bus_message::<u8>()
        .add_bus_frame::<u8>();
    #[cfg(feature = "bevy_time")]
    {
        use core::time::Duration;
        let fixed = EventBusPlugin::new(leak::<Stamped, 8, Reject>())
            .with_lower_priority(leak::<Stamped, 8, Reject>())
            .in_fixed_step(|| Duration::ZERO, |event| event.0);
        app.add_plugins((bevy_time::TimePlugin, fixed))
            .add_bus_message::<Stamped>()
            .add_bus_frame::<Stamped>();
    }
    #[cfg(feature = "bevy_diagnostic")]
    app.add_plugins((bevy_diagnostic::DiagnosticsPlugin, tickbus::bevy::EventBusDiagnosticsPlugin));
    app
}

/// In every schedule of the app, also those that only Bevy has systems in.
#[test]
fn an_app_with_every_kind_of_bus_has_no_ambiguity() {
    let mut app = everything();
    app.add_systems(EventBusDrain, send.before(EventBusSystems::Drain))
        .add_systems(EventBusDrain, (watch, read).in_set(EventBusSystems::Report))
        .add_systems(
            Update,
            (
                (read, read, send, send, watch),
                (|_: BusFrame<u8>| {}, |_: MessageReader<BusMessage<u8>>| {}),
                (|_: MessageReader<Number>| {}, |_: MessageReader<Number>| {}),
                (|bus: Res<EventBus<Number>>| _ = bus.publish_to(2, Number(1))),
                (|| {}).run_if(bus_has_pending::<Number>),
                (|| {}).run_if(on_bus_overrun),
            ),
        );
    #[cfg(feature = "bevy_time")]
    app.add_systems(
        bevy_app::FixedUpdate,
        (
            |_: MessageReader<Stamped>| {},
            |_: BusFrame<Stamped>| {},
            |bus: BusPublisher<Stamped>| _ = bus.publish(Stamped(core::time::Duration::ZERO)),
        ),
    );
    let labels: Vec<_> =
        app.world().resource::<Schedules>().iter().map(|(_, schedule)| schedule.label()).collect();
    assert!(labels.contains(&EventBusDrain.intern()));
    assert_eq!(labels.contains(&EventBusFixedDrain.intern()), cfg!(feature = "bevy_time"));
    for label in labels {
        assert!(is_unambiguous(&mut app, label), "{label:?}");
    }
    (0..3).for_each(|_| app.update());

    // The search finds what there is to find.
    app.add_systems(EventBusDrain, send);
    assert!(!is_unambiguous(&mut app, EventBusDrain));
}

/// Where the drain is a system among others.
#[test]
fn a_drain_in_the_schedule_of_an_empty_app_is_unambiguous() {
    let mut app = App::empty();
    app.add_plugins(EventBusPlugin::new(leak::<Number, 4, Reject>()))
        .add_bus_frame::<Number>()
        .add_systems(PreUpdate, (read, send).after(EventBusSystems::Drain));
    assert!(is_unambiguous(&mut app, PreUpdate));
}

/// Bevy does not see what systems do to a bus, so that only a strict order keeps a report after the drain.
#[test]
fn a_report_that_reads_only_the_bus_comes_after_the_drain() {
    let bus = leak::<Number, 4, Reject>();
    let mut app = App::new();
    // One report is added before the drain is, and one after.
    let report = |mut seen: ResMut<Seen>| seen.0.push(bus.pending() as u32);
    app.init_resource::<Seen>()
        .add_systems(EventBusDrain, report.in_set(EventBusSystems::Report))
        .add_plugins(EventBusPlugin::new(bus))
        .add_systems(EventBusDrain, report.in_set(EventBusSystems::Report))
        .add_bus_message::<Number>();
    for _ in 0..3 {
        publish(bus, [1, 2]);
        app.update();
    }
    assert_eq!(Seen::take(&mut app), [0; 6]);
    assert!(app.world().resource::<EventBus<Number>>().is_empty());
}
