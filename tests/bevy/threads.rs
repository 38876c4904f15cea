//! Publishing threads and tasks against the frame border.

use alloc::sync::Arc;
use alloc::task::Wake;
use std::thread;

use bevy_app::{App, PreUpdate, Update};
use bevy_ecs::prelude::*;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};
use core::task::{Context, Poll, Waker};
use tickbus::bevy::{EventBusAppExt, EventBusPlugin, FrameBudget};
use tickbus::bus::Policy;
use tickbus::wait::PublishAsync;
use tickbus::{Bus, DropOldest, Reject, Waiters};

use super::{Number, Seen, app, leak, stats};

const PRODUCERS: u64 = 3;
const FRAMES: usize = if cfg!(debug_assertions) { 10_000 } else { 20_000 };

#[derive(Message, Clone, Copy)]
struct Sent {
    publisher: u64,
    number: u64,
}

/// The number after the last that was seen, for each publisher.
#[derive(Resource, Default)]
struct Next {
    numbers: [u64; PRODUCERS as usize],
    seen: usize,
}

fn check(mut events: MessageReader<Sent>, mut next: ResMut<Next>) {
    for event in events.read() {
        let expected = &mut next.numbers[event.publisher as usize];
        assert!(event.number >= *expected, "out of order, or twice");
        *expected = event.number + 1;
        next.seen += 1;
    }
}

/// Threads publish over the borders of frames: what was accepted was delivered or dropped, in order.
fn stress<P: Policy + 'static>(reader: impl bevy_ecs::schedule::ScheduleLabel) {
    let bus: &'static Bus<Sent, 64, P> = leak();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).with_budget(FrameBudget::events(40)))
        .add_bus_message::<Sent>()
        .init_resource::<Next>()
        .add_systems(reader, check);
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let publishers: Vec<_> = (0..PRODUCERS)
        .map(|publisher| {
            thread::spawn(move || {
                let mut accepted = 0;
                let mut number = 0;
                while !stop.load(Relaxed) {
                    accepted += usize::from(bus.publish(Sent { publisher, number }).is_ok());
                    number += 1;
                    if number % 32 == 0 {
                        thread::yield_now();
                    }
                }
                accepted
            })
        })
        .collect();
    for _ in 0..FRAMES {
        app.update();
    }
    stop.store(true, Relaxed);
    let accepted: usize = publishers.into_iter().map(|thread| thread.join().unwrap()).sum();
    (0..4).for_each(|_| app.update());

    let seen = app.world().resource::<Next>().seen;
    let total = stats(&app).total();
    assert_eq!(accepted, seen + bus.stats().dropped());
    assert_eq!(
        (total.delivered, total.dropped, total.refused),
        (seen, bus.stats().dropped(), bus.stats().refused)
    );
    assert!(seen > FRAMES / 10, "the threads hardly ran: {seen}");
}

#[test]
fn what_threads_publish_is_delivered_in_order() {
    stress::<Reject>(Update);
}

#[test]
fn what_threads_publish_is_delivered_or_counted_as_dropped() {
    stress::<DropOldest>(PreUpdate);
}

/// A task publishes through the same static: it never waits, so it needs no executor of the bus's.
#[test]
fn a_task_publishes_through_the_same_static() {
    static BUS: Bus<Number, 8> = Bus::new();
    let mut app = app(EventBusPlugin::new(&BUS), Update);

    async fn download() {
        for number in 0..3 {
            BUS.publish(Number(number)).unwrap();
            let mut first = true;
            core::future::poll_fn(|_| {
                if core::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
    }
    let mut task = pin!(download());
    let mut context = Context::from_waker(Waker::noop());
    let mut frames = 0;
    while task.as_mut().poll(&mut context).is_pending() {
        app.update();
        frames += 1;
        assert_eq!(Seen::take(&mut app).len(), 1);
    }
    assert_eq!(frames, 3);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A full awaited bus with a task that waits for room, and the bell of the task.
fn waiting() -> (&'static Waited, App, PublishAsync<'static, Number, &'static Waited>, Arc<Bell>) {
    let bus: &'static Waited = Box::leak(Box::new(Bus::new()));
    let app = app(EventBusPlugin::new(bus), Update);
    bus.publish_batch(&[Number(1), Number(2)]).unwrap();
    let bell = Arc::new(Bell::default());
    let mut third = bus.publish_async(Number(3));
    let waker = Waker::from(Arc::clone(&bell));
    assert!(pin!(&mut third).poll(&mut Context::from_waker(&waker)).is_pending());
    (bus, app, third, bell)
}

type Waited = Bus<Number, 2, Reject, Waiters<2>>;

#[test]
fn a_task_waits_until_a_frame_makes_room() {
    let (bus, mut app, third, bell) = waiting();
    app.update();
    assert_eq!((Seen::take(&mut app), bell.0.load(Relaxed)), (vec![1, 2], 1));
    let done = pin!(third).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done, Poll::Ready(Ok(())));
    app.update();
    assert_eq!((Seen::take(&mut app), bus.stats().refused), (vec![3], 0));
}

#[test]
fn who_waits_for_room_is_woken_when_the_app_is_dropped() {
    let (bus, app, third, bell) = waiting();
    drop(app);
    assert_eq!(bell.0.load(Relaxed), 1);
    assert_eq!(third.into_event(), Some(Number(3)), "nothing makes room now");
    let mut next = super::app(EventBusPlugin::new(bus), Update);
    next.update();
    assert_eq!(Seen::take(&mut next), [1, 2]);
}
