//! The picture: the game above, the buses below.

use core::convert::Infallible;
use core::num::NonZeroU32;
use std::collections::VecDeque;

use bevy_ecs::prelude::*;
use bevy_time::{Time, Virtual};
use bevy_window::PrimaryWindow;
use bevy_winit::WINIT_WINDOWS;
use embedded_graphics::mono_font::{MonoTextStyle, ascii::FONT_10X20};
use embedded_graphics::pixelcolor::{Rgb888, raw::RawU24};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, PrimitiveStyle, Rectangle};
use embedded_graphics::text::Text;
use softbuffer::{Context, Surface};
use tickbus::bevy::EventBusStats;

use crate::sky::{ROCKS, STARS};
use crate::{Falls, GOAL, Game, Gust, LIVES, Place, What};

pub(crate) const WIDTH: u32 = 640;
pub(crate) const HEIGHT: u32 = 480;
/// Where the game ends and the numbers begin.
const FLOOR: i32 = 330;

/// How many frames the history shows, and how wide a frame is.
const FRAMES: usize = 300;
const FRAME: i32 = 2;

const SKY_BLUE: Rgb888 = Rgb888::new(16, 20, 40);
const PANEL: Rgb888 = Rgb888::new(32, 32, 32);
const GOLD: Rgb888 = Rgb888::new(255, 208, 64);
const STONE: Rgb888 = Rgb888::new(150, 130, 120);
const GREEN: Rgb888 = Rgb888::new(96, 220, 120);
const RED: Rgb888 = Rgb888::new(230, 80, 70);
const GRAY: Rgb888 = Rgb888::new(160, 160, 160);

/// How many stars each of the last frames has left on the bus.
#[derive(Resource, Debug, Default)]
pub(crate) struct History(VecDeque<usize>);

/// One picture.
struct Canvas(Vec<u32>);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if let (Ok(x @ 0..WIDTH), Ok(y @ 0..HEIGHT)) = (at.x.try_into(), at.y.try_into()) {
                self.0[(y * WIDTH + x) as usize] = RawU24::from(color).into_inner();
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn rectangle(&mut self, x: i32, y: i32, width: u32, height: u32, color: Rgb888) {
        let Ok(()) = Rectangle::new(Point::new(x, y), Size::new(width, height))
            .into_styled(PrimitiveStyle::with_fill(color))
            .draw(self);
    }

    fn circle(&mut self, x: i32, y: i32, diameter: u32, color: Rgb888) {
        let Ok(()) = Circle::with_center(Point::new(x, y), diameter)
            .into_styled(PrimitiveStyle::with_fill(color))
            .draw(self);
    }

    fn text(&mut self, x: i32, y: i32, text: &str, color: Rgb888) {
        let style = MonoTextStyle::new(&FONT_10X20, color);
        let Ok(_) = Text::new(text, Point::new(x, y), style).draw(self);
    }
}

pub(crate) fn draw(
    window: Single<Entity, With<PrimaryWindow>>,
    things: Query<(&What, &Place)>,
    game: Res<Game>,
    stats: Res<EventBusStats>,
    time: Res<Time<Virtual>>,
    mut history: ResMut<History>,
) {
    let mut canvas = Canvas(vec![RawU24::from(SKY_BLUE).into_inner(); (WIDTH * HEIGHT) as usize]);
    draw_game(&mut canvas, &things, &game, time.is_paused());
    history.0.push_back(stats.of::<Falls>().nth(1).map_or(0, |stars| stars.left));
    if history.0.len() > FRAMES {
        history.0.pop_front();
    }
    draw_buses(&mut canvas, &stats, &history);
    show(*window, &canvas.0);
}

