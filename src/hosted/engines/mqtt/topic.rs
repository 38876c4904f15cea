//! Subjects as topics, patterns as filters, and the names of groups and sessions.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::envelope::compact::mqtt;
use crate::hosted::Reason;
use crate::hosted::engines::filter::{cover, filters, overlap};
use crate::subject::{PatternBuf, Subject};

/// Maps subjects to topics below a prefix.
#[derive(Clone)]
pub(super) struct Topics {
    /// The levels of the prefix, without a `/` at the end.
    prefix: String,
}

impl Topics {
    pub(super) fn new(prefix: &str) -> Result<Self, Reason> {
        match mqtt::prefix_levels(prefix) {
            Ok(levels) => Ok(Self { prefix: levels.into() }),
            Err(why) => Err(Reason::Refused(why.into())),
        }
    }

    /// Returns the topic of a subject.
    pub(super) fn of(&self, subject: Subject<'_>) -> Result<String, Reason> {
        self.written(subject.as_str(), false)
    }

    fn written(&self, text: &str, wild: bool) -> Result<String, Reason> {
        let pieces = mqtt::pieces(&self.prefix, text, wild);
        pieces.map(Iterator::collect).map_err(|why| Reason::Subject(why.into()))
    }

    /// Returns the subject of a topic. `None` if there is none: it is not below the prefix, it has
    /// an empty level or a `.`.
    pub(super) fn subject(&self, topic: &str) -> Option<String> {
        let subject = mqtt::below(&self.prefix, topic)?.replace('/', ".");
        Subject::new(&subject).is_ok().then_some(subject)
    }

    /// Returns filters that cover the patterns, no two of which match one topic.
    pub(super) fn filters(&self, patterns: &[PatternBuf]) -> Result<Vec<String>, Reason> {
        let mut chosen = filters(patterns);
        // `a/#` matches `a` too, which another filter may match.
        let collide = |wide: &String| {
            let parent = wide.strip_suffix(".>");
            let other = |it: &String, parent: &str| it != wide && overlap(it, parent);
            parent.is_some_and(|parent| chosen.iter().any(|it| other(it, parent)))
        };
        if chosen.iter().any(collide) {
            chosen = alloc::vec![cover(patterns)];
        }
        chosen.iter().map(|pattern| self.written(pattern, true)).collect()
    }
}

/// Returns the filter by which the members of a group share what matches.
pub(super) fn shared(group: &str, filter: &str) -> String {
    let mut shared = String::from("$share/");
    for c in group.chars() {
        if matches!(c, '/' | '+' | '#' | '%') || mqtt::is_unsound(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(shared, "%{byte:02X}");
            }
        } else {
            shared.push(c);
        }
    }
    shared.push('/');
    shared.push_str(filter);
    shared
}

/// Returns the begin of the client ids of a group's members, which have a number behind it.
///
/// A session keeps the filters with which it was made: other filters are another session.
pub(super) fn session(client_id: &str, filters: &[String]) -> String {
    // FNV-1a: the same in each version and on each machine.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for filter in filters {
        for byte in filter.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{client_id}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{Topics, session, shared};
    use crate::subject::{PatternBuf, Subject};

    fn topics(prefix: &str) -> Topics {
        Topics::new(prefix).unwrap()
    }

    #[test]
    fn subjects_are_topics_and_back() {
        for (prefix, subject, topic) in [
            ("", "match.7.score", "match/7/score"),
            ("", "a", "a"),
            ("fleet/1", "grün.ß x", "fleet/1/grün/ß x"),
            ("fleet/", "$a.b", "fleet/$a/b"),
            ("", "_.a.%2F", "_/a/%2F"),
        ] {
            let topics = topics(prefix);
            assert_eq!(topics.of(Subject::new(subject).unwrap()).unwrap(), topic);
            assert_eq!(topics.subject(topic).as_deref(), Some(subject));
        }
        for wrong in ["a/b", "a.+", "+", "a.b#", "$SYS.x", "a\0", "a.\u{7f}", "a.\u{fffe}"] {
            assert!(topics("").of(Subject::new(wrong).unwrap()).is_err(), "{wrong:?}");
        }
        for wrong in ["a//b", "/a", "a/", "a.b", "$SYS/x", "", "a/*", "a/>"] {
            assert_eq!(topics("").subject(wrong), None, "{wrong:?}");
        }
        assert_eq!(topics("fleet").subject("fleets/a"), None);
        for wrong in ["/", "a//b", "$a", "a/+", "#", "a\n", "//"] {
            assert!(Topics::new(wrong).is_err(), "{wrong:?}");
        }
    }

    /// What a server does with a filter.
    fn matches(filter: &str, topic: &str) -> bool {
        let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
        loop {
            match (filter.next(), topic.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn filters_cover_the_patterns_and_match_each_topic_once() {
        let patterns = ["a", "b", "a.b", "*", "a.*", "*.b", "a.>", "a.b.>", "*.>", ">", "b.a.>"];
        let subjects = ["a", "b", "a.b", "b.b", "a.b.c", "b.a", "b.a.c", "a.a", "c"];
        for one in patterns {
            for two in patterns {
                for three in patterns {
                    let all = [one, two, three].map(|it| it.parse::<PatternBuf>().unwrap());
                    let filters = topics("x").filters(&all).unwrap();
                    for text in subjects {
                        let subject = Subject::new(text).unwrap();
                        let topic = topics("x").of(subject).unwrap();
                        let wanted = all.iter().any(|pattern| pattern.matches(subject));
                        let come = filters.iter().filter(|it| matches(it, &topic)).count();
                        assert!(
                            come <= 1 && (come == 1 || !wanted),
                            "{one} {two} {three} as {filters:?}: `{text}` comes {come} times"
                        );
                    }
                }
            }
        }
        let of = |pattern: &str| topics("").filters(&[pattern.parse().unwrap()]);
        assert_eq!(of("a.*.>").unwrap(), ["a/+/#"]);
        assert_eq!(of(">").unwrap(), ["#"]);
        assert!(of("a.b/c").is_err() && of("+.a").is_err() && of("$share.g").is_err());
    }

    #[test]
    fn groups_and_sessions_have_names_that_stay() {
        assert_eq!(shared("g", "a/#"), "$share/g/a/#");
        assert_eq!(shared("a/b+#%\n ü", "#"), "$share/a%2Fb%2B%23%25%0A ü/#");
        // A later version finds the sessions of this one.
        let filters = [shared("ladder", "match/+/score")];
        assert_eq!(session("game-1", &filters), "game-1-89d0256564ddded2");
        assert_ne!(session("game-1", &[shared("ladder", "#")]), session("game-1", &filters));
    }
}
