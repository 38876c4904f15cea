//! What the program prints. A reader that has gone away, such as `head`, stops nothing.

use core::fmt::Display;
use std::io::{self, Write};

/// Standard output and standard error, each until it is closed.
#[derive(Default)]
pub(crate) struct Output {
    is_closed: bool,
}

impl Output {
    /// Prints a line.
    pub(crate) fn say(&mut self, line: impl Display) {
        // The orders matter more than who reads of them.
        self.is_closed = self.is_closed || writeln!(io::stdout(), "{line}").is_err();
    }

    /// Reports what is wrong.
    pub(crate) fn complain(&mut self, error: impl Display) {
        let _ = writeln!(io::stderr(), "{error}");
    }
}
