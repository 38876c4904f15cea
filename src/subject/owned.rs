//! Patterns that own their text: [`PatternBuf`].

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use super::name::Subject;
use super::pattern::Pattern;
use crate::error::InvalidPattern;

/// Owns the text of a [`Pattern`], where a borrow does not live long enough.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::subject::PatternBuf;
///
/// let hits: PatternBuf = String::from("player.*.hit").parse()?;
/// assert!(hits.matches(Subject::from_static("player.7.hit")));
/// assert!("player.7*".parse::<PatternBuf>().is_err());
/// # Ok::<(), tickbus::error::InvalidPattern>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternBuf(
    /// Passed the check of `Pattern`.
    Box<str>,
);

impl PatternBuf {
    /// Returns the pattern, which borrows from this.
    #[must_use]
    pub fn as_pattern(&self) -> Pattern<'_> {
        Pattern::checked(&self.0)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether `subject` is in this set: see [`Pattern::matches`].
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.as_pattern().matches(subject)
    }
}

impl From<Pattern<'_>> for PatternBuf {
    fn from(pattern: Pattern<'_>) -> Self {
        Self(pattern.as_str().into())
    }
}

impl TryFrom<&str> for PatternBuf {
    type Error = InvalidPattern;

    fn try_from(text: &str) -> Result<Self, InvalidPattern> {
        Pattern::new(text).map(Self::from)
    }
}

impl FromStr for PatternBuf {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        Pattern::new(text).map(Self::from)
    }
}

impl Borrow<str> for PatternBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PatternBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PatternBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PatternBuf").field(&self.as_str()).finish()
    }
}
