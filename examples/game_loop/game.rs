//! The game: its state, its handlers, and how its world moves.

use core::mem;
use std::io;

use tickbus::{Dispatch, Full};

use crate::control::CONTROL;
use crate::event::{BUS, GameEvent};

/// Sixty units make a cell. At 60 ticks a second, one unit per tick is one cell per second.
pub(crate) const CELL: i32 = 60;
/// The field, in cells.
pub(crate) const WIDTH: i32 = 78;
pub(crate) const HEIGHT: i32 = 18;

const SHIP_SPEED: (i32, i32) = (24, 10);
const SHOT_SPEED: i32 = 30;
const RELOAD_TICKS: u32 = 7;
const SHIELD_TICKS: u32 = 90;
const MOST_ROCKS: usize = 64;
const SPARK_TICKS: u64 = 20;

/// The handlers by subject. The patterns are resolved at compile time: a pattern that matches no event
/// does not compile, and a tick looks handlers up by number.
pub(crate) static HANDLERS: Dispatch<GameEvent, Game, { GameEvent::KINDS }> = Dispatch::new()
    .on("key.*", Game::count_key)
    .on("key.steer", Game::steer)
    .on("key.fire", Game::fire)
    .on("key.overload", Game::overload)
    .on("key.restart", Game::restart)
    .on("key.quit", Game::quit)
    .on("key.unknown", Game::unknown_key)
    .on("input.*", Game::end_input)
    .on("screen.resized", Game::redraw)
    .on("spawn.*", Game::spawn)
    .on("weather.*", Game::weather)
    .on("flood.*", Game::spark)
    .on("hit.*", Game::hit)
    .on("game.over", Game::over);

/// The context of the handlers: the whole state of the game.
#[derive(Default)]
pub(crate) struct Game {
    pub(crate) round: Round,
    pub(crate) wind: i32,
    pub(crate) ticks: u64,
    pub(crate) keys: u64,
    pub(crate) unknown: u64,
    pub(crate) first_unknown: String,
    pub(crate) sparks: Sparks,
    pub(crate) wants_to_quit: bool,
    pub(crate) input: Input,
    resized: bool,
}

/// Whether more keys can come.
#[derive(Default)]
pub(crate) enum Input {
    #[default]
    Open,
    Closed,
    Failed(io::ErrorKind),
}

/// One game, from the first rock to the last life.
pub(crate) struct Round {
    pub(crate) ship: Body,
    pub(crate) shots: Vec<Body>,
    pub(crate) rocks: Vec<Rock>,
    pub(crate) gems: Vec<Body>,
    pub(crate) bolts: Vec<Bolt>,
    pub(crate) score: u32,
    pub(crate) lives: u32,
    pub(crate) over: bool,
    pub(crate) shield: u32,
    reload: u32,
}

/// Something that flies: place and speed, in units.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) vx: i32,
    pub(crate) vy: i32,
}

/// A rock: it falls, drifts with the wind and costs a life.
pub(crate) struct Rock {
    pub(crate) body: Body,
    pub(crate) big: bool,
}

/// A flash of lightning: first a warning, then deadly, then gone.
pub(crate) struct Bolt {
    pub(crate) column: i32,
    age: u32,
}

/// The last sparks of a flood, which glow for a moment. Their events are handled and gone.
pub(crate) struct Sparks {
    cells: [(i32, i32, u64); 128],
    pub(crate) count: u64,
}

/// The handlers. Each is one row of [`HANDLERS`] and gets the game and one event.
impl Game {
    fn count_key(&mut self, _: &GameEvent) {
        self.keys += 1;
    }

    /// Changes the course. A terminal reports no release of a key, so the ship keeps its course.
    fn steer(&mut self, event: &GameEvent) {
        let GameEvent::Steer { x, y } = *event else { return };
        let ship = &mut self.round.ship;
        ship.vx = (ship.vx + x * SHIP_SPEED.0).clamp(-SHIP_SPEED.0, SHIP_SPEED.0);
        ship.vy = (ship.vy + y * SHIP_SPEED.1).clamp(-SHIP_SPEED.1, SHIP_SPEED.1);
    }

    fn fire(&mut self, _: &GameEvent) {
        let round = &mut self.round;
        if round.reload == 0 && !round.over {
            round.reload = RELOAD_TICKS;
            round.shots.push(Body { vx: 0, vy: -SHOT_SPEED, ..round.ship });
        }
    }

    fn overload(&mut self, _: &GameEvent) {
        CONTROL.toggle_overload();
    }

