//! Bytes to lines: editing, echo, and every reason why a line cannot be run.

use core::fmt;

use heapless::Vec;

use crate::board;

/// Ctrl-D.
pub const END_OF_INPUT: u8 = 0x04;

/// The longest line.
pub const LENGTH: usize = 64;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7F;

/// Why a line was not run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    /// No command has these words.
    Unknown,
    /// The line has more than [`LENGTH`] bytes: so many.
    TooLong(usize),
    /// The line has a byte that is no printable ASCII: this one, the first.
    NotText(u8),
    /// More was typed than can be kept while the console was busy.
    TooMuchAhead,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "unknown command"),
            Self::TooLong(length) => {
                write!(f, "the line has {length} bytes and was not run, at most {LENGTH} fit")
            }
            Self::NotText(byte) => {
                write!(f, "the line has byte 0x{byte:02x} and was not run, only ASCII text is")
            }
            Self::TooMuchAhead => write!(f, "too much input at once, a byte was lost"),
        }
    }
}

/// The line being typed.
#[derive(Default)]
pub struct Line {
    text: Vec<u8, LENGTH>,
    /// Bytes that did not fit.
    excess: usize,
    wrong: Option<u8>,
    is_over: bool,
    after_return: bool,
}

impl Line {
    /// Takes a byte. The one that ends the line returns its text, or why it has none.
    pub fn push(&mut self, byte: u8) -> Option<Result<&str, Mistake>> {
        // Return and newline together end one line.
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        if byte == b'\n' && after_return {
            return None;
        }
        if core::mem::take(&mut self.is_over) {
            *self = Self { after_return: self.after_return, ..Self::default() };
        }
        match byte {
            b'\r' | b'\n' => {
                echo(b"\r\n");
                self.is_over = true;
                return Some(self.finish());
            }
            BACKSPACE | DELETE => self.erase(),
            b' '..=b'~' => match self.text.push(byte) {
                Ok(()) => echo(&[byte]),
                Err(_) => self.excess += 1,
            },
            other => self.wrong = self.wrong.or(Some(other)),
        }
        None
    }

    /// Something was typed that no return or newline has ended.
    pub fn is_open(&self) -> bool {
        !self.is_over && (!self.text.is_empty() || self.wrong.is_some())
    }

    /// The text so far; after the end of a line, the text of that line.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }

    fn erase(&mut self) {
        if self.excess > 0 {
            self.excess -= 1;
        } else if self.text.pop().is_some() {
            echo(b"\x08 \x08");
        }
    }

    fn finish(&self) -> Result<&str, Mistake> {
        if let Some(byte) = self.wrong {
            Err(Mistake::NotText(byte))
        } else if self.excess > 0 {
            Err(Mistake::TooLong(LENGTH + self.excess))
        } else {
            Ok(self.text())
        }
    }
}

fn echo(bytes: &[u8]) {
    bytes.iter().copied().for_each(board::send);
}
