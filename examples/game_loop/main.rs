//! A small arcade game. Its threads publish on one bus, and the main thread takes the events 60 times a
//! second.
//!
//! ```text
//!   input thread    key.*, input.*     ─┐
//!   spawner thread  spawn.*, flood.*   ─┼─▶ BUS ─▶ HANDLERS.tick(&mut game, .., budget) ─▶ draw
//!   weather thread  weather.*, flood.* ─┤          60 times a second, on the main thread
//!   the game        hit.*, game.over   ─┘
//! ```
//!
//! | file | what it shows |
//! |---|---|
//! | `event.rs` | the events and the bus |
//! | `game.rs` | the dispatch table and the handlers |
//! | `publishers.rs` | the threads, and what each of them does when the bus is full |
//! | `main.rs` | the tick with its budget |
//! | `signals.rs` | how a signal ends the game and restores the terminal |
//! | `pace.rs` | how a game with threads becomes repeatable |
//!
//! Play it with `cargo run --example game_loop`, and press `o` to flood the bus. You can also pipe the
//! keys in: `printf 'aaa   dd' | cargo run --example game_loop`. The game then draws nothing, and the
//! same keys give the same output.

mod control;
mod event;
mod game;
mod options;
mod pace;
mod publishers;
mod screen;
mod signals;

use core::fmt;
use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};
use std::{env, thread};

use tickbus::{Budget, Consumer, Report};

use control::CONTROL;
use event::{BUS, CAPACITY, GameEvent};
use game::{Game, HANDLERS, Input, Round};
use options::{HELP, Options, Request, USAGE};
use pace::{Conductor, Pace};
use publishers::{Spawner, Weather, pipe_keys, type_keys};
use screen::{Canvas, Terminal};
use signals::Signals;

/// The length of a tick: 60 ticks make a second.
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// The budget of a tick in events. What is left waits for the next tick.
const EVENTS_PER_TICK: usize = 512;
/// The budget of a tick in time. The rest of the frame belongs to the world and the screen.
const HANDLING: Duration = Duration::from_millis(6);