fn draw_game(canvas: &mut Canvas, things: &Query<(&What, &Place)>, game: &Game, paused: bool) {
    let x = |at: f32| (at * WIDTH as f32) as i32;
    for (what, place) in things {
        let y = (place.y * FLOOR as f32) as i32;
        match what {
            What::Star => canvas.circle(x(place.x), y, 11, GOLD),
            What::Rock => canvas.circle(x(place.x), y, 23, STONE),
        }
    }
    let color = if game.ache > 0.0 { RED } else { GREEN };
    canvas.rectangle(x(game.player) - 38, FLOOR - 14, 76, 10, color);
    let stars = format!("stars {} of {GOAL}", game.stars);
    canvas.text(10, 24, &stars, Rgb888::WHITE);
    let lives = format!("lives {} of {LIVES}", game.lives);
    canvas.text(WIDTH as i32 - 10 - width(&lives), 24, &lives, Rgb888::WHITE);
    canvas.text(
        10,
        HEIGHT as i32 - 8,
        "left/right move  space pause  enter begin again  esc end",
        GRAY,
    );
    let banner = match (game.is_over(), game.lives) {
        (true, 0) => "Three rocks: lost. Enter begins again",
        (true, _) => "Thirty stars: won! Enter begins again",
        _ if paused => "Paused: the buses hold what comes",
        _ => "",
    };
    if !banner.is_empty() {
        canvas.rectangle(0, 140, WIDTH, 30, PANEL);
        canvas.text((WIDTH as i32 - width(banner)) / 2, 160, banner, Rgb888::WHITE);
    }
}

/// Returns how wide a text is.
fn width(text: &str) -> i32 {
    FONT_10X20.character_size.width as i32 * text.len() as i32
}

/// The buses at work: what each frame has left on them, now and in the last seconds.
fn draw_buses(canvas: &mut Canvas, stats: &EventBusStats, history: &History) {
    canvas.rectangle(0, FLOOR, WIDTH, HEIGHT - FLOOR as u32 - 26, PANEL);
    let lines = [("rocks", ROCKS.capacity()), ("stars", STARS.capacity())];
    for ((line, (name, capacity)), bus) in lines.into_iter().enumerate().zip(stats.of::<Falls>()) {
        let y = FLOOR + 8 + 24 * line as i32;
        canvas.text(10, y + 14, name, Rgb888::WHITE);
        canvas.rectangle(70, y, 200, 16, SKY_BLUE);
        let color = if bus.left * 2 > capacity { RED } else { GREEN };
        canvas.rectangle(70, y, (bus.left * 200 / capacity) as u32, 16, color);
        let text = format!("{:2} left of {capacity}, {} delivered", bus.left, bus.total.delivered);
        canvas.text(280, y + 14, &text, Rgb888::WHITE);
    }
    let (bottom, top) = (FLOOR + 118, 40);
    canvas.rectangle(20, bottom - top, (FRAMES as i32 * FRAME) as u32, top as u32, SKY_BLUE);
    for (frame, left) in history.0.iter().enumerate() {
        let height = *left as i32 * top / STARS.capacity() as i32;
        let x = 20 + frame as i32 * FRAME;
        canvas.rectangle(x, bottom - height, FRAME as u32, height as u32, GREEN);
    }
    let (total, late) =
        (stats.total(), stats.of::<Gust>().map(|bus| bus.total.late).sum::<usize>());
    let text = format!(
        "refused {}  late gusts {late}  drain {} us",
        total.refused,
        stats.spent.as_micros()
    );
    canvas.text(10, bottom - top - 6, &text, Rgb888::WHITE);
}

/// Copies the picture into the window, once there is one. Bevy lends the window for no longer than
/// this, so the surface is made anew each time.
fn show(window: Entity, pixels: &[u32]) {
    WINIT_WINDOWS.with_borrow(|windows| {
        let window: &winit::window::Window = windows.get_window(window)?;
        let context = Context::new(window).ok()?;
        let mut surface = Surface::new(&context, window).ok()?;
        surface.resize(NonZeroU32::new(WIDTH)?, NonZeroU32::new(HEIGHT)?).ok()?;
        let mut buffer = surface.buffer_mut().ok()?;
        buffer.copy_from_slice(pixels);
        buffer.present().ok()
    });
}
