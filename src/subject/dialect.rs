//! Patterns as other buses write them.
//!
//! | | [`Pattern`] | [`GlobPattern`] | [`PrefixPattern`] |
//! |---|---|---|---|
//! | everything | `>` | `*` | `*` |
//! | exactly one segment | `*` | `*`, but not alone | – |
//! | whatever follows | `.>`, one or more segments | – | `*` at the end, any text, also none |

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt;

use super::check::{MAX_LEN, check_pattern, check_subject};
use super::name::Subject;
use super::pattern::Pattern;
use crate::error::{InvalidPattern, PatternFault, SubjectFault};

/// A pattern in the dialect of globs, as in `public.users.*`: `*` is one segment, and matches
/// everything when it stands alone.
///
/// | | `GlobPattern` | [`Pattern`] |
/// |---|---|---|
/// | `*` | every subject | subjects of one segment |
/// | `*.*.create`, `user.*` | the same | the same |
/// | `user.>` | not a glob | `user` with one or more segments |
///
/// A glob matches subjects with as many segments as it has itself; there is no wildcard for "the
/// rest". `*` alone is the exception. As in a [`Pattern`], there are 1 to 1024 bytes and no empty
/// segment, a `*` is a whole segment, and the comparison is by bytes.
///
/// Each glob converts to a [`Pattern`] with [`to_pattern`](Self::to_pattern).
///
/// # Examples
///
/// ```
/// use tickbus::{Pattern, Subject};
/// use tickbus::subject::GlobPattern;
///
/// const CREATED: Subject = Subject::from_static("public.users.create");
///
/// assert!(GlobPattern::new("*")?.matches(CREATED));
/// assert!(!Pattern::new("*")?.matches(CREATED)); // the difference
///
/// assert!(GlobPattern::new("*.*.create")?.matches(CREATED));
/// assert!(!GlobPattern::new("public.*")?.matches(CREATED)); // two segments
///
/// assert_eq!(GlobPattern::new("*")?.to_pattern(), Pattern::new(">")?);
/// # Ok::<(), tickbus::error::InvalidPattern>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobPattern<'a>(&'a str);

impl<'a> GlobPattern<'a> {
    /// Checks `text` and wraps it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a glob: it breaks a rule of [`Pattern::new`],
    /// or has a `>` ([`PatternFault::NotInDialect`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::error::PatternFault;
    /// use tickbus::subject::GlobPattern;
    ///
    /// assert!(GlobPattern::new("public.*.create").is_ok());
    ///
    /// let fault = |text| GlobPattern::new(text).unwrap_err().fault();
    /// assert_eq!(fault("public.user*"), PatternFault::PartialWildcard);
    /// assert_eq!(fault("public.>"), PatternFault::NotInDialect);
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        match Self::check(text) {
            Ok(()) => Ok(Self(text)),
            Err(fault) => Err(InvalidPattern::new(text, fault)),
        }
    }

    const fn check(text: &str) -> Result<(), PatternFault> {
        if text.len() <= MAX_LEN && contains(text, b'>') {
            return Err(PatternFault::NotInDialect);
        }
        check_pattern(text)
    }

    /// Returns the text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Converts the glob to the pattern that matches the same subjects.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::subject::GlobPattern;
    ///
    /// let bus = SubjectBus::new();
    /// let everything = GlobPattern::new("*")?;
    /// let audit = bus.subscribe(everything.to_pattern().as_str())?.open();
    /// bus.publish(Envelope::new("public.users.create")?)?;
    /// assert_eq!(audit.drain().count(), 1);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn to_pattern(self) -> Pattern<'a> {
        // `*` alone is the only glob that means something else as a pattern.
        Pattern::checked(if let [b'*'] = self.0.as_bytes() { ">" } else { self.0 })
    }

    /// Returns whether `subject` is in this set. It reads both texts once.
    #[must_use]
    pub const fn matches(self, subject: Subject<'_>) -> bool {
        self.to_pattern().matches(subject)
    }
}

/// A pattern in the dialect of text prefixes, as in `user.*`: an exact text, or a text with one `*`
/// at the end for whatever follows.
///
/// | | `PrefixPattern` | [`Pattern`] |
/// |---|---|---|
/// | `*` | every subject | subjects of one segment |
/// | `user.*` | `user.created`, `user.7.created` | `user.created` |
/// | `user*` | `user`, `users`, `user.created` | not a pattern |
/// | `user.created` | the same | the same |
///
/// The `*` stands for any text, also for none and for several segments. It stands only at the end.
/// The text before it must be the beginning of a subject. There are at most 1024 bytes, and the
/// comparison is by bytes.
///
/// A prefix converts to a wider [`Pattern`] plus a filter. To subscribe by one (with `alloc`),
/// subscribe to its `cover` and filter by its `predicate`.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::subject::PrefixPattern;
///
/// const USERS: PrefixPattern = PrefixPattern::from_static("user*"); // checked by the compiler
///
/// for subject in ["user", "users", "user.7.created"] {
///     assert!(USERS.matches(Subject::new(subject)?));
/// }
/// assert!(!USERS.matches(Subject::from_static("use.r")));
/// # Ok::<(), tickbus::error::InvalidSubject>(())
/// ```
#[doc(alias = "topic")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixPattern<'a>(&'a str);

