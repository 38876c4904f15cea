//! A small arcade game whose threads meet on one bus.
//!
//! ```text
//!   input thread    key.*, input.*     ─┐
//!   spawner thread  spawn.*, flood.*   ─┼─▶ BUS ─▶ HANDLERS.tick(&mut game, .., budget) ─▶ draw
//!   weather thread  weather.*, flood.* ─┤          60 times a second, on the main thread
//!   the game        hit.*, game.over   ─┘
//! ```
//!
//! Where to look: `event.rs` has the events and the bus, `game.rs` the dispatch table and the
//! handlers, `publishers.rs` the threads and what each of them does when the bus is full, and this
//! file the tick with its budget. `pace.rs` makes the threads repeatable. The rest is no news.
//!
//! Play it with `cargo run --example game_loop`, and press `o` to flood the bus. With keys from a
//! pipe it draws nothing and is repeatable: `printf 'aaa   dd' | cargo run --example game_loop`.

mod control;
mod event;
mod game;
mod options;
mod pace;
mod publishers;
mod screen;

use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};
use std::{env, thread};

use tickbus::{Budget, Consumer, Report};

use control::CONTROL;
use event::{BUS, GameEvent};
use game::{Game, HANDLERS, Input};
use options::{Options, Request, USAGE};
use pace::{Conductor, Pace};
use publishers::{Spawner, Weather, pipe_keys, type_keys};
use screen::{Canvas, Terminal};

/// The step of the game's clock: 60 a second.
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// A tick handles at most this many events, whatever is on the bus ...
const EVENTS_PER_TICK: usize = 512;
/// ... and for at most this long: the rest of the frame belongs to the world and the screen.
const HANDLING: Duration = Duration::from_millis(6);

