//! Which topic has which subjects, and where an event is in it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::hosted::Reason;
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::filter::{covers, overlap};
use crate::subject::{PatternBuf, Subject};

/// How many bits of a sequence the offset has. The partition has those above.
const OFFSET_BITS: u32 = 48;

/// A partition of one of the topics of an engine, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: usize,
    pub(super) partition: i32,
}

/// Returns the sequence of an event. `None` where it does not fit.
pub(super) fn sequence(partition: i32, offset: i64) -> Option<u64> {
    let (partition, offset) = (u16::try_from(partition).ok()?, u64::try_from(offset).ok()?);
    (offset >> OFFSET_BITS == 0).then_some(u64::from(partition) << OFFSET_BITS | offset)
}

/// Returns the partition and the offset of a sequence.
pub(super) const fn of_sequence(sequence: u64) -> (i32, i64) {
    let offset = sequence & ((1 << OFFSET_BITS) - 1);
    ((sequence >> OFFSET_BITS) as i32, offset.cast_signed())
}

/// The topics of an engine. The last one has what no pattern matches.
#[derive(Debug)]
pub(super) struct Topics {
    names: Vec<String>,
    rules: Vec<(PatternBuf, usize)>,
}

impl Topics {
    pub(super) fn new(default: &str, topics: &[(String, String)]) -> Result<Self, Reason> {
        let mut all = Self { names: Vec::new(), rules: Vec::new() };
        for (pattern, topic) in topics {
            let valid = pattern.parse::<PatternBuf>();
            let valid = valid.map_err(|error| refused(format!("`{pattern}`: {error}")))?;
            let at = all.add(topic)?;
            all.rules.push((valid, at));
        }
        all.add(default)?;
        Ok(all)
    }

    fn add(&mut self, topic: &str) -> Result<usize, Reason> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if topic.is_empty()
            || topic.len() > 249
            || !topic.bytes().all(allowed)
            || topic.starts_with('.') && topic.len() < 3
        {
            let what = "1 to 249 letters, digits, `.`, `_` and `-`";
            return Err(refused(format!("`{topic}` is not the name of a topic: {what}")));
        }
        // `rules` name topics by their numbers, so one that comes twice has one number.
        Ok(self.names.iter().position(|name| name == topic).unwrap_or_else(|| {
            self.names.push(topic.into());
            self.names.len() - 1
        }))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn name(&self, topic: usize) -> &str {
        self.names.get(topic).map_or("", |name| name)
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own == name)
    }

    /// Returns whether all events are in one topic.
    pub(super) fn is_one(&self) -> bool {
        self.names.len() == 1
    }

    /// Returns the topic of a subject.
    pub(super) fn of(&self, subject: Subject<'_>) -> usize {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.matches(subject));
        rule.map_or_else(|| self.default(), |(_, topic)| *topic)
    }

    fn default(&self) -> usize {
        self.names.len() - 1
    }

    /// Returns the topics that can have a subject that one of the patterns matches.
    pub(super) fn carrying(&self, patterns: &[PatternBuf]) -> Vec<usize> {
        let mut topics = Vec::new();
        for pattern in patterns.iter().map(PatternBuf::as_str) {
            let rules = self.rules.iter().map(|(rule, topic)| (rule.as_str(), *topic));
            let fits = |(rule, _): &(&str, usize)| overlap(rule, pattern);
            topics.extend(rules.clone().filter(fits).map(|(_, topic)| topic));
            if !rules.clone().any(|(rule, _)| covers(rule, pattern)) {
                topics.push(self.default());
            }
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Topics, of_sequence, sequence};
    use crate::subject::{PatternBuf, Subject};

    #[test]
    fn a_sequence_is_a_place_and_back() {
        for (partition, offset) in [(0, 0), (0, 7), (3, 12), (65_535, (1 << 48) - 1)] {
            let sequence = sequence(partition, offset).unwrap();
            assert_eq!(of_sequence(sequence), (partition, offset));
        }
        assert_eq!(sequence(0, 7), Some(7), "one partition: the sequence is the offset");
        assert_eq!(sequence(65_536, 0), None);
        assert_eq!(sequence(0, 1 << 48), None);
        assert_eq!(sequence(0, -1), None);
    }

    #[test]
    fn the_first_pattern_names_the_topic_and_a_subscription_reads_all_that_fit() {
        let rules = [("match.*.score", "scores"), ("chat.>", "chat"), ("match.7.*", "scores")];
        let rules: Vec<_> = rules.map(|(a, b)| (a.into(), b.into())).into();
        let topics = Topics::new("events", &rules).unwrap();
        assert_eq!(topics.names(), ["scores", "chat", "events"]);
        let of = |subject: &'static str| topics.name(topics.of(Subject::new(subject).unwrap()));
        assert_eq!(of("match.1.score"), "scores");
        assert_eq!(of("match.7.start"), "scores");
        assert_eq!(of("match.1.start"), "events");
        assert_eq!(of("chat.a.b"), "chat");
        let carrying = |pattern: &str| topics.carrying(&[pattern.parse::<PatternBuf>().unwrap()]);
        assert_eq!(carrying("match.*.score"), [0]);
        assert_eq!(carrying("match.>"), [0, 2]);
        assert_eq!(carrying("*.a"), [1, 2]);
        assert_eq!(carrying(">"), [0, 1, 2]);
        assert_eq!(carrying("chat.general"), [1]);
    }

    #[test]
    fn names_that_a_server_refuses_are_refused() {
        for name in ["", "a b", "user.*", ".", "..", "ä"] {
            assert!(Topics::new(name, &[]).is_err(), "{name}");
        }
        assert!(Topics::new("events", &[("a..b".into(), "x".into())]).is_err());
        assert!(Topics::new("a.B_c-1", &[]).is_ok());
    }
}
