//! What a subject and its patterns are, said a second time and as plainly as can be.

/// Whether `text` is a subject.
pub fn is_subject(text: &str) -> bool {
    text.len() <= 1024
        && text.split('.').all(|segment| !segment.is_empty() && !segment.contains(['*', '>']))
}

/// Whether `text` is a pattern: a subject in which segments may be `*`, and the last one `>`.
pub fn is_pattern(text: &str) -> bool {
    let named = |segment: &str| !segment.is_empty() && !segment.contains(['*', '>']);
    let segments: Vec<_> = text.split('.').collect();
    let (last, others) = segments.split_last().expect("there is at least one");
    text.len() <= 1024
        && others.iter().all(|segment| *segment == "*" || named(segment))
        && (matches!(*last, "*" | ">") || named(last))
}

/// Whether the subject is in the set of the pattern.
pub fn matches(pattern: &str, subject: &str) -> bool {
    fn rest(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, subject @ ..]) => rest(pattern, subject),
            ([wanted, pattern @ ..], [is, subject @ ..]) => wanted == is && rest(pattern, subject),
            _ => false,
        }
    }
    let (pattern, subject): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    rest(&pattern, &subject)
}

/// The same for a pattern in the dialect of globs.
pub fn matches_glob(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    pattern == ["*"]
        || pattern.len() == subject.len()
            && pattern.iter().zip(subject).all(|(wanted, is)| *wanted == "*" || *wanted == is)
}

/// The same for a pattern in the dialect of prefixes.
pub fn matches_prefix(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => subject.starts_with(prefix),
        None => pattern == subject,
    }
}
