//! Where a group begins.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use krafka::admin::{AlterConsumerGroupOffsetsOptions, ListConsumerGroupOffsetsOptions};
use krafka::consumer::TopicPartition;

use super::connection::Connection;
use super::fault;
use super::topics::{Place, of_sequence};
use crate::envelope::Timestamp;
use crate::hosted::engines::failed::refused;
use crate::hosted::{DurableOptions, Reason, StartAt};

/// Begins what we say of a group beside its positions.
const MARK: &str = "tb1";
/// How many bytes of the patterns are said. A server takes 4096 bytes by default.
const PATTERNS: usize = 2048;

/// What the server keeps of a group beside a position: its patterns, so that members with others are
/// found out, and before which time of the server it has no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) not_before: Option<i64>,
    patterns: String,
}

impl Mark {
    fn new(options: &DurableOptions) -> Self {
        let mut patterns: Vec<&str> =
            options.patterns.iter().map(|pattern| pattern.as_str()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let mut patterns = patterns.join(" ");
        patterns
            .truncate((0..=PATTERNS).rev().find(|at| patterns.is_char_boundary(*at)).unwrap_or(0));
        Self { not_before: None, patterns }
    }

    fn text(&self) -> String {
        match self.not_before {
            Some(time) => format!("{MARK} {time} {}", self.patterns),
            None => format!("{MARK} - {}", self.patterns),
        }
    }

    /// Returns the text for a server that has refused it `refused` times: whole, then without the
    /// patterns, then empty.
    pub(super) fn shortened(&self, refused: usize) -> String {
        match refused {
            0 => self.text(),
            1 => Self { not_before: self.not_before, patterns: String::new() }.text(),
            _ => String::new(),
        }
    }

    /// Returns whether it can be of a group with these patterns.
    fn fits(&self, patterns: &str) -> bool {
        self.patterns.is_empty() || self.patterns == patterns
    }

    /// Reads what the server has. `None` if it is not ours.
    fn read(text: &str) -> Option<Self> {
        let (time, patterns) = text.strip_prefix(MARK)?.strip_prefix(' ')?.split_once(' ')?;
        Some(Self { not_before: time.parse().ok(), patterns: patterns.into() })
    }
}

/// Returns a time as a server counts it.
fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.unix_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// A position of a group.
pub(super) struct Committed {
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) mark: Option<Mark>,
}

impl Connection {
    /// Returns the positions that a group has in these partitions.
    pub(super) async fn committed(
        &self,
        group: &str,
        places: &[Place],
    ) -> Result<Vec<Committed>, Reason> {
        let options = ListConsumerGroupOffsetsOptions::default()
            .partitions(places.iter().map(|place| self.partition(*place)).collect())
            .timeout(self.timeout);
        let listed = self.client.admin().list_consumer_group_offsets(group, options).await;
        let listed = listed.map_err(|error| fault::reason(&error))?;
        let mut committed = Vec::with_capacity(listed.len());
        for (partition, listed) in listed {
            let listed = listed.map_err(|error| fault::reason(&error))?;
            let Some(place) = self.place(&partition) else { continue };
            let Some(offset) = listed.offset else { continue };
            let mark = listed.metadata.as_deref().and_then(Mark::read);
            committed.push(Committed { place, offset, mark });
        }
        Ok(committed)
    }

    pub(super) fn partition(&self, place: Place) -> TopicPartition {
        TopicPartition::new(self.topics.name(place.topic), place.partition)
    }

    pub(super) fn place(&self, partition: &TopicPartition) -> Option<Place> {
        let topic = self.topics.number(&partition.topic)?;
        Some(Place { topic, partition: partition.partition })
    }

