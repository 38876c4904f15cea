//! Catch thirty stars before three rocks hit you: a game in a window, whose sky is two threads.
//!
//! The left and right arrow keys move, space pauses, enter begins again, escape ends. The threads publish to
//! buses of the plugin, each used in another way:
//!
//! - What falls comes in bursts, over two buses with a priority: rocks before stars. A frame takes only as much
//!   as its budget, and the lower part of the window shows what is left on each bus.
//! - Gusts of wind have a stamp, and blow in the fixed step that covers it.
//! - What the player catches goes to observers.
//!
//! The window and the keys are Bevy's, from its sub-crates. The pixels are drawn here: Bevy's renderer of 0.20 needs
//! the crate `wesl` 0.6, which asks for Rust 1.97.1, and cargo refuses it under the 1.95 of this workspace.
//!
//! `cargo run --manifest-path examples/bevy_game/Cargo.toml` starts it, on a display with X11. The first build
//! compiles 207 crates: 11 minutes of processor time, and 0.8 GB of disk. `screenshot` plays it on a virtual display.

mod screen;
mod sky;

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use bevy_app::{App, AppExit, FixedUpdate, Last, Update};
use bevy_ecs::prelude::*;
use bevy_input::{ButtonInput, InputPlugin, keyboard::KeyCode};
use bevy_time::{Fixed, Time, TimePlugin, Virtual};
use bevy_window::{Window, WindowPlugin, WindowResolution};
use bevy_winit::{UpdateMode, WinitPlugin, WinitSettings};
use tickbus::Bus;
use tickbus::bevy::{BusPublisher, EventBusAppExt, EventBusPlugin, FrameBudget, PausePolicy};

/// Nothing waits for the screen here, and frames at full speed would empty the buses at once.
const SIXTY_HERTZ: UpdateMode = UpdateMode::Reactive {
    wait: Duration::from_nanos(16_666_667),
    react_to_device_events: false,
    react_to_user_events: false,
    react_to_window_events: false,
};

/// The stars that win, and the rocks that lose.
const GOAL: u32 = 30;
const LIVES: u32 = 3;

/// How long the player shows that a rock has hit, in seconds.
const ACHE: f32 = 0.4;

/// What comes from the sky.
#[derive(Message, Clone, Copy, Debug)]
pub struct Falls {
    /// Where, from 0 to 1.
    at: f32,
    what: What,
}

/// A gust of wind.
#[derive(Message, Clone, Copy, Debug)]
pub struct Gust {
    /// When, by the clock of the sky.
    at: Duration,
    /// How far it moves what falls to the right.
    push: f32,
}

/// The player has caught something.
#[derive(Event, Clone, Copy, Debug)]
struct Caught(What);

static CAUGHT: Bus<Caught, 16> = Bus::new();

#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Star,
    Rock,
}

/// From 0 to 1, from the left and from the top.
#[derive(Component, Clone, Copy, Debug)]
pub struct Place {
    x: f32,
    y: f32,
}

#[derive(Resource, Debug)]
pub struct Game {
    player: f32,
    stars: u32,
    lives: u32,
    /// How long the player still shows a hit, in seconds.
    ache: f32,
}

impl Game {
    fn new() -> Self {
        Self { player: 0.5, stars: 0, lives: LIVES, ache: 0.0 }
    }

    fn is_over(&self) -> bool {
        self.stars >= GOAL || self.lives == 0
    }
}

