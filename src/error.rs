//! What can go wrong: one small type per failure. Each implements [`Error`] and fits in a `Result`
//! that you return with `?`.
//!
//! # Names
//!
//! The name of an error tells which of three kinds it is:
//!
//! | name | what it says | as in |
//! |---|---|---|
//! | `Invalid…` | What you gave is not what the word behind it says. | [`InvalidSubject`], [`InvalidPattern`], `InvalidPayload` |
//! | a condition | The operation can fail for one reason, which this is. | [`Full`], [`Lagged`], [`Claimed`], [`TooManyWaiters`] |
//! | `…Error` | The operation before it can fail for several reasons, one variant for each. | `PublishError`, [`ScheduleError`](crate::timer::ScheduleError), [`AnswerError`](crate::request::AnswerError) |
//!
//! An error that comes from one module lies there; those of several modules lie here. Every enum
//! among them is `#[non_exhaustive]`, and gives back the event, answer or envelope that it is
//! about, if there is one.

use core::error::Error;
use core::fmt::{self, Write as _};

/// The bus is full. The event comes back untouched.
///
/// The events on the bus are as they were. The bus keeps nothing of the event that came back:
/// publish it again later, do without it, or use it in another way.
///
/// `Debug` and `Display` do not show the event, so `unwrap`, `expect` and `?` work for every `E`.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Full};
///
/// static BUS: Bus<u8, 2> = Bus::new();
///
/// assert_eq!(BUS.publish(1), Ok(()));
/// assert_eq!(BUS.publish(2), Ok(()));
///
/// let Err(Full(event)) = BUS.publish(3) else { unreachable!("two slots, three events") };
/// assert_eq!(event, 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<E>(pub E);

impl<E> fmt::Debug for Full<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Full(..)")
    }
}

impl<E> fmt::Display for Full<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("the bus is full")
    }
}

impl<E> Error for Full<E> {}

#[cfg(feature = "defmt")]
impl<E> defmt::Format for Full<E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Full(..)");
    }
}

/// The one consumer of a bus or a lane is claimed already, or the one publisher of a lane or a
/// feed.
///
/// Drop the first handle, and you can claim another. To use one handle in several places, keep it
/// and pass `&mut` on.
///
/// # Examples
///
/// ```
/// use tickbus::Bus;
///
/// static BUS: Bus<u8, 2> = Bus::new();
///
/// let events = BUS.consumer().unwrap();
/// assert_eq!(
///     BUS.consumer().unwrap_err().to_string(),
///     "the consumer is claimed already: drop the handle that has it, or pass that one on as `&mut`",
/// );
///
/// drop(events);
/// assert!(BUS.consumer().is_ok());
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claimed(End);

/// Which end.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Reading,
    Publishing,
}

impl Claimed {
    pub(crate) const CONSUMER: Self = Self(End::Reading);
    pub(crate) const PUBLISHER: Self = Self(End::Publishing);
}

/// The sentence of `Display`, so that `unwrap` and `expect` say what to do.
impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            End::Reading => {
                "the consumer is claimed already: \
                 drop the handle that has it, or pass that one on as `&mut`"
            }
            End::Publishing => {
                "the publisher is claimed already: \
                 drop the handle that has it, or pass that one on as `&mut`"
            }
        })
    }
}

impl Error for Claimed {}

/// This many events were overwritten before the subscriber read them.
///
/// The subscriber continues with the oldest event that is kept. The count is exact.
///
/// # Examples
///
/// ```
/// use tickbus::{Lagged, Topic};
///
/// static TOPIC: Topic<u8, 2> = Topic::new();
/// let mut subscriber = TOPIC.subscribe();
/// for event in 1..=3 {
///     TOPIC.publish(event);
/// }
/// assert_eq!(subscriber.read().next(), Some(Err(Lagged(1))));
/// assert_eq!(subscriber.read().next(), Some(Ok(2)));
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subscriber missed {} events", self.0)
    }
}

impl Error for Lagged {}

/// A gating subscriber has each place of the [`GatedTopic`](crate::GatedTopic).
///
/// Drop one of them, give the topic more places, or subscribe without gating.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TooManySubscribers;

impl fmt::Display for TooManySubscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            "every place for a gating subscriber is taken: drop one, make `S` larger, or do not gate, by \
             `subscribe_lagging`",
        )
    }
}

impl Error for TooManySubscribers {}

