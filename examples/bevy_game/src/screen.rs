//! The picture: the game above, the bus below.

use core::convert::Infallible;
use core::num::NonZeroU32;

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

use crate::sky::SKY;
use crate::{Game, Place, What};

pub(crate) const WIDTH: u32 = 640;
pub(crate) const HEIGHT: u32 = 480;
/// Where the game ends and the numbers begin.
const FLOOR: i32 = 360;

const SKY_BLUE: Rgb888 = Rgb888::new(16, 20, 40);
const PANEL: Rgb888 = Rgb888::new(32, 32, 32);
const GOLD: Rgb888 = Rgb888::new(255, 208, 64);
const STONE: Rgb888 = Rgb888::new(150, 130, 120);
const GREEN: Rgb888 = Rgb888::new(96, 220, 120);
const RED: Rgb888 = Rgb888::new(230, 80, 70);

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

    fn circle(&mut self, x: i32, y: i32, color: Rgb888) {
        let Ok(()) = Circle::with_center(Point::new(x, y), 15)
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
) {
    let mut canvas = Canvas(vec![RawU24::from(SKY_BLUE).into_inner(); (WIDTH * HEIGHT) as usize]);
    let x = |at: f32| (at * WIDTH as f32) as i32;
    for (what, place) in &things {
        let color = if *what == What::Star { GOLD } else { STONE };
        canvas.circle(x(place.x), (place.y * FLOOR as f32) as i32, color);
    }
    canvas.rectangle(x(game.player) - 35, FLOOR - 14, 70, 10, GREEN);
    canvas.text(10, 24, &format!("stars {}   rocks {}", game.stars, game.rocks), Rgb888::WHITE);
    if time.is_paused() {
        canvas.text(280, 180, "paused", Rgb888::WHITE);
    }

    canvas.rectangle(0, FLOOR, WIDTH, HEIGHT - FLOOR as u32, PANEL);
    let (frame, total) = (stats.frame(), stats.total());
    let left = stats.left();
    canvas.text(10, FLOOR + 26, "bus", Rgb888::WHITE);
    canvas.rectangle(60, FLOOR + 12, 560, 16, SKY_BLUE);
    let share = (left * 560 / SKY.capacity()) as u32;
    canvas.rectangle(60, FLOOR + 12, share, 16, if left > 32 { RED } else { GREEN });
    let lines = [
        format!("frame: {:2} delivered, {left:2} left of {}", frame.delivered, SKY.capacity()),
        format!("total: {} delivered, {} refused", total.delivered, total.refused),
        format!("drain: {} us, high water {}", stats.spent.as_micros(), SKY.stats().high_water),
    ];
    for (line, text) in lines.iter().enumerate() {
        canvas.text(10, FLOOR + 54 + 24 * line as i32, text, Rgb888::WHITE);
    }
    show(*window, &canvas.0);
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
