//! The rules of subjects and patterns, and the matcher.

use crate::error::{PatternFault, SubjectFault};

/// The longest subject and the longest pattern, in bytes.
pub(crate) const MAX_LEN: usize = 1024;

// These three also run in the compiler, at least once for each kind and line of a table. There a step by a
// slice pattern takes a third of the time of a step by an index.

/// Checks whether `text` is a subject.
pub(crate) const fn check_subject(text: &str) -> Result<(), SubjectFault> {
    let text = text.as_bytes();
    if text.is_empty() {
        return Err(SubjectFault::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(SubjectFault::TooLong);
    }
    let mut left = text;
    let mut before = b'.';
    while let [byte, rest @ ..] = left {
        match *byte {
            b'*' | b'>' => return Err(SubjectFault::Wildcard),
            b'.' if left.len() == text.len() => return Err(SubjectFault::LeadingDot),
            b'.' if before == b'.' => return Err(SubjectFault::DoubleDot),
            byte => before = byte,
        }
        left = rest;
    }
    if before == b'.' { Err(SubjectFault::TrailingDot) } else { Ok(()) }
}

/// Checks whether `text` is a pattern.
pub(crate) const fn check_pattern(text: &str) -> Result<(), PatternFault> {
    let text = text.as_bytes();
    if text.is_empty() {
        return Err(PatternFault::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(PatternFault::TooLong);
    }
    let mut left = text;
    let mut before = b'.';
    while let [byte, rest @ ..] = left {
        match *byte {
            wildcard @ (b'*' | b'>') => {
                if before != b'.' || !matches!(rest, [] | [b'.', ..]) {
                    return Err(PatternFault::PartialWildcard);
                }
                if wildcard == b'>' && !rest.is_empty() {
                    return Err(PatternFault::RestNotLast);
                }
                before = wildcard;
            }
            b'.' if left.len() == text.len() => return Err(PatternFault::LeadingDot),
            b'.' if before == b'.' => return Err(PatternFault::DoubleDot),
            byte => before = byte,
        }
        left = rest;
    }
    if before == b'.' { Err(PatternFault::TrailingDot) } else { Ok(()) }
}

/// Returns whether the subject is in the set of the pattern.
///
/// Both passed their check. So a wildcard byte is a whole segment wherever it stands, and a `>` can
/// end the walk. For any other text the answer is some `bool`.
pub(crate) const fn matches(mut pattern: &[u8], mut subject: &[u8]) -> bool {
    if subject.is_empty() {
        return false;
    }
    while let [wanted, rest_of_pattern @ ..] = pattern {
        let [byte, rest @ ..] = subject else { return false };
        match *wanted {
            b'>' => return true,
            b'*' => {
                while let [byte, rest @ ..] = subject
                    && *byte != b'.'
                {
                    subject = rest;
                }
            }
            wanted if wanted == *byte => subject = rest,
            _ => return false,
        }
        pattern = rest_of_pattern;
    }
    subject.is_empty()
}