fn main() -> ExitCode {
    let options = match Request::parse(env::args_os().skip(1)) {
        Ok(Request::Play(options)) => options,
        Ok(Request::Help) => return exit_code(io::stdout().write_all(USAGE.as_bytes())),
        Err(complaint) => {
            eprint!("game_loop: {complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let game = if io::stdin().is_terminal() { play(&options) } else { replay(&options) };
    exit_code(game.and_then(|game| print_outcome(&game)))
}

fn exit_code(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("game_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One tick: what was published since the last one happens, within the budget, and then the world
/// moves on. What the budget does not allow stays on the bus, in order, and is reported as left.
///
/// Two generations: what a handler publishes is handled in the same tick, what comes of that in
/// the next one.
fn tick(
    game: &mut Game,
    events: &mut Consumer<'_, GameEvent>,
    is_late: impl FnMut() -> bool,
) -> Report {
    let budget = Budget::events(EVENTS_PER_TICK).until(is_late).generations(2);
    let report = HANDLERS.tick(game, events, budget);
    game.step();
    report
}

/// A game that is played: each thread has its own clock, and each tick is drawn.
fn play(options: &Options) -> io::Result<Game> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("standard output is no terminal; pipe the keys in instead"));
    }
    let seed = options.seed.unwrap_or_else(seed_of_the_day);
    let mut game = Game::default();
    let mut events = BUS.consumer().expect("nobody else has claimed the consumer");
    let mut terminal = Terminal::open()?;
    thread::scope(|threads| {
        threads.spawn(type_keys);
        threads.spawn(|| Spawner::new(seed).run(Pace::Clock));
        threads.spawn(|| Weather::new(seed).run(Pace::Clock));
        let result = frames(&mut game, &mut events, &mut terminal, options);
        CONTROL.stop();
        result
    })?;
    Ok(game)
}

fn frames(
    game: &mut Game,
    events: &mut Consumer<'_, GameEvent>,
    terminal: &mut Terminal,
    options: &Options,
) -> io::Result<()> {
    let mut clock = FrameClock::new();
    while goes_on(game, options) && CONTROL.is_running() {
        let deadline = Instant::now() + HANDLING;
        let report = tick(game, events, || Instant::now() >= deadline);
        if game.take_resized() {
            terminal.forget();
        }
        terminal.show(&Canvas::draw(game, &report, &clock.pulse()))?;
        clock.wait();
    }
    Ok(())
}

/// A game from a pipe: the same threads, but each waits for its turn, and no clock has a say.
fn replay(options: &Options) -> io::Result<Game> {
    let seed = options.seed.unwrap_or(1);
    let mut game = Game::default();
    let mut events = BUS.consumer().expect("nobody else has claimed the consumer");
    thread::scope(|threads| {
        let mut conductor = Conductor::default();
        let (keys, rocks, weather) = (conductor.pace(), conductor.pace(), conductor.pace());
        threads.spawn(|| pipe_keys(keys));
        threads.spawn(|| Spawner::new(seed).run(rocks));
        threads.spawn(|| Weather::new(seed).run(weather));
        while goes_on(&game, options) {
            conductor.step();
            let report = tick(&mut game, &mut events, || false);
            debug_assert!(report.handled <= EVENTS_PER_TICK, "the budget holds");
        }
    });
    Ok(game)
}

fn goes_on(game: &Game, options: &Options) -> bool {
    matches!(game.input, Input::Open)
        && !game.wants_to_quit
        && options.ticks.is_none_or(|ticks| game.ticks < ticks)
}

fn seed_of_the_day() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(1, |since| since.as_nanos() as u64)
}

/// Prints how the game ended and whether the bus can account for every event.
///
/// The publishers have ended, so this is a quiet moment and the sum has to be exact.
fn print_outcome(game: &Game) -> io::Result<()> {
    if let Input::Failed(kind) = game.input {
        return Err(io::Error::new(kind, format!("cannot read the keys: {kind}")));
    }
    let (round, bus) = (&game.round, BUS.stats());
    let unknown = game.first_unknown.escape_default();
    let (x, y) = (round.ship.column(), round.ship.row());
    let mut out = io::stdout().lock();
    writeln!(out, "ticks {}", game.ticks)?;
    writeln!(out, "keys {}, of them unknown {} \"{unknown}\"", game.keys, game.unknown)?;
    writeln!(out, "score {}, level {}, lives {}", round.score, round.level(), round.lives)?;
    writeln!(out, "ship at {x},{y}, course {},{}", round.ship.vx.signum(), round.ship.vy.signum())?;
    writeln!(
        out,
        "rocks {}, gems {}, shots {}, bolts {}, sparks {}, wind {}",
        round.rocks.len(),
        round.gems.len(),
        round.shots.len(),
        round.bolts.len(),
        game.sparks.count,
        game.wind
    )?;
    writeln!(out, "refused {}", bus.refused)?;
    writeln!(
        out,
        "published {} = handled {} + dropped {} + pending {}",
        bus.published,
        bus.handled,
        bus.dropped(),
        bus.pending
    )?;
    if bus.published == bus.handled + bus.dropped() + bus.pending {
        Ok(())
    } else {
        Err(io::Error::other("the bus has lost count"))
    }
}

/// Keeps the frames 60 to the second and counts how well that goes.
struct FrameClock {
    next: Instant,
    second: Instant,
    frames: u32,
    per_second: u32,
    late: u32,
}

impl FrameClock {
    fn new() -> Self {
        let now = Instant::now();
        Self { next: now + TICK, second: now, frames: 0, per_second: 0, late: 0 }
    }

    /// Sleeps until the next frame is due. A frame that is late by more than a tick is not made up
    /// for: catching up would make the next ones late as well.
    fn wait(&mut self) {
        let now = Instant::now();
        if now > self.next + TICK {
            self.late += 1;
            self.next = now;
        }
        thread::sleep(self.next - now);
        self.next += TICK;
        self.count();
    }

    fn count(&mut self) {
        self.frames += 1;
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = Instant::now();
            self.per_second = self.frames;
            self.frames = 0;
        }
    }

    fn pulse(&self) -> String {
        format!("{} fps, {} late", self.per_second, self.late)
    }
}
