//! The narrowest pattern of a server that covers one of ours: [`Glob`].

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A pattern for channels. Its wildcard is one byte or more, also across dots.
pub(super) struct Glob {
    text: String,
    /// What is between the wildcards.
    parts: Vec<Box<str>>,
}

impl Glob {
    pub(super) fn new(prefix: &str, pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut part = String::from(prefix);
        for (at, token) in pattern.split('.').enumerate() {
            if at > 0 {
                part.push('.');
            }
            match token {
                "*" | ">" => parts.push(core::mem::take(&mut part).into_boxed_str()),
                token => part.push_str(token),
            }
        }
        parts.push(part.into_boxed_str());
        // Without a wildcard, it is the name of a channel.
        let text = match &parts[..] {
            [plain] => plain.to_string(),
            _ => parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join("?*"),
        };
        Self { text, parts }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.parts.len() == 1
    }

    /// Returns what the server is told.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the server sends what is published to this channel.
    pub(super) fn matches(&self, channel: &str) -> bool {
        let [first, rest @ ..] = &self.parts[..] else { return false };
        let Some((last, middle)) = rest.split_last() else { return **first == *channel };
        let Some(mut left) = channel.as_bytes().strip_prefix(first.as_bytes()) else {
            return false;
        };
        for part in middle {
            // The earliest place leaves the most for the others.
            let part = part.as_bytes();
            let Some(at) = (1..=left.len()).find(|at| left[*at..].starts_with(part)) else {
                return false;
            };
            left = &left[at + part.len()..];
        }
        left.len() > last.len() && left.ends_with(last.as_bytes())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        if matches!(it, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(it);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::Glob;
    use crate::subject::{Pattern, Subject};

    #[test]
    fn a_glob_is_what_the_server_understands() {
        for (pattern, text) in [
            ("a.b", "p:a.b"),
            ("a-b?", "p:a-b?"), // no pattern: as it is
            ("a.*", "p:a.?*"),
            ("*.b", "p:?*.b"),
            ("a-[b].>", "p:a\\-\\[b\\].?*"),
            ("a\\.^.*", "p:a\\\\.\\^.?*"),
        ] {
            let glob = Glob::new("p:", pattern);
            assert_eq!(glob.text(), text);
            assert_eq!(glob.is_plain(), !text.contains("?*"));
        }
    }

    #[test]
    fn a_glob_covers_its_pattern() {
        let patterns = ["a.b", "a.*", "*.b", "a.>", "*.*.c", ">", "*", "a.*.c", "*.b.*.b", "a.*.>"];
        let subjects = ["a", "b", "a.b", "a.c", "c.b", "a.b.c", "a.b.b.b", "b.b.b.b", "a.c.c"];
        for pattern in patterns {
            let (glob, own) = (Glob::new("", pattern), Pattern::new(pattern).unwrap());
            for subject in subjects {
                if own.matches(Subject::new(subject).unwrap()) {
                    assert!(glob.matches(subject), "{pattern} {subject}");
                }
            }
        }
        assert!(Glob::new("", "a.*").matches("a.b.c"), "it is wider");
        for (pattern, channel) in [("a.*", "a."), ("*.b", ".b"), ("a.*.c", "a.c"), ("a", "ab")] {
            assert!(!Glob::new("", pattern).matches(channel), "{pattern} {channel}");
        }
    }
}
