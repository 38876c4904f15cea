//! How far a reader is: in snapshots, so a transaction that is open delays its own events alone.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// What is committed at a moment: all transactions below `xmax`, but for those in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) xmin: i64,
    pub(super) xmax: i64,
    pub(super) open: Vec<i64>,
}

impl Snapshot {
    /// Reads what `pg_current_snapshot` says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let open = parts.next()?;
        let open = open.split(',').filter(|it| !it.is_empty()).map(str::parse);
        Some(Self { xmin, xmax, open: open.collect::<Result<_, _>>().ok()? })
    }
}

impl Snapshot {
    /// Leaves out the transactions from `xmax` on. A server that is killed may give the numbers of those
    /// once more that have left nothing on its disk, so a position ends with one that has.
    pub(super) fn bounded(mut self, xmax: i64) -> Self {
        self.xmax = self.xmax.min(xmax);
        self.open.retain(|open| *open < self.xmax);
        self.xmin = self.open.iter().copied().min().unwrap_or(self.xmax);
        self
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (at, open) in self.open.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            write!(f, "{open}")?;
        }
        Ok(())
    }
}

/// A place among the events: the transaction, and the sequence.
pub(super) type Place = (i64, i64);

/// Everything in `done` was read. Of what came between `done` and the end of the window, everything
/// up to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) done: Snapshot,
    pub(super) window: Option<(Snapshot, Place)>,
    /// Of the sequences up to here, those that were not read are of transactions that were open. What is
    /// removed behind it is missed.
    pub(super) mark: i64,
    /// What is not read is behind this.
    pub(super) low: i64,
}

impl Position {
    /// Returns a text for `upto`, and the place.
    pub(super) fn parts(&self) -> (Option<String>, Place) {
        match &self.window {
            Some((end, at)) => (Some(alloc::format!("{end}")), *at),
            None => (None, (0, 0)),
        }
    }
}

/// What a reader remembers of its reads, so that it need not look into old segments.
pub(super) struct Reads {
    /// The last sequence that the log had, read before the snapshot of the next read is taken.
    pub(super) last: i64,
    segment: i64,
    /// For each segment that a read began in: the end of the snapshot, and the last sequence before.
    began: VecDeque<(i64, i64)>,
}

impl Reads {
    pub(super) const fn new(last: i64, segment: i64) -> Self {
        Self { last, segment, began: VecDeque::new() }
    }

    /// Returns the position of a reader that has read everything in `now`, where `xmax` follows the newest
    /// transaction of the log. What was not read before was behind `low`.
    pub(super) fn caught_up(&mut self, now: Snapshot, xmax: i64, last: i64, low: i64) -> Position {
        let before = self.last;
        if self.began.back().is_none_or(|(_, back)| back / self.segment < before / self.segment) {
            self.began.push_back((now.xmax, before));
        }
        while self.began.get(1).is_some_and(|(xmax, _)| *xmax <= now.xmin) {
            self.began.pop_front();
        }
        // A transaction that begins after a snapshot gets sequences behind those that were given before.
        let low = match self.began.front() {
            Some((xmax, before)) if *xmax <= now.xmin => low.max(*before),
            _ => low,
        };
        self.last = last;
        Position { done: now.bounded(xmax), window: None, mark: last, low }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{Reads, Snapshot};

    #[test]
    fn a_snapshot_is_a_text_and_back() {
        for text in ["1:1:", "10:20:10,14,15", "9:11:9"] {
            assert_eq!(Snapshot::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_position_has_no_transaction_that_may_be_lost() {
        let bounded = |text, xmax| Snapshot::parse(text).unwrap().bounded(xmax).to_string();
        assert_eq!(bounded("10:20:10,14", 15), "10:15:10,14");
        assert_eq!(bounded("10:20:10,14", 14), "10:14:10");
        assert_eq!(bounded("14:20:14,18", 12), "12:12:");
        assert_eq!(bounded("10:20:10", 30), "10:20:10");
    }

    #[test]
    fn an_open_writer_keeps_the_segments_that_it_may_write_to() {
        let mut reads = Reads::new(5, 100);
        let snapshot = |text| Snapshot::parse(text).unwrap();
        assert_eq!(reads.caught_up(snapshot("10:10:"), 10, 150, 0).low, 5);
        // 12 is open from here on.
        assert_eq!(reads.caught_up(snapshot("12:14:12"), 14, 250, 5).low, 5);
        assert_eq!(reads.caught_up(snapshot("12:20:12"), 20, 350, 5).low, 5);
        // It is over.
        let over = reads.caught_up(snapshot("30:30:"), 30, 360, 5);
        assert_eq!((over.low, over.mark), (350, 360));
    }
}
