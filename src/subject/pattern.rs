//! Sets of subjects: [`Pattern`].

use core::fmt;

use super::check::{check_pattern, matches};
use super::name::Subject;
use crate::error::InvalidPattern;

/// A set of subjects: a subject in which whole segments may be wildcards.
///
/// | segment | stands for | as in | matches | does not match |
/// |---|---|---|---|---|
/// | text | itself, byte for byte | `player.7` | `player.7` | `Player.7` |
/// | `*` | exactly one segment, whatever it is | `player.*` | `player.7` | `player`, `player.7.hit` |
/// | `>` | one **or more** segments; only as the last | `player.>` | `player.7`, `player.7.hit` | `player` |
///
/// A wildcard is always a whole segment and stands for at least one. `>` alone matches every
/// subject. A pattern has 1 to 1024 bytes, and no empty segment.
///
/// [`GlobPattern`](super::GlobPattern) and [`PrefixPattern`](super::PrefixPattern) read patterns as
/// other buses write them, where `*` alone matches everything.
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
    /// It reads each byte once and copies nothing. Every subject is also a pattern, which matches
    /// that subject alone.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a pattern. Its [fault](InvalidPattern::fault)
    /// is the rule that the text breaks.
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
    /// It reads both texts once, from left to right: no allocation, no backtracking, no recursion.
    /// The comparison is by bytes, so case matters.
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
        matches(self.0.as_bytes(), subject.as_str().as_bytes())
    }
}

impl Pattern<'static> {
    /// Wraps a text of the program. In a `const`, a `static` or a `const` block, the compiler
    /// checks it.
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
        Self(subject.as_str())
    }
}