/// All places of a [`Waiters`](crate::Waiters) table are taken: as many tasks wait as it has
/// places.
///
/// # Examples
///
/// ```
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::Waiters;
/// use tickbus::error::TooManyWaiters;
///
/// let waiters: Waiters<1> = Waiters::new();
/// let never = || None::<()>;
/// let mut first = pin!(waiters.wait_until(never));
/// let mut second = pin!(waiters.wait_until(never));
///
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
/// assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Err(TooManyWaiters)));
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyWaiters;

impl fmt::Display for TooManyWaiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            "more tasks wait than there are places for wakers: make `K` of the \
             `Waiters` larger",
        )
    }
}

impl Error for TooManyWaiters {}

/// A text is not a [`Subject`](crate::Subject).
///
/// It shows the beginning of the text, and says what to change. It keeps up to 60 bytes of the text
/// inside, so it needs no allocator, borrows nothing, and is also made in a `const`.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::error::SubjectFault;
///
/// let error = Subject::new("player..hit").unwrap_err();
/// assert_eq!(error.fault(), SubjectFault::DoubleDot);
/// assert_eq!(
///     error.to_string(),
///     "`player..hit`: the subject has two dots in a row: remove one, or name the segment between them",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidSubject {
    fault: SubjectFault,
    text: Excerpt,
}

impl InvalidSubject {
    pub(crate) const fn new(text: &str, fault: SubjectFault) -> Self {
        Self { fault, text: Excerpt::of(text) }
    }

    /// Returns the rule that the text breaks.
    #[must_use]
    pub const fn fault(&self) -> SubjectFault {
        self.fault
    }
}

impl fmt::Display for InvalidSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.before(self.fault.message(), f)
    }
}

impl Error for InvalidSubject {}

/// Without the text, whose end may be cut.
#[cfg(feature = "defmt")]
impl defmt::Format for InvalidSubject {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "InvalidSubject({})", self.fault);
    }
}

/// What is wrong with the text of an [`InvalidSubject`].
///
/// [`Subject::new`](crate::Subject::new) checks for emptiness and length first. Of several other
/// faults it reports the leftmost.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::error::SubjectFault;
///
/// let fault = |text| Subject::new(text).unwrap_err().fault();
/// assert_eq!(fault("player.*.hit"), SubjectFault::Wildcard);
/// assert_eq!(fault(".*"), SubjectFault::LeadingDot); // the leftmost of two
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectFault {
    /// The text is empty.
    Empty,
    /// The text is longer than 1024 bytes.
    TooLong,
    /// The text starts with a dot, so its first segment is empty.
    LeadingDot,
    /// The text ends with a dot, so its last segment is empty.
    TrailingDot,
    /// Two dots follow each other, so the segment between them is empty.
    DoubleDot,
    /// The text has a `*` or a `>`, which only a [`Pattern`](crate::Pattern) may have.
    Wildcard,
}

impl SubjectFault {
    /// Returns the text of `Display`, for panics at compile time.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Empty => "the subject is empty: name at least one segment, as in `input.tilt`",
            Self::TooLong => "the subject is longer than 1024 bytes: shorten it",
            Self::LeadingDot => {
                "the subject starts with a dot: remove it, or name the segment before it"
            }
            Self::TrailingDot => {
                "the subject ends with a dot: remove it, or name the segment after it"
            }
            Self::DoubleDot => {
                "the subject has two dots in a row: remove one, or name the segment between them"
            }
            Self::Wildcard => {
                "the subject has a wildcard, `*` or `>`: name the segment, or make it a pattern"
            }
        }
    }
}

impl fmt::Display for SubjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.message())
    }
}

/// A text is not a [`Pattern`](crate::Pattern), a [`GlobPattern`](crate::subject::GlobPattern) or a
/// [`PrefixPattern`](crate::subject::PrefixPattern).
///
/// It shows the beginning of the text, and says what to change. It keeps up to 60 bytes of the text
/// inside, so it needs no allocator, borrows nothing, and is also made in a `const`.
///
/// # Examples
///
/// ```
/// use tickbus::Pattern;
/// use tickbus::error::PatternFault;
///
/// let error = Pattern::new("player.>.hit").unwrap_err();
/// assert_eq!(error.fault(), PatternFault::RestNotLast);
/// assert_eq!(
///     error.to_string(),
///     "`player.>.hit`: the pattern goes on after `>`: \
///      make `>` the last segment, or use `*` for one segment",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidPattern {
    fault: PatternFault,
    text: Excerpt,
}