fn main() -> ExitCode {
    let options = match Request::parse(env::args_os().skip(1)) {
        Ok(Request::Play(options)) => options,
        Ok(Request::Help) => return exit_code(io::stdout().write_all(HELP.as_bytes())),
        Err(complaint) => {
            complain(format_args!("{complaint}\n{USAGE}"));
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
            complain(format_args!("{error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard error, which may be a terminal that was closed: `eprintln` would panic.
fn complain(message: fmt::Arguments<'_>) {
    let _ = write!(io::stderr(), "game_loop: {message}");
}

/// Handles what was published since the last tick, within the budget. What the budget does not allow
/// stays on the bus, in order, and is reported as left.
///
/// There are two generations. The same tick handles what a handler publishes, but what comes of that
/// waits for the next tick.
fn dispatch(
    game: &mut Game,
    events: &mut Consumer<'_, GameEvent>,
    is_late: impl FnMut() -> bool,
) -> Report {
    let budget = Budget::events(EVENTS_PER_TICK).until(is_late).generations(2);
    HANDLERS.tick(game, events, budget)
}

/// Plays the game in the terminal: each thread has its own clock, and each tick is drawn.
fn play(options: &Options) -> io::Result<Game> {
    if !io::stdout().is_terminal() {
        let complaint = "standard output is not a terminal: to play without one, pipe the keys in";
        return Err(io::Error::other(complaint));
    }
    let seed = options.seed.unwrap_or_else(seed_of_the_day);
    let mut game = Game::default();
    let mut events = BUS.consumer().expect("the main thread is the only consumer");
    let signals = Signals::take()?;
    let mut terminal = Terminal::open()?;
    let keys = thread::spawn(type_keys);
    let played = thread::scope(|threads| {
        threads.spawn(|| Spawner::new(seed).run(Pace::Clock));
        threads.spawn(|| Weather::new(seed).run(Pace::Clock));
        let result = frames(&mut game, &mut events, &mut terminal, &signals, options);
        CONTROL.stop();
        result
    });
    // Where the terminal was closed, crossterm reads it for ever: then that thread ends with the program.
    let patience = Instant::now() + Duration::from_millis(200);
    while !keys.is_finished() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(10));
    }
    if keys.is_finished() {
        keys.join().expect("the thread of the keys does not panic");
    }
    if signals.ask_to_end() {
        // A closed terminal cannot be drawn on. The game has ended all the same.
        game.input = Input::Closed;
        return Ok(game);
    }
    played.map(|()| game)
}

fn frames(
    game: &mut Game,
    events: &mut Consumer<'_, GameEvent>,
    terminal: &mut Terminal,
    signals: &Signals,
    options: &Options,
) -> io::Result<()> {
    let mut clock = FrameClock::new();
    while goes_on(game, options) && CONTROL.is_running() && !signals.ask_to_end() {
        let too_small = screen::too_small()?;
        CONTROL.set_paused(too_small.is_some());
        let deadline = Instant::now() + HANDLING;
        let report = dispatch(game, events, || Instant::now() >= deadline);
        if game.take_resized() {
            terminal.forget();
        }
        if let Some(window) = too_small {
            terminal.show_pause(window)?;
        } else {
            game.step();
            terminal.show(Canvas::draw(game, &report, &clock.pulse()))?;
        }
        clock.wait();
    }
    Ok(())
}

/// Plays the game with keys from a pipe. The same threads run. They take turns, and no clock
/// matters.
fn replay(options: &Options) -> io::Result<Game> {
    complain(format_args!(
        "standard input is not a terminal: its bytes are the keys, and nothing is drawn\n"
    ));
    let seed = options.seed.unwrap_or(1);
    let mut game = Game::default();
    let mut events = BUS.consumer().expect("the main thread is the only consumer");
    thread::scope(|threads| {
        let mut conductor = Conductor::default();
        let (keys, rocks, weather) = (conductor.pace(), conductor.pace(), conductor.pace());
        threads.spawn(|| pipe_keys(keys));
        threads.spawn(|| Spawner::new(seed).run(rocks));
        threads.spawn(|| Weather::new(seed).run(weather));
        while goes_on(&game, options) {
            conductor.step();
            let report = dispatch(&mut game, &mut events, || false);
            debug_assert!(report.handled <= EVENTS_PER_TICK, "the budget holds");
            game.step();
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

/// Prints how the game ended and what became of every event.
///
/// The publishers have ended, so this is a quiet moment and the sum must be exact.
fn print_outcome(game: &Game) -> io::Result<()> {
    if let Input::Failed(kind) = game.input {
        return Err(io::Error::new(kind, format!("cannot read the keys: {kind}")));
    }
    let mut text = Vec::new();
    let is_exact = write_outcome(game, &mut text)?;
    // The terminal may have been closed; then standard error may still lead to a file.
    if let Err(error) = io::stdout().write_all(&text) {
        io::stderr().write_all(&text).map_err(|_| error)?;
    }
    let complaint = "the bus has lost count: published is not handled + dropped + pending";
    if is_exact { Ok(()) } else { Err(io::Error::other(complaint)) }
}

/// Writes the outcome. Returns whether each event is accounted for.
fn write_outcome(game: &Game, mut out: impl Write) -> io::Result<bool> {
    let Game { ticks, keys, unknown, round, .. } = game;
    let Round { score, lives, .. } = round;
    let [rocks, gems, shots, bolts] =
        [round.rocks.len(), round.gems.len(), round.shots.len(), round.bolts.len()];
    let (x, y) = (round.ship.column(), round.ship.row());
    let bus = BUS.stats();
    let (published, handled, dropped, pending) =
        (bus.published, bus.handled, bus.dropped(), bus.pending);

    writeln!(out, "The game")?;
    let plural = if *ticks == 1 { "" } else { "s" };
    writeln!(out, "  ended after  {ticks} tick{plural} of 1/60 s")?;
    writeln!(out, "  reached      score {score}, level {}, lives left {lives}", round.level())?;
    writeln!(out, "  your ship    at column {x}, row {y}, {}", round.ship.course())?;
    writeln!(
        out,
        "  around it    rocks {rocks}, gems {gems}, shots {shots}, lightning {bolts}, wind {}",
        game.wind
    )?;
    write!(out, "  your keys    {keys}")?;
    if *unknown > 0 {
        write!(
            out,
            ", of which {unknown} mean nothing: \"{}\"",
            game.first_unknown.escape_default()
        )?;
    }
    writeln!(out)?;
    writeln!(out, "The bus, which holds up to {CAPACITY} events")?;
    writeln!(out, "  published    {published:>6}  events that it accepted from all threads")?;
    writeln!(out, "  handled      {handled:>6}  events that the game took from it")?;
    if game.sparks.count > 0 {
        writeln!(out, "    sparks     {:>6}  of these came from the overload", game.sparks.count)?;
    }
    writeln!(out, "  dropped      {dropped:>6}  events that it lost: it rejects instead")?;
    writeln!(out, "  pending      {pending:>6}  events that waited on it at the end")?;
    writeln!(out, "  refused      {:>6}  events that did not fit and went back", bus.refused)?;
    let is_exact = published == handled + dropped + pending;
    if is_exact {
        writeln!(
            out,
            "Each event is accounted for: {published} = {handled} + {dropped} + {pending}"
        )?;
    }
    Ok(is_exact)
}

/// Paces the frames, 60 a second, and counts the late ones.
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

    /// Sleeps until the next frame is due. After a frame that is late by more than a tick the clock
    /// starts anew: to catch up would make the next frames late as well.
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
