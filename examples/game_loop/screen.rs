//! The terminal: opened, painted 60 times a second, and always restored.

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
/// The corner of the field, inside its frame and below the lines of text.
const LEFT: i32 = 1;
const TOP: i32 = 4;

const HELP: &str = "a d w s / arrows steer   space fire   o overload   r restart   q quit";
/// The signs and their meaning, each in the colour that it has on the field.
const LEGEND: [(&str, Color, &str); 5] = [
    ("/A\\", Color::White, " you  "),
    ("(O) o", Color::Grey, " rocks: shoot, dodge  "),
    ("◆", Color::Cyan, " gem: take  "),
    ("┊ ║", Color::Yellow, " lightning: flee  "),
    ("|", Color::Red, " shot"),
];

type Row = [(char, Color); COLUMNS];

/// Whether the terminal is in raw mode. The code that clears this flag restores the terminal.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode. Dropping it restores the terminal, and so does a panic in any thread.
pub(crate) struct Terminal {
    shown: Shown,
}

/// What is on the screen.
#[derive(PartialEq)]
enum Shown {
    Unknown,
    Frame(Vec<Row>),
    /// The message for a window of this size.
    Pause(Window),
}

/// The columns and rows of the window.
type Window = (u16, u16);

/// Returns the size of the window if the game does not fit into it.
pub(crate) fn too_small() -> io::Result<Option<Window>> {
    let (columns, rows) = terminal::size()?;
    let fits = usize::from(columns) >= COLUMNS && usize::from(rows) >= ROWS;
    Ok((!fits).then_some((columns, rows)))
}

impl Terminal {
    pub(crate) fn open() -> io::Result<Self> {
        give_back_on_panic();
        enable_raw_mode()?;
        IS_OURS.store(true, SeqCst);
        let terminal = Self { shown: Shown::Unknown };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }

    /// Forgets what is shown, so that the next frame is drawn as a whole.
    pub(crate) fn forget(&mut self) {
        self.shown = Shown::Unknown;
    }

    /// Shows a frame. Only the rows that have changed are written.
    pub(crate) fn show(&mut self, frame: Canvas) -> io::Result<()> {
        let mut bytes = Vec::new();
        let shown = match &self.shown {
            Shown::Frame(rows) => &rows[..],
            _ => {
                queue!(bytes, Clear(ClearType::All))?;
                &[]
            }
        };
        for (y, row) in (0..).zip(&frame.rows) {
            if shown.get(usize::from(y)) != Some(row) {
                queue!(bytes, MoveTo(0, y))?;
                queue_row(&mut bytes, row)?;
            }
        }
        self.shown = Shown::Frame(frame.rows);
        write(&bytes)
    }

    /// Shows, alone on the screen, that the game waits for a larger window.
    pub(crate) fn show_pause(&mut self, window: Window) -> io::Result<()> {
        if self.shown == Shown::Pause(window) {
            return Ok(());
        }
        let (columns, rows) = window;
        let text = format!(
            "Paused: the game needs a window of {COLUMNS} x {ROWS}, and this one has {columns} x {rows}. \
             Enlarge it to go on, or press q to quit."
        );
        let mut bytes = Vec::new();
        queue!(bytes, Clear(ClearType::All))?;
        for (y, line) in (0..rows).zip(wrapped(&text, columns.into())) {
            queue!(bytes, MoveTo(0, y), Print(line))?;
        }
        self.shown = Shown::Pause(window);
        write(&bytes)
    }
}

/// Breaks a text into lines of at most so many characters. A longer word is cut.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("the first line is there");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    for line in &mut lines {
        line.truncate(columns);
    }
    lines
}

/// Writes to the terminal. A panic in another thread restores the terminal under the same lock, and
/// nothing is written after that.
fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if IS_OURS.load(SeqCst) {
        stdout.write_all(bytes)?;
        stdout.flush()?;
    }
    Ok(())
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

/// Restores the terminal. An error is ignored: the terminal itself may have failed.
fn give_back() {
    let mut stdout = io::stdout().lock();
    if IS_OURS.swap(false, SeqCst) {
        let _ = execute!(stdout, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Makes a panic in any thread restore the terminal and stop the game.
///
/// The terminal comes first: a message on the game's screen would vanish with it.
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
    /// Draws the game. Above it are the numbers of the game and of its bus, below it the legend.
    pub(crate) fn draw(game: &Game, report: &Report, pulse: &str) -> Self {
        let mut canvas = Self { rows: vec![[(' ', Color::Reset); COLUMNS]; ROWS] };
        canvas.draw_state(game, pulse);
        canvas.draw_bus(report);
        canvas.draw_frame();
        canvas.draw_legend();
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

    /// Draws the sum that this game is about. Other threads publish meanwhile, so it may be off by a
    /// few.
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

    /// Writes the legend into the lower edge of the frame.
    fn draw_legend(&mut self) {
        let mut x = LEFT + 1;
        for (sign, color, meaning) in LEGEND {
            for (text, color) in [(sign, color), (meaning, Color::Reset)] {
                self.text(x, TOP + HEIGHT, color, text);
                x += text.chars().count() as i32;
            }
        }
    }

    /// Draws the field. A later thing hides an earlier one.
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
        // The ship blinks while nothing can hit it.
        let color = if round.shield & 4 == 0 { Color::White } else { Color::DarkGrey };
        for (x, glyph) in [(-1, '/'), (0, 'A'), (1, '\\')] {
            self.dot(round.ship.column() + x, round.ship.row(), glyph, color);
        }
    }

    /// Draws a cell of the field.
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

    /// Draws a cell of the screen. Outside there is nothing to draw.
    fn put(&mut self, x: i32, y: i32, glyph: char, color: Color) {
        let cell = self.rows.get_mut(y as usize).and_then(|row| row.get_mut(x as usize));
        if let Some(cell) = cell {
            *cell = (glyph, color);
        }
    }
}
