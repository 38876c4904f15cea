//! Subjects as topics, patterns as filters, and the names of groups and sessions.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::hosted::Reason;
use crate::hosted::engines::filter::{cover, filters, overlap};
use crate::subject::{PatternBuf, Subject};

/// How many bytes a text may have.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// Maps subjects to topics below a prefix.
#[derive(Clone)]
pub(super) struct Topics {
    /// Empty, or it ends with `/`.
    prefix: String,
}

/// Returns whether a server may refuse the character in any text: control characters, and those
/// that Unicode does not assign to anything ever.
fn is_unsound(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Returns whether a server takes the text.
pub(super) fn is_sound(text: &str) -> bool {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte);
    text.len() <= LONGEST && (text.bytes().all(is_plain) || !text.chars().any(is_unsound))
}

/// Returns why a topic cannot have this text.
fn fault(text: &str) -> Option<&'static str> {
    if text.contains(['/', '+', '#']) {
        return Some("it has a `/`, `+` or `#`, which topics have for themselves");
    }
    (!is_sound(text)).then_some("it has a control character, or one that Unicode never assigns")
}

impl Topics {
    pub(super) fn new(prefix: &str) -> Result<Self, Reason> {
        let levels = prefix.strip_suffix('/').unwrap_or(prefix);
        if levels.is_empty() && prefix.is_empty() {
            return Ok(Self { prefix: String::new() });
        }
        let is_level = |level: &str| !level.is_empty() && fault(level).is_none();
        if levels.starts_with('$') || !levels.split('/').all(is_level) {
            let why =
                "the prefix of topics is not valid: levels without `+`, `#` and `$`, as `a/b`";
            return Err(Reason::Refused(why.into()));
        }
        Ok(Self { prefix: format!("{levels}/") })
    }

    /// Returns the topic of a subject.
    pub(super) fn of(&self, subject: Subject<'_>) -> Result<String, Reason> {
        self.levels(subject.as_str(), |c| c).map_err(|why| Reason::Subject(why.into()))
    }

    fn levels(&self, text: &str, wild: fn(&str) -> &str) -> Result<String, &'static str> {
        if let Some(why) = fault(text) {
            return Err(why);
        }
        if self.prefix.is_empty() && text.starts_with('$') {
            return Err("the server keeps what begins with `$`: set a prefix");
        }
        let mut topic = String::with_capacity(self.prefix.len() + text.len());
        topic.push_str(&self.prefix);
        for (at, token) in text.split('.').enumerate() {
            if at > 0 {
                topic.push('/');
            }
            topic.push_str(wild(token));
        }
        Ok(topic)
    }

    /// Returns the subject of a topic. `None` if there is none: it is not below the prefix, it has
    /// an empty level or a `.`.
    pub(super) fn subject(&self, topic: &str) -> Option<String> {
        let levels = topic.strip_prefix(&*self.prefix)?;
        if levels.contains('.') || levels.starts_with('$') && self.prefix.is_empty() {
            return None;
        }
        let subject = levels.replace('/', ".");
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
        let filter = |pattern: &String| self.levels(pattern, wild);
        let filters = chosen.iter().map(filter).collect::<Result<Vec<_>, _>>();
        filters.map_err(|why| Reason::Subject(why.into()))
    }
}

fn wild(token: &str) -> &str {
    match token {
        "*" => "+",
        ">" => "#",
        token => token,
    }
}

/// Returns the filter by which the members of a group share what matches.
pub(super) fn shared(group: &str, filter: &str) -> String {
    let mut shared = String::from("$share/");
    for c in group.chars() {
        if matches!(c, '/' | '+' | '#' | '%') || is_unsound(c) {
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