    fn restart(&mut self, _: &GameEvent) {
        self.round = Round::default();
    }

    fn quit(&mut self, _: &GameEvent) {
        self.wants_to_quit = true;
    }

    fn unknown_key(&mut self, event: &GameEvent) {
        let GameEvent::Unknown(key) = *event else { return };
        self.unknown += 1;
        if self.unknown <= 8 {
            self.first_unknown.push(key);
        }
    }

    fn end_input(&mut self, event: &GameEvent) {
        self.input = match *event {
            GameEvent::InputFailed(kind) => Input::Failed(kind),
            _ => Input::Closed,
        };
    }

    fn redraw(&mut self, _: &GameEvent) {
        self.resized = true;
    }

    /// Handles all of `spawn.*`: the pattern chooses the group, `match` the kind.
    fn spawn(&mut self, event: &GameEvent) {
        match *event {
            GameEvent::Rock { column, speed, big } if self.round.rocks.len() < MOST_ROCKS => {
                self.round.rocks.push(Rock { body: Body::falling(column, speed), big });
            }
            GameEvent::Gem { column, speed } => {
                self.round.gems.push(Body::falling(column, speed));
            }
            _ => {}
        }
    }

    fn weather(&mut self, event: &GameEvent) {
        match *event {
            GameEvent::Wind(speed) => self.wind = speed,
            GameEvent::Lightning { column } => self.round.bolts.push(Bolt { column, age: 0 }),
            _ => {}
        }
    }

    /// Lets a spark glow. An overload brings thousands of these, so this handler is short.
    fn spark(&mut self, event: &GameEvent) {
        if let GameEvent::Spark { column, row } | GameEvent::Rain { column, row } = *event {
            self.sparks.add(column, row, self.ticks);
        }
    }

    fn hit(&mut self, event: &GameEvent) {
        match *event {
            GameEvent::RockHit { x, y, big: true } => {
                self.round.score += 20;
                self.round.split(x, y);
            }
            GameEvent::RockHit { .. } => self.round.score += 10,
            GameEvent::GemTaken => self.round.score += 50,
            GameEvent::ShipHit => self.lose_a_life(),
            _ => {}
        }
    }

    fn over(&mut self, _: &GameEvent) {
        self.round.over = true;
    }
}

/// How the world moves between two dispatches.
impl Game {
    /// Moves everything by one tick and publishes what collided.
    pub(crate) fn step(&mut self) {
        self.ticks += 1;
        self.round.fly(self.wind);
        self.shots_against_rocks();
        if !self.round.over {
            self.ship_against_world();
        }
        CONTROL.set_level(self.round.level());
    }

    /// Returns whether the window has changed since the last call.
    pub(crate) fn take_resized(&mut self) -> bool {
        mem::take(&mut self.resized)
    }

    fn shots_against_rocks(&mut self) {
        let mut shots = mem::take(&mut self.round.shots);
        shots.retain(|shot| {
            let rocks = &mut self.round.rocks;
            let Some(target) = rocks.iter().position(|rock| rock.touches(shot, 0)) else {
                return true;
            };
            let Rock { body: Body { x, y, .. }, big } = rocks.swap_remove(target);
            self.announce(GameEvent::RockHit { x, y, big });
            false
        });
        self.round.shots = shots;
    }

    fn ship_against_world(&mut self) {
        let ship = self.round.ship;

        let gems = self.round.gems.len();
        self.round.gems.retain(|gem| !gem.touches(&ship, 2 * CELL));
        for _ in self.round.gems.len()..gems {
            self.announce(GameEvent::GemTaken);
        }

        if self.round.shield == 0 && self.round.strikes_the_ship() {
            // The shield starts now, not when the event is handled: a late event must not cost a
            // second life.
            self.round.shield = SHIELD_TICKS;
            self.announce(GameEvent::ShipHit);
        }
    }

    /// Takes a life. The last one ends the round by an event, which this handler publishes. The second
    /// generation of the same tick handles it, so no frame shows a game without lives.
    fn lose_a_life(&mut self) {
        self.round.lives = self.round.lives.saturating_sub(1);
        if self.round.lives == 0 {
            self.announce(GameEvent::Over);
        }
    }

    /// Publishes an event of the game. If the bus is full, this handles the event at once, without the
    /// queue: score and lives must not depend on the load.
    fn announce(&mut self, event: GameEvent) {
        if let Err(Full(event)) = BUS.publish(event) {
            HANDLERS.call(self, &event);
        }
    }
}

