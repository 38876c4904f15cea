//! What can go wrong, one small type per failure.

use core::error::Error;
use core::fmt;

/// The bus was full. The event comes back untouched.
///
/// Nothing happened to the events that were there before, and nothing keeps the one that came
/// back: publish it again later, do without it, or hand it to somebody else.
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

/// The one consumer of a bus or a lane is claimed already, or the one publisher of a lane or a feed.
///
/// Dropping the handle that has it gives it back. To use one handle in several places, keep it and pass
/// `&mut` on.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claimed(End);

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Reading,
    Publishing,
}

impl Claimed {
    pub(crate) const CONSUMER: Self = Self(End::Reading);
    pub(crate) const PUBLISHER: Self = Self(End::Publishing);
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

/// So many events were overwritten before this subscriber read them.
///
/// The subscriber goes on with the oldest event that is kept; the count is exact.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subscriber missed {} events", self.0)
    }
}

impl Error for Lagged {}

/// Every place of a [`GatedTopic`](crate::GatedTopic) is taken by a subscriber that gates.
///
/// Drop one of them, give the topic more places, or subscribe without gating.
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

/// All places of a [`Waiters`](crate::Waiters) table are taken: as many tasks wait as it has places.
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

/// Why a text is not a [`Subject`](crate::Subject).
///
/// Emptiness and length are looked at first. After them, where several things are wrong, the
/// leftmost is told.
///
/// # Examples
///
/// ```
/// use tickbus::Subject;
/// use tickbus::error::InvalidSubject;
///
/// assert_eq!(Subject::new("player..hit"), Err(InvalidSubject::DoubleDot));
/// assert_eq!(Subject::new("player.*.hit"), Err(InvalidSubject::Wildcard));
/// assert_eq!(Subject::new(".*"), Err(InvalidSubject::LeadingDot)); // the leftmost of two
///
/// assert_eq!(
///     InvalidSubject::DoubleDot.to_string(),
///     "the subject has two dots in a row: remove one, or name the segment between them",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidSubject {
    /// There is no text at all.
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

impl InvalidSubject {
    /// The text of `Display`, for panics at compile time.
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

impl fmt::Display for InvalidSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.message())
    }
}

impl Error for InvalidSubject {}

/// Why a text is not a [`Pattern`](crate::Pattern).
///
/// Emptiness and length are looked at first. After them, where several things are wrong, the
/// leftmost is told.
///
/// # Examples
///
/// ```
/// use tickbus::Pattern;
/// use tickbus::error::InvalidPattern;
///
/// assert_eq!(Pattern::new("player.7*"), Err(InvalidPattern::PartialWildcard));
/// assert_eq!(Pattern::new("player.>.hit"), Err(InvalidPattern::RestNotLast));
///
/// assert_eq!(
///     InvalidPattern::RestNotLast.to_string(),
///     "the pattern goes on after `>`: make `>` the last segment, or use `*` for one segment",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// There is no text at all.
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
    /// A `*` is not at the end of a [`PrefixPattern`](crate::subject::PrefixPattern), as in `a.*.b`.
    WildcardNotLast,
    /// A `>` is in a [`GlobPattern`](crate::subject::GlobPattern) or a [`PrefixPattern`](crate::subject::PrefixPattern),
    /// where it would match nothing.
    NotInDialect,
}

impl InvalidPattern {
    /// The text of `Display`, for panics at compile time.
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
                "the pattern has a `>`, which is no wildcard here: \
                 use `*`, or make it a `Pattern`"
            }
        }
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.message())
    }
}

impl Error for InvalidPattern {}
