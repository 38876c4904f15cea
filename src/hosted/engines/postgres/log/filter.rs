//! Patterns as the server checks them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::subject::PatternBuf;

/// What a subject must be. The core matcher checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    /// One of these.
    Is(Vec<String>),
    /// What begins with one of these: the server finds that out in less time than with an expression.
    Begins(Vec<String>),
    /// What this regular expression matches.
    Like(String),
}

impl Filter {
    pub(super) fn new<'a>(patterns: &'a [PatternBuf]) -> Self {
        let texts = || patterns.iter().map(|pattern| pattern.as_str());
        if texts().any(|pattern| pattern == ">") {
            return Self::All;
        }
        let is_wild = |pattern: &str| pattern.split('.').any(|token| matches!(token, "*" | ">"));
        if !texts().any(is_wild) {
            return Self::Is(texts().map(plain).collect());
        }
        let begin = |pattern: &'a str| pattern.strip_suffix('>').filter(|begin| !is_wild(begin));
        if let Some(begins) = texts().map(begin).collect::<Option<Vec<_>>>() {
            return Self::Begins(begins.into_iter().map(plain).collect());
        }
        let regexes: Vec<String> = texts().map(regex).collect();
        Self::Like(alloc::format!("^(?:{})$", regexes.join("|")))
    }
}

/// Returns a text as a column has it: Postgres cannot keep the character NUL.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns a text as [`plain`] does, but no two texts become one.
pub(super) fn exact(text: &str) -> String {
    plain(&text.replace('\u{fffd}', "\u{fffd}\u{fffd}").replace('\0', "\u{0}0"))
}

fn regex(pattern: &str) -> String {
    let token = |token: &str| match token {
        "*" => "[^.]+".to_string(),
        ">" => ".+".to_string(),
        literal => {
            let mut escaped = String::new();
            for letter in plain(literal).chars() {
                if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != '_' {
                    escaped.push('\\');
                }
                escaped.push(letter);
            }
            escaped
        }
    };
    let tokens: Vec<String> = pattern.split('.').map(token).collect();
    tokens.join("\\.")
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Filter, exact};

    fn filter(patterns: &[&str]) -> Filter {
        let patterns: Vec<_> = patterns.iter().map(|it| it.parse().unwrap()).collect();
        Filter::new(&patterns)
    }

    #[test]
    fn no_two_texts_become_one() {
        let texts = [
            "",
            "a",
            "0",
            "\0",
            "\u{0}0",
            "\u{fffd}",
            "\u{fffd}0",
            "\u{fffd}\0",
            "\0\u{fffd}",
            "\0\0",
        ];
        let all: alloc::collections::BTreeSet<_> = texts.iter().map(|it| exact(it)).collect();
        assert_eq!(all.len(), texts.len());
        assert!(all.iter().all(|it| !it.contains('\0')) && all.contains("a"));
    }

    #[test]
    fn patterns_become_what_the_server_can_check() {
        assert_eq!(filter(&["a.b", ">"]), Filter::All);
        assert_eq!(filter(&["a.b", "c"]), Filter::Is(["a.b".into(), "c".into()].into()));
        assert_eq!(filter(&["a.>", "b.c.>"]), Filter::Begins(["a.".into(), "b.c.".into()].into()));
        assert_eq!(filter(&["a.*.>"]), Filter::Like(r"^(?:a\.[^.]+\..+)$".into()));
        assert_eq!(filter(&["a-1.*.b"]), Filter::Like(r"^(?:a\-1\.[^.]+\.b)$".into()));
        assert_eq!(filter(&["a", "b.>"]), Filter::Like(r"^(?:a|b\..+)$".into()));
    }
}