fn main() -> AppExit {
    let window = Window {
        title: "tickbus".into(),
        resolution: WindowResolution::new(screen::WIDTH, screen::HEIGHT),
        resizable: false,
        ..Window::default()
    };
    let mut app = App::new();
    app.add_plugins((
        TimePlugin,
        InputPlugin,
        bevy_a11y::AccessibilityPlugin,
        WindowPlugin { primary_window: Some(window), ..WindowPlugin::default() },
    ));
    if let Err(reason) = open_display(&mut app) {
        eprintln!("bevy_game needs a display with X11, and found none: {reason}");
        eprintln!("Start it in a desktop session, or in a virtual one: xvfb-run cargo run");
        return AppExit::error();
    }
    app.add_plugins((
        EventBusPlugin::new(&sky::ROCKS)
            .with_lower_priority(&sky::STARS)
            .with_budget(FrameBudget::events(1)),
        EventBusPlugin::new(&sky::GUSTS)
            .with_pause(PausePolicy::Drop) // old wind does not blow
            .in_fixed_step(sky::clock, |gust| gust.at),
        EventBusPlugin::new(&CAUGHT),
    ))
    .add_bus_message::<Falls>()
    .add_bus_message::<Gust>()
    .add_bus_event::<Caught>()
    .insert_resource(WinitSettings { focused_mode: SIXTY_HERTZ, unfocused_mode: SIXTY_HERTZ })
    .insert_resource(Game::new())
    .init_resource::<screen::History>()
    .insert_resource(Time::<Fixed>::from_duration(Duration::from_millis(20)))
    .add_observer(score)
    .add_systems(Update, (appear, control).chain())
    .add_systems(FixedUpdate, (blow, fall).chain())
    .add_systems(Last, screen::draw);
    sky::open();
    app.run()
}

/// Opens the display, or returns why there is none: the plugin panics then.
fn open_display(app: &mut App) -> Result<(), String> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let opened = catch_unwind(AssertUnwindSafe(|| {
        app.add_plugins(WinitPlugin::default());
    }));
    set_hook(hook);
    opened.map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => "the reason is unknown".into(),
    })
}

fn appear(mut falls: MessageReader<Falls>, mut commands: Commands) {
    for fall in falls.read() {
        commands.spawn((fall.what, Place { x: fall.at, y: 0.0 }));
    }
}

fn control(
    keys: Res<ButtonInput<KeyCode>>,
    mut time: ResMut<Time<Virtual>>,
    mut game: ResMut<Game>,
    things: Query<Entity, With<What>>,
    mut commands: Commands,
    mut exit: MessageWriter<AppExit>,
) {
    let way = keys.pressed(KeyCode::ArrowRight) as i8 - keys.pressed(KeyCode::ArrowLeft) as i8;
    game.player = (game.player + f32::from(way) * time.delta_secs() * 0.9).clamp(0.05, 0.95);
    game.ache = (game.ache - time.delta_secs()).max(0.0);
    if keys.just_pressed(KeyCode::Enter) {
        *game = Game::new();
        things.iter().for_each(|thing| commands.entity(thing).despawn());
        time.unpause();
    }
    if game.is_over() {
        time.pause();
    } else if keys.just_pressed(KeyCode::Space) {
        if time.is_paused() { time.unpause() } else { time.pause() }
    }
    if keys.just_pressed(KeyCode::Escape) {
        exit.write(AppExit::Success);
    }
}

/// Moves what falls by the gusts of this fixed step.
fn blow(mut gusts: MessageReader<Gust>, mut things: Query<(&What, &mut Place)>) {
    let push: f32 = gusts.read().map(|gust| gust.push).sum();
    for (what, mut place) in &mut things {
        let weight = if *what == What::Star { 1.0 } else { 0.3 };
        place.x = (place.x + push * weight).clamp(0.02, 0.98);
    }
}

fn fall(
    mut things: Query<(Entity, &What, &mut Place)>,
    game: Res<Game>,
    caught: BusPublisher<Caught>,
    mut commands: Commands,
) {
    for (entity, what, mut place) in &mut things {
        place.y += 0.008;
        let is_caught = place.y > 0.92 && (place.x - game.player).abs() < 0.06;
        // Full: the thing stays, and the next step tries again.
        let goes = if is_caught { caught.publish(Caught(*what)).is_ok() } else { place.y > 1.0 };
        if goes {
            commands.entity(entity).despawn();
        }
    }
}

/// An observer of what the player catches.
fn score(caught: On<Caught>, mut game: ResMut<Game>) {
    if game.is_over() {
        return;
    }
    match caught.0 {
        What::Star => game.stars += 1,
        What::Rock => {
            game.lives -= 1;
            game.ache = ACHE;
        }
    }
}
