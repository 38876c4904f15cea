//! Names of events, patterns over them, and the one matcher of every tier.

mod dialect;

use core::fmt;

pub use self::dialect::{GlobPattern, PrefixPattern};
use crate::error::{InvalidPattern, InvalidSubject};

/// The longest subject and the longest pattern, in bytes.
pub(crate) const MAX_LEN: usize = 1024;

/// The name of an event: segments with dots between them, as in `player.7.hit`.
///
/// A subject has 1 to 1024 bytes, no empty segment, and neither `*` nor `>`, which belong to
/// [`Pattern`]. Any other UTF-8 may stand in it, spaces and control characters included. Case
/// matters, and so does every byte: nothing is trimmed, folded or normalized.
///
/// It borrows its text, and is as cheap to copy as a `&str`.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::error::InvalidSubject;
///
/// const TILT: Subject = Subject::from_static("input.tilt"); // checked by the compiler
///
/// assert_eq!(Subject::new("input.tilt"), Ok(TILT));
/// assert_ne!(Subject::new("Input.Tilt"), Ok(TILT)); // case matters
/// assert_eq!(Subject::new("input."), Err(InvalidSubject::TrailingDot));
/// assert_eq!(Subject::new("input.*"), Err(InvalidSubject::Wildcard));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject<'a>(&'a str);

impl<'a> Subject<'a> {
    /// Checks `text` and wraps it.
    ///
    /// Looks at each byte once, copies nothing.
    ///
    /// # Errors
    ///
    /// Says in [`InvalidSubject`] what is wrong with the text. There is no other way to fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Subject;
    /// use tickbus::error::InvalidSubject;
    ///
    /// let room = String::from("room.grün.door");
    /// assert_eq!(Subject::new(&room).map(Subject::as_str), Ok("room.grün.door"));
    ///
    /// assert_eq!(Subject::new(""), Err(InvalidSubject::Empty));
    /// assert!(Subject::new(&"x".repeat(1024)).is_ok());
    /// assert_eq!(Subject::new(&"x".repeat(1025)), Err(InvalidSubject::TooLong));
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidSubject> {
        match check_subject(text) {
            Ok(()) => Ok(Self(text)),
            Err(invalid) => Err(invalid),
        }
    }

    /// Wraps a text that has passed its check before.
    #[cfg(feature = "alloc")]
    pub(crate) const fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
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

