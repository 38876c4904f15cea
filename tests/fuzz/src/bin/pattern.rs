//! The first line is a subject, the others are patterns: the matcher, the dialects and the index of a bus
//! agree with the naive matchers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::subject::{GlobPattern, PrefixPattern};
use tickbus::{Pattern, Subject, SubjectBus};
use tickbus_fuzz::{is_pattern, is_subject, matches, matches_glob, matches_prefix};

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let subject = lines.next().expect("there is at least one");
    let subject = Subject::new(subject).ok();
    let bus = SubjectBus::new();
    let uncached = SubjectBus::builder().route_cache(0).build();
    let mut open = Vec::new();
    for line in lines.take(32) {
        let pattern = Pattern::new(line);
        assert_eq!(pattern.is_ok(), is_pattern(line), "{line:?}");
        let glob = GlobPattern::new(line);
        assert_eq!(glob.is_ok(), is_pattern(line) && !line.contains('>'), "{line:?}");
        let prefix = PrefixPattern::new(line);
        let body = line.strip_suffix('*');
        let begins = body.map_or(is_subject(line), |body| is_subject(&format!("{body}a")));
        assert_eq!(prefix.is_ok(), begins, "{line:?}");
        assert_eq!(bus.subscribe(line).is_ok(), pattern.is_ok());

        let Some(subject) = subject else { continue };
        if let Ok(pattern) = pattern {
            assert_eq!(pattern.matches(subject), matches(line, subject.as_str()), "{line:?}");
            for bus in [&bus, &uncached] {
                let subscription = bus.subscribe(line).expect("it is a pattern").open();
                open.push((pattern, subscription));
                let expected = open.iter().filter(|(pattern, _)| pattern.matches(subject)).count();
                let expected = expected.div_ceil(2);
                assert_eq!(bus.matching(subject), expected, "{line:?}");
            }
        }
        if let Ok(glob) = glob {
            let expected = matches_glob(line, subject.as_str());
            assert_eq!(glob.matches(subject), expected, "{line:?}");
            assert_eq!(Pattern::from(glob).matches(subject), expected, "{line:?}");
        }
        if let Ok(prefix) = prefix {
            let expected = matches_prefix(line, subject.as_str());
            assert_eq!(prefix.matches(subject), expected, "{line:?}");
            assert_eq!(prefix.predicate()(subject), expected, "{line:?}");
            let cover = prefix.cover();
            let cover = Pattern::new(&cover).expect("a cover is a pattern");
            assert!(!expected || cover.matches(subject), "{line:?}");
        }
    }
    // What ends leaves the routes of the others, from either side.
    let Some(subject) = subject else { return };
    if text.len().is_multiple_of(2) {
        open.reverse();
    }
    while open.pop().is_some() {
        let expected = open.iter().filter(|(pattern, _)| pattern.matches(subject)).count();
        assert_eq!(bus.matching(subject) + uncached.matching(subject), expected);
    }
});