impl Default for Round {
    fn default() -> Self {
        Self {
            ship: Body { x: WIDTH * CELL / 2, y: (HEIGHT - 3) * CELL, vx: 0, vy: 0 },
            shots: Vec::new(),
            rocks: Vec::new(),
            gems: Vec::new(),
            bolts: Vec::new(),
            score: 0,
            lives: 3,
            over: false,
            shield: SHIELD_TICKS,
            reload: 0,
        }
    }
}

impl Round {
    pub(crate) fn level(&self) -> u32 {
        1 + self.score / 300
    }

    fn fly(&mut self, wind: i32) {
        self.reload = self.reload.saturating_sub(1);
        self.shield = self.shield.saturating_sub(1);
        self.ship.fly(0);
        self.ship.stay_inside();
        for shot in &mut self.shots {
            shot.fly(0);
        }
        for body in self.rocks.iter_mut().map(|rock| &mut rock.body).chain(&mut self.gems) {
            body.fly(wind);
            body.x = body.x.rem_euclid(WIDTH * CELL);
        }
        for bolt in &mut self.bolts {
            bolt.age += 1;
        }
        self.shots.retain(Body::is_visible);
        self.gems.retain(Body::is_visible);
        self.rocks.retain(|rock| rock.body.is_visible());
        self.bolts.retain(|bolt| bolt.age < Bolt::GONE);
    }

    /// Breaks a big rock into two small ones that fly apart.
    fn split(&mut self, x: i32, y: i32) {
        for vx in [-6, 6] {
            self.rocks.push(Rock { body: Body { x, y, vx, vy: 7 }, big: false });
        }
    }

    /// Returns whether lightning or a rock hits the ship. A rock that hits is gone.
    fn strikes_the_ship(&mut self) -> bool {
        let ship = self.ship;
        if self.bolts.iter().any(|bolt| bolt.is_deadly() && (bolt.column - ship.column()).abs() < 2)
        {
            return true;
        }
        let rock = self.rocks.iter().position(|rock| rock.touches(&ship, CELL));
        rock.map(|rock| self.rocks.swap_remove(rock)).is_some()
    }
}

impl Body {
    fn falling(column: i32, speed: i32) -> Self {
        Self { x: column * CELL, y: 0, vx: 0, vy: speed }
    }

    pub(crate) fn column(&self) -> i32 {
        self.x.div_euclid(CELL)
    }

    pub(crate) fn row(&self) -> i32 {
        self.y.div_euclid(CELL)
    }

    /// Returns where the body flies to, in words.
    pub(crate) fn course(&self) -> String {
        let across = ["left", "", "right"][(self.vx.signum() + 1) as usize];
        let along = ["up", "", "down"][(self.vy.signum() + 1) as usize];
        match (along, across) {
            ("", "") => "at rest".to_owned(),
            ("", way) | (way, "") => format!("flying {way}"),
            _ => format!("flying {along} and {across}"),
        }
    }

    fn fly(&mut self, wind: i32) {
        self.x += self.vx + wind;
        self.y += self.vy;
    }

    fn stay_inside(&mut self) {
        self.x = self.x.clamp(CELL, (WIDTH - 1) * CELL - 1);
        self.y = self.y.clamp(0, HEIGHT * CELL - 1);
    }

    fn is_visible(&self) -> bool {
        (0..HEIGHT).contains(&self.row())
    }

    /// Returns whether the two overlap. A body is one cell wide and high; `reach` adds to the width.
    fn touches(&self, other: &Self, reach: i32) -> bool {
        (self.x - other.x).abs() < CELL + reach && (self.y - other.y).abs() < CELL
    }
}

impl Rock {
    fn touches(&self, other: &Body, reach: i32) -> bool {
        self.body.touches(other, reach + if self.big { CELL } else { 0 })
    }
}

impl Bolt {
    const DEADLY: u32 = 50;
    const GONE: u32 = 62;

    pub(crate) fn is_deadly(&self) -> bool {
        self.age >= Self::DEADLY
    }
}

impl Default for Sparks {
    fn default() -> Self {
        Self { cells: [(0, 0, 0); 128], count: 0 }
    }
}

impl Sparks {
    fn add(&mut self, column: i32, row: i32, now: u64) {
        let next = self.count as usize % self.cells.len();
        self.cells[next] = (column, row, now + SPARK_TICKS);
        self.count += 1;
    }

    /// Returns the cells that still glow.
    pub(crate) fn glowing(&self, now: u64) -> impl Iterator<Item = (i32, i32)> {
        self.cells.iter().filter(move |cell| cell.2 > now).map(|cell| (cell.0, cell.1))
    }
}