impl InvalidPattern {
    pub(crate) const fn new(text: &str, fault: PatternFault) -> Self {
        Self { fault, text: Excerpt::of(text) }
    }

    /// Returns the rule that the text breaks.
    #[must_use]
    pub const fn fault(&self) -> PatternFault {
        self.fault
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.before(self.fault.message(), f)
    }
}

impl Error for InvalidPattern {}

/// Without the text, whose end may be cut.
#[cfg(feature = "defmt")]
impl defmt::Format for InvalidPattern {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "InvalidPattern({})", self.fault);
    }
}

/// What is wrong with the text of an [`InvalidPattern`].
///
/// [`Pattern::new`](crate::Pattern::new) checks for emptiness and length first. Of several other
/// faults it reports the leftmost.
///
/// # Examples
///
/// ```
/// use tickbus::Pattern;
/// use tickbus::error::PatternFault;
///
/// let fault = |text| Pattern::new(text).unwrap_err().fault();
/// assert_eq!(fault("player.7*"), PatternFault::PartialWildcard);
/// assert_eq!(fault("player.>.hit"), PatternFault::RestNotLast);
/// ```
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PatternFault {
    /// The text is empty.
    Empty,
    /// The text is longer than 1024 bytes.
    TooLong,
    /// The text starts with a dot, so its first segment is empty.
    LeadingDot,
    /// The text ends with a dot, so its last segment is empty.
    TrailingDot,
    /// Two dots follow each other, so the segment between them is empty.
    DoubleDot,
    /// A `*` or a `>` shares its segment with other text, as in `a*`.
    PartialWildcard,
    /// A `>` is followed by another segment, as in `a.>.b`.
    RestNotLast,
    /// A `*` is not at the end of a [`PrefixPattern`](crate::subject::PrefixPattern), as in
    /// `a.*.b`.
    WildcardNotLast,
    /// A `>` is in a [`GlobPattern`](crate::subject::GlobPattern) or a
    /// [`PrefixPattern`](crate::subject::PrefixPattern), where it would match nothing.
    NotInDialect,
}

impl PatternFault {
    /// Returns the text of `Display`, for panics at compile time.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Empty => "the pattern is empty: to match every subject, write `>`",
            Self::TooLong => "the pattern is longer than 1024 bytes: shorten it",
            Self::LeadingDot => {
                "the pattern starts with a dot: remove it, or name the segment before it"
            }
            Self::TrailingDot => {
                "the pattern ends with a dot: remove it, or write `.>` for everything below"
            }
            Self::DoubleDot => {
                "the pattern has two dots in a row: remove one, or write `*` between them"
            }
            Self::PartialWildcard => {
                "the pattern has a wildcard, `*` or `>`, that is not a whole segment: \
                 give it a segment of its own, as in `a.*.b` or `a.>`"
            }
            Self::RestNotLast => {
                "the pattern goes on after `>`: \
                 make `>` the last segment, or use `*` for one segment"
            }
            Self::WildcardNotLast => {
                "the pattern goes on after `*`: \
                 make `*` the last byte, where it stands for whatever follows"
            }
            Self::NotInDialect => {
                "the pattern has a `>`, which is not a wildcard here: \
                 use `*`, or make it a `Pattern`"
            }
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.message())
    }
}

/// The beginning of a text, which an error keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Excerpt {
    bytes: [u8; Self::LONGEST],
    kept: u8,
    cut: bool,
}

impl Excerpt {
    /// An error with a fault beside it has 63 bytes.
    const LONGEST: usize = 60;

    const fn of(text: &str) -> Self {
        let kept = text.floor_char_boundary(Self::LONGEST);
        let mut bytes = [0; Self::LONGEST];
        bytes.split_at_mut(kept).0.copy_from_slice(text.as_bytes().split_at(kept).0);
        Self { bytes, kept: kept as u8, cut: kept < text.len() }
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.kept)]).unwrap_or_default()
    }

    /// Writes the text and then what is wrong with it.
    fn before(&self, message: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept == 0 {
            return f.pad(message);
        }
        write!(f, "{}: {message}", Quoted { text: self.text(), cut: self.cut })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)?;
        f.write_str(if self.cut { "…" } else { "" })
    }
}

/// A text of unknown origin in a message: on one line, and with `…` where it was cut.
pub(crate) struct Quoted<'a> {
    pub(crate) text: &'a str,
    pub(crate) cut: bool,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('`')?;
        for c in self.text.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_str(if self.cut { "…`" } else { "`" })
    }
}
