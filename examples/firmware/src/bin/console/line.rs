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
const ESCAPE: u8 = 0x1B;

/// Why a line was not run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    /// No command begins with this word.
    Unknown,
    /// Some commands begin with the first word, and none has these words.
    Usage,
    /// The line has more than [`LENGTH`] bytes: so many.
    TooLong(usize),
    /// The line has a byte that is not printable ASCII. This is the first.
    NotText(u8),
    /// More was typed than can be kept while the console was busy.
    TooMuchAhead,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "unknown command"),
            Self::Usage => write!(f, "no such use of the command"),
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

/// How far an escape sequence is, which arrow keys and their like send. It is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Sequence {
    #[default]
    None,
    /// The escape has come.
    Begun,
    /// `[` has come: parameters follow, and a final byte.
    Parameters,
    /// One byte follows.
    Last,
}

impl Sequence {
    /// What `byte` makes of it, and whether it is part of it.
    const fn after(self, byte: u8) -> (Self, bool) {
        match (self, byte) {
            (_, ESCAPE) => (Self::Begun, true),
            // Any other control byte ends it, and means what it means.
            (_, 0..b' ' | DELETE..) | (Self::None, _) => (Self::None, false),
            (Self::Begun, b'[') => (Self::Parameters, true),
            (Self::Begun, b'O') => (Self::Last, true),
            (Self::Parameters, b' '..=b'?') => (Self::Parameters, true),
            _ => (Self::None, true),
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
    sequence: Sequence,
}

impl Line {
    /// Takes a byte. The one that ends the line returns its text, or why it has none.
    pub fn push(&mut self, byte: u8) -> Option<Result<&str, Mistake>> {
        let (sequence, is_ignored) = self.sequence.after(byte);
        self.sequence = sequence;
        if is_ignored {
            return None;
        }
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
