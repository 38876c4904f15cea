//! A text that is put together while compiling, where `panic!` does not format.

/// The message of a compile error.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Text {
    /// Twice the longest subject: one fits, whatever is said about it.
    const ROOM: usize = 2048;

    pub(crate) const fn new() -> Self {
        Self { bytes: [0; Self::ROOM], len: 0 }
    }

    /// How many bytes more it takes.
    pub(crate) const fn room(&self) -> usize {
        Self::ROOM - self.len
    }

    /// Appends `part`. A part that does not fit is left out whole.
    pub(crate) const fn with(mut self, part: &str) -> Self {
        let part = part.as_bytes();
        if part.len() <= self.room() {
            self.bytes.split_at_mut(self.len).1.split_at_mut(part.len()).0.copy_from_slice(part);
            self.len += part.len();
        }
        self
    }

    /// Appends a number.
    pub(crate) const fn with_number(self, number: usize) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let before = if number < 10 { self } else { self.with_number(number / 10) };
        before.with(DIGITS[number % 10])
    }

    /// Panics with what there is.
    #[track_caller]
    pub(crate) const fn refuse(&self) -> ! {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => panic!("{}", text),
            Err(_) => unreachable!(), // whole parts, each UTF-8
        }
    }
}
