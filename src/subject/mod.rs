//! Names of events, patterns over them, and the matcher that every tier uses.

mod dialect;

use core::fmt;

pub use self::dialect::{GlobPattern, PrefixPattern};
use crate::error::{InvalidPattern, InvalidSubject, PatternFault, SubjectFault};

/// The longest subject and the longest pattern, in bytes.
pub(crate) const MAX_LEN: usize = 1024;

/// The name of an event: segments with dots between them, as in `player.7.hit`.
///
/// A subject has 1 to 1024 bytes and no empty segment. It has neither `*` nor `>`, which belong to
/// [`Pattern`]. Any other UTF-8 is allowed, spaces and control characters included. Two subjects are equal
/// if all their bytes are: nothing is trimmed, folded or normalized.
///
/// A subject borrows its text, and is as cheap to copy as a `&str`.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
///
/// const TILT: Subject = Subject::from_static("input.tilt"); // checked by the compiler
///
/// assert_eq!(Subject::new("input.tilt"), Ok(TILT));
/// assert_ne!(Subject::new("Input.Tilt"), Ok(TILT)); // case matters
/// assert!(Subject::new("input.").is_err()); // an empty segment
/// assert!(Subject::new("input.*").is_err()); // a pattern
/// ```
#[doc(alias("routing key", "event name"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject<'a>(&'a str);

impl<'a> Subject<'a> {
    /// Checks `text` and wraps it.
    ///
    /// It reads each byte once and copies nothing.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if the text is not a subject. Its [fault](InvalidSubject::fault) is the rule
    /// that the text breaks.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Subject;
    /// use tickbus::error::SubjectFault;
    ///
    /// let room = String::from("room.grün.door");
    /// assert_eq!(Subject::new(&room).map(Subject::as_str), Ok("room.grün.door"));
    ///
    /// assert!(Subject::new(&"x".repeat(1024)).is_ok());
    /// let error = Subject::new(&"x".repeat(1025)).unwrap_err();
    /// assert_eq!(error.fault(), SubjectFault::TooLong);
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidSubject> {
        match check_subject(text) {
            Ok(()) => Ok(Self(text)),
            Err(fault) => Err(InvalidSubject::new(text, fault)),
        }
    }

    /// Wraps a text that passed its check before.
    #[cfg(feature = "alloc")]
    pub(crate) const fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Subject;
    /// const TILT: &str = Subject::from_static("input.tilt").as_str();
    ///
    /// assert_eq!(TILT, "input.tilt");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns the segments, from left to right: the texts between the dots.
    ///
    /// There is at least one segment, and none is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Subject;
    /// let hit = Subject::from_static("player.7.hit");
    /// assert_eq!(hit.segments().nth(1), Some("7"));
    /// assert_eq!(hit.segments().next_back(), Some("hit"));
    ///
    /// assert!(Subject::from_static("tick").segments().eq(["tick"])); // no dot, one segment
    /// ```
    #[must_use]
    pub fn segments(self) -> impl DoubleEndedIterator<Item = &'a str> + Clone + fmt::Debug {
        self.0.split('.')
    }
}

