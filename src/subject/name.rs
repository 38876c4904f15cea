//! The names of events: [`Subject`].

use core::fmt;

use super::check::check_subject;
use crate::error::InvalidSubject;

/// The name of an event: segments with dots between them, as in `player.7.hit`.
///
/// A subject has 1 to 1024 bytes and no empty segment. It has neither `*` nor `>`, which belong to
/// [`Pattern`](super::Pattern). Any other UTF-8 is allowed, spaces and control characters included.
/// Two subjects are equal if all their bytes are: nothing is trimmed, folded or normalized.
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
    /// Returns [`InvalidSubject`] if the text is not a subject. Its [fault](InvalidSubject::fault)
    /// is the rule that the text breaks.
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
    /// Wraps a text of the program. In a `const`, a `static` or a `const` block, the compiler
    /// checks it.
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
