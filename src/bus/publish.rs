//! Where events are published to.

use super::Bus;
use super::lane::{Lane, Publisher};
use super::overrun::Policy;
use crate::error::Full;
use crate::wait::Waits;

/// A destination of events: the twin of [`Source`](crate::Source).
///
/// These are references (`&Bus`, `&Lane`, `&Topic`, `&GatedTopic`, `&Feed`, `&Hold`), and the [`Publisher`] of a lane or
/// a feed. A function with an argument of `impl Publish<Event = Input>` takes any of them.
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
    /// Returns [`Full`] with the event if the queue is full. A topic and a feed always have room.
    fn publish(&mut self, event: Self::Event) -> Result<(), Full<Self::Event>>;
}

/// Seals [`Publish`].
pub(crate) trait Put {}

impl<E, const N: usize, P: Policy, W: Waits> Publish for &Bus<E, N, P, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Bus::publish(self, event)
    }
}

impl<E, const N: usize, P: Policy, W: Waits> Put for &Bus<E, N, P, W> {}

impl<E, const N: usize, W: Waits> Publish for &Lane<E, N, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Lane::publish(self, event)
    }
}

impl<E, const N: usize, W: Waits> Put for &Lane<E, N, W> {}

impl<E, W: Waits> Publish for Publisher<'_, E, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Publisher::publish(self, event)
    }
}

impl<E, W: Waits> Put for Publisher<'_, E, W> {}