impl<'a> PrefixPattern<'a> {
    /// Checks `text` and wraps it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is empty or too long, or has an empty segment, a `>`
    /// ([`PatternFault::NotInDialect`]) or a `*` that is not at the end
    /// ([`PatternFault::WildcardNotLast`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::error::PatternFault;
    /// use tickbus::subject::PrefixPattern;
    ///
    /// assert!(PrefixPattern::new("user.7.*").is_ok());
    ///
    /// let fault = |text| PrefixPattern::new(text).unwrap_err().fault();
    /// assert_eq!(fault("user.*.created"), PatternFault::WildcardNotLast);
    /// assert_eq!(fault("user.>"), PatternFault::NotInDialect);
    /// assert_eq!(fault("user."), PatternFault::TrailingDot);
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        match Self::check(text) {
            Ok(()) => Ok(Self(text)),
            Err(fault) => Err(InvalidPattern::new(text, fault)),
        }
    }

    const fn check(text: &str) -> Result<(), PatternFault> {
        if text.len() > MAX_LEN {
            return Err(PatternFault::TooLong);
        }
        let (prefix, open) = split(text);
        if contains(prefix, b'>') {
            return Err(PatternFault::NotInDialect);
        }
        let fault = match check_subject(prefix) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        match fault {
            // What follows may begin a segment, or be all there is.
            SubjectFault::Empty | SubjectFault::TrailingDot if open => Ok(()),
            SubjectFault::Empty => Err(PatternFault::Empty),
            SubjectFault::TooLong => Err(PatternFault::TooLong),
            SubjectFault::LeadingDot => Err(PatternFault::LeadingDot),
            SubjectFault::TrailingDot => Err(PatternFault::TrailingDot),
            SubjectFault::DoubleDot => Err(PatternFault::DoubleDot),
            SubjectFault::Wildcard => Err(PatternFault::WildcardNotLast),
        }
    }

    /// Returns the text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns whether `subject` is in this set. It reads no more of the subject than the pattern
    /// has bytes.
    #[must_use]
    pub const fn matches(self, subject: Subject<'_>) -> bool {
        let (prefix, open) = split(self.0);
        starts_with(subject.as_str(), prefix) && (open || subject.as_str().len() == prefix.len())
    }

    /// Returns the text of the narrowest [`Pattern`] that matches all these subjects.
    ///
    /// That pattern may match other subjects too. It matches no others if the prefix has no `*`, is
    /// `*` alone, or has a dot before the `*`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::subject::PrefixPattern;
    ///
    /// let from_a_file = String::from("user.7.cr*");
    /// let prefix = PrefixPattern::new(&from_a_file)?;
    /// assert_eq!(prefix.cover(), "user.7.>");
    ///
    /// let bus = SubjectBus::new();
    /// let wanted = prefix.predicate();
    /// let created = bus
    ///     .subscribe(&prefix.cover())?
    ///     .filter(move |envelope| wanted(envelope.subject()))
    ///     .open();
    /// bus.publish(Envelope::new("user.7.created")?)?;
    /// bus.publish(Envelope::new("user.7.deleted")?)?;
    /// assert_eq!(created.drain().count(), 1);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn cover(self) -> String {
        let (prefix, open) = split(self.0);
        if !open {
            return prefix.into();
        }
        let segments = prefix.rfind('.').map_or("", |dot| &prefix[..=dot]);
        [segments, ">"].concat()
    }

    /// Returns [`matches`](Self::matches) as a function that owns the text.
    #[cfg(feature = "alloc")]
    pub fn predicate(self) -> impl Fn(Subject<'_>) -> bool + Clone + Send + Sync + use<> {
        let text = String::from(self.0);
        move |subject| PrefixPattern(&text).matches(subject)
    }
}

/// Returns the text before a `*` at the end, and whether there is one.
const fn split(text: &str) -> (&str, bool) {
    match text.as_bytes() {
        [.., b'*'] => (text.split_at(text.len() - 1).0, true),
        _ => (text, false),
    }
}

const fn starts_with(text: &str, prefix: &str) -> bool {
    let (text, prefix) = (text.as_bytes(), prefix.as_bytes());
    let mut at = 0;
    while at < prefix.len() {
        if at == text.len() || text[at] != prefix[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn contains(text: &str, byte: u8) -> bool {
    let text = text.as_bytes();
    let mut at = 0;
    while at < text.len() {
        if text[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

macro_rules! as_text {
    ($($name:ident)*) => {
        $(
            impl $name<'static> {
                /// Wraps a text of the program. In a `const`, a `static` or a `const` block, the
                /// compiler checks it.
                ///
                /// # Panics
                ///
                /// Panics if the text is not such a pattern. In a constant that is a compile error.
                #[must_use]
                #[track_caller]
                pub const fn from_static(text: &'static str) -> Self {
                    match Self::check(text) {
                        Ok(()) => Self(text),
                        Err(fault) => panic!("{}", fault.message()),
                    }
                }
            }

            impl fmt::Display for $name<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(self.0)
                }
            }

            impl AsRef<str> for $name<'_> {
                fn as_ref(&self) -> &str {
                    self.0
                }
            }

            impl<'a> TryFrom<&'a str> for $name<'a> {
                type Error = InvalidPattern;

                fn try_from(text: &'a str) -> Result<Self, InvalidPattern> {
                    Self::new(text)
                }
            }
        )*
    };
}

as_text! { GlobPattern PrefixPattern }

impl<'a> From<GlobPattern<'a>> for Pattern<'a> {
    fn from(glob: GlobPattern<'a>) -> Self {
        glob.to_pattern()
    }
}
