//! Where an entry is in a stream: [`Id`].

use core::fmt;

/// How many entries of one millisecond have a sequence, as a power of two.
const PARTS: u32 = 20;

/// A time in milliseconds, and a number among those of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) ms: u64,
    pub(super) part: u64,
}

impl Id {
    pub(super) const LAST: Self = Self { ms: u64::MAX, part: u64::MAX };

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, part) = core::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, part: part.parse().ok()? })
    }

    /// Returns the sequence. `None` for an entry after the year 2527, or behind a million of one
    /// millisecond: only another program names entries so.
    pub(super) fn sequence(self) -> Option<u64> {
        let fits = self.ms >> (64 - PARTS) == 0 && self.part >> PARTS == 0;
        fits.then_some(self.ms << PARTS | self.part)
    }

    pub(super) const fn of_sequence(sequence: u64) -> Self {
        Self { ms: sequence >> PARTS, part: sequence & ((1 << PARTS) - 1) }
    }

    /// Returns the last one before this.
    pub(super) const fn before(self) -> Self {
        match (self.ms, self.part) {
            (0, 0) => self,
            (ms, 0) => Self { ms: ms - 1, part: u64::MAX },
            (ms, part) => Self { ms, part: part - 1 },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.part)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Id;

    #[test]
    fn a_sequence_is_an_entry_and_back() {
        for text in ["0-1", "1764468000123-0", "17592186044415-1048575"] {
            let id = Id::parse(text.as_bytes()).unwrap();
            assert_eq!(Id::of_sequence(id.sequence().unwrap()), id);
            assert_eq!(id.to_string(), text);
        }
        assert!(Id::of_sequence(7) < Id::of_sequence(8));
        for text in ["17592186044416-0", "1-1048576"] {
            assert_eq!(Id::parse(text.as_bytes()).unwrap().sequence(), None);
        }
        for text in ["", "1", "1-", "a-1", "1-2-3"] {
            assert_eq!(Id::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn before_an_entry_is_the_last_one_that_can_be() {
        let before = |text: &str| Id::parse(text.as_bytes()).unwrap().before().to_string();
        assert_eq!((&*before("5-7"), &*before("0-0")), ("5-6", "0-0"));
        assert_eq!(before("5-0"), "4-18446744073709551615");
    }
}
