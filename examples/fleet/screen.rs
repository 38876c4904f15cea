//! The terminal: lines that are drawn anew, and keys.

use core::time::Duration;
use std::io::{self, Write};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, style, terminal};

/// The terminal in raw mode, until it is dropped.
pub(crate) struct Screen;

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    pub(crate) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut bytes = Vec::new();
        queue!(bytes, terminal::Clear(terminal::ClearType::All))?;
        for (y, line) in (0..).zip(lines) {
            queue!(bytes, cursor::MoveTo(0, y), style::Print(line))?;
        }
        let mut output = io::stdout().lock();
        output.write_all(&bytes)?;
        output.flush()
    }

    /// Returns a key that was pressed, if there is one. Ctrl-C is `q`.
    pub(crate) fn key(&self) -> Option<char> {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                _ if key.kind != KeyEventKind::Press => {}
                KeyCode::Char('c') if is_control => return Some('q'),
                KeyCode::Char(key) => return Some(key),
                _ => {}
            }
        }
        None
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}
