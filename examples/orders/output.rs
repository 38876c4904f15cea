//! What the program prints. A reader that has gone away, such as `head`, stops nothing.

use core::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Standard output and standard error. A closed one is not written to.
#[derive(Default)]
pub(crate) struct Output {
    is_closed: bool,
    is_lost: bool,
}

impl Output {
    /// Prints a line.
    pub(crate) fn say(&mut self, line: impl Display) {
        if self.is_closed {
            return;
        }
        if let Err(error) = writeln!(io::stdout(), "{line}") {
            self.is_closed = true;
            if error.kind() != ErrorKind::BrokenPipe {
                self.is_lost = true;
                self.complain(format_args!("the output is lost from here on: {error}"));
            }
        }
    }

    /// Reports what is wrong.
    pub(crate) fn complain(&mut self, error: impl Display) {
        let _ = writeln!(io::stderr(), "{error}");
    }

    /// Returns whether everything was printed, or its reader wanted no more.
    pub(crate) const fn is_whole(&self) -> bool {
        !self.is_lost
    }
}
