//! A pattern of a rule, in one of the dialects: [`RulePattern`].

use alloc::boxed::Box;
use core::fmt;

use super::overlap::{Segment, Shape};
use crate::error::InvalidPattern;
use crate::subject::{Pattern, PatternBuf, PrefixPattern, Subject};

/// A set of subjects in a rule of a router, as you wrote it.
///
/// In code you write a [`Pattern`]. A configuration has
/// [`PrefixPattern`]s, in which `user.*` is every subject that begins
/// so. Its `Display` and [`dialect`](Self::dialect) say which it is.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::hosted::RulePattern;
///
/// const DEEP: Subject = Subject::from_static("user.7.created");
///
/// let pattern = RulePattern::try_from("user.*")?;
/// assert!(!pattern.matches(DEEP)); // `*` is one segment
///
/// let prefix = RulePattern::prefix("user.*")?;
/// assert!(prefix.matches(DEEP));
/// assert_eq!(prefix.to_string(), "prefix `user.*`");
/// # Ok::<(), tickbus::error::InvalidPattern>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RulePattern {
    text: Box<str>,
    /// Passed the check of its dialect.
    dialect: Dialect,
}

/// The language in which a [`RulePattern`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// That of [`Pattern`].
    Pattern,
    /// That of [`PrefixPattern`].
    Prefix,
}

impl Dialect {
    /// Returns `pattern` or `prefix`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pattern => "pattern",
            Self::Prefix => "prefix",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl RulePattern {
    /// Reads a [`PrefixPattern`].
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not one.
    pub fn prefix(text: &str) -> Result<Self, InvalidPattern> {
        PrefixPattern::new(text).map(Self::from)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the language in which the text is written.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns whether `subject` is in this set.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        match self.dialect {
            Dialect::Pattern => Pattern::checked(&self.text).matches(subject),
            Dialect::Prefix => {
                PrefixPattern::new(&self.text).is_ok_and(|prefix| prefix.matches(subject))
            }
        }
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        match self.dialect {
            Dialect::Pattern => shape(Pattern::checked(&self.text)),
            Dialect::Prefix => prefix_shape(&self.text),
        }
    }
}

/// Returns the parts of a pattern.
pub(super) fn shape(pattern: Pattern<'_>) -> Shape<'_> {
    let part = |segment| match segment {
        "*" => Segment::One,
        ">" => Segment::Rest,
        text => Segment::Text(text),
    };
    pattern.as_str().split('.').map(part).collect()
}

fn prefix_shape(text: &str) -> Shape<'_> {
    let Some(prefix) = text.strip_suffix('*') else {
        return text.split('.').map(Segment::Text).collect();
    };
    let (whole, begun) = match prefix.rsplit_once('.') {
        Some((whole, begun)) => (Some(whole), begun),
        None => (None, prefix),
    };
    let whole = whole.into_iter().flat_map(|whole| whole.split('.')).map(Segment::Text);
    let last = if begun.is_empty() { Segment::Rest } else { Segment::Begins(begun) };
    whole.chain([last]).collect()
}

impl TryFrom<&str> for RulePattern {
    type Error = InvalidPattern;

    fn try_from(text: &str) -> Result<Self, InvalidPattern> {
        Pattern::new(text).map(Self::from)
    }
}

impl From<Pattern<'_>> for RulePattern {
    fn from(pattern: Pattern<'_>) -> Self {
        Self { text: pattern.as_str().into(), dialect: Dialect::Pattern }
    }
}

impl From<PatternBuf> for RulePattern {
    fn from(pattern: PatternBuf) -> Self {
        pattern.as_pattern().into()
    }
}

impl From<PrefixPattern<'_>> for RulePattern {
    fn from(prefix: PrefixPattern<'_>) -> Self {
        Self { text: prefix.as_str().into(), dialect: Dialect::Prefix }
    }
}

impl fmt::Display for RulePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dialect {
            Dialect::Pattern => write!(f, "`{}`", self.text),
            Dialect::Prefix => write!(f, "prefix `{}`", self.text),
        }
    }
}

impl fmt::Debug for RulePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
