//! What events are published to.

use super::Bus;
use super::lane::{Lane, Publisher};
use super::overrun::Policy;
use crate::error::Full;

/// What events are published to: the twin of [`Source`](crate::Source).
///
/// A reference to what may be shared (`&Bus`, `&Lane`, `&Topic`, `&GatedTopic`, `&Feed`, `&Hold`), or the
/// [`Publisher`] of a lane or a feed. Write `impl Publish<Event = Input>` for a function that takes any.
///
/// This trait is sealed.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Lane, Publish, Topic};
///
/// fn press(mut to: impl Publish<Event = char>) {
///     let _ = to.publish('a');
/// }
///
/// static BUS: Bus<char, 4> = Bus::new();
/// static LANE: Lane<char, 4> = Lane::new();
/// static TOPIC: Topic<char, 4> = Topic::new();
///
/// press(&BUS);
/// press(&TOPIC);
/// press(LANE.publisher().unwrap());
/// assert_eq!((BUS.pending(), LANE.pending(), TOPIC.stats().published), (1, 1, 1));
/// ```
#[diagnostic::on_unimplemented(
    message = "events cannot be published to `{Self}`",
    note = "publish to a reference, as `&BUS`, or to the `Publisher` of a lane or a feed"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names `Put`")]
pub trait Publish: Put {
    /// The type of the events.
    type Event;

    /// Publishes `event`. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if there is no room for it. A topic and the publisher of a feed always
    /// have room.
    fn publish(&mut self, event: Self::Event) -> Result<(), Full<Self::Event>>;
}

/// Seals [`Publish`].
pub(crate) trait Put {}

impl<E, const N: usize, P: Policy> Publish for &Bus<E, N, P> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Bus::publish(self, event)
    }
}

impl<E, const N: usize, P: Policy> Put for &Bus<E, N, P> {}

impl<E, const N: usize> Publish for &Lane<E, N> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Lane::publish(self, event)
    }
}

impl<E, const N: usize> Put for &Lane<E, N> {}

impl<E> Publish for Publisher<'_, E> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Publisher::publish(self, event)
    }
}

impl<E> Put for Publisher<'_, E> {}
