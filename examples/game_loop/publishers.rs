//! The publishing threads: keys, rocks, weather. Each has its own answer to a full bus.

use core::time::Duration;
use std::io::{self, Read};
use std::thread;

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tickbus::Full;

use crate::control::CONTROL;
use crate::event::{BUS, CTRL_C, GameEvent};
use crate::game::{HEIGHT, WIDTH};
use crate::pace::Pace;

/// Publishes the keys of a played game as you press them.
///
/// While the game is paused, only the quit key and the size of the window matter.
pub(crate) fn type_keys() {
    while CONTROL.is_running() {
        match next_key() {
            Ok(Some(GameEvent::Quit)) => insist(GameEvent::Quit),
            Ok(Some(GameEvent::Resized)) => insist(GameEvent::Resized),
            Ok(Some(event)) if !CONTROL.is_paused() => insist(event),
            Ok(_) => {}
            Err(error) => return insist(GameEvent::InputFailed(error.kind())),
        }
    }
}

/// Publishes the keys of a piped game: one byte per step.
pub(crate) fn pipe_keys(pace: Pace) {
    let mut keys = io::stdin().lock().bytes();
    let mut open = true;
    pace.run(|| {
        if !open {
            return;
        }
        let event = match keys.next() {
            Some(Ok(key)) => GameEvent::from_key(char::from(key)),
            Some(Err(error)) => Some(GameEvent::InputFailed(error.kind())),
            None => Some(GameEvent::InputClosed),
        };
        open = !matches!(event, Some(GameEvent::InputClosed | GameEvent::InputFailed(_)));
        if let Some(event) = event {
            insist(event);
        }
    });
}

/// Publishes an event that must not get lost. A full bus gives it back; then this tries again until
/// the next tick has made room.
///
/// In lockstep the bus has room at once: this thread is the first to step after a tick, and a tick
/// leaves far fewer events than the bus can hold.
fn insist(mut event: GameEvent) {
    while let Err(Full(refused)) = BUS.publish(event) {
        if !CONTROL.is_running() {
            return;
        }
        event = refused;
        thread::sleep(Duration::from_micros(100));
    }
}

/// Waits at most 50 ms for a key, so that the thread notices the end of the game.
fn next_key() -> io::Result<Option<GameEvent>> {
    if !event::poll(Duration::from_millis(50))? {
        return Ok(None);
    }
    Ok(match event::read()? {
        event::Event::Key(key) if key.kind != KeyEventKind::Release => {
            GameEvent::from_key(character(key))
        }
        event::Event::Resize(..) => Some(GameEvent::Resized),
        _ => None,
    })
}

/// Returns the character that stands for this key in a piped game.
fn character(key: KeyEvent) -> char {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => CTRL_C,
        KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            c.to_ascii_lowercase()
        }
        KeyCode::Left => 'a',
        KeyCode::Right => 'd',
        KeyCode::Up => 'w',
        KeyCode::Down => 's',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Drops rocks and gems: more on a higher level.
pub(crate) struct Spawner {
    dice: Dice,
    countdown: u32,
    waiting: Option<GameEvent>,
}

impl Spawner {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), countdown: 30, waiting: None }
    }

    pub(crate) fn run(mut self, pace: Pace) {
        pace.run(|| self.step());
    }

    /// Takes one step. A rock may come late, but it must come: if the bus gives it back, it waits
    /// here for the next step.
    fn step(&mut self) {
        if let Some(event) = self.waiting.take().or_else(|| self.next())
            && let Err(Full(refused)) = BUS.publish(event)
        {
            self.waiting = Some(refused);
        }
        flood(&mut self.dice, |column, row| GameEvent::Spark { column, row });
    }

    fn next(&mut self) -> Option<GameEvent> {
        self.countdown -= 1;
        if self.countdown > 0 {
            return None;
        }
        let level = CONTROL.level();
        self.countdown = 10 + 60 / (1 + level);
        let (column, speed) =
            (self.dice.below(WIDTH), 4 + self.dice.below(4 + level.min(8) as i32));
        Some(match self.dice.below(10) {
            0 => GameEvent::Gem { column, speed },
            1..4 => GameEvent::Rock { column, speed, big: true },
            _ => GameEvent::Rock { column, speed, big: false },
        })
    }
}

/// Turns the wind and throws lightning.
pub(crate) struct Weather {
    dice: Dice,
    steps: u64,
}

impl Weather {
    const GUST: u64 = 150;
    const LIGHTNING: u64 = 240;

    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(!seed), steps: 0 }
    }

    pub(crate) fn run(mut self, pace: Pace) {
        pace.run(|| self.step());
    }

    /// Takes one step. If the bus gives the weather back, it is forgotten: the next weather replaces
    /// it anyway.
    fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(Self::GUST) {
            let _ = BUS.publish(GameEvent::Wind(self.dice.below(13) - 6));
        }
        if self.steps.is_multiple_of(Self::LIGHTNING) {
            let _ = BUS.publish(GameEvent::Lightning { column: self.dice.below(WIDTH) });
        }
        flood(&mut self.dice, |column, row| GameEvent::Rain { column, row });
    }
}

/// Floods the bus while the overload key is on: each step publishes four times what the bus can hold,
/// as a runaway effect or a hostile peer would. A refused spark is forgotten; the bus has counted it.
fn flood(dice: &mut Dice, spark: fn(i32, i32) -> GameEvent) {
    if CONTROL.is_overloaded() {
        for _ in 0..4 * BUS.capacity() {
            let _ = BUS.publish(spark(dice.below(WIDTH), dice.below(HEIGHT)));
        }
    }
}

/// Marsaglia's xorshift: good enough for a game, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // Spreads small seeds over all bits. A state of zero would stay zero for ever.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    fn below(&mut self, limit: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half is the better one, and the remainder fits: it is below `limit`.
        ((self.0 >> 32) % limit as u64) as i32
    }
}
