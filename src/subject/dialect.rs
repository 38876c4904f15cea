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

use super::{MAX_LEN, Pattern, Subject, check_pattern, check_subject};
use crate::error::{InvalidPattern, InvalidSubject};

/// A pattern in the dialect of globs, as in `public.users.*`: `*` is one segment, and alone it is
/// everything.
///
/// | | `GlobPattern` | [`Pattern`] |
/// |---|---|---|
/// | `*` | every subject | subjects of one segment |
/// | `*.*.create`, `user.*` | the same | the same |
/// | `user.>` | not a glob | `user` with one or more segments |
///
/// But for `*` alone, pattern and subject have the same number of segments; there is no wildcard for
/// "the rest". Other matters are as for [`Pattern`]: 1 to 1024 bytes, no empty segment, a `*` is a whole
/// segment, and the comparison is by bytes.
///
/// Each glob is a [`Pattern`] in other words: [`to_pattern`](Self::to_pattern) says which, for whatever
/// takes one.
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
    /// As for [`Pattern::new`]; a `>` is [`InvalidPattern::NotInDialect`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::error::InvalidPattern;
    /// use tickbus::subject::GlobPattern;
    ///
    /// assert!(GlobPattern::new("public.*.create").is_ok());
    /// assert_eq!(GlobPattern::new("public.user*"), Err(InvalidPattern::PartialWildcard));
    /// assert_eq!(GlobPattern::new("public.>"), Err(InvalidPattern::NotInDialect));
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        if text.len() <= MAX_LEN && contains(text, b'>') {
            return Err(InvalidPattern::NotInDialect);
        }
        match check_pattern(text) {
            Ok(()) => Ok(Self(text)),
            Err(invalid) => Err(invalid),
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The pattern that matches the same subjects.
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
        // A lone `*` is the only glob that means something else as a pattern.
        Pattern::checked(if let [b'*'] = self.0.as_bytes() { ">" } else { self.0 })
    }

    /// Whether `subject` is in this set. Goes through both texts once.
    #[must_use]
    pub const fn matches(self, subject: Subject<'_>) -> bool {
        self.to_pattern().matches(subject)
    }
}

/// A pattern in the dialect of text prefixes, as in `user.*`: exact, or with one `*` at the end for
/// whatever follows.
///
/// | | `PrefixPattern` | [`Pattern`] |
/// |---|---|---|
/// | `*` | every subject | subjects of one segment |
/// | `user.*` | `user.created`, `user.7.created` | `user.created` |
/// | `user*` | `user`, `users`, `user.created` | not a pattern |
/// | `user.created` | the same | the same |
///
/// Segments mean nothing to it: the `*` stands for any text, also for none, and only at the end. What is
/// before it must be the beginning of a subject. At most 1024 bytes; the comparison is by bytes.
///
/// Most are no [`Pattern`]. With `alloc`, to subscribe by one, subscribe to the pattern that covers it
/// (`cover`), and filter by its `predicate`.
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
    /// If it is empty or too long, has an empty segment, a `>` ([`InvalidPattern::NotInDialect`]) or a `*`
    /// that is not at the end ([`InvalidPattern::WildcardNotLast`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::error::InvalidPattern;
    /// use tickbus::subject::PrefixPattern;
    ///
    /// assert!(PrefixPattern::new("user.7.*").is_ok());
    /// assert_eq!(PrefixPattern::new("user.*.created"), Err(InvalidPattern::WildcardNotLast));
    /// assert_eq!(PrefixPattern::new("user.>"), Err(InvalidPattern::NotInDialect));
    /// assert_eq!(PrefixPattern::new("user."), Err(InvalidPattern::TrailingDot));
    /// ```
    pub const fn new(text: &'a str) -> Result<Self, InvalidPattern> {
        if text.len() > MAX_LEN {
            return Err(InvalidPattern::TooLong);
        }
        let (prefix, open) = split(text);
        if contains(prefix, b'>') {
            return Err(InvalidPattern::NotInDialect);
        }
        let invalid = match check_subject(prefix) {
            Ok(()) => return Ok(Self(text)),
            Err(invalid) => invalid,
        };
        match invalid {
            // What follows may begin a segment, or be all there is.
            InvalidSubject::Empty | InvalidSubject::TrailingDot if open => Ok(Self(text)),
            InvalidSubject::Empty => Err(InvalidPattern::Empty),
            InvalidSubject::TooLong => Err(InvalidPattern::TooLong),
            InvalidSubject::LeadingDot => Err(InvalidPattern::LeadingDot),
            InvalidSubject::TrailingDot => Err(InvalidPattern::TrailingDot),
            InvalidSubject::DoubleDot => Err(InvalidPattern::DoubleDot),
            InvalidSubject::Wildcard => Err(InvalidPattern::WildcardNotLast),
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether `subject` is in this set. Looks at no more of it than there is of the pattern.
    #[must_use]
    pub const fn matches(self, subject: Subject<'_>) -> bool {
        let (prefix, open) = split(self.0);
        starts_with(subject.as_str(), prefix) && (open || subject.as_str().len() == prefix.len())
    }

    /// The text of the narrowest [`Pattern`] that matches all these subjects, and maybe others.
    ///
    /// It matches no others if there is no `*`, if `*` is all there is, or if there is a dot before it.
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

    /// What [`matches`](Self::matches) says, as a function that keeps the text.
    #[cfg(feature = "alloc")]
    pub fn predicate(self) -> impl Fn(Subject<'_>) -> bool + Clone + Send + Sync + use<> {
        let text = String::from(self.0);
        move |subject| PrefixPattern(&text).matches(subject)
    }
}

/// The text before a `*` at the end, and whether there is one.
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
                /// Wraps a text of the program, checked by the compiler where the result is a constant.
                ///
                /// # Panics
                ///
                /// If the text is not such a pattern. In a `const`, a `static` or a `const` block, that
                /// is a compile error.
                #[must_use]
                #[track_caller]
                pub const fn from_static(text: &'static str) -> Self {
                    match Self::new(text) {
                        Ok(pattern) => pattern,
                        Err(invalid) => panic!("{}", invalid.message()),
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