impl Subject<'static> {
    /// Wraps a text of the program. In a `const`, a `static` or a `const` block, the compiler checks it.
    ///
    /// For text that comes from outside, use [`Subject::new`].
    ///
    /// # Panics
    ///
    /// Panics if the text is not a subject, with the message of its
    /// [`SubjectFault`](crate::error::SubjectFault). In a constant that is a compile error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Subject;
    /// const HIT: Subject = Subject::from_static("player.7.hit");
    ///
    /// assert_eq!(HIT.as_str(), "player.7.hit");
    /// ```
    ///
    /// This does not compile:
    ///
    /// ```compile_fail
    /// # use tickbus::Subject;
    /// const HIT: Subject = Subject::from_static("player..hit");
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn from_static(text: &'static str) -> Self {
        match check_subject(text) {
            Ok(()) => Self(text),
            Err(fault) => panic!("{}", fault.message()),
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl AsRef<str> for Subject<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl<'a> TryFrom<&'a str> for Subject<'a> {
    type Error = InvalidSubject;

    fn try_from(text: &'a str) -> Result<Self, InvalidSubject> {
        Self::new(text)
    }
}

/// A set of subjects: a subject in which whole segments may be wildcards.
///
/// | segment | stands for | as in | matches | does not match |
/// |---|---|---|---|---|
/// | text | itself, byte for byte | `player.7` | `player.7` | `Player.7` |
/// | `*` | exactly one segment, whatever it is | `player.*` | `player.7` | `player`, `player.7.hit` |
/// | `>` | one **or more** segments; only as the last | `player.>` | `player.7`, `player.7.hit` | `player` |
///
/// A wildcard is always a whole segment and stands for at least one. `>` alone matches every subject. A
/// pattern has 1 to 1024 bytes, and no empty segment.
///
/// [`GlobPattern`] and [`PrefixPattern`] read patterns as other buses write them, where `*` alone matches
/// everything.
///
/// # Examples
///
/// ```
/// use tickbus::{Pattern, Subject};
///
/// const HITS: Pattern = Pattern::from_static("player.*.hit"); // checked by the compiler
///
/// assert!(HITS.matches(Subject::from_static("player.7.hit")));
/// assert!(!HITS.matches(Subject::from_static("player.7.8.hit"))); // `*` is one segment
///
/// assert!(Pattern::new("player.7*").is_err()); // not a whole segment
/// assert!(Pattern::new("player.>.hit").is_err()); // `>` is not last
/// ```
#[doc(alias("wildcard", "glob", "topic filter"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern<'a>(&'a str);

impl<'a> Pattern<'a> {
    /// Checks `text` and wraps it.
    ///
    /// It reads each byte once and copies nothing. Every subject is also a pattern, which matches that
    /// subject alone.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a pattern. Its [fault](InvalidPattern::fault) is the rule
    /// that the text breaks.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Pattern;
    /// use tickbus::error::PatternFault;
    ///
    /// assert!(Pattern::new("player.*.>").is_ok());
    ///
    /// let fault = |text| Pattern::new(text).unwrap_err().fault();
    /// assert_eq!(fault("play*.hit"), PatternFault::PartialWildcard);
    /// assert_eq!(fault("player.**"), PatternFault::PartialWildcard);
    /// assert_eq!(fault(">.hit"), PatternFault::RestNotLast);
    /// assert_eq!(fault(""), PatternFault::Empty);
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        match check_pattern(text) {
            Ok(()) => Ok(Self(text)),
            Err(fault) => Err(InvalidPattern::new(text, fault)),
        }
    }

    /// Wraps a text that passed its check before.
    pub(crate) const fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Pattern;
    /// assert_eq!(Pattern::from_static("input.>").as_str(), "input.>");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns whether `subject` is in this set.
    ///
    /// It reads both texts once, from left to right: no allocation, no backtracking, no recursion. The
    /// comparison is by bytes, so case matters.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Pattern, Subject};
    ///
    /// const TILT: Subject = Subject::from_static("input.tilt");
    ///
    /// const { assert!(Pattern::from_static("input.>").matches(TILT)) } // by the compiler
    ///
    /// assert!(Pattern::from_static("*.tilt").matches(TILT));
    /// assert!(!Pattern::from_static("*").matches(TILT)); // two segments
    /// assert!(!Pattern::from_static("input.tilt.>").matches(TILT)); // nothing left for `>`
    /// assert!(!Pattern::from_static("INPUT.*").matches(TILT)); // case matters
    /// ```
    #[must_use]
    pub const fn matches(self, subject: Subject<'_>) -> bool {
        matches(self.0.as_bytes(), subject.0.as_bytes())
    }
}

impl Pattern<'static> {
    /// Wraps a text of the program. In a `const`, a `static` or a `const` block, the compiler checks it.
    ///
    /// For text that comes from outside, use [`Pattern::new`].
    ///
    /// # Panics
    ///
    /// Panics if the text is not a pattern, with the message of its
    /// [`PatternFault`](crate::error::PatternFault). In a constant that is a compile error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Pattern;
    /// const HITS: Pattern = Pattern::from_static("player.*.hit");
    ///
    /// assert_eq!(HITS.as_str(), "player.*.hit");
    /// ```
    ///
    /// This does not compile:
    ///
    /// ```compile_fail
    /// # use tickbus::Pattern;
    /// const HITS: Pattern = Pattern::from_static("player.>.hit");
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn from_static(text: &'static str) -> Self {
        match check_pattern(text) {
            Ok(()) => Self(text),
            Err(fault) => panic!("{}", fault.message()),
        }
    }
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl AsRef<str> for Pattern<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl<'a> TryFrom<&'a str> for Pattern<'a> {
    type Error = InvalidPattern;

    fn try_from(text: &'a str) -> Result<Self, InvalidPattern> {
        Self::new(text)
    }
}

/// Converts a subject to the pattern that matches it alone.
impl<'a> From<Subject<'a>> for Pattern<'a> {
    fn from(subject: Subject<'a>) -> Self {
        Self(subject.0)
    }
}

// These three also run in the compiler, at least once for each kind and line of a table. There a step by a
// slice pattern takes a third of the time of a step by an index.

/// Whether `text` is a subject.
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

/// Whether `text` is a pattern.
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

/// Whether the subject is in the set of the pattern.
///
/// Both passed their check. So a wildcard byte is a whole segment wherever it stands, and a `>` can end the
/// walk. For any other text the answer is some `bool`.
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
