//! A frame of the plugin allocates nothing once its buffers have their size: on every route, with a
//! budget, priorities and overruns. The executor is single-threaded; Bevy's other one allocates by itself.
#![cfg(all(feature = "bevy", feature = "std", not(tickbus_loom)))]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use bevy_app::{App, Update};
use bevy_ecs::prelude::*;
use tickbus::bevy::{BusDrained, BusFrame, EventBusAppExt, EventBusPlugin, FrameBudget};
use tickbus::{Bus, DropOldest};

thread_local! {
    /// Calls of this thread alone: the harness allocates on others.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands every call on to the allocator of the system, unchanged. Counting allocates nothing:
// the counter is a constant without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as above; `pointer` is from `System`, as all are.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

tickbus::events! {
    #[derive(Message, Event, Clone, Copy)]
    enum Hit {
        #[subject = "hit.head"] Head(u32),
        #[subject = "hit.body"] Body(u32),
    }
}

#[derive(Message, Clone, Copy)]
#[expect(dead_code, reason = "they are never read")]
struct Headshot(u32);

#[derive(Resource, Default)]
struct Count(usize);

/// Allocator calls in 100 frames, after frames that let buffers grow.
fn calls(app: &mut App, mut publish: impl FnMut()) -> usize {
    let mut run = |frames| {
        for _ in 0..frames {
            publish();
            app.update();
        }
    };
    run(64);
    let before = CALLS.get();
    run(100);
    CALLS.get() - before
}

fn app(plugin: EventBusPlugin<Hit>) -> App {
    let mut app = App::new();
    app.add_plugins(plugin).init_resource::<Count>();
    app
}

/// Two kinds in turn, so many a frame.
fn publisher<const N: usize, P: tickbus::bus::Policy>(
    bus: &'static Bus<Hit, N, P>,
    events: u32,
) -> impl FnMut() {
    move || {
        for event in 0..events {
            let hit = if event % 2 == 0 { Hit::Head(event) } else { Hit::Body(event) };
            let _ = bus.publish(hit);
        }
    }
}

#[test]
fn the_count_sees_an_allocation() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_frame::<Hit>();
    app.add_systems(Update, || drop(Box::new(core::hint::black_box(1))));
    assert_eq!(calls(&mut app, publisher(&BUS, 10)), 200);
}

#[test]
fn an_idle_frame_allocates_nothing() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_frame::<Hit>();
    assert_eq!(calls(&mut app, || {}), 0);
}

#[test]
fn messages_allocate_nothing() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_message::<Hit>()
        .add_bus_message_for("hit.head", |hit| match hit {
            Hit::Head(number) | Hit::Body(number) => Some(Headshot(*number)),
        })
        .add_systems(Update, |mut hits: MessageReader<Hit>, mut count: ResMut<Count>| {
            count.0 += hits.read().count();
        });
    assert_eq!(calls(&mut app, publisher(&BUS, 50)), 0);
    assert_eq!(app.world().resource::<Count>().0, 164 * 50);
}

#[test]
fn frames_and_batches_allocate_nothing() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_frame::<Hit>()
        .add_systems(Update, |mut hits: BusFrame<Hit>, mut count: ResMut<Count>| {
            count.0 += hits.read().len();
        })
        .add_observer(|hits: On<BusDrained<Hit>>, mut count: ResMut<Count>| count.0 += hits.len());
    assert_eq!(calls(&mut app, publisher(&BUS, 50)), 0);
    assert_eq!(app.world().resource::<Count>().0, 2 * 164 * 50);
}

#[test]
fn observers_allocate_nothing() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_event::<Hit>().add_observer(|_: On<Hit>, mut count: ResMut<Count>| count.0 += 1);
    assert_eq!(calls(&mut app, publisher(&BUS, 50)), 0);
    assert_eq!(app.world().resource::<Count>().0, 164 * 50);
}

#[test]
fn events_that_no_delivery_takes_allocate_nothing() {
    static BUS: Bus<Hit, 64> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS));
    app.add_bus_message_for("hit.head", |_: &Hit| Some(Headshot(0)))
        .add_bus_event_for("hit.head", |hit: &Hit| Some(*hit))
        .add_observer(|_: On<Hit>| {});
    assert_eq!(calls(&mut app, publisher(&BUS, 50)), 0);
    let stats = app.world().resource::<tickbus::bevy::EventBusStats>();
    assert_eq!(stats.total().unhandled, 164 * 25);
}

#[test]
fn overload_of_two_buses_by_kind_allocates_nothing() {
    static HIGH: Bus<Hit, 64> = Bus::new();
    static LOW: Bus<Hit, 64, DropOldest> = Bus::new();
    let mut app = app(EventBusPlugin::new(&HIGH)
        .with_lower_priority(&LOW)
        .with_budget(FrameBudget::events(20))
        .by_kind());
    app.add_bus_frame::<Hit>();
    let (mut high, mut low) = (publisher(&HIGH, 100), publisher(&LOW, 100));
    let both = move || {
        high();
        low();
    };
    assert_eq!(calls(&mut app, both), 0);
}
