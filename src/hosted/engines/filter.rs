//! The filters that a server needs for several patterns.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::subject::PatternBuf;

/// Returns whether each subject that `narrow` matches is matched by `wide` too.
pub(in crate::hosted::engines) fn covers(wide: &str, narrow: &str) -> bool {
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
pub(in crate::hosted::engines) fn overlap(one: &str, other: &str) -> bool {
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
pub(in crate::hosted::engines) fn cover(patterns: &[PatternBuf]) -> String {
    let mut patterns = patterns.iter().map(PatternBuf::as_str);
    let first = patterns.next().unwrap_or(">").to_string();
    patterns.fold(first, |cover, pattern| cover_both(&cover, pattern))
}

/// Returns the filters of a subscription: patterns of which none overlaps another, and that cover all.
pub(in crate::hosted::engines) fn filters(patterns: &[PatternBuf]) -> Vec<String> {
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

#[cfg(all(test, any(feature = "mqtt", feature = "nats")))]
mod tests;
