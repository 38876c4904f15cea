//! What a server says of a topic.

use crate::hosted::Level;

/// What a server says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) partitions: i32,
    /// What a confirmed publish is.
    pub(super) level: Level,
    /// How many bytes a batch may have.
    pub(super) limit: usize,
}

/// Returns what a publish is that all replicas in sync have confirmed. A server writes to its disk
/// later, unless the topic sets `flush.messages=1`. What only one server has, its failure loses.
pub(super) const fn level(replicas: usize, in_sync: u64, flush: u64) -> Level {
    if flush == 1 || replicas >= 2 && in_sync >= 2 { Level::Stored } else { Level::Accepted }
}

#[cfg(test)]
mod tests {
    use super::level;
    use crate::hosted::Level;

    #[test]
    fn stored_is_what_one_failure_does_not_lose() {
        let never = u64::MAX;
        assert_eq!(level(3, 2, never), Level::Stored);
        assert_eq!(level(1, 1, 1), Level::Stored, "each message is on the disk");
        assert_eq!(level(3, 1, never), Level::Accepted, "one may be the only one in sync");
        assert_eq!(level(1, 2, never), Level::Accepted);
        assert_eq!(level(1, 1, 10_000), Level::Accepted);
    }
}
