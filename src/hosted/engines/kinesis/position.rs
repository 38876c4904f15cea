//! Where in a shard a group is, as a text that a store of leases keeps.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::envelope::Timestamp;

/// A place in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Before the oldest event.
    Earliest,
    /// Before the first event that arrived at this time or later.
    At(Timestamp),
    /// Behind this event.
    After(Arc<str>),
    /// Behind everything.
    End,
}

/// A place, and until when everything before it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    /// In milliseconds.
    pub(super) seen: Option<i64>,
}

impl Mark {
    pub(super) const fn new(position: Position) -> Self {
        Self { position, seen: None }
    }

    /// `None` if another version has written it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, seen) = match text.split_once(';') {
            Some((text, seen)) => (text, Some(seen.parse().ok()?)),
            None => (text, None),
        };
        let position = match text.split_once(':') {
            None if text == "earliest" => Position::Earliest,
            None if text == "end" => Position::End,
            Some(("at", nanos)) => {
                Position::At(Timestamp::from_unix_nanos(nanos.parse().ok()?).ok()?)
            }
            Some(("after", sequence)) if !sequence.is_empty() => Position::After(sequence.into()),
            _ => return None,
        };
        Some(Self { position, seen })
    }

    pub(super) fn text(&self) -> String {
        let text = match &self.position {
            Position::Earliest => "earliest".into(),
            Position::At(time) => format!("at:{}", time.unix_nanos()),
            Position::After(sequence) => format!("after:{sequence}"),
            Position::End => "end".into(),
        };
        match self.seen {
            Some(seen) => format!("{text};{seen}"),
            None => text,
        }
    }
}

/// Returns the time of day in milliseconds.
pub(super) fn wall() -> i64 {
    i64::try_from(Timestamp::now().unix_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Mark, Position, Timestamp};

    #[test]
    fn a_mark_reads_back() {
        let time = Timestamp::from_unix_nanos(1_764_468_000_123_456_789).unwrap();
        let positions =
            [Position::Earliest, Position::At(time), Position::After("49".into()), Position::End];
        for position in positions {
            for seen in [None, Some(17)] {
                let mark = Mark { position: position.clone(), seen };
                assert_eq!(Mark::parse(&mark.text()), Some(mark));
            }
        }
        for text in ["", "after:", "later", "at:x", "end;", "earliest:"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
        // The form must not change: a store keeps it.
        let mark = Mark { position: Position::After("495".into()), seen: Some(1_764_468_000_123) };
        assert_eq!(mark.text(), "after:495;1764468000123");
    }
}
