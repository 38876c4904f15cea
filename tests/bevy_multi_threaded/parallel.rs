//! Systems that publish to one bus at the same time, on threads of Bevy's.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use bevy_app::{App, TaskPoolOptions, TaskPoolPlugin, Update};
use bevy_ecs::prelude::*;
use tickbus::Bus;
use tickbus::bevy::{
    BusFrame, BusPublisher, EventBusAppExt, EventBusDrain, EventBusPlugin, EventBusStats,
    EventBusSystems,
};

const SYSTEMS: usize = 3;
const EVENTS: usize = 20;

#[derive(Clone, Copy)]
struct Sent {
    system: usize,
    number: usize,
}

/// How many systems have begun, over all frames.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Returns when every system of this frame has begun, which only happens if they run side by side.
fn meet() {
    let frame = BEGUN.fetch_add(1, Relaxed) / SYSTEMS;
    let since = Instant::now();
    while BEGUN.load(Relaxed) < (frame + 1) * SYSTEMS {
        assert!(since.elapsed() < Duration::from_secs(60), "the systems run one after another");
        thread::yield_now();
    }
}

fn publisher<const SYSTEM: usize>(bus: BusPublisher<Sent>, mut next: Local<usize>) {
    meet();
    for _ in 0..EVENTS {
        if bus.publish(Sent { system: SYSTEM, number: *next }).is_ok() {
            *next += 1;
        }
    }
}

/// The number after the last that was seen, for each system.
#[derive(Resource, Default)]
struct Next([usize; SYSTEMS]);

fn check(mut frame: BusFrame<Sent>, mut next: ResMut<Next>) {
    for event in frame.read() {
        assert_eq!(event.number, next.0[event.system], "lost, twice, or out of order");
        next.0[event.system] += 1;
    }
}

/// The schedule of the drain runs where the app runs: handing a short system to another thread costs more
/// than the system.
#[test]
fn the_drain_stays_on_its_thread() {
    static BUS: Bus<Sent, 32> = Bus::new();
    static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
    let here = thread::current().id();
    let look = move || {
        ELSEWHERE.fetch_add(usize::from(thread::current().id() != here), Relaxed);
    };
    let mut app = App::new();
    app.add_plugins((
        TaskPoolPlugin { task_pool_options: TaskPoolOptions::with_num_threads(3 * SYSTEMS) },
        EventBusPlugin::new(&BUS),
    ))
    .add_bus_frame::<Sent>()
    .add_systems(EventBusDrain, (look, look, look, look).in_set(EventBusSystems::Report));
    (0..1000).for_each(|_| app.update());
    assert_eq!(ELSEWHERE.load(Relaxed), 0);
}

#[test]
fn systems_publish_side_by_side() {
    // Not all that three systems publish in a frame fits.
    static BUS: Bus<Sent, 32> = Bus::new();
    let mut app = App::new();
    app.add_plugins((
        TaskPoolPlugin { task_pool_options: TaskPoolOptions::with_num_threads(3 * SYSTEMS) },
        EventBusPlugin::new(&BUS),
    ))
    .add_bus_frame::<Sent>()
    .init_resource::<Next>()
    .add_systems(Update, (check, publisher::<0>, publisher::<1>, publisher::<2>));
    for _ in 0..2000 {
        app.update();
    }
    let delivered: usize = app.world().resource::<Next>().0.iter().sum();
    let stats = BUS.stats();
    assert_eq!(delivered + BUS.pending(), stats.published);
    assert_eq!(stats.published + stats.refused, 2000 * SYSTEMS * EVENTS);
    assert_eq!(app.world().resource::<EventBusStats>().total().delivered, delivered);
    assert!(stats.refused > 0 && delivered > 2000);
}
