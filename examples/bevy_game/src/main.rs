//! Catch the stars, mind the rocks: a game in a window, whose sky is a thread.
//!
//! Arrow keys move, space pauses, escape ends. The sky publishes bursts to a bus; a frame takes no more
//! than its budget, and the lower part of the window shows what the bus does meanwhile.

mod screen;
mod sky;

use core::time::Duration;

use bevy_app::{App, AppExit, FixedUpdate, Last, Update};
use bevy_ecs::prelude::*;
use bevy_input::{ButtonInput, InputPlugin, keyboard::KeyCode};
use bevy_time::{Fixed, Time, TimePlugin, Virtual};
use bevy_window::{Window, WindowPlugin, WindowResolution};
use bevy_winit::{UpdateMode, WinitSettings};
use tickbus::bevy::{EventBusAppExt, EventBusPlugin, FrameBudget};

/// Without a renderer nothing waits for the screen, and frames as fast as they can would empty the bus
/// before anybody sees it.
const SIXTY_HERTZ: UpdateMode = UpdateMode::Reactive {
    wait: Duration::from_nanos(16_666_667),
    react_to_device_events: false,
    react_to_user_events: false,
    react_to_window_events: false,
};

/// What comes from the sky.
#[derive(Message, Clone, Copy, Debug)]
pub struct Falls {
    /// Where, from 0 to 1.
    at: f32,
    what: What,
}

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
    rocks: u32,
}

fn main() -> AppExit {
    let window = Window {
        title: "tickbus".into(),
        resolution: WindowResolution::new(screen::WIDTH, screen::HEIGHT),
        resizable: false,
        ..Window::default()
    };
    sky::open();
    App::new()
        .add_plugins((
            TimePlugin,
            InputPlugin,
            bevy_a11y::AccessibilityPlugin,
            WindowPlugin { primary_window: Some(window), ..WindowPlugin::default() },
            bevy_winit::WinitPlugin::default(),
            EventBusPlugin::new(&sky::SKY).with_budget(FrameBudget::events(2)),
        ))
        .add_bus_message::<Falls>()
        .insert_resource(WinitSettings { focused_mode: SIXTY_HERTZ, unfocused_mode: SIXTY_HERTZ })
        .insert_resource(Game { player: 0.5, stars: 0, rocks: 0 })
        .insert_resource(Time::<Fixed>::from_duration(Duration::from_millis(20)))
        .add_systems(Update, (appear, control))
        .add_systems(FixedUpdate, fall)
        .add_systems(Last, screen::draw)
        .run()
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
    mut exit: MessageWriter<AppExit>,
) {
    let way = keys.pressed(KeyCode::ArrowRight) as i8 - keys.pressed(KeyCode::ArrowLeft) as i8;
    game.player = (game.player + f32::from(way) * time.delta_secs() * 0.9).clamp(0.05, 0.95);
    if keys.just_pressed(KeyCode::Space) {
        if time.is_paused() { time.unpause() } else { time.pause() }
    }
    if keys.just_pressed(KeyCode::Escape) {
        exit.write(AppExit::Success);
    }
}

fn fall(
    mut things: Query<(Entity, &What, &mut Place)>,
    mut game: ResMut<Game>,
    mut commands: Commands,
) {
    for (entity, what, mut place) in &mut things {
        place.y += 0.008;
        let caught = place.y > 0.9 && (place.x - game.player).abs() < 0.06;
        match what {
            What::Star if caught => game.stars += 1,
            What::Rock if caught => game.rocks += 1,
            _ if place.y < 1.0 => continue,
            _ => {}
        }
        commands.entity(entity).despawn();
    }
}