    /// Sees to it that a group has a position in each partition. Returns what its members say of it.
    pub(super) async fn begin(
        &self,
        group: &str,
        places: &[Place],
        options: &DurableOptions,
    ) -> Result<Mark, Reason> {
        let mut mark = Mark::new(options);
        // The second of two members that open at once finds what the first one has made.
        let _one = self.opening.lock().await;
        let committed = self.committed(group, places).await?;
        // A server may have refused the patterns of some: the longest says most.
        let marks = committed.iter().filter_map(|it| it.mark.as_ref());
        if let Some(other) = marks.max_by_key(|mark| mark.patterns.len()) {
            if !other.fits(&mark.patterns) {
                return Err(refused(format!(
                    "the group `{group}` exists for other patterns ({}): name another group",
                    other.patterns
                )));
            }
            return Ok(other.clone());
        }
        let has = |place: &&Place| committed.iter().any(|it| it.place == **place);
        let missing: Vec<Place> = places.iter().filter(|place| !has(place)).copied().collect();
        if missing.is_empty() {
            return Ok(mark);
        }
        if committed.is_empty()
            && let StartAt::Time(time) = options.start_at
        {
            // Only one to come: what is there already has a position.
            mark.not_before = Some(millis(time)).filter(|time| *time > millis(Timestamp::now()));
        }
        let mut offsets = Vec::with_capacity(missing.len());
        for place in &missing {
            // A partition that is newer than the group is read from its beginning.
            let is_new = !committed.is_empty();
            let at = if is_new { StartAt::Earliest } else { options.start_at };
            offsets.push((self.partition(*place), self.offset(*place, at).await?));
        }
        let alter = AlterConsumerGroupOffsetsOptions::default().timeout(self.timeout);
        let altered = self.client.admin().alter_consumer_group_offsets(group, offsets, alter).await;
        let altered = altered.map_err(|error| fault::reason(&error))?;
        match altered.into_values().find_map(Result::err) {
            None => Ok(mark),
            // It has members by now. Each of them has seen to the positions before it joined.
            Some(error) if fault::is_fenced(&error) => Ok(mark),
            Some(error) => Err(fault::reason(&error)),
        }
    }

    /// Returns the offset at which a group begins in a partition.
    async fn offset(&self, place: Place, at: StartAt) -> Result<i64, Reason> {
        let topic = self.topics.name(place.topic);
        let ends = self.scout.fetch_watermarks(topic, place.partition).await;
        let (first, end) = ends.map_err(|error| fault::reason(&error))?;
        Ok(match at {
            StartAt::New => end,
            StartAt::Earliest => first,
            StartAt::Sequence(sequence) => match of_sequence(sequence) {
                (partition, offset) if partition == place.partition => offset.min(end),
                _ => end,
            },
            StartAt::Time(time) => {
                let time = millis(time);
                if time > millis(Timestamp::now()) {
                    return Ok(end);
                }
                let found = self.scout.offsets_for_times(&[(topic, place.partition)], time).await;
                match found.into_values().next() {
                    Some(Ok(offset)) if offset >= 0 => offset.min(end),
                    Some(Ok(_)) => end,
                    Some(Err(error)) => return Err(fault::reason(&error)),
                    None => {
                        return Err(refused(
                            "it does not say what it has since a time".to_string(),
                        ));
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::time::Duration;

    use super::Mark;
    use crate::hosted::{DurableOptions, StartAt};

    fn options(patterns: &[&str]) -> DurableOptions {
        DurableOptions {
            patterns: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            group: Box::from("g"),
            start_at: StartAt::New,
            lease: Duration::from_secs(1),
            in_flight: 1,
            max_attempts: None,
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_said() {
        let mut mark = Mark::new(&options(&["b.*", "a.>", "b.*"]));
        assert_eq!(mark.text(), "tb1 - a.> b.*");
        assert_eq!(Mark::read(&mark.text()), Some(mark.clone()));
        mark.not_before = Some(1_764_468_000_123);
        assert_eq!(Mark::read(&mark.text()), Some(mark));
        for other in ["", "tb1", "tb2 - a", "what another program says"] {
            assert_eq!(Mark::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_mark_that_the_server_refuses_is_shortened() {
        let mut mark = Mark::new(&options(&["a.>"]));
        mark.not_before = Some(17);
        assert_eq!([0, 1, 2].map(|refused| mark.shortened(refused)), ["tb1 17 a.>", "tb1 17 ", ""]);
        let short = Mark::read(&mark.shortened(1)).unwrap();
        assert_eq!(short.not_before, Some(17));
        assert!(short.fits("a.>") && short.fits("b") && !mark.fits("b"));
    }

    #[test]
    fn many_patterns_are_said_in_part() {
        let many: alloc::vec::Vec<_> = (0..1000).map(|it| alloc::format!("ä{it}.>")).collect();
        let many: alloc::vec::Vec<_> = many.iter().map(|it| &**it).collect();
        assert!(Mark::new(&options(&many)).text().len() < 2100);
    }
}
