use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{cover_both, covers, filters, overlap};
use crate::subject::{Pattern, PatternBuf, Subject};

/// All patterns and all subjects of up to three tokens out of two.
fn all(tokens: &[&str], last: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for depth in 0..3 {
        let longer: Vec<String> = all
            .iter()
            .filter(|text| text.split('.').count() == depth && !text.ends_with('>'))
            .flat_map(|text| tokens.iter().chain(last).map(move |token| format!("{text}.{token}")))
            .collect();
        all.extend(longer);
        if depth == 0 {
            all.extend(tokens.iter().chain(last).map(ToString::to_string));
        }
    }
    all
}

fn matches(pattern: &str, subject: &str) -> bool {
    Pattern::new(pattern).unwrap().matches(Subject::new(subject).unwrap())
}

#[test]
fn covers_and_overlaps_are_what_the_matcher_says() {
    let (patterns, subjects) = (all(&["a", "b", "*"], &[">"]), all(&["a", "b", "c"], &[]));
    // A fourth token tells `>` from what is as long as the patterns.
    let longer: Vec<String> = subjects.iter().map(|subject| format!("{subject}.c")).collect();
    let subjects: Vec<&String> = subjects.iter().chain(&longer).collect();
    assert_eq!((patterns.len(), subjects.len()), (52, 78));
    for one in &patterns {
        for other in &patterns {
            let both = |subject: &&&String| matches(one, subject) && matches(other, subject);
            let within = subjects.iter().all(|it| !matches(other, it) || matches(one, it));
            assert_eq!(covers(one, other), within, "{one} covers {other}");
            assert_eq!(overlap(one, other), subjects.iter().any(|it| both(&it)), "{one} {other}");
            let cover = cover_both(one, other);
            assert!(covers(&cover, one) && covers(&cover, other), "{cover}: {one} {other}");
        }
    }
}

fn filtered(patterns: &[&str]) -> Vec<String> {
    let patterns: Vec<PatternBuf> =
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
    filters(&patterns)
}

#[test]
fn filters_are_the_patterns_unless_they_overlap() {
    assert_eq!(filtered(&["b.>", "a.*"]), ["a.*", "b.>"]);
    assert_eq!(filtered(&["a.x", "a.*", "a.x"]), ["a.*"]);
    assert_eq!(filtered(&["a.*.c", "a.b.*"]), ["a.*.*"]);
    assert_eq!(filtered(&["a.b", "a.*.c", "a.b.*"]), ["a.>"]);
}
