//! The widest filter that a server needs for several patterns.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::subject::PatternBuf;

/// Returns whether each subject that `narrow` matches is matched by `wide` too.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wide), Some(narrow)) if wide == narrow => {}
            _ => return false,
        }
    }
}

/// Returns whether some subject is matched by both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Returns the narrowest pattern that covers both.
fn cover_both(one: &str, other: &str) -> String {
    let (mut one, mut other) = (one.split('.').peekable(), other.split('.').peekable());
    let mut tokens = Vec::new();
    loop {
        match (one.next(), other.next()) {
            (None, None) => break,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => {
                tokens.push(">");
                break;
            }
            (Some(one), Some(other)) => tokens.push(if one == other { one } else { "*" }),
            // One of them has ended: what is behind the last common token differs in length.
            _ => {
                tokens.pop();
                tokens.push(">");
                break;
            }
        }
    }
    tokens.join(".")
}

/// Returns one pattern that covers all of them.
pub(super) fn cover(patterns: &[PatternBuf]) -> String {
    let mut patterns = patterns.iter().map(PatternBuf::as_str);
    let first = patterns.next().unwrap_or(">").to_string();
    patterns.fold(first, |cover, pattern| cover_both(&cover, pattern))
}

/// Returns the filters of a consumer: patterns of which none overlaps another, and that cover all.
pub(super) fn filters(patterns: &[PatternBuf]) -> Vec<String> {
    let mut filters: Vec<&str> = Vec::new();
    for pattern in patterns.iter().map(PatternBuf::as_str) {
        if !filters.iter().any(|filter| covers(filter, pattern)) {
            filters.retain(|filter| !covers(pattern, filter));
            filters.push(pattern);
        }
    }
    filters.sort_unstable();
    let overlaps =
        |(at, filter): (usize, &&str)| filters[at + 1..].iter().any(|other| overlap(filter, other));
    if filters.iter().enumerate().any(overlaps) {
        return alloc::vec![cover(patterns)];
    }
    filters.into_iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
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
                .flat_map(|text| {
                    tokens.iter().chain(last).map(move |token| format!("{text}.{token}"))
                })
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
                assert_eq!(
                    overlap(one, other),
                    subjects.iter().any(|it| both(&it)),
                    "{one} {other}"
                );
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
}