    /// The text between the dots, from left to right.
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
    /// Wraps a text of the program, checked by the compiler where the result is a constant.
    ///
    /// For text that comes from outside, use [`Subject::new`].
    ///
    /// # Panics
    ///
    /// If the text is not a subject, with the message of [`InvalidSubject`]. In a `const`, a
    /// `static` or a `const` block, that is a compile error.
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
        match Self::new(text) {
            Ok(subject) => subject,
            Err(invalid) => panic!("{}", invalid.message()),
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
/// | segment | stands for | as in | matches | but not |
/// |---|---|---|---|---|
/// | text | itself, byte for byte | `player.7` | `player.7` | `Player.7` |
/// | `*` | exactly one segment, whatever it is | `player.*` | `player.7` | `player`, `player.7.hit` |
/// | `>` | one **or more** segments; only as the last | `player.>` | `player.7`, `player.7.hit` | `player` |
///
/// A wildcard never stands for nothing, and is always a whole segment. `>` alone matches every
/// subject. A pattern has 1 to 1024 bytes, and no empty segment.
///
/// For patterns as other buses write them there are [`GlobPattern`] and
/// [`PrefixPattern`], where `*` alone is everything.
///
/// # Examples
///
/// ```
/// use tickbus::{Pattern, Subject};
/// use tickbus::error::InvalidPattern;
///
/// const HITS: Pattern = Pattern::from_static("player.*.hit"); // checked by the compiler
///
/// assert!(HITS.matches(Subject::from_static("player.7.hit")));
/// assert!(!HITS.matches(Subject::from_static("player.7.8.hit"))); // `*` is one segment
///
/// assert_eq!(Pattern::new("player.7*"), Err(InvalidPattern::PartialWildcard));
/// assert_eq!(Pattern::new("player.>.hit"), Err(InvalidPattern::RestNotLast));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern<'a>(&'a str);

impl<'a> Pattern<'a> {
    /// Checks `text` and wraps it.
    ///
    /// Looks at each byte once, copies nothing. Every subject is also a pattern, which matches
    /// that subject alone.
    ///
    /// # Errors
    ///
    /// Says in [`InvalidPattern`] what is wrong with the text. There is no other way to fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Pattern;
    /// use tickbus::error::InvalidPattern;
    ///
    /// assert!(Pattern::new("player.*.>").is_ok());
    ///
    /// assert_eq!(Pattern::new("play*.hit"), Err(InvalidPattern::PartialWildcard));
    /// assert_eq!(Pattern::new("player.**"), Err(InvalidPattern::PartialWildcard));
    /// assert_eq!(Pattern::new(">.hit"), Err(InvalidPattern::RestNotLast));
    /// assert_eq!(Pattern::new(""), Err(InvalidPattern::Empty));
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        match check_pattern(text) {
            Ok(()) => Ok(Self(text)),
            Err(invalid) => Err(invalid),
        }
    }

    /// Wraps a text that has passed its check before.
    pub(crate) const fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
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

    /// Whether `subject` is in this set.
    ///
    /// Goes through both texts once, from left to right: no allocation, no backtracking, no
    /// recursion. The comparison is by bytes, so case matters.
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
    /// Wraps a text of the program, checked by the compiler where the result is a constant.
    ///
    /// For text that comes from outside, use [`Pattern::new`].
    ///
    /// # Panics
    ///
    /// If the text is not a pattern, with the message of [`InvalidPattern`]. In a `const`, a
    /// `static` or a `const` block, that is a compile error.
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
        match Self::new(text) {
            Ok(pattern) => pattern,
            Err(invalid) => panic!("{}", invalid.message()),
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

/// A subject is the pattern that matches itself alone.
impl<'a> From<Subject<'a>> for Pattern<'a> {
    fn from(subject: Subject<'a>) -> Self {
        Self(subject.0)
    }
}

// These three run in the compiler too, once or oftener for each kind and line of a table. There a step
// by a slice pattern takes a third of the time of a step by an index.

/// Whether `text` is a subject.
pub(crate) const fn check_subject(text: &str) -> Result<(), InvalidSubject> {
    let text = text.as_bytes();
    if text.is_empty() {
        return Err(InvalidSubject::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(InvalidSubject::TooLong);
    }
    let mut left = text;
    let mut before = b'.';
    while let [byte, rest @ ..] = left {
        match *byte {
            b'*' | b'>' => return Err(InvalidSubject::Wildcard),
            b'.' if left.len() == text.len() => return Err(InvalidSubject::LeadingDot),
            b'.' if before == b'.' => return Err(InvalidSubject::DoubleDot),
            byte => before = byte,
        }
        left = rest;
    }
    if before == b'.' { Err(InvalidSubject::TrailingDot) } else { Ok(()) }
}

/// Whether `text` is a pattern.
pub(crate) const fn check_pattern(text: &str) -> Result<(), InvalidPattern> {
    let text = text.as_bytes();
    if text.is_empty() {
        return Err(InvalidPattern::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(InvalidPattern::TooLong);
    }
    let mut left = text;
    let mut before = b'.';
    while let [byte, rest @ ..] = left {
        match *byte {
            wildcard @ (b'*' | b'>') => {
                if before != b'.' || !matches!(rest, [] | [b'.', ..]) {
                    return Err(InvalidPattern::PartialWildcard);
                }
                if wildcard == b'>' && !rest.is_empty() {
                    return Err(InvalidPattern::RestNotLast);
                }
                before = wildcard;
            }
            b'.' if left.len() == text.len() => return Err(InvalidPattern::LeadingDot),
            b'.' if before == b'.' => return Err(InvalidPattern::DoubleDot),
            byte => before = byte,
        }
        left = rest;
    }
    if before == b'.' { Err(InvalidPattern::TrailingDot) } else { Ok(()) }
}

/// Whether the subject is in the set of the pattern.
///
/// Both have passed their check; that is why a wildcard byte is a whole segment wherever it
/// stands, and why a `>` can end the walk. For anything else the answer is some `bool`.
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
