//! The terminal: opened, painted sixty times a second, and always given back.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::io::{self, Write};
use std::panic;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Color, Print, ResetColor, SetForegroundColor};
use crossterm::terminal::{
    self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{execute, queue};
use tickbus::Report;

use crate::control::CONTROL;
use crate::event::{BUS, CAPACITY};
use crate::game::{Game, HEIGHT, Round, WIDTH};

const COLUMNS: usize = WIDTH as usize + 2;
const ROWS: usize = HEIGHT as usize + 6;
/// Where the field begins, inside its frame and below the lines of text.
const LEFT: i32 = 1;
const TOP: i32 = 4;

const HELP: &str = "a d w s / arrows steer   space fire   o overload   r restart   q quit";

type Row = [(char, Color); COLUMNS];

/// Whether the terminal is ours; whoever clears it has to give the terminal back.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode. Dropping it, and a panic in any thread, gives it back.
pub(crate) struct Terminal {
    shown: Vec<Row>,
}

impl Terminal {
    pub(crate) fn open() -> io::Result<Self> {
        give_back_on_panic();
        enable_raw_mode()?;
        IS_OURS.store(true, SeqCst);
        let terminal = Self { shown: Vec::new() };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }

    /// Forgets what is shown, so that the next frame is drawn as a whole.
    pub(crate) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Shows a frame; only rows that have changed are written.
    pub(crate) fn show(&mut self, frame: &Canvas) -> io::Result<()> {
        let bytes = self.changes(frame)?;
        // A panic elsewhere gives the terminal back under the same lock: no frame comes after it.
        let mut stdout = io::stdout().lock();
        if IS_OURS.load(SeqCst) {
            stdout.write_all(&bytes)?;
            stdout.flush()?;
        }
        Ok(())
    }

    fn changes(&mut self, frame: &Canvas) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.shown.is_empty() {
            queue!(bytes, Clear(ClearType::All))?;
        }
        let (columns, rows) = terminal::size()?;
        for (y, row) in (0..rows).zip(&frame.rows) {
            if self.shown.get(usize::from(y)) != Some(row) {
                queue!(bytes, MoveTo(0, y))?;
                queue_row(&mut bytes, &row[..COLUMNS.min(columns.into())])?;
            }
        }
        if usize::from(columns) < COLUMNS || usize::from(rows) < ROWS {
            let complaint = format!("window too small: {COLUMNS} x {ROWS} needed");
            let visible = complaint.len().min(columns.into());
            queue!(bytes, MoveTo(0, 0), Print(&complaint[..visible]))?;
        }
        self.shown.clone_from(&frame.rows);
        Ok(bytes)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn queue_row(bytes: &mut Vec<u8>, row: &[(char, Color)]) -> io::Result<()> {
    let mut last = None;
    for &(glyph, color) in row {
        if last.replace(color) != Some(color) {
            queue!(bytes, SetForegroundColor(color))?;
        }
        queue!(bytes, Print(glyph))?;
    }
    queue!(bytes, ResetColor)
}

/// Leaves the terminal as it was. Errors have nowhere to go: it may be the terminal that failed.
fn give_back() {
    let mut stdout = io::stdout().lock();
    if IS_OURS.swap(false, SeqCst) {
        let _ = execute!(stdout, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Before a panic prints its message, which would otherwise vanish with the other screen; and the
/// rest of the game comes to an end, as the thread that panicked may be any.
fn give_back_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        give_back();
        CONTROL.stop();
        print(info);
    }));
}

/// A frame in the making.
pub(crate) struct Canvas {
    rows: Vec<Row>,
}

impl Canvas {
    /// Draws the game and, above it, how it and its bus are doing.
    pub(crate) fn draw(game: &Game, report: &Report, pulse: &str) -> Self {
        let mut canvas = Self { rows: vec![[(' ', Color::Reset); COLUMNS]; ROWS] };
        canvas.draw_state(game, pulse);
        canvas.draw_bus(report);
        canvas.draw_frame();
        canvas.draw_world(game);
        canvas.text(0, ROWS as i32 - 1, Color::DarkGrey, HELP);
        canvas
    }

    fn draw_state(&mut self, game: &Game, pulse: &str) {
        let Round { score, lives, .. } = game.round;
        let level = game.round.level();
        let hearts = "♥".repeat(lives as usize);
        let wind = if game.wind < 0 { "<" } else { ">" }.repeat(game.wind.unsigned_abs() as usize);
        self.text(0, 0, Color::White, &format!("score {score:<6} level {level:<3} {hearts}"));
        self.text(29, 0, Color::Cyan, &format!("wind {wind:<6}"));
        self.text(44, 0, Color::White, pulse);
        if CONTROL.is_overloaded() {
            self.text(71, 0, Color::Red, "OVERLOAD");
        }
    }

    /// The line this game is about. (Read while others publish, the sum may be off by a few.)
    fn draw_bus(&mut self, report: &Report) {
        let bus = BUS.stats();
        let sum = format!(
            "bus: published {} = handled {} + dropped {} + pending {}",
            bus.published,
            bus.handled,
            bus.dropped(),
            bus.pending
        );
        let load = format!(
            "     refused {}  high water {}/{CAPACITY}  last tick: handled {}, left {}",
            bus.refused, bus.high_water, report.handled, report.left
        );
        self.text(0, 1, Color::Green, &sum);
        self.text(0, 2, if report.left > 0 { Color::Yellow } else { Color::Green }, &load);
    }

    fn draw_frame(&mut self) {
        let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
        for x in LEFT..right {
            self.put(x, TOP - 1, '─', Color::DarkGrey);
            self.put(x, bottom, '─', Color::DarkGrey);
        }
        for y in TOP..bottom {
            self.put(0, y, '│', Color::DarkGrey);
            self.put(right, y, '│', Color::DarkGrey);
        }
        for (x, y, corner) in
            [(0, TOP - 1, '┌'), (right, TOP - 1, '┐'), (0, bottom, '└'), (right, bottom, '┘')]
        {
            self.put(x, y, corner, Color::DarkGrey);
        }
    }

    /// What comes later hides what came before.
    fn draw_world(&mut self, game: &Game) {
        let round = &game.round;
        for (column, row) in game.sparks.glowing(game.ticks) {
            self.dot(column, row, '·', Color::DarkBlue);
        }
        for bolt in &round.bolts {
            let (glyph, color) =
                if bolt.is_deadly() { ('║', Color::Yellow) } else { ('┊', Color::DarkYellow) };
            for row in 0..HEIGHT {
                self.dot(bolt.column, row, glyph, color);
            }
        }
        for gem in &round.gems {
            self.dot(gem.column(), gem.row(), '◆', Color::Cyan);
        }
        for rock in &round.rocks {
            let (column, row) = (rock.body.column(), rock.body.row());
            if rock.big {
                self.dot(column - 1, row, '(', Color::Grey);
                self.dot(column, row, 'O', Color::Grey);
                self.dot(column + 1, row, ')', Color::Grey);
            } else {
                self.dot(column, row, 'o', Color::Grey);
            }
        }
        for shot in &round.shots {
            self.dot(shot.column(), shot.row(), '|', Color::Red);
        }
        self.draw_ship(game);
    }

    fn draw_ship(&mut self, game: &Game) {
        let round = &game.round;
        if round.over {
            let text = "GAME OVER   r: play again   q: quit";
            let x = LEFT + (WIDTH - text.len() as i32) / 2;
            return self.text(x, TOP + HEIGHT / 2, Color::Red, text);
        }
        // Blinks while nothing can hit it.
        let color = if round.shield & 4 == 0 { Color::White } else { Color::DarkGrey };
        for (x, glyph) in [(-1, '/'), (0, 'A'), (1, '\\')] {
            self.dot(round.ship.column() + x, round.ship.row(), glyph, color);
        }
    }

    /// A cell of the field.
    fn dot(&mut self, column: i32, row: i32, glyph: char, color: Color) {
        if (0..WIDTH).contains(&column) && (0..HEIGHT).contains(&row) {
            self.put(LEFT + column, TOP + row, glyph, color);
        }
    }

    fn text(&mut self, x: i32, y: i32, color: Color, text: &str) {
        for (x, glyph) in (x..).zip(text.chars()) {
            self.put(x, y, glyph, color);
        }
    }

    /// What lies outside is not drawn.
    fn put(&mut self, x: i32, y: i32, glyph: char, color: Color) {
        let cell = self.rows.get_mut(y as usize).and_then(|row| row.get_mut(x as usize));
        if let Some(cell) = cell {
            *cell = (glyph, color);
        }
    }
}
