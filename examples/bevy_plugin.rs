//! A bus in a Bevy app without a window: two threads publish, a budget holds, and every frame tells
//! what it did.
//!
//! `cargo run --example bevy_plugin --features bevy,std`

use core::time::Duration;
use std::thread;
use std::time::Instant;

use bevy_app::{App, AppExit, Last, Update};
use bevy_ecs::prelude::*;
use tickbus::bevy::{
    BusFrame, BusOverrun, EventBusAppExt, EventBusPlugin, EventBusStats, FrameBudget,
};
use tickbus::{Bus, DropOldest};

tickbus::events! {
    /// What the server sends. Nothing takes what was said: such events are counted as unhandled.
    #[derive(Clone, Copy, Debug)]
    enum Remote {
        #[subject = "player.hit"] Hit { damage: u32 },
        #[subject = "player.healed"] Healed { by: u32 },
        #[subject = "chat.said"] Said,
    }
}

/// What the server says of the player's health, as systems know it.
#[derive(Message, Clone, Copy, Debug)]
struct Health {
    change: i32,
}

/// A sample of the microphone. Only fresh ones are worth anything.
#[derive(Clone, Copy, Debug)]
struct Sample(u32);

static REMOTE: Bus<Remote, 256> = Bus::new();
static SAMPLES: Bus<Sample, 1024, DropOldest> = Bus::new();

/// Events of the server. The burst in the middle is more than a frame may take.
const EVENTS: u32 = 300;
const FRAMES: u32 = 40;

#[derive(Resource, Default)]
struct Game {
    frame: u32,
    health: i32,
    samples: usize,
    loudest: u32,
}

fn main() {
    let server = thread::spawn(|| {
        let mut refused = 0;
        for number in 0..EVENTS {
            let event = match number % 3 {
                0 => Remote::Hit { damage: 2 },
                1 => Remote::Healed { by: 1 },
                _ => Remote::Said,
            };
            refused += u32::from(REMOTE.publish(event).is_err());
            if !(50..200).contains(&number) {
                thread::sleep(Duration::from_micros(500));
            }
        }
        refused
    });
    let microphone = thread::spawn(|| {
        let end = Instant::now() + Duration::from_millis(200);
        let mut number = 0;
        while Instant::now() < end {
            let _ = SAMPLES.publish(Sample(number));
            number += 1;
            thread::sleep(Duration::from_micros(20));
        }
        number as usize
    });

    println!("frame  delivered  unhandled  left  dropped  refused  spent");
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(&REMOTE).with_budget(FrameBudget::events(24)).by_kind())
        .add_plugins(EventBusPlugin::new(&SAMPLES))
        .add_bus_message_for("player.*", |event| match *event {
            Remote::Hit { damage } => Some(Health { change: -(damage as i32) }),
            Remote::Healed { by } => Some(Health { change: by as i32 }),
            Remote::Said => None,
        })
        .add_bus_frame::<Sample>()
        .init_resource::<Game>()
        .add_systems(Update, (live, listen, complain))
        .add_systems(Last, (report, end).chain());
    while app.should_exit().is_none() {
        app.update();
        thread::sleep(Duration::from_millis(8));
    }

    let refused = server.join().unwrap();
    let recorded = microphone.join().unwrap();
    println!("{refused} refused, {recorded} samples recorded");
    // Nothing is unaccounted for: neither what the server sent nor what the microphone did.
    let stats = app.world().resource::<EventBusStats>();
    let remote = stats.of::<Remote>().next().unwrap();
    let taken = remote.total.delivered + remote.total.unhandled;
    assert_eq!(taken + remote.left, (EVENTS - refused) as usize);
    let samples = stats.of::<Sample>().next().unwrap();
    assert_eq!(samples.total.delivered + samples.total.dropped + SAMPLES.pending(), recorded);
}

fn live(mut health: MessageReader<Health>, mut game: ResMut<Game>) {
    game.health += health.read().map(|health| health.change).sum::<i32>();
}

fn listen(mut samples: BusFrame<Sample>, mut game: ResMut<Game>) {
    assert_eq!(samples.missed(), 0, "this system runs in every frame");
    for Sample(level) in samples.read() {
        game.samples += 1;
        game.loudest = game.loudest.max(*level);
    }
}

fn complain(mut overruns: MessageReader<BusOverrun>) {
    for overrun in overruns.read() {
        let what = overrun.subject.unwrap_or(overrun.event);
        let BusOverrun { left, dropped, refused, .. } = overrun;
        println!("       {what}: {left} left, {dropped} dropped, {refused} given back");
    }
}

fn report(stats: Res<EventBusStats>, mut game: ResMut<Game>) {
    game.frame += 1;
    let frame = stats.frame();
    println!(
        "{:5}  {:9}  {:9}  {:4}  {:7}  {:7}  {:?}",
        game.frame,
        frame.delivered,
        frame.unhandled,
        stats.left(),
        frame.dropped,
        frame.refused,
        stats.spent
    );
}

fn end(game: Res<Game>, mut exit: MessageWriter<AppExit>) {
    if game.frame == FRAMES {
        println!("health {}, {} samples, loudest {}", game.health, game.samples, game.loudest);
        exit.write(AppExit::Success);
    }
}
